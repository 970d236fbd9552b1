//! The Kafka sink as the pipeline sees it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::SinkError;
use super::run::{End, Run};
use super::topics::{KnownPartitions, TopicBook};
use crate::config::{DeadLetterConfig, DeadLetterPolicy, KafkaConfig};
use crate::record::{RecordBatch, TopicId, TopicRole, Topics};
use crate::sinks::{BoxError, Receipt, Sink, SinkEnd};

/// The Kafka sink of one run.
pub struct KafkaSink {
    pub(super) config: KafkaConfig,
    pub(super) topics: Arc<Topics>,
    pub(super) policy: DeadLetterPolicy,
    pub(super) dead_letters: TopicId,
    pub(super) book: TopicBook,
}

impl KafkaSink {
    /// Connects to nothing yet: the brokers are met at the first record.
    ///
    /// `known_partitions` holds what the checkpoint knows, and gets what this run learns.
    ///
    /// # Errors
    /// When librdkafka refuses a property.
    pub fn new(
        config: KafkaConfig,
        topics: Arc<Topics>,
        dead_letter: DeadLetterConfig,
        known_partitions: KnownPartitions,
    ) -> Result<Self, SinkError> {
        let dead_letters = topics.intern(&dead_letter.topic, TopicRole::DeadLetter);
        let book = TopicBook::new(config.clone(), known_partitions)?;
        Ok(Self { config, topics, policy: dead_letter.delivery, dead_letters, book })
    }
}

impl Sink for KafkaSink {
    fn run(
        self: Box<Self>,
        batches: mpsc::Receiver<RecordBatch>,
        receipts: mpsc::Sender<Receipt>,
        stop: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Result<SinkEnd, BoxError>> + Send>> {
        Box::pin(async move {
            let mut run = Run::new(*self, receipts).map_err(boxed)?;
            // Dropping the drive at any await loses nothing: what has no receipt is not done.
            let end = tokio::select! {
                biased;
                // 1. A stop is heard whatever the brokers do.
                () = stop.cancelled() => End::Closed,
                // 2. Everything else; it returns with an error or when there is nothing left to do.
                end = run.drive(batches) => end.err().unwrap_or(End::Closed),
            };
            match end {
                End::Closed => Ok(SinkEnd::Done),
                End::Failed(error) => Err(boxed(error)),
            }
        })
    }
}

fn boxed(error: SinkError) -> BoxError {
    Box::new(error)
}
