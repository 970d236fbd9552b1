//! Debezium's schemas of a table's records: key, value, envelope; by the modes that the operator
//! chose for values (`JdbcValueConverters.schemaBuilder` and its heirs).
//!
//! Defaults come in converted, because conversion belongs to the encoder above.

use super::avro::{
    CONNECT_DATE, CONNECT_TIME, CONNECT_TIMESTAMP, DECIMAL, DECIMAL_PRECISION, DECIMAL_SCALE,
};
use super::connect::{ConnectSchema, Field, Kind, Literal};
use super::names::NameAdjustment;
use super::transaction::block_schema;
use super::{ColumnType, Shape, SourceFieldKind, SourceLayout, StructField, Table};
use crate::config::{
    BigintUnsignedMode, BinaryMode, DecimalMode, HstoreMode, IntervalMode, TimeMode, ValueModes,
};

/// `io.debezium.data.Envelope.SCHEMA_VERSION`.
const ENVELOPE_VERSION: u32 = 2;
/// `AbstractSourceInfo`'s snapshot markers (`SnapshotRecord`), in its order.
const SNAPSHOT_MARKERS: &str =
    "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental";
/// The marker of a streamed row, and the schema's default.
pub(crate) const SNAPSHOT_DEFAULT: &str = "false";

/// Columns of [`Shape::Documents`], and the first one behind the key.
const DOCUMENT_COLUMNS: usize = 3;
pub(crate) const DOCUMENT: usize = 1;

/// The schemas of a table's records.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordSchemas {
    /// `None` for a table without key.
    pub key: Option<ConnectSchema>,
    pub value: ConnectSchema,
}

/// `topic` is the data topic's name, from which Debezium derives the names of the schemas;
/// `defaults` are the columns' defaults, in their order.
#[must_use]
pub fn record_schemas(
    table: &Table,
    topic: &str,
    names: NameAdjustment,
    modes: &ValueModes,
    defaults: &[Option<Literal>],
) -> RecordSchemas {
    let fields = table.columns.iter().zip(defaults).map(|(column, default)| {
        let mut schema = column_schema(&column.data_type, modes);
        schema.optional = column.optional;
        schema.default.clone_from(default);
        Field::new(names.field_name(&column.name), schema)
    });
    let fields: Vec<Field> = fields.collect();
    match table.shape {
        Shape::Rows => rows(table, &names.schema_name(topic), fields),
        Shape::Messages => messages(table, fields),
        Shape::Documents => documents(table, &names.schema_name(topic), names, fields),
    }
}

fn rows(table: &Table, prefix: &str, fields: Vec<Field>) -> RecordSchemas {
    let key_fields: Vec<Field> = table.key.iter().map(|index| fields[*index].clone()).collect();
    let key = (!key_fields.is_empty())
        .then(|| ConnectSchema::record(format!("{prefix}.Key"), key_fields));
    let row = ConnectSchema::record(format!("{prefix}.Value"), fields).optional();
    let envelope = vec![
        Field::new("before", row.clone()),
        Field::new("after", row),
        Field::new("source", source_schema(&table.source)),
        Field::new("transaction", block_schema()),
        Field::new("op", ConnectSchema::new(Kind::String)),
        Field::new("ts_ms", ConnectSchema::new(Kind::Int64).optional()),
        Field::new("ts_us", ConnectSchema::new(Kind::Int64).optional()),
        Field::new("ts_ns", ConnectSchema::new(Kind::Int64).optional()),
    ];
    let value = ConnectSchema::record(format!("{prefix}.Envelope"), envelope);
    RecordSchemas { key, value: value.versioned(ENVELOPE_VERSION) }
}

/// `LogicalDecodingMessageMonitor`: names beside the source block's, whatever the topic.
fn messages(table: &Table, fields: Vec<Field>) -> RecordSchemas {
    let source_name = table.source.name.as_str();
    let namespace = source_name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
    let record = |name: &str, fields| {
        ConnectSchema::record(format!("{namespace}.{name}"), fields).versioned(1)
    };
    let key = record("MessageKey", fields.first().cloned().into_iter().collect());
    let value = vec![
        Field::new("op", ConnectSchema::new(Kind::String)),
        Field::new("ts_ms", ConnectSchema::new(Kind::Int64).optional()),
        Field::new("source", source_schema(&table.source)),
        Field::new("transaction", block_schema()),
        Field::new("message", record("Message", fields)),
    ];
    RecordSchemas { key: Some(key), value: record("MessageValue", value) }
}

