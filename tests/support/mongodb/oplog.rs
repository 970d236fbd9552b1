//! The one ordered log: every write is an entry, and change streams read nothing else.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use mongodb::bson::{Bson, Document, Timestamp};

use super::raw::Raw;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Namespace {
    pub(crate) database: String,
    pub(crate) collection: String,
}

impl Namespace {
    pub(crate) fn new(database: &str, collection: &str) -> Self {
        Self { database: database.to_owned(), collection: collection.to_owned() }
    }

    pub(crate) fn full(&self) -> String {
        format!("{}.{}", self.database, self.collection)
    }
}

pub(crate) type Uuid = [u8; 16];

/// How an update is told to change streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delta {
    pub(crate) updated: Document,
    pub(crate) removed: Vec<String>,
    pub(crate) truncated: Vec<(String, i32)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Insert { id: Bson, after: Raw },
    Update { id: Bson, before: Raw, after: Raw, delta: Delta },
    Replace { id: Bson, before: Raw, after: Raw },
    Delete { id: Bson, before: Raw },
    Create { options: Document },
    Modify { options: Document },
    CreateIndexes { described: Document },
    Drop,
    Rename { to: Namespace },
    DropDatabase,
    Noop,
}

#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) ns: Namespace,
    pub(crate) uuid: Option<Uuid>,
    /// Images are kept for this one (`changeStreamPreAndPostImages`).
    pub(crate) images: bool,
    pub(crate) op: Op,
}

#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) lsid: Document,
    pub(crate) number: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) time: Timestamp,
    pub(crate) wall_ms: i64,
    pub(crate) changes: Vec<Change>,
    pub(crate) transaction: Option<Transaction>,
}

pub(crate) struct Oplog {
    entries: VecDeque<Entry>,
    /// Number of the first entry that is kept; numbers are never used again.
    first: u64,
    last: Timestamp,
}

pub(crate) const ZERO: Timestamp = Timestamp { time: 0, increment: 0 };

pub(crate) fn wall_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(now.as_millis()).expect("it is before the year 292 million")
}

/// The time that follows at once.
pub(crate) fn after(time: Timestamp) -> Timestamp {
    Timestamp { time: time.time, increment: time.increment + 1 }
}

impl Oplog {
    pub(crate) fn new() -> Self {
        Self { entries: VecDeque::new(), first: 0, last: ZERO }
    }

    pub(crate) fn last(&self) -> Timestamp {
        self.last
    }

    pub(crate) fn oldest(&self) -> Timestamp {
        self.entries.front().map_or(self.last, |entry| entry.time)
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn end(&self) -> u64 {
        self.first + u64::try_from(self.entries.len()).unwrap()
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Entry> {
        let at = number.checked_sub(self.first)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Number of the first entry at or after a time.
    pub(crate) fn seek(&self, time: Timestamp) -> u64 {
        let at = self.entries.partition_point(|entry| entry.time < time);
        self.first + u64::try_from(at).unwrap()
    }

    /// The next time: seconds of the clock, and a count within them.
    pub(crate) fn tick(&mut self) -> Timestamp {
        let seconds = u32::try_from(wall_ms() / 1000).expect("it is before 2106");
        self.last = if seconds > self.last.time {
            Timestamp { time: seconds, increment: 1 }
        } else {
            after(self.last)
        };
        self.last
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// Forgets the oldest entries up to a time, as a full oplog does.
    pub(crate) fn truncate(&mut self, before: Timestamp) {
        while self.entries.front().is_some_and(|entry| entry.time < before) {
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// Undoes what was never committed by a majority. The clock does not go back, and neither do
    /// the numbers of entries that were handed out: none were, beyond the majority.
    pub(crate) fn roll_back(&mut self, committed: Timestamp) -> usize {
        let mut n = 0;
        while self.entries.back().is_some_and(|entry| entry.time > committed) {
            self.entries.pop_back();
            n += 1;
        }
        n
    }
}
