//! `snapshot`, `dead_letter`, `delivery` and `admin`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Names;
use super::checks::{Checks, at_least};
use crate::config::{
    DeadLetterConfig, DeadLetterPolicy, DeliveryConfig, SinkConfig, SnapshotConfig, SnapshotMode,
    defaults, written,
};

pub(super) fn snapshot(checks: &mut Checks<'_>, written: written::Snapshot) -> SnapshotConfig {
    SnapshotConfig {
        mode: match written.mode {
            None => defaults::SNAPSHOT_MODE,
            Some(written::SnapshotMode::Initial) => SnapshotMode::Initial,
            Some(written::SnapshotMode::InitialOnly) => SnapshotMode::InitialOnly,
            Some(written::SnapshotMode::NoData) => SnapshotMode::NoData,
        },
        connections: checks.number(
            &["snapshot", "connections"],
            written.connections,
            defaults::SNAPSHOT_CONNECTIONS,
            1..=defaults::SNAPSHOT_CONNECTIONS_MAX,
        ),
    }
}

pub(super) fn dead_letter(
    checks: &mut Checks<'_>,
    names: &Names,
    written: written::DeadLetter,
    sink: &SinkConfig,
) -> DeadLetterConfig {
    match sink {
        SinkConfig::Kafka(_) if written.path.is_some() => {
            checks.refuse(
                &["dead_letter", "path"],
                "dead letters of `sink.kafka` go to a topic; set `topic` instead",
            );
        }
        SinkConfig::File { .. } | SinkConfig::Stdout if written.topic.is_some() => {
            checks.refuse(
                &["dead_letter", "topic"],
                "without `sink.kafka` dead letters go to a file; set `path` instead",
            );
        }
        SinkConfig::Kafka(_) | SinkConfig::File { .. } | SinkConfig::Stdout => {}
    }
    if let Some(topic) = &written.topic {
        checks.topic(&["dead_letter", "topic"], topic);
    }
    let topic = written.topic.unwrap_or_else(|| format!("{}.dead-letter", names.prefix));
    let path = written.path.unwrap_or_else(|| match sink {
        SinkConfig::File { path } => {
            let mut path = path.clone().into_os_string();
            path.push(".dead-letter");
            PathBuf::from(path)
        }
        SinkConfig::Kafka(_) | SinkConfig::Stdout => {
            PathBuf::from(format!("{}.dead-letter", names.pipeline))
        }
    });
    let policy = |written: Option<written::DeadLetterPolicy>| match written {
        None | Some(written::DeadLetterPolicy::Halt) => DeadLetterPolicy::Halt,
        Some(written::DeadLetterPolicy::DeadLetter) => DeadLetterPolicy::DeadLetter,
    };
    DeadLetterConfig {
        conversion: policy(written.conversion.or(written.policy)),
        delivery: policy(written.delivery.or(written.policy)),
        topic,
        path,
    }
}

/// `is_taken` says whether a topic of this name below the prefix is for something else.
pub(super) fn delivery(
    checks: &mut Checks<'_>,
    written: written::Delivery,
    is_taken: impl Fn(&str) -> bool,
) -> DeliveryConfig {
    let wanted = written.transaction_metadata.unwrap_or(false);
    let topic = transaction_topic(checks, wanted, written.transaction_topic, is_taken);
    DeliveryConfig {
        tombstones: written.tombstones.unwrap_or(true),
        checkpoint_interval: checks.duration(
            &["delivery", "checkpoint_interval"],
            written.checkpoint_interval,
            defaults::CHECKPOINT_INTERVAL,
            Duration::from_millis(10)..=Duration::from_secs(3600),
        ),
        drain_timeout: checks.duration(
            &["delivery", "drain_timeout"],
            written.drain_timeout,
            defaults::DRAIN_TIMEOUT,
            at_least(Duration::ZERO),
        ),
        memory_bytes: checks.size(
            &["delivery", "memory"],
            written.memory,
            defaults::MEMORY_BYTES,
            1 << 20..=2 << 30,
        ),
        retry_budget: checks.duration(
            &["delivery", "retry_budget"],
            written.retry_budget,
            defaults::RETRY_BUDGET,
            at_least(Duration::ZERO),
        ),
        id_header: written.id_header.unwrap_or(true),
        context_headers: written.context_headers.unwrap_or(false),
        transaction_topic: topic,
    }
}

fn transaction_topic(
    checks: &mut Checks<'_>,
    wanted: bool,
    written: Option<String>,
    is_taken: impl Fn(&str) -> bool,
) -> Option<String> {
    const PATH: &[&str] = &["delivery", "transaction_topic"];
    match &written {
        Some(_) if !wanted => {
            checks.refuse(PATH, "without `transaction_metadata: true` there is no such topic");
        }
        Some(topic) if is_taken(topic) => {
            checks.refuse(PATH, "the dead letters have this topic; name another one");
        }
        Some(topic) => checks.name(PATH, topic),
        None => {}
    }
    wanted.then(|| written.unwrap_or_else(|| defaults::TRANSACTION_TOPIC.to_owned()))
}

pub(super) fn admin(checks: &mut Checks<'_>, written: written::Admin) -> Option<SocketAddr> {
    const PATH: &[&str] = &["admin", "listen"];
    let listen = written.listen.unwrap_or_else(|| defaults::ADMIN_LISTEN.to_owned());
    if listen == "off" {
        return None;
    }
    match listen.parse::<SocketAddr>() {
        Ok(address) => {
            if !address.ip().is_loopback() {
                checks.warn(
                    PATH,
                    "health and metrics, with the names of tables, are open to the network",
                );
            }
            Some(address)
        }
        Err(_) => {
            let shown = checks.shown(PATH, &listen);
            checks.refuse(
                PATH,
                format!("expected `address:port` like 127.0.0.1:8085, or `off`, found {shown}"),
            );
            None
        }
    }
}
