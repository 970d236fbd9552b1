//! Values to what Debezium publishes for them, in the default modes: one place for every format
//! and for the defaults in schemas. `schema::debezium::column_schema` says the type, this file the
//! value; the two change together.

use super::datetime;
use super::decimal;
use super::emit::{Emit, LiteralOut, Nullability};
use super::geometry;
use super::row::label;
use super::stand_in::placeholder;
use crate::schema::ColumnType;
use crate::schema::connect::Literal;
use crate::schema::debezium::element_optional;
use crate::value::{Decimal, Value};

/// How a column's values are written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Codec {
    Bool,
    Int16,
    Int32,
    Int64,
    UInt64,
    Float32,
    Float64,
    Decimal { scale: i32 },
    VariableDecimal,
    Text,
    Json,
    Uuid,
    Bytes,
    Date,
    MilliTime,
    MicroTime,
    ZonedTime,
    MilliTimestamp,
    MicroTimestamp,
    ZonedTimestamp { digits: u8 },
    Duration,
    Point,
    Geometry,
    FloatVector,
    Array { element: Box<Codec>, nullability: Nullability },
    Struct { fields: Vec<StructCodec> },
    UpdateDescription,
}

/// A field of a record, which may be null.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StructCodec {
    pub(crate) codec: Codec,
    /// How JSON opens it.
    pub(crate) label: Vec<u8>,
}

