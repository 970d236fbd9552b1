//! `tailwater check`: the file alone. Opens no connection and writes nothing.

use std::path::Path;

use super::report::Report;
use crate::config::{self, Config, FormatConfig, Loaded, OffsetsConfig, SinkConfig, SourceConfig};
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
    let SourceConfig::Postgres(source) = &config.source;
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
        "  pipeline  {}\n  source    PostgreSQL {}@{}:{}/{}, TLS {:?}, slot {}, publication {}\n  \
         tables    {}; without {}\n  format    {format}\n  sink      {sink}, topics {}.*\n  \
         offsets   {offsets}\n  admin     {admin}\n",
        config.pipeline,
        source.user,
        source.host,
        source.port,
        source.database,
        source.tls.mode,
        source.slot,
        source.publication.name,
        list(source.tables.include(), "every table"),
        list(source.tables.exclude(), "none"),
        config.topic_prefix,
    )
}
