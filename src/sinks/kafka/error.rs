//! What can go wrong on the way to a cluster, and what is done about it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::disposition::{Diagnose, Disposition};

#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("set up the Kafka client")]
    Client { source: KafkaError },
    #[error("sign in to the Kafka brokers at {brokers}: {detail}")]
    Authentication { brokers: String, detail: String },
    #[error("reach the Kafka brokers at {brokers} for topic {topic} within {budget_ms} ms")]
    Unreachable { brokers: String, topic: String, budget_ms: u128, source: KafkaError },
    #[error("find topic {topic}: it does not exist{}", if *.known { ", though it was written to before" } else { "" })]
    TopicMissing { topic: String, known: bool, create_command: String },
    #[error("create topic {topic}")]
    CreateTopic { topic: String, source: RDKafkaErrorCode, create_command: String },
    #[error("{operation} topic {topic}: the brokers' access rules deny it")]
    AclDenied { operation: AclOperation, topic: String, brokers: String },
    #[error("send to topic {topic}: it has {now} partitions and had {before}, so keys would move")]
    PartitionsShrunk { topic: String, before: u32, now: u32, brokers: String },
    #[error(
        "send a record of {bytes} bytes to topic {topic}: the limit is {limit} bytes ({setting})"
    )]
    Oversized { topic: String, bytes: usize, limit: usize, setting: SizeSetting },
    /// The brokers refused a batch of several records for its size: which one was too large, or
    /// whether any, cannot be known.
    #[error("send a batch of records to topic {topic}: the brokers refuse its size")]
    BatchTooLarge { topic: String, brokers: String },
    #[error("send a record to topic {topic}: the brokers refuse its content")]
    InvalidRecord { topic: String, source: RDKafkaErrorCode },
    #[error("deliver a record to topic {topic} within {budget_ms} ms")]
    TimedOut { topic: String, budget_ms: u128 },
    #[error("deliver a record to topic {topic}: the topic or its partition is gone")]
    TopicGone { topic: String, source: RDKafkaErrorCode },
    #[error("go on with the idempotent producer: {detail}")]
    Fatal { detail: String },
    #[error("deliver a record to topic {topic}")]
    Refused { topic: String, source: RDKafkaErrorCode },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclOperation {
    Describe,
    Create,
    Write,
}

impl std::fmt::Display for AclOperation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Describe => "describe",
            Self::Create => "create",
            Self::Write => "write to",
        })
    }
}

/// Which setting limits the size of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeSetting {
    /// Ours: `message.max.bytes` among the sink's properties.
    Client,
    /// The topic's `max.message.bytes`.
    Topic,
}

impl std::fmt::Display for SizeSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client => "`message.max.bytes` of the producer",
            Self::Topic => "`max.message.bytes` of the topic",
        })
    }
}

impl Diagnose for SinkError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Oversized { .. } => Disposition::DeadLetter,
            // Whether the record arrived is unknown, or the producer is beyond use: start again
            // from what is durable, with a new producer (correctness I11).
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::TopicGone { .. }
            | Self::Fatal { .. }
            | Self::Refused { .. } => Disposition::Reconnect,
            Self::Client { .. }
            | Self::Authentication { .. }
            | Self::TopicMissing { .. }
            | Self::CreateTopic { .. }
            | Self::AclDenied { .. }
            | Self::PartitionsShrunk { .. }
            | Self::BatchTooLarge { .. }
            | Self::InvalidRecord { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Client { .. } => Some("check the names and values in `sink.kafka.properties`: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md".to_owned()),
            Self::Authentication { .. } => Some("check `security.protocol`, `sasl.mechanism`, `sasl.username` and `sasl.password` in `sink.kafka.properties`".to_owned()),
            Self::Unreachable { .. } | Self::TimedOut { .. } => Some("check that the brokers run and that their advertised listeners are reachable from here; `retry_budget` is how long they are waited for".to_owned()),
            Self::TopicMissing { known, create_command, .. } => Some(if *known {
                format!("a topic that the checkpoint knows is never created anew, because what it held is gone; restore it, or accept the loss with: {create_command}")
            } else {
                format!("set `topics.create: true`, or create it: {create_command}")
            }),
            Self::CreateTopic { create_command, .. } => Some(format!("check `topics` (partitions, replication_factor, settings) against the brokers, or create it yourself: {create_command}")),
            Self::AclDenied { operation, topic, brokers } => Some(acl_command(*operation, topic, brokers)),
            Self::PartitionsShrunk { topic, before, brokers, .. } => Some(format!(
                "put back the number of partitions: kafka-topics.sh --bootstrap-server {brokers} --alter --topic {topic} --partitions {before}"
            )),
            Self::Oversized { topic, bytes, setting, .. } => Some(oversized_hint(topic, *bytes, *setting)),
            Self::BatchTooLarge { topic, brokers } => Some(format!(
                "let this user read the topic's limit, and batches will be kept below it: kafka-acls.sh --bootstrap-server {brokers} --add --allow-principal User:<user> --operation DescribeConfigs --topic {topic}; or set `batch.size` in `sink.kafka.properties` below the topic's `max.message.bytes`"
            )),
            Self::InvalidRecord { .. } => Some("a compacted topic refuses records without key: give the table a key, or set the topic's cleanup.policy to delete".to_owned()),
            Self::TopicGone { topic, .. } => Some(format!("somebody deleted topic {topic} while it was written to; see what the next start says")),
            Self::Fatal { .. } | Self::Refused { .. } => None,
        }
    }
}

