//! `source.mysql` and `source.mariadb`.

use std::time::Duration;

use super::Names;
use super::checks::{Checks, at_least};
use super::source::{self, Kind};
use crate::config::{LogPosition, MysqlConfig, defaults, written};

pub(super) const MYSQL: Kind = Kind { key: "mysql", table: "database.table", example: "shop" };
pub(super) const MARIADB: Kind = Kind { key: "mariadb", ..MYSQL };

pub(super) fn resolve(
    checks: &mut Checks<'_>,
    names: &Names,
    kind: Kind,
    written: written::Mysql,
) -> MysqlConfig {
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
    let tables = source::tables(checks, kind, written.tables.clone().unwrap_or_default());
    let tls = source::tls(checks, kind, &written.host, written.tls.clone().unwrap_or_default());
    let timing = timing(checks, kind, &written);
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
        connect_timeout: timing.connect,
        server_id: written.server_id.unwrap_or_else(|| server_id(&names.pipeline)),
        tables,
        position: match written.position {
            None => defaults::LOG_POSITION,
            Some(written::LogPosition::Auto) => LogPosition::Auto,
            Some(written::LogPosition::Gtid) => LogPosition::Gtid,
            Some(written::LogPosition::File) => LogPosition::File,
        },
        heartbeat_interval: timing.heartbeat,
        silence_limit: timing.silence,
        message_bytes_max,
    }
}

struct Timing {
    connect: Duration,
    heartbeat: Duration,
    silence: Duration,
}

fn timing(checks: &mut Checks<'_>, kind: Kind, written: &written::Mysql) -> Timing {
    let at = |key| ["source", kind.key, key];
    let connect = checks.duration(
        &at("connect_timeout"),
        written.connect_timeout,
        defaults::CONNECT_TIMEOUT,
        at_least(Duration::from_millis(100)),
    );
    let heartbeat = checks.duration(
        &at("heartbeat_interval"),
        written.heartbeat_interval,
        defaults::HEARTBEAT_INTERVAL,
        at_least(Duration::from_secs(1)),
    );
    let silence = checks.duration(
        &at("silence_limit"),
        written.silence_limit,
        defaults::SILENCE_LIMIT,
        at_least(Duration::from_secs(2)),
    );
    if silence <= heartbeat {
        checks.refuse(
            &at("silence_limit"),
            "must be longer than `heartbeat_interval`, or a quiet server looks dead",
        );
    }
    Timing { connect, heartbeat, silence }
}

/// The same number for a pipeline's name wherever and whenever it runs: FNV-1a.
fn server_id(pipeline: &str) -> u32 {
    const BASIS: u32 = 0x811C_9DC5;
    const PRIME: u32 = 0x0100_0193;
    let hash =
        pipeline.bytes().fold(BASIS, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME));
    // Not 0, and not among the small numbers that people give.
    defaults::SERVER_ID_MIN + hash % (u32::MAX - defaults::SERVER_ID_MIN)
}

#[cfg(test)]
mod tests {
    use super::server_id;

    #[test]
    fn pipelines_have_numbers_of_their_own() {
        assert_eq!(server_id("shop"), server_id("shop"));
        assert_ne!(server_id("shop"), server_id("shop2"));
        for pipeline in ["", "a", "shop", "Shop-EU.1"] {
            assert!(server_id(pipeline) >= 1_000_000, "{pipeline}");
        }
    }
}
