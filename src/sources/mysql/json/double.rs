//! Floating point numbers as MySQL, and as Debezium, write them in JSON.

use std::fmt::{Result, Write};

/// The shortest digits that mean the number, without zeros at either end, and how many of them
/// stand before the point.
struct Digits {
    digits: [u8; 24],
    length: usize,
    before_point: i32,
}

impl Digits {
    fn of(number: f64) -> Self {
        let mut buffer = ryu::Buffer::new();
        let (mantissa, exponent) = match buffer.format_finite(number).split_once('e') {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(0)),
            None => (buffer.format_finite(number), 0),
        };
        let mut found = Self { digits: [0; 24], length: 0, before_point: exponent };
        let mut behind_point = false;
        for byte in mantissa.bytes() {
            match byte {
                b'.' => behind_point = true,
                b'0' if found.length == 0 => found.before_point -= i32::from(behind_point),
                b'0'..=b'9' => {
                    found.digits[found.length] = byte;
                    found.length += 1;
                    found.before_point += i32::from(!behind_point);
                }
                _ => {}
            }
        }
        while found.length > 0 && found.digits[found.length - 1] == b'0' {
            found.length -= 1;
        }
        if found.length == 0 {
            (found.digits[0], found.length, found.before_point) = (b'0', 1, 1);
        }
        found
    }

    fn text(&self) -> &str {
        std::str::from_utf8(self.digits.get(..self.length).unwrap_or_default()).unwrap_or_default()
    }
}

/// `my_gcvt` with room for everything (`strings/dtoa.cc`), and `.0` where the text would be that of
/// an integer (`Json_wrapper::to_string`).
pub(super) fn write_as_server(number: f64, out: &mut dyn Write) -> Result {
    /// `MAX_DECPT_FOR_F_FORMAT`, which is `DBL_DIG`.
    const POINT_MAX: i32 = 15;
    let digits = Digits::of(number);
    if number.is_sign_negative() {
        out.write_str("-")?;
    }
    if digits.before_point < 1 - POINT_MAX || digits.before_point > POINT_MAX {
        let (first, rest) = digits.text().split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return write!(out, "{first}{point}{rest}e{}", digits.before_point - 1);
    }
    write_plain(&digits, out)
}

/// With a point, and at least one digit on either side of it.
fn write_plain(digits: &Digits, out: &mut dyn Write) -> Result {
    let text = digits.text();
    match usize::try_from(digits.before_point) {
        Ok(0) | Err(_) => {
            out.write_str("0.")?;
            for _ in digits.before_point..0 {
                out.write_str("0")?;
            }
            out.write_str(text)
        }
        Ok(before) => match text.split_at_checked(before) {
            Some((whole, fraction)) if !fraction.is_empty() => write!(out, "{whole}.{fraction}"),
            _ => {
                out.write_str(text)?;
                for _ in text.len()..before {
                    out.write_str("0")?;
                }
                out.write_str(".0")
            }
        },
    }
}

/// `Double.toString`, and where that has an exponent `new BigDecimal(number).toPlainString()`: all
/// digits of the binary fraction (`JsonStringFormatter` of mysql-binlog-connector-java).
pub(super) fn write_as_debezium(number: f64, out: &mut dyn Write) -> Result {
    let digits = Digits::of(number);
    // Double.toString has an exponent outside of 1e-3 <= number < 1e7.
    if (-2..=7).contains(&digits.before_point) || number == 0.0 {
        if number.is_sign_negative() {
            out.write_str("-")?;
        }
        return write_plain(&digits, out);
    }
    // The smallest double has 1074 binary digits behind the point, and as many decimal ones.
    let mut exact = Exact { out, zeros: 0, behind_point: false, point_due: false };
    write!(exact, "{number:.1074}")
}

/// Leaves out zeros at the end of a fraction, and the point before nothing.
struct Exact<'o> {
    out: &'o mut dyn Write,
    zeros: usize,
    behind_point: bool,
    point_due: bool,
}

impl Write for Exact<'_> {
    fn write_str(&mut self, text: &str) -> Result {
        for character in text.chars() {
            match character {
                '.' => (self.behind_point, self.point_due) = (true, true),
                '0' if self.behind_point => self.zeros += 1,
                other => {
                    if std::mem::take(&mut self.point_due) {
                        self.out.write_char('.')?;
                    }
                    for _ in 0..std::mem::take(&mut self.zeros) {
                        self.out.write_char('0')?;
                    }
                    self.out.write_char(other)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_as_both_print_them() {
        for (number, server, debezium) in [
            (0.0, "0.0", "0.0"),
            (-0.0, "-0.0", "-0.0"),
            (1.0, "1.0", "1.0"),
            (1.5, "1.5", "1.5"),
            (100.0, "100.0", "100.0"),
            (-0.1, "-0.1", "-0.1"),
            (0.001, "0.001", "0.001"),
            (1234567.0, "1234567.0", "1234567.0"),
            (1e7, "10000000.0", "10000000"),
            (1e14, "100000000000000.0", "100000000000000"),
            (1e15, "1e15", "1000000000000000"),
            (1.5e20, "1.5e20", "150000000000000000000"),
            (5e-4, "0.0005", "0.0005000000000000000104083408558608425664715468883514404296875"),
            (
                1e-15,
                "0.000000000000001",
                "0.00000000000000100000000000000007770539987666107923830718560119501514549256171449",
            ),
            (1e-16, "1e-16", ""),
            (1.7976931348623157e308, "1.7976931348623157e308", ""),
            (2.2250738585072014e-308, "2.2250738585072014e-308", ""),
        ] {
            let (mut a, mut b) = (String::new(), String::new());
            write_as_server(number, &mut a).unwrap();
            assert_eq!(a, server);
            write_as_debezium(number, &mut b).unwrap();
            assert!(b.starts_with(debezium), "{b}");
            assert_eq!(b.parse::<f64>(), Ok(number));
        }
    }
}
