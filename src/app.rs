//! The composition root: the only file that names a concrete source and a concrete sink together.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{
    Config, FormatConfig, MysqlConfig, OffsetsConfig, SinkConfig, SnapshotMode, SourceConfig,
};
use crate::disposition::Diagnose;
use crate::encode::{EncodeOptions, Encoder, Format, SchemaIds};
use crate::offsets::file::FileOffsetStore;
use crate::offsets::kafka::KafkaOffsetStore;
use crate::offsets::{OffsetError, OffsetStore};
use crate::pipeline::RunError;
use crate::pipeline::run::{Limits, Partitions, Parts};
use crate::pipeline::schema_ids::{BlockingSchemaIds, NoSchemaIds};
use crate::pipeline::supervise::supervise;
use crate::pipeline::transcode::DeadLetters;
pub use crate::pipeline::{Outcome, Until};
use crate::record::{TopicRole, Topics};
use crate::schema::registry::RegistryClient;
use crate::sinks::Sink;
use crate::sinks::file::{FileSink, StdoutSink};
use crate::sinks::kafka::KafkaSink;
use crate::sources::Source;
use crate::sources::mongodb::MongodbSource;
use crate::sources::mysql::MysqlSource;
use crate::sources::mysql::settings::Flavor;
use crate::sources::postgres::PostgresSource;
use crate::stats::Stats;

/// Runs a pipeline until it is told to stop by a signal, until `until`, or until an error that
/// nothing heals.
///
/// # Errors
/// The error that ended it.
pub async fn run(config: Config, until: Until, stats: Arc<Stats>) -> Result<Outcome, RunError> {
    let until = goal(config.snapshot.mode, until);
    let limits = Limits {
        memory_bytes: config.delivery.memory_bytes,
        checkpoint_interval: config.delivery.checkpoint_interval,
        drain_timeout: config.delivery.drain_timeout,
    };
    let retry_budget = config.delivery.retry_budget;
    let mut app = App::new(config)?;
    let stop = CancellationToken::new();
    let mut signals = JoinSet::new();
    signals.spawn(stop_on_signal(stop.clone()));
    supervise(&mut app, limits, retry_budget, until, (&stats, &stop)).await
}

/// A copy ends with its snapshot. The reverse does not hold: a pipeline that is told to end there
/// keeps its slot, so that a later run goes on with the changes since.
fn goal(mode: SnapshotMode, until: Until) -> Until {
    match (mode, until) {
        (SnapshotMode::InitialOnly, _) => Until::Snapshot,
        (SnapshotMode::Initial | SnapshotMode::NoData, until) => until,
    }
}

/// The first SIGTERM or SIGINT drains; a second one does not wait for it.
async fn stop_on_signal(stop: CancellationToken) {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    for pressed in 1..=2 {
        tokio::select! {
            // 1. What supervisors send.
            _ = terminate.recv() => {}
            // 2. What a person presses.
            _ = tokio::signal::ctrl_c() => {}
        }
        if pressed == 1 {
            tracing::info!("told to stop; finishing what is in flight");
            stop.cancel();
        }
    }
    tracing::warn!("told to stop twice; what is in flight comes again with the next start");
    crate::logs::finish();
    std::process::exit(i32::from(crate::exit::Code::Incomplete.number()));
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To look, also while the pipeline runs.
    Look,
    /// To run or to change; refused while another process does.
    Change,
}

/// The offset store of a configuration.
///
/// # Errors
/// When it cannot be reached, or a running pipeline holds it.
pub async fn open_offsets(
    config: &Config,
    access: Access,
) -> Result<Box<dyn OffsetStore>, OffsetError> {
    let pipeline = config.pipeline.clone();
    Ok(match (&config.offsets, access) {
        (OffsetsConfig::File { path }, Access::Change) => {
            Box::new(FileOffsetStore::open(path, &pipeline)?)
        }
        (OffsetsConfig::File { path }, Access::Look) => {
            Box::new(FileOffsetStore::open_readonly(path, &pipeline))
        }
        (OffsetsConfig::Kafka { kafka, topic, replication_factor }, Access::Change) => {
            let (kafka, topic) = (kafka.clone(), topic.clone());
            Box::new(KafkaOffsetStore::open(kafka, topic, *replication_factor, pipeline).await?)
        }
        (OffsetsConfig::Kafka { kafka, topic, .. }, Access::Look) => {
            Box::new(KafkaOffsetStore::open_readonly(kafka.clone(), topic.clone(), pipeline))
        }
    })
}

struct App {
    config: Config,
    source: Box<dyn Source>,
    topics: Arc<Topics>,
    /// Kept over runs, and with it every schema id that is known.
    registry: Option<Arc<RegistryClient>>,
}

