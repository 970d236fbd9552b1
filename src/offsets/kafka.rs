//! Offsets in a compacted topic of their own: one partition, the pipeline's name as key.
//!
//! A save is a record that every in-sync replica has. A load reads the topic to its end and takes
//! the highest counter of the highest epoch since the last reset, so that a record that a dying
//! predecessor sent late cannot win. The brokers' own CRC32C covers each record; the format has
//! magic and version.
//!
//! Who is to write leaves a record of its own first (`claim`), then reads. Its offset is the epoch:
//! no two have the same, and later ones are higher. And when it is durable, so is all that stands
//! before it: what a predecessor sent and gave up as lost is either read now, or has a lower epoch
//! than whatever is written from now on.
//!
//! One writer: a run is a member of the consumer group `tailwater-offsets-<pipeline>` and holds
//! the topic's only partition (`lock`). What a write rests on when that was lost for a while is
//! read again before the next one.

mod format;
mod lock;
mod parts;
mod topic;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use crate::config::KafkaConfig;
use crate::disposition::Disposition;
use crate::kafka_client::{KafkaLog, Offloaded, Purpose, client_config, without_values};
use crate::offsets::schemas::{self, Packer, Reference};
use crate::offsets::{Checkpoint, OffsetError, OffsetStore, StoreFuture};
use format::{Found, Latest, Rank};
use lock::Lock;
use parts::Parts;

/// One question to the brokers; several fit into the retry budget.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(200);

pub struct KafkaOffsetStore {
    place: Place,
    writer: Option<Writer>,
}

/// Which topic, which key.
#[derive(Clone, Debug)]
struct Place {
    config: KafkaConfig,
    topic: String,
    pipeline: String,
}

struct Writer {
    producer: Offloaded<FutureProducer<KafkaLog>>,
    lock: Lock,
    /// How often the lock had been lost when the topic was last read.
    losses: u64,
    /// Of the last checkpoint that was read or written.
    last: Option<Rank>,
    /// `None` until the topic was read.
    epoch: Option<u64>,
    packer: Packer,
    parts: Parts,
}

/// A schema history on its way.
struct Schemas {
    reference: Option<Reference>,
    /// Keys of what was written; `None` where it was there already.
    new_parts: Option<Vec<String>>,
}

impl KafkaOffsetStore {
    /// Opens for a run, or for changing: creates the topic where it is missing and takes the lock.
    /// A predecessor that died without a goodbye is waited out (its session ends after 10 s, or
    /// after 20 s when the brokers restarted).
    ///
    /// # Errors
    /// When the brokers cannot be reached, the topic is unfit, or another process holds the lock.
    pub async fn open(
        config: KafkaConfig,
        topic: String,
        replication_factor: i32,
        pipeline: String,
    ) -> Result<Self, OffsetError> {
        let place = Place { config, topic, pipeline };
        topic::ensure(&place, replication_factor).await?;
        let lock = Lock::take(&place).await?;
        let mut client = client_config(&place.config, Purpose::Produce);
        client.set("queue.buffering.max.ms", "0");
        let producer = client
            .create_with_context(KafkaLog::default())
            .map(Offloaded::new)
            .map_err(|source| place.error("set up a producer for", without_values(source)))?;
        let losses = lock.losses();
        let (packer, parts) = (Packer::default(), Parts::default());
        let writer = Writer { producer, lock, losses, last: None, epoch: None, packer, parts };
        Ok(Self { place, writer: Some(writer) })
    }

    /// Opens for a look, without the lock; nothing is created.
    #[must_use]
    pub fn open_readonly(config: KafkaConfig, topic: String, pipeline: String) -> Self {
        Self { place: Place { config, topic, pipeline }, writer: None }
    }

    async fn read(&self) -> Result<Found, OffsetError> {
        let (place, missing_is_empty) = (self.place.clone(), self.writer.is_none());
        blocking(move || place.read(missing_is_empty)).await
    }

    /// Reads what counts, as one that is to write from now on: gives its epoch too.
    async fn claim(&mut self) -> Result<(u64, Found), OffsetError> {
        let key = format::claim_key(&self.place.pipeline);
        let offset =
            self.write(&key, Some(lock::CLIENT_ID.as_bytes())).await?.ok_or_else(|| {
                let unknown = KafkaError::MessageProduction(RDKafkaErrorCode::NoOffset);
                self.place.error("claim", unknown)
            })?;
        // No leader tells an end that is below what was acknowledged (KIP-207).
        let found = self.read().await?;
        // Where the topic was made anew from a copy, its offsets begin again and the epochs do not.
        let next = found.epoch.map_or(0, |epoch| epoch.saturating_add(1));
        let epoch = offset.max(next);
        if let Some(writer) = &mut self.writer {
            writer.epoch = Some(epoch);
        }
        Ok((epoch, found))
    }

    async fn epoch(&mut self) -> Result<u64, OffsetError> {
        match self.writer.as_ref().and_then(|writer| writer.epoch) {
            Some(epoch) => Ok(epoch),
            None => Ok(self.claim().await?.0),
        }
    }

