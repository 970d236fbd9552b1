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

/// Its rows were once read with the names of the table that had become the partition.
#[test]
fn a_partition_that_becomes_a_table_has_its_own_columns() {
    let server = terse();
    let (database, session) = begin_parts(&server);
    let setup = Setup::mysql(&server, &database);
    setup.catch_up();
    for statement in [IN, SWAP, OUT, "insert into x values (1, 7, 8)"] {
        session.run(statement);
    }
    session.run("insert into t values (2, 7, 8)");
    let ended = setup.catch_up().expect(0, &["the catalogue was asked for a table"]);
    let row = |id: u32| json!({"id": id, "b": 7, "a": 8});
    assert_eq!((rows(&ended, "x"), rows(&ended, "t")), (vec![row(1)], vec![row(2)]));
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
