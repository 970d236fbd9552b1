//! Dates, times and intervals as the server prints them under `DateStyle = ISO` and
//! `IntervalStyle = postgres`, and as it sends them in binary. Both are set on every connection.
//!
//! PostgreSQL counts from 2000-01-01, [`Value`] from 1970-01-01.

use crate::sources::postgres::decode_error::ValueError;
use crate::value::{Interval, Value};

/// 2000-01-01 in days since 1970-01-01 (`POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE`).
pub(crate) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(crate) const EPOCH_MICROS: i64 = 946_684_800_000_000;
const DAY_MICROS: i64 = 86_400_000_000;

const DATE: ValueError = ValueError::Malformed("a date");
const TIME: ValueError = ValueError::Malformed("a time of day");
const TIMESTAMP: ValueError = ValueError::Malformed("a timestamp");
const INTERVAL: ValueError = ValueError::Malformed("an interval");
/// Microseconds since 1970 end in January 294247, PostgreSQL's timestamps in December 294276.
const TOO_LATE: ValueError = ValueError::OutOfRange("microseconds since 1970");

/// Days since 1970-01-01.
#[inline]
pub(crate) fn date(text: &[u8]) -> Result<i32, ValueError> {
    match text {
        b"infinity" => return Ok(i32::MAX),
        b"-infinity" => return Ok(i32::MIN),
        _ => {}
    }
    let mut scanner = Scanner::new(text);
    let civil = scanner.civil().ok_or(DATE)?;
    let before_christ = scanner.before_christ();
    if !scanner.at_end() {
        return Err(DATE);
    }
    let days = civil.days(before_christ).ok_or(DATE)?;
    i32::try_from(days).map_err(|_| DATE)
}

/// Microseconds since midnight; 24:00:00 is a time.
#[inline]
pub(crate) fn time(text: &[u8]) -> Result<i64, ValueError> {
    let mut scanner = Scanner::new(text);
    let micros = scanner.time_of_day().filter(|&micros| micros <= DAY_MICROS).ok_or(TIME)?;
    if scanner.at_end() { Ok(micros) } else { Err(TIME) }
}

/// Microseconds since midnight and seconds east of UTC.
pub(crate) fn time_tz(text: &[u8]) -> Result<(i64, i32), ValueError> {
    let mut scanner = Scanner::new(text);
    let micros = scanner.time_of_day().filter(|&micros| micros <= DAY_MICROS).ok_or(TIME)?;
    let offset_s = scanner.offset().ok_or(TIME)?;
    if scanner.at_end() { Ok((micros, offset_s)) } else { Err(TIME) }
}

/// Microseconds since 1970-01-01 00:00.
#[inline]
pub(crate) fn timestamp(text: &[u8]) -> Result<i64, ValueError> {
    match text {
        b"infinity" => return Ok(i64::MAX),
        b"-infinity" => return Ok(i64::MIN),
        _ => {}
    }
    let mut scanner = Scanner::new(text);
    let micros = scanner.timestamp().ok_or(TIMESTAMP)?;
    let before_christ = scanner.before_christ();
    if !scanner.at_end() {
        return Err(TIMESTAMP);
    }
    finite(micros.since_epoch(before_christ, 0).ok_or(TIMESTAMP)?).ok_or(TOO_LATE)
}

/// An instant, however far: no one that PostgreSQL can hold is lost.
#[inline]
pub(crate) fn timestamp_tz(text: &[u8]) -> Result<Value<'static>, ValueError> {
    match text {
        b"infinity" => return Ok(Value::TimestampTz(i64::MAX)),
        b"-infinity" => return Ok(Value::TimestampTz(i64::MIN)),
        _ => {}
    }
    let mut scanner = Scanner::new(text);
    let micros = scanner.timestamp().ok_or(TIMESTAMP)?;
    let offset_s = scanner.offset().ok_or(TIMESTAMP)?;
    let before_christ = scanner.before_christ();
    if !scanner.at_end() {
        return Err(TIMESTAMP);
    }
    let micros = micros.since_epoch(before_christ, offset_s).ok_or(TIMESTAMP)?;
    instant(micros)
}

/// `date_send`.
pub(crate) fn date_from_binary(days: i32) -> Result<i32, ValueError> {
    match days {
        i32::MAX | i32::MIN => Ok(days),
        days => days.checked_add(EPOCH_DAYS).ok_or(DATE),
    }
}

