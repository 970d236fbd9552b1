//! Cases take their shape from what Debezium published (`t_key`, `t_toast`, `t_trunc`, `t_index`).

use super::*;
use crate::schema::{ColumnType, Shape};
use crate::sources::postgres::catalog::{ReplicaIdentity, TypeKind};
use crate::sources::postgres::testing::{
    FakeCatalog, Recorder, Wire, column, decode, relation, tuple_of,
};
use crate::sources::postgres::types::oid;
use crate::value::OwnedValue;

const T_KEY: u32 = 16_500;
const T_OTHER: u32 = 16_600;
const COMMIT_TIME: i64 = 848_495_046_554_303;

fn config() -> DecoderConfig {
    DecoderConfig {
        system_id: "7000".to_owned(),
        timeline: 1,
        database: "po_default".to_owned(),
        topic_prefix: "po_default".to_owned(),
        version: "3.6.0",
        filter: TableFilter::new(vec!["public.*".to_owned()], vec!["public.hidden".to_owned()])
            .unwrap(),
        unmapped_types: UnmappedTypes::Text,
        logical_messages: true,
        server_version: 150_018,
        snapshot: None,
        resume_from: None,
    }
}

fn x(start: u64, body: Wire) -> Vec<u8> {
    Wire::of(b'w').u64(start).u64(start).u64(0).bytes(body.0).0
}

fn keepalive(end: u64) -> Vec<u8> {
    Wire::of(b'k').u64(end).u64(0).bytes([0]).0
}

fn begin(commit: u64) -> Wire {
    Wire::of(b'B').u64(commit).bytes(COMMIT_TIME.to_be_bytes()).u32(777)
}

fn commit(commit: u64, end: u64) -> Wire {
    Wire::of(b'C').bytes([0]).u64(commit).u64(end).bytes(COMMIT_TIME.to_be_bytes())
}

/// The first column is the identity unless the whole row is (`f`).
fn describe(oid: u32, table: &str, identity: u8, columns: &[(&str, u32)]) -> Wire {
    let n_marked = if identity == b'f' { columns.len() } else { 1 };
    let marked: Vec<&str> = columns[..n_marked].iter().map(|(name, _)| *name).collect();
    describe_marked(oid, table, identity, columns, &marked)
}

fn describe_marked(
    oid: u32,
    table: &str,
    identity: u8,
    columns: &[(&str, u32)],
    marked: &[&str],
) -> Wire {
    let wire = Wire::of(b'R').u32(oid).text("public").text(table).bytes([identity]);
    let mut wire = wire.bytes(u16::try_from(columns.len()).unwrap().to_be_bytes());
    for (name, oid) in columns {
        let flag = u8::from(marked.contains(name));
        wire = wire.bytes([flag]).text(name).u32(*oid).u32(u32::MAX);
    }
    wire
}

const KEY_COLUMNS: [(&str, u32); 2] = [("id", oid::INT4), ("v", oid::TEXT)];

fn t_key() -> Wire {
    describe(T_KEY, "t_key", b'd', &KEY_COLUMNS)
}

fn insert(oid: u32, values: &[Option<&str>]) -> Wire {
    Wire::of(b'I').u32(oid).bytes("N").bytes(tuple_of(values))
}

fn update(oid: u32, old: Option<(&str, &[Option<&str>])>, new: &[Option<&str>]) -> Wire {
    let wire = Wire::of(b'U').u32(oid);
    let wire = match old {
        Some((tag, values)) => wire.bytes(tag).bytes(tuple_of(values)),
        None => wire,
    };
    wire.bytes("N").bytes(tuple_of(new))
}

fn delete(oid: u32, tag: &str, old: &[Option<&str>]) -> Wire {
    Wire::of(b'D').u32(oid).bytes(tag).bytes(tuple_of(old))
}

fn stream(decoder: &mut Decoder, payloads: &[Vec<u8>]) -> Result<Recorder, String> {
    let mut out = Recorder::default();
    decode(decoder, Stage::Stream, payloads, &mut out).map(|()| out)
}

fn decoder() -> Decoder {
    let facts = relation(T_KEY, "t_key", &KEY_COLUMNS);
    Decoder::new(config(), FakeCatalog::of(&[facts]))
}

