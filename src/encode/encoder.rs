//! The encoder: one compiled plan per table version.

use std::sync::Arc;

use crate::change::Change;
use crate::disposition::{Diagnose, Disposition};
use crate::encode::SchemaIds;
use crate::record::{RecordBatch, Topics};
use crate::schema::registry::RegistryError;

#[derive(Clone, Debug)]
pub struct EncodeOptions {
    pub topic_prefix: String,
    pub format: Format,
    pub tombstones: bool,
    pub id_header: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Avro,
    Json { schemas: bool },
}

#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("get the schema id of subject {subject}")]
    Registry { subject: String, source: RegistryError },
    #[error("convert column {column} of {table}: {detail}")]
    Convert { table: String, column: String, detail: String },
}

impl Diagnose for EncodeError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Registry { source, .. } => source.disposition(),
            Self::Convert { .. } => Disposition::DeadLetter,
        }
    }
}

pub struct Encoder {
    _options: EncodeOptions,
    _topics: Arc<Topics>,
    _ids: Box<dyn SchemaIds>,
}

impl Encoder {
    #[must_use]
    pub fn new(options: EncodeOptions, topics: Arc<Topics>, ids: Box<dyn SchemaIds>) -> Self {
        Self { _options: options, _topics: topics, _ids: ids }
    }

    /// Appends the records of one change (none, one, or up to three when its key changed).
    /// `now_ns` is the wall clock in nanoseconds since the epoch, the envelope's `ts_*`.
    ///
    /// # Errors
    /// When a value has no place in the schema, or the schema no number. `out` is then as before.
    pub fn encode(
        &mut self,
        _change: &Change<'_>,
        _now_ns: i64,
        _out: &mut RecordBatch,
    ) -> Result<(), EncodeError> {
        Ok(())
    }
}
