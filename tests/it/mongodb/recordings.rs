//! What a stock client said to a real 4.4.1 server is said again to the played one, message by
//! message, and the answers are compared: fields, their order, their types, and every value that
//! does not name a moment or a random identity. Tokens are compared digit by digit but for their
//! time and the collection's UUID.
//!
//! What other clients wrote meanwhile was not recorded; it is done again as the recorded events
//! tell it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use mongodb::bson::{Bson, Document, Timestamp, doc};

use crate::support::mongodb::raw::parse;
use crate::support::mongodb::state::Options;
use crate::support::mongodb::wire::{Request, decode};
use crate::support::mongodb::{Mongo, block};

/// What the played server does not tell, or tells otherwise: `(path, reason)`.
const ALLOWED: &[(&str, &str)] = &[
    ("buildInfo", "names its own build"),
    ("replSetGetStatus", "a set of one member tells less of elections and of its storage"),
];

const FOLDER: &str = "tests/golden/mongodb/wire";

struct Exchange {
    connection: i64,
    request: Request,
    sent: Vec<u8>,
    reply: Document,
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

/// The document of a whole reply: behind the header of `OP_MSG`, or of `OP_REPLY`.
fn reply_document(bytes: &[u8]) -> Document {
    let legacy = bytes[12..16] == 1_i32.to_le_bytes();
    parse(&bytes[if legacy { 36 } else { 21 }..]).expect("a reply has a document")
}

/// Messages that were answered, each with its answer.
fn exchanges(scenario: &str) -> Vec<Exchange> {
    let text =
        std::fs::read_to_string(Path::new(FOLDER).join(format!("{scenario}.jsonl"))).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages = |from: &str| -> Vec<(i64, Vec<u8>)> {
        let of = lines.iter().filter(|line| line["from"] == from);
        of.map(|l| (l["conn"].as_i64().unwrap(), hex(l["hex"].as_str().unwrap()))).collect()
    };
    let replies = messages("server");
    let mut found = vec![];
    for (connection, sent) in messages("client") {
        let answers = |(c, reply): &&(i64, Vec<u8>)| *c == connection && reply[8..12] == sent[4..8];
        if let Some((_, reply)) = replies.iter().find(answers) {
            let request = decode(&sent[..16], &sent[16..]).unwrap();
            found.push(Exchange { connection, request, reply: reply_document(reply), sent });
        }
    }
    found
}

/// What stands for a recorded identity in this run.
#[derive(Default)]
struct Known {
    cursors: HashMap<i64, i64>,
    tokens: HashMap<String, String>,
    times: BTreeMap<(u32, u32), Timestamp>,
}

impl Known {
    fn learn(&mut self, recorded: &Document, ours: &Document) {
        for (name, value) in recorded {
            match (value, ours.get(name)) {
                (Bson::Document(a), Some(Bson::Document(b))) => self.learn(a, b),
                (Bson::Array(a), Some(Bson::Array(b))) => {
                    for (a, b) in a.iter().zip(b) {
                        if let (Bson::Document(a), Bson::Document(b)) = (a, b) {
                            self.learn(a, b);
                        }
                    }
                }
                (Bson::Int64(a), Some(Bson::Int64(b))) if name == "id" => {
                    self.cursors.insert(*a, *b);
                }
                (Bson::String(a), Some(Bson::String(b))) if name == "_data" => {
                    self.tokens.insert(a.clone(), b.clone());
                }
                (Bson::Timestamp(a), Some(Bson::Timestamp(b))) => {
                    self.times.insert((a.time, a.increment), *b);
                }
                _ => {}
            }
        }
    }

