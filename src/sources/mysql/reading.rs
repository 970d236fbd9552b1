//! How one column of a row is read: decided once for each version of a table, so that a row is a
//! walk over a list.
//!
//! Each reading takes exactly its bytes, whatever they hold, so that a value that makes no sense
//! spoils its own row only. Values are borrowed from the event where their bytes are what the
//! change needs, and are else rewritten in the arena.

use std::sync::Arc;

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;

use crate::sources::mysql::binlog::compressed::{Wrapping, inflate};
use crate::sources::mysql::binlog::table_map::{MapColumn, column_type as t};
use crate::sources::mysql::binlog::{Reader, Short};
use crate::sources::mysql::charset::Charset;
use crate::sources::mysql::decimal;
use crate::sources::mysql::decode_error::ValueError;
use crate::sources::mysql::json::{self, JsonForm};
use crate::sources::mysql::temporal::{self, fraction_bytes};
use crate::sources::mysql::types::MysqlType;
use crate::value::Value;

#[derive(Clone, Debug)]
pub(crate) enum Reading {
    Boolean,
    Int8,
    UInt8,
    Int16,
    UInt16,
    Int24,
    UInt24,
    Int32,
    UInt32,
    Int64,
    UInt64,
    Float,
    Double,
    Decimal(decimal::Shape),
    Year,
    Date,
    /// Before MySQL 5.6, as the two below it.
    OldTime,
    OldDateTime,
    OldTimestamp,
    Time {
        digits: u8,
    },
    DateTime {
        digits: u8,
    },
    Timestamp {
        digits: u8,
    },
    Bit {
        bits: u8,
    },
    Enum {
        bytes: u8,
        labels: Arc<[String]>,
    },
    Set {
        bytes: u8,
        labels: Arc<[String]>,
    },
    Text {
        length: Length,
        charset: Charset,
    },
    Bytes {
        length: Length,
    },
    /// BINARY: the log leaves out zeros at the end (`Field_string::pack`).
    Padded {
        length: Length,
        to: u16,
    },
    /// MariaDB's `COMPRESSED` columns; without a character set they are bytes.
    Compressed {
        length: Length,
        charset: Option<Charset>,
    },
    Json {
        length: Length,
        form: JsonForm,
    },
    Geometry {
        length: Length,
    },
    Uuid,
    Inet4,
    Inet6,
}

/// How many bytes say how long a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    One,
    Two,
    Three,
    Four,
}

impl Length {
    /// Of a value of at most so many bytes.
    pub(crate) fn of_maximum(bytes: u16) -> Self {
        if bytes > 255 { Self::Two } else { Self::One }
    }

    pub(crate) fn of_pack(bytes: u16) -> Option<Self> {
        Some(match bytes {
            1 => Self::One,
            2 => Self::Two,
            3 => Self::Three,
            4 => Self::Four,
            _ => return None,
        })
    }

    #[inline]
    pub(crate) fn take<'a>(self, reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
        let length = match self {
            Self::One => u32::from(reader.u8()?),
            Self::Two => u32::from(reader.u16()?),
            Self::Three => reader.u24()?,
            Self::Four => reader.u32()?,
        };
        reader.take(usize::try_from(length).map_err(|_| Short)?)
    }
}

/// Why a value could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The event ends within the value: nothing after it can be found.
    Short,
    /// The value's bytes were taken.
    Value(ValueError),
}

