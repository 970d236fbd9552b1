//! The order law on MySQL and MariaDB: checkpointed <= durable in the sink <= read, whatever dies.
//!
//! As for PostgreSQL, with what only these servers do: new log files, and old ones that are thrown
//! away as soon as they are done; XA transactions (MySQL), several domains (MariaDB), and places
//! that are files instead of GTIDs. Tailwater is a user with the documented rights and no other,
//! and the server lets it in by TLS alone.
//!
//! `TAILWATER_KILLS`, `TAILWATER_CUTS` and `TAILWATER_FAULT_SEED` make it longer, or another one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::places::Done;
use crate::law::{KINDS, Law, Parts, Points, assert_met};
use crate::ledger::{Open, Rows, Writers};
use crate::support::fold::json_event;
use crate::support::kafka::Kafka;
use crate::support::knob;
use crate::support::mysql::{Kind, Server};
use crate::support::postgres::statements;
use crate::support::proxy::Proxy;
use crate::support::tailwater::{Setup, Tailwater};

/// The server hears of nothing, so nothing is between a checkpoint and its acknowledgement.
const POINTS: Points =
    &[("read", 150), ("encode", 150), ("send", 150), ("delivered", 150), ("checkpointed", 10)];

/// How a server names places in its log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Places {
    Gtids,
    Domains,
    Files,
}

/// Servers that may be broken, each behind a proxy.
struct Stack {
    server: Server,
    kafka: Kafka,
    legs: [(&'static str, Proxy); 2],
    database: String,
    setup: Setup,
}

/// A user with the rights that the documentation names, who may come encrypted only.
pub(super) fn create_user(server: &Server) {
    let watch = match server.kind {
        Kind::Mysql => "replication client",
        Kind::Mariadb => "binlog monitor",
    };
    server.session().script(&format!(
        "create user cdc@'%' identified by 'secret' require ssl;
         grant select, reload, replication slave, {watch} on *.* to cdc@'%'"
    ));
}

/// As that user through a port.
pub(super) fn as_user(setup: &mut Setup, server: &Server, port: u16) {
    let source = format!("source.{}", server.kind.name());
    let ca = server.data().join("ca.pem");
    setup
        .set(&format!("{source}.host"), "127.0.0.1")
        .set(&format!("{source}.port"), port)
        .set(&format!("{source}.user"), "cdc")
        .set(&format!("{source}.password"), "secret")
        .set(&format!("{source}.tls"), json!({ "mode": "verify-ca", "ca": ca }));
}

impl Stack {
    fn start(kind: Kind, options: &[&str]) -> Self {
        let kafka_proxy = Proxy::start(0);
        let kafka = Kafka::start_behind(kafka_proxy.port);
        kafka_proxy.retarget(kafka.second_port);
        let server = Server::start(kind, options);
        create_user(&server);
        let legs = [("server", Proxy::start(server.port)), ("kafka", kafka_proxy)];
        let database = server.database("law");
        let session = server.session();
        session.run(&format!("use {database}"));
        session.script(
            "create table ledger
                (account bigint primary key, version bigint not null, op bigint not null);
             create table ops
                (op bigint primary key, account bigint not null, version bigint not null)",
        );
        let rows: Vec<String> = (0..20).map(|account| format!("({account}, 0, 0)")).collect();
        session.run(&format!("insert into ledger values {}", rows.join(",")));
        let mut setup = Setup::mysql(&server, &database).into_kafka(&kafka);
        as_user(&mut setup, &server, legs[0].1.port);
        setup.set("sink.kafka.bootstrap_servers", vec![format!("127.0.0.1:{}", legs[1].1.port)]);
        setup.set("delivery.checkpoint_interval", "200ms");
        setup.set("delivery.id_header", true);
        Self { server, kafka, legs, database, setup }
    }

    /// Sessions of the writers: each in a domain of its own, or with XA now and then.
    fn open(&self, places: Places) -> Open {
        let (socket, database) = (self.server.socket(), self.database.clone());
        Arc::new(move |writer| {
            let session = Server::try_session_at(&socket)?;
            session.try_run(&format!("use {database}")).ok()?;
            if places == Places::Domains {
                session.try_run(&format!("set gtid_domain_id = {}", writer + 1)).ok()?;
            }
            // What a crash left prepared holds its locks for ever.
            let name = format!("'w{writer}'");
            drop(session.try_run(&format!("xa rollback {name}")));
            let mut number = 0;
            Some(Box::new(move |sql| {
                number += 1;
                let sql = match places == Places::Gtids && number % 7 == 0 {
                    true => with_xa(sql, &name),
                    false => sql.to_owned(),
                };
                statements(&sql).iter().all(|statement| session.try_run(statement).is_ok())
            }))
        })
    }

    /// Throws away the log's files that the pipeline needs no more. One more stays, where an XA
    /// transaction may begin that is not decided yet.
    fn purge(&self) {
        let Some(done) = Done::of(&self.setup.offsets()).file else { return };
        let files = self.server.session().rows("show binary logs");
        let names: Vec<&String> = files.iter().map(|row| row[0].as_ref().unwrap()).collect();
        let at = names.iter().position(|name| **name == done.name).expect("its file is there");
        if let Some(keep) = at.checked_sub(1) {
            self.server.run(&format!("purge binary logs to '{}'", names[keep]));
        }
    }
}

/// The same transaction, prepared before it is decided.
fn with_xa(sql: &str, name: &str) -> String {
    if sql.contains("savepoint") {
        return sql.to_owned();
    }
    let (body, end) = sql.rsplit_once(';').expect("it ends with what decides it");
    let body = body.strip_prefix("begin").expect("it begins");
    format!("xa start {name}{body};xa end {name};xa prepare {name};xa {end} {name}")
}

struct Run<'a> {
    stack: &'a Stack,
    law: Law<'a>,
}

impl Run<'_> {
    fn cut(&mut self, number: u64, tailwater: &Tailwater) {
        let legs = &self.stack.legs;
        let (leg, proxy) = &legs[usize::try_from(number).unwrap() % legs.len()];
        let n_hurt = proxy.n_hurt();
        let begin = Instant::now();
        let pause = Duration::from_millis(self.law.rng.random_range(50..1200));
        let kind = KINDS[usize::try_from(number).unwrap() / legs.len() % KINDS.len()];
        self.law.hurt(proxy, kind, 20_000);
        std::thread::sleep(pause);
        if kind == "stall" {
            proxy.cut();
        }
        let hurt = proxy.n_hurt() > n_hurt;
        proxy.heal();
        let fault = format!("{leg}: {kind}{}", if hurt { "" } else { " that met nobody" });
        self.law.count(&fault);
        self.law.expose(begin.elapsed());
        self.law.flows(tailwater, &fault);
    }

