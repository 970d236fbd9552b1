//! Events as servers of 4.4 to 8.0 send them, made with the driver's BSON.

use std::time::Instant;

use mongodb::bson::{Bson as Value, DateTime, Document as Driver, Timestamp, doc};

use super::*;
use crate::disposition::{Diagnose, Disposition};
use crate::value::Value as Cell;

mod transactions;

const TIME: u32 = 1_795_186_584;
const UUID: &str = "5A10049091A62E013D4E6FADF306AA86274E89";

fn config() -> DecoderConfig {
    DecoderConfig {
        source: SourceConstants { version: "0", topic_prefix: "p".to_owned() },
        lineage: "rs0".to_owned(),
        deployment: Deployment::ReplicaSet,
        filter: TableFilter::new(Vec::new(), vec!["shop.secret".to_owned()]).unwrap(),
        fields: FieldsConfig::default(),
        form: DocumentForm::Text,
        schemas: Default::default(),
        snapshot: None,
        split_bytes_max: 1 << 20,
        transaction_metadata: false,
    }
}

/// What a decoder handed on, one line each.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    ids: Vec<String>,
    positions: Vec<String>,
    letters: Vec<String>,
}

impl ChangeHandler for Seen {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let image = |row: Option<&[Cell<'_>]>| match row {
            Some([Cell::Text(key), document, update]) => {
                let document = match document {
                    Cell::Text(text) => (*text).to_owned(),
                    other => format!("{other:?}"),
                };
                match update {
                    Cell::UpdateDescription(update) => format!("{key} {document} {update:?}"),
                    Cell::Null => format!("{key} {document}"),
                    other => panic!("{other:?}"),
                }
            }
            None => "-".to_owned(),
            Some(other) => panic!("{other:?}"),
        };
        let before = image(change.before.map(Before::row));
        let after = image(change.after);
        let collection = &change.table.path[1];
        self.lines.push(format!("{} {collection} | {before} | {after}", change.op.code()));
        self.ids.push(format!("{}:{}", change.id.transaction, change.id.ordinal));
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        let complete = matches!(progress, Progress::SnapshotComplete(..));
        let Position::Mongodb(position) = progress.position() else { panic!("{progress:?}") };
        let prefix = if complete { "complete " } else { "" };
        self.positions.push(format!("{prefix}{}", position.token));
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        assert_eq!(row.error.disposition(), Disposition::DeadLetter);
        self.letters.push(format!("{} {}:{}", row.table, row.id.transaction, row.id.ordinal));
        Ok(())
    }
}

fn raw(stage: Stage, messages: &[Vec<u8>]) -> RawBatch {
    let mut ranges = Vec::new();
    let mut data = Vec::new();
    for message in messages {
        let start = u32::try_from(data.len()).unwrap();
        data.extend_from_slice(message);
        ranges.push(start..u32::try_from(data.len()).unwrap());
    }
    RawBatch { stage, data: data.into(), messages: ranges, read_at: Instant::now(), budget: None }
}

fn decode(decoder: &mut Decoder, seen: &mut Seen, messages: &[Driver]) -> Result<(), BoxError> {
    let messages: Vec<Vec<u8>> = messages.iter().map(|m| m.to_vec().unwrap()).collect();
    decoder.decode(&raw(Stage::Stream, &messages), &Bump::new(), seen)
}

/// What a new decoder hands on of one batch.
fn seen(messages: &[Driver]) -> Seen {
    let mut seen = Seen::default();
    decode(&mut Decoder::new(config()).unwrap(), &mut seen, messages).unwrap();
    seen
}

