//! One value of a document.

use std::ffi::CStr;

use super::{Array, BsonError, Decimal128, Document, RawValue};

/// Every type of the specification, the deprecated ones too: servers still store them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bson<'a> {
    Double(f64),
    String(&'a str),
    Document(Document<'a>),
    Array(Array<'a>),
    Binary(Binary<'a>),
    /// Deprecated.
    Undefined,
    ObjectId(ObjectId),
    Boolean(bool),
    /// Milliseconds since 1970 in UTC.
    DateTime(i64),
    Null,
    /// Options in the order in which they are stored.
    Regex {
        pattern: &'a str,
        options: &'a str,
    },
    /// Deprecated.
    DbPointer {
        namespace: &'a str,
        id: ObjectId,
    },
    JavaScript(&'a str),
    /// Deprecated.
    Symbol(&'a str),
    /// Deprecated.
    JavaScriptWithScope {
        code: &'a str,
        scope: Document<'a>,
    },
    Int32(i32),
    Timestamp(Timestamp),
    Int64(i64),
    Decimal128(Decimal128),
    MinKey,
    MaxKey,
}

/// Bytes of a subtype. Subtype 2 has a second length within; these are the bytes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary<'a> {
    pub subtype: u8,
    pub bytes: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectId(pub [u8; 12]);

/// A moment of the cluster's clock: seconds, and a counter within each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    pub time: u32,
    pub increment: u32,
}

impl Timestamp {
    /// As one number that has the order of the moments.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        (u64::from(self.time) << 32) | u64::from(self.increment)
    }
}

impl<'a> RawValue<'a> {
    /// The value that the bytes begin with, and what stands behind it.
    #[inline]
    pub(super) fn read(kind: u8, bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BsonError> {
        if kind == 0x02 {
            let (text, rest) = string_bytes(bytes, "a string")?;
            return Ok((Self::String(text), rest));
        }
        let (value, rest) = Bson::read(kind, bytes)?;
        Ok((Self::Other(value), rest))
    }
}

impl<'a> Bson<'a> {
    /// The value that the bytes begin with, and what stands behind it.
    #[inline]
    fn read(kind: u8, bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BsonError> {
        Ok(match kind {
            0x01 => {
                let (bits, rest) = fixed(bytes, "a double")?;
                (Self::Double(f64::from_le_bytes(*bits)), rest)
            }
            0x02 => string(bytes, "a string").map(|(text, rest)| (Self::String(text), rest))?,
            0x03 => Document::first(bytes).map(|(found, rest)| (Self::Document(found), rest))?,
            0x04 => {
                let (document, rest) = Document::first(bytes)?;
                (Self::Array(Array::of(document)), rest)
            }
            0x05 => binary(bytes)?,
            0x06 => (Self::Undefined, bytes),
            0x07 => {
                let (id, rest) = fixed(bytes, "an ObjectId")?;
                (Self::ObjectId(ObjectId(*id)), rest)
            }
            0x08 => boolean(bytes)?,
            0x09 => {
                let (millis, rest) = fixed(bytes, "a date")?;
                (Self::DateTime(i64::from_le_bytes(*millis)), rest)
            }
            0x0A => (Self::Null, bytes),
            0x0B => {
                let (pattern, rest) = cstring(bytes, "a regular expression")?;
                let (options, rest) = cstring(rest, "a regular expression")?;
                (Self::Regex { pattern, options }, rest)
            }
            0x0C => {
                let (namespace, rest) = string(bytes, "a DBPointer")?;
                let (id, rest) = fixed(rest, "a DBPointer")?;
                (Self::DbPointer { namespace, id: ObjectId(*id) }, rest)
            }
            0x0D => string(bytes, "code").map(|(text, rest)| (Self::JavaScript(text), rest))?,
            0x0E => string(bytes, "a symbol").map(|(text, rest)| (Self::Symbol(text), rest))?,
            0x0F => code_with_scope(bytes)?,
            0x10 => {
                let (number, rest) = fixed(bytes, "an integer")?;
                (Self::Int32(i32::from_le_bytes(*number)), rest)
            }
            0x11 => {
                let (increment, rest) = fixed(bytes, "a timestamp")?;
                let (time, rest) = fixed(rest, "a timestamp")?;
                let increment = u32::from_le_bytes(*increment);
                (Self::Timestamp(Timestamp { time: u32::from_le_bytes(*time), increment }), rest)
            }
            0x12 => {
                let (number, rest) = fixed(bytes, "an integer")?;
                (Self::Int64(i64::from_le_bytes(*number)), rest)
            }
            0x13 => {
                let (bits, rest) = fixed(bytes, "a decimal")?;
                (Self::Decimal128(Decimal128::from_bits(u128::from_le_bytes(*bits))), rest)
            }
            0xFF => (Self::MinKey, bytes),
            0x7F => (Self::MaxKey, bytes),
            other => return Err(BsonError::UnknownType(other)),
        })
    }

    /// As `$type` names it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Document(_) => "object",
            Self::Array(_) => "array",
            Self::Binary(_) => "binData",
            Self::Undefined => "undefined",
            Self::ObjectId(_) => "objectId",
            Self::Boolean(_) => "bool",
            Self::DateTime(_) => "date",
            Self::Null => "null",
            Self::Regex { .. } => "regex",
            Self::DbPointer { .. } => "dbPointer",
            Self::JavaScript(_) => "javascript",
            Self::Symbol(_) => "symbol",
            Self::JavaScriptWithScope { .. } => "javascriptWithScope",
            Self::Int32(_) => "int",
            Self::Timestamp(_) => "timestamp",
            Self::Int64(_) => "long",
            Self::Decimal128(_) => "decimal",
            Self::MinKey => "minKey",
            Self::MaxKey => "maxKey",
        }
    }
}

fn fixed<'a, const N: usize>(
    bytes: &'a [u8],
    what: &'static str,
) -> Result<(&'a [u8; N], &'a [u8]), BsonError> {
    bytes.split_first_chunk().ok_or(BsonError::CutOff(what))
}

/// A length of four bytes, and as many bytes behind it.
fn sized<'a>(bytes: &'a [u8], what: &'static str) -> Result<(usize, &'a [u8]), BsonError> {
    let (length, rest) = fixed(bytes, what)?;
    let length =
        usize::try_from(i32::from_le_bytes(*length)).map_err(|_| BsonError::Length(what))?;
    if length <= rest.len() { Ok((length, rest)) } else { Err(BsonError::CutOff(what)) }
}

fn string<'a>(bytes: &'a [u8], what: &'static str) -> Result<(&'a str, &'a [u8]), BsonError> {
    let (text, rest) = string_bytes(bytes, what)?;
    Ok((std::str::from_utf8(text).map_err(|_| BsonError::NotUtf8(what))?, rest))
}

