//! Collections with the versions of their documents, so that a read at a cluster time is exact.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use mongodb::bson::{Bson, Document, Timestamp, doc, oid::ObjectId};

use super::oplog::{Change, Entry, Namespace, Op, Uuid};
use super::order::Key;
use super::raw::Raw;

type At = (u32, u32);

fn at(time: Timestamp) -> At {
    (time.time, time.increment)
}

pub(crate) struct Record {
    pub(crate) id: Key,
    versions: Vec<(At, Option<Raw>)>,
}

impl Record {
    fn visible(&self, time: Timestamp) -> Option<&Raw> {
        let n = self.versions.partition_point(|(written, _)| *written <= at(time));
        self.versions.get(n.checked_sub(1)?)?.1.as_ref()
    }

    fn latest(&self) -> Option<&Raw> {
        self.versions.last()?.1.as_ref()
    }
}

pub(crate) struct Collection {
    pub(crate) uuid: Uuid,
    /// `collection`, `view` or `timeseries`.
    pub(crate) kind: &'static str,
    pub(crate) options: Document,
    pub(crate) made: Timestamp,
    /// In the order of insertion: what a scan without a sort follows.
    records: BTreeMap<u64, Record>,
    ids: BTreeMap<Key, Vec<u64>>,
    next: u64,
}

impl Collection {
    fn new(options: Document, made: Timestamp) -> Self {
        let kind = if options.contains_key("viewOn") {
            "view"
        } else if options.contains_key("timeseries") {
            "timeseries"
        } else {
            "collection"
        };
        let (records, ids) = (BTreeMap::new(), BTreeMap::new());
        Self { uuid: new_uuid(), kind, options, made, records, ids, next: 1 }
    }

    pub(crate) fn keeps_images(&self) -> bool {
        let images = self.options.get_document("changeStreamPreAndPostImages");
        images.is_ok_and(|images| images.get_bool("enabled").unwrap_or(false))
    }

    pub(crate) fn get(&self, id: &Bson, time: Timestamp) -> Option<&Raw> {
        let numbers = self.ids.get(&Key(id.clone()))?;
        numbers.iter().find_map(|n| self.records[n].visible(time))
    }

    fn latest_number(&self, id: &Bson) -> Option<u64> {
        let numbers = self.ids.get(&Key(id.clone()))?;
        numbers.iter().rev().find(|n| self.records[n].latest().is_some()).copied()
    }

    /// The first document after a place in the order of insertion.
    pub(crate) fn after_number(&self, after: u64, time: Timestamp) -> Option<(u64, &Raw)> {
        self.records
            .range((Bound::Excluded(after), Bound::Unbounded))
            .find_map(|(n, record)| Some((*n, record.visible(time)?)))
    }

    /// The first document beyond a bound in the order of `_id`.
    pub(crate) fn after_id(&self, from: Bound<&Key>, time: Timestamp) -> Option<(&Key, &Raw)> {
        self.ids.range((from, Bound::Unbounded)).find_map(|(id, numbers)| {
            Some((id, numbers.iter().find_map(|n| self.records[n].visible(time))?))
        })
    }

    pub(crate) fn before_id(&self, to: Bound<&Key>, time: Timestamp) -> Option<(&Key, &Raw)> {
        self.ids.range((Bound::Unbounded, to)).rev().find_map(|(id, numbers)| {
            Some((id, numbers.iter().find_map(|n| self.records[n].visible(time))?))
        })
    }

    pub(crate) fn all(&self, time: Timestamp) -> impl Iterator<Item = (&Key, &Raw)> {
        self.records.values().filter_map(move |r| Some((&r.id, r.visible(time)?)))
    }

    fn insert(&mut self, id: &Bson, after: &Raw, time: Timestamp) {
        let number = self.next;
        self.next += 1;
        let key = Key(id.clone());
        self.ids.entry(key.clone()).or_default().push(number);
        let versions = vec![(at(time), Some(after.clone()))];
        self.records.insert(number, Record { id: key, versions });
    }

