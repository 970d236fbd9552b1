//! Where things are in a binary document (`sql-common/json_binary.h` has the format).
//!
//! Every offset comes from the document, so nothing is believed: reads are bounded by the
//! container, and [`Budget`] bounds their sum, because offsets of a malicious document may make
//! many parents share one child.

use crate::sources::mysql::binlog::Reader;
use crate::sources::mysql::decode_error::ValueError;

/// `JSON_DOCUMENT_MAX_DEPTH`
pub(super) const DEPTH_MAX: usize = 100;

pub(super) mod kind {
    pub(in crate::sources::mysql::json) const SMALL_OBJECT: u8 = 0;
    pub(in crate::sources::mysql::json) const LARGE_OBJECT: u8 = 1;
    pub(in crate::sources::mysql::json) const SMALL_ARRAY: u8 = 2;
    pub(in crate::sources::mysql::json) const LARGE_ARRAY: u8 = 3;
    pub(in crate::sources::mysql::json) const LITERAL: u8 = 4;
    pub(in crate::sources::mysql::json) const INT16: u8 = 5;
    pub(in crate::sources::mysql::json) const UINT16: u8 = 6;
    pub(in crate::sources::mysql::json) const INT32: u8 = 7;
    pub(in crate::sources::mysql::json) const UINT32: u8 = 8;
    pub(in crate::sources::mysql::json) const INT64: u8 = 9;
    pub(in crate::sources::mysql::json) const UINT64: u8 = 10;
    pub(in crate::sources::mysql::json) const DOUBLE: u8 = 11;
    pub(in crate::sources::mysql::json) const STRING: u8 = 12;
    pub(in crate::sources::mysql::json) const OPAQUE: u8 = 15;
}

pub(super) const MALFORMED: ValueError = ValueError::Malformed("a JSON document");

/// How many bytes and values may still be read: a sound document holds each of them once.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
    depth: usize,
}

impl Budget {
    /// Twice the bytes of the document: each value has an entry, and may have a body.
    pub(super) fn of(bytes: usize) -> Self {
        Self { left: bytes.saturating_mul(2).saturating_add(16), depth: 0 }
    }

    pub(super) fn spend(&mut self, amount: usize) -> Result<(), ValueError> {
        self.left = self.left.checked_sub(amount).ok_or(MALFORMED)?;
        Ok(())
    }

    pub(super) fn enter(&mut self) -> Result<(), ValueError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(ValueError::JsonDepth(DEPTH_MAX)) } else { Ok(()) }
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }
}

/// One value of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'a> {
    pub(super) kind: u8,
    /// From where the value begins to the end of what contains it.
    pub(super) bytes: &'a [u8],
}

impl<'a> Stored<'a> {
    /// A column's value. No bytes at all are what an ALTER makes of rows that had no such column:
    /// the server reads them as null (`json_binary::parse_binary`).
    pub(super) fn document(bytes: &'a [u8]) -> Result<Self, ValueError> {
        const NULL: Stored<'static> = Stored { kind: kind::LITERAL, bytes: &[0] };
        Ok(match bytes {
            [] => NULL,
            [kind, rest @ ..] => Self { kind: *kind, bytes: rest },
        })
    }

    /// The members or elements; `None` for a scalar.
    pub(super) fn container(self) -> Result<Option<Container<'a>>, ValueError> {
        let (object, large) = match self.kind {
            kind::SMALL_OBJECT => (true, false),
            kind::LARGE_OBJECT => (true, true),
            kind::SMALL_ARRAY => (false, false),
            kind::LARGE_ARRAY => (false, true),
            _ => return Ok(None),
        };
        let mut reader = Reader::new(self.bytes);
        let count = number(&mut reader, large)?;
        let size = number(&mut reader, large)?;
        let bytes = self.bytes.get(..size).ok_or(MALFORMED)?;
        let container = Container { object, large, count, bytes };
        // So that a count is never believed that the bytes cannot hold.
        if container
            .values_start()
            .and_then(|start| count.checked_mul(container.value_entry())?.checked_add(start))
            .is_none_or(|end| end > size)
        {
            return Err(MALFORMED);
        }
        Ok(Some(container))
    }
}

/// An offset, count or size: two bytes in small containers, four in large ones.
fn number(reader: &mut Reader<'_>, large: bool) -> Result<usize, ValueError> {
    let number = if large { reader.u32() } else { reader.u16().map(u32::from) };
    number.ok().and_then(|number| usize::try_from(number).ok()).ok_or(MALFORMED)
}

/// An object or array, its header checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Container<'a> {
    pub(super) object: bool,
    large: bool,
    pub(super) count: usize,
    bytes: &'a [u8],
}

impl<'a> Container<'a> {
    fn width(self) -> usize {
        if self.large { 4 } else { 2 }
    }

    /// Offset and length of a key.
    fn key_entry(self) -> usize {
        self.width() + 2
    }

    /// Type and offset, or the value itself.
    fn value_entry(self) -> usize {
        self.width() + 1
    }

    fn values_start(self) -> Option<usize> {
        let keys = if self.object { self.count.checked_mul(self.key_entry())? } else { 0 };
        keys.checked_add(2 * self.width())
    }

    /// Of an object.
    pub(super) fn key(self, index: usize) -> Result<&'a str, ValueError> {
        let at = 2 * self.width() + index * self.key_entry();
        let mut reader = Reader::new(self.bytes.get(at..).ok_or(MALFORMED)?);
        let offset = number(&mut reader, self.large)?;
        let length = usize::from(reader.u16().map_err(|_| MALFORMED)?);
        let end = offset.checked_add(length).ok_or(MALFORMED)?;
        std::str::from_utf8(self.bytes.get(offset..end).ok_or(MALFORMED)?).map_err(|_| MALFORMED)
    }

    pub(super) fn value(self, index: usize) -> Result<Stored<'a>, ValueError> {
        let at = self.values_start().ok_or(MALFORMED)? + index * self.value_entry();
        let entry = self.bytes.get(at..at + self.value_entry()).ok_or(MALFORMED)?;
        let (kind, rest) = entry.split_first().ok_or(MALFORMED)?;
        let inlined = match *kind {
            kind::LITERAL | kind::INT16 | kind::UINT16 => true,
            kind::INT32 | kind::UINT32 => self.large,
            _ => false,
        };
        if inlined {
            return Ok(Stored { kind: *kind, bytes: rest });
        }
        let offset = number(&mut Reader::new(rest), self.large)?;
        let bytes = self.bytes.get(offset..).ok_or(MALFORMED)?;
        Ok(Stored { kind: *kind, bytes })
    }
}

/// A length of seven bits a byte, lowest first (`read_variable_length`), and the bytes behind it.
pub(super) fn sized<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], ValueError> {
    let mut length = 0_usize;
    // Five bytes hold 32 bits.
    for shift in (0..35).step_by(7) {
        let byte = reader.u8().map_err(|_| MALFORMED)?;
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return reader.take(length).map_err(|_| MALFORMED);
        }
    }
    Err(MALFORMED)
}
