//! Texts of values, brought to one form: what servers print, and what their tools print.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value as Json;

use crate::support::mysql::Kind as Flavor;

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Two's complement, big-endian, of any length.
pub(super) fn big_decimal(bytes: &[u8], scale: u32) -> String {
    let negative = bytes.first().is_some_and(|b| *b >= 128);
    // Decimal digits, the lowest first.
    let mut digits = vec![0_u32];
    for byte in bytes {
        // The complement of a negative number is one less than its size.
        let mut carry = u32::from(if negative { !byte } else { *byte });
        for digit in &mut digits {
            let sum = *digit * 256 + carry;
            (*digit, carry) = (sum % 10, sum / 10);
        }
        while carry > 0 {
            digits.push(carry % 10);
            carry /= 10;
        }
    }
    if negative {
        let nines = digits.iter().take_while(|digit| **digit == 9).count();
        digits[..nines].fill(0);
        match digits.get_mut(nines) {
            Some(digit) => *digit += 1,
            None => digits.push(1),
        }
    }
    let scale = usize::try_from(scale).unwrap();
    digits.resize(digits.len().max(scale + 1), 0);
    while digits.len() > scale + 1 && digits.last() == Some(&0) {
        digits.pop();
    }
    let text = |digits: &[u32]| -> String {
        digits.iter().rev().map(|d| char::from_digit(*d, 10).unwrap()).collect()
    };
    let sign = if negative { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{}{point}{}", text(&digits[scale..]), text(&digits[..scale]))
}

/// Days since 1970; `None` for what is no day.
pub(super) fn date(text: &str) -> Option<String> {
    days(text).map(|days| days.to_string())
}

fn days(text: &str) -> Option<i64> {
    let mut parts = text.split('-').map(|part| part.parse::<i64>().unwrap());
    let mut next = || parts.next().unwrap();
    let (year, month, day) = (next(), next(), next());
    if month == 0 || day == 0 {
        return None;
    }
    // Days from civil, years beginning in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Microseconds of `[-]h:mm:ss[.ffffff]`.
pub(super) fn time(text: &str) -> String {
    micros(text).to_string()
}

fn micros(text: &str) -> i64 {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut parts = text.split(':');
    let mut next = || parts.next().unwrap();
    let whole = |text: &str| text.parse::<i64>().unwrap();
    let minutes = whole(next()) * 60 + whole(next());
    sign * (minutes * 60_000_000 + seconds(next()))
}

/// Microseconds of `s[.ffffff]`.
pub(super) fn seconds(text: &str) -> i64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    whole.parse::<i64>().unwrap() * 1_000_000 + format!("{fraction:0<6}").parse::<i64>().unwrap()
}

/// Microseconds since 1970, with `T` and `Z` or without; `None` for what is no day.
pub(super) fn datetime(text: &str) -> Option<String> {
    let (day, time) = text.trim_end_matches('Z').split_once([' ', 'T']).unwrap();
    days(day).map(|days| (days * 86_400_000_000 + micros(time)).to_string())
}

/// Little-endian.
pub(super) fn bits(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// Members in the order of their names, whatever spaces were there.
pub(super) fn json(text: &str) -> String {
    text.parse::<Json>().unwrap_or_else(|_| panic!("{text}")).to_string()
}

pub(super) fn floats(value: &Json) -> String {
    let all = value.as_array().unwrap().iter();
    format!("{:?}", all.map(|v| v.to_string().parse::<f32>().unwrap()).collect::<Vec<_>>())
}

pub(super) fn inet(is_v4: bool, mut bytes: Vec<u8>) -> String {
    bytes.resize(if is_v4 { 4 } else { 16 }, 0);
    match is_v4 {
        true => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).unwrap()).to_string(),
        false => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()).to_string(),
    }
}

/// The bytes of a string of `mysqlbinlog` (`my_b_write_quoted` in both servers). MariaDB's writes
/// a backslash of the value as it stands, so that a value with `\x41` in it would be misread: the
/// workload has none.
pub(super) fn unquoted(flavor: Flavor, printed: &[u8]) -> Vec<u8> {
    let inner = printed.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'"));
    let mut rest = inner.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(printed)));
    let mut bytes = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match after {
            [b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = tail;
            }
            [escaped, tail @ ..] if flavor == Flavor::Mysql => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 8,
                    b'f' => 12,
                    b'0' => 0,
                    other => *other,
                });
                rest = tail;
            }
            _ => bytes.push(b'\\'),
        }
    }
    bytes
}

#[test]
fn texts_are_read_as_the_servers_mean_them() {
    assert_eq!(big_decimal(&[0xff], 3), "-0.001");
    assert_eq!(big_decimal(&[0x04, 0xd2], 2), "12.34");
    assert_eq!(big_decimal(&[0], 0), "0");
    assert_eq!(big_decimal(&[0xff, 0x00], 0), "-256");
    assert_eq!(date("1970-01-02").as_deref(), Some("1"));
    assert_eq!(date("0000-00-00"), None);
    assert_eq!(datetime("1969-12-31T23:59:59.5Z").as_deref(), Some("-500000"));
    assert_eq!(time("-838:59:59.000001"), "-3020399000001");
    assert_eq!(unquoted(Flavor::Mysql, br"'a\x00\'\\x'"), b"a\0'\\x");
    assert_eq!(unquoted(Flavor::Mariadb, br"'\x0a'\y'"), b"\n'\\y");
}
