//! Types: what a column's type becomes, and how its values are read.
//!
//! Follows Debezium's mapping (`PostgresValueConverter`): built-in types by oid, types of
//! extensions by name, domains by their base, enums and arrays by the catalogue. Whatever Debezium
//! drops has no mapping here either; [`crate::config::UnmappedTypes`] decides about it.

use std::sync::Arc;

use crate::schema::ColumnType;
use crate::sources::postgres::catalog::{TypeFacts, TypeKind};
use crate::sources::postgres::numeric::{MONEY_SCALE, Scale};

/// Oids of `src/include/catalog/pg_type.dat`; they never change.
pub(crate) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const CHAR: u32 = 18;
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OID: u32 = 26;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const XML: u32 = 142;
    pub(crate) const POINT: u32 = 600;
    pub(crate) const CIDR: u32 = 650;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const MACADDR8: u32 = 774;
    pub(crate) const MONEY: u32 = 790;
    pub(crate) const MACADDR: u32 = 829;
    pub(crate) const INET: u32 = 869;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIME: u32 = 1083;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const INTERVAL: u32 = 1186;
    pub(crate) const TIMETZ: u32 = 1266;
    pub(crate) const BIT: u32 = 1560;
    pub(crate) const VARBIT: u32 = 1562;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const UUID: u32 = 2950;
    pub(crate) const TSVECTOR: u32 = 3614;
    pub(crate) const JSONB: u32 = 3802;
    pub(crate) const INT4RANGE: u32 = 3904;
    pub(crate) const NUMRANGE: u32 = 3906;
    pub(crate) const TSRANGE: u32 = 3908;
    pub(crate) const TSTZRANGE: u32 = 3910;
    pub(crate) const DATERANGE: u32 = 3912;
    pub(crate) const INT8RANGE: u32 = 3926;
}

/// How one value is read. The same reading serves the stream's text and, where
/// [`Mapped::binary`] says so, the snapshot's binary form, with equal results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Scalar(Scalar),
    /// Elements; arrays are read from text in the snapshot too.
    Array(Scalar),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    Bool,
    /// `bit(1)`, `varbit(1)`
    OneBit,
    Int16,
    Int32,
    Int64,
    Oid,
    Float32,
    Float64,
    /// At the scale of its column.
    Decimal(u16),
    /// At its own scale.
    VariableDecimal,
    Money,
    /// The server's text form.
    Text,
    /// `jsonb`: text, in binary behind a version byte.
    Jsonb,
    /// `inet`: text without the mask of a single host, which a cast to text would add.
    Inet,
    Bytes,
    Bits,
    Uuid,
    Hstore,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Point,
}

impl Scalar {
    pub(crate) fn scale(self) -> Scale {
        match self {
            Self::Decimal(scale) => Scale::Fixed(scale),
            _ => Scale::Own,
        }
    }
}

/// A type that has a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    pub column_type: ColumnType,
    pub reading: Reading,
    /// The snapshot takes the type's own binary form; otherwise its text form.
    pub binary: bool,
}

/// Text as the server prints it: what [`crate::config::UnmappedTypes::Text`] makes of any type.
#[must_use]
pub fn as_text() -> Mapped {
    Mapped { column_type: ColumnType::Text, reading: Reading::Scalar(Scalar::Text), binary: false }
}

/// The mapping of a type, if there is one. `facts` may be missing for built-in types.
#[must_use]
pub fn map(oid: u32, type_modifier: i32, facts: Option<&TypeFacts>) -> Option<Mapped> {
    if let Some(mapped) = built_in(oid, type_modifier) {
        return Some(mapped);
    }
    if let Some(element) = element_of_built_in_array(oid) {
        return array(built_in(element, type_modifier)?);
    }
    let facts = facts?;
    match &facts.kind {
        TypeKind::Enum { labels } => Some(labelled(labels)),
        TypeKind::Domain { base, type_modifier } => map(base.oid, *type_modifier, Some(base)),
        TypeKind::Array { element } => array(array_element(element)?),
        TypeKind::Base => of_extension(&facts.name),
        TypeKind::Composite | TypeKind::Range | TypeKind::Multirange | TypeKind::Pseudo => None,
    }
}

