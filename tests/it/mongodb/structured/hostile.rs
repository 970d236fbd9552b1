//! Documents that mean no good.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{
    self, Binary, Bson, DateTime, Document, JavaScriptCodeWithScope, Regex, Timestamp, doc,
};
use mongodb::options::ChangeStreamPreAndPostImages;
use serde_json::{Value, json};

use super::Road;
use crate::support::mongodb::{Mongo, block};

/// Half of them are read by the snapshot and half come through the stream, then all once more in
/// the other order after a restart.
fn arrive(name: &str, documents: &[Document]) -> Road<'static> {
    let road = Road::new(Mongo::shared(), name);
    let numbered = |round: i32| {
        let number = (0..).map(move |n: i32| n + round * 1000);
        number.zip(documents).map(|(number, document)| {
            let mut numbered = doc! { "_id": number };
            numbered.extend(document.clone());
            numbered
        })
    };
    let mut first: Vec<Document> = numbered(0).collect();
    let streamed = first.split_off(documents.len().div_ceil(2));
    road.insert(&first);
    road.setup.catch_up();
    if !streamed.is_empty() {
        road.insert(&streamed);
    }
    road.setup.catch_up();
    let versions = road.versions();
    let mut again: Vec<Document> = numbered(1).collect();
    again.reverse();
    road.insert(&again);
    road.setup.catch_up();
    assert_eq!(road.versions(), versions, "what came once makes no version when it comes again");
    assert_eq!(road.compare(), 2 * documents.len());
    assert_eq!(road.events().len(), 2 * documents.len(), "each once");
    road
}

/// Which the driver reads and lets nobody make.
fn pointer() -> Bson {
    let bytes =
        b"\x1C\0\0\0\x0Cp\0\x04\0\0\0d.c\0\xAB\xAB\xAB\xAB\xAB\xAB\xAB\xAB\xAB\xAB\xAB\xAB\0";
    let mut document: Document = bson::deserialize_from_slice(bytes).unwrap();
    document.remove("p").unwrap()
}

fn every_type() -> Document {
    doc! {
        "double": 0.1, "nan": f64::NAN, "infinity": f64::NEG_INFINITY, "string": "ä\u{0}\"😀",
        "object": { "x": { "y": 1 } }, "array": [1, 2], "bytes": Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 16] },
        "undefined": Bson::Undefined, "oid": ObjectId::from_bytes([0xAB; 12]), "bool": false,
        "date": DateTime::from_millis(-1), "null": Bson::Null, "regex": Regex { pattern: "a/b".try_into().unwrap(), options: "i".try_into().unwrap() },
        "code": Bson::JavaScriptCode("f()".to_owned()), "symbol": Bson::Symbol("s".to_owned()),
        "scoped": JavaScriptCodeWithScope { code: "g()".to_owned(), scope: doc! { "x": 1 } },
        "int": i32::MIN, "timestamp": Timestamp { time: 5, increment: 6 }, "long": i64::MAX,
        "decimal": "-0E-7".parse::<mongodb::bson::Decimal128>().unwrap(), "min": Bson::MinKey, "max": Bson::MaxKey, "pointer": pointer(),
    }
}

#[test]
fn every_type_of_bson_arrives() {
    let road = arrive("every_type", &[every_type()]);
    let fields = road.fields();
    for field in [
        "double double",
        "string string",
        "object object",
        "array array",
        "bytes bytes",
        "oid string",
        "bool boolean",
        "date Timestamp",
        "regex Json",
        "code string",
        "symbol string",
        "scoped Json",
        "int int",
        "timestamp Json",
        "long long",
        "decimal string",
        "min Json",
        "max Json",
        "pointer Json",
    ] {
        assert!(format!("{fields},").contains(&format!(" {field},")), "{field} is not in {fields}");
    }
    let after = &road.events()[0].value["after"];
    assert_eq!(after["nan"], json!("NaN"));
    assert_eq!(after["long"], json!(i64::MAX));
    assert_eq!(after["decimal"], json!("-0E-7"));
    assert_eq!(after["date"], json!(-1));
}

