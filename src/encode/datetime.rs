//! Dates and times in Debezium's forms: plain numbers with their infinities, and ISO 8601 text.

use crate::value::Interval;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// A month of 365.25 / 12 days, Debezium's average: a whole number of seconds.
const MONTH: i64 = 2_629_800 * SECOND;

/// What Debezium makes of PostgreSQL's infinite dates in the stream, after overflows in the driver
/// and the JDK. They lie outside the dates that PostgreSQL has, so they still stand apart.
const DATE_INFINITY: i64 = -2_147_472_692;
const DATE_NEGATIVE_INFINITY: i64 = -2_147_472_691;

/// `PGStatement.DATE_POSITIVE_INFINITY` and its opposite, milliseconds, in microseconds.
const TIMESTAMP_INFINITY: i64 = 9_223_372_036_825_200_000;
const TIMESTAMP_NEGATIVE_INFINITY: i64 = -9_223_372_036_832_400_000;

/// `io.debezium.time.Date`
pub(crate) fn date(days: i32) -> i64 {
    match days {
        i32::MAX => DATE_INFINITY,
        i32::MIN => DATE_NEGATIVE_INFINITY,
        days => i64::from(days),
    }
}

/// `io.debezium.time.MicroTimestamp`
pub(crate) fn micro_timestamp(micros: i64) -> i64 {
    match micros {
        i64::MAX => TIMESTAMP_INFINITY,
        i64::MIN => TIMESTAMP_NEGATIVE_INFINITY,
        micros => micros,
    }
}

/// `io.debezium.time.Timestamp`
pub(crate) fn milli_timestamp(micros: i64) -> i64 {
    micro_timestamp(micros).div_euclid(1_000)
}

/// `io.debezium.time.MicroDuration`. Debezium reckons in doubles, which now and then lose the last
/// microsecond; the month being a whole number of seconds, this is exact. What does not fit is the
/// largest or smallest number, as Java's cast has it.
pub(crate) fn duration(interval: Interval) -> i64 {
    let micros = i128::from(interval.months) * i128::from(MONTH)
        + i128::from(interval.days) * i128::from(DAY)
        + i128::from(interval.micros);
    let limit = if micros < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(micros).unwrap_or(limit)
}

/// 00 to 99.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut digits = *b"00";
    let mut n = 0;
    while n < 100 {
        pairs[n] = digits;
        digits = if digits[1] < b'9' { [digits[0], digits[1] + 1] } else { [digits[0] + 1, b'0'] };
        n += 1;
    }
    pairs
};

/// The lowest two decimal digits.
#[inline]
fn two_digits(number: u64) -> [u8; 2] {
    PAIRS[usize::try_from(number % 100).unwrap_or_default()]
}

/// `org.apache.kafka.connect.data.Time`, `io.debezium.time.Time`: milliseconds of a day, whose end
/// counts; `None` for any other of MySQL's times.
pub(crate) fn milli_time(micros: i64) -> Option<i64> {
    (0..=DAY).contains(&micros).then_some(micros / 1_000)
}

/// `io.debezium.time.NanoTime`, `io.debezium.time.NanoTimestamp`; `None` beyond the years 1677 to
/// 2262. The infinities are the largest and the smallest number.
pub(crate) fn nanos(micros: i64) -> Option<i64> {
    match micros {
        i64::MAX | i64::MIN => Some(micros),
        micros => micros.checked_mul(1_000),
    }
}

/// A short text on the stack. The longest is an interval:
/// `P-178956970Y-8M-2147483648DT-2562047788H-0M-54.775808S`.
pub(crate) struct Text {
    bytes: [u8; 64],
    length: usize,
}

