//! The offsets topic: made as it must be, and refused where it could forget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Place, REQUEST_TIMEOUT, blocking, disposition};
use crate::disposition::Disposition;
use crate::kafka_client::{KafkaLog, Offloaded, Purpose, client_config, without_values};
use crate::offsets::OffsetError;

type Admin = Offloaded<AdminClient<KafkaLog>>;
/// Asks for metadata: an admin client keeps failures of its connections to itself, because rdkafka
/// polls no more of it than its answers.
type Looker = Arc<Offloaded<BaseConsumer<KafkaLog>>>;

/// A new topic is usually there at the second look.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Creates the topic where it is missing. A topic that may drop a checkpoint (retention instead of
/// compaction) or that has several partitions (whose order is not defined) is refused.
pub(super) async fn ensure(place: &Place, replication_factor: i32) -> Result<(), OffsetError> {
    let set_up = |source| place.error("set up a client for", without_values(source));
    let admin: Admin = client_config(&place.config, Purpose::Administer)
        .create_with_context(KafkaLog::default())
        .map(Offloaded::new)
        .map_err(set_up)?;
    let looker: Looker = client_config(&place.config, Purpose::Consume)
        .create_with_context(KafkaLog::default())
        .map(|client| Arc::new(Offloaded::new(client)))
        .map_err(set_up)?;
    let deadline = Instant::now() + place.config.retry_budget;
    let mut created = false;
    loop {
        let error = match partitions(place, &looker).await {
            Ok(Some(1)) => break,
            Ok(Some(0)) => KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable),
            Ok(Some(n)) => return Err(unfit(place, "number of partitions", n.to_string(), "1")),
            Ok(None) if created => {
                KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)
            }
            Ok(None) => match create(place, &admin, replication_factor).await {
                Ok(()) => {
                    created = true;
                    KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        if let Some(failure) = looker.context().failure() {
            return Err(place.error("reach", KafkaError::Global(failure.code)));
        }
        if Instant::now() >= deadline || disposition(&error) == Disposition::Stop {
            return Err(place.error(if created { "create" } else { "find" }, error));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    check_cleanup_policy(place, &admin).await
}

/// `None` where there is no such topic.
async fn partitions(place: &Place, looker: &Looker) -> Result<Option<usize>, KafkaError> {
    let (looker, name) = (Arc::clone(looker), place.topic.clone());
    let fetched = blocking(move || {
        let fetched = looker.fetch_metadata(Some(&name), REQUEST_TIMEOUT);
        drop(looker.poll(Duration::ZERO));
        Ok(fetched.and_then(|metadata| {
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            let code = topic.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from);
            match (topic, code) {
                (None, _)
                | (
                    _,
                    Some(
                        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                    ),
                ) => Ok(None),
                (Some(_), Some(RDKafkaErrorCode::LeaderNotAvailable)) => Ok(Some(0)),
                (Some(topic), None | Some(RDKafkaErrorCode::NoError)) => {
                    Ok(Some(topic.partitions().len()))
                }
                (Some(_), Some(code)) => Err(KafkaError::MetadataFetch(code)),
            }
        }))
    });
    fetched.await.unwrap_or(Err(KafkaError::Canceled))
}

async fn create(place: &Place, admin: &Admin, replication_factor: i32) -> Result<(), KafkaError> {
    let topic = NewTopic::new(&place.topic, 1, TopicReplication::Fixed(replication_factor))
        .set("cleanup.policy", "compact")
        .set("retention.ms", "-1")
        .set("retention.bytes", "-1");
    let results = admin.create_topics([&topic], &options()).await?;
    match results.into_iter().next() {
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(KafkaError::AdminOp(code)),
        Some(Ok(_)) | None => {
            tracing::info!(topic = place.topic, "offsets topic was created");
            Ok(())
        }
    }
}

/// Where the settings may not be read they are taken on trust, and that is said.
async fn check_cleanup_policy(place: &Place, admin: &Admin) -> Result<(), OffsetError> {
    let topic = ResourceSpecifier::Topic(&place.topic);
    let answer = admin.describe_configs([&topic], &options()).await;
    let resource = answer.ok().and_then(|resources| resources.into_iter().next());
    let Some(Ok(resource)) = resource else {
        tracing::warn!(
            topic = place.topic,
            "the settings of the offsets topic cannot be read; it must be compacted"
        );
        return Ok(());
    };
    let policy = resource.get("cleanup.policy").and_then(|entry| entry.value.clone());
    match policy.as_deref() {
        None | Some("compact") => Ok(()),
        Some(other) => Err(unfit(place, "cleanup.policy", other.to_owned(), "compact")),
    }
}

fn unfit(place: &Place, setting: &'static str, found: String, wanted: &'static str) -> OffsetError {
    OffsetError::Unfit { topic: place.topic.clone(), setting, found, wanted }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT))
}
