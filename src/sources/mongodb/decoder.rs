//! SIGNATURES (the body follows).

use crate::config::TableFilter;
use crate::offsets::position::MongodbPosition;
use crate::sources::mongodb::fields::FieldRules;
use crate::sources::mongodb::namespace::Namespace;
use crate::sources::mongodb::source_block::SourceConstants;

/// How documents stand in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentForm {
    /// As text: Extended JSON in `io.debezium.data.Json`.
    Text,
    /// As records of an inferred schema.
    Structured,
}

/// What the decoder is made for.
#[derive(Debug)]
pub struct DecoderConfig {
    pub source: SourceConstants,
    /// Replica set's or cluster's name, as it stands in the ids of events and in positions.
    pub lineage: String,
    /// Over `database.collection`. The server filters too, to save the way; this one decides.
    pub filter: TableFilter,
    pub fields: FieldRules,
    pub form: DocumentForm,
    /// `None` where the stream goes on from a checkpoint.
    pub snapshot: Option<SnapshotFacts>,
    /// Fragments of one split event together, at most; beyond it the event is refused.
    pub split_bytes_max: usize,
}

/// What the decoder must know of a snapshot: the moment, without its connections.
#[derive(Clone, Debug)]
pub struct SnapshotFacts {
    /// By the number that the session gives them (`Stage::Snapshot { table }`).
    pub collections: Vec<Namespace>,
    /// Where the stream goes on behind the snapshot: reported with `Progress::SnapshotComplete`.
    pub position: MongodbPosition,
    /// Microseconds since 1970: the documents' `source.ts_*`.
    pub read_at_us: i64,
    /// The cluster time (seconds in the upper half, increment in the lower) that every document
    /// was read at, if there is one such moment: events of it and before are in the snapshot and
    /// are passed over when the stream brings them.
    pub includes: Option<u64>,
}

pub struct Decoder;

impl Decoder {
    /// Infallible: what is wrong with the configuration was found when it was read.
    #[must_use]
    pub fn new(_config: DecoderConfig) -> Self {
        Self
    }
}

// Contract, in short:
// * `Stage::Stream`: messages are change events (first field `_id`) and post-batch tokens (first
//   field `_data`), as raw BSON documents. Progress comes at a post-batch token, and at the end of a
//   batch that brought none; never between the fragments of a split event.
// * `invalidate`, `drop`, `rename`, `dropDatabase` and the expanded events make no record; their
//   tokens are progress like any other, so a session that ends the stream at an invalidation may
//   send the event on as it is and follow with its own reopening (`startAfter` this token).
// * `Stage::Snapshot { table }`: raw documents of collection number `table`; a collection may come
//   in any number of batches, from several connections. `SnapshotTableEnd` once for each, then
//   `SnapshotEnd`.