#[test]
fn every_field_takes_every_type() {
    let all = every_type();
    let shifted = (0..all.len()).map(|by| {
        let values = all.values().chain(all.values()).skip(by);
        all.keys().cloned().zip(values.cloned()).collect::<Document>()
    });
    let road = arrive("all_types", &shifted.collect::<Vec<_>>());
    assert!(road.versions().len() <= 5, "{}", road.versions().len());
}

/// What Avro has no name for, its own words, and two names that it cannot tell apart.
#[test]
fn names_that_avro_does_not_have_are_fields_or_in_the_rest() {
    let words = [
        "null",
        "boolean",
        "int",
        "long",
        "float",
        "double",
        "bytes",
        "string",
        "record",
        "enum",
        "array",
        "map",
        "fixed",
        "union",
        "Value",
        "Envelope",
        "name",
        "type",
        "fields",
        "doc",
        "namespace",
        "1st",
        "2",
        "ä",
        "日本",
        "😀",
        "a b",
        "a.b",
        "a$b",
        "x.",
        ".y",
        "-",
        "_",
        "connect.name",
        "Source",
        "before",
    ];
    let of = |value: &dyn Fn(usize) -> Bson| -> Document {
        words.iter().enumerate().map(|(n, word)| ((*word).to_owned(), value(n))).collect()
    };
    let record = |n: usize| Bson::Document(doc! { words[n]: { words[words.len() - 1 - n]: 1 } });
    let documents = [
        of(&record),
        of(&|n| Bson::Array(vec![record(n)])),
        of(&|_| Bson::Int32(1)),
        doc! { "a": { "b": { "c": 1 } }, "a.b": { "c": "x" }, "a_b": { "c": true } },
        doc! { "": 1, "__rest": 2, "__rest_": 3, "in": { "": 1, "__rest": { "x": 1 } } },
        doc! { "a-b": 1, "a_b": 2, "a+b": { "x": 1 }, "a\u{1}b": [1] },
    ];
    arrive("names", &documents);
}

#[test]
fn shapes_without_end_end_in_few_versions() {
    let many = |of: &str, n: usize| -> Document {
        (0..n).map(|n| (format!("{of}{n}"), Bson::Int32(1))).collect()
    };
    let deep = |array: bool| {
        (0..95).fold(Bson::Int32(1), |inner, _| match array {
            true => Bson::Array(vec![inner]),
            false => Bson::Document(doc! { "d": inner }),
        })
    };
    let mut documents = vec![
        doc! {},
        doc! { "wide": many("n", 1000) },
        many("f", 1000),
        many("g", 1000),
        doc! { "deep": deep(false), "nest": deep(true) },
        doc! { "deep": { "d": 1 }, "nest": [[1]] },
    ];
    // Names that nobody ever wrote before, each with another type.
    for n in 0..150 {
        let kind = every_type().values().nth(n % 20).unwrap().clone();
        documents.push(doc! { format!("new{n}"): kind.clone(), "map": { format!("k{n}"): kind } });
    }
    let road = arrive("without_end", &documents);
    let n_versions = road.versions().len();
    println!("structured: {} documents of hostile shapes: {n_versions} versions", documents.len());
    assert!(n_versions <= 64, "{n_versions}");
}

