//! Single interruptions at moments that a random one seldom meets.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ledger::lsn;
use crate::support::fold::json_event;
use crate::support::kafka::{Kafka, Record};
use crate::support::postgres::{Database, Postgres};
use crate::support::proxy::Proxy;
use crate::support::registry::Registry;
use crate::support::tailwater::{Setup, exit};
use crate::support::{Done, eventually, seconds};

fn database(name: &str) -> Database {
    let database = Postgres::shared().database(name);
    database.run("create table t (id int primary key); insert into t values (0)");
    database
}

/// One partition, so that the order of the topic is the order of the log.
fn kafka(database: &Database) -> Setup {
    let mut setup = Setup::kafka(database, Kafka::shared());
    setup.set("sink.kafka.topics.partitions", 1);
    setup
}

fn topic(setup: &Setup) -> Vec<Record> {
    Kafka::shared().read(&format!("{}.public.t", setup.prefix))
}

fn ids(setup: &Setup) -> Vec<i64> {
    let id = |record: &Record| json_event(record).value.unwrap()["after"]["id"].as_i64().unwrap();
    topic(setup).iter().map(id).collect()
}

#[test]
fn a_kill_around_the_making_of_the_slot_does_not_stop_the_next_start() {
    for point in ["intended", "prepared"] {
        for (mode, rows) in [("initial", 1), ("no_data", 0)] {
            let database = database(&format!("{point}_{mode}"));
            let mut setup = Setup::stdout(&database);
            setup.set("snapshot.mode", mode);
            let mut armed = setup.clone();
            armed.env("FAILPOINTS", &format!("{point}=return"));
            armed.start().wait(seconds(40)).expect(exit::ABORTED, &[]);
            assert_eq!(setup.catch_up().lines().len(), rows, "{point}, {mode}");
            database.run("insert into t values (1)");
            assert_eq!(setup.catch_up().lines().len(), 1, "{point}, {mode}");
        }
    }
}

#[test]
fn a_stop_under_load_repeats_nothing() {
    let database = database("drained");
    let setup = kafka(&database);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let session = database.session();
            (1..).take_while(|_| !done.load(Ordering::Relaxed)).fold(0, |_, id| {
                session.run(&format!("insert into t values ({id})"));
                id
            })
        });
        let end = Done(&done);
        for _ in 0..4 {
            let tailwater = setup.start();
            tailwater.ready();
            std::thread::sleep(seconds(2));
            tailwater.stop().expect(0, &[]);
        }
        drop(end);
        let last = writer.join().unwrap();
        setup.catch_up();
        let expected: Vec<i64> = (0..=last).collect();
        assert!(ids(&setup) == expected, "{last} rows, {} records", topic(&setup).len());
    });
}

#[test]
fn an_idle_database_lets_the_servers_log_go() {
    // The server never speaks unasked.
    let postgres = Postgres::start(&[("wal_sender_timeout", "0")]);
    let (idle, busy) = (postgres.database("idle"), postgres.database("busy"));
    idle.run("create table t (id int primary key)");
    let setup = Setup::stdout(&idle);
    let tailwater = setup.start();
    tailwater.ready();
    let session = busy.session();
    for round in 0..3 {
        session.run(&format!("create table b{round} as select generate_series(1, 5000) i"));
        let written = lsn(&session.value("select pg_current_wal_lsn()").unwrap());
        let sql = "select max(confirmed_flush_lsn) from pg_replication_slots";
        let confirmed = || session.value(sql).map(|text| lsn(&text)).filter(|at| *at >= written);
        let let_go = eventually(seconds(30), confirmed);
        assert!(let_go.is_some(), "the slot stays behind {written}: {}", tailwater.said());
    }
    tailwater.stop().expect(0, &[]);
}

#[test]
fn a_large_transaction_that_was_killed_in_the_middle_comes_again_as_a_whole() {
    const N: i64 = 300_000;
    let database = database("large");
    let setup = kafka(&database);
    let tailwater = setup.start();
    tailwater.ready();
    database.run(&format!("insert into t select generate_series(1, {N})"));
    let begun = eventually(seconds(60), || (topic(&setup).len() > 20_000).then_some(()));
    assert!(begun.is_some(), "{}", tailwater.said());
    tailwater.kill();
    let n_before = topic(&setup).len();
    setup.catch_up();
    let ids = ids(&setup);
    println!("killed after {n_before} of {N} records; {} in the end", ids.len());
    assert!(n_before < usize::try_from(N).unwrap(), "it was killed too late to prove anything");
    let again = ids.iter().rposition(|id| *id == 1).unwrap();
    assert!(ids[..again].iter().copied().eq(0..i64::try_from(again).unwrap()), "the first part");
    assert!(ids[again..].iter().copied().eq(1..=N), "and then everything, once");
}

