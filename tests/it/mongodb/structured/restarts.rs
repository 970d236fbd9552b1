//! What a restart, and a crash, does to the schema.

use mongodb::bson::{Bson, Document, doc};
use serde_json::json;

use super::{Road, strict};
use crate::support::mongodb::{Mongo, block};
use crate::support::seconds;
use crate::support::tailwater::exit;

/// The rule that everything here is about is kept by the registry itself.
#[test]
fn the_registry_refuses_a_narrower_type() {
    let schema = |of: &str| json!({ "type": "record", "name": "R", "fields": [{ "name": "x", "type": of }] });
    for of in ["int", "long", "double"] {
        strict().register("a_subject", &schema(of));
    }
    assert!(!strict().would_take("a_subject", &schema("float")));
    assert!(!strict().would_take("a_subject", &schema("string")));
    assert!(strict().would_take("a_subject", &schema("double")));
}

#[test]
fn a_field_widens_and_its_type_changes_back_and_forth_over_restarts() {
    let road = Road::new(Mongo::shared(), "widens");
    // What is null at first has no place; what is widened keeps its own.
    let steps: [(Bson, &str); 9] = [
        (Bson::Null, "_id int"),
        (Bson::Int32(1), "_id int, v int"),
        (Bson::Int64(2), "_id int, v long"),
        (Bson::Int32(3), "_id int, v long"),
        (Bson::Double(0.5), "_id int, v double"),
        (Bson::String("x".to_owned()), "_id int, v double, __rest Json"),
        (Bson::Int32(6), "_id int, v double, __rest Json"),
        (Bson::Document(doc! { "a": 1 }), "_id int, v double, __rest Json"),
        (Bson::Int64((1 << 53) + 1), "_id int, v double, __rest Json"),
    ];
    let mut n_versions = 0;
    for (number, (value, fields)) in (0..).zip(steps) {
        road.insert(&[doc! { "_id": number, "v": value }]);
        let before = if number == 0 { String::new() } else { road.fields() };
        road.setup.catch_up();
        assert_eq!(road.fields(), fields);
        n_versions += usize::from(before != fields);
        assert_eq!(road.versions().len(), n_versions, "a version only where something is new");
    }
    assert_eq!(road.compare(), 9);
    let events = road.events();
    assert_eq!(events.len(), 9, "each once");
    assert_eq!(events[5].value["after"]["v"], json!(null));
    assert_eq!(events[5].value["after"]["__rest"], json!("{\"v\": \"x\"}"));
    assert_eq!(events[5].schema, events[8].schema, "the version of before the restarts");
}

#[test]
fn versions_come_while_it_runs_and_every_record_has_one() {
    let road = Road::new(Mongo::shared(), "live");
    road.insert(&[doc! { "_id": 1, "a": 1 }]);
    let tailwater = road.setup.start();
    tailwater.ready();
    for (number, value) in (2..).zip([Bson::Int64(1), Bson::Double(0.5), Bson::Boolean(true)]) {
        road.insert(&[doc! { "_id": number, "a": value }]);
        road.arrives(&tailwater, usize::try_from(number).unwrap());
    }
    tailwater.stop().expect(0, &[]);
    assert_eq!(road.fields(), "_id int, a double, __rest Json");
    let mut schemas: Vec<_> = road.events().iter().map(|event| event.schema).collect();
    schemas.dedup();
    assert_eq!((schemas.len(), road.versions().len()), (4, 4));
    assert_eq!(road.compare(), 4);
}