/// `time_send`.
pub(crate) fn time_from_binary(micros: i64) -> Result<i64, ValueError> {
    if (0..=DAY_MICROS).contains(&micros) { Ok(micros) } else { Err(TIME) }
}

/// `timestamp_send`.
pub(crate) fn timestamp_from_binary(micros: i64) -> Result<i64, ValueError> {
    match micros {
        i64::MAX | i64::MIN => Ok(micros),
        micros => finite(i128::from(micros) + i128::from(EPOCH_MICROS)).ok_or(TOO_LATE),
    }
}

/// `timestamptz_send`.
pub(crate) fn timestamp_tz_from_binary(micros: i64) -> Result<Value<'static>, ValueError> {
    match micros {
        i64::MAX | i64::MIN => Ok(Value::TimestampTz(micros)),
        micros => instant(i128::from(micros) + i128::from(EPOCH_MICROS)),
    }
}

/// The ends of the range are taken by the infinities.
fn finite(micros: i128) -> Option<i64> {
    i64::try_from(micros).ok().filter(|&micros| micros != i64::MAX && micros != i64::MIN)
}

fn instant(micros: i128) -> Result<Value<'static>, ValueError> {
    if let Some(micros) = finite(micros) {
        return Ok(Value::TimestampTz(micros));
    }
    let seconds = i64::try_from(micros.div_euclid(1_000_000)).map_err(|_| TOO_LATE)?;
    let micros = u32::try_from(micros.rem_euclid(1_000_000)).map_err(|_| TOO_LATE)?;
    Ok(Value::FarTimestampTz { seconds, micros })
}

#[derive(Clone, Copy)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
}

impl Civil {
    /// Days since 1970-01-01; `None` for a day that no calendar has.
    #[inline]
    fn days(self, before_christ: bool) -> Option<i64> {
        // 1 BC is the year 0 of the arithmetic; the server prints no year 0.
        let year = match (self.year, before_christ) {
            (0, _) => return None,
            (year, true) => 1 - year,
            (year, false) => year,
        };
        let days_in_month = match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            _ => return None,
        };
        if !(1..=days_in_month).contains(&self.day) {
            return None;
        }
        let year = if self.month <= 2 { year - 1 } else { year };
        let month = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let of_year = (153 * month + 2) / 5 + self.day - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        Some(era * 146_097 + of_era - 719_468)
    }
}

#[derive(Clone, Copy)]
struct Parts {
    civil: Civil,
    micros: i64,
}

impl Parts {
    #[inline]
    fn since_epoch(self, before_christ: bool, offset_s: i32) -> Option<i128> {
        let days = i128::from(self.civil.days(before_christ)?);
        let offset = i128::from(offset_s) * 1_000_000;
        Some(days * i128::from(DAY_MICROS) + i128::from(self.micros) - offset)
    }
}

/// Walks the bytes of a text from the left.
struct Scanner<'t> {
    bytes: &'t [u8],
}

impl<'t> Scanner<'t> {
    fn new(bytes: &'t [u8]) -> Self {
        Self { bytes }
    }

    fn at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    fn skip(&mut self, expected: u8) -> Option<()> {
        let (&first, rest) = self.bytes.split_first()?;
        (first == expected).then(|| self.bytes = rest)
    }

    fn skip_text(&mut self, expected: &[u8]) -> Option<()> {
        self.bytes.strip_prefix(expected).map(|rest| self.bytes = rest)
    }

    /// A run of `min..=max` digits.
    #[inline]
    fn digits(&mut self, min: usize, max: usize) -> Option<i64> {
        let n = self.bytes.iter().take(max).take_while(|byte| byte.is_ascii_digit()).count();
        if n < min {
            return None;
        }
        let (digits, rest) = self.bytes.split_at(n);
        self.bytes = rest;
        Some(digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }

    #[inline]
    fn two(&mut self, max: i64) -> Option<i64> {
        let (digits, rest) = self.bytes.split_first_chunk()?;
        let number = two_digits(*digits).filter(|&number| number <= max)?;
        self.bytes = rest;
        Some(number)
    }

    #[inline]
    fn civil(&mut self) -> Option<Civil> {
        let year = self.year()?;
        self.skip(b'-')?;
        let month = self.two(12)?;
        self.skip(b'-')?;
        Some(Civil { year, month, day: self.two(31)? })
    }

    /// Four digits up to the year 9999.
    #[inline]
    fn year(&mut self) -> Option<i64> {
        if let [a, b, c, d, b'-', ..] = *self.bytes {
            let year = two_digits([a, b])? * 100 + two_digits([c, d])?;
            self.bytes = self.bytes.get(4..)?;
            return Some(year);
        }
        self.digits(4, 7)
    }

    /// `HH:MM:SS[.ffffff]` in microseconds; up to 24:59:59, for the caller to bound.
    #[inline]
    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.two(24)?;
        self.skip(b':')?;
        let minute = self.two(59)?;
        self.skip(b':')?;
        let second = self.two(59)?;
        Some((hour * 3600 + minute * 60 + second) * 1_000_000 + self.fraction()?)
    }