fn error(messages: &[Driver]) -> String {
    let mut decoder = Decoder::new(config()).unwrap();
    let error = decode(&mut decoder, &mut Seen::default(), messages).unwrap_err();
    assert_eq!(error.disposition(), Disposition::Stop);
    assert!(error.hint().is_some());
    chain(&*error)
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

fn token(increment: u32) -> String {
    format!("826B005F98{increment:08X}2B022C0100296E{UUID}461E5F6964002B020004")
}

/// Of an operation in a transaction.
fn token_within(increment: u32, place: u8) -> String {
    format!("826B005F98{increment:08X}2B022C01002B{:02X}6E{UUID}04", place * 2)
}

fn batch_end(data: &str) -> Driver {
    doc! { "_data": data }
}

fn event(kind: &str, increment: u32, more: Driver) -> Driver {
    let mut event = doc! {
        "_id": { "_data": token(increment) },
        "operationType": kind,
        "clusterTime": Timestamp { time: TIME, increment },
        "ns": { "db": "shop", "coll": "orders" },
        "documentKey": { "_id": 1 },
    };
    event.extend(more);
    event
}

fn insert(increment: u32) -> Driver {
    event("insert", increment, doc! { "fullDocument": { "_id": 1, "v": 2 } })
}

#[test]
fn every_operation_has_its_images() {
    let update = doc! { "updatedFields": { "v": 3 }, "removedFields": ["a", "b.c"] };
    let truncated = doc! {
        "updatedFields": {}, "removedFields": [], "disambiguatedPaths": { "a.0": ["a", "0"] },
        "truncatedArrays": [{ "field": "a", "newSize": 3 }],
    };
    let none = "removed: [], updated";
    for (event, line) in [
        (insert(1), "c orders | - | 1 {\"_id\": 1,\"v\": 2}".to_owned()),
        (
            event("replace", 1, doc! { "fullDocument": { "_id": 1 } }),
            "u orders | - | 1 {\"_id\": 1}".to_owned(),
        ),
        (
            event("update", 1, doc! { "fullDocument": { "_id": 1, "v": 3 }, "updateDescription": update.clone() }),
            "u orders | - | 1 {\"_id\": 1,\"v\": 3} UpdateDescription { removed: [\"a\", \"b.c\"], updated: Some(\"{\\\"v\\\": 3}\"), truncated: [] }".to_owned(),
        ),
        // Looked up when it was gone; not looked up at all.
        (
            event("update", 1, doc! { "fullDocument": null, "updateDescription": truncated.clone() }),
            format!("u orders | - | 1 Null UpdateDescription {{ {none}: Some(\"{{}}\"), truncated: [TruncatedArray {{ field: \"a\", new_size: 3 }}] }}"),
        ),
        (
            event("update", 1, doc! { "updateDescription": {} }),
            format!("u orders | - | 1 Null UpdateDescription {{ {none}: None, truncated: [] }}"),
        ),
        // With pre-images.
        (
            event("update", 1, doc! { "fullDocumentBeforeChange": { "_id": 1 }, "fullDocument": { "_id": 1, "v": 3 } }),
            "u orders | 1 {\"_id\": 1} | 1 {\"_id\": 1,\"v\": 3}".to_owned(),
        ),
        (event("delete", 1, doc! {}), "d orders | 1 Null | -".to_owned()),
        (
            event("delete", 1, doc! { "fullDocumentBeforeChange": { "_id": 1, "v": 3 } }),
            "d orders | 1 {\"_id\": 1,\"v\": 3} | -".to_owned(),
        ),
        (
            event("delete", 1, doc! { "fullDocumentBeforeChange": null }),
            "d orders | 1 Null | -".to_owned(),
        ),
    ] {
        assert_eq!(seen(std::slice::from_ref(&event)).lines, [line], "{event}");
    }
}

#[test]
fn of_a_sharded_key_the_id_alone_counts() {
    let event =
        event("delete", 1, doc! { "documentKey": { "country": "at", "_id": { "a": 1_i64 } } });
    assert_eq!(seen(&[event]).lines, ["d orders | {\"a\": 1} Null | -"]);
}

#[test]
fn structure_makes_no_record_and_is_progress() {
    for kind in [
        "drop",
        "rename",
        "dropDatabase",
        "invalidate",
        "create",
        "createIndexes",
        "dropIndexes",
        "modify",
        "shardCollection",
        "refineCollectionShardKey",
        "reshardCollection",
    ] {
        let mut event = event(kind, 7, doc! { "to": { "db": "shop", "coll": "new" } });
        event.remove("documentKey");
        if kind == "invalidate" {
            event.remove("ns");
        }
        let seen = seen(&[event]);
        assert_eq!((seen.lines.len(), seen.positions), (0, vec![token(7)]), "{kind}");
    }
}

#[test]
fn what_is_not_understood_stops_the_run() {
    let without = |name: &str| {
        let mut event = insert(1);
        event.remove(name);
        event
    };
    let with = |name: &str, value: Value| {
        let mut event = insert(1);
        event.insert(name, value);
        event
    };
    for (event, expected) in [
        (event("merge", 1, doc! {}), "operation type `merge` is unknown"),
        (without("operationType"), "it has no field operationType"),
        (without("clusterTime"), "it has no field clusterTime"),
        (without("documentKey"), "it has no field documentKey"),
        (without("fullDocument"), "it has no field fullDocument"),
        (with("documentKey", doc! {}.into()), "it has no field documentKey._id"),
        (with("fullDocument", 1.into()), "field fullDocument of a change event: its type is int"),
        (
            with("clusterTime", 1_i64.into()),
            "field clusterTime of a change event: its type is long",
        ),
        (with("_id", doc! {}.into()), "it has no field _id._data"),
        (with("_id", Value::Null), "it has no field _id"),
        (with("splitEvent", doc! { "fragment": 1 }.into()), "no field splitEvent.of"),
    ] {
        let error = error(std::slice::from_ref(&event));
        assert!(error.contains(expected), "{event}: {error}");
    }
    let after = error(&[insert(1), event("merge", 2, doc! {})]);
    assert!(after.starts_with("follow the change stream after its start: "), "{after}");
}

#[test]
fn a_position_is_told_once_a_batch() {
    let events = [insert(1), insert(2), batch_end(&token(2))];
    assert_eq!(seen(&events).positions, [token(2)]);
    assert_eq!(seen(&events[..2]).positions, [token(2)]);
    assert_eq!(
        seen(&[batch_end("826B005FA3000000032B0229296E04")]).positions,
        ["826B005FA3000000032B0229296E04"]
    );
    assert!(seen(&[]).positions.is_empty());
}

#[test]
fn names_of_events_are_read_out_of_their_tokens() {
    let of_transaction = |place| {
        let mut event = insert(1);
        event.insert("_id", doc! { "_data": token_within(1, place) });
        event
    };
    let events = [of_transaction(0), of_transaction(1), of_transaction(2), insert(2)];
    let names =
        ["rs0/1795186584.1:0", "rs0/1795186584.1:1", "rs0/1795186584.1:2", "rs0/1795186584.2:0"];
    assert_eq!(seen(&events).ids, names);
    // A run that begins within the transaction gives the same.
    assert_eq!(seen(&events[2..]).ids, names[2..]);
    // Filters change nothing.
    let mut filtered = events;
    filtered[1].insert("ns", doc! { "db": "shop", "coll": "secret" });
    assert_eq!(seen(&filtered).ids, [names[0], names[2], names[3]]);
}

#[test]
fn where_shards_share_a_time_the_token_is_the_name() {
    let mut decoder =
        Decoder::new(DecoderConfig { deployment: Deployment::Sharded, ..config() }).unwrap();
    let mut seen = Seen::default();
    decode(&mut decoder, &mut seen, &[insert(1)]).unwrap();
    assert_eq!(seen.ids, [format!("rs0/{}:0", token(1))]);
}

#[test]
fn times_and_transactions_stand_in_the_source_block() {
    struct Source(Vec<Vec<Option<i64>>>, Vec<String>);
    impl ChangeHandler for Source {
        fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
            self.0.push(
                change
                    .source
                    .iter()
                    .map(|value| match value {
                        Cell::Int(number) => Some(*number),
                        _ => None,
                    })
                    .collect(),
            );
            self.1.extend(change.source.iter().filter_map(|value| match value {
                Cell::Text(text) => Some((*text).to_owned()),
                _ => None,
            }));
            Ok(())
        }
        fn progress(&mut self, _: Progress) {}
        fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
            Err(row.error)
        }
    }
    let mut newer = insert(5);
    newer.extend(doc! {
        "wallTime": DateTime::from_millis(1_795_186_584_123), "txnNumber": 12_i64,
        "lsid": { "id": 1 }, "collectionUUID": 7,
    });
    let messages = [insert(3), newer].map(|event| event.to_vec().unwrap());
    let mut source = Source(Vec::new(), Vec::new());
    let mut decoder = Decoder::new(config()).unwrap();
    decoder.decode(&raw(Stage::Stream, &messages), &Bump::new(), &mut source).unwrap();
    let micros = 1_795_186_584_000_000;
    assert_eq!(
        source.0,
        [
            vec![
                Some(micros / 1000),
                None,
                Some(micros),
                Some(micros * 1000),
                Some(3),
                None,
                None,
                None
            ],
            vec![
                Some(1_795_186_584_123),
                None,
                Some(1_795_186_584_123_000),
                Some(1_795_186_584_123_000_000),
                Some(5),
                None,
                Some(12),
                Some(1_795_186_584_123),
            ],
        ]
    );
    assert_eq!(source.1, ["false", "false", "{\"id\": 1}"]);
}

