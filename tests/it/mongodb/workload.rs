//! Random writes of every kind, and what must be in the topics for them.
//!
//! The server is the oracle: what a collection holds at the end, or held when it was dropped or
//! renamed. Writes may fail while servers change their roles; nothing is remembered of them.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};
use mongodb::error::Result;
use mongodb::options::{ChangeStreamPreAndPostImages, CreateCollectionOptions};
use mongodb::{ClientSession, Collection};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::text::{key_text, legacy};
use crate::support::mongodb::{Mongo, block};

/// Text of the key -> document.
pub(super) type Rows = BTreeMap<String, serde_json::Value>;

pub(super) const N_COUNTERS: i32 = 5;

pub(super) struct Workload<'a> {
    mongo: &'a Mongo,
    database: String,
    rng: StdRng,
    /// Collections keep images of their documents.
    images: bool,
    live: Vec<String>,
    n_names: u32,
    n_ids: i32,
    /// Documents near the limit of 16 MB that may still be written.
    n_large: u32,
    /// What the collections held that are gone, or have another name now.
    pub(super) gone: BTreeMap<String, Rows>,
    pub(super) n_writes: u64,
    pub(super) n_failed: u64,
}

impl<'a> Workload<'a> {
    pub(super) fn new(mongo: &'a Mongo, database: &str, seed: u64, images: bool) -> Self {
        let mut workload = Self {
            mongo,
            database: database.to_owned(),
            rng: StdRng::seed_from_u64(seed),
            images,
            live: vec![],
            n_names: 0,
            n_ids: 0,
            n_large: 2,
            gone: BTreeMap::new(),
            n_writes: 0,
            n_failed: 0,
        };
        for _ in 0..4 {
            workload.make();
        }
        let counters = workload.create("counter");
        let all = (0..N_COUNTERS).map(|id| doc! { "_id": id, "n": 0 });
        block(counters.insert_many(all)).unwrap();
        workload.create("sentinel");
        workload
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        self.mongo.collection(&self.database, name)
    }

