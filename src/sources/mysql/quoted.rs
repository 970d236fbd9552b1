//! Text in quotes as both servers print it in `column_type`, and MariaDB in `column_default`:
//! quotes doubled; zero, newline, carriage return and backslash escaped (`append_unescaped` of
//! `sql/sql_show.cc`, `sql/unireg.cc`).

/// The members of `('a','b')`; `None` for anything else.
pub(crate) fn list(text: &str) -> Option<Vec<String>> {
    let mut rest = text.strip_prefix('(')?;
    let mut members = Vec::new();
    loop {
        let (member, after) = one(rest)?;
        members.push(member);
        match after.split_at_checked(1)? {
            (",", after) => rest = after,
            (")", _) => return Some(members),
            _ => return None,
        }
    }
}

/// The text up to the closing quote, and what follows that.
pub(crate) fn one(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('\'')?;
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if characters.as_str().starts_with('\'') => {
                characters.next();
                out.push('\'');
            }
            '\'' => return Some((out, inner.get(at + 1..)?)),
            '\\' => out.push(match characters.next()?.1 {
                '0' => '\0',
                'n' => '\n',
                'r' => '\r',
                other => other,
            }),
            other => out.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{list, one};

    #[test]
    fn members_come_as_they_were_written() {
        let members = |text: &str| list(text).unwrap();
        assert_eq!(members("('a','b,c','d''e','')"), ["a", "b,c", "d'e", ""]);
        assert_eq!(members("('\\\\','\\n','ü)','''')"), ["\\", "\n", "ü)", "'"]);
    }

    #[test]
    fn what_is_no_list_is_none() {
        for text in ["", "(", "()", "('a'", "('a',", "('a)", "('a';'b')", "('a\\"] {
            assert_eq!(list(text), None, "{text}");
        }
        assert_eq!(one("'a''b' x"), Some(("a'b".to_owned(), " x")));
    }
}
