//! What a statement in the log does to the transaction that it stands in. Not a parser: the first
//! words decide, and everything that is no transaction control and no row change is DDL as far as
//! the stream is concerned.

use std::borrow::Cow;

use bumpalo::Bump;

use crate::sources::mysql::binlog::query::Query;
use crate::sources::mysql::charset::Charset;

/// The text of a statement, from the character set that its client had; `None` where it is no text
/// in that.
pub(crate) fn text<'a>(query: &Query<'a>, arena: &'a Bump) -> Option<&'a str> {
    let charset = match query.client_collation.and_then(Charset::of_collation) {
        Some(Charset::Binary) | None => Charset::Utf8,
        Some(charset) => charset,
    };
    charset.decode(query.text, arena).ok()
}

/// A statement's part in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statement<'a> {
    Begin,
    Commit,
    Rollback,
    /// `ROLLBACK TO SAVEPOINT`: the rows since then are undone.
    RollbackTo,
    /// SAVEPOINT, RELEASE SAVEPOINT, and the empty statements that servers write to fill a place.
    Nothing,
    XaStart(&'a str),
    XaEnd,
    XaCommit(&'a str),
    XaRollback(&'a str),
    /// Changes rows, and the log has it as a statement: `binlog_format` is not ROW. The table, where
    /// it is a single one that is easily found.
    Rows {
        statement: &'static str,
        target: Option<Target<'a>>,
    },
    /// TRUNCATE, and the DELETE of everything that servers write for tables in memory when they
    /// start.
    Empty(Target<'a>),
    /// CREATE TABLE … SELECT of MySQL 8.0.21 and newer: its rows and their commit follow.
    DdlThenRows,
    /// Anything else.
    Ddl,
}

/// Statements that change rows, and so must never stand in a log of rows.
const ROW_STATEMENTS: [&str; 7] = ["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "DO"];

impl<'a> Statement<'a> {
    /// Of the bytes of a query event. Keywords are ASCII in every character set that a client may
    /// have.
    pub(crate) fn of(text: &'a [u8]) -> Self {
        let mut words = Words { rest: text };
        let Some(first) = words.next() else { return Self::Nothing };
        let is = |word: &[u8], keyword: &str| word.eq_ignore_ascii_case(keyword.as_bytes());
        if is(first, "BEGIN") || (is(first, "START") && words.starts_with("TRANSACTION")) {
            return Self::Begin;
        }
        if is(first, "COMMIT") {
            return Self::Commit;
        }
        if is(first, "ROLLBACK") {
            let to =
                words.starts_with("TO") || words.next().is_some_and(|_| words.starts_with("TO"));
            return if to { Self::RollbackTo } else { Self::Rollback };
        }
        if is(first, "SAVEPOINT") || is(first, "RELEASE") {
            return Self::Nothing;
        }
        if is(first, "XA") {
            return words.xa();
        }
        if is(first, "TRUNCATE") {
            words.starts_with("TABLE");
            return words.target().map_or(Self::Ddl, Self::Empty);
        }
        if let Some(statement) = ROW_STATEMENTS.iter().find(|keyword| is(first, keyword)) {
            return words.row_statement(statement);
        }
        let end = text.trim_ascii_end();
        let tail = end.len().checked_sub("START TRANSACTION".len()).and_then(|at| end.get(at..));
        if is(first, "CREATE") && tail.is_some_and(|tail| is(tail, "START TRANSACTION")) {
            return Self::DdlThenRows;
        }
        Self::Ddl
    }
}

/// A table as a statement names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    database: Option<&'a str>,
    table: &'a str,
}

impl<'a> Target<'a> {
    /// Database and table.
    pub(crate) fn names(&self, default_database: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
        let database = self.database.map_or(Cow::Borrowed(default_database), unquoted);
        (database, unquoted(self.table))
    }
}

fn unquoted(name: &str) -> Cow<'_, str> {
    let quoted = |quote| name.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    match (quoted('`'), quoted('"')) {
        (Some(inner), _) if inner.contains('`') => Cow::Owned(inner.replace("``", "`")),
        (_, Some(inner)) if inner.contains('"') => Cow::Owned(inner.replace("\"\"", "\"")),
        (Some(inner), _) | (None, Some(inner)) => Cow::Borrowed(inner),
        (None, None) => Cow::Borrowed(name),
    }
}

/// Words of a statement, without comments and white space before them.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        self.skip_blank();
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
        let length = self.rest.iter().take_while(|byte| is_word(byte)).count();
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        // A statement that begins with a sign is something, but no keyword.
        (length > 0 || !rest.is_empty()).then_some(word)
    }

    fn starts_with(&mut self, keyword: &str) -> bool {
        let before = self.rest;
        let found = self.next().is_some_and(|word| word.eq_ignore_ascii_case(keyword.as_bytes()));
        if !found {
            self.rest = before;
        }
        found
    }

    /// Servers write comments before statements: `# Dummy event`, `/* generated by server */`.
    fn skip_blank(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            let comment = match self.rest {
                // What stands in `/*!40000 … */` is done by the server.
                [b'/', b'*', b'!', ..] => {
                    let digits = self.rest.iter().skip(3).take_while(|b| b.is_ascii_digit());
                    3 + digits.count()
                }
                [b'/', b'*', ..] => end_of(self.rest, b"*/"),
                [b'#', ..] => end_of(self.rest, b"\n"),
                [b'-', b'-', b' ' | b'\t' | b'\n', ..] => end_of(self.rest, b"\n"),
                _ => return,
            };
            self.rest = self.rest.get(comment..).unwrap_or_default();
        }
    }

    /// Servers write the name in a form of their own, always the same: `X'7831',X'',1`
    /// (`XID::serialize`).
    fn xa(&mut self) -> Statement<'a> {
        let verb = self.next().unwrap_or_default();
        let is = |keyword: &str| verb.eq_ignore_ascii_case(keyword.as_bytes());
        let name = std::str::from_utf8(self.rest).unwrap_or_default().trim();
        if is("START") || is("BEGIN") {
            Statement::XaStart(name)
        } else if is("END") {
            Statement::XaEnd
        } else if is("COMMIT") {
            let one_phase = name.rsplit_once(' ').filter(|(_, last)| *last == "PHASE");
            let name = one_phase.and_then(|(name, _)| name.rsplit_once(' '));
            Statement::XaCommit(name.map_or_else(|| self.name(), |(name, _)| name.trim()))
        } else if is("ROLLBACK") {
            Statement::XaRollback(name)
        } else {
            Statement::Ddl
        }
    }

    /// Where a single table is changed and nothing else is read, that table.
    fn row_statement(&mut self, statement: &'static str) -> Statement<'a> {
        const MODIFIERS: [&str; 5] =
            ["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE"];
        while MODIFIERS.iter().any(|modifier| self.starts_with(modifier)) {}
        let unknown = Statement::Rows { statement, target: None };
        let target = match statement {
            "INSERT" | "REPLACE" => {
                self.starts_with("INTO");
                self.target()
            }
            "UPDATE" => self.target().filter(|_| self.starts_with("SET")),
            "DELETE" if self.starts_with("FROM") => {
                let target = self.target();
                self.skip_blank();
                match (target, self.rest) {
                    (Some(target), [] | [b';']) => return Statement::Empty(target),
                    (target, _) => target.filter(|_| {
                        ["WHERE", "ORDER", "LIMIT"].iter().any(|word| self.starts_with(word))
                    }),
                }
            }
            _ => return unknown,
        };
        Statement::Rows { statement, target }
    }

    fn target(&mut self) -> Option<Target<'a>> {
        let first = self.identifier()?;
        self.skip_blank();
        let Some(rest) = self.rest.strip_prefix(b".") else {
            return Some(Target { database: None, table: first });
        };
        self.rest = rest;
        Some(Target { database: Some(first), table: self.identifier()? })
    }

    /// With its quotes.
    fn identifier(&mut self) -> Option<&'a str> {
        self.skip_blank();
        let length = match self.rest {
            [quote @ (b'`' | b'"'), rest @ ..] => {
                let mut length = 1;
                let mut bytes = rest.iter();
                // A doubled quote is one in the name.
                loop {
                    length += 1;
                    if bytes.next()? == quote {
                        if bytes.as_slice().first() != Some(quote) {
                            break length;
                        }
                        bytes.next();
                        length += 1;
                    }
                }
            }
            rest => {
                let is_name =
                    |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'_' | b'$' | 0x80..);
                rest.iter().take_while(is_name).count()
            }
        };
        let (name, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(name).ok().filter(|name| !name.is_empty())
    }

    fn name(&self) -> &'a str {
        std::str::from_utf8(self.rest).unwrap_or_default().trim()
    }
}

