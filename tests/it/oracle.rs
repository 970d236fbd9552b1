//! The database is the oracle: topics folded by key are the tables, after any workload.
//!
//! Seeds are printed; `TAILWATER_SEED=n` runs one alone, `TAILWATER_SEEDS=n` that many.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::fold::{Event, avro_event, fold, is_unavailable, json_event};
use crate::support::kafka::Kafka;
use crate::support::postgres::{Database, Postgres};
use crate::support::registry::Registry;
use crate::support::tailwater::Setup;
use crate::support::{avro, eventually, fold, knob, seconds};
use crate::types::Kind;
use crate::workload::{Table, Workload};

#[test]
fn folded_topics_equal_the_tables_after_random_workloads() {
    let one = std::env::var("TAILWATER_SEED").ok().map(|s| s.parse::<u64>().unwrap());
    let seeds = one.map_or_else(|| (0..knob("TAILWATER_SEEDS", 20)).collect(), |s| vec![s]);
    let (mut n_rows, mut n_events, mut n_statements) = (0, 0, 0);
    for seed in &seeds {
        println!("oracle: seed {seed}");
        let tally = one_seed(*seed);
        n_rows += tally.0;
        n_events += tally.1;
        n_statements += tally.2;
    }
    println!(
        "oracle: {} seeds, {n_statements} statements, {n_events} events, {n_rows} rows compared, 0 differing",
        seeds.len()
    );
    assert!(n_rows > 0 && n_events > n_rows, "the workload wrote something");
}

fn one_seed(seed: u64) -> (usize, usize, u64) {
    let (postgres, kafka, registry) = (Postgres::shared(), Kafka::shared(), Registry::shared());
    let database = postgres.database("oracle");
    let mut workload = Workload::new(seed, || database.session());
    workload.create();
    database.run("create table sentinel (id int primary key)");
    workload.run(30);
    let in_avro = seed % 2 == 1;
    let mut setup = if in_avro {
        Setup::avro(&database, kafka, registry)
    } else {
        Setup::kafka(&database, kafka)
    };
    // A truncation has no key: only within one partition is it before or after a row.
    setup.set("sink.kafka.topics.partitions", 1);
    let mut tailwater = setup.start();
    if seed.is_multiple_of(3) {
        // Snapshot and stream meet while rows change.
        workload.run_rows(40);
    }
    tailwater.ready();
    workload.run(60);
    if seed % 4 == 3 {
        tailwater.kill();
        workload.run(20);
        tailwater = setup.start();
    }
    workload.run(40);
    database.run("insert into sentinel values (1)");
    let mut reader = kafka.reader(&format!("{}.public.sentinel", setup.prefix));
    let arrived = eventually(seconds(60), || reader.read_on().pop());
    assert!(arrived.is_some(), "seed {seed}: the sentinel did not arrive: {}", tailwater.said());
    tailwater.stop().expect(0, &[]);
    let decoder = avro::Decoder::new(registry);
    let records = kafka.read(&format!("{}.", setup.prefix));
    let events: Vec<Event> = records
        .iter()
        .map(|r| if in_avro { avro_event(r, &decoder) } else { json_event(r) })
        .collect();
    events.iter().for_each(keys_match);
    let folded = fold(&events);
    let n_rows = workload.tables.iter().map(|table| {
        let topic = format!("{}.public.{}", setup.prefix, table.name);
        let none = BTreeMap::new();
        compare(&format!("seed {seed}"), table, &database, folded.get(&topic).unwrap_or(&none))
    });
    let n_rows = n_rows.sum();
    database.drop_with_slots();
    (n_rows, events.len(), workload.n_statements)
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
fn compare(context: &str, table: &Table, database: &Database, folded: &fold::Table) -> usize {
    let key = table.key.iter().map(|name| format!("{name}::text"));
    let columns = table.columns.iter().map(|(name, kind)| kind.expected(name));
    let list: Vec<String> = key.chain(["gen::text".to_owned()]).chain(columns).collect();
    let rows = database.session().rows(&format!("select {} from {}", list.join(", "), table.name));
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
        for ((name, kind), expected) in table.columns.iter().zip(&row[n_key + 1..]) {
            compare_value(&at, (name, *kind), found.get(name), (expected.as_deref(), current));
        }
        let n_columns = table.columns.len() + 1 + usize::from(table.name == "indexed") + n_key;
        assert!(!current || found.len() == n_columns, "{at}: columns of another shape: {found:?}");
    }
    assert!(seen.is_empty(), "{context}: phantoms in {}: {:?}", table.name, seen.keys());
    rows.len()
}

fn compare_value(
    at: &str,
    (name, kind): (&str, Kind),
    found: Option<&Value>,
    (expected, current): (Option<&str>, bool),
) {
    match found {
        None => assert!(!current, "{at}.{name}: missing"),
        // A row that changed its key does not say its large values again.
        Some(value) if is_unavailable(value) => {}
        Some(value) => {
            assert_eq!(kind.of_event(value), kind.of_sql(expected), "{at}.{name}: {value}");
        }
    }
}