/// `MongoDbSchema`: no version, no microseconds, and `op` may be null. `before` and `after` are of
/// the document's schema, whatever that is.
fn documents(
    table: &Table,
    prefix: &str,
    names: NameAdjustment,
    fields: Vec<Field>,
) -> RecordSchemas {
    let key_fields: Vec<Field> = table.key.iter().map(|index| fields[*index].clone()).collect();
    let key = ConnectSchema::record(format!("{prefix}.Key"), key_fields);
    let [_, mut document, update]: [Field; DOCUMENT_COLUMNS] =
        fields.try_into().expect("a table of documents has three columns");
    if matches!(document.schema.kind, Kind::Struct(_)) {
        name_records(&mut document.schema, &format!("{prefix}.Value"), names);
    }
    let envelope = vec![
        Field::new("before", document.schema.clone()),
        Field::new("after", document.schema),
        Field::new("updateDescription", update.schema),
        Field::new("source", source_schema(&table.source)),
        Field::new("op", ConnectSchema::new(Kind::String).optional()),
        Field::new("ts_ms", ConnectSchema::new(Kind::Int64).optional()),
        Field::new("transaction", block_schema()),
    ];
    let value = ConnectSchema::record(format!("{prefix}.Envelope"), envelope);
    RecordSchemas { key: Some(key), value }
}

pub(super) fn source_schema(layout: &SourceLayout) -> ConnectSchema {
    let fields = layout.fields.iter().map(|field| {
        let mut schema = match field.kind {
            SourceFieldKind::Int32 => ConnectSchema::new(Kind::Int32),
            SourceFieldKind::Int64 => ConnectSchema::new(Kind::Int64),
            SourceFieldKind::String => ConnectSchema::new(Kind::String),
            SourceFieldKind::Snapshot => {
                ConnectSchema::semantic(Kind::String, "io.debezium.data.Enum")
                    .parameter("allowed", SNAPSHOT_MARKERS)
            }
        };
        schema.optional = field.optional;
        if field.kind == SourceFieldKind::Snapshot {
            schema.default = Some(Literal::Text(SNAPSHOT_DEFAULT.to_owned()));
        }
        Field::new(field.name, schema)
    });
    ConnectSchema::record(layout.name.as_str(), fields.collect()).versioned(1)
}

