//! What follows the end of a run: another one, or the end of the process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::BackoffBuilder;
use backon::ExponentialBuilder;
use tokio_util::sync::CancellationToken;

use crate::disposition::{Diagnose, Disposition};
use crate::pipeline::run::{Limits, Parts, run};
use crate::pipeline::{Outcome, RunError, Until};
use crate::stats::{State, Stats};

const DELAY_MIN: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(30);

/// Runs again after everything that may heal, each time from the durable checkpoint, until
/// `retry_budget` has passed without a durable checkpoint.
///
/// # Errors
/// The error that no retry will heal, or the last one when the budget is spent.
pub async fn supervise(
    parts: &mut impl Parts,
    limits: Limits,
    retry_budget: Duration,
    until: Until,
    control: (&Arc<Stats>, &CancellationToken),
) -> Result<Outcome, RunError> {
    let (stats, stop) = control;
    let mut delays = delays();
    let mut last_progress = (progress_mark(stats), Instant::now());
    loop {
        let error = match run(parts, limits, until, stats, stop).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        let mark = progress_mark(stats);
        if mark != last_progress.0 {
            last_progress = (mark, Instant::now());
            delays = self::delays();
        }
        match error.disposition() {
            Disposition::Stop | Disposition::DeadLetter => return Err(error),
            Disposition::Retry | Disposition::Reconnect => {}
        }
        if stop.is_cancelled() || last_progress.1.elapsed() >= retry_budget {
            return Err(error);
        }
        let delay = delays.next().unwrap_or(DELAY_MAX);
        tracing::warn!(
            error = %chain(&error), hint = error.hint(),
            retry_in_ms = delay.as_millis(), "run failed; going on from the last checkpoint"
        );
        stats.set_state(State::Reconnecting(chain(&error)));
        stats.retried(error.component());
        tokio::select! {
            biased;
            // 1. Nobody waits out a delay to be told that it is over.
            () = stop.cancelled() => return Err(error),
            // 2. The delay.
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// Changes whenever a checkpoint became durable. Delivered records alone are no progress: where
/// offsets cannot be written, each run delivers the same ones again.
fn progress_mark(stats: &Stats) -> u64 {
    stats.view().checkpoints
}

fn delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(DELAY_MIN)
        .with_max_delay(DELAY_MAX)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
