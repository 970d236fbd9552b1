//! The way through a document.

use super::{Bson, BsonError};

/// How deep documents and arrays may be nested. The manual speaks of 100 levels ("MongoDB Limits
/// and Thresholds"); servers accept 200 (`BSONDepth::kDefaultMaxAllowableDepth` of
/// `bson/bson_depth.h`) and store 180, so that nothing which a server holds is refused here.
pub const DEPTH_MAX: usize = 200;

/// Length and terminator.
const SMALLEST: usize = 5;

/// One document, its outermost length and terminator checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Document<'a> {
    bytes: &'a [u8],
}

impl<'a> Document<'a> {
    /// # Errors
    /// When the bytes are not one document from first to last.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BsonError> {
        match Self::first(bytes)? {
            (document, []) => Ok(document),
            _ => Err(BsonError::Length("the outermost level")),
        }
    }

    /// The document that the bytes begin with, and what stands behind it.
    ///
    /// # Errors
    /// When the bytes begin with none.
    pub fn first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BsonError> {
        const WHAT: &str = "a level";
        let length = bytes.first_chunk().ok_or(BsonError::CutOff(WHAT))?;
        let length = usize::try_from(i32::from_le_bytes(*length)).ok();
        let length = length.filter(|length| *length >= SMALLEST).ok_or(BsonError::Length(WHAT))?;
        let (bytes, rest) = bytes.split_at_checked(length).ok_or(BsonError::CutOff(WHAT))?;
        if bytes.last() == Some(&0) {
            Ok((Self { bytes }, rest))
        } else {
            Err(BsonError::NoTerminator(WHAT))
        }
    }

    /// As it came, length and terminator included.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bytes.len() == SMALLEST
    }

    /// In their order. The first error is the last item.
    #[must_use]
    pub fn elements(self) -> Elements<'a> {
        Elements { raw: self.raw_elements() }
    }

    #[inline]
    pub(in crate::sources::mongodb) fn raw_elements(self) -> RawElements<'a> {
        RawElements { rest: self.body() }
    }

    /// The first element of this name.
    ///
    /// # Errors
    /// When the document is malformed before the element's end.
    pub fn get(self, name: &str) -> Result<Option<Bson<'a>>, BsonError> {
        for element in self.raw_elements() {
            let element = element?;
            if element.name == name.as_bytes() {
                return element.value.checked().map(Some);
            }
        }
        Ok(None)
    }

    /// Walks all of it, every level.
    ///
    /// # Errors
    /// When it is malformed anywhere.
    pub fn check(self) -> Result<(), BsonError> {
        self.check_at(1)
    }

    fn check_at(self, depth: usize) -> Result<(), BsonError> {
        if depth > DEPTH_MAX {
            return Err(BsonError::Depth(DEPTH_MAX));
        }
        for element in self.elements() {
            check_value(&element?.value, depth)?;
        }
        Ok(())
    }

    /// Everything between length and terminator.
    fn body(self) -> &'a [u8] {
        self.bytes.get(4..self.bytes.len() - 1).unwrap_or_default()
    }
}

fn check_value(value: &Bson<'_>, depth: usize) -> Result<(), BsonError> {
    match value {
        Bson::Document(document) | Bson::JavaScriptWithScope { scope: document, .. } => {
            document.check_at(depth + 1)
        }
        Bson::Array(array) if depth < DEPTH_MAX => {
            array.values().try_for_each(|value| check_value(&value?, depth + 1))
        }
        Bson::Array(_) => Err(BsonError::Depth(DEPTH_MAX)),
        _ => Ok(()),
    }
}

/// Contents stay out of logs.
impl std::fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} bytes)", self.bytes.len())
    }
}

/// A document whose names count its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    document: Document<'a>,
}

impl<'a> Array<'a> {
    pub(super) fn of(document: Document<'a>) -> Self {
        Self { document }
    }

