//! Another server takes over: what it has from the old one goes on where that ended, what it has of
//! its own comes too, and what it never had is a loud stop.

use super::order_law::{as_user, create_user};
use crate::support::mysql::{Kind, Server};
use crate::support::proxy::Proxy;
use crate::support::tailwater::{Setup, Tailwater, exit};
use crate::support::{eventually, seconds};

const PRIMARY: &[&str] = &["--log-slave-updates=ON"];
const SECOND: &[&str] = &["--server-id=2", "--log-slave-updates=ON"];

struct Pair {
    kind: Kind,
    servers: [Server; 2],
    /// The one that is written to.
    primary: usize,
    database: String,
    proxy: Proxy,
    setup: Setup,
    running: Option<Tailwater>,
    outputs: Vec<std::path::PathBuf>,
    next: i64,
}

impl Pair {
    fn start(kind: Kind) -> Self {
        let servers = [PRIMARY, SECOND].map(|options| {
            let new_name = |option: &&str| option.replace("slave", "replica");
            let mysql: Vec<String> = options.iter().map(new_name).collect();
            match kind {
                Kind::Mysql => {
                    let options: Vec<&str> = mysql.iter().map(String::as_str).collect();
                    Server::start(kind, &options)
                }
                Kind::Mariadb => Server::start(kind, options),
            }
        });
        servers[0].session().script(
            "create user repl@'%' identified by 'secret'; grant replication slave on *.* to repl@'%'",
        );
        create_user(&servers[0]);
        let database = servers[0].database("failover");
        servers[0].run(&format!("create table {database}.t (id int primary key)"));
        let proxy = Proxy::start(servers[0].port);
        let mut setup = Setup::mysql(&servers[0], &database);
        as_user(&mut setup, &servers[0], proxy.port);
        let (running, outputs) = (None, Vec::new());
        let mut pair =
            Self { kind, servers, primary: 0, database, proxy, setup, running, outputs, next: 1 };
        pair.replicate();
        pair.resume();
        pair.running.as_ref().unwrap().ready();
        pair
    }

    fn primary(&self) -> &Server {
        &self.servers[self.primary]
    }

    fn replica(&self) -> &Server {
        &self.servers[1 - self.primary]
    }

    fn resume(&mut self) {
        let tailwater = self.setup.start();
        self.outputs.push(tailwater.stdout.clone());
        self.running = Some(tailwater);
    }

    fn replicate(&self) {
        let (session, port) = (self.replica().session(), self.primary().port);
        session.script(&match self.kind {
            Kind::Mysql => format!(
                "change replication source to source_host = '127.0.0.1', source_port = {port},
                     source_user = 'repl', source_password = 'secret', source_ssl = 1,
                     source_auto_position = 1, source_connect_retry = 1;
                 start replica"
            ),
            Kind::Mariadb => format!(
                "set global gtid_slave_pos = @@gtid_binlog_pos;
                 change master to master_host = '127.0.0.1', master_port = {port},
                     master_user = 'repl', master_password = 'secret',
                     master_use_gtid = slave_pos, master_connect_retry = 1;
                 start slave"
            ),
        });
    }

    fn insert(&mut self, n_rows: i64) {
        let session = self.primary().session();
        for id in self.next..self.next + n_rows {
            if self.kind == Kind::Mariadb {
                session.run(&format!("set gtid_domain_id = {}", id % 3));
            }
            session.run(&format!("insert into {}.t values ({id})", self.database));
        }
        self.next += n_rows;
    }

    /// Until the replica has everything.
    fn settle(&self) {
        let session = self.primary().session();
        let done = match self.kind {
            Kind::Mysql => {
                let all = session.value("select @@global.gtid_executed").unwrap();
                format!("select wait_for_executed_gtid_set('{all}', 60)")
            }
            Kind::Mariadb => {
                let all = session.value("select @@gtid_binlog_pos").unwrap();
                format!("select master_gtid_wait('{all}', 60)")
            }
        };
        assert_eq!(self.replica().value(&done).as_deref(), Some("0"), "{:?}", self.status());
    }

    fn status(&self) -> Vec<Vec<Option<String>>> {
        self.replica().session().rows(match self.kind {
            Kind::Mysql => "show replica status",
            Kind::Mariadb => "show all slaves status",
        })
    }

    fn stop_replicating(&self) {
        self.replica().run(match self.kind {
            Kind::Mysql => "stop replica",
            Kind::Mariadb => "stop slave",
        });
    }

    /// The primary dies, and the replica is what clients get to.
    fn fail_over(&mut self) {
        self.primary().stop("KILL");
        self.stop_replicating();
        self.replica().run(match self.kind {
            Kind::Mysql => "reset replica all",
            Kind::Mariadb => "reset slave all",
        });
        self.primary = 1 - self.primary;
        self.proxy.retarget(self.primary().port);
    }

