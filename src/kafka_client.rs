//! How every connection to a Kafka cluster is set up, for sink and offset store alike: what is
//! fixed, what may be tuned, and where librdkafka's own words go.

use std::sync::Mutex;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::KafkaConfig;

/// Batches leave after this long even when they are not full: enough to fill a request under load,
/// not enough to be seen in latency.
const LINGER_MS: u32 = 2;
/// Bytes that librdkafka may hold. The pipeline's own budget bounds it from estimates; this bounds
/// it where they are wrong, as for JSON that carries its schema.
const QUEUE_KBYTES: u64 = 16 * 1024;
const QUEUE_MESSAGES: u64 = 100_000;
/// librdkafka's own default for `message.max.bytes`, a little below the broker's.
const MESSAGE_BYTES: u64 = 1_000_000;
/// librdkafka's own default for `batch.size`.
const BATCH_BYTES: u64 = 1_000_000;

/// What a client is for: consumers warn about every property that only a producer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Produce,
    Administer,
    Consume,
}

/// The configuration of a librdkafka client. The user's properties come after our defaults and
/// before what a guarantee rests on. The configuration refuses the latter by name already; that they
/// are set last here makes it so whoever builds the configuration.
#[must_use]
pub fn client_config(kafka: &KafkaConfig, purpose: Purpose) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("client.id", "tailwater");
    client.set("socket.keepalive.enable", "true");
    client.set_log_level(RDKafkaLogLevel::Info);
    match purpose {
        Purpose::Produce => {
            client.set("queue.buffering.max.ms", LINGER_MS.to_string());
            client.set("queue.buffering.max.kbytes", QUEUE_KBYTES.to_string());
            client.set("queue.buffering.max.messages", QUEUE_MESSAGES.to_string());
        }
        Purpose::Administer | Purpose::Consume => {}
    }
    for (key, value) in &kafka.properties {
        let key = canonical(key);
        if purpose == Purpose::Produce || !is_for_producers(key) {
            client.set(key, value.expose());
        }
    }
    client.set("bootstrap.servers", kafka.bootstrap_servers.join(","));
    // A missing topic is created with the configured partitions or not at all; librdkafka's
    // producers let the broker make one with its own defaults otherwise.
    client.set("allow.auto.create.topics", "false");
    if purpose == Purpose::Produce {
        force_guarantees(&mut client, kafka);
    }
    client
}

fn force_guarantees(client: &mut ClientConfig, kafka: &KafkaConfig) {
    client.set("enable.idempotence", "true");
    client.set("acks", "all");
    // Receipts rest on the report of every record, and order on a queue that is one.
    client.set("delivery.report.only.error", "false");
    client.set("max.in.flight.requests.per.connection", "5");
    client.set("message.send.max.retries", i32::MAX.to_string());
    // 0 would mean for ever; i32 is what librdkafka takes.
    let budget_ms = kafka.retry_budget.as_millis().clamp(1, 2_147_483_647);
    client.set("message.timeout.ms", budget_ms.to_string());
    // A record that does not fit the queue even when it is empty would wait for ever.
    let queue_kbytes = number(client, "queue.buffering.max.kbytes", QUEUE_KBYTES);
    let wanted = 2 * message_bytes_max(client).div_ceil(1024);
    client.set("queue.buffering.max.kbytes", queue_kbytes.max(wanted).to_string());
}

/// The largest message that this client sends, before compression.
pub(crate) fn message_bytes_max(client: &ClientConfig) -> u64 {
    number(client, "message.max.bytes", MESSAGE_BYTES)
}

/// The largest batch of several messages that this client sends, before compression.
pub(crate) fn batch_bytes_max(client: &ClientConfig) -> u64 {
    number(client, "batch.size", BATCH_BYTES).min(message_bytes_max(client))
}

pub(crate) fn compresses(client: &ClientConfig) -> bool {
    client.get("compression.type").is_some_and(|codec| codec != "none")
}

fn number(client: &ClientConfig, key: &str, default: u64) -> u64 {
    client.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// One name for a property that has two, so that a later `set` replaces an earlier one.
fn canonical(key: &str) -> &str {
    match key {
        "linger.ms" => "queue.buffering.max.ms",
        "compression.codec" => "compression.type",
        "request.required.acks" => "acks",
        "retries" => "message.send.max.retries",
        "max.in.flight" => "max.in.flight.requests.per.connection",
        "delivery.timeout.ms" => "message.timeout.ms",
        "metadata.broker.list" => "bootstrap.servers",
        other => other,
    }
}

fn is_for_producers(key: &str) -> bool {
    key.starts_with("queue.buffering.")
        || key.starts_with("compression.")
        || matches!(
            key,
            "batch.num.messages"
                | "batch.size"
                | "sticky.partitioning.linger.ms"
                | "request.timeout.ms"
                | "message.max.bytes"
                | "produce.offset.report"
        )
}

/// A client that is dropped on a thread for blocking work: rdkafka's clients join their threads, and
/// a producer waits up to half a second for its last reports.
pub(crate) struct Offloaded<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Offloaded<T> {
    pub(crate) fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> std::ops::Deref for Offloaded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("there until the drop")
    }
}

