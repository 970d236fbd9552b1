//! What is known of tables and what is not, where the log does not name the columns of its rows: a
//! statement that did nothing is no proof, and one about something else casts no doubt.

use serde_json::{Value, json};

use super::order_law::{as_user, create_user};
use crate::support::mysql::{Kind, Server, Session};
use crate::support::tailwater::{Ended, Setup, exit};

fn terse(kind: Kind) -> Server {
    let option = match kind {
        Kind::Mysql => "--binlog-row-metadata=MINIMAL",
        Kind::Mariadb => "--binlog-row-metadata=NO_LOG",
    };
    Server::start(kind, &[option])
}

/// A database with `t`, and a session in it.
fn begin(server: &Server) -> (String, Session) {
    let database = server.database("doubts");
    let session = server.session();
    session.script(&format!(
        "use {database}; create table t (id int primary key, a varchar(5));
         insert into t values (1, 'one')"
    ));
    (database, session)
}

/// Operation and new row of every record, with the table where it is another one than `t`.
fn events(ended: &Ended) -> Vec<(String, Value)> {
    let lines = ended.lines();
    let one = |line: &Value| {
        let (op, row) = (line["value"]["op"].as_str().unwrap(), &line["value"]["after"]);
        (op.to_owned(), row.clone())
    };
    lines.iter().map(one).collect()
}

fn created(row: Value) -> (String, Value) {
    ("c".to_owned(), row)
}

/// Two columns of one type under each other's names: nothing in a row tells.
const CONDITIONAL: &str = "create table if not exists old (id int primary key, y int, x int)";

/// The names of the columns would have been those of a statement that did nothing.
#[test]
fn a_table_that_was_there_before_it_was_captured_is_not_what_a_statement_says() {
    for kind in Kind::BOTH {
        let server = terse(kind);
        let (database, session) = begin(&server);
        session.run("create table old (id int primary key, x int, y int)");
        let mut setup = Setup::mysql(&server, &database);
        let include = format!("source.{}.tables.include", kind.name());
        setup.set(&include, vec![format!("{database}.t")]);
        setup.catch_up();
        setup.set(&include, vec![format!("{database}.*")]);
        session.run(CONDITIONAL);
        session.run("insert into old values (1, 10, 20)");
        let ended = setup.catch_up().expect(0, &["the catalogue was asked for a table"]);
        assert_eq!(events(&ended), [created(json!({"id": 1, "x": 10, "y": 20}))], "{kind:?}");
        // Where the catalogue proves nothing either, it is a stop.
        session.run("create table if not exists older (id int primary key, y int, x int)");
        session.run("insert into older values (1, 10, 20)");
        session.run("alter table older rename column x to z");
        setup.fails(exit::SOURCE, &["what the catalogue says of the table may be newer"]);
    }
}

#[test]
fn a_table_that_we_had_no_right_to_see_is_not_what_a_statement_says() {
    for kind in Kind::BOTH {
        let server = terse(kind);
        create_user(&server);
        let (database, session) = begin(&server);
        session.run("create table old (id int primary key, x int, y int)");
        session.run("revoke select on *.* from cdc@'%'");
        session.run(&format!("grant select on {database}.t to cdc@'%'"));
        let mut setup = Setup::mysql(&server, &database);
        as_user(&mut setup, &server, server.port);
        setup.catch_up();
        session.run(&format!("grant select on {database}.* to cdc@'%'"));
        session.run(CONDITIONAL);
        session.run("insert into old values (1, 10, 20)");
        assert_eq!(
            events(&setup.catch_up()),
            [created(json!({"id": 1, "x": 10, "y": 20}))],
            "{kind:?}"
        );
        // With a right on all of the database everything in it is seen, and the statement counts:
        // no later one can take the proof away.
        let mut seeing = setup.clone();
        seeing.set("pipeline", format!("{database}_seeing"));
        seeing.catch_up();
        session.run("create table if not exists new (id int primary key, y int, x int)");
        session.run("insert into new values (1, 10, 20)");
        session.run("alter table new rename column y to z");
        assert_eq!(
            events(&seeing.catch_up()),
            [created(json!({"id": 1, "y": 10, "x": 20}))],
            "{kind:?}"
        );
    }
}

