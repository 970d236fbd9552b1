//! Change events that a real 4.4.1 server sent (`tests/golden/mongodb/wire`), through the decoder:
//! every one of them is understood, those of documents become changes, and positions and names grow
//! as the stream does. What is in a reply, the driver's BSON says.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use bumpalo::Bump;
use mongodb::bson::{Bson, Document, RawDocument};
use serde_json::Value as Json;
use tailwater::change::{Change, Progress};
use tailwater::config::{DocumentForm, FieldsConfig, TableFilter};
use tailwater::offsets::position::Position;
use tailwater::sources::mongodb::decoder::{Decoder, DecoderConfig, Deployment};
use tailwater::sources::mongodb::source_block::SourceConstants;
use tailwater::sources::{BoxError, ChangeHandler, Decode as _, RawBatch, Stage, Undecodable};
use tailwater::value::Value;

use super::golden::unhex;

/// What one cursor of a change stream gave: each reply's events, and the token behind them.
type Replies = Vec<(Vec<Vec<u8>>, Vec<u8>)>;

const OP_MSG: i32 = 2013;

/// By connection and cursor, in the order of the recording.
fn streams(scenario: &Path) -> Vec<Replies> {
    let text = std::fs::read_to_string(scenario).unwrap();
    let mut order = Vec::new();
    let mut streams: BTreeMap<(i64, i64), Replies> = BTreeMap::new();
    for line in text.lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        if line["from"] != "server" {
            continue;
        }
        let message = unhex(line["hex"].as_str().unwrap());
        if message[12..16] != OP_MSG.to_le_bytes() {
            continue;
        }
        // Behind the header, the flags and the kind of the first section.
        // A message of more than 10,000 bytes is cut.
        let Ok(body) = RawDocument::from_bytes(&message[21..]) else { continue };
        let Ok(cursor) = body.get_document("cursor") else { continue };
        let Ok(end) = cursor.get_document("postBatchResumeToken") else { continue };
        let batch = cursor.get_array("firstBatch").or_else(|_| cursor.get_array("nextBatch"));
        let events = batch.unwrap().into_iter();
        let events = events.map(|e| e.unwrap().as_document().unwrap().as_bytes().to_vec());
        let name = (line["conn"].as_i64().unwrap(), cursor.get_i64("id").unwrap());
        if !order.contains(&name) {
            order.push(name);
        }
        let reply = (events.collect(), end.as_bytes().to_vec());
        streams.entry(name).or_default().push(reply);
    }
    order.iter().map(|name| streams.remove(name).unwrap()).collect()
}

fn decoder() -> Decoder {
    let config = DecoderConfig {
        source: SourceConstants { version: "0", topic_prefix: "p".to_owned() },
        lineage: "rs0".to_owned(),
        deployment: Deployment::ReplicaSet,
        filter: TableFilter::new(Vec::new(), Vec::new()).unwrap(),
        fields: FieldsConfig::default(),
        form: DocumentForm::Text,
        schemas: Default::default(),
        snapshot: None,
        split_bytes_max: 64 << 20,
        transaction_metadata: false,
    };
    Decoder::new(config).unwrap()
}

#[derive(Default)]
struct Seen {
    changes: Vec<String>,
    ids: Vec<(String, u64)>,
    positions: Vec<Position>,
}

impl ChangeHandler for Seen {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let rows = change.after.or(change.before.map(|before| before.row()));
        let Some([Value::Text(key), ..]) = rows else { panic!("{change:?}") };
        let path = change.table.path.join(".");
        self.changes.push(format!("{} {path} {key}", change.op.code()));
        self.ids.push((change.id.transaction.to_owned(), change.id.ordinal));
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        self.positions.push(progress.position().clone());
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        Err(row.error)
    }
}

/// What an event should become.
fn expected(event: &[u8]) -> Option<String> {
    let event = Document::from_reader(event).unwrap();
    let op = match event.get_str("operationType").unwrap() {
        "insert" => "c",
        "update" | "replace" => "u",
        "delete" => "d",
        _ => return None,
    };
    let namespace = event.get_document("ns").unwrap();
    let key = match event.get_document("documentKey").unwrap().get("_id").unwrap() {
        Bson::Int32(number) => number.to_string(),
        Bson::String(text) => format!("{text:?}"),
        Bson::ObjectId(id) => format!("{{\"$oid\": \"{id}\"}}"),
        other => panic!("the recordings have an id of {other:?}"),
    };
    let name = |field| namespace.get_str(field).unwrap();
    Some(format!("{op} {}.{} {key}", name("db"), name("coll")))
}

fn batch(reply: &(Vec<Vec<u8>>, Vec<u8>)) -> RawBatch {
    let (mut data, mut messages) = (Vec::new(), Vec::new());
    for message in reply.0.iter().chain([&reply.1]) {
        let start = u32::try_from(data.len()).unwrap();
        data.extend_from_slice(message);
        messages.push(start..u32::try_from(data.len()).unwrap());
    }
    let read_at = Instant::now();
    RawBatch { stage: Stage::Stream, data: data.into(), messages, read_at, budget: None }
}

#[test]
fn every_recorded_event_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mongodb/wire");
    let (mut n_streams, mut n_events, mut n_changes) = (0, 0, 0);
    for scenario in std::fs::read_dir(folder).unwrap() {
        for replies in streams(&scenario.unwrap().path()) {
            let (mut decoder, mut seen, mut told) = (decoder(), Seen::default(), Vec::new());
            for reply in &replies {
                decoder.decode(&batch(reply), &Bump::new(), &mut seen).unwrap();
                told.extend(reply.0.iter().filter_map(|event| expected(event)));
                n_events += reply.0.len();
            }
            assert_eq!(seen.changes, told);
            assert_eq!(seen.positions.len(), replies.len());
            let grows = |pair: &[Position]| pair[0].may_advance_to(&pair[1]);
            assert!(seen.positions.windows(2).all(grows), "{:?}", seen.positions);
            let mut ids = seen.ids.clone();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), seen.ids.len(), "{:?}", seen.ids);
            n_streams += 1;
            n_changes += told.len();
        }
    }
    println!("recorded: {n_streams} streams, {n_events} events, {n_changes} changes");
    assert!(n_changes > 20, "the recordings were read");
}
