//! Everything that needs a database: real PostgreSQL, real Kafka, a real registry, and the real
//! binary between them. `scripts/test` runs it; `scripts/torture` runs some of it for longer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "tallies are for people")]

#[path = "../support/mod.rs"]
mod support;

mod basics;
mod golden;
mod oracle;
mod servers;
mod types;
mod workload;
