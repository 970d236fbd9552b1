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
#[inline]
pub fn read<'a>(
    reading: Reading,
    bytes: &'a [u8],
    arena: &'a Bump,
) -> Result<Value<'a>, ValueError> {
    let mut reader = Reader::new(bytes);
    let Reading::Scalar(scalar) = reading else { return text::read(reading, bytes, arena) };
    let value = match scalar {
        Scalar::Bool => match reader.u8("a boolean")? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            _ => return Err(ValueError::Malformed("a boolean")),
        },
        Scalar::Int16 => Value::Int(reader.i16("a smallint")?.into()),
        Scalar::Int32 => Value::Int(reader.i32("an integer")?.into()),
        Scalar::Int64 => Value::Int(reader.i64("a bigint")?),
        Scalar::Oid => Value::Int(reader.u32("an oid")?.into()),
        Scalar::Float32 => Value::Float32(f32::from_bits(reader.u32("a real")?)),
        Scalar::Float64 => Value::Float64(f64::from_bits(reader.u64("a double precision")?)),
        Scalar::Date => Value::Date(datetime::date_from_binary(reader.i32("a date")?)?),
        Scalar::Time => Value::Time(datetime::time_from_binary(reader.i64("a time of day")?)?),
        Scalar::TimeTz => time_tz(&mut reader)?,
        Scalar::Timestamp => {
            Value::Timestamp(datetime::timestamp_from_binary(reader.i64("a timestamp")?)?)
        }
        Scalar::TimestampTz => datetime::timestamp_tz_from_binary(reader.i64("a timestamp")?)?,
        Scalar::Interval => Value::Interval(interval(&mut reader)?),
        Scalar::Point => Value::Point {
            x: f64::from_bits(reader.u64("a point")?),
            y: f64::from_bits(reader.u64("a point")?),
        },
        Scalar::Uuid => uuid(&mut reader, arena)?,
        Scalar::Jsonb => {
            // jsonb_send: version 1, then the text.
            if reader.u8("the version of a jsonb")? != 1 {
                return Err(ValueError::Malformed("a jsonb"));
            }
            return text::read(reading, reader.rest(), arena);
        }
        Scalar::Bytes => return Ok(Value::Bytes(bytes)),
        Scalar::Decimal(_) | Scalar::VariableDecimal => {
            return numeric::from_binary(bytes, scalar.scale(), arena);
        }
        Scalar::Text
        | Scalar::Inet
        | Scalar::Bits
        | Scalar::OneBit
        | Scalar::Money
        | Scalar::Hstore => return text::read(reading, bytes, arena),
    };
    if reader.is_empty() { Ok(value) } else { Err(ValueError::Malformed("one binary value")) }
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
