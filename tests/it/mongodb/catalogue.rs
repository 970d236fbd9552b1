//! The golden catalogue (`tests/golden/sql/mongodb_operations.py`) through the official driver:
//! documents of every type and every kind of `_id`, then updates of every kind.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp, doc,
};
use mongodb::options::CreateCollectionOptions;

use crate::support::mongodb::{Mongo, block};

/// 2024-02-29T01:02:03.456Z.
const D: DateTime = DateTime::from_millis(1_709_168_523_456);

fn oid() -> ObjectId {
    ObjectId::parse_str("5f43a1b2c3d4e5f60718293a").unwrap()
}

fn binary(subtype: u8, bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::from(subtype), bytes: bytes.to_vec() })
}

fn uuid() -> Bson {
    let hex = "a0eebc999c0b4ef8bb6d6bb9bd380a11";
    let digits = hex.as_bytes().chunks(2).map(|d| std::str::from_utf8(d).unwrap());
    let bytes: Vec<u8> = digits.map(|d| u8::from_str_radix(d, 16).unwrap()).collect();
    binary(4, &bytes)
}

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse::<Decimal128>().unwrap())
}

fn regex(pattern: &str, options: &str) -> Bson {
    Bson::RegularExpression(Regex {
        pattern: pattern.to_owned().try_into().unwrap(),
        options: options.to_owned().try_into().unwrap(),
    })
}

fn timestamp(time: u32, increment: u32) -> Bson {
    Bson::Timestamp(Timestamp { time, increment })
}

fn everything(id: i32) -> Document {
    let mut all = doc! {
        "_id": id, "d": 1.5, "di": 3.0, "dn": f64::NAN, "dinf": f64::NEG_INFINITY, "dz": -0.0,
        "dbig": 1e300, "s": "p\u{e4}pier \u{1f600} \"q\" \\ \n \u{2028} </x>", "se": "",
        "sub": { "b": 1, "a": { "x": [] } }, "empty": {},
        "arr": [1, "x", null, [2, { "y": 1 }]], "ea": [],
        "bin": binary(0, &[0, 0xFF, 0x10]), "b2": binary(2, b"abc"), "uu": uuid(),
        "u3": binary(3, b"0123456789abcdef"), "md5": binary(5, b"0123456789abcdef"),
        "b128": binary(128, &[1]), "oid": oid(), "t": true, "f": false, "date": D,
    };
    let code = JavaScriptCodeWithScope { code: "x+1".to_owned(), scope: doc! { "x": 1 } };
    all.extend(doc! {
        "dneg": DateTime::from_millis(-1), "dold": DateTime::from_millis(-62_135_596_800_000),
        "n": null, "re": regex("^a/b\"c", "imx"), "ree": regex("", ""),
        "ref": { "$ref": "coll", "$id": oid(), "$db": "other" },
        "js": Bson::JavaScriptCode("function(){return \"x\"}".to_owned()),
        "jsw": Bson::JavaScriptCodeWithScope(code), "i": i32::MAX, "ineg": -1,
        "ts": timestamp(1_700_000_000, 7), "l": i64::MAX, "lneg": -1_i64, "lsmall": 5_i64,
        "dec": decimal("1.10"), "decnan": decimal("NaN"),
        "decbig": decimal("-9.999999999999999999999999999999999E+6144"),
        "min": Bson::MinKey, "max": Bson::MaxKey, "key with space": 1, "dollar$": 1,
    });
    all
}

pub(crate) fn ids() -> Vec<Bson> {
    vec![
        Bson::Int32(1),
        Bson::Int64(2),
        Bson::Double(2.5),
        "str".into(),
        "with \"q\"".into(),
        oid().into(),
        doc! { "a": 1, "b": "x" }.into(),
        D.into(),
        true.into(),
        binary(0, &[1, 2]),
        decimal("1.10"),
        timestamp(1, 2),
        uuid(),
        Bson::MinKey,
        Bson::MaxKey,
        doc! { "l": 3_i64, "d": D }.into(),
    ]
}

/// An id of the same type that no other round has; `None` where a type has one value.
pub(crate) fn another(id: &Bson, round: i32) -> Option<Bson> {
    let fraction = f64::from(round);
    let part = u32::try_from(round).unwrap();
    Some(match id {
        Bson::Int32(_) => Bson::Int32(round * 1000),
        Bson::Int64(_) => Bson::Int64(i64::from(round) * 1000 + 1),
        Bson::Double(_) => Bson::Double(fraction + 0.5),
        Bson::String(text) => format!("{text}{round}").into(),
        Bson::ObjectId(_) => ObjectId::new().into(),
        Bson::Document(document) => {
            let mut other = document.clone();
            other.insert("round", round);
            other.into()
        }
        Bson::DateTime(_) => DateTime::from_millis(i64::from(round) * 86_400_000).into(),
        Bson::Binary(all) => {
            let mut bytes = all.bytes.clone();
            bytes[0] = u8::try_from(round).unwrap();
            binary(u8::from(all.subtype), &bytes)
        }
        Bson::Decimal128(_) => decimal(&format!("{round}.25")),
        Bson::Timestamp(_) => timestamp(part + 1, 7),
        once if round == 0 => once.clone(),
        _ => return None,
    })
}

