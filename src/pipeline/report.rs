//! What the pipeline tells [`Stats`], once per batch: numbers for metrics and readiness.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::offsets::position::Position;
use crate::offsets::{Checkpoint, SnapshotState};
use crate::schema::Table;
use crate::sinks::Receipt;
use crate::stats::{DeadLetterKind, Stage, State, Stats, TableStats};

/// Rows of each table version within one batch; flushed into the shared counters at its end.
#[derive(Default)]
pub struct TableCounts {
    by_version: Vec<Option<(Arc<TableStats>, u64)>>,
    n_rows: u64,
}

impl TableCounts {
    pub fn count(&mut self, table: &Table, stats: &Stats) {
        let index = table.version.0 as usize;
        if self.by_version.len() <= index {
            self.by_version.resize(index + 1, None);
        }
        let entry = &mut self.by_version[index];
        let (_, n) = entry.get_or_insert_with(|| (stats.table(&table.path.join(".")), 0));
        *n += 1;
        self.n_rows += 1;
    }

    /// Adds what was counted since the last call; returns how many rows that was.
    pub fn flush(&mut self, stats: &Stats) -> u64 {
        for (counter, n) in self.by_version.iter_mut().flatten() {
            if *n > 0 {
                counter.add_rows(*n);
                *n = 0;
            }
        }
        let n_rows = std::mem::take(&mut self.n_rows);
        stats.transcoded(n_rows);
        n_rows
    }
}

/// Tells how far a run is.
pub struct Reporter {
    stats: Arc<Stats>,
    budget: Arc<Semaphore>,
    budget_bytes: u32,
    newest_delivered: Option<std::time::Instant>,
}

impl Reporter {
    #[must_use]
    pub fn new(stats: Arc<Stats>, budget: Arc<Semaphore>, budget_bytes: u32) -> Self {
        Self { stats, budget, budget_bytes, newest_delivered: None }
    }

    pub fn started(&self, checkpoint: &Checkpoint, log_end: &Position, n_snapshot_tables: usize) {
        if n_snapshot_tables > 0 {
            self.stats.snapshot.begin(u64::try_from(n_snapshot_tables).unwrap_or(u64::MAX));
        }
        self.stats.run_begins();
        for stage in Stage::ALL {
            self.stats.advance(stage, checkpoint.position.as_metric(), None);
        }
        self.stats.log_end(log_end.as_metric());
        self.stats.set_state(state_of(checkpoint));
        if !checkpoint.snapshot.is_unfinished() {
            self.stats.snapshot.complete();
        }
    }

    pub fn stopping(&self) {
        self.stats.set_state(State::Stopping);
    }

    pub fn delivered(&mut self, receipt: &Receipt) {
        self.stats.delivered(u64::try_from(receipt.n_records()).unwrap_or(u64::MAX));
        self.stats.dead_letters(DeadLetterKind::Delivery, receipt.n_dead_letters());
        self.newest_delivered = receipt.read_at().or(self.newest_delivered);
        if let Some(progress) = receipt.progress() {
            let position = progress.position().as_metric();
            self.stats.advance(Stage::Delivered, position, self.newest_delivered);
        }
        let free = u32::try_from(self.budget.available_permits()).unwrap_or(u32::MAX);
        let used = self.budget_bytes.saturating_sub(free);
        self.stats.queue(u64::from(used), u64::from(self.budget_bytes));
    }

    pub fn checkpointed(&self, checkpoint: &Checkpoint) {
        let position = checkpoint.position.as_metric();
        self.stats.checkpoint_saved();
        self.stats.advance(Stage::Checkpointed, position, self.newest_delivered);
        self.stats.advance(Stage::Acknowledged, position, self.newest_delivered);
        if !checkpoint.snapshot.is_unfinished() {
            self.stats.snapshot.complete();
        }
        self.stats.set_state(state_of(checkpoint));
    }
}

fn state_of(checkpoint: &Checkpoint) -> State {
    match checkpoint.snapshot {
        SnapshotState::Intended | SnapshotState::Running => State::Snapshot,
        SnapshotState::Complete | SnapshotState::Skipped => State::Streaming,
    }
}
