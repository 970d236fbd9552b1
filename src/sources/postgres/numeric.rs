//! `numeric` and `money`: text and binary forms to a two's complement at a scale.
//!
//! Numbers of up to 38 digits take an `i128`; longer ones (`numeric` has up to 131,072 digits before
//! the point and 16,383 after it) take limbs. Nothing is rounded: digits that the scale has no
//! place for are an error unless they are zeros.

use bumpalo::Bump;

use crate::sources::postgres::decode_error::ValueError;
use crate::sources::postgres::reader::Reader;
use crate::value::{Decimal, DecimalSpecial, Value};

const MALFORMED: ValueError = ValueError::Malformed("a numeric");

/// Fraction digits of `money` (`money.fraction.digits` of Debezium).
const MONEY_FRACTION: u16 = 2;
pub(crate) const MONEY_SCALE: i32 = 2;

/// Which scale a value gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Fixed(u16),
    /// Its own: the digits after the point, trailing zeros included.
    Own,
}

/// `numeric_out`: digits with at most one point, or a special name; never an exponent.
#[inline]
pub(crate) fn from_text<'a>(
    text: &str,
    scale: Scale,
    arena: &'a Bump,
) -> Result<Value<'a>, ValueError> {
    match text {
        "NaN" => return Ok(Value::DecimalSpecial(DecimalSpecial::NaN)),
        "Infinity" => return Ok(Value::DecimalSpecial(DecimalSpecial::PositiveInfinity)),
        "-Infinity" => return Ok(Value::DecimalSpecial(DecimalSpecial::NegativeInfinity)),
        _ => {}
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    decimal(negative, whole.as_bytes(), fraction.as_bytes(), scale, arena)
}

/// `numeric_send`: base-10000 digits. See `src/backend/utils/adt/numeric.c`.
pub(crate) fn from_binary<'a>(
    bytes: &[u8],
    scale: Scale,
    arena: &'a Bump,
) -> Result<Value<'a>, ValueError> {
    let mut reader = Reader::new(bytes);
    let n_digits = usize::from(reader.u16("numeric digits")?);
    let weight = i32::from(reader.i16("numeric weight")?);
    let sign = reader.u16("numeric sign")?;
    let display_scale = usize::from(reader.u16("numeric scale")?);
    let digits = reader.take(n_digits * 2, "numeric digits")?;
    if !reader.is_empty() || display_scale > 0x3fff {
        return Err(MALFORMED);
    }
    let negative = match sign {
        0 => false,
        0x4000 => true,
        0xC000 => return Ok(Value::DecimalSpecial(DecimalSpecial::NaN)),
        0xD000 => return Ok(Value::DecimalSpecial(DecimalSpecial::PositiveInfinity)),
        0xF000 => return Ok(Value::DecimalSpecial(DecimalSpecial::NegativeInfinity)),
        _ => return Err(MALFORMED),
    };
    let (digits, _) = digits.as_chunks::<2>();
    // The group with index i counts 10000^(weight - i): spell the number out and go the text's way.
    let n_whole = usize::try_from(weight + 1).unwrap_or(0);
    let n_fraction = display_scale.div_ceil(4);
    let group = |place: i32| {
        let index = usize::try_from(weight - place).ok()?;
        digits.get(index).map(|digit| u16::from_be_bytes(*digit))
    };
    let last_place = weight - i32::try_from(n_digits).map_err(|_| MALFORMED)? + 1;
    let last_kept = -i32::try_from(n_fraction).map_err(|_| MALFORMED)?;
    if n_digits > 0 && last_place < last_kept {
        return Err(MALFORMED);
    }
    let mut text = bumpalo::collections::Vec::with_capacity_in((n_whole + n_fraction) * 4, arena);
    let first_place = weight.max(-1);
    for place in (last_kept..=first_place).rev() {
        push_group(&mut text, group(place).unwrap_or(0))?;
    }
    let (whole, fraction) = text.split_at(n_whole * 4);
    if fraction.get(display_scale..).is_some_and(|rest| rest.iter().any(|&d| d != b'0')) {
        return Err(MALFORMED);
    }
    let fraction = fraction.get(..display_scale).ok_or(MALFORMED)?;
    let whole = if whole.is_empty() { b"0" } else { whole };
    decimal(negative, whole, fraction, scale, arena)
}

