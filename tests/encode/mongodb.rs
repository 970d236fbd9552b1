//! MongoDB's change events against what the real Debezium published: the events of the golden
//! operations go through decoder and encoder, and every record is compared.
//!
//! Records of the stream are compared to the byte: times, places and sessions come from the golden
//! record. Of documents that the snapshot read, Debezium tells when it read each; there everything
//! but these times is compared. What is allowed to differ stands in `allowed.json`: nothing does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use bumpalo::Bump;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, Timestamp, doc};
use serde_json::{Value as Json, json};
use tailwater::change::{Change, Op, Progress};
use tailwater::config::{DocumentForm, FieldsConfig, TableFilter};
use tailwater::encode::{EncodeOptions, Encoder, Format};
use tailwater::offsets::position::{MongodbPosition, Position};
use tailwater::record::{RecordBatch, Topics};
use tailwater::sources::mongodb::decoder::{Decoder, DecoderConfig, Deployment, SnapshotFacts};
use tailwater::sources::mongodb::namespace::Namespace;
use tailwater::sources::mongodb::source_block::SourceConstants;
use tailwater::sources::{BoxError, ChangeHandler, Decode as _, RawBatch, Stage, Undecodable};

use super::avro;
use super::golden::{self, Config, Golden, GoldenRecord, Source};
use super::mongodb_catalogue::{self as catalogue, Operation};
use super::registry::Registry;

/// What a run compares, and with what.
struct Run {
    config: Config,
    prefix: String,
    golden: Golden,
    /// Records by topic, and how many of them were met.
    topics: BTreeMap<String, (Vec<usize>, usize)>,
    registry: Registry,
    names: Arc<Topics>,
    encoder: Encoder,
    compared: usize,
    differing: Vec<String>,
    /// In the order of the stream: transaction and ordinal.
    ids: Vec<(String, u64)>,
    reached: Vec<Progress>,
}

impl Run {
    fn new(config: Config) -> Self {
        let (registry, names) = (Registry::default(), Arc::new(Topics::default()));
        let prefix = config.prefix(Source::Mongodb);
        let options = EncodeOptions {
            topic_prefix: prefix.clone(),
            format: match config {
                Config::Default | Config::Deltas => Format::Json { schemas: true },
                Config::Avro => Format::Avro,
            },
            connector: "mongodb",
            values: tailwater::config::ValueModes::default(),
            tombstones: true,
            id_header: false,
            context_headers: false,
            transaction_topic: None,
        };
        let golden = Golden::read(Source::Mongodb, config);
        let mut topics: BTreeMap<String, (Vec<usize>, usize)> = BTreeMap::new();
        for (index, record) in golden.records.iter().enumerate() {
            topics.entry(record.topic.clone()).or_default().0.push(index);
        }
        Self {
            config,
            encoder: Encoder::new(options, Arc::clone(&names), Box::new(registry.clone())),
            prefix,
            golden,
            topics,
            registry,
            names,
            compared: 0,
            differing: Vec::new(),
            ids: Vec::new(),
            reached: Vec::new(),
        }
    }

    fn all(mut self) -> Self {
        let snapshot = catalogue::snapshot();
        let mut names: Vec<&str> = snapshot.iter().map(|(name, _)| *name).collect();
        names.dedup();
        let mut decoder = self.decoder(&names);
        for (number, name) in names.iter().enumerate() {
            let table = u32::try_from(number).unwrap();
            let documents =
                snapshot.iter().filter(|(of, _)| of == name).map(|(_, document)| document);
            self.decode(&mut decoder, &batch(Stage::Snapshot { table }, documents));
            self.decode(&mut decoder, &batch(Stage::SnapshotTableEnd { table }, []));
        }
        self.decode(&mut decoder, &batch(Stage::SnapshotEnd, []));
        let events: Vec<Document> = catalogue::stream().iter().map(|o| self.event(o)).collect();
        self.decode(&mut decoder, &batch(Stage::Stream, &events));

        let left: Vec<&String> =
            self.topics.iter().filter(|(_, (all, met))| *met < all.len()).map(|(t, _)| t).collect();
        assert!(left.is_empty(), "records that were not made: {left:?}");
        let (n, n_differing) = (self.compared, self.differing.len());
        let name = match self.config {
            Config::Default => "default",
            Config::Avro => "avro",
            Config::Deltas => "deltas",
        };
        println!("golden mongodb {name}: {n} compared, {n_differing} differing, 0 allowed");
        assert_eq!(n, self.golden.records.len());
        assert!(self.differing.is_empty(), "{}", self.differing.join("\n"));
        self
    }

