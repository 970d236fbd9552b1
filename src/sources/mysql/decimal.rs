//! DECIMAL as rows and JSON documents store it (`bin2decimal` in `strings/decimal.cc` of both
//! servers): groups of nine digits in four bytes, shorter groups in fewer, highest first; the
//! highest bit is inverted, and all bits of a negative number are.

use bumpalo::Bump;

use crate::sources::mysql::decode_error::ValueError;
use crate::value::{Decimal, Value};

const DIGITS_PER_GROUP: usize = 9;
/// Bytes of a group of so many digits (`dig2bytes`).
const GROUP_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
const POWERS: [u32; 10] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
/// `DECIMAL_MAX_PRECISION`.
const DIGITS_MAX: u8 = 65;
/// Nine groups (`DECIMAL_BUFF_LENGTH`): documents count a group of nine digits whole, and so name
/// precisions above 65.
const DIGITS_MAX_IN_DOCUMENT: u8 = 81;
/// Digits of every number below 2^63.
const DIGITS_OF_I64: u8 = 18;
/// Digits of every number below 2^127.
const DIGITS_OF_I128: u8 = 38;

/// A declared precision and scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    precision: u8,
    scale: u8,
    bytes: u8,
}

impl Shape {
    /// Of a column; `None` for what no DECIMAL is.
    pub(crate) fn new(precision: u8, scale: u8) -> Option<Self> {
        Self::within(precision, scale, DIGITS_MAX)
    }

    /// Of a number in a JSON document.
    pub(crate) fn in_document(precision: u8, scale: u8) -> Option<Self> {
        Self::within(precision, scale, DIGITS_MAX_IN_DOCUMENT)
    }

    fn within(precision: u8, scale: u8, digits_max: u8) -> Option<Self> {
        if precision == 0 || precision > digits_max || scale > precision {
            return None;
        }
        let part = |digits: u8| {
            let digits = usize::from(digits);
            digits / DIGITS_PER_GROUP * 4 + GROUP_BYTES[digits % DIGITS_PER_GROUP]
        };
        let bytes = u8::try_from(part(precision - scale) + part(scale)).ok()?;
        Some(Self { precision, scale, bytes })
    }

    #[inline]
    pub(crate) fn n_bytes(self) -> usize {
        usize::from(self.bytes)
    }
}

/// The value, its two's complement in the arena.
#[inline]
pub(crate) fn value<'a>(
    bytes: &[u8],
    shape: Shape,
    arena: &'a Bump,
) -> Result<Value<'a>, ValueError> {
    let scale = i32::from(shape.scale);
    let unscaled: &[u8] = if shape.precision <= DIGITS_OF_I64 {
        let number = short(bytes, shape)?;
        let bytes: &[u8; 8] = arena.alloc(number.to_be_bytes());
        bytes.get(8 - Decimal::n_bytes_of(number)..).unwrap_or_default()
    } else if shape.precision <= DIGITS_OF_I128 {
        let number = small(bytes, shape)?;
        arena.alloc_slice_copy(minimal(&number.to_be_bytes()))
    } else {
        arena.alloc_slice_copy(minimal(&large(bytes, shape)?))
    };
    Ok(Value::Decimal(Decimal { unscaled, scale }))
}

