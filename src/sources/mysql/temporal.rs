//! Dates and times as rows and JSON documents store them (`sql-common/my_time.cc`,
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html>).
//!
//! A date that is no day of the calendar (zero, partial, or made under ALLOW_INVALID_DATES) is
//! [`Value::NoSuchDate`]; a time that is no time is an error, since no server stores one.

use crate::sources::mysql::calendar;
use crate::sources::mysql::decode_error::ValueError;
use crate::value::Value;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A date and time in its parts, as MySQL keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) negative: bool,
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) hour: u16,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    pub(crate) micros: u32,
}

/// Bytes of the fraction of a second with so many digits.
#[inline]
pub(crate) fn fraction_bytes(digits: u8) -> usize {
    usize::from(digits).div_ceil(2)
}

/// A fraction in microseconds: hundredths, ten-thousandths or millionths by its bytes.
#[inline]
fn fraction(bytes: &[u8]) -> i64 {
    let number = big_endian(bytes);
    match bytes.len() {
        1 => number * 10_000,
        2 => number * 100,
        _ => number,
    }
}

#[inline]
fn big_endian(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte))
}

#[inline]
fn small(number: i64) -> u8 {
    // Callers mask or divide first.
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// DATE: three bytes, 5 bits of day, 4 of month, the rest year.
#[inline]
pub(crate) fn date(number: u32) -> Value<'static> {
    let year = u16::try_from(number >> 9).unwrap_or_default();
    let [low, ..] = (number & 31).to_le_bytes();
    let [month, ..] = (number >> 5 & 15).to_le_bytes();
    calendar::days(year, month, low).map_or(Value::NoSuchDate, Value::Date)
}

/// DATETIME(n): five bytes and a fraction (`my_datetime_packed_from_binary`).
#[inline]
pub(crate) fn datetime2(whole: [u8; 5], part: &[u8]) -> Result<Value<'static>, ValueError> {
    const OFFSET: i64 = 0x80_0000_0000;
    let packed = big_endian(&whole) - OFFSET;
    if packed < 0 {
        return Err(ValueError::Malformed("a DATETIME"));
    }
    moment(&of_datetime(packed, fraction(part))?)
}

/// 17 bits of time of day below year and month in base 13 and 5 bits of day.
fn of_datetime(packed: i64, micros: i64) -> Result<Parts, ValueError> {
    let malformed = ValueError::Malformed("a DATETIME");
    let (days, time) = (packed >> 17, packed & 0x1_FFFF);
    let months = days >> 5;
    let year = u16::try_from(months / 13).map_err(|_| malformed)?;
    let micros = u32::try_from(micros).map_err(|_| malformed)?;
    let parts = Parts {
        negative: false,
        year,
        month: small(months % 13),
        day: small(days & 31),
        hour: u16::from(small(time >> 12)),
        minute: small(time >> 6 & 63),
        second: small(time & 63),
        micros,
    };
    let fits = parts.hour < 24 && parts.minute < 60 && parts.second < 60 && micros < 1_000_000;
    if fits && year <= 9999 { Ok(parts) } else { Err(malformed) }
}

fn moment(parts: &Parts) -> Result<Value<'static>, ValueError> {
    let time = time_of_day(parts);
    let days = calendar::days(parts.year, parts.month, parts.day);
    Ok(days.map_or(Value::NoSuchDate, |days| Value::Timestamp(i64::from(days) * DAY + time)))
}

fn time_of_day(parts: &Parts) -> i64 {
    i64::from(parts.hour) * HOUR
        + i64::from(parts.minute) * MINUTE
        + i64::from(parts.second) * SECOND
        + i64::from(parts.micros)
}

/// DATETIME before MySQL 5.6: the decimal number YYYYMMDDhhmmss.
pub(crate) fn datetime(number: u64) -> Result<Value<'static>, ValueError> {
    let malformed = ValueError::Malformed("a DATETIME");
    let number = i64::try_from(number).map_err(|_| malformed)?;
    let (date, time) = (number / 1_000_000, number % 1_000_000);
    let parts = Parts {
        negative: false,
        year: u16::try_from(date / 10_000).map_err(|_| malformed)?,
        month: small(date / 100 % 100),
        day: small(date % 100),
        hour: u16::from(small(time / 10_000)),
        minute: small(time / 100 % 100),
        second: small(time % 100),
        micros: 0,
    };
    let fits = parts.hour < 24 && parts.minute < 60 && parts.second < 60 && parts.year <= 9999;
    if fits { moment(&parts) } else { Err(malformed) }
}

/// TIMESTAMP(n): seconds since 1970 in UTC, unsigned: MariaDB 11.5 reaches 2106 with them.
#[inline]
pub(crate) fn timestamp2(seconds: u32, part: &[u8]) -> Result<Value<'static>, ValueError> {
    let micros = fraction(part);
    if micros >= SECOND {
        return Err(ValueError::Malformed("a TIMESTAMP"));
    }
    // 0 is '0000-00-00 00:00:00': the first real timestamp is a second later (manual, "The DATE,
    // DATETIME, and TIMESTAMP Types").
    if seconds == 0 && micros == 0 {
        return Ok(Value::NoSuchDate);
    }
    Ok(Value::TimestampTz(i64::from(seconds) * SECOND + micros))
}

