//! The transcoder: wire bytes in, records out, on a thread of its own.
//!
//! It is the only place that knows both the decoder and the encoder, and it owns the arena that
//! the values of a batch live in. In steady state nothing is allocated per row: the arena keeps
//! its chunks, and a batch costs one buffer.
//!
//! One event may hold a transaction of any size. Records leave as soon as they are a batch, between
//! any two rows, and this thread waits in the middle of the event where memory is short. A place to
//! start again from goes with the records behind which it is, so a run that dies in between sends
//! the rows of the event once more, with the same ids, and never passes over one.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bumpalo::Bump;
use tokio::sync::mpsc;

use crate::change::{Change, EventId, Progress, SchemaChange, TransactionEdge};
use crate::config::DeadLetterPolicy;
use crate::disposition::{Diagnose, Disposition};
use crate::encode::{EncodeError, Encoder};
use crate::failpoint;
use crate::pipeline::RunError;
use crate::pipeline::keep::Keeper;
use crate::pipeline::report::TableCounts;
use crate::pipeline::supervise::chain;
use crate::record::{Batches, Boundary, RecordBatch, TopicId};
use crate::schema::history::SchemaHistory;
use crate::sinks::dead_letter::{self, DeadLetter, FailureKind};
use crate::sources::{BoxError, ChangeHandler, Decode, RawBatch, Reservation, Stage, Undecodable};
use crate::stats::{DeadLetterKind, Stats};

/// Records are usually about this much larger than the wire bytes they are made of; a first guess
/// at the buffer, not a limit.
const GROWTH: usize = 3;
/// The largest guess: records leave before they are much more.
const GUESS_MAX: usize = 1 << 20;
/// Chunks of the arena beyond this are given back after an unusually large batch.
const ARENA_KEPT_BYTES: usize = 8 << 20;

pub struct Transcoder {
    decoder: Box<dyn Decode>,
    encoder: Encoder,
    dead_letters: DeadLetters,
    keeper: Keeper,
    stats: std::sync::Arc<Stats>,
    counts: TableCounts,
    batches: Batches,
    next_sequence: u64,
    /// The last position seen, for metrics.
    read_position: u64,
}

/// What is done with rows that have no place in a schema.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetters {
    pub policy: DeadLetterPolicy,
    pub topic: TopicId,
}

impl Transcoder {
    #[must_use]
    pub fn new(
        decoder: Box<dyn Decode>,
        encoder: Encoder,
        dead_letters: DeadLetters,
        keeper: Keeper,
        stats: std::sync::Arc<Stats>,
    ) -> Self {
        Self {
            decoder,
            encoder,
            dead_letters,
            keeper,
            stats,
            counts: TableCounts::default(),
            batches: Batches::default(),
            next_sequence: 0,
            read_position: 0,
        }
    }

    /// Works until either end closes.
    ///
    /// # Errors
    /// The first row that can go nowhere. Batches before it are handed on.
    pub fn run(
        mut self,
        mut raw: mpsc::Receiver<RawBatch>,
        out: &mpsc::Sender<RecordBatch>,
    ) -> Result<(), RunError> {
        let mut arena = Bump::new();
        while let Some(batch) = raw.blocking_recv() {
            failpoint::hit(failpoint::READ);
            match self.transcode(batch, &arena, out) {
                Ok(()) => {}
                Err(Ended::Failed(error)) => return Err(error),
                Err(Ended::GivenUp) => return Ok(()),
            }
            arena.reset();
            if arena.allocated_bytes() > ARENA_KEPT_BYTES {
                arena = Bump::new();
            }
        }
        Ok(())
    }

