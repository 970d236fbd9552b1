//! Bytes as text.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinaryText {
    Base64,
    Base64UrlSafe,
    Hex,
}

impl BinaryText {
    pub(crate) fn length(self, bytes: &[u8]) -> usize {
        match self {
            Self::Base64 | Self::Base64UrlSafe => bytes.len().div_ceil(3) * 4,
            Self::Hex => bytes.len() * 2,
        }
    }

    /// Appends the text, which is ASCII and needs no escaping in any format.
    pub(crate) fn append(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Base64 => append_base64(&STANDARD, self.length(bytes), bytes, out),
            Self::Base64UrlSafe => append_base64(&URL_SAFE, self.length(bytes), bytes, out),
            Self::Hex => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digit = |half: u8| DIGITS[usize::from(half)];
                out.reserve(self.length(bytes));
                for byte in bytes {
                    out.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xF)]);
                }
            }
        }
    }
}

fn append_base64(engine: &GeneralPurpose, length: usize, bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + length, 0);
    let written = engine.encode_slice(bytes, &mut out[start..]);
    assert_eq!(written, Ok(length), "the room was made for it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_javas_texts() {
        for (bytes, base64, url_safe, hex) in [
            (&b""[..], "", "", ""),
            (&[0xFB, 0xFF][..], "+/8=", "-_8=", "fbff"),
            (&[0, 0xFF, 0x10][..], "AP8Q", "AP8Q", "00ff10"),
        ] {
            for (form, expected) in [
                (BinaryText::Base64, base64),
                (BinaryText::Base64UrlSafe, url_safe),
                (BinaryText::Hex, hex),
            ] {
                let mut out = b"x".to_vec();
                form.append(bytes, &mut out);
                assert_eq!(out, format!("x{expected}").into_bytes(), "{form:?}");
                assert_eq!(form.length(bytes), expected.len());
            }
        }
    }
}
