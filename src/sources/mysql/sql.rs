//! SQL text: quoting, and the rows of the text protocol.

use super::error::SourceError;
use super::wire::{Fields, WireError};

/// One row; every value is the server's text form, `None` is NULL.
pub type Row = Vec<Option<String>>;

/// `` `weird ``name` ``. Always quoted: no list of key words to keep up with.
#[must_use]
pub fn quote_ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A literal for our sessions, whose `sql_mode` is empty: a backslash escapes.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[must_use]
pub fn quote_table(database: &str, table: &str) -> String {
    format!("{}.{}", quote_ident(database), quote_ident(table))
}

/// The values of one row that [`super::connection::MyConnection::read_rows`] gave, borrowed from
/// it; `None` is NULL.
pub fn values(row: &[u8]) -> impl Iterator<Item = Result<Option<&[u8]>, WireError>> {
    let mut fields = Fields::new("a row", row);
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || fields.rest().is_empty() {
            return None;
        }
        let value = fields.value();
        failed = value.is_err();
        Some(value)
    })
}

/// Takes the columns of one row in their order.
pub struct Columns<'a> {
    endpoint: &'a str,
    row: std::vec::IntoIter<Option<String>>,
}

impl<'a> Columns<'a> {
    #[must_use]
    pub fn new(endpoint: &'a str, row: Row) -> Self {
        Self { endpoint, row: row.into_iter() }
    }

    /// # Errors
    /// When there is no further column.
    pub fn optional(&mut self) -> Result<Option<String>, SourceError> {
        self.row.next().ok_or_else(|| self.error("a row is shorter than its query".to_owned()))
    }

    /// # Errors
    /// When there is no further column, or it is NULL.
    pub fn text(&mut self) -> Result<String, SourceError> {
        self.optional()?.ok_or_else(|| self.error("a column is unexpectedly NULL".to_owned()))
    }

    /// # Errors
    /// When there is no further column, or it is not a `T`.
    pub fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, SourceError> {
        let text = self.text()?;
        text.parse().map_err(|_| {
            self.error(format!("a column holds `{text}`, not a {}", std::any::type_name::<T>()))
        })
    }

    fn error(&self, detail: String) -> SourceError {
        SourceError::Protocol { endpoint: self.endpoint.to_owned(), detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted_whatever_they_hold() {
        for (name, quoted) in [
            ("t", "`t`"),
            ("Order", "`Order`"),
            ("a`b", "`a``b`"),
            ("`; DROP TABLE x; --", "```; DROP TABLE x; --`"),
            ("naïve \\ %s", "`naïve \\ %s`"),
        ] {
            assert_eq!(quote_ident(name), quoted);
        }
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        for (text, quoted) in
            [("x", "'x'"), ("it's", "'it''s'"), ("a\\b", "'a\\\\b'"), ("\\'", "'\\\\'''")]
        {
            assert_eq!(quote_literal(text), quoted);
        }
    }

    #[test]
    fn values_are_borrowed_from_their_row() {
        let read: Result<Vec<_>, _> = values(b"\xFB\0\x02hi").collect();
        assert_eq!(read.unwrap(), [None, Some(&b""[..]), Some(&b"hi"[..])]);
        let read: Vec<_> = values(b"\x01a\x09bc").collect();
        assert_eq!(read.len(), 2);
        assert!(read[1].is_err());
    }

    #[test]
    fn a_null_or_a_foreign_value_is_an_error_and_not_a_default() {
        let mut row = Columns::new("here", vec![None, Some("x".into())]);
        assert!(row.text().is_err());
        assert!(row.parsed::<u32>().is_err());
        assert!(row.optional().is_err());
    }
}
