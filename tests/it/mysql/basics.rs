//! One row's whole way from either server, and the ways of ending and going on.

use std::collections::BTreeSet;

use super::places::Done;
use crate::support::fold::json_event;
use crate::support::kafka::{Kafka, Record};
use crate::support::mysql::{Kind, Server};
use crate::support::tailwater::{Ended, Setup, exit};
use crate::support::{eventually, seconds};

/// A database with one table of one row.
pub(super) fn database(server: &Server, name: &str) -> String {
    let database = server.database(name);
    server.run(&format!("create table {database}.t (id int primary key, v varchar(9))"));
    server.run(&format!("insert into {database}.t values (1, 'a')"));
    database
}

fn ops(ended: &Ended) -> String {
    let op = |l: &serde_json::Value| l["value"]["op"].as_str().unwrap_or("-").to_owned();
    ended.lines().iter().map(op).collect()
}

/// What a server is, and how places in its log are named.
pub(super) fn all() -> [(&'static Server, &'static str); 3] {
    let (mysql, mariadb) = (Server::shared(Kind::Mysql), Server::shared(Kind::Mariadb));
    [(mysql, "gtid"), (mysql, "file"), (mariadb, "auto")]
}

pub(super) fn setup(server: &Server, database: &str, position: &str) -> Setup {
    let mut setup = Setup::mysql(server, database);
    setup.set(&format!("source.{}.position", server.kind.name()), position);
    setup
}

#[test]
fn rows_of_snapshot_and_stream_arrive_once_and_in_order() {
    for (server, position) in all() {
        let database = database(server, "basics");
        let setup = setup(server, &database, position);
        let tailwater = setup.start();
        tailwater.ready();
        for sql in ["insert into t values (2, 'b')", "update t set v = 'c' where id = 2"] {
            server.run(&sql.replace(" t ", &format!(" {database}.t ")));
        }
        server.run(&format!("delete from {database}.t where id = 1"));
        let arrived = eventually(seconds(20), || {
            let text = std::fs::read_to_string(&tailwater.stdout).unwrap_or_default();
            (text.lines().count() >= 5).then_some(())
        });
        assert!(arrived.is_some(), "{}", tailwater.said());
        let ended = tailwater.stop().expect(0, &[]);
        assert_eq!(ops(&ended), "rcud-", "{position}");
        // A restart goes on exactly there.
        server.run(&format!("insert into {database}.t values (3, 'd')"));
        assert_eq!(ops(&setup.catch_up()), "c", "{position}");
        assert_eq!(ops(&setup.catch_up()), "", "nothing is said twice");
    }
}

#[test]
fn until_caught_up_is_reached_in_a_file_that_nothing_was_written_to_yet() {
    for (server, position) in all() {
        let database = database(server, "rotated");
        let setup = setup(server, &database, position);
        assert_eq!(ops(&setup.catch_up()), "r");
        server.run("flush binary logs");
        assert_eq!(ops(&setup.catch_up()), "", "{position}");
        server.run(&format!("insert into {database}.t values (2, 'b')"));
        assert_eq!(ops(&setup.catch_up()), "c", "{position}");
    }
}

