//! One run: from a durable checkpoint to an end or an error.
//!
//! Ends travel with the rows: the session closes its channel, the transcoder then closes its own,
//! the sink finishes what it has and closes the receipts, and only then is the run over. So a
//! stop, a lost source and a reached goal all drain alike, and a failed sink ends everything at
//! once. A drain that somebody waits behind, a stop or a source to be met again, has a deadline;
//! what it does not finish is sent again by the next run. A source that came to its own end has
//! none: nothing waits, and the sink's own budget ends what never will.
//!
//! `drain_timeout` is the time of a whole stop, as whoever sends SIGKILL behind it counts. What is
//! in flight has most of it; [`goodbye`] is kept for the last save and for parts that do not hear,
//! and as much again for what the process does after the run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::encode::Encoder;
use crate::failpoint;
use crate::offsets::{Checkpoint, Checkpointer, OffsetError, OffsetStore, SourceAck};
use crate::pipeline::keep::{self, Request, Requests};
use crate::pipeline::report::Reporter;
use crate::pipeline::transcode::{DeadLetters, Transcoder};
use crate::pipeline::{Outcome, RunError, Until};
use crate::sinks::{Receipt, Sink, SinkEnd};
use crate::sources::{RawSender, Source, Started};
use crate::stats::Stats;

/// Batches of wire bytes between session and transcoder; their bytes are bounded by the budget.
const RAW_BATCHES_MAX: usize = 64;
/// Encoded batches between transcoder and sink; the sink holds more in flight itself.
const RECORD_BATCHES_MAX: usize = 4;
const RECEIPTS_MAX: usize = 64;
/// How long tasks that have nothing left to do may take to notice.
const GOODBYE: Duration = Duration::from_secs(2);
/// Goodbyes that the time of a stop is divided into.
const GOODBYES: u32 = 5;
/// Of a stop that shall not take any time.
const GOODBYE_MIN: Duration = Duration::from_millis(50);

/// A deadline for a wait without one; its arm is off meanwhile.
const FAR_AWAY: Duration = Duration::from_secs(3600);

/// Partition counts that the sink has seen, shared with the checkpoint; locked once per new topic
/// and once per save.
pub type Partitions = Arc<Mutex<BTreeMap<String, u32>>>;

/// What a run is made of. Everything but the source is made anew for each run.
pub trait Parts: Send {
    fn source(&mut self) -> &mut dyn Source;

    /// Opens the offset store and takes its lock.
    ///
    /// # Errors
    /// When it cannot be reached, or somebody else holds it.
    fn open_store(
        &mut self,
    ) -> impl Future<Output = Result<Box<dyn OffsetStore>, OffsetError>> + Send;

    /// # Errors
    /// When the sink's client cannot be made.
    fn make_sink(&mut self, partitions: &Partitions) -> Result<Box<dyn Sink>, RunError>;

    /// # Errors
    /// When the registry's client cannot be made.
    fn make_encoder(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<(Encoder, DeadLetters), RunError>;
}

/// Limits of a run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub memory_bytes: u32,
    pub checkpoint_interval: Duration,
    pub drain_timeout: Duration,
}

/// The share of a stop that what comes behind the drain has, and behind the run once more.
#[must_use]
pub fn goodbye(drain_timeout: Duration) -> Duration {
    (drain_timeout / GOODBYES).clamp(GOODBYE_MIN, GOODBYE)
}

/// Runs until told to stop, until the goal is reached, or until the first error.
///
/// # Errors
/// Whatever ended the run. Everything that became durable before is checkpointed.
pub async fn run(
    parts: &mut impl Parts,
    limits: Limits,
    until: Until,
    stats: &Arc<Stats>,
    stop: &CancellationToken,
) -> Result<Outcome, RunError> {
    let begin = begin(parts, limits, until, stats);
    let mut running = tokio::select! {
        biased;
        // 1. A stop while starting: nothing is in flight, nothing needs finishing.
        () = stop.cancelled() => return Ok(ended_by_stop(until)),
        // 2. The start itself.
        running = begin => running?,
    };
    running.finish(stop).await
}

