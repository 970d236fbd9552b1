//! A statement in words. What the servers themselves read of comments is read here too.

use super::Dialect;
use crate::sources::mysql::settings::Flavor;

/// A word of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// A key word, or a name without quotes.
    Word(&'t str),
    /// A name in quotes.
    Name(String),
    Text(String),
    Number(&'t str),
    /// The digits of `b'101'`.
    Bits(&'t str),
    /// The digits of `x'4D'`.
    Hex(&'t str),
    Sign(char),
}

/// What of `sql_mode` decides how a statement is read (manual, "Server SQL Modes").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqlMode(pub u64);

impl SqlMode {
    const REAL_AS_FLOAT: u64 = 1;
    const ANSI_QUOTES: u64 = 4;
    /// MariaDB's, with a grammar of its own. MySQL has given the bit to nothing.
    const ORACLE: u64 = 1 << 9;
    const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;

    fn has(self, mode: u64) -> bool {
        self.0 & mode != 0
    }

    pub(super) fn real_is_float(self) -> bool {
        self.has(Self::REAL_AS_FLOAT)
    }

    pub(super) fn is_oracle(self, flavor: Flavor) -> bool {
        flavor == Flavor::Mariadb && self.has(Self::ORACLE)
    }
}

/// The words of a statement; `None` where it ends within one.
pub(super) fn tokens(text: &str, dialect: Dialect) -> Option<Vec<Token<'_>>> {
    let Dialect { flavor, mode, .. } = dialect;
    let mut lexer = Lexer { rest: text, flavor, mode, tokens: Vec::new(), conditional: 0 };
    while lexer.step()? {}
    Some(lexer.tokens)
}

struct Lexer<'t> {
    rest: &'t str,
    flavor: Flavor,
    mode: SqlMode,
    tokens: Vec<Token<'t>>,
    /// Comments around us whose text counts.
    conditional: u32,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

impl<'t> Lexer<'t> {
    fn take(&mut self, n_bytes: usize) -> Option<&'t str> {
        let (taken, rest) = self.rest.split_at_checked(n_bytes)?;
        self.rest = rest;
        Some(taken)
    }

    /// Takes one word; `Some(false)` at the end.
    fn step(&mut self) -> Option<bool> {
        let before = self.rest.len();
        self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
        let apart = self.rest.len() < before || !self.after_name();
        let Some(first) = self.rest.chars().next() else { return Some(false) };
        let is = |prefix: &str| self.rest.starts_with(prefix);
        let token = match first {
            '/' if is("/*") => return self.comment(),
            '*' if is("*/") && self.conditional > 0 => {
                self.conditional -= 1;
                self.take(2)?;
                return Some(true);
            }
            '#' => return self.line(),
            '-' if is("--") && self.rest.get(2..3).is_none_or(|c| c.trim().is_empty()) => {
                return self.line();
            }
            '`' => Token::Name(self.quoted('`', false)?),
            '"' if self.mode.has(SqlMode::ANSI_QUOTES) => Token::Name(self.quoted('"', false)?),
            '\'' | '"' => self.text(first)?,
            '.' if self.rest.get(1..2).is_some_and(|c| c.as_bytes()[0].is_ascii_digit())
                && apart =>
            {
                self.number()?
            }
            c if is_word(c) => self.word()?,
            c => {
                self.take(c.len_utf8())?;
                Token::Sign(c)
            }
        };
        self.tokens.push(token);
        Some(true)
    }

    fn after_name(&self) -> bool {
        matches!(self.tokens.last(), Some(Token::Word(_) | Token::Name(_)))
    }

    fn line(&mut self) -> Option<bool> {
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        self.take(end)?;
        Some(true)
    }

    /// `/*!50100 … */` is no comment to a server of that version or newer; `/*M! … */` is none to
    /// MariaDB, which in turn leaves out what is meant for MySQL 5.7 and newer
    /// (<https://mariadb.com/kb/en/comment-syntax/>).
    fn comment(&mut self) -> Option<bool> {
        let head = match (self.rest, self.flavor) {
            (text, Flavor::Mariadb) if text.starts_with("/*M!") => 4,
            (text, _) if text.starts_with("/*!") => 3,
            _ => 0,
        };
        if head > 0 {
            let digits = self.rest.bytes().skip(head).take_while(u8::is_ascii_digit).count();
            let version: u32 = self.rest.get(head..head + digits)?.parse().unwrap_or(0);
            let for_mysql = self.flavor == Flavor::Mariadb && (50_700..=99_999).contains(&version);
            if !for_mysql || head == 4 {
                self.take(head + digits)?;
                self.conditional += 1;
                return Some(true);
            }
        }
        let end = self.rest.find("*/")? + 2;
        self.take(end)?;
        Some(true)
    }

    /// Text up to the closing quote; a doubled quote is one.
    fn quoted(&mut self, quote: char, escapes: bool) -> Option<String> {
        let mut out = String::new();
        let mut characters = self.rest.chars();
        characters.next();
        loop {
            match characters.next()? {
                c if c == quote => {
                    let mut ahead = characters.clone();
                    if ahead.next() != Some(quote) {
                        break;
                    }
                    characters = ahead;
                    out.push(quote);
                }
                '\\' if escapes => unescape(characters.next()?, &mut out),
                c => out.push(c),
            }
        }
        self.rest = characters.as_str();
        Some(out)
    }

    /// Texts side by side are one.
    fn text(&mut self, quote: char) -> Option<Token<'t>> {
        let escapes = !self.mode.has(SqlMode::NO_BACKSLASH_ESCAPES);
        let text = self.quoted(quote, escapes)?;
        if let Some(Token::Text(before)) = self.tokens.last_mut() {
            let joined = std::mem::take(before) + &text;
            self.tokens.pop();
            return Some(Token::Text(joined));
        }
        Some(Token::Text(text))
    }

    fn word(&mut self) -> Option<Token<'t>> {
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) && !self.after_dot() {
            return self.number();
        }
        let length = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let word = self.take(length)?;
        if self.rest.starts_with('\'') && word.len() == 1 {
            return self.prefixed(word);
        }
        Some(Token::Word(word))
    }

    fn after_dot(&self) -> bool {
        matches!(self.tokens.last(), Some(Token::Sign('.')))
    }

    /// `b'101'`, `x'4D'`, `n'text'`.
    fn prefixed(&mut self, prefix: &str) -> Option<Token<'t>> {
        if prefix.eq_ignore_ascii_case("n") {
            return self.text('\'');
        }
        self.take(1)?;
        let end = self.rest.find('\'')?;
        let digits = self.take(end)?;
        self.take(1)?;
        match prefix {
            "b" | "B" => Some(Token::Bits(digits)),
            "x" | "X" => Some(Token::Hex(digits)),
            _ => None,
        }
    }

    /// A number, or a name that begins with digits.
    fn number(&mut self) -> Option<Token<'t>> {
        let length = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let word = self.rest.get(..length)?;
        if let Some(digits) = word.strip_prefix("0x") {
            self.take(length)?;
            return Some(Token::Hex(digits));
        }
        if let Some(digits) = word.strip_prefix("0b") {
            self.take(length)?;
            return Some(Token::Bits(digits));
        }
        let mut end = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if self.rest.get(end..)?.starts_with('.') {
            end += 1;
            end += self.rest.bytes().skip(end).take_while(u8::is_ascii_digit).count();
        }
        if self.rest.get(end..)?.starts_with(['e', 'E']) {
            let sign = usize::from(self.rest.get(end + 1..)?.starts_with(['+', '-']));
            let digits = self.rest.bytes().skip(end + 1 + sign).take_while(u8::is_ascii_digit);
            let digits = digits.count();
            if digits > 0 {
                end += 1 + sign + digits;
            }
        }
        if end < length {
            return self.take(length).map(Token::Word);
        }
        self.take(end).map(Token::Number)
    }
}

