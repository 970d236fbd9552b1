//! A workload that can be judged while it runs: accounts whose versions count up by one, and an
//! operation row per transaction.
//!
//! The database is the only witness. What a writer believes of a commit that a crash interrupted
//! does not matter: an operation took place if its row is in `ops` at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::fold::Event;
use crate::support::postgres::{Database, Session};
use crate::support::{eventually, seconds};

const N_WRITERS: i64 = 2;
const N_ACCOUNTS: i64 = 10;

pub(crate) const SCHEMA: &str = "
    create table ledger (account bigint primary key, version bigint not null, op bigint not null);
    create table ops (op bigint primary key, account bigint not null, version bigint not null);
    insert into ledger select a, 0, 0 from generate_series(0, 19) a;";

/// Rows of a query, as text.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// Runs a script on a session of one writer; `false` where something of it failed.
pub(crate) type Transact = Box<dyn FnMut(&str) -> bool>;

/// A new session for the writer of this number, as soon as the server takes one.
pub(crate) type Open = Arc<dyn Fn(i64) -> Option<Transact> + Send + Sync>;

/// Whether the transaction with this `cdc.id` is below a checkpoint.
pub(crate) type Floor = Box<dyn Fn(&str) -> bool>;

/// Sessions on PostgreSQL.
pub(crate) fn of_postgres(database: &Database) -> Open {
    let database = database.clone();
    Arc::new(move |_| {
        let session = Session::try_open(database.port, &database.name, "postgres")?;
        Some(Box::new(move |sql| session.try_run(sql).is_ok()))
    })
}

/// Sessions that write until told to stop, through every restart of the server.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// The last operation that a writer saw committed.
    committed: Arc<AtomicI64>,
}

impl Writers {
    pub(crate) fn start(open: &Open, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicI64::new(1));
        let committed = Arc::new(AtomicI64::new(0));
        let threads = (0..N_WRITERS).map(|writer| {
            let (open, stop) = (Arc::clone(open), Arc::clone(&stop));
            let (next, committed) = (Arc::clone(&next), Arc::clone(&committed));
            std::thread::spawn(move || {
                let mut rng = StdRng::seed_from_u64(seed ^ u64::try_from(writer).unwrap());
                let mut session = None;
                while !stop.load(Ordering::Relaxed) {
                    let Some(mut current) = session.take().or_else(|| open(writer)) else {
                        std::thread::sleep(Duration::from_millis(50));
                        continue;
                    };
                    let op = next.fetch_add(1, Ordering::Relaxed);
                    let (sql, kept) = transaction(&mut rng, writer, op);
                    if current(&sql) {
                        if kept {
                            committed.fetch_max(op, Ordering::Relaxed);
                        }
                        session = Some(current);
                    }
                    std::thread::sleep(Duration::from_millis(rng.random_range(0..8)));
                }
            })
        });
        Self { threads: threads.collect(), stop, committed }
    }

    pub(crate) fn committed(&self) -> i64 {
        self.committed.load(Ordering::Relaxed)
    }

    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a writer does not panic");
        }
    }
}

/// A transaction on the accounts of one writer, so that writers never wait for each other.
fn transaction(rng: &mut StdRng, writer: i64, op: i64) -> (String, bool) {
    let first = rng.random_range(0..N_ACCOUNTS);
    let account = |i: i64| writer * N_ACCOUNTS + (first + i) % N_ACCOUNTS;
    let mut sql = "begin;".to_owned();
    for i in 0..rng.random_range(1..5) {
        let account = account(i);
        sql += &format!(
            "update ledger set version = version + 1, op = {op} where account = {account};"
        );
        if rng.random_bool(0.1) {
            sql += &format!(
                "savepoint s; update ledger set version = version + 1000000, op = -1
                 where account = {account}; rollback to s;"
            );
        }
    }
    let account = account(0);
    sql += &format!(
        "insert into ops select {op}, account, version from ledger where account = {account};"
    );
    let kept = rng.random_bool(0.9);
    sql += if kept { "commit" } else { "rollback" };
    (sql, kept)
}

