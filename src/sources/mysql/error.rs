//! What can go wrong between us and a MySQL or MariaDB server, and what is done about it.
//!
//! One variant per expected failure. What a person can do stands in `hints`.

use std::fmt;
use std::io;

use super::settings::Flavor;
use crate::disposition::{Diagnose, Disposition};
use crate::offsets::position::Position;
use crate::sources::BoxError;
use crate::sources::tls::TlsError;

/// An ERR packet of the server.
/// <https://dev.mysql.com/doc/mysql-errors/9.4/en/server-error-reference.html>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    pub code: u16,
    /// SQLSTATE.
    pub state: String,
    pub message: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR {} ({}): {}", self.code, self.state, self.message)
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
    #[error("stream from {endpoint}: nothing heard for {limit_ms} ms, not even a heartbeat")]
    Silent { endpoint: String, limit_ms: u128 },
    #[error("understand {endpoint}: {detail}")]
    Protocol { endpoint: String, detail: String },
    #[error("read a message of {bytes} bytes: the limit is {limit}")]
    MessageTooLarge { bytes: u64, limit: u32, flavor: Flavor },
    #[error("read from {endpoint} as {configured}: it is {found}, version {version}")]
    OtherFlavor { endpoint: String, configured: Flavor, found: Flavor, version: String },

    // TLS and authentication.
    #[error("encrypt the connection to {endpoint}: the server has TLS switched off")]
    TlsRefused { endpoint: String, flavor: Flavor },
    #[error("read the {what} in {path}")]
    TlsFile { what: &'static str, path: String, source: Source },
    #[error("prepare TLS for {endpoint}: {detail}")]
    TlsSetup { endpoint: String, detail: String },
    #[error("agree on TLS with {endpoint}")]
    TlsHandshake { endpoint: String, flavor: Flavor, source: io::Error },
    #[error(
        "log in to {endpoint} as `{user}`: the server wants the password in clear over an unencrypted connection"
    )]
    CleartextRefused { endpoint: String, user: String, flavor: Flavor },
    #[error("log in to {endpoint} as `{user}`: authentication plugin {method} is not supported")]
    AuthenticationMethod { endpoint: String, user: String, method: String },
    #[error("log in to {endpoint} as `{user}`")]
    Login { endpoint: String, user: String, flavor: Flavor, source: Box<ServerError> },

    // Statements.
    #[error("{operation}")]
    Statement { operation: &'static str, source: Box<ServerError> },

    // The server's settings and the user's rights.
    #[error("replicate from {endpoint}: {flavor} {found} is older than {oldest}")]
    ServerVersion { endpoint: String, flavor: Flavor, found: String, oldest: &'static str },
    #[error("replicate from {endpoint}: its binary log is switched off")]
    BinlogOff { endpoint: String },
    #[error("replicate from {endpoint}: {setting} is `{found}`, capture needs `{wanted}`")]
    Setting {
        endpoint: String,
        flavor: Flavor,
        setting: &'static str,
        found: String,
        wanted: &'static str,
    },
    #[error("replicate from {endpoint}: what it gets as a replica does not reach its own log")]
    ReplicaWithoutLog { endpoint: String, flavor: Flavor },
    #[error("replicate as `{user}`: no right to {missing}")]
    MissingGrants { user: String, missing: String, sql: String },
    #[error("replicate with server id {server_id}: {holder} has it")]
    ServerIdTaken { server_id: u32, holder: String, flavor: Flavor },

    // Identity and reachability of a checkpoint.
    #[error(
        "resume at {endpoint}: it is server {found}, the checkpoint is a place in the log of server {expected}"
    )]
    OtherServer { endpoint: String, expected: String, found: String },
    #[error("resume from {flavor}: the checkpoint is at {position}, a place of another source")]
    ForeignPosition { position: Box<Position>, flavor: Flavor },
    #[error("resume at {endpoint}: the checkpoint speaks GTIDs, and the server has none")]
    GtidsOff { endpoint: String, flavor: Flavor, found: String },
    #[error("resume: the server threw away transactions that were not read yet: {missing}")]
    Purged { missing: String },
    #[error("resume: {extra} was read, and this server does not have it")]
    Diverged { extra: String },
    #[error("resume at {endpoint}: it is a replica that does not have {missing} yet")]
    Behind { endpoint: String, missing: String },
    #[error("resume at {file}:{position}: the server threw this file away")]
    FileGone { file: String, position: u64, oldest: String },
    #[error("resume at {file}:{position}: the server's log ends before it, at {end}")]
    BeyondLog { file: String, position: u64, end: String },
    #[error("resume at {file}:{position}: a place beyond 4 GiB cannot be asked for by position")]
    PositionTooLarge { file: String, position: u64 },
    #[error("understand the GTID set `{text}`: {detail}")]
    GtidText { text: String, detail: &'static str },

    #[error(
        "begin the stream: XA transactions stay prepared and undecided for {waited_ms} ms: {names}"
    )]
    Undecided { names: String, waited_ms: u128 },

    // Running.
    #[error("stream from {endpoint}: another reader with server id {server_id} took our place")]
    Superseded { endpoint: String, server_id: u32, flavor: Flavor, source: Box<ServerError> },
    #[error("stream from {endpoint}: the server cannot send its log")]
    DumpRefused { endpoint: String, source: Box<ServerError> },
    #[error(
        "read the event at {place}: damaged, its checksum is {expected:08x} and its bytes give {found:08x}"
    )]
    Checksum { place: String, expected: u32, found: u32 },
    #[error("read the event at {place}: {detail}")]
    Event { place: String, detail: String },
    #[error("read on at {place}: a gap, the next event {detail}")]
    Gap { place: String, detail: String },
}

