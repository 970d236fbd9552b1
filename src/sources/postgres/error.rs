//! What can go wrong between us and a PostgreSQL server, and what is done about it.
//!
//! One variant per expected failure. What a person can do stands in `hints`.

use std::fmt;
use std::io;

use crate::disposition::{Diagnose, Disposition};
use crate::offsets::position::{Lsn, Position};
use crate::sources::BoxError;
use crate::sources::tls::TlsError;

/// An ErrorResponse of the server.
/// <https://www.postgresql.org/docs/current/protocol-error-fields.html>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`.
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.code, self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    // The way to the server.
    #[error("connect to {endpoint}")]
    Connect { endpoint: String, source: io::Error },
    #[error("connect to {endpoint}: no answer within {timeout_ms} ms")]
    ConnectTimeout { endpoint: String, timeout_ms: u128 },
    #[error("{operation}: connection to {endpoint} lost")]
    Lost { operation: &'static str, endpoint: String, source: io::Error },
    #[error("{operation}: connection closed by {endpoint}")]
    Closed { operation: &'static str, endpoint: String },
    #[error("{operation}: no answer from {endpoint} within {timeout_ms} ms")]
    Timeout { operation: &'static str, endpoint: String, timeout_ms: u128 },
    #[error("stream from {endpoint}: nothing heard for {limit_ms} ms, not even a keepalive")]
    Silent { endpoint: String, limit_ms: u128 },
    #[error("understand {endpoint}: {detail}")]
    Protocol { endpoint: String, detail: String },
    #[error("read a message of {bytes} bytes: the limit is {limit}")]
    MessageTooLarge { bytes: u64, limit: u32 },

    // TLS and authentication.
    #[error("encrypt the connection to {endpoint}: the server has TLS switched off")]
    TlsRefused { endpoint: String },
    #[error("read the {what} in {path}")]
    TlsFile { what: &'static str, path: String, source: Source },
    #[error("prepare TLS for {endpoint}: {detail}")]
    TlsSetup { endpoint: String, detail: String },
    #[error("agree on TLS with {endpoint}")]
    TlsHandshake { endpoint: String, source: io::Error },
    #[error("log in to {endpoint} as `{user}`: the server wants a password and none is configured")]
    PasswordMissing { endpoint: String, user: String },
    #[error(
        "log in to {endpoint} as `{user}`: the server wants the password in clear over an unencrypted connection"
    )]
    CleartextRefused { endpoint: String, user: String },
    #[error("log in to {endpoint} as `{user}`: authentication method {method} is not supported")]
    AuthenticationMethod { endpoint: String, user: String, method: String },
    #[error("prove to {endpoint} that `{user}` knows the password (SCRAM)")]
    Scram { endpoint: String, user: String, source: io::Error },
    #[error("log in to {endpoint} as `{user}`, database `{database}`")]
    Login { endpoint: String, user: String, database: String, source: Box<ServerError> },

    // Statements.
    #[error("{operation}")]
    Statement { operation: &'static str, source: Box<ServerError> },

    // The server's settings and the role's rights.
    #[error("replicate as `{role}`: the role has no right to")]
    LacksReplication { role: String, source: Box<ServerError> },
    #[error("replicate from {endpoint}: wal_level is `{found}`, logical decoding needs `logical`")]
    WalLevel { endpoint: String, found: String },
    #[error("replicate from {endpoint}: it is a standby")]
    Standby { endpoint: String },
    #[error("replicate from {endpoint}: server version {found} is older than 13")]
    ServerVersion { endpoint: String, found: u32 },
    #[error("find a table to capture: none of {present} in database `{database}` matches {filter}")]
    NoTables { database: String, filter: String, present: usize },
    #[error("read for the snapshot as `{role}`: no right to read {tables}")]
    MissingGrants { role: String, tables: String, sql: String },
    #[error("map {columns}: no mapping for their types")]
    UnmappedTypes { columns: String },
    #[error("read for the snapshot as `{role}`: row-level security would hide rows of {tables}")]
    RowSecurity { role: String, tables: String },

    // The publication.
    #[error("use publication `{publication}`: it does not exist")]
    PublicationMissing { publication: String, sql: String },
    #[error("create publication `{publication}`")]
    PublicationRefused { publication: String, sql: String, source: Box<ServerError> },
    #[error(
        "create publication `{publication}`: the server would refuse every UPDATE and DELETE on {tables}, which have no replica identity"
    )]
    TablesWithoutIdentity { publication: String, tables: String, sql: String },
    #[error("use publication `{publication}`: it does not publish {tables}")]
    PublicationTables { publication: String, tables: String, sql: String },
    #[error(
        "use publication `{publication}`: it names changes of {tables} by their partitions, and {partitions} are not captured"
    )]
    PartitionsLeftOut { publication: String, tables: String, partitions: String, sql: String },
    #[error("use publication `{publication}`: it does not publish {operations}")]
    PublicationOperations { publication: String, operations: String },
    #[error("use publication `{publication}`: it leaves out columns of {table}: {columns}")]
    PublicationColumns { publication: String, table: String, columns: String },
    #[error("use publication `{publication}`: it has a row filter on {table}")]
    PublicationRowFilter { publication: String, table: String },

    // The slot.
    #[error("resume at {checkpoint}: replication slot `{slot}` is gone")]
    SlotMissing { slot: String, checkpoint: Lsn },
    #[error("use replication slot `{slot}`: it has {what} `{found}`, not `{expected}`")]
    SlotForeign { slot: String, what: &'static str, found: String, expected: String },
    #[error("use replication slot `{slot}`: process {pid} of the server holds it for {holder}")]
    SlotActive { slot: String, pid: i64, holder: String },
    #[error(
        "resume at {checkpoint}: the server threw away log that replication slot `{slot}` needs ({reason})"
    )]
    SlotLost { slot: String, checkpoint: Lsn, reason: String },
    #[error(
        "resume at {checkpoint}: slot ahead of the checkpoint, `{slot}` was confirmed up to {confirmed}, the changes between are lost to us"
    )]
    SlotAhead { slot: String, checkpoint: Lsn, confirmed: Lsn },
    #[error("begin without a checkpoint: replication slot `{slot}` exists already")]
    SlotWithoutCheckpoint { slot: String },

    // Identity.
    #[error("resume at {endpoint}: it is system {found}, the checkpoint is of system {expected}")]
    OtherSystem { endpoint: String, expected: String, found: String },
    #[error(
        "resume in database `{database}`: its oid is {found}, the checkpoint is of oid {expected}"
    )]
    OtherDatabase { database: String, expected: u32, found: u32 },
    #[error("resume with slot `{found}`: the checkpoint is of slot `{expected}`")]
    OtherSlot { expected: String, found: String },
    #[error("resume at {checkpoint} of timeline {timeline}: diverged timeline, {detail}")]
    Diverged { checkpoint: Lsn, timeline: u32, detail: String },
    #[error("resume at {checkpoint}: the server's log ends before it, at {end}")]
    BeyondLog { checkpoint: Lsn, end: Lsn },

    // Running.
    #[error(
        "read {table} for the snapshot: it was altered, rewritten or truncated since the snapshot began"
    )]
    TableRewritten { table: String },
    #[error("read for the snapshot: a reader ended without a result")]
    ReaderLost { detail: String },
    #[error("confirm {to}: {from} was confirmed before")]
    ConfirmedBackwards { from: Lsn, to: Lsn },
    #[error("confirm {position}: it is not of system {system_id}")]
    ForeignPosition { position: Box<Position>, system_id: String },
}

