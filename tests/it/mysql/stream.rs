//! The binary log, from real servers through real faults.

use std::time::{Duration, Instant};

use tailwater::disposition::Disposition;
use tailwater::sources::mysql::dump::StartPoint;
use tailwater::sources::mysql::settings::{Address, ConnectSettings};

use super::login::root;
use super::reading::{Reader, chain, here, kind, settings};
use crate::support::mysql::{Kind, Server};
use crate::support::proxy::Proxy;
use crate::support::{knob, seconds};

fn contains(event: &[u8], text: &str) -> bool {
    event.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn changes_come_by_gtid_and_by_position() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let database = server.database("both");
        let session = server.session();
        session.run(&format!("create table {database}.t (id int primary key, v varchar(99))"));
        let (by_gtid, by_position) = here(server);
        session.run(&format!("insert into {database}.t values (1, '{database} first')"));
        let (second_gtid, second_position) = here(server);
        session.run(&format!("insert into {database}.t values (2, '{database} second')"));
        for (from, n_rows) in
            [(by_gtid, 2), (by_position, 2), (second_gtid, 1), (second_position, 1)]
        {
            let mut reader = Reader::start(&root(server), from.clone(), settings(&database));
            let first = reader.next();
            assert_eq!(first.kind, kind::ROTATE, "{kind:?} {from:?}");
            assert_eq!(reader.next().kind, kind::FORMAT_DESCRIPTION);
            let mut wanted = vec!["first", "second"];
            wanted.drain(..2 - n_rows);
            for text in wanted {
                // Others write to the shared server too.
                let text = format!("{database} {text}");
                while !contains(&reader.rows(1)[0].body, &text) {}
            }
            reader.until(kind::XID);
            reader.finish().unwrap();
        }
    }
}

#[test]
fn what_the_log_says_beside_rows_comes_too() {
    let server = Server::start(Kind::Mysql, &["--binlog-rows-query-log-events=ON"]);
    server.run("create database d; ");
    let (from, _) = here(&server);
    let session = server.session();
    session.run("create table d.t (id int primary key)");
    session.run("set session gtid_next = 'AUTOMATIC:red'");
    session.run("insert into d.t values (1)");
    session.run("set session gtid_next = 'AUTOMATIC'");
    session.run("set session binlog_transaction_compression = on");
    session.run("insert into d.t values (2)");
    let mut reader = Reader::start(&root(&server), from, settings("beside"));
    reader.until(kind::GTID);
    assert!(contains(&reader.until(kind::QUERY).body, "create table"));
    reader.until(kind::GTID_TAGGED);
    assert_eq!(reader.rows(1).len(), 1);
    reader.until(kind::PAYLOAD);
    reader.finish().unwrap();
    // A set with a tag is asked for in the other form, and what is in it does not come again.
    let (from, _) = here(&server);
    assert!(format!("{from:?}").contains(":red:1"), "{from:?}");
    let mut reader = Reader::start(&root(&server), from, settings("beside"));
    reader.expect_quiet();
    session.run("set session binlog_transaction_compression = off");
    session.run("insert into d.t values (3)");
    assert_eq!(reader.rows(1).len(), 1);
    reader.finish().unwrap();
}

#[test]
fn statements_of_mariadb_come_with_their_rows_and_from_every_domain() {
    let server = Server::start(Kind::Mariadb, &[]);
    let session = server.session();
    session.script("create database d; create table d.t (id int primary key)");
    let (from, _) = here(&server);
    for domain in [0, 7] {
        session.run(&format!("set session gtid_domain_id = {domain}"));
        session.run(&format!("insert into d.t values ({domain} + 1)"));
    }
    let mut reader = Reader::start(&root(&server), from, settings("domains"));
    for domain in [0, 7] {
        let gtid = reader.until(kind::MARIADB_GTID);
        assert_eq!(gtid.body[8..12], [domain, 0, 0, 0]);
        let statement = reader.until(kind::MARIADB_ANNOTATE);
        assert!(contains(&statement.body, &format!("values ({domain} + 1)")));
        assert_eq!(reader.rows(1).len(), 1);
    }
    reader.finish().unwrap();
    let (from, _) = here(&server);
    assert_eq!(from, StartPoint::MariadbGtids("0-1-3,7-1-1".into()));
    let mut reader = Reader::start(&root(&server), from, settings("domains"));
    reader.expect_quiet();
    reader.finish().unwrap();
}

