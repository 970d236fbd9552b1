//! A log that is thrown away or begun anew: what was read already is nobody's loss, everything
//! else is a loud stop with the way out.

use super::order_law::{as_user, create_user};
use crate::support::mysql::{Kind, Server};
use crate::support::proxy::Proxy;
use crate::support::tailwater::{Ended, Setup, Tailwater, exit};
use crate::support::{eventually, seconds};

const FILES: &[&str] = &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
/// Servers of their own, because their whole log is thrown away.
const ALL: [(Kind, &[&str]); 3] = [(Kind::Mysql, &[]), (Kind::Mysql, FILES), (Kind::Mariadb, &[])];
const WAY_OUT: &str = "tailwater offsets reset";

struct Scene {
    server: Server,
    database: String,
    proxy: Proxy,
    setup: Setup,
}

impl Scene {
    /// A table with one row, and a pipeline behind a proxy.
    fn new(kind: Kind, options: &[&str]) -> Self {
        let server = Server::start(kind, options);
        create_user(&server);
        let database = server.database("gone");
        server.run(&format!("create table {database}.t (id int primary key)"));
        let proxy = Proxy::start(server.port);
        let mut setup = Setup::mysql(&server, &database);
        as_user(&mut setup, &server, proxy.port);
        setup.set("delivery.checkpoint_interval", "100ms");
        let scene = Self { server, database, proxy, setup };
        scene.insert(1);
        scene
    }

    fn insert(&self, id: u32) {
        self.server.run(&format!("insert into {}.t values ({id})", self.database));
    }

    fn n_lines(tailwater: &Tailwater) -> usize {
        std::fs::read_to_string(&tailwater.stdout).unwrap_or_default().lines().count()
    }

    fn arrived(tailwater: &Tailwater, n: usize) {
        let arrived = eventually(seconds(30), || (Self::n_lines(tailwater) >= n).then_some(()));
        assert!(arrived.is_some(), "{n} lines: {}", tailwater.said());
    }

    /// Everything up to the present file. A server that still sends a file, or may need one to
    /// recover, keeps it for a while.
    fn purge(&self) {
        let session = self.server.session();
        session.run("flush binary logs");
        let newest = session.rows("show binary logs").pop().unwrap()[0].clone().unwrap();
        let purged = eventually(seconds(30), || {
            session.run(&format!("purge binary logs to '{newest}'"));
            (session.rows("show binary logs").len() == 1).then_some(())
        });
        assert!(purged.is_some(), "the log's files stay: {:?}", session.rows("show processlist"));
    }

    fn reset(&self) {
        self.server.run(match self.server.kind {
            Kind::Mysql => "reset binary logs and gtids",
            Kind::Mariadb => "reset master",
        });
    }

    /// The way out leads back to everything that is there.
    fn mends(&self, n_rows: usize) {
        let reset = self.setup.command("offsets reset", &["--yes"]);
        reset.wait(seconds(20)).expect(0, &[]);
        assert_eq!(ids(&self.setup.catch_up()).len(), n_rows);
    }
}

fn ids(ended: &Ended) -> Vec<i64> {
    let id = |line: &serde_json::Value| line["value"]["after"]["id"].as_i64().unwrap();
    ended.lines().iter().map(id).collect()
}

#[test]
fn a_log_that_is_thrown_away_before_it_was_read_stops_the_stream() {
    for (kind, options) in ALL {
        let scene = Scene::new(kind, options);
        let tailwater = scene.setup.start();
        tailwater.ready();
        scene.insert(2);
        Scene::arrived(&tailwater, 2);
        scene.proxy.refuse(true);
        scene.proxy.cut();
        scene.insert(3);
        scene.purge();
        scene.insert(4);
        scene.proxy.heal();
        let ended = tailwater.wait(seconds(60)).expect(exit::SOURCE, &[WAY_OUT]);
        assert_eq!(ids(&ended), [1, 2], "nothing behind the gap");
        // It says so as often as it is asked, and a position does not move by it.
        scene.setup.fails(exit::SOURCE, &[WAY_OUT]);
        scene.mends(4);
    }
}

