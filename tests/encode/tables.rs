//! Golden schemas read back into tables.

use std::sync::Arc;

use serde_json::Value as Json;
use tailwater::schema::{
    Column, ColumnType, Shape, SourceField, SourceFieldKind, SourceFieldValue, SourceLayout, Table,
    TableVersion,
};
use tailwater::value::OwnedValue;

use super::values::{Values, owned};

/// Fields of source blocks that are the same for all rows of a table.
const CONSTANTS: [&str; 6] = ["version", "connector", "name", "db", "schema", "table"];

/// Fields of source blocks that differ from row to row.
const SLOTS: [&str; 17] = [
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
    "server_id",
    "gtid",
    "file",
    "pos",
    "row",
    "thread",
    "query",
];

/// The names of a layout's slots, in their order.
pub(crate) fn slots(layout: &SourceLayout) -> impl Iterator<Item = &'static str> {
    let slots = layout.fields.iter().filter(|f| matches!(f.value, SourceFieldValue::Slot(_)));
    slots.map(|field| field.name)
}

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
            // MySQL has no schemas.
            Shape::Rows if source.get("schema").is_none() => vec![text("db"), text("table")],
            Shape::Rows => vec![text("schema"), text("table")],
            Shape::Messages => vec!["message".to_owned()],
            Shape::Documents => vec![text("db"), text("collection")],
        },
        key: key.collect(),
        columns,
        source: Arc::new(source_layout(field("source").unwrap(), source)),
    })
}

fn source_layout(schema: &Json, source: &Json) -> SourceLayout {
    let mut n_slots = 0;
    let fields = schema["fields"].as_array().unwrap().iter().map(|field| {
        let name = field["field"].as_str().unwrap();
        let constant = CONSTANTS.iter().find(|known| **known == name);
        let name = constant.or_else(|| SLOTS.iter().find(|known| **known == name)).unwrap();
        SourceField {
            name,
            kind: match field["type"].as_str().unwrap() {
                _ if *name == "snapshot" => SourceFieldKind::Snapshot,
                "int32" => SourceFieldKind::Int32,
                "int64" => SourceFieldKind::Int64,
                "string" => SourceFieldKind::String,
                other => panic!("a source field of type {other}"),
            },
            optional: field["optional"].as_bool().unwrap(),
            value: if constant.is_some() {
                let text = source[*name].as_str().unwrap().to_owned();
                SourceFieldValue::Constant(OwnedValue::Text(text))
            } else {
                n_slots += 1;
                SourceFieldValue::Slot(n_slots - 1)
            },
        }
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
        "tz0" | "ts" | "tsn" | "tsu" => 0,
        "tz3" | "ts3" => 3,
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
        ("string", Some("io.debezium.data.EnumSet")) => {
            let labels = parameter("allowed").unwrap().split(',').map(str::to_owned);
            ColumnType::EnumSet { labels: labels.collect() }
        }
        (_, Some("io.debezium.data.FloatVector")) => ColumnType::FloatVector,
        (_, Some("io.debezium.data.geometry.Geometry")) => ColumnType::Geometry,
        (_, Some("io.debezium.time.Year")) => ColumnType::Year,
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
