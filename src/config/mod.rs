//! Configuration: YAML as written, then validated and resolved.
//!
//! The types of this file are the *resolved* form: every default filled in, every secret read,
//! every pattern compiled. Rooms take their part of it and check nothing again.
//!
//! ```text
//! text --tree--> Node --interpolate--> Node --read--> Written --resolve--> Config
//! ```

mod defaults;
pub mod diagnose;
mod first_look;
mod interpolate;
pub mod kafka_properties;
pub mod load;
mod read;
mod resolve;
pub mod secret;
pub mod tables;
mod tree;
mod units;
mod values;
mod written;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use diagnose::{ConfigError, Finding};
pub use first_look::{first_look, password_variable};
pub use load::{Loaded, json_schema, load};
pub use secret::Secret;
pub use tables::TableFilter;
pub use values::{
    BigintUnsignedMode, BinaryMode, DecimalMode, HstoreMode, IntervalMode, TimeMode, Tinyint1Mode,
    ValueModes,
};

#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the pipeline: prefix of topics, name of slot and publication, key of offsets.
    pub pipeline: String,
    /// First part of every topic's name, and `source.name`.
    pub topic_prefix: String,
    pub source: SourceConfig,
    pub snapshot: SnapshotConfig,
    /// Chosen with the source, used by the encoder.
    pub values: ValueModes,
    pub format: FormatConfig,
    pub sink: SinkConfig,
    pub offsets: OffsetsConfig,
    pub dead_letter: DeadLetterConfig,
    pub delivery: DeliveryConfig,
    /// `None`: no admin endpoints.
    pub admin: Option<SocketAddr>,
}

#[derive(Clone, Debug)]
pub enum SourceConfig {
    Postgres(PostgresConfig),
    Mysql(MysqlConfig),
    Mariadb(MysqlConfig),
    Mongodb(MongodbConfig),
}

#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// A host name or address, or a folder (leading `/`) with the server's unix socket.
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Option<Secret>,
    pub tls: TlsConfig,
    pub connect_timeout: Duration,
    /// The pipeline's name where not set; letters, digits and underscores, as the server wants it.
    pub slot: String,
    pub publication: PublicationConfig,
    pub tables: TableFilter,
    pub unmapped_types: UnmappedTypes,
    /// Publish `pg_logical_emit_message` to `<prefix>.message`.
    pub logical_messages: bool,
    /// How often progress is confirmed to the server.
    pub status_interval: Duration,
    /// A connection on which nothing arrives for this long, keepalives included, counts as dead.
    pub silence_limit: Duration,
    /// Largest message accepted from the server.
    pub message_bytes_max: u32,
}

/// Of either server: they differ in what they are, not in what is asked of them.
#[derive(Clone, Debug)]
pub struct MysqlConfig {
    /// A host name or address, or the path of the server's unix socket (leading `/`).
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<Secret>,
    pub tls: TlsConfig,
    pub connect_timeout: Duration,
    /// `None`: made of the pipeline's name. Never 0, which the server takes for no number at all.
    pub server_id: Option<u32>,
    /// Patterns over `database.table`.
    pub tables: TableFilter,
    pub position: LogPosition,
    /// Publish what statements do to definitions, to the topic that is called like the prefix.
    pub include_schema_changes: bool,
    pub tinyint1: Tinyint1Mode,
    /// A connection on which nothing arrives for this long, heartbeats included, counts as dead.
    pub silence_limit: Duration,
    /// Largest event or row accepted from the server.
    pub message_bytes_max: u32,
}

#[derive(Clone, Debug)]
pub struct MongodbConfig {
    /// `mongodb://…` or `mongodb+srv://…` with everything that it may hold, a password too.
    pub uri: Secret,
    /// Instead of what the URI has.
    pub user: Option<String>,
    /// Instead of what the URI has.
    pub password: Option<Secret>,
    /// Patterns over `database.collection`.
    pub collections: TableFilter,
    pub scope: CaptureScope,
    pub full_document: FullDocument,
    pub pre_images: PreImages,
    pub documents: DocumentForm,
    pub fields: FieldsConfig,
    /// How long the server holds back the answer when nothing happens.
    pub await_time: Duration,
    /// Largest event put together of its fragments.
    pub message_bytes_max: u32,
}

impl MongodbConfig {
    /// The servers that the URI names, for messages; nothing else of it may be shown.
    #[must_use]
    pub fn servers(&self) -> String {
        resolve::mongodb_servers(self.uri.expose())
    }
}

/// What one change stream is opened over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureScope {
    Deployment,
    Database(String),
    Collection { database: String, collection: String },
}

