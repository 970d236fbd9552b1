//! librdkafka properties that the configuration may not set, and why.
//!
//! Everything else is passed on as it is. Names and aliases are those of librdkafka's
//! CONFIGURATION.md.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

const SET_ELSEWHERE: &str = "set `bootstrap_servers` instead";
const ACKS: &str = "records must be on every in-sync replica before a checkpoint may pass them, so acks=all is fixed";
const IDEMPOTENCE: &str =
    "without idempotence a retry can double or reorder records, so it is always on";
const RETRIES: &str = "a record that ran out of retries would be a gap; set `retry_budget`, which bounds the wait instead";
const IN_FLIGHT: &str =
    "order over retries holds up to five requests in flight, which is what is set";
const TRANSACTIONS: &str = "transactions belong to the pipeline, which does not use them yet";
const PARTITIONER: &str = "the partition of a key is computed as Kafka's Java clients do; another way would split the order of a key";
const TIMEOUT: &str = "set `retry_budget` instead, which librdkafka's timeout follows";
const GAPLESS: &str = "it lets the producer stop for good after one expired record";
const OVERFLOW: &str = "a full queue must hold the source back and not block or drop";
const MOCK: &str = "it replaces the cluster by one in memory, which forgets everything";
const CALLBACK: &str = "callbacks are code, not configuration";
const CONSUMER: &str = "it would move consumer positions that the offsets topic depends on";

const FORBIDDEN: &[(&str, &str)] = &[
    ("bootstrap.servers", SET_ELSEWHERE),
    ("metadata.broker.list", SET_ELSEWHERE),
    ("acks", ACKS),
    ("request.required.acks", ACKS),
    ("enable.idempotence", IDEMPOTENCE),
    ("retries", RETRIES),
    ("message.send.max.retries", RETRIES),
    ("max.in.flight", IN_FLIGHT),
    ("max.in.flight.requests.per.connection", IN_FLIGHT),
    ("transactional.id", TRANSACTIONS),
    ("transaction.timeout.ms", TRANSACTIONS),
    ("partitioner", PARTITIONER),
    ("partitioner_cb", PARTITIONER),
    ("message.timeout.ms", TIMEOUT),
    ("delivery.timeout.ms", TIMEOUT),
    ("enable.gapless.guarantee", GAPLESS),
    ("queue.buffering.overflow.strategy", OVERFLOW),
    ("queuing.strategy", OVERFLOW),
    ("delivery.report.only.error", "a checkpoint waits for the report of every record"),
    ("group.id", CONSUMER),
    ("group.instance.id", CONSUMER),
    ("enable.auto.commit", CONSUMER),
    ("isolation.level", CONSUMER),
    ("plugin.library.paths", "it loads code into the process"),
];

/// Properties whose values are secrets, whatever they came from.
const SECRETS: &[&str] = &[
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
];

/// Why a property may not be set; `None` where it may.
#[must_use]
pub fn forbidden(name: &str) -> Option<&'static str> {
    let listed = FORBIDDEN.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason);
    match listed {
        Some(reason) => Some(reason),
        None if name.starts_with("test.mock.") => Some(MOCK),
        None if name.ends_with("_cb") => Some(CALLBACK),
        None => None,
    }
}

pub(super) fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name)
}

/// What librdkafka itself says against a property, without the value. Touches no network.
pub(super) fn refused_by_librdkafka(name: &str, value: &str) -> Option<String> {
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => None,
        Err(KafkaError::ClientConfig(result, ..)) => Some(match result {
            rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN => {
                "librdkafka knows no such property, or was built without it".to_owned()
            }
            rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID
            | rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_OK => {
                "librdkafka refuses the value of this property".to_owned()
            }
        }),
        Err(_) => Some("librdkafka refuses this property".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_guarantee_is_named_with_a_reason() {
        for name in [
            "acks",
            "enable.idempotence",
            "max.in.flight",
            "partitioner",
            "test.mock.num.brokers",
            "dr_msg_cb",
        ] {
            assert!(forbidden(name).is_some(), "{name}");
        }
        for name in ["compression.type", "debug", "sasl.password", "linger.ms", "ssl.ca.location"] {
            assert_eq!(forbidden(name), None, "{name}");
        }
    }

    #[test]
    fn librdkafka_is_asked_about_the_rest() {
        assert_eq!(refused_by_librdkafka("linger.ms", "5"), None);
        assert_eq!(refused_by_librdkafka("security.protocol", "SASL_SSL"), None);
        assert_eq!(
            refused_by_librdkafka("linger.millis", "5").as_deref(),
            Some("librdkafka knows no such property, or was built without it")
        );
        assert_eq!(
            refused_by_librdkafka("linger.ms", "soon").as_deref(),
            Some("librdkafka refuses the value of this property")
        );
    }
}
