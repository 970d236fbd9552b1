//! Transaction metadata: begins, ends, and the place of each event between them.

use std::collections::{BTreeMap, HashMap};

use mongodb::bson::doc;
use serde_json::{Value, json};

use crate::support::mongodb::{Mongo, block};
use crate::support::mysql::{Kind, Server};
use crate::support::postgres::Postgres;
use crate::support::tailwater::{Setup, Tailwater};
use crate::support::{eventually, knob, seconds};

/// The topic of begins and ends, below the prefix.
const TOPIC: &str = ".transaction";

/// What all events of a transaction have in common of their names: PostgreSQL's go on with the
/// place of each.
fn common(name: &str) -> &str {
    match name.split_once(':') {
        Some((xid, _)) if xid.bytes().all(|b| b.is_ascii_digit()) => xid,
        Some(_) | None => name,
    }
}

/// Puts the number of the transaction, in the order of begins and ends, in place of its name.
pub(crate) fn number(topics: &mut BTreeMap<String, Vec<Value>>) {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let edges = topics.iter().filter(|(topic, _)| topic.ends_with(TOPIC));
    for record in edges.flat_map(|(_, records)| records) {
        let next = numbers.len();
        let name = record["value"]["id"].as_str().expect("it has a name");
        numbers.entry(common(name).to_owned()).or_insert(next);
    }
    let rename = |place: Option<&mut Value>| {
        let Some(place) = place else { return };
        let Some(name) = place.as_str() else { return };
        let begin = common(name);
        let at = if begin.len() < name.len() { ":N" } else { "" };
        *place = match numbers.get(begin) {
            Some(number) => json!(format!("transaction {number}{at}")),
            None => json!(format!("a transaction without begin{at}")),
        };
    };
    for (topic, records) in topics {
        for record in records {
            if topic.ends_with(TOPIC) {
                rename(record.pointer_mut("/key/id"));
                rename(record.pointer_mut("/value/id"));
            }
            rename(record.pointer_mut("/value/transaction/id"));
        }
    }
}

/// What is said of one transaction, over all repetitions.
#[derive(Default)]
struct Said {
    ends: Vec<Value>,
    /// `cdc.id` -> collection, total order, order in the collection.
    rows: BTreeMap<String, (String, i64, i64)>,
}

/// Reads what a sink got, in the order of the log.
#[derive(Default)]
struct Judge {
    prefix: String,
    all: BTreeMap<String, Said>,
    /// The transaction between its begin and its end.
    open: Option<String>,
    n_interrupted: u64,
    n_repeated: u64,
}

impl Judge {
    fn of(setup: &Setup, text: &str) -> Self {
        let mut judge = Self { prefix: setup.prefix.clone(), ..Self::default() };
        for line in text.lines() {
            judge.take(&serde_json::from_str(line).expect("a line is JSON"));
        }
        judge
    }

    fn take(&mut self, record: &Value) {
        let (topic, value) = (record["topic"].as_str().unwrap(), &record["value"]);
        let topic = topic.strip_prefix(&self.prefix).unwrap();
        if topic == TOPIC {
            assert_eq!(record["key"]["id"], value["id"]);
            return self.edge(value);
        }
        // A tombstone is no event, and what a snapshot reads is in no transaction.
        let block = &value["transaction"];
        if value.is_null() || value["op"] == "r" {
            return assert!(block.is_null());
        }
        let name = common(block["id"].as_str().unwrap());
        assert_eq!(self.open.as_deref(), Some(name), "a row is between begin and end");
        let number = |field: &str| block[field].as_i64().unwrap();
        let collection = topic.trim_start_matches('.').to_owned();
        let row = (collection, number("total_order"), number("data_collection_order"));
        let id = record["headers"]["cdc.id"].as_str().unwrap().to_owned();
        let said = self.all.get_mut(name).expect("it began");
        if let Some(before) = said.rows.insert(id, row.clone()) {
            assert_eq!(before, row, "{name}: said again as before");
            self.n_repeated += 1;
        }
    }

