//! What a person can do about a [`SourceError`]: the exact SQL, setting or command.

use super::error::SourceError;
use super::sql::{quote_ident, quote_literal};

pub(super) fn hint(error: &SourceError) -> Option<String> {
    connection_hint(error).or_else(|| publication_hint(error)).or_else(|| slot_hint(error))
}

fn connection_hint(error: &SourceError) -> Option<String> {
    Some(match error {
        SourceError::Connect { endpoint, .. } | SourceError::ConnectTimeout { endpoint, .. } => {
            format!("check that a server listens on {endpoint} (listen_addresses, port, firewall)")
        }
        SourceError::MessageTooLarge { bytes, .. } => {
            format!("raise `source.postgres.message_bytes_max` to more than {bytes}")
        }
        SourceError::TlsRefused { .. } => "on the server: ALTER SYSTEM SET ssl = on; with a certificate in place, then reload; or set `source.postgres.tls.mode` to `disable` where the network is trusted".to_owned(),
        SourceError::TlsFile { .. } => "the file must be readable for this user and hold PEM; a key must not be encrypted".to_owned(),
        SourceError::TlsHandshake { .. } => "the certificate must be signed by `source.postgres.tls.ca` (or a system authority) and, for `verify-full`, carry the configured host in its subjectAltName; `verify-ca` does not look at the name".to_owned(),
        SourceError::PasswordMissing { .. } => "set `source.postgres.password`, for example to ${file:/run/secrets/pg}".to_owned(),
        SourceError::CleartextRefused { .. } => "set `source.postgres.tls.mode` to `verify-full`, or use the method scram-sha-256 in pg_hba.conf".to_owned(),
        SourceError::AuthenticationMethod { .. } => "use scram-sha-256, md5, cert or trust for this user in pg_hba.conf".to_owned(),
        SourceError::Scram { .. } => "the password is wrong, or the server does not know it either: be sure whom you talk to before trying again".to_owned(),
        SourceError::Login { source, user, database, .. } => match source.code.as_str() {
            "28P01" => format!("the password of `{user}` is wrong: check `source.postgres.password`, or ALTER ROLE {} PASSWORD '…';", quote_ident(user)),
            "28000" => format!("allow it in pg_hba.conf: hostssl {database} {user} <address> scram-sha-256; and ALTER ROLE {} LOGIN;", quote_ident(user)),
            "3D000" => format!("check `source.postgres.database`; database `{database}` is not there"),
            "42501" => format!("GRANT CONNECT ON DATABASE {} TO {};", quote_ident(database), quote_ident(user)),
            "53300" => "free a connection, or raise max_connections or the role's CONNECTION LIMIT".to_owned(),
            _ => return source.hint.clone(),
        },
        SourceError::Statement { source, .. } => match source.code.as_str() {
            "53400" | "53300" if source.message.contains("slot") => "ALTER SYSTEM SET max_replication_slots = …; or drop an unused slot (SELECT slot_name, active FROM pg_replication_slots;), then restart the server".to_owned(),
            "53300" => "raise max_wal_senders or max_connections, or end an unused connection".to_owned(),
            "55P03" => "another session holds a lock on the table for long: SELECT * FROM pg_locks WHERE NOT granted;".to_owned(),
            _ => return source.hint.clone(),
        },
        SourceError::LacksReplication { role, .. } => format!("ALTER ROLE {} REPLICATION; (on Amazon RDS: GRANT rds_replication TO {};)", quote_ident(role), quote_ident(role)),
        SourceError::WalLevel { .. } => "ALTER SYSTEM SET wal_level = 'logical'; then restart the server (on Amazon RDS: rds.logical_replication = 1)".to_owned(),
        SourceError::Standby { .. } => "point `source.postgres.host` at the primary (not at a reader endpoint)".to_owned(),
        SourceError::ServerVersion { .. } => "upgrade the server to a supported version (13 to 18)".to_owned(),
        SourceError::NoTables { .. } => "check `source.postgres.tables`; patterns are globs over schema.table, and unlogged or temporary tables are never captured".to_owned(),
        SourceError::MissingGrants { sql, .. } => sql.clone(),
        SourceError::UnmappedTypes { .. } => "set `source.postgres.unmapped_types` to `text` (the server's text form) or `skip` (leave them out), or exclude the tables in `source.postgres.tables`".to_owned(),
        SourceError::RowSecurity { role, .. } => format!("ALTER ROLE {} BYPASSRLS;", quote_ident(role)),
        _ => return None,
    })
}

