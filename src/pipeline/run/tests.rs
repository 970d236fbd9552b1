//! Runs of scripted sources and sinks over a store in memory. A batch is its LSN and nothing else.

use std::time::Duration;

use bumpalo::Bump;
use bytes::Bytes;
use tokio::sync::Notify;

use super::*;
use crate::change::Progress;
use crate::config::DeadLetterPolicy;
use crate::disposition::{Diagnose, Disposition};
use crate::encode::{EncodeOptions, Format};
use crate::offsets::position::{Lsn, Position, PostgresPosition};
use crate::offsets::{SnapshotState, SourceIdentity, StoreFuture};
use crate::pipeline::schema_ids::NoSchemaIds;
use crate::pipeline::supervise::supervise;
use crate::record::{RecordBatch, TopicRole, Topics};
use crate::schema::history::SchemaHistory;
use crate::sources::{self, ChangeHandler, Decode, RawBatch, Session, SourceFuture, Stage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Started(u64),
    Delivered(u64),
    Saved(u64),
    /// The schemas in a save, by the batch that they came from.
    Known(u64),
    Acknowledged(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Send(u64),
    /// A batch that shows a schema which was not seen before.
    SendNews(u64),
    /// A batch that the decoder refuses.
    SendNonsense,
    SnapshotEnd(u64),
    Sleep(u64),
    AwaitAcknowledgement(u64),
    Fail,
    /// Neither work nor stop is heard any more.
    Hang,
    /// Waits for the stop.
    Listen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SinkScript {
    Deliver,
    /// Every batch takes so many milliseconds.
    Slow(u64),
    /// The batches up to this position; then nothing more is heard of any.
    HoldAfter(u64),
    FailAfter(u64),
}

#[derive(Debug, thiserror::Error)]
#[error("do what the script says: {0}")]
struct Scripted(&'static str);

impl Diagnose for Scripted {
    fn disposition(&self) -> Disposition {
        Disposition::Reconnect
    }
}

/// One script of the session per run; the last one is repeated.
struct Script {
    sessions: Vec<Vec<Step>>,
    sink: SinkScript,
    /// Which save fails, counted from the first one of all.
    failing_save: Option<usize>,
    /// From this save on, none is answered.
    hanging_save: Option<usize>,
    snapshot: SnapshotState,
    world: Arc<World>,
    stop_fails: bool,
}

#[derive(Default)]
struct World {
    events: Mutex<Vec<Event>>,
    saved: Mutex<Vec<Checkpoint>>,
    n_saves: Mutex<usize>,
    idle: Notify,
}

impl World {
    fn say(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    fn last_saved(&self) -> u64 {
        lsn(&self.saved.lock().unwrap().last().unwrap().position)
    }
}

impl Script {
    fn new(session: &[Step], sink: SinkScript) -> Self {
        Self {
            sessions: vec![session.to_vec()],
            sink,
            failing_save: None,
            hanging_save: None,
            snapshot: SnapshotState::Skipped,
            world: Arc::default(),
            stop_fails: false,
        }
    }

    async fn run(&mut self, until: Until, stop: &CancellationToken) -> Result<Outcome, RunError> {
        run(self, limits(), until, &Arc::new(Stats::default()), stop).await
    }

    /// Told to stop once the session's script is over.
    async fn run_and_stop(&mut self) -> Result<Outcome, RunError> {
        let (stop, world) = (CancellationToken::new(), Arc::clone(&self.world));
        let stopper = async {
            world.idle.notified().await;
            stop.cancel();
        };
        tokio::join!(self.run(Until::Stopped, &stop), stopper).0
    }
}

fn limits() -> Limits {
    Limits {
        memory_bytes: 1 << 20,
        checkpoint_interval: Duration::from_millis(2),
        drain_timeout: Duration::from_millis(300),
    }
}

fn position(lsn: u64) -> Position {
    let system_id = "7".to_owned();
    Position::Postgres(PostgresPosition { system_id, timeline: 1, lsn: Lsn(lsn) })
}

fn lsn(position: &Position) -> u64 {
    position.as_metric()
}

struct ScriptedStore {
    world: Arc<World>,
    failing_save: Option<usize>,
    hanging_save: Option<usize>,
}

impl OffsetStore for ScriptedStore {
    fn load(&mut self) -> StoreFuture<'_, Option<Checkpoint>> {
        let last = self.world.saved.lock().unwrap().last().cloned();
        Box::pin(async move { Ok(last) })
    }

    fn save<'a>(&'a mut self, checkpoint: &'a Checkpoint) -> StoreFuture<'a, ()> {
        let mut n_saves = self.world.n_saves.lock().unwrap();
        *n_saves += 1;
        if self.hanging_save.is_some_and(|first| *n_saves >= first) {
            return Box::pin(std::future::pending());
        }
        if self.failing_save == Some(*n_saves) {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
            let location = self.location();
            return Box::pin(async {
                Err(OffsetError::Io { operation: "write", location, source })
            });
        }
        self.world.saved.lock().unwrap().push(checkpoint.clone());
        self.world.say(Event::Saved(lsn(&checkpoint.position)));
        for (_, batch) in checkpoint.schemas.iter() {
            self.world.say(Event::Known(batch.parse().unwrap()));
        }
        Box::pin(async { Ok(()) })
    }

    fn reset(&mut self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}

impl Source for Script {
    fn prepare(&mut self) -> SourceFuture<'_, Checkpoint> {
        let first = Checkpoint {
            pipeline: "shop".to_owned(),
            identity: SourceIdentity::Postgres {
                system_id: "7".to_owned(),
                database_oid: 1,
                database: "shop".to_owned(),
                slot: "shop".to_owned(),
            },
            snapshot: self.snapshot,
            position: position(0),
            schemas: crate::schema::history::SchemaHistory::default(),
            partitions: BTreeMap::new(),
            counter: 0,
            written_by: String::new(),
        };
        Box::pin(async { Ok(first) })
    }

    fn start<'a>(&'a mut self, checkpoint: Option<&'a Checkpoint>) -> SourceFuture<'a, Started> {
        let checkpoint = checkpoint.expect("the pipeline asks for a first one").clone();
        self.world.say(Event::Started(lsn(&checkpoint.position)));
        let steps = match self.sessions.len() {
            1 => self.sessions[0].clone(),
            _ => self.sessions.remove(0),
        };
        let (world, stop_fails) = (Arc::clone(&self.world), self.stop_fails);
        Box::pin(async move {
            Ok(Started {
                n_snapshot_tables: 0,
                checkpoint,
                session: Box::new(ScriptedSession { steps, world, stop_fails }),
                decoder: Box::new(Positions),
                log_end: position(3),
            })
        })
    }

    fn name(&self) -> &'static str {
        "scripted"
    }
}

struct ScriptedSession {
    steps: Vec<Step>,
    world: Arc<World>,
    stop_fails: bool,
}

impl Session for ScriptedSession {
    fn run(
        self: Box<Self>,
        out: RawSender,
        acks: watch::Receiver<Option<SourceAck>>,
        stop: CancellationToken,
    ) -> SourceFuture<'static, ()> {
        Box::pin(async move {
            let hangs = self.steps.contains(&Step::Hang);
            let work = self.work(out, acks);
            tokio::select! {
                biased;
                () = stop.cancelled(), if !hangs => match self.stop_fails {
                    true => Err(Box::new(Scripted("fail at the stop")) as sources::BoxError),
                    false => Ok(()),
                },
                done = work => done,
            }
        })
    }
}

impl ScriptedSession {
    async fn work(
        &self,
        out: RawSender,
        mut acks: watch::Receiver<Option<SourceAck>>,
    ) -> Result<(), sources::BoxError> {
        for step in &self.steps {
            let (stage, data) = match step {
                Step::Send(lsn) => (Stage::Stream, Bytes::copy_from_slice(&lsn.to_be_bytes())),
                Step::SendNews(lsn) => {
                    let data = [&lsn.to_be_bytes()[..], b"!"].concat();
                    (Stage::Stream, Bytes::from(data))
                }
                Step::SnapshotEnd(lsn) => {
                    (Stage::SnapshotEnd, Bytes::copy_from_slice(&lsn.to_be_bytes()))
                }
                Step::SendNonsense => (Stage::Stream, Bytes::from_static(b"?")),
                Step::Sleep(ms) => {
                    tokio::time::sleep(Duration::from_millis(*ms)).await;
                    continue;
                }
                Step::AwaitAcknowledgement(wanted) => {
                    loop {
                        let seen = acks.borrow_and_update().as_ref().map(|a| lsn(a.position()));
                        seen.iter().for_each(|at| self.world.say(Event::Acknowledged(*at)));
                        if seen.is_some_and(|at| at >= *wanted) || acks.changed().await.is_err() {
                            break;
                        }
                    }
                    continue;
                }
                Step::Fail => return Err(Box::new(Scripted("fail"))),
                Step::Hang | Step::Listen => {
                    self.world.idle.notify_one();
                    std::future::pending().await
                }
            };
            let batch = RawBatch {
                stage,
                data,
                messages: vec![],
                read_at: std::time::Instant::now(),
                budget: None,
            };
            if out.send(batch).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

struct Positions;

impl Decode for Positions {
    fn decode<'a>(
        &mut self,
        raw: &'a RawBatch,
        _arena: &'a Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), sources::BoxError> {
        let Some((lsn, news)) = raw.data.split_first_chunk() else {
            return Err(Box::new(Scripted("refuse a batch")));
        };
        let lsn = u64::from_be_bytes(*lsn);
        if !news.is_empty() {
            let mut schemas = SchemaHistory::default();
            schemas.set("t", &lsn.to_string());
            out.keep_schemas(&schemas)?;
        }
        out.progress(match raw.stage {
            Stage::Stream => Progress::Stream(position(lsn), SchemaHistory::default()),
            _ => Progress::SnapshotComplete(position(lsn), SchemaHistory::default()),
        });
        Ok(())
    }
}

struct ScriptedSink {
    script: SinkScript,
    world: Arc<World>,
}

impl Sink for ScriptedSink {
    fn run(
        self: Box<Self>,
        mut batches: mpsc::Receiver<RecordBatch>,
        receipts: mpsc::Sender<Receipt>,
        stop: CancellationToken,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<SinkEnd, crate::sinks::BoxError>> + Send>>
    {
        Box::pin(async move {
            while let Some(batch) = batches.recv().await {
                let at = lsn(batch.boundaries[0].progress.position());
                match self.script {
                    SinkScript::Deliver => {}
                    SinkScript::Slow(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                    SinkScript::HoldAfter(last) if at > last => {
                        stop.cancelled().await;
                        return Ok(SinkEnd::Done);
                    }
                    SinkScript::FailAfter(last) if at > last => {
                        return Err(Box::new(Scripted("fail to deliver")) as crate::sinks::BoxError);
                    }
                    SinkScript::HoldAfter(_) | SinkScript::FailAfter(_) => {}
                }
                self.world.say(Event::Delivered(at));
                if receipts.send(Receipt::for_tests(batch)).await.is_err() {
                    break;
                }
            }
            Ok(SinkEnd::Done)
        })
    }
}

impl Parts for Script {
    fn source(&mut self) -> &mut dyn Source {
        self
    }

    async fn open_store(&mut self) -> Result<Box<dyn OffsetStore>, OffsetError> {
        let Self { failing_save, hanging_save, .. } = *self;
        let world = Arc::clone(&self.world);
        Ok(Box::new(ScriptedStore { world, failing_save, hanging_save }))
    }

    fn make_sink(&mut self, _partitions: &Partitions) -> Result<Box<dyn Sink>, RunError> {
        Ok(Box::new(ScriptedSink { script: self.sink, world: Arc::clone(&self.world) }))
    }

    fn make_encoder(
        &mut self,
        _stop: &CancellationToken,
    ) -> Result<(Encoder, DeadLetters), RunError> {
        let options = EncodeOptions {
            connector: "postgresql",
            topic_prefix: "shop".to_owned(),
            format: Format::Json { schemas: false },
            values: crate::config::ValueModes::default(),
            tombstones: true,
            id_header: false,
            context_headers: false,
            transaction_topic: None,
        };
        let topics = Arc::new(Topics::default());
        let topic = topics.intern("dead", TopicRole::DeadLetter);
        let letters = DeadLetters { policy: DeadLetterPolicy::Halt, topic };
        Ok((Encoder::new(options, topics, Box::new(NoSchemaIds)), letters))
    }
}

fn sends(positions: std::ops::RangeInclusive<u64>) -> Vec<Step> {
    positions.map(Step::Send).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledgement_was_saved_before_and_everything_saved_was_delivered_before() {
    let mut steps = Vec::new();
    for round in 0..40 {
        steps.extend(sends(round * 10 + 1..=round * 10 + 10));
        if round % 4 == 0 {
            steps.push(Step::AwaitAcknowledgement(round * 10 + 10));
        }
    }
    steps.extend([Step::AwaitAcknowledgement(400), Step::Listen]);
    let mut script = Script::new(&steps, SinkScript::Deliver);
    assert_eq!(script.run_and_stop().await.unwrap(), Outcome::Stopped);
    let (mut delivered, mut saved, mut acknowledged) = (0, 0, 0);
    for event in script.world.events() {
        match event {
            Event::Started(at) => assert_eq!(at, 0),
            Event::Delivered(at) => delivered = at,
            Event::Saved(at) => saved = at,
            Event::Known(_) => {}
            Event::Acknowledged(at) => acknowledged = at,
        }
        assert!(acknowledged <= saved && saved <= delivered, "{event:?}");
    }
    assert_eq!((delivered, saved, acknowledged), (400, 400, 400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_drains_what_was_read_and_saves_it() {
    let steps = [sends(1..=5), vec![Step::Listen]].concat();
    let mut script = Script::new(&steps, SinkScript::Slow(20));
    assert_eq!(script.run_and_stop().await.unwrap(), Outcome::Stopped);
    assert_eq!(script.world.last_saved(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_takes_too_long_is_given_up_and_keeps_what_was_delivered() {
    for last in [Step::Listen, Step::Hang] {
        let steps = [sends(1..=5), vec![last]].concat();
        let mut script = Script::new(&steps, SinkScript::HoldAfter(2));
        let begun = Instant::now();
        let error = script.run_and_stop().await.unwrap_err();
        assert!(matches!(error, RunError::Drain { timeout_ms: 300 }), "{error}");
        let elapsed = begun.elapsed();
        // The goodbyes were counted behind the time of the stop.
        assert!(elapsed < limits().drain_timeout, "{last:?}: {elapsed:?}");
        assert_eq!(script.world.last_saved(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_source_drains_and_its_error_is_the_one_that_is_told() {
    let steps = [sends(1..=5), vec![Step::Fail]].concat();
    for (sink, saved) in [(SinkScript::Slow(10), 5), (SinkScript::HoldAfter(3), 3)] {
        let mut script = Script::new(&steps, sink);
        let error = script.run(Until::Stopped, &CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, RunError::Source(_)), "{sink:?}: {error}");
        assert_eq!(script.world.last_saved(), saved, "{sink:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sink_ends_the_run_at_once_whatever_the_source_says_then() {
    let steps = [sends(1..=5), vec![Step::Listen]].concat();
    let mut script = Script::new(&steps, SinkScript::FailAfter(3));
    script.stop_fails = true;
    let error = script.run(Until::Stopped, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, RunError::Sink(_)), "{error}");
    assert_eq!(script.world.last_saved(), 3, "what was delivered before counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_ends_the_run_after_everything_before_it_is_saved() {
    let steps = [sends(1..=3), vec![Step::SendNonsense, Step::Send(9), Step::Listen]].concat();
    let mut script = Script::new(&steps, SinkScript::Slow(5));
    let error = script.run(Until::Stopped, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, RunError::Transcode(_)), "{error}");
    assert_eq!(script.world.last_saved(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_saved_is_neither_acknowledged_nor_tried_again() {
    let steps = [sends(1..=3), vec![Step::AwaitAcknowledgement(3), Step::Listen]].concat();
    let mut script = Script::new(&steps, SinkScript::Deliver);
    script.failing_save = Some(2);
    let error = script.run(Until::Stopped, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, RunError::Offsets(OffsetError::Io { .. })), "{error}");
    assert_eq!(*script.world.n_saves.lock().unwrap(), 2);
    let acknowledged =
        script.world.events().into_iter().any(|e| matches!(e, Event::Acknowledged(_)));
    assert!(!acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_store_that_gives_no_answer() {
    for steps in [sends(1..=3), [sends(1..=3), vec![Step::Sleep(50)]].concat()] {
        let mut script = Script::new(&[steps, vec![Step::Listen]].concat(), SinkScript::Deliver);
        script.hanging_save = Some(2);
        let begun = Instant::now();
        let error = script.run_and_stop().await.unwrap_err();
        assert!(matches!(error, RunError::Drain { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(script.world.last_saved(), 0);
    }
}

#[test]
fn a_stop_has_room_for_its_goodbyes() {
    for (timeout_ms, goodbye_ms) in [(30_000, 2000), (10_000, 2000), (1000, 200), (0, 50)] {
        assert_eq!(goodbye(Duration::from_millis(timeout_ms)).as_millis(), goodbye_ms);
    }
}

/// `--until snapshot` gave its last rows the drain's deadline, and began the snapshot again where
/// the sink was slower than that.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_at_its_own_end_waits_for_the_sink_without_a_deadline() {
    let mut script = Script::new(&[Step::SnapshotEnd(7)], SinkScript::Slow(700));
    script.snapshot = SnapshotState::Running;
    let outcome = script.run(Until::Snapshot, &CancellationToken::new()).await.unwrap();
    assert_eq!((outcome, script.world.last_saved()), (Outcome::Reached, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_is_reached_though_what_lies_beyond_it_hangs() {
    let steps = [sends(1..=9), vec![Step::Listen]].concat();
    let mut script = Script::new(&steps, SinkScript::HoldAfter(4));
    let outcome = script.run(Until::CaughtUp, &CancellationToken::new()).await.unwrap();
    assert_eq!((outcome, script.world.last_saved()), (Outcome::Reached, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_before_the_goal_is_incomplete() {
    let steps = [sends(1..=2), vec![Step::Listen]].concat();
    let (stop, mut script) = (CancellationToken::new(), Script::new(&steps, SinkScript::Deliver));
    let world = Arc::clone(&script.world);
    let stopper = async {
        world.idle.notified().await;
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(script.run(Until::CaughtUp, &stop), stopper);
    assert_eq!(outcome.unwrap(), Outcome::Incomplete);
    assert_eq!(script.world.last_saved(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_starts_from_what_the_store_says() {
    let lost = [sends(1..=2), vec![Step::Fail]].concat();
    let rest = [sends(3..=4), vec![Step::Sleep(20), Step::Listen]].concat();
    let mut script = Script::new(&[], SinkScript::Deliver);
    script.sessions = vec![lost, rest];
    let (stop, world) = (CancellationToken::new(), Arc::clone(&script.world));
    let stopper = async {
        world.idle.notified().await;
        stop.cancel();
    };
    let stats = Arc::new(Stats::default());
    let budget = Duration::from_secs(60);
    let control = (&stats, &stop);
    let supervised = supervise(&mut script, limits(), budget, Until::Stopped, control);
    let (outcome, ()) = tokio::join!(supervised, stopper);
    assert_eq!(outcome.unwrap(), Outcome::Stopped);
    let starts: Vec<Event> =
        world.events().into_iter().filter(|e| matches!(e, Event::Started(_))).collect();
    assert_eq!(starts, [Event::Started(0), Event::Started(2)]);
    assert_eq!(world.last_saved(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_durable_before_a_batch_that_shows_it_leaves_and_stays() {
    let mut steps = Vec::new();
    for round in 0..20 {
        steps.extend([Step::Send(round * 3 + 1), Step::SendNews(round * 3 + 2)]);
        steps.push(Step::Send(round * 3 + 3));
    }
    steps.extend([Step::AwaitAcknowledgement(60), Step::Listen]);
    let mut script = Script::new(&steps, SinkScript::Slow(1));
    assert_eq!(script.run_and_stop().await.unwrap(), Outcome::Stopped);
    let mut known = 0;
    for event in script.world.events() {
        match event {
            Event::Known(batch) => {
                assert!(batch >= known, "schemas go back from {known} to {batch}");
                known = batch;
            }
            Event::Delivered(at) if at % 3 == 2 => assert!(at <= known, "{at} with {known}"),
            Event::Started(_) | Event::Saved(_) | Event::Delivered(_) | Event::Acknowledged(_) => {}
        }
    }
    assert_eq!(script.world.last_saved(), 60);
    let last = script.world.saved.lock().unwrap().last().unwrap().schemas.clone();
    assert_eq!(last.iter().collect::<Vec<_>>(), [("t", "59")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_cannot_be_saved_is_shown_to_nobody() {
    let steps = [Step::Send(1), Step::SendNews(2), Step::Listen];
    let mut script = Script::new(&steps, SinkScript::Slow(100));
    // The first one is of the beginning; 1 is delivered after the second was asked for.
    script.failing_save = Some(2);
    let error = script.run(Until::Stopped, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, RunError::Offsets(OffsetError::Io { .. })), "{error}");
    assert!(!script.world.events().contains(&Event::Delivered(2)));

    let mut script = Script::new(&steps, SinkScript::Deliver);
    script.hanging_save = Some(2);
    let begun = std::time::Instant::now();
    let stop = CancellationToken::new();
    let stopper = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(script.run(Until::Stopped, &stop), stopper);
    assert!(matches!(ended, Err(RunError::Drain { .. })), "{ended:?}");
    assert!(begun.elapsed() < GOODBYE, "the transcoder waits for nobody");
    assert!(!script.world.events().contains(&Event::Delivered(2)));
}