fn end_of(bytes: &[u8], mark: &[u8]) -> usize {
    let at = bytes.windows(mark.len()).position(|window| window == mark);
    at.map_or(bytes.len(), |at| at + mark.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_known_by_their_first_words() {
        use Statement::*;
        let rows = |statement, target: Option<(Option<&'static str>, &'static str)>| Rows {
            statement,
            target: target.map(|(database, table)| Target { database, table }),
        };
        let empty = |database, table| Empty(Target { database, table });
        for (text, expected) in [
            ("BEGIN", Begin),
            ("begin /* x */", Begin),
            ("START TRANSACTION", Begin),
            ("COMMIT", Commit),
            ("ROLLBACK", Rollback),
            ("ROLLBACK /* generated by server */", Rollback),
            ("ROLLBACK TO `s`", RollbackTo),
            ("ROLLBACK WORK TO SAVEPOINT s", RollbackTo),
            ("SAVEPOINT `s`", Nothing),
            ("# Dummy event replacing event type 160 that slave cannot handle.", Nothing),
            ("", Nothing),
            ("XA START X'7831',X'',1", XaStart("X'7831',X'',1")),
            ("XA END X'7831',X'',1", XaEnd),
            ("XA COMMIT X'7831',X'',1", XaCommit("X'7831',X'',1")),
            ("XA COMMIT X'7831',X'',1 ONE PHASE", XaCommit("X'7831',X'',1")),
            ("xa rollback X'7831',X'',1 ", XaRollback("X'7831',X'',1")),
            ("insert into t values (1)", rows("INSERT", Some((None, "t")))),
            (
                "REPLACE INTO `a b`.`c``d` SELECT 1",
                rows("REPLACE", Some((Some("`a b`"), "`c``d`"))),
            ),
            ("/* app */ DELETE FROM t where 1", rows("DELETE", Some((None, "t")))),
            ("DELETE t FROM t JOIN u", rows("DELETE", None)),
            ("/*!40000 UPDATE t SET a = 1 */", rows("UPDATE", Some((None, "t")))),
            ("UPDATE t, u SET a = 1", rows("UPDATE", None)),
            ("LOAD DATA INFILE 'x'", rows("LOAD", None)),
            ("DELETE FROM `d`.`t` /* generated by server */", empty(Some("`d`"), "`t`")),
            ("truncate t", empty(None, "t")),
            ("TRUNCATE TABLE `d`.`t`", empty(Some("`d`"), "`t`")),
            ("CREATE TABLE `t` (\n  `a` int\n) START TRANSACTION", DdlThenRows),
            ("create table t(a int)", Ddl),
            ("-- x\nALTER TABLE t ADD b int", Ddl),
            ("(select 1)", Ddl),
        ] {
            assert_eq!(Statement::of(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn names_lose_their_quotes() {
        let names = |database, table| Target { database, table }.names("now");
        assert_eq!(names(None, "t"), ("now".into(), "t".into()));
        assert_eq!(names(Some("`a b`"), "`c``d`"), ("a b".into(), "c`d".into()));
        assert_eq!(names(Some("\"a\""), "\"b\"\"c\""), ("a".into(), "b\"c".into()));
    }
}