fn labelled(labels: &[String]) -> Mapped {
    let labels: Arc<[String]> = labels.into();
    text_like(ColumnType::Enum { labels }, true)
}

/// Arrays of domains and composites have no mapping in Debezium.
fn array_element(element: &TypeFacts) -> Option<Mapped> {
    match &element.kind {
        TypeKind::Enum { labels } => Some(labelled(labels)),
        TypeKind::Base => of_extension(&element.name),
        TypeKind::Domain { .. }
        | TypeKind::Array { .. }
        | TypeKind::Composite
        | TypeKind::Range
        | TypeKind::Multirange
        | TypeKind::Pseudo => None,
    }
}

fn array(element: Mapped) -> Option<Mapped> {
    let Reading::Scalar(scalar) = element.reading else { return None };
    Some(Mapped {
        column_type: ColumnType::Array(Box::new(element.column_type)),
        reading: Reading::Array(scalar),
        binary: false,
    })
}

fn of_extension(name: &str) -> Option<Mapped> {
    match name {
        "citext" => Some(text_like(ColumnType::Text, true)),
        "isbn" => Some(text_like(ColumnType::Text, false)),
        "ltree" => Some(text_like(ColumnType::Ltree, false)),
        "hstore" => Some(Mapped {
            column_type: ColumnType::Hstore,
            reading: Reading::Scalar(Scalar::Hstore),
            binary: false,
        }),
        _ => None,
    }
}

fn text_like(column_type: ColumnType, binary: bool) -> Mapped {
    Mapped { column_type, reading: Reading::Scalar(Scalar::Text), binary }
}

fn built_in(oid: u32, type_modifier: i32) -> Option<Mapped> {
    if let Some(mapped) = text_type(oid) {
        return Some(mapped);
    }
    let (column_type, scalar) = match oid {
        oid::BOOL => (ColumnType::Bool, Scalar::Bool),
        oid::INT2 => (ColumnType::Int16, Scalar::Int16),
        oid::INT4 => (ColumnType::Int32, Scalar::Int32),
        oid::INT8 => (ColumnType::Int64, Scalar::Int64),
        oid::OID => (ColumnType::Int64, Scalar::Oid),
        oid::FLOAT4 => (ColumnType::Float32, Scalar::Float32),
        oid::FLOAT8 => (ColumnType::Float64, Scalar::Float64),
        oid::BYTEA => (ColumnType::Bytes, Scalar::Bytes),
        oid::UUID => (ColumnType::Uuid, Scalar::Uuid),
        oid::JSONB => (ColumnType::Json, Scalar::Jsonb),
        oid::INET => (ColumnType::Text, Scalar::Inet),
        oid::POINT => (ColumnType::Point, Scalar::Point),
        oid::INTERVAL => (ColumnType::Interval, Scalar::Interval),
        oid::MONEY => (ColumnType::Money { scale: MONEY_SCALE }, Scalar::Money),
        oid::NUMERIC => numeric(type_modifier),
        oid::BIT | oid::VARBIT => bits(type_modifier),
        oid::DATE => (ColumnType::Date, Scalar::Date),
        _ => with_precision(oid, precision(type_modifier))?,
    };
    let binary = match scalar {
        // The text form is exactly what the stream sends, and the reader is the same.
        Scalar::Money | Scalar::Inet | Scalar::Bits | Scalar::OneBit => false,
        _ => true,
    };
    Some(Mapped { column_type, reading: Reading::Scalar(scalar), binary })
}

/// Types whose text form is their value. Their binary form is the same bytes, except where it is
/// not, and where a cast to text is another text (`bpchar` trims) the binary form must be taken.
fn text_type(oid: u32) -> Option<Mapped> {
    let (column_type, binary) = match oid {
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME => (ColumnType::Text, true),
        oid::JSON => (ColumnType::Json, true),
        oid::XML => (ColumnType::Xml, true),
        oid::CHAR | oid::CIDR | oid::MACADDR | oid::MACADDR8 => (ColumnType::Text, false),
        oid::INT4RANGE
        | oid::INT8RANGE
        | oid::NUMRANGE
        | oid::TSRANGE
        | oid::TSTZRANGE
        | oid::DATERANGE => (ColumnType::Text, false),
        oid::TSVECTOR => (ColumnType::TsVector, false),
        _ => return None,
    };
    Some(text_like(column_type, binary))
}