#[test]
fn a_document_that_is_no_text_is_a_letter_of_its_own() {
    let mut bad = event("insert", 1, doc! { "fullDocument": { "_id": 1, "v": "xx" } });
    bad.insert("wallTime", DateTime::from_millis(1));
    let mut bad = bad.to_vec().unwrap();
    let place = bad.windows(3).position(|w| w == b"xx\0").unwrap();
    bad[place] = 0xFF;
    let messages = [bad, insert(2).to_vec().unwrap()];
    let mut seen = Seen::default();
    let mut decoder = Decoder::new(config()).unwrap();
    decoder.decode(&raw(Stage::Stream, &messages), &Bump::new(), &mut seen).unwrap();
    assert_eq!(seen.letters, ["shop.orders rs0/1795186584.1:0"]);
    assert_eq!((seen.lines.len(), seen.positions), (1, vec![token(2)]));
}

#[test]
fn what_the_snapshot_includes_is_passed_over_in_the_stream() {
    let facts = facts(&["orders"], Some(u64::from(TIME) << 32 | 2));
    let mut decoder = Decoder::new(DecoderConfig { snapshot: Some(facts), ..config() }).unwrap();
    let mut seen = Seen::default();
    for stage in [Stage::SnapshotTableEnd { table: 0 }, Stage::SnapshotEnd] {
        decoder.decode(&raw(stage, &[]), &Bump::new(), &mut seen).unwrap();
    }
    decode(&mut decoder, &mut seen, &[insert(1), insert(2), insert(3)]).unwrap();
    assert_eq!(seen.ids, ["rs0/1795186584.3:0"]);
    assert_eq!(seen.positions, ["complete 8200".to_owned(), token(3)]);
}