/// Judges events in the order of their partitions.
#[derive(Default)]
pub(crate) struct Judge {
    /// Account -> newest version, and the version of the record before.
    versions: HashMap<i64, (i64, i64)>,
    seen: BTreeSet<(bool, i64, i64)>,
    ids: HashMap<String, (bool, i64, i64)>,
    ops: BTreeSet<i64>,
    pub(crate) n_events: u64,
    pub(crate) n_duplicates: u64,
    pub(crate) violations: Vec<String>,
    /// When each record was produced.
    times_ms: Vec<i64>,
    /// Of the checkpoint that the last start went on from: nothing below it may come again.
    pub(crate) floor: Option<Floor>,
}

impl Judge {
    pub(crate) fn take(&mut self, event: &Event) {
        let Some(value) = &event.value else { return };
        let row = &value["after"];
        let number = |name: &str| row[name].as_i64().expect("a ledger's column is a number");
        let is_ledger = event.topic.ends_with(".ledger");
        let (account, version) = (number("account"), number("version"));
        let subject = if is_ledger { account } else { number("op") };
        self.n_events += 1;
        self.times_ms.push(event.time_ms);
        let fact = (is_ledger, subject, version);
        if !self.seen.insert(fact) {
            self.n_duplicates += 1;
            let below = |id| self.floor.as_ref().is_some_and(|below| below(id));
            if event.id.as_deref().is_some_and(below) {
                self.violations.push(format!("repeated below the checkpoint: {event:?}"));
            }
        }
        if let Some(id) = &event.id
            && *self.ids.entry(id.clone()).or_insert(fact) != fact
        {
            self.violations.push(format!("id {id} stands for two events: {event:?}"));
        }
        if !is_ledger {
            self.ops.insert(subject);
            return;
        }
        let (newest, last) = self.versions.get(&account).copied().unwrap_or((version, version));
        // Either the next version, or the start of a replay of what was already there.
        if version > last + 1 && event.op() != "r" {
            self.violations.push(format!("account {account} jumps from {last} to {version}"));
        }
        self.versions.insert(account, (newest.max(version), version));
    }

    pub(crate) fn has_op(&self, op: i64) -> bool {
        self.ops.range(op..).next().is_some()
    }

    /// How many records were produced since `moment`.
    pub(crate) fn produced_since(&self, moment: SystemTime) -> u64 {
        let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let start = i64::try_from(since.as_millis()).unwrap();
        u64::try_from(self.times_ms.iter().filter(|t| **t >= start).count()).unwrap()
    }

    /// What the tables say, against what arrived: lost operations, operations that never were.
    pub(crate) fn verdict(&self, session: impl Fn(&str) -> Rows) -> (usize, usize) {
        let number = |v: &Option<String>| v.as_ref().unwrap().parse::<i64>().unwrap();
        let rows = session("select op from ops");
        let committed: BTreeSet<i64> = rows.iter().map(|row| number(&row[0])).collect();
        let lost = committed.difference(&self.ops).count();
        let phantom = self.ops.difference(&committed).count();
        let accounts: BTreeMap<i64, i64> = session("select account, version from ledger")
            .iter()
            .map(|row| (number(&row[0]), number(&row[1])))
            .collect();
        let folded: BTreeMap<i64, i64> = self.versions.iter().map(|(a, v)| (*a, v.1)).collect();
        assert_eq!(folded, accounts, "the folded ledger is the table");
        (lost, phantom)
    }
}

/// Samples the slot and the checkpoint file from outside: what the database may forget is never
/// more than what is durable here.
pub(crate) struct Observer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    n_samples: Arc<AtomicU64>,
    n_ahead: Arc<AtomicU64>,
}

