//! What a table looks like, as far as rows, their schemas and the topic of schema changes care.

use serde::{Deserialize, Serialize};

use super::types::DataType;
use crate::sources::mysql::catalog::{ColumnFacts, DefaultText, TableFacts};

/// Where a model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The server was asked.
    Catalog,
    /// A statement was read, which a table map may prove wrong.
    Statement,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableModel {
    pub origin: Origin,
    /// Of columns that name none. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    pub columns: Vec<ColumnModel>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnModel {
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Of texts, and of ENUM and SET. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    pub nullable: bool,
    /// AUTO_INCREMENT, and the clock of ON UPDATE, which Debezium counts as the same.
    #[serde(default, skip_serializing_if = "is_false")]
    pub automatic: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default = "no_default", skip_serializing_if = "has_no_default")]
    pub default: DefaultText,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn no_default() -> DefaultText {
    DefaultText::None
}

fn has_no_default(default: &DefaultText) -> bool {
    *default == DefaultText::None
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexKind {
    Primary,
    Unique,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub name: String,
    pub kind: IndexKind,
    /// `None` for a part that is an expression.
    pub parts: Vec<Option<String>>,
}

/// Names of columns and indexes are compared without case.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

impl TableModel {
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnModel> {
        self.columns.iter().find(|column| same_name(&column.name, name))
    }

    #[must_use]
    pub fn primary_key(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.kind == IndexKind::Primary)
    }

    /// The columns of the primary key, or else of the first unique index over columns that are
    /// never null, as [`crate::sources::mysql::catalog::key`] has it.
    #[must_use]
    pub fn key(&self) -> Vec<String> {
        let usable = |index: &&Index| {
            index.kind == IndexKind::Unique
                && index.parts.iter().all(|part| {
                    let column = part.as_ref().and_then(|name| self.column(name));
                    column.is_some_and(|column| !column.nullable)
                })
        };
        let index = self.primary_key().or_else(|| self.indexes.iter().find(usable));
        let parts = index.map(|index| index.parts.as_slice()).unwrap_or_default();
        // With the column's own spelling, which the statement may not have kept.
        let columns = parts.iter().flatten().filter_map(|name| self.column(name));
        columns.map(|column| column.name.clone()).collect()
    }

    /// What the catalogue would say of it.
    #[must_use]
    pub fn facts(&self, database: &str, table: &str) -> TableFacts {
        let columns = self.columns.iter().map(|column| ColumnFacts {
            name: column.name.clone(),
            data_type: column.data_type.mysql_type(),
            declared: column.data_type.declared(),
            nullable: column.nullable,
            default: column.default.clone(),
            charset: column.charset.clone(),
        });
        TableFacts {
            database: database.to_owned(),
            table: table.to_owned(),
            columns: columns.collect(),
            key: self.key(),
            transactional: true,
            estimated_rows: 0,
            estimated_bytes: 0,
        }
    }

    /// Whether the catalogue means the same table.
    #[must_use]
    pub fn agrees_with(&self, facts: &TableFacts) -> bool {
        let same = |(column, facts): (&ColumnModel, &ColumnFacts)| {
            column.name == facts.name
                && column.data_type.mysql_type() == facts.data_type
                && column.nullable == facts.nullable
        };
        self.columns.len() == facts.columns.len()
            && self.columns.iter().zip(&facts.columns).all(same)
            && self.key() == facts.key
    }

    /// From the catalogue alone: without comments, and of the indexes only the key.
    #[must_use]
    pub fn of_facts(facts: &TableFacts) -> Option<Self> {
        let columns = facts.columns.iter().map(|column| {
            Some(ColumnModel {
                name: column.name.clone(),
                data_type: DataType::of_declared(&column.declared)?,
                charset: column.charset.clone(),
                nullable: column.nullable,
                automatic: false,
                comment: None,
                default: column.default.clone(),
            })
        });
        let parts: Vec<_> = facts.key.iter().cloned().map(Some).collect();
        let key = Index { name: "PRIMARY".to_owned(), kind: IndexKind::Primary, parts };
        Some(Self {
            origin: Origin::Catalog,
            charset: None,
            comment: None,
            columns: columns.collect::<Option<_>>()?,
            indexes: if key.parts.is_empty() { Vec::new() } else { vec![key] },
        })
    }
}
