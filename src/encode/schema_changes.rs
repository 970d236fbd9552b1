//! Records about statements that define tables, into the topic that is called like the prefix.
//!
//! They are rare, so nothing is compiled: a record is a tree of values, written along its schema.

use std::ops::Range;

use super::SchemaIds;
use super::avro::AvroFormat;
use super::emit::{Nullability, Wire, WireFormat};
use super::encoder::{EncodeError, EncodeOptions, Format};
use super::json::JsonFormat;
use super::plan::Frame;
use super::row::SourcePlan;
use super::topics::topic_name;
use crate::change::SchemaChange;
use crate::record::{Header, Record, RecordBatch, TopicId, TopicRole, Topics};
use crate::schema::connect::{ConnectSchema, Kind};
use crate::schema::debezium::RecordSchemas;
use crate::schema::definition::{ColumnDefinition, TableChange, TableDefinition};
use crate::schema::jackson;
use crate::schema::schema_change::schema_change_schemas;

/// Topic, schemas and their numbers: the same for all such records of a source.
pub(crate) struct SchemaChangePlan {
    topic: TopicId,
    name: String,
    key: ConnectSchema,
    value: ConnectSchema,
    key_frame: Frame,
    value_frame: Frame,
}

/// A value of a record.
enum Datum<'d> {
    Null,
    Bool(bool),
    Int(i64),
    Text(&'d str),
    Array(Vec<Datum<'d>>),
    Struct(Vec<Datum<'d>>),
    /// The `source` block.
    Source,
}

impl SchemaChangePlan {
    pub(crate) fn compile(
        options: &EncodeOptions,
        change: &SchemaChange<'_>,
        topics: &Topics,
        ids: &mut dyn SchemaIds,
    ) -> Result<Self, EncodeError> {
        let name = topic_name(&options.topic_prefix, &[]);
        let RecordSchemas { key, value } = schema_change_schemas(change.layout);
        let key = key.expect("every schema change has a key");
        let mut frame = |schema: &ConnectSchema, role: &str| {
            Frame::of(options.format, schema, || format!("{name}-{role}"), ids)
        };
        let (key_frame, value_frame) = (frame(&key, "key")?, frame(&value, "value")?);
        let topic = topics.intern(&name, TopicRole::Auxiliary);
        Ok(Self { topic, name, key, value, key_frame, value_frame })
    }

    pub(crate) fn write(
        &self,
        change: &SchemaChange<'_>,
        now_ns: i64,
        (options, context): (&EncodeOptions, &[(&'static str, Vec<u8>)]),
        out: &mut RecordBatch,
    ) -> Result<(), EncodeError> {
        let sizes = (out.data.len(), out.headers.len());
        let written = match options.format {
            Format::Avro => self.write_as::<AvroFormat>(change, now_ns, out),
            Format::Json { .. } => self.write_as::<JsonFormat>(change, now_ns, out),
        };
        let written = written.and_then(|(key, value)| {
            let start = out.headers.len();
            for (name, value) in context {
                let name = self.append(out, name.as_bytes())?;
                let value = Some(self.append(out, value)?);
                out.headers.push(Header { name, value });
            }
            if options.id_header {
                let name = self.append(out, super::records::ID.as_bytes())?;
                let id = format!("{}:schema:{}", change.id.transaction, change.id.ordinal);
                let value = Some(self.append(out, id.as_bytes())?);
                out.headers.push(Header { name, value });
            }
            let headers = super::records::span(start, out.headers.len());
            let headers = headers.ok_or_else(|| self.too_large())?;
            let (key, value) = (Some(key), Some(value));
            out.records.push(Record { topic: self.topic, key, value, headers });
            Ok(())
        });
        if written.is_err() {
            out.data.truncate(sizes.0);
            out.headers.truncate(sizes.1);
        }
        written
    }

    fn write_as<F: WireFormat>(
        &self,
        change: &SchemaChange<'_>,
        now_ns: i64,
        out: &mut RecordBatch,
    ) -> Result<(Range<u32>, Range<u32>), EncodeError> {
        let misfit = |misfit: super::row::Misfit| EncodeError::Convert {
            table: self.name.clone(),
            column: "source".to_owned(),
            detail: misfit.to_string(),
        };
        let source = SourcePlan::compile::<F>(change.layout).map_err(misfit)?;
        let key = Datum::Struct(vec![Datum::Text(change.database)]);
        let value = Datum::Struct(vec![
            Datum::Source,
            Datum::Int(now_ns / 1_000_000),
            Datum::Text(change.database),
            Datum::Null,
            Datum::Text(change.ddl),
            Datum::Array(change.tables.iter().map(table_change).collect()),
        ]);
        let mut framed = |frame: &Frame, schema: &ConnectSchema, datum: &Datum<'_>| {
            let start = out.data.len();
            out.data.extend_from_slice(&frame.prefix);
            {
                let mut wire = F::over(&mut out.data);
                let written = write(schema, datum, &mut wire, &mut |wire: &mut F::Out<'_>| {
                    source.write(change.source, wire)
                });
                written.map_err(misfit)?;
            }
            out.data.extend_from_slice(frame.suffix);
            super::records::span(start, out.data.len()).ok_or_else(|| self.too_large())
        };
        let key = framed(&self.key_frame, &self.key, &key)?;
        let value = framed(&self.value_frame, &self.value, &value)?;
        Ok((key, value))
    }

    fn append(&self, out: &mut RecordBatch, bytes: &[u8]) -> Result<Range<u32>, EncodeError> {
        let start = out.data.len();
        out.data.extend_from_slice(bytes);
        super::records::span(start, out.data.len()).ok_or_else(|| self.too_large())
    }

    fn too_large(&self) -> EncodeError {
        EncodeError::TooLarge { table: self.name.clone() }
    }
}

fn table_change(change: &TableChange) -> Datum<'_> {
    let table = change.definition.as_ref().map_or(Datum::Null, definition);
    Datum::Struct(vec![Datum::Text(change.kind.name()), Datum::Text(&change.id), table])
}

fn definition(table: &TableDefinition) -> Datum<'_> {
    let columns = (1..).zip(&table.columns).map(|(position, column)| one_column(position, column));
    Datum::Struct(vec![
        text(table.charset.as_ref()),
        texts(&table.key),
        Datum::Array(columns.collect()),
        text(table.comment.as_ref()),
    ])
}

fn one_column(position: i64, column: &ColumnDefinition) -> Datum<'_> {
    let number = |number: Option<i32>| number.map_or(Datum::Null, |n| Datum::Int(n.into()));
    Datum::Struct(vec![
        Datum::Text(&column.name),
        Datum::Int(column.jdbc_type.into()),
        // Debezium knows one for other databases only.
        Datum::Null,
        Datum::Text(&column.type_name),
        Datum::Text(&column.type_name),
        text(column.charset.as_ref()),
        number(column.length),
        number(column.scale),
        Datum::Int(position),
        Datum::Bool(column.optional),
        Datum::Bool(column.automatic),
        // Debezium says so of what the server counts or clocks, and of computed columns not.
        Datum::Bool(column.automatic),
        text(column.comment.as_ref()),
        text(column.default.as_ref()),
        column.labels.as_deref().map_or(Datum::Null, texts),
    ])
}

