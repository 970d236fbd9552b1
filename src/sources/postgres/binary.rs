//! Binary form to [`Value`]: what a type's send function writes into a binary COPY. Gives exactly
//! what [`super::text`] gives for the same value.

use bumpalo::Bump;

use crate::sources::postgres::decode_error::ValueError;
use crate::sources::postgres::reader::Reader;
use crate::sources::postgres::types::{Reading, Scalar};
use crate::sources::postgres::{datetime, numeric, text};
use crate::value::{Interval, Value};

/// # Errors
/// When the bytes are not what the type sends.
pub fn read<'a>(
    reading: Reading,
    bytes: &'a [u8],
    arena: &'a Bump,
) -> Result<Value<'a>, ValueError> {
    let mut value = Value::Null;
    read_into(reading, bytes, arena, &mut value)?;
    Ok(value)
}

/// As [`read`], to the value's place in its row.
///
/// # Errors
/// As [`read`].
#[inline]
pub(crate) fn read_into<'a>(
    reading: Reading,
    bytes: &'a [u8],
    arena: &'a Bump,
    out: &mut Value<'a>,
) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    let Reading::Scalar(scalar) = reading else {
        return text::read_into(reading, bytes, arena, out);
    };
    match scalar {
        Scalar::Bool => match reader.u8("a boolean")? {
            0 => *out = Value::Bool(false),
            1 => *out = Value::Bool(true),
            _ => return Err(ValueError::Malformed("a boolean")),
        },
        Scalar::Int16 => *out = Value::Int(reader.i16("a smallint")?.into()),
        Scalar::Int32 => *out = Value::Int(reader.i32("an integer")?.into()),
        Scalar::Int64 => *out = Value::Int(reader.i64("a bigint")?),
        Scalar::Oid => *out = Value::Int(reader.u32("an oid")?.into()),
        Scalar::Float32 => *out = Value::Float32(f32::from_bits(reader.u32("a real")?)),
        Scalar::Float64 => *out = Value::Float64(f64::from_bits(reader.u64("a double precision")?)),
        Scalar::Date => *out = Value::Date(datetime::date_from_binary(reader.i32("a date")?)?),
        Scalar::Time => {
            *out = Value::Time(datetime::time_from_binary(reader.i64("a time of day")?)?)
        }
        Scalar::TimeTz => *out = time_tz(&mut reader)?,
        Scalar::Timestamp => {
            *out = Value::Timestamp(datetime::timestamp_from_binary(reader.i64("a timestamp")?)?);
        }
        Scalar::TimestampTz => {
            *out = datetime::timestamp_tz_from_binary(reader.i64("a timestamp")?)?;
        }
        Scalar::Interval => *out = Value::Interval(interval(&mut reader)?),
        Scalar::Point => {
            let (x, y) = (reader.u64("a point")?, reader.u64("a point")?);
            *out = Value::Point { x: f64::from_bits(x), y: f64::from_bits(y) };
        }
        Scalar::Uuid => *out = uuid(&mut reader, arena)?,
        Scalar::Jsonb => {
            // jsonb_send: version 1, then the text.
            if reader.u8("the version of a jsonb")? != 1 {
                return Err(ValueError::Malformed("a jsonb"));
            }
            return text::read_into(reading, reader.rest(), arena, out);
        }
        Scalar::Bytes => {
            *out = Value::Bytes(bytes);
            return Ok(());
        }
        Scalar::Decimal(_) | Scalar::VariableDecimal => {
            *out = numeric::from_binary(bytes, scalar.scale(), arena)?;
            return Ok(());
        }
        Scalar::Text
        | Scalar::Inet
        | Scalar::Bits
        | Scalar::OneBit
        | Scalar::Money
        | Scalar::Hstore => return text::read_into(reading, bytes, arena, out),
    }
    if reader.is_empty() { Ok(()) } else { Err(ValueError::Malformed("one binary value")) }
}

/// `timetz_send` counts seconds *west* of Greenwich.
fn time_tz<'a>(reader: &mut Reader<'_>) -> Result<Value<'a>, ValueError> {
    let micros = datetime::time_from_binary(reader.i64("a time of day")?)?;
    let west_s = reader.i32("an offset")?;
    let offset_s = west_s.checked_neg().ok_or(ValueError::Malformed("an offset"))?;
    Ok(Value::TimeTz { micros, offset_s })
}

fn interval(reader: &mut Reader<'_>) -> Result<Interval, ValueError> {
    let micros = reader.i64("an interval")?;
    let days = reader.i32("an interval")?;
    Ok(Interval { months: reader.i32("an interval")?, days, micros })
}

fn uuid<'a>(reader: &mut Reader<'_>, arena: &'a Bump) -> Result<Value<'a>, ValueError> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = bumpalo::collections::String::with_capacity_in(36, arena);
    for (at, byte) in reader.take(16, "a uuid")?.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    Ok(Value::Text(out.into_bump_str()))
}