    fn edge(&mut self, value: &Value) {
        let name = common(value["id"].as_str().unwrap()).to_owned();
        if value["status"] == "BEGIN" {
            self.n_interrupted += u64::from(self.open.is_some());
            self.all.entry(name.clone()).or_default();
            self.open = Some(name);
        } else {
            assert_eq!(self.open.take().as_ref(), Some(&name), "an end is of what began");
            self.all.get_mut(&name).expect("it began").ends.push(value.clone());
        }
    }

    /// The number of all events, each once.
    fn verdict(&self) -> usize {
        for (name, said) in &self.all {
            let end = said.ends.first().unwrap_or_else(|| panic!("{name} has no end"));
            assert!(said.ends.iter().all(|again| again == end), "{name}: ends differ");
            let mut collections: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
            let mut totals: Vec<i64> = Vec::new();
            for (collection, total, order) in said.rows.values() {
                totals.push(*total);
                collections.entry(collection).or_default().push(*order);
            }
            totals.sort_unstable();
            assert!(totals.iter().copied().eq(1..=count(totals.len())), "{name}: dense");
            assert_eq!(end["event_count"], count(said.rows.len()), "{name}: {end}");
            let told = end["data_collections"].as_array().unwrap();
            assert_eq!(told.len(), collections.len(), "{name}: {end}");
            for one in told {
                let collection = one["data_collection"].as_str().unwrap();
                let orders = collections.get_mut(collection).expect("it had events");
                orders.sort_unstable();
                assert!(orders.iter().copied().eq(1..=count(orders.len())), "{name}: dense");
                assert_eq!(one["event_count"], count(orders.len()), "{name}: {end}");
            }
        }
        self.all.values().map(|said| said.rows.len()).sum()
    }
}

impl Judge {
    /// The verdict, on a run with crashes.
    fn tell(&self, run: &str, n_expected: usize) {
        let n_events = self.verdict();
        let Self { all, n_interrupted, n_repeated, .. } = self;
        println!(
            "transactions of {run}, {} transactions, {n_events} events, \
             {n_interrupted} transactions begun again, {n_repeated} events repeated",
            all.len()
        );
        assert_eq!(n_events, n_expected, "every event of every transaction, once");
        assert!(*n_interrupted > 0 && *n_repeated > 0, "kills met transactions");
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap()
}

/// A database to write to, and how its rows get out of it.
struct Writer<'a> {
    run: &'a dyn Fn(&str),
    n_ids: usize,
    /// Of everything that was committed, where it is captured.
    n_events: usize,
}

impl Writer<'_> {
    fn ids(&mut self, n: usize) -> std::ops::Range<usize> {
        self.n_ids += n;
        self.n_ids - n..self.n_ids
    }

    fn insert(&mut self, table: &str, n: usize) {
        let rows: Vec<String> = self.ids(n).map(|id| format!("({id}, 'some text {id}')")).collect();
        (self.run)(&format!("insert into {table} values {}", rows.join(",")));
    }

    fn transaction(&mut self, kind: usize) {
        (self.run)("begin");
        let n_events = match kind % 5 {
            0 => {
                self.insert("a", 3);
                self.insert("hidden", 1);
                self.insert("b", 1);
                4
            }
            1 => {
                self.insert("a", 2);
                (self.run)("rollback");
                return;
            }
            // Of what is not captured, there is a begin and an end.
            2 => {
                self.insert("hidden", 2);
                0
            }
            // A changed key is two events.
            3 => {
                let ids = self.ids(2);
                let (old, new) = (ids.start, ids.end - 1);
                (self.run)(&format!("insert into a values ({old}, 'x')"));
                (self.run)(&format!("update a set id = {new} where id = {old}"));
                (self.run)(&format!("update a set v = 'y' where id = {new}"));
                (self.run)(&format!("delete from a where id = {new}"));
                5
            }
            _ => 0,
        };
        (self.run)("commit");
        self.n_events += n_events;
    }

    /// One of many batches.
    fn large(&mut self, n_thousands: usize) {
        (self.run)("begin");
        for _ in 0..n_thousands {
            self.insert("b", 999);
            self.insert("a", 1);
        }
        (self.run)("commit");
        self.n_events += n_thousands * 1000;
    }
}

