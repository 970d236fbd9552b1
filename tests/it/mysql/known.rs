//! What went wrong elsewhere and has no better place here: each is a line of `tests/failures.md`.

use serde_json::{Value, json};

use super::basics::{all, database, setup};
use super::order_law::{as_user, create_user};
use crate::support::mysql::{Kind, Server};
use crate::support::proxy::Proxy;
use crate::support::tailwater::{Ended, Setup, exit};
use crate::support::{eventually, seconds};

const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// `after` of each record, without the columns that nobody asks for.
fn rows(ended: &Ended) -> Vec<Value> {
    ended.lines().iter().map(|line| line["value"]["after"].clone()).collect()
}

fn keys(ended: &Ended) -> Vec<Value> {
    ended.lines().iter().map(|line| line["key"].clone()).collect()
}

fn both() -> impl Iterator<Item = &'static Server> {
    Kind::BOTH.into_iter().map(Server::shared)
}

fn auto(server: &Server, database: &str) -> Setup {
    setup(server, database, "auto")
}

#[test]
fn an_alteration_that_the_log_does_not_have_mis_types_nothing() {
    for server in both() {
        let database = database(server, "hidden");
        let setup = auto(server, &database);
        assert_eq!(rows(&setup.catch_up()), [json!({ "id": 1, "v": "a" })]);
        let session = server.session();
        session.script(&format!(
            "use {database}; set sql_log_bin = 0;
             alter table t drop column v, add column n int first, add column w varchar(9);
             set sql_log_bin = 1; insert into t values (7, 2, 'b')"
        ));
        assert_eq!(rows(&setup.catch_up()), [json!({ "n": 7, "id": 2, "w": "b" })]);
        // What is written past the log is in nobody's stream.
        session.script("set sql_log_bin = 0; insert into t values (8, 3, 'c')");
        assert!(rows(&setup.catch_up()).is_empty());
    }
}

#[test]
fn metadata_that_is_switched_off_under_a_reader_mis_types_nothing() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let database = database(&server, "metadata");
        let setup = auto(&server, &database);
        setup.catch_up();
        let tailwater = setup.start();
        tailwater.ready();
        server.session().script(&format!(
            "use {database}; insert into t values (2, 'b');
             set global binlog_row_metadata = minimal; insert into t values (3, 'c');
             alter table t add column n int unsigned first; insert into t values (4294967295, 4, 'd');
             set global binlog_row_metadata = full; insert into t values (1, 5, 'e')"
        ));
        let n_lines =
            || std::fs::read_to_string(&tailwater.stdout).unwrap_or_default().lines().count();
        let ended = || tailwater.process.ended().is_some() || n_lines() >= 4;
        assert!(eventually(seconds(30), || ended().then_some(())).is_some());
        let ended = tailwater.stop();
        let rows = rows(&ended);
        assert_eq!(rows[0], json!({ "id": 2, "v": "b" }), "{}", kind.name());
        // Right, or nothing at all: names and signs are not guessed.
        match ended.code {
            0 => {
                assert_eq!(rows[1], json!({ "id": 3, "v": "c" }));
                assert_eq!(rows[2], json!({ "n": 4_294_967_295_u32, "id": 4, "v": "d" }));
                assert_eq!(rows[3], json!({ "n": 1, "id": 5, "v": "e" }));
            }
            _ => {
                let ended = ended.expect(exit::SOURCE, &["binlog_row_metadata = FULL"]);
                assert_eq!(ended.lines().len(), 1);
            }
        }
    }
}

#[test]
fn columns_that_a_session_leaves_out_of_the_log_are_unavailable_and_no_nulls() {
    for server in both() {
        let database = server.database("image");
        server.run(&format!("create table {database}.t (id int primary key, v text, w text)"));
        server.run(&format!("insert into {database}.t values (1, 'a', 'b'), (2, 'a', null)"));
        let setup = auto(server, &database);
        setup.catch_up();
        let session = server.session();
        session.script(&format!(
            "use {database}; update t set v = 'c' where id = 1;
             set session binlog_row_image = minimal; update t set v = 'd' where id = 1;
             update t set w = null where id = 1;
             set session binlog_row_image = full; update t set v = 'e' where id = 1"
        ));
        let expected = [
            json!({ "id": 1, "v": "c", "w": "b" }),
            json!({ "id": 1, "v": "d", "w": UNAVAILABLE }),
            json!({ "id": 1, "v": UNAVAILABLE, "w": null }),
            json!({ "id": 1, "v": "e", "w": null }),
        ];
        assert_eq!(rows(&setup.catch_up()), expected, "{}", server.kind.name());
    }
}

