//! The whole road of a row between socket and sink: decoded and, in the same pass, encoded as Avro.

use std::sync::Arc;

use bumpalo::Bump;
use tailwater::change::{Change, Progress, TransactionEdge};
use tailwater::encode::{EncodeOptions, Encoder, Format, SchemaIds};
use tailwater::record::{Boundary, RecordBatch};
use tailwater::schema::registry::RegistryError;
use tailwater::sources::{BoxError, ChangeHandler, Decode, RawBatch, Undecodable};

struct One;

impl SchemaIds for One {
    fn id(&mut self, _: &str, _: &str) -> Result<u32, RegistryError> {
        Ok(1)
    }
}

pub(crate) struct Transcoder {
    decoder: Box<dyn Decode>,
    encoder: Encoder,
    arena: Bump,
    out: RecordBatch,
}

impl Transcoder {
    pub(crate) fn new(decoder: impl Decode + 'static) -> Self {
        Self::to_topics(decoder, None)
    }

    /// With transaction metadata.
    pub(crate) fn with_transactions(decoder: impl Decode + 'static) -> Self {
        Self::to_topics(decoder, Some("transaction".to_owned()))
    }

    fn to_topics(decoder: impl Decode + 'static, transaction_topic: Option<String>) -> Self {
        let options = EncodeOptions {
            connector: "postgresql",
            topic_prefix: "shop".to_owned(),
            format: Format::Avro,
            values: tailwater::config::ValueModes::default(),
            tombstones: true,
            id_header: true,
            context_headers: false,
            transaction_topic,
        };
        Self {
            decoder: Box::new(decoder),
            encoder: Encoder::new(options, Arc::default(), Box::new(One)),
            arena: Bump::new(),
            out: RecordBatch::default(),
        }
    }

    /// Transcodes a batch into memory that earlier ones have used; gives the number of records.
    pub(crate) fn transcode(&mut self, raw: &RawBatch) -> usize {
        self.out.data.clear();
        self.out.records.clear();
        self.out.headers.clear();
        self.out.boundaries.clear();
        let mut handler = Handler { encoder: &mut self.encoder, out: &mut self.out };
        self.decoder.decode(raw, &self.arena, &mut handler).expect("rows decode");
        self.arena.reset();
        self.out.records.len()
    }
}

struct Handler<'h> {
    encoder: &'h mut Encoder,
    out: &'h mut RecordBatch,
}

impl ChangeHandler for Handler<'_> {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let encoded = self.encoder.encode(change, 1_795_179_844_034_652_816, self.out);
        encoded.map_err(|error| Box::new(error) as BoxError)
    }

    fn transaction(&mut self, edge: &TransactionEdge<'_>) -> Result<(), BoxError> {
        let encoded = self.encoder.encode_transaction(edge, self.out);
        encoded.map_err(|error| Box::new(error) as BoxError)
    }

    fn progress(&mut self, progress: Progress) {
        self.out.boundaries.push(Boundary { records: self.out.records.len(), progress });
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        Err(row.error)
    }
}
