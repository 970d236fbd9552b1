//! How a structure grows by a document. The rules are on the module's page.

use super::shape::{Kind, News, REST, Record, Structure};
use super::{FIELDS_MAX, LEVELS_MAX, NAME_BYTES_MAX, NESTED_FIELDS_MAX};
use crate::schema::names::NameAdjustment;
use crate::sources::mongodb::bson::{Array, Bson, BsonError, Document};

/// Integers up to here are doubles too.
const EXACT_MAX: u64 = 1 << 53;

impl Structure {
    /// Makes sure that every value of the document has a place.
    ///
    /// # Errors
    /// When the document is malformed. What was understood before has its place.
    pub fn observe(&mut self, document: Document<'_>) -> Result<(), BsonError> {
        if self.is_final() {
            return Ok(());
        }
        let mut growth = Growth { n_fields: self.root.n_fields(), news: News::None };
        let observed = growth.record(&mut self.root, document, 1);
        self.news = self.news.max(growth.news);
        observed
    }
}

struct Growth {
    n_fields: usize,
    news: News,
}

impl Growth {
    fn record(
        &mut self,
        record: &mut Record,
        document: Document<'_>,
        level: usize,
    ) -> Result<(), BsonError> {
        for (expected, element) in document.elements().enumerate() {
            let element = element?;
            let fits = match record.find(element.name, expected) {
                Some(place) => self.fit(&mut record.fields[place].kind, &element.value, level)?,
                None => self.meet(record, element.name, &element.value, level)?,
            };
            if !fits && record.rest().is_none() {
                record.push(REST, Kind::Rest);
                self.news = News::Version;
            }
        }
        Ok(())
    }

    /// A name that the record does not have. `false` where the value belongs to the rest.
    fn meet(
        &mut self,
        record: &mut Record,
        name: &str,
        value: &Bson<'_>,
        level: usize,
    ) -> Result<bool, BsonError> {
        if !is_typed(value)? {
            return Ok(true);
        }
        let fields_max = if level == 1 { FIELDS_MAX } else { NESTED_FIELDS_MAX };
        if self.n_fields >= FIELDS_MAX || record.fields.len() >= fields_max {
            return Ok(false);
        }
        if name.len() > NAME_BYTES_MAX || !is_free(record, name) {
            return Ok(false);
        }
        self.n_fields += 1;
        self.news = News::Version;
        let kind = self.first(value, level)?;
        record.push(name, kind);
        Ok(true)
    }

    /// The kind of a value that has a type.
    fn first(&mut self, value: &Bson<'_>, level: usize) -> Result<Kind, BsonError> {
        Ok(match value {
            Bson::Boolean(_) => Kind::Bool,
            Bson::Int32(_) => Kind::Int32,
            Bson::Int64(number) if is_exact(*number) => Kind::Int64,
            Bson::Int64(_) => Kind::WideInt64,
            Bson::Double(_) => Kind::Double,
            Bson::String(_)
            | Bson::ObjectId(_)
            | Bson::Decimal128(_)
            | Bson::JavaScript(_)
            | Bson::Symbol(_) => Kind::Text,
            Bson::Binary(_) => Kind::Bytes,
            Bson::DateTime(millis) if micros(*millis).is_some() => Kind::Date,
            Bson::Document(document) if level < LEVELS_MAX => {
                let mut record = Record::default();
                self.record(&mut record, *document, level + 1)?;
                Kind::Record(record)
            }
            Bson::Array(array) if level < LEVELS_MAX => self.first_array(*array, level + 1)?,
            Bson::Document(_)
            | Bson::Array(_)
            | Bson::DateTime(_)
            | Bson::Undefined
            | Bson::Null
            | Bson::Regex { .. }
            | Bson::DbPointer { .. }
            | Bson::JavaScriptWithScope { .. }
            | Bson::Timestamp(_)
            | Bson::MinKey
            | Bson::MaxKey => Kind::Json,
        })
    }

