//! One connection to a MySQL or MariaDB server, for everything: SQL, rows of a snapshot, the
//! binary log.
//!
//! One way to connect, encrypt and authenticate for all of it, so that no second driver can get a
//! TLS mode or a limit differently. SQL takes the text protocol; parameters are quoted into the
//! text ([`super::sql`]).
//!
//! Reads go straight into one buffer, and rows and events leave it in runs, uncopied. Reading is
//! cancel-safe everywhere; a statement that was given up half-way leaves the connection unfit for
//! anything but being dropped.

mod buffers;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::auth;
use super::error::SourceError;
use super::settings::{ConnectSettings, Flavor};
use super::sql::Row;
use super::transport::{self, Privacy, Transport};
use super::version::Version;
use super::wire::{self, Fields, Frames};
use crate::sources::net::Io;

/// Any answer to a statement of ours that only reads catalogues or settings.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);
/// A goodbye that is not taken at once is not waited for.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html>
mod command {
    pub(super) const QUIT: u8 = 0x01;
    pub(super) const QUERY: u8 = 0x03;
    pub(super) const PING: u8 = 0x0E;
}
/// The server wants a file of ours; we never said that we would give one.
const LOCAL_INFILE: u8 = 0xFB;
const MORE_RESULTS: u16 = 8;

/// The same for the snapshot's connections and for all others, or one value would have two forms.
/// Server defaults and `init_connect` must not decide over it, nor end our sessions: between two
/// reads of ours lies whatever time the sink takes.
const SESSION_SETTINGS: &str = "SET character_set_client = utf8mb4, \
    character_set_connection = utf8mb4, character_set_results = utf8mb4, \
    collation_connection = utf8mb4_general_ci, time_zone = '+00:00', sql_mode = '', \
    autocommit = 1, sql_quote_show_create = 1, sql_auto_is_null = 0, sql_select_limit = 18446744073709551615, \
    net_read_timeout = 86400, net_write_timeout = 86400, wait_timeout = 86400, \
    lock_wait_timeout = 30";
const NO_STATEMENT_LIMIT_MYSQL: &str = "SET max_execution_time = 0";
const NO_STATEMENT_LIMIT_MARIADB: &str = "SET max_statement_time = 0";

pub struct MyConnection {
    io: Box<dyn Io>,
    input: BytesMut,
    output: BytesMut,
    /// Of the next packet, whoever sends it.
    sequence: u8,
    message_bytes_max: u32,
    endpoint: String,
    flavor: Flavor,
    version: Version,
    privacy: Privacy,
    thread_id: u32,
}

/// What a result set has next.
#[derive(Debug)]
pub enum RowsRead {
    /// Rows of the text protocol, for [`super::sql::values`].
    Rows(Frames),
    Done,
}

/// What the binary log has next.
#[derive(Debug)]
pub enum EventsRead {
    /// Each behind its OK byte.
    Events(Frames),
    /// The server has nothing more to send, now or ever.
    Done,
}

impl MyConnection {
    /// # Errors
    /// When the server cannot be reached, refuses, or is not whom TLS or the configuration wants
    /// it to be.
    pub async fn connect(settings: &ConnectSettings) -> Result<Self, SourceError> {
        match timeout(settings.connect_timeout, Self::open(settings)).await {
            Ok(connection) => connection,
            Err(_) => Err(SourceError::ConnectTimeout {
                endpoint: settings.address.to_string(),
                timeout_ms: settings.connect_timeout.as_millis(),
            }),
        }
    }

    async fn open(settings: &ConnectSettings) -> Result<Self, SourceError> {
        let Transport { io, privacy, greeting, sequence } = transport::open(settings).await?;
        let mut connection = Self {
            io,
            input: BytesMut::new(),
            output: BytesMut::new(),
            sequence,
            message_bytes_max: settings.message_bytes_max,
            endpoint: settings.address.to_string(),
            flavor: settings.flavor,
            version: Version::parse(&greeting.version),
            privacy,
            thread_id: greeting.thread_id,
        };
        auth::authenticate(&mut connection, settings, &greeting).await?;
        const SETUP: &str = "set up the session";
        connection.query(SETUP, SESSION_SETTINGS).await?;
        let no_limit = match settings.flavor {
            Flavor::Mysql => NO_STATEMENT_LIMIT_MYSQL,
            Flavor::Mariadb => NO_STATEMENT_LIMIT_MARIADB,
        };
        connection.query(SETUP, no_limit).await?;
        Ok(connection)
    }

    /// Runs SQL that is answered at once, or else the connection is given up.
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

