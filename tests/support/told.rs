//! Whether a record tells a document: every member stands in its field, or in `__rest`, or has no
//! type at all.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bumpalo::Bump;
use mongodb::bson::{self, Bson, Document, doc};
use serde_json::{Map, Value as Json, json};
use tailwater::schema::names::NameAdjustment;
use tailwater::sources::mongodb::bson as bson_walk;
use tailwater::sources::mongodb::extjson::{Form, to_text};

/// Whether every member of the document is where it should be. `fields` are the record's, and their
/// names are as Avro has them.
pub(crate) fn is_told(document: &Document, fields: &Map<String, Json>) -> Result<(), String> {
    let rest: Map<String, Json> = match fields.get("__rest") {
        Some(Json::String(rest)) => {
            serde_json::from_str(rest).map_err(|error| error.to_string())?
        }
        _ => Map::new(),
    };
    for (name, value) in document {
        let adjusted = NameAdjustment::Avro.field_name(name);
        let field = fields.get(name).or_else(|| fields.get(&adjusted)).unwrap_or(&Json::Null);
        let told = match rest.get(name) {
            Some(left) => *left == relaxed(value),
            None => is_untyped(value) || is_value(value, field),
        };
        if !told {
            return Err(format!("{name}: {value} is not in {field} or {:?}", rest.get(name)));
        }
    }
    let adjusted = |name: &String| NameAdjustment::Avro.field_name(name);
    let names: HashSet<String> = document.keys().map(adjusted).collect();
    for (name, value) in fields {
        if !value.is_null() && name != "__rest" && !names.contains(&adjusted(name)) {
            return Err(format!("{name} is {value}, and is not in the document"));
        }
    }
    let strange = rest.keys().find(|name| !document.contains_key(name));
    strange.map_or(Ok(()), |name| Err(format!("{name} is in __rest, but not in the document")))
}

/// What a record need not tell.
fn is_untyped(value: &Bson) -> bool {
    match value {
        Bson::Null | Bson::Undefined => true,
        Bson::Array(items) => items.iter().all(is_untyped),
        _ => false,
    }
}

/// Our own text, which the corpus of BSON says is right.
fn relaxed(value: &Bson) -> Json {
    let bytes = bson::serialize_to_vec(&doc! { "v": value.clone() }).unwrap();
    let document = bson_walk::Document::new(&bytes).unwrap();
    let arena = Bump::new();
    let text = to_text(document, Form::RELAXED, &arena).unwrap();
    serde_json::from_str::<Json>(text).unwrap()["v"].take()
}

fn is_value(value: &Bson, field: &Json) -> bool {
    let is_json = || {
        let text = field.as_str().and_then(|text| serde_json::from_str::<Json>(text).ok());
        text.is_some_and(|json| json == relaxed(value))
    };
    let is_number = |number: f64| field.as_f64() == Some(number);
    let plain = match (value, field) {
        (value, Json::Null) => is_untyped(value),
        (Bson::Array(items), Json::Array(found)) => {
            items.len() == found.len() && items.iter().zip(found).all(|(i, f)| is_value(i, f))
        }
        (Bson::Document(document), Json::Object(found)) => is_told(document, found).is_ok(),
        (Bson::Int32(number), _) => is_number(f64::from(*number)),
        (Bson::Int64(number), Json::Number(found)) => match found.as_i64() {
            Some(found) => found == *number,
            None => found.as_f64() == number.to_string().parse().ok(),
        },
        (Bson::Double(number), Json::String(name)) => {
            !number.is_finite() && number.to_string().to_lowercase() == short(name)
        }
        (Bson::Double(number), _) => is_number(*number),
        (Bson::Boolean(value), _) => *field == json!(value),
        (Bson::String(text) | Bson::JavaScriptCode(text) | Bson::Symbol(text), _) => {
            *field == json!(text)
        }
        (Bson::ObjectId(id), _) => *field == json!(id.to_hex()),
        (Bson::Decimal128(decimal), _) => *field == json!(decimal.to_string()),
        (Bson::DateTime(date), _) => *field == json!(date.timestamp_millis()),
        (Bson::Binary(binary), _) => *field == json!(STANDARD.encode(&binary.bytes)),
        _ => false,
    };
    plain || is_json()
}

/// `NaN`, and `inf` of what is `Infinity`.
fn short(name: &str) -> String {
    name.to_lowercase().replace("infinity", "inf")
}
