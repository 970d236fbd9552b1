//! How large records and batches may be, here and at the brokers.

use rdkafka::config::ClientConfig;

use super::error::SizeSetting;
use super::letters::BATCH_OVERHEAD;
use super::topics::TopicState;
use crate::kafka_client::{batch_bytes_max, compresses, message_bytes_max};

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) message_bytes: usize,
    pub(super) batch_bytes: usize,
    /// With compression only the brokers know whether a record fits the topic.
    compressed: bool,
}

impl Limits {
    pub(super) fn of(client: &ClientConfig) -> Self {
        let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            message_bytes: bytes(message_bytes_max(client)),
            batch_bytes: bytes(batch_bytes_max(client)),
            compressed: compresses(client),
        }
    }

    /// The limit that a record of `bytes` breaks, if it breaks one.
    pub(super) fn broken_by(
        self,
        bytes: usize,
        topic: &TopicState,
    ) -> Option<(usize, SizeSetting)> {
        if bytes > self.message_bytes {
            return Some((self.message_bytes, SizeSetting::Client));
        }
        let limit = topic.bytes_max.filter(|_| !self.compressed)?;
        (bytes + BATCH_OVERHEAD > limit).then_some((limit, SizeSetting::Topic))
    }

    /// The size to which a record is cut so that it certainly fits.
    pub(super) fn safe(self, topic: &TopicState) -> usize {
        let of_topic = topic.bytes_max.unwrap_or(usize::MAX).saturating_sub(BATCH_OVERHEAD);
        self.message_bytes.min(of_topic)
    }
}