impl SourceError {
    /// The server's own error, where one is behind this.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Login { source, .. }
            | Self::Statement { source, .. }
            | Self::LacksReplication { source, .. }
            | Self::PublicationRefused { source, .. } => Some(source),
            _ => None,
        }
    }

    pub(super) fn of_tls(error: TlsError, endpoint: &str) -> Self {
        let endpoint = endpoint.to_owned();
        match error {
            TlsError::File { what, path, source } => {
                Self::TlsFile { what, path, source: Box::new(source) }
            }
            TlsError::Setup { detail } => Self::TlsSetup { endpoint, detail },
            TlsError::Handshake { source } => Self::TlsHandshake { endpoint, source },
        }
    }

    #[must_use]
    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.server().is_some_and(|error| error.code == code)
    }
}

impl From<SourceError> for BoxError {
    fn from(error: SourceError) -> Self {
        Box::new(error)
    }
}

impl Diagnose for SourceError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Lost { .. }
            | Self::Closed { .. }
            | Self::Timeout { .. }
            | Self::Silent { .. }
            // The walsender of a killed run lives on until the server notices.
            | Self::SlotActive { .. }
            // The run starts the snapshot again.
            | Self::TableRewritten { .. }
            | Self::ReaderLost { .. } => Disposition::Reconnect,
            // A reset in the middle of a handshake heals, a certificate does not.
            Self::TlsHandshake { source, .. } => match source.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Disposition::Stop,
                _ => Disposition::Reconnect,
            },
            Self::Login { source, .. } | Self::Statement { source, .. } => of_sqlstate(&source.code),
            Self::Protocol { .. }
            | Self::MessageTooLarge { .. }
            | Self::TlsRefused { .. }
            | Self::TlsFile { .. }
            | Self::TlsSetup { .. }
            | Self::PasswordMissing { .. }
            | Self::CleartextRefused { .. }
            | Self::AuthenticationMethod { .. }
            | Self::Scram { .. }
            | Self::LacksReplication { .. }
            | Self::WalLevel { .. }
            | Self::Standby { .. }
            | Self::ServerVersion { .. }
            | Self::NoTables { .. }
            | Self::MissingGrants { .. }
            | Self::RowSecurity { .. }
            | Self::UnmappedTypes { .. }
            | Self::PublicationMissing { .. }
            | Self::PublicationRefused { .. }
            | Self::TablesWithoutIdentity { .. }
            | Self::PublicationTables { .. }
            | Self::PartitionsLeftOut { .. }
            | Self::PublicationOperations { .. }
            | Self::PublicationColumns { .. }
            | Self::PublicationRowFilter { .. }
            | Self::SlotMissing { .. }
            | Self::SlotForeign { .. }
            | Self::SlotLost { .. }
            | Self::SlotAhead { .. }
            | Self::SlotWithoutCheckpoint { .. }
            | Self::OtherSystem { .. }
            | Self::OtherDatabase { .. }
            | Self::OtherSlot { .. }
            | Self::Diverged { .. }
            | Self::BeyondLog { .. }
            | Self::ConfirmedBackwards { .. }
            | Self::ForeignPosition { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        super::hints::hint(self)
    }
}

