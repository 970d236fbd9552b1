//! Text in every character set of both servers, to UTF-8.
//!
//! A column's character set stands in the log as the number of its collation. Bytes that are no
//! text in it are an error, never U+FFFD: the servers can hold such bytes after an ALTER between
//! character sets by way of BLOB. encoding_rs does the large sets; where the servers differ from
//! it, and for all sets of one byte, `tables` has what the servers say.

mod collations;
mod tables;

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use bumpalo::collections::Vec as BumpVec;
use encoding_rs::{DecoderResult, Encoding};

use tables::{High, Run};

/// The character set of a collation.
#[must_use]
pub fn name_of(collation: u16) -> Option<&'static str> {
    collations::charset_name(collation)
}

/// Whether a collation is one of this character set.
pub(crate) fn is_of(collation: u16, charset: &str) -> bool {
    name_of(collation) == Some(normal(charset))
}

/// A collation that stands for the character set.
pub(crate) fn some_collation(charset: &str) -> Option<u16> {
    (1..=255).find(|&collation| is_of(collation, charset))
}

/// The most bytes that one character takes (`Maxlen` of SHOW CHARACTER SET).
pub(crate) fn bytes_max(charset: &str) -> u32 {
    match normal(charset) {
        "utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030" => 4,
        "utf8mb3" | "ujis" | "eucjpms" => 3,
        "ucs2" | "big5" | "gbk" | "gb2312" | "euckr" | "sjis" | "cp932" => 2,
        _ => 1,
    }
}

/// `utf8` is an alias.
fn normal(charset: &str) -> &str {
    if charset == "utf8" { "utf8mb3" } else { charset }
}

/// How the bytes of a text are read.
#[derive(Clone, Copy, Debug)]
pub enum Charset {
    /// `binary`: no text.
    Binary,
    Ascii,
    /// `utf8mb4` and its subset `utf8mb3`.
    Utf8,
    Ucs2,
    Utf16,
    Utf16Le,
    Utf32,
    /// One byte a character, the lower half ASCII.
    Single(&'static High),
    Swe7,
    /// Several bytes a character, and where the servers read it differently.
    Multi {
        encoding: &'static Encoding,
        differs: &'static [Run],
        shape: Shape,
    },
}

/// Which bytes of a text belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Two, after a first one that is not ASCII.
    Double,
    /// Two, but for half-width kana between A1 and DF.
    ShiftJis,
    /// Two, or three after 8F; and characters of one's own in the rows from F5.
    Euc,
    /// Two, or four with a digit in second place.
    Gb18030,
}

/// Bytes that are no text in the column's character set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotText;

impl Charset {
    /// `None` for a collation that is not known: no text is guessed.
    #[must_use]
    pub fn of_collation(id: u16) -> Option<Self> {
        collations::charset_name(id).and_then(Self::named)
    }

