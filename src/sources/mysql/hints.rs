//! What a person can do about a [`SourceError`]: the exact SQL, setting or command.

use super::error::{ServerError, SourceError};
use super::settings::Flavor;
use super::sql::quote_literal;

pub(super) fn hint(error: &SourceError) -> Option<String> {
    connection_hint(error).or_else(|| settings_hint(error)).or_else(|| log_hint(error))
}

fn connection_hint(error: &SourceError) -> Option<String> {
    Some(match error {
        SourceError::Connect { endpoint, .. } | SourceError::ConnectTimeout { endpoint, .. } => {
            format!("check that a server listens on {endpoint} (bind_address, port, firewall)")
        }
        SourceError::MessageTooLarge { bytes, flavor, .. } => {
            format!("raise `source.{}.message_bytes_max` to more than {bytes}", flavor.key())
        }
        SourceError::OtherFlavor { found, .. } => {
            format!("write `source: {{ {}: … }}` in the configuration", found.key())
        }
        SourceError::TlsRefused { flavor, .. } => format!(
            "on the server: set ssl_cert and ssl_key in my.cnf and restart; or set `source.{}.tls.mode` to `disable` where the network is trusted",
            flavor.key()
        ),
        SourceError::TlsFile { .. } => {
            "the file must be readable for this user and hold PEM; a key must not be encrypted"
                .to_owned()
        }
        SourceError::TlsHandshake { flavor, .. } => format!(
            "the certificate must be signed by `source.{}.tls.ca` (or a system authority; the server's own ca.pem lies in its data folder) and, for `verify-full`, carry the configured host in its subjectAltName; `verify-ca` does not look at the name",
            flavor.key()
        ),
        SourceError::CleartextRefused { flavor, .. } => {
            format!("set `source.{}.tls.mode` to `verify-full`", flavor.key())
        }
        SourceError::AuthenticationMethod { user, .. } => format!(
            "ALTER USER {} IDENTIFIED WITH caching_sha2_password BY '…'; (MariaDB: IDENTIFIED VIA ed25519 USING PASSWORD('…'))",
            account(user)
        ),
        SourceError::Login { source, user, flavor, .. } => {
            return login_hint(source, user, *flavor);
        }
        SourceError::Statement { source, .. } => return statement_hint(source),
        _ => return None,
    })
}

fn account(user: &str) -> String {
    format!("{}@'%'", quote_literal(user))
}

fn login_hint(error: &ServerError, user: &str, flavor: Flavor) -> Option<String> {
    Some(match error.code {
        1045 | 1698 => format!("the password of `{user}` is wrong or this host is not allowed: check `source.{}.password` and SELECT user, host, plugin FROM mysql.user WHERE user = {};", flavor.key(), quote_literal(user)),
        1130 => format!("no account is allowed from this host: CREATE USER {} IDENTIFIED BY '…';", account(user)),
        1129 => "the server blocks this host after many failed connections: FLUSH HOSTS; (MySQL 8.0.23 and later: TRUNCATE TABLE performance_schema.host_cache;)".to_owned(),
        1040 | 1203 | 1226 => "free a connection, or raise max_connections or the user's limit".to_owned(),
        1820 | 1862 => format!("the password has expired: ALTER USER {} IDENTIFIED BY '…';", account(user)),
        3118 | 4151 => format!("ALTER USER {} ACCOUNT UNLOCK;", account(user)),
        3159 => format!("the server wants TLS: set `source.{}.tls.mode` to `require` or better", flavor.key()),
        _ => return None,
    })
}

fn statement_hint(error: &ServerError) -> Option<String> {
    Some(match error.code {
        1205 => "another session holds a lock for long: SHOW PROCESSLIST;".to_owned(),
        1227 | 1044 | 1142 => {
            "grant what the message names to this user, then start again".to_owned()
        }
        _ => return None,
    })
}

fn settings_hint(error: &SourceError) -> Option<String> {
    Some(match error {
        SourceError::ServerVersion { .. } => "upgrade the server".to_owned(),
        SourceError::BinlogOff { .. } => {
            "set log_bin = binlog and server_id = 1 in my.cnf under [mysqld], then restart the server".to_owned()
        }
        SourceError::Setting { flavor, setting, wanted, .. } => set_globally(*flavor, setting, wanted),
        SourceError::ReplicaWithoutLog { flavor: Flavor::Mysql, .. } => "set log_replica_updates = ON in my.cnf and restart the server, or read from its source".to_owned(),
        SourceError::ReplicaWithoutLog { flavor: Flavor::Mariadb, .. } => "set log_slave_updates = ON in my.cnf and restart the server, or read from its primary".to_owned(),
        SourceError::MissingGrants { sql, .. } => sql.clone(),
        SourceError::ServerIdTaken { flavor, .. } => format!("give this pipeline an id of its own: `source.{}.server_id`, a number that no server and no other reader has", flavor.key()),
        _ => return None,
    })
}

