//! What unit tests of this room share: wire bytes by hand, a catalogue in memory, a handler that
//! writes down what it is given.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bumpalo::Bump;

use crate::change::{Before, Change, Progress, TransactionEdge};
use crate::schema::{SourceFieldValue, Table};
use crate::sources::postgres::catalog::{
    Catalog, ColumnFacts, RelationFacts, ReplicaIdentity, TypeFacts, TypeKind,
};
use crate::sources::{BoxError, ChangeHandler, Decode, RawBatch, Stage, Undecodable};
use crate::value::Value;

/// Builds wire bytes: names with their zero, numbers in network order.
#[derive(Default)]
pub(crate) struct Wire(pub(crate) Vec<u8>);

impl Wire {
    pub(crate) fn of(tag: u8) -> Self {
        Self(vec![tag])
    }

    pub(crate) fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text).bytes([0])
    }

    pub(crate) fn u32(self, number: u32) -> Self {
        self.bytes(number.to_be_bytes())
    }

    pub(crate) fn u64(self, number: u64) -> Self {
        self.bytes(number.to_be_bytes())
    }
}

pub(crate) fn tuple_of(values: &[Option<&str>]) -> Vec<u8> {
    let mut wire = Wire::default().bytes(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        wire = match value {
            None => wire.bytes("n"),
            Some("<unchanged>") => wire.bytes("u"),
            Some(text) => wire.bytes("t").u32(u32::try_from(text.len()).unwrap()).bytes(text),
        };
    }
    wire.0
}

/// A column of a built-in type, without modifier or default.
pub(crate) fn column(name: &str, oid: u32) -> ColumnFacts {
    let (type_name, schema) = (format!("type {oid}"), "pg_catalog".to_owned());
    ColumnFacts {
        name: name.to_owned(),
        type_facts: TypeFacts { oid, name: type_name, schema, kind: TypeKind::Base },
        type_modifier: -1,
        not_null: false,
        default_expression: None,
        generated: false,
    }
}

/// `public.<table>` with the primary key `id`.
pub(crate) fn relation(oid: u32, table: &str, columns: &[(&str, u32)]) -> RelationFacts {
    let mut columns: Vec<_> = columns.iter().map(|(name, oid)| column(name, *oid)).collect();
    columns[0].not_null = true;
    RelationFacts {
        oid,
        schema: "public".to_owned(),
        table: table.to_owned(),
        primary_key: vec![columns[0].name.clone()],
        columns,
        unique_key: Vec::new(),
        replica_identity: ReplicaIdentity::Default,
        identity_index: Vec::new(),
        estimated_rows: -1,
        estimated_bytes: 0,
    }
}

#[derive(Default)]
pub(crate) struct FakeCatalog(pub(crate) HashMap<u32, RelationFacts>);

impl FakeCatalog {
    pub(crate) fn of(relations: &[RelationFacts]) -> Box<Self> {
        Box::new(Self(relations.iter().map(|facts| (facts.oid, facts.clone())).collect()))
    }
}

impl Catalog for FakeCatalog {
    fn relation(&mut self, oid: u32) -> Result<Option<RelationFacts>, BoxError> {
        Ok(self.0.get(&oid).cloned())
    }

    fn column_type(&mut self, _oid: u32) -> Result<Option<TypeFacts>, BoxError> {
        Ok(None)
    }
}

/// A change, written down.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) table: Arc<Table>,
    pub(crate) op: &'static str,
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) id: String,
    source: Vec<(&'static str, String)>,
}

impl Seen {
    pub(crate) fn source(&self, field: &str) -> &str {
        self.source.iter().find(|(name, _)| *name == field).map_or("?", |(_, value)| value)
    }

    pub(crate) fn topic(&self) -> String {
        self.table.path.join(".")
    }
}

#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) changes: Vec<Seen>,
    /// Number of changes before it, and its position.
    pub(crate) progress: Vec<(usize, String)>,
    pub(crate) undecodable: Vec<String>,
    /// Begins, ends, what each change has of its transaction, and where progress is told.
    pub(crate) metadata: Vec<String>,
}

fn show(value: Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Absent => "absent".to_owned(),
        Value::Unavailable => "unavailable".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => format!("'{text}'"),
        other => format!("{other:?}"),
    }
}

fn show_row(row: &[Value<'_>]) -> String {
    row.iter().map(|value| show(*value)).collect::<Vec<_>>().join(" ")
}

impl ChangeHandler for Recorder {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let source = change.table.source.fields.iter().map(|field| match &field.value {
            SourceFieldValue::Constant(value) => (field.name, show(value.as_value())),
            SourceFieldValue::Slot(slot) => (field.name, show(change.source[*slot])),
        });
        let before = match change.before {
            None => String::new(),
            Some(Before::Whole(row)) => format!("whole {}", show_row(row)),
            Some(Before::Key(row)) => format!("key {}", show_row(row)),
        };
        let mut name = "none".to_owned();
        if let Some(transaction) = change.transaction {
            transaction.write(&mut name);
        }
        self.metadata.push(format!("{} of {name}", change.op.code()));
        self.changes.push(Seen {
            table: Arc::clone(change.table),
            op: change.op.code(),
            before,
            after: change.after.map_or_else(String::new, show_row),
            id: format!("{}/{}", change.id.transaction, change.id.ordinal),
            source: source.collect(),
        });
        Ok(())
    }

    fn transaction(&mut self, edge: &TransactionEdge<'_>) -> Result<(), BoxError> {
        let mut name = String::new();
        edge.name.write(&mut name);
        self.metadata.push(format!("{:?} {name} at {} ({})", edge.edge, edge.ts_ms, edge.id));
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        self.metadata.push("progress".to_owned());
        let kind = if matches!(progress, Progress::Stream(..)) { "stream" } else { "snapshot" };
        self.progress.push((self.changes.len(), format!("{kind} {}", progress.position())));
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        let cause = row.error.source().map(ToString::to_string).unwrap_or_default();
        let id = format!("{}/{}", row.id.transaction, row.id.ordinal);
        self.undecodable.push(format!("{} {id}: {}: {cause}", row.table, row.error));
        Ok(())
    }
}

pub(crate) fn batch(stage: Stage, payloads: &[Vec<u8>]) -> RawBatch {
    let mut messages = Vec::new();
    let mut data = Vec::new();
    for payload in payloads {
        let start = u32::try_from(data.len()).unwrap();
        data.extend_from_slice(payload);
        messages.push(start..u32::try_from(data.len()).unwrap());
    }
    RawBatch { stage, data: data.into(), messages, read_at: Instant::now(), budget: None }
}

pub(crate) fn decode(
    decoder: &mut dyn Decode,
    stage: Stage,
    payloads: &[Vec<u8>],
    out: &mut Recorder,
) -> Result<(), String> {
    let arena = Bump::new();
    let raw = batch(stage, payloads);
    decoder.decode(&raw, &arena, out).map_err(|error| error.to_string())
}
