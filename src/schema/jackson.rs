//! How Jackson writes JSON scalars, which is how every JSON record of Kafka Connect is written.
//!
//! Schema texts and payloads share it. Nothing here allocates beyond the buffer it appends to.

use std::io::Write;

const HEX: &[u8; 16] = b"0123456789ABCDEF";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A quoted string. Jackson's byte generator escapes quotes, backslashes, control characters with
/// upper-case hex, and, for want of a feature that is off by default
/// (`COMBINE_UNICODE_SURROGATES_IN_UTF8`), everything beyond the first plane as two surrogates.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut clean = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte >= 0x20 && byte != b'"' && byte != b'\\' && byte < 0xF0 {
            at += 1;
            continue;
        }
        out.extend_from_slice(&bytes[clean..at]);
        at += write_escape(out, &bytes[at..]);
        clean = at;
    }
    out.extend_from_slice(&bytes[clean..]);
    out.push(b'"');
}

/// Escapes the character at the front of `bytes`; how many bytes it was.
fn write_escape(out: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let byte = bytes[0];
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0C => b'f',
        b'\r' => b'r',
        0xF0.. => {
            let bits = |index: usize| u32::from(bytes[index] & 0x3F);
            let code = (u32::from(byte & 0x07) << 18) | (bits(1) << 12) | (bits(2) << 6) | bits(3);
            let offset = code - 0x1_0000;
            write_unit(out, 0xD800 + (offset >> 10));
            write_unit(out, 0xDC00 + (offset & 0x3FF));
            return 4;
        }
        _ => {
            write_unit(out, u32::from(byte));
            return 1;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
    1
}

fn write_unit(out: &mut Vec<u8>, unit: u32) {
    let digit = |shift: u32| HEX[((unit >> shift) & 0xF) as usize];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

/// Quoted base64: the standard alphabet with padding, no line feeds (`MIME_NO_LINEFEEDS`).
pub(crate) fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len().div_ceil(3) * 4 + 2);
    out.push(b'"');
    let digit = |bits: u32, shift: u32| BASE64[((bits >> shift) & 0x3F) as usize];
    let mut chunks = bytes.chunks_exact(3);
    for chunk in &mut chunks {
        let bits = (u32::from(chunk[0]) << 16) | (u32::from(chunk[1]) << 8) | u32::from(chunk[2]);
        out.extend_from_slice(&[digit(bits, 18), digit(bits, 12), digit(bits, 6), digit(bits, 0)]);
    }
    match *chunks.remainder() {
        [first, second] => {
            let bits = (u32::from(first) << 16) | (u32::from(second) << 8);
            out.extend_from_slice(&[digit(bits, 18), digit(bits, 12), digit(bits, 6), b'=']);
        }
        [first] => {
            let bits = u32::from(first) << 16;
            out.extend_from_slice(&[digit(bits, 18), digit(bits, 12), b'=', b'=']);
        }
        _ => {}
    }
    out.push(b'"');
}

pub(crate) fn write_int(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// `Float.toString`, quoted where it is no number (`QUOTE_NON_NUMERIC_NUMBERS`).
pub(crate) fn write_float32(out: &mut Vec<u8>, value: f32) {
    if !value.is_finite() {
        return write_not_finite(out, f64::from(value));
    }
    let mut buffer = ryu::Buffer::new();
    // One digit from the shortest form may still not be Java's: see `write_java`.
    let exact = |out: &mut [u8; 16]| write_two_digits(out, format_args!("{value:.1e}"));
    write_java(out, buffer.format_finite(value), exact);
}

/// `Double.toString`, quoted where it is no number.
pub(crate) fn write_float64(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        return write_not_finite(out, value);
    }
    write_java_double(out, value);
}

fn write_java_double(out: &mut impl Text, value: f64) {
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format_finite(value);
    // Where Java prints no exponent, ryu prints the same text.
    if (1e-3..1e7).contains(&value.abs()) {
        return out.put(shortest.as_bytes());
    }
    let exact = |out: &mut [u8; 16]| write_two_digits(out, format_args!("{value:.1e}"));
    write_java(out, shortest, exact);
}