#[test]
fn files_with_and_without_checksums_follow_each_other() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &["--binlog-checksum=NONE"]);
        let session = server.session();
        session.script("create database d; create table d.t (id int primary key)");
        let (by_gtid, by_position) = here(&server);
        let mut n_rows = 0;
        for checksum in ["NONE", "CRC32", "NONE", "CRC32"] {
            session.run(&format!("set global binlog_checksum = {checksum}"));
            for _ in 0..3 {
                n_rows += 1;
                session.run(&format!("insert into d.t values ({n_rows})"));
                session.run("flush binary logs");
            }
        }
        for from in [by_gtid, by_position] {
            let mut reader = Reader::start(&root(&server), from, settings("checksums"));
            let rows = reader.rows(n_rows);
            // The last value of the row, which a checksum left in place would not be.
            for (n, row) in rows.iter().enumerate() {
                let last = u32::from_le_bytes(row.body.last_chunk().copied().unwrap());
                assert_eq!(last as usize, n + 1, "{kind:?}");
            }
            reader.finish().unwrap();
        }
    }
}

/// Kind and body of each event of a file, without its checksum.
fn events_of_file(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut events = Vec::new();
    let mut rest = bytes.strip_prefix(b"\xFEbin").unwrap();
    while !rest.is_empty() {
        let size = u32::from_le_bytes(rest[9..13].try_into().unwrap()) as usize;
        let (event, behind) = rest.split_at(size);
        events.push((event[4], event[19..size - 4].to_vec()));
        rest = behind;
    }
    events
}

#[test]
fn what_is_handed_on_is_the_files_byte_for_byte() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let session = server.session();
        session.script("create database d; create table d.t (id int primary key, v longtext)");
        for n in 0..200 {
            session.run("begin");
            for m in 0..n % 7 {
                let length = (n * m * 37) % 20_000;
                let id = n * 10 + m;
                session.run(&format!("insert into d.t values ({id}, repeat('x', {length}))"));
            }
            session.run(if n % 11 == 0 { "rollback" } else { "commit" });
            if n % 40 == 0 {
                session.run("flush binary logs");
            }
        }
        session.run("flush binary logs");
        let files = session.rows("show binary logs");
        let files: Vec<_> = files.iter().map(|row| row[0].clone().unwrap()).collect();
        let from = StartPoint::File { file: files[0].clone(), position: 4 };
        let mut reader = Reader::start(&root(&server), from, settings("bytes"));
        let (last, whole) = files.split_last().unwrap();
        for file in whole {
            for (kind, body) in events_of_file(&std::fs::read(server.data().join(file)).unwrap()) {
                let event = loop {
                    let event = reader.next();
                    let names = |body: &[u8]| contains(body, file);
                    let made = event.kind == kind::HEARTBEAT
                        || event.kind == kind::ROTATE && names(&event.body);
                    if !made {
                        break event;
                    }
                };
                assert_eq!(event.kind, kind, "in {file}");
                assert_eq!(event.body, body, "in {file}");
            }
        }
        assert!(contains(&reader.until(kind::ROTATE).body, last));
        reader.finish().unwrap();
    }
}

