//! Acknowledged <= checkpointed <= durable in the sink <= read, whatever dies.
//!
//! Tailwater is killed at random moments and between each pair of steps, each of its connections
//! is cut, half-closed, stalled and refused, PostgreSQL, Kafka and the registry are restarted, all
//! while two sessions write. Then: no committed operation is missing, no other one is there, the
//! versions of each account count up by one except where a whole suffix is said again, and a crash
//! repeats no more than what was produced since the checkpoint before it.
//!
//! `TAILWATER_KILLS`, `TAILWATER_CUTS` and `TAILWATER_FAULT_SEED` make it longer, or another one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::ledger::{Judge, Observer, SCHEMA, Writers, checkpoint, flows, saved_at};
use crate::support::avro::Decoder;
use crate::support::fold::avro_event;
use crate::support::kafka::{Kafka, Reader};
use crate::support::postgres::{Database, Postgres};
use crate::support::proxy::Proxy;
use crate::support::registry::Registry;
use crate::support::tailwater::{Setup, Tailwater, exit};
use crate::support::{knob, seconds};

/// Named points between the steps of the law, and how often each is passed at most before a kill.
const POINTS: &[(&str, u32)] = &[
    ("read", 150),
    ("encode", 150),
    ("send", 150),
    ("delivered", 150),
    ("checkpointed", 10),
    ("acknowledged", 4),
];
/// What was on its way when the last checkpoint was saved was given to the producer within this
/// before it, on a busy two-core machine: a batch may wait for the look-up of a new topic.
const SLACK: Duration = Duration::from_secs(5);

/// What is done to a connection.
const KINDS: &[&str] = &["cut", "half-close", "stall", "refuse", "cut in a message", "slow"];

/// Servers that may be broken, each behind a proxy.
struct Stack {
    postgres: Postgres,
    kafka: Kafka,
    registry: Registry,
    legs: [(&'static str, Proxy); 3],
    database: Database,
    setup: Setup,
}

impl Stack {
    fn start() -> Self {
        let kafka_proxy = Proxy::start(0);
        let kafka = Kafka::start_behind(kafka_proxy.port);
        kafka_proxy.retarget(kafka.second_port);
        let postgres = Postgres::start(&[]);
        let registry = Registry::start();
        let legs = [
            ("postgres", Proxy::start(postgres.port)),
            ("kafka", kafka_proxy),
            ("registry", Proxy::start(registry.port)),
        ];
        let database = postgres.database("law");
        database.run(SCHEMA);
        let mut setup = Setup::avro(&database, &kafka, &registry);
        setup.set("source.postgres.port", legs[0].1.port);
        setup.set("sink.kafka.bootstrap_servers", vec![format!("127.0.0.1:{}", legs[1].1.port)]);
        setup.set("format.avro.registry.url", Registry::url_at(legs[2].1.port));
        setup.set("delivery.checkpoint_interval", "200ms");
        setup.set("delivery.id_header", true);
        Self { postgres, kafka, registry, legs, database, setup }
    }
}

struct Run<'a> {
    stack: &'a Stack,
    rng: StdRng,
    reader: Reader,
    decoder: Decoder<'a>,
    judge: Judge,
    writers: Writers,
    /// Fault -> how often.
    tally: BTreeMap<String, u32>,
    /// Records that faults since the last verdict may repeat, and duplicates seen before it.
    exposed: u64,
    judged: u64,
    duplicates_max: u64,
    bound_max: u64,
    begin: Instant,
}

impl Run<'_> {
    fn read(&mut self) {
        for record in self.reader.read_on() {
            self.judge.take(&avro_event(&record, &self.decoder));
        }
    }

    /// What was produced since the checkpoint before a fault that lasted so long may come again;
    /// deaths before the next checkpoint add up.
    fn expose(&mut self, lasted: Duration) {
        self.read();
        let saved = saved_at(&self.stack.setup.offsets());
        let since = saved.min(SystemTime::now() - lasted) - SLACK;
        self.exposed += self.judge.produced_since(since);
    }

    fn count(&mut self, fault: &str) {
        println!("{:7.1} s  {fault}", self.begin.elapsed().as_secs_f64());
        *self.tally.entry(fault.to_owned()).or_default() += 1;
    }

