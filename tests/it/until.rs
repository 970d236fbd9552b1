//! Runs that end by themselves, and what `offsets` and `check` say of them.

use crate::support::postgres::{Database, Postgres};
use crate::support::tailwater::{Ended, Setup, exit};
use crate::support::{free_port, seconds};

fn database(name: &str) -> Database {
    let database = Postgres::shared().database(name);
    database.run("create table t (id int primary key, v text); insert into t values (1, 'a')");
    database
}

fn ops(ended: &Ended) -> String {
    let op = |l: &serde_json::Value| l["value"]["op"].as_str().unwrap_or("-").to_owned();
    ended.lines().iter().map(op).collect()
}

#[test]
fn until_caught_up_delivers_what_was_there_at_the_start_and_goes_on_from_there() {
    let database = database("caught_up");
    let setup = Setup::stdout(&database);
    assert_eq!(ops(&setup.catch_up()), "r");
    database.run("insert into t values (2, 'b'); update t set v = 'c' where id = 2; delete from t where id = 1");
    assert_eq!(ops(&setup.catch_up()), "cud-");
    assert_eq!(ops(&setup.catch_up()), "", "nothing is said twice");
}

#[test]
fn until_snapshot_ends_after_the_snapshot_and_a_later_run_goes_on_from_there() {
    let database = database("until_snapshot");
    let setup = Setup::stdout(&database);
    let ended = setup.start_until("snapshot").wait(seconds(60)).expect(0, &[]);
    assert_eq!(ops(&ended), "r");
    let ended = setup.start_until("snapshot").wait(seconds(60)).expect(0, &[]);
    assert_eq!(ops(&ended), "", "it was reached before");
    // It once left no slot, and the changes between the two runs were lost.
    database.run("insert into t values (2, 'b')");
    assert_eq!(ops(&setup.catch_up()), "c");
}

#[test]
fn snapshot_modes_do_what_they_say() {
    let database = database("modes");
    let mut setup = Setup::stdout(&database);
    setup.set("snapshot.mode", "no_data");
    assert_eq!(ops(&setup.catch_up()), "");
    database.run("insert into t values (2, 'b')");
    assert_eq!(ops(&setup.catch_up()), "c");

    let database = self::database("initial_only");
    let mut setup = Setup::stdout(&database);
    setup.set("snapshot.mode", "initial_only");
    let ended = setup.start().wait(seconds(60)).expect(0, &[]);
    assert_eq!(ops(&ended), "r");
    // It is a copy, not the start of a stream: nothing stays behind that would hold log.
    let slots = database.session().rows("select slot_name from pg_replication_slots");
    assert!(!slots.iter().any(|row| row[0].as_deref() == Some(database.name.as_str())));
}

#[test]
fn a_run_that_cannot_get_there_is_incomplete() {
    let database = database("incomplete");
    let setup = Setup::stdout(&database);
    setup.catch_up();
    let lock = database.session();
    lock.run("begin; lock table t");
    // A second pipeline cannot read the table, so its snapshot does not end.
    let mut other = Setup::stdout(&database);
    other.set("pipeline", format!("{}_other", database.name));
    let running = other.start_until("snapshot");
    std::thread::sleep(seconds(3));
    running.stop().expect(exit::INCOMPLETE, &[]);
}

#[test]
fn offsets_are_shown_and_set_only_while_nobody_runs() {
    let database = database("offsets");
    let setup = Setup::stdout(&database);
    setup.catch_up();
    let shown = setup.command("offsets show", &[]).wait(seconds(20)).expect(0, &[]);
    assert!(shown.stdout.contains('/'), "a position is shown: {}", shown.stdout);
    database.run("insert into t values (2, 'b')");
    assert_eq!(ops(&setup.catch_up()), "c");
    let reset = setup.command("offsets reset", &["--yes"]).wait(seconds(20)).expect(0, &[]);
    drop(reset);
    // The slot is still there: without offsets it could be anybody's.
    setup.fails(exit::SOURCE, &["pg_drop_replication_slot"]);
    database.run(&format!("select pg_drop_replication_slot('{}')", database.name));
    assert_eq!(ops(&setup.catch_up()), "rr");
}

#[test]
fn check_reads_the_file_alone() {
    let database = database("checked");
    let mut setup = Setup::stdout(&database);
    // Nobody listens there, and nobody asks.
    setup.set("source.postgres.port", free_port());
    setup.command("check", &[]).wait(seconds(20)).expect(0, &[]);
    let slots = database.session().rows("select slot_name from pg_replication_slots");
    assert!(!slots.iter().any(|row| row[0].as_deref() == Some(database.name.as_str())));
}

#[test]
fn admin_endpoints_say_how_it_is() {
    let database = database("admin");
    let setup = Setup::stdout(&database);
    let tailwater = setup.start();
    tailwater.ready();
    let get = |path: &str| tailwater.admin(path).expect("the admin endpoint answers");
    assert_eq!(get("/healthz").0, 200);
    let (status, metrics) = get("/metrics");
    assert_eq!(status, 200);
    for name in ["tailwater_", "lag", "# HELP", "# TYPE"] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    tailwater.stop().expect(0, &[]);
}

#[test]
fn logs_are_json_without_values_where_no_terminal_is() {
    let database = database("logs");
    database.run("insert into t values (7, 'canary-value')");
    let mut setup = Setup::stdout(&database);
    setup.env("RUST_LOG", "debug");
    let ended = setup.catch_up();
    assert!(ended.stdout.contains("canary-value"));
    assert!(!ended.stderr.contains("canary-value"), "a row value in the log");
    for line in ended.stderr.lines() {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok(), "not JSON: {line}");
    }
}