/// A place beyond 4 GiB cannot be asked for by position. Nothing but the file's end is behind one
/// that a transaction left there, and then the next file's beginning will do. `TAILWATER_HUGE=1`
/// writes such a transaction, which takes a minute and 9 GiB.
#[test]
fn a_transaction_of_more_than_4_gib_is_counted_on_and_left_behind() {
    if knob("TAILWATER_HUGE", 0) == 0 {
        println!("SKIPPED a_transaction_of_more_than_4_gib_…: TAILWATER_HUGE is not set");
        return;
    }
    let options =
        ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF", "--skip-innodb-doublewrite"];
    let server = Server::start(Kind::Mysql, &[&options[..], &["--max-allowed-packet=1G"]].concat());
    let session = server.session();
    session.script("create database d; create table d.t (id int, v longblob)");
    let (_, from) = here(&server);
    session.run("begin");
    for n in 0..70 {
        session.run(&format!("insert into d.t values ({n}, repeat('x', 64000000))"));
    }
    session.run("commit");
    let mut reader = Reader::start(&root(&server), from.clone(), settings("huge"));
    assert_eq!(reader.rows(70).len(), 70);
    reader.until(kind::XID);
    session.run("insert into d.t values (99, 'small')");
    assert_eq!(reader.rows(1).len(), 1);
    reader.finish().unwrap();
    // The end of the large transaction: what the decoder would have kept.
    let StartPoint::File { file, .. } = from else { panic!("{from:?}") };
    let sql = format!("show binlog events in '{file}'");
    let xid = session.rows(&sql).into_iter().rfind(|row| row[2].as_deref() == Some("Xid"));
    let position: u64 = xid.unwrap()[4].clone().unwrap().parse().unwrap();
    println!("the transaction ends at {position} as the server counts");
    let size: u64 = session.rows("show binary logs")[0][1].clone().unwrap().parse().unwrap();
    assert!(size > 1 << 32);
    let rotation = 19 + 8 + u64::try_from(file.len()).unwrap() + 4;
    let resumed = super::start_checks::resume(
        &server,
        None,
        StartPoint::File { file, position: size - rotation },
    );
    let next = StartPoint::File { file: "binlog.000002".into(), position: 4 };
    assert_eq!(resumed.unwrap(), next);
    let mut reader = Reader::start(&root(&server), next, settings("huge"));
    assert_eq!(reader.rows(1).len(), 1);
    reader.finish().unwrap();
}

#[test]
fn an_event_of_many_packets_comes_whole() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &["--max-allowed-packet=128M"]);
        server.session().script("create database d; create table d.t (id int, v longblob)");
        let (from, _) = here(&server);
        let session = server.session();
        session.run("insert into d.t values (1, repeat('x', 40000000))");
        session.run("insert into d.t values (2, 'small')");
        // A whole packet exactly ends with an empty one.
        session.run("insert into d.t values (3, repeat('y', 16777215 - 100))");
        for less in 0..3 {
            let n = 16_777_215 - 60 + less;
            session.run(&format!("insert into d.t values (4, repeat('z', {n}))"));
        }
        let mut reader = Reader::start(&root(&server), from.clone(), settings("large"));
        let rows = reader.rows(6);
        assert!(rows[0].body.len() > 40_000_000);
        assert!(rows[0].body.ends_with(b"xxxx"));
        assert!(rows[1].body.ends_with(b"small"));
        assert!(rows[2].body.ends_with(b"yyyy") && rows[5].body.ends_with(b"zzzz"));
        reader.finish().unwrap();

        let small = ConnectSettings { message_bytes_max: 1 << 20, ..root(&server) };
        let error = Reader::start(&small, from, settings("large")).error(seconds(20));
        assert!(error.to_string().ends_with("the limit is 1048576"), "{error}");
        assert!(error.hint().unwrap().contains("message_bytes_max"));
        assert_eq!(error.disposition(), Disposition::Stop);
    }
}

fn through(proxy: &Proxy, server: &Server) -> ConnectSettings {
    server.run("create user if not exists far@'%' identified by ''");
    server.run("grant replication slave on *.* to far@'%'");
    let address = Address::Tcp { host: "127.0.0.1".into(), port: proxy.port };
    ConnectSettings { address, user: "far".into(), ..root(server) }
}

#[test]
fn an_idle_server_gives_signs_of_life_and_a_silent_one_counts_as_dead() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let proxy = Proxy::start(server.port);
        let (from, _) = here(&server);
        let mut reader = Reader::start(&through(&proxy, &server), from, settings("idle"));
        let began = Instant::now();
        for _ in 0..4 {
            reader.until(kind::HEARTBEAT);
        }
        // A third of the limit each: longer together than the limit.
        assert!(began.elapsed() > seconds(3), "{:?}", began.elapsed());
        proxy.stall(true);
        let began = Instant::now();
        let error = reader.error(seconds(10));
        assert!(error.to_string().contains("nothing heard for 3000 ms"), "{error}");
        assert!(began.elapsed() > seconds(2), "not before its time");
        assert_eq!(error.disposition(), Disposition::Reconnect);
    }
}

