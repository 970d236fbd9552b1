//! PostgreSQL 13-18: logical replication with pgoutput.
//!
//! The async half, in reading order: [`source`] decides what a run starts from, `session` serves
//! the sockets while it lasts. Beneath them: the start checks ([`preflight`], [`publication`],
//! [`slot`]), the two phases (`snapshot`, `stream`), and one connection for all of it
//! ([`connection`], with `auth`, `transport` and `wire`).
//!
//! The pure half, bytes to changes, in reading order: [`decoder`] follows the stream, with
//! [`pgoutput`] for its messages and `table` for the shapes of its tables; `snapshot_rows` does
//! the same for the rows of a binary COPY ([`copy`], by [`select`]'s statement). [`types`] decides
//! how a value is read, [`text`] and [`binary`] read it.
//!
//! [`catalog`] is where the two meet: what the stream does not say of a table.

pub mod catalog;
pub mod decoder;
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

pub mod binary;
pub mod copy;
pub mod decode_error;
pub mod defaults;
pub mod pgoutput;
pub mod select;
pub mod text;
pub mod types;

mod auth;
mod channel_binding;
mod drift;
mod feedback;
mod frames;
mod hints;
mod session;
mod snapshot;
mod stream;
mod transport;
mod wire;

mod array;
mod datetime;
mod hstore;
mod numeric;
mod reader;
mod relations;
mod row;
mod snapshot_rows;
mod source_block;
mod table;

pub use source::PostgresSource;
#[cfg(test)]
mod testing;
