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
use super::{Config, SourceConfig};
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
    let source = match written.source {
        written::Source::Postgres(postgres) => {
            SourceConfig::Postgres(postgres::resolve(&mut checks, &names, *postgres))
        }
        written::Source::Mysql(mysql) => {
            SourceConfig::Mysql(mysql::resolve(&mut checks, mysql::MYSQL, *mysql))
        }
        written::Source::Mariadb(mysql) => {
            SourceConfig::Mariadb(mysql::resolve(&mut checks, mysql::MARIADB, *mysql))
        }
        written::Source::Mongodb(mongodb) => {
            SourceConfig::Mongodb(mongodb::resolve(&mut checks, *mongodb))
        }
    };
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
    let delivery = rest::delivery(&mut checks, written.delivery.unwrap_or_default());
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
        format: format.expect("a missing format is a finding"),
        sink,
        offsets,
        dead_letter,
        delivery,
        admin,
    };
    Ok((config, warnings))
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