/// What an update's `after` is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullDocument {
    /// Nothing: `after` is null and `updateDescription` says what changed.
    Off,
    /// The document as it is when the event is read.
    Lookup,
    /// As it was right after the update, where the server kept it.
    WhenAvailable,
    /// As it was right after the update; refused where the server does not keep it.
    Required,
}

/// What `before` is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreImages {
    Off,
    WhenAvailable,
    Required,
}

/// How documents stand in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentForm {
    /// As text: Extended JSON in `io.debezium.data.Json`.
    Text,
    /// As records of an inferred schema.
    Structured,
}

/// Fields of documents that are left out or called otherwise, as they are written.
#[derive(Clone, Debug, Default)]
pub struct FieldsConfig {
    /// `database.collection.path`
    pub exclude: Vec<String>,
    /// `database.collection.path:new name`
    pub rename: Vec<String>,
}

/// What a place in the binary log is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPosition {
    /// By what the server has.
    Auto,
    Gtid,
    File,
}

#[derive(Clone, Debug)]
pub struct PublicationConfig {
    pub name: String,
    /// Create it (for the included tables) where it is missing.
    pub create: bool,
}

#[derive(Clone, Debug)]
pub struct TlsConfig {
    pub mode: TlsMode,
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What becomes of a column whose type Debezium has no mapping for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmappedTypes {
    /// The server's own text form, as a string.
    Text,
    /// Left out, as Debezium does.
    Skip,
    /// Refused at start.
    Fail,
}

#[derive(Clone, Debug)]
pub struct SnapshotConfig {
    pub mode: SnapshotMode,
    pub connections: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotMode {
    Initial,
    InitialOnly,
    NoData,
}

#[derive(Clone, Debug)]
pub enum FormatConfig {
    Avro(RegistryConfig),
    Json { schemas: bool },
}

#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Tried in order; user info in them was moved to `auth`.
    pub urls: Vec<String>,
    pub auth: Option<RegistryAuth>,
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Register schemas; otherwise they must be there already.
    pub register: bool,
    pub request_timeout: Duration,
    /// How long one schema is waited for while the registry does not answer.
    pub retry_budget: Duration,
}

#[derive(Clone, Debug)]
pub enum RegistryAuth {
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

#[derive(Clone, Debug)]
pub enum SinkConfig {
    Kafka(KafkaConfig),
    /// JSON lines.
    File {
        path: PathBuf,
    },
    /// JSON lines.
    Stdout,
}

/// What sink, offset store and dead letters need to reach a cluster.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    pub bootstrap_servers: Vec<String>,
    pub topics: TopicConfig,
    /// librdkafka properties, checked: none of them weakens a guarantee. Values that came from
    /// `${env:…}` or `${file:…}` and keys that hold secrets are kept as secrets.
    pub properties: BTreeMap<String, Secret>,
    /// How long broker loss, leader moves and full queues are waited out.
    pub retry_budget: Duration,
}

#[derive(Clone, Debug)]
pub struct TopicConfig {
    /// Create missing topics; otherwise they must be there already.
    pub create: bool,
    /// -1: the broker's `num.partitions`.
    pub partitions: i32,
    /// -1: the broker's `default.replication.factor`.
    pub replication_factor: i32,
    /// `delete`, `compact` or `compact,delete`.
    pub cleanup_policy: String,
    /// Further topic settings at creation.
    pub settings: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub enum OffsetsConfig {
    /// A folder of this pipeline's own.
    File { path: PathBuf },
    /// A `replication_factor` of -1: the broker's default.
    Kafka { kafka: KafkaConfig, topic: String, replication_factor: i32 },
}

#[derive(Clone, Debug)]
pub struct DeadLetterConfig {
    /// Rows whose bytes or values make no sense.
    pub conversion: DeadLetterPolicy,
    /// Records that the sink refuses for what they are (too large).
    pub delivery: DeadLetterPolicy,
    /// `<prefix>.dead-letter` where not set.
    pub topic: String,
    /// Beside the file sink's file.
    pub path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterPolicy {
    Halt,
    DeadLetter,
}

#[derive(Clone, Debug)]
pub struct DeliveryConfig {
    pub tombstones: bool,
    /// A checkpoint is written at most this often while records flow.
    pub checkpoint_interval: Duration,
    /// How long a stop may take as a whole.
    pub drain_timeout: Duration,
    /// Memory of the rows between socket and sink, all queues together.
    pub memory_bytes: u32,
    /// How long reconnecting goes on without progress before the process gives up.
    pub retry_budget: Duration,
    /// The `cdc.id` header on every record.
    pub id_header: bool,
    /// Debezium's `__debezium.context.…` headers on every record.
    pub context_headers: bool,
    /// Debezium's transaction metadata: what the topic of begins and ends is called below the
    /// prefix. `None` without.
    pub transaction_topic: Option<String>,
}