    fn create(&self, name: &str) -> Collection<Document> {
        let mut options = CreateCollectionOptions::default();
        if self.images {
            let images = ChangeStreamPreAndPostImages::builder().enabled(true).build();
            options.change_stream_pre_and_post_images = Some(images);
        }
        let database = self.mongo.database(&self.database);
        // Somebody else is primary soon.
        while block(database.create_collection(name).with_options(options.clone()))
            .is_err_and(|error| !error.to_string().contains("already exists"))
        {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        self.collection(name)
    }

    fn make(&mut self) {
        let name = format!("c{}", self.n_names);
        self.n_names += 1;
        drop(self.create(&name));
        self.live.push(name);
    }

    /// So many writes, and one of each counter now and then.
    pub(super) fn run(&mut self, n: u32) {
        for at in 0..n {
            let result = self.step();
            self.n_writes += 1;
            self.n_failed += u64::from(result.is_err());
            if at.is_multiple_of(3) {
                let id = i32::try_from(at / 3).unwrap() % N_COUNTERS;
                let step = doc! { "$inc": { "n": 1 } };
                drop(block(self.collection("counter").update_one(doc! { "_id": id }, step)));
            }
        }
    }

    fn some(&mut self) -> Collection<Document> {
        let at = self.rng.random_range(0..self.live.len());
        self.collection(&self.live[at])
    }

    fn step(&mut self) -> Result<()> {
        let all = self.some();
        match self.rng.random_range(0..100) {
            0..40 => {
                let document = self.document();
                block(all.insert_one(document)).map(drop)
            }
            40..62 => {
                let (filter, update) = (self.present(&all)?, self.update());
                block(all.update_one(filter, update)).map(drop)
            }
            62..68 => {
                let filter = self.present(&all)?;
                let stage = doc! { "$set": { "list": { "$slice": ["$list", 1] }, "p": "$n" } };
                block(all.update_one(filter, vec![stage])).map(drop)
            }
            68..76 => {
                let (filter, mut document) = (self.present(&all)?, self.document());
                document.remove("_id");
                block(all.replace_one(filter, document)).map(drop)
            }
            76..84 => {
                let filter = self.present(&all)?;
                block(all.delete_one(filter)).map(drop)
            }
            84..88 => {
                let n = self.rng.random_range(0..50);
                let update = doc! { "$inc": { "n": 1 }, "$set": { "many": n } };
                block(all.update_many(doc! { "n": { "$lt": 5 } }, update)).map(drop)
            }
            88..96 => self.transaction(),
            96 => self.large(),
            97 => self.drop_one(),
            98 => self.rename_one(),
            _ => {
                let documents: Vec<Document> = (0..30).map(|_| self.document()).collect();
                block(all.insert_many(documents)).map(drop)
            }
        }
    }

    /// An id of one of many types, never twice.
    fn id(&mut self) -> Bson {
        self.n_ids += 1;
        let n = self.n_ids;
        match self.rng.random_range(0..7) {
            0 => Bson::Int32(n),
            1 => Bson::Int64(i64::from(n) << 32),
            2 => Bson::Double(f64::from(n) + 0.5),
            3 => format!("k\u{e9}y \"{n}\"").into(),
            4 => ObjectId::new().into(),
            5 => doc! { "a": n, "b": "x" }.into(),
            _ => {
                let bytes = n.to_be_bytes().to_vec();
                Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
            }
        }
    }

    fn document(&mut self) -> Document {
        let id = self.id();
        let mut document = doc! { "_id": id, "n": self.rng.random_range(0..20) };
        for name in ["a", "b", "list", "deep"] {
            if self.rng.random_bool(0.7) {
                let value = self.value(0);
                document
                    .insert(name, if name == "list" { Bson::Array(vec![value]) } else { value });
            }
        }
        document
    }

    fn value(&mut self, depth: u32) -> Bson {
        match self.rng.random_range(0..if depth > 2 { 8 } else { 10 }) {
            0 => Bson::Null,
            1 => self.rng.random::<bool>().into(),
            2 => self.rng.random::<i32>().into(),
            3 => self.rng.random::<i64>().into(),
            4 => (f64::from(self.rng.random::<i32>()) / 8.0).into(),
            5 => DateTime::from_millis(self.rng.random_range(0..4_000_000_000_000)).into(),
            6 => ObjectId::from_bytes(self.rng.random()).into(),
            7 => {
                let n = self.rng.random_range(0..200);
                "\u{1f600}x\"\\\n\u{e4}".chars().cycle().take(n).collect::<String>().into()
            }
            8 => (0..self.rng.random_range(0..4)).map(|_| self.value(depth + 1)).collect(),
            _ => {
                let names = ["x", "y", "z"].iter().take(self.rng.random_range(0..4));
                let fields: Vec<_> =
                    names.map(|name| ((*name).to_owned(), self.value(depth + 1))).collect();
                Bson::Document(fields.into_iter().collect())
            }
        }
    }

    /// A filter that finds one document, most of the time.
    fn present(&mut self, all: &Collection<Document>) -> Result<Document> {
        let pipeline = [doc! { "$sample": { "size": 1 } }, doc! { "$project": { "_id": 1 } }];
        let found: Vec<Document> =
            block(async { all.aggregate(pipeline).await?.try_collect().await })?;
        Ok(found.into_iter().next().unwrap_or_else(|| doc! { "_id": "nobody" }))
    }

    fn update(&mut self) -> Document {
        let value = self.value(1);
        match self.rng.random_range(0..7) {
            0 => doc! { "$set": { "a": value } },
            1 => doc! { "$inc": { "n": 1 }, "$set": { "b": value } },
            2 => doc! { "$unset": { "a": 1, "b": 1 } },
            3 => doc! { "$push": { "list": value } },
            4 => doc! { "$pop": { "list": 1 } },
            5 => doc! { "$set": { "nested.x.y": value } },
            _ => doc! { "$rename": { "a": "b" } },
        }
    }

    fn transaction(&mut self) -> Result<()> {
        let commits = self.rng.random_bool(0.8);
        let n = self.rng.random_range(2..12);
        let client = self.mongo.client.clone();
        let mut session = block(client.start_session())?;
        block(session.start_transaction())?;
        for _ in 0..n {
            if let Err(error) = self.part(&mut session) {
                drop(block(session.abort_transaction()));
                return Err(error);
            }
        }
        match commits {
            true => block(session.commit_transaction()),
            false => block(session.abort_transaction()),
        }
    }

    fn part(&mut self, session: &mut ClientSession) -> Result<()> {
        let all = self.some();
        match self.rng.random_range(0..3) {
            0 => {
                let document = self.document();
                block(all.insert_one(document).session(session)).map(drop)
            }
            1 => {
                let (filter, update) = (self.present(&all)?, self.update());
                block(all.update_one(filter, update).session(session)).map(drop)
            }
            _ => {
                let filter = self.present(&all)?;
                block(all.delete_one(filter).session(session)).map(drop)
            }
        }
    }

    fn large(&mut self) -> Result<()> {
        if self.n_large == 0 {
            return Ok(());
        }
        self.n_large -= 1;
        let mut document = self.document();
        document.insert("text", "l".repeat(15_900_000));
        let all = self.some();
        let id = document.get("_id").cloned();
        block(all.insert_one(document))?;
        block(all.delete_one(doc! { "_id": id })).map(drop)
    }

    /// What a collection holds, as it must be in its topic.
    pub(super) fn rows(&self, name: &str) -> Result<Rows> {
        let all = self.collection(name);
        let found: Vec<Document> = block(async { all.find(doc! {}).await?.try_collect().await })?;
        let row = |document: Document| {
            let id = document.get("_id").expect("every document has one");
            (key_text(id), legacy(&Bson::Document(document.clone())))
        };
        Ok(found.into_iter().map(row).collect())
    }

    fn drop_one(&mut self) -> Result<()> {
        let name = self.live[self.rng.random_range(0..self.live.len())].clone();
        let rows = self.rows(&name)?;
        block(self.collection(&name).drop())?;
        self.live.retain(|live| *live != name);
        self.gone.insert(name, rows);
        self.make();
        Ok(())
    }

    /// A rename leaves no record: what follows in the new topic is told by a touch of every document.
    fn rename_one(&mut self) -> Result<()> {
        let at = self.rng.random_range(0..self.live.len());
        let from = self.live[at].clone();
        let rows = self.rows(&from)?;
        let to = format!("c{}", self.n_names);
        self.n_names += 1;
        let full = |name: &str| format!("{}.{name}", self.database);
        let command = doc! { "renameCollection": full(&from), "to": full(&to) };
        block(self.mongo.database("admin").run_command(command))?;
        self.gone.insert(from, rows);
        self.live[at].clone_from(&to);
        let all = self.collection(&to);
        let touch = doc! { "$set": { "touched": &to } };
        while block(all.update_many(doc! { "touched": { "$ne": &to } }, touch.clone())).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Ok(())
    }

    pub(super) fn live(&self) -> &[String] {
        &self.live
    }

    pub(super) fn n_of(&self, id: i32) -> i64 {
        let found = block(self.collection("counter").find_one(doc! { "_id": id })).unwrap();
        i64::from(found.unwrap().get_i32("n").unwrap())
    }

    pub(super) fn sentinel(&self) {
        block(self.collection("sentinel").insert_one(doc! { "_id": 1 })).unwrap();
    }
}