/// MG-18. Every document has a name that no other has, and comes alone.
#[test]
fn a_collection_of_ever_new_names_has_64_versions_and_then_its_rest() {
    let mut road = Road::new(Mongo::shared(), "ever_new");
    // Large histories, in a topic instead of a file.
    let topic = format!("{}-offsets", road.database);
    road.setup.set("offsets", json!({ "kafka": { "topic": topic } }));
    road.insert(&[doc! { "_id": 0, "map": {} }]);
    let mut next = 1;
    let mut run = |n: i32| {
        let tailwater = road.setup.start();
        tailwater.ready();
        for number in next..next + n {
            let map = doc! { format!("k{number}"): number };
            road.insert(&[doc! { "_id": number, format!("new{number}"): number, "map": map }]);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        next += n;
        road.arrives(&tailwater, usize::try_from(next).unwrap());
        tailwater.stop().expect(0, &[]);
        road.versions().len()
    };
    let first = run(30);
    assert!((5..=31).contains(&first), "{first}");
    let (second, third) = (run(100), run(20));
    println!("MG-18: 151 documents, each with a new name: {second} versions over three runs");
    assert!(second <= 64 && (second < 64 || third == second), "{second}, then {third}");
    assert_eq!(road.compare(), 151);
}

/// A first run reads documents that make a field a double, registers that, and dies. The second
/// one would have begun with an int, which the registry refuses for ever.
#[test]
fn a_snapshot_that_died_begins_again_with_the_schema_that_it_showed() {
    let mut road = Road::new(Mongo::shared(), "died");
    road.insert(&[doc! { "_id": 1, "b": true, "a": 0.5 }, doc! { "_id": 2, "c": "x" }]);
    road.setup.env("FAILPOINTS", "encode=return");
    road.setup.fails(exit::ABORTED, &[]);
    assert_eq!(road.fields(), "_id int, b boolean, a double, c string");
    block(road.collection().delete_many(doc! {})).unwrap();
    road.insert(&[doc! { "_id": 3, "c": "y", "d": 1, "a": 7 }]);
    road.setup.env.clear();
    road.setup.catch_up();
    assert_eq!(road.fields(), "_id int, b boolean, a double, c string, d int");
    assert_eq!(road.versions().len(), 2);
    // The documents that are gone were read, and never sent.
    let last = road.events().pop().unwrap();
    assert_eq!(last.value["after"]["a"], json!(7.0));
    assert_eq!(road.compare(), 1);
}

#[test]
fn a_stream_that_died_between_a_version_and_its_checkpoint_goes_on_with_it() {
    for point in ["kept", "encode", "send", "delivered"] {
        let mut road = Road::new(Mongo::shared(), "stream_died");
        road.insert(&[doc! { "_id": 1, "a": 1 }]);
        road.setup.catch_up();
        let more: [Document; 3] =
            [doc! { "_id": 2, "b": 1 }, doc! { "_id": 3, "a": 2_i64 }, doc! { "_id": 4, "a": 0.5 }];
        road.setup.env("FAILPOINTS", &format!("{point}=return"));
        let tailwater = road.setup.start();
        road.insert(&more);
        tailwater.wait(seconds(60)).expect(exit::ABORTED, &[]);
        road.setup.env.clear();
        road.setup.catch_up();
        assert_eq!(road.fields(), "_id int, a double, b int", "{point}");
        assert_eq!(road.compare(), 4, "{point}");
        let n_versions = road.versions().len();
        assert!((2..=4).contains(&n_versions), "{point}: {n_versions}");
    }
}

/// The way out that the documentation names.
#[test]
fn after_a_reset_a_narrower_schema_needs_the_registrys_leave() {
    let road = Road::new(Mongo::shared(), "reset");
    road.insert(&[doc! { "_id": 1, "a": 0.5 }]);
    road.setup.catch_up();
    let reset = road.setup.command("offsets reset", &["--yes"]);
    reset.wait(seconds(30)).expect(0, &[]);
    block(road.collection().delete_many(doc! {})).unwrap();
    road.insert(&[doc! { "_id": 2, "b": 1, "a": 1 }]);
    road.setup.fails(exit::SINK, &[&road.subject(), "(BACKWARD)", "PUT /config/"]);
    // To Apicurio a subject that has NONE is one without a rule, for which the global one counts.
    strict().set_compatibility(&road.subject(), "FORWARD");
    road.setup.catch_up();
    assert_eq!(road.fields(), "_id int, b int, a int");
}

/// For a collection that has used up its fields or versions on what is gone.
#[test]
fn one_collection_may_be_forgotten_and_begins_anew() {
    let road = Road::new(Mongo::shared(), "forget");
    road.insert(&[doc! { "_id": 1, "a": 0.5 }]);
    road.setup.catch_up();
    let collection = format!("{}.c", road.database);
    let forget = road.setup.command("offsets forget", &["--table", &collection, "--yes"]);
    forget.wait(seconds(30)).expect(0, &[]);
    road.insert(&[doc! { "_id": 2, "b": 1, "a": 1 }]);
    road.setup.fails(exit::SINK, &[&road.subject(), "PUT /config/"]);
    strict().set_compatibility(&road.subject(), "FORWARD");
    road.setup.catch_up();
    assert_eq!(road.fields(), "_id int, b int, a int");
    assert_eq!(road.compare(), 2);
}

/// Nothing is inferred where documents are texts, and nothing is forgotten.
#[test]
fn a_run_with_texts_between_two_with_records_forgets_nothing() {
    let mut road = Road::new(Mongo::shared(), "between");
    road.insert(&[doc! { "_id": 1, "b": 0.5, "a": 1 }]);
    road.setup.catch_up();
    let n_versions = road.versions().len();
    // Into another format, or the registry would refuse it.
    let avro = road.setup.config["format"].clone();
    road.setup.set("source.mongodb.documents", "text").set("format", json!({ "json": {} }));
    road.insert(&[doc! { "_id": 2, "a": 2 }]);
    road.setup.set("sink", json!({ "stdout": {} }));
    assert_eq!(road.setup.catch_up().lines().len(), 1);
    let mut again = road.setup.clone().into_kafka(crate::support::kafka::Kafka::shared());
    again.set("source.mongodb.documents", "structured").set("format", avro);
    again.set("sink.kafka.topics.partitions", 1);
    road.insert(&[doc! { "_id": 3, "a": 3, "b": 1 }]);
    again.catch_up();
    assert_eq!(road.versions().len(), n_versions, "a stays behind b, which stays a double");
    let last = road.events().pop().unwrap();
    assert_eq!(last.value["after"], json!({ "_id": 3, "b": 1.0, "a": 3 }));
}
