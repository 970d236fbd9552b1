//! Avro as an independent reader sees it, in the form in which the JSON format writes the same
//! values, so that one comparison serves both.

use std::collections::HashMap;
use std::sync::Mutex;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Map, Value, json};

use super::registry::Registry;

/// Schema id and datum of a framed record.
pub(crate) fn unframe(bytes: &[u8]) -> (u32, &[u8]) {
    assert_eq!(bytes.first(), Some(&0), "the Confluent frame begins with a zero byte");
    let (id, datum) = bytes[1..].split_at(4);
    (u32::from_be_bytes(id.try_into().expect("four bytes")), datum)
}

/// Reads a datum to its last byte.
pub(crate) fn read(schema: &Schema, mut datum: &[u8]) -> Avro {
    let reader = GenericDatumReader::builder(schema).build().expect("a reader of the schema");
    let value = reader.read_value(&mut datum);
    let value = value.unwrap_or_else(|error| panic!("apache-avro cannot read it: {error}"));
    assert!(datum.is_empty(), "{} bytes are left after the datum", datum.len());
    value
}

/// What another encoder makes of a value.
pub(crate) fn write(schema: &Schema, value: Avro) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema).build().expect("a writer of the schema");
    writer.write_value_to_vec(value).expect("what was read can be written")
}

pub(crate) struct Decoder<'a> {
    registry: &'a Registry,
    schemas: Mutex<HashMap<u32, Schema>>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(registry: &'a Registry) -> Self {
        Self { registry, schemas: Mutex::default() }
    }

    pub(crate) fn json(&self, framed: &[u8]) -> Value {
        let (id, datum) = unframe(framed);
        let mut schemas = self.schemas.lock().unwrap();
        let schema = schemas.entry(id).or_insert_with(|| {
            Schema::parse_str(&self.registry.schema(id)).expect("apache-avro reads the schema")
        });
        to_json(&read(schema, datum))
    }
}

pub(crate) fn to_json(value: &Avro) -> Value {
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(b) => json!(b),
        Avro::Int(i) => json!(i),
        Avro::Long(i) => json!(i),
        Avro::Float(f) => float(f64::from(*f), json!(f)),
        Avro::Double(f) => float(*f, json!(f)),
        Avro::String(s) | Avro::Enum(_, s) => json!(s),
        Avro::Bytes(b) | Avro::Fixed(_, b) => json!(base64(b)),
        Avro::Decimal(d) => {
            let bytes = Vec::<u8>::try_from(d).expect("a decimal has bytes");
            json!(base64(&bytes))
        }
        Avro::Union(_, inner) => to_json(inner),
        Avro::Array(items) => items.iter().map(to_json).collect(),
        Avro::Map(entries) => {
            Value::Object(entries.iter().map(|(k, v)| (k.clone(), to_json(v))).collect())
        }
        Avro::Record(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), to_json(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => panic!("no record of ours has {other:?}"),
    }
}

fn float(value: f64, finite: Value) -> Value {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        finite
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for i in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * i) & 63).expect("six bits");
            text.push(if i <= chunk.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    text
}

pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut n) = (0_u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        let digit = DIGITS.iter().position(|d| *d == c).expect("a digit of base64");
        bits = bits << 6 | u32::try_from(digit).expect("six bits");
        n += 6;
        if n >= 8 {
            n -= 8;
            bytes.push(u8::try_from(bits >> n & 255).expect("eight bits"));
        }
    }
    bytes
}

#[test]
fn base64_is_its_own_inverse() {
    for text in ["", "f", "fo", "foo", "foob"] {
        assert_eq!(unbase64(&base64(text.as_bytes())), text.as_bytes());
    }
    assert_eq!(base64(b"foob"), "Zm9vYg==");
}