#[test]
fn keys_that_end_with_zeros_are_the_same_in_snapshot_and_stream() {
    for server in both() {
        let database = server.database("padded");
        server.run(&format!("create table {database}.t (id binary(4) primary key, v binary(6))"));
        server.run(&format!("insert into {database}.t values (x'0100', x'41'), (x'', x'')"));
        let setup = auto(server, &database);
        let mut first = keys(&setup.catch_up());
        server.run(&format!("update {database}.t set v = x'4100000000' order by id"));
        server.run(&format!("update {database}.t set v = x'42' order by id"));
        let ended = setup.catch_up();
        let mut second = keys(&ended);
        first.sort_by_key(Value::to_string);
        assert_eq!(first, [json!({ "id": "AAAAAA==" }), json!({ "id": "AQAAAA==" })]);
        let mut second = second.split_off(second.len() - 2);
        second.sort_by_key(Value::to_string);
        assert_eq!(first, second, "{}", server.kind.name());
        // The server pads; nothing is cut off.
        assert!(rows(&ended).iter().all(|row| row["v"].as_str().unwrap().len() == 8));
    }
}

#[test]
fn members_of_an_enum_are_those_of_their_time() {
    for server in both() {
        let database = server.database("members");
        server.run(&format!(
            "create table {database}.t
                (id int primary key, e enum('a', 'é', 'c'), s set('x', 'y')) character set utf8mb4"
        ));
        server.run(&format!("insert into {database}.t values (1, 'é', 'x,y')"));
        let setup = auto(server, &database);
        assert_eq!(rows(&setup.catch_up()), [json!({ "id": 1, "e": "é", "s": "x,y" })]);
        let session = server.session();
        session.script(&format!(
            "use {database}; insert into t values (2, 'é', 'y');
             alter table t modify e enum('c', 'é', 'a'), modify s set('y', 'z', 'x');
             insert into t values (3, 'a', 'y,x');
             set sql_mode = ''; insert into t values (4, 'none', '')"
        ));
        let expected = [
            json!({ "id": 2, "e": "é", "s": "y" }),
            json!({ "id": 3, "e": "a", "s": "y,x" }),
            json!({ "id": 4, "e": "", "s": "" }),
        ];
        assert_eq!(rows(&setup.catch_up()), expected, "{}", server.kind.name());
    }
}

#[test]
fn a_key_that_nobody_sees_is_a_key() {
    for server in both() {
        let database = server.database("unseen");
        let session = server.session();
        session.run(&format!("use {database}"));
        match server.kind {
            Kind::Mysql => session.script(
                "set sql_generate_invisible_primary_key = on; create table t (v varchar(9));
                 insert into t (v) values ('a')",
            ),
            Kind::Mariadb => session.script(
                "create table t (my_row_id int auto_increment invisible primary key, v varchar(9));
                 insert into t (v) values ('a')",
            ),
        }
        let setup = auto(server, &database);
        let first = setup.catch_up();
        session.run("update t set v = 'b'");
        let second = setup.catch_up();
        assert_eq!(keys(&first), [json!({ "my_row_id": 1 })]);
        assert_eq!(keys(&first), keys(&second));
        assert_eq!(rows(&second), [json!({ "my_row_id": 1, "v": "b" })]);
    }
}

#[test]
fn tables_without_transactions_come_as_they_are_written() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let database = server.database("engines");
        let session = server.session();
        session.script(&format!(
            "use {database}; create table m (id int primary key) engine = myisam;
             create table t (id int primary key); create table h (id int primary key) engine = memory;
             insert into h values (1)"
        ));
        let setup = auto(&server, &database);
        setup.catch_up();
        session.script(
            "insert into m values (1); begin; insert into t values (1); commit;
             begin; insert into t values (2); rollback; insert into m values (2);
             create temporary table x (id int); insert into x values (1); drop table x;
             insert into h values (2)",
        );
        let tables = |ended: &Ended| -> Vec<String> {
            let one = |line: &Value| {
                let table = line["value"]["source"]["table"].as_str().unwrap_or("-");
                format!("{table}{}", line["value"]["op"].as_str().unwrap_or("-"))
            };
            ended.lines().iter().map(one).collect()
        };
        assert_eq!(tables(&setup.catch_up()), ["mc", "tc", "mc", "hc"], "{}", kind.name());
        // A MEMORY table is empty after a restart, and the server says so when it is looked at.
        server.stop("TERM");
        server.resume();
        assert_eq!(server.value(&format!("select count(*) from {database}.h")).unwrap(), "0");
        server.run(&format!("insert into {database}.h values (3)"));
        assert_eq!(tables(&setup.catch_up()), ["ht", "hc"], "{}", kind.name());
    }
}