    /// Writes a record; `None` is a tombstone. Tells its offset, which a broker does not when the
    /// answer to a first attempt was lost.
    async fn write(&self, key: &str, value: Option<&[u8]>) -> Result<Option<u64>, OffsetError> {
        let Place { topic, config, .. } = &self.place;
        let Some(writer) = &self.writer else { return Err(self.place.held_by_nobody()) };
        let mut record = FutureRecord::to(topic).key(key).partition(0);
        if let Some(value) = value {
            record = record.payload(value);
        }
        let sent = writer.producer.send(record, Timeout::After(config.retry_budget)).await;
        let delivery = sent.map_err(|(source, _)| self.place.error("write to", source))?;
        Ok(u64::try_from(delivery.offset).ok())
    }

    /// Makes the schema history of a checkpoint durable, unless it is.
    async fn write_schemas(&self, checkpoint: &Checkpoint) -> Result<Schemas, OffsetError> {
        let Some(writer) = &self.writer else { return Err(self.place.held_by_nobody()) };
        if let Some(reference) = writer.packer.known(&checkpoint.schemas) {
            return Ok(Schemas { reference, new_parts: None });
        }
        // Of thousands of tables it takes a while.
        let (history, location) = (checkpoint.schemas.clone(), self.place.location());
        let packed = blocking(move || {
            let operation = "pack the schema history of";
            let failed = |source| OffsetError::Io { operation, location, source };
            schemas::pack(&history).map_err(failed)
        });
        let Some((reference, bytes)) = packed.await? else {
            return Ok(Schemas { reference: None, new_parts: Some(Vec::new()) });
        };
        let reference = reference.of_save(random());
        let mut keys = Vec::new();
        for (index, part) in bytes.chunks(format::PART_BYTES).enumerate() {
            let key = format::part_key(&self.place.pipeline, &reference, index);
            self.write(&key, Some(part)).await?;
            keys.push(key);
        }
        Ok(Schemas { reference: Some(reference), new_parts: Some(keys) })
    }

    /// Behind a checkpoint that became durable. Takes away what none has named for a while.
    async fn settle(&mut self, checkpoint: &Checkpoint, new: Schemas) -> Result<(), OffsetError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let now = Instant::now();
        writer.packer.remember(&checkpoint.schemas, new.reference);
        // Before what was replaced just now: the lock was asked for before that.
        let due = writer.parts.due(now);
        if let Some(new_parts) = new.new_parts {
            writer.parts.replace(new_parts, now);
        }
        for key in due {
            self.write(&key, None).await?;
        }
        Ok(())
    }

    /// Whether this process may write: it holds the lock, and nobody wrote while it did not.
    async fn may_write(&mut self) -> Result<(), OffsetError> {
        let Some(writer) = &self.writer else { return Err(self.place.held_by_nobody()) };
        writer.lock.wait_until_held(&self.place).await?;
        let (losses, expected) = (writer.lock.losses(), writer.last);
        if losses == writer.losses {
            return Ok(());
        }
        if self.claim().await?.1.rank() != expected {
            return Err(OffsetError::Locked {
                location: self.location(),
                holder: "another process, which wrote while the brokers did not hear from this one"
                    .to_owned(),
            });
        }
        if let Some(writer) = &mut self.writer {
            writer.losses = losses;
        }
        Ok(())
    }

    fn remember(&mut self, last: Option<Rank>) {
        if let Some(writer) = &mut self.writer {
            writer.last = last;
        }
    }
}

impl OffsetStore for KafkaOffsetStore {
    fn load(&mut self) -> StoreFuture<'_, Option<Checkpoint>> {
        Box::pin(async move {
            let found = match self.writer {
                Some(_) => self.claim().await?.1,
                None => self.read().await?,
            };
            self.remember(found.rank());
            let Found { checkpoint, schemas, parts, .. } = found;
            if let Some(writer) = &mut self.writer {
                let pipeline = self.place.pipeline.as_str();
                let is_named = |key: &str| {
                    let named = schemas.as_ref();
                    named.is_some_and(|named| format::is_part_of(pipeline, named, key))
                };
                writer.parts = Parts::found(parts, is_named, Instant::now());
                match &checkpoint {
                    Some(checkpoint) => writer.packer.remember(&checkpoint.schemas, schemas),
                    // What was durable once is old now.
                    None => writer.packer.forget(),
                }
            }
            Ok(checkpoint)
        })
    }

    fn save<'a>(&'a mut self, checkpoint: &'a Checkpoint) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.may_write().await?;
            let epoch = self.epoch().await?;
            let (last, counter) = (self.writer.as_ref().and_then(|w| w.last), checkpoint.counter);
            if let Some(last) = last.filter(|last| counter <= last.counter) {
                let (from, to) = (format!("save {}", last.counter), format!("save {counter}"));
                return Err(OffsetError::Backwards { from, to });
            }
            let written = self.write_schemas(checkpoint).await?;
            let value = format::encode(checkpoint, epoch, written.reference.as_ref());
            self.write(&self.place.pipeline, Some(&value)).await?;
            self.remember(Some(Rank { epoch: Some(epoch), counter }));
            self.settle(checkpoint, written).await
        })
    }

    fn reset(&mut self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.may_write().await?;
            self.write(&self.place.pipeline, None).await?;
            self.remember(None);
            for key in self.writer.as_mut().map(|w| w.parts.all()).unwrap_or_default() {
                self.write(&key, None).await?;
            }
            if let Some(writer) = &mut self.writer {
                writer.packer.forget();
            }
            Ok(())
        })
    }

    fn location(&self) -> String {
        self.place.location()
    }
}