impl App {
    fn new(config: Config) -> Result<Self, RunError> {
        let source: Box<dyn Source> = match &config.source {
            SourceConfig::Postgres(postgres) => Box::new(PostgresSource::new(
                postgres.clone(),
                config.snapshot.clone(),
                config.pipeline.clone(),
                config.topic_prefix.clone(),
            )),
            SourceConfig::Mysql(mysql) => mysql_source(Flavor::Mysql, mysql, &config),
            SourceConfig::Mariadb(mysql) => mysql_source(Flavor::Mariadb, mysql, &config),
            SourceConfig::Mongodb(mongodb) => Box::new(MongodbSource::new(
                mongodb.clone(),
                config.snapshot.clone(),
                config.pipeline.clone(),
                config.topic_prefix.clone(),
                config.delivery.transaction_topic.is_some(),
            )),
        };
        let registry = match &config.format {
            FormatConfig::Avro(registry) => {
                let client = RegistryClient::new(registry.clone());
                Some(Arc::new(client.map_err(|e| RunError::Sink(Box::new(e)))?))
            }
            FormatConfig::Json { .. } => None,
        };
        Ok(Self { config, source, topics: Arc::new(Topics::default()), registry })
    }

    fn format(&self) -> Format {
        match &self.config.format {
            FormatConfig::Avro(_) => Format::Avro,
            FormatConfig::Json { schemas } => Format::Json { schemas: *schemas },
        }
    }
}

/// Debezium's name of the connector: `source.connector`.
fn connector(source: &SourceConfig) -> &'static str {
    match source {
        SourceConfig::Postgres(_) => "postgresql",
        SourceConfig::Mysql(_) => Flavor::Mysql.key(),
        SourceConfig::Mariadb(_) => Flavor::Mariadb.key(),
        SourceConfig::Mongodb(_) => "mongodb",
    }
}

fn mysql_source(flavor: Flavor, source: &MysqlConfig, config: &Config) -> Box<dyn Source> {
    Box::new(MysqlSource::new(
        flavor,
        source.clone(),
        config.snapshot.clone(),
        config.pipeline.clone(),
        config.topic_prefix.clone(),
    ))
}

impl Parts for App {
    fn source(&mut self) -> &mut dyn Source {
        &mut *self.source
    }

    async fn open_store(&mut self) -> Result<Box<dyn OffsetStore>, OffsetError> {
        open_offsets(&self.config, Access::Change).await
    }

    fn make_sink(&mut self, partitions: &Partitions) -> Result<Box<dyn Sink>, RunError> {
        fn boxed(error: impl Diagnose + Send + Sync + 'static) -> RunError {
            RunError::Sink(Box::new(error))
        }
        let topics = Arc::clone(&self.topics);
        let dead_letter = self.config.dead_letter.clone();
        Ok(match &self.config.sink {
            SinkConfig::Kafka(kafka) => Box::new(
                KafkaSink::new(kafka.clone(), topics, dead_letter, Arc::clone(partitions))
                    .map_err(boxed)?,
            ),
            SinkConfig::File { path } => {
                Box::new(FileSink::new(path.clone(), topics, dead_letter).map_err(boxed)?)
            }
            SinkConfig::Stdout => Box::new(StdoutSink::new(topics, dead_letter)),
        })
    }

    fn make_encoder(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<(Encoder, DeadLetters), RunError> {
        let ids: Box<dyn SchemaIds> = match &self.registry {
            Some(client) => Box::new(BlockingSchemaIds::new(
                Arc::clone(client),
                Handle::current(),
                stop.clone(),
            )),
            None => Box::new(NoSchemaIds),
        };
        let options = EncodeOptions {
            connector: connector(&self.config.source),
            topic_prefix: self.config.topic_prefix.clone(),
            format: self.format(),
            values: self.config.values,
            tombstones: self.config.delivery.tombstones,
            id_header: self.config.delivery.id_header,
            context_headers: self.config.delivery.context_headers,
            transaction_topic: self.config.delivery.transaction_topic.clone(),
        };
        let dead_letters = DeadLetters {
            policy: self.config.dead_letter.conversion,
            topic: self.topics.intern(&self.config.dead_letter.topic, TopicRole::DeadLetter),
        };
        Ok((Encoder::new(options, Arc::clone(&self.topics), ids), dead_letters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_copy_changes_what_was_asked_for() {
        for until in [Until::Stopped, Until::Snapshot, Until::CaughtUp] {
            assert_eq!(goal(SnapshotMode::InitialOnly, until), Until::Snapshot);
            assert_eq!(goal(SnapshotMode::Initial, until), until);
            assert_eq!(goal(SnapshotMode::NoData, until), until);
        }
    }
}