fn text(text: Option<&String>) -> Datum<'_> {
    text.map_or(Datum::Null, |text| Datum::Text(text))
}

fn texts(texts: &[String]) -> Datum<'_> {
    Datum::Array(texts.iter().map(|text| Datum::Text(text)).collect())
}

/// Writes a value along its schema; `source` writes the block that has a plan of its own.
fn write<W: Wire, E>(
    schema: &ConnectSchema,
    datum: &Datum<'_>,
    out: &mut W,
    source: &mut impl FnMut(&mut W) -> Result<(), E>,
) -> Result<(), E> {
    let nullability = Nullability::of(schema.optional, schema.default.is_some());
    if matches!(datum, Datum::Null) {
        out.none(nullability);
        return Ok(());
    }
    out.some(nullability);
    match (datum, &schema.kind) {
        (Datum::Source, _) => return source(out),
        (Datum::Bool(value), _) => out.bool(*value),
        (Datum::Int(value), _) => out.int(*value),
        (Datum::Text(text), _) => out.text(text),
        (Datum::Array(items), Kind::Array(item)) => {
            out.array_start(items.len());
            for (index, datum) in items.iter().enumerate() {
                out.array_item(index);
                write(item, datum, out, source)?;
            }
            out.array_end(items.len());
        }
        (Datum::Struct(values), Kind::Struct(fields)) => {
            for (index, (field, value)) in fields.iter().zip(values).enumerate() {
                let mut label = vec![if index == 0 { b'{' } else { b',' }];
                jackson::write_string(&mut label, &field.name);
                label.push(b':');
                out.glue(&label);
                write(&field.schema, value, out, source)?;
            }
            out.glue(b"}");
        }
        (Datum::Null | Datum::Array(_) | Datum::Struct(_), _) => {
            unreachable!("values are made in the form of their schema")
        }
    }
    Ok(())
}
