//! Topics as the brokers have them: found or created once, at the first record for each.
//!
//! The number of partitions is read once per run and never again within it: a key must not move
//! while records of it are on their way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::BackoffBuilder;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

use super::delivery::Ledger;
use super::error::{AclOperation, Refusal, SinkError, refusal};
use super::partition::partition_of;
use crate::config::KafkaConfig;
use crate::kafka_client::{KafkaLog, Offloaded, Purpose, client_config, without_values};
use crate::record::{Topic, TopicId, TopicRole};

/// Partitions per data topic: filled from the checkpoint, completed by the sink as it meets topics,
/// and saved with the next checkpoint. Locked once per topic, never per record.
pub type KnownPartitions = Arc<Mutex<BTreeMap<String, u32>>>;

/// One question to the brokers; several fit into the retry budget.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a new topic may stay unknown to the broker that is asked for its settings.
const SETTINGS_ATTEMPTS: usize = 5;

/// What a record needs to know of its topic.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) name: Arc<str>,
    pub(super) partitions: u32,
    /// All records without key of a topic go here, so that they keep their order.
    pub(super) keyless_partition: i32,
    /// The topic's `max.message.bytes`, where this user may read it.
    pub(super) bytes_max: Option<usize>,
}

impl TopicState {
    pub(super) fn partition(&self, key: Option<&[u8]>) -> i32 {
        key.map_or(self.keyless_partition, |key| partition_of(key, self.partitions))
    }
}

pub(super) struct TopicBook {
    admin: Arc<Offloaded<AdminClient<KafkaLog>>>,
    config: KafkaConfig,
    known: KnownPartitions,
    states: Vec<Option<TopicState>>,
}

enum Found {
    Partitions(u32),
    Missing,
    /// It is there, but has no leader yet.
    NotReady,
}

impl TopicBook {
    pub(super) fn new(config: KafkaConfig, known: KnownPartitions) -> Result<Self, SinkError> {
        let client = client_config(&config, Purpose::Administer);
        let admin = AdminClient::from_config_and_context(&client, KafkaLog::default())
            .map_err(|source| SinkError::Client { source: without_values(source) })?;
        let admin = Arc::new(Offloaded::new(admin));
        Ok(Self { admin, config, known, states: Vec::new() })
    }

    pub(super) fn get(&self, id: TopicId) -> Option<&TopicState> {
        self.states.get(id.0 as usize).and_then(Option::as_ref)
    }

    /// Finds or creates the topic and remembers it under `id`.
    ///
    /// `ledger` is asked for failures of the client meanwhile: an admin client keeps its own to
    /// itself, because rdkafka polls no more of it than its answers.
    pub(super) async fn resolve(
        &mut self,
        id: TopicId,
        topic: Topic,
        ledger: &Ledger,
    ) -> Result<(), SinkError> {
        let partitions = self.find_or_create(&topic, ledger).await?;
        self.check_partitions(&topic, partitions)?;
        let bytes_max = self.bytes_max(&topic.name).await;
        let index = id.0 as usize;
        if self.states.len() <= index {
            self.states.resize_with(index + 1, || None);
        }
        tracing::info!(topic = %topic.name, partitions, max_message_bytes = bytes_max, "topic is ready");
        self.states[index] = Some(TopicState {
            keyless_partition: partition_of(topic.name.as_bytes(), partitions),
            name: topic.name,
            partitions,
            bytes_max,
        });
        Ok(())
    }

