//! Values as the servers print them, which is how a snapshot and the catalogue send them.
//!
//! Both settings that decide about the text are our session's: `time_zone = '+00:00'` and
//! `character_set_results = utf8mb4`. The values are equal to those of the log, zero dates and
//! partial ones included ([`Value::NoSuchDate`]).

use bumpalo::Bump;

use crate::sources::mysql::calendar;
use crate::sources::mysql::decimal_text;
use crate::sources::mysql::types::MysqlType;
use crate::value::{Decimal, Value};

/// One value that is not what its type says. Never carries the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("read the value as UTF-8")]
    NotUtf8,
    #[error("read the value as {0}")]
    Malformed(&'static str),
}

/// Reads a value that is there.
///
/// # Errors
/// When the text is not of the type.
pub fn read<'a>(
    data_type: &MysqlType,
    text: &'a [u8],
    arena: &'a Bump,
) -> Result<Value<'a>, TextError> {
    Ok(match data_type {
        MysqlType::Boolean => Value::Bool(number::<i16>(text, "an integer")? != 0),
        MysqlType::TinyInt { .. }
        | MysqlType::SmallInt { .. }
        | MysqlType::MediumInt { .. }
        | MysqlType::Int { .. }
        | MysqlType::BigInt { unsigned: false }
        | MysqlType::Year => Value::Int(number(text, "an integer")?),
        MysqlType::BigInt { unsigned: true } => Value::UInt(number(text, "an unsigned integer")?),
        MysqlType::Float { .. } => Value::Float32(number(text, "a number")?),
        MysqlType::Double => Value::Float64(number(text, "a number")?),
        MysqlType::Decimal { scale, .. } => decimal(text, *scale, arena)?,
        MysqlType::Bit { length } => bits(text, *length, arena)?,
        MysqlType::Date => {
            calendar::date(text).ok_or(TextError::Malformed("a date"))?.map_or(
                // The whole row goes on; what stands there instead is the encoder's to say.
                Value::NoSuchDate,
                Value::Date,
            )
        }
        MysqlType::DateTime { .. } => {
            let micros =
                calendar::date_time(text).ok_or(TextError::Malformed("a date and time"))?;
            micros.map_or(Value::NoSuchDate, Value::Timestamp)
        }
        MysqlType::Timestamp { .. } => {
            let micros = calendar::date_time(text).ok_or(TextError::Malformed("a timestamp"))?;
            micros.map_or(Value::NoSuchDate, Value::TimestampTz)
        }
        MysqlType::Time { .. } => {
            Value::Time(calendar::time(text).ok_or(TextError::Malformed("a time"))?)
        }
        MysqlType::Text
        | MysqlType::Enum { .. }
        | MysqlType::Set { .. }
        | MysqlType::Json
        | MysqlType::Uuid
        | MysqlType::Inet4
        | MysqlType::Inet6 => {
            Value::Text(std::str::from_utf8(text).map_err(|_| TextError::NotUtf8)?)
        }
        MysqlType::Binary { .. } | MysqlType::Bytes | MysqlType::Vector => Value::Bytes(text),
        MysqlType::Point | MysqlType::Geometry => geometry(text)?,
    })
}

fn number<N: std::str::FromStr>(text: &[u8], what: &'static str) -> Result<N, TextError> {
    let text = std::str::from_utf8(text).map_err(|_| TextError::NotUtf8)?;
    text.parse().map_err(|_| TextError::Malformed(what))
}

fn decimal<'a>(text: &[u8], scale: u8, arena: &'a Bump) -> Result<Value<'a>, TextError> {
    let unscaled = decimal_text::unscaled(text, scale).ok_or(TextError::Malformed("a decimal"))?;
    let unscaled = arena.alloc_slice_copy(unscaled.as_bytes());
    Ok(Value::Decimal(Decimal { unscaled, scale: i32::from(scale) }))
}

