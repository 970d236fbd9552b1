//! Stub, to be replaced at the merge.

use bumpalo::Bump;

use super::catalog::{Catalog, RelationFacts};
use crate::config::{TableFilter, UnmappedTypes};
use crate::offsets::position::Lsn;
use crate::sources::{BoxError, ChangeHandler, Decode, RawBatch};

pub struct DecoderConfig {
    pub system_id: String,
    pub timeline: u32,
    pub database: String,
    pub topic_prefix: String,
    pub version: &'static str,
    pub filter: TableFilter,
    pub unmapped_types: UnmappedTypes,
    pub logical_messages: bool,
    pub server_version: u32,
    pub snapshot: Option<SnapshotFacts>,
}

pub struct SnapshotFacts {
    pub tables: Vec<RelationFacts>,
    pub consistent_point: Lsn,
    pub transaction_id: i64,
    pub read_at_us: i64,
}

pub struct Decoder;

impl Decoder {
    #[must_use]
    pub fn new(_config: DecoderConfig, _catalog: Box<dyn Catalog>) -> Self {
        Self
    }
}

impl Decode for Decoder {
    fn decode<'a>(
        &mut self,
        _raw: &'a RawBatch,
        _arena: &'a Bump,
        _out: &mut dyn ChangeHandler<'a>,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}
