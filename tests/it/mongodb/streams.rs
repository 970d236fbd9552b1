//! What happens to a change stream in its life: elections, rollbacks, collections that come and go,
//! documents that are gone or too large, idle and slow servers.

use std::time::Duration;

use mongodb::Collection;
use mongodb::bson::{Bson, Decimal128, Document, RawDocumentBuf, doc};
use serde_json::{Value, json};

use super::basics::{arrive, ops};
use super::lines;
use crate::support::mongodb::failure::Failure;
use crate::support::mongodb::state::{Fault, Options};
use crate::support::mongodb::{Mongo, block};
use crate::support::tailwater::{Setup, Tailwater, exit};
use crate::support::{eventually, seconds, unique};

/// A server of its own, a collection with one document, and a pipeline that has read it.
struct Running {
    mongo: Mongo,
    name: String,
    t: Collection<Document>,
    setup: Setup,
    tailwater: Tailwater,
}

fn running(wire: i32, test: &str, adjust: impl Fn(&mut Setup)) -> Option<Running> {
    let mongo = Mongo::alone(Options::of_wire(wire), &format!("mongodb::streams::{test}"))?;
    let name = unique("mongo_streams");
    let t = mongo.collection(&name, "t");
    block(t.insert_one(doc! { "_id": 0 })).unwrap();
    let mut setup = Setup::mongodb(&mongo, &name);
    setup.set("delivery.checkpoint_interval", "100ms");
    adjust(&mut setup);
    let tailwater = setup.start();
    tailwater.ready();
    arrive(&tailwater, 1);
    Some(Running { mongo, name, t, setup, tailwater })
}

impl Running {
    fn insert(&self, id: i32) {
        block(self.t.insert_one(doc! { "_id": id })).unwrap();
    }

    fn keys(&self) -> Vec<String> {
        let key = |line: &Value| line["key"]["id"].as_str().unwrap().to_owned();
        lines(&self.tailwater.stdout).iter().map(key).collect()
    }
}

fn fault(command: &str, failure: Failure) -> Fault {
    Fault {
        commands: vec![command.to_owned()],
        times: Some(1),
        skip: 0,
        failure: Some(failure),
        close: false,
        block: Duration::ZERO,
    }
}

/// MG-13, MG-04: only the explicit codes mean that something is lost.
#[test]
fn elections_and_passing_errors_are_survived() {
    let Some(run) = running(21, "elections_and_passing_errors", |_| ()) else { return };
    let errors = [
        (10107, "NotWritablePrimary"),
        (189, "PrimarySteppedDown"),
        (43, "CursorNotFound"),
        (237, "CursorKilled"),
        (11602, "InterruptedDueToReplStateChange"),
        (91, "ShutdownInProgress"),
        (6, "HostUnreachable"),
        (234, "RetryChangeStream"),
        (50, "MaxTimeMSExpired"),
    ];
    for (n, (code, name)) in (1..).zip(errors) {
        let failure = Failure::new(code, name, "ordered by the test");
        run.mongo.order(fault("getMore", failure.label("ResumableChangeStreamError")));
        run.insert(n);
        arrive(&run.tailwater, usize::try_from(n).unwrap() + 1);
    }
    for n in 10..13 {
        run.mongo.step_down(Duration::from_millis(400));
        std::thread::sleep(Duration::from_millis(100));
        assert!(eventually(seconds(10), || run.mongo.is_writable().then_some(())).is_some());
        run.insert(n);
        arrive(&run.tailwater, usize::try_from(n).unwrap() + 1);
    }
    run.mongo.kill_cursors();
    run.insert(13);
    run.mongo.cut();
    run.insert(14);
    arrive(&run.tailwater, 15);
    let expected: Vec<String> = (0..15).map(|n| n.to_string()).collect();
    let mut keys = run.keys();
    keys.dedup();
    assert_eq!(keys, expected, "each in order");
    run.tailwater.stop().expect(0, &[]);
}

