//! Everything that needs a database: real PostgreSQL, real Kafka, a real registry, and the real
//! binary between them. `scripts/test` runs it; `scripts/torture` runs some of it for longer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "tallies are for people")]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod basics;
mod drift;
mod golden;
mod interruptions;
mod law;
mod ledger;
mod mongodb;
mod mysql;
mod oracle;
mod order_law;
mod python;
mod secrets;
mod servers;
mod snapshot;
mod test_decoding;
mod transactions;
mod types;
mod until;
mod workload;
