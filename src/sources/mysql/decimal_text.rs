//! Decimals as both servers print them, to minimal two's complement.

/// 65 digits (`DECIMAL_MAX_PRECISION`) are 216 bits, and one for the sign.
const BYTES_MAX: usize = 28;
const DIGITS_MAX: usize = 65;
/// As many digits as every number of them fits.
const DIGITS_OF_U64: usize = 19;

/// Big-endian two's complement on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unscaled {
    bytes: [u8; BYTES_MAX],
    start: usize,
}

impl Unscaled {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// The digits of a decimal with at most `scale` of them behind the point, as a whole number; `None`
/// for a text of another form.
pub(crate) fn unscaled(text: &[u8], scale: u8) -> Option<Unscaled> {
    let (negative, text) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    let point = text.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
        None => (text, &[][..]),
    };
    let n_zeros = usize::from(scale).checked_sub(fraction.len())?;
    if whole.len() + fraction.len() + n_zeros > DIGITS_MAX
        || (whole.is_empty() && fraction.is_empty())
    {
        return None;
    }
    let digits = whole.iter().chain(fraction).copied().chain(std::iter::repeat_n(b'0', n_zeros));
    let mut number = Unscaled { bytes: [0; BYTES_MAX], start: 0 };
    if whole.len() + fraction.len() + n_zeros <= DIGITS_OF_U64 {
        let small = digits.into_iter().try_fold(0_u64, |sum, digit| Some(sum * 10 + value(digit)?));
        number.bytes[BYTES_MAX - 8..].copy_from_slice(&small?.to_be_bytes());
    } else {
        for digit in digits {
            number.push(u16::try_from(value(digit)?).ok()?)?;
        }
    }
    if negative {
        number.negate();
    }
    number.trim();
    Some(number)
}

fn value(digit: u8) -> Option<u64> {
    digit.is_ascii_digit().then(|| u64::from(digit - b'0'))
}

impl Unscaled {
    /// Times ten, plus a digit.
    fn push(&mut self, digit: u16) -> Option<()> {
        let mut carry = digit;
        for byte in self.bytes.iter_mut().rev() {
            let [high, low] = (u16::from(*byte) * 10 + carry).to_be_bytes();
            *byte = low;
            carry = u16::from(high);
        }
        (carry == 0).then_some(())
    }

    fn negate(&mut self) {
        let mut carry = true;
        for byte in self.bytes.iter_mut().rev() {
            let (negated, overflow) = (!*byte).overflowing_add(u8::from(carry));
            *byte = negated;
            carry = overflow;
        }
    }

    /// Leaves out the bytes in front that only repeat the sign.
    fn trim(&mut self) {
        while let [first, second, ..] = self.as_bytes() {
            let repeats = matches!((first, second >> 7), (0, 0) | (0xFF, 1));
            if !repeats {
                return;
            }
            self.start += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::unscaled;

    fn check(text: &str, scale: u8, expected: i128) {
        let found = unscaled(text.as_bytes(), scale).unwrap();
        let expected = expected.to_be_bytes();
        let sign = if expected[0] >= 0x80 { 0xFF } else { 0 };
        let mut whole = [sign; 16];
        whole[16 - found.as_bytes().len()..].copy_from_slice(found.as_bytes());
        assert_eq!(whole, expected, "{text}");
    }

    #[test]
    fn digits_become_a_whole_number() {
        check("0", 0, 0);
        check("-0", 0, 0);
        check("12.5", 2, 1250);
        check("-99999999.99", 2, -9_999_999_999);
        check("127", 0, 127);
        check("128", 0, 128);
        check("-128", 0, -128);
        check("-129", 0, -129);
        check(".5", 1, 5);
        check("9999999999999999999", 0, 10_i128.pow(19) - 1);
        check("-10000000000000000000", 0, -10_i128.pow(19));
        check("99999999999999999999999999999999999999", 0, 10_i128.pow(38) - 1);
        assert_eq!(unscaled(b"-1", 0).unwrap().as_bytes(), [0xFF]);
        assert_eq!(unscaled(b"128", 0).unwrap().as_bytes(), [0, 0x80]);
    }

    #[test]
    fn sixty_five_digits_fit_and_sixty_six_are_none() {
        let nines = "9".repeat(65);
        let found = unscaled(nines.as_bytes(), 0).unwrap();
        // ln(10^65) / ln(256) = 26.99
        assert_eq!(found.as_bytes().len(), 28);
        assert_eq!(unscaled(format!("-{nines}").as_bytes(), 0).unwrap().as_bytes().len(), 28);
        assert!(unscaled(format!("{nines}9").as_bytes(), 0).is_none());
        assert!(unscaled(nines.as_bytes(), 1).is_none());
    }

    #[test]
    fn other_texts_are_none() {
        for text in ["", "-", ".", "1e3", "+1", "1.2.3", "1.23"] {
            assert!(unscaled(text.as_bytes(), 1).is_none(), "{text}");
        }
    }
}
