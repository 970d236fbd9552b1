//! The database is the oracle: topics folded by key are the tables, after any workload.
//!
//! Seeds are printed; `TAILWATER_SEED=n` runs one alone, `TAILWATER_SEEDS=n` that many, a few at a
//! time (`TAILWATER_JOBS`), so that each one's log has the others' transactions in between. Even
//! seeds write JSON to standard output, odd ones Avro to Kafka.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::Value;

use super::chain;
use super::kinds::of_column;
use super::workload::{Table, Workload};
use crate::support::fold::{Event, avro_event, fold, is_unavailable};
use crate::support::kafka::Kafka;
use crate::support::mysql::{Kind, Server};
use crate::support::registry::Registry;
use crate::support::tailwater::{Setup, Tailwater};
use crate::support::{avro, eventually, fold, knob, seconds};

#[test]
fn folded_topics_equal_the_tables_after_random_workloads() {
    let one = std::env::var("TAILWATER_SEED").ok().map(|s| s.parse::<u64>().unwrap());
    let seeds = one.map_or_else(|| (0..knob("TAILWATER_SEEDS", 20)).collect(), |s| vec![s]);
    let runs = Mutex::new(
        Kind::BOTH.into_iter().flat_map(|kind| seeds.iter().map(move |seed| (kind, *seed))),
    );
    let tallies = Mutex::new(Kind::BOTH.map(|_| [0; 3]));
    let n_workers = knob("TAILWATER_JOBS", 3);
    std::thread::scope(|scope| {
        for _ in 0..n_workers {
            scope.spawn(|| {
                let next = || runs.lock().unwrap().next();
                while let Some((kind, seed)) = next() {
                    println!("oracle: {} seed {seed}", kind.name());
                    let (n_rows, n_events, n_statements) = one_seed(kind, seed);
                    let counted = [n_statements, n_events, n_rows];
                    let sums = &mut tallies.lock().unwrap()[usize::from(kind == Kind::Mariadb)];
                    sums.iter_mut().zip(counted).for_each(|(sum, n)| *sum += n);
                }
            });
        }
    });
    for (kind, [n_statements, n_events, n_rows]) in
        Kind::BOTH.into_iter().zip(tallies.into_inner().unwrap())
    {
        println!(
            "oracle: {}, {} seeds, {n_statements} statements, {n_events} events, {n_rows} rows compared, 0 differing",
            kind.name(),
            seeds.len()
        );
        assert!(n_rows > 0 && n_events > n_rows, "the workload wrote something");
    }
}

/// Where the records of every run are.
enum Sink {
    Files(Vec<PathBuf>),
    Kafka,
}

impl Sink {
    fn started(&mut self, tailwater: &Tailwater) {
        if let Self::Files(files) = self {
            files.push(tailwater.stdout.clone());
        }
    }

    fn events(&self, prefix: &str) -> Vec<Event> {
        match self {
            Self::Files(files) => files.iter().flat_map(lines).collect(),
            Self::Kafka => {
                let decoder = avro::Decoder::new(Registry::shared());
                let records = Kafka::shared().read(&format!("{prefix}."));
                records.iter().map(|record| avro_event(record, &decoder)).collect()
            }
        }
    }
}

/// What a run wrote, but for a line that a kill cut off.
pub(super) fn lines(path: &PathBuf) -> Vec<Event> {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole
        .map(|line| {
            let record: Value = serde_json::from_str(line).expect("a line is JSON");
            let field = |name: &str| Some(record[name].clone()).filter(|value| !value.is_null());
            Event {
                topic: record["topic"].as_str().unwrap().to_owned(),
                time_ms: 0,
                key: field("key"),
                value: field("value"),
                id: record["headers"]["cdc.id"].as_str().map(str::to_owned),
            }
        })
        .collect()
}

/// Whether the process is killed once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kill {
    BySeed,
    Always,
}

fn one_seed(kind: Kind, seed: u64) -> (u64, u64, u64) {
    one_seed_on(Server::shared(kind), seed, Kill::BySeed)
}

