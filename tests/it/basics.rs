//! One row's whole way, and the ways of starting and ending.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::postgres::Postgres;
use crate::support::tailwater::Setup;
use crate::support::{eventually, seconds};

#[test]
fn rows_of_snapshot_and_stream_arrive_once_and_in_order() {
    let database = Postgres::shared().database("basics");
    database.run("create table t (id int primary key, v text); insert into t values (1, 'a')");
    let setup = Setup::stdout(&database);
    let tailwater = setup.start();
    tailwater.ready();
    let session = database.session();
    session.run("insert into t values (2, 'b')");
    session.run("update t set v = 'c' where id = 2");
    session.run("delete from t where id = 1");
    let seen = |text: &str| text.lines().count() >= 5;
    let arrived = eventually(seconds(20), || {
        let text = std::fs::read_to_string(&tailwater.stdout).unwrap_or_default();
        seen(&text).then_some(())
    });
    assert!(arrived.is_some(), "{}", tailwater.said());
    let ended = tailwater.stop().expect(0, &[]);
    let ops: Vec<_> = ended.lines().iter().map(|l| l["value"]["op"].to_string()).collect();
    assert_eq!(ops, ["\"r\"", "\"c\"", "\"u\"", "\"d\"", "null"]);
    database.drop_with_slots();
}

/// `tailwater run --source … | head -3`: nobody is left to deliver to, and that is no failure.
#[test]
fn a_reader_that_has_enough_ends_the_run_quietly() {
    let database = Postgres::shared().database("enough");
    database.run("create table t (id int primary key); insert into t select generate_series(1, 9)");
    let setup = Setup::stdout(&database);
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", database.port, database.name);
    let mut child = Command::new(env!("CARGO_BIN_EXE_tailwater"))
        .args(["run", "--source", &url])
        .current_dir(&setup.folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let line = lines.next().expect("there are nine rows").unwrap();
        assert!(line.contains("\"op\":\"r\""), "{line}");
    }
    drop(lines);
    // It notices with the next row.
    let ended = eventually(seconds(60), || {
        database.run("insert into t select max(id) + 1 from t");
        child.try_wait().unwrap()
    });
    drop(child.kill());
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{said}");
    assert!(!said.contains("ERROR") && !said.contains("WARN"), "{said}");
    database.drop_with_slots();
}