#[inline]
fn string_bytes<'a>(
    bytes: &'a [u8],
    what: &'static str,
) -> Result<(&'a [u8], &'a [u8]), BsonError> {
    let (length, rest) = sized(bytes, what)?;
    let (text, rest) = rest.split_at(length);
    match text {
        [] => Err(BsonError::Length(what)),
        [text @ .., 0] => Ok((text, rest)),
        _ => Err(BsonError::NoTerminator(what)),
    }
}

fn cstring<'a>(bytes: &'a [u8], what: &'static str) -> Result<(&'a str, &'a [u8]), BsonError> {
    let text = CStr::from_bytes_until_nul(bytes).map_err(|_| BsonError::NoTerminator(what))?;
    let rest = bytes.get(text.count_bytes() + 1..).unwrap_or_default();
    Ok((text.to_str().map_err(|_| BsonError::NotUtf8(what))?, rest))
}

fn boolean(bytes: &[u8]) -> Result<(Bson<'_>, &[u8]), BsonError> {
    match bytes {
        [] => Err(BsonError::CutOff("a boolean")),
        [0, rest @ ..] => Ok((Bson::Boolean(false), rest)),
        [1, rest @ ..] => Ok((Bson::Boolean(true), rest)),
        [other, ..] => Err(BsonError::Boolean(*other)),
    }
}

fn binary(bytes: &[u8]) -> Result<(Bson<'_>, &[u8]), BsonError> {
    /// `BsonBinarySubType.OLD_BINARY`, "binary (old)" of the specification.
    const OLD: u8 = 2;
    const WHAT: &str = "binary data";
    let (length, rest) = sized(bytes, WHAT)?;
    let (subtype, rest) = rest.split_first().ok_or(BsonError::CutOff(WHAT))?;
    let (bytes, rest) = rest.split_at_checked(length).ok_or(BsonError::CutOff(WHAT))?;
    let bytes = match *subtype {
        OLD => match sized(bytes, WHAT)? {
            (length, bytes) if length == bytes.len() => bytes,
            _ => return Err(BsonError::Length(WHAT)),
        },
        _ => bytes,
    };
    Ok((Bson::Binary(Binary { subtype: *subtype, bytes }), rest))
}

fn code_with_scope(bytes: &[u8]) -> Result<(Bson<'_>, &[u8]), BsonError> {
    const WHAT: &str = "code with scope";
    let (length, _) = fixed(bytes, WHAT)?;
    // This length counts itself.
    let length =
        usize::try_from(i32::from_le_bytes(*length)).map_err(|_| BsonError::Length(WHAT))?;
    let (whole, rest) = bytes.split_at_checked(length).ok_or(BsonError::CutOff(WHAT))?;
    let (_, inner) = whole.split_at_checked(4).ok_or(BsonError::Length(WHAT))?;
    let (code, inner) = string(inner, WHAT)?;
    match Document::first(inner)? {
        (scope, []) => Ok((Bson::JavaScriptWithScope { code, scope }, rest)),
        _ => Err(BsonError::Length(WHAT)),
    }
}
