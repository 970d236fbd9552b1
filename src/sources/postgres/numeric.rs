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
    text: &[u8],
    scale: Scale,
    arena: &'a Bump,
) -> Result<Value<'a>, ValueError> {
    match text {
        b"NaN" => return Ok(Value::DecimalSpecial(DecimalSpecial::NaN)),
        b"Infinity" => return Ok(Value::DecimalSpecial(DecimalSpecial::PositiveInfinity)),
        b"-Infinity" => return Ok(Value::DecimalSpecial(DecimalSpecial::NegativeInfinity)),
        _ => {}
    }
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let point = digits.iter().position(|&byte| byte == b'.').unwrap_or(digits.len());
    let (whole, fraction) = digits.split_at(point);
    decimal(negative, whole, fraction.get(1..).unwrap_or_default(), scale, arena)
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
    let are_digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
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
    let unscaled = if number.len() <= MAX_SHORT_DIGITS {
        short(negative, number, arena)
    } else if number.len() <= MAX_SMALL_DIGITS {
        small(negative, number, arena)
    } else {
        big(negative, number, arena)
    };
    Ok(Value::Decimal(Decimal { unscaled, scale }))
}

fn trailing_zeros(digits: &[u8]) -> usize {
    digits.iter().rev().take_while(|&&digit| digit == b'0').count()
}

/// 10^18 < 2^63.
const MAX_SHORT_DIGITS: usize = 18;
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

/// Nearly all numbers.
#[inline]
fn short<'a>(negative: bool, digits: Digits<'_>, arena: &'a Bump) -> &'a [u8] {
    let mut number = 0;
    for digits in [digits.whole, digits.fraction] {
        for digit in digits {
            number = number * 10 + i64::from(digit - b'0');
        }
    }
    for _ in 0..digits.n_zeros {
        number *= 10;
    }
    let number = if negative { -number } else { number };
    let bytes: &[u8; 8] = arena.alloc(number.to_be_bytes());
    bytes.get(8 - Decimal::n_bytes_of(number)..).unwrap_or_default()
}

fn small<'a>(negative: bool, digits: Digits<'_>, arena: &'a Bump) -> &'a [u8] {
    let number = digits.values().fold(0_i128, |sum, digit| sum * 10 + i128::from(digit));
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
mod tests;
