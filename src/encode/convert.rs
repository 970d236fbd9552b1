//! Values to what Debezium publishes for them, in the default modes: one place for every format
//! and for the defaults in schemas. `schema::debezium::column_schema` says the type, this file the
//! value; the two change together.

use super::datetime;
use super::decimal;
use super::emit::{Emit, LiteralOut, Nullability};
use crate::schema::ColumnType;
use crate::schema::connect::Literal;
use crate::schema::debezium::element_optional;
use crate::value::{Decimal, Value};

/// `unavailable.value.placeholder`: stands for a value that the log did not repeat.
pub(crate) const UNAVAILABLE: &str = "__debezium_unavailable_value";
/// Java's `UUID.nameUUIDFromBytes` of [`UNAVAILABLE`].
const UNAVAILABLE_UUID: &[u8] = b"b68a35a7-17ad-35b3-af2a-ae46edb4545a";
const NIL_UUID: &[u8] = b"00000000-0000-0000-0000-000000000000";

/// How a column's values are written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Codec {
    Bool,
    Int16,
    Int32,
    Int64,
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
    Array { element: Box<Codec>, nullability: Nullability },
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
            ColumnType::Int32 => Self::Int32,
            ColumnType::Int64 => Self::Int64,
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
            | ColumnType::Enum { .. } => Self::Text,
            ColumnType::Json | ColumnType::Hstore => Self::Json,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Bytes | ColumnType::Bits { .. } => Self::Bytes,
            ColumnType::Date => Self::Date,
            ColumnType::Time { precision: 0..=3 } => Self::MilliTime,
            ColumnType::Time { .. } => Self::MicroTime,
            ColumnType::TimeTz { .. } => Self::ZonedTime,
            ColumnType::Timestamp { precision: 0..=3 } => Self::MilliTimestamp,
            ColumnType::Timestamp { .. } => Self::MicroTimestamp,
            ColumnType::TimestampTz { precision } => Self::ZonedTimestamp { digits: *precision },
            ColumnType::Interval => Self::Duration,
            ColumnType::Point => Self::Point,
            ColumnType::Array(element) => Self::Array {
                element: Box::new(Self::of(element)),
                nullability: Nullability::of(element_optional(element), false),
            },
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
        (Codec::MilliTime, Value::Time(micros)) => out.int(micros / 1_000),
        (Codec::MicroTime, Value::Time(micros)) => out.int(micros),
        (Codec::ZonedTime, Value::TimeTz { micros, offset_s }) => {
            out.ascii(datetime::zoned_time(micros, offset_s).as_bytes());
        }
        (Codec::Duration, Value::Interval(interval)) => out.int(datetime::duration(interval)),
        (Codec::Point, Value::Point { x, y }) => out.point(x, y, &point_wkb(x, y)),
        (Codec::Array { element, nullability }, Value::Array(items)) => {
            out.array_start(items.len());
            for (index, item) in items.iter().enumerate() {
                out.array_item(index);
                write_element(element, *nullability, *item, out)?;
            }
            out.array_end(items.len());
        }
        (_, Value::Null) => return Err(Mismatch::Null),
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

fn write_decimal<E: Emit>(decimal: Decimal<'_>, scale: i32, out: &mut E) -> Result<(), Mismatch> {
    if decimal.scale == scale {
        out.bytes(decimal.unscaled);
    } else {
        out.bytes(decimal::rescale(decimal, scale).ok_or(Mismatch::Scale)?.as_bytes());
    }
    Ok(())
}

/// Well-known binary of a point: little-endian, type 1, x, y.
fn point_wkb(x: f64, y: f64) -> [u8; 21] {
    let mut wkb = [0; 21];
    wkb[0] = 1;
    wkb[1] = 1;
    wkb[5..13].copy_from_slice(&x.to_le_bytes());
    wkb[13..].copy_from_slice(&y.to_le_bytes());
    wkb
}

