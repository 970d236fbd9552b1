//! A Connect schema as `JsonConverter` writes it into the `schema` member of a record.

use super::connect::{ConnectSchema, Kind, Literal};
use super::jackson;

/// The text, in `JsonConverter.asJsonSchema`'s order of members.
#[must_use]
pub fn to_json_schema(schema: &ConnectSchema) -> Vec<u8> {
    let mut out = Vec::new();
    write_schema(&mut out, schema, None);
    out
}

fn write_schema(out: &mut Vec<u8>, schema: &ConnectSchema, field: Option<&str>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(type_name(&schema.kind).as_bytes());
    out.push(b'"');
    match &schema.kind {
        Kind::Struct(fields) => {
            out.extend_from_slice(b",\"fields\":[");
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_schema(out, &field.schema, Some(&field.name));
            }
            out.push(b']');
        }
        Kind::Array(items) => {
            out.extend_from_slice(b",\"items\":");
            write_schema(out, items, None);
        }
        Kind::Map(values) => {
            out.extend_from_slice(b",\"keys\":");
            write_schema(out, &ConnectSchema::new(Kind::String), None);
            out.extend_from_slice(b",\"values\":");
            write_schema(out, values, None);
        }
        Kind::Boolean
        | Kind::Int16
        | Kind::Int32
        | Kind::Int64
        | Kind::Float32
        | Kind::Float64
        | Kind::String
        | Kind::Bytes => {}
    }
    let optional: &[u8] =
        if schema.optional { b",\"optional\":true" } else { b",\"optional\":false" };
    out.extend_from_slice(optional);
    write_attributes(out, schema);
    if let Some(field) = field {
        out.extend_from_slice(b",\"field\":");
        jackson::write_string(out, field);
    }
    out.push(b'}');
}

fn write_attributes(out: &mut Vec<u8>, schema: &ConnectSchema) {
    if let Some(name) = &schema.name {
        out.extend_from_slice(b",\"name\":");
        jackson::write_string(out, name);
    }
    if let Some(version) = schema.version {
        out.extend_from_slice(b",\"version\":");
        jackson::write_int(out, i64::from(version));
    }
    if let Some(doc) = schema.doc {
        out.extend_from_slice(b",\"doc\":");
        jackson::write_string(out, doc);
    }
    if !schema.parameters.is_empty() {
        out.extend_from_slice(b",\"parameters\":{");
        for (index, (name, value)) in schema.parameters.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            jackson::write_string(out, name);
            out.push(b':');
            jackson::write_string(out, value);
        }
        out.push(b'}');
    }
    if let Some(default) = &schema.default {
        out.extend_from_slice(b",\"default\":");
        write_literal(out, default);
    }
}

fn write_literal(out: &mut Vec<u8>, literal: &Literal) {
    match literal {
        Literal::Bool(true) => out.extend_from_slice(b"true"),
        Literal::Bool(false) => out.extend_from_slice(b"false"),
        Literal::Int(value) => jackson::write_int(out, *value),
        Literal::Float32(value) => jackson::write_float32(out, *value),
        Literal::Float64(value) => jackson::write_float64(out, *value),
        Literal::Text(value) => jackson::write_string(out, value),
        Literal::Bytes(value) => jackson::write_base64(out, value),
    }
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Int16 => "int16",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Float32 => "float",
        Kind::Float64 => "double",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Array(_) => "array",
        Kind::Map(_) => "map",
        Kind::Struct(_) => "struct",
    }
}
