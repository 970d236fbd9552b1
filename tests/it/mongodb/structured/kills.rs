//! Kills at every point, while documents of every shape are written: nothing is lost, and the
//! registry takes every version.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::SchemaCompatibility;
use mongodb::bson::{Bson, Document, doc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use super::{Road, strict};
use crate::support::avro::unframe;
use crate::support::kafka::Kafka;
use crate::support::mongodb::{Mongo, block};
use crate::support::tailwater::exit;
use crate::support::{Done, knob, seconds};

/// In bytes: many small parts, which several readers bring in any order.
const PART: &str = "part=return(1500)";
const N_DOCUMENTS: i32 = 400;
const POINTS: [&str; 6] = ["read", "kept", "encode", "send", "delivered", "checkpointed"];

fn value(rng: &mut StdRng, level: u32) -> Bson {
    match rng.random_range(0..if level < 3 { 12 } else { 8 }) {
        0 => Bson::Null,
        1 | 2 => Bson::Int32(rng.random_range(-9..9)),
        3 => Bson::Int64(1 << rng.random_range(0..60)),
        4 => Bson::Double(rng.random_range(-1.0..1.0)),
        5 | 6 => Bson::String("text".to_owned()),
        7 => Bson::Boolean(true),
        8 | 9 => Bson::Document(fields(rng, level + 1)),
        _ => Bson::Array((0..rng.random_range(0..3)).map(|_| value(rng, level + 1)).collect()),
    }
}

/// A field is mostly of one kind, and every field meets others.
fn fields(rng: &mut StdRng, level: u32) -> Document {
    let n = rng.random_range(0..5);
    (0..n)
        .map(|_| {
            let number = rng.random_range(0..40_u64);
            let usual = StdRng::seed_from_u64(number);
            let mut of = if rng.random_bool(0.8) { usual } else { rng.clone() };
            (format!("f{number}"), value(&mut of, level))
        })
        .collect()
}

fn document(rng: &mut StdRng, id: i32) -> Document {
    let mut document = doc! { "_id": id };
    document.extend(fields(rng, 0));
    document
}

fn write(road: &Road<'_>, rng: &mut StdRng, next: &mut i32) {
    let all = road.collection();
    let some = doc! { "_id": rng.random_range(0..*next) };
    match rng.random_range(0..10) {
        0..5 => {
            *next += 1;
            block(all.insert_one(document(rng, *next - 1))).unwrap();
        }
        5..7 => drop(block(all.replace_one(some, fields(rng, 0))).unwrap()),
        7..9 => {
            let set = doc! { "$set": { format!("f{}", rng.random_range(0..40)): value(rng, 0) } };
            drop(block(all.update_one(some, set)).unwrap());
        }
        _ => drop(block(all.delete_one(some)).unwrap()),
    }
}

#[test]
fn kills_at_every_point_lose_nothing_and_the_registry_takes_every_version() {
    let seed = knob("TAILWATER_FAULT_SEED", 1);
    let n_kills = knob("TAILWATER_KILLS", 10);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut road = Road::new(Mongo::shared(), "structured_kills");
    let documents: Vec<Document> = (0..N_DOCUMENTS).map(|id| document(&mut rng, id)).collect();
    road.insert(&documents);
    road.setup.set("snapshot.connections", 4).set("delivery.checkpoint_interval", "200ms");
    let mut tally: BTreeMap<String, u64> = BTreeMap::new();
    let (done, mut n_writes) = (AtomicBool::new(false), 0_u64);
    std::thread::scope(|scope| {
        let stopped = Done(&done);
        let (place, seed) = (road_of(&road), rng.random());
        let writes = &mut n_writes;
        let done = &done;
        scope.spawn(move || {
            let (mut rng, mut next) = (StdRng::seed_from_u64(seed), N_DOCUMENTS);
            while !done.load(Ordering::Relaxed) {
                write(&place, &mut rng, &mut next);
                *writes += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        for round in 0..n_kills {
            *tally.entry(kill(&mut road, &mut rng, round)).or_default() += 1;
        }
        drop(stopped);
    });
    road.setup.env.clear();
    road.setup.catch_up();
    let n = road.compare();
    let versions = road.versions();
    let n_read = read_with_every_later_version(&road, &versions);
    let kills: Vec<String> = tally.iter().map(|(point, n)| format!("{n} at {point}")).collect();
    println!(
        "oracle: structured documents: kills: {}; {n_writes} writes, {} records, {n} documents \
         compared, 0 lost, 0 phantom; {} versions, 0 refused, {n_read} records read with the newest \
         (seed {seed})",
        kills.join(", "),
        road.events().len(),
        versions.len()
    );
    assert!(versions.len() <= 64);
    road.setup.catch_up();
    assert_eq!(road.versions(), versions, "a restart alone makes none");
}

/// Avro's own rules, by a reader that is not ours: of all pairs of versions, and of every record.
fn read_with_every_later_version(road: &Road<'_>, versions: &[Value]) -> usize {
    let parse = |text: &str| Schema::parse_str(text).unwrap();
    let schemas: Vec<Schema> = versions.iter().map(|text| parse(&text.to_string())).collect();
    for (at, writer) in schemas.iter().enumerate() {
        for reader in &schemas[at..] {
            let read = SchemaCompatibility::can_read(writer, reader);
            assert!(read.is_ok(), "version {}: {read:?}", at + 1);
        }
    }
    let newest = schemas.last().expect("there is a version");
    let mut writers: BTreeMap<u32, Schema> = BTreeMap::new();
    let mut n = 0;
    for value in Kafka::shared().read(&road.topic()).iter().filter_map(|r| r.value.as_deref()) {
        let (id, mut datum) = unframe(value);
        let writer = writers.entry(id).or_insert_with(|| parse(&strict().schema(id)));
        let reader = GenericDatumReader::builder(writer).reader_schema(newest).build().unwrap();
        let read = reader.read_value(&mut datum);
        assert!(read.is_ok(), "a record of schema {id}: {read:?}");
        n += 1;
    }
    n
}

/// For the thread that writes.
fn road_of<'a>(road: &Road<'a>) -> Road<'a> {
    Road { mongo: road.mongo, database: road.database.clone(), setup: road.setup.clone() }
}

/// Starts, and ends by a kill; says where.
fn kill(road: &mut Road<'_>, rng: &mut StdRng, round: u64) -> String {
    let at_random = round % 4 == 3;
    let point = POINTS[usize::try_from(round).unwrap() % POINTS.len()];
    let armed = match at_random {
        true => PART.to_owned(),
        false => format!("{PART};{point}={}*off->return", rng.random_range(0..6)),
    };
    road.setup.env.clear();
    road.setup.env("FAILPOINTS", &armed);
    let tailwater = road.setup.start();
    let limit = match at_random {
        true => Duration::from_millis(rng.random_range(100..2500)),
        false => seconds(6),
    };
    let died = tailwater.process.wait(limit).is_some();
    let ended = tailwater.kill();
    let expected = if died { exit::ABORTED } else { exit::KILLED };
    assert_eq!(ended.code, expected, "{armed}: {}", ended.stderr);
    if died { point.to_owned() } else { "random".to_owned() }
}
