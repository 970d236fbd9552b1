//! What the readers of a snapshot have in common: one queue of what is to be read, one end, and one
//! wait for all of them.
//!
//! How a table is read is each source's own matter, and so is what makes its readers see the same
//! moment.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::progress::{Counts, Reporter};
use super::{Closed, RawBatch, RawSender, Stage};

/// How a snapshot, or the reading of a part of it, ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Complete,
    /// Nobody wants the rows any more.
    Closed,
}

impl From<Result<(), Closed>> for Outcome {
    fn from(sent: Result<(), Closed>) -> Self {
        match sent {
            Ok(()) => Self::Complete,
            Err(Closed) => Self::Closed,
        }
    }
}

/// What is to be read, each part by whoever is free.
#[derive(Debug)]
pub(super) struct Queue<T>(Mutex<VecDeque<T>>);

impl<T> Queue<T> {
    pub(super) fn new(parts: impl Into<VecDeque<T>>) -> Self {
        Self(Mutex::new(parts.into()))
    }

    pub(super) fn next(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Numbers of tables of so many bytes, in the order in which they are begun: the largest first, so
/// that the last one to finish is not a giant that began last.
pub(super) fn largest_first<B: Ord + Copy>(
    tables: impl Iterator<Item = (u32, B)>,
) -> VecDeque<u32> {
    let mut order: Vec<(u32, B)> = tables.collect();
    order.sort_by_key(|(number, bytes)| (Reverse(*bytes), *number));
    order.into_iter().map(|(number, _)| number).collect()
}

/// Rows of a table, on their way.
pub(super) fn rows(table: u32, data: Bytes, messages: Vec<Range<u32>>) -> RawBatch {
    let (stage, read_at) = (Stage::Snapshot { table }, Instant::now());
    RawBatch { stage, data, messages, read_at, budget: None }
}

/// Says that a table, or all of it, was read.
pub(super) async fn send_end(out: &RawSender, stage: Stage) -> Outcome {
    let (data, messages, read_at) = (Bytes::new(), Vec::new(), Instant::now());
    out.send(RawBatch { stage, data, messages, read_at, budget: None }).await.into()
}

/// Waits for all readers, tells how far they are, and says at last that all is read. The first that
/// fails, or finds that nobody wants its rows, ends the others; so does dropping the future.
pub(super) async fn wait_for_all<E: 'static>(
    mut readers: JoinSet<Result<Outcome, E>>,
    (reporter, counts): (Reporter, &Counts),
    out: &RawSender,
    lost: impl FnOnce(String) -> E,
) -> Result<Outcome, E> {
    let mut ticks = interval(reporter.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    loop {
        tokio::select! {
            biased;
            // 1. An end decides everything. Cancel-safe: a result stays in the set.
            ended = readers.join_next() => match ended {
                Some(Ok(Ok(Outcome::Complete))) => {}
                Some(Ok(ended)) => return ended,
                Some(Err(error)) => return Err(lost(error.to_string())),
                None => break,
            },
            // 2. Seldom, and only a report.
            _ = ticks.tick() => reporter.report(counts),
        }
    }
    reporter.finish(counts);
    Ok(send_end(out, Stage::SnapshotEnd).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_table_is_begun_first_and_equals_keep_their_order() {
        let tables = [(0, 8192), (1, 0), (2, 1_i64 << 40), (4, 8192)];
        assert_eq!(largest_first(tables.into_iter()), [2, 0, 4, 1]);
    }

    fn reporter() -> Reporter {
        Reporter::new(super::super::progress::Expected { rows: None, tables: 1 })
    }

    #[tokio::test]
    async fn all_readers_are_waited_for_and_the_first_error_is_the_snapshots() {
        let (sender, mut batches) = tokio::sync::mpsc::channel(4);
        let out = RawSender::new(sender, 1000);
        for (ends, expected) in [
            (vec![Ok(Outcome::Complete); 3], Ok(Outcome::Complete)),
            (vec![Ok(Outcome::Complete), Ok(Outcome::Closed)], Ok(Outcome::Closed)),
            (vec![Ok(Outcome::Complete), Err("torn")], Err("torn")),
        ] {
            let mut readers = JoinSet::new();
            for end in ends {
                readers.spawn(async move { end });
            }
            let counts = Counts::default();
            let done = wait_for_all(readers, (reporter(), &counts), &out, |_| "lost").await;
            assert_eq!(done, expected);
            let end = batches.try_recv().ok().map(|batch| batch.stage);
            let complete = expected == Ok(Outcome::Complete);
            assert_eq!(end, complete.then_some(Stage::SnapshotEnd));
        }
        let mut readers: JoinSet<Result<Outcome, &str>> = JoinSet::new();
        readers.spawn(std::future::pending()).abort();
        let counts = Counts::default();
        let done = wait_for_all(readers, (reporter(), &counts), &out, |_| "lost").await;
        assert_eq!(done, Err("lost"));
    }
}