fn with_precision(oid: u32, precision: u8) -> Option<(ColumnType, Scalar)> {
    match oid {
        oid::TIME => Some((ColumnType::Time { precision }, Scalar::Time)),
        oid::TIMETZ => Some((ColumnType::TimeTz { precision }, Scalar::TimeTz)),
        oid::TIMESTAMP => Some((ColumnType::Timestamp { precision }, Scalar::Timestamp)),
        oid::TIMESTAMPTZ => Some((ColumnType::TimestampTz { precision }, Scalar::TimestampTz)),
        _ => None,
    }
}

fn precision(type_modifier: i32) -> u8 {
    u8::try_from(type_modifier).ok().filter(|&digits| digits <= 6).unwrap_or(6)
}

/// `numeric_typmod_scale` knows negative scales; Debezium takes the lower 16 bits as they are, so
/// that `numeric(4,-2)` has scale 2046 in its schemas, and so it has here.
fn numeric(type_modifier: i32) -> (ColumnType, Scalar) {
    let Some(packed) = type_modifier.checked_sub(4).and_then(|packed| u32::try_from(packed).ok())
    else {
        return (ColumnType::VariableDecimal, Scalar::VariableDecimal);
    };
    let [a, b, c, d] = packed.to_be_bytes();
    let (precision, scale) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let column_type =
        ColumnType::Decimal { precision: u32::from(precision), scale: i32::from(scale) };
    (column_type, Scalar::Decimal(scale))
}

fn bits(type_modifier: i32) -> (ColumnType, Scalar) {
    match u32::try_from(type_modifier) {
        Ok(1) => (ColumnType::Bool, Scalar::OneBit),
        Ok(length) => (ColumnType::Bits { length }, Scalar::Bits),
        Err(_) => (ColumnType::Bits { length: 2_147_483_647 }, Scalar::Bits),
    }
}

/// Array types that Debezium maps. `money[]`, `name[]`, `interval[]`, `bit[]`, `varbit[]`, `xml[]`,
/// `point[]` and `refcursor[]` are not among them.
fn element_of_built_in_array(oid: u32) -> Option<u32> {
    let element = match oid {
        199 => oid::JSON,
        651 => oid::CIDR,
        775 => oid::MACADDR8,
        1000 => oid::BOOL,
        1001 => oid::BYTEA,
        1002 => oid::CHAR,
        1005 => oid::INT2,
        1007 => oid::INT4,
        1009 => oid::TEXT,
        1014 => oid::BPCHAR,
        1015 => oid::VARCHAR,
        1016 => oid::INT8,
        1021 => oid::FLOAT4,
        1022 => oid::FLOAT8,
        1028 => oid::OID,
        1040 => oid::MACADDR,
        1041 => oid::INET,
        1115 => oid::TIMESTAMP,
        1182 => oid::DATE,
        1183 => oid::TIME,
        1185 => oid::TIMESTAMPTZ,
        1231 => oid::NUMERIC,
        1270 => oid::TIMETZ,
        2951 => oid::UUID,
        3807 => oid::JSONB,
        3905 => oid::INT4RANGE,
        3907 => oid::NUMRANGE,
        3909 => oid::TSRANGE,
        3911 => oid::TSTZRANGE,
        3913 => oid::DATERANGE,
        3927 => oid::INT8RANGE,
        _ => return None,
    };
    Some(element)
}

/// Whether every oid below this is the server's own (`FirstNormalObjectId`), so that the oid alone
/// tells the type.
#[must_use]
pub fn is_built_in(oid: u32) -> bool {
    oid < 16_384
}

#[cfg(test)]
mod tests;
