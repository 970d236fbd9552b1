//! Who is told of the statements that may change tables.

use crate::sources::mysql::source_block::Place;
use crate::sources::{BoxError, ChangeHandler};

/// A statement of the log that is neither transaction control nor a row change.
#[derive(Clone, Copy, Debug)]
pub struct Ddl<'a> {
    /// The default database of the connection; empty for none.
    pub database: &'a str,
    /// As it was written, in the character set of `collation`.
    pub text: &'a [u8],
    /// `character_set_client`, as the number of a collation.
    pub collation: Option<u16>,
    pub place: Place<'a>,
    /// Its transaction, for an event id.
    pub transaction: &'a str,
}

/// Follows the statements, in the order of the log: a schema history, a topic of schema changes.
pub trait SchemaLog: Send {
    /// # Errors
    /// When the statement must be understood and is not.
    fn ddl(&mut self, ddl: &Ddl<'_>, out: &mut dyn ChangeHandler) -> Result<(), BoxError>;
}

/// Follows none: the log itself says what tables look like (`binlog_row_metadata=FULL`).
#[derive(Debug, Default)]
pub struct NoSchemaLog;

impl SchemaLog for NoSchemaLog {
    fn ddl(&mut self, _: &Ddl<'_>, _: &mut dyn ChangeHandler) -> Result<(), BoxError> {
        Ok(())
    }
}
