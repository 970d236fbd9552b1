//! XA transactions that are prepared for longer than a moment: their rows come once, when they are
//! committed, whatever begins, ends or dies meanwhile.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::basics::{database, setup};
use super::order_law::{as_user, create_user};
use crate::support::mysql::{Kind, Server, Session};
use crate::support::tailwater::{Ended, Setup, exit};
use crate::support::{Done, eventually, seconds};

/// Servers of this file's own: what is prepared here would hold up the snapshots of every other
/// test.
fn all() -> [(&'static Server, &'static str); 3] {
    static SERVERS: OnceLock<[Server; 2]> = OnceLock::new();
    let [mysql, mariadb] = SERVERS.get_or_init(|| Kind::BOTH.map(|kind| Server::start(kind, &[])));
    [(mysql, "gtid"), (mysql, "file"), (mariadb, "auto")]
}

/// Names are of the whole server, which tests share.
fn name(database: &str) -> String {
    format!("'{database}','b',3")
}

/// Left to the server, by a session that ends.
fn prepare(server: &Server, database: &str, id: i64) -> String {
    let name = name(database);
    let session = server.session();
    xa(&session, database, &name, id);
    name
}

fn xa(session: &Session, database: &str, name: &str, id: i64) {
    session.script(&format!(
        "xa start {name}; insert into {database}.t values ({id}, 'xa'); xa end {name};
         xa prepare {name}"
    ));
}

/// A session that was cut off gives its transaction up a little later.
fn decide(server: &Server, decision: &str, name: &str) {
    let session = server.session();
    let sql = format!("xa {decision} {name}");
    let decided = eventually(seconds(10), || session.try_run(&sql).ok());
    assert!(decided.is_some(), "{sql}: {:?}", session.try_run(&sql));
}

fn ids(ended: &Ended) -> Vec<i64> {
    let id = |line: &serde_json::Value| line["value"]["after"]["id"].as_i64().unwrap();
    ended.lines().iter().map(id).collect()
}

fn insert(server: &Server, database: &str, id: i64) {
    server.run(&format!("insert into {database}.t values ({id}, 'x')"));
}

#[test]
fn an_undecided_transaction_holds_nobody_up_and_comes_with_its_commit() {
    for (server, position) in all() {
        let database = database(server, "undecided");
        let setup = setup(server, &database, position);
        assert_eq!(ids(&setup.catch_up()), [1]);
        let name = prepare(server, &database, 2);
        insert(server, &database, 3);
        // What nobody has committed is nothing to wait for.
        assert_eq!(ids(&setup.catch_up()), [3], "{position}");
        server.run("flush binary logs");
        insert(server, &database, 4);
        // Every run begins before it again, and says nothing twice.
        assert_eq!(ids(&setup.catch_up()), [4], "{position}");
        assert_eq!(ids(&setup.catch_up()), [0; 0], "{position}");
        decide(server, "commit", &name);
        insert(server, &database, 5);
        assert_eq!(ids(&setup.catch_up()), [2, 5], "{position}");
        let name = prepare(server, &database, 6);
        assert_eq!(ids(&setup.catch_up()), [0; 0], "{position}");
        decide(server, "rollback", &name);
        insert(server, &database, 6);
        assert_eq!(ids(&setup.catch_up()), [6], "{position}");
    }
}

#[test]
fn a_prepared_transaction_outlives_the_server_and_us() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let database = database(&server, "prepared");
        let setup = setup(&server, &database, if kind == Kind::Mysql { "gtid" } else { "auto" });
        let tailwater = setup.start();
        tailwater.ready();
        let name = prepare(&server, &database, 2);
        insert(&server, &database, 3);
        let arrived = eventually(seconds(20), || {
            let text = std::fs::read_to_string(&tailwater.stdout).unwrap_or_default();
            (text.lines().count() == 2).then_some(())
        });
        assert!(arrived.is_some(), "{}", tailwater.said());
        server.stop("TERM");
        server.resume();
        insert(&server, &database, 4);
        tailwater.kill();
        decide(&server, "commit", &name);
        let rest = ids(&setup.catch_up());
        assert_eq!(rest.iter().filter(|id| **id == 2).count(), 1, "{rest:?}");
        assert_eq!(rest.last(), Some(&2), "in the order of the commits: {rest:?}");
    }
}

#[test]
fn a_snapshot_waits_for_what_was_prepared_before_it() {
    for (server, position) in all() {
        for mode in ["initial", "no_data"] {
            let database = database(server, "waited");
            let mut setup = setup(server, &database, position);
            setup.set("snapshot.mode", mode);
            let name = prepare(server, &database, 2);
            let tailwater = setup.start_until("caught-up");
            tailwater.says("waiting for XA transactions", seconds(30));
            decide(server, "commit", &name);
            let rows = ids(&tailwater.wait(seconds(60)).expect(0, &[]));
            assert_eq!(rows, if mode == "initial" { vec![1, 2] } else { vec![] }, "{position}");
            insert(server, &database, 3);
            assert_eq!(ids(&setup.catch_up()), [3], "{position}");
        }
    }
}

