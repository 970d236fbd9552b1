//! Tailwater.
pub mod change;
pub mod config;
pub mod disposition;
pub mod encode;
pub mod failpoint;
pub mod kafka_client;
pub mod offsets;
pub mod record;
pub mod schema;
pub mod sinks;
pub mod sources;
pub mod value;
