//! What every fault run has in common, whatever the source: it reads on, judges, counts what was
//! done to the pipeline, and holds each fault to the number of records that it may repeat.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use rand::Rng;
use rand::rngs::StdRng;

use crate::ledger::{Floor, Judge, Rows, Writers, flows, saved_at};
use crate::support::fold::Event;
use crate::support::proxy::Proxy;
use crate::support::tailwater::{Setup, Tailwater, exit};
use crate::support::{eventually, seconds};

/// What was on its way when the last checkpoint was saved was given to the producer within this
/// before it, on a busy two-core machine: a batch may wait for the look-up of a new topic.
const SLACK: Duration = Duration::from_secs(5);

/// What is done to a connection.
pub(crate) const KINDS: &[&str] =
    &["cut", "half-close", "stall", "refuse", "cut in a message", "slow"];

/// Named points between the steps, and how often each is passed at most before a kill.
pub(crate) type Points = &'static [(&'static str, u32)];

/// The parts of a run that its source makes.
pub(crate) struct Parts<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) points: Points,
    /// Everything that arrived since it was asked last.
    pub(crate) read_on: Box<dyn FnMut() -> Vec<Event> + 'a>,
    /// Which transactions are below the checkpoint that is saved now.
    pub(crate) floor: Box<dyn Fn() -> Floor + 'a>,
    pub(crate) writers: Writers,
}

pub(crate) struct Law<'a> {
    pub(crate) with: Parts<'a>,
    pub(crate) rng: StdRng,
    pub(crate) judge: Judge,
    /// Fault -> how often.
    pub(crate) tally: BTreeMap<String, u32>,
    /// Records that faults since the last verdict may repeat, and duplicates seen before it.
    exposed: u64,
    judged: u64,
    duplicates_max: u64,
    bound_max: u64,
    begin: Instant,
}

impl<'a> Law<'a> {
    pub(crate) fn new(with: Parts<'a>, rng: StdRng) -> Self {
        Self {
            with,
            rng,
            judge: Judge::default(),
            tally: BTreeMap::new(),
            exposed: 0,
            judged: 0,
            duplicates_max: 0,
            bound_max: 0,
            begin: Instant::now(),
        }
    }

    fn read(&mut self) {
        (self.with.read_on)().iter().for_each(|event| self.judge.take(event));
    }

    /// What was produced since the checkpoint before a fault that lasted so long may come again;
    /// deaths before the next checkpoint add up.
    pub(crate) fn expose(&mut self, lasted: Duration) {
        self.read();
        let saved = saved_at(&self.with.setup.offsets());
        let since = saved.min(SystemTime::now() - lasted) - SLACK;
        self.exposed += self.judge.produced_since(since);
    }

    pub(crate) fn count(&mut self, fault: &str) {
        println!("{:7.1} s  {fault}", self.begin.elapsed().as_secs_f64());
        *self.tally.entry(fault.to_owned()).or_default() += 1;
    }

    /// Waits until rows that are written from now on arrive.
    pub(crate) fn flows(&mut self, tailwater: &Tailwater, fault: &str) {
        let (with, judge) = (&mut self.with, &mut self.judge);
        let (writers, read_on) = (&with.writers, &mut with.read_on);
        let arrived = flows(writers, |op| {
            read_on().iter().for_each(|event| judge.take(event));
            judge.has_op(op) || tailwater.process.ended().is_some()
        });
        let ended = tailwater.process.ended();
        assert!(ended.is_none(), "after {fault} it ended with {ended:?}: {}", tailwater.said());
        assert!(arrived, "after {fault} nothing arrives: {}", tailwater.said());
        let duplicates = judge.n_duplicates - self.judged;
        let bound = std::mem::take(&mut self.exposed);
        assert!(duplicates <= bound, "{duplicates} duplicates after {fault}, at most {bound}");
        self.judged += duplicates;
        self.duplicates_max = self.duplicates_max.max(duplicates);
        self.bound_max = self.bound_max.max(bound);
    }

