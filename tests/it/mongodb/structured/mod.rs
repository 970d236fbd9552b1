//! Documents as records from end to end: MongoDB, Kafka, and a registry that takes a schema only if
//! it can read what the last one wrote.
//!
//! What a record says is compared with the document that the server has, member by member, by
//! `support::told`, which knows no schema of ours.

mod hostile;
mod json;
mod kills;
mod restarts;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use futures_util::TryStreamExt as _;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::text::{key_text, record_key};
use crate::support::avro::{Decoder, unframe};
use crate::support::kafka::{Kafka, Record};
use crate::support::mongodb::{Mongo, block};
use crate::support::registry::Registry;
use crate::support::tailwater::{Setup, Tailwater};
use crate::support::told::is_told;
use crate::support::{eventually, seconds, unique};

/// `BACKWARD` for every subject, which is Confluent's default.
fn strict() -> &'static Registry {
    static STRICT: OnceLock<Registry> = OnceLock::new();
    STRICT.get_or_init(|| {
        let registry = Registry::start();
        registry.set_global_compatibility("BACKWARD");
        registry
    })
}

/// A collection of its own, published as Avro into a topic of its own.
struct Road<'a> {
    mongo: &'a Mongo,
    database: String,
    setup: Setup,
}

/// A record that was read.
#[derive(Debug)]
struct Event {
    /// The registry's number of its schema; `None` for a tombstone.
    schema: Option<u32>,
    key: String,
    value: Value,
}

impl<'a> Road<'a> {
    fn new(mongo: &'a Mongo, name: &str) -> Self {
        let database = unique(name).replace('-', "_");
        let mut setup = Setup::mongodb(mongo, &database).into_kafka(Kafka::shared());
        setup
            .set("source.mongodb.documents", "structured")
            .set("sink.kafka.topics.partitions", 1)
            .set("format", json!({ "avro": { "registry": { "url": strict().url() } } }));
        Self { mongo, database, setup }
    }

    fn collection(&self) -> Collection<Document> {
        self.mongo.collection(&self.database, "c")
    }

    fn insert(&self, documents: &[Document]) {
        block(self.collection().insert_many(documents)).unwrap();
    }

    fn topic(&self) -> String {
        format!("{0}.{0}.c", self.database)
    }

    fn subject(&self) -> String {
        format!("{}-value", self.topic())
    }

    /// Texts of all versions, the oldest first.
    fn versions(&self) -> Vec<Value> {
        let path = format!("/subjects/{}/versions", self.subject());
        let numbers = strict().get(&path).unwrap_or(json!([]));
        let numbers = numbers.as_array().unwrap();
        let text = |number: &Value| {
            let version = strict().get(&format!("{path}/{number}")).unwrap();
            serde_json::from_str(version["schema"].as_str().unwrap()).unwrap()
        };
        numbers.iter().map(text).collect()
    }

    /// Names and types of the record's fields, as in the newest version.
    fn fields(&self) -> String {
        let versions = self.versions();
        let newest = versions.last().expect("there is a version");
        let row = &newest["fields"][0]["type"][1];
        let field = |field: &Value| {
            let of = &field["type"][1];
            let name = of["connect.name"].as_str().or(of["type"].as_str()).or(of.as_str());
            let name = name.unwrap_or_default().rsplit('.').next().unwrap().to_owned();
            format!("{} {name}", field["name"].as_str().unwrap())
        };
        row["fields"].as_array().unwrap().iter().map(field).collect::<Vec<_>>().join(", ")
    }

    fn events(&self) -> Vec<Event> {
        let decoder = Decoder::new(strict());
        let event = |record: Record| Event {
            schema: record.value.as_deref().map(|value| unframe(value).0),
            key: {
                let key = decoder.json(record.key.as_deref().expect("every record has a key"));
                record_key(key["id"].as_str().unwrap())
            },
            value: record.value.as_deref().map_or(Value::Null, |value| decoder.json(value)),
        };
        let records = Kafka::shared().read(&self.topic()).into_iter();
        records.filter(|record| record.topic == self.topic()).map(event).collect()
    }

    fn arrives(&self, tailwater: &Tailwater, n: usize) {
        let arrived = eventually(seconds(60), || (self.events().len() >= n).then_some(()));
        assert!(arrived.is_some(), "fewer than {n} records: {}", tailwater.said());
    }

    /// The topic, folded, tells every document of the collection and nothing else.
    fn compare(&self) -> usize {
        let mut folded: BTreeMap<String, Value> = BTreeMap::new();
        for Event { key, value, .. } in self.events() {
            match value["op"].as_str() {
                None | Some("d") => drop(folded.remove(&key)),
                Some(_) => drop(folded.insert(key, value["after"].clone())),
            }
        }
        let documents: Vec<Document> =
            block(async { self.collection().find(doc! {}).await?.try_collect().await }).unwrap();
        for document in &documents {
            let key = key_text(document.get("_id").unwrap());
            let after = folded.remove(&key).unwrap_or_else(|| panic!("{key} is lost"));
            let told = after.as_object().map(|fields| is_told(document, fields));
            assert_eq!(told, Some(Ok(())), "{key}: {document} as {after}");
        }
        assert!(folded.is_empty(), "phantoms: {folded:?}");
        documents.len()
    }
}