const TABLES: &str = "
    create table a (id int primary key, v varchar(40));
    create table b (id int primary key, v varchar(40));
    create table hidden (id int primary key, v varchar(40));";

/// Kills it in the middle of transactions, and looks at what came of them all.
fn killed(mut setup: Setup, hidden: &str, run: &dyn Fn(&str)) {
    let source = setup.config["source"].as_object().unwrap().keys().next().unwrap().clone();
    let path = setup.folder.join("records");
    setup.set("sink", json!({ "file": { "path": path } }));
    setup.set(&format!("source.{source}.tables.exclude"), json!([hidden]));
    setup.set("delivery.transaction_metadata", true);
    setup.set("delivery.checkpoint_interval", "50ms");
    setup.set("delivery.memory", "1MiB");
    let size = || std::fs::metadata(&path).map_or(0, |data| data.len());
    let mut writer = Writer { run, n_ids: 0, n_events: 0 };
    let mut tailwater = setup.start();
    tailwater.ready();
    let n_kills = usize::try_from(knob("TAILWATER_KILLS", 6)).unwrap();
    for kill in 0..n_kills {
        (0..7).for_each(|kind| writer.transaction(kind + kill));
        tailwater.says("streaming", seconds(30));
        let before = size();
        writer.large(8);
        let some = before + 100_000 * u64::try_from(1 + kill % 9).unwrap();
        assert!(eventually(seconds(30), || (size() > some).then_some(())).is_some());
        tailwater.kill();
        tailwater = setup.start();
    }
    tailwater.ready();
    tailwater.stop().expect(0, &[]);
    (0..5).for_each(|kind| writer.transaction(kind));
    setup.catch_up();
    let judge = Judge::of(&setup, &std::fs::read_to_string(&path).unwrap());
    judge.tell(&format!("{source}: {n_kills} kills"), writer.n_events);
}

#[test]
fn counts_come_out_as_before_when_postgres_transactions_are_read_again() {
    let database = Postgres::shared().database("transactions");
    let session = database.session();
    session.script(TABLES);
    killed(Setup::stdout(&database), "public.hidden", &|sql| session.run(sql));
}

fn killed_binlog(kind: Kind, position: &str) {
    // Every transaction of the server begins and ends in the topic.
    let server = Server::start(kind, &[]);
    let database = server.database("transactions");
    let session = server.session();
    session.run(&format!("use {database}"));
    session.script(TABLES);
    let mut setup = Setup::mysql(&server, &database);
    setup.set(&format!("source.{}.position", kind.name()), position);
    killed(setup, &format!("{database}.hidden"), &|sql| session.run(sql));
}

#[test]
fn counts_come_out_as_before_when_mysql_transactions_are_read_again() {
    killed_binlog(Kind::Mysql, "gtid");
}

#[test]
fn counts_come_out_as_before_when_mysql_transactions_are_read_again_by_file() {
    killed_binlog(Kind::Mysql, "file");
}

#[test]
fn counts_come_out_as_before_when_mariadb_transactions_are_read_again() {
    killed_binlog(Kind::Mariadb, "auto");
}

