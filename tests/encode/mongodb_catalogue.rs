//! `tests/golden/sql/mongodb_operations.py` as a change stream tells it: documents that a snapshot
//! reads, and the events of the operations, made with the driver's own BSON.
//!
//! What Debezium looked up after an update is in the golden records; here every lookup is as of the
//! same moments, which are its own: late in a batch of quick updates.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{
    Binary, Bson, DateTime, Document, JavaScriptCodeWithScope, Regex, Timestamp, doc,
};

/// Collection and document, in the order of reading.
pub(crate) fn snapshot() -> Vec<(&'static str, Document)> {
    let mut documents = vec![("Odd Name-ä.b", doc! { "_id": 1 }), ("capped", doc! { "_id": 1 })];
    documents.extend(ids().into_iter().map(|id| ("ids", doc! { "_id": id, "v": 1 })));
    documents.extend((1..8).map(|id| {
        let tags: Vec<i32> = (0..6).collect();
        ("ops", doc! { "_id": id, "v": id, "a": { "b": id, "c": [1, 2, 3] }, "tags": tags })
    }));
    documents.push(("types", everything(1)));
    documents.push(("zz_other", doc! { "_id": 1 }));
    documents
}

/// One operation of the stream.
pub(crate) struct Operation {
    /// Its place within the second, which is Debezium's `ord`.
    pub(crate) ord: u32,
    /// Its place within a transaction.
    pub(crate) transaction: Option<u8>,
    pub(crate) kind: &'static str,
    pub(crate) collection: &'static str,
    pub(crate) id: Option<Bson>,
    /// Written with the event itself: of inserts and replacements.
    pub(crate) document: Option<Document>,
    /// Of updates: what changed.
    pub(crate) update: Option<Document>,
    /// Of updates: what is there later, `None` where it is gone by then.
    pub(crate) looked_up: Option<Document>,
}

/// Counts the entries of the oplog, those that nobody is told of included.
struct Stream {
    operations: Vec<Operation>,
    next: u32,
    in_transaction: Option<u8>,
}

impl Stream {
    fn push(
        &mut self,
        kind: &'static str,
        collection: &'static str,
        id: Option<Bson>,
    ) -> &mut Operation {
        let transaction = self.in_transaction;
        self.in_transaction = transaction.map(|place| place + 1);
        let ord = self.next;
        if transaction.is_none() {
            self.next += 1;
        }
        let (document, update, looked_up) = (None, None, None);
        self.operations.push(Operation {
            ord,
            transaction,
            kind,
            collection,
            id,
            document,
            update,
            looked_up,
        });
        self.operations.last_mut().unwrap()
    }

    fn insert(&mut self, collection: &'static str, document: Document) {
        let id = document.get("_id").cloned();
        self.push("insert", collection, id).document = Some(document);
    }

    fn replace(&mut self, collection: &'static str, document: Document) {
        let id = document.get("_id").cloned();
        self.push("replace", collection, id).document = Some(document);
    }

    fn delete(&mut self, collection: &'static str, id: impl Into<Bson>) {
        self.push("delete", collection, Some(id.into()));
    }

    fn update(
        &mut self,
        collection: &'static str,
        id: impl Into<Bson>,
        (updated, removed): (Document, &[&str]),
        looked_up: Option<Document>,
    ) {
        let operation = self.push("update", collection, Some(id.into()));
        operation.update = Some(doc! { "updatedFields": updated, "removedFields": removed });
        operation.looked_up = looked_up;
    }

    /// An entry that is no change of a document.
    fn structure(&mut self, kind: &'static str, collection: &'static str) {
        self.push(kind, collection, None);
    }

    /// An entry that the stream does not show.
    fn hidden(&mut self) {
        self.next += 1;
    }
}

pub(crate) fn stream() -> Vec<Operation> {
    let mut s = Stream { operations: Vec::new(), next: 1, in_transaction: None };
    s.insert("types", everything(101));
    for id in ids() {
        let now = doc! { "_id": id.clone(), "v": 2 };
        s.update("ids", id, (doc! { "v": 2 }, &[]), Some(now));
    }
    for id in ids().into_iter().take(4) {
        s.delete("ids", id);
    }
    updates(&mut s);
    transaction(&mut s);
    s.hidden();
    s.hidden();
    s.hidden();
    s.hidden();
    s.hidden();
    s.insert("capped", doc! { "_id": 2 });
    s.insert("Odd Name-ä.b", doc! { "_id": 2 });
    s.structure("create", "made");
    s.insert("made", doc! { "_id": 1 });
    s.structure("rename", "made");
    s.insert("renamed", doc! { "_id": 2 });
    s.structure("drop", "renamed");
    s.operations
}