    /// Waits until rows that are written from now on arrive.
    fn flows(&mut self, tailwater: &Tailwater, fault: &str) {
        let (reader, decoder, judge) = (&mut self.reader, &self.decoder, &mut self.judge);
        let arrived = flows(&self.writers, |op| {
            let records = reader.read_on();
            records.iter().for_each(|r| judge.take(&avro_event(r, decoder)));
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
    fn kill(&mut self, number: u64, tailwater: Tailwater) -> Tailwater {
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
        let offsets = self.stack.setup.offsets();
        self.judge.floor = checkpoint(&offsets).expect("the snapshot was complete");
        let tailwater = self.stack.setup.start();
        if self.rng.random_bool(0.7) {
            self.flows(&tailwater, "a kill");
        }
        tailwater
    }

    fn kill_at_point(&mut self, number: u64) {
        let (point, times) = POINTS[usize::try_from(number).unwrap() % POINTS.len()];
        let action = format!("{point}={}*off->return", self.rng.random_range(1..times));
        let armed = self.stack.with_env("FAILPOINTS", &action).start();
        let died = armed.process.wait(seconds(20)).is_some();
        self.count(&if died { format!("kill at {point}") } else { format!("missed {point}") });
        let ended = armed.kill();
        let expected = if died { exit::ABORTED } else { exit::KILLED };
        assert_eq!(ended.code, expected, "{point}: {}", ended.stderr);
    }

    fn cut(&mut self, number: u64, tailwater: Tailwater) -> Tailwater {
        let legs = &self.stack.legs;
        let (leg, proxy) = &legs[usize::try_from(number).unwrap() % legs.len()];
        let n_hurt = proxy.n_hurt();
        let mut tailwater = Some(tailwater);
        let begin = Instant::now();
        let pause = Duration::from_millis(self.rng.random_range(50..1200));
        // Every kind on every leg, one after the other.
        let kind = KINDS[usize::try_from(number).unwrap() / legs.len() % KINDS.len()];
        if *leg == "registry" {
            // Nobody talks to the registry in between: it is needed at a start.
            drop(tailwater.take());
            self.expose(Duration::ZERO);
            if kind == "cut" || kind == "half-close" {
                // There has to be something to cut.
                let started = self.stack.setup.start();
                self.flows(&started, "a start");
                tailwater = Some(started);
            }
        }
        match kind {
            "cut" => proxy.cut(),
            "half-close" => proxy.half_close(),
            "stall" => proxy.stall(true),
            "refuse" => {
                proxy.refuse(true);
                proxy.cut();
            }
            "slow" => proxy.delay(Duration::from_millis(50)),
            _ if *leg == "registry" => proxy.cut_after(self.rng.random_range(1..2000)),
            _ => proxy.cut_after(self.rng.random_range(1..20_000)),
        }
        let tailwater = tailwater.unwrap_or_else(|| {
            let started = self.stack.setup.start();
            started.says("streaming", seconds(30));
            started
        });
        std::thread::sleep(pause);
        if kind == "stall" {
            proxy.cut();
        }
        let hurt = proxy.n_hurt() > n_hurt;
        proxy.heal();
        let fault = format!("{leg}: {kind}{}", if hurt { "" } else { " that met nobody" });
        self.count(&fault);
        self.expose(begin.elapsed());
        self.flows(&tailwater, &fault);
        tailwater
    }

    fn restart(&mut self, number: u64, tailwater: &Tailwater) {
        let stack = self.stack;
        let (kind, stop, resume): (_, &dyn Fn(), &dyn Fn()) = match number % 5 {
            0 => ("postgres restart", &|| stack.postgres.stop("INT"), &|| stack.postgres.resume()),
            1 => ("postgres crash", &|| stack.postgres.stop("QUIT"), &|| stack.postgres.resume()),
            2 => ("kafka restart", &|| stack.kafka.stop("TERM"), &|| stack.kafka.resume()),
            3 => ("kafka crash", &|| stack.kafka.stop("KILL"), &|| stack.kafka.resume()),
            _ => ("registry restart", &|| stack.registry.stop(), &|| stack.registry.resume()),
        };
        let begin = Instant::now();
        stop();
        std::thread::sleep(Duration::from_millis(self.rng.random_range(0..1000)));
        resume();
        self.count(kind);
        self.expose(begin.elapsed());
        self.flows(tailwater, kind);
    }
}

impl Stack {
    fn with_env(&self, name: &str, value: &str) -> Setup {
        let mut setup = self.setup.clone();
        setup.env(name, value);
        setup
    }
}

#[test]
fn nothing_is_lost_and_nothing_invented_whatever_dies() {
    let seed = knob("TAILWATER_FAULT_SEED", 1);
    let (n_kills, n_cuts) = (knob("TAILWATER_KILLS", 30), knob("TAILWATER_CUTS", 20));
    let n_restarts = 5.max(n_cuts / 10);
    println!("order law: seed {seed}");
    let stack = Stack::start();
    let mut tailwater = stack.setup.start();
    tailwater.ready();
    let observer = Observer::start(&stack.database, &stack.setup.prefix, &stack.setup.offsets());
    let mut run = Run {
        stack: &stack,
        rng: StdRng::seed_from_u64(seed),
        reader: stack.kafka.reader(&format!("{}.public.", stack.setup.prefix)),
        decoder: Decoder::new(&stack.registry),
        judge: Judge::default(),
        writers: Writers::start(&stack.database, seed),
        tally: BTreeMap::new(),
        exposed: 0,
        judged: 0,
        duplicates_max: 0,
        bound_max: 0,
        begin: Instant::now(),
    };
    let (mut kills, mut cuts, mut restarts) = (0, 0, 0);
    while kills < n_kills || cuts < n_cuts || restarts < n_restarts {
        let left = [n_kills - kills, n_cuts - cuts, n_restarts - restarts];
        let mut choice = run.rng.random_range(0..left.iter().sum::<u64>());
        if choice < left[0] {
            tailwater = run.kill(kills, tailwater);
            kills += 1;
            continue;
        }
        choice -= left[0];
        if choice < left[1] {
            tailwater = run.cut(cuts, tailwater);
            cuts += 1;
        } else {
            run.restart(restarts, &tailwater);
            restarts += 1;
        }
    }
    run.flows(&tailwater, "everything");
    finish(run, tailwater, observer, [kills, cuts, restarts]);
}

fn finish(run: Run<'_>, tailwater: Tailwater, observer: Observer, done: [u64; 3]) {
    let Run {
        stack,
        mut reader,
        decoder,
        mut judge,
        writers,
        tally,
        duplicates_max,
        bound_max,
        ..
    } = run;
    writers.finish();
    // After every other commit, so that all of them were read when this one arrives.
    let session = stack.database.session();
    session.run("insert into ops select max(op) + 1, 0, 0 from ops");
    let last = session.value("select max(op) from ops").unwrap().parse().unwrap();
    let mut read = || {
        reader.read_on().iter().for_each(|r| judge.take(&avro_event(r, &decoder)));
        judge.has_op(last).then_some(())
    };
    let arrived = crate::support::eventually(seconds(60), &mut read);
    assert!(arrived.is_some(), "the last operation did not arrive: {}", tailwater.said());
    tailwater.stop().expect(0, &[]);
    read();
    let (n_samples, n_ahead) = observer.finish();
    let (lost, phantom) = judge.verdict(&stack.database);
    let [kills, cuts, restarts] = done;
    println!("order law: {kills} kills, {cuts} cuts, {restarts} restarts");
    for (fault, times) in &tally {
        println!("  {times:4} {fault}");
    }
    println!(
        "order law: {} events, {lost} lost, {phantom} phantom, {} order violations, \
         {} duplicates (at most {duplicates_max} after a fault, bound {bound_max}), \
         {n_samples} samples of the slot, {n_ahead} ahead of the checkpoint",
        judge.n_events,
        judge.violations.len(),
        judge.n_duplicates,
    );
    assert_eq!((lost, phantom, n_ahead), (0, 0, 0));
    assert!(
        judge.violations.is_empty(),
        "{:?}",
        &judge.violations[..judge.violations.len().min(10)]
    );
    // A run in which a fault never happened proves nothing about it.
    assert!(n_samples > 50, "the observer saw the slot {n_samples} times");
    for (point, _) in POINTS.iter().take(usize::try_from(kills / 2).unwrap()) {
        assert!(tally.contains_key(&format!("kill at {point}")), "never killed at `{point}`");
        assert!(!tally.contains_key(&format!("missed {point}")), "did not come to `{point}`");
    }
    for (leg, _) in stack.legs.iter().take(usize::try_from(cuts / 3).unwrap()) {
        let met = |fault: &&String| fault.starts_with(leg) && !fault.contains("nobody");
        assert!(tally.keys().any(|fault| met(&fault)), "no connection to {leg} was ever hurt");
    }
}