/// What a SQLSTATE is worth. The list of what never heals is closed; everything else is worth the
/// bounded retries of a reconnect, because it includes whatever a server says while it starts,
/// stops, fails over or runs out of something.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn of_sqlstate(code: &str) -> Disposition {
    // 55000: "can no longer get changes from replication slot", "logical decoding requires …".
    // 58P01: the file of the log that is asked for has been removed.
    const NEVER_HEAL: [&str; 2] = ["55000", "58P01"];
    // Data exceptions, authorization, unknown names, missing rights, missing features.
    const NEVER_HEAL_CLASSES: [&str; 5] = ["22", "28", "3D", "42", "0A"];
    let class = code.get(..2).unwrap_or_default();
    if NEVER_HEAL.contains(&code) || NEVER_HEAL_CLASSES.contains(&class) {
        Disposition::Stop
    } else {
        Disposition::Reconnect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(code: &str) -> Disposition {
        let source = Box::new(ServerError { code: code.to_owned(), ..ServerError::default() });
        SourceError::Statement { operation: "test", source }.disposition()
    }

    #[test]
    fn what_a_server_says_while_it_stops_or_is_full_is_worth_another_try() {
        for code in ["57P01", "57P02", "57P03", "53300", "55006", "08006", "40001", "XX000", ""] {
            assert_eq!(statement(code), Disposition::Reconnect, "{code}");
        }
    }

    #[test]
    fn a_wrong_password_and_missing_rights_are_not() {
        for code in ["28P01", "28000", "3D000", "42501", "42704", "55000", "58P01", "0A000"] {
            assert_eq!(statement(code), Disposition::Stop, "{code}");
        }
    }
}