    async fn find_or_create(&self, topic: &Topic, ledger: &Ledger) -> Result<u32, SinkError> {
        let deadline = Instant::now() + self.config.retry_budget;
        let mut delays = backoff();
        let mut created = false;
        loop {
            let answer = self.lookup(topic).await;
            let error = match answer {
                Ok(Found::Partitions(n)) => return Ok(n),
                Ok(Found::Missing) if !created => {
                    self.create(topic).await?;
                    created = true;
                    KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)
                }
                Ok(Found::Missing) => {
                    KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)
                }
                Ok(Found::NotReady) => {
                    KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable)
                }
                Err(error) => self.sort(error, AclOperation::Describe, &topic.name)?,
            };
            self.check_client(ledger)?;
            if Instant::now() >= deadline {
                return Err(self.unreachable(&topic.name, error));
            }
            tracing::debug!(topic = %topic.name, %error, "topic is not ready yet");
            tokio::time::sleep(delays.next().unwrap_or(REQUEST_TIMEOUT)).await;
        }
    }

    async fn lookup(&self, topic: &Topic) -> Result<Found, KafkaError> {
        let (admin, name) = (Arc::clone(&self.admin), Arc::clone(&topic.name));
        let fetched = tokio::task::spawn_blocking(move || {
            let metadata = admin.inner().fetch_metadata(Some(&name), REQUEST_TIMEOUT)?;
            let Some(found) = metadata.topics().iter().find(|t| t.name() == &*name) else {
                return Ok(Found::Missing);
            };
            match found.error().map(RDKafkaErrorCode::from) {
                None | Some(RDKafkaErrorCode::NoError) => {}
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                ) => {
                    return Ok(Found::Missing);
                }
                Some(RDKafkaErrorCode::LeaderNotAvailable) => return Ok(Found::NotReady),
                Some(code) => return Err(KafkaError::MetadataFetch(code)),
            }
            match u32::try_from(found.partitions().len()) {
                Ok(0) | Err(_) => Ok(Found::NotReady),
                Ok(n) => Ok(Found::Partitions(n)),
            }
        });
        fetched.await.unwrap_or(Err(KafkaError::Canceled))
    }

    async fn create(&self, topic: &Topic) -> Result<(), SinkError> {
        let name = &*topic.name;
        let known = self.known().contains_key(name);
        if known || !self.config.topics.create {
            let create_command = self.create_command(topic);
            return Err(SinkError::TopicMissing { topic: name.to_owned(), known, create_command });
        }
        let plan = self.plan(topic);
        let mut new = NewTopic::new(
            name,
            plan.partitions,
            TopicReplication::Fixed(self.config.topics.replication_factor),
        );
        for (key, value) in &plan.settings {
            new = new.set(key, value);
        }
        let results = self.admin.create_topics([&new], &options()).await;
        let code = match results {
            Ok(results) => match results.into_iter().next() {
                Some(Err((_, code))) => code,
                Some(Ok(_)) | None => {
                    tracing::info!(topic = name, partitions = plan.partitions, "topic was created");
                    return Ok(());
                }
            },
            // The brokers may be away: the look-up goes on asking until the budget is spent.
            Err(error) => return self.sort(error, AclOperation::Create, name).map(|_| ()),
        };
        match code {
            RDKafkaErrorCode::TopicAlreadyExists
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::OperationTimedOut => Ok(()),
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                Err(self.denied(AclOperation::Create, name))
            }
            source => {
                let create_command = self.create_command(topic);
                Err(SinkError::CreateTopic { topic: name.to_owned(), source, create_command })
            }
        }
    }

    fn plan(&self, topic: &Topic) -> Plan {
        let mut settings = BTreeMap::new();
        let partitions = match topic.role {
            TopicRole::Data => {
                settings = self.config.topics.settings.clone();
                let policy = self.config.topics.cleanup_policy.clone();
                settings.insert("cleanup.policy".to_owned(), policy);
                self.config.topics.partitions
            }
            // One partition: their order is the order of the log. Not compacted: records without
            // key are refused by compacted topics.
            TopicRole::Auxiliary | TopicRole::DeadLetter => {
                settings.insert("cleanup.policy".to_owned(), "delete".to_owned());
                1
            }
        };
        Plan { partitions, settings }
    }

    fn create_command(&self, topic: &Topic) -> String {
        let plan = self.plan(topic);
        let mut command = format!(
            "kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions {} --replication-factor {}",
            self.brokers(),
            topic.name,
            plan.partitions,
            self.config.topics.replication_factor,
        );
        for (key, value) in &plan.settings {
            command.push_str(&format!(" --config {key}={value}"));
        }
        command
    }

    /// Fewer partitions than the checkpoint knows: the topic was made anew, and keys would move.
    fn check_partitions(&self, topic: &Topic, now: u32) -> Result<(), SinkError> {
        if topic.role != TopicRole::Data {
            return Ok(());
        }
        let before = self.known().insert((*topic.name).to_owned(), now);
        match before {
            Some(before) if now < before => {
                self.known().insert((*topic.name).to_owned(), before);
                let (topic, brokers) = ((*topic.name).to_owned(), self.brokers());
                Err(SinkError::PartitionsShrunk { topic, before, now, brokers })
            }
            Some(before) if now > before => {
                tracing::warn!(
                    topic = %topic.name, before, now,
                    "topic has more partitions than before: keys move, and their order holds only within each partition"
                );
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// `None` where the user may not read the topic's settings: the brokers' own answer decides.
    async fn bytes_max(&self, name: &str) -> Option<usize> {
        for _ in 0..SETTINGS_ATTEMPTS {
            let answer =
                self.admin.describe_configs([&ResourceSpecifier::Topic(name)], &options()).await;
            let code = match answer.map(|resources| resources.into_iter().next()) {
                Ok(Some(Ok(resource))) => {
                    return resource.get("max.message.bytes")?.value.as_ref()?.parse().ok();
                }
                Ok(Some(Err(code))) => Some(code),
                Ok(None) => None,
                Err(error) => error.rdkafka_error_code(),
            };
            if code != Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
                tracing::info!(
                    topic = name,
                    ?code,
                    "the topic's max.message.bytes cannot be read; grant DescribeConfigs to have it checked beforehand"
                );
                return None;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }

    /// Errors that waiting cannot heal leave; others come back to be waited out.
    fn sort(
        &self,
        error: KafkaError,
        operation: AclOperation,
        topic: &str,
    ) -> Result<KafkaError, SinkError> {
        let Some(code) = error.rdkafka_error_code() else { return Ok(error) };
        match refusal(code) {
            Refusal::AclDenied => Err(self.denied(operation, topic)),
            Refusal::Authentication => Err(self.unauthenticated(code.to_string())),
            Refusal::TooLarge
            | Refusal::TimedOut
            | Refusal::TopicGone
            | Refusal::InvalidRecord
            | Refusal::Fatal
            | Refusal::Purged
            | Refusal::Other => Ok(error),
        }
    }

    /// A fatal producer is left to the sink, which knows more about it.
    fn check_client(&self, ledger: &Ledger) -> Result<(), SinkError> {
        match ledger.client_failure() {
            Some(failure) if refusal(failure.code) == Refusal::Authentication => {
                Err(self.unauthenticated(failure.reason))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn unauthenticated(&self, detail: String) -> SinkError {
        SinkError::Authentication { brokers: self.brokers(), detail }
    }

    pub(super) fn denied(&self, operation: AclOperation, topic: &str) -> SinkError {
        SinkError::AclDenied { operation, topic: topic.to_owned(), brokers: self.brokers() }
    }

    fn unreachable(&self, topic: &str, source: KafkaError) -> SinkError {
        SinkError::Unreachable {
            brokers: self.brokers(),
            topic: topic.to_owned(),
            budget_ms: self.config.retry_budget.as_millis(),
            source,
        }
    }

    pub(super) fn brokers(&self) -> String {
        self.config.bootstrap_servers.join(",")
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Plan {
    partitions: i32,
    settings: BTreeMap<String, String>,
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT))
}

fn backoff() -> impl Iterator<Item = Duration> {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times()
        .build()
}
