//! The lock on a pipeline's offsets: membership of a consumer group, and in it the assignment of
//! the topic's only partition.
//!
//! Kafka gives a partition to one member at a time, takes it back when a member falls silent for
//! the session's length, and shows every member to whoever asks. A second run therefore sees the
//! first by name before it joins; two that join at the same moment are told apart by who got the
//! partition (the cooperative-sticky assignor leaves it with the one that has it).
//!
//! librdkafka sends heartbeats by itself, but wants to be polled, so a thread does nothing else.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::{Place, REQUEST_TIMEOUT, blocking, random};
use crate::kafka_client::{KafkaLog, Offloaded, Purpose, client_config, without_values};
use crate::offsets::OffsetError;

/// A member that died without a goodbye is forgotten after this long.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long members are waited for, in case they are dead. Twice a session: brokers that restart
/// give each member of a group that they load a new session, and so do those that take a group
/// over.
const GHOST_TIMEOUT: Duration = Duration::from_secs(21);
/// How long the group may take to give the partition to its only member.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the thread may take to notice that it is over.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
const LEAVE_POLL: Duration = Duration::from_millis(5);
const POLL: Duration = Duration::from_millis(20);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const HELD_POLL: Duration = Duration::from_millis(10);
/// A group that did not give the partition by now is asked who has it.
const ASK_AFTER: Duration = Duration::from_secs(1);

/// Given back on a thread for blocking work: brokers that are away must not hold up a stop, nor
/// the next run. The runtime's end waits for it, within bounds.
pub(super) struct Lock {
    membership: Offloaded<Membership>,
}

struct Membership {
    state: Arc<State>,
    thread: JoinHandle<()>,
}

struct State {
    stop: AtomicBool,
    held: AtomicBool,
    losses: AtomicU64,
    consumer: BaseConsumer<KafkaLog>,
}

impl Lock {
    /// Waits out a dead predecessor, then joins and waits for the partition.
    pub(super) async fn take(place: &Place) -> Result<Self, OffsetError> {
        let owned = place.clone();
        let lock = blocking(move || Self::join(&owned)).await?;
        lock.wait_until_held(place).await?;
        Ok(lock)
    }

    fn join(place: &Place) -> Result<Self, OffsetError> {
        let consumer = consumer(place)?;
        wait_for_empty_group(place, &consumer)?;
        consumer.subscribe(&[&place.topic]).map_err(|source| place.error("lock", source))?;
        let state = Arc::new(State {
            stop: AtomicBool::new(false),
            held: AtomicBool::new(false),
            losses: AtomicU64::new(0),
            consumer,
        });
        let polled = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("offsets-lock".to_owned());
        let thread = thread
            .spawn(move || polled.keep())
            .expect("a process that could start tasks can start one more thread");
        Ok(Self { membership: Offloaded::new(Membership { state, thread }) })
    }

    /// How often the partition was taken away from this process.
    pub(super) fn losses(&self) -> u64 {
        self.membership.state.losses.load(Ordering::Acquire)
    }

    /// Returns at once while the lock is held; otherwise waits for the brokers to come back, or to
    /// say who has it now.
    pub(super) async fn wait_until_held(&self, place: &Place) -> Result<(), OffsetError> {
        let begun = Instant::now();
        let deadline = begun + JOIN_TIMEOUT.max(place.config.retry_budget);
        let mut ask_at = begun + ASK_AFTER;
        let state = &self.membership.state;
        while !state.held.load(Ordering::Acquire) {
            if let Some(failure) = state.consumer.context().failure() {
                return Err(place.error("lock", KafkaError::Global(failure.code)));
            }
            if Instant::now() >= deadline {
                return Err(place.timeout("lock"));
            }
            if Instant::now() >= ask_at {
                self.check_for_another_holder(place).await?;
                ask_at = Instant::now() + ASK_AFTER;
            }
            tokio::time::sleep(HELD_POLL).await;
        }
        Ok(())
    }

    async fn check_for_another_holder(&self, place: &Place) -> Result<(), OffsetError> {
        let (state, owned) = (Arc::clone(&self.membership.state), place.clone());
        let members = blocking(move || Ok(members(&owned, &state.consumer))).await?;
        let others = members.iter().flatten().filter(|member| !member.is_this_process());
        let others: Vec<_> = others.collect();
        if !others.iter().any(|member| member.has_partition) {
            return Ok(());
        }
        let holder = others.into_iter().map(Member::name).collect::<Vec<_>>().join(", ");
        Err(OffsetError::Locked { location: place.location(), holder })
    }
}

impl Drop for Membership {
    /// Blocks for the goodbye, a few milliseconds when the brokers are there, and some seconds when
    /// they are not: a member that leaves without it keeps the next start waiting for the length of
    /// its session. The thread lets go of the consumer first; its own drop, after this, leaves the
    /// group.
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Release);
        let deadline = Instant::now() + LEAVE_TIMEOUT;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(LEAVE_POLL);
        }
    }
}

