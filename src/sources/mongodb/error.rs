//! What can go wrong between us and a MongoDB deployment, and what is done about it.
//!
//! One variant per expected failure. What a person can do stands in `hints`. The driver's own errors
//! are taken apart at the edge (`SourceError::of_driver`): their text has whole replies in it.

use std::fmt;

use mongodb::error::{CommandError, Error, ErrorKind};

use super::namespace::Namespace;
use crate::disposition::{Diagnose, Disposition};
use crate::offsets::position::Position;
use crate::sources::BoxError;

/// An error that the server answered with.
/// <https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    pub code: i32,
    pub name: String,
    pub message: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name, self.code, self.message)
    }
}

impl std::error::Error for ServerError {}

impl From<&CommandError> for ServerError {
    fn from(error: &CommandError) -> Self {
        Self { code: error.code, name: error.code_name.clone(), message: error.message.clone() }
    }
}

/// Everything else that the driver says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DriverError(pub String);

/// Whose images of documents are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    Before,
    After,
}

impl Images {
    /// The key below `source.mongodb`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Before => "pre_images",
            Self::After => "full_document",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    // The way to the servers.
    #[error("read `source.mongodb.uri`: {detail}")]
    Uri { detail: String },
    #[error("reach {servers}")]
    Unreachable { servers: String, source: DriverError },
    #[error("{operation}: connection to {servers} lost")]
    Lost { operation: &'static str, servers: String, source: DriverError },
    #[error("{operation}: {servers} did not answer a ping within {timeout_ms} ms")]
    Silent { operation: &'static str, servers: String, timeout_ms: u128 },
    #[error("{operation}: no sense in the answer of {servers}: {detail}")]
    Reply { operation: &'static str, servers: String, detail: String },
    #[error("agree on TLS with {servers}")]
    Tls { servers: String, source: DriverError },
    #[error("log in to {servers} as `{user}`")]
    Login { servers: String, user: String, source: DriverError },
    #[error("log in to {servers} as `{user}` again")]
    LoginLost { servers: String, user: String, source: DriverError },
    #[error("set up the driver for {servers}")]
    Setup { servers: String, source: DriverError },

    // What the servers are.
    #[error("stream from {servers}: a server that stands alone has no change streams")]
    Standalone { servers: String },
    #[error("stream from {servers}: version {found} is older than {oldest}, which {wanted} needs")]
    ServerVersion { servers: String, found: String, oldest: &'static str, wanted: &'static str },
    #[error("{operation}: not allowed")]
    Unauthorized { operation: &'static str, grant: String, source: ServerError },
    #[error("{operation}")]
    Command { operation: &'static str, source: ServerError },
    #[error("read the documents that a majority has: the server has that switched off")]
    MajorityOff { source: ServerError },
    #[error("open the change stream: the server refuses its pipeline")]
    PipelineRefused { source: ServerError },

    // What is captured.
    #[error("capture database `{database}`: there is none of that name")]
    UnknownDatabase { database: String, known: Vec<String> },
    #[error("capture {}: there is no such collection", list(unknown))]
    UnknownCollection { unknown: Vec<String>, known: Vec<String> },
    #[error("capture collections: none of the {n_found} found is asked for")]
    NothingCaptured { n_found: usize },
    #[error("capture with `{}`: {} do not keep images of their documents", .images.key(), list(collections))]
    ImagesOff { images: Images, collections: Vec<Namespace> },

    // Identity and reachability of a checkpoint.
    #[error("resume from MongoDB: the checkpoint is at {position}, a place of another source")]
    ForeignPosition { position: Position },
    #[error("resume at {servers}: it is {found}, the checkpoint is a place in {expected}")]
    OtherDeployment { servers: String, expected: String, found: String },
    #[error(
        "resume at {servers}: the checkpoint is at {checkpoint}, and the newest there is {newest}"
    )]
    BeyondLog { servers: String, checkpoint: String, newest: String },
    #[error("resume: the oplog does not reach back to {place} any more")]
    HistoryLost { place: String, source: ServerError },
    #[error("resume: the event of the token at {place} is not in what is captured now")]
    TokenNotFound {
        place: String,
        /// The stream stood at a later place already.
        went_on: bool,
        source: ServerError,
    },
    #[error("resume: the server cannot read the resume token at {place}")]
    BadToken { place: String, source: ServerError },

    // Running.
    #[error("{operation}: the server ended the stream without saying why")]
    Ended { operation: &'static str },
    #[error("stream: an event is larger than the 16 MB that this server can send")]
    EventTooLarge { source: ServerError },
    #[error("stream: an image of a document is gone that `{}: required` asks for", .images.key())]
    ImageMissing { images: Images, source: ServerError },
    #[error("read the collections: a reader ended without a word: {detail}")]
    ReaderLost { detail: String },
}

fn list<T: fmt::Display>(names: &[T]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// `Unauthorized`.
const UNAUTHORIZED: i32 = 13;
/// `AuthenticationFailed`, and Atlas' own.
const LOGIN: [i32; 2] = [18, 8000];
/// `ReadConcernMajorityNotEnabled`.
const MAJORITY_OFF: i32 = 148;

impl SourceError {
    /// What the driver says of one operation.
    pub(super) fn of_driver(operation: &'static str, servers: &str, error: &Error) -> Self {
        let servers = servers.to_owned();
        let source = || DriverError(error.kind.to_string());
        match &*error.kind {
            ErrorKind::Command(command) => Self::of_command(operation, command.into()),
            ErrorKind::Authentication { .. } => {
                Self::Login { servers, user: String::new(), source: source() }
            }
            ErrorKind::ServerSelection { message, .. } if is_tls(message) => {
                Self::Tls { servers, source: source() }
            }
            ErrorKind::ServerSelection { message, .. } if is_login(message) => {
                Self::Login { servers, user: String::new(), source: source() }
            }
            ErrorKind::ServerSelection { .. } | ErrorKind::DnsResolve { .. } => {
                Self::Unreachable { servers, source: source() }
            }
            ErrorKind::Io(error) if is_tls(&error.to_string()) => {
                Self::Tls { servers, source: source() }
            }
            ErrorKind::ConnectionPoolCleared { message, .. } if is_tls(message) => {
                Self::Tls { servers, source: source() }
            }
            ErrorKind::InvalidResponse { message, .. } => {
                Self::Reply { operation, servers, detail: message.clone() }
            }
            ErrorKind::Bson(error) => Self::Reply { operation, servers, detail: error.to_string() },
            ErrorKind::InvalidArgument { .. }
            | ErrorKind::InvalidTlsConfig { .. }
            | ErrorKind::IncompatibleServer { .. }
            | ErrorKind::SessionsNotSupported => Self::Setup { servers, source: source() },
            // What is left is the connection's: I/O, a cleared pool, the driver's own trouble.
            _ => Self::Lost { operation, servers, source: source() },
        }
    }

    fn of_command(operation: &'static str, source: ServerError) -> Self {
        match source.code {
            UNAUTHORIZED => Self::Unauthorized { operation, grant: String::new(), source },
            MAJORITY_OFF => Self::MajorityOff { source },
            _ => Self::Command { operation, source },
        }
    }

    /// The server's own error, where one is behind this.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Unauthorized { source, .. }
            | Self::Command { source, .. }
            | Self::MajorityOff { source }
            | Self::PipelineRefused { source }
            | Self::HistoryLost { source, .. }
            | Self::TokenNotFound { source, .. }
            | Self::BadToken { source, .. }
            | Self::EventTooLarge { source }
            | Self::ImageMissing { source, .. } => Some(source),
            _ => None,
        }
    }

    pub(super) fn has_code(&self, codes: &[i32]) -> bool {
        self.server().is_some_and(|error| codes.contains(&error.code))
    }
}

/// The driver reports whatever kept it from a server in one text, after it has waited for one.
fn is_tls(message: &str) -> bool {
    ["invalid peer certificate", "received fatal alert", "InvalidCertificate", "corrupt message"]
        .iter()
        .any(|sign| message.contains(sign))
}

fn is_login(message: &str) -> bool {
    ["SCRAM failure", "Authentication failed", "AuthenticationFailed"]
        .iter()
        .any(|sign| message.contains(sign))
}

impl From<SourceError> for BoxError {
    fn from(error: SourceError) -> Self {
        Box::new(error)
    }
}

impl Diagnose for SourceError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Silent { .. }
            | Self::LoginLost { .. }
            // The next run knows of it, and goes on by the time.
            | Self::TokenNotFound { .. }
            | Self::Reply { .. }
            | Self::Ended { .. }
            | Self::ReaderLost { .. } => Disposition::Reconnect,
            Self::Command { source, .. } => of_server(source),
            Self::Uri { .. }
            | Self::Tls { .. }
            | Self::Login { .. }
            | Self::Setup { .. }
            | Self::Standalone { .. }
            | Self::ServerVersion { .. }
            | Self::Unauthorized { .. }
            | Self::MajorityOff { .. }
            | Self::PipelineRefused { .. }
            | Self::UnknownDatabase { .. }
            | Self::UnknownCollection { .. }
            | Self::NothingCaptured { .. }
            | Self::ImagesOff { .. }
            | Self::ForeignPosition { .. }
            | Self::OtherDeployment { .. }
            | Self::BeyondLog { .. }
            | Self::HistoryLost { .. }
            | Self::BadToken { .. }
            | Self::EventTooLarge { .. }
            | Self::ImageMissing { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        super::hints::hint(self)
    }
}

/// What an error of the server is worth. The list of what never heals is closed; everything else
/// is worth the bounded retries of a reconnect, because it includes whatever a server says while
/// it starts, stops, elects another or runs out of something, in the words of any version.
fn of_server(error: &ServerError) -> Disposition {
    // BadValue, FailedToParse, TypeMismatch, CommandNotFound, InvalidOptions, InvalidNamespace,
    // CommandNotSupported, CommandNotSupportedOnView, an unknown stage, an unknown field.
    const NEVER_HEAL: [i32; 10] = [2, 9, 14, 59, 72, 73, 115, 166, 40324, 40415];
    let never = NEVER_HEAL.contains(&error.code) || LOGIN.contains(&error.code);
    if never { Disposition::Stop } else { Disposition::Reconnect }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(code: i32) -> SourceError {
        let source = ServerError { code, ..ServerError::default() };
        SourceError::of_command("test", source)
    }

    #[test]
    fn elections_and_killed_cursors_are_worth_another_run() {
        // HostUnreachable, NetworkTimeout, CursorNotFound, ExceededTimeLimit, ShutdownInProgress,
        // NotWritablePrimary, InterruptedAtShutdown, InterruptedDueToReplStateChange,
        // NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary, PrimarySteppedDown, CursorKilled, and one
        // that nobody has thought of yet.
        for code in [6, 89, 43, 262, 91, 10107, 11600, 11602, 13435, 13436, 189, 237, 987_654] {
            assert_eq!(command(code).disposition(), Disposition::Reconnect, "{code}");
        }
    }

    #[test]
    fn rights_and_words_that_the_server_does_not_know_are_not() {
        for code in [13, 18, 8000, 148, 59, 40324, 40415] {
            assert_eq!(command(code).disposition(), Disposition::Stop, "{code}");
        }
    }

    #[test]
    fn certificates_are_told_from_servers_that_are_away() {
        let timeout = "Server selection timeout: No available servers. Topology: { Type: Unknown, \
                       Servers: [ { Address: db:27017, Type: Unknown, Error: Kind: I/O error: ";
        assert!(is_tls(&format!("{timeout}invalid peer certificate: UnknownIssuer")));
        assert!(!is_tls(&format!("{timeout}Connection refused (os error 111)")));
        assert!(is_login(&format!("{timeout}SCRAM failure: Authentication failed.")));
    }

    #[test]
    fn names_are_listed() {
        let collections = vec![Namespace::new("shop", "a"), Namespace::new("shop", "b")];
        let error = SourceError::ImagesOff { images: Images::Before, collections };
        assert_eq!(
            error.to_string(),
            "capture with `pre_images`: `shop.a`, `shop.b` do not keep images of their documents"
        );
    }
}
