//! `tailwater check`: the file alone. Opens no connection and writes nothing.

use std::path::Path;

use super::report::Report;
use crate::config::{
    self, CaptureScope, Config, FormatConfig, Loaded, MongodbConfig, MysqlConfig, OffsetsConfig,
    PostgresConfig, SinkConfig, SourceConfig, TableFilter,
};
use crate::exit;

pub(super) fn run(file: &Path) -> Result<exit::Code, Report> {
    let Loaded { config, warnings } = config::load(file)?;
    let name = file.display().to_string();
    let mut text = String::new();
    for warning in warnings {
        text.push_str(&format!("warning: {}\n", warning.line(&name)));
    }
    text.push_str(&format!("{name}: OK\n{}", summary(&config)));
    super::print(&text)
}

/// What the file comes to, without a secret.
fn summary(config: &Config) -> String {
    let (source, tables) = source(&config.source);
    let list = |patterns: &[String], none: &str| match patterns {
        [] => none.to_owned(),
        patterns => patterns.join(", "),
    };
    let format = match &config.format {
        FormatConfig::Avro(registry) => format!("Avro, schemas at {}", registry.urls.join(", ")),
        FormatConfig::Json { schemas: true } => "JSON with schemas".to_owned(),
        FormatConfig::Json { schemas: false } => "JSON".to_owned(),
    };
    let sink = match &config.sink {
        SinkConfig::Kafka(kafka) => format!("Kafka at {}", kafka.bootstrap_servers.join(", ")),
        SinkConfig::File { path } => format!("file {}", path.display()),
        SinkConfig::Stdout => "stdout".to_owned(),
    };
    let offsets = match &config.offsets {
        OffsetsConfig::File { path } => format!("folder {}", path.display()),
        OffsetsConfig::Kafka { topic, .. } => format!("topic {topic}"),
    };
    let admin = config.admin.map_or_else(|| "off".to_owned(), |address| address.to_string());
    format!(
        "  pipeline  {}\n  source    {source}\n  \
         tables    {}; without {}\n  format    {format}\n  sink      {sink}, topics {}.*\n  \
         offsets   {offsets}\n  admin     {admin}\n",
        config.pipeline,
        list(tables.include(), "every table"),
        list(tables.exclude(), "none"),
        config.topic_prefix,
    )
}

/// One line about the source, and its tables.
fn source(source: &SourceConfig) -> (String, &TableFilter) {
    match source {
        SourceConfig::Postgres(source) => {
            let PostgresConfig { user, host, port, database, slot, .. } = source;
            let (mode, publication) = (source.tls.mode, &source.publication.name);
            let line = format!(
                "PostgreSQL {user}@{host}:{port}/{database}, TLS {mode:?}, slot {slot}, publication {publication}"
            );
            (line, &source.tables)
        }
        SourceConfig::Mysql(source) => (mysql("MySQL", source), &source.tables),
        SourceConfig::Mariadb(source) => (mysql("MariaDB", source), &source.tables),
        SourceConfig::Mongodb(source) => (mongodb(source), &source.collections),
    }
}

fn mysql(server: &str, source: &MysqlConfig) -> String {
    let MysqlConfig { user, host, port, server_id, .. } = source;
    // A socket has no port.
    let port = if host.starts_with('/') { String::new() } else { format!(":{port}") };
    let id = server_id.map_or_else(|| "made of the name".to_owned(), |id| id.to_string());
    format!("{server} {user}@{host}{port}, TLS {:?}, server id {id}", source.tls.mode)
}

/// The addresses alone: the rest of the URI may hold secrets.
fn mongodb(source: &MongodbConfig) -> String {
    let MongodbConfig { scope, full_document, pre_images, documents, .. } = source;
    let servers = source.servers();
    let scope = match scope {
        CaptureScope::Deployment => "whole deployment".to_owned(),
        CaptureScope::Database(database) => format!("database {database}"),
        CaptureScope::Collection { database, collection } => {
            format!("collection {database}.{collection}")
        }
    };
    format!(
        "MongoDB at {servers}, {scope}, full documents {full_document:?}, pre-images {pre_images:?}, \
         documents as {documents:?}"
    )
}
