//! Topics folded by key: what a consumer that keeps the last state of every row would hold.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::avro::Decoder;
use super::kafka::Record;

/// What stands for a large value that the database did not repeat.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// Key (as JSON text) -> row.
pub(crate) type Table = BTreeMap<String, Map<String, Value>>;

/// A record with key and envelope decoded.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) topic: String,
    pub(crate) time_ms: i64,
    pub(crate) key: Option<Value>,
    /// `None`: a tombstone.
    pub(crate) value: Option<Value>,
    pub(crate) id: Option<String>,
}

pub(crate) fn json_event(record: &Record) -> Event {
    event(record, |bytes| serde_json::from_slice(bytes).expect("the JSON format writes JSON"))
}

pub(crate) fn avro_event(record: &Record, decoder: &Decoder<'_>) -> Event {
    event(record, |bytes| decoder.json(bytes))
}

fn event(record: &Record, decode: impl Fn(&[u8]) -> Value) -> Event {
    Event {
        topic: record.topic.clone(),
        time_ms: record.time_ms,
        key: record.key.as_deref().map(&decode),
        value: record.value.as_deref().map(&decode),
        id: record.header("cdc.id"),
    }
}

impl Event {
    pub(crate) fn op(&self) -> &str {
        self.value.as_ref().map_or("tombstone", |v| v["op"].as_str().expect("op is a string"))
    }
}

/// Folds events, in the order of their partitions, into one table per topic.
pub(crate) fn fold(events: &[Event]) -> BTreeMap<String, Table> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for event in events {
        let table = tables.entry(event.topic.clone()).or_default();
        let key = event.key.as_ref().map(Value::to_string);
        match (event.op(), key) {
            ("t", _) => table.clear(),
            ("d" | "tombstone", Some(key)) => {
                table.remove(&key);
            }
            ("c" | "u" | "r", Some(key)) => {
                let value = event.value.as_ref().expect("a row event has a value");
                let mut row = value["after"].as_object().expect("after is a row").clone();
                if let Some(before) = table.get(&key) {
                    keep_unavailable(&mut row, before);
                }
                table.insert(key, row);
            }
            (op, key) => panic!("an event `{op}` with key {key:?} in {}", event.topic),
        }
    }
    tables
}

fn keep_unavailable(row: &mut Map<String, Value>, before: &Map<String, Value>) {
    for (name, value) in row.iter_mut() {
        if value.as_str() == Some(UNAVAILABLE)
            && let Some(known) = before.get(name)
        {
            *value = known.clone();
        }
    }
}

pub(crate) fn is_unavailable(value: &Value) -> bool {
    value.as_str() == Some(UNAVAILABLE)
}