    fn ours(&self, value: &Bson) -> Bson {
        match value {
            Bson::Document(all) => {
                let fields = all.iter().filter(|(name, _)| *name != "$clusterTime");
                Bson::Document(fields.map(|(n, v)| (n.clone(), self.ours(v))).collect())
            }
            Bson::Array(all) => Bson::Array(all.iter().map(|v| self.ours(v)).collect()),
            Bson::Int64(id) => Bson::Int64(self.cursors.get(id).copied().unwrap_or(*id)),
            Bson::String(text) => Bson::String(self.tokens.get(text).unwrap_or(text).clone()),
            Bson::Timestamp(time) => {
                let known = self.times.get(&(time.time, time.increment));
                Bson::Timestamp(known.copied().unwrap_or(*time))
            }
            other => other.clone(),
        }
    }
}

struct Replay {
    mongo: Mongo,
    scenario: &'static str,
    connections: HashMap<i64, TcpStream>,
    known: Known,
    /// Recorded events that were made here already.
    made: BTreeSet<String>,
    n_messages: usize,
    n_fields: usize,
    differing: Vec<String>,
    allowed: BTreeSet<&'static str>,
}

impl Replay {
    fn run(scenario: &'static str) -> Option<Self> {
        let options = Options { noop: Duration::from_secs(3600), ..Options::of_wire(9) };
        let mongo = Mongo::alone(options, "mongodb::recordings")?;
        let mut replay = Self {
            mongo,
            scenario,
            connections: HashMap::new(),
            known: Known::default(),
            made: BTreeSet::new(),
            n_messages: 0,
            n_fields: 0,
            differing: vec![],
            allowed: BTreeSet::new(),
        };
        replay.prepare();
        for exchange in exchanges(scenario) {
            replay.operate(&exchange);
            let ours = replay.say(&exchange);
            replay.known.learn(&exchange.reply, &ours);
            replay.n_messages += 1;
            let name = exchange.request.name.clone();
            replay.documents(&name, &exchange.reply, &ours);
        }
        Some(replay)
    }

    fn insert(&self, database: &str, collection: &str, document: Document) {
        block(self.mongo.collection(database, collection).insert_one(document)).unwrap();
    }

    /// What was there before the recording began.
    fn prepare(&self) {
        match self.scenario {
            "array_updates" => self.insert(
                "rec",
                "arr",
                doc! { "_id": 1, "a": [1, 2], "s": { "t": 1, "u": 1 }, "d": 1 },
            ),
            "invalidate_database" => self.insert("recdrop", "a", doc! { "_id": 1 }),
            "invalidate_collection" => self.insert("rec", "inv", doc! { "_id": 1 }),
            "large_event" => self.insert("rec", "big", doc! { "_id": 1 }),
            "snapshot_find" => {
                for name in ["elsewhere", "mo_default", "rec2", "x"] {
                    self.insert(name, "a", doc! { "_id": 1 });
                }
                for name in ["a", "inv", "arr"] {
                    self.insert("rec", name, doc! { "_id": 1 });
                }
                let all = (0..250).map(|n| doc! { "_id": n });
                block(self.mongo.collection("rec", "snap").insert_many(all)).unwrap();
            }
            _ => {}
        }
    }

    /// Does what others did before this answer.
    fn operate(&mut self, exchange: &Exchange) {
        let cursor = exchange.reply.get_document("cursor").ok();
        let batch =
            cursor.and_then(|c| c.get_array("nextBatch").or(c.get_array("firstBatch")).ok());
        let events: Vec<&Document> = batch
            .into_iter()
            .flatten()
            .filter_map(Bson::as_document)
            .filter(|event| event.contains_key("operationType"))
            .collect();
        let n_events = events.len();
        let mut transaction = vec![];
        for event in events {
            let token = event.get_document("_id").unwrap().get_str("_data").unwrap();
            if !self.made.insert(token.to_owned()) {
                continue;
            }
            if event.contains_key("txnNumber") {
                transaction.push(event.clone());
                continue;
            }
            self.transact(std::mem::take(&mut transaction));
            self.repeat(event);
        }
        self.transact(transaction);
        match exchange.reply.get_i32("code") {
            Ok(10334) => {
                let all = self.mongo.collection("rec", "big");
                let update = doc! { "$set": { "b": "x".repeat(11_010_048) } };
                block(all.update_one(doc! { "_id": 1 }, update)).unwrap();
            }
            Ok(280) => {
                self.mongo.noop();
                self.mongo.forget_log();
                self.insert("rec", "other", doc! { "_id": 0 });
            }
            _ => {}
        }
        let last = cursor.and_then(|c| c.get_document("postBatchResumeToken").ok());
        let last = last.and_then(|token| token.get_str("_data").ok());
        if n_events > 0 && last.is_some_and(|token| token.ends_with("2B0229296E04")) {
            // Another database's writes, which only the post-batch token shows.
            self.mongo.noop();
        }
    }

