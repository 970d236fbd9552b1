//! Batches in, receipts and records out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tailwater::config::{DeadLetterConfig, DeadLetterPolicy, KafkaConfig, Secret, TopicConfig};
use tailwater::record::{Header, Record, RecordBatch, TopicRole, Topics};
use tailwater::sinks::kafka::{KafkaSink, KnownPartitions};
use tailwater::sinks::{BoxError, Sink};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub fn kafka(address: &str) -> KafkaConfig {
    KafkaConfig {
        bootstrap_servers: vec![address.to_owned()],
        topics: TopicConfig {
            create: true,
            partitions: 3,
            replication_factor: 1,
            cleanup_policy: "delete".to_owned(),
            settings: BTreeMap::new(),
        },
        properties: BTreeMap::new(),
        retry_budget: Duration::from_secs(30),
    }
}

pub fn with(mut config: KafkaConfig, properties: &[(&str, &str)]) -> KafkaConfig {
    for (key, value) in properties {
        config.properties.insert((*key).to_owned(), Secret::new(*value));
    }
    config
}

pub fn dead_letters(topic: &str, delivery: DeadLetterPolicy) -> DeadLetterConfig {
    DeadLetterConfig {
        conversion: DeadLetterPolicy::Halt,
        delivery,
        topic: format!("{topic}.dead-letter"),
        path: "unused".into(),
    }
}

/// Collects records into a batch.
pub struct Batch {
    batch: RecordBatch,
    topics: Arc<Topics>,
}

impl Batch {
    pub fn new(sequence: u64, topics: &Arc<Topics>) -> Self {
        let batch = RecordBatch { sequence, ..RecordBatch::default() };
        Self { batch, topics: Arc::clone(topics) }
    }

    pub fn record(mut self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        let topic = self.topics.intern(topic, TopicRole::Data);
        let (key, value) = (key.map(|key| self.push(key)), value.map(|value| self.push(value)));
        let n = u32::try_from(self.batch.headers.len()).unwrap();
        self.batch.records.push(Record { topic, key, value, headers: n..n });
        self
    }

    /// Adds a header to the last record.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = self.push(name.as_bytes());
        let value = Some(self.push(value.as_bytes()));
        self.batch.headers.push(Header { name, value });
        self.batch.records.last_mut().unwrap().headers.end += 1;
        self
    }

    fn push(&mut self, bytes: &[u8]) -> std::ops::Range<u32> {
        let start = u32::try_from(self.batch.data.len()).unwrap();
        self.batch.data.extend_from_slice(bytes);
        start..u32::try_from(self.batch.data.len()).unwrap()
    }

    pub fn done(self) -> RecordBatch {
        self.batch
    }
}

pub struct Delivered {
    pub result: Result<(), BoxError>,
    /// Sequences of the receipts, in the order in which they came.
    pub receipts: Vec<u64>,
}

pub struct Setup {
    pub config: KafkaConfig,
    pub topics: Arc<Topics>,
    pub dead_letter: DeadLetterConfig,
    pub known: KnownPartitions,
}

impl Setup {
    pub fn new(config: KafkaConfig, topic: &str, policy: DeadLetterPolicy) -> Self {
        Self {
            config,
            topics: Arc::default(),
            dead_letter: dead_letters(topic, policy),
            known: Arc::new(Mutex::default()),
        }
    }

    pub fn sink(&self) -> Box<dyn Sink> {
        let sink = KafkaSink::new(
            self.config.clone(),
            Arc::clone(&self.topics),
            self.dead_letter.clone(),
            Arc::clone(&self.known),
        );
        Box::new(sink.unwrap())
    }

    pub async fn deliver(&self, batches: Vec<RecordBatch>) -> Delivered {
        let (sender, receiver) = mpsc::channel(batches.len().max(1));
        let (receipt_sender, mut receipts) = mpsc::channel(4);
        for batch in batches {
            sender.send(batch).await.unwrap();
        }
        drop(sender);
        let run = self.sink().run(receiver, receipt_sender, CancellationToken::new());
        let collect = async {
            let mut sequences = Vec::new();
            while let Some(receipt) = receipts.recv().await {
                sequences.push(receipt.sequence());
            }
            sequences
        };
        let (result, receipts) = tokio::join!(run, collect);
        Delivered { result: result.map(|_| ()), receipts }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<String>)>,
}

impl Read {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name)?.1.as_deref()
    }
}

/// Everything in the topic, partition by partition.
pub fn read_all(address: &str, topic: &str) -> Vec<Read> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("group.id", "reader");
    config.set("enable.auto.commit", "false").set("fetch.message.max.bytes", "50000000");
    let consumer: BaseConsumer = config.create().unwrap();
    let timeout = Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(Some(topic), timeout).unwrap();
    let n = i32::try_from(metadata.topics()[0].partitions().len()).unwrap();
    let (mut start, mut expected) = (TopicPartitionList::new(), 0);
    for partition in 0..n {
        let (low, high) = consumer.fetch_watermarks(topic, partition, timeout).unwrap();
        expected += high - low;
        start.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&start).unwrap();
    let (mut read, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(30));
    while i64::try_from(read.len()).unwrap() < expected {
        assert!(Instant::now() < deadline, "read {} of {expected} records", read.len());
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = message.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers = message.headers().map_or(Vec::new(), |headers| {
            headers.iter().map(|h| (h.key.to_owned(), h.value.map(text))).collect()
        });
        read.push(Read {
            partition: message.partition(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        });
    }
    read.sort_by_key(|r| r.partition);
    read
}