    fn transcode(
        &mut self,
        mut raw: RawBatch,
        arena: &Bump,
        out: &mpsc::Sender<RecordBatch>,
    ) -> Result<(), Ended> {
        let guess = (raw.data.len().saturating_mul(GROWTH).min(GUESS_MAX), raw.messages.len());
        let mut handler = Handler {
            encoder: &mut self.encoder,
            dead_letters: self.dead_letters,
            now_ns: now_ns(),
            out: self.batches.make(guess.0, guess.1),
            counts: &mut self.counts,
            stats: &self.stats,
            n_dead: 0,
            keeper: &self.keeper,
            fault: Fault::Row,
            road: Road {
                out,
                batches: &mut self.batches,
                next_sequence: &mut self.next_sequence,
                read_position: &mut self.read_position,
                read_at: raw.read_at,
                reserved: raw.budget.take(),
                n_rows: 0,
            },
        };
        let result = self.decoder.decode(&raw, arena, &mut handler);
        // What came before a bad row is whole records and leaves; a boundary behind it cannot
        // exist yet, so nothing is passed over.
        let handed_on = handler.hand_on_rest();
        let Handler { road, n_dead, fault, .. } = handler;
        let n_rows = road.n_rows;
        self.report(&raw, n_rows, n_dead);
        let ended = |error| match fault {
            Fault::Row => Ended::Failed(RunError::Transcode(error)),
            Fault::Registry => Ended::Failed(RunError::Registry(error)),
            Fault::Run => Ended::GivenUp,
        };
        handed_on.map_err(|SinkGone| Ended::GivenUp)?;
        result.map_err(ended)
    }

    fn report(&mut self, raw: &RawBatch, n_rows: u64, n_dead: u64) {
        let n_bytes = u64::try_from(raw.data.len()).unwrap_or(u64::MAX);
        if n_dead > 0 {
            self.stats.dead_letters(DeadLetterKind::Conversion, n_dead);
        }
        match raw.stage {
            Stage::Snapshot { .. } => self.stats.snapshot.add(n_rows, n_bytes),
            Stage::SnapshotTableEnd { .. } => self.stats.snapshot.table_done(),
            Stage::SnapshotEnd => {}
            Stage::Stream => self.stats.read(n_bytes, self.read_position, raw.read_at),
        }
    }
}

/// Why a batch has no end.
enum Ended {
    Failed(RunError),
    /// The run is over, for a reason that is told elsewhere.
    GivenUp,
}

/// Whose an error is that ended a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Row,
    /// No fault of the rows.
    Registry,
    /// An echo of what ended the run.
    Run,
}

/// Ends a batch in its middle; never seen outside.
#[derive(Debug, thiserror::Error)]
#[error("hand on records: nobody takes them any more")]
struct SinkGone;

impl Diagnose for SinkGone {
    fn disposition(&self) -> Disposition {
        Disposition::Reconnect
    }
}

/// The way of records out of the batch of wire bytes that they are made of.
struct Road<'h> {
    out: &'h mpsc::Sender<RecordBatch>,
    batches: &'h mut Batches,
    next_sequence: &'h mut u64,
    read_position: &'h mut u64,
    read_at: Instant,
    reserved: Option<Reservation>,
    /// Handed on so far.
    n_rows: u64,
}

/// Takes the changes of one batch.
struct Handler<'h> {
    encoder: &'h mut Encoder,
    dead_letters: DeadLetters,
    now_ns: i64,
    out: RecordBatch,
    counts: &'h mut TableCounts,
    stats: &'h Stats,
    n_dead: u64,
    keeper: &'h Keeper,
    fault: Fault,
    road: Road<'h>,
}