    fn transact(&self, events: Vec<Document>) {
        if events.is_empty() {
            return;
        }
        block(async {
            let mut session = self.mongo.client.start_session().await.unwrap();
            session.start_transaction().await.unwrap();
            for event in events {
                let all = self.namespace(event.get_document("ns").unwrap());
                match event.get_str("operationType").unwrap() {
                    "insert" => {
                        let document = event.get_document("fullDocument").unwrap();
                        drop(all.insert_one(document).session(&mut session).await.unwrap());
                    }
                    "delete" => {
                        let key = event.get_document("documentKey").unwrap().clone();
                        all.delete_one(key).session(&mut session).await.unwrap();
                    }
                    other => panic!("{other} in a transaction"),
                }
            }
            session.commit_transaction().await.unwrap();
        });
    }

    fn namespace(&self, ns: &Document) -> mongodb::Collection<Document> {
        self.mongo.collection(ns.get_str("db").unwrap(), ns.get_str("coll").unwrap())
    }

    fn repeat(&self, event: &Document) {
        let kind = event.get_str("operationType").unwrap();
        if kind == "invalidate" {
            return;
        }
        let ns = event.get_document("ns").unwrap();
        if kind == "dropDatabase" {
            block(self.mongo.database(ns.get_str("db").unwrap()).drop()).unwrap();
            return;
        }
        let all = self.namespace(ns);
        let key = || event.get_document("documentKey").unwrap().clone();
        let full = || event.get_document("fullDocument").unwrap().clone();
        match kind {
            "insert" => drop(block(all.insert_one(full())).unwrap()),
            "replace" => drop(block(all.replace_one(key(), full())).unwrap()),
            "delete" => {
                block(all.delete_one(key())).unwrap();
            }
            "drop" => block(all.drop()).unwrap(),
            "update" => {
                let described = event.get_document("updateDescription").unwrap();
                let set = described.get_document("updatedFields").unwrap().clone();
                drop(block(all.update_one(key(), doc! { "$set": set })).unwrap());
            }
            "rename" => {
                let to = event.get_document("to").unwrap();
                let full = |ns: &Document| {
                    format!("{}.{}", ns.get_str("db").unwrap(), ns.get_str("coll").unwrap())
                };
                self.mongo.admin(doc! { "renameCollection": full(ns), "to": full(to) });
            }
            other => panic!("a recorded {other}"),
        }
    }

    /// Sends the recorded message, with this run's identities in it.
    fn say(&mut self, exchange: &Exchange) -> Document {
        let port = self.mongo.port();
        let stream = self.connections.entry(exchange.connection).or_insert_with(|| {
            let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream
        });
        let legacy = exchange.sent[12..16] == 2004_i32.to_le_bytes();
        let message = if legacy {
            exchange.sent.clone()
        } else {
            let mut command = exchange.request.command.clone();
            if command.contains_key("maxTimeMS") {
                // How long it waits for nothing is not compared.
                command.insert("maxTimeMS", 20);
            }
            let command = Bson::Document(command);
            let Bson::Document(command) = self.known.ours(&command) else { unreachable!() };
            let body = command.to_vec().unwrap();
            let n = i32::try_from(21 + body.len()).unwrap();
            let mut message = n.to_le_bytes().to_vec();
            message.extend(&exchange.sent[4..16]);
            message.extend([0; 5]);
            message.extend(body);
            message
        };
        stream.write_all(&message).unwrap();
        let mut reply = vec![0; 4];
        stream.read_exact(&mut reply).unwrap();
        let n = i32::from_le_bytes([reply[0], reply[1], reply[2], reply[3]]);
        reply.resize(usize::try_from(n).unwrap(), 0);
        stream.read_exact(&mut reply[4..]).unwrap();
        assert_eq!(reply[8..12], exchange.sent[4..8], "the answer names its question");
        reply_document(&reply)
    }

    fn documents(&mut self, path: &str, recorded: &Document, ours: &Document) {
        let names = |d: &Document| d.keys().cloned().collect::<Vec<_>>();
        if names(recorded) != names(ours) {
            self.differs(path, &format!("fields {:?}, ours {:?}", names(recorded), names(ours)));
        }
        for (name, value) in recorded {
            if let Some(our) = ours.get(name) {
                self.values(&format!("{path}.{name}"), name, value, our);
            }
        }
    }

