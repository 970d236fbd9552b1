//! Documents as records: random documents go through the decoder into Avro and JSON, a reader that
//! is not ours reads them back, and every field is found where the rules say.
//!
//! The test knows no schema of ours: it takes the one that was registered.

use std::sync::Arc;
use std::time::Instant;

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use bumpalo::Bump;
use mongodb::bson::{self, Bson, DateTime, Document, Timestamp, doc, oid::ObjectId};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tailwater::change::{Change, Progress};
use tailwater::config::{DocumentForm, FieldsConfig, TableFilter, ValueModes};
use tailwater::encode::{EncodeOptions, Encoder, Format};
use tailwater::record::{RecordBatch, Topics};
use tailwater::schema::history::SchemaHistory;
use tailwater::sources::mongodb::decoder::{Decoder, DecoderConfig, Deployment};
use tailwater::sources::mongodb::source_block::SourceConstants;
use tailwater::sources::{BoxError, ChangeHandler, Decode as _, RawBatch, Stage, Undecodable};

use super::avro;
use super::registry::Registry;
use super::told::is_told;

struct Road {
    decoder: Decoder,
    taken: Taken,
    registry: Registry,
    n_events: u32,
}

struct Taken {
    encoder: Encoder,
    out: RecordBatch,
    /// What a crash in the next instant would leave.
    kept: SchemaHistory,
}

impl ChangeHandler for Taken {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        self.encoder.encode(change, 0, &mut self.out).map_err(|error| Box::new(error) as BoxError)
    }

    fn keep_schemas(&mut self, schemas: &SchemaHistory) -> Result<(), BoxError> {
        self.kept = schemas.clone();
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        assert_eq!(*progress.schemas(), self.kept, "nothing is known that was not kept");
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        Err(row.error)
    }
}

impl Road {
    fn first(format: Format) -> Self {
        Self::new(format, Registry::default(), SchemaHistory::default())
    }

    /// Dies, and goes on with what is durable.
    fn restart(&self, format: Format) -> Self {
        Self::new(format, self.registry.clone(), self.taken.kept.clone())
    }

    fn new(format: Format, registry: Registry, schemas: SchemaHistory) -> Self {
        let options = EncodeOptions {
            topic_prefix: "p".to_owned(),
            format,
            tombstones: true,
            id_header: false,
            context_headers: false,
            transaction_topic: None,
            connector: "mongodb",
            values: ValueModes::default(),
        };
        let topics = Arc::new(Topics::default());
        let encoder = Encoder::new(options, topics, Box::new(registry.clone()));
        let taken = Taken { encoder, out: RecordBatch::default(), kept: schemas.clone() };
        Self { decoder: decoder(schemas), taken, registry, n_events: 0 }
    }

    /// One batch of inserts; the records' values.
    fn send(&mut self, documents: &[Document]) -> Vec<Vec<u8>> {
        let mut data = Vec::new();
        let mut messages = Vec::new();
        for document in documents {
            self.n_events += 1;
            let event = insert(self.n_events, document);
            let start = u32::try_from(data.len()).unwrap();
            data.extend(bson::serialize_to_vec(&event).unwrap());
            messages.push(start..u32::try_from(data.len()).unwrap());
        }
        let (stage, read_at) = (Stage::Stream, Instant::now());
        let raw = RawBatch { stage, data: data.into(), messages, read_at, budget: None };
        self.decoder.decode(&raw, &Bump::new(), &mut self.taken).unwrap();
        let out = std::mem::take(&mut self.taken.out);
        assert_eq!(out.records.len(), documents.len());
        let values = out.records.iter().map(|record| record.value.as_ref().unwrap());
        values.map(|value| out.bytes(value).to_vec()).collect()
    }

    fn schemas(&self) -> Vec<String> {
        self.registry.schemas_of("p.shop.things-value")
    }
}

fn decoder(schemas: SchemaHistory) -> Decoder {
    let config = DecoderConfig {
        source: SourceConstants { version: "0", topic_prefix: "p".to_owned() },
        lineage: "rs0".to_owned(),
        deployment: Deployment::ReplicaSet,
        filter: TableFilter::new(Vec::new(), Vec::new()).unwrap(),
        fields: FieldsConfig::default(),
        form: DocumentForm::Structured,
        schemas,
        snapshot: None,
        split_bytes_max: 1 << 20,
        transaction_metadata: false,
    };
    Decoder::new(config).unwrap()
}

fn insert(number: u32, document: &Document) -> Document {
    doc! {
        "_id": { "_data": format!("82{number:08X}{number:08X}2B0429296E1404") },
        "operationType": "insert",
        "clusterTime": Timestamp { time: number, increment: number },
        "fullDocument": document,
        "ns": { "db": "shop", "coll": "things" },
        "documentKey": { "_id": document.get("_id").cloned().unwrap_or(Bson::Null) },
    }
}

