//! A publication that changes while we stream from it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::postgres::{Database, Postgres, Session};
use crate::support::tailwater::{Ended, Setup, Tailwater, exit};
use crate::support::{Done, eventually, seconds};

/// A pipeline that looks at its publication every 200 ms.
fn running(name: &str) -> (Database, Setup, Tailwater) {
    let database = Postgres::shared().database(name);
    database.run(
        "create table t (id int primary key, v text); create table kept (id int primary key);
         insert into t values (1, 'a')",
    );
    let mut setup = Setup::stdout(&database);
    setup.env("FAILPOINTS", "look=return(200)");
    let tailwater = setup.start();
    tailwater.ready();
    (database, setup, tailwater)
}

fn arrives(tailwater: &Tailwater, part: &str) {
    let arrived = eventually(seconds(30), || {
        std::fs::read_to_string(&tailwater.stdout).unwrap().contains(part).then_some(())
    });
    assert!(arrived.is_some(), "{part} does not arrive: {}", tailwater.said());
}

/// Changes the publication, and expects that this ends the run.
fn ends(name: &str, sql: &str, said: &[&str]) -> (Database, Setup, Ended) {
    let (database, setup, tailwater) = running(name);
    database.run("insert into t values (2, 'published')");
    database.run(&sql.replace("{p}", &database.name));
    let said: Vec<String> = said.iter().map(|s| s.replace("{p}", &database.name)).collect();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let ended = tailwater.wait(seconds(40)).expect(exit::SOURCE, &said);
    assert!(ended.stdout.contains("published"), "what came before it was delivered");
    (database, setup, ended)
}

#[test]
fn a_table_taken_out_of_the_publication_ends_the_run_with_the_sql() {
    let (database, setup, _) = ends(
        "taken_out",
        "alter publication {p} drop table t",
        &[
            "use publication `{p}`: it does not publish public.t",
            "ALTER PUBLICATION \"{p}\" ADD TABLE \"public\".\"t\";",
            "not in the stream",
        ],
    );
    setup.fails(exit::SOURCE, &["does not publish public.t"]);
    // The hint says so: putting the table back does not bring back what was written meanwhile.
    database.run("insert into t values (3, 'unpublished')");
    database.run(&format!("alter publication {} add table t", database.name));
    database.run("insert into t values (4, 'again')");
    let ids = setup.catch_up().lines().iter().map(|l| l["key"]["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids, [4]);
}

#[test]
fn a_row_filter_ends_the_run_with_the_sql() {
    let said =
        ["it has a row filter on \"public\".\"t\"", "ALTER PUBLICATION", "not in the stream"];
    ends("filtered", "alter publication {p} set table t where (id > 1), kept", &said);
}

#[test]
fn a_column_list_ends_the_run_with_the_sql() {
    let said = ["it leaves out columns of \"public\".\"t\": v", "ALTER PUBLICATION"];
    ends("listed", "alter publication {p} set table t (id), kept", &said);
}

#[test]
fn an_operation_taken_out_ends_the_run_with_the_sql() {
    let said = ["it does not publish delete", "SET (publish = "];
    ends("undeleted", "alter publication {p} set (publish = 'insert, update, truncate')", &said);
}

#[test]
fn a_dropped_publication_ends_the_run_with_the_sql() {
    let said = ["use publication `{p}`: it does not exist", "CREATE PUBLICATION \"{p}\" FOR TABLE"];
    ends("dropped", "drop publication {p}", &said);
}

#[test]
fn what_takes_nothing_out_of_the_stream_stops_nothing() {
    let (database, _, tailwater) = running("harmless");
    let name = &database.name;
    // Nobody has published it yet.
    database.run("create table later (id int primary key)");
    tailwater.says("tables are asked for and not published", seconds(20));
    database.run(&format!("alter publication {name} add table later"));
    database.run("alter table t add column w int; drop table kept");
    database.run(&format!("comment on publication {name} is 'c'"));
    let swap =
        format!("alter publication {name} drop table t; alter publication {name} add table t");
    database.run(&format!("begin; {swap}; commit"));
    std::thread::sleep(seconds(4));
    database.run("insert into t values (9, 'still', 1); insert into later values (77)");
    arrives(&tailwater, "still");
    arrives(&tailwater, "77");
    let ended = tailwater.stop().expect(0, &[]);
    let n = ended.stderr.matches("tables are asked for and not published").count();
    assert_eq!(n, 1, "said once: {}", ended.stderr);
}

/// Ends every connection of Tailwater's to this database but the walsender.
fn cut(session: &Session, database: &Database) -> usize {
    let sql = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'
         and application_name = 'tailwater' and backend_type = 'client backend'",
        database.name
    );
    session.rows(&sql).len()
}

#[test]
fn a_watcher_that_cannot_look_stops_nothing_and_looks_again_later() {
    let (database, _, tailwater) = running("blinded");
    let session = database.session();
    let cut_one = || (cut(&session, &database) > 0).then_some(());
    assert!(eventually(seconds(20), cut_one).is_some(), "it has a connection of its own");
    tailwater.says("the publication could not be looked at", seconds(20));
    let end = std::time::Instant::now() + seconds(3);
    let mut id = 10;
    while std::time::Instant::now() < end {
        cut(&session, &database);
        session.run(&format!("insert into t values ({id}, 'blind{id}')"));
        id += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    arrives(&tailwater, &format!("blind{}", id - 1));
    tailwater.says("the publication can be looked at again", seconds(20));
    assert_eq!(tailwater.said().matches("source is ready").count(), 1, "it was one run");
    session.run(&format!("alter publication {} drop table t", database.name));
    tailwater.wait(seconds(40)).expect(exit::SOURCE, &["does not publish public.t"]);
}

/// The server's view of a publication names columns as of another moment than its catalogue.
#[test]
fn a_start_beside_changes_of_columns_is_not_refused() {
    let (database, setup, tailwater) = running("restless");
    tailwater.stop().expect(0, &[]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let session = database.session();
            while !done.load(Ordering::Relaxed) {
                session.run("alter table t rename v to w");
                session.run("alter table t rename w to v");
            }
        });
        let _end = Done(&done);
        for _ in 0..5 {
            let tailwater = setup.start();
            tailwater.ready();
            tailwater.stop().expect(0, &[]);
        }
    });
}