    fn restart(&mut self, number: u64, tailwater: &Tailwater) {
        let Stack { server, kafka, .. } = self.stack;
        let (kind, stop, resume): (_, &dyn Fn(), &dyn Fn()) = match number % 4 {
            0 => ("server restart", &|| server.stop("TERM"), &|| server.resume()),
            1 => ("server crash", &|| server.stop("KILL"), &|| server.resume()),
            2 => ("kafka crash", &|| kafka.stop("KILL"), &|| kafka.resume()),
            _ => ("kafka restart", &|| kafka.stop("TERM"), &|| kafka.resume()),
        };
        let begin = Instant::now();
        stop();
        std::thread::sleep(Duration::from_millis(self.law.rng.random_range(0..1000)));
        resume();
        self.law.count(kind);
        self.law.expose(begin.elapsed());
        self.law.flows(tailwater, kind);
    }

    fn rotate(&mut self) {
        self.stack.server.run("flush binary logs");
        self.law.count("rotation");
        if self.law.rng.random_bool(0.5) {
            self.stack.purge();
            self.law.count("purge of what is done");
        }
    }
}

fn nothing_is_lost(name: &str, kind: Kind, places: Places, [n_kills, n_cuts]: [u64; 2]) {
    let seed = knob("TAILWATER_FAULT_SEED", 1);
    let n_restarts = 4.max(n_cuts / 10);
    println!("{name}: seed {seed}");
    let options: &[&str] = match places {
        Places::Files => &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"],
        Places::Gtids | Places::Domains => &[],
    };
    let stack = Stack::start(kind, options);
    let mut tailwater = stack.setup.start();
    tailwater.ready();
    let mut reader = stack.kafka.reader(&format!("{}.{}.", stack.setup.prefix, stack.database));
    let offsets = stack.setup.offsets();
    let parts = Parts {
        setup: &stack.setup,
        points: POINTS,
        read_on: Box::new(|| reader.read_on().iter().map(json_event).collect()),
        floor: Box::new(|| Done::of(&offsets).floor()),
        writers: Writers::start(&stack.open(places), seed),
    };
    let mut run = Run { stack: &stack, law: Law::new(parts, StdRng::seed_from_u64(seed)) };
    let (mut kills, mut cuts, mut restarts) = (0, 0, 0);
    while kills < n_kills || cuts < n_cuts || restarts < n_restarts {
        if run.law.rng.random_bool(0.3) {
            run.rotate();
        }
        let left = [n_kills - kills, n_cuts - cuts, n_restarts - restarts];
        let choice = run.law.rng.random_range(0..left.iter().sum::<u64>());
        if choice < left[0] {
            tailwater = run.law.kill(kills, tailwater);
            kills += 1;
        } else if choice < left[0] + left[1] {
            run.cut(cuts, &tailwater);
            cuts += 1;
        } else {
            run.restart(restarts, &tailwater);
            restarts += 1;
        }
    }
    run.law.flows(&tailwater, "everything");
    println!("{name}: {kills} kills, {cuts} cuts, {restarts} restarts");
    let session = stack.server.session();
    session.run(&format!("use {}", stack.database));
    let rows = move |sql: &str| -> Rows { session.rows(sql) };
    let tally = run.law.finish(tailwater, name, rows, String::new);
    let n_points = usize::try_from(kills / 2).unwrap().min(POINTS.len());
    let n_legs = usize::try_from(cuts / 2).unwrap().min(2);
    assert_met(&tally, &POINTS[..n_points], &["server", "kafka"][..n_legs]);
    for fault in ["rotation", "purge of what is done", "server restart", "server crash"] {
        assert!(tally.contains_key(fault) || n_kills + n_cuts < 20, "there was no {fault}");
    }
}

fn numbers() -> [u64; 2] {
    [knob("TAILWATER_KILLS", 30), knob("TAILWATER_CUTS", 20)]
}

#[test]
fn mysql_loses_nothing_and_invents_nothing_whatever_dies() {
    nothing_is_lost("order law: mysql", Kind::Mysql, Places::Gtids, numbers());
}

#[test]
fn mariadb_loses_nothing_and_invents_nothing_whatever_dies() {
    nothing_is_lost("order law: mariadb", Kind::Mariadb, Places::Domains, numbers());
}

#[test]
fn mysql_by_file_loses_nothing_and_invents_nothing_whatever_dies() {
    let third = numbers().map(|n| n.div_ceil(3));
    nothing_is_lost("order law: mysql by file", Kind::Mysql, Places::Files, third);
}