fn fragment(number: i32, of: i32, fields: Driver) -> Driver {
    let mut fragment = doc! { "_id": { "_data": format!("{}{number:02}", token(9)) } };
    fragment.extend(fields);
    fragment.insert("splitEvent", doc! { "fragment": number, "of": of });
    fragment
}

/// One event in three pieces.
fn fragments() -> [Driver; 3] {
    let whole = event(
        "update",
        9,
        doc! {
            "fullDocument": { "_id": 1, "v": 3 }, "fullDocumentBeforeChange": { "_id": 1 },
            "updateDescription": { "updatedFields": { "v": 3 } },
        },
    );
    let some = |names: &[&str]| -> Driver {
        names.iter().map(|name| ((*name).to_owned(), whole.get(name).unwrap().clone())).collect()
    };
    [
        fragment(
            1,
            3,
            some(&["operationType", "clusterTime", "ns", "documentKey", "fullDocument"]),
        ),
        fragment(2, 3, some(&["fullDocumentBeforeChange"])),
        fragment(3, 3, some(&["updateDescription"])),
    ]
}

#[test]
fn fragments_become_one_event_and_no_position_stands_between_them() {
    let [first, second, third] = fragments();
    let (mut decoder, mut seen) = (Decoder::new(config()).unwrap(), Seen::default());
    // A batch that ends between two fragments ends with the token of the first of them.
    let end = batch_end(&format!("{}01", token(9)));
    decode(&mut decoder, &mut seen, &[insert(8), first, end]).unwrap();
    assert_eq!(seen.positions, [token(8)]);
    decode(&mut decoder, &mut seen, &[second]).unwrap();
    assert_eq!(seen.positions.len(), 1);
    decode(&mut decoder, &mut seen, &[third, insert(10)]).unwrap();
    assert_eq!(seen.positions, [token(8), token(10)]);
    assert_eq!(seen.ids, ["rs0/1795186584.8:0", "rs0/1795186584.9:0", "rs0/1795186584.10:0"]);
    assert_eq!(
        seen.lines[1],
        "u orders | 1 {\"_id\": 1} | 1 {\"_id\": 1,\"v\": 3} UpdateDescription { removed: [], updated: Some(\"{\\\"v\\\": 3}\"), truncated: [] }"
    );
}

