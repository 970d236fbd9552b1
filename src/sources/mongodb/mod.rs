//! MongoDB: change streams.
//!
//! The official driver finds the server, proves who we are and hands us replies as they came. What
//! is ours: when a stream is opened and from where, what a lost stream means, the walk over BSON,
//! and the text forms that Debezium's consumers read.
//!
//! The formats, in reading order: [`bson`] walks documents, [`extjson`] writes their text. Of them
//! the [`decoder`] makes changes: an [`event`] field by field, put together where it came in pieces
//! ([`split`]), of one of the [`captured`] collections, its documents rewritten by the rules for [`fields`]
//! and made a [`row`].

pub mod bson;
pub mod extjson;

pub mod captured;
pub mod decode_error;
pub mod decoder;
pub mod event;
pub mod fields;
pub mod namespace;
pub mod row;
mod snapshot_rows;
pub mod source;
pub mod source_block;
pub mod split;
pub mod structured;
mod token;

pub use source::MongodbSource;
