//! Types: what a column's type becomes in a record.
//!
//! Two witnesses speak of a column. The table map (the log's *then*) has the type as it is stored,
//! with signedness and labels; the catalogue (*now*) has it as it was declared, which alone tells
//! `FLOAT(7,4)` from `FLOAT`, and MariaDB's `UUID` from `BINARY(16)`. [`MysqlType::refined_by`] puts
//! them together.
//!
//! Follows Debezium's mapping (`BinlogValueConverters`, `MySqlValueConverters`) in its default modes.

use std::sync::Arc;

use crate::schema::ColumnType;
use crate::sources::mysql::quoted;

/// A column's type, as far as it decides about values and schemas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MysqlType {
    /// TINYINT(1) where the operator wants it so: neither log nor catalogue knows the type.
    Boolean,
    TinyInt {
        unsigned: bool,
    },
    SmallInt {
        unsigned: bool,
    },
    MediumInt {
        unsigned: bool,
    },
    Int {
        unsigned: bool,
    },
    BigInt {
        unsigned: bool,
    },
    /// `fixed`: declared with digits, as in `FLOAT(7,4)`.
    Float {
        fixed: bool,
    },
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Bit {
        length: u8,
    },
    Year,
    Date,
    Time {
        digits: u8,
    },
    DateTime {
        digits: u8,
    },
    Timestamp {
        digits: u8,
    },
    /// CHAR, VARCHAR and the TEXTs, MariaDB's JSON among them.
    Text,
    /// BINARY: padded with zeros to its length, which the log leaves out.
    Binary {
        length: u16,
    },
    /// VARBINARY and the BLOBs.
    Bytes,
    Enum {
        labels: Arc<[String]>,
    },
    Set {
        labels: Arc<[String]>,
    },
    /// MySQL's: MariaDB's is an alias of LONGTEXT.
    Json,
    Point,
    Geometry,
    Vector,
    Uuid,
    Inet4,
    Inet6,
}

/// What a table map says of a column's type.
#[derive(Clone, Copy, Debug)]
pub struct WireType<'a> {
    /// `enum_field_types` (`field_types.h` of both servers).
    pub code: u8,
    /// The two bytes of metadata in the order of the log; zeros where the type has fewer.
    pub metadata: [u8; 2],
    pub unsigned: bool,
    /// The column's character set is `binary`.
    pub binary: bool,
    /// The geometry's kind (`Geometry::wkbType`): 1 is a point.
    pub geometry: Option<u32>,
    /// The members of an ENUM or SET.
    pub labels: &'a [&'a str],
}

/// Type codes of the binlog (`libs/mysql/binlog/event/...` of MySQL, `sql/log_event.cc` of MariaDB).
mod code {
    pub(super) const DECIMAL_OLD: u8 = 0;
    pub(super) const TINY: u8 = 1;
    pub(super) const SHORT: u8 = 2;
    pub(super) const LONG: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const LONGLONG: u8 = 8;
    pub(super) const INT24: u8 = 9;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const YEAR: u8 = 13;
    pub(super) const NEWDATE: u8 = 14;
    pub(super) const VARCHAR: u8 = 15;
    pub(super) const BIT: u8 = 16;
    pub(super) const TIMESTAMP2: u8 = 17;
    pub(super) const DATETIME2: u8 = 18;
    pub(super) const TIME2: u8 = 19;
    /// MariaDB's compressed columns.
    pub(super) const BLOB_COMPRESSED: u8 = 140;
    pub(super) const VARCHAR_COMPRESSED: u8 = 141;
    pub(super) const VECTOR: u8 = 242;
    pub(super) const JSON: u8 = 245;
    pub(super) const NEWDECIMAL: u8 = 246;
    pub(super) const ENUM: u8 = 247;
    pub(super) const SET: u8 = 248;
    pub(super) const TINY_BLOB: u8 = 249;
    pub(super) const BLOB: u8 = 252;
    pub(super) const VAR_STRING: u8 = 253;
    pub(super) const STRING: u8 = 254;
    pub(super) const GEOMETRY: u8 = 255;
}

/// `Geometry::wkb_point`
const WKB_POINT: u32 = 1;

