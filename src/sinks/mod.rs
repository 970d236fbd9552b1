//! Sinks: what they promise. A sink sees encoded records and topics only; it knows no source.

pub mod dead_letter;
pub mod file;
pub mod kafka;

use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::change::Progress;
use crate::disposition::Diagnose;
use crate::record::RecordBatch;

pub type BoxError = Box<dyn Diagnose + Send + Sync>;

/// The destination of a run.
///
/// * **Order.** Records of one topic and key are delivered in the order of the batches and of the
///   records within them, whatever is retried below.
/// * **Duplicates.** None of the sink's own making.
/// * **Durability.** A [`Receipt`] leaves only when every record of the batch, and of every batch
///   before it, is durable in the sink (acks=all; fsync), or is durable among the dead letters.
///   Receipts leave in the order of the batches. `Ok` is never said of something that might still
///   be lost.
/// * **Failure.** What may heal is retried within the configured budget. Anything else ends `run`
///   with an error; batches without receipt are then simply not done.
/// * **Shutdown.** When `batches` closes, the sink finishes what it has, sends the receipts and
///   returns [`SinkEnd::Done`]. On `stop` it gives up at once; dropping the future is safe. Before
///   that it may return only to say [`SinkEnd::ReaderGone`].
pub trait Sink: Send {
    fn run(
        self: Box<Self>,
        batches: mpsc::Receiver<RecordBatch>,
        receipts: mpsc::Sender<Receipt>,
        stop: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Result<SinkEnd, BoxError>> + Send>>;
}

/// How a sink ended without an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SinkEnd {
    /// It has nothing left to do, or was told to stop.
    #[default]
    Done,
    /// Whoever read its output went away, as `head` does: there is nobody to deliver to.
    ReaderGone,
}

/// Proof that a batch and all before it are durable. Only a sink can make one.
#[must_use = "a receipt is the only way to a checkpoint"]
#[derive(Debug)]
pub struct Receipt {
    sequence: u64,
    progress: Option<Progress>,
    snapshot_complete: bool,
    n_records: usize,
    n_dead_letters: u64,
    read_at: Option<std::time::Instant>,
}

impl Receipt {
    /// Consumes the batch: its bytes and its share of the memory budget go with it.
    ///
    /// Private to the sinks: call it only where durability was just seen.
    pub(in crate::sinks) fn of(mut batch: RecordBatch) -> Self {
        let snapshot_complete =
            batch.boundaries.iter().any(|b| matches!(b.progress, Progress::SnapshotComplete(..)));
        let receipt = Self {
            sequence: batch.sequence,
            snapshot_complete,
            n_records: batch.records.len(),
            n_dead_letters: batch.n_dead_letters,
            read_at: batch.read_at,
            progress: batch.boundaries.pop().map(|b| b.progress),
        };
        batch.recycle();
        receipt
    }

    /// For tests of what stands behind a sink.
    #[cfg(test)]
    pub(crate) fn for_tests(batch: RecordBatch) -> Self {
        Self::of(batch)
    }

    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    #[must_use]
    pub fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// The furthest point that this batch completes, if it completes one.
    #[must_use]
    pub fn into_progress(self) -> Option<Progress> {
        self.progress
    }

    /// Whether the snapshot's end lies in this batch.
    #[must_use]
    pub fn snapshot_complete(&self) -> bool {
        self.snapshot_complete
    }

    #[must_use]
    pub fn n_records(&self) -> usize {
        self.n_records
    }

    /// Records that could not be delivered for what they are, and became dead letters.
    #[must_use]
    pub fn n_dead_letters(&self) -> u64 {
        self.n_dead_letters
    }

    #[must_use]
    pub fn read_at(&self) -> Option<std::time::Instant> {
        self.read_at
    }
}
