//! Sources: what they promise, and nothing of how.
//!
//! A source comes in two halves. The [`Session`] is async and owns sockets: it hands out batches
//! of untouched wire bytes and confirms progress. The [`Decode`] half is a pure state machine on
//! its own thread: bytes in, changes out. They meet only in [`RawBatch`], so the socket is served
//! while decoding is slow, and the decoder can be tested and fuzzed without a database.
//!
//! Sources know no sink, no format and no topic.

mod budget;
pub mod mongodb;
pub mod mysql;
pub mod postgres;
mod progress;
mod readers;

mod net;
mod snapshot_marks;
mod tls;

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::time::Instant;

use bumpalo::Bump;
use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::change::{Change, Progress, SchemaChange, TransactionEdge};
use crate::disposition::Diagnose;
use crate::offsets::{Checkpoint, SourceAck};
use crate::schema::history::SchemaHistory;

pub use budget::{Closed, RawSender, Reservation};

pub type BoxError = Box<dyn Diagnose + Send + Sync>;
pub type SourceFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// A configured source. Lives as long as the process; makes one session per run.
pub trait Source: Send {
    /// Asked where nothing was ever saved: proves that a beginning is possible and right, and
    /// gives the checkpoint to be made durable before [`Self::start`] creates anything that would
    /// outlive a crash. A start that finds what another start left behind then knows it as ours.
    fn prepare(&mut self) -> SourceFuture<'_, Checkpoint>;

    /// Connects, proves identity and reachability against `checkpoint` before one byte is
    /// streamed, creates what the configuration lets it create, and plans the snapshot.
    ///
    /// Fails loudly rather than starting anywhere else than exactly at the checkpoint. With no
    /// checkpoint, or one whose snapshot is not complete, it starts from a new snapshot, or from the
    /// log's present end, as configured.
    fn start<'a>(&'a mut self, checkpoint: Option<&'a Checkpoint>) -> SourceFuture<'a, Started>;

    /// What `/metrics` and logs call it: `postgresql`.
    fn name(&self) -> &'static str;
}

/// A source that is ready to send.
pub struct Started {
    /// What must be durable in the offset store before the first batch is asked for.
    pub checkpoint: Checkpoint,
    pub session: Box<dyn Session>,
    pub decoder: Box<dyn Decode>,
    /// The log's end as seen at the start, for `--until caught-up`.
    pub log_end: crate::offsets::position::Position,
    /// How many tables the snapshot will read; 0 without one.
    pub n_snapshot_tables: usize,
}

/// The async half.
///
/// * **Order.** Batches leave in the order of the log. Snapshot batches of several tables may
///   interleave; all of them leave before the stream's first.
/// * **Duplicates.** None within a session. Across sessions a stream starts exactly at the
///   checkpoint, so whatever was sent after it comes again.
/// * **Durability.** The session tells its database only what arrives as a [`SourceAck`].
/// * **Backpressure** is the sender's: while it waits for room, keepalives are still answered and
///   acknowledgements still sent.
/// * **Shutdown.** On `stop` it hands on the rest of a transaction that is half handed on, if that
///   comes soon; sends the last acknowledgement it got, says goodbye and returns `Ok`. Dropping
///   the future at any await is safe too: it only costs a replay.
pub trait Session: Send {
    fn run(
        self: Box<Self>,
        out: RawSender,
        acks: watch::Receiver<Option<SourceAck>>,
        stop: CancellationToken,
    ) -> SourceFuture<'static, ()>;
}

/// Where a batch of wire bytes comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Rows of a snapshot table; the number is the source's own.
    Snapshot { table: u32 },
    /// The rows of this snapshot table are complete.
    SnapshotTableEnd { table: u32 },
    /// Every table is complete.
    SnapshotEnd,
    /// The log.
    Stream,
}

/// Untouched wire bytes of many messages, and where each begins and ends.
#[derive(Debug)]
pub struct RawBatch {
    pub stage: Stage,
    pub data: Bytes,
    /// Each message within `data`, without its frame.
    pub messages: Vec<Range<u32>>,
    pub read_at: Instant,
    /// Bytes of the memory budget, held until the records made of this batch are dropped.
    pub budget: Option<Reservation>,
}

/// The pure half: wire bytes to changes.
///
/// Stateful over transactions, relations and table versions; no I/O of its own. Where the log
/// does not carry a fact (a default, a key's order), the decoder was given a look-up at its
/// making that may block this thread.
pub trait Decode: Send {
    /// Decodes one batch. Values live in `raw` and `arena`; `out` takes each change in turn.
    ///
    /// # Errors
    /// Anything that is not understood. A row that cannot be decoded goes to
    /// [`ChangeHandler::undecodable`] first, which decides by policy.
    fn decode<'a>(
        &mut self,
        raw: &'a RawBatch,
        arena: &'a Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError>;
}

/// Takes what a decoder finds, in order.
pub trait ChangeHandler {
    /// # Errors
    /// When the change cannot be encoded and the policy is to stop.
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError>;

    /// A statement that changed definitions. Whoever wants rows alone leaves it.
    ///
    /// # Errors
    /// When it cannot be encoded.
    fn schema_change(&mut self, _: &SchemaChange<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    /// A transaction begins or ends here: before its first change, and before the progress that
    /// its end is. Each that is handed on again says so again.
    ///
    /// # Errors
    /// When it cannot be encoded.
    fn transaction(&mut self, _: &TransactionEdge<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    /// What tables look like by what was handed over so far, before the first change that shows it:
    /// returns when a restart is sure to be given it. For schemas that are inferred, and that a
    /// restart would not infer again. Whoever tells one tells every later one too, for it outlives
    /// the histories of positions.
    ///
    /// # Errors
    /// When the run is over.
    fn keep_schemas(&mut self, _: &SchemaHistory) -> Result<(), BoxError> {
        Ok(())
    }

    /// Everything up to here is handed on.
    fn progress(&mut self, progress: Progress);

    /// A row whose bytes make no sense. `Ok` when it went to the dead letters.
    ///
    /// # Errors
    /// The row's own error, when the policy is to stop.
    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError>;
}

/// A row that could not be decoded.
pub struct Undecodable<'a> {
    /// Dotted name of the table, as far as known.
    pub table: &'a str,
    pub id: crate::change::EventId<'a>,
    pub raw: &'a [u8],
    pub error: BoxError,
}