#[test]
fn statements_about_other_things_cast_no_doubt() {
    for kind in Kind::BOTH {
        let server = terse(kind);
        let (database, session) = begin(&server);
        let setup = Setup::mysql(&server, &database);
        setup.catch_up();
        match kind {
            Kind::Mysql => session.script(
                "create table other (id int primary key, b int);
                 alter table other add c text(100);
                 create spatial reference system 990001 name 'x' definition
                 'GEOGCS[\"x\",DATUM[\"x\",SPHEROID[\"x\",6378137,298.25]],PRIMEM[\"x\",0],UNIT[\"x\",0.017],AXIS[\"Lat\",NORTH],AXIS[\"Lon\",EAST]]';
                 drop spatial reference system 990001",
            ),
            Kind::Mariadb => {
                session.script(
                    "create table other (id int primary key, b int);
                     create index if not exists i on t (a); create index if not exists i on t (a);
                     rename table if exists nowhere to somewhere;
                     create or replace database doubts_replaced; set sql_mode = oracle",
                );
                session.run("create or replace procedure p as begin null; end");
                session.script(
                    "alter table \"other\" add \"c\" date; drop procedure p;
                     create table \"third\" (a number); drop table \"third\"; set sql_mode = ''",
                );
            }
        }
        session.run("insert into t values (2, 'two')");
        // From here on the catalogue proves nothing.
        session.run("alter table t rename column a to b");
        let ended = setup.catch_up();
        assert_eq!(events(&ended), [created(json!({"id": 2, "a": "two"}))], "{kind:?}");
    }
}

/// It was taken from the catalogue's present, in which the table may be another one or none.
#[test]
fn a_table_that_is_emptied_is_the_one_of_then() {
    for (kind, option) in [
        (Kind::Mysql, "--binlog-row-metadata=MINIMAL"),
        (Kind::Mysql, "--binlog-row-metadata=FULL"),
        (Kind::Mariadb, "--binlog-row-metadata=NO_LOG"),
        (Kind::Mariadb, "--binlog-row-metadata=FULL"),
    ] {
        let server = Server::start(kind, &[option]);
        let (database, session) = begin(&server);
        let setup = Setup::mysql(&server, &database);
        setup.catch_up();
        session
            .script("truncate t; insert into t values (2, 'two'); truncate table t; drop table t");
        let emptied = || ("t".to_owned(), Value::Null);
        let row = created(json!({"id": 2, "a": "two"}));
        assert_eq!(events(&setup.catch_up()), [emptied(), row, emptied()], "{kind:?} {option}");
    }
}

/// A statement with these bytes, which its session says are latin1.
fn run_in_latin1(session: &Session, statement: &[u8]) {
    let hex: String = statement.iter().map(|byte| format!("{byte:02x}")).collect();
    session.run("set names latin1");
    session.run(&format!("set @s = _latin1 x'{hex}'"));
    session.run("prepare s from @s");
    session.run("execute s");
    session.run("set names utf8mb4");
}

/// A look into the log meets statements in any character set, and was once lost at the first that
/// is no UTF-8.
#[test]
fn the_log_is_looked_into_whatever_its_statements_are_written_in() {
    for kind in Kind::BOTH {
        let server = terse(kind);
        let (database, session) = begin(&server);
        let setup = Setup::mysql(&server, &database);
        setup.catch_up();
        session.run("alter table t add odd text(100)");
        session.run("insert into t values (2, 'two', 'odd')");
        run_in_latin1(&session, b"create table gr\xF6\xDFe (id int primary key comment 'f\xFCr')");
        run_in_latin1(&session, b"insert into gr\xF6\xDFe values (1)");
        // More than one read of the socket, and more than one file.
        session.run("create table wide (id int primary key, v longtext)");
        for id in 0..20 {
            session.run(&format!("insert into wide values ({id}, repeat('x', 300000))"));
            if id % 7 == 0 {
                session.run("flush binary logs");
            }
        }
        let ended = setup.catch_up().expect(0, &["the catalogue was asked for a table"]);
        let first = events(&ended).into_iter().next();
        assert_eq!(first, Some(created(json!({"id": 2, "a": "two", "odd": "odd"}))), "{kind:?}");
        // One about the table itself is seen, in another character set and in another file.
        session.run("alter table t add odder text(100)");
        session.run("insert into t values (3, 'thr', 'odd', 'er')");
        session.run("flush binary logs");
        run_in_latin1(&session, b"alter table t comment 'f\xFCr'");
        setup.fails(exit::SOURCE, &["may be newer: a statement at", "may change it"]);
    }
}
