use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tailwater::config::KafkaConfig;
use tailwater::disposition::{Diagnose, Disposition};
use tailwater::offsets::kafka::KafkaOffsetStore;
use tailwater::offsets::position::{Lsn, Position, PostgresPosition};
use tailwater::offsets::{Checkpoint, OffsetError, OffsetStore, SnapshotState, SourceIdentity};

use super::servers::broker;
use super::support::{Batch, Setup, kafka, read_all};

fn checkpoint(pipeline: &str, counter: u64) -> Checkpoint {
    Checkpoint {
        pipeline: pipeline.to_owned(),
        identity: SourceIdentity::Postgres {
            system_id: "74".to_owned(),
            database_oid: 5,
            database: "shop".to_owned(),
            slot: "shop".to_owned(),
        },
        snapshot: SnapshotState::Complete,
        position: Position::Postgres(PostgresPosition {
            system_id: "74".to_owned(),
            timeline: 1,
            lsn: Lsn(counter * 10),
        }),
        schemas: tailwater::schema::history::SchemaHistory::default(),
        partitions: BTreeMap::from([("shop.a".to_owned(), 3)]),
        counter,
        written_by: "0.1.0".to_owned(),
    }
}

async fn open(
    config: &KafkaConfig,
    topic: &str,
    name: &str,
) -> Result<KafkaOffsetStore, OffsetError> {
    KafkaOffsetStore::open(config.clone(), topic.to_owned(), 1, name.to_owned()).await
}

/// Of every part of a history that was ever written.
fn history_keys(topic: &str) -> BTreeSet<String> {
    let records = read_all(&broker().address(), topic).into_iter();
    let keys = records.filter(|record| record.value.is_some()).filter_map(|record| record.key);
    let keys = keys.map(|key| String::from_utf8(key).unwrap());
    keys.filter(|key| key.contains("/schemas/")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_is_loaded_after_a_restart_and_forgotten_after_a_reset() {
    let (config, topic) = (kafka(&broker().address()), "offsets-save");
    let look =
        || KafkaOffsetStore::open_readonly(config.clone(), topic.to_owned(), "saved".to_owned());
    assert_eq!(look().load().await.unwrap(), None, "nothing is made by looking");
    {
        let mut store = open(&config, topic, "saved").await.unwrap();
        assert_eq!(store.load().await.unwrap(), None);
        for counter in 1..=20 {
            store.save(&checkpoint("saved", counter)).await.unwrap();
        }
        assert_eq!(look().load().await.unwrap(), Some(checkpoint("saved", 20)));
        let error = store.save(&checkpoint("saved", 20)).await.unwrap_err();
        assert!(matches!(error, OffsetError::Backwards { .. }), "{error}");
    }
    let begun = Instant::now();
    let mut store = open(&config, topic, "saved").await.unwrap();
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(5), "a goodbye frees the lock at once: {waited:?}");
    assert_eq!(store.load().await.unwrap(), Some(checkpoint("saved", 20)));
    assert_eq!(
        KafkaOffsetStore::open_readonly(config.clone(), topic.to_owned(), "other".to_owned())
            .load()
            .await
            .unwrap(),
        None
    );
    store.reset().await.unwrap();
    assert_eq!(store.load().await.unwrap(), None);
    store.save(&checkpoint("saved", 1)).await.unwrap();
    assert_eq!(look().load().await.unwrap(), Some(checkpoint("saved", 1)));
    assert!(look().save(&checkpoint("saved", 2)).await.is_err(), "read-only is read-only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_learns_who_holds_the_lock_and_other_pipelines_do_not_care() {
    let (config, topic) = (kafka(&broker().address()), "offsets-lock");
    let mut store = open(&config, topic, "locked").await.unwrap();
    store.save(&checkpoint("locked", 1)).await.unwrap();
    drop(open(&config, topic, "q").await.unwrap());
    let error = open(&config, topic, "locked").await.err().expect("it is held");
    let OffsetError::Locked { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(error.disposition(), Disposition::Stop);
    assert!(holder.starts_with(&format!("tailwater-{}-", std::process::id())), "{holder}");
    assert!(holder.ends_with(" on 127.0.0.1"), "{holder}");
    store.save(&checkpoint("locked", 2)).await.unwrap();
}

/// A process that wakes up as a zombie takes away what it knows: that must never be what its
/// successor needs, even where the two write the same history.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_comes_back_is_another_record_and_old_ones_stay_for_a_while() {
    let (config, topic) = (kafka(&broker().address()), "offsets-schemas");
    let with = |counter, text: &str| {
        let mut checkpoint = checkpoint("kept", counter);
        checkpoint.schemas.set("t", text);
        checkpoint
    };
    let mut store = open(&config, topic, "kept").await.unwrap();
    for (counter, text) in [(1, "one"), (2, "two"), (3, "one"), (4, "one")] {
        store.save(&with(counter, text)).await.unwrap();
    }
    let of_three = history_keys(topic);
    assert_eq!(of_three.len(), 4, "a clone is known, an equal one is written: {of_three:?}");
    drop(store);
    let mut store = open(&config, topic, "kept").await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(with(4, "one")));
    store.save(&with(5, "two")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(with(5, "two")));
    let tombstones = read_all(&broker().address(), topic).into_iter();
    assert_eq!(tombstones.filter(|record| record.value.is_none()).count(), 0);
    store.reset().await.unwrap();
    assert_eq!(store.load().await.unwrap(), None);
}

/// The counter begins again after a reset, and it was all that told two saves of one history apart:
/// what the first had written was tombstoned as old, half a minute into the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_after_a_reset_is_another_record_though_the_counter_is_the_same() {
    let (config, topic) = (kafka(&broker().address()), "offsets-schemas-reset");
    let mut first = checkpoint("again", 1);
    first.schemas.set("t", "one");
    let mut store = open(&config, topic, "again").await.unwrap();
    store.save(&first).await.unwrap();
    let before = history_keys(topic);
    drop(store);
    let mut store = open(&config, topic, "again").await.unwrap();
    store.reset().await.unwrap();
    drop(store);
    let mut store = open(&config, topic, "again").await.unwrap();
    assert_eq!(store.load().await.unwrap(), None);
    store.save(&first).await.unwrap();
    let of_both = history_keys(topic);
    assert_eq!((before.len(), of_both.len()), (1, 2), "{of_both:?}");
    assert!(before.is_subset(&of_both));
    drop(store);
    // As the command does it: what is known is taken away.
    let mut store = open(&config, topic, "again").await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(first));
    store.reset().await.unwrap();
    let records = read_all(&broker().address(), topic);
    for key in of_both {
        let last = records.iter().rfind(|record| record.key.as_deref() == Some(key.as_bytes()));
        assert_eq!(last.map(|record| record.value.as_ref()), Some(None), "{key}");
    }
}

