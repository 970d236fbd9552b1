//! What follows the end of a run: another one, or the end of the process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::BackoffBuilder;
use backon::ExponentialBuilder;
use tokio_util::sync::CancellationToken;

use crate::disposition::{Diagnose, Disposition};
use crate::pipeline::run::{Limits, Parts, run};
use crate::pipeline::{Outcome, RunError, Until};
use crate::stats::{State, Stats, View};

const DELAY_MIN: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(30);
/// A source that was up for so long was well.
const STEADY: Duration = Duration::from_secs(60);

/// Runs again after everything that may heal, each time from the durable checkpoint, until runs
/// have failed for `retry_budget` and got nowhere, see `Patience`.
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
    let mut patience = Patience::new(retry_budget);
    loop {
        let before = Mark::of(stats);
        let error = match run(parts, limits, until, stats, stop).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        let verdict = patience.after(Failure { before, after: Mark::of(stats), error: &error });
        match error.disposition() {
            Disposition::Stop | Disposition::DeadLetter => return Err(error),
            Disposition::Retry | Disposition::Reconnect => {}
        }
        let delay = match verdict {
            Verdict::Again(delay) if !stop.is_cancelled() => delay,
            Verdict::Again(_) | Verdict::Spent => return Err(error),
        };
        tracing::warn!(
            error = %chain(&error), hint = error.hint(),
            retry_in_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), "run failed; going on from the last checkpoint"
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

/// How far everything was at a moment.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    read_bytes: u64,
    delivered_records: u64,
    checkpoints: u64,
}

impl Mark {
    fn of(stats: &Stats) -> Self {
        let View { read_bytes, delivered_records, checkpoints, .. } = stats.view();
        Self { at: Instant::now(), read_bytes, delivered_records, checkpoints }
    }
}

/// A run that failed.
struct Failure<'a> {
    before: Mark,
    after: Mark,
    error: &'a RunError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Again(Duration),
    Spent,
}

/// Says how long runs may go on failing, and how long to wait in between. Pure but for the jitter.
///
/// The budget runs from the first failure after anything better than failing: a checkpoint, more
/// records durable than any run had since the last one (so a snapshot that comes further each time
/// is progress, and the same rows sent again before the same error are not), or a source that was
/// heard for a while and had nothing to say, which is all that an idle database can do.
struct Patience {
    budget: Duration,
    delays: Box<dyn Iterator<Item = Duration> + Send>,
    failing_since: Option<Instant>,
    /// Most records that a run made durable since the last checkpoint.
    furthest: u64,
}

impl Patience {
    fn new(budget: Duration) -> Self {
        Self { budget, delays: Box::new(delays()), failing_since: None, furthest: 0 }
    }

    fn after(&mut self, Failure { before, after, error }: Failure<'_>) -> Verdict {
        let checkpointed = after.checkpoints > before.checkpoints;
        if checkpointed {
            self.furthest = 0;
        }
        let delivered = after.delivered_records - before.delivered_records;
        // Where offsets cannot be written, every run delivers the same once more, and what is new.
        let further = delivered > self.furthest && !matches!(error, RunError::Offsets(_));
        self.furthest = self.furthest.max(delivered);
        let heard = matches!(error, RunError::Source(_))
            && after.read_bytes > before.read_bytes
            && after.at.duration_since(before.at) >= STEADY;
        if checkpointed || further || heard {
            self.failing_since = None;
            self.delays = Box::new(delays());
        }
        let since = *self.failing_since.get_or_insert(after.at);
        if after.at.duration_since(since) >= self.budget {
            return Verdict::Spent;
        }
        Verdict::Again(self.delays.next().unwrap_or(DELAY_MAX))
    }
}

fn delays() -> impl Iterator<Item = Duration> + Send {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::OffsetError;

    const BUDGET: Duration = Duration::from_secs(600);

    struct Story {
        patience: Patience,
        now: Mark,
    }

    impl Story {
        fn new() -> Self {
            let now =
                Mark { at: Instant::now(), read_bytes: 0, delivered_records: 0, checkpoints: 0 };
            Self { patience: Patience::new(BUDGET), now }
        }

        /// A run of so many seconds that reads, delivers and checkpoints so much, and fails.
        fn run(&mut self, seconds: u64, [read, delivered, checkpoints]: [u64; 3]) -> Verdict {
            let before = self.now;
            self.now.at += Duration::from_secs(seconds);
            self.now.read_bytes += read;
            self.now.delivered_records += delivered;
            self.now.checkpoints += checkpoints;
            let error = RunError::Source(Box::new(OffsetError::Torn {
                location: String::new(),
                detail: String::new(),
            }));
            self.patience.after(Failure { before, after: self.now, error: &error })
        }
    }

    fn again(verdict: Verdict) -> Duration {
        match verdict {
            Verdict::Again(delay) => delay,
            Verdict::Spent => panic!("it gave up"),
        }
    }

    #[test]
    fn the_budget_begins_with_the_first_failure_and_ends_it() {
        let mut story = Story::new();
        again(story.run(7000, [0, 0, 0]));
        again(story.run(599, [0, 0, 0]));
        assert_eq!(story.run(1, [0, 0, 0]), Verdict::Spent);
    }

    /// An idle pipeline lost its connection once an hour, and the second time was its last: the
    /// budget was counted from the last record.
    #[test]
    fn an_idle_source_that_was_heard_is_no_failure_in_a_row() {
        let mut story = Story::new();
        for _ in 0..5 {
            again(story.run(3600, [35, 0, 0]));
        }
    }

    #[test]
    fn rows_that_are_sent_again_before_the_same_error_are_no_progress() {
        let mut story = Story::new();
        let mut runs = 0;
        while let Verdict::Again(delay) = story.run(1, [900, 50, 0]) {
            story.now.at += delay;
            runs += 1;
        }
        assert!((10..100).contains(&runs), "{runs} runs in ten minutes");
        assert!(story.now.delivered_records < 5000);
    }

    #[test]
    fn a_checkpoint_or_a_run_that_comes_further_begins_the_budget_and_the_delays_anew() {
        let mut story = Story::new();
        for delivered in 1..100 {
            assert!(again(story.run(50, [1, delivered, 0])) < DELAY_MIN * 3);
        }
        for _ in 0..100 {
            assert!(again(story.run(50, [1, 1, 1])) < DELAY_MIN * 3);
        }
        // After a checkpoint, fewer records than before may be further.
        again(story.run(500, [1, 0, 0]));
        again(story.run(500, [1, 2, 0]));
        again(story.run(500, [1, 0, 0]));
    }
}