fn acl_command(operation: AclOperation, topic: &str, brokers: &str) -> String {
    let operations = match operation {
        AclOperation::Describe => "--operation Describe --operation Write",
        AclOperation::Create => "--operation Create --operation Describe --operation Write",
        AclOperation::Write => "--operation Write --operation Describe",
    };
    format!(
        "kafka-acls.sh --bootstrap-server {brokers} --add --allow-principal User:<user> {operations} --topic {topic}"
    )
}

fn oversized_hint(topic: &str, bytes: usize, setting: SizeSetting) -> String {
    let wanted = bytes.next_power_of_two();
    let raise = match setting {
        SizeSetting::Client => format!(
            "set `message.max.bytes: {wanted}` in `sink.kafka.properties` (and `max.message.bytes={wanted}` on the topic)"
        ),
        SizeSetting::Topic => {
            format!(
                "kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config max.message.bytes={wanted}"
            )
        }
    };
    format!("{raise}; or set `dead_letter.delivery: dead_letter` to put such records aside")
}

/// The outcomes of a delivery that are told apart. librdkafka has some two hundred codes; they are
/// sorted in one place, [`refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    TooLarge,
    TimedOut,
    AclDenied,
    TopicGone,
    InvalidRecord,
    Authentication,
    Fatal,
    /// Our own doing: the producer was given up.
    Purged,
    Other,
}

/// Sorts librdkafka's codes. The default arm stands here and nowhere else, because the codes are
/// foreign and grow with every release; it leads to a new start from the checkpoint.
pub(super) fn refusal(code: RDKafkaErrorCode) -> Refusal {
    use RDKafkaErrorCode as Code;
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            Refusal::TooLarge
        }
        Code::MessageTimedOut | Code::RequestTimedOut | Code::OperationTimedOut => {
            Refusal::TimedOut
        }
        Code::TopicAuthorizationFailed => Refusal::AclDenied,
        Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopicId => Refusal::TopicGone,
        Code::InvalidRecord | Code::InvalidDifferentRecord | Code::InvalidTimestamp => {
            Refusal::InvalidRecord
        }
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            Refusal::Authentication
        }
        Code::Fatal
        | Code::GaplessGuarantee
        | Code::ClusterAuthorizationFailed
        | Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::InvalidProducerEpoch
        | Code::UnknownProducerId
        | Code::ProducerFenced
        | Code::Fenced => Refusal::Fatal,
        Code::PurgeQueue | Code::PurgeInflight => Refusal::Purged,
        _ => Refusal::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_oversized_record_is_the_records_own_fault() {
        let oversized = SinkError::Oversized {
            topic: "t".to_owned(),
            bytes: 3_000_000,
            limit: 1_000_000,
            setting: SizeSetting::Client,
        };
        assert_eq!(oversized.disposition(), Disposition::DeadLetter);
        assert!(oversized.to_string().contains("3000000 bytes"));
        assert!(oversized.hint().unwrap().contains("message.max.bytes: 4194304"));
        let denied = SinkError::AclDenied {
            operation: AclOperation::Write,
            topic: "shop.orders".to_owned(),
            brokers: "k:9092".to_owned(),
        };
        assert_eq!(denied.disposition(), Disposition::Stop);
        assert!(
            denied
                .hint()
                .unwrap()
                .contains("--operation Write --operation Describe --topic shop.orders")
        );
    }

    #[test]
    fn codes_that_nobody_sorted_start_again_from_the_checkpoint() {
        assert_eq!(refusal(RDKafkaErrorCode::KafkaStorageError), Refusal::Other);
        assert_eq!(refusal(RDKafkaErrorCode::OutOfOrderSequenceNumber), Refusal::Fatal);
    }
}
