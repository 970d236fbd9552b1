//! Dates and times as both servers print them.
//!
//! A date is three numbers to them, and not every three numbers are a day: `0000-00-00`,
//! `2024-00-10` and (under `ALLOW_INVALID_DATES`) `2024-02-31` can be stored
//! (<https://dev.mysql.com/doc/refman/8.4/en/sql-mode.html>).

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Days since 1970-01-01 of the proleptic Gregorian calendar; `None` where there is no such day.
#[must_use]
pub(crate) fn days(year: u16, month: u8, day: u8) -> Option<i32> {
    let year = i32::from(year);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    // The servers' calendar begins with the year 1: a year 0 is part of a zero date.
    if year == 0 || !(1..=days_in_month).contains(&day) {
        return None;
    }
    let (month, day) = (i32::from(month), i32::from(day));
    // Howard Hinnant's `days_from_civil`: eras of 400 years that begin on the first of March.
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    Some(era * 146_097 + of_era - 719_468)
}

/// `2024-02-29`: the outer `None` for a text of another form, the inner for a day that there is not.
pub(crate) fn date(text: &[u8]) -> Option<Option<i32>> {
    let (year, month, day, rest) = civil(text)?;
    rest.is_empty().then(|| days(year, month, day))
}

/// `2024-02-29 04:05:06.789` in microseconds since 1970; the inner `None` as above.
pub(crate) fn date_time(text: &[u8]) -> Option<Option<i64>> {
    let (year, month, day, rest) = civil(text)?;
    let rest = rest.strip_prefix(b" ")?;
    let micros = clock(rest).filter(|&micros| micros < DAY)?;
    Some(days(year, month, day).map(|days| i64::from(days) * DAY + micros))
}

/// `-838:59:59.000001` in microseconds.
pub(crate) fn time(text: &[u8]) -> Option<i64> {
    match text.strip_prefix(b"-") {
        Some(rest) => clock(rest).map(|micros| -micros),
        None => clock(text),
    }
}

fn civil(text: &[u8]) -> Option<(u16, u8, u8, &[u8])> {
    let (year, rest) = text.split_first_chunk::<4>()?;
    let (month, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<2>()?;
    let (day, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<2>()?;
    let two = |digits: &[u8]| number(digits).and_then(|number| u8::try_from(number).ok());
    let year = u16::try_from(number(year)?).ok()?;
    Some((year, two(month)?, two(day)?, rest))
}

/// `HHH:MM:SS[.ffffff]` in microseconds.
fn clock(text: &[u8]) -> Option<i64> {
    let n_hours = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (hours, rest) = text.split_at_checked(n_hours).filter(|_| (2..=3).contains(&n_hours))?;
    let (minutes, rest) = rest.strip_prefix(b":")?.split_first_chunk::<2>()?;
    let (seconds, rest) = rest.strip_prefix(b":")?.split_first_chunk::<2>()?;
    let below_60 = |digits| number(digits).filter(|&number| number < 60);
    let fraction = match rest.strip_prefix(b".") {
        None if rest.is_empty() => 0,
        None => return None,
        Some(digits) => {
            let n_digits = u32::try_from(digits.len()).ok().filter(|n| (1..=6).contains(n))?;
            number(digits)? * 10_i64.pow(6 - n_digits)
        }
    };
    let seconds = number(hours)? * 3_600 + below_60(minutes)? * 60 + below_60(seconds)?;
    Some(seconds * SECOND + fraction)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::{date, date_time, days, time};

    #[test]
    fn every_day_follows_the_day_before() {
        let mut expected = days(1, 1, 1).unwrap();
        assert_eq!(expected, -719_162);
        for year in 1..=9_999 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(found) = days(year, month, day) {
                        assert_eq!(found, expected, "{year}-{month}-{day}");
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(expected, 2_932_897);
        assert_eq!(days(1970, 1, 1), Some(0));
    }

    #[test]
    fn days_that_no_calendar_has_are_none() {
        for text in ["0000-00-00", "2024-00-10", "2024-02-00", "2024-02-31", "2023-02-29"] {
            assert_eq!(date(text.as_bytes()), Some(None), "{text}");
        }
        assert_eq!(date_time(b"0000-00-00 00:00:00"), Some(None));
        assert_eq!(date_time(b"2024-02-31 01:02:03.5"), Some(None));
    }

    #[test]
    fn times_reach_838_hours_in_both_directions() {
        for (text, expected) in [
            ("00:00:00", 0),
            ("-00:00:00.000001", -1),
            ("-838:59:59", -3_020_399_000_000),
            ("838:59:58.999", 3_020_398_999_000),
            ("24:00:00", 86_400_000_000),
            ("100:00:00.000000", 360_000_000_000),
        ] {
            assert_eq!(time(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["", "2024-2-3", "2024-02-03x", "20240203", "+024-01-01", "2024-02-03 "] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
        for text in
            ["1:00:00", "00:60:00", "00:00:60", "00:00:00.", "00:00:00.1234567", "--1:00:00"]
        {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
        assert_eq!(date_time(b"2024-02-03 24:00:00"), None);
        assert_eq!(date_time(b"2024-02-03T01:00:00"), None);
    }
}