#[test]
fn a_log_that_is_thrown_away_while_the_snapshot_is_read_is_missed_where_the_stream_begins() {
    for (kind, options) in ALL {
        let scene = Scene::new(kind, options);
        let rows: Vec<String> = (2..=300_000).map(|id| format!("({id})")).collect();
        for rows in rows.chunks(50_000) {
            scene.server.run(&format!(
                "insert into {}.t values {}",
                scene.database,
                rows.join(",")
            ));
        }
        let tailwater = scene.setup.start();
        Scene::arrived(&tailwater, 1);
        scene.proxy.stall(true);
        let n_before = Scene::n_lines(&tailwater);
        assert!(n_before < 300_000, "it was stalled too late to prove anything");
        scene.insert(300_001);
        scene.purge();
        scene.proxy.heal();
        let ended = tailwater.wait(seconds(60)).expect(exit::SOURCE, &[WAY_OUT]);
        assert_eq!(ended.lines().len(), 300_000, "the rows of the snapshot and nothing else");
        scene.setup.fails(exit::SOURCE, &[WAY_OUT]);
        scene.mends(300_001);
    }
}

#[test]
fn a_log_that_is_thrown_away_after_it_was_read_is_nobodys_loss() {
    for (kind, options) in ALL {
        let scene = Scene::new(kind, options);
        assert_eq!(ids(&scene.setup.catch_up()), [1]);
        scene.insert(2);
        assert_eq!(ids(&scene.setup.catch_up()), [2]);
        // A place in a file needs its file; GTIDs need none.
        scene.server.run("flush binary logs");
        assert_eq!(ids(&scene.setup.catch_up()), [0; 0]);
        scene.purge();
        if options.is_empty() {
            scene.insert(3);
            assert_eq!(ids(&scene.setup.catch_up()), [3]);
        } else {
            scene.setup.fails(exit::SOURCE, &[WAY_OUT]);
        }
    }
}

#[test]
fn a_log_that_was_begun_anew_while_nobody_read_is_recognised() {
    for (kind, options) in ALL {
        let scene = Scene::new(kind, options);
        assert_eq!(ids(&scene.setup.catch_up()), [1]);
        for id in [2, 3, 4] {
            scene.insert(id);
        }
        assert_eq!(ids(&scene.setup.catch_up()), [2, 3, 4]);
        // Files are told apart by the second in which they were begun.
        std::thread::sleep(seconds(1));
        scene.reset();
        scene.setup.fails(exit::SOURCE, &[WAY_OUT]);
        scene.insert(5);
        scene.setup.fails(exit::SOURCE, &[WAY_OUT]);
        // The log is longer than it was: places and numbers are there again.
        for id in 6..=30 {
            scene.insert(id);
        }
        scene.setup.fails(exit::SOURCE, &[WAY_OUT]);
        scene.mends(30);
    }
}

#[test]
fn a_log_that_is_begun_anew_under_a_reader_stops_it() {
    for (kind, options) in ALL {
        for n_rotations in [0, 2] {
            let scene = Scene::new(kind, options);
            for _ in 0..n_rotations {
                scene.server.run("flush binary logs");
            }
            let tailwater = scene.setup.start();
            tailwater.ready();
            for id in 2..=20 {
                scene.insert(id);
            }
            Scene::arrived(&tailwater, 20);
            // Files are told apart by the second in which they were begun.
            std::thread::sleep(seconds(1));
            scene.reset();
            // The log is soon longer than it was: places and numbers are there again, with others
            // behind them.
            for id in 21..=60 {
                scene.insert(id);
            }
            let ended = tailwater.process.wait(seconds(40));
            let seen = Scene::n_lines(&tailwater);
            assert!(ended.is_some(), "{kind:?}, {n_rotations}: {seen} rows, {}", tailwater.said());
            let ended = tailwater.wait(seconds(1)).expect(exit::SOURCE, &[]);
            assert_eq!(ids(&ended), (1..=20).collect::<Vec<_>>(), "nothing of the new log");
            scene.setup.fails(exit::SOURCE, &[WAY_OUT]);
            scene.mends(60);
        }
    }
}
