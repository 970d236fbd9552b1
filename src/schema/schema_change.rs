//! Debezium's schemas of a topic of schema changes (`SchemaFactory.schemaHistory…` and
//! `ConnectTableChangeSerializer`).

use super::SourceLayout;
use super::connect::{ConnectSchema, Field, Kind};
use super::debezium::{RecordSchemas, source_schema};

/// `layout` is that of any change: which fields there are does not depend on the table.
#[must_use]
pub fn schema_change_schemas(layout: &SourceLayout) -> RecordSchemas {
    // `io.debezium.connector.mysql.Source`
    let connector = layout.name.rsplit_once('.').map_or(layout.name.as_str(), |(name, _)| name);
    let record = |name: String, fields| ConnectSchema::record(name, fields).versioned(1);
    let key = vec![Field::new("databaseName", string())];
    let value = vec![
        Field::new("source", source_schema(layout)),
        Field::new("ts_ms", ConnectSchema::new(Kind::Int64)),
        Field::new("databaseName", string().optional()),
        Field::new("schemaName", string().optional()),
        Field::new("ddl", string().optional()),
        Field::new("tableChanges", array(change_schema())),
    ];
    RecordSchemas {
        key: Some(record(format!("{connector}.SchemaChangeKey"), key)),
        value: record(format!("{connector}.SchemaChangeValue"), value),
    }
}

fn string() -> ConnectSchema {
    ConnectSchema::new(Kind::String)
}

fn array(items: ConnectSchema) -> ConnectSchema {
    ConnectSchema::new(Kind::Array(Box::new(items)))
}

fn change_schema() -> ConnectSchema {
    let table = vec![
        Field::new("defaultCharsetName", string().optional()),
        Field::new("primaryKeyColumnNames", array(string()).optional()),
        Field::new("columns", array(column_schema())),
        Field::new("comment", string().optional()),
    ];
    let table = ConnectSchema::record("io.debezium.connector.schema.Table", table).versioned(1);
    let change = vec![
        Field::new("type", string()),
        Field::new("id", string()),
        Field::new("table", table.optional()),
    ];
    ConnectSchema::record("io.debezium.connector.schema.Change", change).versioned(1)
}

fn column_schema() -> ConnectSchema {
    let int = || ConnectSchema::new(Kind::Int32);
    let bool = || ConnectSchema::new(Kind::Boolean).optional();
    let fields = vec![
        Field::new("name", string()),
        Field::new("jdbcType", int()),
        Field::new("nativeType", int().optional()),
        Field::new("typeName", string()),
        Field::new("typeExpression", string().optional()),
        Field::new("charsetName", string().optional()),
        Field::new("length", int().optional()),
        Field::new("scale", int().optional()),
        Field::new("position", int()),
        Field::new("optional", bool()),
        Field::new("autoIncremented", bool()),
        Field::new("generated", bool()),
        Field::new("comment", string().optional()),
        Field::new("defaultValueExpression", string().optional()),
        Field::new("enumValues", array(string()).optional()),
    ];
    ConnectSchema::record("io.debezium.connector.schema.Column", fields).versioned(1)
}
