//! The snapshot, from the moment to the records: against the golden files, and under load.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bumpalo::Bump;
use serde_json::Value as Json;
use tailwater::change::{Change, Progress};
use tailwater::config::TableFilter;
use tailwater::encode::{EncodeOptions, Encoder, Format, SchemaIds};
use tailwater::record::{RecordBatch, Topics};
use tailwater::schema::registry::RegistryError;
use tailwater::sources::mysql::log_point::LogPoint;
use tailwater::sources::mysql::moment::{self, MomentSettings};
use tailwater::sources::mysql::snapshot::{self, Outcome};
use tailwater::sources::mysql::snapshot_error::SnapshotError;
use tailwater::sources::mysql::snapshot_rows::{Context, SnapshotFacts, SnapshotRows};
use tailwater::sources::mysql::source_block::SourceConstants;
use tailwater::sources::mysql::table::Tables;
use tailwater::sources::{BoxError, ChangeHandler, RawBatch, RawSender, Stage, Undecodable};
use tailwater::value::Value;

use super::login::{flavor, root};
use crate::support::mysql::{Kind, Server};
use crate::support::runtime;

fn settings(server: &Server, database: &str) -> MomentSettings {
    MomentSettings {
        connect: root(server),
        account: "'root'@'localhost'".to_owned(),
        tables: TableFilter::new(vec![format!("{database}.*")], vec![]).unwrap(),
        n_readers: 3,
    }
}

/// Takes a snapshot and gives every change of it to `out`.
fn take(
    server: &Server,
    settings: &MomentSettings,
    prefix: &str,
    out: &mut dyn ChangeHandler,
) -> Result<LogPoint, SnapshotError> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(100_000);
    let (facts, batches) = runtime().block_on(async {
        let moment = moment::find(settings).await?;
        let facts = SnapshotFacts {
            tables: moment.tables.clone(),
            point: moment.point.clone(),
            read_at_us: moment.read_at_us,
        };
        let outcome = snapshot::run(moment, RawSender::new(sender, 1 << 30)).await?;
        assert_eq!(outcome, Outcome::Complete);
        let mut batches: Vec<RawBatch> = Vec::new();
        while let Some(batch) = receiver.recv().await {
            batches.push(batch);
        }
        Ok::<_, SnapshotError>((facts, batches))
    })?;
    let point = facts.point.clone();
    let constants = SourceConstants {
        version: "3.6.0.Final",
        flavor: flavor(server.kind),
        topic_prefix: prefix.to_owned(),
    };
    let mut tables = Tables::new(constants, tailwater::config::Tinyint1Mode::Number);
    let mut rows = Some(SnapshotRows::new(facts, "server"));
    for batch in &batches {
        let arena = Bump::new();
        let mut context = Context { arena: &arena, tables: &mut tables, out };
        match batch.stage {
            Stage::Snapshot { table } => rows.as_mut().unwrap().rows(table, batch, &mut context),
            Stage::SnapshotTableEnd { table } => {
                rows.as_mut().unwrap().table_end(table, &mut context)
            }
            Stage::SnapshotEnd => rows.take().unwrap().end(&mut context),
            Stage::Stream => panic!("no stream was asked for"),
        }
        .unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(rows.is_none(), "the snapshot ended");
    Ok(point)
}

/// Encodes what it gets, as JSON with schemas, by topic.
struct Encode {
    encoder: Encoder,
    topics: Arc<Topics>,
    records: BTreeMap<String, Vec<[Json; 2]>>,
}

struct NoIds;

impl SchemaIds for NoIds {
    fn id(&mut self, _: &str, _: &str) -> Result<u32, RegistryError> {
        panic!("JSON needs no numbers")
    }
}

impl ChangeHandler for Encode {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let mut batch = RecordBatch::default();
        self.encoder.encode(change, 0, &mut batch).unwrap();
        let record = &batch.records[0];
        let json = |bytes: Option<&[u8]>| {
            bytes.map_or(Json::Null, |bytes| serde_json::from_slice(bytes).unwrap())
        };
        let pair = [json(batch.key(record)), json(batch.value(record))];
        let topic = self.topics.get(record.topic).name.to_string();
        self.records.entry(topic).or_default().push(pair);
        Ok(())
    }

    fn progress(&mut self, _: Progress) {}

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        panic!("{}: {}", row.table, row.error)
    }
}

