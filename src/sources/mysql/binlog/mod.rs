//! The binlog's events: bytes to borrowed structures, and nothing of what they mean together.
//!
//! In reading order: [`header`] is before every event and names its kind; [`control`] says where
//! the log is, [`gtid`] and [`query`] frame transactions, [`table_map`] (with `metadata`) describes
//! tables and [`rows`] frames their rows. [`payload`] and [`compressed`] hold other events.
//!
//! Every parser is total: any bytes give a value or an error. The formats are those of MySQL's
//! `libs/mysql/binlog/event` and MariaDB's `sql/log_event.h`.

pub mod header;

pub mod control;
pub mod gtid;
pub mod query;

pub mod rows;
pub mod table_map;

pub mod compressed;
pub mod payload;

mod metadata;
mod parse_error;
mod reader;

pub use parse_error::ParseError;
pub(crate) use reader::Reader;
pub use reader::Short;
