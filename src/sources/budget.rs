//! The bounded way from a session to its decoder: how much memory a batch of wire bytes will take.
//!
//! A batch holds its share of the budget until the records made of it are delivered, and by far the
//! most of that are the records. How large they become is not known before: a message of
//! PostgreSQL's is one row, an event of MySQL's hundreds, and what stands around a narrow row is
//! many times the row. So a batch reserves what the ones before it grew by, and gives back what it
//! did not need. It never takes more afterwards: to wait for room with a batch in hand, behind
//! which others have taken the rest, would be to wait for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::RawBatch;

/// The bytes of a record are held twice: in our arena, and where the sink queues them.
const COPIES: usize = 2;
/// What a record takes beside its bytes: its bounds in our arena, then a message of librdkafka's
/// with a list of headers.
const RECORD_BYTES: usize = 400;
/// What wire bytes grow by at least, as far as reserving goes: rows of ten columns in PostgreSQL.
/// Large values grow by less; but so do events of tables that nobody asked for, and what comes
/// behind those has been read already when it turns out to be more.
const GROWTH_MIN: u32 = 8;
/// A growth that is less than the last one counts this part: tables take turns.
const FALL: u32 = 8;

/// Bounded in batches and in bytes.
#[derive(Clone, Debug)]
pub struct RawSender {
    sender: mpsc::Sender<RawBatch>,
    budget: Arc<Semaphore>,
    budget_bytes: u32,
    growth: Arc<Growth>,
}

/// The pipeline behind is gone; the session ends quietly.
#[derive(Debug, thiserror::Error)]
#[error("hand on a batch: the pipeline behind is closed")]
pub struct Closed;

impl RawSender {
    #[must_use]
    pub fn new(sender: mpsc::Sender<RawBatch>, budget_bytes: u32) -> Self {
        let budget = Arc::new(Semaphore::new(budget_bytes as usize));
        Self { sender, budget, budget_bytes, growth: Arc::default() }
    }

    /// The memory budget, for the queue-fill metric.
    #[must_use]
    pub fn budget(&self) -> Arc<Semaphore> {
        Arc::clone(&self.budget)
    }

    /// Waits for room and hands on. Cancel-safe: a batch is either handed on or still the
    /// caller's loss to repeat, so callers pin the future and keep polling it.
    ///
    /// # Errors
    /// When the pipeline behind is gone.
    pub async fn send(&self, mut batch: RawBatch) -> Result<(), Closed> {
        let n_raw = batch.data.len();
        let wanted = self.growth.of(n_raw).min(self.budget_bytes);
        let budget = Arc::clone(&self.budget);
        let permit = budget.acquire_many_owned(wanted).await.map_err(|_| Closed)?;
        batch.budget = Some(Reservation { permit, n_raw, growth: Arc::clone(&self.growth) });
        self.sender.send(batch).await.map_err(|_| Closed)
    }
}

/// What a batch of wire bytes holds of the memory budget.
#[derive(Debug)]
pub struct Reservation {
    permit: OwnedSemaphorePermit,
    n_raw: usize,
    growth: Arc<Growth>,
}

impl Reservation {
    /// The batch has become `n_records` records of `n_bytes`: what they hold is kept, the rest is
    /// given back.
    pub fn settle(mut self, n_records: usize, n_bytes: usize) -> OwnedSemaphorePermit {
        let held =
            n_bytes.saturating_mul(COPIES).saturating_add(n_records.saturating_mul(RECORD_BYTES));
        self.growth.learn(self.n_raw, held);
        // Dropped, which gives it back.
        self.permit.split(self.permit.num_permits().saturating_sub(held));
        self.permit
    }
}

/// Bytes that a batch of wire bytes comes to hold, for each of its own.
#[derive(Debug)]
struct Growth(AtomicU32);

impl Default for Growth {
    fn default() -> Self {
        Self(AtomicU32::new(GROWTH_MIN))
    }
}

impl Growth {
    fn of(&self, n_raw: usize) -> u32 {
        let n_raw = u32::try_from(n_raw).unwrap_or(u32::MAX);
        n_raw.saturating_mul(self.0.load(Ordering::Relaxed))
    }

    /// Rises at once and falls slowly. Only the transcoder's thread writes.
    fn learn(&self, n_raw: usize, held: usize) {
        if n_raw == 0 {
            return;
        }
        let found = u32::try_from(held.div_ceil(n_raw)).unwrap_or(u32::MAX).max(GROWTH_MIN);
        let last = self.0.load(Ordering::Relaxed);
        let next = if found < last { last - (last - found).div_ceil(FALL) } else { found };
        self.0.store(next, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::sources::Stage;

    fn batch(n_bytes: usize) -> RawBatch {
        RawBatch {
            stage: Stage::Stream,
            data: vec![0; n_bytes].into(),
            messages: Vec::new(),
            read_at: Instant::now(),
            budget: None,
        }
    }

    #[tokio::test]
    async fn a_batch_holds_what_its_records_hold_and_the_next_reserves_as_much() {
        let (sender, mut receiver) = mpsc::channel(4);
        let sender = RawSender::new(sender, 1 << 20);
        let left = || sender.budget().available_permits();
        let mut receive = async || receiver.recv().await.unwrap().budget.unwrap();

        sender.send(batch(100)).await.unwrap();
        let first = receive().await;
        assert_eq!(left(), (1 << 20) - 800, "the first is guessed");
        let first = first.settle(10, 300);
        assert_eq!(left(), (1 << 20) - 800, "what it lacks it does not take");
        drop(first);
        sender.send(batch(100)).await.unwrap();
        let second = receive().await;
        assert_eq!(left(), (1 << 20) - 4_600, "46 bytes for each");
        let second = second.settle(1, 100);
        assert_eq!(left(), (1 << 20) - 600, "the rest is given back");
        drop(second);
        assert_eq!(left(), 1 << 20);
        sender.send(batch(100)).await.unwrap();
        assert_eq!(left(), (1 << 20) - 4_100, "growth falls slowly");
    }

    #[tokio::test]
    async fn a_batch_beyond_the_budget_takes_all_of_it() {
        let (sender, mut receiver) = mpsc::channel(4);
        let sender = RawSender::new(sender, 1000);
        sender.send(batch(1000)).await.unwrap();
        assert_eq!(sender.budget().available_permits(), 0);
        drop(receiver.recv().await.unwrap());
        assert_eq!(sender.budget().available_permits(), 1000);
    }
}
