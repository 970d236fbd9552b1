//! A Kafka broker of our own, and what its topics hold.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::postgres::tail;
use super::process::{Process, Spec};
use super::{cached, eventually, free_port, new_folder, runtime, seconds};

pub(crate) struct Kafka {
    pub(crate) bootstrap: String,
    /// Port of the second listener, where there is one.
    pub(crate) second_port: u16,
    folder: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Kafka {
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::launch(None, "PLAINTEXT", settings)
    }

    /// Clients of the second listener come through `proxy_port` and are told to stay there.
    pub(crate) fn start_behind(proxy_port: u16) -> Self {
        Self::launch(Some(proxy_port), "PLAINTEXT", &[])
    }

    /// The second listener wants SASL/PLAIN and knows user `limited` with password `secret`, who
    /// may do nothing; the first one's clients may do everything.
    pub(crate) fn start_with_rights() -> Self {
        let settings = [
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
            "listener.name.second.sasl.enabled.mechanisms=PLAIN",
            "listener.name.second.plain.sasl.jaas.config=\
             org.apache.kafka.common.security.plain.PlainLoginModule required \
             user_limited=\"secret\";",
        ];
        Self::launch(None, "SASL_PLAINTEXT", &settings)
    }

    fn launch(advertised: Option<u16>, second: &str, settings: &[&str]) -> Self {
        let folder = new_folder("kafka");
        let (port, controller, second_port) = (free_port(), free_port(), free_port());
        let advertised = advertised.unwrap_or(second_port);
        let conf = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=FIRST://127.0.0.1:{port},SECOND://127.0.0.1:{second_port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=FIRST://127.0.0.1:{port},SECOND://127.0.0.1:{advertised}\n\
             listener.security.protocol.map=FIRST:PLAINTEXT,SECOND:{second},CONTROLLER:PLAINTEXT\n\
             inter.broker.listener.name=FIRST\ncontroller.listener.names=CONTROLLER\n\
             log.dirs={}\nauto.create.topics.enable=false\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n\
             log.retention.ms=-1\nlog.cleaner.enable=false\n{}\n",
            folder.join("data").display(),
            settings.join("\n")
        );
        std::fs::write(folder.join("server.properties"), conf).unwrap();
        let kafka = Self {
            bootstrap: format!("127.0.0.1:{port}"),
            second_port,
            folder,
            process: Mutex::new(None),
        };
        let format = kafka.java(&[
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "dGFpbHdhdGVyLXRlc3QtMQ",
            "-c",
        ]);
        let status = format.wait(seconds(180)).expect("the format ends");
        assert!(status.success(), "format: {}", tail(&kafka.log()));
        kafka.resume();
        kafka
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn java(&self, args: &[&str]) -> Process {
        let jars = cached("kafka-").join("lib/*");
        let mut all = vec!["-Xmx512m".to_owned(), "-cp".to_owned(), jars.display().to_string()];
        all.extend(args.iter().map(|a| (*a).to_owned()));
        all.push(self.folder.join("server.properties").display().to_string());
        Process::start(&Spec {
            program: "java".as_ref(),
            args: all,
            env: vec![],
            unprivileged: false,
            death_signal: "KILL",
            stdout: self.log(),
            stderr: self.log(),
        })
    }

    pub(crate) fn resume(&self) {
        *self.process.lock().unwrap() = Some(self.java(&["kafka.Kafka"]));
        let consumer = self.consumer();
        let up = eventually(seconds(180), || {
            consumer
                .fetch_metadata(None, Duration::from_secs(2))
                .ok()
                .filter(|m| !m.brokers().is_empty())
        });
        assert!(up.is_some(), "Kafka did not start: {}", tail(&self.log()));
    }

    /// `TERM` hands over and closes its logs, `KILL` does not.
    pub(crate) fn stop(&self, signal: &str) {
        let process = self.process.lock().unwrap().take().expect("the broker runs");
        process.signal(signal);
        assert!(process.wait(seconds(60)).is_some(), "Kafka did not stop");
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("log_level", "2");
        config
    }

