//! `source.postgres`.

use std::time::Duration;

use super::Names;
use super::checks::{Checks, at_least};
use super::source::{self, Kind};
use crate::config::{
    PostgresConfig, PublicationConfig, UnmappedTypes, ValueModes, defaults, written,
};

const KIND: Kind =
    Kind { key: "postgres", list: "tables", table: "schema.table", example: "public" };

/// NAMEDATALEN - 1.
pub(super) const IDENTIFIER_BYTES_MAX: usize = 63;

macro_rules! at {
    ($($step:literal),*) => { &["source", "postgres" $(, $step)*] };
}

pub(super) fn resolve(
    checks: &mut Checks<'_>,
    names: &Names,
    written: written::Postgres,
) -> PostgresConfig {
    checks.text(at!("host"), &written.host);
    if written.host.contains("://") {
        checks.refuse(at!("host"), "expected a host name, an address or a folder, not a URL");
    }
    checks.text(at!("database"), &written.database);
    checks.text(at!("user"), &written.user);
    if written.password.is_some() {
        checks.secret(at!("password"));
    }
    if written.port == Some(0) {
        checks.refuse(at!("port"), "0 is out of range: 1 to 65535");
    }
    let slot = written.slot.clone().unwrap_or_else(|| names.identifier());
    check_slot(checks, &slot);
    let publication = publication(checks, names, written.publication.clone().unwrap_or_default());
    let tables = source::tables(checks, KIND, written.tables.clone().unwrap_or_default());
    let tls = source::tls(checks, KIND, &written.host, written.tls.clone().unwrap_or_default());
    let timing = timing(checks, &written);
    let message_bytes_max = checks.size(
        at!("message_bytes_max"),
        written.message_bytes_max,
        defaults::MESSAGE_BYTES_MAX,
        1 << 20..=1 << 30,
    );
    PostgresConfig {
        host: written.host,
        port: written.port.unwrap_or(defaults::POSTGRES_PORT),
        database: written.database,
        user: written.user,
        password: written.password.map(|secret| secret.0),
        tls,
        connect_timeout: timing.connect,
        slot,
        publication,
        tables,
        unmapped_types: match written.unmapped_types {
            None => defaults::UNMAPPED_TYPES,
            Some(written::UnmappedTypes::Text) => UnmappedTypes::Text,
            Some(written::UnmappedTypes::Skip) => UnmappedTypes::Skip,
            Some(written::UnmappedTypes::Fail) => UnmappedTypes::Fail,
        },
        logical_messages: written.logical_messages.unwrap_or(true),
        status_interval: timing.status,
        silence_limit: timing.silence,
        message_bytes_max,
    }
}

pub(super) fn values(written: Option<&written::PostgresValues>) -> ValueModes {
    let default = defaults::POSTGRES_VALUES;
    let Some(written) = written else { return default };
    ValueModes {
        decimal: written.decimal.unwrap_or(default.decimal),
        time: written.time.unwrap_or(default.time),
        binary: written.binary.unwrap_or(default.binary),
        interval: written.interval.unwrap_or(default.interval),
        hstore: written.hstore.unwrap_or(default.hstore),
        ..default
    }
}

fn check_slot(checks: &mut Checks<'_>, slot: &str) {
    let legal = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_');
    if slot.is_empty() || slot.len() > IDENTIFIER_BYTES_MAX || !slot.chars().all(legal) {
        checks.refuse(
            at!("slot"),
            "expected 1 to 63 of `a-z`, `0-9` and `_`, which is what PostgreSQL takes for a slot",
        );
    }
}

fn publication(
    checks: &mut Checks<'_>,
    names: &Names,
    written: written::Publication,
) -> PublicationConfig {
    let name = written.name.unwrap_or_else(|| names.identifier());
    checks.text(at!("publication", "name"), &name);
    if name.len() > IDENTIFIER_BYTES_MAX {
        checks.refuse(
            at!("publication", "name"),
            "longer than 63 bytes, where PostgreSQL cuts names off",
        );
    }
    PublicationConfig { name, create: written.create.unwrap_or(true) }
}

struct Timing {
    connect: Duration,
    status: Duration,
    silence: Duration,
}

fn timing(checks: &mut Checks<'_>, written: &written::Postgres) -> Timing {
    const MIN: Duration = Duration::from_millis(100);
    let connect = checks.duration(
        at!("connect_timeout"),
        written.connect_timeout,
        defaults::CONNECT_TIMEOUT,
        at_least(MIN),
    );
    let status = checks.duration(
        at!("status_interval"),
        written.status_interval,
        defaults::STATUS_INTERVAL,
        at_least(MIN),
    );
    let silence = checks.duration(
        at!("silence_limit"),
        written.silence_limit,
        defaults::SILENCE_LIMIT,
        at_least(Duration::from_secs(1)),
    );
    if silence <= status {
        checks.refuse(
            at!("silence_limit"),
            "must be longer than `status_interval`, or a quiet server looks dead",
        );
    }
    Timing { connect, status, silence }
}
