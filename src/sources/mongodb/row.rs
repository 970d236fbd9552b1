//! Documents as values of a row: the key as text, the document, what an update did to it.

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::sources::mongodb::bson::{Array, Bson, BsonError, Document};
use crate::sources::mongodb::captured::Collection;
use crate::sources::mongodb::extjson::{self, Form};
use crate::sources::mongodb::fields::{self, RewriteError};
use crate::sources::mongodb::structured::FitError;
use crate::value::{TruncatedArray, UpdateDescription, Value};

/// Why a document has no place in a record. Never carries a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error(transparent)]
    Bson(#[from] BsonError),
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    #[error(transparent)]
    Fit(#[from] FitError),
    #[error("read an update's description: field {0} is of type {1}")]
    Type(&'static str, &'static str),
    #[error("read a document: it has no field {0}")]
    Missing(&'static str),
}

/// Makes values for the rows of a collection.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'c, 'a> {
    pub(crate) collection: &'c Collection,
    pub(crate) arena: &'a Bump,
}

/// The values of one image, in the order of a collection's columns.
pub(crate) type Image<'a> = [Value<'a>; 3];

impl<'a> Rows<'_, 'a> {
    pub(crate) fn key(self, id: &Bson<'_>) -> Result<Value<'a>, DocumentError> {
        Ok(Value::Text(extjson::value_to_text(id, Form::KEY, self.arena)?))
    }

    pub(crate) fn document(
        self,
        document: Option<Document<'a>>,
    ) -> Result<Value<'a>, DocumentError> {
        let Some(document) = document else { return Ok(Value::Null) };
        let document = fields::document(&self.collection.rules, document, self.arena)?;
        match &self.collection.structure {
            None => Ok(Value::Text(extjson::to_text(document, Form::DOCUMENT, self.arena)?)),
            Some(structure) => Ok(structure.values(document, self.arena)?),
        }
    }

    /// Fields that newer servers add (`disambiguatedPaths`) have no place in Debezium's schema.
    pub(crate) fn update(self, update: Option<Document<'a>>) -> Result<Value<'a>, DocumentError> {
        let Some(update) = update else { return Ok(Value::Null) };
        let mut description = UpdateDescription { removed: &[], updated: None, truncated: &[] };
        for element in update.elements() {
            let element = element?;
            match (element.name, element.value) {
                ("updatedFields", Bson::Document(fields)) => {
                    description.updated = Some(self.updated(fields)?);
                }
                ("removedFields", Bson::Array(names)) => {
                    description.removed = self.removed(names)?;
                }
                ("truncatedArrays", Bson::Array(arrays)) => {
                    description.truncated = self.truncated(arrays)?;
                }
                ("updatedFields" | "removedFields" | "truncatedArrays", Bson::Null) => {}
                ("updatedFields", other) => return Err(not("updatedFields", &other)),
                ("removedFields", other) => return Err(not("removedFields", &other)),
                ("truncatedArrays", other) => return Err(not("truncatedArrays", &other)),
                _ => {}
            }
        }
        Ok(Value::UpdateDescription(self.arena.alloc(description)))
    }

    fn updated(self, updated: Document<'a>) -> Result<&'a str, DocumentError> {
        let updated = fields::change(&self.collection.rules, updated, self.arena)?;
        Ok(extjson::to_text(updated, Form::UPDATED_FIELDS, self.arena)?)
    }

    fn removed(self, names: Array<'a>) -> Result<&'a [&'a str], DocumentError> {
        let mut removed = Vec::new_in(self.arena);
        for name in names.values() {
            match name? {
                Bson::String(name) => removed.extend(self.name(name)),
                other => return Err(not("removedFields", &other)),
            }
        }
        Ok(removed.into_bump_slice())
    }

    fn truncated(self, arrays: Array<'a>) -> Result<&'a [TruncatedArray<'a>], DocumentError> {
        let mut truncated = Vec::new_in(self.arena);
        for array in arrays.values() {
            let array = match array? {
                Bson::Document(array) => array,
                other => return Err(not("truncatedArrays", &other)),
            };
            let field = match array.get("field")?.ok_or(DocumentError::Missing("field"))? {
                Bson::String(field) => field,
                other => return Err(not("truncatedArrays.field", &other)),
            };
            let new_size = match array.get("newSize")?.ok_or(DocumentError::Missing("newSize"))? {
                Bson::Int32(size) => size,
                other => return Err(not("truncatedArrays.newSize", &other)),
            };
            truncated.extend(self.name(field).map(|field| TruncatedArray { field, new_size }));
        }
        Ok(truncated.into_bump_slice())
    }

    fn name(self, name: &'a str) -> Option<&'a str> {
        fields::name(&self.collection.rules, name, self.arena)
    }
}

fn not(field: &'static str, value: &Bson<'_>) -> DocumentError {
    DocumentError::Type(field, value.type_name())
}