fn publication_hint(error: &SourceError) -> Option<String> {
    Some(match error {
        SourceError::PublicationMissing { sql, .. } => format!(
            "run as the owner of the tables: {sql} or set `source.postgres.publication.create` to true"
        ),
        SourceError::PublicationRefused { sql, .. } => {
            format!("run as the owner of the tables: {sql}")
        }
        SourceError::TablesWithoutIdentity { sql, .. } => format!(
            "give them a primary key, or run {sql} or exclude them in `source.postgres.tables`, or create the publication yourself"
        ),
        SourceError::PublicationTables { sql, .. } => format!(
            "run as the owner: {sql} or exclude them in `source.postgres.tables`; rows written before the change of the publication are not in the stream"
        ),
        SourceError::PartitionsLeftOut { partitions, sql, .. } => format!(
            "capture the partitions too: add {partitions} to `source.postgres.tables`; or have all changes under the root's name, run as the owner: {sql}"
        ),
        SourceError::PublicationOperations { publication, .. } => format!(
            "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate');",
            quote_ident(publication)
        ),
        SourceError::PublicationColumns { publication, table, .. }
        | SourceError::PublicationRowFilter { publication, table } => format!(
            "publish the table whole: ALTER PUBLICATION {} DROP TABLE {table}; and ALTER PUBLICATION {} ADD TABLE {table}; what was left out until then is not in the stream",
            quote_ident(publication),
            quote_ident(publication)
        ),
        _ => return None,
    })
}

fn slot_hint(error: &SourceError) -> Option<String> {
    const AGAIN: &str = "to begin again with a new snapshot: tailwater offsets reset";
    Some(match error {
        SourceError::SlotMissing { .. } => {
            format!("changes since the checkpoint cannot be had any more; {AGAIN}")
        }
        SourceError::SlotForeign { .. } => {
            "set `source.postgres.slot` to a name of this pipeline's own".to_owned()
        }
        SourceError::SlotActive { pid, .. } => format!(
            "stop the other reader; if it is a leftover: SELECT pg_terminate_backend({pid});"
        ),
        SourceError::SlotLost { slot, .. } => format!(
            "{AGAIN}, and SELECT pg_drop_replication_slot({}); then raise max_slot_wal_keep_size",
            quote_literal(slot)
        ),
        SourceError::SlotAhead { slot, .. } => format!(
            "somebody else read from the slot, re-created it, or old offsets were put back; give each reader its own slot; {AGAIN}, and SELECT pg_drop_replication_slot({});",
            quote_literal(slot)
        ),
        SourceError::SlotWithoutCheckpoint { slot } => format!(
            "if the offsets were lost, put them back or run tailwater offsets set; if the slot is a leftover: SELECT pg_drop_replication_slot({}); and start again with a new snapshot",
            quote_literal(slot)
        ),
        SourceError::OtherSystem { .. } | SourceError::OtherDatabase { .. } => format!(
            "point the configuration at the old server; after a restore, a major upgrade or a re-created database {AGAIN}"
        ),
        SourceError::OtherSlot { expected, .. } => {
            format!("set `source.postgres.slot` back to `{expected}`, or {AGAIN}")
        }
        SourceError::Diverged { .. } | SourceError::BeyondLog { .. } => format!(
            "what was published after the point of divergence is not in this server: compare the topics; {AGAIN}"
        ),
        SourceError::ForeignPosition { .. } | SourceError::ConfirmedBackwards { .. } => {
            "this is a defect of tailwater: please report it with the log around it".to_owned()
        }
        _ => return None,
    })
}
