//! `Query_event`: a statement as text. In a row-based log these are transaction control and DDL.

use super::parse_error::ParseError;
use super::reader::{Reader, Short};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The connection that ran it.
    pub thread_id: u32,
    /// The default database; empty for none.
    pub database: &'a str,
    /// In the character set of [`Self::client_collation`].
    pub text: &'a [u8],
    /// `character_set_client` at the time, as the number of a collation.
    pub client_collation: Option<u16>,
    /// `collation_server` of the session.
    pub server_collation: Option<u16>,
    pub sql_mode: u64,
}

impl<'a> Query<'a> {
    /// # Errors
    /// When the bytes are no query event.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let thread_id = reader.u32()?;
        let _seconds = reader.u32()?;
        let database_bytes = reader.u8()?;
        let _error_code = reader.u16()?;
        let variables_bytes = reader.u16()?;
        let variables = reader.take(usize::from(variables_bytes))?;
        let database = reader.take(usize::from(database_bytes))?;
        let database = std::str::from_utf8(database).map_err(|_| ParseError::NotUtf8)?;
        if reader.u8()? != 0 {
            return Err(ParseError::Malformed("a query event whose database does not end"));
        }
        let mut query = Self {
            thread_id,
            database,
            text: reader.rest(),
            client_collation: None,
            server_collation: None,
            sql_mode: 0,
        };
        query.read_variables(Reader::new(variables))?;
        Ok(query)
    }

    /// `Query_event_status_vars` in MySQL's `statement_events.h`, MariaDB's `sql/log_event.h`.
    /// Servers write what is looked for among the first, so a variable that is not known here ends
    /// the search and nothing else.
    fn read_variables(&mut self, mut variables: Reader<'_>) -> Result<(), Short> {
        const FLAGS2: u8 = 0;
        const SQL_MODE: u8 = 1;
        const AUTO_INCREMENT: u8 = 3;
        const CHARSET: u8 = 4;
        const TIME_ZONE: u8 = 5;
        const CATALOG_NZ: u8 = 6;
        while !variables.is_empty() {
            match variables.u8()? {
                FLAGS2 | AUTO_INCREMENT => _ = variables.u32()?,
                SQL_MODE => self.sql_mode = variables.u64()?,
                TIME_ZONE | CATALOG_NZ => _ = variables.short_bytes()?,
                CHARSET => {
                    self.client_collation = Some(variables.u16()?);
                    // Of the connection.
                    variables.u16()?;
                    self.server_collation = Some(variables.u16()?);
                    break;
                }
                _ => break,
            }
        }
        Ok(())
    }
}