/// The schema of a column of this type, required and without default.
#[must_use]
pub fn column_schema(data_type: &ColumnType, modes: &ValueModes) -> ConnectSchema {
    use ConnectSchema as Schema;
    let text = |name| Schema::semantic(Kind::String, name);
    match data_type {
        ColumnType::Bool => Schema::new(Kind::Boolean),
        ColumnType::Int16 => Schema::new(Kind::Int16),
        ColumnType::Int32 => Schema::new(Kind::Int32),
        ColumnType::Int64 => Schema::new(Kind::Int64),
        ColumnType::UInt64 => match modes.bigint_unsigned {
            // Above 2^63 the number comes out negative.
            BigintUnsignedMode::Long => Schema::new(Kind::Int64),
            BigintUnsignedMode::Precise => decimal_schema(0),
        },
        ColumnType::Float32 => Schema::new(Kind::Float32),
        ColumnType::Float64 => Schema::new(Kind::Float64),
        ColumnType::Decimal { .. } | ColumnType::Money { .. } | ColumnType::VariableDecimal => {
            number_schema(data_type, modes.decimal)
        }
        ColumnType::Text => Schema::new(Kind::String),
        ColumnType::Bytes => match modes.binary {
            BinaryMode::Bytes => Schema::new(Kind::Bytes),
            BinaryMode::Base64 | BinaryMode::Base64UrlSafe | BinaryMode::Hex => {
                Schema::new(Kind::String)
            }
        },
        ColumnType::Bits { length } => Schema::semantic(Kind::Bytes, "io.debezium.data.Bits")
            .parameter("length", length.to_string()),
        ColumnType::Hstore if modes.hstore == HstoreMode::Map => {
            Schema::new(Kind::Map(Box::new(Schema::new(Kind::String).optional())))
        }
        ColumnType::Json | ColumnType::Hstore => text("io.debezium.data.Json"),
        ColumnType::Xml => text("io.debezium.data.Xml"),
        ColumnType::Uuid => text("io.debezium.data.Uuid"),
        ColumnType::Ltree => text("io.debezium.data.Ltree"),
        ColumnType::TsVector => text("io.debezium.data.Tsvector"),
        // PostgreSQL's labels with commas are not escaped, so `allowed` is for people.
        ColumnType::Enum { labels } => {
            text("io.debezium.data.Enum").parameter("allowed", labels.join(","))
        }
        ColumnType::EnumSet { labels } => {
            text("io.debezium.data.EnumSet").parameter("allowed", labels.join(","))
        }
        ColumnType::Year => Schema::semantic(Kind::Int32, "io.debezium.time.Year"),
        ColumnType::Date
        | ColumnType::Time { .. }
        | ColumnType::SignedTime { .. }
        | ColumnType::Timestamp { .. } => time_schema(data_type, modes.time),
        ColumnType::TimeTz { .. } => text("io.debezium.time.ZonedTime"),
        ColumnType::TimestampTz { .. } => text("io.debezium.time.ZonedTimestamp"),
        ColumnType::Interval => match modes.interval {
            IntervalMode::Numeric => {
                Schema::semantic(Kind::Int64, "io.debezium.time.MicroDuration")
            }
            IntervalMode::String => text("io.debezium.time.Interval"),
        },
        ColumnType::Point => point_schema(),
        ColumnType::Geometry => geometry_schema(),
        ColumnType::FloatVector => Schema::semantic(
            Kind::Array(Box::new(Schema::new(Kind::Float32))),
            "io.debezium.data.FloatVector",
        ),
        ColumnType::Array(element) => {
            let mut items = column_schema(element, modes);
            items.optional = element_optional(element);
            Schema::new(Kind::Array(Box::new(items)))
        }
        ColumnType::Struct(fields) => struct_schema(fields, modes),
        ColumnType::UpdateDescription => update_description_schema(),
    }
}

/// Its name is its place, which [`name_records`] knows.
fn struct_schema(fields: &[StructField], modes: &ValueModes) -> ConnectSchema {
    let fields = fields.iter().map(|field| {
        Field::new(field.name.as_str(), column_schema(&field.data_type, modes).optional())
    });
    ConnectSchema::new(Kind::Struct(fields.collect()))
}

/// Calls the records of a column by their place, as `MongoDataConverter` does: the name of the record
/// around, a dot, the field.
fn name_records(schema: &mut ConnectSchema, place: &str, names: NameAdjustment) {
    match &mut schema.kind {
        Kind::Struct(fields) if schema.name.is_none() => {
            for field in fields {
                field.name = names.field_name(&field.name);
                name_records(&mut field.schema, &format!("{place}.{}", field.name), names);
            }
            schema.name = Some(place.to_owned());
        }
        Kind::Array(items) => name_records(items, place, names),
        Kind::Struct(_)
        | Kind::Boolean
        | Kind::Int16
        | Kind::Int32
        | Kind::Int64
        | Kind::Float32
        | Kind::Float64
        | Kind::String
        | Kind::Bytes
        | Kind::Map(_) => {}
    }
}

/// Dates and times without zone (`TemporalPrecisionMode`).
fn time_schema(data_type: &ColumnType, mode: TimeMode) -> ConnectSchema {
    let (kind, name) = match (data_type, mode) {
        (ColumnType::Date, TimeMode::Connect) => (Kind::Int32, CONNECT_DATE),
        (ColumnType::Date, TimeMode::Isostring) => (Kind::String, "io.debezium.time.IsoDate"),
        (ColumnType::Date, _) => (Kind::Int32, "io.debezium.time.Date"),
        (ColumnType::Timestamp { .. }, TimeMode::Connect) => (Kind::Int64, CONNECT_TIMESTAMP),
        (ColumnType::Timestamp { .. }, TimeMode::Isostring) => {
            (Kind::String, "io.debezium.time.IsoTimestamp")
        }
        (ColumnType::Timestamp { .. }, TimeMode::Nanoseconds) => {
            (Kind::Int64, "io.debezium.time.NanoTimestamp")
        }
        (
            ColumnType::Timestamp { precision: 0..=3 },
            TimeMode::Adaptive | TimeMode::AdaptiveTimeMicroseconds,
        ) => (Kind::Int64, "io.debezium.time.Timestamp"),
        (ColumnType::Timestamp { .. }, _) => (Kind::Int64, "io.debezium.time.MicroTimestamp"),
        (_, TimeMode::Connect) => (Kind::Int32, CONNECT_TIME),
        (_, TimeMode::Isostring) => (Kind::String, "io.debezium.time.IsoTime"),
        (_, TimeMode::Nanoseconds) => (Kind::Int64, "io.debezium.time.NanoTime"),
        (ColumnType::Time { precision: 0..=3 }, TimeMode::Adaptive) => {
            (Kind::Int32, "io.debezium.time.Time")
        }
        (_, _) => (Kind::Int64, "io.debezium.time.MicroTime"),
    };
    ConnectSchema::semantic(kind, name)
}