fn push_group(text: &mut bumpalo::collections::Vec<'_, u8>, group: u16) -> Result<(), ValueError> {
    for unit in [1000, 100, 10, 1] {
        let digit = u8::try_from(group / unit % 10).map_err(|_| MALFORMED)?;
        text.push(b'0' + digit);
    }
    if group > 9999 { Err(MALFORMED) } else { Ok(()) }
}

/// `cash_out` under any `lc_monetary`: a currency sign anywhere, groups, and a minus sign or
/// parentheses for negative amounts. What stands before the last one or two digits is the decimal
/// separator; everything else between digits groups them.
pub(crate) fn money<'a>(text: &str, arena: &'a Bump) -> Result<Value<'a>, ValueError> {
    const MALFORMED: ValueError = ValueError::Malformed("an amount of money");
    let negative = text.contains('-') || (text.contains('(') && text.contains(')'));
    let end = text.bytes().rposition(|byte| byte.is_ascii_digit()).ok_or(MALFORMED)?;
    let start = text.bytes().position(|byte| byte.is_ascii_digit()).ok_or(MALFORMED)?;
    let amount = text.as_bytes().get(start..=end).ok_or(MALFORMED)?;
    let separator = amount.iter().rposition(|&byte| byte == b'.' || byte == b',');
    let split = match separator {
        Some(at) if amount.len() - at <= 3 => at,
        Some(_) | None => amount.len(),
    };
    let (whole, fraction) = amount.split_at(split);
    let fraction = fraction.get(1..).unwrap_or(b"");
    let mut digits = bumpalo::collections::Vec::with_capacity_in(whole.len(), arena);
    digits.extend(whole.iter().copied().filter(u8::is_ascii_digit));
    // Letters between digits are no amount; signs, blanks and separators in any encoding are.
    if whole.iter().any(u8::is_ascii_alphabetic) {
        return Err(MALFORMED);
    }
    decimal(negative, &digits, fraction, Scale::Fixed(MONEY_FRACTION), arena).map_err(|_| MALFORMED)
}

fn decimal<'a>(
    negative: bool,
    whole: &[u8],
    fraction: &[u8],
    scale: Scale,
    arena: &'a Bump,
) -> Result<Value<'a>, ValueError> {
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    let significant = fraction.len() - trailing_zeros(fraction);
    let scale = match scale {
        Scale::Fixed(scale) => usize::from(scale),
        Scale::Own => fraction.len(),
    };
    if significant > scale {
        return Err(ValueError::OutOfRange("the scale of its column"));
    }
    let fraction = &fraction[..fraction.len().min(scale)];
    let n_zeros = scale - fraction.len();
    let whole = &whole[whole.iter().take_while(|&&digit| digit == b'0').count()..];
    let number = Digits { whole, fraction, n_zeros };
    let scale = i32::try_from(scale).map_err(|_| MALFORMED)?;
    let unscaled = if number.len() <= MAX_SMALL_DIGITS {
        small(negative, number, arena)
    } else {
        big(negative, number, arena)
    };
    Ok(Value::Decimal(Decimal { unscaled, scale }))
}

fn trailing_zeros(digits: &[u8]) -> usize {
    digits.iter().rev().take_while(|&&digit| digit == b'0').count()
}

/// 10^38 < 2^127.
const MAX_SMALL_DIGITS: usize = 38;

/// The digits of an unscaled number: `whole`, then `fraction`, then zeros.
#[derive(Clone, Copy)]
struct Digits<'t> {
    whole: &'t [u8],
    fraction: &'t [u8],
    n_zeros: usize,
}

