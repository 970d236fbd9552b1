//! Snapshot and stream meet without gap and without overlap, whatever happens meanwhile.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::fold::{fold, json_event};
use crate::support::kafka::Kafka;
use crate::support::postgres::{Database, Postgres, Row};
use crate::support::tailwater::Setup;
use crate::support::{eventually, seconds};

fn filled(name: &str, n_rows: u32) -> Database {
    let database = Postgres::shared().database(name);
    database.run(&format!(
        "create table t (id int primary key, v int not null);
         create table e (id int primary key);
         insert into t select i, 0 from generate_series(1, {n_rows}) i"
    ));
    database
}

/// Folds the topic of `t` and compares it with the table.
fn equal(setup: &Setup, database: &Database) {
    let records = Kafka::shared().read(&format!("{}.public.t", setup.prefix));
    let events: Vec<_> = records.iter().map(json_event).collect();
    let folded = fold(&events).into_values().next().unwrap_or_default();
    let number = |v: &Value| v.as_i64().unwrap();
    let found: BTreeMap<i64, i64> =
        folded.values().map(|r| (number(&r["id"]), number(&r["v"]))).collect();
    let parse = |row: &Row, i: usize| row[i].as_ref().unwrap().parse::<i64>().unwrap();
    let rows = database.session().rows("select id, v from t");
    let expected: BTreeMap<i64, i64> = rows.iter().map(|r| (parse(r, 0), parse(r, 1))).collect();
    assert!(found == expected, "{} rows found, {} expected", found.len(), expected.len());
}

#[test]
fn rows_that_change_while_the_snapshot_reads_end_as_they_are() {
    let database = filled("handover", 100_000);
    let setup = Setup::kafka(&database, Kafka::shared());
    let tailwater = setup.start();
    let session = database.session();
    for i in 0..300 {
        session.run(&format!("update t set v = v + 1 where id % 1000 = {i}"));
        session.run(&format!("delete from t where id = {}", i * 7 + 3));
        session.run(&format!("insert into t values ({}, 1)", 1_000_000 + i));
    }
    tailwater.ready();
    tailwater.stop().expect(0, &[]);
    setup.catch_up();
    equal(&setup, &database);
}

#[test]
fn a_snapshot_that_was_killed_begins_again_and_says_so() {
    let database = filled("killed_snapshot", 300_000);
    let setup = Setup::kafka(&database, Kafka::shared());
    let tailwater = setup.start();
    let begun = eventually(seconds(60), || {
        (Kafka::shared().read(&format!("{}.public.t", setup.prefix)).len() > 1000).then_some(())
    });
    assert!(begun.is_some(), "{}", tailwater.said());
    tailwater.kill();
    // Changes to rows that were sent already and to rows that were not: the second snapshot is as
    // of a later moment, and a row that is gone by then must not stay in the topic.
    database.run("update t set v = 5 where id <= 10; delete from t where id % 1000 = 20");
    let tailwater = setup.start();
    tailwater.says("begins again", seconds(30));
    // And once more in the middle.
    std::thread::sleep(seconds(1));
    tailwater.kill();
    database.run("delete from t where id % 1000 = 21; insert into t values (1000001, 1)");
    let tailwater = setup.start();
    tailwater.ready();
    tailwater.stop().expect(0, &[]);
    setup.catch_up();
    equal(&setup, &database);
}

#[test]
fn a_transaction_that_is_open_across_the_start_is_not_lost() {
    let database = filled("open", 10);
    let open = database.session();
    open.run("begin; insert into t values (100, 1)");
    let setup = Setup::kafka(&database, Kafka::shared());
    let tailwater = setup.start();
    std::thread::sleep(seconds(2));
    open.run("insert into t values (101, 1); commit");
    tailwater.ready();
    tailwater.stop().expect(0, &[]);
    setup.catch_up();
    equal(&setup, &database);
}