fn set_globally(flavor: Flavor, setting: &str, wanted: &str) -> String {
    match (flavor, setting) {
        (_, "server_id") => format!("SET GLOBAL server_id = {wanted}; and server_id = {wanted} in my.cnf under [mysqld]"),
        (_, "enforce_gtid_consistency" | "gtid_mode") => "SET PERSIST enforce_gtid_consistency = ON; SET PERSIST gtid_mode = OFF_PERMISSIVE; SET PERSIST gtid_mode = ON_PERMISSIVE; SET PERSIST gtid_mode = ON;".to_owned(),
        (Flavor::Mysql, _) => format!("SET PERSIST {setting} = {wanted}; sessions that are open keep the old value until they reconnect"),
        (Flavor::Mariadb, _) => format!("SET GLOBAL {setting} = {wanted}; and {setting} = {wanted} in my.cnf under [mariadb]; sessions that are open keep the old value until they reconnect"),
    }
}

fn log_hint(error: &SourceError) -> Option<String> {
    const NEW_SNAPSHOT: &str = "`tailwater offsets reset` and a new snapshot";
    Some(match error {
        SourceError::OtherServer { .. } => format!("point the pipeline back at its server; without GTIDs a place in one server's log means nothing in another's: {NEW_SNAPSHOT}"),
        SourceError::ForeignPosition { .. } => format!("give each source a pipeline of its own, or start this one anew: {NEW_SNAPSHOT}"),
        SourceError::GtidsOff { .. } => "switch GTIDs on again (SET PERSIST gtid_mode = ON; by its steps), or point the pipeline at a server that has them".to_owned(),
        SourceError::Purged { .. } => format!("what is gone cannot be read: {NEW_SNAPSHOT}; then keep the log for longer: binlog_expire_logs_seconds"),
        SourceError::Diverged { .. } => format!("the checkpoint is of a server that went another way (a failover that lost transactions, or RESET): point the pipeline back at it, or {NEW_SNAPSHOT}"),
        SourceError::Behind { .. } => "wait until it has caught up with its source (SHOW REPLICA STATUS; MariaDB: SHOW ALL SLAVES STATUS), or point the pipeline at a server that has".to_owned(),
        SourceError::FileGone { oldest, .. } => format!("the oldest file is {oldest}: {NEW_SNAPSHOT}; then keep the log for longer: binlog_expire_logs_seconds"),
        SourceError::BeyondLog { .. } => format!("the log was reset or the server restored from a backup: {NEW_SNAPSHOT}"),
        SourceError::PositionTooLarge { .. } => format!("switch GTIDs on (gtid_mode = ON), with which places are not positions; here: {NEW_SNAPSHOT}"),
        SourceError::Undecided { names, .. } => {
            let first = names.split("; ").next().unwrap_or_default();
            format!("decide them, then start again: XA COMMIT {first}; or XA ROLLBACK {first}; (XA RECOVER lists them; the log has their rows before the place where the stream is to begin)")
        }
        SourceError::Superseded { server_id, flavor, .. } => format!("one pipeline runs once: stop the other process; if it is another pipeline or a replica with server id {server_id}, set `source.{}.server_id`", flavor.key()),
        SourceError::DumpRefused { source, .. } => return dump_hint(source),
        SourceError::Checksum { .. } => "if it is the same event again and again, its file is damaged: `mysqlbinlog --verify-binlog-checksum` on the server tells".to_owned(),
        SourceError::Gap { .. } => format!("look at the log around this place (SHOW BINLOG EVENTS IN '…'); nothing was passed over: {NEW_SNAPSHOT} if events are missing"),
        _ => return None,
    })
}

fn dump_hint(error: &ServerError) -> Option<String> {
    Some(match error.code {
        1227 => "GRANT REPLICATION SLAVE ON *.* TO this user;".to_owned(),
        1236 if error.message.contains("max_allowed_packet") => {
            "SET GLOBAL max_allowed_packet = 1073741824;".to_owned()
        }
        1236 if error.message.contains("purged")
            || error.message.contains("first log file name") => "what is gone cannot be read: `tailwater offsets reset` and a new snapshot; then keep the log for longer: binlog_expire_logs_seconds".to_owned(),
        // `ER_GTID_POSITION_NOT_FOUND_IN_BINLOG` and its sisters in MariaDB's `errmsg-utf8.txt`.
        1236 if error.message.contains("not in the master's binlog") => "the checkpoint is of a server that went another way (a failover that lost transactions, or RESET): point the pipeline back at it, or `tailwater offsets reset` and a new snapshot".to_owned(),
        _ => return None,
    })
}