    /// By the name that `character_set_name` has in `information_schema`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        use tables as t;
        let multi = |encoding, differs, shape| Self::Multi { encoding, differs, shape };
        Some(match name {
            "binary" => Self::Binary,
            "ascii" => Self::Ascii,
            "utf8mb4" | "utf8mb3" | "utf8" => Self::Utf8,
            "ucs2" => Self::Ucs2,
            "utf16" => Self::Utf16,
            "utf16le" => Self::Utf16Le,
            "utf32" => Self::Utf32,
            "armscii8" => Self::Single(&t::ARMSCII8),
            "cp1250" => Self::Single(&t::CP1250),
            "cp1251" => Self::Single(&t::CP1251),
            "cp1256" => Self::Single(&t::CP1256),
            "cp1257" => Self::Single(&t::CP1257),
            "cp850" => Self::Single(&t::CP850),
            "cp852" => Self::Single(&t::CP852),
            "cp866" => Self::Single(&t::CP866),
            "dec8" => Self::Single(&t::DEC8),
            "geostd8" => Self::Single(&t::GEOSTD8),
            "greek" => Self::Single(&t::GREEK),
            "hebrew" => Self::Single(&t::HEBREW),
            "hp8" => Self::Single(&t::HP8),
            "keybcs2" => Self::Single(&t::KEYBCS2),
            "koi8r" => Self::Single(&t::KOI8R),
            "koi8u" => Self::Single(&t::KOI8U),
            "latin1" => Self::Single(&t::LATIN1),
            "latin2" => Self::Single(&t::LATIN2),
            "latin5" => Self::Single(&t::LATIN5),
            "latin7" => Self::Single(&t::LATIN7),
            "macce" => Self::Single(&t::MACCE),
            "macroman" => Self::Single(&t::MACROMAN),
            "tis620" => Self::Single(&t::TIS620),
            "swe7" => Self::Swe7,
            "big5" => multi(encoding_rs::BIG5, t::BIG5, Shape::Double),
            "gbk" => multi(encoding_rs::GBK, &[], Shape::Double),
            "gb2312" => multi(encoding_rs::GBK, t::GB2312, Shape::Double),
            "gb18030" => multi(encoding_rs::GB18030, t::GB18030, Shape::Gb18030),
            "euckr" => multi(encoding_rs::EUC_KR, &[], Shape::Double),
            "ujis" => multi(encoding_rs::EUC_JP, t::UJIS, Shape::Euc),
            "eucjpms" => multi(encoding_rs::EUC_JP, t::EUCJPMS, Shape::Euc),
            "sjis" => multi(encoding_rs::SHIFT_JIS, t::SJIS, Shape::ShiftJis),
            "cp932" => multi(encoding_rs::SHIFT_JIS, &[], Shape::ShiftJis),
            _ => return None,
        })
    }

    /// The text, borrowed where it is UTF-8 already.
    ///
    /// # Errors
    /// When the bytes are no text in this character set.
    #[inline]
    pub fn decode<'a>(self, bytes: &'a [u8], arena: &'a Bump) -> Result<&'a str, NotText> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).map_err(|_| NotText),
            Self::Single(_) | Self::Ascii | Self::Multi { .. } if bytes.is_ascii() => {
                std::str::from_utf8(bytes).map_err(|_| NotText)
            }
            other => other.convert(bytes, arena),
        }
    }

    #[cold]
    fn convert<'a>(self, bytes: &'a [u8], arena: &'a Bump) -> Result<&'a str, NotText> {
        let mut text = BumpString::with_capacity_in(bytes.len() * 2, arena);
        match self {
            Self::Utf8 | Self::Ascii | Self::Binary => return Err(NotText),
            Self::Ucs2 => utf16(bytes, u16::from_be_bytes, Surrogates::Never, &mut text)?,
            Self::Utf16 => utf16(bytes, u16::from_be_bytes, Surrogates::Pairs, &mut text)?,
            Self::Utf16Le => utf16(bytes, u16::from_le_bytes, Surrogates::Pairs, &mut text)?,
            Self::Utf32 => {
                let (characters, rest) = bytes.as_chunks::<4>();
                for code in characters {
                    text.push(char::from_u32(u32::from_be_bytes(*code)).ok_or(NotText)?);
                }
                none_left(rest)?;
            }
            Self::Single(high) => {
                for byte in bytes {
                    let upper = byte.checked_sub(128).map(|index| high[usize::from(index)]);
                    text.push(known(char::from_u32(upper.map_or(u32::from(*byte), u32::from)))?);
                }
            }
            Self::Swe7 => {
                for byte in bytes {
                    let differs = tables::SWE7.iter().find(|(code, _)| code == byte);
                    let ascii = byte.is_ascii().then(|| char::from(*byte));
                    text.push(known(differs.map(|(_, c)| *c).or(ascii))?);
                }
            }
            Self::Multi { encoding, differs: [], shape: Shape::Double | Shape::ShiftJis } => {
                return whole(encoding, bytes, arena);
            }
            Self::Multi { encoding, differs, shape } => {
                let mut rest = bytes;
                while let Some(character) = shape.first(rest) {
                    rest = rest.get(character.len()..).unwrap_or_default();
                    text.push(one(character, encoding, differs, shape)?);
                }
            }
        }
        Ok(text.into_bump_str())
    }
}