/// MG-13: a write that no majority has may be undone, and must not be told before.
#[test]
fn what_no_majority_has_is_not_told_and_a_rollback_is_survived() {
    let Some(run) = running(21, "a_rollback", |_| ()) else { return };
    run.insert(1);
    arrive(&run.tailwater, 2);
    run.mongo.hold_majority();
    for id in 2..6 {
        run.insert(id);
    }
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(run.keys(), ["0", "1"]);
    assert!(run.mongo.roll_back() >= 4, "the writes were lost");
    assert!(eventually(seconds(10), || run.mongo.is_writable().then_some(())).is_some());
    run.insert(100);
    arrive(&run.tailwater, 3);
    assert_eq!(run.keys(), ["0", "1", "100"]);
    run.tailwater.stop().expect(0, &[]);
}

/// MG-02: the token of a collection that nobody writes to grows old, unless the others' does.
#[test]
fn an_idle_collections_place_moves_with_the_log() {
    for wire in [9, 21] {
        let Some(run) = running(wire, "an_idle_collection", |_| ()) else { return };
        let other = run.mongo.collection("elsewhere", "busy");
        for n in 0..5 {
            block(other.insert_one(doc! { "n": n })).unwrap();
            std::thread::sleep(Duration::from_millis(300));
        }
        run.mongo.noop();
        std::thread::sleep(Duration::from_secs(1));
        run.tailwater.stop().expect(0, &[]);
        // Everything up to a moment ago is thrown away: only a place that moved is still there.
        run.mongo.forget_log_before(Duration::from_millis(1500));
        block(run.t.insert_one(doc! { "_id": 1 })).unwrap();
        assert_eq!(ops(&run.setup.catch_up()), "c", "wire {wire}");
    }
}

/// MG-03: the collection of the last token is captured no more.
#[test]
fn a_token_of_a_collection_that_is_captured_no_more_still_counts() {
    let Some(run) = running(21, "a_token_of_a_collection", |_| ()) else { return };
    let left = run.mongo.collection(&run.name, "left");
    block(left.insert_one(doc! { "_id": 7 })).unwrap();
    arrive(&run.tailwater, 2);
    run.tailwater.stop().expect(0, &[]);
    let mut setup = run.setup.clone();
    setup.set("source.mongodb.collections.include", vec![format!("{}.t", run.name)]);
    block(left.insert_one(doc! { "_id": 8 })).unwrap();
    block(run.t.insert_one(doc! { "_id": 1 })).unwrap();
    assert_eq!(ops(&setup.catch_up()), "c");
}

/// A number in an `_id` that is no int32 leaves its type beside the token's text (`_typeBits`), and
/// a server wants both back: after a kill, and after a stop, for every such type.
#[test]
fn tokens_that_tell_the_types_of_numbers_outlive_kills_and_restarts() {
    let decimal: Decimal128 = "1.10".parse().unwrap();
    let ids: [Bson; 7] = [
        7_i64.into(),
        (-1_i64 << 40).into(),
        2.5.into(),
        (-0.0).into(),
        Bson::Decimal128(decimal),
        doc! { "l": 3_i64, "s": "x" }.into(),
        doc! { "a": [1_i64] }.into(),
    ];
    for wire in [9, 21] {
        let test = "mongodb::streams::tokens_that_tell_types";
        // Nothing else moves the place away from the event.
        let options = Options { noop: Duration::from_secs(3600), ..Options::of_wire(wire) };
        let Some(mongo) = Mongo::alone(options, test) else { return };
        let name = unique("mongo_types");
        let t = mongo.collection(&name, "t");
        block(t.insert_one(doc! { "_id": "first" })).unwrap();
        let mut setup = Setup::mongodb(&mongo, &name);
        setup.set("delivery.checkpoint_interval", "50ms");
        assert_eq!(ops(&setup.catch_up()), "r");
        for (n, id) in ids.iter().enumerate() {
            let tailwater = setup.start();
            tailwater.ready();
            block(t.insert_one(doc! { "_id": id.clone() })).unwrap();
            arrive(&tailwater, 1);
            // Several times what a checkpoint takes.
            std::thread::sleep(Duration::from_millis(400));
            let resumed = tailwater.said();
            let with_types = resumed.contains("\"position\":\"bson:");
            assert_eq!(with_types, n > 0, "wire {wire}, before {id:?}: {resumed}");
            let ended = if n % 2 == 0 { tailwater.kill() } else { tailwater.stop() };
            assert_eq!(ops(&ended), "c", "wire {wire}, {id:?}: each once");
        }
        block(t.delete_one(doc! { "_id": 7_i64 })).unwrap();
        assert_eq!(ops(&setup.catch_up()), "d.", "wire {wire}");
    }
}

