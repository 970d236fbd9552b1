//! PostgreSQL 13-18: logical replication with pgoutput.
//!
//! The way in, in reading order: [`source`] decides what a run starts from, [`session`] serves the
//! sockets while it lasts. Beneath them: the start checks ([`preflight`], [`publication`],
//! [`slot`]), the two phases ([`snapshot`], [`stream`]), and one connection for all of it
//! ([`connection`], with [`auth`], [`tls`], [`transport`] and [`wire`]).

pub mod catalog;
pub mod decoder;
pub mod select;
pub mod source;

pub mod catalog_query;
pub mod catalog_reader;
pub mod connection;
pub mod error;
pub mod lineage;
pub mod preflight;
pub mod publication;
pub mod slot;
pub mod sql;

mod auth;
mod feedback;
mod hints;
mod progress;
mod session;
mod snapshot;
mod stream;
mod tls;
mod transport;
mod wire;

pub use source::PostgresSource;
