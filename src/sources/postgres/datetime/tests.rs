use super::*;

#[test]
fn dates_are_days_since_1970() {
    for (text, days) in [
        ("1970-01-01", 0),
        ("2000-01-01", EPOCH_DAYS),
        ("2024-02-29", 19_782),
        ("0044-03-15 BC", -735_160),
        ("0001-01-01", -719_162),
        ("0001-12-31 BC", -719_163),
        ("5874897-12-31", 2_145_042_905),
        ("4714-11-24 BC", -2_440_588),
        ("infinity", i32::MAX),
        ("-infinity", i32::MIN),
    ] {
        assert_eq!(date(text.as_bytes()), Ok(days), "{text}");
    }
    for text in [
        "",
        "2023-02-29",
        "2024-13-01",
        "2024-00-01",
        "2024-1-1",
        "0000-01-01",
        "24-01-01",
        "2024-01-01x",
        "2024-01-01 AD",
        "99999999-01-01",
    ] {
        assert_eq!(date(text.as_bytes()), Err(DATE), "{text}");
    }
    assert_eq!(date_from_binary(2_145_031_948), Ok(2_145_042_905));
    assert_eq!(date_from_binary(i32::MAX - 1), Err(DATE));
}

#[test]
fn times_reach_24_hours_and_no_further() {
    assert_eq!(time(b"04:05:06.6"), Ok(14_706_600_000));
    assert_eq!(time(b"23:59:59.999999"), Ok(86_399_999_999));
    assert_eq!(time(b"24:00:00"), Ok(DAY_MICROS));
    for text in [
        "24:00:00.000001",
        "24:00:01",
        "12:60:00",
        "12:00:60",
        "12:00",
        "1:00:00",
        "12:00:00.",
        "12:00:00.1234567",
        "-1:00:00",
    ] {
        assert_eq!(time(text.as_bytes()), Err(TIME), "{text}");
    }
    assert_eq!(time_tz(b"04:05:06.789+02"), Ok((14_706_789_000, 7200)));
    assert_eq!(time_tz(b"12:00:00-15:59"), Ok((43_200_000_000, -57_540)));
    assert_eq!(time_tz(b"24:00:00+00:19:32"), Ok((DAY_MICROS, 1172)));
    assert_eq!(time_tz(b"12:00:00"), Err(TIME));
    assert_eq!(time_from_binary(DAY_MICROS + 1), Err(TIME));
}

#[test]
fn timestamps_are_microseconds_since_1970() {
    for (text, micros) in [
        ("2024-02-29 04:05:06.789123", 1_709_179_506_789_123),
        ("0044-03-15 01:02:03 BC", -63_517_820_277_000_000),
        ("1969-12-31 23:59:59.999999", -1),
        ("0001-01-01 00:00:00", -62_135_596_800_000_000),
        ("12345-06-07 01:02:03", 327_416_950_923_000_000),
        ("infinity", i64::MAX),
        ("-infinity", i64::MIN),
    ] {
        assert_eq!(timestamp(text.as_bytes()), Ok(micros), "{text}");
    }
    assert_eq!(timestamp(b"294276-12-31 23:59:59.999999"), Err(TOO_LATE));
    assert_eq!(timestamp(b"2024-02-29 24:00:00"), Err(TIMESTAMP));
    assert_eq!(timestamp(b"2024-02-29"), Err(TIMESTAMP));
    assert_eq!(timestamp(b"2024-02-29 04:05:06+00"), Err(TIMESTAMP));
    assert_eq!(timestamp_from_binary(0), Ok(EPOCH_MICROS));
    assert_eq!(timestamp_from_binary(i64::MAX - 1), Err(TOO_LATE));
}

#[test]
fn instants_are_utc_and_reach_to_the_end_of_postgresqls_time() {
    let check = |text: &str, expected: Value<'_>| {
        assert_eq!(timestamp_tz(text.as_bytes()), Ok(expected), "{text}");
    };
    check("2024-02-29 04:05:06.789123+05:30", Value::TimestampTz(1_709_159_706_789_123));
    check("2024-02-29 04:05:06.789-08", Value::TimestampTz(1_709_208_306_789_000));
    check("0044-03-15 01:02:03+00 BC", Value::TimestampTz(-63_517_820_277_000_000));
    check("0001-12-31 23:00:00-01 BC", Value::TimestampTz(-62_135_596_800_000_000));
    check("1900-01-01 00:19:32+00:19:32", Value::TimestampTz(-2_208_988_800_000_000));
    let last = Value::FarTimestampTz { seconds: 9_224_318_015_999, micros: 999_999 };
    check("294276-12-31 23:59:59.999999+00", last);
    assert_eq!(timestamp_tz_from_binary(9_223_371_331_199_999_999), Ok(last));
    assert_eq!(timestamp_tz(b"2024-02-29 04:05:06"), Err(TIMESTAMP));
}

#[test]
fn intervals_keep_their_three_parts() {
    let check = |text: &str, months, days, micros| {
        assert_eq!(interval(text), Ok(Interval { months, days, micros }), "{text}");
    };
    check("1 year 2 mons 3 days 04:05:06.789", 14, 3, 14_706_789_000);
    check("-1 years -2 mons +3 days -04:05:06", -14, 3, -14_706_000_000);
    check("178000000 years", 2_136_000_000, 0, 0);
    check("00:00:00", 0, 0, 0);
    check("1 day", 0, 1, 0);
    check("-1 days +00:00:01", 0, -1, 1_000_000);
    check("2562047788:00:54.775807", 0, 0, i64::MAX);
    check("-2562047788:00:54.775808", 0, 0, i64::MIN);
    check("infinity", i32::MAX, i32::MAX, i64::MAX);
    for text in ["", "1", "1 week", "1 day ", "P1D", "99999999999 years", "1:2:3", "01:02", "x day"]
    {
        assert_eq!(interval(text), Err(INTERVAL), "{text}");
    }
}