pub(super) fn one_seed_on(server: &Server, seed: u64, kill: Kill) -> (u64, u64, u64) {
    let kind = server.kind;
    let database = server.database("oracle");
    let mut workload = Workload::new(seed, server, &database);
    workload.create();
    server.run(&format!("create table {database}.sentinel (id int primary key)"));
    workload.run(30);
    let mut setup = Setup::mysql(server, &database);
    let mut sink = Sink::Files(Vec::new());
    if seed % 2 == 1 {
        setup = setup.into_kafka(Kafka::shared());
        let url = Registry::shared().url();
        setup.set("format", serde_json::json!({ "avro": { "registry": { "url": url } } }));
        // A truncation has no key: only within one partition is it before or after a row.
        setup.set("sink.kafka.topics.partitions", 1);
        sink = Sink::Kafka;
    }
    let mut tailwater = setup.start();
    sink.started(&tailwater);
    if seed.is_multiple_of(3) {
        // Snapshot and stream meet while rows change.
        workload.run_rows(30);
    }
    tailwater.ready();
    workload.run(50);
    if seed % 4 == 3 || kill == Kill::Always {
        tailwater.kill();
        workload.run(20);
        tailwater = setup.start();
        sink.started(&tailwater);
    }
    workload.run(30);
    server.run(&format!("insert into {database}.sentinel values (1)"));
    let topic = format!("{}.{database}.sentinel", setup.prefix);
    let arrived = eventually(seconds(60), || {
        let said = match &sink {
            Sink::Files(files) => {
                let text = std::fs::read(files.last().unwrap()).unwrap_or_default();
                String::from_utf8_lossy(&text).contains(&topic)
            }
            Sink::Kafka => !Kafka::shared().read(&topic).is_empty(),
        };
        said.then_some(())
    });
    assert!(arrived.is_some(), "seed {seed}: the sentinel did not arrive: {}", tailwater.said());
    tailwater.stop().expect(0, &[]);
    let events = sink.events(&setup.prefix);
    let n_rows =
        check(&format!("{} seed {seed}", kind.name()), server, &database, (&workload, &events));
    server.run(&format!("drop database {database}"));
    chain::check(&events);
    let count = |n| u64::try_from(n).unwrap();
    (count(n_rows), count(events.len()), workload.n_statements)
}

/// That events folded are the tables; the number of rows.
pub(super) fn check(
    context: &str,
    server: &Server,
    database: &str,
    (workload, events): (&Workload, &[Event]),
) -> usize {
    events.iter().for_each(keys_match);
    let folded = fold(events);
    let n_rows = workload.tables.iter().map(|table| {
        let topic = format!(".{database}.{}", table.name);
        let found = folded.iter().find(|(name, _)| name.ends_with(&topic)).map(|(_, found)| found);
        let none = BTreeMap::new();
        compare(context, table, (server, database), found.unwrap_or(&none))
    });
    n_rows.sum()
}

/// The key of a record is what its row says.
fn keys_match(event: &Event) {
    let row = event.value.as_ref().map(|v| &v["after"]).filter(|after| after.is_object());
    if let (Some(Value::Object(key)), Some(row)) = (&event.key, row) {
        for (name, value) in key {
            assert_eq!(Some(value), row.get(name), "key of {event:?}");
        }
    }
}

/// Compares a folded topic with its table; the number of rows.
fn compare(
    context: &str,
    table: &Table,
    (server, database): (&Server, &str),
    folded: &fold::Table,
) -> usize {
    let key = table.key.iter().map(|name| (*name).to_owned());
    let columns = table.columns.iter().map(|name| of_column(name).expected(name));
    let list: Vec<String> = key.chain(["gen".to_owned()]).chain(columns).collect();
    let session = server.session();
    session.script("set names utf8mb4; set time_zone = '+00:00'");
    let rows = session.rows(&format!("select {} from {database}.{}", list.join(", "), table.name));
    let scalar = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut seen: BTreeMap<Vec<String>, _> = BTreeMap::new();
    for row in folded.values() {
        let key: Vec<String> = table.key.iter().map(|name| scalar(&row[*name])).collect();
        assert!(
            seen.insert(key, row).is_none(),
            "{context}: two keys for one row of {}",
            table.name
        );
    }
    let n_key = table.key.len();
    for row in &rows {
        let key: Vec<String> = row[..n_key].iter().map(|v| v.clone().unwrap()).collect();
        let at = format!("{context}: {} {key:?}", table.name);
        let found = seen.remove(&key).unwrap_or_else(|| panic!("{at}: lost"));
        let generation = row[n_key].clone().unwrap();
        assert_eq!(scalar(&found["gen"]), generation, "{at}: an old version of the row");
        let current = generation == table.generation.to_string();
        for (name, expected) in table.columns.iter().zip(&row[n_key + 1..]) {
            let kind = of_column(name);
            match found.get(name) {
                None => assert!(!current, "{at}.{name}: missing"),
                Some(value) => {
                    assert!(!is_unavailable(value), "{at}.{name}: the row image is full");
                    let expected = kind.of_sql(expected.as_deref());
                    assert_eq!(kind.of_event(value), expected, "{at}.{name} {kind:?}: {value}");
                }
            }
        }
        let n_columns = table.columns.len() + 1 + usize::from(table.name == "indexed") + n_key;
        assert!(!current || found.len() == n_columns, "{at}: columns of another shape: {found:?}");
    }
    assert!(seen.is_empty(), "{context}: phantoms in {}: {:?}", table.name, seen.keys());
    rows.len()
}