/// MG-06: the update stays, without a document, and the delete follows.
#[test]
fn a_document_that_is_gone_before_it_is_looked_up_is_told_as_gone() {
    let Some(run) = running(9, "a_document_that_is_gone", |_| ()) else { return };
    run.tailwater.stop().expect(0, &[]);
    block(run.t.update_one(doc! { "_id": 0 }, doc! { "$set": { "v": 1 } })).unwrap();
    block(run.t.delete_one(doc! { "_id": 0 })).unwrap();
    let ended = run.setup.catch_up();
    assert_eq!(ops(&ended), "ud.");
    let update = &ended.lines()[0]["value"];
    assert_eq!(update["after"], Value::Null);
    assert_eq!(update["updateDescription"]["updatedFields"], "{\"v\": 1}");
}

/// MG-07: a look-up may return the future, an image does not.
#[test]
fn three_quick_updates_have_their_own_documents_with_images() {
    for (full_document, expected) in [("lookup", "3 3 3"), ("required", "1 2 3")] {
        let Some(run) = running(21, "three_quick_updates", |_| ()) else { return };
        run.tailwater.stop().expect(0, &[]);
        let images = doc! { "collMod": "t", "changeStreamPreAndPostImages": { "enabled": true } };
        block(run.mongo.database(&run.name).run_command(images)).unwrap();
        for n in 1..4 {
            block(run.t.update_one(doc! { "_id": 0 }, doc! { "$set": { "v": n } })).unwrap();
        }
        let mut setup = run.setup.clone();
        setup.set("source.mongodb.full_document", full_document);
        let ended = setup.catch_up();
        let lines = ended.lines();
        let versions = lines.iter().map(|line| {
            let after: Value =
                serde_json::from_str(line["value"]["after"].as_str().unwrap()).unwrap();
            after["v"].to_string()
        });
        assert_eq!(versions.collect::<Vec<_>>().join(" "), expected, "{full_document}");
    }
}

/// MG-08: the stream goes on behind what ends it, at every scope.
#[test]
fn collections_are_dropped_renamed_and_made_again() {
    for wire in [9, 21] {
        for scope in ["deployment", "database", "collection"] {
            let adjust = |setup: &mut Setup| {
                let name = setup.prefix.clone();
                setup.set("source.mongodb.capture_scope", scope);
                match scope {
                    "database" => drop(setup.set("source.mongodb.capture_target", name)),
                    "collection" => {
                        let target = format!("{name}.t");
                        setup.set("source.mongodb.capture_target", target.clone());
                        setup.set("source.mongodb.collections.include", vec![target]);
                    }
                    _ => {}
                }
            };
            let Some(run) = running(wire, "collections_are_dropped", adjust) else { return };
            drop_rename_and_make(&run, &format!("wire {wire}, {scope}"));
        }
    }
}