/// One transaction of one batch: a relation, then `rows` from LSN 100 on, ten apart.
fn transaction(decoder: &mut Decoder, relation: Wire, rows: Vec<Wire>) -> Recorder {
    let mut payloads = vec![x(100, begin(0x9000)), x(0, relation)];
    payloads.extend((0_u64..).zip(rows).map(|(n, row)| x(100 + n * 10, row)));
    payloads.push(x(0x9030, commit(0x9000, 0x9030)));
    stream(decoder, &payloads).unwrap()
}

#[test]
fn rows_carry_their_place_and_their_ordinal() {
    let rows = vec![
        insert(T_KEY, &[Some("10"), Some("x")]),
        update(T_KEY, None, &[Some("10"), Some("xx")]),
        update(T_KEY, Some(("K", &[Some("10"), None])), &[Some("12"), None]),
        delete(T_KEY, "K", &[Some("12"), None]),
    ];
    let out = transaction(&mut decoder(), t_key(), rows);
    let seen: Vec<_> = out
        .changes
        .iter()
        .map(|c| (c.op, c.before.as_str(), c.after.as_str(), c.id.as_str()))
        .collect();
    let expected = [
        ("c", "", "10 'x'", "7000-0/9000/0"),
        ("u", "", "10 'xx'", "7000-0/9000/1"),
        ("u", "key 10 absent", "12 null", "7000-0/9000/2"),
        ("d", "key 12 absent", "", "7000-0/9000/3"),
    ];
    assert_eq!(seen, expected);
    let second = &out.changes[1];
    for (field, value) in [
        ("connector", "'postgresql'"),
        ("ts_ms", "1795179846554"),
        ("ts_us", "1795179846554303"),
        ("ts_ns", "1795179846554303000"),
        ("snapshot", "'false'"),
        ("sequence", "'[null,\"110\"]'"),
        ("schema", "'public'"),
        ("table", "'t_key'"),
        ("txId", "777"),
        ("lsn", "110"),
        ("xmin", "null"),
        ("origin", "null"),
        ("origin_lsn", "null"),
    ] {
        assert_eq!(second.source(field), value, "{field}");
    }
    assert_eq!(out.progress, [(4, "stream 0/9030 (timeline 1 of system 7000)".to_owned())]);
    let table = &second.table;
    assert_eq!((table.key.as_slice(), table.columns[0].optional), (&[0][..], false));
    assert!(table.columns[1].optional);
}

#[test]
fn begins_and_ends_are_named_by_transaction_and_place_and_dated_with_the_commit() {
    let message = |flags: u8| Wire::of(b'M').bytes([flags]).u64(0).text("p").u32(1).bytes("a");
    let rows =
        vec![insert(T_KEY, &[Some("1"), None]), message(1), delete(T_KEY, "K", &[Some("1"), None])];
    let mut decoder = decoder();
    let mut metadata = transaction(&mut decoder, t_key(), rows).metadata;
    let empty = [
        x(0x9030, begin(0x9100)),
        x(0x9130, commit(0x9100, 0x9130)),
        x(0x9140, message(0)),
        // A commit that is not the open transaction's ends nothing.
        x(0x9150, begin(0x9200)),
    ];
    metadata.extend(stream(&mut decoder, &empty).unwrap().metadata);
    let mut out = Recorder::default();
    let mismatch = [x(0x9230, commit(0x9999, 0x9A00))];
    decode(&mut decoder, Stage::Stream, &mismatch, &mut out).unwrap_err();
    assert_eq!(out.metadata, [""; 0]);
    let expected = [
        "Begin 777:100 at 1795179846554 (7000-0/9000)",
        "c of 777:100",
        "m of 777:110",
        "d of 777:120",
        "End 777:36912 at 1795179846554 (7000-0/9000)",
        "progress",
        "Begin 777:36912 at 1795179846554 (7000-0/9100)",
        "End 777:37168 at 1795179846554 (7000-0/9100)",
        "progress",
        "m of none",
        "Begin 777:37200 at 1795179846554 (7000-0/9200)",
    ];
    assert_eq!(metadata, expected);
}

#[test]
fn a_transaction_may_be_cut_into_batches_anywhere() {
    let payloads = [
        x(100, begin(0x9000)),
        x(0, t_key()),
        x(100, insert(T_KEY, &[Some("1"), None])),
        x(110, insert(T_KEY, &[Some("2"), None])),
        x(0x9030, commit(0x9000, 0x9030)),
    ];
    let whole = stream(&mut decoder(), &payloads).unwrap();
    let mut cut = decoder();
    let mut changes = Vec::new();
    for payload in payloads {
        changes.extend(stream(&mut cut, &[payload]).unwrap().changes);
    }
    assert_eq!(changes, whole.changes);
}