    fn values(&mut self, path: &str, name: &str, recorded: &Bson, ours: &Bson) {
        self.n_fields += 1;
        if recorded.element_type() != ours.element_type() {
            let kinds = (recorded.element_type(), ours.element_type());
            return self.differs(path, &format!("types {kinds:?}"));
        }
        match (recorded, ours) {
            (Bson::Document(a), Bson::Document(b)) => self.documents(path, a, b),
            (Bson::Array(a), Bson::Array(b)) if a.len() == b.len() => {
                for (at, (a, b)) in a.iter().zip(b).enumerate() {
                    self.values(&format!("{path}.{at}"), name, a, b);
                }
            }
            (Bson::Binary(a), Bson::Binary(b)) => {
                if (a.subtype, a.bytes.len()) != (b.subtype, b.bytes.len()) {
                    self.differs(path, &format!("{a:?}, ours {b:?}"));
                }
            }
            (Bson::Timestamp(_) | Bson::DateTime(_) | Bson::ObjectId(_), _) => {}
            (Bson::Int64(a), Bson::Int64(b)) if name == "id" => {
                if (*a == 0) != (*b == 0) {
                    self.differs(path, "one cursor is closed");
                }
            }
            (Bson::String(a), Bson::String(b)) => {
                let (a, b) = (masked(name, a), masked(name, b));
                if a != b {
                    self.differs(path, &format!("{a}, ours {b}"));
                }
            }
            _ if is_random(name) => {}
            (a, b) if a == b => {}
            (a, b) => self.differs(path, &format!("{a}, ours {b}")),
        }
    }

    fn differs(&mut self, path: &str, how: &str) {
        match ALLOWED.iter().find(|(allowed, _)| path.starts_with(allowed)) {
            Some((allowed, _)) => {
                self.allowed.insert(allowed);
            }
            None => self.differing.push(format!("{}: {path}: {how}", self.scenario)),
        }
    }
}

fn is_random(name: &str) -> bool {
    matches!(
        name,
        "connectionId"
            | "txnNumber"
            | "cursorsKilled"
            | "cursorsNotFound"
            | "sizeOnDisk"
            | "totalSize"
            | "counter"
    )
}

/// A text without what differs from run to run.
fn masked(name: &str, text: &str) -> String {
    match name {
        "_data" => token(text),
        "hosts" | "me" | "primary" => "host".to_owned(),
        "errmsg" => match text.split_once("_data: \"") {
            Some((before, rest)) => {
                let (data, after) = rest.split_once('"').unwrap();
                format!("{}_data: {}{after}", without_numbers(before), token(data))
            }
            None => text.to_owned(),
        },
        _ => text.to_owned(),
    }
}

fn without_numbers(text: &str) -> String {
    let sizes = regex::Regex::new("[0-9]+ \\(0x[0-9a-fA-F]+\\)").unwrap();
    sizes.replace(text, "N").into_owned()
}

fn token(data: &str) -> String {
    let pattern = "^82[0-9A-F]{16}(2B.*?6[EF])(5A1004)[0-9A-F]{32}(.*)$";
    let of_collection = regex::Regex::new(pattern).unwrap();
    let of_time = regex::Regex::new("^82[0-9A-F]{16}(.*)$").unwrap();
    match (of_collection.captures(data), of_time.captures(data)) {
        (Some(parts), _) => {
            format!("82<time>{}{}<uuid>{}", &parts[1], &parts[2], &parts[3])
        }
        (None, Some(parts)) => format!("82<time>{}", &parts[1]),
        (None, None) => data.to_owned(),
    }
}

#[test]
fn its_answers_have_the_form_of_a_real_servers() {
    let scenarios = [
        "array_updates",
        "bad_token",
        "ddl",
        "deleted_before_lookup",
        "handshake",
        "history_lost",
        "idle",
        "invalidate_collection",
        "invalidate_database",
        "large_event",
        "snapshot_find",
        "start_at_operation_time",
        "transaction",
        "watch_database",
        "watch_deployment",
    ];
    let (mut n_messages, mut n_fields, mut differing) = (0, 0, vec![]);
    let mut allowed = BTreeSet::new();
    for scenario in scenarios {
        let Some(replay) = Replay::run(scenario) else { return };
        n_messages += replay.n_messages;
        n_fields += replay.n_fields;
        differing.extend(replay.differing.clone());
        allowed.extend(replay.allowed.clone());
    }
    println!(
        "golden mongodb wire: {n_messages} answers, {n_fields} fields compared, {} differing, {} allowed",
        differing.len(),
        allowed.len()
    );
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert_eq!(allowed.len(), ALLOWED.len(), "what differs no more is taken from the list");
}
