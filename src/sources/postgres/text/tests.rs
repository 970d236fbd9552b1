use super::*;
use crate::sources::postgres::{binary, types};
use crate::value::{Decimal, DecimalSpecial, Interval};

fn reading(oid: u32, type_modifier: i32) -> types::Mapped {
    types::map(oid, type_modifier, None).unwrap()
}

#[track_caller]
fn check(oid: u32, type_modifier: i32, text: &str, expected: Result<Value<'_>, ValueError>) {
    let arena = Bump::new();
    let mapped = reading(oid, type_modifier);
    assert_eq!(read(mapped.reading, text.as_bytes(), &arena), expected, "{text}");
}

#[track_caller]
fn check_both(oid: u32, type_modifier: i32, text: &str, wire: &[u8], expected: Value<'_>) {
    check(oid, type_modifier, text, Ok(expected));
    let arena = Bump::new();
    let mapped = reading(oid, type_modifier);
    assert!(mapped.binary, "{oid} comes as text");
    assert_eq!(binary::read(mapped.reading, wire, &arena), Ok(expected), "binary {text}");
    // A byte more or less is another value or none.
    let longer = [wire, b"\0"].concat();
    assert_ne!(binary::read(mapped.reading, &longer, &arena), Ok(expected), "longer {text}");
}

use types::oid;

#[test]
fn numbers_and_booleans() {
    check_both(oid::BOOL, -1, "t", &[1], Value::Bool(true));
    check_both(oid::BOOL, -1, "f", &[0], Value::Bool(false));
    check_both(oid::INT2, -1, "-32768", &i16::MIN.to_be_bytes(), Value::Int(-32_768));
    check_both(oid::INT4, -1, "2147483647", &i32::MAX.to_be_bytes(), Value::Int(2_147_483_647));
    check_both(
        oid::INT8,
        -1,
        "-9223372036854775808",
        &i64::MIN.to_be_bytes(),
        Value::Int(i64::MIN),
    );
    check_both(oid::OID, -1, "4294967295", &[255; 4], Value::Int(4_294_967_295));
    check_both(oid::FLOAT4, -1, "3.4028235e+38", &f32::MAX.to_be_bytes(), Value::Float32(f32::MAX));
    check_both(oid::FLOAT8, -1, "1e-310", &1e-310_f64.to_be_bytes(), Value::Float64(1e-310));
    check_both(
        oid::FLOAT8,
        -1,
        "-Infinity",
        &f64::NEG_INFINITY.to_be_bytes(),
        Value::Float64(f64::NEG_INFINITY),
    );
    let arena = Bump::new();
    let Ok(Value::Float32(zero)) = read(reading(oid::FLOAT4, -1).reading, b"-0", &arena) else {
        panic!("no real")
    };
    assert!(zero == 0.0 && zero.is_sign_negative());
    let nan = read(reading(oid::FLOAT8, -1).reading, b"NaN", &arena);
    assert!(matches!(nan, Ok(Value::Float64(nan)) if nan.is_nan()));
    for (oid, text) in [
        (oid::INT2, "32768"),
        (oid::INT4, ""),
        (oid::INT8, "+1"),
        (oid::OID, "-1"),
        (oid::INT4, "1 "),
    ] {
        assert!(read(reading(oid, -1).reading, text.as_bytes(), &arena).is_err(), "{text}");
    }
    check(oid::BOOL, -1, "true", Err(ValueError::Malformed("a boolean")));
}

#[test]
fn numerics_at_their_scale_and_without_one() {
    let scale_2 = (10 << 16 | 2) + 4;
    let wire = [0, 2, 0, 0, 0, 0, 0, 2, 0, 1, 0x03, 0xe8];
    let expected = Value::Decimal(Decimal { unscaled: &[0x6e], scale: 2 });
    check_both(oid::NUMERIC, scale_2, "1.10", &wire, expected);
    check(
        oid::NUMERIC,
        -1,
        "100.00",
        Ok(Value::Decimal(Decimal { unscaled: &[0x27, 0x10], scale: 2 })),
    );
    check(oid::NUMERIC, -1, "NaN", Ok(Value::DecimalSpecial(DecimalSpecial::NaN)));
    let expected = Value::Decimal(Decimal { unscaled: &[0xfe, 0x1d, 0xc0], scale: 2 });
    check(oid::MONEY, -1, "-$1,234.56", Ok(expected));
}