async fn begin(
    parts: &mut impl Parts,
    limits: Limits,
    until: Until,
    stats: &Arc<Stats>,
) -> Result<Running, RunError> {
    let mut store = parts.open_store().await?;
    let loaded = match store.load().await? {
        Some(loaded) => Some(loaded),
        None => Some(first_checkpoint(parts, &mut *store).await?),
    };
    let started = parts.source().start(loaded.as_ref()).await.map_err(RunError::Source)?;
    failpoint::hit(failpoint::PREPARED);
    let Started { checkpoint, session, decoder, log_end, n_snapshot_tables } = started;
    tracing::info!(
        position = %checkpoint.position, snapshot = ?checkpoint.snapshot,
        offsets = store.location(), "source is ready"
    );
    let partitions = Partitions::new(Mutex::new(checkpoint.partitions.clone()));
    let stop_all = CancellationToken::new();
    let sink = parts.make_sink(&partitions)?;
    let (encoder, dead_letters) = parts.make_encoder(&stop_all)?;
    let checkpointer = Checkpointer::begin(store, loaded.as_ref(), checkpoint).await?;

    let (raw_sender, raw) = mpsc::channel(RAW_BATCHES_MAX);
    let (batch_sender, batches) = mpsc::channel(RECORD_BATCHES_MAX);
    let (receipt_sender, receipts) = mpsc::channel(RECEIPTS_MAX);
    let (acks, ack_receiver) = watch::channel(None);
    let raw_sender = RawSender::new(raw_sender, limits.memory_bytes);
    let reporter = Reporter::new(Arc::clone(stats), raw_sender.budget(), limits.memory_bytes);
    reporter.started(checkpointer.checkpoint(), &log_end, n_snapshot_tables);
    let stop_session = stop_all.child_token();
    let session = session.run(raw_sender, ack_receiver, stop_session.clone());
    let sink = sink.run(batches, receipt_sender, stop_all.clone());
    let (keeper, requests) = keep::channel();
    let transcoder = Transcoder::new(decoder, encoder, dead_letters, keeper, Arc::clone(stats));
    Ok(Running {
        session: spawn(session),
        sink: spawn(sink),
        transcoder: spawn_thread(move || transcoder.run(raw, &batch_sender)),
        checkpointer,
        receipts,
        requests,
        acks,
        partitions,
        log_end,
        stop_session,
        stop_all,
        limits,
        until,
        reached: false,
        deadline: None,
        reporter,
    })
}

/// Durable before anything is made on the source, so that nothing made there is ever a stranger.
async fn first_checkpoint(
    parts: &mut impl Parts,
    store: &mut dyn OffsetStore,
) -> Result<Checkpoint, RunError> {
    let mut first = parts.source().prepare().await.map_err(RunError::Source)?;
    first.counter = 1;
    store.save(&first).await?;
    failpoint::hit(failpoint::INTENDED);
    Ok(first)
}

struct Running {
    session: Task<(), crate::sources::BoxError>,
    sink: Task<SinkEnd, crate::sinks::BoxError>,
    transcoder: oneshot::Receiver<Result<(), RunError>>,
    checkpointer: Checkpointer,
    receipts: mpsc::Receiver<Receipt>,
    requests: Requests,
    acks: watch::Sender<Option<SourceAck>>,
    partitions: Partitions,
    log_end: crate::offsets::position::Position,
    stop_session: CancellationToken,
    /// Cancelled when the run is given up: nothing waits for anything any more.
    stop_all: CancellationToken,
    limits: Limits,
    until: Until,
    reached: bool,
    /// Since somebody waits for the end.
    deadline: Option<Deadline>,
    reporter: Reporter,
}

/// When what is given up.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    drain: Instant,
    /// The last save, and every part.
    run: Instant,
}

impl Deadline {
    fn from_now(drain_timeout: Duration) -> Self {
        let (now, goodbye) = (Instant::now(), goodbye(drain_timeout));
        let run = drain_timeout.saturating_sub(goodbye);
        Self { drain: now + run.saturating_sub(goodbye), run: now + run }
    }
}

