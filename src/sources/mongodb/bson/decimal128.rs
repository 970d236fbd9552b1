//! IEEE 754-2008 decimal floating point with 34 digits, in its binary form.

use std::fmt;

/// Compared by its bits: 1.0 and 1.00 are different values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal128 {
    bits: u128,
}

/// A decimal taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    NaN,
    Infinity {
        negative: bool,
    },
    /// `coefficient * 10^exponent`. Zero has a sign and an exponent too.
    Finite {
        negative: bool,
        coefficient: u128,
        exponent: i32,
    },
}

impl Decimal128 {
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        Self { bits }
    }

    #[must_use]
    pub fn parts(self) -> Parts {
        /// Of the exponent, as `org.bson.types.Decimal128.EXPONENT_OFFSET`.
        const BIAS: i32 = 6176;
        const COEFFICIENT: u128 = (1 << 113) - 1;
        let negative = self.bits >> 127 == 1;
        let exponent_at =
            |shift: u32| i32::try_from((self.bits >> shift) & 0x3FFF).unwrap_or_default() - BIAS;
        match (self.bits >> 122) & 0x1F {
            0b11111 => Parts::NaN,
            0b11110 => Parts::Infinity { negative },
            // The form for coefficients of 114 bits, more than 34 digits have: none is canonical,
            // and what is not canonical is zero.
            top if top >> 3 == 0b11 => {
                Parts::Finite { negative, coefficient: 0, exponent: exponent_at(111) }
            }
            _ => Parts::Finite {
                negative,
                coefficient: self.bits & COEFFICIENT,
                exponent: exponent_at(113),
            },
        }
    }
}

/// `to-scientific-string` of the General Decimal Arithmetic specification, which every driver
/// prints (`org.bson.types.Decimal128.toString`).
impl fmt::Display for Decimal128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (negative, coefficient, exponent) = match self.parts() {
            Parts::NaN => return f.write_str("NaN"),
            Parts::Infinity { negative: true } => return f.write_str("-Infinity"),
            Parts::Infinity { negative: false } => return f.write_str("Infinity"),
            Parts::Finite { negative, coefficient, exponent } => (negative, coefficient, exponent),
        };
        if negative {
            f.write_str("-")?;
        }
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(coefficient);
        let n_digits = i32::try_from(digits.len()).unwrap_or(i32::MAX);
        let adjusted = exponent + (n_digits - 1);
        if exponent > 0 || adjusted < -6 {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            let plus = if adjusted > 0 { "+" } else { "" };
            return write!(f, "{first}{point}{rest}E{plus}{adjusted}");
        }
        match usize::try_from(n_digits + exponent) {
            Ok(whole) if exponent == 0 || whole > 0 => {
                let (whole, fraction) = digits.split_at(whole);
                let point = if fraction.is_empty() { "" } else { "." };
                write!(f, "{whole}{point}{fraction}")
            }
            _ => {
                let zeros = usize::try_from(-exponent - n_digits).unwrap_or_default();
                write!(f, "0.{:0<zeros$}{digits}", "")
            }
        }
    }
}