#[test]
fn what_nobody_decides_stops_the_start_by_its_name() {
    for (server, position) in all() {
        let database = database(server, "left_behind");
        let setup = setup(server, &database, position);
        let name = prepare(server, &database, 2);
        let mut impatient = setup.clone();
        impatient.env("FAILPOINTS", "undecided=return(300)");
        // MariaDB writes what is text as text.
        let hex: String = database.bytes().map(|byte| format!("{byte:02x}")).collect();
        let names = [name.clone(), format!("x'{hex}',x'62',3")];
        let ended = impatient.fails(exit::SOURCE, &["stay prepared", "XA ROLLBACK "]);
        let said = ended.stderr.to_lowercase();
        assert!(names.iter().any(|name| said.contains(name)), "{names:?} in {said}");
        assert!(ended.lines().is_empty());
        decide(server, "rollback", &name);
        assert_eq!(ids(&setup.catch_up()), [1], "{position}");
    }
}

#[test]
fn where_prepared_transactions_cannot_be_seen_their_commit_is_a_loud_stop() {
    let server = Server::start(Kind::Mysql, &[]);
    create_user(&server);
    let database = database(&server, "unseen");
    let mut setup = Setup::mysql(&server, &database);
    as_user(&mut setup, &server, server.port);
    let name = prepare(&server, &database, 2);
    assert_eq!(ids(&setup.catch_up()), [1]);
    decide(&server, "commit", &name);
    let said = ["prepared before", "GRANT XA_RECOVER_ADMIN", "tailwater offsets reset"];
    setup.fails(exit::SOURCE, &said);
    server.run("grant xa_recover_admin on *.* to cdc@'%'");
    setup.command("offsets reset", &["--yes"]).wait(seconds(20)).expect(0, &[]);
    assert_eq!(ids(&setup.catch_up()), [1, 2]);
}

/// What could not be listed any more once counted as decided.
#[test]
fn a_right_that_is_lost_while_transactions_are_waited_for_is_no_decision() {
    // MariaDB shows prepared transactions to everybody.
    let server = Server::start(Kind::Mysql, &[]);
    create_user(&server);
    server.run("grant xa_recover_admin on *.* to cdc@'%'");
    let database = database(&server, "revoked");
    let mut setup = Setup::mysql(&server, &database);
    as_user(&mut setup, &server, server.port);
    let name = prepare(&server, &database, 2);
    let tailwater = setup.start_until("caught-up");
    tailwater.says("waiting for XA transactions", seconds(30));
    server.run("revoke xa_recover_admin on *.* from cdc@'%'");
    let ended = tailwater.wait(seconds(30));
    let said = ["list prepared XA transactions", "GRANT XA_RECOVER_ADMIN ON *.* TO 'cdc'@'%'"];
    let ended = ended.expect(exit::SOURCE, &said);
    assert!(ended.lines().is_empty());
    decide(&server, "rollback", &name);
}

#[test]
fn a_snapshot_among_transactions_of_which_some_is_always_prepared_misses_none() {
    for (server, position) in all() {
        let database = database(server, "always");
        let (stop, next) = (AtomicBool::new(false), AtomicI64::new(2));
        std::thread::scope(|scope| {
            let end = Done(&stop);
            for writer in 0..3 {
                let (stop, next, database) = (&stop, &next, &database);
                scope.spawn(move || {
                    let session = server.session();
                    while !stop.load(Ordering::Relaxed) {
                        let id = next.fetch_add(1, Ordering::Relaxed);
                        let name = format!("'{database}','{writer}-{id}',3");
                        xa(&session, database, &name, id);
                        std::thread::sleep(std::time::Duration::from_millis(70));
                        let decision = if id % 5 == 0 { "rollback" } else { "commit" };
                        session.run(&format!("xa {decision} {name}"));
                    }
                });
            }
            let mut pipelines = Vec::new();
            for number in 0..4 {
                let mut setup = setup(server, &database, position);
                setup.set("pipeline", format!("{database}_{number}"));
                setup.set("snapshot.mode", if number == 3 { "no_data" } else { "initial" });
                // Each kind of moment.
                setup.set("snapshot.connections", number % 2 + 1);
                let first = ids(&setup.catch_up());
                pipelines.push((setup, first));
            }
            drop(end);
            std::thread::sleep(seconds(1));
            let committed = server.session().rows(&format!("select id from {database}.t"));
            let mut committed: Vec<i64> =
                committed.iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect();
            committed.sort_unstable();
            for (number, (setup, first)) in pipelines.into_iter().enumerate() {
                let mut seen = [first, ids(&setup.catch_up())].concat();
                seen.sort_unstable();
                if number == 3 {
                    // From the moment on, all of it.
                    let from = seen[0];
                    let tail = committed.iter().copied().filter(|id| *id >= from + 6);
                    assert!(tail.clone().all(|id| seen.contains(&id)), "{position}: {seen:?}");
                    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{position}: {seen:?}");
                } else {
                    assert_eq!(seen, committed, "{position}, pipeline {number}");
                }
            }
        });
    }
}
