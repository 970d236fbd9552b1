//! Decimals as text and as floating point numbers (`BigDecimal.toPlainString`, `doubleValue`).
//!
//! As in [`super::decimal`], numbers up to 127 bits stay on the stack.

use super::decimal;
use crate::value::Decimal;

/// Longer texts go to the heap: the digits of a number of 127 bits and MySQL's largest scale fit.
const STACK_BYTES: usize = 80;

/// ASCII text that is short nearly always.
pub(crate) struct Plain {
    stack: [u8; STACK_BYTES],
    length: usize,
    /// Holds everything as soon as the stack is too short.
    heap: Vec<u8>,
}

impl Plain {
    fn new() -> Self {
        Self { stack: [0; STACK_BYTES], length: 0, heap: Vec::new() }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        if self.heap.is_empty() { &self.stack[..self.length] } else { &self.heap }
    }

    fn push(&mut self, text: &[u8]) {
        let end = self.length + text.len();
        if self.heap.is_empty() {
            if let Some(room) = self.stack.get_mut(self.length..end) {
                room.copy_from_slice(text);
                self.length = end;
                return;
            }
            self.heap.extend_from_slice(&self.stack[..self.length]);
        }
        self.heap.extend_from_slice(text);
    }

    fn zeros(&mut self, mut n: usize) {
        const ZEROS: &[u8; 32] = &[b'0'; 32];
        while n > 0 {
            let some = n.min(ZEROS.len());
            self.push(&ZEROS[..some]);
            n -= some;
        }
    }
}

/// Every digit, and at least `scale` of them after the point.
pub(crate) fn plain(decimal: Decimal<'_>, scale: i32) -> Plain {
    with_digits(decimal.unscaled, |negative, digits| {
        let mut out = Plain::new();
        if negative {
            out.push(b"-");
        }
        let own = usize::try_from(decimal.scale).unwrap_or(0);
        let whole = digits.len().saturating_sub(own);
        out.push(if whole == 0 { b"0" } else { &digits[..whole] });
        // A negative scale stands for zeros before the point.
        if digits != b"0" {
            out.zeros(usize::try_from(-i64::from(decimal.scale)).unwrap_or(0));
        }
        let missing = usize::try_from(scale).unwrap_or(0).saturating_sub(own);
        if own + missing > 0 {
            out.push(b".");
            out.zeros(own.saturating_sub(digits.len()));
            out.push(&digits[whole..]);
            out.zeros(missing);
        }
        out
    })
}

/// The nearest floating point number; `None` beyond the largest.
pub(crate) fn double(decimal: Decimal<'_>) -> Option<f64> {
    let text = with_digits(decimal.unscaled, |negative, digits| {
        let mut text = Plain::new();
        text.push(if negative { b"-" } else { b"" });
        text.push(digits);
        text.push(b"e");
        text.push(itoa::Buffer::new().format(-i64::from(decimal.scale)).as_bytes());
        text
    });
    let text = std::str::from_utf8(text.as_bytes()).expect("digits are ASCII");
    let number: f64 = text.parse().expect("digits and an exponent are a number");
    number.is_finite().then_some(number)
}

/// Hands on the sign and the decimal digits of the absolute value.
fn with_digits<T>(unscaled: &[u8], read: impl FnOnce(bool, &[u8]) -> T) -> T {
    match decimal::small(unscaled) {
        Some(value) => read(value < 0, itoa::Buffer::new().format(value.unsigned_abs()).as_bytes()),
        None => {
            let (negative, digits) = decimal::large_digits(unscaled);
            read(negative, &digits)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(unscaled: i128, scale: i32, text: &str, number: f64) {
        let unscaled = unscaled.to_be_bytes();
        let decimal = Decimal { unscaled: &unscaled, scale };
        assert_eq!(plain(decimal, 0).as_bytes(), text.as_bytes());
        assert_eq!(double(decimal).map(f64::to_bits), Some(number.to_bits()), "{text}");
    }

    #[test]
    fn every_digit_is_there_and_no_exponent() {
        check(0, 0, "0", 0.0);
        check(0, 2, "0.00", 0.0);
        check(-9_999_999_999, 2, "-99999999.99", -99_999_999.99);
        check(1, 2, "0.01", 0.01);
        check(-1, 30, "-0.000000000000000000000000000001", -1e-30);
        check(25, -2, "2500", 2500.0);
        check(0, -2, "0", 0.0);
        check(i128::MIN, 0, "-170141183460469231731687303715884105728", -(2_f64.powi(127)));
    }

    #[test]
    fn digits_that_the_scale_wants_are_zeros() {
        let decimal = |unscaled, scale| Decimal { unscaled, scale };
        assert_eq!(plain(decimal(&[5], 0), 2).as_bytes(), b"5.00");
        assert_eq!(plain(decimal(&[125], 1), 3).as_bytes(), b"12.500");
        // More digits than the column has now stay.
        assert_eq!(plain(decimal(&[125], 2), 1).as_bytes(), b"1.25");
        let long = plain(decimal(&[1], 0), 200);
        assert_eq!(long.as_bytes(), format!("1.{}", "0".repeat(200)).as_bytes());
    }

    #[test]
    fn numbers_of_any_size_have_a_text() {
        // 2^256 and its opposite.
        let mut unscaled = vec![0; 33];
        unscaled[0] = 1;
        let text = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        let decimal = Decimal { unscaled: &unscaled, scale: 0 };
        assert_eq!(plain(decimal, 0).as_bytes(), text.as_bytes());
        assert_eq!(double(decimal), Some(2_f64.powi(256)));
        unscaled[0] = 0xFF;
        let decimal = Decimal { unscaled: &unscaled, scale: 78 };
        let expected = format!("-0.{text}");
        assert_eq!(plain(decimal, 0).as_bytes(), expected.as_bytes());
    }

    #[test]
    fn a_number_beyond_all_doubles_is_none() {
        assert_eq!(double(Decimal { unscaled: &[1], scale: -308 }), Some(1e308));
        assert_eq!(double(Decimal { unscaled: &[1], scale: -309 }), None);
        assert_eq!(double(Decimal { unscaled: &[1], scale: 400 }), Some(0.0));
    }
}