/// A rename makes no events of the documents that it brings: never without a word, whether or not
/// the old name is captured, and `$out` is one too. What it writes on its way makes no topics.
#[test]
fn documents_that_come_by_a_rename_or_an_out_are_told_of() {
    for (wire, include) in [(9, "t"), (21, "*"), (21, "t")] {
        let only = |setup: &mut Setup| {
            let include = format!("{}.{include}", setup.prefix);
            setup.set("source.mongodb.collections.include", vec![include]);
        };
        let Some(run) = running(wire, "documents_that_come_by_a_rename", only) else { return };
        let other = run.mongo.collection(&run.name, "raw");
        block(other.insert_many((1..4).map(|n| doc! { "_id": n }))).unwrap();
        let cursor = block(other.aggregate(vec![doc! { "$out": "t" }])).unwrap();
        drop(cursor);
        run.tailwater.says("\"collection\":\"t\",\"renamed_from\"", seconds(20));
        run.tailwater.says("use `$merge` in place of `$out`", seconds(1));
        let full = |name: &str| format!("{}.{name}", run.name);
        let rename = |from: String, to: String| {
            drop(run.mongo.admin(doc! { "renameCollection": from, "to": to }))
        };
        // Onto a free name: neither of these is what the next one brings.
        rename(full("t"), full("was"));
        rename(full("raw"), full("t"));
        let from = format!("\"renamed_from\":\"{}\"", full("raw"));
        run.tailwater.says(&from, seconds(20));
        run.insert(7);
        let n_before = if include == "t" { 1 } else { 4 };
        arrive(&run.tailwater, n_before + 1);
        assert_eq!(run.keys().last().map(String::as_str), Some("7"));
        let said = run.tailwater.said();
        let n_errors = if include == "t" { 2 } else { 3 };
        assert_eq!(said.matches("\"level\":\"ERROR\"").count(), n_errors, "{said}");
        let written = std::fs::read_to_string(&run.tailwater.stdout).unwrap();
        assert!(!written.contains("agg_out"), "{written}");
    }
}

fn drop_rename_and_make(run: &Running, case: &str) {
    let index = doc! { "key": { "v": 1 }, "name": "v_1" };
    let indexes = doc! { "createIndexes": "t", "indexes": [index] };
    block(run.mongo.database(&run.name).run_command(indexes)).unwrap();
    let mut n = 1;
    let mut alive = |id: i32| {
        run.insert(id);
        n += 1;
        arrive(&run.tailwater, n);
        assert_eq!(run.keys().last(), Some(&id.to_string()), "{case}");
    };
    alive(1);
    block(run.t.drop()).unwrap();
    alive(2);
    let full = |name: &str| format!("{}.{name}", run.name);
    // Out of the scope of a collection's stream, and back by a new one.
    run.mongo.admin(doc! { "renameCollection": full("t"), "to": full("other") });
    alive(3);
    block(run.mongo.database(&run.name).drop()).unwrap();
    alive(4);
    let ended = run.tailwater.process.ended();
    assert!(ended.is_none(), "{case}: {ended:?} {}", run.tailwater.said());
}

/// MG-05: 16 MB of the document before and after, and their difference, in one event.
#[test]
fn an_event_beyond_16_mb_comes_in_fragments_and_is_one_again() {
    let adjust = |setup: &mut Setup| {
        setup.set("source.mongodb.message_bytes_max", "64MiB");
    };
    let Some(run) = running(21, "an_event_beyond_16_mb", adjust) else { return };
    run.tailwater.stop().expect(0, &[]);
    let images = doc! { "collMod": "t", "changeStreamPreAndPostImages": { "enabled": true } };
    block(run.mongo.database(&run.name).run_command(images)).unwrap();
    let large = |letter: &str| letter.repeat(11_000_000);
    block(run.t.update_one(doc! { "_id": 0 }, doc! { "$set": { "a": large("x") } })).unwrap();
    block(run.t.replace_one(doc! { "_id": 0 }, doc! { "a": large("y") })).unwrap();
    block(run.t.insert_one(doc! { "_id": 1 })).unwrap();
    let mut setup = run.setup.clone();
    setup.set("source.mongodb.pre_images", "required");
    setup.set("source.mongodb.full_document", "required");
    // Dies between fragments, too: the place is before the first one.
    let mut armed = setup.clone();
    armed.env("FAILPOINTS", "read=1*off->return");
    armed.start().wait(seconds(60)).expect(exit::ABORTED, &[]);
    let ended = setup.catch_up();
    assert_eq!(ops(&ended), "uuc");
    let records = ended.lines();
    let part = |line: &Value, name: &str| line["value"][name].as_str().unwrap().to_owned();
    assert!(part(&records[0], "after").contains(&large("x")));
    assert!(part(&records[1], "before").contains(&large("x")));
    assert!(part(&records[1], "after").contains(&large("y")));
}

