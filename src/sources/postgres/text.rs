//! Text form to [`Value`]: what a type's output function prints, under the settings that every
//! connection of ours makes (`DateStyle = ISO`, `IntervalStyle = postgres`, `bytea_output = hex`,
//! `extra_float_digits = 1`, `client_encoding = UTF8`).

use bumpalo::Bump;

use crate::sources::postgres::decode_error::ValueError;
use crate::sources::postgres::types::{Reading, Scalar};
use crate::sources::postgres::{array, datetime, hstore, numeric};
use crate::value::Value;

/// # Errors
/// When the bytes are not what the type prints.
pub fn read<'a>(
    reading: Reading,
    bytes: &'a [u8],
    arena: &'a Bump,
) -> Result<Value<'a>, ValueError> {
    let mut value = Value::Null;
    read_into(reading, bytes, arena, &mut value)?;
    Ok(value)
}

/// As [`read`], to the value's place in its row: a value that is handed up in a `Result` is copied
/// twice, before its bytes have left the processor's store buffer, and that costs more than to
/// read it.
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
    match reading {
        Reading::Scalar(scalar) => read_scalar(scalar, bytes, arena, out),
        Reading::Array(scalar) => {
            *out = array::from_text(utf8(bytes)?, arena, |element| {
                let mut value = Value::Null;
                read_scalar(scalar, element.as_bytes(), arena, &mut value)?;
                Ok(value)
            })?;
            Ok(())
        }
    }
}

/// What is read digit by digit is ASCII by that; only the rest is asked whether it is UTF-8.
#[inline]
fn read_scalar<'a>(
    scalar: Scalar,
    text: &'a [u8],
    arena: &'a Bump,
    out: &mut Value<'a>,
) -> Result<(), ValueError> {
    match scalar {
        Scalar::Text | Scalar::Jsonb => *out = Value::Text(utf8(text)?),
        Scalar::Int16 => *out = Value::Int(integer::<i16>(text, "a smallint")?.into()),
        Scalar::Int32 => *out = Value::Int(integer::<i32>(text, "an integer")?.into()),
        Scalar::Int64 => *out = Value::Int(integer(text, "a bigint")?),
        Scalar::Oid => *out = Value::Int(integer::<u32>(text, "an oid")?.into()),
        Scalar::Bool => *out = Value::Bool(boolean(text)?),
        Scalar::Float32 => *out = Value::Float32(number(utf8(text)?, "a real")?),
        Scalar::Float64 => *out = Value::Float64(number(utf8(text)?, "a double precision")?),
        Scalar::Decimal(_) | Scalar::VariableDecimal => {
            *out = numeric::from_text(text, scalar.scale(), arena)?;
        }
        Scalar::Timestamp => *out = Value::Timestamp(datetime::timestamp(text)?),
        Scalar::TimestampTz => *out = datetime::timestamp_tz(text)?,
        Scalar::Date => *out = Value::Date(datetime::date(text)?),
        Scalar::Time => *out = Value::Time(datetime::time(text)?),
        Scalar::TimeTz => {
            let (micros, offset_s) = datetime::time_tz(text)?;
            *out = Value::TimeTz { micros, offset_s };
        }
        Scalar::Interval => *out = Value::Interval(datetime::interval(utf8(text)?)?),
        Scalar::Uuid => *out = uuid(utf8(text)?)?,
        Scalar::Bytes => *out = Value::Bytes(bytea(utf8(text)?, arena)?),
        Scalar::Bits => *out = Value::Bytes(bits(utf8(text)?, arena)?),
        // No bit at all (an empty varbit) is no bit set.
        Scalar::OneBit => {
            *out = Value::Bool(bits(utf8(text)?, arena)?.iter().any(|&byte| byte != 0));
        }
        Scalar::Money => *out = numeric::money(utf8(text)?, arena)?,
        Scalar::Inet => *out = Value::Text(without_host_mask(utf8(text)?)),
        Scalar::Hstore => *out = Value::Text(hstore::to_json(utf8(text)?, arena)?),
        Scalar::Point => *out = point(utf8(text)?)?,
    }
    Ok(())
}