impl State {
    fn keep(&self) {
        while !self.stop.load(Ordering::Acquire) {
            if let Some(Err(error)) = self.consumer.poll(POLL) {
                tracing::debug!(%error, "lock on the offsets");
            }
            let held = self.consumer.assignment().is_ok_and(|list| list.count() > 0);
            if self.held.swap(held, Ordering::AcqRel) && !held {
                self.losses.fetch_add(1, Ordering::AcqRel);
                tracing::warn!(
                    "the lock on the offsets was lost; it is taken again before the next save"
                );
            }
        }
    }
}

fn consumer(place: &Place) -> Result<BaseConsumer<KafkaLog>, OffsetError> {
    let mut client = client_config(&place.config, Purpose::Consume);
    client.set("client.id", CLIENT_ID.as_str());
    client.set("group.id", place.group());
    client.set("group.protocol", "classic");
    client.set("partition.assignment.strategy", "cooperative-sticky");
    client.set("session.timeout.ms", SESSION_TIMEOUT.as_millis().to_string());
    client.set("heartbeat.interval.ms", "2000");
    // The thread above polls for ever; only a stopped process does not, and its session ends.
    client.set("max.poll.interval.ms", "86400000");
    client.set("enable.auto.commit", "false");
    // The group is a lock; nothing is read through it.
    client.set("auto.offset.reset", "latest");
    client
        .create_with_context(KafkaLog::default())
        .map_err(|source| place.error("lock", without_values(source)))
}

/// The process id for people; at random, because in containers every process has the same one.
pub(super) static CLIENT_ID: LazyLock<String> = LazyLock::new(|| {
    let pid = std::process::id();
    format!("tailwater-{pid}-{:016x}", random())
});

struct Member {
    client_id: String,
    host: String,
    has_partition: bool,
}

impl Member {
    fn name(&self) -> String {
        format!("{} on {}", self.client_id, self.host.trim_start_matches('/'))
    }

    fn is_this_process(&self) -> bool {
        self.client_id == *CLIENT_ID
    }
}

fn members(place: &Place, consumer: &BaseConsumer<KafkaLog>) -> Result<Vec<Member>, KafkaError> {
    let list = consumer.fetch_group_list(Some(&place.group()), REQUEST_TIMEOUT)?;
    let groups = list.groups().iter();
    let members = groups.flat_map(|group| group.members()).map(|member| Member {
        client_id: member.client_id().to_owned(),
        host: member.client_host().to_owned(),
        has_partition: member.assignment().is_some_and(assigns_something),
    });
    Ok(members.collect())
}

/// `ConsumerProtocolAssignment`: version (i16), then an array (i32 length) of topics.
fn assigns_something(assignment: &[u8]) -> bool {
    assignment.get(2..6).is_some_and(|n| n != [0, 0, 0, 0])
}

/// How long the group has been seen with members. Silence of the brokers does not count: no
/// session ends while they are away.
#[derive(Default)]
struct Ghosts {
    seen_at: Option<Instant>,
}

impl Ghosts {
    /// Members were seen: whether it is for longer than a dead one can be.
    fn outlived(&mut self, now: Instant) -> bool {
        now.duration_since(*self.seen_at.get_or_insert(now)) > GHOST_TIMEOUT
    }
}

fn wait_for_empty_group(
    place: &Place,
    consumer: &BaseConsumer<KafkaLog>,
) -> Result<(), OffsetError> {
    let budget = Instant::now() + place.config.retry_budget;
    let mut ghosts = Ghosts::default();
    let mut said = false;
    loop {
        match members(place, consumer) {
            Ok(members) if members.is_empty() => return Ok(()),
            Ok(members) => {
                let holder = members.iter().map(Member::name).collect::<Vec<_>>().join(", ");
                if ghosts.outlived(Instant::now()) {
                    return Err(OffsetError::Locked { location: place.location(), holder });
                }
                // What is left of the run before goes by itself.
                if !said && !members.iter().all(Member::is_this_process) {
                    said = true;
                    tracing::info!(
                        holder,
                        "offsets are locked; waiting in case their holder is dead"
                    );
                }
            }
            Err(error) => place.wait_out("lock", error, (consumer, budget))?,
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(client_id: &str) -> Member {
        let host = "/10.0.0.7".to_owned();
        Member { client_id: client_id.to_owned(), host, has_partition: true }
    }

    #[test]
    fn a_ghost_has_two_sessions_from_when_it_is_seen_first() {
        assert!(GHOST_TIMEOUT > 2 * SESSION_TIMEOUT);
        let (mut ghosts, seen) = (Ghosts::default(), Instant::now());
        assert!(!ghosts.outlived(seen));
        assert!(!ghosts.outlived(seen + 2 * SESSION_TIMEOUT));
        assert!(ghosts.outlived(seen + 2 * SESSION_TIMEOUT + Duration::from_secs(2)));
    }

    #[test]
    fn a_stranger_with_the_same_process_id_is_not_this_process() {
        let pid = std::process::id();
        assert!(member(&CLIENT_ID).is_this_process());
        assert!(!member(&format!("tailwater-{pid}")).is_this_process());
        assert!(!member(&format!("tailwater-{pid}-{:016x}", 7)).is_this_process());
        assert!(member(&CLIENT_ID).name().starts_with(&format!("tailwater-{pid}-")));
    }
}