    fn ids(&self) -> Vec<i64> {
        let texts = self.outputs.iter().map(|path| std::fs::read_to_string(path).unwrap());
        let id = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            record["value"]["after"]["id"].as_i64().unwrap()
        };
        texts.flat_map(|text| text.lines().map(id).collect::<Vec<_>>()).collect()
    }

    fn arrived(&self, id: i64) {
        let arrived = eventually(seconds(60), || {
            let text = std::fs::read_to_string(self.outputs.last().unwrap()).unwrap_or_default();
            text.contains(&format!("\"id\":{id}}}")).then_some(())
        });
        assert!(arrived.is_some(), "{id} did not arrive: {}", self.said());
    }

    fn said(&self) -> String {
        self.running.as_ref().unwrap().said()
    }

    fn ends(&mut self, said: &[&str]) {
        self.running.take().unwrap().wait(seconds(60)).expect(exit::SOURCE, said);
    }

    fn finish(mut self, name: &str) {
        let tailwater = self.running.take().unwrap();
        tailwater.stop().expect(0, &[]);
        let mut ids = self.ids();
        let n_events = ids.len();
        ids.sort_unstable();
        ids.dedup();
        let rows = self.primary().session().rows(&format!("select id from {}.t", self.database));
        let mut rows: Vec<i64> =
            rows.iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect();
        rows.sort_unstable();
        assert_eq!(ids, rows, "{name}");
        println!(
            "failover: {}: {name}: {n_events} events, 0 lost, 0 phantom, {} duplicates",
            self.kind.name(),
            n_events - ids.len()
        );
        assert_eq!(n_events, ids.len(), "every reconnect was between checkpoints");
    }
}

/// Long enough for a checkpoint, so that nothing comes again.
fn rest() {
    std::thread::sleep(seconds(3));
}

#[test]
fn a_switch_to_the_replica_and_back_loses_nothing() {
    for kind in Kind::BOTH {
        let mut pair = Pair::start(kind);
        pair.insert(50);
        for round in 0..3 {
            pair.settle();
            pair.arrived(pair.next - 1);
            rest();
            pair.fail_over();
            pair.insert(50);
            pair.arrived(pair.next - 1);
            // The server that was lost comes back as a replica of its heir.
            pair.replica().resume();
            pair.replicate();
            if round == 1 {
                rest();
                pair.running.take().unwrap().kill();
                pair.insert(20);
                pair.resume();
            }
        }
        pair.insert(5);
        pair.arrived(pair.next - 1);
        pair.finish("three switches between two servers");
    }
}

#[test]
fn what_the_new_primary_has_of_its_own_comes_too() {
    for kind in Kind::BOTH {
        let mut pair = Pair::start(kind);
        pair.insert(20);
        pair.settle();
        pair.arrived(20);
        rest();
        let errant = pair.replica().session();
        if kind == Kind::Mariadb {
            errant.run("set gtid_domain_id = 9");
        }
        errant.run(&format!("insert into {}.t values (1000)", pair.database));
        pair.fail_over();
        pair.insert(20);
        pair.arrived(40);
        pair.arrived(1000);
        pair.finish("errant transactions of the heir");
    }
}

#[test]
fn what_the_new_primary_had_of_its_own_and_threw_away_is_a_loud_stop() {
    for kind in Kind::BOTH {
        let mut pair = Pair::start(kind);
        pair.insert(20);
        pair.settle();
        pair.arrived(20);
        let errant = pair.replica().session();
        if kind == Kind::Mariadb {
            errant.run("set gtid_domain_id = 9");
        }
        errant.run(&format!("insert into {}.t values (1000)", pair.database));
        let gone = eventually(seconds(30), || {
            errant.run("flush binary logs");
            let newest = errant.rows("show binary logs").pop().unwrap()[0].clone().unwrap();
            errant.run(&format!("purge binary logs to '{newest}'"));
            (errant.rows("show binary logs").len() == 1).then_some(())
        });
        assert!(gone.is_some());
        pair.fail_over();
        pair.ends(&["tailwater offsets reset"]);
        assert!(!pair.ids().contains(&1000));
    }
}

#[test]
fn a_heir_that_lacks_what_was_published_is_a_loud_stop() {
    for kind in Kind::BOTH {
        let mut pair = Pair::start(kind);
        pair.insert(20);
        pair.settle();
        pair.stop_replicating();
        pair.insert(6);
        pair.arrived(26);
        rest();
        pair.fail_over();
        pair.ends(&["this server does not have it", "tailwater offsets reset"]);
        // It stays so when the heir's own numbers have passed those that it never had.
        pair.next = 100;
        pair.insert(30);
        pair.resume();
        pair.ends(&["tailwater offsets reset"]);
        let published: Vec<i64> = (1..=26).collect();
        assert_eq!(pair.ids(), published, "nothing of the heir's");
        // The old server comes back: it is the one that the checkpoint is of.
        pair.replica().resume();
        pair.proxy.retarget(pair.replica().port);
        pair.replica().run(&format!("insert into {}.t values (27)", pair.database));
        pair.resume();
        pair.arrived(27);
    }
}