    /// Kills at a named point (every second time) or at a random moment, and starts again.
    pub(crate) fn kill(&mut self, number: u64, tailwater: Tailwater) -> Tailwater {
        if number.is_multiple_of(2) {
            drop(tailwater);
            self.expose(Duration::ZERO);
            self.kill_at_point(number / 2);
        } else {
            std::thread::sleep(Duration::from_millis(self.rng.random_range(0..1500)));
            self.count("kill at random");
            drop(tailwater);
        }
        self.expose(Duration::ZERO);
        self.judge.floor = Some((self.with.floor)());
        let tailwater = self.with.setup.start();
        if self.rng.random_bool(0.7) {
            self.flows(&tailwater, "a kill");
        }
        tailwater
    }

    fn kill_at_point(&mut self, number: u64) {
        let points = self.with.points;
        let (point, times) = points[usize::try_from(number).unwrap() % points.len()];
        let mut armed = self.with.setup.clone();
        armed
            .env("FAILPOINTS", &format!("{point}={}*off->return", self.rng.random_range(1..times)));
        let armed = armed.start();
        let died = armed.process.wait(seconds(20)).is_some();
        self.count(&if died { format!("kill at {point}") } else { format!("missed {point}") });
        let ended = armed.kill();
        let expected = if died { exit::ABORTED } else { exit::KILLED };
        assert_eq!(ended.code, expected, "{point}: {}", ended.stderr);
    }

    /// Does one of [`KINDS`] to a leg; `bytes_max` is where a cut in a message may fall.
    pub(crate) fn hurt(&mut self, proxy: &Proxy, kind: &str, bytes_max: u32) {
        match kind {
            "cut" => proxy.cut(),
            "half-close" => proxy.half_close(),
            "stall" => proxy.stall(true),
            "refuse" => {
                proxy.refuse(true);
                proxy.cut();
            }
            "slow" => proxy.delay(Duration::from_millis(50)),
            _ => proxy.cut_after(self.rng.random_range(1..bytes_max)),
        }
    }

    /// Ends the writing and the pipeline; `session` runs a statement and gives its rows. Prints
    /// what happened, and asserts all but what only the source can tell.
    pub(crate) fn finish(
        mut self,
        tailwater: Tailwater,
        name: &str,
        session: impl Fn(&str) -> Rows,
        more: impl FnOnce() -> String,
    ) -> BTreeMap<String, u32> {
        let Parts { mut read_on, writers, .. } = self.with;
        let judge = &mut self.judge;
        writers.finish();
        // After every other commit, so that all of them were read when this one arrives.
        session("insert into ops select max(op) + 1, 0, 0 from ops");
        let last = session("select max(op) from ops")[0][0].as_ref().unwrap().parse().unwrap();
        let mut read = || {
            read_on().iter().for_each(|event| judge.take(event));
            judge.has_op(last).then_some(())
        };
        let arrived = eventually(seconds(60), &mut read);
        assert!(arrived.is_some(), "the last operation did not arrive: {}", tailwater.said());
        tailwater.stop().expect(0, &[]);
        read();
        let (lost, phantom) = judge.verdict(session);
        for (fault, times) in &self.tally {
            println!("  {times:4} {fault}");
        }
        println!(
            "{name}: {} events, {lost} lost, {phantom} phantom, {} order violations, \
             {} duplicates (at most {} after a fault, bound {}){}",
            judge.n_events,
            judge.violations.len(),
            judge.n_duplicates,
            self.duplicates_max,
            self.bound_max,
            more(),
        );
        assert_eq!((lost, phantom), (0, 0));
        let violations = &judge.violations;
        assert!(violations.is_empty(), "{:?}", &violations[..violations.len().min(10)]);
        self.tally
    }
}

/// A run in which a fault never happened proves nothing about it.
pub(crate) fn assert_met(tally: &BTreeMap<String, u32>, points: &[(&str, u32)], legs: &[&str]) {
    for (point, _) in points {
        assert!(tally.contains_key(&format!("kill at {point}")), "never killed at `{point}`");
        assert!(!tally.contains_key(&format!("missed {point}")), "did not come to `{point}`");
    }
    for leg in legs {
        let met = |fault: &&String| fault.starts_with(leg) && !fault.contains("nobody");
        assert!(tally.keys().any(|fault| met(&fault)), "no connection to {leg} was ever hurt");
    }
}
