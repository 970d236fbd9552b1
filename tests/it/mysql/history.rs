//! Rows whose columns the log does not name (`binlog_row_metadata` MINIMAL, and NO_LOG of MariaDB),
//! read by the definitions that were in force when they were written.
//!
//! The catalogue is of no help here: most of what is checked is read long after the tables have
//! become something else.

use serde_json::{Value, json};

use super::oracle;
use crate::support::fold::fold;
use crate::support::kafka::Kafka;
use crate::support::mysql::{Kind, Server, Session};
use crate::support::tailwater::{Setup, exit};
use crate::support::{eventually, knob, seconds};

/// A server that says as little of its rows as it does unasked.
fn terse(kind: Kind) -> Server {
    let option = match kind {
        Kind::Mysql => "--binlog-row-metadata=MINIMAL",
        Kind::Mariadb => "--binlog-row-metadata=NO_LOG",
    };
    Server::start(kind, &[option])
}

/// A database with `t`, which has one row, and a session in it.
fn begin(server: &Server) -> (String, Session) {
    let database = server.database("terse");
    let session = server.session();
    session.run(&format!("use {database}"));
    session.run("create table t (id int primary key, a varchar(5), e enum('x', 'y'))");
    session.run("insert into t values (1, 'one', 'y')");
    (database, session)
}

/// The new rows of `topic`, without what is null.
fn rows(lines: &[Value], topic: &str) -> Vec<Value> {
    let of_topic = lines.iter().filter(|line| line["topic"].as_str().unwrap().ends_with(topic));
    let rows = of_topic.map(|line| line["value"]["after"].clone()).filter(Value::is_object);
    rows.map(|mut row| {
        row.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        row
    })
    .collect()
}

/// Statements, each with a row, and what the row must be.
fn changes() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "alter table t add b int unsigned",
            "(2, 'two', 'x', 7)",
            json!({"id": 2, "a": "two", "e": "x", "b": 7}),
        ),
        (
            "alter table t rename column a to aa",
            "(3, 'thr', 'x', 8)",
            json!({"id": 3, "aa": "thr", "e": "x", "b": 8}),
        ),
        // The same types in another order.
        (
            "alter table t modify b int unsigned after id",
            "(4, 9, 'fou', 'x')",
            json!({"id": 4, "b": 9, "aa": "fou", "e": "x"}),
        ),
        (
            "alter table t rename column b to c, add d int unsigned after id",
            "(5, 1, 2, 'fiv', 'x')",
            json!({"id": 5, "d": 1, "c": 2, "aa": "fiv", "e": "x"}),
        ),
        (
            "alter table t rename column c to d, rename column d to c",
            "(6, 1, 2, 'six', 'x')",
            json!({"id": 6, "c": 1, "d": 2, "aa": "six", "e": "x"}),
        ),
        (
            "alter table t modify e enum('y', 'x') character set latin1, drop c",
            "(7, 2, 'sev', 'x')",
            json!({"id": 7, "d": 2, "aa": "sev", "e": "x"}),
        ),
        (
            "alter table t convert to character set latin1",
            "(8, 2, 'ü', 'y')",
            json!({"id": 8, "d": 2, "aa": "ü", "e": "y"}),
        ),
        (
            "create table u (id int primary key, z bigint unsigned, y varchar(9)); drop table t; rename table u to t",
            "(9, 18446744073709551615, 'nin')",
            json!({"id": 9, "z": -1, "y": "nin"}),
        ),
    ]
}

#[test]
fn rows_are_read_by_the_definitions_of_their_time() {
    for kind in Kind::BOTH {
        let server = terse(kind);
        let (database, session) = begin(&server);
        let mut setup = Setup::mysql(&server, &database);
        // The other place where a history is kept.
        if kind == Kind::Mariadb {
            let kafka = json!({ "bootstrap_servers": [Kafka::shared().bootstrap] });
            setup.set("offsets", json!({ "kafka": { "bootstrap_servers": kafka["bootstrap_servers"], "replication_factor": 1 } }));
        }
        let snapshot = setup.catch_up();
        assert_eq!(rows(&snapshot.lines(), ".t"), [json!({"id": 1, "a": "one", "e": "y"})]);
        let mut expected = Vec::new();
        for (definition, row, read) in changes() {
            session.script(definition);
            session.run(&format!("insert into t values {row}"));
            expected.push(read);
        }
        // Once behind all of it, once in the middle of everything.
        let found = rows(&setup.catch_up().lines(), ".t");
        assert_eq!(found, expected, "{kind:?}");
        session.run("insert into t values (10, 1, 'ten')");
        let found = rows(&setup.catch_up().lines(), ".t");
        assert_eq!(found, [json!({"id": 10, "z": 1, "y": "ten"})], "{kind:?}: after a restart");
    }
}

