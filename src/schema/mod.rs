//! What a table looks like, independent of the database that it came from.
//!
//! A [`Table`] is one *version* of a table: it never changes. A source makes a new one whenever
//! the log says that the shape changed, and every [`crate::change::Change`] points to the version
//! that was in force at its place in the log. Encoders compile one plan per version.

pub mod avro;
pub mod connect;
pub mod debezium;
pub mod definition;
pub mod history;
pub(crate) mod jackson;
pub mod json_schema;
pub mod names;
pub mod registry;
pub mod schema_change;
pub mod transaction;

use std::sync::Arc;

use crate::value::OwnedValue;

/// Number of a table version, dense from 0 within one process: an index into plan caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableVersion(pub u32);

/// One version of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub version: TableVersion,
    pub shape: Shape,
    /// The parts of the name below the topic prefix: `["public", "orders"]`, or `["message"]`.
    pub path: Vec<String>,
    /// In the order of the row images.
    pub columns: Vec<Column>,
    /// Indexes into `columns`, in the order of the key; empty for a table without key.
    pub key: Vec<usize>,
    /// The `source` block of this table's records.
    pub source: Arc<SourceLayout>,
}

/// Which envelope the changes of a table get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Rows: Debezium's `Envelope`.
    Rows,
    /// PostgreSQL's logical messages: Debezium's `MessageValue`, keyed by prefix. `columns` are
    /// `prefix` and `content`, and `after` holds them.
    Messages,
    /// MongoDB's documents: Debezium's envelope without a schema of rows. `columns` are the key as
    /// text, the document, and what an update did to it; both images hold all three.
    Documents,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub data_type: ColumnType,
    pub optional: bool,
    /// The default that goes into the schema; `None` where the column has none, or one that has no
    /// place in a schema.
    pub default: Option<OwnedValue>,
}

/// The normalised type of a column. What a type becomes in a record (its schema name, its unit)
/// is decided by [`debezium`] from the handling modes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Bool,
    Int16,
    Int32,
    Int64,
    /// An unsigned integer of 64 bits.
    UInt64,
    Float32,
    Float64,
    /// Fixed scale. The scale is as Debezium reads it from the type modifier.
    Decimal {
        precision: u32,
        scale: i32,
    },
    /// No declared scale: every value carries its own.
    VariableDecimal,
    /// Fixed scale without a declared precision (money).
    Money {
        scale: i32,
    },
    Text,
    Bytes,
    /// Bit strings longer than one; `length` is 2147483647 where unlimited.
    Bits {
        length: u32,
    },
    Json,
    Xml,
    Uuid,
    Ltree,
    TsVector,
    Hstore,
    /// One of the labels, which stand here as in Debezium's `allowed`.
    Enum {
        labels: Arc<[String]>,
    },
    /// Any of the labels, joined by commas.
    EnumSet {
        labels: Arc<[String]>,
    },
    Year,
    Date,
    /// `precision` is the number of fraction digits, 0 to 6.
    Time {
        precision: u8,
    },
    /// MySQL's TIME: longer than a day, and negative too.
    SignedTime {
        precision: u8,
    },
    TimeTz {
        precision: u8,
    },
    Timestamp {
        precision: u8,
    },
    TimestampTz {
        precision: u8,
    },
    Interval,
    Point,
    Geometry,
    /// Numbers of 32 bits, little-endian, one after the other.
    FloatVector,
    Array(Box<ColumnType>),
    /// A record of its own, each of whose fields may be null. What it is called is its place.
    Struct(Arc<[StructField]>),
    /// What an update did to a document.
    UpdateDescription,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructField {
    pub name: String,
    pub data_type: ColumnType,
}

/// The fields of a source's `source` block, in order, and where each value comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceLayout {
    /// Schema name: `io.debezium.connector.postgresql.Source`.
    pub name: String,
    pub fields: Vec<SourceField>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SourceField {
    pub name: &'static str,
    pub kind: SourceFieldKind,
    pub optional: bool,
    pub value: SourceFieldValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceFieldKind {
    Int32,
    Int64,
    String,
    /// The `snapshot` marker: `io.debezium.data.Enum` with its allowed values and default "false".
    Snapshot,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SourceFieldValue {
    /// The same for every record of this table version: folded into a run of bytes.
    Constant(OwnedValue),
    /// Index into [`crate::change::Change::source`].
    Slot(usize),
}
