//! Quoted text, as `StrictCharacterStreamJsonWriter.writeStringHelper` writes it.

use super::{Out, plain, put};
use crate::sources::mongodb::bson::BsonError;

/// Text that may not be UTF-8 yet: ASCII is told apart on the way, all else is looked at.
pub(super) fn write_bytes(
    text: &[u8],
    what: &'static str,
    out: &mut Out<'_>,
) -> Result<(), BsonError> {
    if is_clean(text) {
        out.push(b'"');
        out.extend_from_slice_copy(text);
        out.push(b'"');
        return Ok(());
    }
    write(std::str::from_utf8(text).map_err(|_| BsonError::NotUtf8(what))?, out);
    Ok(())
}

pub(super) fn write(text: &str, out: &mut Out<'_>) {
    out.push(b'"');
    let mut rest = text;
    loop {
        let (clean, dirty) = rest.split_at(clean_length(rest));
        out.extend_from_slice_copy(clean.as_bytes());
        let mut characters = dirty.chars();
        let Some(character) = characters.next() else { break };
        write_escaped(character, out);
        rest = characters.as_str();
    }
    out.push(b'"');
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
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let dirty = dirty(u64::from_le_bytes(*chunk));
        if dirty != 0 {
            return at + (dirty.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let tail = bytes.get(at..).unwrap_or_default();
    let dirty = |byte: &u8| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\');
    at + tail.iter().position(dirty).unwrap_or(tail.len())
}

/// Whether all of it is ASCII that needs no escape. Names and values are short: the ends are read
/// twice rather than byte by byte.
fn is_clean(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk() {
        let mut found = dirty(u64::from_le_bytes(*last));
        for chunk in bytes.chunks_exact(8) {
            let chunk = chunk.try_into().expect("a chunk of eight");
            found |= dirty(u64::from_le_bytes(chunk));
        }
        return found == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return dirty(u64::from(first) | u64::from(last) << 32) == 0;
    }
    match *bytes {
        [] => true,
        [a] => dirty(all(b' ') ^ u64::from(b' ' ^ a)) == 0,
        [a, .., b] => {
            let middle = bytes[bytes.len() / 2];
            dirty(u64::from_le_bytes([a, middle, b, a, a, a, a, a])) == 0
        }
    }
}

/// A byte in every place.
const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The top bit of every byte that needs an escape, or that is not ASCII. Where one is, the bits
/// above it may be wrong.
fn dirty(word: u64) -> u64 {
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(all(1)) & !word
    }
    let control = word.wrapping_sub(all(b' ')) & !word;
    let found = word
        | control
        | zeros(word ^ all(b'"'))
        | zeros(word ^ all(b'\\'))
        | zeros(word ^ all(0x7F));
    found & all(0x80)
}

/// Two letters for a few, four hex digits for every UTF-16 unit of all others.
fn write_escaped(character: char, out: &mut Out<'_>) {
    match character {
        '"' => put(out, "\\\""),
        '\\' => put(out, "\\\\"),
        '\u{8}' => put(out, "\\b"),
        '\u{c}' => put(out, "\\f"),
        '\n' => put(out, "\\n"),
        '\r' => put(out, "\\r"),
        '\t' => put(out, "\\t"),
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                write_unit(*unit, out);
            }
        }
    }
}

fn write_unit(unit: u16, out: &mut Out<'_>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u16| DIGITS[usize::from((unit >> shift) & 0xF)];
    out.extend_from_slice_copy(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

/// The options of a regular expression, which are written in the order of the alphabet
/// (`BsonRegularExpression`).
pub(super) fn write_sorted(options: &str, out: &mut Out<'_>) {
    if options.chars().is_sorted() {
        return write(options, out);
    }
    // Servers and drivers keep the order, so that this is for documents made by hand.
    let mut sorted: Vec<char> = options.chars().collect();
    sorted.sort_unstable();
    write(&sorted.into_iter().collect::<String>(), out);
}
