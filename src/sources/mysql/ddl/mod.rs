//! Statements that define tables, read.
//!
//! With `binlog_row_metadata=FULL` the log itself names the columns of every row. Without it a
//! table map has types only, and the names must come from the definition that was in force when
//! the row was written. The catalogue knows the present one alone, so the statements in the log are
//! followed from the snapshot's moment on.
//!
//! The parser is our own, because it has to be strict rather than complete. Of the parsers that
//! others keep, `sqlparser` knows many dialects and accepts more than a server does, or less, with
//! every version; what it lets pass in silence (a clause that it reads as another one) would give a
//! row wrong names. Here every word is accounted for: CREATE, ALTER, RENAME and DROP TABLE, indexes,
//! and databases with their character sets, in the grammars of MySQL 8.0-9.x and MariaDB 10.6-11.x;
//! anything else is *not understood*, and is taken to be about every table that has a name among
//! its words. Debezium's topic of schema changes has what was written and not what it came to (`BOOLEAN`,
//! not `tinyint(1)`), which only a reader of statements can tell.
//!
//! What is not understood is never guessed: the table counts as unknown, and when its next rows come
//! the catalogue is asked, with a proof from the log that nothing changed the table since
//! ([`crate::sources::mysql::schemas`]). And whatever is believed must agree with each table map.

mod alter;
mod apply;
mod column;
mod cursor;
mod definition;
mod model;
mod statement;
mod table;
mod target;
mod tokens;
mod types;

pub use model::{ColumnModel, Index, IndexKind, Origin, TableModel};
pub use statement::{AlterTable, CreateTable, DatabaseCharset, Ddl};
pub use target::{Target, Words};
pub use tokens::SqlMode;
pub use types::DataType;

pub(crate) use types::Storage;

use crate::sources::mysql::settings::Flavor;

/// `[database.]table`, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub database: Option<String>,
    pub table: String,
}

/// Whose grammar a statement has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    pub flavor: Flavor,
    pub mode: SqlMode,
    /// `explicit_defaults_for_timestamp`: a TIMESTAMP may be null unless it says otherwise.
    pub explicit_timestamps: bool,
}

impl Dialect {
    #[must_use]
    pub fn of(flavor: Flavor) -> Self {
        Self { flavor, mode: SqlMode::default(), explicit_timestamps: true }
    }
}

#[cfg(test)]
mod tests;