impl<'t> Digits<'t> {
    fn len(self) -> usize {
        self.whole.len() + self.fraction.len() + self.n_zeros
    }

    fn values(self) -> impl Iterator<Item = u8> + 't {
        let zeros = std::iter::repeat_n(&b'0', self.n_zeros);
        self.whole.iter().chain(self.fraction).chain(zeros).map(|digit| digit - b'0')
    }
}

fn small<'a>(negative: bool, digits: Digits<'_>, arena: &'a Bump) -> &'a [u8] {
    let number = if digits.len() <= 18 {
        i128::from(digits.values().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit)))
    } else {
        digits.values().fold(0_i128, |sum, digit| sum * 10 + i128::from(digit))
    };
    let number = if negative { -number } else { number };
    minimal(&number.to_be_bytes(), arena)
}

/// Schoolbook: limbs = limbs * 10^18 + the next 18 digits. The longest numeric takes some 30 ms.
fn big<'a>(negative: bool, digits: Digits<'_>, arena: &'a Bump) -> &'a [u8] {
    const CHUNK: usize = 18;
    let mut limbs: Vec<u64> = Vec::with_capacity(digits.len() / 19 + 2);
    let mut values = digits.values();
    // The first chunk is the short one, so that all others are whole.
    let mut n_left = digits.len();
    while n_left > 0 {
        let n_chunk = match n_left % CHUNK {
            0 => CHUNK,
            short => short,
        };
        let chunk = values.by_ref().take(n_chunk);
        let (factor, chunk) = chunk.fold((1_u64, 0_u64), |(factor, sum), digit| {
            (factor * 10, sum * 10 + u64::from(digit))
        });
        multiply_add(&mut limbs, factor, chunk);
        n_left -= n_chunk;
    }
    // One more limb leaves room for the sign.
    limbs.push(0);
    if negative {
        negate(&mut limbs);
    }
    let bytes: Vec<u8> = limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
    minimal(&bytes, arena)
}

fn multiply_add(limbs: &mut Vec<u64>, factor: u64, addend: u64) {
    let mut carry = addend;
    for limb in limbs.iter_mut() {
        let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
        let bytes = product.to_le_bytes();
        let (halves, _) = bytes.as_chunks::<8>();
        (*limb, carry) = (u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1]));
    }
    if carry != 0 {
        limbs.push(carry);
    }
}

fn negate(limbs: &mut [u64]) {
    let mut carry = true;
    for limb in limbs {
        (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
    }
}

/// Drops leading bytes that only repeat the sign, as `BigInteger.toByteArray` does.
fn minimal<'a>(bytes: &[u8], arena: &'a Bump) -> &'a [u8] {
    let mut start = 0;
    while let [first, second, ..] = bytes[start..] {
        let redundant = (first == 0 && second < 0x80) || (first == 0xff && second >= 0x80);
        if !redundant {
            break;
        }
        start += 1;
    }
    arena.alloc_slice_copy(&bytes[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, scale: Scale, expected: Result<(&[u8], i32), ValueError>) {
        let arena = Bump::new();
        let found = from_text(text, scale, &arena);
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
                    0x4b, 0x3b, 0x4c, 0xa8, 0x5a, 0x86, 0xc4, 0x7a, 0x09, 0x8a, 0x22, 0x3f, 0xff,
                    0xff, 0xff, 0xff,
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
                    0xa3, 0x1f, 0x16, 0x5a, 0x9f, 0xea, 0x01, 0x3a, 0x55, 0x20, 0x5c, 0xd7, 0x51,
                    0xc6, 0x7e, 0xeb,
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
                assert_eq!(
                    big(negative, digits, &arena),
                    small(negative, digits, &arena),
                    "{text}"
                );
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
        let Ok(Value::Decimal(found)) = from_text("100", Scale::Fixed(2046), &arena) else {
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
                let expected = from_text(text, scale, &arena);
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
}
