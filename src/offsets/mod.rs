//! Where a pipeline stands, kept so that a crash at any moment loses nothing.
//!
//! The order law, for one source: acknowledged <= checkpointed <= durable in the sink <= read.
//! It is held by types. A sink makes a [`crate::sinks::Receipt`] when a batch is durable; the
//! [`Checkpointer`] consumes receipts, and only what it has written durably becomes a
//! [`SourceAck`], whose constructor is private to this room. A source can tell its database
//! nothing else.

pub mod checkpoint;
pub mod checkpointer;
pub mod file;
pub mod kafka;
pub mod position;
mod schemas;

use std::future::Future;
use std::pin::Pin;

pub use checkpoint::{Checkpoint, SnapshotState, SourceIdentity};
pub use checkpointer::{Checkpointer, SourceAck};

use crate::disposition::{Diagnose, Disposition};

pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, OffsetError>> + Send + 'a>>;

/// Keeps the checkpoint of one pipeline.
///
/// * **Durability.** `save` returns `Ok` only when a crash of process or machine in the next
///   instant could not lose it (fsync of file and folder; acks=all). After an error the outcome is
///   unknown: the caller loads again and does not guess.
/// * **One writer.** Opening a store for a run takes a lock that a second run, or `offsets set`,
///   meets; the lock dies with the process.
/// * **Torn or foreign data** is an error, never an empty answer: `load` gives `None` only where
///   nothing was ever saved.
pub trait OffsetStore: Send {
    fn load(&mut self) -> StoreFuture<'_, Option<Checkpoint>>;

    /// Replaces the checkpoint. `checkpoint.counter` must be one more than that of the last one.
    fn save<'a>(&'a mut self, checkpoint: &'a Checkpoint) -> StoreFuture<'a, ()>;

    /// Forgets everything that this pipeline ever saved.
    fn reset(&mut self) -> StoreFuture<'_, ()>;

    /// Where the store is, for messages: a path or a topic.
    fn location(&self) -> String;
}

#[derive(Debug, thiserror::Error)]
pub enum OffsetError {
    #[error("{operation} the offsets at {location}")]
    Io { operation: &'static str, location: String, source: std::io::Error },
    #[error("read the offsets at {location}: every copy is damaged ({detail})")]
    Torn { location: String, detail: String },
    #[error("read the offsets at {location}: they belong to {found}, not to pipeline `{expected}`")]
    Foreign { location: String, found: String, expected: String },
    #[error("read the offsets at {location}: format version {found} is newer than {supported}")]
    Newer { location: String, found: u32, supported: u32 },
    #[error("lock the offsets at {location}: held by {holder}")]
    Locked { location: String, holder: String },
    #[error("lock {location}: a save of this process that was given up has not ended")]
    Busy { location: String },
    #[error("{operation} the offsets topic {topic}")]
    Kafka { operation: &'static str, topic: String, source: rdkafka::error::KafkaError },
    #[error("{operation} the offsets topic {topic}: no answer within {timeout_ms} ms")]
    Timeout { operation: &'static str, topic: String, timeout_ms: u64 },
    #[error("trust the offsets topic {topic}: its {setting} is {found}, not {wanted}")]
    Unfit { topic: String, setting: &'static str, found: String, wanted: &'static str },
    #[error("move the checkpoint from {from} back to {to}")]
    Backwards { from: String, to: String },
}

impl Diagnose for OffsetError {
    fn disposition(&self) -> Disposition {
        match self {
            // A failed write or fsync is never believed again (correctness I10): the run starts
            // over from what can be read back.
            // Our own lock is held by a save of ours that was given up and still writes.
            Self::Io { .. } | Self::Timeout { .. } | Self::Busy { .. } => Disposition::Reconnect,
            Self::Kafka { source, .. } => kafka::disposition(source),
            Self::Torn { .. }
            | Self::Foreign { .. }
            | Self::Newer { .. }
            | Self::Locked { .. }
            | Self::Unfit { .. }
            | Self::Backwards { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free space on the file system of `offsets.file.path`; nothing was acknowledged to the source meanwhile".to_owned())
            }
            Self::Io { .. } => Some("check owner, mode and free space of the folder in `offsets.file.path`".to_owned()),
            Self::Torn { .. } => Some("restore the file from a backup, or run `tailwater offsets reset` and let the pipeline take a new snapshot".to_owned()),
            Self::Foreign { .. } => Some("give each pipeline its own `offsets` folder or topic, or put back the pipeline's old name".to_owned()),
            Self::Newer { .. } => Some("run the tailwater version that wrote them, or a newer one".to_owned()),
            Self::Busy { .. } => Some("check the disk under `offsets.file.path`: a write to it takes longer than `delivery.drain_timeout`".to_owned()),
            Self::Locked { .. } => Some("stop the other process first; the lock goes away with it".to_owned()),
            Self::Kafka { .. } | Self::Timeout { .. } => Some("check the brokers, and the rights of this user on the offsets topic (Read, Write, Describe, Create)".to_owned()),
            Self::Unfit { topic, setting: "cleanup.policy", .. } => Some(format!("kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config cleanup.policy=compact")),
            Self::Unfit { .. } => Some("name another topic in `offsets.kafka.topic`; a missing one is created as it must be".to_owned()),
            Self::Backwards { .. } => Some("to go back on purpose, stop the pipeline and run `tailwater offsets set`".to_owned()),
        }
    }
}