fn number_schema(data_type: &ColumnType, mode: DecimalMode) -> ConnectSchema {
    match (mode, data_type) {
        (DecimalMode::String, _) => ConnectSchema::new(Kind::String),
        (DecimalMode::Double, _) => ConnectSchema::new(Kind::Float64),
        (DecimalMode::Precise, ColumnType::Decimal { precision, scale }) => {
            decimal_schema(*scale).parameter(DECIMAL_PRECISION, precision.to_string())
        }
        (DecimalMode::Precise, ColumnType::Money { scale }) => decimal_schema(*scale),
        (DecimalMode::Precise, _) => variable_decimal_schema(),
    }
}

/// Elements of every array may be null, except those of enums, where Debezium forgot it.
#[must_use]
pub fn element_optional(element: &ColumnType) -> bool {
    !matches!(element, ColumnType::Enum { .. })
}

fn decimal_schema(scale: i32) -> ConnectSchema {
    ConnectSchema::semantic(Kind::Bytes, DECIMAL).parameter(DECIMAL_SCALE, scale.to_string())
}

fn variable_decimal_schema() -> ConnectSchema {
    let fields = vec![
        Field::new("scale", ConnectSchema::new(Kind::Int32)),
        Field::new("value", ConnectSchema::new(Kind::Bytes)),
    ];
    ConnectSchema::semantic(Kind::Struct(fields), "io.debezium.data.VariableScaleDecimal")
        .documented("Variable scaled decimal")
}

fn point_schema() -> ConnectSchema {
    let fields = vec![
        Field::new("x", ConnectSchema::new(Kind::Float64)),
        Field::new("y", ConnectSchema::new(Kind::Float64)),
        Field::new("wkb", ConnectSchema::new(Kind::Bytes).optional()),
        Field::new("srid", ConnectSchema::new(Kind::Int32).optional()),
    ];
    ConnectSchema::semantic(Kind::Struct(fields), "io.debezium.data.geometry.Point")
        .documented("Geometry (POINT)")
}

fn geometry_schema() -> ConnectSchema {
    let fields = vec![
        Field::new("wkb", ConnectSchema::new(Kind::Bytes)),
        Field::new("srid", ConnectSchema::new(Kind::Int32).optional()),
    ];
    ConnectSchema::semantic(Kind::Struct(fields), "io.debezium.data.geometry.Geometry")
        .documented("Geometry")
}

/// `MongoDbSchema.UPDATED_DESCRIPTION_SCHEMA`
fn update_description_schema() -> ConnectSchema {
    let truncated = vec![
        Field::new("field", ConnectSchema::new(Kind::String)),
        Field::new("size", ConnectSchema::new(Kind::Int32)),
    ];
    let truncated = ConnectSchema::semantic(
        Kind::Struct(truncated),
        "io.debezium.connector.mongodb.changestream.truncatedarray",
    );
    let array = |items| ConnectSchema::new(Kind::Array(Box::new(items))).optional();
    let fields = vec![
        Field::new("removedFields", array(ConnectSchema::new(Kind::String))),
        Field::new(
            "updatedFields",
            ConnectSchema::semantic(Kind::String, "io.debezium.data.Json").optional(),
        ),
        Field::new("truncatedArrays", array(truncated)),
    ];
    ConnectSchema::semantic(
        Kind::Struct(fields),
        "io.debezium.connector.mongodb.changestream.updatedescription",
    )
}