impl MysqlType {
    /// Reads `information_schema.columns.column_type`; `None` for a type that is not known.
    #[must_use]
    pub fn declared(column_type: &str) -> Option<Self> {
        let n_name = column_type.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (name, rest) = column_type.split_at_checked(n_name)?;
        let unsigned = rest.split(' ').any(|word| word == "unsigned");
        let digits = || u8::try_from(arguments(rest).next().unwrap_or(0)).ok().filter(|&d| d <= 6);
        Some(match name {
            "tinyint" => Self::TinyInt { unsigned },
            "smallint" => Self::SmallInt { unsigned },
            "mediumint" => Self::MediumInt { unsigned },
            "int" => Self::Int { unsigned },
            "bigint" => Self::BigInt { unsigned },
            "float" => Self::Float { fixed: arguments(rest).count() == 2 },
            "double" => Self::Double,
            "decimal" => decimal(rest)?,
            "bit" => Self::Bit { length: u8::try_from(arguments(rest).next()?).ok()? },
            "year" => Self::Year,
            "date" => Self::Date,
            "time" => Self::Time { digits: digits()? },
            "datetime" => Self::DateTime { digits: digits()? },
            "timestamp" => Self::Timestamp { digits: digits()? },
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Self::Text,
            "binary" => Self::Binary { length: u16::try_from(arguments(rest).next()?).ok()? },
            "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Self::Bytes,
            "enum" => Self::Enum { labels: quoted::list(rest)?.into() },
            "set" => Self::Set { labels: quoted::list(rest)?.into() },
            "json" => Self::Json,
            "point" => Self::Point,
            "geometry" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geomcollection" | "geometrycollection" => Self::Geometry,
            "vector" => Self::Vector,
            "uuid" => Self::Uuid,
            "inet4" => Self::Inet4,
            "inet6" => Self::Inet6,
            _ => return None,
        })
    }

    /// Reads a table map; `None` for a code that is not known, or metadata that makes no sense.
    #[must_use]
    pub fn of_wire(wire: &WireType<'_>) -> Option<Self> {
        let unsigned = wire.unsigned;
        let [first, second] = wire.metadata;
        let digits = Some(first).filter(|&digits| digits <= 6);
        let labels = || wire.labels.iter().map(|label| (*label).to_owned()).collect();
        Some(match wire.code {
            code::TINY => Self::TinyInt { unsigned },
            code::SHORT => Self::SmallInt { unsigned },
            code::INT24 => Self::MediumInt { unsigned },
            code::LONG => Self::Int { unsigned },
            code::LONGLONG => Self::BigInt { unsigned },
            code::FLOAT => Self::Float { fixed: false },
            code::DOUBLE => Self::Double,
            code::NEWDECIMAL => Self::Decimal { precision: first, scale: second },
            // The number of bits beyond whole bytes, then the number of whole bytes.
            code::BIT => Self::Bit { length: second.checked_mul(8)?.checked_add(first)? },
            code::YEAR => Self::Year,
            code::DATE | code::NEWDATE => Self::Date,
            // The forms before MySQL 5.6 have no fraction.
            code::TIME => Self::Time { digits: 0 },
            code::DATETIME => Self::DateTime { digits: 0 },
            code::TIMESTAMP => Self::Timestamp { digits: 0 },
            code::TIME2 => Self::Time { digits: digits? },
            code::DATETIME2 => Self::DateTime { digits: digits? },
            code::TIMESTAMP2 => Self::Timestamp { digits: digits? },
            code::JSON => Self::Json,
            code::VECTOR => Self::Vector,
            code::GEOMETRY if wire.geometry == Some(WKB_POINT) => Self::Point,
            code::GEOMETRY => Self::Geometry,
            // ENUM and SET travel as STRING, with their own code in the metadata.
            code::STRING if first == code::ENUM => Self::Enum { labels: labels() },
            code::STRING if first == code::SET => Self::Set { labels: labels() },
            code::ENUM => Self::Enum { labels: labels() },
            code::SET => Self::Set { labels: labels() },
            code::STRING if wire.binary => Self::Binary { length: string_length(first, second) },
            code::VARCHAR | code::VAR_STRING | code::VARCHAR_COMPRESSED | code::BLOB_COMPRESSED
                if wire.binary =>
            {
                Self::Bytes
            }
            code::TINY_BLOB..=code::BLOB if wire.binary => Self::Bytes,
            code::VARCHAR
            | code::VAR_STRING
            | code::STRING
            | code::VARCHAR_COMPRESSED
            | code::BLOB_COMPRESSED
            | code::TINY_BLOB..=code::BLOB => Self::Text,
            code::DECIMAL_OLD => return None,
            _ => return None,
        })
    }

