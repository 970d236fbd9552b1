use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tailwater::config::DeadLetterPolicy::{DeadLetter, Halt};
use tailwater::disposition::Disposition;
use tailwater::record::{RecordBatch, Topics};
use tailwater::sinks::kafka::partition_of;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::servers::{Broker, broker, free_port};
use super::support::{Batch, Setup, kafka, read_all, with};

/// Records of seventeen keys, each value the number of its record.
fn keyed(topics: &Arc<Topics>, topic: &str, batches: std::ops::Range<u64>) -> Vec<RecordBatch> {
    let batch = |sequence: u64| {
        let mut batch = Batch::new(sequence, topics);
        for i in 0..50 {
            let n = sequence * 50 + i;
            let (key, value) = (format!("key-{}", n % 17), n.to_string());
            batch = batch.record(topic, Some(key.as_bytes()), Some(value.as_bytes()));
            if i == 7 {
                batch = batch.header("cdc.id", &value);
            }
        }
        batch.done()
    };
    batches.map(batch).collect()
}

/// Every key in its partition and in order, each record once.
fn check_order(address: &str, topic: &str, n_records: usize, n_partitions: u32) {
    let records = read_all(address, topic);
    assert_eq!(records.len(), n_records);
    let mut last: HashMap<Vec<u8>, u64> = HashMap::new();
    for record in &records {
        let key = record.key.clone().unwrap();
        assert_eq!(record.partition, partition_of(&key, n_partitions));
        let value = std::str::from_utf8(record.value.as_ref().unwrap()).unwrap();
        let n: u64 = value.parse().unwrap();
        if let Some(before) = last.insert(key, n) {
            assert_eq!(n, before + 17, "order of a key");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_arrive_in_order_and_receipts_follow_the_batches() {
    let (address, topic) = (broker().address(), "order");
    let setup = Setup::new(kafka(&address), topic, Halt);
    let delivered = setup.deliver(keyed(&setup.topics, topic, 0..200)).await;
    delivered.result.unwrap();
    assert_eq!(delivered.receipts, (0..200).collect::<Vec<_>>());
    check_order(&address, topic, 10_000, 3);
    assert_eq!(setup.known.lock().unwrap().get(topic), Some(&3));
    let with_id = read_all(&address, topic).iter().filter(|r| r.header("cdc.id").is_some()).count();
    assert_eq!(with_id, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_keyless_records_and_empty_batches_have_their_place() {
    let (address, topic) = (broker().address(), "shapes");
    let setup = Setup::new(kafka(&address), topic, Halt);
    let batches = vec![
        Batch::new(0, &setup.topics).done(),
        Batch::new(1, &setup.topics)
            .record(topic, Some(b"k"), None)
            .record(topic, Some(b"k"), Some(b""))
            .record(topic, None, Some(b"a"))
            .record(topic, None, Some(b"b"))
            .done(),
        Batch::new(2, &setup.topics).done(),
    ];
    let delivered = setup.deliver(batches).await;
    delivered.result.unwrap();
    assert_eq!(delivered.receipts, [0, 1, 2]);
    let records = read_all(&address, topic);
    let of_key: Vec<_> =
        records.iter().filter(|r| r.key.is_some()).map(|r| r.value.clone()).collect();
    assert_eq!(of_key, [None, Some(Vec::new())]);
    let keyless: Vec<_> = records.iter().filter(|r| r.key.is_none()).collect();
    assert!(keyless.iter().all(|r| r.partition == partition_of(topic.as_bytes(), 3)));
    assert_eq!(keyless[0].value.as_deref(), Some(&b"a"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_record_halts_with_size_limit_and_setting() {
    let (address, topic) = (broker().address(), "oversized-halt");
    let setup = Setup::new(kafka(&address), topic, Halt);
    let large = vec![b'x'; 2_000_000];
    let batches = vec![
        Batch::new(0, &setup.topics).record(topic, Some(b"k"), Some(b"small")).done(),
        Batch::new(1, &setup.topics).record(topic, Some(b"k"), Some(&large)).done(),
    ];
    let delivered = setup.deliver(batches).await;
    let error = delivered.result.unwrap_err();
    assert_eq!(error.disposition(), Disposition::DeadLetter);
    let text = error.to_string();
    assert!(text.contains("oversized-halt") && text.contains("1000000 bytes"), "{text}");
    assert!(error.hint().unwrap().contains("message.max.bytes: 2097152"));
    assert!(!delivered.receipts.contains(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_record_goes_to_the_dead_letters_in_parts_and_others_go_on() {
    let (address, topic) = (broker().address(), "oversized-letter");
    let setup = Setup::new(kafka(&address), topic, DeadLetter);
    let large: Vec<u8> = (0..2_500_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    let batch = Batch::new(0, &setup.topics)
        .record(topic, Some(b"k"), Some(b"before"))
        .record(topic, Some(b"k"), Some(&large))
        .header("cdc.id", "tx:1")
        .record(topic, Some(b"k"), Some(b"after"))
        .done();
    let delivered = setup.deliver(vec![batch]).await;
    delivered.result.unwrap();
    assert_eq!(delivered.receipts, [0]);
    let values: Vec<_> = read_all(&address, topic).into_iter().map(|r| r.value.unwrap()).collect();
    assert_eq!(values, [b"before".to_vec(), b"after".to_vec()]);
    let parts = read_all(&address, "oversized-letter.dead-letter");
    let names: Vec<_> = parts.iter().map(|r| r.header("tailwater.part").unwrap()).collect();
    assert_eq!(names, ["1/3", "2/3", "3/3"]);
    assert!(parts.iter().all(|r| r.key.as_deref() == Some(b"k")));
    assert!(parts.iter().all(|r| r.header("cdc.id") == Some("tx:1")));
    assert_eq!(parts[0].header("tailwater.kind"), Some("delivery"));
    assert_eq!(parts[0].header("tailwater.topic"), Some(topic));
    assert_eq!(parts.into_iter().flat_map(|r| r.value.unwrap()).collect::<Vec<_>>(), large);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_a_small_limit_takes_small_records_and_refuses_a_large_one_only() {
    let (address, topic) = (broker().address(), "small-limit");
    for (i, compression) in ["none", "zstd"].into_iter().enumerate() {
        let topic = format!("{topic}-{compression}");
        let mut config = with(kafka(&address), &[("compression.type", compression)]);
        config.topics.settings.insert("max.message.bytes".to_owned(), "20000".to_owned());
        let setup = Setup::new(config, &topic, DeadLetter);
        let mut batch = Batch::new(0, &setup.topics);
        for n in 0..2000_u32 {
            // One record that no compression makes small enough.
            let size = if n == 1000 { 60_000 } else { 500 };
            batch = batch.record(&topic, Some(b"k"), Some(&noise(n, size)));
        }
        let delivered = setup.deliver(vec![batch.done()]).await;
        delivered.result.unwrap();
        assert_eq!(delivered.receipts, [0]);
        let records = read_all(&address, &topic);
        assert_eq!(records.len(), 1999, "{compression}");
        let sizes = records.iter().map(|r| r.value.as_ref().unwrap()[..4].to_vec());
        let numbers: Vec<_> = sizes.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert!(numbers.is_sorted(), "{compression}: order of the key");
        let letters = read_all(&address, &format!("{topic}.dead-letter"));
        let buried: Vec<u8> = letters.into_iter().flat_map(|r| r.value.unwrap()).collect();
        assert_eq!(buried, noise(1000, 60_000), "{i}");
    }
}

/// Bytes that do not compress, beginning with `n`.
fn noise(n: u32, size: usize) -> Vec<u8> {
    let mut state = u64::from(n) + 1;
    let mut bytes = n.to_le_bytes().to_vec();
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named_with_the_command_that_makes_it() {
    let (address, topic) = (broker().address(), "nowhere");
    let mut config = kafka(&address);
    config.topics.create = false;
    let setup = Setup::new(config, topic, Halt);
    let error = setup.deliver(keyed(&setup.topics, topic, 0..1)).await.result.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Stop);
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("--create --topic nowhere --partitions 3 --replication-factor 1"),
        "{hint}"
    );

    // A topic that the checkpoint knows held records that are gone: never made anew in silence.
    let setup = Setup::new(kafka(&address), topic, Halt);
    setup.known.lock().unwrap().insert(topic.to_owned(), 3);
    let delivered = setup.deliver(keyed(&setup.topics, topic, 0..1)).await;
    let error = delivered.result.unwrap_err();
    assert!(error.to_string().contains("written to before"), "{error}");
    assert!(delivered.receipts.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_partitions_than_the_checkpoint_knows_are_refused_and_more_are_not() {
    let (address, topic) = (broker().address(), "partitions");
    let setup = Setup::new(kafka(&address), topic, Halt);
    setup.deliver(keyed(&setup.topics, topic, 0..1)).await.result.unwrap();
    setup.known.lock().unwrap().insert(topic.to_owned(), 5);
    let error = setup.deliver(keyed(&setup.topics, topic, 0..1)).await.result.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Stop);
    assert!(error.to_string().contains("it has 3 partitions and had 5"), "{error}");
    assert!(error.hint().unwrap().contains("--alter --topic partitions --partitions 5"));
    setup.known.lock().unwrap().insert(topic.to_owned(), 2);
    setup.deliver(keyed(&setup.topics, topic, 0..1)).await.result.unwrap();
    assert_eq!(setup.known.lock().unwrap()[topic], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_access_and_wrong_passwords_stop_with_the_way_out() {
    let broker = broker();
    let bob = |password| {
        let config = kafka(&format!("127.0.0.1:{}", broker.sasl_port));
        let sasl = [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "bob"),
            ("sasl.password", password),
        ];
        Setup::new(with(config, &sasl), "secret", Halt)
    };
    let admin = Setup::new(kafka(&broker.address()), "secret", Halt);
    admin.deliver(keyed(&admin.topics, "secret", 0..1)).await.result.unwrap();

    let deny = async |setup: Setup, expected: &str| {
        let begun = Instant::now();
        let error = setup.deliver(keyed(&setup.topics, "secret", 1..2)).await.result.unwrap_err();
        let chain = format!("{error}: {:?}", error.hint());
        assert_eq!(error.disposition(), Disposition::Stop, "{chain}");
        assert!(chain.contains(expected), "{chain}");
        assert!(begun.elapsed() < Duration::from_secs(20), "waited for what does not heal");
        assert!(!chain.contains("bob-secret") && !chain.contains("wrong-secret"));
    };
    deny(bob("wrong-secret"), "sign in to the Kafka brokers").await;
    deny(bob("bob-secret"), "describe topic secret").await;
    broker.allow("Describe", "secret");
    deny(bob("bob-secret"), "--operation Write --operation Describe --topic secret").await;
    broker.allow("Write", "secret");
    let setup = bob("bob-secret");
    setup.deliver(keyed(&setup.topics, "secret", 1..2)).await.result.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_is_waited_out_without_loss_or_duplicate() {
    let mut broker = tokio::task::spawn_blocking(Broker::start).await.unwrap();
    let (address, topic) = (broker.address(), "restart");
    let mut config = kafka(&address);
    config.retry_budget = Duration::from_secs(90);
    let setup = Setup::new(config, topic, Halt);
    let (sender, receiver) = mpsc::channel(1);
    let (receipt_sender, mut receipts) = mpsc::channel(500);
    let run = setup.sink().run(receiver, receipt_sender, CancellationToken::new());
    let batches = keyed(&setup.topics, topic, 0..400);
    let feed = async {
        for (i, batch) in batches.into_iter().enumerate() {
            sender.send(batch).await.unwrap();
            if i == 100 {
                tokio::task::block_in_place(|| broker.kill());
            }
            if i == 130 {
                tokio::task::block_in_place(|| broker.resume());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        drop(sender);
    };
    let (result, ()) = tokio::join!(run, feed);
    result.unwrap();
    let mut sequences = Vec::new();
    while let Some(receipt) = receipts.recv().await {
        sequences.push(receipt.sequence());
    }
    assert_eq!(sequences, (0..400).collect::<Vec<_>>());
    check_order(&address, topic, 20_000, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_stay_away_end_the_run_after_the_budget() {
    let mut config = kafka(&format!("127.0.0.1:{}", free_port()));
    config.retry_budget = Duration::from_secs(2);
    let setup = Setup::new(config, "away", Halt);
    let begun = Instant::now();
    let error = setup.deliver(keyed(&setup.topics, "away", 0..1)).await.result.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Reconnect);
    assert!(error.to_string().contains("within 2000 ms"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(12));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_heard_while_the_brokers_are_away() {
    let setup = Setup::new(kafka(&format!("127.0.0.1:{}", free_port())), "away", Halt);
    let (sender, receiver) = mpsc::channel(1);
    let (receipt_sender, mut receipts) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let run = setup.sink().run(receiver, receipt_sender, stop.clone());
    let feed = async {
        sender.send(keyed(&setup.topics, "away", 0..1).remove(0)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.cancel();
    };
    let begun = Instant::now();
    let (result, ()) = tokio::join!(run, feed);
    result.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(receipts.recv().await.is_none());
}