/// Values of the golden snapshot that are meant to be others, with the reason; `*` is every row.
const DIFFERENT: [(&str, &str, &str); 7] = [
    ("t_num", "f", "Debezium reads the six digits that a FLOAT is printed with"),
    ("t_time", "d", "Debezium moves the years 1 to 99 into our time"),
    ("t_time", "dt", "as above"),
    ("t_time", "dt3", "as above"),
    ("t_time", "dt6", "as above"),
    ("t_time", "ts3", "Debezium leaves out a fraction of zeros here, and not in the stream"),
    ("t_year", "y", "the YEAR 0 is 2000 in Debezium's snapshot and 1900 in its stream"),
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The rows that Debezium read, by topic.
fn golden_rows(kind: Kind) -> BTreeMap<String, Vec<Json>> {
    let path = golden(kind.name()).join("default/records.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for line in text.lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        if line["value"]["op"] == "r" {
            let topic = line["topic"].as_str().unwrap().to_owned();
            rows.entry(topic).or_default().push(line);
        }
    }
    rows
}

#[test]
fn the_snapshot_of_the_golden_tables_is_debeziums() {
    for kind in Kind::BOTH {
        // Its database has the golden name too, and the golden test may be running.
        let server = &Server::start(kind, &[]);
        let prefix = match kind {
            Kind::Mysql => "my_default",
            Kind::Mariadb => "ma_default",
        };
        server.run(&format!("drop database if exists {prefix}"));
        server.run(&format!("create database {prefix} character set utf8mb4"));
        let session = server.session();
        session.run(&format!("use {prefix}"));
        for name in ["my_setup.sql".to_owned(), format!("{}_setup.sql", kind.name())] {
            session.script(&std::fs::read_to_string(golden("sql").join(name)).unwrap());
        }
        let topics = Arc::new(Topics::default());
        let options = EncodeOptions {
            connector: "postgresql",
            topic_prefix: prefix.to_owned(),
            format: Format::Json { schemas: true },
            values: tailwater::config::ValueModes::default(),
            tombstones: true,
            id_header: false,
            context_headers: false,
            transaction_topic: None,
        };
        let encoder = Encoder::new(options, Arc::clone(&topics), Box::new(NoIds));
        let mut out = Encode { encoder, topics, records: BTreeMap::new() };
        take(server, &settings(server, prefix), prefix, &mut out).unwrap();
        compare(kind, &out.records, &golden_rows(kind));
    }
}

fn compare(
    kind: Kind,
    ours: &BTreeMap<String, Vec<[Json; 2]>>,
    theirs: &BTreeMap<String, Vec<Json>>,
) {
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    let mut n_values = 0;
    for (topic, theirs) in theirs {
        let ours = &ours[topic];
        assert_eq!(ours.len(), theirs.len(), "{topic}");
        let table = topic.rsplit('.').next().unwrap();
        for ([key, value], golden) in ours.iter().zip(theirs) {
            assert_eq!(key["payload"], golden["key"], "{topic}");
            let after = value["payload"]["after"].as_object().unwrap();
            let expected = golden["value"]["after"].as_object().unwrap();
            assert!(after.keys().eq(expected.keys()), "{topic}");
            for (name, value) in after {
                let differs = DIFFERENT.iter().any(|(t, c, _)| (*t, *c) == (table, name.as_str()));
                // The clock's.
                let skipped = (table, name.as_str()) == ("t_default", "ts");
                if !skipped && (!differs || *value == expected[name]) {
                    n_values += 1;
                    assert_eq!(value, &expected[name], "{kind:?} {topic}.{name}");
                }
            }
            let source = |of: &Json, field: &str| of["source"][field].clone();
            for field in ["version", "connector", "name", "db", "table", "server_id", "gtid", "row"]
            {
                let (ours, theirs) =
                    (source(&value["payload"], field), source(&golden["value"], field));
                assert_eq!(ours, theirs, "{topic} source.{field}");
            }
        }
    }
    println!("{kind:?}: {n_values} values of the snapshot compared");
    assert!(n_values > 300);
}

/// Sums up the two columns of every table, and counts.
#[derive(Default)]
struct Sum {
    balance: i64,
    n_rows: u64,
    n_moves: u64,
}

impl ChangeHandler for Sum {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let after = change.after.unwrap();
        let number = |index: usize| match after[index] {
            Value::Int(number) => number,
            other => panic!("{other:?}"),
        };
        match change.table.path[1].as_str() {
            "moves" => self.n_moves += 1,
            _ => {
                self.balance += number(1);
                self.n_rows += 1;
            }
        }
        Ok(())
    }

    fn progress(&mut self, _: Progress) {}

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        panic!("{}: {}", row.table, row.error)
    }
}

