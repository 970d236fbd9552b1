//! What can go wrong between the bytes of a binlog and changes.

use crate::disposition::{Diagnose, Disposition};
use crate::sources::mysql::binlog::ParseError;
use crate::sources::mysql::charset::NotText;

/// One value that is not what its type says. Never carries the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("read the value as text in the column's character set")]
    NotText,
    #[error("read the value as {0}")]
    Malformed(&'static str),
    #[error("find label {0} of the column")]
    NoLabel(u64),
    #[error("read a JSON document that is nested deeper than {0}")]
    JsonDepth(usize),
    #[error("apply a change to a JSON document: {0}")]
    JsonDiff(&'static str),
}

impl From<NotText> for ValueError {
    fn from(_: NotText) -> Self {
        Self::NotText
    }
}

/// One row that cannot be decoded: the dead-letter policy decides.
#[derive(Debug, thiserror::Error)]
#[error("convert column {column} of {table}")]
pub struct RowError {
    pub table: String,
    pub column: String,
    pub source: ValueError,
}

impl Diagnose for RowError {
    fn disposition(&self) -> Disposition {
        Disposition::DeadLetter
    }

    fn hint(&self) -> Option<String> {
        Some(format!(
            "look at the value with SELECT HEX(`{}`) FROM {}; to go on without the row, set dead_letter.conversion: dead_letter",
            self.column, self.table
        ))
    }
}

/// Where an event stands: the end of what was read before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    pub file: String,
    pub offset: u64,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// The log contradicts itself, has a gap, or says what is not understood: nothing after it can be
/// trusted.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("read the binlog at {at}")]
    Parse { at: At, source: ParseError },
    #[error("read the binlog at {at}: event type {kind} is unknown and may not be passed over")]
    UnknownEvent { at: At, kind: u8 },
    #[error("read the binlog at {at}: the event has {found} bytes, its header says {expected}")]
    Length { at: At, expected: u32, found: usize },
    #[error("follow the binlog at {at}: {found} {place}")]
    Order { at: At, found: &'static str, place: &'static str },
    #[error("resume the binlog at {at}: it is not the one that was read before, but begun anew")]
    BegunAnew { at: At },
    #[error("follow the binlog at {at}: the server says that events were lost there ({message})")]
    Incident { at: At, message: String },
    #[error("read the binlog at {at}: it is encrypted for its readers")]
    Encrypted { at: At },
    #[error("decode rows at {at}: table number {id} was not described")]
    UnknownTable { at: At, id: u64 },
    #[error("decode rows of {table} at {at}")]
    Rows { at: At, table: String, source: ParseError },
    #[error("decode rows of {table} at {at}: they have {found} columns, the table {expected}")]
    ColumnCount { at: At, table: String, expected: usize, found: usize },
    #[error("describe column {column} of {table}: {what}")]
    Column { table: String, column: String, what: &'static str },
    /// Of the table also its bare name, `database.table`.
    #[error("read rows of {table} at {at}: what is known of the table is wrong: {what}")]
    Contradicted { at: At, table: String, name: String, what: String },
    #[error(
        "read rows of {table} at {at}: the log does not name their columns, and what the catalogue says of the table may be newer: {why}"
    )]
    Undefined { at: At, table: String, why: String },
    #[error("follow the binlog at {at}: {statement} changes rows as a statement, not as rows")]
    StatementLogged { at: At, statement: &'static str },
    #[error("follow the binlog at {at}: rows that were handed on are rolled back by {statement}")]
    RolledBack { at: At, statement: &'static str },
    #[error(
        "keep the prepared XA transaction {xid}: all of them together have more than {limit} bytes"
    )]
    PreparedTooLarge { xid: String, limit: usize },
    #[error(
        "decide the XA transaction {xid} at {at}: its rows were prepared before the log that was read"
    )]
    UnknownXa { at: At, xid: String },
    #[error("decode a snapshot batch: {0}")]
    Snapshot(&'static str),
}

impl From<DecodeError> for crate::sources::BoxError {
    fn from(error: DecodeError) -> Self {
        Box::new(error)
    }
}

impl Diagnose for DecodeError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Parse { .. }
            | Self::UnknownEvent { .. }
            | Self::Length { .. }
            | Self::Order { .. }
            | Self::BegunAnew { .. }
            | Self::Incident { .. }
            | Self::Encrypted { .. }
            | Self::UnknownTable { .. }
            | Self::Rows { .. }
            | Self::ColumnCount { .. }
            | Self::Column { .. }
            | Self::Contradicted { .. }
            | Self::Undefined { .. }
            | Self::StatementLogged { .. }
            | Self::RolledBack { .. }
            | Self::PreparedTooLarge { .. }
            | Self::UnknownXa { .. }
            | Self::Snapshot(_) => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Incident { .. } => "the changes that the server lost are nowhere in its log: run `tailwater offsets reset` and let the pipeline take a new snapshot".to_owned(),
            Self::BegunAnew { .. } => "the log was thrown away (RESET BINARY LOGS AND GTIDS, RESET MASTER) or the server restored from a backup, and its numbers began again: run `tailwater offsets reset` and let the pipeline take a new snapshot".to_owned(),
            Self::Encrypted { .. } => "the server sends decrypted events to a reader that it knows; read from the server itself, not from a copy of its files".to_owned(),
            Self::StatementLogged { .. } => "SET GLOBAL binlog_format = 'ROW', and find the session or replica that sets another format; what this statement changed is not in the log as rows, so take a new snapshot: `tailwater offsets reset`".to_owned(),
            Self::RolledBack { .. } => "a transaction mixed tables with and without transactions, and was rolled back; take a new snapshot of its tables: `tailwater offsets reset`".to_owned(),
            Self::PreparedTooLarge { .. } => "XA RECOVER on the server lists prepared transactions; commit or roll back those that were left behind".to_owned(),
            Self::UnknownXa { .. } => "the transaction was prepared before the snapshot's position and decided after it; take a new snapshot: `tailwater offsets reset`. One that may see prepared transactions waits for them: GRANT XA_RECOVER_ADMIN ON *.* TO this user; (MySQL)".to_owned(),
            Self::Column { table, .. } => format!("SET PERSIST binlog_row_metadata = FULL on the server, so that its log says how {table} is stored"),
            Self::Contradicted { table, name, .. } => format!("{table} was altered without the log (SET sql_log_bin = 0, or on this server alone): run `tailwater offsets reset` and let the pipeline take a new snapshot, or `tailwater offsets forget --table '{name}'`, after which its rows are read by what the catalogue says now, where the log shows no statement about it since; with `SET GLOBAL binlog_row_metadata = FULL;` the log names the columns itself"),
            Self::Undefined { .. } => "run `tailwater offsets reset` and let the pipeline take a new snapshot; to be independent of statements, have the log name the columns itself: `SET GLOBAL binlog_row_metadata = FULL;` (MySQL: SET PERSIST)".to_owned(),
            Self::UnknownEvent { .. } => "the server is newer than this version of tailwater, or a feature is on that it does not know; nothing after this place was published".to_owned(),
            Self::Parse { source: ParseError::TooLarge { found, .. }, .. } => format!("raise `message_bytes_max` of the source to {found} or more: so much memory is taken while the event is read; nothing after this place was published"),
            Self::Parse { .. }
            | Self::Length { .. }
            | Self::Order { .. }
            | Self::UnknownTable { .. }
            | Self::Rows { .. }
            | Self::ColumnCount { .. }
            | Self::Snapshot(_) => "nothing after this place was published; check the place with mysqlbinlog --verify-binlog-checksum; if it is sound there, please report this with the server's version".to_owned(),
        })
    }
}
