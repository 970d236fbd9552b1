//! Table versions: what a Relation message and the catalogue say together, and the plan by which
//! its rows are read.
//!
//! The Relation message (the stream's *then*) decides which columns there are, in which order and
//! of which type. The catalogue (*now*) adds what the message lacks, matched by name and type:
//! nullability, defaults, the order of the key. A new [`TableVersion`] is made only where anything
//! differs from the current one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::config::UnmappedTypes;
use crate::schema::{Column, Shape, Table, TableVersion};
use crate::sources::BoxError;
use crate::sources::postgres::catalog::{
    Catalog, ColumnFacts, RelationFacts, ReplicaIdentity, TypeFacts, TypeKind,
};
use crate::sources::postgres::decode_error::{DecodeError, unmapped_effect};
use crate::sources::postgres::pgoutput::{RelationColumn, RelationMessage};
use crate::sources::postgres::source_block::SourceConstants;
use crate::sources::postgres::types::{self, Mapped, Reading};
use crate::sources::postgres::{defaults, select};

/// How one column of a row on the wire is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlanColumn {
    /// Index into the table's columns; `None` for a column that is left out.
    pub(crate) target: Option<usize>,
    pub(crate) reading: Reading,
    /// Comes in binary form in a snapshot.
    pub(crate) binary: bool,
    /// Part of the replica identity: what a key-only old row holds.
    pub(crate) identity: bool,
    /// Believed never null.
    pub(crate) required: bool,
}

/// A table in its present version, with the plan for one of its wire forms.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) oid: u32,
    /// `schema.table`, for messages.
    pub(crate) name: String,
    pub(crate) table: Arc<Table>,
    pub(crate) plan: Vec<PlanColumn>,
}

impl Described {
    pub(crate) fn column_name(&self, plan_index: usize) -> &str {
        let target = self.plan.get(plan_index).and_then(|column| column.target);
        target.and_then(|target| self.table.columns.get(target)).map_or("?", |c| c.name.as_str())
    }
}

/// A column of a row on the wire, and what is known about it.
struct WireColumn<'f> {
    name: &'f str,
    type_oid: u32,
    type_modifier: i32,
    identity: bool,
    type_facts: Option<TypeFacts>,
    /// Where name and type match.
    facts: Option<&'f ColumnFacts>,
}

/// Makes and numbers table versions.
#[derive(Debug)]
pub(crate) struct Tables {
    constants: SourceConstants,
    unmapped: UnmappedTypes,
    next_version: u32,
    /// By relation oid.
    current: HashMap<u32, Arc<Table>>,
    /// Columns about which the log has been told.
    warned: HashSet<(String, String)>,
}

impl Tables {
    pub(crate) fn new(constants: SourceConstants, unmapped: UnmappedTypes) -> Self {
        let (current, warned) = (HashMap::new(), HashSet::new());
        Self { constants, unmapped, next_version: 0, current, warned }
    }

    /// A table as the snapshot reads it, columns in the order of its COPY statement.
    pub(crate) fn of_snapshot(&mut self, facts: &RelationFacts) -> Result<Described, DecodeError> {
        let columns: Vec<_> = select::columns(facts, self.unmapped)
            .map(|column| WireColumn {
                name: &column.name,
                type_oid: column.type_facts.oid,
                type_modifier: column.type_modifier,
                identity: false,
                type_facts: Some(column.type_facts.clone()),
                facts: Some(column),
            })
            .collect();
        let key = key_by_facts(facts, &columns).unwrap_or_default();
        self.describe(facts.oid, [&facts.schema, &facts.table], columns, key)
    }