/// Moves amounts between two tables until told to stop, and keeps a book of it.
fn move_amounts(server: &Server, database: &str, stop: &AtomicBool, pause_ms: u64) {
    let session = server.session();
    session.run(&format!("use {database}"));
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let id = n % 100;
        session.run("begin");
        session.run(&format!("update a set v = v - 1 where id = {id}"));
        session.run(&format!("update b set v = v + 1 where id = {id}"));
        session.run(&format!("insert into moves values ({n})"));
        session.run("commit");
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
    }
}

/// How many transactions a position is ahead of another one: both of one server, without gaps.
fn transactions(point: &LogPoint) -> u64 {
    let gtids = point.gtids.as_deref().unwrap();
    gtids.rsplit(['-', ':']).next().unwrap().parse().unwrap()
}

/// Under a load that never rests, every snapshot shows whole transactions, and exactly those that
/// are before its place in the log.
fn check_under_load(server: &Server, pause_ms: u64, adjust: impl Fn(&mut MomentSettings)) {
    let database = server.database("load");
    let session = server.session();
    session.run(&format!("use {database}"));
    session.script(
        "create table a(id int primary key, v int); create table b like a;
         create table moves(id bigint primary key);",
    );
    for id in 0..100 {
        session.run(&format!("insert into a values ({id}, 1000)"));
        session.run(&format!("insert into b values ({id}, 0)"));
    }
    let mut settings = settings(server, &database);
    adjust(&mut settings);
    let before = take(server, &settings, "p", &mut Sum::default()).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| move_amounts(server, &database, &stop, pause_ms));
        for _ in 0..10 {
            let mut sum = Sum::default();
            let point = take(server, &settings, "p", &mut sum).unwrap();
            assert_eq!((sum.balance, sum.n_rows), (100_000, 200), "a torn transaction");
            assert_eq!(sum.n_moves, transactions(&point) - transactions(&before), "{point:?}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_snapshot_under_load_shows_what_is_before_its_place() {
    for kind in Kind::BOTH {
        // Its own, because others' transactions would count.
        check_under_load(&Server::start(kind, &[]), 0, |_| {});
    }
}

#[test]
fn without_the_right_to_lock_it_is_the_same() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let replication = match kind {
            Kind::Mysql => "REPLICATION CLIENT",
            Kind::Mariadb => "BINLOG MONITOR",
        };
        server.run("create user reader@localhost identified by 'r'");
        server.run(&format!("grant select, {replication} on *.* to reader@localhost"));
        check_under_load(&server, 20, |settings| {
            settings.connect.user = "reader".into();
            settings.connect.password = Some(tailwater::config::Secret::new("r"));
        });
    }
}

#[test]
fn a_table_that_is_altered_before_it_is_read_ends_the_snapshot() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let database = server.database("altered");
        server.run(&format!("create table {database}.t(id int primary key)"));
        server.run(&format!("insert into {database}.t values (1)"));
        let error = runtime().block_on(async {
            let moment = moment::find(&settings(server, &database)).await.unwrap();
            server.run(&format!("truncate table {database}.t"));
            let (sender, _receiver) = tokio::sync::mpsc::channel(100);
            snapshot::run(moment, RawSender::new(sender, 1 << 20)).await.unwrap_err()
        });
        assert_eq!(
            error.to_string(),
            format!("read {database}.t for the snapshot: it was altered since the snapshot began")
        );
    }
}

#[test]
fn tables_without_transactions_are_locked_until_they_are_read() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let database = server.database("engines");
        server.run(&format!("create table {database}.t(id int primary key) engine=MyISAM"));
        server.run(&format!("insert into {database}.t values (1)"));
        let ids = Mutex::new(Vec::new());
        let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
        std::thread::scope(|scope| {
            let moment = runtime().block_on(moment::find(&settings(server, &database))).unwrap();
            let writer = scope.spawn(|| {
                server.run(&format!("insert into {database}.t values (2)"));
                ids.lock().unwrap().push("written");
            });
            std::thread::sleep(std::time::Duration::from_millis(300));
            ids.lock().unwrap().push("read");
            runtime().block_on(snapshot::run(moment, RawSender::new(sender, 1 << 20))).unwrap();
            writer.join().unwrap();
        });
        assert_eq!(*ids.lock().unwrap(), ["read", "written"], "{kind:?}");
        let mut n_rows = 0;
        while let Ok(batch) = receiver.try_recv() {
            n_rows += batch.messages.len();
        }
        assert_eq!(n_rows, 1, "{kind:?}");
    }
}