/// `Double.toString` of a finite number, for text that is not Jackson's.
pub(crate) struct JavaDouble {
    text: Short,
}

impl JavaDouble {
    pub(crate) fn new(value: f64) -> Self {
        let mut text = Short { bytes: [0; Short::BYTES], length: 0 };
        write_java_double(&mut text, value);
        Self { text }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text.bytes[..self.text.length]).expect("digits are ASCII")
    }
}

/// Where the text of a number goes.
trait Text {
    fn put(&mut self, bytes: &[u8]);
}

impl Text for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A sign, 17 digits, a point with up to three zeros before it or an exponent.
struct Short {
    bytes: [u8; Self::BYTES],
    length: usize,
}

impl Short {
    const BYTES: usize = 32;
}

impl Text for Short {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

fn write_not_finite(out: &mut Vec<u8>, value: f64) {
    let text: &[u8] = if value.is_nan() {
        b"\"NaN\""
    } else if value > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    };
    out.extend_from_slice(text);
}

fn write_two_digits(out: &mut [u8; 16], text: std::fmt::Arguments<'_>) -> usize {
    let mut rest = out.as_mut_slice();
    let before = rest.len();
    rest.write_fmt(text).expect("a sign, two digits and an exponent fit in 16 bytes");
    before - rest.len()
}

/// Lays out the shortest digits as `Double.toString` of Java 19 and later does: plain from 1e-3 up
/// to 1e7, computerised scientific notation (`1.0E10`) elsewhere, always a digit after the point.
///
/// Java prints at least two digits, so where one digit is enough to tell the number apart it takes
/// the closest of *two* digits: `4.9E-324`, not `5.0E-324`. That shows among the smallest
/// subnormals only; everywhere else one digit is exact.
fn write_java(out: &mut impl Text, shortest: &str, exact: impl Fn(&mut [u8; 16]) -> usize) {
    let mut digits = Digits::parse(shortest.as_bytes());
    let mut buffer = [0; 16];
    if digits.count == 1 && digits.point < -40 {
        let length = exact(&mut buffer);
        digits = Digits::parse(&buffer[..length]);
    }
    digits.write(out);
}

/// A decimal as its significant digits and the place of the point: `0.d1d2d3… * 10^point`.
struct Digits {
    negative: bool,
    digits: [u8; 20],
    count: usize,
    point: i32,
}

impl Digits {
    /// Reads `-12.5e-7` in any of its forms: what ryu and `core::fmt` write.
    fn parse(text: &[u8]) -> Self {
        let mut parsed = Self { negative: false, digits: [b'0'; 20], count: 0, point: 0 };
        let mut seen_point = false;
        let mut rest = text;
        while let [byte, tail @ ..] = rest {
            rest = tail;
            match byte {
                b'-' => parsed.negative = true,
                b'.' => seen_point = true,
                b'e' => {
                    parsed.point += exponent(rest);
                    break;
                }
                // A zero before the first digit only moves the point.
                b'0' if parsed.count == 0 => parsed.point -= i32::from(seen_point),
                digit => {
                    parsed.digits[parsed.count] = *digit;
                    parsed.count += 1;
                    parsed.point += i32::from(!seen_point);
                }
            }
        }
        while parsed.count > 0 && parsed.digits[parsed.count - 1] == b'0' {
            parsed.count -= 1;
        }
        parsed
    }

    fn write(&self, out: &mut impl Text) {
        if self.negative {
            out.put(b"-");
        }
        let digits = &self.digits[..self.count];
        match self.point {
            _ if digits.is_empty() => out.put(b"0.0"),
            -2..=0 => {
                out.put(b"0.");
                out.put(&ZEROS[..self.point.unsigned_abs() as usize]);
                out.put(digits);
            }
            1..=7 => write_split(out, digits, self.point.unsigned_abs() as usize),
            _ => {
                write_split(out, digits, 1);
                out.put(b"E");
                out.put(itoa::Buffer::new().format(self.point - 1).as_bytes());
            }
        }
    }
}

