//! **A test tool, not a MongoDB.** No package registry carries a MongoDB server, so this one plays
//! it: a replica set of one member that speaks `OP_MSG` to the official driver over an ordered log
//! of its own, with change streams, sessions, transactions and the errors that a test orders.
//!
//! What it answers is taken from recordings of a real 4.4 (`tests/golden/mongodb/wire`, compared by
//! `it::mongodb::recordings`), and for what newer servers add from the manual and the server's
//! source, cited where it is done. What it does not know it refuses with an error, never with a
//! guess. With `TAILWATER_TEST_MONGODB_URI` set, the same tests run against that replica set, and
//! those which need faults of the played one print that they were skipped.
//!
//! It lives in the test's process, so that it survives every kill of Tailwater.

pub(crate) mod aggregation;
pub(crate) mod auth;
pub(crate) mod commands;
pub(crate) mod cursor;
pub(crate) mod event;
pub(crate) mod failure;
pub(crate) mod oplog;
pub(crate) mod order;
pub(crate) mod query;
pub(crate) mod raw;
pub(crate) mod server;
pub(crate) mod state;
pub(crate) mod store;
pub(crate) mod stream;
pub(crate) mod token;
pub(crate) mod type_bits;
pub(crate) mod update;
pub(crate) mod wire;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use mongodb::{Client, Collection, Database};

use super::runtime;
use server::Server;
use state::{Fault, Options};

/// Names a real replica set for the same tests.
const REAL: &str = "TAILWATER_TEST_MONGODB_URI";

/// A replica set, and a client of the official driver that is not Tailwater's.
pub(crate) struct Mongo {
    pub(crate) uri: String,
    pub(crate) client: Client,
    played: Option<Arc<Server>>,
}