/// TIME(n): three bytes and a fraction, which count together: -00:00:00.5 is half a second below
/// zero, stored as -1 and a half (`my_time_packed_from_binary`).
#[inline]
pub(crate) fn time2(whole: &[u8], part: &[u8]) -> Result<Value<'static>, ValueError> {
    const OFFSET: i64 = 0x80_0000;
    let bits = 8 * part.len();
    let stored = (big_endian(whole) - OFFSET) << bits | big_endian(part);
    let magnitude = stored.abs();
    let (whole, part) = (magnitude >> bits, magnitude & ((1 << bits) - 1));
    let micros = match bits {
        8 => part * 10_000,
        16 => part * 100,
        _ => part,
    };
    let parts = of_time(whole, micros, stored < 0)?;
    Ok(Value::Time(duration(&parts)))
}

/// 10 bits of hours, 6 of minutes, 6 of seconds.
fn of_time(packed: i64, micros: i64, negative: bool) -> Result<Parts, ValueError> {
    let malformed = ValueError::Malformed("a TIME");
    let parts = Parts {
        negative,
        year: 0,
        month: 0,
        day: 0,
        hour: u16::try_from(packed >> 12).map_err(|_| malformed)?,
        minute: small(packed >> 6 & 63),
        second: small(packed & 63),
        micros: u32::try_from(micros).map_err(|_| malformed)?,
    };
    // TIME_MAX_HOUR
    let fits = parts.hour <= 838 && parts.minute < 60 && parts.second < 60;
    if fits && micros < SECOND { Ok(parts) } else { Err(malformed) }
}

fn duration(parts: &Parts) -> i64 {
    let micros = time_of_day(parts);
    if parts.negative { -micros } else { micros }
}

/// TIME before MySQL 5.6: the decimal number hhmmss in three bytes, negative by two's complement.
pub(crate) fn time(number: u32) -> Result<Value<'static>, ValueError> {
    // 24 bits, so the sign is the 24th.
    let number = i64::from(number) - if number & 0x80_0000 != 0 { 0x100_0000 } else { 0 };
    let magnitude = number.abs();
    let (hour, minute, second) = (magnitude / 10_000, magnitude / 100 % 100, magnitude % 100);
    let packed = (hour << 12) | (minute << 6) | second;
    if minute >= 60 || second >= 60 {
        return Err(ValueError::Malformed("a TIME"));
    }
    of_time(packed, 0, number < 0).map(|parts| Value::Time(duration(&parts)))
}

/// A date and time in a JSON document: the packed form with 24 bits of microseconds
/// (`TIME_from_longlong_datetime_packed`).
pub(crate) fn unpack_datetime(packed: i64) -> Result<Parts, ValueError> {
    let negative = packed < 0;
    let magnitude = packed.checked_abs().ok_or(ValueError::Malformed("a DATETIME"))?;
    let parts = of_datetime(magnitude >> 24, magnitude & 0xFF_FFFF)?;
    Ok(Parts { negative, ..parts })
}

/// A time in a JSON document (`TIME_from_longlong_time_packed`).
pub(crate) fn unpack_time(packed: i64) -> Result<Parts, ValueError> {
    let magnitude = packed.checked_abs().ok_or(ValueError::Malformed("a TIME"))?;
    of_time(magnitude >> 24, magnitude & 0xFF_FFFF, packed < 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_near_zero_and_at_the_ends() {
        for (whole, part, micros) in [
            ([0x80, 0, 0], &[][..], 0),
            ([0x7F, 0xFF, 0xFF], &[], -SECOND),
            ([0x7F, 0xFF, 0xFF], &[0xFF, 0xFF, 0xFF], -1),
            ([0x7F, 0xFF, 0xFF], &[0xCE], -500_000),
            ([0x80, 0, 0], &[0, 10], 1_000),
            ([0xB4, 0x6E, 0xFB], &[], 838 * HOUR + 59 * MINUTE + 59 * SECOND),
        ] {
            assert_eq!(time2(&whole, part), Ok(Value::Time(micros)), "{whole:?} {part:?}");
        }
        assert!(time2(&[0xFF, 0xFF, 0xFF], &[]).is_err());
        assert_eq!(time(8_385_959), Ok(Value::Time(838 * HOUR + 59 * MINUTE + 59 * SECOND)));
        assert_eq!(time(0x100_0000 - 102), Ok(Value::Time(-(MINUTE + 2 * SECOND))));
    }

    #[test]
    fn dates_that_are_no_days_are_no_error() {
        let of = |year: u32, month: u32, day: u32| date(year << 9 | month << 5 | day);
        assert_eq!(of(1970, 1, 2), Value::Date(1));
        for (year, month, day) in [(0, 0, 0), (2024, 0, 10), (2024, 2, 31), (2024, 13, 1)] {
            assert_eq!(of(year, month, day), Value::NoSuchDate);
        }
        assert_eq!(timestamp2(0, &[]), Ok(Value::NoSuchDate));
        assert_eq!(timestamp2(0, &[50]), Ok(Value::TimestampTz(500_000)));
        assert_eq!(timestamp2(u32::MAX, &[]), Ok(Value::TimestampTz(4_294_967_295 * SECOND)));
        assert_eq!(datetime(0), Ok(Value::NoSuchDate));
        assert_eq!(datetime(19_700_101_000_001), Ok(Value::Timestamp(SECOND)));
        assert_eq!(datetime2([0x80, 0, 0, 0, 0], &[]), Ok(Value::NoSuchDate));
        assert!(datetime2([0, 0, 0, 0, 1], &[]).is_err());
    }
}
