//! Snapshots of many collections and many kinds of `_id`, and what each scope sees.

use mongodb::bson::doc;
use serde_json::Value;

use super::lines;
use crate::support::mongodb::{Mongo, block};
use crate::support::tailwater::{Ended, Setup, Tailwater};
use crate::support::{eventually, seconds, unique};

/// The first letter of every operation, a dot for a tombstone.
pub(super) fn ops(ended: &Ended) -> String {
    let op = |line: &Value| line["value"]["op"].as_str().unwrap_or(".").to_owned();
    ended.lines().iter().map(op).collect()
}

/// Waits until so many lines are written.
pub(super) fn arrive(tailwater: &Tailwater, n: usize) {
    let arrived = eventually(seconds(30), || (lines(&tailwater.stdout).len() >= n).then_some(()));
    let found = lines(&tailwater.stdout).len();
    assert!(arrived.is_some(), "{found} of {n} records: {}", tailwater.said());
}

#[test]
fn every_scope_sees_its_own_and_nothing_else() {
    let mongo = Mongo::shared();
    let name = unique("mongo_scope");
    let targets = [
        ("database", Some(name.clone()), "cc"),
        ("collection", Some(format!("{name}.t")), "c"),
        ("deployment", None, "cc"),
    ];
    for (scope, target, expected) in targets {
        for collection in ["t", "u"] {
            block(mongo.database(&name).create_collection(collection)).unwrap();
        }
        let mut setup = Setup::mongodb(mongo, &name);
        setup.set("source.mongodb.capture_scope", scope);
        if let Some(target) = target {
            setup.set("source.mongodb.capture_target", target);
        }
        if scope == "collection" {
            setup.set("source.mongodb.collections.include", vec![format!("{name}.t")]);
        }
        assert_eq!(ops(&setup.catch_up()), "", "{scope}: nothing is there yet");
        for collection in ["t", "u"] {
            block(mongo.collection(&name, collection).insert_one(doc! { "_id": 1 })).unwrap();
        }
        block(mongo.collection("elsewhere", "t").insert_one(doc! {})).unwrap();
        assert_eq!(ops(&setup.catch_up()), expected, "{scope}");
        block(mongo.database(&name).drop()).unwrap();
    }
}

/// MG-09: `$gt` of one type never reaches the next one, so ranges must cross the types.
#[test]
fn a_snapshot_reads_every_type_of_id_on_several_connections() {
    let mongo = Mongo::shared();
    let name = unique("mongo_ids");
    let t = mongo.collection(&name, "t");
    let ids = super::catalogue::ids();
    let mut n = 0;
    for round in 0..40 {
        for id in &ids {
            let id = super::catalogue::another(id, round);
            if let Some(id) = id {
                block(t.insert_one(doc! { "_id": id })).unwrap();
                n += 1;
            }
        }
    }
    let mut setup = Setup::mongodb(mongo, &name);
    setup.set("snapshot.connections", 4);
    let keys: std::collections::BTreeSet<String> =
        setup.catch_up().lines().iter().map(|l| l["key"]["id"].to_string()).collect();
    assert_eq!(keys.len(), n);
    block(mongo.database(&name).drop()).unwrap();
}

/// MG-12: the filter of an interrupted snapshot is that of the next run.
#[test]
fn a_killed_snapshot_begins_again_and_misses_nothing() {
    let mongo = Mongo::shared();
    let name = unique("mongo_killed");
    for collection in ["t", "u", "left_out"] {
        let all = (0..2000).map(|n| doc! { "_id": n, "text": "x".repeat(200) });
        block(mongo.collection(&name, collection).insert_many(all)).unwrap();
    }
    let mut setup = Setup::mongodb(mongo, &name);
    setup.set("source.mongodb.collections.exclude", vec![format!("{name}.left_out")]);
    let mut armed = setup.clone();
    armed.env("FAILPOINTS", "delivered=2*off->return");
    drop(armed.start().wait(seconds(60)));
    let t = mongo.collection(&name, "t");
    block(t.delete_one(doc! { "_id": 5 })).unwrap();
    block(t.insert_one(doc! { "_id": 5000 })).unwrap();
    let ended = setup.catch_up();
    let topics: std::collections::BTreeSet<String> =
        ended.lines().iter().map(|l| l["topic"].as_str().unwrap().to_owned()).collect();
    assert!(topics.iter().all(|topic| !topic.ends_with("left_out")), "{topics:?}");
    let rows = ended.lines().iter().filter(|l| l["value"]["op"] == "r").count();
    assert_eq!(rows, 4000, "the second snapshot is whole");
    block(mongo.database(&name).drop()).unwrap();
}

/// MG-10: every document under its own collection's name, however many read at once.
#[test]
fn sixteen_readers_of_twenty_collections_mix_nothing_up() {
    let mongo = Mongo::shared();
    let name = unique("mongo_parallel");
    for c in 0..20 {
        let all = (0..150).map(|n| doc! { "_id": format!("{c} {n}"), "v": "x".repeat(50) });
        block(mongo.collection(&name, &format!("c{c}")).insert_many(all)).unwrap();
    }
    let mut setup = Setup::mongodb(mongo, &name);
    setup.set("snapshot.connections", 16);
    let ended = setup.catch_up();
    let mut seen = std::collections::BTreeSet::new();
    for line in ended.lines() {
        let (topic, key) = (line["topic"].as_str().unwrap(), line["key"]["id"].as_str().unwrap());
        let collection = topic.rsplit_once(".c").unwrap().1;
        assert!(key.starts_with(&format!("\"{collection} ")), "{key} in {topic}");
        assert!(seen.insert(key.to_owned()), "{key} twice");
    }
    assert_eq!(seen.len(), 3000);
    block(mongo.database(&name).drop()).unwrap();
}