impl<T: Send + 'static> Drop for Offloaded<T> {
    fn drop(&mut self) {
        let client = self.0.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(client)));
        }
    }
}

/// A failure of the client as a whole, which librdkafka reports beside any message.
#[derive(Clone, Debug)]
pub(crate) struct ClientFailure {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) reason: String,
}

/// Context of admin clients and consumers: log lines, and the failures that no retry heals.
#[derive(Debug, Default)]
pub struct KafkaLog {
    failure: Mutex<Option<ClientFailure>>,
}

impl KafkaLog {
    /// Remembers a failure that ends the client: refused credentials, a fatal producer. Anything
    /// else is a broker that comes back, which librdkafka waits out.
    pub(crate) fn note(&self, error: &KafkaError, reason: &str) -> bool {
        let Some(code) = error.rdkafka_error_code() else { return false };
        tracing::warn!(target: "librdkafka", error = %code, reason, "kafka client reports an error");
        let ends = matches!(
            code,
            RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::UnsupportedSASLMechanism
                | RDKafkaErrorCode::Fatal
        );
        if ends {
            let mut failure =
                self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            failure.get_or_insert(ClientFailure { code, reason: reason.to_owned() });
        }
        ends
    }

    pub(crate) fn failure(&self) -> Option<ClientFailure> {
        self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl ClientContext for KafkaLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.note(&error, reason);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}
}

impl rdkafka::consumer::ConsumerContext for KafkaLog {}

/// librdkafka writes no passwords (it prints sensitive properties as `[redacted]`) and no records.
pub(crate) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    // Said on every producer, because the property is documented as a consumer's; producers heed
    // it all the same (rdkafka_metadata.c).
    if facility == "CONFWARN" && message.contains("allow.auto.create.topics") {
        return;
    }
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// librdkafka's configuration errors quote the value, which may be a secret.
#[must_use]
pub fn without_values(error: KafkaError) -> KafkaError {
    match error {
        KafkaError::ClientConfig(result, _, key, _) => KafkaError::ClientConfig(
            result,
            "refused by librdkafka:".to_owned(),
            key,
            String::new(),
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::config::{Secret, TopicConfig};

    fn kafka(properties: &[(&str, &str)]) -> KafkaConfig {
        KafkaConfig {
            bootstrap_servers: vec!["a:1".to_owned(), "b:2".to_owned()],
            topics: TopicConfig {
                create: true,
                partitions: 1,
                replication_factor: 1,
                cleanup_policy: "delete".to_owned(),
                settings: BTreeMap::new(),
            },
            properties: properties
                .iter()
                .map(|(k, v)| ((*k).to_owned(), Secret::new(*v)))
                .collect(),
            retry_budget: Duration::from_secs(90),
        }
    }

    #[test]
    fn a_producer_is_idempotent_whatever_the_properties_say() {
        let client = client_config(
            &kafka(&[("acks", "1"), ("linger.ms", "50"), ("compression.codec", "zstd")]),
            Purpose::Produce,
        );
        assert_eq!(client.get("acks"), Some("all"));
        assert_eq!(client.get("enable.idempotence"), Some("true"));
        assert_eq!(client.get("queue.buffering.max.ms"), Some("50"));
        assert_eq!(client.get("linger.ms"), None);
        assert_eq!(client.get("message.timeout.ms"), Some("90000"));
        assert_eq!(client.get("bootstrap.servers"), Some("a:1,b:2"));
        assert!(compresses(&client));
    }

    #[test]
    fn the_queue_has_room_for_the_largest_record() {
        let large = [("message.max.bytes", "104857600"), ("queue.buffering.max.kbytes", "10")];
        let client = client_config(&kafka(&large), Purpose::Produce);
        assert_eq!(client.get("queue.buffering.max.kbytes"), Some("204800"));
    }

    #[test]
    fn a_consumer_gets_no_property_of_producers() {
        let all = [("compression.type", "zstd"), ("security.protocol", "ssl")];
        let client = client_config(&kafka(&all), Purpose::Consume);
        assert_eq!(client.get("compression.type"), None);
        assert_eq!(client.get("security.protocol"), Some("ssl"));
    }

    #[test]
    fn a_refused_property_is_named_without_its_value() {
        let mut client = client_config(&kafka(&[]), Purpose::Produce);
        client.set("ssl.key.pem", "hunter2-secret");
        client.set("linger.msx", "hunter2-secret");
        let error = match client.create_native_config() {
            Err(error) => without_values(error),
            Ok(_) => panic!("an unknown property is refused"),
        };
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
