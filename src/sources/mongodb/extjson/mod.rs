//! MongoDB Extended JSON: text of documents, as Debezium's consumers read it.
//!
//! In reading order: [`Form`] says which of the dialects, `write` writes values, `string` and
//! `plain` text, `number` doubles, `date` dates. Nothing is allocated but the text, in the arena.
//!
//! Debezium 3.6 prints documents with the Java driver 5.6 (`org.bson.json.JsonWriter`) under three
//! settings of its own (`JsonSerialization`), and each differs somewhere from the specification:
//! they are kept byte for byte, because keys are compared by their bytes.

mod date;
mod number;
mod plain;
mod string;
mod write;

use bumpalo::Bump;

use super::bson::{Bson, BsonError, Document, Element};

/// How types that JSON does not have are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// `JsonMode.STRICT`: the form of before 2017, `{"$date": 0}`, `{"$binary": "", "$type": "00"}`.
    Legacy,
    /// Numbers and dates are easy to read.
    Relaxed,
    /// Every type can be told.
    Canonical,
}

/// Where implementations differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// The Java driver 5.6, which Debezium 3.6 ships.
    Java,
    /// The specification ("Extended JSON", version 2.1), as its corpus has it.
    Specification,
}

/// One text form, to the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    mode: Mode,
    dialect: Dialect,
    /// Between two members or elements.
    comma: &'static str,
}

impl Form {
    /// Debezium's `before`, `after` and `lsid`: legacy, `{"_id": 1,"v": 2}`.
    pub const DOCUMENT: Self = Self { mode: Mode::Legacy, dialect: Dialect::Java, comma: "," };
    /// Debezium's key: relaxed, `{"a": 1,"b": "x"}`.
    pub const KEY: Self = Self { mode: Mode::Relaxed, dialect: Dialect::Java, comma: "," };
    /// Debezium's `updatedFields`: relaxed, `{"a.b": 20, "v": 10}`.
    pub const UPDATED_FIELDS: Self =
        Self { mode: Mode::Relaxed, dialect: Dialect::Java, comma: ", " };
    /// The specification's canonical form.
    pub const CANONICAL: Self =
        Self { mode: Mode::Canonical, dialect: Dialect::Specification, comma: ", " };
    /// The specification's relaxed form.
    pub const RELAXED: Self =
        Self { mode: Mode::Relaxed, dialect: Dialect::Specification, comma: ", " };
}

/// The text of a document.
///
/// # Errors
/// When the document is malformed.
pub fn to_text<'a>(
    document: Document<'_>,
    form: Form,
    arena: &'a Bump,
) -> Result<&'a str, BsonError> {
    // Room for what quotes and commas add to names and small values: growing copies.
    let expected = document.bytes().len() + document.bytes().len() / 2;
    let mut writer = write::Writer::new(form, Out::with_capacity_in(expected, arena));
    writer.document(document)?;
    writer.finish()
}

/// The text of a value.
///
/// # Errors
/// When a document in the value is malformed.
pub fn value_to_text<'a>(
    value: &Bson<'_>,
    form: Form,
    arena: &'a Bump,
) -> Result<&'a str, BsonError> {
    let mut writer = write::Writer::new(form, Out::new_in(arena));
    writer.value(value)?;
    writer.finish()
}

/// The text of a document that has these elements.
///
/// # Errors
/// When a document in a value is malformed.
pub fn members_to_text<'a>(
    members: &[Element<'_>],
    form: Form,
    arena: &'a Bump,
) -> Result<&'a str, BsonError> {
    let mut writer = write::Writer::new(form, Out::new_in(arena));
    writer.members(members)?;
    writer.finish()
}

/// Bytes, because text that is appended as such would be looked at piece by piece.
type Out<'a> = bumpalo::collections::Vec<'a, u8>;

#[inline]
fn put(out: &mut Out<'_>, text: &str) {
    out.extend_from_slice_copy(text.as_bytes());
}

#[cfg(test)]
mod tests;