impl SourceError {
    pub(super) fn of_tls(error: TlsError, endpoint: &str, flavor: Flavor) -> Self {
        let endpoint = endpoint.to_owned();
        match error {
            TlsError::File { what, path, source } => {
                Self::TlsFile { what, path, source: Box::new(source) }
            }
            TlsError::Setup { detail } => Self::TlsSetup { endpoint, detail },
            TlsError::Handshake { source } => Self::TlsHandshake { endpoint, flavor, source },
        }
    }

    /// The server's own error, where one is behind this.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Login { source, .. }
            | Self::Statement { source, .. }
            | Self::Superseded { source, .. }
            | Self::DumpRefused { source, .. } => Some(source),
            _ => None,
        }
    }

    #[must_use]
    pub(crate) fn has_code(&self, code: u16) -> bool {
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
            | Self::Silent { .. } => Disposition::Reconnect,
            // A reset in the middle of a handshake heals, a certificate does not.
            Self::TlsHandshake { source, .. } => match source.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Disposition::Stop,
                _ => Disposition::Reconnect,
            },
            // 1236 is all that a dump thread knows to say: purged, diverged, damaged, too large.
            Self::Login { source, .. }
            | Self::Statement { source, .. }
            | Self::DumpRefused { source, .. } => of_server(source),
            // It comes nearer by itself; the retry budget ends the wait for what never comes.
            Self::Behind { .. } => Disposition::Reconnect,
            // A damaged event may have been damaged on its way; the run begins again before it, and
            // the retry budget ends it when the file itself is damaged.
            Self::Checksum { .. } => Disposition::Reconnect,
            Self::Protocol { .. }
            | Self::MessageTooLarge { .. }
            | Self::OtherFlavor { .. }
            | Self::TlsRefused { .. }
            | Self::TlsFile { .. }
            | Self::TlsSetup { .. }
            | Self::CleartextRefused { .. }
            | Self::AuthenticationMethod { .. }
            | Self::ServerVersion { .. }
            | Self::BinlogOff { .. }
            | Self::Setting { .. }
            | Self::ReplicaWithoutLog { .. }
            | Self::MissingGrants { .. }
            | Self::ServerIdTaken { .. }
            | Self::OtherServer { .. }
            | Self::ForeignPosition { .. }
            | Self::GtidsOff { .. }
            | Self::Purged { .. }
            | Self::Diverged { .. }
            | Self::FileGone { .. }
            | Self::BeyondLog { .. }
            | Self::PositionTooLarge { .. }
            | Self::GtidText { .. }
            | Self::Undecided { .. }
            | Self::Superseded { .. }
            | Self::Event { .. }
            | Self::Gap { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        super::hints::hint(self)
    }
}

/// What an error of the server is worth. The list of what never heals is closed; everything else
/// is worth the bounded retries of a reconnect, because it includes whatever a server says while
/// it starts, stops, fails over or runs out of something.
fn of_server(error: &ServerError) -> Disposition {
    // 1130 host not allowed, 1193 unknown variable, 1236 the log cannot be read, 1820 and 1862
    // password expired, 3118 and (MariaDB) 4151 account locked: all in the class HY.
    const NEVER_HEAL: [u16; 7] = [1130, 1193, 1236, 1820, 1862, 3118, 4151];
    // 1203 and 1226, too many connections of this user: in the class 42 for no good reason.
    const HEAL: [u16; 2] = [1203, 1226];
    // Data exceptions, authorization, unknown names, missing rights, missing features.
    const NEVER_HEAL_CLASSES: [&str; 5] = ["22", "28", "3D", "42", "0A"];
    let class = error.state.get(..2).unwrap_or_default();
    let never = NEVER_HEAL.contains(&error.code) || NEVER_HEAL_CLASSES.contains(&class);
    if never && !HEAL.contains(&error.code) { Disposition::Stop } else { Disposition::Reconnect }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(code: u16, state: &str) -> Disposition {
        let source =
            Box::new(ServerError { code, state: state.to_owned(), message: String::new() });
        SourceError::Statement { operation: "test", source }.disposition()
    }

    #[test]
    fn what_a_server_says_while_it_stops_or_is_full_is_worth_another_try() {
        for (code, state) in [
            (1040, "08004"),
            (1047, "08S01"),
            (1053, "08S01"),
            (1077, "HY000"),
            (1203, "42000"),
            (1226, "42000"),
            (1205, "HY000"),
            (0, ""),
        ] {
            assert_eq!(statement(code, state), Disposition::Reconnect, "{code}");
        }
    }

    #[test]
    fn a_wrong_password_and_missing_rights_are_not() {
        for (code, state) in [
            (1045, "28000"),
            (1044, "42000"),
            (1227, "42000"),
            (1236, "HY000"),
            (1130, "HY000"),
            (1862, "HY000"),
            (1064, "42000"),
        ] {
            assert_eq!(statement(code, state), Disposition::Stop, "{code}");
        }
    }
}
