//! One connection to a PostgreSQL server, for everything: SQL, COPY and replication.
//!
//! One way to connect, encrypt and authenticate for all of it, so that no second driver can get a
//! TLS mode or a limit differently. SQL takes the simple query protocol, the only one that a
//! walsender speaks too; so parameters are quoted into the text ([`super::sql`]).
//!
//! Reads go straight into one buffer, and CopyData messages leave it in runs, uncopied. Reading
//! is cancel-safe everywhere; a statement that was given up half-way leaves the connection unfit
//! for anything but being dropped.

mod buffers;

use std::collections::HashMap;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::auth;
use super::error::SourceError;
use super::sql::Row;
use super::transport::{self, Privacy, Transport};
use super::wire::{self, CopyFrames, Fields};
use crate::config::PostgresConfig;
use crate::sources::net::Io;

/// Any answer to a statement of ours that only reads catalogues or settings.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Settings that decide how a value is written as text. The same for the snapshot's connections
/// and for the walsender's, or one value would have two forms.
const VALUE_SETTINGS: [(&str, &str); 7] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    // Shortest digits that read back the same, since PostgreSQL 12.
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
];

/// A snapshot does not queue behind a table's lock for ever, and nobody queues behind it. A
/// walsender has no limit: it waits for old transactions by their locks while it makes a slot.
const LOCK_TIMEOUT: &str = "30s";

/// Role or database defaults must not end our sessions or hide rows.
const SESSION_SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    // A query that row-level security would filter fails instead.
    ("row_security", "off"),
    // pg_catalog comes first where it is not named.
    ("search_path", "public"),
];

/// Settings that not every version knows: set where they exist. The last one lets the server
/// notice that we are gone while it waits for old transactions, so that a slot in the making
/// does not outlive us.
const NEWER_SETTINGS: &str = "\
    SELECT pg_catalog.set_config(name, \
        CASE name WHEN 'client_connection_check_interval' THEN '5s' ELSE '0' END, false) \
    FROM pg_catalog.pg_settings \
    WHERE name IN ('idle_session_timeout', 'transaction_timeout', \
                   'client_connection_check_interval')";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Sql,
    /// A walsender bound to the database: it speaks replication commands and SQL.
    Replication,
}

pub struct PgConnection {
    io: Box<dyn Io>,
    input: BytesMut,
    output: BytesMut,
    message_bytes_max: u32,
    endpoint: String,
    purpose: Purpose,
    privacy: Privacy,
    channel_bound: bool,
    process_id: i32,
    parameters: HashMap<String, String>,
}

/// What a connection that copies out has next.
#[derive(Debug)]
pub enum CopyRead {
    Frames(CopyFrames),
    /// The server has nothing more to copy.
    Done,
}

impl PgConnection {
    /// # Errors
    /// When the server cannot be reached, refuses, or is not whom TLS wants it to be.
    pub async fn connect(config: &PostgresConfig, purpose: Purpose) -> Result<Self, SourceError> {
        match timeout(config.connect_timeout, Self::open(config, purpose)).await {
            Ok(connection) => connection,
            Err(_) => Err(SourceError::ConnectTimeout {
                endpoint: transport::endpoint(config),
                timeout_ms: config.connect_timeout.as_millis(),
            }),
        }
    }

    async fn open(config: &PostgresConfig, purpose: Purpose) -> Result<Self, SourceError> {
        let Transport { io, privacy } = transport::open(config).await?;
        let mut connection = Self {
            io,
            input: BytesMut::new(),
            output: BytesMut::new(),
            message_bytes_max: config.message_bytes_max,
            endpoint: transport::endpoint(config),
            purpose,
            privacy,
            channel_bound: false,
            process_id: 0,
            parameters: HashMap::new(),
        };
        connection.send_startup(config).await?;
        auth::authenticate(&mut connection, config).await?;
        connection.await_ready(config).await?;
        connection.query("set up the session", NEWER_SETTINGS).await?;
        Ok(connection)
    }

    async fn send_startup(&mut self, config: &PostgresConfig) -> Result<(), SourceError> {
        let mut parameters = vec![
            ("user", config.user.as_str()),
            ("database", config.database.as_str()),
            ("application_name", "tailwater"),
        ];
        parameters.extend(VALUE_SETTINGS);
        parameters.extend(SESSION_SETTINGS);
        match self.purpose {
            Purpose::Sql => parameters.push(("lock_timeout", LOCK_TIMEOUT)),
            Purpose::Replication => {
                parameters.extend([("lock_timeout", "0"), ("replication", "database")]);
            }
        }
        if frontend::startup_message(parameters, &mut self.output).is_err() {
            let detail = "user and database names cannot hold a zero byte".to_owned();
            return Err(self.protocol_error(detail));
        }
        self.flush("start a session").await
    }

