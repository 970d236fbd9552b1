//! Decimals brought to the scale that a schema asks for.
//!
//! Numbers up to 127 bits, nearly all there are, stay on the stack. Larger ones take the road of
//! [`Magnitude`], which allocates.

use crate::value::Decimal;

/// The unscaled value in another scale: on the stack, or on the heap where it is large.
pub(crate) enum Unscaled {
    Small([u8; 16]),
    Large(Vec<u8>),
}

impl Unscaled {
    /// Minimal big-endian two's complement, as Java's `BigInteger.toByteArray`.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => minimal(bytes),
            Self::Large(bytes) => bytes,
        }
    }
}

/// `decimal` with `scale` digits after the point; `None` where that would drop digits.
pub(crate) fn rescale(decimal: Decimal<'_>, scale: i32) -> Option<Unscaled> {
    let shift = i64::from(scale) - i64::from(decimal.scale);
    let power = u32::try_from(shift.unsigned_abs()).ok()?;
    if let Some(value) = small(decimal.unscaled)
        && let Some(factor) = 10_i128.checked_pow(power)
    {
        if shift < 0 {
            return (value % factor == 0).then(|| Unscaled::Small((value / factor).to_be_bytes()));
        }
        if let Some(value) = value.checked_mul(factor) {
            return Some(Unscaled::Small(value.to_be_bytes()));
        }
    }
    let mut magnitude = Magnitude::parse(decimal.unscaled);
    for _ in 0..power {
        if shift > 0 {
            magnitude.multiply_by_ten();
        } else if !magnitude.divide_by_ten() {
            return None;
        }
    }
    Some(Unscaled::Large(magnitude.into_bytes()))
}

/// The form of `VariableScaleDecimal`: trailing zeros of the fraction stripped, no negative scale.
/// Gives the scale, and the unscaled value where it differs from `decimal`'s.
pub(crate) fn normalise(decimal: Decimal<'_>) -> (i32, Option<Unscaled>) {
    if decimal.scale < 0 {
        let whole = rescale(decimal, 0).expect("a larger scale drops no digits");
        return (0, Some(whole));
    }
    let mut scale = decimal.scale;
    if let Some(mut value) = small(decimal.unscaled) {
        if value == 0 {
            return (0, Some(Unscaled::Small([0; 16])));
        }
        while scale > 0 && value % 10 == 0 {
            value /= 10;
            scale -= 1;
        }
        let changed = scale != decimal.scale;
        return (scale, changed.then(|| Unscaled::Small(value.to_be_bytes())));
    }
    let mut magnitude = Magnitude::parse(decimal.unscaled);
    while scale > 0 && magnitude.divide_by_ten() {
        scale -= 1;
    }
    let changed = scale != decimal.scale;
    (scale, changed.then(|| Unscaled::Large(magnitude.into_bytes())))
}

/// An unsigned number as unscaled value: minimal two's complement, on the stack.
pub(crate) fn unsigned(value: u64) -> Unscaled {
    Unscaled::Small(i128::from(value).to_be_bytes())
}

/// Sign and decimal digits of a number that is not [`small`].
pub(crate) fn large_digits(unscaled: &[u8]) -> (bool, Vec<u8>) {
    let magnitude = Magnitude::parse(unscaled);
    (magnitude.negative, magnitude.into_decimal())
}

/// The number, where 127 bits hold it.
pub(crate) fn small(unscaled: &[u8]) -> Option<i128> {
    let fill = if unscaled.first().is_some_and(|byte| *byte >= 0x80) { 0xFF } else { 0 };
    let mut bytes = [fill; 16];
    let start = bytes.len().checked_sub(unscaled.len())?;
    bytes[start..].copy_from_slice(unscaled);
    Some(i128::from_be_bytes(bytes))
}

/// Without the leading bytes that only repeat the sign.
fn minimal(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest
        && ((*first == 0 && *second < 0x80) || (*first == 0xFF && *second >= 0x80))
    {
        rest = &rest[1..];
    }
    rest
}

/// An integer of any size: sign and base 2^32 digits, lowest first.
struct Magnitude {
    negative: bool,
    digits: Vec<u32>,
}

impl Magnitude {
    fn parse(twos_complement: &[u8]) -> Self {
        let negative = twos_complement.first().is_some_and(|byte| *byte >= 0x80);
        let fill = if negative { 0xFF } else { 0 };
        let digits = twos_complement.rchunks(4).map(|chunk| {
            let mut bytes = [fill; 4];
            bytes[4 - chunk.len()..].copy_from_slice(chunk);
            u32::from_be_bytes(bytes)
        });
        let mut parsed = Self { negative, digits: digits.collect() };
        if negative {
            parsed.negate();
        }
        parsed
    }

    /// Two's complement of the digits; the highest of them never overflows into a new one, except
    /// for a lone sign bit, which stays as it is and reads as its magnitude.
    fn negate(&mut self) {
        let mut carry = true;
        for digit in &mut self.digits {
            let (value, overflow) = (!*digit).overflowing_add(u32::from(carry));
            *digit = value;
            carry = overflow;
        }
    }