pub(crate) fn set_up(mongo: &Mongo, database: &str) {
    let collection = |name: &str| mongo.collection(database, name);
    block(async {
        mongo.database(database).drop().await.unwrap();
        collection("types").insert_one(everything(1)).await.unwrap();
        for id in ids() {
            collection("ids").insert_one(doc! { "_id": id, "v": 1 }).await.unwrap();
        }
        let ops = (1..8).map(|i| {
            let tags: Vec<i32> = (0..6).collect();
            doc! { "_id": i, "v": i, "a": { "b": i, "c": [1, 2, 3] }, "tags": tags }
        });
        collection("ops").insert_many(ops).await.unwrap();
        let capped = CreateCollectionOptions::builder().capped(true).size(100_000).build();
        let database = mongo.database(database);
        database.create_collection("capped").with_options(capped).await.unwrap();
        for name in ["capped", "Odd Name-\u{e4}.b", "zz_other"] {
            collection(name).insert_one(doc! { "_id": 1 }).await.unwrap();
        }
    });
}

/// What Debezium's lookup still found as it was.
pub(crate) fn first_changes(mongo: &Mongo, database: &str) {
    let collection = |name: &str| mongo.collection(database, name);
    block(async {
        collection("types").insert_one(everything(101)).await.unwrap();
        for id in ids() {
            let update = doc! { "$set": { "v": 2 } };
            collection("ids").update_one(doc! { "_id": id }, update).await.unwrap();
        }
    });
}

pub(crate) fn other_changes(mongo: &Mongo, database: &str) {
    block(async {
        for id in ids().into_iter().take(4) {
            mongo.collection(database, "ids").delete_one(doc! { "_id": id }).await.unwrap();
        }
        updates(mongo, database).await;
        rest(mongo, database).await;
        structure(mongo, database).await;
    });
}

async fn updates(mongo: &Mongo, database: &str) {
    let ops = mongo.collection(database, "ops");
    let one = async |id: i32, update: Document| {
        ops.update_one(doc! { "_id": id }, update).await.unwrap();
    };
    one(1, doc! { "$set": { "v": 10, "a.b": 20, "new": D }, "$unset": { "tags": 1 } }).await;
    one(2, doc! { "$inc": { "v": 1 }, "$push": { "tags": 99 } }).await;
    one(2, doc! { "$set": { "a.c.1": "x", "tags.0": "y" } }).await;
    one(3, doc! { "$pop": { "tags": 1 } }).await;
    one(3, doc! { "$pull": { "tags": 2 } }).await;
    one(3, doc! { "$rename": { "v": "w" } }).await;
    let pipeline = vec![doc! { "$set": { "tags": { "$slice": ["$tags", 2] }, "x.y": 1 } }];
    ops.update_one(doc! { "_id": 3 }, pipeline).await.unwrap();
    ops.replace_one(doc! { "_id": 4 }, doc! { "r": 1 }).await.unwrap();
    ops.replace_one(doc! { "_id": 4 }, doc! {}).await.unwrap();
    let both = doc! { "_id": { "$in": [5, 6] } };
    ops.update_many(both, doc! { "$set": { "m": 1 } }).await.unwrap();
    let set = doc! { "$set": { "f": 1 } };
    ops.find_one_and_update(doc! { "_id": 7 }, set.clone()).await.unwrap();
    // Changes nothing.
    one(7, set).await;
    let upsert = ops.update_one(doc! { "_id": "up" }, doc! { "$set": { "ups": 1 } }).upsert(true);
    upsert.await.unwrap();
    ops.delete_one(doc! { "_id": 5 }).await.unwrap();
    ops.delete_many(doc! { "_id": { "$gt": 5 } }).await.unwrap();
    ops.insert_one(doc! { "_id": 50, "v": 1 }).await.unwrap();
    one(50, doc! { "$set": { "v": 2 } }).await;
    ops.delete_one(doc! { "_id": 50 }).await.unwrap();
}

async fn rest(mongo: &Mongo, database: &str) {
    let ops = mongo.collection(database, "ops");
    let other = mongo.collection(database, "zz_other");
    let mut session = mongo.client.start_session().await.unwrap();
    let s = &mut session;
    s.start_transaction().await.unwrap();
    ops.insert_many((60..63).map(|i| doc! { "_id": i })).session(&mut *s).await.unwrap();
    let update = doc! { "$set": { "v": 1 } };
    ops.update_one(doc! { "_id": 60 }, update).session(&mut *s).await.unwrap();
    other.insert_one(doc! { "_id": 2 }).session(&mut *s).await.unwrap();
    ops.delete_one(doc! { "_id": 61 }).session(&mut *s).await.unwrap();
    s.commit_transaction().await.unwrap();
    s.start_transaction().await.unwrap();
    ops.insert_one(doc! { "_id": 70 }).session(&mut *s).await.unwrap();
    s.abort_transaction().await.unwrap();
}

async fn structure(mongo: &Mongo, database: &str) {
    let collection = |name: &str| mongo.collection(database, name);
    for name in ["capped", "Odd Name-\u{e4}.b"] {
        collection(name).insert_one(doc! { "_id": 2 }).await.unwrap();
    }
    mongo.database(database).create_collection("made").await.unwrap();
    collection("made").insert_one(doc! { "_id": 1 }).await.unwrap();
    let full = |name: &str| format!("{database}.{name}");
    let rename = doc! { "renameCollection": full("made"), "to": full("renamed") };
    mongo.database("admin").run_command(rename).await.unwrap();
    collection("renamed").insert_one(doc! { "_id": 2 }).await.unwrap();
    collection("renamed").drop().await.unwrap();
    collection("zz_sentinel").insert_one(doc! { "_id": 1 }).await.unwrap();
}