    /// From the end of authentication to the first ReadyForQuery.
    async fn await_ready(&mut self, config: &PostgresConfig) -> Result<(), SourceError> {
        loop {
            let message = self.next_message("start a session").await?;
            match message.tag {
                b'K' => {
                    let mut fields = Fields::new("the key data", &message.body);
                    self.process_id = fields.int32().map_err(|error| self.wire_error(&error))?;
                }
                wire::READY => return Ok(()),
                // Wrong database names, missing CONNECT rights and full servers come only here.
                wire::ERROR => return Err(auth::login_error(self, config, &message.body)),
                wire::NOTICE => self.log_notice(&message),
                other => return Err(self.unexpected(other, "start a session")),
            }
        }
    }

    /// Runs SQL that is answered at once, or else the connection is given up. With several
    /// statements in one text, the rows of all of them come back.
    ///
    /// # Errors
    /// The server's error, a lost connection, or no answer in time.
    pub async fn query(
        &mut self,
        operation: &'static str,
        sql: &str,
    ) -> Result<Vec<Row>, SourceError> {
        let endpoint = self.endpoint.clone();
        match timeout(QUERY_TIMEOUT, self.query_unbounded(operation, sql)).await {
            Ok(rows) => rows,
            Err(_) => Err(SourceError::Timeout {
                operation,
                endpoint,
                timeout_ms: QUERY_TIMEOUT.as_millis(),
            }),
        }
    }

