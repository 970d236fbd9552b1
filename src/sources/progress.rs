//! How far a snapshot is: counted by the readers, told to a person.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const LOG_INTERVAL: Duration = Duration::from_secs(5);
const BAR_INTERVAL: Duration = Duration::from_millis(250);

/// Counts of all readers together.
#[derive(Debug, Default)]
pub(super) struct Counts {
    rows: AtomicU64,
    bytes: AtomicU64,
    tables: AtomicUsize,
}

impl Counts {
    pub(super) fn add(&self, n_rows: usize, n_bytes: usize) {
        self.rows.fetch_add(u64::try_from(n_rows).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.bytes.fetch_add(u64::try_from(n_bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn add_table(&self) {
        self.tables.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the server guesses that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// `None` when it does not know of every table.
    pub(super) rows: Option<u64>,
    pub(super) tables: usize,
}

/// Tells a terminal with a bar, and everything else with log lines.
pub(super) struct Reporter {
    expected: Expected,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Reporter {
    pub(super) fn new(expected: Expected) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| new_bar(expected));
        Self { expected, started: Instant::now(), bar }
    }

    pub(super) fn interval(&self) -> Duration {
        if self.bar.is_some() { BAR_INTERVAL } else { LOG_INTERVAL }
    }

    pub(super) fn report(&self, counts: &Counts) {
        let (rows, bytes, tables) = read(counts);
        if let Some(bar) = &self.bar {
            bar.set_position(rows);
            bar.set_message(format!(
                "{tables}/{} tables, {} MB",
                self.expected.tables,
                bytes >> 20
            ));
            return;
        }
        let elapsed = self.started.elapsed();
        let left = self.expected.rows.and_then(|total| time_left(elapsed, rows, total));
        tracing::info!(
            rows,
            rows_expected = self.expected.rows,
            bytes,
            rows_per_second = rate(rows, elapsed),
            tables,
            tables_expected = self.expected.tables,
            seconds_left = left.map(|left| left.as_secs()),
            "snapshot running"
        );
    }

    pub(super) fn finish(self, counts: &Counts) {
        let (rows, bytes, tables) = read(counts);
        let elapsed = self.started.elapsed();
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        tracing::info!(
            rows,
            bytes,
            tables,
            seconds = elapsed.as_secs_f64(),
            rows_per_second = rate(rows, elapsed),
            "snapshot read"
        );
    }
}

fn read(counts: &Counts) -> (u64, u64, usize) {
    let Counts { rows, bytes, tables } = counts;
    (rows.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed), tables.load(Ordering::Relaxed))
}

fn new_bar(expected: Expected) -> ProgressBar {
    const WITH_TOTAL: &str =
        "snapshot [{bar:30}] {human_pos}/{human_len} rows {per_sec} {msg} {eta} left";
    const WITHOUT: &str = "snapshot {spinner} {human_pos} rows {per_sec} {msg} {elapsed}";
    let (bar, template) = match expected.rows {
        Some(rows) => (ProgressBar::new(rows), WITH_TOTAL),
        None => (ProgressBar::new_spinner(), WITHOUT),
    };
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Whole rows a second.
fn rate(rows: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    rows.saturating_mul(1000) / millis
}

/// As long again as the rest takes at the rate so far. `None` before the first row, and when
/// there turn out to be more rows than the server thought.
fn time_left(elapsed: Duration, done: u64, total: u64) -> Option<Duration> {
    let rest = total.checked_sub(done)?;
    let millis = elapsed.as_millis().checked_mul(u128::from(rest))? / u128::from(done.max(1));
    (done > 0).then(|| Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_rate_so_far() {
        let elapsed = Duration::from_secs(10);
        assert_eq!(time_left(elapsed, 100, 400), Some(Duration::from_secs(30)));
        assert_eq!(time_left(elapsed, 400, 400), Some(Duration::ZERO));
        assert_eq!(time_left(elapsed, 0, 400), None);
        assert_eq!(time_left(elapsed, 500, 400), None);
    }

    #[test]
    fn the_rate_survives_the_first_millisecond() {
        assert_eq!(rate(5, Duration::ZERO), 5000);
        assert_eq!(rate(1000, Duration::from_secs(2)), 500);
    }
}
