//! The SQL of the golden files through snapshot and stream: no row is undecodable, each topic has
//! the changes that Debezium published, marked as it marked them, with the same values wherever a
//! value has one obvious JSON form. (Every form is compared where the records are encoded.)

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};
use tailwater::config::UnmappedTypes;
use tailwater::schema::{ColumnType, Shape};
use tailwater::sources::Stage;
use tailwater::sources::postgres::select::copy_statement;
use tailwater::value::OwnedValue;

use super::facts::{Facts, Keeper, Kept, KeptValue, decode, decoder, snapshot_of};
use super::server::{Server, batch, changes, copied};

/// What Debezium leaves out is left out.
const POLICY: UnmappedTypes = UnmappedTypes::Skip;

#[tokio::test(flavor = "current_thread")]
async fn the_golden_sql_gives_debeziums_changes() {
    tokio::task::LocalSet::new().run_until(run()).await;
}

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One by one, as they were run: no literal in them has a semicolon.
fn statements(name: &str) -> Vec<String> {
    golden(name).split(';').map(str::to_owned).collect()
}

async fn run() {
    let server = Server::start();
    let client = server.connect("UTC").await;
    client.batch_execute("create publication p for all tables").await.unwrap();
    for statement in statements("sql/pg_setup.sql") {
        client
            .batch_execute(&statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    client
        .execute("select pg_create_logical_replication_slot('s', 'pgoutput')", &[])
        .await
        .unwrap();
    let tables = Facts::read(&client).await.tables();
    let mut kept = Keeper::default();
    let mut payloads = Vec::new();
    for table in &tables {
        payloads.push(copied(&client, &copy_statement(table, POLICY)).await);
    }
    for statement in statements("sql/pg_stream.sql") {
        client
            .batch_execute(&statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    // Facts are read late on purpose: the catalogue shows what is, the log what was.
    let facts = Facts::read(&client).await;
    let mut decoder = decoder(&facts, POLICY, Some(snapshot_of(&tables)));
    for (number, payloads) in (0..).zip(&payloads) {
        decode(&mut decoder, &batch(Stage::Snapshot { table: number }, payloads), &mut kept);
        decode(&mut decoder, &batch(Stage::SnapshotTableEnd { table: number }, &[]), &mut kept);
    }
    decode(&mut decoder, &batch(Stage::SnapshotEnd, &[]), &mut kept);
    decode(&mut decoder, &changes(&client, "s", "p").await, &mut kept);
    assert!(kept.progress > 50, "every commit is progress");
    compare(&kept.changes);
}

/// Operation, marker and `after` of each record.
type Topics = BTreeMap<String, Vec<(String, String, Json)>>;

fn compare(changes: &[Kept]) {
    let mut expected = Topics::new();
    for line in golden("postgresql/default/records.jsonl").lines() {
        let record: Json = serde_json::from_str(line).unwrap();
        let value = &record["value"];
        if value.is_null() {
            continue;
        }
        let path = record["topic"].as_str().unwrap().split_once('.').unwrap().1.to_owned();
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        let row = (text(&value["op"]), text(&value["source"]["snapshot"]), value["after"].clone());
        expected.entry(path).or_default().push(row);
    }
    let mut found = Topics::new();
    for change in changes {
        let rows = found.entry(topic(change)).or_default();
        if key_changed(change) {
            rows.push(("d".to_owned(), change.snapshot.clone(), Json::Null));
            rows.push(("c".to_owned(), change.snapshot.clone(), after(change)));
        } else {
            rows.push((change.op.to_owned(), change.snapshot.clone(), after(change)));
        }
    }
    // The golden files end before it.
    found.remove("public.zz_sentinel");
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let mut n_values = 0;
    for (topic, expected) in &expected {
        let found = &found[topic];
        let kinds = |rows: &[(String, String, Json)]| -> Vec<_> {
            rows.iter().map(|(op, marker, _)| format!("{op} {marker}")).collect()
        };
        assert_eq!(kinds(found), kinds(expected), "{topic}");
        for ((_, _, found), (_, _, expected)) in found.iter().zip(expected) {
            let Some(found) = found.as_object() else { continue };
            let names: Vec<_> = expected.as_object().unwrap().keys().collect();
            assert_eq!(found.keys().collect::<Vec<_>>(), names, "{topic}");
            for (name, value) in found {
                if value != &json!("not compared") {
                    n_values += 1;
                    assert_eq!(value, &expected[name], "{topic}.{name}");
                }
            }
        }
    }
    assert!(n_values > 500, "{n_values} values were compared");
}

/// As the topic is called: characters that Kafka refuses become underscores.
fn topic(change: &Kept) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let path = change.table.path.join(".");
    path.chars().map(|c| if legal(c) { c } else { '_' }).collect()
}

fn key_changed(change: &Kept) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return false };
    change.table.key.iter().any(|&index| before[index] != after[index])
}

fn after(change: &Kept) -> Json {
    let Some(after) = &change.after else { return Json::Null };
    if change.table.shape == Shape::Messages {
        return Json::Null;
    }
    let columns = change.table.columns.iter().zip(after);
    columns
        .map(|(c, value)| (c.name.clone(), json_of(change, &c.name, &c.data_type, value)))
        .collect()
}

fn json_of(change: &Kept, name: &str, data_type: &ColumnType, value: &KeptValue) -> Json {
    let skip = || json!("not compared");
    // A clock's, a generator's; DATE before Christ, where the golden snapshot is wrong; an array of
    // times, which Debezium cuts to milliseconds; NAME, of which it streams null.
    let odd = matches!(name, "f" | "fn" | "fu" | "tm" | "nm") || (change.op == "r" && name == "d");
    match value {
        KeptValue::Array(items) if name != "i2d" && !odd => {
            let ColumnType::Array(element) = data_type else { panic!("{name} is no array") };
            let items: Vec<_> = items.iter().map(|v| json_of(change, name, element, v)).collect();
            if items.contains(&skip()) { skip() } else { Json::Array(items) }
        }
        KeptValue::One(value) if !odd => match (data_type, value) {
            (_, OwnedValue::Null) => Json::Null,
            (_, OwnedValue::Bool(v)) => json!(v),
            (_, OwnedValue::Int(v)) => json!(v),
            (_, OwnedValue::Text(v)) => json!(v),
            (_, OwnedValue::Date(v)) if *v != i32::MAX && *v != i32::MIN => json!(v),
            (ColumnType::Time { precision: 0..=3 }, OwnedValue::Time(v)) => json!(v / 1000),
            (_, OwnedValue::Time(v)) => json!(v),
            (_, OwnedValue::Timestamp(i64::MAX | i64::MIN)) => skip(),
            (ColumnType::Timestamp { precision: 0..=3 }, OwnedValue::Timestamp(v)) => {
                json!(v.div_euclid(1000))
            }
            (_, OwnedValue::Timestamp(v)) => json!(v),
            (ColumnType::VariableDecimal, _) => skip(),
            (_, OwnedValue::Decimal { unscaled, .. }) => json!(base64(unscaled)),
            (_, OwnedValue::Bytes(v)) => json!(base64(v)),
            _ => skip(),
        },
        _ => skip(),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = char::from(DIGITS[bits >> (18 - 6 * place) & 63]);
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}
