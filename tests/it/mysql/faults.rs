//! Kills, cuts, restarts of the server and new log files while a random workload runs: nothing is
//! lost, nothing is there that never was, and every key's changes come in order.
//!
//! `TAILWATER_KILLS=n` for more rounds, `TAILWATER_SEED=n` for other ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::chain::{self, Chained};
use super::oracle::{check, lines};
use super::workload::Workload;
use crate::support::fold::Event;
use crate::support::mysql::{Kind, Server};
use crate::support::proxy::Proxy;
use crate::support::tailwater::{Setup, Tailwater, exit};
use crate::support::{eventually, knob, seconds};

const COUNTERS: u32 = 5;

#[derive(Default, Debug)]
struct Faults {
    n_rounds: u64,
    n_kills: u64,
    n_cuts: u64,
    n_restarts: u64,
    n_rotations: u64,
}

/// A pipeline that is killed and started again.
struct Pipeline {
    setup: Setup,
    proxy: Proxy,
    running: Option<Tailwater>,
    files: Vec<PathBuf>,
}

impl Pipeline {
    fn start(server: &Server, database: &str) -> Self {
        let proxy = Proxy::start(server.port);
        let mut setup = Setup::mysql(server, database);
        let source = format!("source.{}", server.kind.name());
        setup
            .set(&format!("{source}.host"), "127.0.0.1")
            .set(&format!("{source}.port"), proxy.port)
            .set(&format!("{source}.user"), "cdc")
            .set(&format!("{source}.password"), "secret")
            .set(&format!("{source}.tls"), serde_json::json!({ "mode": "disable" }));
        let mut pipeline = Self { setup, proxy, running: None, files: Vec::new() };
        pipeline.resume();
        pipeline.running.as_ref().unwrap().ready();
        pipeline
    }

    fn resume(&mut self) {
        let tailwater = self.setup.start();
        self.files.push(tailwater.stdout.clone());
        self.running = Some(tailwater);
    }

    fn kill(&mut self) {
        self.running.take().expect("it runs").kill();
        self.resume();
    }
}

#[test]
fn nothing_is_lost_through_kills_cuts_and_restarts() {
    for kind in Kind::BOTH {
        one(kind, knob("TAILWATER_SEED", 1), knob("TAILWATER_KILLS", 10));
    }
}

fn one(kind: Kind, seed: u64, n_kills: u64) {
    let server = Server::start(kind, &[]);
    server
        .session()
        .script("create user cdc@'%' identified by 'secret'; grant all on *.* to cdc@'%'");
    let database = server.database("faults");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut workload = Workload::new(seed, &server, &database);
    workload.create();
    server.session().script(&format!(
        "create table {database}.counter (id int primary key, version int not null);
         create table {database}.sentinel (id int primary key)"
    ));
    for id in 0..COUNTERS {
        server.run(&format!("insert into {database}.counter values ({id}, 0)"));
    }
    let mut pipeline = Pipeline::start(&server, &database);
    let mut faults = Faults::default();
    while faults.n_kills < n_kills {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                workload.run(12);
                for id in (0..COUNTERS).cycle().take(20) {
                    server.run(&format!(
                        "update {database}.counter set version = version + 1 where id = {id}"
                    ));
                }
            });
            pause(&mut rng);
            disturb(&mut rng, &server, &mut pipeline, &mut faults);
            pause(&mut rng);
            faults.n_rounds += 1;
            // Every second time it has to live on.
            if faults.n_rounds.is_multiple_of(2) {
                faults.n_kills += 1;
                pipeline.kill();
            }
        });
        if faults.n_rounds.is_multiple_of(5) {
            faults.n_restarts += 1;
            server.stop(if faults.n_restarts % 2 == 0 { "TERM" } else { "KILL" });
            server.resume();
            workload.reconnect(&server, &database);
        }
    }
    finish(&server, &database, pipeline, (&workload, &faults));
}

fn pause(rng: &mut StdRng) {
    std::thread::sleep(std::time::Duration::from_millis(rng.random_range(20..250)));
}

fn disturb(rng: &mut StdRng, server: &Server, pipeline: &mut Pipeline, faults: &mut Faults) {
    match rng.random_range(0..3) {
        0 => {
            server.run("flush binary logs");
            faults.n_rotations += 1;
        }
        1 => {
            pipeline.proxy.cut();
            faults.n_cuts += 1;
        }
        _ => {
            pipeline.proxy.cut_after(rng.random_range(1..50_000));
            faults.n_cuts += 1;
        }
    }
}

