//! The normalised change that every source speaks.

use std::sync::Arc;

use crate::offsets::position::Position;
use crate::schema::definition::TableChange;
use crate::schema::history::SchemaHistory;
use crate::schema::{SourceLayout, Table};
use crate::value::Value;

/// One row image, in the order of the table's columns.
pub type Row<'a> = &'a [Value<'a>];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `c`
    Create,
    /// `u`
    Update,
    /// `d`
    Delete,
    /// `r`: a row read by a snapshot.
    Read,
    /// `t`
    Truncate,
    /// `m`: a logical message.
    Message,
}

impl Op {
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Read => "r",
            Self::Truncate => "t",
            Self::Message => "m",
        }
    }
}

/// One row change, borrowed from the batch that is being worked on.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub table: &'a Arc<Table>,
    pub op: Op,
    /// The old row as far as the log has it: whole, or the key with everything else
    /// [`Value::Absent`], or nothing.
    pub before: Option<Before<'a>>,
    pub after: Option<Row<'a>>,
    /// Values of the `source` block's slots.
    pub source: &'a [Value<'a>],
    pub id: EventId<'a>,
    /// Its transaction, for the `transaction` block; `None` where Debezium knows of none: in
    /// snapshots, and in transactions whose begin it does not see.
    pub transaction: Option<TransactionName<'a>>,
    /// The wire bytes of the row, for a dead letter.
    pub raw: &'a [u8],
}

/// The old image of an update or delete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Before<'a> {
    /// Every column (replica identity full, a full row image).
    Whole(Row<'a>),
    /// The key columns; the others are [`Value::Absent`]. On an update it says that the key changed.
    Key(Row<'a>),
}

impl<'a> Before<'a> {
    #[must_use]
    pub fn row(self) -> Row<'a> {
        match self {
            Self::Whole(row) | Self::Key(row) => row,
        }
    }
}

/// Stable over replays: the same row change has the same id however often it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId<'a> {
    /// Source identity and place of the transaction, as text.
    pub transaction: &'a str,
    /// Counts every row change of the transaction before filters, from 0.
    pub ordinal: u64,
}

/// What Debezium calls a transaction. In parts, so that a source that nobody asks for it writes
/// no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionName<'a> {
    /// A GTID of MySQL or MariaDB.
    Gtid(&'a str),
    /// MySQL's where there are no GTIDs: `file=<file>,pos=<pos>`, where its BEGIN stands.
    Place { file: &'a str, pos: u64 },
    /// PostgreSQL's, `<xid>:<lsn>`: of the message at hand, and so another one for each row.
    XidAt { xid: u32, lsn: u64 },
    /// MongoDB's, `<lsid>:<txnNumber>`.
    Session { lsid: &'a str, number: i64 },
}

impl TransactionName<'_> {
    /// Puts the text in place of what `out` has.
    pub fn write(self, out: &mut String) {
        let mut digits = itoa::Buffer::new();
        out.clear();
        match self {
            Self::Gtid(gtid) => out.push_str(gtid),
            // `BinlogOffsetContext.NON_GTID_TRANSACTION_ID_FORMAT`
            Self::Place { file, pos } => {
                out.push_str("file=");
                out.push_str(file);
                out.push_str(",pos=");
                out.push_str(digits.format(pos));
            }
            // `PostgresTransactionMonitor.adjustTxId`
            Self::XidAt { xid, lsn } => {
                out.push_str(digits.format(xid));
                out.push(':');
                out.push_str(digits.format(lsn.cast_signed()));
            }
            // `MongoDbEventMetadataProvider.getTransactionId`
            Self::Session { lsid, number } => {
                out.push_str(lsid);
                out.push(':');
                out.push_str(digits.format(number));
            }
        }
    }
}

/// A transaction begins or ends, for the topic of transactions.
#[derive(Clone, Copy, Debug)]
pub struct TransactionEdge<'a> {
    pub edge: Edge,
    pub name: TransactionName<'a>,
    /// Milliseconds since 1970, by the source.
    pub ts_ms: i64,
    /// As in [`EventId`].
    pub id: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    Begin,
    End,
}

/// A statement that changed definitions.
#[derive(Clone, Copy, Debug)]
pub struct SchemaChange<'a> {
    pub layout: &'a Arc<SourceLayout>,
    /// Values of the `source` block's slots.
    pub source: &'a [Value<'a>],
    /// Empty for the server as a whole.
    pub database: &'a str,
    pub ddl: &'a str,
    pub tables: &'a [TableChange],
    pub id: EventId<'a>,
}

/// What a point between two changes stands for, and what tables look like there.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// The snapshot is complete; the stream starts at this position.
    SnapshotComplete(Position, SchemaHistory),
    /// Everything that committed at or before this position has been handed on.
    Stream(Position, SchemaHistory),
}

impl Progress {
    #[must_use]
    pub fn position(&self) -> &Position {
        match self {
            Self::SnapshotComplete(position, _) | Self::Stream(position, _) => position,
        }
    }

    #[must_use]
    pub fn schemas(&self) -> &SchemaHistory {
        match self {
            Self::SnapshotComplete(_, schemas) | Self::Stream(_, schemas) => schemas,
        }
    }
}
