//! A decoder over one table with a column of each reading, and a handler that looks at every value.

use std::time::Instant;

use tailwater::change::{Change, Progress};
use tailwater::config::{TableFilter, UnmappedTypes};
use tailwater::offsets::position::Lsn;
use tailwater::sources::postgres::catalog::{
    Catalog, ColumnFacts, RelationFacts, ReplicaIdentity, TypeFacts, TypeKind,
};
use tailwater::sources::postgres::decoder::{Decoder, DecoderConfig, SnapshotFacts};
use tailwater::sources::{BoxError, ChangeHandler, RawBatch, Stage, Undecodable};

/// Built-in types with a mapping of each kind, arrays among them.
pub const TYPES: [(u32, i32); 34] = [
    (16, -1), (17, -1), (18, -1), (20, -1), (21, -1), (23, -1), (25, -1), (26, -1), (114, -1),
    (600, -1), (700, -1), (701, -1), (790, -1), (869, -1), (1082, -1), (1083, 3), (1114, -1),
    (1184, -1), (1186, -1), (1266, -1), (1560, 1), (1562, -1), (1700, -1), (1700, 655_366),
    (1700, 264_194), (2950, -1), (3614, -1), (3802, -1), (3904, -1), (1007, -1), (1009, -1),
    (1231, -1), (1185, -1), (1001, -1),
];

pub fn relation() -> RelationFacts {
    let columns = TYPES.iter().enumerate().map(|(index, (oid, type_modifier))| ColumnFacts {
        name: format!("c{index}"),
        type_facts: type_facts(*oid),
        type_modifier: *type_modifier,
        not_null: index % 3 == 0,
        default_expression: None,
        generated: false,
    });
    RelationFacts {
        oid: 1,
        schema: "public".to_owned(),
        table: "t".to_owned(),
        columns: columns.collect(),
        primary_key: vec!["c0".to_owned()],
        unique_key: Vec::new(),
        replica_identity: ReplicaIdentity::Default,
        identity_index: Vec::new(),
        estimated_rows: -1,
        estimated_bytes: 0,
    }
}

pub fn type_facts(oid: u32) -> TypeFacts {
    let (name, schema) = ("t".to_owned(), "pg_catalog".to_owned());
    TypeFacts { oid, name, schema, kind: TypeKind::Base }
}

struct OneTable;

impl Catalog for OneTable {
    fn relation(&mut self, oid: u32) -> Result<Option<RelationFacts>, BoxError> {
        Ok((oid == 1).then(relation))
    }

    fn column_type(&mut self, oid: u32) -> Result<Option<TypeFacts>, BoxError> {
        Ok((oid % 2 == 0).then(|| type_facts(oid)))
    }
}

pub fn decoder(snapshot: bool) -> Decoder {
    let facts = || SnapshotFacts {
        tables: vec![relation()],
        consistent_point: Lsn(1),
        transaction_id: 1,
        read_at_us: 0,
    };
    let config = DecoderConfig {
        system_id: "1".to_owned(),
        timeline: 1,
        database: "d".to_owned(),
        topic_prefix: "p".to_owned(),
        version: "0",
        filter: TableFilter::new(Vec::new(), Vec::new()).expect("no pattern is malformed"),
        unmapped_types: UnmappedTypes::Text,
        logical_messages: true,
        server_version: 180_000,
        snapshot: snapshot.then(facts),
        resume_from: None,
    };
    Decoder::new(config, Box::new(OneTable))
}

/// Cuts `data` into payloads: two bytes of length before each.
pub fn batch(stage: Stage, data: &[u8]) -> RawBatch {
    let mut messages = Vec::new();
    let mut at = 0;
    while let Some([high, low]) = data.get(at..at + 2) {
        let start = at + 2;
        let end = (start + usize::from(u16::from_be_bytes([*high, *low]))).min(data.len());
        messages.push(start as u32..end as u32);
        at = end;
    }
    let data = data.to_vec().into();
    RawBatch { stage, data, messages, read_at: Instant::now(), budget: None }
}

/// Looks at every value, so that none is invalid unseen, and takes every row.
#[derive(Default)]
pub struct Reader {
    pub n_changes: usize,
    pub last: Option<tailwater::offsets::position::Position>,
}

impl ChangeHandler for Reader {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        self.n_changes += 1;
        for row in [change.after, change.before.map(|before| before.row())].into_iter().flatten() {
            assert_eq!(row.len(), change.table.columns.len());
            std::hint::black_box(format!("{row:?}"));
        }
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        let next = progress.position().clone();
        assert!(self.last.as_ref().is_none_or(|last| last.may_advance_to(&next)));
        self.last = Some(next);
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        std::hint::black_box(row.error.to_string());
        Ok(())
    }
}