#[test]
fn arrays_of_everything_arrive() {
    let array = |items: Vec<Bson>| doc! { "a": items, "x": 1 };
    let of = |document: Document| Bson::Document(document);
    let documents = [
        array(vec![]),
        array(vec![Bson::Array(vec![]), Bson::Null]),
        array(vec![of(doc! {})]),
        array(vec![of(doc! { "n": 1 }), Bson::Null, of(doc! { "m": "x" })]),
        array(vec![of(doc! { "n": 2_i64, "m": 1 }), of(doc! { "n": [1] })]),
        array(vec![Bson::Int32(1), of(doc! { "n": 0.5 }), Bson::Array(vec![])]),
        array(vec![Bson::Array(vec![of(doc! { "n": 1 })])]),
        doc! { "mixed": [1, "x", null, [2], { "y": [] }], "x": { "not": "an int" } },
        doc! { "mixed": [], "mixed2": [[1], ["x"]], "widens": [1, 2_i64], "same": [[1], [2, 0.5]] },
        doc! { "mixed": "no array", "widens": [0.5, 1], "same": [[], null] },
    ];
    arrive("arrays", &documents);
}

fn kinds(road: &Road<'_>) -> Vec<String> {
    let events = road.events();
    events.iter().map(|e| e.value["op"].as_str().unwrap_or("-").to_owned()).collect()
}

#[test]
fn updates_by_what_changed_and_deletes_have_no_record() {
    let mut road = Road::new(Mongo::shared(), "deltas");
    road.setup.set("source.mongodb.full_document", "off");
    road.insert(&[doc! { "_id": 1, "a": { "b": 1 }, "list": [1, 2, 3] }]);
    road.setup.catch_up();
    let set = doc! { "$set": { "a.b": "x", "new": { "y": 1 } }, "$unset": { "list": 1 } };
    block(road.collection().update_one(doc! { "_id": 1 }, set)).unwrap();
    block(road.collection().delete_one(doc! { "_id": 1 })).unwrap();
    road.setup.catch_up();
    assert_eq!(kinds(&road), ["r", "u", "d", "-"]);
    let events = road.events();
    let update = &events[1].value;
    assert_eq!((&update["before"], &update["after"]), (&Value::Null, &Value::Null));
    let told = &update["updateDescription"];
    assert_eq!(told["removedFields"], json!(["list"]));
    let updated: Value = serde_json::from_str(told["updatedFields"].as_str().unwrap()).unwrap();
    assert_eq!(updated, json!({ "a.b": "x", "new": { "y": 1 } }));
    assert_eq!(events[2].value["before"], Value::Null);
    assert_eq!(road.versions().len(), 1, "what an update says is text");
}

#[test]
fn images_before_a_change_are_records_too() {
    let mongo = Mongo::shared();
    if mongo.wire() < 17 {
        println!("SKIPPED mongodb::structured::images: the server keeps none");
        return;
    }
    let mut road = Road::new(mongo, "images");
    road.setup
        .set("source.mongodb.full_document", "required")
        .set("source.mongodb.pre_images", "required");
    let images = ChangeStreamPreAndPostImages::builder().enabled(true).build();
    let place = mongo.database(&road.database);
    let create = place.create_collection("c");
    block(create.change_stream_pre_and_post_images(images)).unwrap();
    road.setup.catch_up();
    road.insert(&[doc! { "_id": 1, "a": 1 }]);
    block(road.collection().update_one(doc! { "_id": 1 }, doc! { "$set": { "a": 0.5 } })).unwrap();
    block(road.collection().replace_one(doc! { "_id": 1 }, doc! { "a": "x" })).unwrap();
    block(road.collection().delete_one(doc! { "_id": 1 })).unwrap();
    road.setup.catch_up();
    assert_eq!(kinds(&road), ["c", "u", "u", "d", "-"]);
    let images = |event: &super::Event| {
        let image = |of: &str| match &event.value[of] {
            Value::Null => "-".to_owned(),
            row => format!("{} {}", row["a"], row["__rest"]),
        };
        format!("{} | {}", image("before"), image("after"))
    };
    let events = road.events();
    let rest = "\"{\\\"a\\\": \\\"x\\\"}\"";
    assert_eq!(
        events[..4].iter().map(images).collect::<Vec<_>>(),
        [
            "- | 1.0 null".to_owned(),
            "1.0 null | 0.5 null".to_owned(),
            format!("0.5 null | null {rest}"),
            format!("null {rest} | -"),
        ]
    );
}
