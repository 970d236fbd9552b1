//! The PostgreSQL source against a real server: logging in, TLS, SQL, COPY, streaming, start checks.
//!
//! Needs the server's binaries in `/usr/lib/postgresql/15/bin` (or `TAILWATER_POSTGRES_BIN`) and `openssl`. Where
//! they are missing the tests fail: a test that did not run is not a pass.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "postgres_connection/server.rs"]
mod server;

#[path = "postgres_connection/login.rs"]
mod login;
#[path = "postgres_connection/sessions.rs"]
mod sessions;
#[path = "postgres_connection/start_checks.rs"]
mod start_checks;
