//! MySQL 8.0-9.x and MariaDB 10.6 and newer: the binary log.
//!
//! The async half, in reading order: [`source`] decides what a run starts from, [`session`] serves
//! the sockets while it lasts. Beneath them: the start checks ([`preflight`], [`lineage`],
//! [`replicas`]), the two phases ([`snapshot`], `stream`, which [`dump`] begins and `inspect`
//! guards), and one connection for all of it ([`connection`]).
//!
//! What a table looks like, in reading order: [`catalog`] asks the server, [`types`] and
//! [`defaults`] read its answers, [`table`] puts them together with the log's table maps into
//! versions. [`text`] reads values as the servers print them, and [`source_block`] says where a
//! change comes from.
//!
//! Where the log does not name the columns of its rows, [`schemas`] follows the statements that
//! define tables ([`ddl`]) from [`definitions`] on, `believe` holds each table map against it, and
//! `reread` asks the catalogue where it does not know. [`schema_follow`] is where the decoder meets
//! them, and tells of statements.
//!
//! The stream, in reading order: [`decoder`] follows the log, by what each event does (`follow`,
//! `rows_follow`), one transaction (`group`) at a time; `done` is what of it needs no repeating and
//! `prepared` what waits for a decision. [`binlog`] reads the events; a `plan` reads the rows, with
//! [`charset`], [`json`], `decimal` and `temporal` for the values.
//!
//! A snapshot begins at a [`moment`] (`undecided`: what is prepared there), and [`snapshot`] reads every table by [`select`]'s statement.

pub mod source;

pub mod binlog;
pub mod charset;
pub mod ddl;
pub mod decode_error;
pub mod decoder;
pub mod json;
pub mod schema_follow;
pub mod schemas;

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
pub mod definitions;
pub mod select;
pub mod source_block;
pub mod table;
pub mod table_error;
pub mod text;
pub mod types;

mod auth;
mod believe;
mod handshake;
mod hints;
mod inspect;
mod places;
mod reread;
mod scramble;
mod stream;
mod transactions;
mod transport;
mod undecided;

mod done;
mod follow;
mod group;
mod plan;
mod prepared;
mod reading;
mod row;
mod row_count;
mod rows_follow;
mod statement;
mod table_maps;

mod calendar;
mod decimal;
mod decimal_text;
mod quoted;
mod temporal;

pub use source::MysqlSource;