impl Running {
    async fn finish(&mut self, stop: &CancellationToken) -> Result<Outcome, RunError> {
        let drained = self.deliver_all(stop).await;
        let saved = match drained {
            // What a drain that took too long has delivered counts none the less.
            Ok(()) | Err(RunError::Drain { .. }) => self.save_in_time(stop).await,
            Err(_) => Ok(()),
        };
        let sink_end = self.join(drained).await?;
        saved?;
        if self.reached {
            return Ok(Outcome::Reached);
        }
        if stop.is_cancelled() {
            return Ok(ended_by_stop(self.until));
        }
        match sink_end {
            SinkEnd::ReaderGone => {
                tracing::info!("the reader of the output went away");
                Ok(ended_by_stop(self.until))
            }
            SinkEnd::Done => Err(RunError::EndedEarly { task: "source session" }),
        }
    }

    /// Takes receipts and writes checkpoints until the sink has closed.
    async fn deliver_all(&mut self, stop: &CancellationToken) -> Result<(), RunError> {
        let mut tick = tokio::time::interval(self.limits.checkpoint_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A goal that an earlier run reached needs no news to be reached.
        self.check_reached();
        loop {
            if self.reached && self.deadline.is_none() {
                self.stop_session.cancel();
                self.deadline = Some(self.deadline_from_now());
            }
            let deadline = self.deadline.map(|deadline| deadline.drain);
            let overdue = deadline.unwrap_or_else(|| Instant::now() + FAR_AWAY);
            tokio::select! {
                biased;
                // 1. Told to stop: the session goes first, the rest follows by itself.
                () = stop.cancelled(), if deadline.is_none() => {
                    self.reporter.stopping();
                    self.stop_session.cancel();
                    self.deadline = Some(self.deadline_from_now());
                }
                // 2. The session ended by itself. One that failed is not waited for for ever.
                () = self.session.ended(), if !self.session.has_ended() => {
                    if self.session.has_failed() {
                        self.deadline = self.deadline.or(Some(self.deadline_from_now()));
                    }
                }
                // 3. A drain that takes too long is given up.
                () = tokio::time::sleep_until(overdue), if deadline.is_some() => {
                    return Err(too_late(self.limits.drain_timeout));
                }
                // 4. Checkpoints before more receipts, so that a flood of them cannot starve it.
                _ = tick.tick(), if self.checkpointer.is_behind() => {
                    self.save_in_time(stop).await?;
                }
                // 5. Rows wait for it, and the memory that they hold.
                Some(request) = self.requests.next() => {
                    self.keep_in_time(request, stop).await?;
                }
                // 6. What became durable.
                receipt = self.receipts.recv() => match receipt {
                    Some(receipt) => self.deliver(receipt),
                    None => return Ok(()),
                },
            }
        }
    }

    fn deadline_from_now(&self) -> Deadline {
        Deadline::from_now(self.limits.drain_timeout)
    }

    fn deliver(&mut self, receipt: Receipt) {
        self.reporter.delivered(&receipt);
        self.checkpointer.deliver(receipt);
    }

    /// A store may wait for its brokers for minutes; a stop does not. A save that was given up has
    /// an unknown outcome, and the run ends with it.
    async fn save_in_time(&mut self, stop: &CancellationToken) -> Result<(), RunError> {
        let (deadline, timeout) = (self.deadline, self.limits.drain_timeout);
        tokio::select! {
            biased;
            // 1. An answer that is there counts.
            saved = self.save() => saved,
            // 2. Nobody waits any longer.
            () = overdue(stop, deadline, timeout) => Err(too_late(timeout)),
        }
    }

    /// As [`Self::save_in_time`]. Whoever asked hears of a failure by not being answered.
    async fn keep_in_time(
        &mut self,
        Request { schemas, kept }: Request,
        stop: &CancellationToken,
    ) -> Result<(), RunError> {
        let (deadline, timeout) = (self.deadline, self.limits.drain_timeout);
        tokio::select! {
            biased;
            // 1. An answer that is there counts.
            saved = self.checkpointer.keep(schemas) => saved?,
            // 2. Nobody waits any longer.
            () = overdue(stop, deadline, timeout) => return Err(too_late(timeout)),
        }
        if kept.send(()).is_err() {
            tracing::debug!("who asked for a schema to be kept has ended");
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), RunError> {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(ack) = self.checkpointer.save(&partitions).await? {
            self.reporter.checkpointed(self.checkpointer.checkpoint());
            self.acks.send_replace(Some(ack));
        }
        self.check_reached();
        Ok(())
    }

    fn check_reached(&mut self) {
        let checkpoint = self.checkpointer.checkpoint();
        let snapshot_done = !checkpoint.snapshot.is_unfinished();
        self.reached = match self.until {
            Until::Stopped => false,
            Until::Snapshot => snapshot_done,
            Until::CaughtUp => snapshot_done && self.log_end.may_advance_to(&checkpoint.position),
        };
    }

    /// Waits for every part, and reports the error that came first on the way of a row.
    async fn join(&mut self, drained: Result<(), RunError>) -> Result<SinkEnd, RunError> {
        self.stop_session.cancel();
        // What is still alive here was given up or has nothing left to do.
        self.stop_all.cancel();
        self.requests.refuse();
        let by = self.deadline.map_or_else(|| Instant::now() + GOODBYE, |deadline| deadline.run);
        let session = self.session.finish(by).await.map_err(RunError::Source);
        let sink = self.sink.finish(by).await.map_err(RunError::Sink);
        let transcoder = tokio::time::timeout_at(by, &mut self.transcoder).await;
        match drained {
            Ok(()) => {
                let sink_end = sink?;
                match transcoder {
                    Ok(Ok(result)) => result?,
                    // The thread is stuck in a look-up that is bounded itself; nothing waits.
                    Err(_) => {}
                    Ok(Err(_)) => return Err(RunError::Panicked { task: "transcoder" }),
                }
                session?;
                Ok(sink_end)
            }
            // What the parts say after they were given up is an echo of that. What lies beyond a
            // goal that was reached is the next run's.
            Err(RunError::Drain { .. }) if self.reached => Ok(SinkEnd::default()),
            // The drain began because of the session.
            Err(error @ RunError::Drain { .. }) => session.and(Err(error)),
            Err(error) => Err(error),
        }
    }
}

fn too_late(timeout: Duration) -> RunError {
    RunError::Drain { timeout_ms: timeout.as_millis() }
}

/// When a save has taken too long.
async fn overdue(stop: &CancellationToken, deadline: Option<Deadline>, drain_timeout: Duration) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.run).await,
        None => {
            stop.cancelled().await;
            tokio::time::sleep_until(Deadline::from_now(drain_timeout).run).await;
        }
    }
}