/// MG-05: behind its fragments is no place to go on from, once the document that was looked up is
/// small: the server does not split the event again.
#[test]
fn a_split_event_that_would_not_be_split_again_comes_twice() {
    let test = "mongodb::streams::a_split_event_that_would_not_be_split_again";
    // Nothing else moves the place away from the event.
    let options = Options { noop: Duration::from_secs(3600), ..Options::of_wire(21) };
    let Some(mongo) = Mongo::alone(options, test) else { return };
    let name = unique("mongo_shrinks");
    let t = mongo.collection(&name, "t");
    block(t.insert_one(doc! { "_id": 0 })).unwrap();
    let mut setup = Setup::mongodb(&mongo, &name);
    setup.set("source.mongodb.message_bytes_max", "64MiB");
    setup.set("delivery.checkpoint_interval", "50ms");
    assert_eq!(ops(&setup.catch_up()), "r");
    let tailwater = setup.start();
    tailwater.ready();
    let large = doc! { "$set": { "a": "x".repeat(11_000_000) } };
    block(t.update_one(doc! { "_id": 0 }, large)).unwrap();
    arrive(&tailwater, 1);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(ops(&tailwater.stop()), "u");
    block(t.update_one(doc! { "_id": 0 }, doc! { "$set": { "a": "y" } })).unwrap();
    let ended = setup.catch_up();
    assert_eq!(ops(&ended), "uu", "the first once more");
    assert!(!ended.stderr.contains("not in what is captured now"), "{}", ended.stderr);
}

/// MG-05: without fragments the server cannot send it, and says so again at every start.
#[test]
fn an_event_beyond_16_mb_of_an_old_server_stops_loudly() {
    let Some(run) = running(9, "an_event_beyond_16_mb_of_an_old_server", |_| ()) else { return };
    run.tailwater.stop().expect(0, &[]);
    let large = doc! { "$set": { "a": "x".repeat(11_000_000) } };
    block(run.t.update_one(doc! { "_id": 0 }, large)).unwrap();
    run.setup.fails(exit::SOURCE, &["larger than the 16 MB", "7.0"]);
}

/// A collection that was made behind the start check keeps no images: what mends it is told.
#[test]
fn a_collection_without_images_where_they_are_required_stops_with_the_command() {
    let Some(run) = running(21, "a_collection_without_images", |_| ()) else { return };
    run.tailwater.stop().expect(0, &[]);
    let images = doc! { "collMod": "t", "changeStreamPreAndPostImages": { "enabled": true } };
    block(run.mongo.database(&run.name).run_command(images)).unwrap();
    let mut setup = run.setup.clone();
    setup.set("source.mongodb.pre_images", "required");
    let tailwater = setup.start();
    tailwater.ready();
    let made = run.mongo.collection(&run.name, "made");
    block(made.insert_one(doc! { "_id": 1 })).unwrap();
    block(made.delete_one(doc! { "_id": 1 })).unwrap();
    let said = ["51770", "pre_images: required", "collMod: changeStreamPreAndPostImages"];
    tailwater.wait(seconds(30)).expect(exit::SOURCE, &said);
}

