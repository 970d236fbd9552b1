//! Mistakes of people and servers: each ends with the documented exit code and a message that says
//! what to do, and after it is mended nothing is missing.

mod configuration;
mod kafka;
mod offsets;
mod postgres;
mod registry;

use serde_json::Value;

use crate::support::kafka::Kafka;
use crate::support::postgres::{Database, Postgres};
use crate::support::tailwater::Setup;

/// A database with one table of three rows.
fn database(postgres: &Postgres, name: &str) -> Database {
    let database = postgres.database(name);
    database.run(
        "create table t (id int primary key, v text); insert into t values (1,'a'),(2,'b'),(3,'c')",
    );
    database
}

/// The ids of the rows of `t` that reached Kafka, in order of arrival, each once.
fn ids(kafka: &Kafka, prefix: &str) -> Vec<i64> {
    let mut ids = Vec::new();
    for record in kafka.read(&format!("{prefix}.public.t")) {
        let Some(value) = record.value else { continue };
        let value: Value = serde_json::from_slice(&value).unwrap();
        let id = value["after"]["id"].as_i64().unwrap();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids.sort_unstable();
    ids
}

/// Runs to the log's end with the mistake mended: every row is there.
fn mended(setup: &Setup, kafka: &Kafka, n_rows: i64) {
    setup.catch_up();
    assert_eq!(ids(kafka, &setup.prefix), (1..=n_rows).collect::<Vec<_>>());
}
