//! The way through a document.

use std::ffi::CStr;

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
        Elements { rest: self.body() }
    }

    /// The first element of this name.
    ///
    /// # Errors
    /// When the document is malformed before the element's end.
    pub fn get(self, name: &str) -> Result<Option<Bson<'a>>, BsonError> {
        let mut rest = self.body();
        while let [kind, tail @ ..] = rest {
            let (found, tail) = name_bytes(tail)?;
            let (value, tail) = Bson::read(*kind, tail)?;
            if found == name.as_bytes() {
                return Ok(Some(value));
            }
            rest = tail;
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
        Values { rest: self.document.body() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element<'a> {
    pub name: &'a str,
    pub value: Bson<'a>,
}

#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// What is still to be read: taken before and after an element, it shows the element's bytes.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn read(&mut self, kind: u8, tail: &'a [u8]) -> Result<Element<'a>, BsonError> {
        let (name, tail) = name_bytes(tail)?;
        let name = std::str::from_utf8(name).map_err(|_| BsonError::NotUtf8("a name"))?;
        let (value, tail) = Bson::read(kind, tail)?;
        self.rest = tail;
        Ok(Element { name, value })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, BsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, tail) = self.rest.split_first()?;
        let element = self.read(*kind, tail);
        if element.is_err() {
            self.rest = &[];
        }
        Some(element)
    }
}

#[derive(Clone, Debug)]
pub struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    fn read(&mut self, kind: u8, tail: &'a [u8]) -> Result<Bson<'a>, BsonError> {
        let (_, tail) = name_bytes(tail)?;
        let (value, tail) = Bson::read(kind, tail)?;
        self.rest = tail;
        Ok(value)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<Bson<'a>, BsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, tail) = self.rest.split_first()?;
        let value = self.read(*kind, tail);
        if value.is_err() {
            self.rest = &[];
        }
        Some(value)
    }
}

fn name_bytes(bytes: &[u8]) -> Result<(&[u8], &[u8]), BsonError> {
    let name = CStr::from_bytes_until_nul(bytes).map_err(|_| BsonError::NoTerminator("a name"))?;
    let name = name.to_bytes();
    Ok((name, bytes.get(name.len() + 1..).unwrap_or_default()))
}
