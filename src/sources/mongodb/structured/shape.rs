//! What is known of a collection's documents.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::VERSIONS_MAX;
use crate::schema::history::SchemaHistory;
use crate::schema::names::NameAdjustment;
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
    /// Since it was last asked.
    #[serde(skip)]
    pub(super) news: News,
}

/// What became of a structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    #[default]
    None,
    /// Something that a restart must know, and no record shows.
    Learnt,
    /// It has grown: records need a new version.
    Version,
}

/// A history without what is known of one collection, `database.collection`; `None` where nothing
/// is.
#[must_use]
pub fn forget_collection(history: &SchemaHistory, name: &str) -> Option<SchemaHistory> {
    let mut left = history.clone();
    left.remove(name);
    (left != *history).then_some(left)
}

/// What every format of the text begins with.
#[derive(Deserialize)]
struct Header {
    format: u32,
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
    #[error("read what is known of the collection's documents")]
    Json(#[from] serde_json::Error),
    #[error(
        "read what is known of the collection's documents: format {found} is newer than {supported}"
    )]
    Newer { found: u32, supported: u32 },
    #[error("read what is known of the collection's documents: there can be no field `{0}`")]
    Field(String),
}

impl Default for Structure {
    fn default() -> Self {
        Self { format: FORMAT, root: Record::default(), n_versions: 0, news: News::None }
    }
}

impl Structure {
    /// Reads [`Self::to_text`].
    ///
    /// # Errors
    /// When it is something else, or of a later program.
    pub fn of_text(text: &str) -> Result<Self, StateError> {
        let Header { format } = serde_json::from_str(text)?;
        if format > FORMAT {
            return Err(StateError::Newer { found: format, supported: FORMAT });
        }
        let structure: Self = serde_json::from_str(text)?;
        structure.root.check()?;
        Ok(structure)
    }

    /// What a restart needs to go on with the same schema.
    ///
    /// # Panics
    /// Never: names and kinds have a text.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("names and kinds have a text")
    }

    /// Whether [`Self::take_news`] would tell some.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.news != News::None
    }

    /// What became of it since this was last asked.
    pub fn take_news(&mut self) -> News {
        let news = std::mem::take(&mut self.news);
        if news == News::Version {
            self.n_versions += 1;
            if self.is_final() {
                self.root.close();
            }
        }
        news
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

    /// Whether a program could have made it: its names are of one record in every format.
    fn check(&self) -> Result<(), StateError> {
        let mut names = BTreeSet::new();
        for Field { name, kind } in &self.fields {
            let is_rest = matches!(kind, Kind::Rest);
            let adjusted = NameAdjustment::Avro.field_name(name);
            if name.is_empty() || is_rest != (adjusted == REST) || !names.insert(adjusted) {
                return Err(StateError::Field(name.clone()));
            }
            kind.check()?;
        }
        Ok(())
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
    fn check(&self) -> Result<(), StateError> {
        match self {
            Self::Record(record) => record.check(),
            Self::Array(items) => items.check(),
            Self::Bool
            | Self::Int32
            | Self::Int64
            | Self::WideInt64
            | Self::Double
            | Self::Text
            | Self::Bytes
            | Self::Date
            | Self::Json
            | Self::Rest => Ok(()),
        }
    }

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