impl From<Short> for Fault {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

impl From<ValueError> for Fault {
    fn from(error: ValueError) -> Self {
        Self::Value(error)
    }
}

impl Reading {
    /// # Errors
    /// With what the table map does not tell, or tells wrong.
    pub(crate) fn of(
        column: &MapColumn<'_>,
        data_type: &MysqlType,
        form: JsonForm,
    ) -> Result<Self, &'static str> {
        let unsigned = || column.unsigned.ok_or("the log does not tell whether it is unsigned");
        let signed = |signed, without| unsigned().map(|u| if u { without } else { signed });
        let pack = || Length::of_pack(column.metadata).ok_or("its length has an unknown size");
        let [high, low] = column.metadata.to_be_bytes();
        let digits = || Some(low).filter(|d| *d <= 6).ok_or("it has more than six fraction digits");
        Ok(match column.column_type {
            t::TINY if *data_type == MysqlType::Boolean => Self::Boolean,
            t::TINY => signed(Self::Int8, Self::UInt8)?,
            t::SHORT => signed(Self::Int16, Self::UInt16)?,
            t::INT24 => signed(Self::Int24, Self::UInt24)?,
            t::LONG => signed(Self::Int32, Self::UInt32)?,
            t::LONGLONG => signed(Self::Int64, Self::UInt64)?,
            t::FLOAT if column.metadata == 4 => Self::Float,
            t::DOUBLE if column.metadata == 8 => Self::Double,
            t::NEWDECIMAL => {
                let shape = decimal::Shape::new(high, low);
                Self::Decimal(shape.ok_or("its precision and scale are no decimal's")?)
            }
            t::YEAR => Self::Year,
            t::DATE | t::NEWDATE => Self::Date,
            t::TIME => Self::OldTime,
            t::DATETIME => Self::OldDateTime,
            t::TIMESTAMP => Self::OldTimestamp,
            t::TIME2 => Self::Time { digits: digits()? },
            t::DATETIME2 => Self::DateTime { digits: digits()? },
            t::TIMESTAMP2 => Self::Timestamp { digits: digits()? },
            t::BIT => bits(high, low)?,
            t::ENUM | t::SET => list(column, data_type)?,
            t::STRING | t::VARCHAR | t::VAR_STRING => string(column, data_type)?,
            t::BLOB | t::TINY_BLOB | t::MEDIUM_BLOB | t::LONG_BLOB => {
                let length = pack()?;
                text(column)?
                    .map_or(Self::Bytes { length }, |charset| Self::Text { length, charset })
            }
            t::BLOB_COMPRESSED => Self::Compressed { length: pack()?, charset: text(column)? },
            t::VARCHAR_COMPRESSED => {
                let length = Length::of_maximum(column.metadata);
                Self::Compressed { length, charset: text(column)? }
            }
            t::JSON => Self::Json { length: pack()?, form },
            t::GEOMETRY => Self::Geometry { length: pack()? },
            t::VECTOR => Self::Bytes { length: pack()? },
            _ => return Err("its type is not known"),
        })
    }