#[test]
fn tables_that_are_added_and_taken_away_leave_the_others_alone() {
    for (server, position) in all() {
        let database = database(server, "added");
        let mut setup = setup(server, &database, position);
        let include = format!("source.{}.tables.include", server.kind.name());
        setup.set(&include, vec![format!("{database}.t")]);
        setup.catch_up();
        let write = |id: i32| {
            server.run(&format!("insert into {database}.t values ({id}, 'x')"));
            server.run(&format!("insert into {database}.more values ({id})"));
        };
        server.run(&format!("create table {database}.more (id int primary key)"));
        let topics = |ended: &Ended| -> Vec<(String, i64)> {
            let one = |line: &Value| {
                let topic = line["topic"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
                (topic, line["value"]["after"]["id"].as_i64().unwrap())
            };
            ended.lines().iter().map(one).collect()
        };
        let (t, more) = (|id| ("t".to_owned(), id), |id| ("more".to_owned(), id));
        write(2);
        assert_eq!(topics(&setup.catch_up()), [t(2)]);
        setup.set(&include, vec![format!("{database}.*")]);
        write(3);
        assert_eq!(topics(&setup.catch_up()), [t(3), more(3)]);
        // One that is made while it runs is there from its first row.
        server.run(&format!("create table {database}.late (id int primary key)"));
        server.run(&format!("insert into {database}.late values (1)"));
        assert_eq!(topics(&setup.catch_up()), [("late".to_owned(), 1)]);
        setup.set(&include, vec![format!("{database}.more")]);
        write(4);
        assert_eq!(topics(&setup.catch_up()), [more(4)]);
        setup.set(&include, vec![format!("{database}.*")]);
        write(5);
        assert_eq!(topics(&setup.catch_up()), [t(5), more(5)], "{position}");
    }
}

#[test]
fn a_server_that_waits_for_nobody_does_not_end_a_slow_snapshot() {
    const N: usize = 200_000;
    for kind in Kind::BOTH {
        let options = ["--wait-timeout=3", "--net-write-timeout=3", "--net-read-timeout=3"];
        let server = Server::start(kind, &options);
        create_user(&server);
        let database = server.database("slow");
        server.run(&format!("create table {database}.t (id int primary key, v varchar(200))"));
        let rows: Vec<String> = (0..N).map(|id| format!("({id}, repeat('x', 100))")).collect();
        for rows in rows.chunks(20_000) {
            server.run(&format!("insert into {database}.t values {}", rows.join(",")));
        }
        let proxy = Proxy::start(server.port);
        let mut setup = Setup::mysql(&server, &database);
        as_user(&mut setup, &server, proxy.port);
        let tailwater = setup.start();
        let n_lines =
            || std::fs::read_to_string(&tailwater.stdout).unwrap_or_default().lines().count();
        assert!(eventually(seconds(30), || (n_lines() > 0).then_some(())).is_some());
        proxy.stall(true);
        std::thread::sleep(seconds(7));
        assert!(n_lines() < N, "it was stalled too late to prove anything");
        proxy.heal();
        tailwater.ready();
        assert!(!tailwater.said().contains("begins again"), "{}", tailwater.said());
        let ended = tailwater.stop().expect(0, &[]);
        assert_eq!(ended.lines().len(), N);
    }
}

#[test]
fn sets_of_gtids_are_reckoned_as_the_server_does() {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use tailwater::offsets::position::GtidSet;
    let session = Server::shared(Kind::Mysql).session();
    let mut rng = StdRng::seed_from_u64(1);
    let mut set = || {
        let sources = (0..rng.random_range(0..4)).map(|_| {
            let uuid = format!("{:08x}-71ca-11e1-9e33-c80aa9429562", rng.random_range(0..3));
            let tag = ["", ":blue", ":green_1"][rng.random_range(0..3)];
            let intervals = (0..rng.random_range(1..5)).map(|_| {
                let (start, length) = (rng.random_range(1..60), rng.random_range(0..9));
                format!(":{start}-{}", start + length)
            });
            format!("{uuid}{tag}{}", intervals.collect::<String>())
        });
        sources.collect::<Vec<_>>().join(",")
    };
    for _ in 0..500 {
        let (a, b) = (set(), set());
        let [ours, others] = [&a, &b].map(|text| text.parse::<GtidSet>().unwrap());
        let row = session.rows(&format!(
            "select gtid_subtract('{a}', '{b}'), gtid_subset('{a}', '{b}'),
                    gtid_subtract(concat('{a}', ',', '{b}'), '')"
        ));
        let theirs = |n: usize| row[0][n].clone().unwrap().replace('\n', "");
        assert_eq!(ours.minus(&others).to_string(), theirs(0), "{a} minus {b}");
        assert_eq!(u8::from(ours.is_subset_of(&others)).to_string(), theirs(1), "{a} in {b}");
        let mut union = ours.clone();
        union.union(&others);
        assert_eq!(union.to_string(), theirs(2), "{a} and {b}");
    }
}
