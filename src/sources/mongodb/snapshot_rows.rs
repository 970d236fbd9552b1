//! Documents of the snapshot: the decoder's part before the stream.
//!
//! Of its places in a snapshot Debezium marks one alone, the very last document, and that is known
//! only afterwards: so the latest document is held back until another one comes or the snapshot
//! ends. Within a batch it is held as a view; only what is left over at the batch's end is copied.

use bumpalo::Bump;

use crate::change::{Change, EventId, Op};
use crate::offsets::position::MongodbPosition;
use crate::sources::mongodb::bson::Document;
use crate::sources::mongodb::captured::{Collection, Collections};
use crate::sources::mongodb::decode_error::{DecodeError, RowError};
use crate::sources::mongodb::decoder::{SnapshotFacts, message, settle};
use crate::sources::mongodb::row::{DocumentError, Image, Rows};
use crate::sources::mongodb::source_block::{NO_ORD, Place, marker, slots};
use crate::sources::{BoxError, ChangeHandler, RawBatch, Undecodable};
use crate::value::Value;

#[derive(Debug)]
pub(crate) struct SnapshotRows {
    facts: SnapshotFacts,
    /// By the number that the session gives them.
    states: Vec<State>,
    /// The document that is held back, and its collection.
    held: Vec<u8>,
    holds: Option<usize>,
}

#[derive(Debug)]
struct State {
    /// `<lineage>-snapshot-<microseconds>-<collection>`: a repeated snapshot is another one.
    id: String,
    n_emitted: u64,
    ended: bool,
}

impl SnapshotRows {
    pub(crate) fn new(facts: SnapshotFacts, lineage: &str) -> Self {
        // Not its position: a snapshot that begins again keeps that, and counts other documents.
        let attempt = facts.read_at_us;
        let states = facts.collections.iter().map(|namespace| State {
            id: format!("{lineage}-snapshot-{attempt}-{namespace}"),
            n_emitted: 0,
            ended: false,
        });
        Self { states: states.collect(), facts, held: Vec::new(), holds: None }
    }

    pub(crate) fn rows(
        &mut self,
        number: u32,
        raw: &RawBatch,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let index = self.index(number)?;
        if self.states[index].ended {
            return Err(DecodeError::Batch("documents came after their collection's end").into());
        }
        let arena = context.arena;
        if context.collections.are_records() {
            self.foresee(index, raw, context)?;
        }
        let mut held: Option<(usize, &[u8])> =
            self.holds.take().map(|index| (index, &*arena.alloc_slice_copy(&self.held)));
        for range in &raw.messages {
            let document = message(raw, range)?;
            if let Some((of, document)) = held.replace((index, document)) {
                self.emit(of, document, marker::SNAPSHOT, context)?;
            }
        }
        if let Some((of, document)) = held {
            self.holds = Some(of);
            self.held.clear();
            self.held.extend_from_slice(document);
        }
        Ok(())
    }

    /// As the decoder does of the stream: one version a batch.
    fn foresee(
        &self,
        index: usize,
        raw: &RawBatch,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let namespace = &self.facts.collections[index];
        let of = (namespace.database.as_str(), namespace.collection.as_str());
        for range in &raw.messages {
            if let Ok(document) = message(raw, range)
                && let Ok(document) = Document::new(document)
            {
                context.collections.observe(of, document, context.arena);
            }
        }
        settle(context.collections, context.out)
    }

    pub(crate) fn table_end(&mut self, number: u32) -> Result<(), BoxError> {
        let index = self.index(number)?;
        if std::mem::replace(&mut self.states[index].ended, true) {
            return Err(DecodeError::Batch("a collection ended twice").into());
        }
        Ok(())
    }

    /// Gives where the stream goes on.
    pub(crate) fn end(&mut self, context: &mut Context<'_>) -> Result<MongodbPosition, BoxError> {
        if self.states.iter().any(|state| !state.ended) {
            return Err(DecodeError::Batch("it ended before all of its collections").into());
        }
        if let Some(index) = self.holds.take() {
            let held = std::mem::take(&mut self.held);
            self.emit(index, &held, marker::LAST, context)?;
        }
        Ok(self.facts.position.clone())
    }

    fn emit(
        &mut self,
        index: usize,
        raw: &[u8],
        marker: &str,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let namespace = &self.facts.collections[index];
        let collection = context.collections.get(&namespace.database, &namespace.collection);
        let collection = collection
            .ok_or(DecodeError::Batch("it has documents of a collection that is not captured"))?;
        let place = Place {
            ts_us: self.facts.read_at_us,
            snapshot: marker,
            ord: NO_ORD,
            transaction: None,
            wall_time_ms: None,
        };
        let state = &mut self.states[index];
        let id = EventId { transaction: &state.id, ordinal: state.n_emitted };
        state.n_emitted += 1;
        match image(collection, raw, context.arena) {
            Ok(image) => context.out.change(&Change {
                table: &collection.table,
                op: Op::Read,
                before: None,
                after: Some(&image),
                source: slots(&place, context.arena),
                id,
                transaction: None,
                raw,
            }),
            Err(source) => {
                let table = namespace.to_string();
                let error = Box::new(RowError { collection: table.clone(), source });
                context.out.undecodable(Undecodable { table: &table, id, raw, error })
            }
        }
    }

    fn index(&self, number: u32) -> Result<usize, DecodeError> {
        usize::try_from(number)
            .ok()
            .filter(|&index| index < self.states.len())
            .ok_or(DecodeError::Batch("it has documents of a collection that was not announced"))
    }
}

fn image<'a>(
    collection: &Collection,
    raw: &'a [u8],
    arena: &'a Bump,
) -> Result<Image<'a>, DocumentError> {
    let document = Document::new(raw)?;
    let id = document.get("_id")?.ok_or(DocumentError::Missing("_id"))?;
    let rows = Rows { collection, arena };
    Ok([rows.key(&id)?, rows.document(Some(document))?, Value::Null])
}

/// What the work on one batch needs besides its documents.
pub(crate) struct Context<'c> {
    pub(crate) arena: &'c Bump,
    pub(crate) collections: &'c mut Collections,
    pub(crate) out: &'c mut dyn ChangeHandler,
}