impl Observer {
    pub(crate) fn start(database: &Database, slot: &str, offsets: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (n_samples, n_ahead) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (database, slot, offsets) = (database.clone(), slot.to_owned(), offsets.to_owned());
        let shared = (Arc::clone(&stop), Arc::clone(&n_samples), Arc::clone(&n_ahead));
        let thread = std::thread::spawn(move || {
            let (stop, n_samples, n_ahead) = shared;
            let mut session = None;
            let sql = format!(
                "select confirmed_flush_lsn from pg_replication_slots where slot_name = '{slot}'"
            );
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
                let open = || Session::try_open(database.port, &database.name, "postgres");
                let Some(current) = session.take().or_else(open) else { continue };
                let Ok(rows) = current.try_rows(&sql) else { continue };
                session = Some(current);
                // The slot first: a checkpoint that is saved between the two only adds to its lead.
                let confirmed = rows.first().and_then(|row| row[0].as_deref()).map(lsn);
                let Some((confirmed, durable)) = confirmed.zip(checkpoint(&offsets)) else {
                    continue;
                };
                n_samples.fetch_add(1, Ordering::Relaxed);
                if confirmed > durable {
                    n_ahead.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, thread, n_samples, n_ahead }
    }

    /// Samples taken, and those in which the slot was ahead.
    pub(crate) fn finish(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the observer does not panic");
        (self.n_samples.load(Ordering::Relaxed), self.n_ahead.load(Ordering::Relaxed))
    }
}

/// Below the furthest LSN that is saved.
pub(crate) fn below_lsn(offsets: &Path) -> Floor {
    let floor = checkpoint(offsets).expect("the snapshot was complete");
    Box::new(move |id| commit_lsn(id).is_some_and(|commit| commit < floor))
}

/// `<system>-<LSN of the commit>:<ordinal>…`.
fn commit_lsn(id: &str) -> Option<u64> {
    let text = id.split_once('-')?.1.split(':').next()?;
    text.contains('/').then(|| lsn(text))
}

pub(crate) fn lsn(text: &str) -> u64 {
    let (high, low) = text.split_once('/').expect("an LSN has a slash");
    u64::from_str_radix(high, 16).unwrap() << 32 | u64::from_str_radix(low, 16).unwrap()
}

/// The furthest LSN in the offsets folder. Whatever the file's frame is, positions in it read
/// `"lsn":"X/Y"`.
pub(crate) fn checkpoint(offsets: &Path) -> Option<u64> {
    let files: Vec<PathBuf> =
        std::fs::read_dir(offsets).ok()?.flatten().map(|e| e.path()).collect();
    let texts = files.iter().filter(|p| p.is_file()).filter_map(|p| std::fs::read(p).ok());
    let found = texts.flat_map(|bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lsns = text.split("\"lsn\"").skip(1).filter_map(|rest| {
            let value = rest.trim_start_matches([':', ' ', '"']).split('"').next()?;
            value.contains('/').then(|| lsn(value))
        });
        lsns.collect::<Vec<_>>()
    });
    found.max()
}

/// When the newest checkpoint was saved.
pub(crate) fn saved_at(offsets: &Path) -> SystemTime {
    let files = std::fs::read_dir(offsets).expect("the offsets folder is there").flatten();
    let slots = files.filter(|f| f.file_name().to_string_lossy().contains(".offsets."));
    let times = slots.map(|f| f.metadata().unwrap().modified().unwrap());
    times.max().expect("a checkpoint was saved")
}

/// Waits until an operation committed from now on has arrived.
pub(crate) fn flows(writers: &Writers, mut read: impl FnMut(i64) -> bool) -> bool {
    let wanted = eventually(seconds(30), {
        let before = writers.committed();
        move || Some(writers.committed()).filter(|op| *op > before)
    });
    let wanted = wanted.expect("the writers go on");
    eventually(seconds(90), || read(wanted).then_some(())).is_some()
}