fn finish(
    server: &Server,
    database: &str,
    mut pipeline: Pipeline,
    (workload, faults): (&Workload, &Faults),
) {
    pipeline.proxy.heal();
    server.run(&format!("insert into {database}.sentinel values (1)"));
    let tailwater = pipeline.running.take().unwrap();
    arrives(&tailwater, &format!("{database}.sentinel"));
    tailwater.stop().expect(0, &[]);
    let events: Vec<Event> = pipeline.files.iter().flat_map(lines).collect();
    let n_versions = counters_in_order(server, database, &events);
    let Chained { n_keys, n_changes, n_repeated } = chain::check(&events);
    let of_workload = |event: &&Event| !event.topic.ends_with(".counter");
    let rest: Vec<Event> = events.iter().filter(of_workload).cloned().collect();
    let n_rows = check(server.kind.name(), server, database, (workload, &rest));
    println!(
        "oracle: faults of {}: {} kills, {} cuts, {} server restarts, {} rotations; {} events, \
         {n_rows} rows compared, 0 lost, 0 phantom; {n_changes} changes of {n_keys} keys in order, \
         {n_repeated} repeated, {n_versions} of counters",
        server.kind.name(),
        faults.n_kills,
        faults.n_cuts,
        faults.n_restarts,
        faults.n_rotations,
        events.len()
    );
}

/// Every version of every counter came, and never before the one that it follows; how many.
fn counters_in_order(server: &Server, database: &str, events: &[Event]) -> usize {
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for event in events.iter().filter(|event| event.topic.ends_with(".counter")) {
        let row = &event.value.as_ref().expect("no counter is deleted")["after"];
        let number = |name: &str| row[name].as_i64().unwrap();
        let (id, version) = (number("id"), number("version"));
        seen.insert((id, version));
        let before = last.insert(id, version).unwrap_or(version);
        assert!(version <= before + 1, "counter {id} jumps from {before} to {version}");
    }
    for row in server.session().rows(&format!("select id, version from {database}.counter")) {
        let number = |value: &Option<String>| value.as_ref().unwrap().parse::<i64>().unwrap();
        let (id, version) = (number(&row[0]), number(&row[1]));
        assert_eq!(last.get(&id), Some(&version), "the last version of counter {id}");
        assert!((1..=version).all(|version| seen.contains(&(id, version))), "counter {id}");
    }
    seen.len()
}

/// Places that a snapshot passes, and how often at least.
const POINTS: &[(&str, u32)] = &[
    ("intended", 0),
    ("prepared", 0),
    ("read", 3),
    ("encode", 3),
    ("delivered", 2),
    ("checkpointed", 1),
];

#[test]
fn a_kill_at_each_point_of_a_snapshot_loses_nothing() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let mut n_events = 0;
        for (seed, (point, times)) in (1..).zip(POINTS) {
            let database = server.database("killed_snapshot");
            let mut workload = Workload::new(seed, server, &database);
            workload.create();
            server.run(&format!("create table {database}.sentinel (id int primary key)"));
            workload.run(40);
            let setup = Setup::mysql(server, &database);
            let mut armed = setup.clone();
            armed.env("FAILPOINTS", &format!("{point}={times}*off->return"));
            let dying = armed.start();
            let mut files = vec![dying.stdout.clone()];
            workload.run_rows(20);
            dying.wait(seconds(60)).expect(exit::ABORTED, &[]);
            workload.run(20);
            let tailwater = setup.start();
            files.push(tailwater.stdout.clone());
            workload.run_rows(20);
            // In the stream and not in the snapshot, behind which older changes follow.
            tailwater.ready();
            server.run(&format!("insert into {database}.sentinel values (1)"));
            arrives(&tailwater, &format!("{database}.sentinel"));
            tailwater.stop().expect(0, &[]);
            let events: Vec<Event> = files.iter().flat_map(lines).collect();
            check(&format!("{} {point}", kind.name()), server, &database, (&workload, &events));
            n_events += events.len();
            server.run(&format!("drop database {database}"));
        }
        println!(
            "oracle: kills in a snapshot of {}: {} points, {n_events} events, 0 lost, 0 phantom",
            kind.name(),
            POINTS.len()
        );
    }
}

#[test]
fn no_data_behind_an_interrupted_snapshot_goes_on_where_it_began() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let database = server.database("half_a_snapshot");
        server.session().script(&format!(
            "create table {database}.t (id int primary key); insert into {database}.t values (1), (2)"
        ));
        let mut setup = Setup::mysql(server, &database);
        let mut armed = setup.clone();
        armed.env("FAILPOINTS", "read=1*off->return");
        armed.start().wait(seconds(60)).expect(exit::ABORTED, &[]);
        server.run(&format!("insert into {database}.t values (3)"));
        setup.set("snapshot.mode", "no_data");
        let tailwater = setup.start();
        server.run(&format!("insert into {database}.t values (4)"));
        let both = eventually(seconds(60), || {
            let events = lines(&tailwater.stdout).into_iter();
            let rows = events.filter_map(|event| event.value);
            let ids: Vec<_> = rows.map(|row| row["after"]["id"].clone()).collect();
            (ids.len() == 2).then_some(ids)
        });
        assert_eq!(both, Some(vec![3.into(), 4.into()]), "{}", tailwater.said());
        tailwater.stop().expect(0, &["rows that it had not sent are in no topic"]);
    }
}

fn arrives(tailwater: &Tailwater, topic: &str) {
    let arrived = eventually(seconds(90), || {
        let text = std::fs::read(&tailwater.stdout).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(topic).then_some(())
    });
    assert!(arrived.is_some(), "{topic} did not arrive: {}", tailwater.said());
}