#[test]
fn texts_are_what_the_server_prints() {
    check_both(oid::BPCHAR, 9, "ab   ", b"ab   ", Value::Text("ab   "));
    check_both(oid::TEXT, -1, "", b"", Value::Text(""));
    check_both(oid::TEXT, -1, "päpier 😀", "päpier 😀".as_bytes(), Value::Text("päpier 😀"));
    check_both(oid::JSONB, -1, "{\"a\": 1}", b"\x01{\"a\": 1}", Value::Text("{\"a\": 1}"));
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let wire = [
        0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a,
        0x11,
    ];
    check_both(oid::UUID, -1, uuid, &wire, Value::Text(uuid));
    check(oid::UUID, -1, "a0eebc99", Err(ValueError::Malformed("a uuid")));
    // The stream sends inet_out's form, the snapshot's cast adds the mask.
    check(oid::INET, -1, "10.0.0.1", Ok(Value::Text("10.0.0.1")));
    check(oid::INET, -1, "10.0.0.1/32", Ok(Value::Text("10.0.0.1")));
    check(oid::INET, -1, "192.168.0.1/24", Ok(Value::Text("192.168.0.1/24")));
    check(oid::INET, -1, "::1/128", Ok(Value::Text("::1")));
    check(oid::INET, -1, "fe80::/32", Ok(Value::Text("fe80::/32")));
    check(oid::CIDR, -1, "10.0.0.1/32", Ok(Value::Text("10.0.0.1/32")));
    let arena = Bump::new();
    let latin = read(reading(oid::TEXT, -1).reading, b"\xfc", &arena);
    assert_eq!(latin, Err(ValueError::NotUtf8));
}

#[test]
fn bytes_and_bits() {
    check_both(oid::BYTEA, -1, "\\x00ff10", &[0, 255, 16], Value::Bytes(&[0, 255, 16]));
    check_both(oid::BYTEA, -1, "\\x", &[], Value::Bytes(&[]));
    const HEX: Result<Value<'_>, ValueError> = Err(ValueError::Malformed("a bytea in hex form"));
    check(oid::BYTEA, -1, "\\x0", HEX);
    check(oid::BYTEA, -1, "\\x0ü", HEX);
    check(oid::BYTEA, -1, "\\000", HEX);
    check(oid::BIT, 8, "10000001", Ok(Value::Bytes(&[0x81])));
    check(oid::BIT, 20, "10000000000000000001", Ok(Value::Bytes(&[1, 0, 8])));
    check(oid::BIT, 20, "00000000000000000001", Ok(Value::Bytes(&[1])));
    check(oid::VARBIT, 5, "101", Ok(Value::Bytes(&[5])));
    check(oid::VARBIT, -1, "1010101010", Ok(Value::Bytes(&[0xaa, 2])));
    check(oid::VARBIT, -1, "", Ok(Value::Bytes(&[])));
    check(oid::BIT, 1, "1", Ok(Value::Bool(true)));
    check(oid::VARBIT, 1, "0", Ok(Value::Bool(false)));
    check(oid::VARBIT, 1, "", Ok(Value::Bool(false)));
    check(oid::BIT, 3, "12", Err(ValueError::Malformed("a bit string")));
}

#[test]
fn times_are_the_same_in_both_forms() {
    check_both(oid::DATE, -1, "2024-02-29", &8825_i32.to_be_bytes(), Value::Date(19_782));
    check_both(oid::DATE, -1, "infinity", &i32::MAX.to_be_bytes(), Value::Date(i32::MAX));
    check_both(
        oid::TIME,
        -1,
        "24:00:00",
        &86_400_000_000_i64.to_be_bytes(),
        Value::Time(86_400_000_000),
    );
    let wire = [&14_706_789_000_i64.to_be_bytes()[..], &(-7200_i32).to_be_bytes()].concat();
    let expected = Value::TimeTz { micros: 14_706_789_000, offset_s: 7200 };
    check_both(oid::TIMETZ, -1, "04:05:06.789+02", &wire, expected);
    check_both(
        oid::TIMESTAMP,
        -1,
        "1969-12-31 23:59:59.999999",
        &(-946_684_800_000_001_i64).to_be_bytes(),
        Value::Timestamp(-1),
    );
    check_both(
        oid::TIMESTAMPTZ,
        -1,
        "-infinity",
        &i64::MIN.to_be_bytes(),
        Value::TimestampTz(i64::MIN),
    );
    check_both(
        oid::TIMESTAMPTZ,
        3,
        "2000-01-01 02:00:00+02",
        &0_i64.to_be_bytes(),
        Value::TimestampTz(946_684_800_000_000),
    );
    let wire = [&14_706_789_000_i64.to_be_bytes()[..], &3_i32.to_be_bytes(), &14_i32.to_be_bytes()]
        .concat();
    let expected = Value::Interval(Interval { months: 14, days: 3, micros: 14_706_789_000 });
    check_both(oid::INTERVAL, -1, "1 year 2 mons 3 days 04:05:06.789", &wire, expected);
    let wire = [1.5_f64.to_be_bytes(), (-2_f64).to_be_bytes()].concat();
    check_both(oid::POINT, -1, "(1.5,-2)", &wire, Value::Point { x: 1.5, y: -2.0 });
    check(oid::POINT, -1, "1.5,-2", Err(ValueError::Malformed("a point")));
}

