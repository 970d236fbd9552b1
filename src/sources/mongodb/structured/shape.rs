//! What is known of a collection's documents.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::VERSIONS_MAX;
use crate::schema::{ColumnType, StructField};

/// The name of the field for what has no place.
pub(super) const REST: &str = "__rest";
/// Of the text that is kept.
const FORMAT: u32 = 1;

/// The inferred schema of one collection. It only ever grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    format: u32,
    pub(super) root: Record,
    n_versions: u32,
    /// Whether it has grown since the last version.
    #[serde(skip)]
    pub(super) grown: bool,
}

/// In order of first sight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Field>", into = "Vec<Field>")]
pub(super) struct Record {
    pub(super) fields: Vec<Field>,
    /// Places of `fields`, by name.
    by_name: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Bool,
    Int32,
    /// Every number so far is a double too.
    Int64,
    /// Some are not.
    WideInt64,
    Double,
    Text,
    Bytes,
    Date,
    Json,
    Record(Record),
    Array(Box<Kind>),
    /// [`REST`]
    Rest,
}

/// A text that is no structure's.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("read what is known of a collection's documents")]
    Json(#[from] serde_json::Error),
    #[error(
        "read what is known of a collection's documents: format {0} is newer than this program"
    )]
    Newer(u32),
}

impl Default for Structure {
    fn default() -> Self {
        Self { format: FORMAT, root: Record::default(), n_versions: 0, grown: false }
    }
}

impl Structure {
    /// Reads [`Self::to_text`].
    ///
    /// # Errors
    /// When it is something else, or of a later program.
    pub fn of_text(text: &str) -> Result<Self, StateError> {
        let structure: Self = serde_json::from_str(text)?;
        if structure.format > FORMAT {
            Err(StateError::Newer(structure.format))
        } else {
            Ok(structure)
        }
    }

    /// What a restart needs to go on with the same schema.
    ///
    /// # Panics
    /// Never: names and kinds have a text.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("names and kinds have a text")
    }

    /// Whether [`Self::take_version`] would say so.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        self.grown
    }

    /// Whether it has grown since it was last asked, so that records need a new version.
    pub fn take_version(&mut self) -> bool {
        if !std::mem::take(&mut self.grown) {
            return false;
        }
        self.n_versions += 1;
        if self.is_final() {
            self.root.close();
        }
        true
    }

    /// Whether it will not grow any more.
    pub(super) fn is_final(&self) -> bool {
        self.n_versions >= VERSIONS_MAX
    }

    /// The record of a document.
    #[must_use]
    pub fn column_type(&self) -> ColumnType {
        self.root.column_type()
    }
}

impl Record {
    /// The place of a name. `expected` is where it stands if the document has the record's order.
    pub(super) fn find(&self, name: &str, expected: usize) -> Option<usize> {
        if self.fields.get(expected).is_some_and(|field| field.name == name) {
            return Some(expected);
        }
        let found = self.by_name.binary_search_by(|place| self.name_at(*place).cmp(name));
        found.ok().and_then(|found| self.by_name.get(found).copied())
    }

    fn name_at(&self, place: usize) -> &str {
        self.fields.get(place).map_or("", |field| &field.name)
    }

    /// Behind all others; gives its place.
    pub(super) fn push(&mut self, name: &str, kind: Kind) -> usize {
        let place = self.fields.len();
        let sorted = self.by_name.partition_point(|other| self.name_at(*other) < name);
        self.by_name.insert(sorted, place);
        self.fields.push(Field { name: name.to_owned(), kind });
        place
    }

    pub(super) fn rest(&self) -> Option<usize> {
        self.find(REST, self.fields.len().saturating_sub(1))
    }

    /// Gives every level its rest.
    fn close(&mut self) {
        for field in &mut self.fields {
            field.kind.close();
        }
        if self.rest().is_none() {
            self.push(REST, Kind::Rest);
        }
    }

    /// On all levels.
    pub(super) fn n_fields(&self) -> usize {
        self.fields.iter().map(|field| 1 + field.kind.n_fields()).sum()
    }

    fn column_type(&self) -> ColumnType {
        let fields = self.fields.iter().map(|field| StructField {
            name: field.name.clone(),
            data_type: field.kind.column_type(),
        });
        ColumnType::Struct(fields.collect::<Arc<[_]>>())
    }
}

impl From<Vec<Field>> for Record {
    fn from(fields: Vec<Field>) -> Self {
        let mut by_name: Vec<usize> = (0..fields.len()).collect();
        let name = |place: usize| fields.get(place).map_or("", |field| field.name.as_str());
        by_name.sort_by(|a, b| name(*a).cmp(name(*b)));
        Self { fields, by_name }
    }
}

impl From<Record> for Vec<Field> {
    fn from(record: Record) -> Self {
        record.fields
    }
}

impl Kind {
    fn close(&mut self) {
        match self {
            Self::Record(record) => record.close(),
            Self::Array(items) => items.close(),
            Self::Bool
            | Self::Int32
            | Self::Int64
            | Self::WideInt64
            | Self::Double
            | Self::Text
            | Self::Bytes
            | Self::Date
            | Self::Json
            | Self::Rest => {}
        }
    }

    fn n_fields(&self) -> usize {
        match self {
            Self::Record(record) => record.n_fields(),
            Self::Array(items) => items.n_fields(),
            Self::Bool
            | Self::Int32
            | Self::Int64
            | Self::WideInt64
            | Self::Double
            | Self::Text
            | Self::Bytes
            | Self::Date
            | Self::Json
            | Self::Rest => 0,
        }
    }

    fn column_type(&self) -> ColumnType {
        match self {
            Self::Bool => ColumnType::Bool,
            Self::Int32 => ColumnType::Int32,
            Self::Int64 | Self::WideInt64 => ColumnType::Int64,
            Self::Double => ColumnType::Float64,
            Self::Text => ColumnType::Text,
            Self::Bytes => ColumnType::Bytes,
            Self::Date => ColumnType::Timestamp { precision: 3 },
            Self::Json | Self::Rest => ColumnType::Json,
            Self::Record(record) => record.column_type(),
            Self::Array(items) => ColumnType::Array(Box::new(items.column_type())),
        }
    }
}