#[test]
fn a_server_without_gtids_is_followed_by_file_through_its_restarts() {
    let server = Server::start(Kind::Mysql, &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
    let database = database(&server, "files");
    let setup = setup(&server, &database, "auto");
    assert_eq!(ops(&setup.catch_up()), "r");
    server.run(&format!("insert into {database}.t values (2, 'b')"));
    for signal in ["TERM", "KILL"] {
        server.stop(signal);
        server.resume();
    }
    assert_eq!(ops(&setup.catch_up()), "c");
    assert_eq!(ops(&setup.catch_up()), "");
    let shown = setup.command("offsets show", &[]).wait(seconds(20)).expect(0, &[]);
    assert!(shown.stdout.contains("binlog.0"), "a file is shown: {}", shown.stdout);
}

#[test]
fn gtids_that_are_asked_for_and_not_there_are_refused() {
    let server = Server::start(Kind::Mysql, &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
    let database = database(&server, "no_gtids");
    setup(&server, &database, "gtid").fails(exit::SOURCE, &["gtid_mode", "SET PERSIST"]);
}

#[test]
fn snapshot_modes_do_what_they_say() {
    for (server, position) in all() {
        let database = database(server, "modes");
        let mut no_data = setup(server, &database, position);
        no_data.set("snapshot.mode", "no_data");
        assert_eq!(ops(&no_data.catch_up()), "");
        server.run(&format!("insert into {database}.t values (2, 'b')"));
        assert_eq!(ops(&no_data.catch_up()), "c");
        let mut copy = setup(server, &database, position);
        copy.set("snapshot.mode", "initial_only").set("pipeline", format!("{database}_copy"));
        let ended = copy.start().wait(seconds(60)).expect(0, &[]);
        assert_eq!(ops(&ended), "rr");
        let ended = copy.start().wait(seconds(60)).expect(0, &[]);
        assert_eq!(ops(&ended), "", "it was done before");
        let until = setup(server, &database, position);
        let ended = until.start_until("snapshot").wait(seconds(60)).expect(0, &[]);
        assert_eq!(ops(&ended), "rr");
        server.run(&format!("insert into {database}.t values (3, 'c')"));
        assert_eq!(ops(&until.catch_up()), "c");
    }
}

/// One partition, so that the order of the topic is the order of the log.
fn kafka(server: &Server, database: &str, position: &str) -> Setup {
    let mut setup = setup(server, database, position).into_kafka(Kafka::shared());
    setup.set("sink.kafka.topics.partitions", 1);
    setup
}

fn ids(setup: &Setup, database: &str) -> Vec<i64> {
    let records = Kafka::shared().read(&format!("{}.{database}.t", setup.prefix));
    let id = |record| json_event(record).value.unwrap()["after"]["id"].as_i64().unwrap();
    records.iter().map(id).collect()
}

fn insert(server: &Server, database: &str, from: i64, to: i64) {
    let rows: Vec<String> = (from..=to).map(|id| format!("({id}, 'x')")).collect();
    for rows in rows.chunks(10_000) {
        server.run(&format!("insert into {database}.t values {}", rows.join(",")));
    }
}

#[test]
fn a_kill_under_load_loses_nothing_and_repeats_a_tail() {
    for (server, position) in all() {
        let database = database(server, "killed");
        let setup = kafka(server, &database, position);
        let topic = format!("{}.{database}.t", setup.prefix);
        // What is above the checkpoint that is saved when it dies, and nothing else, comes again.
        let mut bound = 0;
        for round in 0..3 {
            let tailwater = setup.start();
            tailwater.ready();
            insert(server, &database, round * 50_000 + 2, round * 50_000 + 50_001);
            std::thread::sleep(std::time::Duration::from_millis(400));
            tailwater.kill();
            let below = Done::of(&setup.offsets()).floor();
            let records = Kafka::shared().read(&topic);
            let id = |record: &Record| record.header("cdc.id").expect("every record has an id");
            bound += records.iter().filter(|record| !below(&id(record))).count();
        }
        setup.catch_up();
        let ids = ids(&setup, &database);
        let distinct: BTreeSet<i64> = ids.iter().copied().collect();
        let (kind, n_repeated) = (server.kind.name(), ids.len() - distinct.len());
        println!("{kind} {position}: {n_repeated} of 150001 rows again, at most {bound}");
        assert!(n_repeated <= bound, "{position}: {n_repeated} came again, at most {bound}");
        assert!(distinct.into_iter().eq(1..=150_001), "{position}");
    }
}

#[test]
fn a_stop_in_a_small_transaction_repeats_nothing() {
    for (server, position) in all() {
        let database = database(server, "drained");
        let setup = kafka(server, &database, position);
        for round in 0..3 {
            let tailwater = setup.start();
            tailwater.ready();
            insert(server, &database, round * 20_000 + 2, round * 20_000 + 20_001);
            tailwater.stop().expect(0, &[]);
        }
        setup.catch_up();
        assert!(ids(&setup, &database).into_iter().eq(1..=60_001), "{position}");
    }
}

#[test]
fn a_snapshot_that_was_stopped_begins_again_and_leaves_no_phantom() {
    const N: i64 = 200_000;
    for (server, position) in all() {
        let database = database(server, "stopped_snapshot");
        insert(server, &database, 2, N);
        let setup = kafka(server, &database, position);
        let tailwater = setup.start();
        let topic = format!("{}.{database}.t", setup.prefix);
        let begun =
            eventually(seconds(60), || (Kafka::shared().read(&topic).len() > 1000).then_some(()));
        assert!(begun.is_some(), "{}", tailwater.said());
        tailwater.stop().expect(0, &[]);
        let n_before = Kafka::shared().read(&topic).len();
        assert!(n_before < usize::try_from(N).unwrap(), "it was stopped too late");
        server.run(&format!("delete from {database}.t where id <= 10"));
        setup.catch_up().expect(0, &["begins again"]);
        let mut there = BTreeSet::new();
        for record in Kafka::shared().read(&topic) {
            let event = json_event(&record);
            let Some(value) = event.value else { continue };
            match value["after"]["id"].as_i64() {
                Some(id) => _ = there.insert(id),
                None => _ = there.remove(&value["before"]["id"].as_i64().unwrap()),
            }
        }
        assert!(there.into_iter().eq(11..=N), "{position}");
    }
}