fn updates(s: &mut Stream) {
    let date = date();
    let one = doc! { "_id": 1, "v": 10, "a": { "b": 20, "c": [1, 2, 3] }, "new": date };
    let set = doc! { "a.b": 20, "new": date, "v": 10 };
    s.update("ops", 1, (set, &["tags"]), Some(one));
    let two = doc! {
        "_id": 2, "v": 3, "a": { "b": 2, "c": [1, "x", 3] }, "tags": ["y", 1, 2, 3, 4, 5, 99],
    };
    s.update("ops", 2, (doc! { "tags.6": 99, "v": 3 }, &[]), Some(two.clone()));
    s.update("ops", 2, (doc! { "a.c.1": "x", "tags.0": "y" }, &[]), Some(two));
    let three = doc! {
        "_id": 3, "a": { "b": 3, "c": [1, 2, 3] }, "tags": [0, 1], "w": 3, "x": { "y": 1 },
    };
    s.update("ops", 3, (doc! { "tags": [0, 1, 2, 3, 4] }, &[]), Some(three.clone()));
    s.update("ops", 3, (doc! { "tags": [0, 1, 3, 4] }, &[]), Some(three.clone()));
    s.update("ops", 3, (doc! { "w": 3 }, &["v"]), Some(three.clone()));
    // 4.4 logs an update by a pipeline as a replacement.
    s.replace("ops", three);
    s.replace("ops", doc! { "_id": 4, "r": 1 });
    s.replace("ops", doc! { "_id": 4 });
    s.update("ops", 5, (doc! { "m": 1 }, &[]), None);
    s.update("ops", 6, (doc! { "m": 1 }, &[]), None);
    // findAndModify keeps its old document for a retry.
    s.hidden();
    s.update("ops", 7, (doc! { "f": 1 }, &[]), None);
    s.insert("ops", doc! { "_id": "up", "ups": 1 });
    for id in [5, 6, 7] {
        s.delete("ops", id);
    }
    s.insert("ops", doc! { "_id": 50, "v": 1 });
    s.update("ops", 50, (doc! { "v": 2 }, &[]), None);
    s.delete("ops", 50);
}

fn transaction(s: &mut Stream) {
    s.in_transaction = Some(0);
    for id in 60..63 {
        s.insert("ops", doc! { "_id": id });
    }
    s.update("ops", 60, (doc! { "v": 1 }, &[]), Some(doc! { "_id": 60, "v": 1 }));
    s.insert("zz_other", doc! { "_id": 2 });
    s.delete("ops", 61);
    s.in_transaction = None;
    s.next += 1;
}

/// `IDS`
fn ids() -> Vec<Bson> {
    vec![
        Bson::Int32(1),
        Bson::Int64(2),
        Bson::Double(2.5),
        Bson::from("str"),
        Bson::from("with \"q\""),
        oid().into(),
        doc! { "a": 1, "b": "x" }.into(),
        date().into(),
        Bson::Boolean(true),
        binary(BinarySubtype::Generic, b"\x01\x02"),
        decimal("1.10"),
        Bson::Timestamp(Timestamp { time: 1, increment: 2 }),
        binary(BinarySubtype::Uuid, &UUID),
        Bson::MinKey,
        Bson::MaxKey,
        doc! { "l": 3_i64, "d": date() }.into(),
    ]
}

const UUID: [u8; 16] = [
    0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11,
];

fn oid() -> ObjectId {
    ObjectId::parse_str("5f43a1b2c3d4e5f60718293a").unwrap()
}

fn date() -> DateTime {
    DateTime::from_millis(1_709_168_523_456)
}

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse().unwrap())
}

fn binary(subtype: BinarySubtype, bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype, bytes: bytes.to_vec() })
}

fn regex(pattern: &str, options: &str) -> Bson {
    Bson::RegularExpression(Regex {
        pattern: pattern.try_into().unwrap(),
        options: options.try_into().unwrap(),
    })
}

/// `everything`
fn everything(id: i32) -> Document {
    let mut all = doc! {
        "_id": id, "d": 1.5, "di": 3.0, "dn": f64::NAN, "dinf": f64::NEG_INFINITY, "dz": -0.0,
        "dbig": 1e300, "s": "päpier 😀 \"q\" \\ \n \u{2028} </x>", "se": "",
        "sub": { "b": 1, "a": { "x": [] } }, "empty": {}, "arr": [1, "x", null, [2, { "y": 1 }]],
        "ea": [],
    };
    let sixteen = b"0123456789abcdef";
    all.extend(doc! {
        "bin": binary(BinarySubtype::Generic, b"\x00\xff\x10"),
        "b2": binary(BinarySubtype::BinaryOld, b"abc"),
        "uu": binary(BinarySubtype::Uuid, &UUID),
        "u3": binary(BinarySubtype::UuidOld, sixteen),
        "md5": binary(BinarySubtype::Md5, sixteen),
        "b128": binary(BinarySubtype::UserDefined(128), b"\x01"),
        "oid": oid(), "t": true, "f": false, "date": date(),
        "dneg": DateTime::from_millis(-1), "dold": DateTime::from_millis(-62_135_596_800_000),
        "n": null, "re": regex("^a/b\"c", "imx"), "ree": regex("", ""),
        "ref": { "$ref": "coll", "$id": oid(), "$db": "other" },
    });
    let code = JavaScriptCodeWithScope { code: "x+1".to_owned(), scope: doc! { "x": 1 } };
    all.extend(doc! {
        "js": Bson::JavaScriptCode("function(){return \"x\"}".to_owned()), "jsw": code,
        "i": i32::MAX, "ineg": -1,
        "ts": Timestamp { time: 1_700_000_000, increment: 7 },
        "l": i64::MAX, "lneg": -1_i64, "lsmall": 5_i64,
        "dec": decimal("1.10"), "decnan": decimal("NaN"),
        "decbig": decimal("-9.999999999999999999999999999999999E+6144"),
        "min": Bson::MinKey, "max": Bson::MaxKey, "key with space": 1, "dollar$": 1,
    });
    all
}
