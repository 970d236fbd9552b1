//! The same without a registry: JSON that carries its Connect schema.

use mongodb::bson::doc;
use serde_json::{Value, json};

use super::super::source::setup;
use crate::support::mongodb::{Mongo, block};
use crate::support::unique;

/// Names, types and names of types of a Connect struct.
fn shape(schema: &Value) -> String {
    let field = |field: &Value| {
        let name = field["field"].as_str().unwrap();
        let kind = match field["type"].as_str().unwrap() {
            "struct" => format!("{{{}}} {}", shape(field), last(&field["name"])),
            "array" if field["items"]["type"] == "struct" => {
                format!("[{{{}}}]", shape(&field["items"]))
            }
            "array" => format!("[{}]", field["items"]["type"].as_str().unwrap()),
            other if field["name"].is_string() => format!("{other} {}", last(&field["name"])),
            other => other.to_owned(),
        };
        assert_eq!(field["optional"], true, "{name}");
        format!("{name} {kind}")
    };
    let fields = schema["fields"].as_array().unwrap();
    fields.iter().map(field).collect::<Vec<_>>().join(", ")
}

fn last(name: &Value) -> &str {
    name.as_str().unwrap().rsplit('.').next().unwrap()
}

#[test]
fn json_with_schemas_has_the_same_records_and_a_restart_the_same_order() {
    let mongo = Mongo::shared();
    let database = unique("structured_json").replace('-', "_");
    let all = mongo.collection(&database, "c");
    let mut setup = setup(mongo, &database);
    setup
        .set("source.mongodb.documents", "structured")
        .set("format", json!({ "json": { "schemas": true } }));
    block(all.insert_one(
        doc! { "_id": "x", "z": 1, "a-b": { "c d": [0.5] }, "list": [{ "n": 1 }], "at": null },
    ))
    .unwrap();
    let lines = setup.catch_up().lines();
    let row = |line: &Value| line["value"]["schema"]["fields"][1].clone();
    assert_eq!(
        shape(&row(&lines[0])),
        "_id string, z int32, a-b {c d [double]} a-b, list [{n int32}]"
    );
    assert_eq!(
        lines[0]["value"]["payload"]["after"],
        json!({ "_id": "x", "z": 1, "a-b": { "c d": [0.5] }, "list": [{ "n": 1 }] })
    );
    block(all.insert_one(doc! { "a-b": 1, "z": 2, "_id": "y", "new": true })).unwrap();
    let lines = setup.catch_up().lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        shape(&row(&lines[0])),
        "_id string, z int32, a-b {c d [double]} a-b, list [{n int32}], __rest string Json, \
         new boolean"
    );
    assert_eq!(
        lines[0]["value"]["payload"]["after"],
        json!({
            "_id": "y", "z": 2, "a-b": null, "list": null, "__rest": "{\"a-b\": 1}", "new": true,
        })
    );
}