    fn decoder(&self, collections: &[&str]) -> Decoder {
        let rename = match self.config {
            Config::Default | Config::Avro => Vec::new(),
            Config::Deltas => vec!["*.types.s:text".to_owned()],
        };
        let collections =
            collections.iter().map(|name| Namespace::new(self.prefix.clone(), *name)).collect();
        let token: tailwater::offsets::position::ResumeToken = "8200".parse().unwrap();
        let position = MongodbPosition { token, cluster_time: None, lineage: "rs0".to_owned() };
        let config = DecoderConfig {
            source: SourceConstants { version: "3.6.0.Final", topic_prefix: self.prefix.clone() },
            lineage: "rs0".to_owned(),
            deployment: Deployment::ReplicaSet,
            filter: TableFilter::new(Vec::new(), Vec::new()).unwrap(),
            fields: FieldsConfig { exclude: Vec::new(), rename },
            form: DocumentForm::Text,
            schemas: Default::default(),
            snapshot: Some(SnapshotFacts { collections, position, read_at_us: 0, includes: None }),
            split_bytes_max: 64 << 20,
            transaction_metadata: false,
        };
        Decoder::new(config).unwrap()
    }

    fn decode(&mut self, decoder: &mut Decoder, raw: &RawBatch) {
        decoder.decode(raw, &Bump::new(), self).unwrap();
    }

    /// The change event of an operation, at the time that the golden records tell.
    fn event(&self, operation: &Operation) -> Document {
        let records = self.golden.records.iter().filter(|record| !record.is_tombstone());
        let envelopes: Vec<Json> = records
            .map(|record| self.envelope(record))
            .filter(|envelope| envelope["source"]["snapshot"] == "false")
            .collect();
        let time = envelopes[0]["source"]["ts_ms"].as_i64().unwrap() / 1000;
        let same = envelopes.iter().find(|e| e["source"]["ord"] == operation.ord);
        let surroundings = Surroundings {
            time: u32::try_from(time).unwrap(),
            database: &self.prefix,
            // The server looked, and whether the document was still there was up to its speed.
            looks_up: self.config != Config::Deltas,
            is_gone: same.is_some_and(|envelope| envelope["after"].is_null()),
            session: same.map(|e| &e["source"]).filter(|source| !source["lsid"].is_null()),
        };
        event(operation, &surroundings)
    }

    fn envelope(&self, record: &GoldenRecord) -> Json {
        match &record.value {
            Json::String(hex) => {
                let schema = &self.golden.schemas[record.value_schema.as_ref().unwrap()];
                avro::read(&schema.to_string(), &golden::unhex(hex))
            }
            value => value.clone(),
        }
    }

    fn compare(&mut self, golden: usize, batch: &RecordBatch, index: usize, op: Op) {
        self.compared += 1;
        let golden = &self.golden.records[golden];
        let record = &batch.records[index];
        assert_eq!(*self.names.get(record.topic).name, *golden.topic);
        assert!(golden.headers.is_empty() && record.headers.is_empty());
        let mut differences = Vec::new();
        for (what, ours, theirs, schema) in [
            ("key", batch.key(record), &golden.key, &golden.key_schema),
            ("value", batch.value(record), &golden.value, &golden.value_schema),
        ] {
            let Some(ours) = ours else {
                assert!(theirs.is_null(), "{}: a tombstone of ours alone", golden.topic);
                continue;
            };
            let schema = schema.as_ref().map(|number| &self.golden.schemas[number]);
            let schema = schema.unwrap_or_else(|| panic!("{}: no schema of {what}", golden.topic));
            let mut same = |what: &str, ours: String, theirs: String| {
                if ours != theirs {
                    differences.push(format!("{what}\n  ours   {ours}\n  theirs {theirs}"));
                }
            };
            let mut theirs = theirs.clone();
            match self.config {
                Config::Default | Config::Deltas => {
                    let mut ours: Json = serde_json::from_slice(ours).unwrap();
                    same("schema", ours["schema"].to_string(), schema.to_string());
                    hide_times(op, &mut ours["payload"]);
                    hide_times(op, &mut theirs);
                    same(what, ours["payload"].to_string(), theirs.to_string());
                }
                Config::Avro => {
                    assert_eq!(ours[0], 0);
                    let id = u32::from_be_bytes(ours[1..5].try_into().unwrap());
                    let (subject, text) = self.registry.schema(id);
                    same("subject", subject, format!("{}-{what}", golden.topic));
                    let named = golden::without_repeated_namespaces(schema, "");
                    same("schema", text.clone(), named.to_string());
                    let bytes = golden::unhex(theirs.as_str().unwrap());
                    if op != Op::Read {
                        same("bytes", format!("{:02x?}", &ours[5..]), format!("{bytes:02x?}"));
                    }
                    // An independent reader reads every byte, and no more.
                    let mut values = [&ours[5..], &bytes].map(|bytes| avro::read(&text, bytes));
                    values.iter_mut().for_each(|value| hide_times(op, value));
                    same(what, values[0].to_string(), values[1].to_string());
                }
            }
        }
        let place = format!("{} {}", golden.topic, golden.key);
        self.differing.extend(differences.into_iter().map(|d| format!("{place} {d}")));
    }
}