/// Bits come as bytes, the highest first; ours begin with the lowest.
fn bits<'a>(bytes: &[u8], length: u8, arena: &'a Bump) -> Result<Value<'a>, TextError> {
    if bytes.len() != usize::from(length).div_ceil(8) {
        return Err(TextError::Malformed("bits"));
    }
    if length == 1 {
        return Ok(Value::Bool(bytes != [0]));
    }
    let bytes = arena.alloc_slice_copy(bytes);
    bytes.reverse();
    Ok(Value::Bytes(bytes))
}

/// The number of the reference system, then well-known binary
/// (<https://dev.mysql.com/doc/refman/8.4/en/gis-data-formats.html>).
fn geometry(bytes: &[u8]) -> Result<Value<'_>, TextError> {
    let (srid, wkb) = bytes.split_first_chunk::<4>().ok_or(TextError::Malformed("a geometry"))?;
    Ok(Value::Geometry { srid: u32::from_le_bytes(*srid), wkb })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(declared: &str, text: &[u8], expected: Result<Value<'_>, TextError>) {
        let arena = Bump::new();
        let data_type = MysqlType::declared(declared).unwrap();
        assert_eq!(read(&data_type, text, &arena), expected, "{declared}");
    }

    #[test]
    fn values_are_read_as_they_are_printed() {
        let decimal = |unscaled, scale| Ok(Value::Decimal(Decimal { unscaled, scale }));
        check("tinyint", b"-128", Ok(Value::Int(-128)));
        check("int unsigned", b"4294967295", Ok(Value::Int(4_294_967_295)));
        check("int(10) unsigned zerofill", b"0000000042", Ok(Value::Int(42)));
        check("bigint unsigned", b"18446744073709551615", Ok(Value::UInt(u64::MAX)));
        check("year", b"0000", Ok(Value::Int(0)));
        check("float", b"3.4028234663852886e38", Ok(Value::Float32(f32::MAX)));
        check("float", b"0.10000000149011612", Ok(Value::Float32(0.1)));
        check("double", b"-1.7976931348623157e308", Ok(Value::Float64(f64::MIN)));
        check("decimal(10,2)", b"-0.01", decimal(&[0xFF], 2));
        check("bit(1)", &[1], Ok(Value::Bool(true)));
        check("bit(20)", &[8, 0, 1], Ok(Value::Bytes(&[1, 0, 8])));
        check("date", b"2024-02-29", Ok(Value::Date(19_782)));
        check("date", b"2024-02-31", Ok(Value::NoSuchDate));
        check("datetime(3)", b"1969-12-31 23:59:59.999", Ok(Value::Timestamp(-1_000)));
        check("timestamp", b"0000-00-00 00:00:00", Ok(Value::NoSuchDate));
        check("timestamp(6)", b"2038-01-19 03:14:07.999999", {
            Ok(Value::TimestampTz(2_147_483_647_999_999))
        });
        check("time(6)", b"-838:59:58.999999", Ok(Value::Time(-3_020_398_999_999)));
        check("varchar(5)", "tr  ü".as_bytes(), Ok(Value::Text("tr  ü")));
        check("varbinary(5)", &[0xFF, 0], Ok(Value::Bytes(&[0xFF, 0])));
        check("point", &[0xE6, 16, 0, 0, 1, 2], Ok(Value::Geometry { srid: 4326, wkb: &[1, 2] }));
    }

    #[test]
    fn what_is_not_of_the_type_is_refused() {
        check("int", b"4x", Err(TextError::Malformed("an integer")));
        check("bigint unsigned", b"-1", Err(TextError::Malformed("an unsigned integer")));
        check("text", &[0xFF], Err(TextError::NotUtf8));
        check("bit(9)", &[1], Err(TextError::Malformed("bits")));
        check("geometry", &[0, 0, 0], Err(TextError::Malformed("a geometry")));
        check("date", b"2024-02-2", Err(TextError::Malformed("a date")));
        check("decimal(10,2)", b"0.001", Err(TextError::Malformed("a decimal")));
    }
}
