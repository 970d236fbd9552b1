//! What is known about the records of a table version before its first row: topic, schemas and
//! their numbers, the order and form of every field.

use super::SchemaIds;
use super::avro::{self, AvroFormat};
use super::codec::Codec;
use super::convert;
use super::encoder::{EncodeError, EncodeOptions, Format};
use super::json::JsonFormat;
use super::row::{RowPlan, SourcePlan};
use super::topics::topic_name;
use crate::config::ValueModes;
use crate::record::{TopicId, TopicRole, Topics};
use crate::schema::avro::to_avro_schema;
use crate::schema::connect::{ConnectSchema, Kind, Literal};
use crate::schema::debezium::{DOCUMENT, RecordSchemas, record_schemas};
use crate::schema::json_schema::to_json_schema;
use crate::schema::names::NameAdjustment;
use crate::schema::{Shape, Table};

/// What stands around a key or a value.
pub(crate) struct Frame {
    pub(crate) prefix: Vec<u8>,
    pub(crate) suffix: &'static [u8],
}

pub(crate) struct KeyPlan {
    pub(crate) row: RowPlan,
    pub(crate) frame: Frame,
    /// Keys in headers are JSON with their schema whatever the format of the records, because
    /// Debezium converts headers with `JsonConverter`.
    pub(crate) header_frame: Frame,
}

pub(crate) struct Plan {
    pub(crate) topic: TopicId,
    pub(crate) key: Option<KeyPlan>,
    pub(crate) row: RowPlan,
    pub(crate) value_frame: Frame,
    pub(crate) source: SourcePlan,
}

/// The name of a table's topic and the schemas of its records.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub topic: String,
    pub schemas: RecordSchemas,
}

/// Topic and schemas of a table, as the encoder will use them.
///
/// # Errors
/// When two columns get the same name in the schema.
pub fn describe(options: &EncodeOptions, table: &Table) -> Result<Description, EncodeError> {
    let names = match options.format {
        Format::Avro => NameAdjustment::Avro,
        Format::Json { .. } => NameAdjustment::None,
    };
    refuse_name_clashes(table, names)?;
    let defaults: Vec<Option<Literal>> = table
        .columns
        .iter()
        .map(|column| {
            let default = column.default.as_ref()?;
            convert::literal(&Codec::of(&column.data_type, &options.values), default.as_value())
        })
        .collect();
    let topic = topic_name(&options.topic_prefix, &table.path);
    let schemas = record_schemas(table, &topic, names, &options.values, &defaults);
    Ok(Description { topic, schemas })
}

/// Two fields of one name would make the record unreadable; Debezium stops here too.
fn refuse_name_clashes(table: &Table, names: NameAdjustment) -> Result<(), EncodeError> {
    let mut seen = std::collections::HashMap::new();
    for column in &table.columns {
        let field = names.field_name(&column.name);
        if let Some(first) = seen.insert(field.clone(), &column.name) {
            return Err(EncodeError::NameClash {
                table: table.path.join("."),
                first: first.clone(),
                second: column.name.clone(),
                field,
            });
        }
    }
    Ok(())
}

impl Plan {
    pub(crate) fn compile(
        options: &EncodeOptions,
        table: &Table,
        topics: &Topics,
        ids: &mut dyn SchemaIds,
    ) -> Result<Self, EncodeError> {
        let Description { topic, schemas } = describe(options, table)?;
        let source = match options.format {
            Format::Avro => SourcePlan::compile::<AvroFormat>(&table.source),
            Format::Json { .. } => SourcePlan::compile::<JsonFormat>(&table.source),
        };
        let source = source.map_err(|misfit| misfit.into_error(table))?;
        let picked = match table.shape {
            Shape::Rows => table.key.clone(),
            // Messages are keyed by their prefix, documents by their id.
            Shape::Messages | Shape::Documents => vec![0],
        };
        let mut frame = |schema: &ConnectSchema, role: &str| {
            Frame::of(options.format, schema, || format!("{topic}-{role}"), ids)
        };
        let key = match &schemas.key {
            None => None,
            Some(schema) => Some(KeyPlan {
                row: RowPlan::compile(&table.columns, &picked, schema.fields(), &options.values),
                frame: frame(schema, "key")?,
                header_frame: Frame::json(schema),
            }),
        };
        let value_frame = frame(&schemas.value, "value")?;
        let row = row_plan(table, &schemas.value, &options.values);
        let role = topic_role(table.shape);
        Ok(Self { topic: topics.intern(&topic, role), key, row, value_frame, source })
    }
}

pub(crate) fn topic_role(shape: Shape) -> TopicRole {
    match shape {
        Shape::Rows | Shape::Documents => TopicRole::Data,
        Shape::Messages => TopicRole::Auxiliary,
    }
}

/// How the columns are written: as the fields of the row's struct, or, of documents, as fields of
/// the envelope itself.
fn row_plan(table: &Table, value: &ConnectSchema, modes: &ValueModes) -> RowPlan {
    let all: Vec<usize> = (0..table.columns.len()).collect();
    let name = match table.shape {
        Shape::Rows => "after",
        Shape::Messages => "message",
        Shape::Documents => {
            let fields = &value.fields()[DOCUMENT..];
            return RowPlan::compile(&table.columns, &all[DOCUMENT..], fields, modes);
        }
    };
    let field = value.fields().iter().find(|field| field.name == name);
    let schema = &field.expect("every envelope has its row").schema;
    assert!(matches!(schema.kind, Kind::Struct(_)), "a row is a struct");
    RowPlan::compile(&table.columns, &all, schema.fields(), modes)
}

impl Frame {
    pub(crate) fn of(
        format: Format,
        schema: &ConnectSchema,
        subject: impl Fn() -> String,
        ids: &mut dyn SchemaIds,
    ) -> Result<Self, EncodeError> {
        match format {
            Format::Avro => {
                let id = ids
                    .id(&subject(), &to_avro_schema(schema))
                    .map_err(|source| EncodeError::Registry { subject: subject(), source })?;
                Ok(Self { prefix: avro::frame(id), suffix: b"" })
            }
            Format::Json { schemas: true } => Ok(Self::json(schema)),
            Format::Json { schemas: false } => Ok(Self { prefix: Vec::new(), suffix: b"" }),
        }
    }

    fn json(schema: &ConnectSchema) -> Self {
        let mut prefix = b"{\"schema\":".to_vec();
        prefix.extend_from_slice(&to_json_schema(schema));
        prefix.extend_from_slice(b",\"payload\":");
        Self { prefix, suffix: b"}" }
    }
}