#[test]
fn a_stop_while_the_registry_is_away_ends_in_time_and_loses_nothing() {
    let database = database("registry_away");
    let proxy = Proxy::start(Registry::shared().port);
    let mut setup = Setup::avro(&database, Kafka::shared(), Registry::shared());
    setup.set("format.avro.registry.url", Registry::url_at(proxy.port));
    setup.set("delivery.drain_timeout", "2s");
    proxy.refuse(true);
    let tailwater = setup.start();
    tailwater.says("registry does not answer", seconds(40));
    tailwater.process.signal("TERM");
    tailwater.wait(seconds(15)).expect(exit::INCOMPLETE, &["within 2000 ms"]);
    assert!(topic(&setup).is_empty());
    proxy.heal();
    setup.catch_up();
    let keys: BTreeSet<_> = topic(&setup).into_iter().map(|r| r.key).collect();
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_stop_while_the_source_is_mute_ends_in_time() {
    let database = database("mute");
    let proxy = Proxy::start(database.port);
    let mut setup = kafka(&database);
    setup.set("source.postgres.port", proxy.port);
    let tailwater = setup.start();
    tailwater.ready();
    database.run("insert into t values (1)");
    let arrived = eventually(seconds(30), || (topic(&setup).len() == 2).then_some(()));
    assert!(arrived.is_some(), "{}", tailwater.said());
    proxy.stall(true);
    tailwater.process.signal("TERM");
    tailwater.wait(seconds(10)).expect(0, &[]);
    proxy.cut();
    proxy.heal();
    setup.catch_up();
    assert_eq!(ids(&setup), [0, 1]);
}

#[test]
fn a_stop_in_the_snapshot_ends_in_time_and_the_next_start_begins_it_again() {
    const N: i64 = 300_000;
    let database = database("stopped_snapshot");
    database.run(&format!("insert into t select generate_series(1, {N})"));
    let setup = kafka(&database);
    let tailwater = setup.start();
    let begun = eventually(seconds(60), || (topic(&setup).len() > 1000).then_some(()));
    assert!(begun.is_some(), "{}", tailwater.said());
    tailwater.stop().expect(0, &[]);
    let n_before = ids(&setup).len();
    assert!(i64::try_from(n_before).unwrap() < N, "it was stopped too late to prove anything");
    setup.catch_up().expect(0, &["begins again"]);
    let ids: BTreeSet<i64> = ids(&setup).into_iter().collect();
    assert!(ids.into_iter().eq(0..=N));
}

/// The lock on the offsets was given back on the runtime's own thread, and every goodbye had its
/// time behind that of the drain: brokers that hear nothing made a stop of 6 s one of 20.
#[test]
fn a_stop_while_kafka_is_mute_ends_within_its_time() {
    let proxy = Proxy::start(0);
    let broker = Kafka::start_behind(proxy.port);
    proxy.retarget(broker.second_port);
    let database = database("mute_kafka");
    let mut setup = Setup::kafka(&database, &broker);
    let bootstrap = vec![format!("127.0.0.1:{}", proxy.port)];
    setup.set("sink.kafka.bootstrap_servers", bootstrap.clone());
    let offsets = serde_json::json!({ "bootstrap_servers": bootstrap, "replication_factor": 1 });
    setup.set("offsets", serde_json::json!({ "kafka": offsets }));
    setup.set("delivery.drain_timeout", "6s");
    for mute in [false, true] {
        let tailwater = setup.start();
        tailwater.ready();
        proxy.stall(mute);
        database.run(&format!("insert into t values ({})", 10 + i64::from(mute)));
        std::thread::sleep(std::time::Duration::from_millis(500));
        let begun = std::time::Instant::now();
        tailwater.process.signal("TERM");
        let ended = tailwater.wait(seconds(30));
        let took = begun.elapsed();
        println!("a stop of at most 6 s, mute: {mute}: {took:?}, exit code {}", ended.code);
        assert_eq!(ended.code, if mute { exit::INCOMPLETE } else { 0 }, "{}", ended.stderr);
        assert!(took < seconds(6), "{took:?}: {}", ended.stderr);
    }
}
