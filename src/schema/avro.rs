//! A Connect schema as Confluent's `AvroData.fromConnectSchema` turns it into Avro, and as Avro's
//! Java library prints that: the namespace is left out where the enclosing record has the same,
//! and a record that was written before is a name.

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};

use super::connect::{ConnectSchema, Field, Kind, Literal};

/// `AvroData.CONNECT_AVRO_DECIMAL_PRECISION_DEFAULT`: what a decimal without precision gets.
const DECIMAL_PRECISION_DEFAULT: i64 = 64;

/// Connect's own semantic types, which become logical types of Avro.
pub(crate) const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
pub(crate) const CONNECT_DATE: &str = "org.apache.kafka.connect.data.Date";
pub(crate) const CONNECT_TIME: &str = "org.apache.kafka.connect.data.Time";
pub(crate) const CONNECT_TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
pub(crate) const DECIMAL_SCALE: &str = "scale";
pub(crate) const DECIMAL_PRECISION: &str = "connect.decimal.precision";

/// The schema's text.
#[must_use]
pub fn to_avro_schema(schema: &ConnectSchema) -> String {
    Writer::default().schema(schema, "").to_string()
}

#[derive(Default)]
struct Writer<'a> {
    /// Full names of the records written so far.
    defined: HashSet<&'a str>,
}

impl<'a> Writer<'a> {
    fn schema(&mut self, schema: &'a ConnectSchema, namespace: &str) -> Json {
        let base = self.base(schema, namespace);
        match (schema.optional, &schema.default) {
            (false, _) => base,
            // The first branch of a union is the one that its default must be of.
            (true, None) => json!(["null", base]),
            (true, Some(_)) => json!([base, "null"]),
        }
    }

    fn base(&mut self, schema: &'a ConnectSchema, namespace: &str) -> Json {
        let (head, connect_type) = match &schema.kind {
            Kind::Boolean => (json!("boolean"), None),
            Kind::Int16 => (json!("int"), Some("int16")),
            Kind::Int32 => (json!("int"), None),
            Kind::Int64 => (json!("long"), None),
            Kind::Float32 => (json!("float"), None),
            Kind::Float64 => (json!("double"), None),
            Kind::String => (json!("string"), None),
            Kind::Bytes => (json!("bytes"), None),
            Kind::Array(inner) | Kind::Map(inner) => {
                let (head, member) = match schema.kind {
                    Kind::Map(_) => ("map", "values"),
                    _ => ("array", "items"),
                };
                let mut object = Map::new();
                object.insert("type".to_owned(), json!(head));
                object.insert(member.to_owned(), self.schema(inner, namespace));
                add_attributes(&mut object, schema, None);
                return Json::Object(object);
            }
            Kind::Struct(fields) => return self.record(schema, fields, namespace),
        };
        let mut object = Map::new();
        object.insert("type".to_owned(), head.clone());
        add_attributes(&mut object, schema, connect_type);
        if object.len() == 1 { head } else { Json::Object(object) }
    }

    fn record(&mut self, schema: &'a ConnectSchema, fields: &'a [Field], around: &str) -> Json {
        let full = schema.name.as_deref().expect("every struct of an envelope has a name");
        let (namespace, name) = full.rsplit_once('.').unwrap_or(("", full));
        if !self.defined.insert(full) {
            return json!(if namespace == around { name } else { full });
        }
        let mut object = Map::new();
        object.insert("type".to_owned(), json!("record"));
        object.insert("name".to_owned(), json!(name));
        if namespace != around {
            object.insert("namespace".to_owned(), json!(namespace));
        }
        let fields = fields.iter().map(|field| self.field(field, namespace)).collect();
        object.insert("fields".to_owned(), Json::Array(fields));
        add_attributes(&mut object, schema, None);
        Json::Object(object)
    }

    fn field(&mut self, field: &'a Field, namespace: &str) -> Json {
        let mut object = Map::new();
        object.insert("name".to_owned(), json!(field.name));
        object.insert("type".to_owned(), self.schema(&field.schema, namespace));
        match &field.schema.default {
            Some(default) => {
                object.insert("default".to_owned(), literal(default));
            }
            None if field.schema.optional => {
                object.insert("default".to_owned(), Json::Null);
            }
            None => {}
        }
        Json::Object(object)
    }
}

fn add_attributes(
    object: &mut Map<String, Json>,
    schema: &ConnectSchema,
    connect_type: Option<&str>,
) {
    let mut add = |name: &str, value: Json| {
        object.insert(name.to_owned(), value);
    };
    if let Some(doc) = schema.doc {
        add("connect.doc", json!(doc));
    }
    if let Some(version) = schema.version {
        add("connect.version", json!(version));
    }
    if !schema.parameters.is_empty() {
        let parameters = schema.parameters.iter().map(|(k, v)| ((*k).to_owned(), json!(v)));
        add("connect.parameters", Json::Object(parameters.collect()));
    }
    if let Some(default) = &schema.default {
        add("connect.default", literal(default));
    }
    if let Some(name) = &schema.name {
        add("connect.name", json!(name));
    }
    if let Some(connect_type) = connect_type {
        add("connect.type", json!(connect_type));
    }
    if let Some(logical_type) = schema.name.as_deref().and_then(logical_time) {
        add("logicalType", json!(logical_type));
    }
    if let Some((precision, scale)) = logical_decimal(schema) {
        add("logicalType", json!("decimal"));
        add("precision", json!(precision));
        add("scale", json!(scale));
    }
}

/// Connect's own dates and times are Avro's too.
fn logical_time(name: &str) -> Option<&'static str> {
    match name {
        CONNECT_DATE => Some("date"),
        CONNECT_TIME => Some("time-millis"),
        CONNECT_TIMESTAMP => Some("timestamp-millis"),
        _ => None,
    }
}

/// Precision and scale where Avro's own logical type can say them: it wants a scale from 0 up to
/// the precision. A `numeric(4,-2)`, which Debezium reads as scale 2046, is plain bytes.
fn logical_decimal(schema: &ConnectSchema) -> Option<(i64, i64)> {
    if schema.name.as_deref() != Some(DECIMAL) {
        return None;
    }
    let parameter = |wanted: &str| {
        let found = schema.parameters.iter().find(|(name, _)| *name == wanted);
        found.and_then(|(_, value)| value.parse::<i64>().ok())
    };
    let precision = parameter(DECIMAL_PRECISION).unwrap_or(DECIMAL_PRECISION_DEFAULT);
    let scale = parameter(DECIMAL_SCALE)?;
    (0..=precision).contains(&scale).then_some((precision, scale))
}

/// Avro writes the default of bytes as a string of the characters U+0000 to U+00FF.
fn literal(literal: &Literal) -> Json {
    match literal {
        Literal::Bool(value) => json!(value),
        Literal::Int(value) => json!(value),
        // Through the shortest text, or the double would show digits that the float has not.
        Literal::Float32(value) => json!(value.to_string().parse::<f64>().unwrap_or_default()),
        Literal::Float64(value) => json!(value),
        Literal::Text(value) => json!(value),
        Literal::Bytes(value) => json!(value.iter().map(|b| char::from(*b)).collect::<String>()),
    }
}
