//! MongoDB: change streams.
//!
//! The official driver finds the server, proves who we are and hands us replies as they came. What
//! is ours: when a stream is opened and from where, what a lost stream means, the walk over BSON,
//! and the text forms that Debezium's consumers read.
//!
//! The async half, in reading order: [`source`] decides what a run starts from, [`session`] reads
//! while it lasts. Beneath them: the way to a [`deployment`], the start checks ([`preflight`],
//! `identity`, [`listing`], `oplog`), and the two phases: a [`snapshot`] in [`parts`], and the
//! `stream`, which is [`open`]ed with [`stages`]. Both take each [`reply`] apart without copying it.
//!
//! The formats, in reading order: [`bson`] walks documents, [`extjson`] writes their text. Of them
//! the [`decoder`] makes changes: an [`event`] field by field, put together where it came in pieces
//! ([`split`]), of one of the [`captured`] collections, its documents rewritten by the rules for
//! [`fields`] and made a [`row`]. Of what makes no change a `notice` tells.

pub mod source;

pub mod bson;
pub mod extjson;

pub mod deployment;
pub mod error;
pub mod listing;
pub mod open;
pub mod parts;
pub mod preflight;
pub mod reply;
pub mod session;
pub mod snapshot;
pub mod stages;
pub mod stream;

mod hints;
mod identity;
mod oplog;

pub mod captured;
pub mod decode_error;
pub mod decoder;
pub mod event;
pub mod fields;
pub mod namespace;
mod notice;
pub mod row;
mod snapshot_rows;
pub mod source_block;
pub mod split;
pub mod structured;
mod token;
mod transactions;

pub use source::MongodbSource;