/// Megabytes that a process had at most.
fn peak_mib(tailwater: &Tailwater) -> u64 {
    let status = format!("/proc/{}/status", tailwater.process.pid());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn a_large_transaction_is_counted_and_not_kept() {
    const N: usize = 300_000;
    let database = Postgres::shared().database("large");
    let session = database.session();
    session.script(TABLES);
    let mut setup = Setup::stdout(&database);
    let path = setup.folder.join("records");
    setup.set("sink", json!({ "file": { "path": path } }));
    setup.set("delivery.transaction_metadata", true);
    let tailwater = setup.start();
    tailwater.ready();
    let before = peak_mib(&tailwater);
    session.script(&format!(
        "begin;
         insert into a select n, repeat('x', 40) from generate_series(1, {N}) n;
         insert into b values (1, 'last');
         commit"
    ));
    let end = eventually(seconds(120), || {
        let tail = crate::support::postgres::tail(&path);
        tail.contains("\"END\"").then_some(())
    });
    assert!(end.is_some(), "the end did not come: {}", tailwater.said());
    let more = peak_mib(&tailwater) - before;
    tailwater.stop().expect(0, &[]);
    let judge = Judge::of(&setup, &std::fs::read_to_string(&path).unwrap());
    assert_eq!(judge.verdict(), N + 1);
    let bytes = std::fs::metadata(&path).unwrap().len() >> 20;
    println!("a transaction of {N} rows, {bytes} MiB of records: {more} MiB more memory");
    assert!(more < 64 && bytes > 100, "{more} MiB more for {bytes} MiB");
}

#[test]
fn counts_come_out_as_before_when_mongodb_transactions_are_read_again() {
    let mongo = Mongo::own();
    let database = crate::support::unique("transactions");
    let collection = |name: &str| mongo.collection(&database, name);
    for name in ["a", "b"] {
        block(collection(name).insert_one(doc! { "_id": 0 })).unwrap();
    }
    let mut setup = Setup::mongodb(&mongo, &database);
    let path = setup.folder.join("records");
    setup.set("sink", json!({ "file": { "path": path } }));
    setup.set("delivery.transaction_metadata", true);
    setup.set("delivery.checkpoint_interval", "50ms");
    let lines = || std::fs::read_to_string(&path).unwrap_or_default().lines().count();
    let transact = |n: i32, kind: i32| {
        let mut session = block(mongo.client.start_session()).unwrap();
        block(session.start_transaction()).unwrap();
        for i in 0..n {
            let name = if i % 3 == 0 { "a" } else { "b" };
            let document = doc! { "_id": format!("{kind}-{i}") };
            block(collection(name).insert_one(document).session(&mut session)).unwrap();
        }
        match kind % 5 {
            4 => block(session.abort_transaction()).unwrap(),
            _ => block(session.commit_transaction()).unwrap(),
        }
    };
    let mut tailwater = setup.start();
    tailwater.ready();
    let n_kills = i32::try_from(knob("TAILWATER_KILLS", 6)).unwrap();
    let mut n_expected = 0;
    for kill in 0..n_kills {
        tailwater.says("streaming", seconds(30));
        let before = lines();
        // The transaction stays open until something later comes: what dies then begins it again.
        transact(30, kill);
        n_expected += if kill % 5 == 4 { 0 } else { 30 };
        if kill % 5 != 4 {
            let some = before + usize::try_from(1 + kill).unwrap();
            assert!(eventually(seconds(30), || (lines() > some).then_some(())).is_some());
        }
        tailwater.kill();
        tailwater = setup.start();
    }
    tailwater.ready();
    transact(7, 1000);
    // A change of no transaction.
    block(collection("a").update_one(doc! { "_id": 0 }, doc! { "$set": { "v": 1 } })).unwrap();
    let last = eventually(seconds(30), || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.contains("\"op\":\"u\"").then_some(text)
    });
    tailwater.stop().expect(0, &[]);
    let text = last.expect("the last change arrived");
    let (alone, within): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.contains("\"op\":\"u\""));
    assert!(alone.iter().all(|line| line.contains("\"transaction\":null")), "{alone:?}");
    let judge = Judge::of(&setup, &within.join("\n"));
    judge.tell(&format!("mongodb: {n_kills} kills"), n_expected + 7);
}
