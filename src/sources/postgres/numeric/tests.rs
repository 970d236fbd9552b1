use super::*;

fn check(text: &str, scale: Scale, expected: Result<(&[u8], i32), ValueError>) {
    let arena = Bump::new();
    let found = from_text(text.as_bytes(), scale, &arena);
    match expected {
        Ok((unscaled, scale)) => {
            assert_eq!(found, Ok(Value::Decimal(Decimal { unscaled, scale })), "{text}");
        }
        Err(error) => assert_eq!(found, Err(error), "{text}"),
    }
}

/// `numeric_send` of what `numeric_out` prints.
fn send(text: &str) -> Vec<u8> {
    let (negative, digits) = (text.starts_with('-'), text.trim_start_matches('-'));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let pad = |n: usize| "0".repeat((4 - n % 4) % 4);
    let spelled = pad(whole.len()) + whole + fraction + &pad(fraction.len());
    let mut groups: Vec<u16> = spelled
        .as_bytes()
        .chunks(4)
        .map(|g| std::str::from_utf8(g).unwrap().parse().unwrap())
        .collect();
    let mut weight = i16::try_from(whole.len().div_ceil(4)).unwrap() - 1;
    while groups.first() == Some(&0) {
        groups.remove(0);
        weight -= 1;
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    let sign: u16 = if negative { 0x4000 } else { 0 };
    let mut bytes = u16::try_from(groups.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(weight.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(u16::try_from(fraction.len()).unwrap().to_be_bytes());
    bytes.extend(groups.iter().flat_map(|group| group.to_be_bytes()));
    bytes
}

#[test]
fn fixed_scales_are_the_bytes_that_debezium_publishes() {
    let n102 = Scale::Fixed(2);
    check("-99999999.99", n102, Ok((&[0xfd, 0xab, 0xf4, 0x1c, 0x01], 2)));
    check("0.00", n102, Ok((&[0], 2)));
    check("1.10", n102, Ok((&[0x6e], 2)));
    check("1.28", n102, Ok((&[0x00, 0x80], 2)));
    check("-1.28", n102, Ok((&[0x80], 2)));
    check("1", n102, Ok((&[0x64], 2)));
    check("-99999", Scale::Fixed(0), Ok((&[0xfe, 0x79, 0x61], 0)));
    check(
        "99999999999999999999999999999999999999",
        Scale::Fixed(0),
        Ok((
            &[
                0x4b, 0x3b, 0x4c, 0xa8, 0x5a, 0x86, 0xc4, 0x7a, 0x09, 0x8a, 0x22, 0x3f, 0xff, 0xff,
                0xff, 0xff,
            ],
            0,
        )),
    );
}

#[test]
fn values_without_a_declared_scale_keep_their_own() {
    check("100.00", Scale::Own, Ok((&[0x27, 0x10], 2)));
    check("2.50", Scale::Own, Ok((&[0x00, 0xfa], 2)));
    check("0", Scale::Own, Ok((&[0], 0)));
    check("0.000", Scale::Own, Ok((&[0], 3)));
    check("0.000000000000000000000000000001", Scale::Own, Ok((&[1], 30)));
    check("10000000000", Scale::Own, Ok((&[0x02, 0x54, 0x0b, 0xe4, 0x00], 0)));
    check(
        "-123456789012345678901234567890.123456789",
        Scale::Own,
        Ok((
            &[
                0xa3, 0x1f, 0x16, 0x5a, 0x9f, 0xea, 0x01, 0x3a, 0x55, 0x20, 0x5c, 0xd7, 0x51, 0xc6,
                0x7e, 0xeb,
            ],
            9,
        )),
    );
}

#[test]
fn big_numbers_agree_with_small_ones_where_both_can_speak() {
    let arena = Bump::new();
    for text in [
        "0",
        "1",
        "127",
        "128",
        "255",
        "256",
        "18446744073709551616",
        "99999999999999999999999999999999999999",
    ] {
        let digits = Digits { whole: text.as_bytes(), fraction: b"", n_zeros: 0 };
        for negative in [false, true] {
            assert_eq!(big(negative, digits, &arena), small(negative, digits, &arena), "{text}");
        }
    }
    // 2^127 needs a byte more than i128 has.
    let two_127 = b"170141183460469231731687303715884105728";
    let digits = Digits { whole: two_127, fraction: b"", n_zeros: 0 };
    let mut expected = vec![0, 0x80];
    expected.extend([0; 15]);
    assert_eq!(big(false, digits, &arena), expected);
    assert_eq!(big(true, digits, &arena), &expected[1..]);
}

#[test]
fn a_negative_scale_is_the_large_one_that_debezium_reads() {
    let arena = Bump::new();
    let Ok(Value::Decimal(found)) = from_text(b"100", Scale::Fixed(2046), &arena) else {
        panic!("no decimal")
    };
    // As in the golden files: 100 * 10^2046.
    assert_eq!(found.unscaled.len(), 851);
    assert_eq!(found.unscaled[..4], [0x09, 0xe8, 0xb3, 0xb5]);
    check("0", Scale::Fixed(2046), Ok((&[0], 2046)));
}

#[test]
fn nothing_is_rounded_and_nothing_is_guessed() {
    check("1.234", Scale::Fixed(2), Err(ValueError::OutOfRange("the scale of its column")));
    check("1.230", Scale::Fixed(2), Ok((&[0x7b], 2)));
    for text in ["", "-", ".", "1e5", "+1", "1.2.3", " 1", "0x1", "1_0", "nan"] {
        check(text, Scale::Own, Err(MALFORMED));
    }
}

#[test]
fn binary_and_text_are_the_same_number() {
    let arena = Bump::new();
    for text in [
        "0",
        "0.00",
        "1",
        "-1",
        "10000",
        "9999",
        "0.0001",
        "0.00010",
        "0.1",
        "-99999999.99",
        "123456789012345678901234567890.123456789",
        "1.10",
        "100000000",
        "0.000000000000000000000000000001",
    ] {
        for scale in [Scale::Own, Scale::Fixed(30)] {
            let expected = from_text(text.as_bytes(), scale, &arena);
            assert_eq!(from_binary(&send(text), scale, &arena), expected, "{text} {scale:?}");
        }
    }
    for (sign, special) in [
        (0xC000_u16, DecimalSpecial::NaN),
        (0xD000, DecimalSpecial::PositiveInfinity),
        (0xF000, DecimalSpecial::NegativeInfinity),
    ] {
        let mut bytes = vec![0, 0, 0, 0];
        bytes.extend(sign.to_be_bytes());
        bytes.extend([0, 0]);
        assert_eq!(from_binary(&bytes, Scale::Own, &arena), Ok(Value::DecimalSpecial(special)));
    }
    assert!(from_binary(&[0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Scale::Own, &arena).is_err());
    assert!(from_binary(&[0, 1, 0, 0, 0, 0, 0, 0], Scale::Own, &arena).is_err());
}

#[test]
fn money_is_read_in_any_locale() {
    let arena = Bump::new();
    for (text, cents) in [
        ("$1,234.11", 123_411_i64),
        ("-$1,234.56", -123_456),
        ("-$1.00", -100),
        ("($1.00)", -100),
        ("$0.00", 0),
        ("$92,233,720,368,547,758.07", i64::MAX),
        ("-$92,233,720,368,547,758.08", i64::MIN),
        ("1.234,56 €", 123_456),
        ("¥1,234", 123_400),
        ("1 234,50 zł", 123_450),
        ("Fr. 1'234.50", 123_450),
    ] {
        let expected = minimal(&cents.to_be_bytes(), &arena);
        let expected = Value::Decimal(Decimal { unscaled: expected, scale: 2 });
        assert_eq!(money(text, &arena), Ok(expected), "{text}");
    }
    assert!(money("$", &arena).is_err());
    assert!(money("1a2", &arena).is_err());
}