impl Mongo {
    /// The one that tests share: the real one, when there is one.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Mongo> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var(REAL) {
            Ok(uri) => Self { client: client(&uri), uri, played: None },
            Err(_) => Self::play(Options::default()),
        })
    }

    /// Another client of the shared one.
    pub(crate) fn again() -> Self {
        let shared = Self::shared();
        Self { uri: shared.uri.clone(), client: shared.client.clone(), played: None }
    }

    /// One whose elections disturb nobody, unless it is the real one.
    pub(crate) fn own() -> Self {
        if std::env::var_os(REAL).is_some() {
            Self::again()
        } else {
            Self::play(Options::default())
        }
    }

    /// A server for one test alone. With a real one named there is none, and the test says so.
    pub(crate) fn alone(options: Options, test: &str) -> Option<Self> {
        if std::env::var_os(REAL).is_some() {
            println!("SKIPPED {test}: needs the played server");
            return None;
        }
        Some(Self::play(options))
    }

    /// One of this version, and a real one only if it is that.
    pub(crate) fn of_version(wire: i32, test: &str) -> Option<Self> {
        if std::env::var_os(REAL).is_some() {
            let real = Self::again();
            if real.wire() == wire {
                return Some(real);
            }
        }
        Self::alone(Options::of_wire(wire), test)
    }

    fn play(options: Options) -> Self {
        Self::play_on(options, 0)
    }

    pub(crate) fn play_on(options: Options, port: u16) -> Self {
        let set = options.set_name.clone();
        let (login, tls) = (options.users.first().cloned(), options.tls.is_some());
        let (standalone, router) = (options.standalone, options.router);
        let server =
            Server::start(options, port).expect("a port of this machine can be listened on");
        let login = login.map_or(String::new(), |u| format!("{}:{}@", u.name, u.password));
        let mut uri = format!("mongodb://{login}127.0.0.1:{}/", server.port);
        if standalone {
            uri.push_str("?directConnection=true");
        } else if router {
            uri.push_str("?appName=tests");
        } else {
            uri.push_str(&format!("?replicaSet={set}"));
        }
        if tls {
            uri.push_str("&tls=true&tlsAllowInvalidCertificates=true");
        }
        Self { client: client(&uri), uri, played: Some(server) }
    }

    pub(crate) fn is_real(&self) -> bool {
        self.played.is_none()
    }

    fn server(&self) -> &Server {
        self.played.as_ref().expect("only a played server does this")
    }

    pub(crate) fn port(&self) -> u16 {
        self.server().port
    }

    /// The port of a server of this machine, which a proxy can stand before.
    pub(crate) fn local_port(&self) -> Option<u16> {
        if let Some(server) = &self.played {
            return Some(server.port);
        }
        let hosts = self.uri.split("://").nth(1)?.split('/').next()?.rsplit('@').next()?;
        let (host, port) = hosts.split_once(':')?;
        matches!(host, "127.0.0.1" | "localhost").then(|| port.parse().ok()).flatten()
    }

    /// The same server through a proxy. The driver must not look for the members by their names.
    pub(crate) fn uri_through(&self, port: u16) -> String {
        let (scheme, rest) = self.uri.split_once("://").expect("a URI has a scheme");
        let (hosts, options) = rest.split_once('/').unwrap_or((rest, ""));
        let login = hosts.rsplit_once('@').map_or(String::new(), |(login, _)| format!("{login}@"));
        let kept = options.trim_start_matches('?').split('&');
        let kept: Vec<&str> =
            kept.filter(|o| !o.is_empty() && !o.starts_with("replicaSet")).collect();
        let kept = kept.iter().map(|o| format!("&{o}")).collect::<String>();
        format!("{scheme}://{login}127.0.0.1:{port}/?directConnection=true{kept}")
    }

    /// Runs a command of the administrator.
    pub(crate) fn admin(&self, command: Document) -> Document {
        block(self.client.database("admin").run_command(command)).expect("the command is known")
    }

    /// `maxWireVersion`: features are asked of the server.
    pub(crate) fn wire(&self) -> i32 {
        self.admin(doc! { "hello": 1 }).get_i32("maxWireVersion").expect("hello tells it")
    }

    /// Orders errors of the next commands of these names.
    pub(crate) fn order(&self, fault: Fault) {
        self.server().state().faults.push(fault);
    }

    /// Takes back what was ordered.
    pub(crate) fn order_nothing(&self) {
        self.server().state().faults.clear();
    }

    /// The server seems not to know of anything newer than now, for so long.
    pub(crate) fn lag(&self, length: Duration) {
        let mut state = self.server().state();
        state.lags = Some((state.oplog.last(), Instant::now() + length));
    }

    /// The commands that have read this collection.
    pub(crate) fn finds(&self, collection: &str) -> Vec<Document> {
        let finds = self.server().state().finds.clone();
        finds
            .into_iter()
            .filter(|find| find.get_str("find").is_ok_and(|of| of == collection))
            .collect()
    }

    pub(crate) fn n_commands(&self, name: &str) -> u64 {
        self.server().state().counts.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn is_writable(&self) -> bool {
        let hello = block(self.client.database("admin").run_command(doc! { "hello": 1 }));
        hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false))
    }

    /// An election: nobody is primary for so long.
    pub(crate) fn step_down(&self, length: Duration) {
        if self.is_real() {
            let seconds = i64::try_from(length.as_secs()).unwrap_or(1).max(1);
            let command = doc! { "replSetStepDown": seconds, "force": true };
            return drop(block(self.client.database("admin").run_command(command)));
        }
        self.server().state().step_down(length);
        self.server().notify();
    }

    /// Every connection ends, as when the process is killed; who comes again is served.
    pub(crate) fn cut(&self) {
        self.server().cut();
    }

    pub(crate) fn kill_cursors(&self) {
        self.server().state().cursors.clear();
    }

    /// Writes from now on are on the primary alone.
    pub(crate) fn hold_majority(&self) {
        let mut state = self.server().state();
        state.held = Some(state.oplog.last());
    }

    /// The primary dies with what it alone had: a rollback, and an election. How many were lost.
    pub(crate) fn roll_back(&self) -> usize {
        let mut state = self.server().state();
        let held = state.held.take().expect("the majority was held");
        let lost = state.oplog.roll_back(held);
        state.store.roll_back(held);
        state.step_down(Duration::from_millis(200));
        drop(state);
        self.server().notify();
        self.cut();
        lost
    }

    /// The log forgets all that is before now, as a small one does.
    pub(crate) fn forget_log(&self) {
        let mut state = self.server().state();
        state.noop();
        let now = state.oplog.last();
        state.oplog.truncate(now);
    }

    /// The log forgets what is older than so long.
    pub(crate) fn forget_log_before(&self, age: Duration) {
        let mut state = self.server().state();
        let limit = oplog::wall_ms() - i64::try_from(age.as_millis()).unwrap();
        let first = state.oplog.entries().find(|entry| entry.wall_ms >= limit).map(|e| e.time);
        if let Some(first) = first {
            state.oplog.truncate(first);
        }
    }

    /// What a full oplog does is done; then what a test writes is the first that is left.
    pub(crate) fn noop(&self) {
        self.server().state().noop();
        self.server().notify();
    }

    pub(crate) fn database(&self, name: &str) -> Database {
        self.client.database(name)
    }

    pub(crate) fn collection(&self, database: &str, name: &str) -> Collection<Document> {
        self.client.database(database).collection(name)
    }
}

impl Drop for Mongo {
    fn drop(&mut self) {
        if let Some(server) = &self.played {
            server.close();
        }
    }
}

pub(crate) fn client(uri: &str) -> Client {
    block(Client::with_uri_str(uri)).expect("the URI is right")
}

/// Tests are synchronous.
pub(crate) fn block<F: IntoFuture>(future: F) -> F::Output {
    runtime().block_on(future.into_future())
}