/// Manual, "String Literals". `\%` and `\_` keep their backslash.
fn unescape(escaped: char, out: &mut String) {
    match escaped {
        '0' => out.push('\0'),
        'b' => out.push('\u{8}'),
        'n' => out.push('\n'),
        'r' => out.push('\r'),
        't' => out.push('\t'),
        'Z' => out.push('\u{1a}'),
        '%' | '_' => out.extend(['\\', escaped]),
        other => out.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, flavor: Flavor) -> String {
        let tokens = tokens(text, Dialect::of(flavor)).unwrap();
        let tokens = tokens.iter().map(|token| match token {
            Token::Word(word) => (*word).to_owned(),
            Token::Name(name) => format!("`{name}`"),
            Token::Text(text) => format!("'{text}'"),
            Token::Number(number) => format!("#{number}"),
            Token::Bits(digits) => format!("b{digits}"),
            Token::Hex(digits) => format!("x{digits}"),
            Token::Sign(sign) => sign.to_string(),
        });
        tokens.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn statements_fall_into_words() {
        let check = |text: &str, expected: &str| {
            assert_eq!(words(text, Flavor::Mysql), expected);
            assert_eq!(words(text, Flavor::Mariadb), expected);
        };
        check("alter table `a``b`.1st add x int", "alter table `a`b` . 1st add x int");
        check("a int default -1.5e3, b .5", "a int default - #1.5e3 , b #.5");
        check("'it''s' 'one' \"two\\n\"", "'it'sonetwo\n'");
        check("b'101' x'4D' 0x4D 0b1 N'ü'", "b101 x4D x4D b1 'ü'");
        check("a -- rest\n# rest\nb /* c */ d--1", "a b d - - #1");
        check("sélect_1 1st 1e", "sélect_1 1st 1e");
        check("db.t.`c`", "db . t . `c`");
    }

    #[test]
    fn comments_that_are_none_are_read() {
        assert_eq!(words("a /*!80023 INVISIBLE */, b", Flavor::Mysql), "a INVISIBLE , b");
        assert_eq!(words("a /*!80023 INVISIBLE */, b", Flavor::Mariadb), "a , b");
        assert_eq!(words("a /*M!100301 COMPRESSED*/ b", Flavor::Mariadb), "a COMPRESSED b");
        assert_eq!(words("a /*M!100301 COMPRESSED*/ b", Flavor::Mysql), "a b");
        assert_eq!(words("/*!40000 a */ b", Flavor::Mariadb), "a b");
    }

    #[test]
    fn modes_change_what_quotes_mean() {
        let mode = SqlMode(SqlMode::ANSI_QUOTES | SqlMode::NO_BACKSLASH_ESCAPES);
        let dialect = Dialect { mode, ..Dialect::of(Flavor::Mysql) };
        let found = tokens(r#""a""b" 'c\'"#, dialect).unwrap();
        assert_eq!(found, [Token::Name("a\"b".to_owned()), Token::Text("c\\".to_owned())]);
    }

    #[test]
    fn what_does_not_end_is_refused() {
        for text in ["'a", "`a", "/* a", "x'4", "'a\\"] {
            assert_eq!(tokens(text, Dialect::of(Flavor::Mysql)), None, "{text}");
        }
    }
}