fn ended_by_stop(until: Until) -> Outcome {
    match until {
        Until::Stopped => Outcome::Stopped,
        Until::Snapshot | Until::CaughtUp => Outcome::Incomplete,
    }
}

/// A task that dies with its owner.
struct Task<T, E> {
    handle: JoinHandle<Result<T, E>>,
    result: Option<Result<T, E>>,
}

impl<T: Default, E> Task<T, E> {
    /// Cancel-safe: the result is kept for [`Self::finish`].
    async fn ended(&mut self) {
        if self.result.is_none() {
            self.result = Some(unpanic((&mut self.handle).await));
        }
    }

    fn has_ended(&self) -> bool {
        self.result.is_some()
    }

    fn has_failed(&self) -> bool {
        matches!(self.result, Some(Err(_)))
    }

    async fn finish(&mut self, by: Instant) -> Result<T, E> {
        if tokio::time::timeout_at(by, self.ended()).await.is_err() {
            self.handle.abort();
        }
        self.result.take().unwrap_or_else(|| Ok(T::default()))
    }
}

impl<T, E> Drop for Task<T, E> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// A panic in a task is our own mistake: it goes on up, and the process ends without a checkpoint
/// that it might have spoiled.
fn unpanic<T: Default, E>(joined: Result<Result<T, E>, tokio::task::JoinError>) -> Result<T, E> {
    match joined {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(T::default()),
    }
}

#[expect(clippy::disallowed_methods, reason = "owned by `Task`, which aborts it when dropped")]
fn spawn<T: Send + 'static, E: Send + 'static>(
    future: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Task<T, E> {
    Task { handle: tokio::spawn(future), result: None }
}

fn spawn_thread(
    work: impl FnOnce() -> Result<(), RunError> + Send + 'static,
) -> oneshot::Receiver<Result<(), RunError>> {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("transcoder".to_owned()).spawn(move || {
        // Nobody listens any more when the run was given up.
        drop(sender.send(work()));
    });
    thread.expect("a process that could start tasks can start one more thread");
    receiver
}

#[cfg(test)]
mod tests;