/// Why a value has no place in its column. Never holds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("the value is NULL in a column whose schema says that it never is")]
    Null,
    #[error("the new row does not carry the column")]
    Absent,
    #[error("the log did not repeat the unchanged value, and this type has no placeholder")]
    Unavailable,
    #[error("an element is NULL, which the schema of this array does not allow")]
    NullElement,
    #[error("NaN and infinity have no place in a decimal")]
    NotANumber,
    #[error("the value has more digits after the point than the column's scale")]
    Scale,
    #[error("the number is out of the range of {0}")]
    Range(&'static str),
    #[error("the value is not {0}")]
    Kind(&'static str),
}

impl Codec {
    pub(crate) fn of(data_type: &ColumnType) -> Self {
        match data_type {
            ColumnType::Bool => Self::Bool,
            ColumnType::Int16 => Self::Int16,
            ColumnType::Int32 | ColumnType::Year => Self::Int32,
            ColumnType::Int64 => Self::Int64,
            ColumnType::UInt64 => Self::UInt64,
            ColumnType::Float32 => Self::Float32,
            ColumnType::Float64 => Self::Float64,
            ColumnType::Decimal { scale, .. } | ColumnType::Money { scale } => {
                Self::Decimal { scale: *scale }
            }
            ColumnType::VariableDecimal => Self::VariableDecimal,
            ColumnType::Text
            | ColumnType::Xml
            | ColumnType::Ltree
            | ColumnType::TsVector
            | ColumnType::Enum { .. }
            | ColumnType::EnumSet { .. } => Self::Text,
            ColumnType::Json | ColumnType::Hstore => Self::Json,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Bytes | ColumnType::Bits { .. } => Self::Bytes,
            ColumnType::Date => Self::Date,
            ColumnType::Time { precision: 0..=3 } => Self::MilliTime,
            ColumnType::Time { .. } | ColumnType::SignedTime { .. } => Self::MicroTime,
            ColumnType::TimeTz { .. } => Self::ZonedTime,
            ColumnType::Timestamp { precision: 0..=3 } => Self::MilliTimestamp,
            ColumnType::Timestamp { .. } => Self::MicroTimestamp,
            ColumnType::TimestampTz { precision } => Self::ZonedTimestamp { digits: *precision },
            ColumnType::Interval => Self::Duration,
            ColumnType::Point => Self::Point,
            ColumnType::Geometry => Self::Geometry,
            ColumnType::FloatVector => Self::FloatVector,
            ColumnType::Array(element) => Self::Array {
                element: Box::new(Self::of(element)),
                nullability: Nullability::of(element_optional(element), false),
            },
            ColumnType::Struct(fields) => {
                let fields = fields.iter().enumerate().map(|(index, field)| StructCodec {
                    codec: Self::of(&field.data_type),
                    label: label(index, &field.name),
                });
                Self::Struct { fields: fields.collect() }
            }
            ColumnType::UpdateDescription => Self::UpdateDescription,
        }
    }
}

/// Writes a value that is there: neither null, nor absent, nor unavailable.
#[inline]
pub(crate) fn write<E: Emit>(codec: &Codec, value: Value<'_>, out: &mut E) -> Result<(), Mismatch> {
    match (codec, value) {
        (Codec::Text | Codec::Json | Codec::Uuid, Value::Text(text)) => out.text(text),
        (Codec::Int64, Value::Int(value)) => out.int(value),
        (Codec::Int32, Value::Int(value)) => {
            out.int(i64::from(i32::try_from(value).map_err(|_| Mismatch::Range("an int32"))?));
        }
        (Codec::Int16, Value::Int(value)) => {
            out.int(i64::from(i16::try_from(value).map_err(|_| Mismatch::Range("an int16"))?));
        }
        (Codec::Bool, Value::Bool(value)) => out.bool(value),
        (Codec::UInt64, Value::UInt(value)) => out.int(value.cast_signed()),
        (Codec::Float32, Value::Float32(value)) => out.float32(value),
        (Codec::Float64, Value::Float64(value)) => out.float64(value),
        (Codec::Bytes, Value::Bytes(bytes)) => out.bytes(bytes),
        (Codec::Date, Value::Date(days)) => out.int(datetime::date(days)),
        (Codec::MicroTimestamp, Value::Timestamp(micros)) => {
            out.int(datetime::micro_timestamp(micros));
        }
        (Codec::MilliTimestamp, Value::Timestamp(micros)) => {
            out.int(datetime::milli_timestamp(micros));
        }
        (Codec::ZonedTimestamp { digits }, Value::TimestampTz(micros)) => {
            out.ascii(datetime::zoned_timestamp(micros, *digits).as_bytes());
        }
        (codec, value) => return write_rare(codec, value, out),
    }
    Ok(())
}

fn write_rare<E: Emit>(codec: &Codec, value: Value<'_>, out: &mut E) -> Result<(), Mismatch> {
    match (codec, value) {
        (Codec::Decimal { scale }, Value::Decimal(decimal)) => {
            return write_decimal(decimal, *scale, out);
        }
        (Codec::VariableDecimal, Value::Decimal(decimal)) => {
            let (scale, unscaled) = decimal::normalise(decimal);
            out.variable_decimal(
                scale,
                unscaled.as_ref().map_or(decimal.unscaled, |v| v.as_bytes()),
            );
        }
        (Codec::Decimal { .. } | Codec::VariableDecimal, Value::DecimalSpecial(_)) => {
            return Err(Mismatch::NotANumber);
        }
        (Codec::ZonedTimestamp { digits }, Value::FarTimestampTz { seconds, micros }) => {
            out.ascii(datetime::far_zoned_timestamp(seconds, micros, *digits).as_bytes());
        }
        // MySQL's FLOAT(7,4), which is a double to Debezium.
        (Codec::Float64, Value::Float32(value)) => out.float64(f64::from(value)),
        // A default that has not as many digits as the column.
        (Codec::ZonedTimestamp { .. }, Value::Text(text)) => out.text(text),
        (Codec::MilliTime, Value::Time(micros)) => out.int(micros / 1_000),
        (Codec::MicroTime, Value::Time(micros)) => out.int(micros),
        (Codec::ZonedTime, Value::TimeTz { micros, offset_s }) => {
            out.ascii(datetime::zoned_time(micros, offset_s).as_bytes());
        }
        (Codec::Duration, Value::Interval(interval)) => out.int(datetime::duration(interval)),
        (Codec::Point, Value::Point { x, y }) => {
            out.point(x, y, geometry::unreferenced(&geometry::point_wkb(x, y)));
        }
        (Codec::Point, Value::Geometry { srid, wkb }) => {
            let (x, y) = geometry::coordinates(wkb).ok_or(Mismatch::Kind(expected(codec)))?;
            out.point(x, y, geometry::referenced(wkb, srid));
        }
        (Codec::Geometry, Value::Geometry { srid, wkb }) => {
            out.geometry(geometry::referenced(wkb, srid));
        }
        (Codec::FloatVector, Value::Bytes(bytes)) => return write_floats(bytes, out),
        (Codec::UpdateDescription, Value::UpdateDescription(update)) => {
            out.update_description(update);
        }
        (Codec::Array { element, nullability }, Value::Array(items)) => {
            out.array_start(items.len());
            for (index, item) in items.iter().enumerate() {
                out.array_item(index);
                write_element(element, *nullability, *item, out)?;
            }
            out.array_end(items.len());
        }
        (Codec::Struct { fields }, Value::Struct(values)) if fields.len() == values.len() => {
            for (field, value) in fields.iter().zip(values) {
                out.struct_field(&field.label);
                write_element(&field.codec, Nullability::NullFirst, *value, out)?;
            }
            out.struct_end(fields.len());
        }
        (_, Value::Null | Value::NoSuchDate) => return Err(Mismatch::Null),
        (_, Value::Absent) => return Err(Mismatch::Absent),
        (codec, Value::Unavailable) => return placeholder(codec, out),
        (codec, _) => return Err(Mismatch::Kind(expected(codec))),
    }
    Ok(())
}

fn write_element<E: Emit>(
    codec: &Codec,
    nullability: Nullability,
    item: Value<'_>,
    out: &mut E,
) -> Result<(), Mismatch> {
    if item == Value::Null {
        if nullability == Nullability::Required {
            return Err(Mismatch::NullElement);
        }
        out.none(nullability);
        return Ok(());
    }
    out.some(nullability);
    write(codec, item, out)
}

fn write_floats<E: Emit>(bytes: &[u8], out: &mut E) -> Result<(), Mismatch> {
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Mismatch::Kind(expected(&Codec::FloatVector)));
    }
    out.array_start(floats.len());
    for (index, float) in floats.iter().enumerate() {
        out.array_item(index);
        out.float32(f32::from_le_bytes(*float));
    }
    out.array_end(floats.len());
    Ok(())
}

