//! Avro read by an implementation that is not ours.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use serde_json::Value as Json;

/// Reads one record and shows it as Connect's JSON would.
pub(crate) fn read(schema: &str, bytes: &[u8]) -> Json {
    let schema = Schema::parse_str(schema).unwrap();
    let mut rest = bytes;
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let value = reader.read_value(&mut rest).unwrap();
    assert!(rest.is_empty(), "{} bytes were left over", rest.len());
    json(&value)
}

fn json(value: &Avro) -> Json {
    match value {
        Avro::Null => Json::Null,
        Avro::Boolean(v) => Json::from(*v),
        Avro::Int(v) | Avro::Date(v) | Avro::TimeMillis(v) => Json::from(*v),
        Avro::Long(v) | Avro::TimestampMillis(v) => Json::from(*v),
        Avro::Float(v) if v.is_finite() => v.to_string().parse().unwrap(),
        Avro::Double(v) if v.is_finite() => Json::from(*v),
        Avro::Float(v) => Json::from(not_finite(f64::from(*v))),
        Avro::Double(v) => Json::from(not_finite(*v)),
        Avro::String(v) => Json::from(v.as_str()),
        Avro::Bytes(v) => Json::from(base64(v)),
        Avro::Decimal(v) => Json::from(base64(&Vec::<u8>::try_from(v).unwrap())),
        Avro::Union(_, v) => json(v),
        Avro::Array(items) => items.iter().map(json).collect(),
        Avro::Map(pairs) => pairs.iter().map(|(name, v)| (name.clone(), json(v))).collect(),
        Avro::Record(fields) => {
            Json::Object(fields.iter().map(|(name, v)| (name.clone(), json(v))).collect())
        }
        other => panic!("{other:?} has no place in an envelope"),
    }
}

fn not_finite(value: f64) -> &'static str {
    match value {
        v if v.is_nan() => "NaN",
        v if v > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_usize, |bits, b| bits << 8 | usize::from(*b));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let kept = digit <= chunk.len();
            text.push(if kept { char::from(DIGITS[bits >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    text
}