impl Place {
    /// Blocks until the topic was read to its present end.
    fn read(&self, missing_is_empty: bool) -> Result<Found, OffsetError> {
        let nothing = || Ok(Found::default());
        let mut client = client_config(&self.config, Purpose::Consume);
        client.set("group.id", self.group());
        client.set("enable.auto.commit", "false");
        client.set("isolation.level", "read_committed");
        client.set("enable.partition.eof", "true");
        client.set("auto.offset.reset", "earliest");
        // The end of the topic is not waited for.
        client.set("fetch.wait.max.ms", "10");
        let consumer: BaseConsumer<KafkaLog> = client
            .create_with_context(KafkaLog::default())
            .map_err(|source| self.error("set up a consumer for", without_values(source)))?;
        let deadline = Instant::now() + self.config.retry_budget;
        let end = loop {
            // An assignment, not a subscription: reading joins no group and takes no lock.
            match consumer.fetch_watermarks(&self.topic, 0, REQUEST_TIMEOUT) {
                Ok((low, high)) if low >= high => return nothing(),
                Ok((_, high)) => break high,
                Err(error) if missing_is_empty && is_missing(&error) => return nothing(),
                Err(error) => self.wait_out("read", error, (&consumer, deadline))?,
            }
        };
        let mut start = TopicPartitionList::new();
        start
            .add_partition_offset(&self.topic, 0, Offset::Beginning)
            .and_then(|()| consumer.assign(&start))
            .map_err(|source| self.error("read", source))?;
        let mut latest = Latest::new(self.location(), &self.pipeline);
        loop {
            match consumer.poll(POLL) {
                Some(Ok(message)) => {
                    latest.take(message.key(), message.payload())?;
                    if message.offset() + 1 >= end {
                        return latest.finish();
                    }
                }
                // The last offset may be one that compaction took away.
                Some(Err(KafkaError::PartitionEOF(_))) => return latest.finish(),
                Some(Err(error)) => self.wait_out("read", error, (&consumer, deadline))?,
                None if Instant::now() >= deadline => return Err(self.timeout("read")),
                None => {}
            }
        }
    }

    /// Pauses, or gives the error back when waiting will not heal it or takes too long.
    fn wait_out(
        &self,
        operation: &'static str,
        error: KafkaError,
        (consumer, deadline): (&BaseConsumer<KafkaLog>, Instant),
    ) -> Result<(), OffsetError> {
        // Errors of the client as a whole, refused credentials above all, come out of a poll only.
        drop(consumer.poll(Duration::ZERO));
        if let Some(failure) = consumer.context().failure() {
            return Err(self.error(operation, KafkaError::Global(failure.code)));
        }
        if Instant::now() >= deadline || disposition(&error) == Disposition::Stop {
            return Err(self.error(operation, error));
        }
        tracing::debug!(topic = self.topic, %error, "offsets topic is not ready");
        std::thread::sleep(PAUSE);
        Ok(())
    }

    fn group(&self) -> String {
        format!("tailwater-offsets-{}", self.pipeline)
    }

    fn location(&self) -> String {
        format!("topic {} (pipeline {})", self.topic, self.pipeline)
    }

    fn error(&self, operation: &'static str, source: KafkaError) -> OffsetError {
        OffsetError::Kafka { operation, topic: self.topic.clone(), source }
    }

    fn timeout(&self, operation: &'static str) -> OffsetError {
        let timeout_ms = u64::try_from(self.config.retry_budget.as_millis()).unwrap_or(u64::MAX);
        OffsetError::Timeout { operation, topic: self.topic.clone(), timeout_ms }
    }

    fn held_by_nobody(&self) -> OffsetError {
        let holder = "nobody: they were opened for reading only".to_owned();
        OffsetError::Locked { location: self.location(), holder }
    }
}

/// What follows an error of the client. Codes are foreign and many: the default leads to a new
/// start from what can be read back.
pub(super) fn disposition(error: &KafkaError) -> Disposition {
    use RDKafkaErrorCode as Code;
    if matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)) {
        return Disposition::Stop;
    }
    match error.rdkafka_error_code() {
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::InvalidReplicationFactor
            | Code::PolicyViolation
            | Code::InvalidConfig
            | Code::InvalidTopic,
        ) => Disposition::Stop,
        Some(_) | None => Disposition::Reconnect,
    }
}

fn is_missing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}

/// From the system's randomness, which each state takes its keys from.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// librdkafka's consumers and metadata block: off the runtime's threads with them.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OffsetError> + Send + 'static,
) -> Result<T, OffsetError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(OffsetError::Kafka {
            operation: "finish with",
            topic: String::new(),
            source: KafkaError::Canceled,
        }),
    }
}