/// MG-17: what is no text is not made to look like some.
#[test]
fn broken_text_and_repeated_names_follow_the_documented_policy() {
    let Some(run) = running(21, "broken_text", |_| ()) else { return };
    let raw: Collection<RawDocumentBuf> = run.mongo.client.database(&run.name).collection("t");
    // { _id: 2, a: 1, a: 2 } and { _id: 1, s: "a<FF>b" }
    let twice = b"\x1c\0\0\0\x10_id\0\x02\0\0\0\x10a\0\x01\0\0\0\x10a\0\x02\0\0\0\0";
    let broken = b"\x19\0\0\0\x10_id\0\x01\0\0\0\x02s\0\x04\0\0\0a\xFFb\0\0";
    for bytes in [&twice[..], &broken[..]] {
        let document = RawDocumentBuf::from_bytes(bytes.to_vec()).unwrap();
        block(raw.insert_one(document)).unwrap();
    }
    run.insert(3);
    let ended = run.tailwater.wait(seconds(30));
    assert_ne!(ended.code, 0, "it stops, unless it was told otherwise: {}", ended.stderr);
    assert!(ended.stderr.contains("UTF-8"), "{}", ended.stderr);
    let mut setup = run.setup.clone();
    let letters = setup.folder.join("letters");
    setup.set("dead_letter", json!({ "conversion": "dead_letter", "path": &letters }));
    let mut records = ended.lines();
    records.extend(setup.catch_up().lines());
    let after = |id: &str| {
        let record = records.iter().find(|l| l["key"]["id"] == id);
        record.and_then(|l| l["value"]["after"].as_str()).map(str::to_owned)
    };
    assert_eq!(after("2").as_deref(), Some("{\"_id\": 2,\"a\": 1,\"a\": 2}"), "names stay");
    assert_eq!(after("1"), None, "never a text that it is not");
    assert_eq!(after("3").as_deref(), Some("{\"_id\": 3}"));
    let letters = std::fs::read_to_string(letters).unwrap();
    assert_eq!(letters.lines().count(), 1, "{letters}");
}

/// MG-19, MG-04: a server that needs long is not a server that lost something.
#[test]
fn a_server_that_takes_long_to_resume_is_waited_for() {
    let Some(run) = running(21, "a_server_that_takes_long", |_| ()) else { return };
    run.tailwater.stop().expect(0, &[]);
    block(run.t.insert_one(doc! { "_id": 1 })).unwrap();
    let slow = |command: &str| Fault {
        commands: vec![command.to_owned()],
        times: Some(1),
        skip: 0,
        failure: None,
        close: false,
        block: Duration::from_secs(12),
    };
    run.mongo.order(slow("aggregate"));
    assert_eq!(ops(&run.setup.catch_up()), "c");
}

/// MG-11: what was thrown away while the snapshot was read is a loud stop.
#[test]
fn a_log_that_ends_behind_the_snapshot_is_no_success() {
    let test = "mongodb::streams::a_log_that_ends_behind_the_snapshot";
    let Some(mongo) = Mongo::alone(Options::of_wire(21), test) else { return };
    let name = unique("mongo_window");
    let t = mongo.collection(&name, "t");
    block(t.insert_many((0..5000).map(|n| doc! { "_id": n, "v": "x".repeat(500) }))).unwrap();
    let setup = Setup::mongodb(&mongo, &name);
    // The snapshot waits, and the log goes by meanwhile.
    mongo.order(Fault {
        commands: vec!["getMore".to_owned()],
        times: Some(1),
        skip: 0,
        failure: None,
        close: false,
        block: Duration::from_secs(4),
    });
    let tailwater = setup.start();
    let reads = eventually(seconds(60), || (mongo.n_commands("getMore") > 0).then_some(()));
    assert!(reads.is_some(), "{}", tailwater.said());
    block(t.insert_one(doc! { "_id": 10_000 })).unwrap();
    mongo.noop();
    mongo.forget_log();
    let ended = tailwater.wait(seconds(60)).expect(exit::SOURCE, &["oplog"]);
    assert!(!ended.stdout.contains("10000"));
}

/// MG-14: what one of several readers meets ends all of them, and is told.
#[test]
fn an_error_of_a_reader_of_the_snapshot_stops_the_run() {
    let test = "mongodb::streams::an_error_of_a_reader";
    let Some(mongo) = Mongo::alone(Options::of_wire(21), test) else { return };
    let name = unique("mongo_reader");
    for collection in ["a", "b", "c"] {
        let all = (0..2000).map(|n| doc! { "_id": n, "v": "x".repeat(500) });
        block(mongo.collection(&name, collection).insert_many(all)).unwrap();
    }
    let message = "the storage engine has seen something that it never should";
    let mut broken = fault("find", Failure::bad_value(message));
    (broken.times, broken.skip) = (None, 3);
    mongo.order(broken);
    let setup = Setup::mongodb(&mongo, &name);
    setup.fails(exit::SOURCE, &[message]);
}