/// A server that splits the event otherwise, or not at all, does not find any of its fragments.
#[test]
fn no_fragments_token_is_a_place() {
    let [first, second, third] = fragments();
    let (mut decoder, mut seen) = (Decoder::new(config()).unwrap(), Seen::default());
    let end = batch_end(&format!("{}03", token(9)));
    decode(&mut decoder, &mut seen, &[insert(8), first, second, third, end.clone()]).unwrap();
    assert_eq!((seen.lines.len(), &seen.positions), (2, &vec![token(8)]));
    decode(&mut decoder, &mut seen, &[end]).unwrap();
    assert_eq!(seen.positions.len(), 1, "it may come again");
    decode(&mut decoder, &mut seen, &[batch_end(&token(10))]).unwrap();
    assert_eq!(seen.positions, [token(8), token(10)]);
    decode(&mut decoder, &mut seen, &fragments()).unwrap();
    decode(&mut decoder, &mut seen, &[insert(11)]).unwrap();
    assert_eq!(seen.positions, [token(8), token(10), token(11)]);
}

#[test]
fn fragments_that_do_not_fit_stop_the_run() {
    let [first, second, third] = fragments();
    for (messages, expected) in [
        (vec![second.clone()], "fragment 2 of 3 came after fragment 0"),
        (vec![first.clone(), third], "fragment 3 of 3 came after fragment 1"),
        (vec![first.clone(), first.clone()], "fragment 1 of 3 came after fragment 1"),
        (vec![first.clone(), insert(10)], "another event came after fragment 1 of 3"),
        (vec![first.clone(), fragment(2, 4, doc! {})], "fragment 2 of 4 came after fragment 1"),
        (vec![fragment(0, 0, doc! {})], "fragment 0 of 0 came after fragment 0"),
    ] {
        let error = error(&messages);
        assert!(error.contains(expected), "{error}");
    }
    let large =
        fragment(2, 3, doc! { "fullDocumentBeforeChange": { "_id": 1, "t": "x".repeat(1 << 20) } });
    assert!(error(&[first, large]).contains("more than 1048576 bytes"));
}

fn facts(collections: &[&str], includes: Option<u64>) -> SnapshotFacts {
    let token = "8200".parse().unwrap();
    SnapshotFacts {
        collections: collections.iter().map(|name| Namespace::new("shop", *name)).collect(),
        position: MongodbPosition { token, cluster_time: Some(5), lineage: "rs0".to_owned() },
        read_at_us: 1_700_000_000_000_000,
        includes,
    }
}

/// Documents by their `_id`; what came out as `<id> <marker>`.
struct Markers(Vec<String>, Vec<String>);

impl ChangeHandler for Markers {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let (Some([Cell::Text(key), ..]), [_, Cell::Text(marker), ..]) =
            (change.after, change.source)
        else {
            panic!("{change:?}")
        };
        self.0.push(format!("{key} {marker}"));
        self.1.push(format!("{}:{}", change.id.transaction, change.id.ordinal));
        Ok(())
    }
    fn progress(&mut self, _: Progress) {}
    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        Err(row.error)
    }
}

#[test]
fn the_very_last_document_of_a_snapshot_is_marked() {
    let config = || DecoderConfig { snapshot: Some(facts(&["a", "b", "empty"], None)), ..config() };
    let mut decoder = Decoder::new(config()).unwrap();
    let mut out = Markers(Vec::new(), Vec::new());
    let mut decode = |stage, ids: &[i32]| {
        let messages: Vec<Vec<u8>> =
            ids.iter().map(|id| doc! { "_id": id }.to_vec().unwrap()).collect();
        decoder.decode(&raw(stage, &messages), &Bump::new(), &mut out)
    };
    decode(Stage::Snapshot { table: 0 }, &[1, 2]).unwrap();
    decode(Stage::Snapshot { table: 1 }, &[3]).unwrap();
    decode(Stage::Snapshot { table: 0 }, &[4]).unwrap();
    decode(Stage::Snapshot { table: 0 }, &[]).unwrap();
    assert!(decode(Stage::SnapshotEnd, &[]).is_err(), "collections are still to end");
    for table in 0..3 {
        decode(Stage::SnapshotTableEnd { table }, &[]).unwrap();
    }
    assert!(decode(Stage::Snapshot { table: 0 }, &[5]).is_err());
    assert!(decode(Stage::SnapshotTableEnd { table: 0 }, &[]).is_err());
    assert!(decode(Stage::Snapshot { table: 3 }, &[]).is_err());
    assert!(decode(Stage::Stream, &[]).is_err());
    decode(Stage::SnapshotEnd, &[]).unwrap();
    assert!(decode(Stage::SnapshotEnd, &[]).is_err());
    assert_eq!(out.0, ["1 true", "2 true", "3 true", "4 last"]);
    let id = |name: &str, n| format!("rs0-snapshot-1700000000000000-shop.{name}:{n}");
    assert_eq!(out.1, [id("a", 0), id("a", 1), id("b", 0), id("a", 2)]);
}