    pub(crate) fn read<'a>(
        &self,
        reader: &mut Reader<'a>,
        arena: &'a Bump,
    ) -> Result<Value<'a>, Fault> {
        let mut value = Value::Null;
        self.read_into(reader, arena, &mut value)?;
        Ok(value)
    }

    /// As [`Self::read`], to the value's place in its row: a value that is handed up in a `Result`
    /// is copied before its bytes have left the processor's store buffer, and waits for them.
    #[inline]
    pub(crate) fn read_into<'a>(
        &self,
        reader: &mut Reader<'a>,
        arena: &'a Bump,
        out: &mut Value<'a>,
    ) -> Result<(), Fault> {
        match self {
            Self::Boolean => *out = Value::Bool(reader.u8()? != 0),
            Self::Int8 => *out = Value::Int(i64::from(reader.u8()?.cast_signed())),
            Self::UInt8 => *out = Value::Int(i64::from(reader.u8()?)),
            Self::Int16 => *out = Value::Int(i64::from(reader.u16()?.cast_signed())),
            Self::UInt16 => *out = Value::Int(i64::from(reader.u16()?)),
            // The sign is the highest of 24 bits.
            Self::Int24 => *out = Value::Int(i64::from((reader.u24()? << 8).cast_signed() >> 8)),
            Self::UInt24 => *out = Value::Int(i64::from(reader.u24()?)),
            Self::Int32 => *out = Value::Int(i64::from(reader.u32()?.cast_signed())),
            Self::UInt32 => *out = Value::Int(i64::from(reader.u32()?)),
            Self::Int64 => *out = Value::Int(reader.u64()?.cast_signed()),
            Self::UInt64 => *out = Value::UInt(reader.u64()?),
            Self::Float => *out = Value::Float32(f32::from_bits(reader.u32()?)),
            Self::Double => *out = Value::Float64(f64::from_bits(reader.u64()?)),
            Self::Decimal(shape) => {
                *out = decimal::value(reader.take(shape.n_bytes())?, *shape, arena)?;
            }
            Self::Date => *out = temporal::date(reader.u24()?),
            Self::Time { digits } => {
                let (whole, part) = (reader.take(3)?, reader.take(fraction_bytes(*digits))?);
                *out = temporal::time2(whole, part)?;
            }
            Self::DateTime { digits } => {
                let (whole, part) = (reader.array()?, reader.take(fraction_bytes(*digits))?);
                *out = temporal::datetime2(whole, part)?;
            }
            Self::Timestamp { digits } => {
                let seconds = u32::from_be_bytes(reader.array()?);
                *out = temporal::timestamp2(seconds, reader.take(fraction_bytes(*digits))?)?;
            }
            Self::Text { length, charset } => {
                let bytes = length.take(reader)?;
                *out = Value::Text(charset.decode(bytes, arena).map_err(ValueError::from)?);
            }
            Self::Bytes { length } => *out = Value::Bytes(length.take(reader)?),
            other => *out = other.read_rare(reader, arena)?,
        }
        Ok(())
    }

    fn read_rare<'a>(&self, reader: &mut Reader<'a>, arena: &'a Bump) -> Result<Value<'a>, Fault> {
        Ok(match self {
            // 0 is the year 0000, which is no year of the calendar but a value of the type.
            Self::Year => Value::Int(match reader.u8()? {
                0 => 0,
                since_1900 => 1900 + i64::from(since_1900),
            }),
            Self::OldTime => temporal::time(reader.u24()?)?,
            Self::OldDateTime => temporal::datetime(reader.u64()?)?,
            Self::OldTimestamp => temporal::timestamp2(reader.u32()?, &[])?,
            Self::Bit { bits } => {
                let bytes = reader.take(usize::from(*bits).div_ceil(8))?;
                if *bits == 1 { Value::Bool(bytes != [0]) } else { reversed(bytes, arena) }
            }
            Self::Enum { bytes, labels } => {
                let number = little_endian(reader.take(usize::from(*bytes))?);
                Value::Text(label(number, labels, arena)?)
            }
            Self::Set { bytes, labels } => {
                let members = little_endian(reader.take(usize::from(*bytes))?);
                Value::Text(set(members, labels, arena)?)
            }
            Self::Padded { length, to } => {
                Value::Bytes(padded(length.take(reader)?, usize::from(*to), arena))
            }
            Self::Compressed { length, charset } => {
                compressed(length.take(reader)?, *charset, arena)?
            }
            Self::Json { length, form } => {
                Value::Text(json::to_text(length.take(reader)?, *form, arena)?)
            }
            Self::Geometry { length } => geometry(length.take(reader)?)?,
            Self::Uuid => Value::Text(uuid(&fixed(reader)?, arena)),
            Self::Inet4 => {
                let address = std::net::Ipv4Addr::from(fixed::<4>(reader)?);
                Value::Text(bumpalo::format!(in arena, "{}", address).into_bump_str())
            }
            Self::Inet6 => {
                let address = std::net::Ipv6Addr::from(fixed::<16>(reader)?);
                Value::Text(bumpalo::format!(in arena, "{}", address).into_bump_str())
            }
            _ => unreachable!("`read_into` reads the others"),
        })
    }
}

fn text(column: &MapColumn<'_>) -> Result<Option<Charset>, &'static str> {
    let collation = column.collation.ok_or("the log does not tell its character set")?;
    match Charset::of_collation(collation).ok_or("its collation is not known")? {
        Charset::Binary => Ok(None),
        charset => Ok(Some(charset)),
    }
}

fn string(column: &MapColumn<'_>, data_type: &MysqlType) -> Result<Reading, &'static str> {
    let length = Length::of_maximum(column.metadata);
    if column.column_type == t::STRING {
        match data_type {
            MysqlType::Uuid => return Ok(Reading::Uuid),
            MysqlType::Inet4 => return Ok(Reading::Inet4),
            MysqlType::Inet6 => return Ok(Reading::Inet6),
            _ => {}
        }
    }
    Ok(match text(column)? {
        Some(charset) => Reading::Text { length, charset },
        None if column.column_type == t::STRING => Reading::Padded { length, to: column.metadata },
        None => Reading::Bytes { length },
    })
}

/// Bits beyond whole bytes, then whole bytes.
fn bits(bits: u8, bytes: u8) -> Result<Reading, &'static str> {
    let all = bytes.checked_mul(8).and_then(|n| n.checked_add(bits));
    let bits = all.filter(|n| (1..=64).contains(n)).ok_or("it has not between 1 and 64 bits")?;
    Ok(Reading::Bit { bits })
}

fn list(column: &MapColumn<'_>, data_type: &MysqlType) -> Result<Reading, &'static str> {
    let bytes = u8::try_from(column.metadata).ok().filter(|n| (1..=8).contains(n));
    let bytes = bytes.ok_or("its numbers have an unknown size")?;
    match data_type {
        MysqlType::Enum { labels } => Ok(Reading::Enum { bytes, labels: Arc::clone(labels) }),
        MysqlType::Set { labels } => Ok(Reading::Set { bytes, labels: Arc::clone(labels) }),
        _ => Err("the log does not tell its labels"),
    }
}

#[inline]
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// 0 is the empty text of a value that was not valid (manual, "The ENUM Type").
fn label<'a>(number: u64, labels: &[String], arena: &'a Bump) -> Result<&'a str, ValueError> {
    let Some(index) = number.checked_sub(1) else { return Ok("") };
    let label = usize::try_from(index).ok().and_then(|index| labels.get(index));
    Ok(arena.alloc_str(label.ok_or(ValueError::NoLabel(number))?))
}

