//! Dates as ISO 8601, for the years in which the relaxed form has them.

use super::{Dialect, Out, put};

/// The last millisecond of 9999 (`RelaxedExtendedJsonDateTimeConverter`).
const LAST: i64 = 253_402_300_799_999;
const DAY_MS: i64 = 86_400_000;

/// A date of the years 1970 to 9999.
pub(super) struct Moment {
    year: i64,
    month: i64,
    day: i64,
    /// Within the day.
    millis: i64,
}

impl Moment {
    pub(super) fn readable(millis: i64) -> Option<Self> {
        if !(0..=LAST).contains(&millis) {
            return None;
        }
        let (year, month, day) = civil(millis / DAY_MS);
        Some(Self { year, month, day, millis: millis % DAY_MS })
    }

    /// Java's `ISO_OFFSET_DATE_TIME` has no zeros at the end of a fraction; the specification has
    /// three digits or none.
    pub(super) fn write(&self, dialect: Dialect, out: &mut Out<'_>) {
        let Self { year, month, day, millis } = self;
        let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
        let (second, fraction) = (millis / 1000 % 60, millis % 1000);
        for (number, width, before) in [
            (*year, 4, ""),
            (*month, 2, "-"),
            (*day, 2, "-"),
            (hour, 2, "T"),
            (minute, 2, ":"),
            (second, 2, ":"),
        ] {
            put(out, before);
            write_padded(number, width, out);
        }
        let (fraction, width) = match dialect {
            Dialect::Java if fraction % 100 == 0 => (fraction / 100, 1),
            Dialect::Java if fraction % 10 == 0 => (fraction / 10, 2),
            Dialect::Java | Dialect::Specification => (fraction, 3),
        };
        if fraction != 0 {
            put(out, ".");
            write_padded(fraction, width, out);
        }
        put(out, "Z");
    }
}

fn write_padded(number: i64, width: usize, out: &mut Out<'_>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number);
    put(out, "000".split_at(width.saturating_sub(digits.len()).min(3)).0);
    put(out, digits);
}

/// Year, month and day of a day since 1970-01-01, in the proleptic Gregorian calendar: 400 years
/// always have 146,097 days, and counted from March on, the leap day is a year's last.
fn civil(days: i64) -> (i64, i64, i64) {
    /// From 0000-03-01 to 1970-01-01.
    const EPOCH: i64 = 719_468;
    const ERA_DAYS: i64 = 146_097;
    let days = days + EPOCH;
    let era = days.div_euclid(ERA_DAYS);
    let day_of_era = days.rem_euclid(ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_follows_the_one_before() {
        let lengths = |year: i64| {
            let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..=LAST / DAY_MS {
            assert_eq!(civil(days), (year, month, day));
            day += 1;
            if day > lengths(year)[usize::try_from(month - 1).unwrap()] {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (10_000, 1, 1));
    }
}
