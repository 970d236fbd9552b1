//! The Kafka sink.
//!
//! ```text
//!  RecordBatch ─▶ enqueue ─▶ librdkafka (idempotent, acks=all) ─▶ brokers
//!                   │                                               │
//!                   │ slot of the batch              delivery report per record
//!                   ▼                                               ▼
//!               in flight ◀── oldest batch first ── ledger: records outstanding per slot
//!                   │
//!                   ▼
//!                Receipt
//! ```
//!
//! Why it is right. A batch gets a slot whose counter starts at its number of records and falls by
//! one with each record that the brokers confirmed; a record that failed keeps its count, so a
//! batch with a failure in it is never complete. Receipts are made from the front of the queue of
//! batches only, so they leave in order whatever order the brokers answer in. A record for the dead
//! letters takes over the count of the record that it stands for. Batches stay here until then,
//! because a refused record's bytes are needed again.
//!
//! Order: one producer, one partition per key, idempotence; nothing is ever sent a second time
//! from here. Everything that librdkafka cannot heal within the budget ends the run, and the next
//! one begins at the checkpoint.

mod delivery;
mod error;
mod letters;
mod limits;
mod partition;
mod producer;
mod run;
mod sink;
mod topics;

pub use error::{AclOperation, SinkError, SizeSetting};
pub use partition::{murmur2, partition_of};
pub use sink::KafkaSink;
pub use topics::KnownPartitions;
