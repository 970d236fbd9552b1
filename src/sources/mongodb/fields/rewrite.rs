//! Documents rewritten by rules, BSON to BSON in the arena. A field that gets a new name moves to
//! its document's end, where Debezium puts it.
//!
//! Unlike Debezium, a rule holds for every name of an update that it is about, not only for the
//! first one of an array, and for removed and cut fields below its path: a field that is excluded
//! does not show.

use bumpalo::Bump;
use bumpalo::collections::Vec;

use super::path::{Place, place, write_renamed};
use super::{Becomes, RewriteError, Rule};
use crate::sources::mongodb::bson::{Bson, BsonError, Document, Element};

/// A whole document.
pub(crate) fn document<'a>(
    rules: &[Rule],
    document: Document<'a>,
    arena: &'a Bump,
) -> Result<Document<'a>, RewriteError> {
    each(rules, document, arena, |document, rule, out| {
        write_document(document, &rule.path, &rule.becomes, out)
    })
}

/// New values by dotted name, as an update's description has them.
pub(crate) fn change<'a>(
    rules: &[Rule],
    fields: Document<'a>,
    arena: &'a Bump,
) -> Result<Document<'a>, RewriteError> {
    each(rules, fields, arena, write_change)
}

/// A dotted name alone; `None` where it is not to be shown.
pub(crate) fn name<'a>(rules: &[Rule], mut name: &'a str, arena: &'a Bump) -> Option<&'a str> {
    for rule in rules {
        if place(name, &rule.path) != Place::AtOrBelow {
            continue;
        }
        if rule.becomes == Becomes::Nothing {
            return None;
        }
        let mut renamed = Vec::with_capacity_in(name.len(), arena);
        write_renamed(name, rule, &mut renamed);
        name = std::str::from_utf8(renamed.into_bump_slice()).expect("parts of UTF-8, joined");
    }
    Some(name)
}

type Out<'a> = Vec<'a, u8>;

/// One rule after the other.
fn each<'a>(
    rules: &[Rule],
    mut document: Document<'a>,
    arena: &'a Bump,
    write: impl Fn(Document<'a>, &Rule, &mut Out<'a>) -> Result<(), RewriteError>,
) -> Result<Document<'a>, RewriteError> {
    for rule in rules {
        let mut out = Vec::with_capacity_in(document.bytes().len() + SPARE, arena);
        write(document, rule, &mut out)?;
        document = Document::new(out.into_bump_slice())?;
    }
    Ok(document)
}

/// Room for one longer name.
const SPARE: usize = 64;

/// An element as bytes.
#[derive(Clone, Copy)]
struct Raw<'a> {
    element: Element<'a>,
    bytes: &'a [u8],
}

impl<'a> Raw<'a> {
    fn kind(self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    fn value(self) -> &'a [u8] {
        // Type, name, the name's end.
        self.bytes.get(self.element.name.len() + 2..).unwrap_or_default()
    }
}

fn raw_elements<'a>(document: Document<'a>) -> impl Iterator<Item = Result<Raw<'a>, BsonError>> {
    let mut elements = document.elements();
    std::iter::from_fn(move || {
        let from = elements.rest();
        let element = elements.next()?;
        let n_bytes = from.len() - elements.rest().len();
        let bytes = from.get(..n_bytes).unwrap_or_default();
        Some(element.map(|element| Raw { element, bytes }))
    })
}

fn write_document<'a>(
    document: Document<'a>,
    path: &[String],
    becomes: &Becomes,
    out: &mut Out<'a>,
) -> Result<(), RewriteError> {
    let Some((first, below)) = path.split_first() else { return Ok(()) };
    level(out, |out| {
        let mut moved = None;
        let mut is_taken = false;
        for raw in raw_elements(document) {
            let raw = raw?;
            let name = raw.element.name;
            is_taken |= matches!(becomes, Becomes::Named(new) if new == name && below.is_empty());
            if name != first {
                out.extend_from_slice_copy(raw.bytes);
            } else if below.is_empty() {
                moved = Some(raw);
            } else {
                write_within(raw, below, becomes, out)?;
            }
        }
        let (Some(moved), Becomes::Named(new)) = (moved, becomes) else { return Ok(()) };
        if is_taken {
            return Err(RewriteError::NameTaken);
        }
        write_head(moved.kind(), new, out);
        out.extend_from_slice_copy(moved.value());
        Ok(())
    })
}

/// An element with the rest of a path applied to what it holds.
fn write_within<'a>(
    raw: Raw<'a>,
    path: &[String],
    becomes: &Becomes,
    out: &mut Out<'a>,
) -> Result<(), RewriteError> {
    match raw.element.value {
        Bson::Document(document) => {
            write_head(raw.kind(), raw.element.name, out);
            write_document(document, path, becomes, out)
        }
        Bson::Array(array) => {
            write_head(raw.kind(), raw.element.name, out);
            let items = Document::new(array.bytes())?;
            level(out, |out| {
                for item in raw_elements(items) {
                    let item = item?;
                    match item.element.value {
                        Bson::Document(document) => {
                            write_head(item.kind(), item.element.name, out);
                            write_document(document, path, becomes, out)?;
                        }
                        _ => out.extend_from_slice_copy(item.bytes),
                    }
                }
                Ok(())
            })
        }
        _ => {
            out.extend_from_slice_copy(raw.bytes);
            Ok(())
        }
    }
}

fn write_change<'a>(
    fields: Document<'a>,
    rule: &Rule,
    out: &mut Out<'a>,
) -> Result<(), RewriteError> {
    level(out, |out| {
        for raw in raw_elements(fields) {
            let raw = raw?;
            match place(raw.element.name, &rule.path) {
                Place::Elsewhere => out.extend_from_slice_copy(raw.bytes),
                Place::AtOrBelow => {}
                Place::Above(n_names) => {
                    let below = rule.path.get(n_names..).unwrap_or_default();
                    write_within(raw, below, &rule.becomes, out)?;
                }
            }
        }
        if rule.becomes == Becomes::Nothing {
            return Ok(());
        }
        for raw in raw_elements(fields) {
            let raw = raw?;
            if place(raw.element.name, &rule.path) == Place::AtOrBelow {
                write_renamed_element(raw, rule, fields, out)?;
            }
        }
        Ok(())
    })
}

fn write_renamed_element<'a>(
    raw: Raw<'a>,
    rule: &Rule,
    fields: Document<'a>,
    out: &mut Out<'a>,
) -> Result<(), RewriteError> {
    out.push(raw.kind());
    let start = out.len();
    write_renamed(raw.element.name, rule, out);
    let new = out.get(start..).unwrap_or_default();
    for other in fields.elements() {
        if other?.name.as_bytes() == new {
            return Err(RewriteError::NameTaken);
        }
    }
    out.push(0);
    out.extend_from_slice_copy(raw.value());
    Ok(())
}

fn write_head(kind: u8, name: &str, out: &mut Out<'_>) {
    out.push(kind);
    out.extend_from_slice_copy(name.as_bytes());
    out.push(0);
}

/// Length, what `write` writes, terminator.
fn level<'a>(
    out: &mut Out<'a>,
    write: impl FnOnce(&mut Out<'a>) -> Result<(), RewriteError>,
) -> Result<(), RewriteError> {
    let start = out.len();
    out.extend_from_slice_copy(&[0; 4]);
    write(out)?;
    out.push(0);
    let length = i32::try_from(out.len() - start).map_err(|_| RewriteError::TooLarge)?;
    let place = out.get_mut(start..start + 4).expect("four bytes were put there");
    place.copy_from_slice(&length.to_le_bytes());
    Ok(())
}