#[test]
fn a_sink_that_takes_nothing_is_no_silence() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let session = server.session();
        session.script("create database d; create table d.t (id int, v longtext)");
        let (from, _) = here(&server);
        for n in 0..30 {
            session.run(&format!("insert into d.t values ({n}, repeat('x', 1000000))"));
        }
        let mut reader = Reader::start(&root(&server), from, settings("slow"));
        // More than the limit of silence, twice, with the queue full.
        for n in [1, 10] {
            assert_eq!(reader.rows(n).len(), n);
            std::thread::sleep(seconds(4));
        }
        assert_eq!(reader.rows(19).len(), 19);
        reader.finish().unwrap();
    }
}

#[test]
fn a_cut_anywhere_is_worth_a_reconnect() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let session = server.session();
        session.script("create database d; create table d.t (id int, v longtext)");
        let (from, _) = here(&server);
        for n in 0..20 {
            session.run(&format!("insert into d.t values ({n}, repeat('x', 1000))"));
        }
        let proxy = Proxy::start(server.port);
        let to = through(&proxy, &server);
        for bytes in [0, 1, 2, 3, 4, 5, 20, 24, 100, 777, 5000] {
            proxy.heal();
            let reader = Reader::start(&to, from.clone(), settings("cut"));
            proxy.cut_after(bytes);
            // Whatever was under way, something more will come.
            session.run("insert into d.t values (0, '')");
            let error = reader.error(seconds(10));
            assert_eq!(error.disposition(), Disposition::Reconnect, "{}", chain(&*error));
        }
    }
}

#[test]
fn a_server_that_goes_and_one_that_ends_our_thread_are_worth_a_reconnect() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let (from, _) = here(&server);
        let mut reader = Reader::start(&root(&server), from.clone(), settings("going"));
        reader.until(kind::FORMAT_DESCRIPTION);
        let find = "select id from information_schema.processlist where command like 'Binlog%'";
        let id = server.value(find).unwrap();
        server.run(&format!("kill {id}"));
        let error = reader.error(seconds(10));
        assert_eq!(error.disposition(), Disposition::Reconnect, "{}", chain(&*error));
        for signal in ["TERM", "KILL"] {
            let mut reader = Reader::start(&root(&server), from.clone(), settings("going"));
            reader.until(kind::FORMAT_DESCRIPTION);
            server.stop(signal);
            let error = reader.error(seconds(10));
            assert_eq!(error.disposition(), Disposition::Reconnect, "{}", chain(&*error));
            server.resume();
        }
    }
}

#[test]
fn of_two_readers_of_one_pipeline_the_older_one_stops() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let (from, _) = here(&server);
        let mut older = Reader::start(&root(&server), from.clone(), settings("twice"));
        older.until(kind::FORMAT_DESCRIPTION);
        let mut newer = Reader::start(&root(&server), from.clone(), settings("twice"));
        newer.until(kind::FORMAT_DESCRIPTION);
        let error = older.error(seconds(10));
        assert!(error.to_string().contains("took our place"), "{}", chain(&*error));
        assert_eq!(error.disposition(), Disposition::Stop);
        assert!(error.hint().unwrap().contains("server_id"));
        newer.until(kind::HEARTBEAT);
        newer.finish().unwrap();
    }
}

#[test]
fn a_log_that_was_thrown_away_is_said_so() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let session = server.session();
        session.script("create database d; create table d.t (id int)");
        let (by_gtid, by_position) = here(&server);
        for n in 0..3 {
            session.run(&format!("insert into d.t values ({n})"));
            session.run("flush binary logs");
        }
        let newest = session.rows("show binary logs").pop().unwrap()[0].clone().unwrap();
        // MariaDB keeps what it may need to recover until it has written so.
        let purged = crate::support::eventually(seconds(20), || {
            session.run(&format!("purge binary logs to '{newest}'"));
            (session.rows("show binary logs").len() == 1).then_some(())
        });
        assert!(purged.is_some());
        for from in [by_gtid, by_position] {
            let error = Reader::start(&root(&server), from, settings("gone")).error(seconds(10));
            assert_eq!(error.disposition(), Disposition::Stop, "{}", chain(&*error));
            assert!(chain(&*error).contains("1236"), "{}", chain(&*error));
        }
    }
}

#[test]
fn a_stop_is_quick_whatever_the_session_waits_for() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let (from, _) = here(server);
        let mut reader = Reader::start(&root(server), from, settings("stop"));
        reader.until(kind::FORMAT_DESCRIPTION);
        let began = Instant::now();
        reader.finish().unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
