//! MySQL 8.0-9.x and MariaDB 10.6 and newer.
//!
//! What a table looks like, in reading order: [`catalog`] asks the server, [`types`] and
//! [`defaults`] read its answers, [`table`] puts them together with the log's table maps into
//! versions. [`text`] reads values as the servers print them, and [`source_block`] says where a
//! change comes from.

pub mod calendar;
pub mod catalog;
pub mod defaults;
pub mod sql;
pub mod table;
pub mod table_error;
pub mod text;
pub mod types;

mod decimal_text;
mod quoted;
pub mod source_block;