impl Text {
    fn new() -> Self {
        Self { bytes: [0; 64], length: 0 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    #[inline]
    fn push(&mut self, text: &[u8]) {
        self.bytes[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
    }

    /// The lowest `WIDTH` decimal digits of `value`.
    #[inline]
    fn number<const WIDTH: usize>(&mut self, value: i64) {
        let mut rest = value.unsigned_abs();
        let mut digits = [b'0'; WIDTH];
        let mut pairs = digits.rchunks_exact_mut(2);
        for pair in &mut pairs {
            pair.copy_from_slice(&two_digits(rest));
            rest /= 100;
        }
        if let [first] = pairs.into_remainder() {
            [_, *first] = two_digits(rest);
        }
        self.push(&digits);
    }

    fn fraction(&mut self, value: i64, digits: u8) {
        self.push(b".");
        match digits {
            1 => self.number::<1>(value),
            2 => self.number::<2>(value),
            3 => self.number::<3>(value),
            4 => self.number::<4>(value),
            5 => self.number::<5>(value),
            _ => self.number::<6>(value),
        }
    }

    /// As many digits of a fraction in microseconds as it needs, none for none.
    fn short_fraction(&mut self, mut micros: i64) {
        if micros > 0 {
            let mut digits = 6;
            while micros % 10 == 0 {
                micros /= 10;
                digits -= 1;
            }
            self.fraction(micros, digits);
        }
    }

    fn integer(&mut self, value: i64) {
        self.push(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Year, month and day as `DateTimeFormatter` has them: a sign outside of the years 0 to 9999,
    /// and four digits at least.
    fn date(&mut self, days: i64) {
        let (year, month, day) = civil(days);
        match year {
            10_000.. => self.push(b"+"),
            0..10_000 => {}
            _ => self.push(b"-"),
        }
        match year.unsigned_abs() {
            0..10_000 => self.number::<4>(year),
            _ => self.push(itoa::Buffer::new().format(year.unsigned_abs()).as_bytes()),
        }
        let [a, b] = two_digits(month.unsigned_abs());
        let [c, d] = two_digits(day.unsigned_abs());
        self.push(&[b'-', a, b, b'-', c, d]);
    }

    fn time_of_day(&mut self, seconds: i64) {
        let seconds = seconds.unsigned_abs();
        let [a, b] = two_digits(seconds / 3_600);
        let [c, d] = two_digits(seconds / 60 % 60);
        let [e, f] = two_digits(seconds % 60);
        self.push(&[a, b, b':', c, d, b':', e, f]);
    }
}

/// `io.debezium.time.ZonedTimestamp` in UTC, with exactly `digits` digits of the second's fraction.
pub(crate) fn zoned_timestamp(micros: i64, digits: u8) -> Text {
    let mut text = Text::new();
    match micros {
        i64::MAX => text.push(b"infinity"),
        i64::MIN => text.push(b"-infinity"),
        micros => {
            let (seconds, micros) = (micros.div_euclid(SECOND), micros.rem_euclid(SECOND));
            write_timestamp(&mut text, seconds, micros, digits);
        }
    }
    text
}

/// The same where microseconds since 1970 do not reach.
pub(crate) fn far_zoned_timestamp(seconds: i64, micros: u32, digits: u8) -> Text {
    let mut text = Text::new();
    write_timestamp(&mut text, seconds, i64::from(micros), digits);
    text
}

fn write_timestamp(text: &mut Text, seconds: i64, micros: i64, digits: u8) {
    let in_day = seconds.rem_euclid(DAY / SECOND);
    text.date(seconds.div_euclid(DAY / SECOND));
    text.push(b"T");
    text.time_of_day(in_day);
    if digits > 0 {
        const UNITS: [i64; 7] = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
        let digits = digits.min(6);
        text.fraction(micros / UNITS[usize::from(digits)], digits);
    }
    text.push(b"Z");
}

/// `io.debezium.time.ZonedTime` in UTC. The fraction has as many digits as it needs
/// (`DateTimeFormatter.ISO_OFFSET_TIME`), and 24:00 comes round to 00:00.
pub(crate) fn zoned_time(micros: i64, offset_s: i32) -> Text {
    let in_day = (micros - i64::from(offset_s) * SECOND).rem_euclid(DAY);
    let mut text = Text::new();
    text.time_of_day(in_day / SECOND);
    text.short_fraction(in_day % SECOND);
    text.push(b"Z");
    text
}

/// `io.debezium.time.IsoDate`: the date of a `LocalDate`, and UTC.
pub(crate) fn iso_date(days: i32) -> Text {
    let mut text = Text::new();
    text.date(date(days));
    text.push(b"Z");
    text
}

/// `io.debezium.time.IsoTime`, where the end of a day is its beginning; `None` for what is no time
/// of a day.
pub(crate) fn iso_time(micros: i64) -> Option<Text> {
    (0..=DAY).contains(&micros).then(|| zoned_time(micros, 0))
}

/// `io.debezium.time.IsoTimestamp`
pub(crate) fn iso_timestamp(micros: i64) -> Text {
    let micros = micro_timestamp(micros);
    let mut text = Text::new();
    text.date(micros.div_euclid(DAY));
    text.push(b"T");
    let in_day = micros.rem_euclid(DAY);
    text.time_of_day(in_day / SECOND);
    text.short_fraction(in_day % SECOND);
    text.push(b"Z");
    text
}

/// `io.debezium.time.Interval`, in which every part has its own sign (`Interval.toIsoString`).
pub(crate) fn iso_interval(interval: Interval) -> Text {
    let mut text = Text::new();
    let seconds = interval.micros / SECOND;
    for (before, part) in [
        (&b"P"[..], i64::from(interval.months / 12)),
        (b"Y", i64::from(interval.months % 12)),
        (b"M", i64::from(interval.days)),
        (b"DT", seconds / 3_600),
        (b"H", seconds / 60 % 60),
    ] {
        text.push(before);
        text.integer(part);
    }
    text.push(b"M");
    let (seconds, fraction) = (seconds % 60, interval.micros % SECOND);
    if seconds < 0 || fraction < 0 {
        text.push(b"-");
    }
    text.integer(seconds.abs());
    text.short_fraction(fraction.abs());
    text.push(b"S");
    text
}

/// Year, month and day of the proleptic Gregorian calendar, by Howard Hinnant's
/// `civil_from_days`: eras of 400 years that begin on the first of March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::{
        civil, date, duration, far_zoned_timestamp, iso_date, iso_interval, iso_time,
        iso_timestamp, micro_timestamp, milli_time, milli_timestamp, nanos, zoned_time,
        zoned_timestamp,
    };
    use crate::value::Interval;

    fn text(text: &super::Text) -> &str {
        std::str::from_utf8(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let mut before = civil(-800_000);
        for days in -799_999..=800_000 {
            let now = civil(days);
            let next = (now.0 == before.0 && now.1 == before.1 && now.2 == before.2 + 1)
                || (now.0 == before.0 && now.1 == before.1 + 1 && now.2 == 1 && before.2 >= 28)
                || (now == (before.0 + 1, 1, 1) && (before.1, before.2) == (12, 31));
            assert!(next, "{before:?} then {now:?}");
            before = now;
        }
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
    }

    #[test]
    fn timestamps_with_zone_are_iso_text_with_the_columns_digits() {
        for (micros, digits, expected) in [
            (1_709_172_306_789_123, 6, "2024-02-29T02:05:06.789123Z"),
            (1_709_172_306_789_123, 3, "2024-02-29T02:05:06.789Z"),
            (1_709_172_306_000_000, 0, "2024-02-29T02:05:06Z"),
            (0, 6, "1970-01-01T00:00:00.000000Z"),
            (-1, 6, "1969-12-31T23:59:59.999999Z"),
            (-62_135_596_800_000_000, 1, "0001-01-01T00:00:00.0Z"),
            (-63_517_820_277_000_000, 0, "-0043-03-15T01:02:03Z"),
            (327_416_950_923_000_000, 3, "+12345-06-07T01:02:03.000Z"),
            (i64::MAX, 6, "infinity"),
            (i64::MIN, 0, "-infinity"),
        ] {
            assert_eq!(text(&zoned_timestamp(micros, digits)), expected);
        }
        let last = far_zoned_timestamp(9_224_318_015_999, 999_999, 6);
        assert_eq!(text(&last), "+294276-12-31T23:59:59.999999Z");
    }

    #[test]
    fn times_with_zone_turn_to_utc() {
        for (micros, offset_s, expected) in [
            (14_706_789_000, 7_200, "02:05:06.789Z"),
            (0, 50_400, "10:00:00Z"),
            (43_200_000_000, -57_540, "03:59:00Z"),
            (86_400_000_000, 0, "00:00:00Z"),
            (1, 0, "00:00:00.000001Z"),
            (500_000, 0, "00:00:00.5Z"),
        ] {
            assert_eq!(text(&zoned_time(micros, offset_s)), expected);
        }
    }

    #[test]
    fn infinities_are_debeziums() {
        assert_eq!(date(i32::MAX), -2_147_472_692);
        assert_eq!(date(i32::MIN), -2_147_472_691);
        assert_eq!(micro_timestamp(i64::MAX), 9_223_372_036_825_200_000);
        assert_eq!(milli_timestamp(i64::MIN), -9_223_372_036_832_400);
        assert_eq!(milli_timestamp(-1), -1);
    }

    #[test]
    fn iso_texts_are_debeziums() {
        for (days, expected) in [
            (19_782, "2024-02-29Z"),
            (-735_160, "-0043-03-15Z"),
            (2_145_042_905, "+5874897-12-31Z"),
            (i32::MAX, "-5877611-06-21Z"),
            (i32::MIN, "-5877611-06-22Z"),
        ] {
            assert_eq!(text(&iso_date(days)), expected);
        }
        for (micros, expected) in [
            (14_706_789_000, Some("04:05:06.789Z")),
            (86_400_000_000, Some("00:00:00Z")),
            (86_400_000_001, None),
            (-1, None),
        ] {
            assert_eq!(iso_time(micros).as_ref().map(text), expected);
        }
        for (micros, expected) in [
            (1_709_179_506_789_123, "2024-02-29T04:05:06.789123Z"),
            (978_307_200_000_000, "2001-01-01T00:00:00Z"),
            (i64::MAX, "+294247-01-10T04:00:25.2Z"),
            (i64::MIN, "-290308-12-21T19:59:27.6Z"),
        ] {
            assert_eq!(text(&iso_timestamp(micros)), expected);
        }
        for (months, days, micros, expected) in [
            (14, 3, 14_706_789_000, "P1Y2M3DT4H5M6.789S"),
            (-14, 3, -14_706_000_000, "P-1Y-2M3DT-4H-5M-6S"),
            (0, 1, 0, "P0Y0M1DT0H0M0S"),
            (0, 0, -500_000, "P0Y0M0DT0H0M-0.5S"),
            (i32::MIN, i32::MIN, i64::MIN, "P-178956970Y-8M-2147483648DT-2562047788H0M-54.775808S"),
        ] {
            assert_eq!(text(&iso_interval(Interval { months, days, micros })), expected);
        }
    }

    #[test]
    fn what_a_mode_cannot_say_is_none() {
        assert_eq!(milli_time(86_400_000_000), Some(86_400_000));
        assert_eq!(milli_time(86_400_000_001), None);
        assert_eq!(milli_time(-1), None);
        assert_eq!(nanos(-1), Some(-1_000));
        assert_eq!(nanos(9_223_372_036_854_775), Some(9_223_372_036_854_775_000));
        assert_eq!(nanos(9_223_372_036_854_776), None);
        assert_eq!(nanos(i64::MAX), Some(i64::MAX));
    }

    #[test]
    fn an_interval_counts_months_of_30_days_and_10_5_hours() {
        for (months, days, micros, expected) in [
            (14, 3, 14_706_789_000, 37_091_106_789_000),
            (-14, 3, -14_706_000_000, -36_572_706_000_000),
            (0, 1, 0, 86_400_000_000),
            (0, 0, 3, 3),
            (178_000_000 * 12, 0, 0, i64::MAX),
            (-178_000_000 * 12, 0, 0, i64::MIN),
        ] {
            assert_eq!(duration(Interval { months, days, micros }), expected);
        }
    }
}
