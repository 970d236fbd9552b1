//! Random values through stream, snapshot, arrays and the server's own functions.

use tailwater::config::UnmappedTypes;
use tailwater::sources::Stage;
use tailwater::sources::postgres::select::copy_statement;
use tailwater::value::OwnedValue;
use tokio_postgres::Client;

use super::facts::{Facts, Keeper, Kept, KeptValue, decode, decoder, snapshot_of};
use super::random::{TYPES, Type, seed};
use super::server::{Server, batch, changes, copied};

const N_RANDOM: usize = 300;
const POLICY: UnmappedTypes = UnmappedTypes::Text;

const SETUP: &str = r#"
create extension hstore; create extension citext; create extension ltree;
create type mood as enum ('sad', 'ok', 'ha,ppy', 'NULL', 'q"uote\');
create domain price as numeric(8,3); create domain price2 as price; create domain yesno as bool;
create type pair as (a int, b text);
-- Nobody's cast may come between a value and its text: the stream knows none.
create function shout(mood) returns text language sql as $$ select 'cast' $$;
create cast (mood as text) with function shout(mood);
create function pair_text(pair) returns text language sql as $$ select 'cast' $$;
create cast (pair as text) with function pair_text(pair);
create publication p for all tables;
"#;

#[tokio::test(flavor = "current_thread")]
async fn values_agree_with_the_server_in_every_form() {
    tokio::task::LocalSet::new().run_until(run()).await;
}

async fn run() {
    let server = Server::start();
    let (_, mut rng) = seed();
    // Minutes and seconds in offsets, and daylight saving.
    for time_zone in ["UTC", "America/Caracas", "Europe/Dublin"] {
        let client = server.connect(time_zone).await;
        client.batch_execute("drop schema public cascade; create schema public").await.unwrap();
        client.batch_execute("drop publication if exists p").await.unwrap();
        client.batch_execute(SETUP).await.unwrap();
        client
            .execute("select pg_create_logical_replication_slot('s', 'pgoutput')", &[])
            .await
            .unwrap();
        for kind in TYPES {
            let edges = kind.edges.iter().map(|edge| (*edge).to_owned());
            let random = (0..N_RANDOM).map(|_| (kind.random)(&mut rng));
            fill(&client, kind, edges.chain(random)).await;
        }
        check(&client, time_zone).await;
        client.execute("select pg_drop_replication_slot('s')", &[]).await.unwrap();
    }
}

fn table(kind: &Type) -> String {
    let index = TYPES.iter().position(|other| other.name == kind.name).unwrap();
    format!("t{index:02}")
}

async fn fill(client: &Client, kind: &Type, literals: impl Iterator<Item = String>) {
    let (table, name) = (table(kind), kind.name);
    let mut sql = format!("create table {table}(id serial primary key, v {name});");
    sql += &format!("insert into {table}(v) values (null)");
    for literal in literals {
        sql += &format!(",('{}')", literal.replace('\'', "''"));
    }
    if kind.in_arrays {
        sql += &format!("; create table {table}a(id serial primary key, v {name}[]);");
        sql += &format!("insert into {table}a(v) select array_agg(v order by id) from {table}");
    }
    client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
}

async fn check(client: &Client, time_zone: &str) {
    let facts = Facts::read(client).await;
    let tables = facts.tables();
    let mut streamed = Keeper::default();
    decode(&mut decoder(&facts, POLICY, None), &changes(client, "s", "p").await, &mut streamed);
    let mut read = Keeper::default();
    let mut snapshot = decoder(&facts, POLICY, Some(snapshot_of(&tables)));
    for (number, table) in (0..).zip(&tables) {
        let payloads = copied(client, &copy_statement(table, POLICY)).await;
        decode(&mut snapshot, &batch(Stage::Snapshot { table: number }, &payloads), &mut read);
        decode(&mut snapshot, &batch(Stage::SnapshotTableEnd { table: number }, &[]), &mut read);
    }
    decode(&mut snapshot, &batch(Stage::SnapshotEnd, &[]), &mut read);
    for kind in TYPES {
        let name = table(kind);
        let context = format!("{} in {time_zone}", kind.name);
        let values = values_of(&streamed.changes, &name);
        same(
            &values_of(&read.changes, &name),
            &values,
            &format!("snapshot and stream of {context}"),
        );
        assert!(values.len() > N_RANDOM, "{context}");
        if let Some(oracle) = kind.oracle {
            check_oracle(client, &name, oracle, &values, &context).await;
        }
        if kind.in_arrays {
            let arrays = values_of(&streamed.changes, &(name.clone() + "a"));
            let [KeptValue::Array(elements)] = &arrays[..] else {
                panic!("one array of {context}")
            };
            same(elements, &values, &format!("array of {context}"));
            same(&values_of(&read.changes, &(name + "a")), &arrays, &format!("array of {context}"));
        }
    }
}

/// The first difference is enough to read.
fn same(found: &[KeptValue], expected: &[KeptValue], context: &str) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "{context}");
    }
    assert_eq!(found.len(), expected.len(), "{context}");
}

