//! The first field in which two Avro schemas differ, for an operator who was told only that they
//! are incompatible. No judge of compatibility: that is the registry's.

use std::fmt;

use serde_json::Value;

/// Records nest as deep as envelopes do; anything deeper is left uncompared.
const DEPTH_MAX: usize = 32;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Dotted path of the field; empty for the schema itself.
    pub(super) field: String,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Added { with_default: bool },
    Removed,
    Type { before: String, now: String },
    Default { before: String, now: String },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = &self.field;
        match &self.kind {
            Kind::Added { with_default: true } => write!(f, "field `{field}` is new"),
            Kind::Added { with_default: false } => {
                write!(f, "field `{field}` is new and has no default")
            }
            Kind::Removed => write!(f, "field `{field}` is gone"),
            Kind::Type { before, now } => {
                write!(f, "field `{field}` was {before} and is {now}")
            }
            Kind::Default { before, now } => {
                write!(f, "the default of field `{field}` was {before} and is {now}")
            }
        }
    }
}

pub(super) fn first_difference(before: &Value, now: &Value) -> Option<Difference> {
    compare(before, now, "", 0)
}

fn compare(before: &Value, now: &Value, path: &str, depth: usize) -> Option<Difference> {
    if before == now || depth > DEPTH_MAX {
        return None;
    }
    if let (Some(old), Some(new)) = (record(before), record(now)) {
        return compare_fields(old, new, path, depth);
    }
    if let (Value::Array(old), Value::Array(new)) = (before, now)
        && old.len() == new.len()
        && let Some(found) =
            old.iter().zip(new).find_map(|(old, new)| compare(old, new, path, depth + 1))
    {
        return Some(found);
    }
    let kind = Kind::Type { before: brief(before), now: brief(now) };
    Some(Difference { field: path.to_owned(), kind })
}

fn compare_fields(old: &[Value], new: &[Value], path: &str, depth: usize) -> Option<Difference> {
    for before in old {
        let field = below(path, before);
        let Some(now) = new.iter().find(|field| field["name"] == before["name"]) else {
            return Some(Difference { field, kind: Kind::Removed });
        };
        if let Some(found) = compare(&before["type"], &now["type"], &field, depth + 1) {
            return Some(found);
        }
        if before.get("default") != now.get("default") {
            let text = |field: &Value| field.get("default").map_or("none".to_owned(), brief);
            let kind = Kind::Default { before: text(before), now: text(now) };
            return Some(Difference { field, kind });
        }
    }
    let added = new.iter().find(|field| !old.iter().any(|b| b["name"] == field["name"]))?;
    let kind = Kind::Added { with_default: added.get("default").is_some() };
    Some(Difference { field: below(path, added), kind })
}

fn record(schema: &Value) -> Option<&[Value]> {
    (schema["type"] == "record").then(|| schema["fields"].as_array().map(Vec::as_slice))?
}

fn below(path: &str, field: &Value) -> String {
    let name = field["name"].as_str().unwrap_or("?");
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A type in a few words: its name, logical or Connect name, not its whole definition.
fn brief(schema: &Value) -> String {
    match schema {
        Value::Array(branches) => {
            let branches: Vec<_> = branches.iter().map(brief).collect();
            format!("[{}]", branches.join(", "))
        }
        Value::Object(object) => {
            let named = ["connect.name", "logicalType", "name", "type"];
            let name = named.iter().find_map(|key| object.get(*key)?.as_str());
            name.unwrap_or("a type").to_owned()
        }
        Value::String(text) => text.clone(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn envelope(fields: Value) -> Value {
        let row = json!({ "type": "record", "name": "Value", "fields": fields });
        json!({ "type": "record", "name": "Envelope", "fields": [
            { "name": "before", "type": ["null", row], "default": null },
            { "name": "after", "type": ["null", "Value"], "default": null },
        ] })
    }

    fn check(before: Value, now: Value, expected: &str) {
        let found = first_difference(&envelope(before), &envelope(now)).unwrap();
        assert_eq!(found.to_string(), expected);
    }

    #[test]
    fn the_column_that_changed_is_named_within_the_envelope() {
        check(
            json!([{ "name": "price", "type": "int" }]),
            json!([{ "name": "price", "type": "string" }]),
            "field `before.price` was int and is string",
        );
        check(
            json!([{ "name": "price", "type": "int" }]),
            json!([{ "name": "price", "type": "int" }, { "name": "tax", "type": "int" }]),
            "field `before.tax` is new and has no default",
        );
        check(
            json!([{ "name": "a", "type": "int" }, { "name": "b", "type": "int" }]),
            json!([{ "name": "b", "type": "int" }]),
            "field `before.a` is gone",
        );
        check(
            json!([{ "name": "a", "type": ["null", "int"], "default": null }]),
            json!([{ "name": "a", "type": "int" }]),
            "field `before.a` was [null, int] and is int",
        );
        check(
            json!([{ "name": "a", "type": "int", "default": 1 }]),
            json!([{ "name": "a", "type": "int" }]),
            "the default of field `before.a` was 1 and is none",
        );
    }

    #[test]
    fn equal_schemas_and_foreign_json_differ_in_nothing_or_as_a_whole() {
        let schema = envelope(json!([]));
        assert_eq!(first_difference(&schema, &schema), None);
        let found = first_difference(&json!("string"), &json!({ "type": "int" })).unwrap();
        assert_eq!(found.kind, Kind::Type { before: "string".to_owned(), now: "int".to_owned() });
    }
}
