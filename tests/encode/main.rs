//! The encoder, seen from outside.

#![expect(clippy::print_stdout, reason = "a comparison says how much it compared")]
#![expect(clippy::unwrap_used, reason = "a test that stops there says what was wrong")]

mod avro;
mod documents;
mod golden;
mod modes;
mod mongodb;
mod mongodb_catalogue;
mod mongodb_recorded;
mod mysql;
mod published;
mod records;
mod registry;
mod round_trip;
mod structured;
mod tables;
#[path = "../support/told.rs"]
mod told;
mod transactions;
mod values;