#[test]
fn unchanged_toast_comes_from_the_whole_old_row_or_is_unavailable() {
    let new = &[Some("1"), Some("<unchanged>")];
    let out = transaction(&mut decoder(), t_key(), vec![update(T_KEY, None, new)]);
    assert_eq!(out.changes[0].after, "1 unavailable");
    // A key that is TOAST itself: the server logs the old one.
    let row =
        update(T_KEY, Some(("K", &[Some("1"), None])), &[Some("<unchanged>"), Some("<unchanged>")]);
    let out = transaction(&mut decoder(), t_key(), vec![row]);
    assert_eq!(out.changes[0].after, "1 unavailable");
    let full = describe(T_KEY, "t_key", b'f', &KEY_COLUMNS);
    let row = update(T_KEY, Some(("O", &[Some("1"), Some("big")])), new);
    let out = transaction(&mut decoder(), full, vec![row]);
    assert_eq!(out.changes[0].before, "whole 1 'big'");
    assert_eq!(out.changes[0].after, "1 'big'");
}

#[test]
fn filtered_tables_are_counted_and_nothing_more() {
    let mut decoder = decoder();
    let hidden = describe(T_OTHER, "hidden", b'd', &[("id", 99_999)]);
    let payloads = [
        x(100, begin(0x9000)),
        x(0, hidden),
        x(100, insert(T_OTHER, &[Some("not even read")])),
        x(0, t_key()),
        x(110, insert(T_KEY, &[Some("1"), None])),
        x(120, Wire::of(b'T').u32(2).bytes([0]).u32(T_OTHER).u32(T_KEY)),
        x(0x9030, commit(0x9000, 0x9030)),
    ];
    let out = stream(&mut decoder, &payloads).unwrap();
    let seen: Vec<_> = out.changes.iter().map(|c| (c.op, c.id.as_str())).collect();
    assert_eq!(seen, [("c", "7000-0/9000/1"), ("t", "7000-0/9000/3")]);
}

#[test]
fn keepalives_move_on_between_transactions_only_and_never_back() {
    let payloads = [
        keepalive(0x50),
        keepalive(0x70),
        keepalive(0x70),
        keepalive(0x60),
        x(0x80, begin(0x90)),
        keepalive(0x85),
        x(0x98, commit(0x90, 0x98)),
        keepalive(0x98),
        keepalive(0xa0),
    ];
    let config = DecoderConfig { resume_from: Some(Lsn(0x60)), ..config() };
    let mut decoder = Decoder::new(config, Box::new(FakeCatalog::default()));
    let out = stream(&mut decoder, &payloads).unwrap();
    let seen: Vec<_> =
        out.progress.iter().map(|(_, text)| text.split(' ').nth(1).unwrap()).collect();
    assert_eq!(seen, ["0/70", "0/98", "0/A0"]);
}

#[test]
fn what_is_out_of_order_ends_the_run() {
    let fails = |payloads: &[Vec<u8>]| stream(&mut decoder(), payloads).err().unwrap();
    let row = || x(7, insert(T_KEY, &[Some("1"), None]));
    assert_eq!(
        fails(&[row()]),
        "follow the replication stream at 0/7: a row outside of a transaction"
    );
    assert_eq!(
        fails(&[x(1, begin(2)), x(3, begin(4))]),
        "follow the replication stream at 0/3: a begin inside a transaction"
    );
    assert!(fails(&[x(1, commit(2, 3))]).contains("a commit outside"));
    assert!(fails(&[x(1, begin(2)), x(1, commit(3, 4))]).contains("does not close"));
    assert_eq!(
        fails(&[x(1, begin(2)), row()]),
        "decode a change at 0/7: relation 16500 was not described"
    );
    assert_eq!(
        fails(&[keepalive(0x90), x(1, begin(2)), x(1, commit(2, 0x80))]),
        "move on to 0/80: 0/90 was reached already"
    );
    assert!(
        fails(&[x(1, begin(2)), x(1, t_key()), x(1, insert(T_KEY, &[Some("1")]))])
            .contains("it has 1 columns")
    );
    assert_eq!(fails(&[x(9, Wire::of(b'S'))]), "read the replication stream at 0/9");
}