    /// As [`Self::query`], for what may rightly take long: the caller watches over it. The rows of
    /// a procedure's several results come back together.
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
        loop {
            match self.result_head(operation).await? {
                Head::Done { more: false } => return Ok(rows),
                Head::Done { more: true } => {}
                Head::Columns => loop {
                    let payload = self.next_payload(operation).await?;
                    if wire::is_eof(&payload) {
                        match self.has_more(&payload)? {
                            true => break,
                            false => return Ok(rows),
                        }
                    }
                    if payload.first() == Some(&wire::ERROR) {
                        return Err(statement(operation, &payload));
                    }
                    let row = wire::text_row(&payload);
                    rows.push(row.map_err(|error| self.wire_error(&error))?);
                },
            }
        }
    }

    /// Starts a SELECT whose rows follow from [`Self::read_rows`], however many.
    ///
    /// # Errors
    /// The server's error, or a lost connection. Waits without limit: a server may work long
    /// before it has its first row.
    pub async fn start_rows(
        &mut self,
        operation: &'static str,
        sql: &str,
    ) -> Result<(), SourceError> {
        self.send_query(operation, sql).await?;
        match self.result_head(operation).await? {
            Head::Columns => Ok(()),
            Head::Done { .. } => Err(self.protocol_error(format!("no rows while we {operation}"))),
        }
    }

    /// The next run of rows, or the end. Waits without limit; cancel-safe.
    ///
    /// # Errors
    /// The server's error, or a lost connection.
    pub async fn read_rows(&mut self, operation: &'static str) -> Result<RowsRead, SourceError> {
        match self.next_run(operation, wire::is_row).await? {
            Ok(frames) => Ok(RowsRead::Rows(frames)),
            Err(end) if wire::is_eof(&end) => match self.has_more(&end)? {
                false => Ok(RowsRead::Done),
                true => {
                    let detail = format!("a second result while we {operation}");
                    Err(self.protocol_error(detail))
                }
            },
            Err(error) => Err(statement(operation, &error)),
        }
    }

    /// The next run of events of a binary log that was asked for. Waits without limit;
    /// cancel-safe.
    ///
    /// # Errors
    /// The server's error, or a lost connection.
    pub(super) async fn read_events(
        &mut self,
        operation: &'static str,
    ) -> Result<EventsRead, SourceError> {
        match self.next_run(operation, wire::is_event).await? {
            Ok(frames) => Ok(EventsRead::Events(frames)),
            Err(end) if wire::is_eof(&end) => Ok(EventsRead::Done),
            Err(other) if other.first() == Some(&wire::ERROR) => Err(statement(operation, &other)),
            Err(other) => Err(self.unexpected(other.first().copied(), operation)),
        }
    }

    /// Sends a command that is answered with OK.
    ///
    /// # Errors
    /// The server's error, a lost connection, or no answer in time.
    pub(super) async fn command(
        &mut self,
        operation: &'static str,
        command: &[u8],
    ) -> Result<(), SourceError> {
        let endpoint = self.endpoint.clone();
        let answer = async {
            self.send_command(operation, command).await?;
            match self.result_head(operation).await? {
                Head::Done { .. } => Ok(()),
                Head::Columns => Err(self.protocol_error(format!("rows while we {operation}"))),
            }
        };
        match timeout(QUERY_TIMEOUT, answer).await {
            Ok(done) => done,
            Err(_) => Err(SourceError::Timeout {
                operation,
                endpoint,
                timeout_ms: QUERY_TIMEOUT.as_millis(),
            }),
        }
    }

    /// # Errors
    /// When the connection is lost.
    pub async fn ping(&mut self) -> Result<(), SourceError> {
        self.command("ping", &[command::PING]).await
    }

    /// Says goodbye. Whether it is heard does not matter: the server frees everything of a closed
    /// socket too, only later.
    pub async fn close(mut self) {
        let goodbye = async {
            if self.send_command("close", &[command::QUIT]).await.is_ok() {
                self.io.shutdown().await.ok();
            }
        };
        timeout(GOODBYE_TIMEOUT, goodbye).await.ok();
    }

    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Of the server's thread that serves this connection: `KILL n` ends it.
    #[must_use]
    pub fn thread_id(&self) -> u32 {
        self.thread_id
    }

    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.privacy == Privacy::Encrypted
    }

    pub(super) fn privacy(&self) -> Privacy {
        self.privacy
    }

    async fn send_query(&mut self, operation: &'static str, sql: &str) -> Result<(), SourceError> {
        let command = [&[command::QUERY], sql.as_bytes()].concat();
        self.send_command(operation, &command).await
    }

    /// From a command to its first row, or to its end.
    /// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response.html>
    async fn result_head(&mut self, operation: &'static str) -> Result<Head, SourceError> {
        let payload = self.next_payload(operation).await?;
        match payload.first() {
            Some(&wire::OK) => Ok(Head::Done { more: self.has_more(&payload)? }),
            Some(&wire::ERROR) => Err(statement(operation, &payload)),
            Some(&LOCAL_INFILE) | None => Err(self.unexpected(payload.first().copied(), operation)),
            Some(_) => {
                let n_columns = Fields::new("the number of columns", &payload).number();
                let n_columns = n_columns.map_err(|error| self.wire_error(&error))?;
                // What they are called and of which type, the query knows.
                for _ in 0..n_columns {
                    self.next_payload(operation).await?;
                }
                let end = self.next_payload(operation).await?;
                match wire::is_eof(&end) {
                    true => Ok(Head::Columns),
                    false => Err(self.unexpected(end.first().copied(), operation)),
                }
            }
        }
    }

    /// Whether an OK or EOF packet announces another result.
    fn has_more(&self, payload: &Bytes) -> Result<bool, SourceError> {
        let mut fields = Fields::new("the end of a result", payload);
        let status = match fields.byte() {
            Ok(wire::OK) => {
                fields.number().and_then(|_| fields.number()).and_then(|_| fields.u16())
            }
            Ok(_) => fields.u16().and_then(|_warnings| fields.u16()),
            Err(error) => Err(error),
        };
        let status = status.map_err(|error| self.wire_error(&error))?;
        Ok(status & MORE_RESULTS != 0)
    }
}

enum Head {
    /// Rows follow.
    Columns,
    Done {
        more: bool,
    },
}

fn statement(operation: &'static str, payload: &[u8]) -> SourceError {
    SourceError::Statement { operation, source: Box::new(wire::server_error(payload)) }
}
