//! Acknowledged <= checkpointed <= durable in the sink <= read, whatever dies.
//!
//! Tailwater is killed at random moments and between each pair of steps, each of its connections
//! is cut, half-closed, stalled and refused, PostgreSQL, Kafka and the registry are restarted, all
//! while two sessions write. Then: no committed operation is missing, no other one is there, the
//! versions of each account count up by one except where a whole suffix is said again, and a crash
//! repeats no more than what was produced since the checkpoint before it.
//!
//! `TAILWATER_KILLS`, `TAILWATER_CUTS` and `TAILWATER_FAULT_SEED` make it longer, or another one.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::law::{KINDS, Law, Parts, Points, assert_met};
use crate::ledger::{Observer, Rows, SCHEMA, Writers, below_lsn, of_postgres};
use crate::support::avro::Decoder;
use crate::support::fold::avro_event;
use crate::support::kafka::Kafka;
use crate::support::postgres::{Database, Postgres};
use crate::support::proxy::Proxy;
use crate::support::registry::Registry;
use crate::support::tailwater::{Setup, Tailwater};
use crate::support::{knob, seconds};

/// Named points between the steps of the law, and how often each is passed at most before a kill.
const POINTS: Points = &[
    ("read", 150),
    ("encode", 150),
    ("send", 150),
    ("delivered", 150),
    ("checkpointed", 10),
    ("acknowledged", 4),
];
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
    law: Law<'a>,
}

impl Run<'_> {
    fn cut(&mut self, number: u64, tailwater: Tailwater) -> Tailwater {
        let legs = &self.stack.legs;
        let (leg, proxy) = &legs[usize::try_from(number).unwrap() % legs.len()];
        let n_hurt = proxy.n_hurt();
        let mut tailwater = Some(tailwater);
        let begin = Instant::now();
        let pause = Duration::from_millis(self.law.rng.random_range(50..1200));
        // Every kind on every leg, one after the other.
        let kind = KINDS[usize::try_from(number).unwrap() / legs.len() % KINDS.len()];
        if *leg == "registry" {
            // Nobody talks to the registry in between: it is needed at a start.
            drop(tailwater.take());
            self.law.expose(Duration::ZERO);
            if kind == "cut" || kind == "half-close" {
                // There has to be something to cut.
                let started = self.stack.setup.start();
                self.law.flows(&started, "a start");
                tailwater = Some(started);
            }
        }
        let bytes_max = if *leg == "registry" { 2000 } else { 20_000 };
        self.law.hurt(proxy, kind, bytes_max);
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
        self.law.count(&fault);
        self.law.expose(begin.elapsed());
        self.law.flows(&tailwater, &fault);
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
        std::thread::sleep(Duration::from_millis(self.law.rng.random_range(0..1000)));
        resume();
        self.law.count(kind);
        self.law.expose(begin.elapsed());
        self.law.flows(tailwater, kind);
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
    let offsets = stack.setup.offsets();
    let observer = Observer::start(&stack.database, &stack.setup.prefix, &offsets);
    let mut reader = stack.kafka.reader(&format!("{}.public.", stack.setup.prefix));
    let decoder = Decoder::new(&stack.registry);
    let parts = Parts {
        setup: &stack.setup,
        points: POINTS,
        read_on: Box::new(|| reader.read_on().iter().map(|r| avro_event(r, &decoder)).collect()),
        floor: Box::new(|| below_lsn(&offsets)),
        writers: Writers::start(&of_postgres(&stack.database), seed),
    };
    let law = Law::new(parts, StdRng::seed_from_u64(seed));
    let mut run = Run { stack: &stack, law };
    let (mut kills, mut cuts, mut restarts) = (0, 0, 0);
    while kills < n_kills || cuts < n_cuts || restarts < n_restarts {
        let left = [n_kills - kills, n_cuts - cuts, n_restarts - restarts];
        let mut choice = run.law.rng.random_range(0..left.iter().sum::<u64>());
        if choice < left[0] {
            tailwater = run.law.kill(kills, tailwater);
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
    run.law.flows(&tailwater, "everything");
    println!("order law: {kills} kills, {cuts} cuts, {restarts} restarts");
    let (mut n_samples, mut n_ahead) = (0, 0);
    let tally = run.law.finish(tailwater, "order law", of_session(&stack.database), || {
        (n_samples, n_ahead) = observer.finish();
        format!(", {n_samples} samples of the slot, {n_ahead} ahead of the checkpoint")
    });
    assert_eq!(n_ahead, 0);
    assert!(n_samples > 50, "the observer saw the slot {n_samples} times");
    let n_points = usize::try_from(kills / 2).unwrap().min(POINTS.len());
    let legs: Vec<&str> = stack.legs.iter().map(|(leg, _)| *leg).collect();
    let n_legs = usize::try_from(cuts / 3).unwrap().min(legs.len());
    assert_met(&tally, &POINTS[..n_points], &legs[..n_legs]);
}

fn of_session(database: &Database) -> impl Fn(&str) -> Rows {
    let session = database.session();
    move |sql| session.rows(sql)
}
