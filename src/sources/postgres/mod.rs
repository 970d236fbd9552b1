//! PostgreSQL 13-18: logical replication with pgoutput.
//!
//! The pure half, bytes to changes, in reading order: [`decoder`] follows the stream, with
//! [`pgoutput`] for its messages and [`table`] for the shapes of its tables; `snapshot_rows` does
//! the same for the rows of a binary COPY ([`copy`], by [`select`]'s statement). [`types`] decides
//! how a value is read, [`text`] and [`binary`] read it.

pub mod catalog;
pub mod decoder;
pub mod select;

pub mod binary;
pub mod copy;
pub mod decode_error;
pub mod defaults;
pub mod pgoutput;
pub mod text;
pub mod types;

mod array;
mod datetime;
mod hstore;
mod numeric;
mod reader;
mod row;
mod snapshot_rows;
mod source_block;
mod table;

#[cfg(test)]
mod testing;