/// When a snapshot read a document.
fn hide_times(op: Op, envelope: &mut Json) {
    if op == Op::Read && envelope["source"].is_object() {
        for name in ["ts_ms", "ts_us", "ts_ns"] {
            envelope["source"][name] = json!(0);
        }
    }
}

impl ChangeHandler for Run {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let topic = tailwater::encode::topics::topic_name(&self.prefix, &change.table.path);
        let (all, met) = self.topics.get_mut(&topic).expect("Debezium has records in the topic");
        let n_records = if change.op == Op::Delete { 2 } else { 1 };
        let golden: Vec<usize> = all[*met..*met + n_records].to_vec();
        *met += n_records;
        let envelope = self.envelope(&self.golden.records[golden[0]]);
        let now_ns = envelope["ts_ms"].as_i64().unwrap() * 1_000_000;
        let mut batch = RecordBatch::default();
        self.encoder.encode(change, now_ns, &mut batch).unwrap();
        assert_eq!(batch.records.len(), n_records);
        for (index, golden) in golden.into_iter().enumerate() {
            self.compare(golden, &batch, index, change.op);
        }
        self.ids.push((change.id.transaction.to_owned(), change.id.ordinal));
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        self.reached.push(progress);
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        Err(row.error)
    }
}

fn batch<'a>(stage: Stage, documents: impl IntoIterator<Item = &'a Document>) -> RawBatch {
    let (mut data, mut messages) = (Vec::new(), Vec::new());
    for document in documents {
        let start = u32::try_from(data.len()).unwrap();
        document.to_writer(&mut data).unwrap();
        messages.push(start..u32::try_from(data.len()).unwrap());
    }
    RawBatch { stage, data: data.into(), messages, read_at: Instant::now(), budget: None }
}

struct Surroundings<'a> {
    time: u32,
    database: &'a str,
    looks_up: bool,
    is_gone: bool,
    session: Option<&'a Json>,
}

/// As 4.4 makes them.
fn event(operation: &Operation, surroundings: &Surroundings<'_>) -> Document {
    let &Surroundings { time, database, looks_up, is_gone, session } = surroundings;
    let increment = operation.ord;
    let place = match operation.transaction {
        None | Some(0) => "29".to_owned(),
        Some(place) => format!("2B{:02X}", place * 2),
    };
    let data = format!("82{time:08X}{increment:08X}2B022C0100{place}6E04");
    let mut event = Document::new();
    if let Some(session) = session {
        let number = session["txnNumber"].as_i64().unwrap();
        event.extend(doc! { "txnNumber": number, "lsid": lsid(session["lsid"].as_str().unwrap()) });
    }
    event.extend(doc! {
        "_id": { "_data": data },
        "operationType": operation.kind,
        "clusterTime": Timestamp { time, increment },
    });
    match (operation.kind, &operation.document) {
        (_, Some(document)) => {
            event.insert("fullDocument", document.clone());
        }
        ("update", None) if looks_up => {
            event.insert("fullDocument", operation.looked_up.clone().filter(|_| !is_gone));
        }
        _ => {}
    }
    event.insert("ns", doc! { "db": database, "coll": operation.collection });
    if let Some(id) = &operation.id {
        event.insert("documentKey", doc! { "_id": id.clone() });
    }
    if let Some(update) = &operation.update {
        event.insert("updateDescription", update.clone());
    }
    event
}

/// Out of Debezium's text of it.
fn lsid(text: &str) -> Document {
    let json: Json = serde_json::from_str(text).unwrap();
    let binary = |name: &str, subtype| {
        let text = json[name]["$binary"].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        Bson::Binary(Binary { subtype, bytes })
    };
    doc! {
        "id": binary("id", BinarySubtype::Uuid),
        "uid": binary("uid", BinarySubtype::Generic),
    }
}

#[test]
fn json_with_schemas_is_what_debezium_published() {
    let run = Run::new(Config::Default).all();
    assert!(matches!(
        &run.reached[..],
        [Progress::SnapshotComplete(..), Progress::Stream(Position::Mongodb(_), _)]
    ));
}

#[test]
fn avro_is_what_debezium_published() {
    Run::new(Config::Avro).all();
}

/// Without look-ups, and with a rule for fields.
#[test]
fn deltas_are_what_debezium_published() {
    Run::new(Config::Deltas).all();
}

#[test]
fn every_event_has_a_name_of_its_own() {
    let mut ids = Run::new(Config::Default).all().ids;
    assert!(ids.iter().any(|(name, ordinal)| name.ends_with(".42") && *ordinal == 5), "{ids:?}");
    let n = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), n);
}
