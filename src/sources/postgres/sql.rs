//! SQL text: quoting, and the rows of the simple query protocol.

use super::error::SourceError;

/// One row; every value is the server's text form, `None` is NULL.
pub type Row = Vec<Option<String>>;

/// `"weird ""name"`. Always quoted: no list of key words to keep up with.
#[must_use]
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A literal that is right whatever `standard_conforming_strings` says.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[must_use]
pub fn quote_table(schema: &str, table: &str) -> String {
    format!("{}.{}", quote_ident(schema), quote_ident(table))
}

/// `'{1,2,3}'::oid[]`
#[must_use]
pub fn oid_array(oids: &[u32]) -> String {
    let numbers: Vec<String> = oids.iter().map(u32::to_string).collect();
    format!("'{{{}}}'::pg_catalog.oid[]", numbers.join(","))
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

    /// # Errors
    /// When there is no further column, or it is not a boolean.
    pub fn boolean(&mut self) -> Result<bool, SourceError> {
        match self.text()?.as_str() {
            "t" => Ok(true),
            "f" => Ok(false),
            other => Err(self.error(format!("a column holds `{other}`, not a boolean"))),
        }
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
            ("t", "\"t\""),
            ("Order", "\"Order\""),
            ("a\"b", "\"a\"\"b\""),
            ("\"; DROP TABLE x; --", "\"\"\"; DROP TABLE x; --\""),
            ("naïve \\ %s", "\"naïve \\ %s\""),
        ] {
            assert_eq!(quote_ident(name), quoted);
        }
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        for (text, quoted) in
            [("x", "'x'"), ("it's", "'it''s'"), ("a\\b", "E'a\\\\b'"), ("\\'", "E'\\\\'''")]
        {
            assert_eq!(quote_literal(text), quoted);
        }
    }

    #[test]
    fn a_null_or_a_foreign_value_is_an_error_and_not_a_default() {
        let mut row = Columns::new("here", vec![None, Some("x".into()), Some("t".into())]);
        assert!(row.text().is_err());
        assert!(row.parsed::<u32>().is_err());
        assert!(row.boolean().unwrap());
        assert!(row.optional().is_err());
    }
}
