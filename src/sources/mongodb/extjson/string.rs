//! Quoted text, as `StrictCharacterStreamJsonWriter.writeStringHelper` writes it.

use bumpalo::collections::String as BumpString;

use super::plain;

pub(super) fn write(text: &str, out: &mut BumpString<'_>) {
    out.push_str("\"");
    let mut rest = text;
    loop {
        let (clean, dirty) = rest.split_at(clean_length(rest));
        out.push_str(clean);
        let mut characters = dirty.chars();
        let Some(character) = characters.next() else { break };
        write_escaped(character, out);
        rest = characters.as_str();
    }
    out.push_str("\"");
}

/// How many bytes at the front are written as they are.
fn clean_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += clean_ascii(bytes.get(at..).unwrap_or_default());
        let next = text.get(at..).and_then(|rest| rest.chars().next());
        match next {
            Some(character) if !character.is_ascii() && plain::is_plain(character) => {
                at += character.len_utf8();
            }
            _ => return at,
        }
    }
}

/// How many bytes at the front are ASCII that needs no escape.
fn clean_ascii(bytes: &[u8]) -> usize {
    /// A byte in every place.
    const fn all(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    /// The top bit of every byte that is zero. Where one is, the bytes above it may be wrong.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(all(1)) & !word & all(0x80)
    }
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(all(b' ')) & !word;
        let dirty = (word | control) & all(0x80)
            | zeros(word ^ all(b'"'))
            | zeros(word ^ all(b'\\'))
            | zeros(word ^ all(0x7F));
        if dirty != 0 {
            return at + (dirty.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let tail = bytes.get(at..).unwrap_or_default();
    let dirty = |byte: &u8| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\');
    at + tail.iter().position(dirty).unwrap_or(tail.len())
}

/// Two letters for a few, four hex digits for every UTF-16 unit of all others.
fn write_escaped(character: char, out: &mut BumpString<'_>) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                write_unit(*unit, out);
            }
        }
    }
}

fn write_unit(unit: u16, out: &mut BumpString<'_>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.push(char::from(DIGITS[usize::from((unit >> shift) & 0xF)]));
    }
}

/// The options of a regular expression, which are written in the order of the alphabet
/// (`BsonRegularExpression`).
pub(super) fn write_sorted(options: &str, out: &mut BumpString<'_>) {
    if options.chars().is_sorted() {
        return write(options, out);
    }
    // Servers and drivers keep the order, so that this is for documents made by hand.
    let mut sorted: Vec<char> = options.chars().collect();
    sorted.sort_unstable();
    write(&sorted.into_iter().collect::<String>(), out);
}