#[test]
fn rules_for_fields_hold_for_every_image_and_not_for_the_key() {
    let exclude = vec!["shop.orders._id".to_owned(), "shop.orders.a.b".to_owned()];
    let rename = vec!["shop.orders.v:w".to_owned()];
    let fields = FieldsConfig { exclude, rename };
    let mut decoder = Decoder::new(DecoderConfig { fields, ..config() }).unwrap();
    let mut seen = Seen::default();
    let event = event(
        "update",
        1,
        doc! {
            "fullDocument": { "_id": 1, "v": 3, "a": { "b": 1 } },
            "fullDocumentBeforeChange": { "_id": 1, "v": 2 },
            "updateDescription": {
                "updatedFields": { "v": 3, "a.b": 1 }, "removedFields": ["a.b.c", "v", "x"],
                "truncatedArrays": [{ "field": "a.b", "newSize": 1 }, { "field": "v", "newSize": 2 }],
            },
        },
    );
    let clash = self::event("insert", 2, doc! { "fullDocument": { "_id": 1, "v": 1, "w": 2 } });
    decode(&mut decoder, &mut seen, &[event, clash]).unwrap();
    assert_eq!(
        seen.lines,
        [
            "u orders | 1 {\"w\": 2} | 1 {\"a\": {},\"w\": 3} UpdateDescription { removed: [\"w\", \"x\"], updated: Some(\"{\\\"w\\\": 3}\"), truncated: [TruncatedArray { field: \"w\", new_size: 2 }] }"
        ]
    );
    assert_eq!(seen.letters, ["shop.orders rs0/1795186584.2:0"]);
}

/// What happened to schemas, in order: `kept <field names>`, `shown <number of fields>`,
/// `told <field names>` with a position.
#[derive(Default)]
struct Schemas(Vec<String>, SchemaHistory);

impl Schemas {
    fn fields(schemas: &SchemaHistory) -> String {
        let texts: Vec<&str> = schemas.iter().map(|(_, text)| text).collect();
        let texts = texts.concat();
        let names = texts.split("\"name\":\"").skip(1).filter_map(|rest| rest.split('"').next());
        names.collect::<Vec<_>>().join(" ")
    }
}

impl ChangeHandler for Schemas {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let Some([_, Cell::Struct(fields), _]) = change.after else { panic!("{change:?}") };
        self.0.push(format!("shown {}", fields.len()));
        Ok(())
    }

    fn keep_schemas(&mut self, schemas: &SchemaHistory) -> Result<(), BoxError> {
        self.0.push(format!("kept {}", Self::fields(schemas)));
        self.1 = schemas.clone();
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        self.0.push(format!("told {}", Self::fields(progress.schemas())));
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        Err(row.error)
    }
}

fn structured() -> DecoderConfig {
    DecoderConfig { form: DocumentForm::Structured, ..config() }
}

fn document(increment: u32, document: Driver) -> Vec<u8> {
    event("insert", increment, doc! { "fullDocument": document }).to_vec().unwrap()
}