    #[inline]
    fn fraction(&mut self) -> Option<i64> {
        if self.skip(b'.').is_none() {
            return Some(0);
        }
        let before = self.bytes.len();
        let digits = self.digits(1, 6)?;
        let n = u32::try_from(before - self.bytes.len()).ok()?;
        Some(digits * 10_i64.pow(6 - n))
    }

    #[inline]
    fn timestamp(&mut self) -> Option<Parts> {
        let civil = self.civil()?;
        self.skip(b' ')?;
        let micros = self.time_of_day().filter(|&micros| micros < DAY_MICROS)?;
        Some(Parts { civil, micros })
    }

    /// `+HH[:MM[:SS]]` in seconds.
    #[inline]
    fn offset(&mut self) -> Option<i32> {
        let sign = if self.skip(b'+').is_some() {
            1
        } else {
            self.skip(b'-')?;
            -1
        };
        let mut seconds = self.two(99)? * 3600;
        if self.skip(b':').is_some() {
            seconds += self.two(59)? * 60;
            if self.skip(b':').is_some() {
                seconds += self.two(59)?;
            }
        }
        i32::try_from(sign * seconds).ok()
    }

    fn before_christ(&mut self) -> bool {
        self.skip_text(b" BC").is_some()
    }
}

#[inline]
fn two_digits([tens, ones]: [u8; 2]) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
}

/// `interval_out` under `IntervalStyle = postgres`: `1 year 2 mons 3 days 04:05:06.789`.
pub(crate) fn interval(text: &str) -> Result<Interval, ValueError> {
    match text {
        "infinity" => {
            return Ok(Interval { months: i32::MAX, days: i32::MAX, micros: i64::MAX });
        }
        "-infinity" => {
            return Ok(Interval { months: i32::MIN, days: i32::MIN, micros: i64::MIN });
        }
        _ => {}
    }
    let mut months = 0_i64;
    let mut days = 0_i64;
    let mut micros = 0_i64;
    let mut words = text.split(' ');
    let mut any = false;
    while let Some(word) = words.next() {
        any = true;
        if word.contains(':') {
            micros = clock(word).ok_or(INTERVAL)?;
            continue;
        }
        let number: i64 = word.parse().map_err(|_| INTERVAL)?;
        match words.next().ok_or(INTERVAL)? {
            "year" | "years" => {
                let years = number.checked_mul(12);
                months = years.and_then(|years| months.checked_add(years)).ok_or(INTERVAL)?;
            }
            "mon" | "mons" => months = months.checked_add(number).ok_or(INTERVAL)?,
            "day" | "days" => days = number,
            _ => return Err(INTERVAL),
        }
    }
    if !any {
        return Err(INTERVAL);
    }
    let months = i32::try_from(months).map_err(|_| INTERVAL)?;
    Ok(Interval { months, days: i32::try_from(days).map_err(|_| INTERVAL)?, micros })
}

/// `[+-]HH:MM:SS[.ffffff]` with any number of hours.
fn clock(word: &str) -> Option<i64> {
    let mut scanner = Scanner::new(word.as_bytes());
    let negative = scanner.skip(b'-').is_some();
    if !negative {
        // A positive clock after negative days carries its sign.
        let _plus = scanner.skip(b'+');
    }
    let hours = i128::from(scanner.digits(2, 12)?);
    scanner.skip(b':')?;
    let minutes = i128::from(scanner.two(59)?);
    scanner.skip(b':')?;
    let seconds = i128::from(scanner.two(59)?);
    let micros = (hours * 3600 + minutes * 60 + seconds) * 1_000_000;
    let micros = micros + i128::from(scanner.fraction()?);
    if !scanner.at_end() {
        return None;
    }
    i64::try_from(if negative { -micros } else { micros }).ok()
}

#[cfg(test)]
mod tests;
