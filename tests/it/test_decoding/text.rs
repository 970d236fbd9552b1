//! Reads what `test_decoding` prints (`contrib/test_decoding/test_decoding.c`: `pg_decode_change`,
//! `tuple_to_stringinfo`, `print_literal`).

/// A line, without `BEGIN` and `COMMIT`.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    /// Several of a TRUNCATE.
    pub(super) tables: Vec<String>,
    pub(super) op: &'static str,
    pub(super) old: Option<Vec<Printed>>,
    pub(super) new: Option<Vec<Printed>>,
}

/// A column as it is printed: `name[type]:literal`.
#[derive(Debug, PartialEq)]
pub(super) struct Printed {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) literal: Literal,
}

#[derive(Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    UnchangedToast,
    /// Without its quotes.
    Value(String),
}

const OPERATIONS: [(&str, &str); 4] =
    [("INSERT:", "c"), ("UPDATE:", "u"), ("DELETE:", "d"), ("TRUNCATE:", "t")];

pub(super) fn line(text: &str) -> Line {
    let rest = text.strip_prefix("table ").unwrap_or_else(|| panic!("a table: {text}"));
    // The names of these tests need no quotes, so that the first colon is the one after them.
    let (tables, rest) = rest.split_once(": ").expect("an operation follows");
    let tables = tables.split(", ").map(str::to_owned).collect();
    let mut operations = OPERATIONS.iter();
    let operation = operations.find_map(|(word, op)| Some((*op, rest.strip_prefix(word)?)));
    let (op, mut rest) = operation.unwrap_or_else(|| panic!("an operation: {rest}"));
    let (mut old, mut new) = (None, None);
    match op {
        "t" => {
            let flags = [" (no-flags)", " restart_seqs", " cascade", " restart_seqs cascade"];
            assert!(flags.contains(&rest), "flags: {rest}");
            rest = "";
        }
        "d" => old = row(&mut rest),
        _ => {
            if let Some(key) = rest.strip_prefix(" old-key:") {
                rest = key;
                old = row(&mut rest);
                rest = rest.strip_prefix(" new-tuple:").expect("the new row follows the old one");
            }
            new = row(&mut rest);
        }
    }
    assert_eq!(rest, "", "read to the end of {text}");
    Line { tables, op, old, new }
}

fn row(rest: &mut &str) -> Option<Vec<Printed>> {
    if let Some(after) = rest.strip_prefix(" (no-tuple-data)") {
        *rest = after;
        return None;
    }
    let mut columns = Vec::new();
    while !rest.is_empty() && !rest.starts_with(" new-tuple:") {
        let column = rest.strip_prefix(' ').expect("a space before each column");
        let (name, column) = column.split_once('[').expect("a type follows the name");
        // `integer[]` ends in a bracket itself, and no colon follows that one.
        let (type_name, value) = column.split_once("]:").expect("a value follows the type");
        let (literal, after) = literal(value);
        *rest = after;
        let (name, type_name) = (name.to_owned(), type_name.to_owned());
        columns.push(Printed { name, type_name, literal });
    }
    Some(columns)
}

fn literal(text: &str) -> (Literal, &str) {
    if let Some(quoted) = text.strip_prefix("B'").or_else(|| text.strip_prefix('\'')) {
        let (value, after) = unquote(quoted);
        return (Literal::Value(value), after);
    }
    let (word, after) = text.split_at(text.find(' ').unwrap_or(text.len()));
    let literal = match word {
        "null" => Literal::Null,
        "unchanged-toast-datum" => Literal::UnchangedToast,
        value => Literal::Value(value.to_owned()),
    };
    (literal, after)
}

/// Up to the closing quote; inside, a quote is doubled and nothing else is escaped.
fn unquote(mut text: &str) -> (String, &str) {
    let mut value = String::new();
    loop {
        let (before, after) = text.split_once('\'').expect("a closing quote");
        value.push_str(before);
        let Some(more) = after.strip_prefix('\'') else { return (value, after) };
        value.push('\'');
        text = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, type_name: &str, text: &str) -> Printed {
        let literal = Literal::Value(text.to_owned());
        Printed { name: name.to_owned(), type_name: type_name.to_owned(), literal }
    }

    #[test]
    fn every_form_of_a_line_is_read() {
        let read = line(
            "table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 \
             a[integer[]]:'{1,NULL}' n[text]:null b[text]:unchanged-toast-datum \
             q[character varying]:'it''s '' new-tuple: x[y]:1' z[bit]:B'01' e[text]:''",
        );
        assert_eq!(read.tables, ["public.t"]);
        assert_eq!(read.old.unwrap(), [value("id", "integer", "1")]);
        let new = read.new.unwrap();
        assert_eq!(new[1], value("a", "integer[]", "{1,NULL}"));
        assert_eq!(new[2].literal, Literal::Null);
        assert_eq!(new[3].literal, Literal::UnchangedToast);
        assert_eq!(new[4], value("q", "character varying", "it's ' new-tuple: x[y]:1"));
        assert_eq!(new[5..], [value("z", "bit", "01"), value("e", "text", "")]);

        let read = line("table public.t: DELETE: (no-tuple-data)");
        assert_eq!((read.op, read.old), ("d", None));
        let read = line("table public.a, public.b: TRUNCATE: restart_seqs cascade");
        assert_eq!(read.tables, ["public.a", "public.b"]);
    }
}