fn expected(codec: &Codec) -> &'static str {
    match codec {
        Codec::Bool => "a boolean",
        Codec::Int16 | Codec::Int32 | Codec::Int64 => "an integer",
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
        Codec::Array { .. } => "an array",
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

/// What Debezium puts in place of a value that it does not have in a column that is never null and
/// has no default (`ValueConverterProvider`'s fallbacks).
pub(crate) fn write_zero<E: Emit>(codec: &Codec, out: &mut E) {
    match codec {
        Codec::Bool => out.bool(false),
        Codec::Int16
        | Codec::Int32
        | Codec::Int64
        | Codec::Date
        | Codec::MilliTime
        | Codec::MicroTime
        | Codec::MilliTimestamp
        | Codec::MicroTimestamp
        | Codec::Duration => out.int(0),
        Codec::Float32 => out.float32(0.0),
        Codec::Float64 => out.float64(0.0),
        Codec::Decimal { .. } => out.bytes(&[0]),
        Codec::VariableDecimal => out.variable_decimal(0, &[0]),
        Codec::Text => out.text(""),
        Codec::Json => out.text("{}"),
        Codec::Uuid => out.ascii(NIL_UUID),
        Codec::Bytes => out.bytes(&[]),
        Codec::ZonedTime => out.ascii(b"00:00:00Z"),
        Codec::ZonedTimestamp { digits } => {
            out.ascii(datetime::zoned_timestamp(0, *digits).as_bytes());
        }
        Codec::Point => out.point(0.0, 0.0, &point_wkb(0.0, 0.0)),
        Codec::Array { .. } => {
            out.array_start(0);
            out.array_end(0);
        }
    }
}

/// What stands for a value that the log did not repeat: the placeholder's text where the column is
/// text, its bytes where it is bytes, an array of either, and of its byte values for numbers.
///
/// Debezium has no placeholder for decimals, and publishes null. A null would be a lie, so they
/// get the placeholder's bytes as their unscaled value: a consumer that knows the placeholder
/// recognises it. Scalars of fixed size are never moved out of the row and have none.
fn placeholder<E: Emit>(codec: &Codec, out: &mut E) -> Result<(), Mismatch> {
    match codec {
        Codec::Text | Codec::Json => out.ascii(UNAVAILABLE.as_bytes()),
        Codec::Uuid => out.ascii(UNAVAILABLE_UUID),
        Codec::Bytes | Codec::Decimal { .. } => out.bytes(UNAVAILABLE.as_bytes()),
        Codec::VariableDecimal => out.variable_decimal(0, UNAVAILABLE.as_bytes()),
        Codec::Array { element, nullability } => array_placeholder(element, *nullability, out),
        Codec::Bool
        | Codec::Int16
        | Codec::Int32
        | Codec::Int64
        | Codec::Float32
        | Codec::Float64
        | Codec::Date
        | Codec::MilliTime
        | Codec::MicroTime
        | Codec::ZonedTime
        | Codec::MilliTimestamp
        | Codec::MicroTimestamp
        | Codec::ZonedTimestamp { .. }
        | Codec::Duration
        | Codec::Point => return Err(Mismatch::Unavailable),
    }
    Ok(())
}

/// Numbers: the byte values, as Debezium does for `int[]` and `bigint[]`; booleans: the bits,
/// highest first; everything else: one element that is the placeholder.
fn array_placeholder<E: Emit>(element: &Codec, nullability: Nullability, out: &mut E) {
    let bytes = UNAVAILABLE.bytes();
    match element {
        Codec::Int16
        | Codec::Int32
        | Codec::Int64
        | Codec::Date
        | Codec::MilliTime
        | Codec::MicroTime
        | Codec::MilliTimestamp
        | Codec::MicroTimestamp
        | Codec::Duration => {
            write_all(bytes, nullability, out, |byte, out| out.int(i64::from(byte)));
        }
        Codec::Float32 => {
            write_all(bytes, nullability, out, |byte, out| out.float32(f32::from(byte)));
        }
        Codec::Float64 => {
            write_all(bytes, nullability, out, |byte, out| out.float64(f64::from(byte)));
        }
        Codec::Bool => {
            let bits = bytes.flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
            let bits: Vec<bool> = bits.collect();
            write_all(bits.into_iter(), nullability, out, |bit, out| out.bool(bit));
        }
        Codec::Text | Codec::Json | Codec::ZonedTime | Codec::ZonedTimestamp { .. } => {
            write_all([()].into_iter(), nullability, out, |(), out| {
                out.ascii(UNAVAILABLE.as_bytes());
            });
        }
        Codec::Point => write_all([()].into_iter(), nullability, out, |(), out| {
            out.point(f64::NAN, f64::NAN, UNAVAILABLE.as_bytes());
        }),
        Codec::Uuid
        | Codec::Bytes
        | Codec::Decimal { .. }
        | Codec::VariableDecimal
        | Codec::Array { .. } => write_all([()].into_iter(), nullability, out, |(), out| {
            placeholder(element, out).expect("these have a placeholder of their own");
        }),
    }
}

fn write_all<E: Emit, T>(
    items: impl ExactSizeIterator<Item = T>,
    nullability: Nullability,
    out: &mut E,
    write: impl Fn(T, &mut E),
) {
    let length = items.len();
    out.array_start(length);
    for (index, item) in items.enumerate() {
        out.array_item(index);
        out.some(nullability);
        write(item, out);
    }
    out.array_end(length);
}