    fn write(&mut self, id: &Bson, version: Option<Raw>, time: Timestamp, keep: At) {
        let number = self.latest_number(id).expect("what is written was found");
        let record = self.records.get_mut(&number).expect("its number was found");
        record.versions.push((at(time), version));
        // Nobody may read before `keep`: the last version before it is the first of interest.
        let old = record.versions.partition_point(|(written, _)| *written <= keep);
        record.versions.drain(..old.saturating_sub(1));
    }

    fn roll_back(&mut self, committed: Timestamp) {
        for record in self.records.values_mut() {
            record.versions.retain(|(written, _)| *written <= at(committed));
        }
        let gone = |records: &BTreeMap<u64, Record>, n: &u64| records[n].versions.is_empty();
        for numbers in self.ids.values_mut() {
            numbers.retain(|n| !gone(&self.records, n));
        }
        self.ids.retain(|_, numbers| !numbers.is_empty());
        self.records.retain(|_, record| !record.versions.is_empty());
    }
}

pub(crate) fn new_uuid() -> Uuid {
    let mut uuid = [0; 16];
    for half in uuid.chunks_mut(8) {
        half.copy_from_slice(&rand::random::<[u8; 8]>());
    }
    uuid[6] = (uuid[6] & 0x0F) | 0x40;
    uuid[8] = (uuid[8] & 0x3F) | 0x80;
    uuid
}

/// The document as stored: `_id` first, made when it is missing.
pub(crate) fn with_id(mut document: Document) -> (Bson, Document) {
    let id = document.remove("_id").unwrap_or_else(|| Bson::ObjectId(ObjectId::new()));
    let mut stored = doc! { "_id": id.clone() };
    stored.extend(document);
    (id, stored)
}

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) collections: BTreeMap<Namespace, Collection>,
    /// A database is there until it is dropped, also when its last collection is gone.
    pub(crate) databases: BTreeSet<String>,
}

impl Store {
    pub(crate) fn get(&self, ns: &Namespace) -> Option<&Collection> {
        self.collections.get(ns)
    }

    pub(crate) fn databases(&self) -> Vec<String> {
        let mut names: Vec<String> = self.collections.keys().map(|n| n.database.clone()).collect();
        names.dedup();
        names
    }

    /// Does what an entry of the log says.
    pub(crate) fn apply(&mut self, entry: &Entry, keep: Timestamp) {
        for change in &entry.changes {
            self.apply_one(change, entry.time, at(keep));
        }
    }

    fn apply_one(&mut self, change: &Change, time: Timestamp, keep: At) {
        let ns = &change.ns;
        match &change.op {
            Op::Insert { id, after } => self.at(ns).insert(id, after, time),
            Op::Update { id, after, .. } | Op::Replace { id, after, .. } => {
                self.at(ns).write(id, Some(after.clone()), time, keep);
            }
            Op::Delete { id, .. } => self.at(ns).write(id, None, time, keep),
            Op::Create { options } => {
                let mut made = Collection::new(options.clone(), time);
                if let Some(uuid) = change.uuid {
                    made.uuid = uuid;
                }
                self.databases.insert(ns.database.clone());
                self.collections.insert(ns.clone(), made);
            }
            Op::Modify { options } => self.at(ns).options.extend(options.clone()),
            Op::Drop => {
                self.collections.remove(ns);
            }
            Op::Rename { to } => {
                let mut moved = self.collections.remove(ns).expect("what is renamed exists");
                moved.made = time;
                self.collections.insert(to.clone(), moved);
            }
            Op::DropDatabase => {
                self.databases.remove(&ns.database);
                self.collections.retain(|n, _| n.database != ns.database);
            }
            Op::CreateIndexes { .. } | Op::Noop => {}
        }
    }

    fn at(&mut self, ns: &Namespace) -> &mut Collection {
        self.collections.get_mut(ns).expect("the collection of an entry exists")
    }

    /// Documents only: tests do not roll commands back.
    pub(crate) fn roll_back(&mut self, committed: Timestamp) {
        self.collections.retain(|_, collection| at(collection.made) <= at(committed));
        for collection in self.collections.values_mut() {
            collection.roll_back(committed);
        }
    }
}

pub(crate) fn create(ns: &Namespace, options: Document) -> Change {
    let uuid = Some(new_uuid());
    Change { ns: ns.clone(), uuid, images: false, op: Op::Create { options } }
}
