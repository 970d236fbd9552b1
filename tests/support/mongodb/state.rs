//! All that the server knows, behind one lock.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, Timestamp, doc, oid::ObjectId};

use super::auth::User;
use super::cursor::Cursor;
use super::failure::Failure;
use super::oplog::{Change, Entry, Namespace, Op, Oplog, Transaction, Uuid, wall_ms};
use super::order::Key;
use super::raw::Raw;
use super::store::{self, Store};

/// Later than everything: the newest state.
pub(crate) const NEWEST: Timestamp = Timestamp { time: u32::MAX, increment: u32::MAX };

/// What kind of server is played.
#[derive(Clone)]
pub(crate) struct Options {
    /// `maxWireVersion`: 9 is 4.4, 13 is 5.0, 17 is 6.0, 21 is 7.0, 25 is 8.0.
    pub(crate) wire: i32,
    pub(crate) set_name: String,
    /// No replica set: no oplog, no change streams.
    pub(crate) standalone: bool,
    /// Calls itself a `mongos`. There is one shard behind it at most.
    pub(crate) router: bool,
    /// Knows none of the words of its version that older patches and releases do not have, as
    /// where servers of two versions stand side by side.
    pub(crate) plain: bool,
    /// With users, who is not logged in may do nothing.
    pub(crate) users: Vec<User>,
    /// Only encrypted connections, with this certificate and key (PEM files).
    pub(crate) tls: Option<(std::path::PathBuf, std::path::PathBuf)>,
    /// A no-op of the log every so often (`periodicNoopIntervalSecs`).
    pub(crate) noop: Duration,
    /// `minSnapshotHistoryWindowInSeconds`.
    pub(crate) history_seconds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wire: 21,
            set_name: "rs0".to_owned(),
            standalone: false,
            router: false,
            plain: false,
            users: vec![],
            tls: None,
            noop: Duration::from_secs(1),
            history_seconds: 300,
        }
    }
}

impl Options {
    pub(crate) fn of_wire(wire: i32) -> Self {
        Self { wire, ..Self::default() }
    }

    pub(crate) fn version(&self) -> [i32; 3] {
        match self.wire {
            ..=9 => [4, 4, 1],
            10..=16 => [5, 0, 31],
            17..=20 => [6, 0, 19],
            21..=24 => [7, 0, 16],
            25.. => [8, 0, 4],
        }
    }
}

/// An error that the test has asked for: the `failCommand` fail point of a real server.
#[derive(Clone)]
pub(crate) struct Fault {
    pub(crate) commands: Vec<String>,
    /// `None`: until it is switched off.
    pub(crate) times: Option<u32>,
    /// Commands that pass before it begins.
    pub(crate) skip: u32,
    pub(crate) failure: Option<Failure>,
    pub(crate) close: bool,
    pub(crate) block: Duration,
}

/// A transaction that is not yet decided.
pub(crate) struct Open {
    pub(crate) number: i64,
    pub(crate) read: Timestamp,
    pub(crate) changes: Vec<Change>,
    /// What its own reads see instead of the store.
    pub(crate) overlay: BTreeMap<(Namespace, Key), Option<Raw>>,
}

#[derive(Default)]
pub(crate) struct Session {
    pub(crate) open: Option<Open>,
    /// Number of the last transaction or retryable write, and what was answered.
    pub(crate) last: Option<(i64, Document)>,
}

pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) oplog: Oplog,
    pub(crate) store: Store,
    pub(crate) cursors: HashMap<i64, Cursor>,
    pub(crate) sessions: HashMap<Vec<u8>, Session>,
    pub(crate) faults: Vec<Fault>,
    /// How often each command came: tests look that something happened at all.
    pub(crate) counts: BTreeMap<String, u64>,
    /// The majority stays here until it is let go.
    pub(crate) held: Option<Timestamp>,
    pub(crate) primary: bool,
    /// Back to primary at this moment, after a step down.
    pub(crate) elected_at: Option<Instant>,
    pub(crate) topology: i64,
    pub(crate) process: ObjectId,
    pub(crate) replica_set: ObjectId,
    /// Of `admin.system.version`.
    pub(crate) admin: Uuid,
    /// A member that does not know of what is newer, until then.
    pub(crate) lags: Option<(Timestamp, Instant)>,
    /// The first commands that read documents.
    pub(crate) finds: Vec<Document>,
    pub(crate) term: i64,
    pub(crate) n_connections: i32,
    pub(crate) address: String,
}

impl State {
    pub(crate) fn new(options: Options, address: String) -> Self {
        let mut state = Self {
            options,
            oplog: Oplog::new(),
            store: Store::default(),
            cursors: HashMap::new(),
            sessions: HashMap::new(),
            faults: vec![],
            counts: BTreeMap::new(),
            held: None,
            primary: true,
            elected_at: None,
            topology: 6,
            process: ObjectId::new(),
            replica_set: ObjectId::new(),
            admin: store::new_uuid(),
            lags: None,
            finds: vec![],
            term: 1,
            n_connections: 0,
            address,
        };
        // "initiating set", and "new primary".
        state.noop();
        state.noop();
        state
    }

    /// Up to here everything is written on a majority of the members.
    pub(crate) fn committed(&self) -> Timestamp {
        self.held.unwrap_or_else(|| self.oplog.last())
    }