fn none_left(rest: &[u8]) -> Result<(), NotText> {
    if rest.is_empty() { Ok(()) } else { Err(NotText) }
}

fn known(character: Option<char>) -> Result<char, NotText> {
    character.filter(|c| *c != char::REPLACEMENT_CHARACTER).ok_or(NotText)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Surrogates {
    Pairs,
    /// UCS-2 knows no characters beyond the first plane.
    Never,
}

fn utf16(
    bytes: &[u8],
    unit: fn([u8; 2]) -> u16,
    surrogates: Surrogates,
    text: &mut BumpString<'_>,
) -> Result<(), NotText> {
    let (units, rest) = bytes.as_chunks::<2>();
    for character in char::decode_utf16(units.iter().map(|bytes| unit(*bytes))) {
        let character = character.map_err(|_| NotText)?;
        if surrogates == Surrogates::Never && character.len_utf16() > 1 {
            return Err(NotText);
        }
        text.push(character);
    }
    none_left(rest)
}

/// A text of a character set that the servers and encoding_rs agree on.
fn whole<'a>(
    encoding: &'static Encoding,
    bytes: &[u8],
    arena: &'a Bump,
) -> Result<&'a str, NotText> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let room = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).ok_or(NotText)?;
    let mut text = BumpVec::with_capacity_in(room, arena);
    text.resize(room, 0);
    let (result, read, written) =
        decoder.decode_to_utf8_without_replacement(bytes, &mut text, true);
    if result != DecoderResult::InputEmpty || read != bytes.len() {
        return Err(NotText);
    }
    text.truncate(written);
    std::str::from_utf8(text.into_bump_slice()).map_err(|_| NotText)
}

fn one(
    character: &[u8],
    encoding: &'static Encoding,
    differs: &[Run],
    shape: Shape,
) -> Result<char, NotText> {
    let code = character.iter().fold(0, |code, byte| code << 8 | u32::from(*byte));
    let run = differs.partition_point(|(start, _)| *start <= code).checked_sub(1);
    let found = run.and_then(|run| {
        let (start, text) = differs.get(run)?;
        text.chars().nth(usize::try_from(code - start).ok()?)
    });
    if let Some(found) = found.or_else(|| own(character, shape)) {
        return known(Some(found));
    }
    let mut utf8 = [0; 8];
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let (result, _, written) =
        decoder.decode_to_utf8_without_replacement(character, &mut utf8, true);
    let text = utf8.get(..written).and_then(|utf8| std::str::from_utf8(utf8).ok());
    let mut text = text.unwrap_or_default().chars();
    match (result, text.next(), text.next()) {
        (DecoderResult::InputEmpty, Some(character), None) => Ok(character),
        _ => Err(NotText),
    }
}

/// The rows of ujis and eucjpms that are left to the user become private characters.
fn own(character: &[u8], shape: Shape) -> Option<char> {
    let (base, row, cell) = match (shape, character) {
        (Shape::Euc, [row @ 0xF5..=0xFE, cell @ 0xA1..=0xFE]) => (0xE000, row, cell),
        (Shape::Euc, [0x8F, row @ 0xF5..=0xFE, cell @ 0xA1..=0xFE]) => (0xE3AC, row, cell),
        _ => return None,
    };
    char::from_u32(base + u32::from(row - 0xF5) * 94 + u32::from(cell - 0xA1))
}

impl Shape {
    fn first(self, bytes: &[u8]) -> Option<&[u8]> {
        let length = match (self, bytes) {
            (_, []) => return None,
            (_, [0..=0x7F, ..]) | (Self::ShiftJis, [0xA1..=0xDF, ..]) => 1,
            (Self::Euc, [0x8F, ..]) => 3,
            (Self::Gb18030, [_, b'0'..=b'9', ..]) => 4,
            _ => 2,
        };
        Some(bytes.get(..length).unwrap_or(bytes))
    }
}

#[cfg(test)]
mod tests;