/// Schema and envelope of an Avro value.
fn read(registry: &Registry, value: &[u8]) -> Json {
    let id = u32::from_be_bytes(value[1..5].try_into().unwrap());
    avro::read(&registry.schema(id).1, &value[5..])
}

fn scalars() -> impl Strategy<Value = Bson> {
    prop_oneof![
        any::<i32>().prop_map(Bson::Int32),
        any::<i64>().prop_map(Bson::Int64),
        (-1_000_000_i64..1_000_000).prop_map(Bson::Int64),
        (-1e300..1e300_f64).prop_map(Bson::Double),
        any::<bool>().prop_map(Bson::Boolean),
        "[a-zä\"\\\\\n😀]{0,12}".prop_map(Bson::String),
        Just(Bson::Null),
        any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
        // From 1970 to 9999, where the two libraries write the same text.
        (0..253_402_300_799_i64).prop_map(|s| Bson::DateTime(DateTime::from_millis(s * 1000))),
        any::<Vec<u8>>().prop_map(|bytes| Bson::Binary(bson::Binary {
            subtype: bson::spec::BinarySubtype::Generic,
            bytes
        })),
        any::<(u32, u32)>()
            .prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
        Just(Bson::MinKey),
        (any::<i32>(), 0..6_i32)
            .prop_map(|(n, e)| Bson::Decimal128(format!("{n}E-{e}").parse().unwrap())),
    ]
}

fn values() -> impl Strategy<Value = Bson> {
    scalars().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Bson::Array),
            documents_of(inner).prop_map(Bson::Document),
        ]
    })
}

/// Few names, so that they meet again with other types.
fn documents_of(values: impl Strategy<Value = Bson>) -> impl Strategy<Value = Document> {
    prop::collection::btree_map("[a-e]|a[-_]b", values, 0..5)
        .prop_map(|members| members.into_iter().collect())
}