fn write_decimal<E: Emit>(decimal: Decimal<'_>, scale: i32, out: &mut E) -> Result<(), Mismatch> {
    if decimal.scale == scale {
        out.bytes(decimal.unscaled);
    } else {
        out.bytes(decimal::rescale(decimal, scale).ok_or(Mismatch::Scale)?.as_bytes());
    }
    Ok(())
}

fn expected(codec: &Codec) -> &'static str {
    match codec {
        Codec::Bool => "a boolean",
        Codec::Int16 | Codec::Int32 | Codec::Int64 => "an integer",
        Codec::UInt64 => "an unsigned integer",
        Codec::Float32 | Codec::Float64 => "a floating point number of the column's size",
        Codec::Decimal { .. } | Codec::VariableDecimal => "a decimal",
        Codec::Text | Codec::Json | Codec::Uuid => "text",
        Codec::Bytes => "bytes",
        Codec::Date => "a date",
        Codec::MilliTime | Codec::MicroTime => "a time",
        Codec::ZonedTime => "a time with zone",
        Codec::MilliTimestamp | Codec::MicroTimestamp => "a timestamp",
        Codec::ZonedTimestamp { .. } => "a timestamp with zone",
        Codec::Duration => "an interval",
        Codec::Point => "a point",
        Codec::Geometry => "a geometry",
        Codec::FloatVector => "a vector of floating point numbers",
        Codec::Array { .. } => "an array",
        Codec::Struct { .. } => "a record of as many fields",
        Codec::UpdateDescription => "an update's description",
    }
}

/// The converted default of a column, where a schema has a place for it.
pub(crate) fn literal(codec: &Codec, value: Value<'_>) -> Option<Literal> {
    let mut out = LiteralOut::default();
    write(codec, value, &mut out).ok()?;
    out.literal
}

/// Writes a default back.
pub(crate) fn write_literal<E: Emit>(literal: &Literal, out: &mut E) {
    match literal {
        Literal::Bool(value) => out.bool(*value),
        Literal::Int(value) => out.int(*value),
        Literal::Float32(value) => out.float32(*value),
        Literal::Float64(value) => out.float64(*value),
        Literal::Text(value) => out.text(value),
        Literal::Bytes(value) => out.bytes(value),
    }
}