/// The first save of a run was sent and given up; the next run does not see it, and its own first
/// save has the same counter. Whichever of the two comes first in the topic, the one that was
/// acknowledged counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_was_given_up_loses_against_the_next_runs() {
    let (config, topic) = (kafka(&broker().address()), "offsets-straggler");
    let with = |counter, written_by: &str| {
        let written_by = written_by.to_owned();
        Checkpoint { written_by, ..checkpoint("late", counter) }
    };
    let mut given_up = open(&config, topic, "late").await.unwrap();
    assert_eq!(given_up.load().await.unwrap(), None);
    given_up.save(&with(1, "given up")).await.unwrap();
    drop(given_up);
    let records = read_all(&broker().address(), topic);
    let sent = records.into_iter().find(|record| record.key.as_deref() == Some(b"late")).unwrap();
    let text = String::from_utf8(sent.value.unwrap()).unwrap();
    let late = text.replace("\"counter\":1", "\"counter\":2");
    assert_ne!(late, text);
    let mut next = open(&config, topic, "late").await.unwrap();
    assert_eq!(next.load().await.unwrap(), Some(with(1, "given up")));
    produce(topic, "late", &late).await;
    next.save(&with(2, "acknowledged")).await.unwrap();
    assert_eq!(next.load().await.unwrap(), Some(with(2, "acknowledged")));
    produce(topic, "late", &late.replace("\"counter\":2", "\"counter\":3")).await;
    assert_eq!(next.load().await.unwrap(), Some(with(2, "acknowledged")));
    next.save(&with(3, "acknowledged")).await.unwrap();
    drop(next);
    let mut last = open(&config, topic, "late").await.unwrap();
    assert_eq!(last.load().await.unwrap(), Some(with(3, "acknowledged")));
}

async fn produce(topic: &str, key: &str, value: &str) {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", broker().address());
    let producer: FutureProducer = client.create().unwrap();
    let record = FutureRecord::to(topic).key(key).payload(value).partition(0);
    producer.send(record, Duration::from_secs(30)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_could_forget_is_refused() {
    let (address, topic) = (broker().address(), "offsets-unfit");
    let mut config = kafka(&address);
    config.topics.partitions = 1;
    let setup = Setup::new(config.clone(), topic, tailwater::config::DeadLetterPolicy::Halt);
    let batch = Batch::new(0, &setup.topics).record(topic, Some(b"x"), Some(b"y")).done();
    setup.deliver(vec![batch]).await.result.unwrap();
    let error = open(&config, topic, "p").await.err().expect("it is not compacted");
    assert!(matches!(error, OffsetError::Unfit { setting: "cleanup.policy", .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Stop);
    assert!(error.hint().unwrap().contains("cleanup.policy=compact"));
}
