//! What the pipeline counts, and what the admin endpoints show of it.
//!
//! Atomics only on the road of a row, written once per batch and after the fact. Nothing in here
//! decides anything: no correctness depends on these numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Tables with a label of their own; rows of further tables are counted together, so that a
/// database with a hundred thousand tables does not drown its monitoring.
pub const TABLE_LABELS_MAX: usize = 200;
pub const OTHER_TABLES: &str = "other";

/// How far the log has come on its way, in the order of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Read from the source's socket.
    Read,
    /// Durable in the sink.
    Delivered,
    /// Saved in the offset store.
    Checkpointed,
    /// Confirmed to the source, which may forget it.
    Acknowledged,
}

impl Stage {
    pub const ALL: [Self; 4] =
        [Self::Read, Self::Delivered, Self::Checkpointed, Self::Acknowledged];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Delivered => "delivered",
            Self::Checkpointed => "checkpointed",
            Self::Acknowledged => "acknowledged",
        }
    }
}

/// What the pipeline is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Starting,
    Snapshot,
    Streaming,
    /// Between two connections. The text is an error's own, never a row's value.
    Reconnecting(String),
    Stopping,
    /// The process is about to exit.
    Failed(String),
}

impl State {
    pub const NAMES: [&'static str; 6] =
        ["starting", "snapshot", "streaming", "reconnecting", "stopping", "failed"];

    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Snapshot => "snapshot",
            Self::Streaming => "streaming",
            Self::Reconnecting(_) => "reconnecting",
            Self::Stopping => "stopping",
            Self::Failed(_) => "failed",
        }
    }

    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Reconnecting(reason) | Self::Failed(reason) => Some(reason),
            Self::Starting | Self::Snapshot | Self::Streaming | Self::Stopping => None,
        }
    }
}

/// Shared by everything that runs; cheap to write, consistent enough to read.
#[derive(Debug)]
pub struct Stats {
    started: Instant,
    state: RwLock<State>,
    /// End of the source's log as it was last told.
    log_end: AtomicU64,
    stages: [StageStats; 4],
    read_bytes: AtomicU64,
    transcoded_rows: AtomicU64,
    sent_records: AtomicU64,
    delivered_records: AtomicU64,
    checkpoints: AtomicU64,
    queue_bytes: AtomicU64,
    queue_budget_bytes: AtomicU64,
    batches_sent: AtomicU64,
    batches_delivered: AtomicU64,
    dead_letters: [AtomicU64; 2],
    retries: RwLock<BTreeMap<&'static str, u64>>,
    tables: RwLock<BTreeMap<Arc<str>, Arc<TableStats>>>,
    /// What the initial snapshot has done.
    pub snapshot: SnapshotStats,
}

#[derive(Debug, Default)]
struct StageStats {
    position: AtomicU64,
    /// Milliseconds after the start at which the newest bytes of this stage had been read from
    /// the socket; 0 before there were any.
    read_at_ms: AtomicU64,
}

/// Rows of one table.
#[derive(Debug, Default)]
pub struct TableStats {
    rows: AtomicU64,
}

impl TableStats {
    /// Once per batch.
    pub fn add_rows(&self, n: u64) {
        self.rows.fetch_add(n, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub struct SnapshotStats {
    tables: AtomicU64,
    tables_done: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    complete: AtomicBool,
}

/// Why a row went to the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterKind {
    Conversion,
    Delivery,
}

impl DeadLetterKind {
    pub const ALL: [Self; 2] = [Self::Conversion, Self::Delivery];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Conversion => "conversion",
            Self::Delivery => "delivery",
        }
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            state: RwLock::new(State::Starting),
            log_end: AtomicU64::new(0),
            stages: Default::default(),
            read_bytes: AtomicU64::new(0),
            transcoded_rows: AtomicU64::new(0),
            sent_records: AtomicU64::new(0),
            delivered_records: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
            queue_bytes: AtomicU64::new(0),
            queue_budget_bytes: AtomicU64::new(0),
            batches_sent: AtomicU64::new(0),
            batches_delivered: AtomicU64::new(0),
            dead_letters: Default::default(),
            retries: RwLock::new(BTreeMap::new()),
            tables: RwLock::new(BTreeMap::new()),
            snapshot: SnapshotStats::default(),
        }
    }
}

