//! Transactions of ten-column inserts as pgoutput sends them, and the decoder that reads them.

use std::time::Instant;

use tailwater::change::{Change, Progress};
use tailwater::config::{TableFilter, UnmappedTypes};
use tailwater::sources::postgres::catalog::{Catalog, RelationFacts, TypeFacts};
use tailwater::sources::postgres::decoder::{Decoder, DecoderConfig};
use tailwater::sources::{BoxError, ChangeHandler, Decode as _, RawBatch, Stage, Undecodable};

/// Name, type oid, modifier and value of each column.
const COLUMNS: [(&str, u32, i32, &str); 10] = [
    ("id", 20, -1, "1234567"),
    ("customer", 25, -1, "Müller & Söhne"),
    ("amount", 1700, 655_366, "12345.67"),
    ("created", 1114, -1, "2026-11-20 13:04:06.561720"),
    ("changed", 1184, -1, "2026-11-20 13:04:06.56172+00"),
    ("active", 16, -1, "t"),
    ("weight", 701, -1, "12.375"),
    ("day", 1082, -1, "2026-11-20"),
    ("quantity", 23, -1, "42"),
    ("note", 1043, 204, "delivered to the neighbour on the left"),
];

struct NoCatalog;

impl Catalog for NoCatalog {
    fn relation(&mut self, _oid: u32) -> Result<Option<RelationFacts>, BoxError> {
        Ok(None)
    }

    fn column_type(&mut self, _oid: u32) -> Result<Option<TypeFacts>, BoxError> {
        Ok(None)
    }
}

/// Knows the table already.
pub(crate) fn decoder() -> Decoder {
    let config = DecoderConfig {
        system_id: "7000000000000000000".to_owned(),
        timeline: 1,
        database: "shop".to_owned(),
        topic_prefix: "shop".to_owned(),
        version: "0",
        filter: TableFilter::new(Vec::new(), Vec::new()).expect("no pattern is malformed"),
        unmapped_types: UnmappedTypes::Text,
        logical_messages: true,
        server_version: 150_000,
        snapshot: None,
        resume_from: None,
    };
    let mut decoder = Decoder::new(config, Box::new(NoCatalog));
    let described = batch_of(&[relation()]);
    decoder.decode(&described, &bumpalo::Bump::new(), &mut Counter::default()).expect("a relation");
    decoder
}

/// One transaction of `n_rows` inserts.
pub(crate) fn batch(n_rows: usize) -> RawBatch {
    let begin = [&b"B"[..], &0x9000_u64.to_be_bytes(), &[0; 8], &7_u32.to_be_bytes()].concat();
    let commit =
        [&b"C\0"[..], &0x9000_u64.to_be_bytes(), &0x9030_u64.to_be_bytes(), &[0; 8]].concat();
    let rows = std::iter::repeat_n(insert(), n_rows);
    let messages: Vec<_> = std::iter::once(begin).chain(rows).chain([commit]).collect();
    batch_of(&messages)
}

fn relation() -> Vec<u8> {
    let mut body = b"R\0\0\0\x01public\0orders\0d\0\x0a".to_vec();
    for (name, oid, type_modifier, _) in COLUMNS {
        body.push(u8::from(name == "id"));
        body.extend(name.bytes().chain([0]));
        body.extend(oid.to_be_bytes());
        body.extend(type_modifier.to_be_bytes());
    }
    body
}

fn insert() -> Vec<u8> {
    let mut body = b"I\0\0\0\x01N\0\x0a".to_vec();
    for (_, _, _, value) in COLUMNS {
        body.push(b't');
        body.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
        body.extend(value.bytes());
    }
    body
}

fn batch_of(bodies: &[Vec<u8>]) -> RawBatch {
    let mut data = Vec::new();
    let mut messages = Vec::new();
    for body in bodies {
        let start = u32::try_from(data.len()).expect("small");
        data.push(b'w');
        data.extend([0; 6].iter().chain(&[1, 0]).chain(&[0; 16]));
        data.extend(body);
        messages.push(start..u32::try_from(data.len()).expect("small"));
    }
    RawBatch {
        stage: Stage::Stream,
        data: data.into(),
        messages,
        read_at: Instant::now(),
        budget: None,
    }
}

#[derive(Default)]
pub(crate) struct Counter {
    pub(crate) n_changes: usize,
}

impl ChangeHandler for Counter {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        std::hint::black_box(change);
        self.n_changes += 1;
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        std::hint::black_box(progress);
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        Err(row.error)
    }
}