#[inline]
fn utf8(text: &[u8]) -> Result<&str, ValueError> {
    std::str::from_utf8(text).map_err(|_| ValueError::NotUtf8)
}

/// Digits behind at most a minus sign: the server never writes a plus.
#[inline]
fn integer<T: TryFrom<i64>>(text: &[u8], expected: &'static str) -> Result<T, ValueError> {
    let malformed = ValueError::Malformed(expected);
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return Err(malformed);
    }
    // Below zero, where there is one number more than above.
    let mut number = 0_i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return Err(malformed);
        }
        let next = number.checked_mul(10).and_then(|tens| tens.checked_sub(digit.into()));
        number = next.ok_or(malformed)?;
    }
    let number = if negative { number } else { number.checked_neg().ok_or(malformed)? };
    T::try_from(number).map_err(|_| malformed)
}

#[inline]
fn number<T: std::str::FromStr>(text: &str, expected: &'static str) -> Result<T, ValueError> {
    // Rust reads a leading plus, the server never writes one.
    if text.starts_with('+') {
        return Err(ValueError::Malformed(expected));
    }
    text.parse().map_err(|_| ValueError::Malformed(expected))
}

fn boolean(text: &[u8]) -> Result<bool, ValueError> {
    match text {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(ValueError::Malformed("a boolean")),
    }
}

/// 32 digits in five groups; nothing else may reach a key.
fn uuid(text: &str) -> Result<Value<'_>, ValueError> {
    let fits = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    if text.len() == 36 && text.bytes().enumerate().all(fits) {
        return Ok(Value::Text(text));
    }
    Err(ValueError::Malformed("a uuid"))
}

fn bytea<'a>(text: &str, arena: &'a Bump) -> Result<&'a [u8], ValueError> {
    const MALFORMED: ValueError = ValueError::Malformed("a bytea in hex form");
    let digits = text.strip_prefix("\\x").ok_or(MALFORMED)?.as_bytes();
    let (pairs, odd) = digits.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(MALFORMED);
    }
    let mut bytes = bumpalo::collections::Vec::with_capacity_in(pairs.len(), arena);
    for [high, low] in pairs {
        bytes.push(hex_digit(*high).ok_or(MALFORMED)? << 4 | hex_digit(*low).ok_or(MALFORMED)?);
    }
    Ok(bytes.into_bump_slice())
}

#[inline]
fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The string as one number, least significant byte first, without leading zeros: Java's
/// `BitSet.toByteArray`, which Debezium sends.
fn bits<'a>(text: &str, arena: &'a Bump) -> Result<&'a [u8], ValueError> {
    let mut bytes = bumpalo::collections::Vec::with_capacity_in(text.len().div_ceil(8), arena);
    for group in text.as_bytes().rchunks(8) {
        let mut byte = 0;
        for digit in group {
            byte = byte << 1
                | match digit {
                    b'0' => 0,
                    b'1' => 1,
                    _ => return Err(ValueError::Malformed("a bit string")),
                };
        }
        bytes.push(byte);
    }
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes.into_bump_slice())
}

/// `inet_out` leaves out the mask of a single host, `inet::text` does not.
fn without_host_mask(text: &str) -> &str {
    let mask = if text.contains(':') { "/128" } else { "/32" };
    text.strip_suffix(mask).unwrap_or(text)
}

fn point(text: &str) -> Result<Value<'_>, ValueError> {
    const EXPECTED: &str = "a point";
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    let (x, y) =
        inner.and_then(|text| text.split_once(',')).ok_or(ValueError::Malformed(EXPECTED))?;
    Ok(Value::Point { x: number(x, EXPECTED)?, y: number(y, EXPECTED)? })
}

#[cfg(test)]
mod tests;