const ZEROS: &[u8; 7] = b"0000000";

/// `digits` with the point behind the first `whole` of them, filled up with zeros; seven at most.
fn write_split(out: &mut impl Text, digits: &[u8], whole: usize) {
    let split = whole.min(digits.len());
    out.put(&digits[..split]);
    out.put(&ZEROS[..whole - split]);
    out.put(b".");
    out.put(if split < digits.len() { &digits[split..] } else { b"0" });
}

fn exponent(text: &[u8]) -> i32 {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let value = digits.iter().fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'));
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::{write_base64, write_float32, write_float64, write_string};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_print_as_java_prints_them() {
        // The right column is what Java 21's Double.toString gives.
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (100.0, "100.0"),
            (123_456.789, "123456.789"),
            (1_234_567.0, "1234567.0"),
            (9_999_999.999_999_998, "9999999.999999998"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (1e10, "1.0E10"),
            (1e21, "1.0E21"),
            (1e22, "1.0E22"),
            (1e23, "1.0E23"),
            (2e23, "2.0E23"),
            (0.001, "0.001"),
            (0.001_234, "0.001234"),
            (0.01, "0.01"),
            (0.000_999, "9.99E-4"),
            (1e-4, "1.0E-4"),
            (1e-5, "1.0E-5"),
            (1e-310, "1.0E-310"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (5e-324, "4.9E-324"),
            (1e-323, "9.9E-324"),
            (2e-323, "2.0E-323"),
            (9_007_199_254_740_993.0, "9.007199254740992E15"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(written(|out| write_float64(out, value)), text);
        }
    }

    #[test]
    fn floats_print_as_java_prints_them() {
        for (value, text) in [
            (1.5, "1.5"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (3.402_823_5e38, "3.4028235E38"),
            (1.4e-45, "1.4E-45"),
            (2.8e-45, "2.8E-45"),
            (1.175_494_4e-38, "1.1754944E-38"),
            (16_777_216.0, "1.6777216E7"),
            (1e10, "1.0E10"),
            (3.0e-3, "0.003"),
            (f32::NAN, "\"NaN\""),
        ] {
            assert_eq!(written(|out| write_float32(out, value)), text);
        }
    }

    #[test]
    fn every_double_reads_back_as_it_was() {
        // Splitmix64 over bit patterns, subnormals and all.
        let mut state = 7_u64;
        for round in 0..200_000 {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut bits = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            bits ^= bits >> 27;
            if round % 8 == 0 {
                bits &= 0x800F_FFFF_FFFF_FFFF;
            }
            let value = f64::from_bits(bits);
            if value.is_finite() {
                let text = written(|out| write_float64(out, value));
                assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{text}");
            }
        }
    }

    #[test]
    fn strings_are_escaped_as_jackson_escapes_them() {
        for (text, json) in [
            ("", r#""""#),
            ("päpier", r#""päpier""#),
            ("a\"b\\c/d", r#""a\"b\\c/d""#),
            ("\u{8}\t\n\u{c}\r", r#""\b\t\n\f\r""#),
            ("\u{0}\u{1f}\u{7f}", "\"\\u0000\\u001F\u{7f}\""),
            ("x😀y", r#""x\uD83D\uDE00y""#),
            ("\u{ffff}\u{10ffff}", "\"\u{ffff}\\uDBFF\\uDFFF\""),
        ] {
            assert_eq!(written(|out| write_string(out, text)), json);
            assert_eq!(serde_json::from_str::<String>(json).unwrap(), text);
        }
    }

    #[test]
    fn bytes_become_padded_base64() {
        for (bytes, text) in [
            (&b""[..], "\"\""),
            (b"f", "\"Zg==\""),
            (b"fo", "\"Zm8=\""),
            (b"foo", "\"Zm9v\""),
            (b"\xfb\xff\x00\x01", "\"+/8AAQ==\""),
        ] {
            assert_eq!(written(|out| write_base64(out, bytes)), text);
        }
    }
}
