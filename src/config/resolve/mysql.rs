//! `source.mysql` and `source.mariadb`.

use std::time::Duration;

use super::checks::{Checks, at_least};
use super::source::{self, Kind};
use crate::config::{LogPosition, MysqlConfig, TimeMode, ValueModes, defaults, written};

pub(super) const MYSQL: Kind =
    Kind { key: "mysql", list: "tables", table: "database.table", example: "shop" };
pub(super) const MARIADB: Kind = Kind { key: "mariadb", ..MYSQL };

pub(super) fn resolve(checks: &mut Checks<'_>, kind: Kind, written: written::Mysql) -> MysqlConfig {
    let at = |key| ["source", kind.key, key];
    checks.text(&at("host"), &written.host);
    if written.host.contains("://") {
        checks.refuse(&at("host"), "expected a host name, an address or a socket, not a URL");
    }
    checks.text(&at("user"), &written.user);
    if written.password.is_some() {
        checks.secret(&at("password"));
    }
    if written.port == Some(0) {
        checks.refuse(&at("port"), "0 is out of range: 1 to 65535");
    }
    if written.server_id == Some(0) {
        checks.refuse(&at("server_id"), "0 is out of range: 1 to 4294967295");
    }
    if kind.key == MARIADB.key && matches!(written.position, Some(written::LogPosition::File)) {
        let problem = "MariaDB numbers every transaction, so its places are GTIDs: leave it out";
        checks.refuse(&at("position"), problem);
    }
    let tables = source::tables(checks, kind, written.tables.clone().unwrap_or_default());
    let tls = source::tls(checks, kind, &written.host, written.tls.clone().unwrap_or_default());
    let connect_timeout = checks.duration(
        &at("connect_timeout"),
        written.connect_timeout,
        defaults::CONNECT_TIMEOUT,
        at_least(Duration::from_millis(100)),
    );
    // Heartbeats come three times as often, and the servers count them in seconds.
    let silence_limit = checks.duration(
        &at("silence_limit"),
        written.silence_limit,
        defaults::SILENCE_LIMIT,
        at_least(Duration::from_secs(3)),
    );
    let message_bytes_max = checks.size(
        &at("message_bytes_max"),
        written.message_bytes_max,
        defaults::MESSAGE_BYTES_MAX,
        1 << 20..=1 << 30,
    );
    MysqlConfig {
        host: written.host,
        port: written.port.unwrap_or(defaults::MYSQL_PORT),
        user: written.user,
        password: written.password.map(|secret| secret.0),
        tls,
        connect_timeout,
        server_id: written.server_id,
        tables,
        position: match written.position {
            None => defaults::LOG_POSITION,
            Some(written::LogPosition::Auto) => LogPosition::Auto,
            Some(written::LogPosition::Gtid) => LogPosition::Gtid,
            Some(written::LogPosition::File) => LogPosition::File,
        },
        include_schema_changes: written
            .include_schema_changes
            .unwrap_or(defaults::INCLUDE_SCHEMA_CHANGES),
        tinyint1: written.values.and_then(|values| values.tinyint1).unwrap_or(defaults::TINYINT1),
        silence_limit,
        message_bytes_max,
    }
}

pub(super) fn values(
    checks: &mut Checks<'_>,
    kind: Kind,
    written: Option<&written::MysqlValues>,
) -> ValueModes {
    let default = defaults::MYSQL_VALUES;
    let Some(written) = written else { return default };
    let time = written.time.unwrap_or(default.time);
    if time == TimeMode::Adaptive {
        checks.refuse(
            &["source", kind.key, "values", "time"],
            "milliseconds of 32 bits are too few for a TIME: `adaptive_time_microseconds` is the \
             same but for that",
        );
    }
    ValueModes {
        decimal: written.decimal.unwrap_or(default.decimal),
        time,
        binary: written.binary.unwrap_or(default.binary),
        bigint_unsigned: written.bigint_unsigned.unwrap_or(default.bigint_unsigned),
        ..default
    }
}
