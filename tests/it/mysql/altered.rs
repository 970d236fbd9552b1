//! What only MariaDB makes of ALTER TABLE, where the log does not name the columns of its rows.

use serde_json::{Value, json};

use crate::support::mysql::{Kind, Server, Session};
use crate::support::tailwater::{Ended, Setup, exit};

fn terse() -> Server {
    Server::start(Kind::Mariadb, &["--binlog-row-metadata=NO_LOG"])
}

/// The new rows of a table.
fn rows(ended: &Ended, table: &str) -> Vec<Value> {
    let lines = ended.lines();
    let of_table = lines.iter().filter(|line| line["value"]["source"]["table"] == table);
    of_table.map(|line| line["value"]["after"].clone()).filter(Value::is_object).collect()
}

/// A database with a table in partitions, one like it, and a session in it.
fn begin_parts(server: &Server) -> (String, Session) {
    let database = server.database("parts");
    let session = server.session();
    session.script(&format!(
        "use {database}; create table x (id int primary key, a int, b int);
         create table t (id int primary key, a int, b int)
         partition by range (id) (partition p values less than (10))"
    ));
    (database, session)
}

const IN: &str = "alter table t convert table x to partition q values less than (99)";
const SWAP: &str = "alter table t rename column a to b, rename column b to a";
const OUT: &str = "alter table t convert partition q to table x";

/// An ALTER is in the log when it begins and when it ends: it was done twice, and one that failed
/// was done as well.
#[test]
fn an_alter_that_is_logged_in_two_halves_counts_once_if_it_is_committed() {
    let server = terse();
    let database = server.database("halves");
    let session = server.session();
    session.script(&format!(
        "use {database}; set session binlog_alter_two_phase = 1;
         create table t (id int primary key, a int, b int)"
    ));
    let mut setup = Setup::mysql(&server, &database);
    setup.set("source.mariadb.include_schema_changes", true);
    setup.catch_up();
    let failing = "alter table t modify a int after b, add unique (b)";
    session.script("insert into t values (1, 7, 8), (2, 7, 8)");
    session.run("alter table t add c int after id");
    session.script("insert into t values (3, 5, 7, 8)");
    assert!(session.try_run(failing).is_err(), "a key is there twice");
    session.script("insert into t values (4, 5, 7, 8)");
    // Types and number stay as they are: no row shows that it was done twice.
    session.run("alter table t rename column a to b, rename column b to a");
    session.run("create index i on t (c)");
    session.script("insert into t values (5, 5, 7, 8)");
    let log = session.value("show master status").unwrap();
    let events = session.rows(&format!("show binlog events in '{log}'"));
    let texts = events.iter().map(|event| event[5].as_deref().unwrap_or_default());
    let halves = texts.filter(|text| text.contains("alter table") || text.contains("create index"));
    assert_eq!(halves.count(), 2 * 4, "the server logs both");
    let ended = setup.catch_up().expect(0, &[]);
    assert_eq!(
        rows(&ended, "t"),
        [
            json!({"id": 1, "a": 7, "b": 8}),
            json!({"id": 2, "a": 7, "b": 8}),
            json!({"id": 3, "c": 5, "a": 7, "b": 8}),
            json!({"id": 4, "c": 5, "a": 7, "b": 8}),
            json!({"id": 5, "c": 5, "b": 7, "a": 8}),
        ]
    );
    assert_eq!(
        statements(&ended),
        [
            "alter table t add c int after id",
            "alter table t rename column a to b, rename column b to a",
            "create index i on t (c)",
        ]
    );
    // An unknown table is looked up in the catalogue, whose word a half of an ALTER takes nothing
    // from, and a commit does.
    session.run("alter table t add odd text(100)");
    session.run("insert into t values (6, 5, 7, 8, 'odd')");
    assert!(session.try_run(failing).is_err(), "a key is there twice");
    let ended = setup.catch_up().expect(0, &["the catalogue was asked for a table"]);
    assert_eq!(rows(&ended, "t"), [json!({"id": 6, "c": 5, "b": 7, "a": 8, "odd": "odd"})]);
    session.run("alter table t add odder text(100)");
    session.run("insert into t values (7, 5, 7, 8, 'odd', 'er')");
    session.run("alter table t comment 'x'");
    setup.fails(exit::SOURCE, &["what the catalogue says of the table may be newer"]);
}

/// The statements in the topic of schema changes.
fn statements(ended: &Ended) -> Vec<String> {
    let lines = ended.lines();
    lines.iter().filter_map(|line| line["value"]["ddl"].as_str().map(str::to_owned)).collect()
}

/// Its rows were once read with the names of the table that had become the partition.
#[test]
fn a_partition_that_becomes_a_table_has_its_own_columns() {
    let server = terse();
    let (database, session) = begin_parts(&server);
    let setup = Setup::mysql(&server, &database);
    setup.catch_up();
    for statement in [IN, SWAP, OUT, "insert into x values (11, 7, 8)"] {
        session.run(statement);
    }
    session.run("insert into t values (2, 7, 8)");
    let ended = setup.catch_up().expect(0, &["the catalogue was asked for a table"]);
    let row = |id: u32| json!({"id": id, "b": 7, "a": 8});
    assert_eq!((rows(&ended, "x"), rows(&ended, "t")), (vec![row(11)], vec![row(2)]));
    // Its name is free once it is a partition, and a new table of that name is known at once.
    for statement in
        [IN, "create table x (id int primary key, z int)", "insert into x values (3, 9)"]
    {
        session.run(statement);
    }
    session.run("alter table x rename column z to y");
    let ended = setup.catch_up().expect(0, &[]);
    assert_eq!(rows(&ended, "x"), [json!({"id": 3, "z": 9})]);
}

/// The catalogue's present was once believed although another table had taken the name since.
#[test]
fn a_partition_that_becomes_a_table_takes_the_proof_from_the_catalogue() {
    let server = terse();
    let (database, session) = begin_parts(&server);
    let setup = Setup::mysql(&server, &database);
    setup.catch_up();
    // A length makes a TEXT another type, so the table is not known from here on.
    session.run("alter table x add odd text(100), algorithm = copy");
    session.run("alter table x drop odd, algorithm = copy");
    session.run("insert into x values (11, 7, 8)");
    for statement in [IN, SWAP, OUT] {
        session.run(statement);
    }
    let ended = setup.fails(exit::SOURCE, &["what the catalogue says of the table may be newer"]);
    assert!(rows(&ended, "x").is_empty());
}