    /// A table as the stream sends it from here on.
    pub(crate) fn of_relation(
        &mut self,
        relation: &RelationMessage<'_>,
        wire: &[RelationColumn<'_>],
        catalog: &mut dyn Catalog,
    ) -> Result<Described, BoxError> {
        let facts = catalog.relation(relation.oid)?;
        let known = facts.as_ref().map_or(&[][..], |facts| &facts.columns[..]);
        let mut columns = Vec::with_capacity(wire.len());
        for column in wire {
            columns.push(WireColumn {
                name: column.name,
                type_oid: column.type_oid,
                type_modifier: column.type_modifier,
                identity: column.identity,
                type_facts: type_facts(column.type_oid, known, catalog)?,
                facts: known
                    .iter()
                    .find(|f| f.name == column.name && f.type_facts.oid == column.type_oid),
            });
        }
        let identity = key_by_identity(relation.replica_identity, &columns);
        let key = facts.as_ref().and_then(|facts| key_by_facts(facts, &columns));
        let key = key.filter(|key| identity.is_empty() || same_columns(key, &identity));
        let key = key.unwrap_or(identity);
        let path = [relation.schema, relation.table];
        Ok(self.describe(relation.oid, path, columns, key)?)
    }

    /// The table of logical messages, whose topic is `<prefix>.message`.
    pub(crate) fn of_messages(&mut self) -> Arc<Table> {
        let column = |name: &str, data_type| Column {
            name: name.to_owned(),
            data_type,
            optional: true,
            default: None,
        };
        let table = Table {
            version: TableVersion(0),
            shape: Shape::Messages,
            path: vec!["message".to_owned()],
            columns: vec![
                column("prefix", crate::schema::ColumnType::Text),
                column("content", crate::schema::ColumnType::Bytes),
            ],
            key: vec![0],
            source: self.constants.layout("", ""),
        };
        // No relation has the oid 0 (InvalidOid).
        self.settle(0, table)
    }

    /// Makes a column optional from here on: a null came where none was believed to be possible,
    /// because the catalogue shows a later shape than the log.
    pub(crate) fn relax(&mut self, described: &mut Described, plan_index: usize) {
        let Some(column) = described.plan.get_mut(plan_index) else { return };
        column.required = false;
        let mut table = Table::clone(&described.table);
        if let Some(column) = column.target.and_then(|target| table.columns.get_mut(target)) {
            column.optional = true;
        }
        described.table = self.settle(described.oid, table);
    }

    fn describe(
        &mut self,
        oid: u32,
        path: [&str; 2],
        wire: Vec<WireColumn<'_>>,
        key: Vec<usize>,
    ) -> Result<Described, DecodeError> {
        let name = path.join(".");
        let mut columns = Vec::with_capacity(wire.len());
        let mut plan = Vec::with_capacity(wire.len());
        for (index, column) in wire.iter().enumerate() {
            let mapped = self.mapped(&name, column, key.contains(&index))?;
            let target = mapped.as_ref().map(|_| columns.len());
            let mapped_or_text = mapped.clone().unwrap_or_else(types::as_text);
            let required = column.facts.is_some_and(|facts| facts.not_null);
            plan.push(PlanColumn {
                target,
                reading: mapped_or_text.reading,
                binary: mapped_or_text.binary,
                identity: column.identity,
                required: required && target.is_some(),
            });
            columns.extend(mapped.map(|mapped| table_column(column, mapped)));
        }
        let key = key.iter().filter_map(|&index| plan[index].target).collect();
        let table = Table {
            version: TableVersion(0),
            shape: Shape::Rows,
            path: path.map(str::to_owned).to_vec(),
            columns,
            key,
            source: self.constants.layout(path[0], path[1]),
        };
        Ok(Described { oid, name, table: self.settle(oid, table), plan })
    }

    /// `None`: the column is left out.
    fn mapped(
        &mut self,
        table: &str,
        column: &WireColumn<'_>,
        in_key: bool,
    ) -> Result<Option<Mapped>, DecodeError> {
        let facts = column.type_facts.as_ref();
        if let Some(mapped) = types::map(column.type_oid, column.type_modifier, facts) {
            return Ok(Some(mapped));
        }
        let type_name = facts
            .map_or_else(|| format!("with oid {}", column.type_oid), |facts| facts.name.clone());
        // A key without one of its columns would be another key.
        let policy = if in_key && self.unmapped == UnmappedTypes::Skip {
            UnmappedTypes::Text
        } else {
            self.unmapped
        };
        if self.warned.insert((table.to_owned(), column.name.to_owned())) {
            tracing::warn!(
                table,
                column = column.name,
                type_name,
                effect = unmapped_effect(policy),
                "column has a type without mapping"
            );
        }
        match policy {
            UnmappedTypes::Text => Ok(Some(types::as_text())),
            UnmappedTypes::Skip => Ok(None),
            UnmappedTypes::Fail => Err(DecodeError::Unmapped {
                table: table.to_owned(),
                column: column.name.to_owned(),
                type_name,
            }),
        }
    }

    /// The current version where nothing differs, else a new one.
    fn settle(&mut self, oid: u32, mut table: Table) -> Arc<Table> {
        if let Some(current) = self.current.get(&oid) {
            table.version = current.version;
            if **current == table {
                return Arc::clone(current);
            }
        }
        table.version = TableVersion(self.next_version);
        self.next_version += 1;
        let table = Arc::new(table);
        self.current.insert(oid, Arc::clone(&table));
        table
    }
}

fn table_column(column: &WireColumn<'_>, mapped: Mapped) -> Column {
    let expression = column
        .facts
        .filter(|facts| !facts.generated && !is_domain(&facts.type_facts))
        .and_then(|facts| facts.default_expression.as_deref());
    let default = expression.and_then(|expression| {
        defaults::parse(expression, column.type_oid, &mapped.column_type, mapped.reading)
    });
    Column {
        name: column.name.to_owned(),
        data_type: mapped.column_type,
        optional: !column.facts.is_some_and(|facts| facts.not_null),
        default,
    }
}

/// Debezium reads no default of such a column.
fn is_domain(facts: &TypeFacts) -> bool {
    matches!(facts.kind, TypeKind::Domain { .. })
}

fn type_facts(
    oid: u32,
    known: &[ColumnFacts],
    catalog: &mut dyn Catalog,
) -> Result<Option<TypeFacts>, BoxError> {
    let same_type = known.iter().find(|column| column.type_facts.oid == oid);
    match same_type {
        Some(column) => Ok(Some(column.type_facts.clone())),
        // The oid alone tells a built-in type.
        None if types::is_built_in(oid) => Ok(None),
        None => catalog.column_type(oid),
    }
}

/// The key's columns in its order; `None` where the wire does not carry all of them.
///
/// The primary key; without one the unique index that Debezium takes. Where the replica identity
/// is another index, that index: an old row holds its columns only, so a delete could not name
/// the primary key. (Debezium publishes zeros there.)
fn key_by_facts(facts: &RelationFacts, columns: &[WireColumn<'_>]) -> Option<Vec<usize>> {
    let by_index = facts.replica_identity == ReplicaIdentity::Index
        && !facts.identity_index.is_empty()
        && !same_columns(&facts.identity_index, &facts.primary_key);
    let names = if by_index {
        &facts.identity_index
    } else if facts.primary_key.is_empty() {
        &facts.unique_key
    } else {
        &facts.primary_key
    };
    names.iter().map(|name| columns.iter().position(|column| column.name == name)).collect()
}

/// What the message alone tells: the columns that it marks, unless it marks all of them because
/// the identity is the whole row (`f`).
///
/// A key-only old row holds these and nothing else. Where the catalogue names others, the key was
/// altered since the row was written, and the rows of then keep the key of then: the columns of
/// the new one are not in the old rows. Without marks no key-only row can come.
fn key_by_identity(replica_identity: u8, columns: &[WireColumn<'_>]) -> Vec<usize> {
    let marked = columns.iter().enumerate().filter(|(_, column)| column.identity);
    if replica_identity == b'f' { Vec::new() } else { marked.map(|(index, _)| index).collect() }
}

fn same_columns<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    a.len() == b.len() && a.iter().all(|column| b.contains(column))
}