#[test]
fn a_version_is_made_only_where_the_shape_differs() {
    let mut decoder = decoder();
    let row = || vec![insert(T_KEY, &[Some("1"), None])];
    let first = transaction(&mut decoder, t_key(), row()).changes[0].table.version;
    let mut again = |relation: Wire, row| {
        let payloads =
            [x(1, begin(0x9100)), x(1, relation), x(1, row), x(1, commit(0x9100, 0x9130))];
        let table = Arc::clone(&stream(&mut decoder, &payloads).unwrap().changes[0].table);
        (table.version, table)
    };
    let (same, _) = again(t_key(), insert(T_KEY, &[Some("1"), None]));
    assert_eq!(same, first);
    let wider =
        describe(T_KEY, "t_key", b'd', &[("id", oid::INT8), ("v", oid::TEXT), ("d", oid::DATE)]);
    let (next, table) = again(wider, insert(T_KEY, &[Some("1"), None, Some("2024-02-29")]));
    assert!(next > first);
    // The catalogue still shows an integer: its facts do not fit, the message wins.
    assert_eq!(table.columns[0].data_type, ColumnType::Int64);
    assert_eq!((table.columns.len(), table.columns[0].optional), (3, true));
    assert_eq!(table.key, [0]);
}

#[test]
fn a_null_in_a_column_that_has_none_makes_it_optional() {
    let mut facts = relation(T_KEY, "t_key", &KEY_COLUMNS);
    facts.columns[1].not_null = true;
    let mut decoder = Decoder::new(config(), FakeCatalog::of(&[facts]));
    let rows = vec![insert(T_KEY, &[Some("1"), Some("x")]), insert(T_KEY, &[Some("2"), None])];
    let out = transaction(&mut decoder, t_key(), rows);
    let optional: Vec<_> = out.changes.iter().map(|c| c.table.columns[1].optional).collect();
    assert_eq!(optional, [false, true]);
    assert!(out.changes[0].table.version < out.changes[1].table.version);
    assert_eq!(out.changes[1].after, "2 null");
}

#[test]
fn a_bad_value_costs_its_row_and_no_other() {
    let rows =
        vec![insert(T_KEY, &[Some("one"), Some("secret")]), insert(T_KEY, &[Some("2"), None])];
    let out = transaction(&mut decoder(), t_key(), rows);
    let expected = "public.t_key 7000-0/9000/0: convert column id of public.t_key: read the value as an integer";
    assert_eq!(out.undecodable, [expected]);
    assert_eq!(out.changes[0].id, "7000-0/9000/1");
}