#[test]
fn arrays_are_read_by_their_elements() {
    let array = |elements| Ok(Value::Array(elements));
    check(1000, -1, "{t,f,NULL}", array(&[Value::Bool(true), Value::Bool(false), Value::Null]));
    check(1005, -1, "{1,-32768}", array(&[Value::Int(1), Value::Int(-32_768)]));
    check(1001, -1, "{\"\\\\x00ff\"}", array(&[Value::Bytes(&[0, 255])]));
    check(
        1115,
        -1,
        "{\"2024-02-29 01:02:03.456789\"}",
        array(&[Value::Timestamp(1_709_168_523_456_789)]),
    );
    check(1014, 7, "{\"a  \"}", array(&[Value::Text("a  ")]));
    check(199, -1, "{\"{\\\"a\\\":1}\"}", array(&[Value::Text("{\"a\":1}")]));
    check(3905, -1, "{\"[1,3)\"}", array(&[Value::Text("[1,3)")]));
    let scale_2 = (10 << 16 | 2) + 4;
    let decimal = |unscaled| Value::Decimal(Decimal { unscaled, scale: 2 });
    check(
        1231,
        scale_2,
        "{1.10,-2.25,NULL}",
        array(&[decimal(&[0x6e]), decimal(&[0xff, 0x1f]), Value::Null]),
    );
    check(1007, -1, "{1,x}", Err(ValueError::Malformed("an integer")));
}

mod total {
    use proptest::prelude::*;

    use super::*;
    use crate::sources::postgres::{binary, defaults};

    /// Pieces of every text form, so that most inputs get past the first character.
    const PIECES: &str = r#"(-|[0-9]{1,20}|\.|:|\+| BC| |T|e|NaN|-?[Ii]nfinity|NULL|\{|\}|,|"|\\\\|\\x|=>|\[|\]|=|year|mons|days|t|f|\(|\)|\$|'|::|[a-f]{2}|ü|😀|now\(\)|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{2}:[0-9]{2}:[0-9]{2}){0,12}"#;

    const OIDS: [u32; 34] = [
        16, 17, 18, 20, 21, 23, 25, 26, 114, 600, 700, 701, 790, 869, 1082, 1083, 1114, 1184, 1186,
        1266, 1560, 1562, 1700, 2950, 3614, 3802, 3904, 1007, 1009, 1231, 1185, 1001, 1000, 3807,
    ];

    fn any_reading() -> impl Strategy<Value = (u32, types::Mapped)> {
        let modifiers = prop::sample::select(vec![-1, 1, 3, 655_366, (4 << 16 | 0x7fe) + 4]);
        (prop::sample::select(OIDS.to_vec()), modifiers)
            .prop_map(|(oid, type_modifier)| (oid, reading(oid, type_modifier)))
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_an_error((oid, mapped) in any_reading(), text in PIECES) {
            let arena = Bump::new();
            let found = read(mapped.reading, text.as_bytes(), &arena);
            let hstore = read(Reading::Scalar(Scalar::Hstore), text.as_bytes(), &arena);
            let default = defaults::parse(&text, oid, &mapped.column_type, mapped.reading);
            std::hint::black_box((found.is_ok(), hstore.is_ok(), default));
        }

        #[test]
        fn any_bytes_are_a_value_or_an_error((_, mapped) in any_reading(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let arena = Bump::new();
            let text = read(mapped.reading, &bytes, &arena);
            let binary = binary::read(mapped.reading, &bytes, &arena);
            std::hint::black_box((text.is_ok(), binary.is_ok()));
        }

        #[test]
        fn a_value_is_the_same_inside_an_array((_, mapped) in any_reading(), text in PIECES) {
            let Reading::Scalar(scalar) = mapped.reading else { return Ok(()) };
            let arena = Bump::new();
            let Ok(value) = read(mapped.reading, text.as_bytes(), &arena) else { return Ok(()) };
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            let array = format!("{{\"{quoted}\"}}");
            let found = read(Reading::Array(scalar), array.as_bytes(), &arena);
            // NaN differs from itself, its print does not.
            prop_assert_eq!(format!("{found:?}"), format!("{:?}", Ok::<_, ()>(Value::Array(&[value]))));
        }
    }
}