    /// The log's type with what only the declaration tells; `None` where they contradict each
    /// other, because the column was altered since.
    #[must_use]
    pub fn refined_by(&self, declared: &Self) -> Option<Self> {
        let same = match (self, declared) {
            (Self::Float { .. }, Self::Float { .. })
            | (Self::Binary { length: 16 }, Self::Uuid | Self::Inet6)
            | (Self::Binary { length: 4 }, Self::Inet4)
            // MariaDB before 10.5 does not say which geometry it is.
            | (Self::Geometry, Self::Point) => true,
            (wire, declared) => wire == declared,
        };
        same.then(|| declared.clone())
    }

    /// MariaDB's log does not tell UUID and INET6 from BINARY(16), nor INET4 from BINARY(4).
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Binary { length: 4 | 16 })
    }

    /// As [`MysqlType::Boolean`], where that is what was declared: the width is kept for this alone
    /// (<https://dev.mysql.com/doc/refman/8.4/en/numeric-type-syntax.html>).
    #[must_use]
    pub fn with_booleans(self, declared: &str) -> Self {
        match self {
            Self::TinyInt { .. } if declared.starts_with("tinyint(1)") => Self::Boolean,
            other => other,
        }
    }

    /// The type in a table's schema.
    #[must_use]
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Boolean => ColumnType::Bool,
            Self::TinyInt { .. } | Self::SmallInt { unsigned: false } => ColumnType::Int16,
            Self::SmallInt { unsigned: true }
            | Self::MediumInt { .. }
            | Self::Int { unsigned: false } => ColumnType::Int32,
            Self::Int { unsigned: true } | Self::BigInt { unsigned: false } => ColumnType::Int64,
            Self::BigInt { unsigned: true } => ColumnType::UInt64,
            Self::Float { fixed: false } => ColumnType::Float32,
            Self::Float { fixed: true } | Self::Double => ColumnType::Float64,
            Self::Decimal { precision, scale } => {
                ColumnType::Decimal { precision: u32::from(*precision), scale: i32::from(*scale) }
            }
            Self::Bit { length: 1 } => ColumnType::Bool,
            Self::Bit { length } => ColumnType::Bits { length: u32::from(*length) },
            Self::Year => ColumnType::Year,
            Self::Date => ColumnType::Date,
            Self::Time { digits } => ColumnType::SignedTime { precision: *digits },
            Self::DateTime { digits } => ColumnType::Timestamp { precision: *digits },
            Self::Timestamp { digits } => ColumnType::TimestampTz { precision: *digits },
            Self::Text | Self::Inet4 | Self::Inet6 => ColumnType::Text,
            Self::Binary { .. } | Self::Bytes => ColumnType::Bytes,
            Self::Enum { labels } => ColumnType::Enum { labels: allowed(labels) },
            Self::Set { labels } => ColumnType::EnumSet { labels: allowed(labels) },
            Self::Json => ColumnType::Json,
            Self::Point => ColumnType::Point,
            Self::Geometry => ColumnType::Geometry,
            Self::Vector => ColumnType::FloatVector,
            Self::Uuid => ColumnType::Uuid,
        }
    }
}

/// Labels as they stand in `allowed`: a comma in one of them is escaped.
fn allowed(labels: &[String]) -> Arc<[String]> {
    labels.iter().map(|label| label.replace(',', "\\,")).collect()
}

/// The numbers in the parentheses.
fn arguments(rest: &str) -> impl Iterator<Item = u32> {
    let inner = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    inner.map_or("", |(inner, _)| inner).split(',').filter_map(|number| number.trim().parse().ok())
}

fn decimal(rest: &str) -> Option<MysqlType> {
    let mut numbers = arguments(rest).map(|number| u8::try_from(number).ok());
    let (precision, scale) = (numbers.next()??, numbers.next().unwrap_or(Some(0))?);
    (scale <= precision).then_some(MysqlType::Decimal { precision, scale })
}

/// `Field_string::do_save_field_metadata`: lengths above 255 have their two highest bits, turned
/// over, in the type's byte.
fn string_length(kind: u8, length: u8) -> u16 {
    u16::from(!kind & 0x30) << 4 | u16::from(length)
}

#[cfg(test)]
mod tests;