/// What the pipeline tells.
impl Stats {
    pub fn set_state(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The end of the log, as the source last told it (for PostgreSQL an LSN as a number).
    pub fn log_end(&self, position: u64) {
        self.log_end.fetch_max(position, Ordering::Relaxed);
    }

    /// Bytes came in; `position` is the furthest point of the log that they speak of.
    pub fn read(&self, bytes: u64, position: u64, read_at: Instant) {
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.advance(Stage::Read, position, Some(read_at));
        self.log_end(position);
    }

    pub fn transcoded(&self, rows: u64) {
        self.transcoded_rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// A batch was handed to the sink.
    pub fn sent(&self, records: u64) {
        self.sent_records.fetch_add(records, Ordering::Relaxed);
        self.batches_sent.fetch_add(1, Ordering::Relaxed);
    }

    /// A batch became durable.
    pub fn delivered(&self, records: u64) {
        self.delivered_records.fetch_add(records, Ordering::Relaxed);
        self.batches_delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// A run begins: what the one before had in flight is not any more.
    pub fn run_begins(&self) {
        self.batches_sent.store(0, Ordering::Relaxed);
        self.batches_delivered.store(0, Ordering::Relaxed);
    }

    pub fn checkpoint_saved(&self) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
    }

    /// A stage reached a position; `read_at` is when its newest bytes were read, where known.
    /// Call it for every stage with the checkpoint's position when a run starts: a stage that
    /// never moved shows no lag.
    pub fn advance(&self, stage: Stage, position: u64, read_at: Option<Instant>) {
        let stats = &self.stages[stage as usize];
        stats.position.store(position, Ordering::Relaxed);
        let age = |at: Instant| at.saturating_duration_since(self.started);
        let at_ms = millis(read_at.map_or_else(|| self.started.elapsed(), age));
        stats.read_at_ms.store(at_ms.max(1), Ordering::Relaxed);
    }

    pub fn queue(&self, bytes: u64, budget_bytes: u64) {
        self.queue_bytes.store(bytes, Ordering::Relaxed);
        self.queue_budget_bytes.store(budget_bytes, Ordering::Relaxed);
    }

    pub fn dead_letters(&self, kind: DeadLetterKind, n: u64) {
        self.dead_letters[kind as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// `component` is one of few fixed words: `source`, `sink`, `registry`, `offsets`.
    pub fn retried(&self, component: &'static str) {
        let mut retries = self.retries.write().unwrap_or_else(PoisonError::into_inner);
        *retries.entry(component).or_default() += 1;
    }

    /// The counter of a table; ask once per table and keep it.
    pub fn table(&self, name: &str) -> Arc<TableStats> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tables.get(name) {
            return Arc::clone(known);
        }
        let label = if tables.len() < TABLE_LABELS_MAX { name } else { OTHER_TABLES };
        Arc::clone(tables.entry(Arc::from(label)).or_default())
    }
}

impl SnapshotStats {
    pub fn begin(&self, tables: u64) {
        self.tables.store(tables, Ordering::Relaxed);
        self.tables_done.store(0, Ordering::Relaxed);
        self.rows.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.complete.store(false, Ordering::Relaxed);
    }

    pub fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn table_done(&self) {
        self.tables_done.fetch_add(1, Ordering::Relaxed);
    }

    /// Every row is durable in the sink, or there was nothing to do.
    pub fn complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }
}

/// One look at everything.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub state: State,
    pub uptime: Duration,
    pub log_end: u64,
    /// In the order of [`Stage::ALL`].
    pub stages: [StageView; 4],
    pub read_bytes: u64,
    pub transcoded_rows: u64,
    pub sent_records: u64,
    pub delivered_records: u64,
    pub checkpoints: u64,
    pub queue_bytes: u64,
    pub queue_budget_bytes: u64,
    pub batches_in_flight: u64,
    /// In the order of [`DeadLetterKind::ALL`].
    pub dead_letters: [u64; 2],
    pub retries: BTreeMap<&'static str, u64>,
    pub tables: BTreeMap<Arc<str>, u64>,
    pub snapshot: SnapshotView,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageView {
    pub position: u64,
    /// Bytes of the log that this stage has still before it.
    pub lag_bytes: u64,
    /// How long ago the newest bytes of this stage were read, while there is more to do; for
    /// [`Stage::Read`], how long ago anything was read while the source has more.
    pub lag: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotView {
    pub tables: u64,
    pub tables_done: u64,
    pub rows: u64,
    pub bytes: u64,
    pub complete: bool,
}

/// What everybody else reads.
impl Stats {
    #[must_use]
    pub fn view(&self) -> View {
        self.view_at(Instant::now())
    }

    fn view_at(&self, now: Instant) -> View {
        let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let uptime = now.saturating_duration_since(self.started);
        let log_end = get(&self.log_end);
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        View {
            state: self.state.read().unwrap_or_else(PoisonError::into_inner).clone(),
            uptime,
            log_end,
            stages: Stage::ALL.map(|stage| self.stage_view(stage, log_end, uptime)),
            read_bytes: get(&self.read_bytes),
            transcoded_rows: get(&self.transcoded_rows),
            sent_records: get(&self.sent_records),
            delivered_records: get(&self.delivered_records),
            checkpoints: get(&self.checkpoints),
            queue_bytes: get(&self.queue_bytes),
            queue_budget_bytes: get(&self.queue_budget_bytes),
            batches_in_flight: get(&self.batches_sent).saturating_sub(get(&self.batches_delivered)),
            dead_letters: [0, 1].map(|kind: usize| get(&self.dead_letters[kind])),
            retries: self.retries.read().unwrap_or_else(PoisonError::into_inner).clone(),
            tables: tables.iter().map(|(name, t)| (Arc::clone(name), get(&t.rows))).collect(),
            snapshot: SnapshotView {
                tables: get(&self.snapshot.tables),
                tables_done: get(&self.snapshot.tables_done),
                rows: get(&self.snapshot.rows),
                bytes: get(&self.snapshot.bytes),
                complete: self.snapshot.complete.load(Ordering::Relaxed),
            },
        }
    }

    fn stage_view(&self, stage: Stage, log_end: u64, uptime: Duration) -> StageView {
        let stats = &self.stages[stage as usize];
        let position = stats.position.load(Ordering::Relaxed);
        let read_at_ms = stats.read_at_ms.load(Ordering::Relaxed);
        // A stage that never moved has no position to be behind of: nothing is known yet.
        if read_at_ms == 0 || position >= log_end {
            return StageView { position, ..StageView::default() };
        }
        let lag = uptime.saturating_sub(Duration::from_millis(read_at_ms));
        StageView { position, lag_bytes: log_end - position, lag }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_lags_behind_the_end_of_the_log() {
        let stats = Stats::default();
        let at = |s: u64| stats.started + Duration::from_secs(s);
        stats.read(1_000, 500, at(10));
        stats.advance(Stage::Delivered, 300, Some(at(4)));
        stats.advance(Stage::Checkpointed, 200, Some(at(2)));
        let view = stats.view_at(at(12));
        let lag = |stage: Stage| {
            let view = view.stages[stage as usize];
            (view.position, view.lag_bytes, view.lag.as_secs())
        };
        assert_eq!(lag(Stage::Read), (500, 0, 0));
        assert_eq!(lag(Stage::Delivered), (300, 200, 8));
        assert_eq!(lag(Stage::Checkpointed), (200, 300, 10));
        assert_eq!(lag(Stage::Acknowledged), (0, 0, 0), "never moved: nothing known");
    }

    #[test]
    fn a_source_that_has_more_than_was_read_makes_the_reading_lag() {
        let stats = Stats::default();
        let at = |s: u64| stats.started + Duration::from_secs(s);
        stats.read(10, 100, at(1));
        stats.log_end(150);
        let read = stats.view_at(at(6)).stages[0];
        assert_eq!((read.lag_bytes, read.lag), (50, Duration::from_secs(5)));
    }

    #[test]
    fn tables_beyond_the_bound_share_one_label() {
        let stats = Stats::default();
        for n in 0..TABLE_LABELS_MAX + 50 {
            stats.table(&format!("s.t{n}")).add_rows(1);
        }
        stats.table("s.t0").add_rows(1);
        let tables = stats.view().tables;
        assert_eq!(tables.len(), TABLE_LABELS_MAX + 1);
        assert_eq!((tables["s.t0"], tables[OTHER_TABLES]), (2, 50));
    }
}