#[test]
fn a_kill_between_a_statement_and_the_checkpoint_loses_no_definition() {
    for kind in Kind::BOTH {
        let server = terse(kind);
        let (database, session) = begin(&server);
        let setup = Setup::mysql(&server, &database);
        let mut lines = setup.catch_up().lines();
        let n_kills = knob("TAILWATER_KILLS", 6);
        for n in 0..n_kills {
            let mut armed = setup.clone();
            let points = ["checkpointed", "encode", "delivered", "read"];
            let point = points[usize::try_from(n).unwrap() % points.len()];
            armed.env("FAILPOINTS", &format!("{point}={}*off->return", n % 3));
            let tailwater = armed.start();
            for step in 0..3 {
                // Two columns of one type change their places: nothing but the history tells.
                let (old, new) = (format!("c{n}_{step}"), format!("d{n}_{step}"));
                session.run(&format!("alter table t add {old} int, add {new} int"));
                session.run(&format!(
                    "alter table t rename column {old} to {new}, rename column {new} to {old}"
                ));
                let id = 100 * (n + 1) + step;
                session.run(&format!("insert into t (id, {old}, {new}) values ({id}, {id}, -1)"));
                eventually(seconds(1), || tailwater.process.ended());
            }
            eventually(seconds(5), || tailwater.process.ended());
            lines.extend(whole_lines(&tailwater.kill().stdout));
        }
        lines.extend(setup.catch_up().lines());
        let found = rows(&lines, ".t");
        for n in 0..n_kills {
            for step in 0..3 {
                let id = 100 * (n + 1) + step;
                let versions: Vec<_> = found.iter().filter(|row| row["id"] == id).collect();
                assert!(!versions.is_empty(), "{kind:?}: {id} is lost");
                let (old, new) = (format!("c{n}_{step}"), format!("d{n}_{step}"));
                for row in versions {
                    assert_eq!(
                        (&row[&old], &row[&new]),
                        (&json!(id), &json!(-1)),
                        "{kind:?} {row}"
                    );
                }
            }
        }
        println!(
            "history: {}, {n_kills} kills, {} rows, 0 with wrong names",
            kind.name(),
            found.len()
        );
    }
}

