//! Names and texts inside statements.

use std::fmt::Write as _;

/// A name in backquotes (<https://dev.mysql.com/doc/refman/8.4/en/identifiers.html>).
#[must_use]
pub fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text in hexadecimal, so that no `sql_mode` decides about its backslashes
/// (<https://dev.mysql.com/doc/refman/8.4/en/hexadecimal-literals.html>).
#[must_use]
pub fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() * 2 + 12);
    literal.push_str("_utf8mb4 X'");
    for byte in text.bytes() {
        write!(literal, "{byte:02X}").expect("a string takes everything");
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::{literal, name};

    #[test]
    fn names_and_texts_cannot_end_early() {
        assert_eq!(name("a`b"), "`a``b`");
        assert_eq!(literal("a'\\ü"), "_utf8mb4 X'61275CC3BC'");
        assert_eq!(literal(""), "_utf8mb4 X''");
    }
}
