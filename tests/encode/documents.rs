//! The envelope of documents where the golden files have nothing to show: arrays that were cut,
//! descriptions without parts, images before. Avro is read back by a reader that is not ours, and
//! must say what JSON says.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tailwater::change::{Before, Change, EventId, Op};
use tailwater::encode::{EncodeError, EncodeOptions, Encoder, Format};
use tailwater::record::{RecordBatch, Topics};
use tailwater::schema::{
    Column, ColumnType, Shape, SourceField, SourceFieldKind, SourceFieldValue, SourceLayout, Table,
    TableVersion,
};
use tailwater::value::{OwnedValue, TruncatedArray, UpdateDescription, Value};

use super::avro;
use super::registry::Registry;

fn table() -> Arc<Table> {
    let column = |name: &str, data_type, optional| Column {
        name: name.to_owned(),
        data_type,
        optional,
        default: None,
    };
    let version = SourceField {
        name: "version",
        kind: SourceFieldKind::String,
        optional: false,
        value: SourceFieldValue::Constant(OwnedValue::Text("0".to_owned())),
    };
    let name = "io.debezium.connector.mongo.Source".to_owned();
    Arc::new(Table {
        version: TableVersion(0),
        shape: Shape::Documents,
        path: vec!["shop".to_owned(), "orders".to_owned()],
        columns: vec![
            column("id", ColumnType::Text, false),
            column("document", ColumnType::Json, true),
            column("updateDescription", ColumnType::UpdateDescription, true),
        ],
        key: vec![0],
        source: Arc::new(SourceLayout { name, fields: vec![version] }),
    })
}

fn encode(format: Format, change: &Change<'_>) -> Result<(RecordBatch, Registry), EncodeError> {
    let registry = Registry::default();
    let options = EncodeOptions {
        topic_prefix: "p".to_owned(),
        format,
        connector: "mongodb",
        values: tailwater::config::ValueModes::default(),
        tombstones: true,
        id_header: false,
        context_headers: false,
        transaction_topic: None,
    };
    let mut encoder =
        Encoder::new(options, Arc::new(Topics::default()), Box::new(registry.clone()));
    let mut batch = RecordBatch::default();
    encoder.encode(change, 1_700_000_000_123_456_789, &mut batch)?;
    Ok((batch, registry))
}

type Row<'a> = [Value<'a>; 3];

/// Both formats must say this, in this order; behind a delete comes a tombstone.
#[track_caller]
fn check(op: Op, before: Option<&Row<'_>>, after: Option<&Row<'_>>, images: &Json) {
    let table = table();
    let change = Change {
        table: &table,
        op,
        before: before.map(|row| Before::Whole(row)),
        after: after.map(|row| &row[..]),
        source: &[],
        id: EventId { transaction: "t", ordinal: 0 },
        transaction: None,
        raw: &[],
    };
    let mut expected = images.clone();
    let rest = json!({
        "source": { "version": "0" }, "op": op.code(), "ts_ms": 1_700_000_000_123_i64,
        "transaction": null,
    });
    expected.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());

    let (batch, _) = encode(Format::Json { schemas: false }, &change).unwrap();
    let json = |bytes: &[u8]| serde_json::from_slice::<Json>(bytes).unwrap().to_string();
    assert_eq!(json(batch.value(&batch.records[0]).unwrap()), expected.to_string());
    assert_eq!(json(batch.key(&batch.records[0]).unwrap()), r#"{"id":"7"}"#);

    let (batch, registry) = encode(Format::Avro, &change).unwrap();
    let value = batch.value(&batch.records[0]).unwrap();
    let (_, schema) = registry.schema(u32::from_be_bytes(value[1..5].try_into().unwrap()));
    assert_eq!(avro::read(&schema, &value[5..]).to_string(), expected.to_string());

    let has_tombstone = batch.records.get(1).is_some_and(|record| record.value.is_none());
    assert_eq!(
        (batch.records.len(), has_tombstone),
        if op == Op::Delete { (2, true) } else { (1, false) }
    );
}

const ID: Value<'static> = Value::Text("7");

#[test]
fn an_updates_description_has_all_its_parts() {
    let truncated =
        [TruncatedArray { field: "a.b", new_size: 3 }, TruncatedArray { field: "c", new_size: 0 }];
    let update = UpdateDescription {
        removed: &["x", "y \"z\""],
        updated: Some("{\"v\": 1}"),
        truncated: &truncated,
    };
    check(
        Op::Update,
        Some(&[ID, Value::Text("{\"_id\": 7}"), Value::Null]),
        Some(&[ID, Value::Text("{\"_id\": 7,\"v\": 1}"), Value::UpdateDescription(&update)]),
        &json!({
            "before": "{\"_id\": 7}", "after": "{\"_id\": 7,\"v\": 1}",
            "updateDescription": {
                "removedFields": ["x", "y \"z\""], "updatedFields": "{\"v\": 1}",
                "truncatedArrays": [{ "field": "a.b", "size": 3 }, { "field": "c", "size": 0 }],
            },
        }),
    );
}

#[test]
fn parts_that_are_not_there_are_null() {
    let update = UpdateDescription { removed: &[], updated: None, truncated: &[] };
    let empty = json!({ "removedFields": null, "updatedFields": null, "truncatedArrays": null });
    check(
        Op::Update,
        None,
        Some(&[ID, Value::Null, Value::UpdateDescription(&update)]),
        &json!({ "before": null, "after": null, "updateDescription": empty }),
    );
    check(
        Op::Read,
        None,
        Some(&[ID, Value::Text("{}"), Value::Null]),
        &json!({ "before": null, "after": "{}", "updateDescription": null }),
    );
}

#[test]
fn a_delete_may_show_what_was_deleted() {
    for (document, shown) in [(Value::Null, Json::Null), (Value::Text("{}"), json!("{}"))] {
        check(
            Op::Delete,
            Some(&[ID, document, Value::Null]),
            None,
            &json!({ "before": shown, "after": null, "updateDescription": null }),
        );
    }
}

#[test]
fn what_documents_have_no_place_for_is_refused() {
    let table = table();
    let row = [ID, Value::Null, Value::Null];
    let id = EventId { transaction: "t", ordinal: 0 };
    let change = |op, before, after| {
        let change = Change {
            table: &table,
            op,
            before,
            after,
            source: &[],
            id,
            transaction: None,
            raw: &[],
        };
        encode(Format::Avro, &change).err().map(|error| error.to_string())
    };
    assert!(change(Op::Truncate, None, None).unwrap().contains("operation t of shop.orders"));
    assert!(change(Op::Message, None, Some(&row[..])).unwrap().contains("operation m"));
    assert!(change(Op::Delete, None, None).unwrap().contains("no old row"));
    assert!(change(Op::Update, None, None).unwrap().contains("no new row"));
    let number = [Value::Int(7), Value::Null, Value::Null];
    assert!(change(Op::Read, None, Some(&number[..])).unwrap().contains("not text"));
}
