//! Keys of rows that waited in the log while their table's key was altered.

use tailwater::config::UnmappedTypes;

use super::facts::{Facts, Keeper, Kept, KeptValue, decode, decoder};
use super::server::{Server, changes};

const EVENTS: &[&str] = &[
    "create publication p for all tables",
    "create table t(id int primary key, code int not null, v text) partition by range (id)",
    "create table t_all partition of t default",
    "create table u(a int, b int, v text, primary key (b, a) include (v))",
    "create table w(id int primary key, v text); alter table w replica identity full",
    "select pg_create_logical_replication_slot('s', 'pgoutput')",
    "insert into t values (1, 7, 'x'), (2, 8, 'y')",
    "delete from t where id = 1",
    "update t set id = 20 where id = 2",
    "alter table t drop constraint t_pkey; alter table t add constraint t_pkey primary key (id, code)",
    "delete from t where id = 20",
    "insert into u values (1, 2, 'x'); delete from u",
    "insert into w values (1, 'x'); delete from w",
];

#[tokio::test(flavor = "current_thread")]
async fn old_rows_always_hold_their_key() {
    tokio::task::LocalSet::new().run_until(run()).await;
}

async fn run() {
    let server = Server::start();
    let client = server.connect("UTC").await;
    for statement in EVENTS {
        client.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }
    // The catalogue is read after everything, as by a run that comes late.
    let facts = Facts::read(&client).await;
    let mut kept = Keeper::default();
    let batch = changes(&client, "s", "p").await;
    decode(&mut decoder(&facts, UnmappedTypes::Text, None), &batch, &mut kept);
    let seen: Vec<_> = kept.changes.iter().map(shown).collect();
    let expected = [
        "c t_all [id] None",
        "c t_all [id] None",
        "d t_all [id] Some([Int(1)])",
        "u t_all [id] Some([Int(2)])",
        "d t_all [id,code] Some([Int(20), Int(8)])",
        "c u [b,a] None",
        "d u [b,a] Some([Int(2), Int(1)])",
        "c w [id] None",
        "d w [id] Some([Int(1)])",
    ];
    assert_eq!(seen, expected);
}

/// Operation, table, its key, and the key's values in the old row.
fn shown(change: &Kept) -> String {
    let table = &change.table;
    let names: Vec<_> = table.key.iter().map(|&i| table.columns[i].name.as_str()).collect();
    let values = |row: &Vec<KeptValue>| -> Vec<KeptValue> {
        table.key.iter().map(|&i| row[i].clone()).collect()
    };
    let old = change.before.as_ref().map(values);
    let old = format!("{old:?}").replace("One(Int(", "Int(").replace("))", ")");
    format!("{} {} [{}] {old}", change.op, table.path[1], names.join(","))
}
