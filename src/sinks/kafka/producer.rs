//! The producer, and how it is let go without blocking the runtime.

use std::sync::Arc;

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};

use super::delivery::{Ledger, Token};
use super::error::SinkError;
use crate::kafka_client::{Offloaded, without_values};

/// Shares the ledger with the sink: librdkafka's context is owned by the producer.
pub(super) struct SharedLedger(Arc<Ledger>);

impl rdkafka::ClientContext for SharedLedger {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}
}

impl ProducerContext for SharedLedger {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, word: usize) {
        self.0.delivery(result, word);
    }
}

type Record<'a> = BaseRecord<'a, [u8], [u8], usize>;

pub(super) struct Producer(Offloaded<ThreadedProducer<SharedLedger>>);

impl Producer {
    pub(super) fn new(config: &ClientConfig, ledger: &Arc<Ledger>) -> Result<Self, SinkError> {
        config
            .create_with_context(SharedLedger(Arc::clone(ledger)))
            .map(|producer| Self(Offloaded::new(producer)))
            .map_err(|source| SinkError::Client { source: without_values(source) })
    }

    /// Queues a record; its bytes are copied. Never blocks.
    pub(super) fn send(&self, record: Record<'_>) -> Result<(), KafkaError> {
        self.0.send(record).map_err(|(error, _)| error)
    }

    /// Messages that are queued, sent, or delivered but not yet reported.
    pub(super) fn is_idle(&self) -> bool {
        self.0.in_flight_count() == 0
    }

    /// What put the producer beyond use, if anything did.
    pub(super) fn fatal_code(&self) -> Option<RDKafkaErrorCode> {
        self.0.client().fatal_error().map(|(code, _)| code)
    }
}

/// A record that is addressed, but has no key, value or headers yet.
pub(super) fn addressed(topic: &str, partition: i32, token: Token) -> Record<'_> {
    BaseRecord::with_opaque_to(topic, token.pack()).partition(partition)
}

impl Drop for Producer {
    /// What is still queued belongs to batches without receipt, so it is thrown away: waiting for
    /// it would only make the next run's duplicates.
    fn drop(&mut self) {
        self.0.purge(PurgeConfig::default().queue().inflight());
    }
}