impl Handler<'_> {
    /// Behind each row: records that are enough for a batch leave.
    #[inline]
    fn make_room(&mut self) -> Result<(), BoxError> {
        let (n, n_bytes) = (self.out.records.len(), self.out.data.len());
        match &self.road.reserved {
            Some(reserved) if reserved.is_piece(n, n_bytes) => self.hand_on_piece(),
            Some(_) | None => Ok(()),
        }
    }

    /// Blocks until there is room for more.
    fn hand_on_piece(&mut self) -> Result<(), BoxError> {
        let next = self.road.batches.make(GUESS_MAX, self.out.records.len());
        let mut records = std::mem::replace(&mut self.out, next);
        let (n, n_bytes) = (records.records.len(), records.data.len());
        records.budget = self.road.reserved.as_mut().map(|held| held.piece(n, n_bytes));
        self.now_ns = now_ns();
        self.hand_on(records).map_err(|gone| {
            self.fault = Fault::Run;
            Box::new(gone) as BoxError
        })
    }

    fn hand_on_rest(&mut self) -> Result<(), SinkGone> {
        let mut records = std::mem::take(&mut self.out);
        let (n, n_bytes) = (records.records.len(), records.data.len());
        let share = self.road.reserved.take().map(|held| held.settle(n, n_bytes));
        records.budget = share;
        self.hand_on(records)
    }

    fn hand_on(&mut self, mut records: RecordBatch) -> Result<(), SinkGone> {
        let road = &mut self.road;
        road.n_rows += self.counts.flush(self.stats);
        if let Some(boundary) = records.boundaries.last() {
            *road.read_position = boundary.progress.position().as_metric();
        }
        if records.is_empty() {
            records.recycle();
            return Ok(());
        }
        records.sequence = *road.next_sequence;
        *road.next_sequence += 1;
        records.read_at = Some(road.read_at);
        failpoint::hit(failpoint::ENCODE);
        self.stats.sent(u64::try_from(records.records.len()).unwrap_or(u64::MAX));
        road.out.blocking_send(records).map_err(|_| SinkGone)
    }

    fn refused(&mut self, error: EncodeError) -> BoxError {
        if matches!(error, EncodeError::Registry { .. }) {
            self.fault = Fault::Registry;
        }
        Box::new(error)
    }

    fn bury(&mut self, letter: &DeadLetter<'_>) {
        dead_letter::append(&mut self.out, self.dead_letters.topic, letter);
        self.n_dead += 1;
    }

    /// Whether the policy lets the pipeline go on without this row.
    fn may_bury(&self, error: &dyn Diagnose) -> bool {
        error.disposition() == Disposition::DeadLetter
            && self.dead_letters.policy == DeadLetterPolicy::DeadLetter
    }
}

impl ChangeHandler for Handler<'_> {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        match self.encoder.encode(change, self.now_ns, &mut self.out) {
            Ok(()) => {
                self.counts.count(change.table, self.stats);
                self.make_room()
            }
            Err(error) if self.may_bury(&error) => {
                let table = change.table.path.join(".");
                self.bury(&letter(&table, change.id, change.raw, &error, self.now_ns));
                self.make_room()
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    fn schema_change(&mut self, change: &SchemaChange<'_>) -> Result<(), BoxError> {
        let encoded = self.encoder.encode_schema_change(change, self.now_ns, &mut self.out);
        encoded.map_err(|error| self.refused(error))?;
        self.make_room()
    }

    fn transaction(&mut self, edge: &TransactionEdge<'_>) -> Result<(), BoxError> {
        let encoded = self.encoder.encode_transaction(edge, &mut self.out);
        encoded.map_err(|error| self.refused(error))
    }

    fn keep_schemas(&mut self, schemas: &SchemaHistory) -> Result<(), BoxError> {
        self.keeper.keep(schemas).map_err(|error| {
            self.fault = Fault::Run;
            Box::new(error) as BoxError
        })
    }

    fn progress(&mut self, progress: Progress) {
        let records = self.out.records.len();
        // Many short transactions in one batch: only the last position can matter.
        if let Some(last) = self.out.boundaries.last_mut()
            && matches!((&last.progress, &progress), (Progress::Stream(..), Progress::Stream(..)))
        {
            *last = Boundary { records, progress };
        } else {
            self.out.boundaries.push(Boundary { records, progress });
        }
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        if !self.may_bury(&*row.error) {
            return Err(row.error);
        }
        self.bury(&letter(row.table, row.id, row.raw, &*row.error, self.now_ns));
        self.make_room()
    }
}

fn letter<'a>(
    table: &'a str,
    id: EventId<'a>,
    raw: &'a [u8],
    error: &'a dyn Diagnose,
    now_ns: i64,
) -> DeadLetter<'a> {
    DeadLetter {
        kind: FailureKind::Conversion,
        error: chain(error),
        table,
        id: Some(id),
        raw,
        now_ns,
        ..DeadLetter::default()
    }
}

/// The wall clock in nanoseconds since the epoch: read once per batch, not per row.
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
