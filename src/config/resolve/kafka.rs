//! `sink` and `offsets`: both may need a cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::Names;
use super::checks::{Checks, Path, at_least, is_local};
use crate::config::secret::Secret;
use crate::config::written::SecretText;
use crate::config::{
    KafkaConfig, OffsetsConfig, SinkConfig, TopicConfig, defaults, kafka_properties, written,
};

macro_rules! at {
    ($($step:literal),*) => { &["sink", "kafka" $(, $step)*] };
}

const REPLICAS: std::ops::RangeInclusive<i32> = 1..=32;

pub(super) fn sink(checks: &mut Checks<'_>, written: written::Sink) -> SinkConfig {
    match written {
        written::Sink::Stdout(written::Nothing {}) => SinkConfig::Stdout,
        written::Sink::File(file) => {
            if file.path.as_os_str().is_empty() {
                checks.refuse(&["sink", "file", "path"], "expected a path, found an empty text");
            }
            SinkConfig::File { path: file.path }
        }
        written::Sink::Kafka(kafka) => {
            bootstrap(checks, at!("bootstrap_servers"), &kafka.bootstrap_servers);
            let properties = properties(checks, at!("properties"), kafka.properties);
            warn_of_plaintext(checks, &kafka.bootstrap_servers, &properties);
            SinkConfig::Kafka(KafkaConfig {
                bootstrap_servers: kafka.bootstrap_servers,
                topics: topics(checks, kafka.topics.unwrap_or_default()),
                properties,
                retry_budget: checks.duration(
                    at!("retry_budget"),
                    kafka.retry_budget,
                    defaults::KAFKA_RETRY_BUDGET,
                    at_least(Duration::from_secs(1)),
                ),
            })
        }
    }
}

pub(super) fn offsets(
    checks: &mut Checks<'_>,
    names: &Names,
    written: Option<written::Offsets>,
    (sink, replicas): (&SinkConfig, Option<i32>),
) -> OffsetsConfig {
    let written = written.unwrap_or_else(|| match sink {
        SinkConfig::Kafka(_) => written::Offsets::Kafka(written::OffsetsKafka::default()),
        SinkConfig::File { .. } | SinkConfig::Stdout => {
            let path = PathBuf::from(defaults::LOCAL_FOLDER).join(&names.pipeline);
            written::Offsets::File(written::OffsetsFile { path })
        }
    });
    let kafka = match written {
        written::Offsets::File(file) => {
            if file.path.as_os_str().is_empty() {
                checks.refuse(&["offsets", "file", "path"], "expected a path, found an empty text");
            }
            return OffsetsConfig::File { path: file.path };
        }
        written::Offsets::Kafka(kafka) => kafka,
    };
    if let Some(topic) = &kafka.topic {
        checks.topic(&["offsets", "kafka", "topic"], topic);
    }
    let topic =
        kafka.topic.clone().unwrap_or_else(|| format!("tailwater-offsets.{}", names.pipeline));
    let replication_factor = checks.number(
        &["offsets", "kafka", "replication_factor"],
        kafka.replication_factor,
        replicas.unwrap_or(defaults::BROKER_DEFAULT),
        REPLICAS,
    );
    OffsetsConfig::Kafka { kafka: offsets_cluster(checks, kafka, sink), topic, replication_factor }
}