fn set<'a>(members: u64, labels: &[String], arena: &'a Bump) -> Result<&'a str, ValueError> {
    let mut text = BumpString::new_in(arena);
    for index in (0..u64::BITS).filter(|index| members >> index & 1 != 0) {
        let label = usize::try_from(index).ok().and_then(|index| labels.get(index));
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(label.ok_or(ValueError::NoLabel(u64::from(index) + 1))?);
    }
    Ok(text.into_bump_str())
}

/// Bits come as bytes, the highest first; ours begin with the lowest.
fn reversed<'a>(bytes: &[u8], arena: &'a Bump) -> Value<'a> {
    let bytes = arena.alloc_slice_copy(bytes);
    bytes.reverse();
    Value::Bytes(bytes)
}

fn padded<'a>(bytes: &'a [u8], to: usize, arena: &'a Bump) -> &'a [u8] {
    if bytes.len() >= to {
        return bytes;
    }
    let whole = arena.alloc_slice_fill_copy(to, 0);
    whole.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    whole
}

/// MariaDB's fixed binary types are stored as BINARY is: without zeros at the end.
fn fixed<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], Fault> {
    let bytes = reader.short_bytes()?;
    let mut whole = [0; N];
    let slots = whole.get_mut(..bytes.len()).ok_or(ValueError::Malformed("an address or UUID"))?;
    slots.copy_from_slice(bytes);
    Ok(whole)
}

/// `Field_longstr::uncompress` and `Field_blob_compressed` of MariaDB: nothing, or a byte that is 0
/// before bytes as they are, or one with algorithm 8 (zlib), "no header" and the number of bytes of
/// the length that follows.
fn compressed<'a>(
    bytes: &'a [u8],
    charset: Option<Charset>,
    arena: &'a Bump,
) -> Result<Value<'a>, ValueError> {
    let malformed = ValueError::Malformed("a compressed value");
    let bytes: &'a [u8] = match bytes {
        [] | [0] => &[],
        [0, plain @ ..] => plain,
        [head, rest @ ..] if head >> 4 == 8 => {
            let length_bytes = usize::from(head & 7);
            let (length, data) = rest.split_at_checked(length_bytes).ok_or(malformed)?;
            if !(1..=4).contains(&length_bytes) {
                return Err(malformed);
            }
            let length = length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            let wrapping = if head & 8 != 0 { Wrapping::Raw } else { Wrapping::Zlib };
            let mut plain = Vec::new();
            inflate(data, length, wrapping, &mut plain).map_err(|_| malformed)?;
            arena.alloc_slice_copy(&plain)
        }
        _ => return Err(malformed),
    };
    Ok(match charset {
        Some(charset) => Value::Text(charset.decode(bytes, arena)?),
        None => Value::Bytes(bytes),
    })
}

/// The number of the reference system, then well-known binary (manual, "Internal Geometry Storage
/// Format").
fn geometry(bytes: &[u8]) -> Result<Value<'_>, ValueError> {
    let parts = bytes.split_first_chunk::<4>();
    let (srid, wkb) = parts.ok_or(ValueError::Malformed("a geometry"))?;
    Ok(Value::Geometry { srid: u32::from_le_bytes(*srid), wkb })
}

/// The canonical text.
fn uuid<'a>(bytes: &[u8; 16], arena: &'a Bump) -> &'a str {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = BumpString::with_capacity_in(36, arena);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text.into_bump_str()
}