fn collections() -> impl Strategy<Value = Vec<Document>> {
    prop::collection::vec(documents_of(values()), 1..12).prop_map(|mut documents| {
        for (number, document) in documents.iter_mut().enumerate() {
            document.insert("_id", i32::try_from(number).unwrap());
        }
        documents
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_field_is_read_back(documents in collections(), batch in 1..6_usize) {
        let mut road = Road::first(Format::Avro);
        for batch in documents.chunks(batch) {
            for (document, value) in batch.iter().zip(road.send(batch)) {
                let envelope = read(&road.registry, &value);
                prop_assert_eq!(&envelope["op"], "c");
                let told = is_told(document, envelope["after"].as_object().unwrap());
                prop_assert!(told.is_ok(), "{:?} {}", told, envelope["after"]);
            }
        }
        let refused = first_refused(&road.schemas());
        prop_assert!(refused.is_none(), "{:?}", refused);
    }

    #[test]
    fn json_tells_the_same(documents in collections()) {
        let mut road = Road::first(Format::Json { schemas: false });
        for (document, value) in documents.iter().zip(road.send(&documents)) {
            let envelope: Json = serde_json::from_slice(&value).unwrap();
            let told = is_told(document, envelope["after"].as_object().unwrap());
            prop_assert!(told.is_ok(), "{:?} {}", told, envelope["after"]);
        }
    }

    #[test]
    fn a_restart_goes_on_with_the_same_schema(documents in collections(), cut in 0..12_usize) {
        let (before, after) = documents.split_at(cut.min(documents.len()));
        let mut whole = Road::first(Format::Avro);
        whole.send(&documents);
        let mut first = Road::first(Format::Avro);
        first.send(before);
        let mut second = first.restart(Format::Avro);
        second.send(after);
        // What the last document of both has been written with.
        let (ours, expected) = (second.schemas(), whole.schemas());
        prop_assert_eq!(ours.last(), expected.last());
    }

    /// Batches are cut elsewhere when they come again, and a snapshot that begins again reads in
    /// another order: what was registered before the crash stands none the less.
    #[test]
    fn a_crash_anywhere_makes_no_schema_that_a_registry_refuses(
        (documents, again) in collections().prop_flat_map(|documents| {
            (Just(documents.clone()), Just(documents).prop_shuffle())
        }),
        sizes in (1..6_usize, 1..6_usize),
        (crash, checkpoint) in (0..6_usize, 0..12_usize),
        snapshot in any::<bool>(),
    ) {
        let mut first = Road::first(Format::Avro);
        documents.chunks(sizes.0).take(crash).for_each(|batch| drop(first.send(batch)));
        let replayed = if snapshot {
            &again[..]
        } else {
            let reached = (crash * sizes.0).min(documents.len());
            &documents[checkpoint.min(reached)..]
        };
        let n_before = first.schemas().len();
        let mut second = first.restart(Format::Avro);
        for batch in replayed.chunks(sizes.1) {
            for (document, value) in batch.iter().zip(second.send(batch)) {
                let envelope = read(&second.registry, &value);
                let told = is_told(document, envelope["after"].as_object().unwrap());
                prop_assert!(told.is_ok(), "{:?} {}", told, envelope["after"]);
            }
        }
        let schemas = second.schemas();
        let refused = first_refused(&schemas);
        prop_assert!(refused.is_none(), "{:?}", refused);
        if crash * sizes.0 >= documents.len() {
            prop_assert_eq!(schemas.len(), n_before, "no new shape came, and no new version");
        }
    }
}

/// The first version that cannot read what the one before it wrote: `BACKWARD`.
fn first_refused(schemas: &[String]) -> Option<String> {
    let parsed: Vec<Schema> = schemas.iter().map(|s| Schema::parse_str(s).unwrap()).collect();
    let mut pairs = parsed.windows(2);
    pairs.find_map(|pair| {
        let refused = SchemaCompatibility::can_read(&pair[0], &pair[1]).err()?;
        Some(format!("{refused}: {:?} {:?}", pair[0], pair[1]))
    })
}

#[test]
fn the_schema_is_that_of_a_transformed_record_within_the_envelope() {
    let mut road = Road::first(Format::Avro);
    let document = doc! {
        "_id": 1, "name": "x", "at": DateTime::from_millis(5), "1st": true,
        "address": { "geo point": { "lat": 0.5 } }, "items": [{ "sku": "a" }],
    };
    let value = road.send(&[document]).remove(0);
    let schema: Json = serde_json::from_str(road.schemas().last().unwrap()).unwrap();
    let fields = schema["fields"].as_array().unwrap();
    let names: Vec<&str> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["before", "after", "updateDescription", "source", "op", "ts_ms", "transaction"]
    );
    let optional =
        |name: &str, of: Json| json!({ "name": name, "type": ["null", of], "default": null });
    let record = |name: &str, namespace: &str, fields: Json| {
        json!({
            "type": "record", "name": name, "namespace": namespace, "fields": fields,
            "connect.name": format!("{namespace}.{name}"),
        })
    };
    let date = json!({
        "type": "long", "connect.version": 1, "connect.name": "io.debezium.time.Timestamp",
    });
    let lat = json!([optional("lat", json!("double"))]);
    let geo =
        json!([optional("geo_point", record("geo_point", "p.shop.things.Value.address", lat))]);
    let items = record("items", "p.shop.things.Value", json!([optional("sku", json!("string"))]));
    let fields_expected = json!([
        optional("_id", json!("int")),
        optional("name", json!("string")),
        optional("at", date),
        optional("_1st", json!("boolean")),
        optional("address", record("address", "p.shop.things.Value", geo)),
        optional("items", json!({ "type": "array", "items": ["null", items] })),
    ]);
    let value_schema = json!({
        "type": "record", "name": "Value", "fields": fields_expected,
        "connect.name": "p.shop.things.Value",
    });
    assert_eq!(fields[0], optional("before", value_schema));
    assert_eq!(fields[1], optional("after", json!("Value")));
    let envelope = read(&road.registry, &value);
    let expected = json!({
        "_id": 1, "name": "x", "at": 5, "_1st": true,
        "address": { "geo_point": { "lat": 0.5 } }, "items": [{ "sku": "a" }],
    });
    assert_eq!(envelope["after"], expected);
    assert_eq!(envelope["before"], Json::Null);
}

/// MG-18: a field that is an integer, then a string, a document, an array; and many names.
#[test]
fn drift_makes_few_versions_and_loses_nothing() {
    let mut road = Road::first(Format::Avro);
    let kinds = [Bson::from(1), "x".into(), doc! { "y": 1 }.into(), vec![1, 2].into()];
    let mut n = 0;
    for round in 0..500 {
        let batch: Vec<Document> = (0..20)
            .map(|place| {
                n += 1;
                let kind = kinds[(round + place) % kinds.len()].clone();
                doc! { "_id": n, "drift": kind, format!("name{n}"): n }
            })
            .collect();
        // Their reader is slow with five hundred fields.
        for (document, value) in
            batch.iter().zip(road.send(&batch)).take(usize::from(round % 10 == 0))
        {
            let envelope = read(&road.registry, &value);
            is_told(document, envelope["after"].as_object().unwrap()).unwrap();
        }
    }
    let n_versions = road.schemas().len();
    println!(
        "MG-18: {n} documents with {n} new names and a field of four types: {n_versions} versions"
    );
    assert!(n_versions <= 64, "{n_versions}");
}
