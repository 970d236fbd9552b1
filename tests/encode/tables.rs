//! Golden schemas read back into tables.

use std::sync::Arc;

use serde_json::Value as Json;
use tailwater::schema::{
    Column, ColumnType, Shape, SourceField, SourceFieldKind, SourceFieldValue, SourceLayout, Table,
    TableVersion,
};
use tailwater::value::OwnedValue;

use super::values::{Values, owned};

/// The source block of PostgreSQL. What is the same for all rows of a table is a constant, the
/// rest are the slots, in this order.
pub(crate) const SLOTS: [&str; 10] = [
    "ts_ms",
    "snapshot",
    "sequence",
    "ts_us",
    "ts_ns",
    "txId",
    "lsn",
    "xmin",
    "origin",
    "origin_lsn",
];

/// The table whose records have this value schema (in Connect's form) and that key schema.
pub(crate) fn table(
    version: u32,
    value_schema: &Json,
    key_schema: Option<&Json>,
    source: &Json,
) -> Arc<Table> {
    let field = |name: &str| {
        let fields = value_schema["fields"].as_array().unwrap();
        fields.iter().find(|field| field["field"] == name)
    };
    let (shape, row) = match field("message") {
        Some(message) => (Shape::Messages, message),
        None => (Shape::Rows, field("after").unwrap()),
    };
    let columns: Vec<Column> = row["fields"].as_array().unwrap().iter().map(column).collect();
    let key = key_schema.map_or(&[][..], |schema| schema["fields"].as_array().unwrap());
    let key = key.iter().map(|key| columns.iter().position(|c| key["field"] == *c.name).unwrap());
    let text = |name: &str| source[name].as_str().unwrap().to_owned();
    Arc::new(Table {
        version: TableVersion(version),
        shape,
        path: match shape {
            Shape::Rows => vec![text("schema"), text("table")],
            Shape::Messages => vec!["message".to_owned()],
        },
        key: key.collect(),
        columns,
        source: Arc::new(source_layout(field("source").unwrap(), source)),
    })
}

fn source_layout(schema: &Json, source: &Json) -> SourceLayout {
    const NAMES: [&str; 16] = [
        "version",
        "connector",
        "name",
        "ts_ms",
        "snapshot",
        "db",
        "sequence",
        "ts_us",
        "ts_ns",
        "schema",
        "table",
        "txId",
        "lsn",
        "xmin",
        "origin",
        "origin_lsn",
    ];
    let fields = schema["fields"].as_array().unwrap();
    assert_eq!(fields.len(), NAMES.len());
    let fields = NAMES.iter().zip(fields).map(|(name, field)| SourceField {
        name,
        kind: match field["type"].as_str().unwrap() {
            _ if *name == "snapshot" => SourceFieldKind::Snapshot,
            "int64" => SourceFieldKind::Int64,
            "string" => SourceFieldKind::String,
            other => panic!("a source field of type {other}"),
        },
        optional: field["optional"].as_bool().unwrap(),
        value: match SLOTS.iter().position(|slot| slot == name) {
            Some(slot) => SourceFieldValue::Slot(slot),
            None => SourceFieldValue::Constant(OwnedValue::Text(
                source[*name].as_str().unwrap().to_owned(),
            )),
        },
    });
    SourceLayout { name: schema["name"].as_str().unwrap().to_owned(), fields: fields.collect() }
}

fn column(field: &Json) -> Column {
    let name = field["field"].as_str().unwrap();
    let data_type = column_type(name, field);
    let arena = bumpalo::Bump::new();
    let default =
        field.get("default").map(|json| owned(Values { arena: &arena }.value(&data_type, json)));
    Column {
        name: name.to_owned(),
        optional: field["optional"].as_bool().unwrap(),
        data_type,
        default,
    }
}

fn column_type(name: &str, schema: &Json) -> ColumnType {
    let parameter = |name: &str| schema["parameters"][name].as_str();
    let number = |name: &str| parameter(name).map(|text| text.parse::<u32>().unwrap());
    // The precision of a timestamp with zone is not in its schema.
    let digits = match name {
        "tz0" => 0,
        "tz3" => 3,
        _ => 6,
    };
    match (schema["type"].as_str().unwrap(), schema.get("name").and_then(Json::as_str)) {
        ("boolean", None) => ColumnType::Bool,
        ("int16", None) => ColumnType::Int16,
        ("int32", None) => ColumnType::Int32,
        ("int64", None) => ColumnType::Int64,
        ("float", None) => ColumnType::Float32,
        ("double", None) => ColumnType::Float64,
        ("string", None) => ColumnType::Text,
        ("bytes", None) => ColumnType::Bytes,
        ("array", None) => ColumnType::Array(Box::new(column_type(name, &schema["items"]))),
        ("bytes", Some("org.apache.kafka.connect.data.Decimal")) => {
            let scale = parameter("scale").unwrap().parse().unwrap();
            match number("connect.decimal.precision") {
                Some(precision) => ColumnType::Decimal { precision, scale },
                None => ColumnType::Money { scale },
            }
        }
        ("bytes", Some("io.debezium.data.Bits")) => {
            ColumnType::Bits { length: number("length").unwrap() }
        }
        ("string", Some("io.debezium.data.Enum")) => {
            let labels = parameter("allowed").unwrap().split(',').map(str::to_owned);
            ColumnType::Enum { labels: labels.collect() }
        }
        (_, Some("io.debezium.data.VariableScaleDecimal")) => ColumnType::VariableDecimal,
        (_, Some("io.debezium.data.geometry.Point")) => ColumnType::Point,
        (_, Some("io.debezium.data.Json")) => ColumnType::Json,
        (_, Some("io.debezium.data.Xml")) => ColumnType::Xml,
        (_, Some("io.debezium.data.Uuid")) => ColumnType::Uuid,
        (_, Some("io.debezium.data.Ltree")) => ColumnType::Ltree,
        (_, Some("io.debezium.data.Tsvector")) => ColumnType::TsVector,
        (_, Some("io.debezium.time.Date")) => ColumnType::Date,
        (_, Some("io.debezium.time.Time")) => ColumnType::Time { precision: 3 },
        (_, Some("io.debezium.time.MicroTime")) => ColumnType::Time { precision: 6 },
        (_, Some("io.debezium.time.ZonedTime")) => ColumnType::TimeTz { precision: 6 },
        (_, Some("io.debezium.time.Timestamp")) => ColumnType::Timestamp { precision: 3 },
        (_, Some("io.debezium.time.MicroTimestamp")) => ColumnType::Timestamp { precision: 6 },
        (_, Some("io.debezium.time.ZonedTimestamp")) => {
            ColumnType::TimestampTz { precision: digits }
        }
        (_, Some("io.debezium.time.MicroDuration")) => ColumnType::Interval,
        other => panic!("column {name} has the unknown schema {other:?}"),
    }
}
