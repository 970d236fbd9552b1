//! A document as the values of its record.

use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec};

use super::infer::{holds, is_typed, micros};
use super::shape::{Kind, Record, Structure};
use crate::sources::mongodb::bson::{Array, Bson, BsonError, Document, Element, ObjectId};
use crate::sources::mongodb::extjson::{self, Form};
use crate::value::Value;

/// Why a document has no place in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    #[error(transparent)]
    Bson(#[from] BsonError),
    /// Our own mistake: a value that was never shown to the structure.
    #[error("find the place of a document's field in its record")]
    NoPlace,
}

impl Structure {
    /// The record of a document that was observed.
    ///
    /// # Errors
    /// When the document is malformed, or was not observed.
    pub fn values<'a>(
        &self,
        document: Document<'a>,
        arena: &'a Bump,
    ) -> Result<Value<'a>, FitError> {
        record(&self.root, document, arena)
    }
}

fn record<'a>(
    record: &Record,
    document: Document<'a>,
    arena: &'a Bump,
) -> Result<Value<'a>, FitError> {
    let values = arena.alloc_slice_fill_copy(record.fields.len(), Value::Null);
    let mut rest = Vec::new_in(arena);
    for (expected, element) in document.elements().enumerate() {
        let element = element?;
        let place = record.find(element.name, expected);
        let fitting = match place {
            Some(place) => fit(&record.fields[place].kind, &element.value, arena)?,
            None if is_typed(&element.value)? => None,
            None => continue,
        };
        match (place, fitting) {
            (Some(place), Some(value)) => values[place] = value,
            _ => rest.push(element),
        }
    }
    if !rest.is_empty() {
        let place = record.rest().ok_or(FitError::NoPlace)?;
        values[place] = Value::Text(members(&rest, arena)?);
    }
    Ok(Value::Struct(values))
}

fn members<'a>(rest: &[Element<'_>], arena: &'a Bump) -> Result<&'a str, BsonError> {
    extjson::members_to_text(rest, Form::RELAXED, arena)
}

/// `None` where the kind has no place for the value.
fn fit<'a>(kind: &Kind, value: &Bson<'a>, arena: &'a Bump) -> Result<Option<Value<'a>>, FitError> {
    match (kind, value) {
        (_, Bson::Null | Bson::Undefined) => {}
        (Kind::Json, value) => {
            return Ok(Some(Value::Text(extjson::value_to_text(value, Form::RELAXED, arena)?)));
        }
        (Kind::Record(fields), Bson::Document(document)) => {
            return record(fields, *document, arena).map(Some);
        }
        (Kind::Array(items), Bson::Array(array)) => return fit_items(items, *array, arena),
        (kind, value) if holds(kind, value) => return Ok(Some(scalar(kind, value, arena))),
        (_, value) if is_typed(value)? => return Ok(None),
        _ => {}
    }
    Ok(Some(Value::Null))
}

fn fit_items<'a>(
    items: &Kind,
    array: Array<'a>,
    arena: &'a Bump,
) -> Result<Option<Value<'a>>, FitError> {
    let mut values = Vec::new_in(arena);
    for value in array.values() {
        match fit(items, &value?, arena)? {
            Some(value) => values.push(value),
            None => return Ok(None),
        }
    }
    Ok(Some(Value::Array(values.into_bump_slice())))
}

/// Of a kind that holds it.
fn scalar<'a>(kind: &Kind, value: &Bson<'a>, arena: &'a Bump) -> Value<'a> {
    match (kind, *value) {
        (_, Bson::Boolean(value)) => Value::Bool(value),
        (Kind::Double, Bson::Int32(number)) => Value::Float64(f64::from(number)),
        (Kind::Double, Bson::Int64(number)) => Value::Float64(exact(number)),
        (_, Bson::Int32(number)) => Value::Int(i64::from(number)),
        (_, Bson::Int64(number)) => Value::Int(number),
        (_, Bson::Double(number)) => Value::Float64(number),
        (_, Bson::String(text) | Bson::JavaScript(text) | Bson::Symbol(text)) => Value::Text(text),
        (_, Bson::ObjectId(ObjectId(bytes))) => Value::Text(hex(bytes, arena)),
        (_, Bson::Decimal128(decimal)) => {
            Value::Text(bumpalo::format!(in arena, "{}", decimal).into_bump_str())
        }
        (_, Bson::Binary(binary)) => Value::Bytes(binary.bytes),
        (_, Bson::DateTime(millis)) => micros(millis).map_or(Value::Null, Value::Timestamp),
        _ => Value::Null,
    }
}

/// A long of at most 53 bits: two numbers that a double has exactly, and so their sum.
fn exact(number: i64) -> f64 {
    const HALF: i64 = 1 << 32;
    let (high, low) = (number.div_euclid(HALF), number.rem_euclid(HALF));
    let high = i32::try_from(high).map_or(f64::NAN, f64::from);
    let low = u32::try_from(low).map_or(f64::NAN, f64::from);
    high * 4_294_967_296.0 + low
}

fn hex(bytes: [u8; 12], arena: &Bump) -> &str {
    let mut text = BumpString::with_capacity_in(2 * bytes.len(), arena);
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xF] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text.into_bump_str()
}