    /// As [`Self::query`], for what may rightly take long: the caller watches over it.
    ///
    /// # Errors
    /// The server's error, or a lost connection.
    pub async fn query_unbounded(
        &mut self,
        operation: &'static str,
        sql: &str,
    ) -> Result<Vec<Row>, SourceError> {
        self.send_query(operation, sql).await?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            let message = self.next_message(operation).await?;
            match message.tag {
                b'D' => {
                    let row = wire::data_row(&message.body);
                    rows.push(row.map_err(|error| self.wire_error(&error))?);
                }
                wire::ERROR => {
                    let source = Box::new(wire::server_error(&message.body));
                    failure.get_or_insert(SourceError::Statement { operation, source });
                }
                wire::READY => return failure.map_or(Ok(rows), Err),
                wire::NOTICE => self.log_notice(&message),
                // RowDescription, CommandComplete, EmptyQueryResponse.
                b'T' | wire::COMMAND_COMPLETE | b'I' => {}
                other => return Err(self.unexpected(other, operation)),
            }
        }
    }

    /// Starts a COPY to us (`H`) or a replication stream (`W`). Rows follow from
    /// [`Self::read_copy`].
    ///
    /// # Errors
    /// The server's error, a lost connection, or no answer in time.
    pub async fn start_copy(
        &mut self,
        operation: &'static str,
        sql: &str,
    ) -> Result<(), SourceError> {
        let endpoint = self.endpoint.clone();
        match timeout(QUERY_TIMEOUT, self.start_copy_unbounded(operation, sql)).await {
            Ok(started) => started,
            Err(_) => Err(SourceError::Timeout {
                operation,
                endpoint,
                timeout_ms: QUERY_TIMEOUT.as_millis(),
            }),
        }
    }

    async fn start_copy_unbounded(
        &mut self,
        operation: &'static str,
        sql: &str,
    ) -> Result<(), SourceError> {
        self.send_query(operation, sql).await?;
        loop {
            let message = self.next_message(operation).await?;
            match message.tag {
                b'H' | b'W' => return Ok(()),
                wire::ERROR => {
                    let source = Box::new(wire::server_error(&message.body));
                    return Err(SourceError::Statement { operation, source });
                }
                wire::NOTICE => self.log_notice(&message),
                other => return Err(self.unexpected(other, operation)),
            }
        }
    }

    /// The next run of CopyData messages, or the end. Waits without limit; cancel-safe.
    ///
    /// # Errors
    /// The server's error, or a lost connection.
    pub async fn read_copy(&mut self, operation: &'static str) -> Result<CopyRead, SourceError> {
        loop {
            let frames = wire::take_copy_data(&mut self.input, self.message_bytes_max);
            if let Some(frames) = frames.map_err(|error| self.wire_error(&error))? {
                return Ok(CopyRead::Frames(frames));
            }
            let Some(message) = self.buffered_message()? else {
                self.fill(operation).await?;
                continue;
            };
            match message.tag {
                // A walsender that shuts down completes its command without ending the copy
                // (`WalSndDone` in `walsender.c`).
                wire::COPY_DONE | wire::COMMAND_COMPLETE => return Ok(CopyRead::Done),
                wire::ERROR => {
                    let source = Box::new(wire::server_error(&message.body));
                    return Err(SourceError::Statement { operation, source });
                }
                wire::NOTICE => self.log_notice(&message),
                other => return Err(self.unexpected(other, operation)),
            }
        }
    }

    /// From the end of a copy to ReadyForQuery; gives the command's tag, for example `COPY 42`.
    ///
    /// # Errors
    /// The server's error, a lost connection, or no answer in time.
    pub async fn end_copy(&mut self, operation: &'static str) -> Result<String, SourceError> {
        let endpoint = self.endpoint.clone();
        match timeout(QUERY_TIMEOUT, self.end_copy_unbounded(operation)).await {
            Ok(tag) => tag,
            Err(_) => Err(SourceError::Timeout {
                operation,
                endpoint,
                timeout_ms: QUERY_TIMEOUT.as_millis(),
            }),
        }
    }

    async fn end_copy_unbounded(&mut self, operation: &'static str) -> Result<String, SourceError> {
        let mut tag = String::new();
        loop {
            let message = self.next_message(operation).await?;
            match message.tag {
                wire::COMMAND_COMPLETE => {
                    let mut fields = Fields::new("a command's tag", &message.body);
                    let text = fields.c_string().map_err(|error| self.wire_error(&error))?;
                    text.clone_into(&mut tag);
                }
                wire::READY => return Ok(tag),
                wire::ERROR => {
                    let source = Box::new(wire::server_error(&message.body));
                    return Err(SourceError::Statement { operation, source });
                }
                wire::COPY_DATA | wire::COPY_DONE => {}
                wire::NOTICE => self.log_notice(&message),
                other => return Err(self.unexpected(other, operation)),
            }
        }
    }

    /// Sends one CopyData message, on a replication stream.
    ///
    /// # Errors
    /// When the connection is lost or takes no bytes.
    pub async fn send_copy_data(&mut self, payload: &[u8]) -> Result<(), SourceError> {
        match frontend::CopyData::new(payload) {
            Ok(message) => message.write(&mut self.output),
            Err(error) => return Err(self.protocol_error(error.to_string())),
        }
        self.flush("send a status update").await
    }

    /// # Errors
    /// When the connection is lost or takes no bytes.
    pub async fn send_copy_done(&mut self) -> Result<(), SourceError> {
        frontend::copy_done(&mut self.output);
        self.flush("end the stream").await
    }

    /// Says goodbye. Whether it is heard does not matter: the server frees everything of a closed
    /// socket too, only later.
    pub async fn close(mut self) {
        frontend::terminate(&mut self.output);
        if self.flush("close").await.is_ok() {
            self.io.shutdown().await.ok();
        }
    }

    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Of the server's process that serves this connection.
    #[must_use]
    pub fn process_id(&self) -> i32 {
        self.process_id
    }

    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.privacy, Privacy::Encrypted { .. })
    }

    /// Whether SCRAM proved that nobody sits in the middle of the TLS channel.
    #[must_use]
    pub fn is_channel_bound(&self) -> bool {
        self.channel_bound
    }

    /// A setting that the server reports of its own accord, for example `server_version`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub(super) fn is_replication(&self) -> bool {
        self.purpose == Purpose::Replication
    }

    pub(super) fn privacy(&self) -> &Privacy {
        &self.privacy
    }

    pub(super) fn set_channel_bound(&mut self, bound: bool) {
        self.channel_bound = bound;
    }

    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    async fn send_query(&mut self, operation: &'static str, sql: &str) -> Result<(), SourceError> {
        if frontend::query(sql, &mut self.output).is_err() {
            return Err(self.protocol_error("a statement cannot hold a zero byte".to_owned()));
        }
        self.flush(operation).await
    }
}