    fn multiply_by_ten(&mut self) {
        let mut carry = 0;
        for digit in &mut self.digits {
            let product = u64::from(*digit) * 10 + carry;
            *digit = low(product);
            carry = product >> 32;
        }
        if carry > 0 {
            self.digits.push(low(carry));
        }
    }

    /// Divides if nothing remains; says whether it did.
    fn divide_by_ten(&mut self) -> bool {
        let remainder =
            self.digits.iter().rev().fold(0, |rest, digit| ((rest << 32) | u64::from(*digit)) % 10);
        if remainder != 0 {
            return false;
        }
        let mut rest = 0;
        for digit in self.digits.iter_mut().rev() {
            let value = (rest << 32) | u64::from(*digit);
            *digit = low(value / 10);
            rest = value % 10;
        }
        true
    }

    /// Decimal digits, highest first, without leading zeros.
    fn into_decimal(mut self) -> Vec<u8> {
        const GROUP: u64 = 1_000_000_000;
        let mut groups = Vec::new();
        while self.digits.iter().any(|digit| *digit != 0) {
            let mut rest = 0;
            for digit in self.digits.iter_mut().rev() {
                let value = (rest << 32) | u64::from(*digit);
                *digit = low(value / GROUP);
                rest = value % GROUP;
            }
            while self.digits.last() == Some(&0) {
                self.digits.pop();
            }
            groups.push(rest);
        }
        let text: String = groups.iter().rev().map(|group| format!("{group:09}")).collect();
        text.trim_start_matches('0').as_bytes().to_vec()
    }

    fn into_bytes(mut self) -> Vec<u8> {
        // Room for the sign.
        self.digits.push(0);
        if self.negative {
            self.negate();
        }
        let bytes: Vec<u8> = self.digits.iter().rev().flat_map(|d| d.to_be_bytes()).collect();
        minimal(&bytes).to_vec()
    }
}

/// The lower half.
fn low(value: u64) -> u32 {
    u32::try_from(value & 0xFFFF_FFFF).expect("a masked half fits")
}

#[cfg(test)]
mod tests {
    use super::{normalise, rescale};
    use crate::value::Decimal;

    fn bytes(value: i128) -> Vec<u8> {
        super::minimal(&value.to_be_bytes()).to_vec()
    }

    fn check_rescale(unscaled: i128, from: i32, to: i32, expected: Option<i128>) {
        let unscaled = bytes(unscaled);
        let rescaled = rescale(Decimal { unscaled: &unscaled, scale: from }, to);
        assert_eq!(rescaled.map(|v| v.as_bytes().to_vec()), expected.map(bytes));
    }

    #[test]
    fn a_decimal_takes_the_columns_scale_or_none() {
        check_rescale(125, 1, 2, Some(1_250));
        check_rescale(-125, 1, 3, Some(-12_500));
        check_rescale(0, 0, 2, Some(0));
        check_rescale(1_250, 2, 1, Some(125));
        check_rescale(1_251, 2, 1, None);
        check_rescale(-99, -4, 0, Some(-990_000));
        check_rescale(i128::MAX / 100, 0, 2, Some(i128::MAX / 100 * 100));
    }

    fn check_normalise(unscaled: i128, scale: i32, expected: i128, expected_scale: i32) {
        let unscaled = bytes(unscaled);
        let (scale, value) = normalise(Decimal { unscaled: &unscaled, scale });
        let value = value.map_or(unscaled.clone(), |v| v.as_bytes().to_vec());
        assert_eq!((value, scale), (bytes(expected), expected_scale));
    }

    #[test]
    fn a_variable_decimal_loses_the_zeros_of_its_fraction_only() {
        check_normalise(250, 2, 25, 1);
        check_normalise(10_000, 2, 100, 0);
        check_normalise(100, 0, 100, 0);
        check_normalise(0, 5, 0, 0);
        check_normalise(1, 30, 1, 30);
        check_normalise(-1_500, 3, -15, 1);
        check_normalise(1, -10, 10_000_000_000, 0);
    }

    #[test]
    fn large_numbers_go_there_and_back() {
        for value in [1, -1, 7, -8, i128::MAX, i128::MIN, i128::MIN + 1, 1 << 64, -(1 << 96)] {
            let unscaled = bytes(value);
            let up = rescale(Decimal { unscaled: &unscaled, scale: 0 }, 2_046).unwrap();
            let up = Decimal { unscaled: up.as_bytes(), scale: 2_046 };
            let down = rescale(up, 0).unwrap();
            assert_eq!(down.as_bytes(), unscaled, "{value}");
            assert!(rescale(up, -40).is_none(), "{value}");
            let (scale, normal) = normalise(up);
            assert_eq!((scale, normal.unwrap().as_bytes()), (0, &unscaled[..]));
        }
    }

    #[test]
    fn debeziums_misread_negative_scale_is_reached() {
        // numeric(4,-2) holding 100: scale 2046, so 10^2048.
        let up = rescale(Decimal { unscaled: &[100], scale: 0 }, 2_046).unwrap();
        // 2048 * log2(10) = 6803.4 bits and a sign.
        assert_eq!(up.as_bytes().len(), 851);
    }
}