    /// JSON where the elements have no kind in common.
    fn first_array(&mut self, array: Array<'_>, level: usize) -> Result<Kind, BsonError> {
        let mut kind = None;
        for value in array.values() {
            let value = value?;
            let fits = match &mut kind {
                Some(kind) => self.fit(kind, &value, level)?,
                None if is_typed(&value)? => {
                    kind = Some(self.first(&value, level)?);
                    true
                }
                None => true,
            };
            if !fits {
                return Ok(Kind::Json);
            }
        }
        Ok(kind.map_or(Kind::Json, |kind| Kind::Array(Box::new(kind))))
    }

    /// Whether the value has a place in a field of this kind, which may widen for it.
    fn fit(&mut self, kind: &mut Kind, value: &Bson<'_>, level: usize) -> Result<bool, BsonError> {
        match (&mut *kind, value) {
            (Kind::Int32, Bson::Int64(_)) => {
                *kind = self.first(value, level)?;
                self.news = News::Version;
            }
            // A long in the schema as before.
            (Kind::Int64, Bson::Int64(number)) if !is_exact(*number) => {
                *kind = Kind::WideInt64;
                self.news = self.news.max(News::Learnt);
            }
            (Kind::Int32 | Kind::Int64, Bson::Double(_)) => {
                *kind = Kind::Double;
                self.news = News::Version;
            }
            (Kind::Record(record), Bson::Document(document)) => {
                self.record(record, *document, level + 1)?;
            }
            (Kind::Array(items), Bson::Array(array)) => {
                for value in array.values() {
                    if !self.fit(items, &value?, level + 1)? {
                        return Ok(false);
                    }
                }
            }
            (kind, value) => return Ok(holds(kind, value) || !is_typed(value)?),
        }
        Ok(true)
    }
}

/// Whether a field of this kind has a place for a value that is no container.
pub(super) fn holds(kind: &Kind, value: &Bson<'_>) -> bool {
    match (kind, value) {
        (Kind::Rest, _) => false,
        (Kind::Json, _)
        | (_, Bson::Null | Bson::Undefined)
        | (Kind::Bool, Bson::Boolean(_))
        | (Kind::Int32 | Kind::Int64 | Kind::WideInt64 | Kind::Double, Bson::Int32(_))
        | (Kind::WideInt64, Bson::Int64(_))
        | (Kind::Double, Bson::Double(_))
        | (Kind::Bytes, Bson::Binary(_)) => true,
        (Kind::Int64 | Kind::Double, Bson::Int64(number)) => is_exact(*number),
        (Kind::Date, Bson::DateTime(millis)) => micros(*millis).is_some(),
        (Kind::Text, value) => matches!(
            value,
            Bson::String(_)
                | Bson::ObjectId(_)
                | Bson::Decimal128(_)
                | Bson::JavaScript(_)
                | Bson::Symbol(_)
        ),
        _ => false,
    }
}

/// Whether a double has the very number.
fn is_exact(number: i64) -> bool {
    number.unsigned_abs() <= EXACT_MAX
}

/// What a [`crate::value::Value::Timestamp`] counts, which ends in the year 294247.
pub(super) fn micros(millis: i64) -> Option<i64> {
    millis.checked_mul(1_000)
}

/// Whether a value says what its field is.
pub(super) fn is_typed(value: &Bson<'_>) -> Result<bool, BsonError> {
    is_typed_below(value, LEVELS_MAX)
}

/// Arrays deeper than records go are JSON, which is a type.
fn is_typed_below(value: &Bson<'_>, levels: usize) -> Result<bool, BsonError> {
    match value {
        Bson::Null | Bson::Undefined => Ok(false),
        Bson::Array(array) if levels > 0 => {
            for value in array.values() {
                if is_typed_below(&value?, levels - 1)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(true),
    }
}

/// Whether the name can be that of a field beside those of the record, in every format.
fn is_free(record: &Record, name: &str) -> bool {
    let adjusted = NameAdjustment::Avro.field_name(name);
    let clashes = |other: &str| NameAdjustment::Avro.field_name(other) == adjusted;
    !name.is_empty() && adjusted != REST && !record.fields.iter().any(|field| clashes(&field.name))
}
