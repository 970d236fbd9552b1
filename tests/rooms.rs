//! Rooms, seen from outside: the encoder, the PostgreSQL source against a real server, the Kafka
//! sink and store against a real broker, the command line, the samples, the BSON corpus. One
//! binary, because each costs a link.

mod bson_corpus;
mod cli;
mod config_samples;
#[path = "encode/main.rs"]
mod encode;
#[path = "kafka/main.rs"]
mod kafka;
mod postgres_connection;
#[path = "postgres_values/main.rs"]
mod postgres_values;