#[test]
fn a_version_is_kept_before_a_record_has_it_and_goes_with_every_position() {
    let mut decoder = Decoder::new(structured()).unwrap();
    let mut out = Schemas::default();
    let decode = |decoder: &mut Decoder, out: &mut Schemas, messages: &[Vec<u8>]| {
        decoder.decode(&raw(Stage::Stream, messages), &Bump::new(), out).unwrap();
        std::mem::take(&mut out.0)
    };
    let first = [document(1, doc! { "_id": 1 }), document(2, doc! { "_id": 2, "a": 1_i64 })];
    let said = decode(&mut decoder, &mut out, &first);
    assert_eq!(said, ["kept _id a", "shown 2", "shown 2", "told _id a"]);
    let said = decode(&mut decoder, &mut out, &[document(3, doc! { "_id": 3, "a": 2_i64 })]);
    assert_eq!(said, ["shown 2", "told _id a"], "nothing is kept twice");
    // No new version, but what a restart must know.
    let said = decode(&mut decoder, &mut out, &[document(4, doc! { "a": (1_i64 << 53) + 1 })]);
    assert_eq!(said, ["kept _id a", "shown 2", "told _id a"]);

    let schemas = out.1.clone();
    let mut decoder = Decoder::new(DecoderConfig { schemas, ..structured() }).unwrap();
    let said = decode(&mut decoder, &mut out, &first);
    assert_eq!(said, ["shown 2", "shown 2", "told _id a"]);
    let other = event(
        "insert",
        5,
        doc! { "ns": { "db": "shop", "coll": "b" }, "fullDocument": { "x": 1 } },
    );
    let said = decode(&mut decoder, &mut out, &[other.to_vec().unwrap()]);
    assert_eq!(said, ["kept x _id a", "shown 1", "told x _id a"], "of every collection");
}

#[test]
fn a_version_within_a_snapshot_is_kept_before_a_record_has_it() {
    let snapshot = Some(facts(&["a", "b"], None));
    let mut decoder = Decoder::new(DecoderConfig { snapshot, ..structured() }).unwrap();
    let mut out = Schemas::default();
    let mut decode = |stage, documents: &[Driver]| {
        let messages: Vec<Vec<u8>> = documents.iter().map(|d| d.to_vec().unwrap()).collect();
        decoder.decode(&raw(stage, &messages), &Bump::new(), &mut out).unwrap();
    };
    decode(Stage::Snapshot { table: 0 }, &[doc! { "_id": 1, "a": 1 }, doc! { "_id": 2, "b": 1 }]);
    decode(Stage::Snapshot { table: 0 }, &[doc! { "_id": 3 }]);
    decode(Stage::SnapshotTableEnd { table: 0 }, &[]);
    decode(Stage::SnapshotTableEnd { table: 1 }, &[]);
    decode(Stage::SnapshotEnd, &[]);
    assert_eq!(out.0, ["kept _id a b", "shown 3", "shown 3", "shown 3", "told _id a b"]);
}

#[test]
fn texts_pass_on_what_was_known_of_records() {
    let mut schemas = SchemaHistory::default();
    schemas.set("shop.orders", "of a program to come");
    let mut decoder = Decoder::new(DecoderConfig { schemas: schemas.clone(), ..config() }).unwrap();
    struct Told(Vec<SchemaHistory>);
    impl ChangeHandler for Told {
        fn change(&mut self, _: &Change<'_>) -> Result<(), BoxError> {
            Ok(())
        }
        fn progress(&mut self, progress: Progress) {
            self.0.push(progress.schemas().clone());
        }
        fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
            Err(row.error)
        }
    }
    let mut told = Told(Vec::new());
    let messages = [insert(1).to_vec().unwrap()];
    decoder.decode(&raw(Stage::Stream, &messages), &Bump::new(), &mut told).unwrap();
    assert_eq!(told.0, [schemas]);
}

#[test]
fn what_is_known_of_documents_and_cannot_be_read_is_a_stop_with_the_way_out() {
    let check = |text: &str, said: &str, hint: &str| {
        let mut schemas = SchemaHistory::default();
        schemas.set("shop.orders", text);
        let error = Decoder::new(DecoderConfig { schemas, ..structured() }).err().unwrap();
        assert_eq!(error.disposition(), Disposition::Stop);
        let told = chain(&error);
        assert!(told.contains("shop.orders") && told.contains(said), "{told}");
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
    };
    check("{\"format\":1,", "read what is known", "offsets forget --table 'shop.orders'");
    check("{\"format\":9,\"x\":1}", "format 9 is newer than 1", "the version of tailwater");
    let twice = r#"{"format":1,"root":[{"name":"a","kind":"text"},{"name":"a","kind":"text"}],"n_versions":1}"#;
    check(twice, "no field `a`", "documents: text");
}