/// In the order of their ids: a heap may give rows in another order than they were written.
fn values_of(changes: &[Kept], table: &str) -> Vec<KeptValue> {
    let of_table = changes.iter().filter(|change| change.table.path[1] == table);
    let mut rows: Vec<_> = of_table.map(|change| change.after.as_ref().unwrap()).collect();
    rows.sort_by_key(|row| match row[0] {
        KeptValue::One(OwnedValue::Int(id)) => id,
        ref other => panic!("an id is a number, not {other:?}"),
    });
    rows.into_iter().map(|row| row[1].clone()).collect()
}

async fn check_oracle(
    client: &Client,
    table: &str,
    oracle: &str,
    values: &[KeptValue],
    context: &str,
) {
    let sql = format!("select {oracle}, v is null from {table} order by id");
    let rows = client.query(&sql, &[]).await.unwrap_or_else(|error| panic!("{context}: {error:?}"));
    assert_eq!(rows.len(), values.len(), "{context}");
    for (row, value) in rows.iter().zip(values) {
        if matches!(value, KeptValue::One(OwnedValue::Null)) {
            assert!(row.get::<_, bool>(1), "{context}");
            continue;
        }
        let expected: String = row.get(0);
        assert_eq!(printed(value), expected, "{context}");
    }
}

/// As the expressions of [`TYPES`] print it.
fn printed(value: &KeptValue) -> String {
    match value {
        KeptValue::One(OwnedValue::Bool(v)) => v.to_string(),
        KeptValue::One(OwnedValue::Date(v)) => v.to_string(),
        KeptValue::One(
            OwnedValue::Int(v)
            | OwnedValue::Time(v)
            | OwnedValue::Timestamp(v)
            | OwnedValue::TimestampTz(v),
        ) => v.to_string(),
        KeptValue::One(OwnedValue::TimeTz { micros, offset_s }) => format!("{micros} {offset_s}"),
        KeptValue::One(OwnedValue::Interval(v)) => format!("{} {} {}", v.months, v.days, v.micros),
        KeptValue::One(OwnedValue::Text(v)) => v.clone(),
        KeptValue::One(OwnedValue::Bytes(v)) => v.iter().map(|b| format!("{b:02x}")).collect(),
        KeptValue::One(OwnedValue::Decimal { unscaled, scale }) => decimal(unscaled, *scale),
        KeptValue::Other(far) if far.starts_with("FarTimestampTz") => {
            let digits =
                |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
            let (seconds, micros) = far.split_once(',').expect("two fields");
            format!("{}{:0>6}", digits(seconds), digits(micros))
        }
        KeptValue::Other(special) if special.contains("NaN") => "NaN".to_owned(),
        KeptValue::Other(special) if special.contains("Positive") => "Infinity".to_owned(),
        KeptValue::Other(special) if special.contains("Negative") => "-Infinity".to_owned(),
        other => panic!("no way to print {other:?}"),
    }
}

/// Two's complement to decimal digits, the slow and obvious way.
fn decimal(unscaled: &[u8], scale: i32) -> String {
    let negative = unscaled[0] >= 0x80;
    let mut bytes = unscaled.to_vec();
    if negative {
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let mut digits = Vec::new();
    while bytes.iter().any(|&byte| byte != 0) {
        let mut rest = 0_u32;
        for byte in &mut bytes {
            let part = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(part / 10).unwrap();
            rest = part % 10;
        }
        digits.push(char::from_digit(rest, 10).unwrap());
    }
    let scale = usize::try_from(scale).unwrap();
    while digits.len() <= scale {
        digits.push('0');
    }
    let mut text: String = digits.iter().rev().collect();
    if scale > 0 {
        text.insert(text.len() - scale, '.');
    }
    if negative { format!("-{text}") } else { text }
}
