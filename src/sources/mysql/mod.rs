//! MySQL 8.0-9.x and MariaDB 10.6 and newer: the binary log.
//!
//! What a table looks like, in reading order: [`catalog`] asks the server, [`types`] and
//! [`defaults`] read its answers, [`table`] puts them together with the log's table maps into
//! versions. [`text`] reads values as the servers print them, and [`source_block`] says where a
//! change comes from.
//!
//! A snapshot begins at a [`moment`], and [`snapshot`] reads every table by [`select`]'s statement.

pub mod connection;
pub mod dump;
pub mod error;
pub mod lineage;
pub mod preflight;
pub mod replicas;
pub mod session;
pub mod settings;
pub mod sql;
pub mod version;
pub mod wire;

pub mod log_point;
pub mod moment;
pub mod snapshot;
pub mod snapshot_error;
pub mod snapshot_rows;

pub mod catalog;
pub mod catalog_query;
pub mod catalog_reader;
pub mod defaults;
pub mod select;
pub mod source_block;
pub mod table;
pub mod table_error;
pub mod text;
pub mod types;

mod auth;
mod gtid_wire;
mod handshake;
mod hints;
mod inspect;
mod scramble;
mod stream;
mod transport;

mod calendar;
mod decimal_text;
mod quoted;
