//! JSON documents: MySQL's binary form to text, and changes to a part of one.
//!
//! In reading order: `binary` finds its way in a document, `text` writes it, `diff` applies
//! what `binlog_row_value_options=PARTIAL_JSON` leaves of an update. MariaDB's JSON is text.

mod binary;
mod diff;
mod double;
mod text;

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;

use crate::sources::mysql::decode_error::ValueError;

/// How a document is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonForm {
    /// As Debezium streams it: no spaces, fractions of seconds without zeros at the end, doubles
    /// without exponent, opaque values as bare base64.
    #[default]
    Debezium,
    /// As the server prints it in SELECT.
    Server,
}

/// The text of a document.
///
/// # Errors
/// When the bytes are no document.
pub fn to_text<'a>(
    document: &[u8],
    form: JsonForm,
    arena: &'a Bump,
) -> Result<&'a str, ValueError> {
    let mut out = BumpString::with_capacity_in(document.len(), arena);
    let root = binary::Stored::document(document)?;
    let mut budget = binary::Budget::of(document.len());
    text::write_stored(root, form, &mut budget, &mut out)?;
    Ok(out.into_bump_str())
}

/// The text of `document` after `diffs`, the bytes of a partial update without their length.
///
/// # Errors
/// When either is malformed, or a change has no place in the document.
pub fn apply_diffs<'a>(
    document: &'a [u8],
    diffs: &'a [u8],
    form: JsonForm,
    arena: &'a Bump,
) -> Result<&'a str, ValueError> {
    let mut budget = binary::Budget::of(document.len() + diffs.len());
    let root = diff::apply(document, diffs, &mut budget, arena)?;
    let mut out = BumpString::with_capacity_in(document.len() + diffs.len(), arena);
    let mut budget = binary::Budget::of(document.len() + diffs.len());
    diff::write(&root, form, &mut budget, &mut out)?;
    Ok(out.into_bump_str())
}

#[cfg(test)]
mod tests;