    /// The newest time that answers tell of.
    pub(crate) fn known(&self) -> Timestamp {
        match self.lags {
            Some((time, until)) if Instant::now() < until => time,
            _ => self.oplog.last(),
        }
    }

    pub(crate) fn noop(&mut self) {
        let change = Change { ns: Namespace::new("", ""), uuid: None, images: false, op: Op::Noop };
        self.log(vec![change], None);
    }

    /// Writes an entry, and does what it says.
    pub(crate) fn log(
        &mut self,
        changes: Vec<Change>,
        transaction: Option<Transaction>,
    ) -> Timestamp {
        let time = self.oplog.tick();
        let entry = Entry { time, wall_ms: wall_ms(), changes, transaction };
        let keep = Timestamp {
            time: time.time.saturating_sub(self.options.history_seconds),
            increment: 0,
        };
        let keep = self.held.map_or(keep, |held| if held < keep { held } else { keep });
        self.store.apply(&entry, keep);
        self.oplog.push(entry);
        time
    }

    /// The collection, made if it is not there, as an insert makes it.
    pub(crate) fn ensure(&mut self, ns: &Namespace) {
        if self.store.get(ns).is_none() {
            self.log(vec![store::create(ns, Document::new())], None);
        }
    }

    pub(crate) fn change(&self, ns: &Namespace, op: Op) -> Change {
        let collection = self.store.get(ns);
        Change {
            ns: ns.clone(),
            uuid: collection.map(|c| c.uuid),
            images: collection.is_some_and(|c| c.keeps_images()),
            op,
        }
    }

    /// The transaction of a session that is under way.
    pub(crate) fn open(&self, session: Option<&[u8]>) -> Option<&Open> {
        self.sessions.get(session?)?.open.as_ref()
    }

    /// A document as a session sees it.
    pub(crate) fn document(
        &self,
        session: Option<&[u8]>,
        ns: &Namespace,
        id: &Bson,
    ) -> Option<Raw> {
        let open = self.open(session);
        if let Some(seen) = open.and_then(|o| o.overlay.get(&(ns.clone(), Key(id.clone())))) {
            return seen.clone();
        }
        let time = open.map_or(NEWEST, |open| open.read);
        self.store.get(ns)?.get(id, time).cloned()
    }

    /// All documents as a session sees them, those of its own transaction last.
    pub(crate) fn documents(&self, session: Option<&[u8]>, ns: &Namespace) -> Vec<(Key, Raw)> {
        let open = self.open(session);
        let time = open.map_or(NEWEST, |open| open.read);
        let overlay = open.map(|o| &o.overlay);
        let hidden = |id: &Key| overlay.is_some_and(|o| o.contains_key(&(ns.clone(), id.clone())));
        let stored = self.store.get(ns).into_iter().flat_map(|c| c.all(time));
        let mut all: Vec<(Key, Raw)> = stored
            .filter(|(id, _)| !hidden(id))
            .map(|(id, raw)| (id.clone(), raw.clone()))
            .collect();
        for ((of, id), raw) in overlay.into_iter().flatten() {
            if let (true, Some(raw)) = (of == ns, raw) {
                all.push((id.clone(), raw.clone()));
            }
        }
        all
    }

    /// Puts one change of a document into the log, or into the session's open transaction.
    pub(crate) fn put(&mut self, session: Option<&[u8]>, change: Change) -> Result<(), Failure> {
        let in_transaction = self.open(session).map(|open| open.read);
        let Some(read) = in_transaction else {
            self.log(vec![change], None);
            return Ok(());
        };
        let (id, after) = match &change.op {
            Op::Insert { id, after }
            | Op::Update { id, after, .. }
            | Op::Replace { id, after, .. } => (id.clone(), Some(after.clone())),
            Op::Delete { id, .. } => (id.clone(), None),
            _ => return Err(Failure::new(263, "OperationNotSupportedInTransaction", "a command")),
        };
        let collection = self.store.get(&change.ns);
        let seen = collection.and_then(|c| c.get(&id, read));
        let newest = collection.and_then(|c| c.get(&id, NEWEST));
        if seen != newest {
            let session = self.sessions.get_mut(session.expect("a transaction has a session"));
            session.expect("it was found").open = None;
            let message = "WriteConflict error: this operation conflicted with another operation. \
                           Please retry your operation or multi-document transaction.";
            return Err(
                Failure::new(112, "WriteConflict", message).label("TransientTransactionError")
            );
        }
        let session = self.sessions.get_mut(session.expect("a transaction has a session"));
        let open = session.and_then(|s| s.open.as_mut()).expect("it was found");
        open.overlay.insert((change.ns.clone(), Key(id)), after);
        open.changes.push(change);
        Ok(())
    }

    pub(crate) fn topology_version(&self) -> Document {
        doc! { "processId": self.process, "counter": self.topology }
    }

    /// No longer primary, for so long. Cursors live on, connections too (since 4.2).
    pub(crate) fn step_down(&mut self, length: Duration) {
        self.primary = false;
        self.topology += 1;
        self.elected_at = Some(Instant::now() + length);
        for session in self.sessions.values_mut() {
            session.open = None;
        }
    }

    /// A new term begins.
    pub(crate) fn elect(&mut self) {
        self.primary = true;
        self.elected_at = None;
        self.topology += 1;
        self.term += 1;
        self.noop();
    }
}
