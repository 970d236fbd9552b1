//! A MongoDB decoder, and batches of insert events of about 500 bytes, as a server of 6.0 sends
//! them. Shared by the benchmarks and the allocation test.

use std::time::Instant;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Document, Timestamp, doc};
use tailwater::config::{DocumentForm, FieldsConfig, TableFilter};
use tailwater::sources::mongodb::decoder::{Decoder, DecoderConfig, Deployment};
use tailwater::sources::mongodb::source_block::SourceConstants;
use tailwater::sources::{RawBatch, Stage};

pub(crate) fn decoder() -> Decoder {
    let config = DecoderConfig {
        source: SourceConstants { version: "0", topic_prefix: "shop".to_owned() },
        lineage: "rs0".to_owned(),
        deployment: Deployment::ReplicaSet,
        filter: TableFilter::new(Vec::new(), Vec::new()).expect("no pattern is malformed"),
        fields: FieldsConfig::default(),
        form: DocumentForm::Text,
        schemas: Default::default(),
        snapshot: None,
        split_bytes_max: 64 << 20,
        transaction_metadata: false,
    };
    Decoder::new(config).expect("no rule is malformed")
}

const TIME: u32 = 1_795_186_584;

/// One reply with `n` inserts and the token behind them.
pub(crate) fn batch(n: usize) -> RawBatch {
    let events = (0..n).map(event).chain(std::iter::once(end(n)));
    let (mut data, mut messages) = (Vec::new(), Vec::new());
    for event in events {
        let start = u32::try_from(data.len()).expect("small");
        event.to_writer(&mut data).expect("a document is written");
        messages.push(start..u32::try_from(data.len()).expect("small"));
    }
    let read_at = Instant::now();
    RawBatch { stage: Stage::Stream, data: data.into(), messages, read_at, budget: None }
}

fn token(increment: usize, rest: &str) -> Document {
    doc! { "_data": format!("82{TIME:08X}{increment:08X}2B022C0100296E{rest}04") }
}

fn end(n: usize) -> Document {
    token(n, "")
}

fn event(index: usize) -> Document {
    let number = i32::try_from(index).expect("small");
    let mut id = *b"\x6b\x00\x5f\x98tailw\0\0\0";
    id[8..].copy_from_slice(&number.to_be_bytes());
    let id = ObjectId::from_bytes(id);
    let within = "5A10049091A62E013D4E6FADF306AA86274E89463C5F6964003C6B005F9874";
    doc! {
        "_id": token(index, within),
        "operationType": "insert",
        "clusterTime": Timestamp { time: TIME, increment: u32::try_from(index).expect("small") },
        "wallTime": DateTime::from_millis(1_795_186_584_123),
        "fullDocument": {
            "_id": id, "customer": "Ada Lovelace", "product": "Analytical engine, second edition",
            "quantity": number, "price": 1234.56, "placed": DateTime::from_millis(1_709_168_523_456),
            "paid": true, "note": null, "state": 3_i64,
            "address": { "city": "London" }, "tags": ["a", "b"],
            "raw": Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2, 3] },
        },
        "ns": { "db": "shop", "coll": "orders" },
        "documentKey": { "_id": id },
    }
}
