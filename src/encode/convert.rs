//! Values to what Debezium publishes for them: one place for every format and for the defaults in
//! schemas. [`Codec`] says which form a column's values have, this file makes it.

use super::codec::Codec;
use super::datetime;
use super::decimal;
use super::decimal_text;
use super::emit::{Emit, LiteralOut, Nullability};
use super::geometry;
use super::stand_in::placeholder;
use crate::schema::connect::Literal;
use crate::value::{Decimal, DecimalSpecial, Value};

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
    #[error(
        "the TIME is below zero or above 24:00:00, for which `values: {{ time: connect }}` and \
         `isostring` have no form; `adaptive_time_microseconds` has one"
    )]
    NotATimeOfDay,
    #[error("the value is not {0}")]
    Kind(&'static str),
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
        (Codec::MicroTime, Value::Time(micros)) => out.int(micros),
        (Codec::ZonedTime, Value::TimeTz { micros, offset_s }) => {
            out.ascii(datetime::zoned_time(micros, offset_s).as_bytes());
        }
        (Codec::Duration, Value::Interval(interval)) => out.int(datetime::duration(interval)),
        (Codec::Point, Value::Point { x, y }) => {
            out.point(x, y, geometry::unreferenced(&geometry::point_wkb(x, y)));
        }
        (Codec::Point, Value::Geometry { srid, wkb }) => {
            let (x, y) = geometry::coordinates(wkb).ok_or(Mismatch::Kind(codec.expected()))?;
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
        (codec, value) => return write_chosen(codec, value, out),
    }
    Ok(())
}

/// Forms that only a mode other than the default asks for, and times of milliseconds.
fn write_chosen<E: Emit>(codec: &Codec, value: Value<'_>, out: &mut E) -> Result<(), Mismatch> {
    match (codec, value) {
        (Codec::MilliTime, Value::Time(micros)) => {
            out.int(datetime::milli_time(micros).ok_or(Mismatch::NotATimeOfDay)?);
        }
        (Codec::NanoTime, Value::Time(micros))
        | (Codec::NanoTimestamp, Value::Timestamp(micros)) => {
            out.int(datetime::nanos(micros).ok_or(Mismatch::Range("nanoseconds of 64 bits"))?);
        }
        (Codec::IsoDate, Value::Date(days)) => out.ascii(datetime::iso_date(days).as_bytes()),
        (Codec::IsoTime, Value::Time(micros)) => {
            out.ascii(datetime::iso_time(micros).ok_or(Mismatch::NotATimeOfDay)?.as_bytes());
        }
        (Codec::IsoTimestamp, Value::Timestamp(micros)) => {
            out.ascii(datetime::iso_timestamp(micros).as_bytes());
        }
        (Codec::IsoInterval, Value::Interval(interval)) => {
            out.ascii(datetime::iso_interval(interval).as_bytes());
        }
        (Codec::DecimalText { scale }, Value::Decimal(decimal)) => {
            out.ascii(decimal_text::plain(decimal, *scale).as_bytes());
        }
        (Codec::DecimalDouble, Value::Decimal(decimal)) => {
            out.float64(decimal_text::double(decimal).ok_or(Mismatch::Range("a double"))?);
        }
        // `SpecialValueDecimal`.
        (Codec::DecimalText { .. }, Value::DecimalSpecial(special)) => out.ascii(match special {
            DecimalSpecial::NaN => b"NAN",
            DecimalSpecial::PositiveInfinity => b"POSITIVE_INFINITY",
            DecimalSpecial::NegativeInfinity => b"NEGATIVE_INFINITY",
        }),
        (Codec::DecimalDouble, Value::DecimalSpecial(special)) => out.float64(match special {
            DecimalSpecial::NaN => f64::NAN,
            DecimalSpecial::PositiveInfinity => f64::INFINITY,
            DecimalSpecial::NegativeInfinity => f64::NEG_INFINITY,
        }),
        (Codec::UInt64Decimal, Value::UInt(value)) => {
            out.bytes(decimal::unsigned(value).as_bytes())
        }
        (Codec::BytesText(form), Value::Bytes(bytes)) => out.binary_text(bytes, *form),
        (Codec::StringMap, Value::Text(json)) => {
            if !out.string_map(json) {
                return Err(Mismatch::Kind(codec.expected()));
            }
        }
        (codec, _) => return Err(Mismatch::Kind(codec.expected())),
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
        return Err(Mismatch::Kind(Codec::FloatVector.expected()));
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