#[test]
fn the_key_is_what_an_old_row_can_give() {
    let columns = [("id", oid::INT4), ("k1", oid::INT4), ("k2", oid::TEXT), ("v", oid::TEXT)];
    let key = |marked: &[&str], change: &dyn Fn(&mut RelationFacts)| {
        let mut facts = relation(T_KEY, "t_index", &columns);
        change(&mut facts);
        let mut decoder = Decoder::new(config(), FakeCatalog::of(&[facts]));
        let identity = if marked.len() == columns.len() { b'f' } else { b'd' };
        let relation = describe_marked(T_KEY, "t_index", identity, &columns, marked);
        let row = insert(T_KEY, &[Some("1"), Some("1"), Some("a"), None]);
        transaction(&mut decoder, relation, vec![row]).changes[0].table.key.clone()
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let all = ["id", "k1", "k2", "v"];
    let primary = |facts: &mut RelationFacts| facts.primary_key = names(&["k2", "id"]);
    let by_index = |facts: &mut RelationFacts| {
        facts.replica_identity = ReplicaIdentity::Index;
        facts.identity_index = names(&["k2", "k1"]);
    };
    let unique = |facts: &mut RelationFacts| {
        facts.primary_key.clear();
        facts.unique_key = names(&["k1"]);
    };
    assert_eq!(key(&["id"], &|_| {}), [0]);
    assert_eq!(key(&["id", "k2"], &primary), [2, 0]);
    assert_eq!(key(&["k1", "k2"], &by_index), [2, 1]);
    // No old row comes without marks, and with a whole one every key can be had.
    assert_eq!(key(&[], &unique), [1]);
    assert_eq!(key(&[], &primary), [2, 0]);
    assert_eq!(key(&all, &primary), [2, 0]);
    assert_eq!(key(&[], &|facts| facts.primary_key.clear()), [] as [usize; 0]);
    // A key that the stream does not carry is none; what the message marks is.
    assert_eq!(key(&["id"], &|facts| facts.primary_key = names(&["renamed"])), [0]);
    // The catalogue is ahead of the stream: the message wins, whether the key has other columns
    // now, or fewer (two rows of then would be one), or more, or is gone.
    assert_eq!(key(&["k1"], &primary), [1]);
    assert_eq!(key(&["id", "k1"], &|_| {}), [0, 1]);
    assert_eq!(key(&["id"], &primary), [0]);
    assert_eq!(key(&["id"], &by_index), [0]);
    assert_eq!(key(&["id"], &unique), [0]);
}

/// `DROP CONSTRAINT …, ADD PRIMARY KEY (code)` while changes waited in the log: their old rows
/// hold `id` only, and deletes and key changes were published under `{"code": 0}`.
#[test]
fn changes_from_before_an_altered_key_keep_the_key_of_their_time() {
    let columns = [("id", oid::INT4), ("code", oid::INT4)];
    let mut facts = relation(T_KEY, "t_key", &columns);
    facts.primary_key = vec!["code".to_owned()];
    facts.columns[1].not_null = true;
    let mut decoder = Decoder::new(config(), FakeCatalog::of(&[facts]));
    let rows = vec![
        delete(T_KEY, "K", &[Some("1"), None]),
        update(T_KEY, Some(("K", &[Some("2"), None])), &[Some("20"), Some("7")]),
    ];
    let out = transaction(&mut decoder, describe(T_KEY, "t_key", b'd', &columns), rows);
    let seen: Vec<_> =
        out.changes.iter().map(|c| (c.table.key.as_slice(), c.before.as_str())).collect();
    assert_eq!(seen, [(&[0][..], "key 1 absent"), (&[0][..], "key 2 absent")]);
}

/// Debezium's reader of the catalogue gives no default where the column's type is a domain.
#[test]
fn a_column_of_a_domain_has_no_default() {
    let columns = [("id", oid::INT4), ("plain", oid::INT4), ("tame", 16_700)];
    let mut facts = relation(T_KEY, "t_key", &columns);
    let base = Box::new(facts.columns[1].type_facts.clone());
    facts.columns[2].type_facts.kind = TypeKind::Domain { base, type_modifier: -1 };
    for column in &mut facts.columns[1..] {
        column.default_expression = Some("5".to_owned());
    }
    let mut decoder = Decoder::new(config(), FakeCatalog::of(&[facts]));
    let row = insert(T_KEY, &[Some("1"), Some("2"), Some("3")]);
    let out = transaction(&mut decoder, describe(T_KEY, "t_key", b'd', &columns), vec![row]);
    let [_, plain, tame] = &out.changes[0].table.columns[..] else { panic!("three columns") };
    assert_eq!((&plain.data_type, &plain.default), (&ColumnType::Int32, &Some(OwnedValue::Int(5))));
    assert_eq!((&tame.data_type, &tame.default), (&ColumnType::Int32, &None));
}

#[test]
fn logical_messages_have_a_place_of_their_own() {
    let message = |flags: u8| Wire::of(b'M').bytes([flags]).u64(0).text("pfx").u32(3).bytes("abc");
    let payloads = [
        x(100, begin(0x9000)),
        x(107, message(1)),
        x(0, t_key()),
        x(110, insert(T_KEY, &[Some("1"), None])),
        x(0x9030, commit(0x9000, 0x9030)),
        x(0x9040, message(0)),
    ];
    let out = stream(&mut decoder(), &payloads).unwrap();
    let [inside, row, outside] = &out.changes[..] else { panic!("three changes") };
    assert_eq!(
        (inside.topic().as_str(), inside.op, inside.table.shape),
        ("message", "m", Shape::Messages)
    );
    assert_eq!(inside.after, "'pfx' Bytes([97, 98, 99])");
    assert_eq!((inside.source("txId"), inside.source("sequence")), ("777", "'[null,\"107\"]'"));
    assert_eq!((inside.source("schema"), inside.source("table")), ("''", "''"));
    assert_eq!(
        (outside.source("txId"), outside.source("sequence")),
        ("null", "'[\"36912\",\"36928\"]'")
    );
    assert_eq!(outside.source("ts_us"), inside.source("ts_us"));
    assert_eq!(outside.id, "7000-message-0/9040/0");
    assert_eq!(row.id, "7000-0/9000/0");
    // Nothing is acknowledged because of a message.
    assert_eq!(out.progress.len(), 1);
    let mut quiet =
        Decoder::new(DecoderConfig { logical_messages: false, ..config() }, FakeCatalog::of(&[]));
    assert!(stream(&mut quiet, &[x(1, message(0))]).unwrap().changes.is_empty());
}

#[test]
fn origins_belong_to_their_transaction() {
    let mut decoder = decoder();
    let origin = Wire::of(b'O').u64(0x42).text("node_a");
    let payloads = [
        x(100, begin(0x9000)),
        x(100, origin),
        x(0, t_key()),
        x(100, insert(T_KEY, &[Some("1"), None])),
        x(0x9030, commit(0x9000, 0x9030)),
        x(200, begin(0x9100)),
        x(200, insert(T_KEY, &[Some("1"), None])),
        x(0x9130, commit(0x9100, 0x9130)),
    ];
    let out = stream(&mut decoder, &payloads).unwrap();
    let origins: Vec<_> =
        out.changes.iter().map(|c| (c.source("origin"), c.source("origin_lsn"))).collect();
    assert_eq!(origins, [("'node_a'", "66"), ("null", "null")]);
}

#[test]
fn types_without_mapping_follow_the_policy() {
    let columns = [("id", oid::INT4), ("q", 3615), ("v", oid::TEXT)];
    let run = |policy| {
        let facts = relation(T_KEY, "t_key", &columns);
        let config = DecoderConfig { unmapped_types: policy, ..config() };
        let mut decoder = Decoder::new(config, FakeCatalog::of(&[facts]));
        let row = insert(T_KEY, &[Some("1"), Some("'fat'"), Some("x")]);
        let payloads = [x(1, begin(2)), x(1, describe(T_KEY, "t_key", b'd', &columns)), x(1, row)];
        stream(&mut decoder, &payloads).map(|out| out.changes[0].after.clone())
    };
    assert_eq!(run(UnmappedTypes::Text), Ok("1 ''fat'' 'x'".to_owned()));
    assert_eq!(run(UnmappedTypes::Skip), Ok("1 'x'".to_owned()));
    let refused = "map column q of public.t_key: its type type 3615 has no mapping";
    assert_eq!(run(UnmappedTypes::Fail), Err(refused.to_owned()));
}

mod snapshot {
    use super::*;

    const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

    fn copy_row(id: i32, v: Option<&str>) -> Vec<u8> {
        let wire = Wire::default().bytes(b"\0\x02").u32(4).bytes(id.to_be_bytes());
        match v {
            Some(v) => wire.u32(u32::try_from(v.len()).unwrap()).bytes(v).0,
            None => wire.u32(u32::MAX).0,
        }
    }

    fn decoder(names: &[&str]) -> Decoder {
        let oids = 1_u32..;
        let tables: Vec<_> =
            oids.zip(names).map(|(oid, name)| relation(oid, name, &KEY_COLUMNS)).collect();
        let facts = SnapshotFacts {
            tables: tables.clone(),
            consistent_point: Lsn(272_475_864),
            transaction_id: 10_834,
            read_at_us: 1_795_179_843_724_192,
        };
        let config = DecoderConfig { snapshot: Some(facts), ..config() };
        Decoder::new(config, FakeCatalog::of(&tables))
    }

    /// `(table, rows)` in the order of their batches; a table ends where its rows are `None`.
    fn run(decoder: &mut Decoder, steps: &[(u32, Option<&[i32]>)]) -> Result<Recorder, String> {
        let mut out = Recorder::default();
        let mut begun = std::collections::HashSet::new();
        for (table, rows) in steps {
            let stage = Stage::Snapshot { table: *table };
            let header = begun.insert(*table).then(|| HEADER.to_vec());
            let Some(rows) = rows else {
                decode(
                    decoder,
                    stage,
                    &[[header.unwrap_or_default(), vec![255, 255]].concat()],
                    &mut out,
                )?;
                decode(decoder, Stage::SnapshotTableEnd { table: *table }, &[], &mut out)?;
                continue;
            };
            let rows = rows.iter().map(|id| copy_row(*id, Some("x")));
            let payloads: Vec<_> = header.into_iter().chain(rows).collect();
            decode(decoder, stage, &payloads, &mut out)?;
        }
        decode(decoder, Stage::SnapshotEnd, &[], &mut out)?;
        Ok(out)
    }

    fn markers(out: &Recorder) -> Vec<(String, &str, &str)> {
        let seen = out.changes.iter();
        seen.map(|c| (c.topic(), c.after.split(' ').next().unwrap(), c.source("snapshot")))
            .collect()
    }

    fn expect(found: &Recorder, expected: &[(&str, &str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(table, id, marker)| (format!("public.{table}"), *id, format!("'{marker}'")))
            .collect();
        let found: Vec<_> =
            markers(found).into_iter().map(|(t, id, m)| (t, id, m.to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_are_marked_as_debezium_marks_them() {
        let mut decoder = decoder(&["a", "b", "c", "d"]);
        let steps: [(u32, Option<&[i32]>); 8] = [
            (0, Some(&[1])),
            (0, None),
            (1, Some(&[1, 2, 3])),
            (1, None),
            (2, Some(&[1, 2])),
            (2, None),
            // Empty: the last row of the snapshot is that of the table before.
            (3, Some(&[])),
            (3, None),
        ];
        let out = run(&mut decoder, &steps).unwrap();
        expect(
            &out,
            &[
                ("a", "1", "first"),
                ("b", "1", "first_in_data_collection"),
                ("b", "2", "true"),
                ("b", "3", "last_in_data_collection"),
                ("c", "1", "first_in_data_collection"),
                ("c", "2", "last"),
            ],
        );
        let row = &out.changes[1];
        assert_eq!(row.op, "r");
        assert_eq!(
            row.id,
            "7000-snapshot-0/103DA158-public.b/0"
                .replace("103DA158", &format!("{:X}", 272_475_864))
        );
        assert_eq!(row.source("sequence"), "'[null,\"272475864\"]'");
        assert_eq!((row.source("txId"), row.source("lsn")), ("10834", "272475864"));
        assert_eq!(row.source("ts_us"), "1795179843724192");
        assert_eq!(out.progress.len(), 1);
        assert!(out.progress[0].1.starts_with("snapshot 0/"));
        assert_eq!(out.progress[0].0, 6);
    }

    #[test]
    fn tables_may_interleave_and_end_in_any_order() {
        let mut decoder = decoder(&["a", "b", "c"]);
        let steps: [(u32, Option<&[i32]>); 7] = [
            (2, Some(&[1])),
            (0, Some(&[1])),
            (2, Some(&[2])),
            (2, None),
            (1, Some(&[1])),
            (1, None),
            (0, None),
        ];
        let out = run(&mut decoder, &steps).unwrap();
        expect(
            &out,
            &[
                ("c", "1", "first_in_data_collection"),
                ("b", "1", "last_in_data_collection"),
                ("a", "1", "first"),
                ("c", "2", "last"),
            ],
        );
    }

    #[test]
    fn an_empty_snapshot_is_complete_at_once() {
        let out = run(&mut decoder(&["a"]), &[(0, None)]).unwrap();
        assert!(out.changes.is_empty());
        assert_eq!(out.progress.len(), 1);
        let mut only = decoder(&["a"]);
        expect(&run(&mut only, &[(0, Some(&[1])), (0, None)]).unwrap(), &[("a", "1", "last")]);
    }

    #[test]
    fn what_was_cut_off_is_not_complete() {
        let mut out = Recorder::default();
        let mut cut = decoder(&["a"]);
        let rows = [HEADER.to_vec(), copy_row(1, None)];
        decode(&mut cut, Stage::Snapshot { table: 0 }, &rows, &mut out).unwrap();
        let error = decode(&mut cut, Stage::SnapshotTableEnd { table: 0 }, &[], &mut out);
        assert_eq!(
            error,
            Err("decode a snapshot batch: a table ended without the trailer of its COPY".to_owned())
        );
        let error = decode(&mut cut, Stage::SnapshotEnd, &[], &mut out);
        assert_eq!(
            error,
            Err("decode a snapshot batch: it ended before all of its tables".to_owned())
        );
        let error = decode(&mut decoder(&["a"]), Stage::Stream, &[keepalive(1)], &mut out);
        assert!(error.is_err());
        assert!(out.progress.is_empty());
    }

    #[test]
    fn snapshot_and_stream_share_a_version_where_their_shapes_are_equal() {
        let mut decoder = decoder(&["t_key"]);
        let read = run(&mut decoder, &[(0, Some(&[1])), (0, None)]).unwrap();
        let at = 272_475_900;
        let payloads = [
            x(at, begin(at)),
            x(at, describe(1, "t_key", b'd', &KEY_COLUMNS)),
            x(at, insert(1, &[Some("2"), Some("y")])),
        ];
        let out = stream(&mut decoder, &payloads).unwrap();
        assert_eq!(out.changes[0].table, read.changes[0].table);
    }

    #[test]
    fn a_null_in_a_snapshot_row_makes_its_column_optional() {
        let mut facts = relation(1, "a", &KEY_COLUMNS);
        facts.columns[1] = column("v", oid::TEXT);
        facts.columns[1].not_null = true;
        let snapshot = SnapshotFacts {
            tables: vec![facts],
            consistent_point: Lsn(1),
            transaction_id: 1,
            read_at_us: 0,
        };
        let mut decoder = Decoder::new(
            DecoderConfig { snapshot: Some(snapshot), ..config() },
            FakeCatalog::of(&[]),
        );
        let mut out = Recorder::default();
        let rows = [HEADER.to_vec(), copy_row(1, Some("x")), copy_row(2, None), vec![255, 255]];
        decode(&mut decoder, Stage::Snapshot { table: 0 }, &rows, &mut out).unwrap();
        decode(&mut decoder, Stage::SnapshotTableEnd { table: 0 }, &[], &mut out).unwrap();
        decode(&mut decoder, Stage::SnapshotEnd, &[], &mut out).unwrap();
        let optional: Vec<_> = out.changes.iter().map(|c| c.table.columns[1].optional).collect();
        assert_eq!(optional, [false, true]);
    }
}

mod total {
    use proptest::prelude::*;

    use super::*;

    const WIDE: [(&str, u32); 8] = [
        ("id", oid::INT4),
        ("t", oid::TEXT),
        ("n", oid::NUMERIC),
        ("b", oid::BYTEA),
        ("z", oid::TIMESTAMPTZ),
        ("a", 1009),
        ("j", oid::JSONB),
        ("i", oid::INTERVAL),
    ];

    fn script() -> Vec<Vec<u8>> {
        let row = [
            Some("1"),
            Some("ü"),
            Some("1.50"),
            Some("\\x00ff"),
            Some("2024-02-29 01:02:03+02"),
            Some("{a,\"b,c\",NULL}"),
            None,
            Some("1 day"),
        ];
        vec![
            x(1, describe(T_KEY, "t_key", b'd', &WIDE)),
            x(2, begin(0x9000)),
            x(3, insert(T_KEY, &row)),
            x(4, update(T_KEY, Some(("O", &row)), &row)),
            x(5, delete(T_KEY, "K", &row)),
            x(6, Wire::of(b'T').u32(1).bytes([0]).u32(T_KEY)),
            x(7, Wire::of(b'M').bytes([1]).u64(0).text("pfx").u32(3).bytes("abc")),
            x(8, commit(0x9000, 0x9030)),
            keepalive(0x9040),
        ]
    }

    proptest! {
        /// Bent anywhere, cut anywhere, in any order: changes or an error, and no step back.
        #[test]
        fn any_stream_gives_changes_or_an_error(
            order in prop::collection::vec(0_usize..9, 0..12),
            bends in prop::collection::vec((0_usize..2000, any::<u8>()), 0..4),
            cut in 0_usize..4000,
        ) {
            let script = script();
            let order = if order.is_empty() { (0..script.len()).collect() } else { order };
            let mut payloads: Vec<_> = order.iter().map(|&index| script[index].clone()).collect();
            for (at, byte) in bends {
                let payload = at % payloads.len();
                let payload = &mut payloads[payload];
                let at = at % payload.len();
                payload[at] = byte;
            }
            if let Some(payload) = payloads.last_mut() {
                payload.truncate(cut.min(payload.len()));
            }
            let mut out = Recorder::default();
            let mut decoder = decoder();
            let result = decode(&mut decoder, Stage::Stream, &payloads, &mut out);
            std::hint::black_box(result.is_ok());
            for change in &out.changes {
                prop_assert!(change.id.starts_with("7000-"));
            }
        }
    }
}