fn whole_lines(text: &str) -> Vec<Value> {
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// A length makes a TEXT another type, which is a matter of the server's.
const ODD: &str = "alter table t add odd text(100)";

#[test]
fn after_a_statement_that_is_not_understood_the_catalogue_counts_if_nothing_came_since() {
    for kind in Kind::BOTH {
        let server = terse(kind);
        let (database, session) = begin(&server);
        let setup = Setup::mysql(&server, &database);
        setup.catch_up();
        session.run(ODD);
        session.run("insert into t values (2, 'two', 'x', 'odd')");
        // Other tables may change meanwhile.
        session.script("create table other (id int primary key); flush binary logs; insert into other values (1)");
        let ended = setup.catch_up().expect(
            0,
            &["a statement about a table is not understood", "the catalogue was asked for a table"],
        );
        assert_eq!(
            rows(&ended.lines(), ".t"),
            [json!({"id": 2, "a": "two", "e": "x", "odd": "odd"})]
        );
        // What was learned is in the checkpoint.
        session.run("alter table t drop a");
        session.run("insert into t values (3, 'y', 'odd')");
        let ended = setup.catch_up();
        assert!(!ended.stderr.contains("the catalogue was asked"), "{}", ended.stderr);
        assert_eq!(rows(&ended.lines(), ".t"), [json!({"id": 3, "e": "y", "odd": "odd"})]);
        // Now the catalogue is too new.
        session.run("alter table t add more text(100)");
        session.run("insert into t values (4, 'y', 'odd', 'more')");
        session.run("flush binary logs");
        session.run("alter table t rename column more to less");
        setup.fails(
            exit::SOURCE,
            &[
                "what the catalogue says of the table may be newer: a statement at",
                "tailwater offsets reset",
            ],
        );
    }
}

#[test]
fn a_table_that_changed_without_the_log_is_a_loud_stop() {
    for kind in Kind::BOTH {
        let server = terse(kind);
        let (database, session) = begin(&server);
        let setup = Setup::mysql(&server, &database);
        setup.catch_up();
        session
            .script("set sql_log_bin = 0; alter table t modify a varchar(6); set sql_log_bin = 1");
        session.run("insert into t values (2, 'two', 'x')");
        let ended = setup.fails(
            exit::SOURCE,
            &[
                "what is known of the table is wrong: column `a`",
                "SET sql_log_bin = 0",
                "tailwater offsets reset",
                &format!("tailwater offsets forget --table '{database}.t'"),
            ],
        );
        assert!(rows(&ended.lines(), ".t").is_empty());
        // The way out for one table.
        let table = format!("{database}.t");
        let forget = |more: &[&str]| {
            let arguments = [&["--table", table.as_str()][..], more].concat();
            setup.command("offsets forget", &arguments).wait(seconds(20))
        };
        forget(&[]).expect(exit::CONFIGURATION, &["without --yes"]);
        forget(&["--yes"]).expect(0, &[]);
        let ended = setup.catch_up().expect(0, &["the catalogue was asked for a table"]);
        assert_eq!(rows(&ended.lines(), ".t"), [json!({"id": 2, "a": "two", "e": "x"})]);
    }
}

/// gh-ost and pt-online-schema-change: a copy is made beside the table, filled, and takes its name.
#[test]
fn a_table_that_was_swapped_keeps_one_topic_and_one_key() {
    for kind in Kind::BOTH {
        for server in [Server::start(kind, &[]), terse(kind)] {
            let (database, session) = begin(&server);
            let mut setup = Setup::mysql(&server, &database);
            let name = kind.name();
            setup.set(&format!("source.{name}.tables"), json!({ "include": [format!("{database}.*")], "exclude": [format!("{database}._*")] }));
            setup.set(&format!("source.{name}.include_schema_changes"), true);
            let tailwater = setup.start();
            tailwater.ready();
            for (n, shadow) in [(10, "_t_gho"), (20, "_t_new"), (30, "_t_gho")] {
                session.run(&format!("create table {shadow} like t"));
                session.run(&format!("alter table {shadow} add column b{n} int"));
                session.run(&format!("insert into t (id, a, e) values ({n}, 'old', 'x')"));
                session.run(&format!("insert into {shadow} select t.*, {n} from t"));
                session.run(&format!("rename table t to _t_old, {shadow} to t"));
                session.run(&format!(
                    "insert into t (id, a, e, b{n}) values ({n} + 1, 'new', 'y', {n})"
                ));
                session.run(&format!("update t set a = 'upd' where id = {n}"));
                session.run("drop table _t_old");
            }
            session.run("insert into t (id) values (99)");
            let topic = format!("{}.{database}.t", setup.prefix);
            let done = eventually(seconds(60), || {
                let text = std::fs::read_to_string(&tailwater.stdout).unwrap_or_default();
                text.lines().any(|l| l.contains(&topic) && l.contains("\"id\":99")).then_some(())
            });
            assert!(done.is_some(), "{}", tailwater.said());
            let stdout = tailwater.stdout.clone();
            let lines = tailwater.stop().expect(0, &[]).lines();
            let topics: std::collections::BTreeSet<&str> =
                lines.iter().map(|line| line["topic"].as_str().unwrap()).collect();
            assert_eq!(topics.into_iter().collect::<Vec<_>>(), [setup.prefix.as_str(), &topic]);
            for line in lines.iter().filter(|line| line["topic"] == topic.as_str()) {
                let key: Vec<_> = line["key"].as_object().unwrap().keys().collect();
                assert_eq!(key, ["id"], "{line}");
            }
            // The copies are not captured, so what they were filled with did not come as rows; what
            // came since the snapshot is what is there.
            let mut events = oracle::lines(&stdout);
            events.retain(|event| event.topic == topic);
            let folded = fold(&events);
            let n_rows: usize = server
                .value(&format!("select count(*) from {database}.t"))
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(folded[&topic].len(), n_rows, "{kind:?}");
            for (key, row) in &folded[&topic] {
                let id = row["id"].as_i64().unwrap();
                let a = server.value(&format!("select a from {database}.t where id = {id}"));
                assert_eq!(row["a"].as_str().map(str::to_owned), a, "{kind:?} {key:?}");
            }
        }
    }
}

#[test]
fn folded_topics_equal_the_tables_where_the_log_names_no_columns() {
    for kind in Kind::BOTH {
        let server = terse(kind);
        let (mut n_rows, mut n_events) = (0, 0);
        let n_seeds = knob("TAILWATER_SEEDS", 2);
        for seed in 0..n_seeds {
            // Odd ones have a sink that is checked elsewhere, 4n + 3 a kill; here all are killed.
            let tally = oracle::one_seed_on(&server, 1000 + 2 * seed, oracle::Kill::Always);
            n_rows += tally.0;
            n_events += tally.1;
        }
        println!(
            "oracle without names: {}, {n_seeds} seeds, {n_events} events, {n_rows} rows compared, 0 differing",
            kind.name()
        );
        assert!(n_rows > 0 && n_events > n_rows);
    }
}

#[test]
fn a_log_that_stops_naming_columns_is_followed_all_the_same() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let (database, session) = begin(&server);
        let setup = Setup::mysql(&server, &database);
        setup.catch_up();
        let terse = if kind == Kind::Mysql { "MINIMAL" } else { "NO_LOG" };
        let mut id = 1;
        for (definition, metadata) in [
            ("alter table t add b int unsigned", terse),
            ("alter table t rename column b to c", terse),
            ("alter table t rename column c to d", "FULL"),
            ("alter table t rename column d to f", terse),
        ] {
            session.run(definition);
            server.run(&format!("set global binlog_row_metadata = {metadata}"));
            id += 1;
            session.run(&format!("insert into t values ({id}, 'new', 'x', {id})"));
        }
        let found = rows(&setup.catch_up().lines(), ".t");
        let row = |id: u32, name: &str| json!({"id": id, "a": "new", "e": "x", name: id});
        assert_eq!(found, [row(2, "b"), row(3, "c"), row(4, "d"), row(5, "f")], "{kind:?}");
    }
}