    fn consumer(&self) -> BaseConsumer {
        let mut config = self.config();
        config.set("group.id", "tests").set("enable.auto.commit", "false");
        config.set("auto.offset.reset", "earliest").set("fetch.wait.max.ms", "20");
        config.set("reconnect.backoff.max.ms", "500");
        config.create().expect("the consumer's settings are right")
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().expect("the client's settings are right")
    }

    pub(crate) fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let made = runtime().block_on(self.admin().create_topics([&topic], &AdminOptions::new()));
        made.unwrap()[0].as_ref().unwrap();
    }

    pub(crate) fn delete_topic(&self, name: &str) {
        let gone = runtime().block_on(self.admin().delete_topics(&[name], &AdminOptions::new()));
        gone.unwrap()[0].as_ref().unwrap();
    }

    pub(crate) fn topics(&self, prefix: &str) -> BTreeMap<String, usize> {
        let metadata = self.consumer().fetch_metadata(None, seconds(20)).unwrap();
        let topics = metadata.topics().iter().filter(|t| t.name().starts_with(prefix));
        topics.map(|t| (t.name().to_owned(), t.partitions().len())).collect()
    }

    pub(crate) fn reader(&self, prefix: &str) -> Reader {
        Reader { consumer: self.consumer(), prefix: prefix.to_owned(), next: BTreeMap::new() }
    }

    /// Everything in the topics whose names begin with `prefix`.
    pub(crate) fn read(&self, prefix: &str) -> Vec<Record> {
        self.reader(prefix).read_on()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// When the producer made it.
    pub(crate) time_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(n, _)| n == name)?;
        found.1.as_ref().map(|v| String::from_utf8_lossy(v).into_owned())
    }
}

/// Reads topics to their ends, and later what came since.
pub(crate) struct Reader {
    consumer: BaseConsumer,
    prefix: String,
    /// Offset of the next record of each partition.
    next: BTreeMap<(String, i32), i64>,
}

impl Reader {
    /// What the partitions hold now and no earlier call returned; in order within a partition.
    pub(crate) fn read_on(&mut self) -> Vec<Record> {
        let ends = self.ends();
        let mut assignment = TopicPartitionList::new();
        let mut open = 0;
        for ((topic, partition), end) in &ends {
            let next = *self.next.entry((topic.clone(), *partition)).or_insert(0);
            if next < *end {
                assignment.add_partition_offset(topic, *partition, Offset::Offset(next)).unwrap();
                open += 1;
            }
        }
        let mut records = Vec::new();
        if open == 0 {
            return records;
        }
        self.consumer.assign(&assignment).unwrap();
        while open > 0 {
            let Some(message) = self.consumer.poll(seconds(30)) else {
                panic!("no record within 30 s although the topics have more");
            };
            let Ok(message) = message else { continue };
            let place = (message.topic().to_owned(), message.partition());
            let end = ends[&place];
            if message.offset() >= end {
                continue;
            }
            self.next.insert(place, message.offset() + 1);
            if message.offset() + 1 == end {
                open -= 1;
            }
            records.push(record(&message));
        }
        self.consumer.unassign().unwrap();
        records
    }

    fn ends(&self) -> BTreeMap<(String, i32), i64> {
        let ends = eventually(seconds(30), || {
            let metadata = self.consumer.fetch_metadata(None, seconds(10)).ok()?;
            let mut ends = BTreeMap::new();
            for topic in metadata.topics().iter().filter(|t| t.name().starts_with(&self.prefix)) {
                for partition in topic.partitions() {
                    let marks =
                        self.consumer.fetch_watermarks(topic.name(), partition.id(), seconds(10));
                    ends.insert((topic.name().to_owned(), partition.id()), marks.ok()?.1);
                }
            }
            Some(ends)
        });
        ends.expect("Kafka tells the ends of its partitions")
    }
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().map(|headers| {
        let all = headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)));
        all.collect()
    });
    Record {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        time_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
