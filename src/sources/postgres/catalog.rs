//! What the system catalogues say of a relation, beyond what pgoutput's Relation message carries:
//! nullability, defaults, the order of a key, the base of a domain, the labels of an enum.
//!
//! A catalogue read shows *now*, the stream shows *then*. So the Relation message always wins on
//! names, types and their order; facts are matched to it by column name and type, and a column
//! without a match is optional, without default.

use crate::sources::BoxError;

/// Answers from the catalogues. Blocks the calling thread (the transcoder's own); asked once per
/// Relation message, never per row.
pub trait Catalog: Send {
    /// `None` when the relation does not exist any more.
    ///
    /// # Errors
    /// When the server cannot be asked.
    fn relation(&mut self, oid: u32) -> Result<Option<RelationFacts>, BoxError>;

    /// Facts of a type that a Relation message named and `relation` did not explain, because the
    /// column has another type by now.
    ///
    /// # Errors
    /// When the server cannot be asked.
    fn column_type(&mut self, oid: u32) -> Result<Option<TypeFacts>, BoxError>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationFacts {
    pub oid: u32,
    pub schema: String,
    pub table: String,
    /// In the order of `attnum`, dropped columns left out.
    pub columns: Vec<ColumnFacts>,
    /// Column names in the order of the primary key; empty without one.
    pub primary_key: Vec<String>,
    /// The first unique index (by name) over plain columns, without predicate: what Debezium takes
    /// as the key of a table without primary key.
    pub unique_key: Vec<String>,
    pub replica_identity: ReplicaIdentity,
    /// Column names of the identity index, in its order; empty unless `Index`.
    pub identity_index: Vec<String>,
    /// `reltuples`, for the progress of a snapshot; negative when never analysed.
    pub estimated_rows: i64,
    pub estimated_bytes: i64,
}

/// `pg_class.relreplident`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    Default,
    Nothing,
    Full,
    Index,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnFacts {
    pub name: String,
    pub type_facts: TypeFacts,
    /// `atttypmod`; -1 where there is none.
    pub type_modifier: i32,
    /// Of the column, or of the domain that is its type.
    pub not_null: bool,
    /// `pg_get_expr` of the default, for example `'it''s'::text`.
    pub default_expression: Option<String>,
    /// Stored or virtual generated: not part of the stream before PostgreSQL 18.
    pub generated: bool,
}

/// A type, with its domain or array taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeFacts {
    pub oid: u32,
    /// `pg_type.typname`; for types outside `pg_catalog` too.
    pub name: String,
    pub schema: String,
    pub kind: TypeKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// A base type, built in or of an extension.
    Base,
    /// Labels in their sort order.
    Enum {
        labels: Vec<String>,
    },
    /// The ultimate base type of a domain and the modifier that goes with it.
    Domain {
        base: Box<TypeFacts>,
        type_modifier: i32,
    },
    Array {
        element: Box<TypeFacts>,
    },
    Composite,
    Range,
    Multirange,
    Pseudo,
}
