//! From the written form to the resolved one: defaults, ranges, conflicts.
//!
//! Reads no file and opens no socket, so that `check` and `run` say the same. Every finding is
//! collected; only a shape that cannot be read at all stops at the first.

mod checks;
mod format;
mod kafka;
mod mongodb;
mod mysql;
mod postgres;
mod rest;
mod source;

use super::diagnose::Finding;
use super::tree::Node;
use super::written::{self, Written};
use super::{Config, SourceConfig, ValueModes};
use checks::Checks;
pub(super) use format::percent_decode;
pub(super) use mongodb::servers as mongodb_servers;

/// The configuration, and what is allowed but worth a warning.
pub(super) fn resolve(
    written: Written,
    root: &Node,
) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
    let mut checks = Checks::new(root);
    checks.name(&["pipeline"], &written.pipeline);
    if let Some(prefix) = &written.topic_prefix {
        checks.name(&["topic_prefix"], prefix);
    }
    let prefix = written.topic_prefix.unwrap_or_else(|| written.pipeline.clone());
    let names = Names { pipeline: written.pipeline, prefix };
    let (source, values) = source(&mut checks, &names, written.source);
    let replicas = match &written.sink {
        written::Sink::Kafka(kafka) => kafka.topics.as_ref().and_then(|t| t.replication_factor),
        written::Sink::File(_) | written::Sink::Stdout(_) => None,
    };
    let sink = kafka::sink(&mut checks, written.sink);
    let format = format::resolve(&mut checks, written.format, &sink);
    let offsets = kafka::offsets(&mut checks, &names, written.offsets, (&sink, replicas));
    let dead_letter =
        rest::dead_letter(&mut checks, &names, written.dead_letter.unwrap_or_default(), &sink);
    let snapshot = rest::snapshot(&mut checks, written.snapshot.unwrap_or_default());
    let delivery = rest::delivery(&mut checks, written.delivery.unwrap_or_default(), |topic| {
        format!("{}.{topic}", names.prefix) == dead_letter.topic
    });
    let admin = rest::admin(&mut checks, written.admin.unwrap_or_default());
    let (findings, warnings) = checks.finish();
    if !findings.is_empty() {
        return Err(findings);
    }
    let config = Config {
        pipeline: names.pipeline,
        topic_prefix: names.prefix,
        source,
        snapshot,
        values,
        format: format.expect("a missing format is a finding"),
        sink,
        offsets,
        dead_letter,
        delivery,
        admin,
    };
    Ok((config, warnings))
}

fn source(
    checks: &mut Checks<'_>,
    names: &Names,
    written: written::Source,
) -> (SourceConfig, ValueModes) {
    match written {
        written::Source::Postgres(postgres) => {
            let values = postgres::values(postgres.values.as_ref());
            (SourceConfig::Postgres(postgres::resolve(checks, names, *postgres)), values)
        }
        written::Source::Mysql(mysql) => {
            let values = mysql::values(checks, mysql::MYSQL, mysql.values.as_ref());
            (SourceConfig::Mysql(mysql::resolve(checks, mysql::MYSQL, *mysql)), values)
        }
        written::Source::Mariadb(mysql) => {
            let values = mysql::values(checks, mysql::MARIADB, mysql.values.as_ref());
            (SourceConfig::Mariadb(mysql::resolve(checks, mysql::MARIADB, *mysql)), values)
        }
        written::Source::Mongodb(mongodb) => {
            (SourceConfig::Mongodb(mongodb::resolve(checks, *mongodb)), ValueModes::default())
        }
    }
}

/// What other names derive from.
struct Names {
    pipeline: String,
    prefix: String,
}

impl Names {
    /// The pipeline's name as PostgreSQL takes it for a slot: `a-z`, `0-9`, `_`, at most 63 bytes
    /// (<https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS>).
    fn identifier(&self) -> String {
        let name = self.pipeline.chars().map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '_') => c,
            _ => '_',
        });
        name.take(postgres::IDENTIFIER_BYTES_MAX).collect()
    }
}