/// The bytes without what only repeats the sign.
fn minimal(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first @ (0 | 0xFF), second, ..] = *rest {
        if first >> 7 != second >> 7 {
            break;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    rest
}

/// The groups of digits, highest first; whether the number is negative.
#[inline]
fn each_group(
    bytes: &[u8],
    shape: Shape,
    mut each: impl FnMut(u32, usize),
) -> Result<bool, ValueError> {
    let malformed = ValueError::Malformed("a decimal");
    let (whole, fraction) = (usize::from(shape.precision - shape.scale), usize::from(shape.scale));
    let negative = *bytes.first().ok_or(malformed)? & 0x80 == 0;
    let invert = if negative { 0xFF } else { 0 };
    let (mut rest, mut sign) = (bytes, 0x80);
    let mut group = |digits: usize| {
        let (group, behind) = rest.split_at_checked(GROUP_BYTES[digits]).ok_or(malformed)?;
        rest = behind;
        let mut number = 0;
        for byte in group {
            number = number << 8 | u32::from(byte ^ invert ^ sign);
            sign = 0;
        }
        if number >= POWERS[digits] {
            return Err(malformed);
        }
        each(number, digits);
        Ok(())
    };
    // Digits that make no whole group stand at both ends.
    if whole % DIGITS_PER_GROUP > 0 {
        group(whole % DIGITS_PER_GROUP)?;
    }
    for _ in 0..whole / DIGITS_PER_GROUP + fraction / DIGITS_PER_GROUP {
        group(DIGITS_PER_GROUP)?;
    }
    if fraction % DIGITS_PER_GROUP > 0 {
        group(fraction % DIGITS_PER_GROUP)?;
    }
    Ok(negative)
}

fn short(bytes: &[u8], shape: Shape) -> Result<i64, ValueError> {
    let mut sum = 0_i64;
    let negative = each_group(bytes, shape, |group, digits| {
        sum = sum * i64::from(POWERS[digits]) + i64::from(group);
    })?;
    Ok(if negative { -sum } else { sum })
}

fn small(bytes: &[u8], shape: Shape) -> Result<i128, ValueError> {
    let mut sum = 0_i128;
    let negative = each_group(bytes, shape, |group, digits| {
        sum = sum * i128::from(POWERS[digits]) + i128::from(group);
    })?;
    Ok(if negative { -sum } else { sum })
}

const LIMBS: usize = 8;

/// Up to 65 digits, which are 216 bits, as 256.
fn large(bytes: &[u8], shape: Shape) -> Result<[u8; LIMBS * 4], ValueError> {
    // The lowest limb first.
    let mut limbs = [0_u32; LIMBS];
    let negative = each_group(bytes, shape, |group, digits| {
        let mut carry = u64::from(group);
        for limb in &mut limbs {
            carry += u64::from(*limb) * u64::from(POWERS[digits]);
            *limb = low_half(carry);
            carry >>= 32;
        }
    })?;
    if negative {
        let mut carry = true;
        for limb in &mut limbs {
            (*limb, carry) = (!*limb).overflowing_add(u32::from(carry));
        }
    }
    let mut out = [0; LIMBS * 4];
    for (chunk, limb) in out.chunks_exact_mut(4).rev().zip(limbs) {
        chunk.copy_from_slice(&limb.to_be_bytes());
    }
    Ok(out)
}

fn low_half(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Writes the number as both servers print it: a zero before the point, and all digits behind it.
pub(crate) fn write(
    bytes: &[u8],
    shape: Shape,
    out: &mut dyn std::fmt::Write,
) -> Result<(), ValueError> {
    let mut digits = [0_u8; DIGITS_MAX_IN_DOCUMENT as usize];
    let mut at = 0;
    let negative = each_group(bytes, shape, |mut group, n| {
        for slot in digits.iter_mut().skip(at).take(n).rev() {
            // A remainder of ten fits.
            *slot = b'0' + u8::try_from(group % 10).unwrap_or_default();
            group /= 10;
        }
        at += n;
    })?;
    let digits = digits.get(..at).unwrap_or_default();
    let (whole, fraction) = digits.split_at(at.saturating_sub(usize::from(shape.scale)));
    let first = whole.iter().position(|d| *d != b'0').unwrap_or(whole.len());
    let whole = whole.get(first..).unwrap_or_default();
    let is_zero = whole.is_empty() && fraction.iter().all(|d| *d == b'0');
    let text = |digits| std::str::from_utf8(digits).unwrap_or_default();
    let sign = if negative && !is_zero { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { text(whole) };
    let point = if fraction.is_empty() { "" } else { "." };
    write!(out, "{sign}{whole}{point}{}", text(fraction))
        .map_err(|_| ValueError::Malformed("a decimal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(precision: u8, scale: u8, hex: &str, expected: &str) {
        let shape = Shape::new(precision, scale).unwrap();
        let bytes: Vec<u8> = hex
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        assert_eq!(shape.n_bytes(), bytes.len());
        let mut text = String::new();
        write(&bytes, shape, &mut text).unwrap();
        assert_eq!(text, expected);
        let arena = Bump::new();
        let Value::Decimal(decimal) = value(&bytes, shape, &arena).unwrap() else { panic!() };
        if precision <= DIGITS_OF_I128 {
            let big = large(&bytes, shape).unwrap();
            assert_eq!(decimal.unscaled, minimal(&big), "both ways");
        }
        let sign = if decimal.unscaled[0] & 0x80 == 0 { 0 } else { 0xFF };
        assert!(
            decimal.unscaled.len() == 1
                || decimal.unscaled[0] != sign
                || (decimal.unscaled[1] ^ sign) & 0x80 != 0
        );
    }

    #[test]
    fn decimals_of_the_manual_and_of_a_server() {
        // The example of `decimal2bin`'s comment: 1234567890.1234 as DECIMAL(14,4).
        check(14, 4, "810DFB38D204D2", "1234567890.1234");
        check(14, 4, "7EF204C72DFB2D", "-1234567890.1234");
        check(10, 2, "8000000000", "0.00");
        check(10, 2, "7FFFFFFFFE", "-0.01");
        check(1, 0, "80", "0");
        check(1, 1, "85", "0.5");
    }

    #[test]
    fn numbers_of_65_digits() {
        let nines = format!("E3{}", "3B9AC9FF".repeat(7));
        check(65, 0, &nines, &"9".repeat(65));
        let nines = format!("1C{}", "C4653600".repeat(7));
        check(65, 0, &nines, &format!("-{}", "9".repeat(65)));
    }

    #[test]
    fn groups_beyond_their_digits_are_refused() {
        let shape = Shape::new(9, 0).unwrap();
        let arena = Bump::new();
        assert!(value(&[0xBB, 0x9A, 0xCA, 0x00], shape, &arena).is_err());
        assert!(Shape::new(66, 0).is_none() && Shape::new(5, 6).is_none());
    }
}