fn offsets_cluster(
    checks: &mut Checks<'_>,
    written: written::OffsetsKafka,
    sink: &SinkConfig,
) -> KafkaConfig {
    const SERVERS: Path<'_> = &["offsets", "kafka", "bootstrap_servers"];
    const PROPERTIES: Path<'_> = &["offsets", "kafka", "properties"];
    if written.bootstrap_servers.is_none() && written.properties.is_some() {
        checks.refuse(
            PROPERTIES,
            "only with `bootstrap_servers`; otherwise those of `sink.kafka` are used",
        );
    }
    match (written.bootstrap_servers, sink) {
        (None, SinkConfig::Kafka(kafka)) => kafka.clone(),
        (servers, _) => {
            match &servers {
                Some(servers) => bootstrap(checks, SERVERS, servers),
                None => checks.refuse(SERVERS, "the key `bootstrap_servers` is missing: the sink is not Kafka, so there is no cluster to share"),
            }
            let bootstrap_servers = servers.unwrap_or_default();
            let properties = properties(checks, PROPERTIES, written.properties);
            KafkaConfig {
                bootstrap_servers,
                topics: topics(checks, written::Topics::default()),
                properties,
                retry_budget: defaults::KAFKA_RETRY_BUDGET,
            }
        }
    }
}

fn bootstrap(checks: &mut Checks<'_>, path: Path<'_>, servers: &[String]) {
    if servers.is_empty() {
        checks.refuse(path, "an empty list; at least one `host:port` is needed");
    }
    for (index, server) in servers.iter().enumerate() {
        let index = index.to_string();
        let path: Vec<&str> = path.iter().copied().chain([index.as_str()]).collect();
        let port = server.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        match port {
            Some((host, Ok(1..))) if !host.is_empty() && !server.contains(',') => {}
            Some(_) | None => {
                let shown = checks.shown(&path, server);
                checks.refuse(
                    &path,
                    format!("expected `host:port` with a port from 1 to 65535, found {shown}"),
                );
            }
        }
    }
}

fn properties(
    checks: &mut Checks<'_>,
    path: Path<'_>,
    written: Option<BTreeMap<String, SecretText>>,
) -> BTreeMap<String, Secret> {
    let mut properties = BTreeMap::new();
    for (name, SecretText(value)) in written.unwrap_or_default() {
        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        if let Some(reason) = kafka_properties::forbidden(&name) {
            checks.refuse(&path, format!("may not be set: {reason}"));
        } else if let Some(why) = kafka_properties::refused_by_librdkafka(&name, value.expose()) {
            checks.refuse(&path, why);
        } else if kafka_properties::is_secret(&name) {
            checks.secret(&path);
        }
        properties.insert(name, value);
    }
    properties
}

fn warn_of_plaintext(
    checks: &mut Checks<'_>,
    servers: &[String],
    properties: &BTreeMap<String, Secret>,
) {
    let protocol = properties.get("security.protocol").map(Secret::expose);
    let encrypted = protocol.is_some_and(|p| p.to_ascii_lowercase().ends_with("ssl"));
    let host = |server: &String| server.rsplit_once(':').is_some_and(|(host, _)| is_local(host));
    if !encrypted && !servers.iter().all(host) {
        checks.warn(at!("bootstrap_servers"), "rows cross the network unencrypted; the properties `security.protocol: SSL` or `SASL_SSL` prevent that");
    }
}

fn topics(checks: &mut Checks<'_>, written: written::Topics) -> TopicConfig {
    let partitions = checks.number(
        at!("topics", "partitions"),
        written.partitions,
        defaults::BROKER_DEFAULT,
        1..=10_000,
    );
    let replication_factor = checks.number(
        at!("topics", "replication_factor"),
        written.replication_factor,
        defaults::BROKER_DEFAULT,
        REPLICAS,
    );
    let settings = written.settings.unwrap_or_default();
    if settings.contains_key("cleanup.policy") {
        checks.refuse(at!("topics", "settings", "cleanup.policy"), "set `cleanup_policy` instead");
    }
    TopicConfig {
        create: written.create.unwrap_or(true),
        partitions,
        replication_factor,
        cleanup_policy: match written.cleanup_policy {
            None => defaults::TOPIC_CLEANUP_POLICY,
            Some(written::CleanupPolicy::Delete) => "delete",
            Some(written::CleanupPolicy::Compact) => "compact",
            Some(written::CleanupPolicy::CompactDelete) => "compact,delete",
        }
        .to_owned(),
        settings,
    }
}
