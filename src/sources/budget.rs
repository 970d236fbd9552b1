//! The bounded way from a session to its decoder: how much memory a batch of wire bytes will take.
//!
//! A batch holds its share of the budget until the records made of it are delivered, and by far the
//! most of that are the records. How large they become is not known before: a message of
//! PostgreSQL's is one row, an event of MySQL's hundreds or, compressed, millions, and what stands
//! around a narrow row is many times the row. So a batch reserves what the ones before it grew by,
//! and gives back what it did not need. Where that turns out to be too little, its records leave in
//! pieces that wait for each other; never for the rest of the budget, which others behind them may
//! have taken: that would be to wait for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Semaphore, mpsc};

use super::RawBatch;
use crate::budget::{Pool, Share};

/// The bytes of a record are held twice: in our arena, and where the sink queues them.
const COPIES: usize = 2;
/// What a record takes beside its bytes: its bounds in our arena, then a message of librdkafka's
/// with a list of headers.
const RECORD_BYTES: usize = 400;
/// What wire bytes grow by at least, as far as reserving goes: rows of ten columns in PostgreSQL.
/// Large values grow by less; but so do events of tables that nobody asked for, and what comes
/// behind those has been read already when it turns out to be more.
const GROWTH_MIN: u32 = 8;
/// One batch teaches no more than this times what was known: an odd event (a long statement, a
/// transaction that was compressed to nothing) would have those behind it reserve everything.
const RISE: u32 = 2;
/// A growth that is less than the last one counts this part: tables take turns.
const FALL: u32 = 8;
/// The most that records hold before they leave, however many of the same event are to come.
const PIECE_BYTES: usize = 4 << 20;
/// Pieces that the budget has room for at least.
const PIECES_MIN: usize = 4;

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
        batch.budget = Some(Reservation {
            pool: Pool::new(permit),
            n_raw,
            n_held: 0,
            piece_bytes: PIECE_BYTES.min(self.budget_bytes as usize / PIECES_MIN),
            growth: Arc::clone(&self.growth),
        });
        self.sender.send(batch).await.map_err(|_| Closed)
    }
}

/// What a batch of wire bytes holds of the memory budget.
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<Pool>,
    n_raw: usize,
    /// By the pieces so far.
    n_held: usize,
    piece_bytes: usize,
    growth: Arc<Growth>,
}

impl Reservation {
    /// Whether so many records shall leave before more are added to them.
    #[inline]
    #[must_use]
    pub fn is_piece(&self, n_records: usize, n_bytes: usize) -> bool {
        held(n_records, n_bytes) >= self.piece_bytes
    }

    /// The share of records that leave while more are to come. Blocks the thread until earlier
    /// pieces of the same batch are delivered, where all of them would be more than was reserved.
    pub fn piece(&mut self, n_records: usize, n_bytes: usize) -> Share {
        let held = held(n_records, n_bytes);
        self.n_held = self.n_held.saturating_add(held);
        self.pool.take(held)
    }

    /// The batch is done, and these are the last of its records: what they hold is kept, the rest
    /// is given back.
    pub fn settle(self, n_records: usize, n_bytes: usize) -> Share {
        let held = held(n_records, n_bytes);
        self.growth.learn(self.n_raw, self.n_held.saturating_add(held));
        self.pool.take_last(held)
    }
}

#[inline]
fn held(n_records: usize, n_bytes: usize) -> usize {
    n_bytes.saturating_mul(COPIES).saturating_add(n_records.saturating_mul(RECORD_BYTES))
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

    /// Rises by steps and falls slowly. Only the transcoder's thread writes.
    fn learn(&self, n_raw: usize, held: usize) {
        if n_raw == 0 {
            return;
        }
        let found = u32::try_from(held.div_ceil(n_raw)).unwrap_or(u32::MAX).max(GROWTH_MIN);
        let last = self.0.load(Ordering::Relaxed);
        let next = if found < last {
            last - (last - found).div_ceil(FALL)
        } else {
            found.min(last.saturating_mul(RISE))
        };
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
        let first = first.settle(2, 350);
        assert_eq!(left(), (1 << 20) - 1_500, "what it lacks it takes where it is there");
        drop(first);
        sender.send(batch(100)).await.unwrap();
        let second = receive().await;
        assert_eq!(left(), (1 << 20) - 1_500, "15 bytes for each");
        let second = second.settle(1, 100);
        assert_eq!(left(), (1 << 20) - 600, "the rest is given back");
        drop(second);
        assert_eq!(left(), 1 << 20);
        sender.send(batch(100)).await.unwrap();
        assert_eq!(left(), (1 << 20) - 1_400, "growth falls slowly");
    }

    /// A statement of a kilobyte became a record of one, beside rows that filled the budget: from
    /// then on a single batch reserved all of it.
    #[test]
    fn an_odd_event_teaches_little_and_is_forgotten() {
        let growth = Growth::default();
        growth.learn(50, 500_000);
        assert_eq!(growth.of(1), 2 * GROWTH_MIN);
        for _ in 0..8 {
            growth.learn(1000, 8_000);
        }
        assert_eq!(growth.of(1), GROWTH_MIN);
        // What is no odd event but the rule is soon known.
        for _ in 0..3 {
            growth.learn(1000, 46_000);
        }
        assert_eq!(growth.of(1), 46);
    }

    #[tokio::test]
    async fn what_grows_beyond_its_reservation_leaves_in_pieces_that_wait_for_each_other() {
        let (sender, mut receiver) = mpsc::channel(4);
        let sender = RawSender::new(sender, 100_000);
        sender.send(batch(1000)).await.unwrap();
        sender.send(batch(11_500)).await.unwrap();
        let mut growing = receiver.recv().await.unwrap().budget.unwrap();
        assert!(!growing.is_piece(0, 12_000) && growing.is_piece(10, 12_000));
        // The one behind has the rest of the budget, and will not come before this one is done.
        assert_eq!(sender.budget().available_permits(), 0);
        let (pieces, taken) = std::sync::mpsc::channel();
        let work = std::thread::spawn(move || {
            for _ in 0..10 {
                pieces.send(growing.piece(0, 12_500)).unwrap();
            }
            growing.settle(0, 10)
        });
        let delivered: usize = taken.iter().map(drop).count();
        drop(work.join().unwrap());
        assert_eq!(delivered, 10);
        assert_eq!(sender.budget().available_permits(), 8_000);
        drop(receiver.recv().await);
        assert_eq!(sender.budget().available_permits(), 100_000);
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
