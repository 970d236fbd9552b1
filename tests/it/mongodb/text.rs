//! The texts that a topic must have for a value, made apart from what makes them: legacy strict
//! Extended JSON for documents, relaxed for keys; as JSON values, because the bytes are compared
//! elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mongodb::bson::Bson;
use serde_json::{Value, json};

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn legacy(value: &Bson) -> Value {
    match value {
        Bson::Int64(n) => json!({ "$numberLong": n.to_string() }),
        Bson::DateTime(time) => json!({ "$date": time.timestamp_millis() }),
        Bson::Binary(all) => {
            let kind = format!("{:02x}", u8::from(all.subtype));
            json!({ "$binary": base64(&all.bytes), "$type": kind })
        }
        Bson::Document(fields) => fields.iter().map(|(n, v)| (n.clone(), legacy(v))).collect(),
        Bson::Array(all) => all.iter().map(legacy).collect(),
        other => plain(other),
    }
}

fn relaxed(value: &Bson) -> Value {
    match value {
        Bson::Int64(n) => json!(n),
        Bson::Binary(all) => {
            let kind = format!("{:02x}", u8::from(all.subtype));
            json!({ "$binary": { "base64": base64(&all.bytes), "subType": kind } })
        }
        Bson::Document(fields) => fields.iter().map(|(n, v)| (n.clone(), relaxed(v))).collect(),
        Bson::Array(all) => all.iter().map(relaxed).collect(),
        other => plain(other),
    }
}

/// What both forms write alike, of the types that the workload has.
fn plain(value: &Bson) -> Value {
    match value {
        Bson::Null => Value::Null,
        Bson::Boolean(on) => json!(on),
        Bson::Int32(n) => json!(n),
        Bson::Double(n) => json!(n),
        Bson::String(text) => json!(text),
        Bson::ObjectId(id) => json!({ "$oid": id.to_hex() }),
        other => panic!("the workload writes no {other:?}"),
    }
}

/// The key of a document, in one spelling.
pub(super) fn key_text(id: &Bson) -> String {
    relaxed(id).to_string()
}

/// The key of a record, in the same spelling.
pub(super) fn record_key(text: &str) -> String {
    let value: Value = serde_json::from_str(text).expect("a key is Extended JSON");
    value.to_string()
}