    /// As it came, length and terminator included.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.document.bytes
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.document.is_empty()
    }

    /// In their order. The first error is the last item.
    #[must_use]
    pub fn values(self) -> Values<'a> {
        Values { raw: self.raw_elements() }
    }

    pub(in crate::sources::mongodb) fn raw_elements(self) -> RawElements<'a> {
        self.document.raw_elements()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element<'a> {
    pub name: &'a str,
    pub value: Bson<'a>,
}

#[derive(Clone, Debug)]
pub struct Elements<'a> {
    raw: RawElements<'a>,
}

impl<'a> Elements<'a> {
    /// What is still to be read: taken before and after an element, it shows the element's bytes.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.raw.rest
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, BsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        let element = self.raw.next()?.and_then(|raw| {
            let name = std::str::from_utf8(raw.name).map_err(|_| BsonError::NotUtf8("a name"))?;
            Ok(Element { name, value: raw.value.checked()? })
        });
        if element.is_err() {
            self.raw.rest = &[];
        }
        Some(element)
    }
}

#[derive(Clone, Debug)]
pub struct Values<'a> {
    raw: RawElements<'a>,
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<Bson<'a>, BsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.raw.next()?.and_then(|raw| raw.value.checked());
        if value.is_err() {
            self.raw.rest = &[];
        }
        Some(value)
    }
}

/// An element whose text may not be UTF-8.
#[derive(Clone, Copy, Debug)]
pub(in crate::sources::mongodb) struct RawElement<'a> {
    pub(in crate::sources::mongodb) name: &'a [u8],
    pub(in crate::sources::mongodb) value: RawValue<'a>,
}

/// Nearly all text of a document is in its strings.
#[derive(Clone, Copy, Debug)]
pub(in crate::sources::mongodb) enum RawValue<'a> {
    String(&'a [u8]),
    Other(Bson<'a>),
}

impl<'a> RawValue<'a> {
    fn checked(self) -> Result<Bson<'a>, BsonError> {
        match self {
            Self::String(text) => std::str::from_utf8(text)
                .map(Bson::String)
                .map_err(|_| BsonError::NotUtf8("a string")),
            Self::Other(value) => Ok(value),
        }
    }
}

#[derive(Clone, Debug)]
pub(in crate::sources::mongodb) struct RawElements<'a> {
    rest: &'a [u8],
}

impl<'a> RawElements<'a> {
    #[inline]
    fn read(&mut self, kind: u8, tail: &'a [u8]) -> Result<RawElement<'a>, BsonError> {
        let (name, tail) = name_bytes(tail)?;
        let (value, tail) = RawValue::read(kind, tail)?;
        self.rest = tail;
        Ok(RawElement { name, value })
    }
}

impl<'a> Iterator for RawElements<'a> {
    type Item = Result<RawElement<'a>, BsonError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (kind, tail) = self.rest.split_first()?;
        let element = self.read(*kind, tail);
        if element.is_err() {
            self.rest = &[];
        }
        Some(element)
    }
}

/// Names are short, and most end within the first eight bytes.
#[inline]
fn name_bytes(bytes: &[u8]) -> Result<(&[u8], &[u8]), BsonError> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*chunk);
        // The lowest bit that is set stands at the first zero byte.
        let zeros = word.wrapping_sub(ONES) & !word & TOPS;
        if zeros != 0 {
            return Ok(split_name(bytes, at + (zeros.trailing_zeros() / 8) as usize));
        }
        at += 8;
    }
    let tail = bytes.get(at..).unwrap_or_default();
    let zero = tail.iter().position(|byte| *byte == 0).ok_or(BsonError::NoTerminator("a name"))?;
    Ok(split_name(bytes, at + zero))
}

fn split_name(bytes: &[u8], zero: usize) -> (&[u8], &[u8]) {
    let (name, rest) = bytes.split_at(zero);
    (name, rest.get(1..).unwrap_or_default())
}
