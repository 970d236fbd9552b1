//! What can go wrong between wire bytes and changes.

use crate::config::UnmappedTypes;
use crate::disposition::{Diagnose, Disposition};
use crate::offsets::position::Lsn;
use crate::sources::postgres::pgoutput::ParseError;
use crate::sources::postgres::reader::Short;

/// One value that is not what its type says. Never carries the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("read the value as UTF-8")]
    NotUtf8,
    #[error("read the value as {0}")]
    Malformed(&'static str),
    #[error("fit the value into {0}")]
    OutOfRange(&'static str),
    #[error("read the value in binary form")]
    Short(#[from] Short),
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
            "look at the value with SELECT \"{}\" FROM {}; to go on without the row, set dead_letter.conversion: dead_letter",
            self.column, self.table
        ))
    }
}

/// The stream contradicts itself or what was asked for: nothing after it can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("read the replication stream at {lsn}")]
    Parse { lsn: Lsn, source: ParseError },
    #[error("read the snapshot of {table}")]
    Copy { table: String, source: CopyError },
    #[error("read a row of {table}")]
    Row { table: String, source: ParseError },
    #[error("follow the replication stream at {lsn}: {found} {place}")]
    Order { lsn: Lsn, found: &'static str, place: &'static str },
    #[error(
        "follow the replication stream: the commit at {found} does not close the transaction that began with {expected}"
    )]
    CommitMismatch { expected: Lsn, found: Lsn },
    #[error("move on to {to}: {from} was reached already")]
    Backwards { from: Lsn, to: Lsn },
    #[error("decode a change at {lsn}: relation {oid} was not described")]
    UnknownRelation { lsn: Lsn, oid: u32 },
    #[error("decode a row of {table}: it has {found} columns, its relation {expected}")]
    ColumnCount { table: String, expected: usize, found: usize },
    #[error("map column {column} of {table}: its type {type_name} has no mapping")]
    Unmapped { table: String, column: String, type_name: String },
    #[error("decode a snapshot batch: {0}")]
    Snapshot(&'static str),
}

/// A payload that is no binary COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    #[error("read COPY data that is too short")]
    Short(#[from] Short),
    #[error("read the COPY header: its signature is wrong")]
    Signature,
    #[error("read the COPY header: unknown critical flags {0:#x}")]
    Flags(u32),
    #[error("read a COPY row: negative count or length {0}")]
    Negative(i32),
    #[error("read COPY data: bytes follow its trailer")]
    Trailing,
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
            | Self::Copy { .. }
            | Self::Row { .. }
            | Self::Order { .. }
            | Self::CommitMismatch { .. }
            | Self::Backwards { .. }
            | Self::UnknownRelation { .. }
            | Self::ColumnCount { .. }
            | Self::Unmapped { .. }
            | Self::Snapshot(_) => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unmapped { column, table, .. } => Some(format!(
                "set source.postgres.unmapped_types: text (the server's text form) or skip (leave the column out), or take {column} out of the publication of {table}"
            )),
            Self::Parse { .. }
            | Self::Copy { .. }
            | Self::Row { .. }
            | Self::Order { .. }
            | Self::CommitMismatch { .. }
            | Self::Backwards { .. }
            | Self::UnknownRelation { .. }
            | Self::ColumnCount { .. }
            | Self::Snapshot(_) => Some(
                "nothing after this place was published; this is a defect of the server's output or of tailwater: please report it with the server's version".to_owned(),
            ),
        }
    }
}

/// What [`UnmappedTypes`] makes of a column, for the log.
pub(crate) fn unmapped_effect(policy: UnmappedTypes) -> &'static str {
    match policy {
        UnmappedTypes::Text => "published as the server's text",
        UnmappedTypes::Skip => "left out",
        UnmappedTypes::Fail => "refused",
    }
}
