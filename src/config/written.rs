//! The configuration as it is written: every key with its unit, range, default and interaction.
//!
//! These comments are the manual: `tailwater schema` prints them as JSON Schema. What is written
//! is turned into what rooms use by `resolve`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::secret::Secret;
use super::units::{Size, Span};
use super::values::{
    BigintUnsignedMode, BinaryMode, DecimalMode, HstoreMode, IntervalMode, TimeMode, Tinyint1Mode,
};

/// Configuration of one Tailwater pipeline: one database to one destination.
///
/// Any text may hold `${env:NAME}` (an environment variable) or `${file:PATH}` (the content of a
/// file, without one newline at its end), for secrets above all; `$${` stands for `${` itself.
/// Durations and sizes are written with their unit: `500ms`, `30s`, `5m`, `2h`; `512KiB`, `32MiB`,
/// `1GiB`. Relative paths start at the working directory of the process.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tailwater configuration")]
pub(super) struct Written {
    /// Name of the pipeline: prefix of topics, name of slot and publication, key of offsets,
    /// wherever those are not set themselves. 1 to 100 letters, digits, `.`, `_` and `-`. Required.
    /// A renamed pipeline is a new one: it finds no offsets and takes a new snapshot.
    pub(super) pipeline: String,
    /// First part of every topic's name (`<prefix>.<schema>.<table>`) and `source.name` of every
    /// record. 1 to 100 letters, digits, `.`, `_` and `-`. Default: `pipeline`.
    pub(super) topic_prefix: Option<String>,
    /// The database that is read. Required.
    pub(super) source: Source,
    /// How the rows that are already there are read before the log. Default: all of them, once.
    pub(super) snapshot: Option<Snapshot>,
    /// What keys and values look like. Default: JSON without schemas for `sink.stdout` and
    /// `sink.file`, which know nothing else; required for `sink.kafka`.
    pub(super) format: Option<Format>,
    /// Where records go. Required.
    pub(super) sink: Sink,
    /// Where the pipeline keeps how far it got. Default: `kafka` with `sink.kafka`, otherwise a
    /// file in `.tailwater/<pipeline>`.
    pub(super) offsets: Option<Offsets>,
    /// What becomes of a row that cannot be converted or delivered. Default: stop (`halt`).
    pub(super) dead_letter: Option<DeadLetter>,
    /// Memory, checkpoints, patience.
    pub(super) delivery: Option<Delivery>,
    /// Health, readiness and metrics over HTTP.
    pub(super) admin: Option<Admin>,
}

/// The database that is read: exactly one of these.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// PostgreSQL 13 or newer with `wal_level=logical`.
    Postgres(Box<Postgres>),
    /// MySQL 8.0 or newer with `binlog_format=ROW`; `binlog_row_metadata=FULL` is better.
    Mysql(Box<Mysql>),
    /// MariaDB 10.6 or newer with `log_bin` and `binlog_format=ROW`; `binlog_row_metadata=FULL` is
    /// better.
    Mariadb(Box<Mysql>),
    /// A MongoDB replica set or sharded cluster, 4.2 or newer.
    Mongodb(Box<Mongodb>),
}

/// A PostgreSQL database. The user needs LOGIN, REPLICATION, CONNECT on the database, USAGE on
/// the schemas and SELECT on the tables (for the snapshot).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Postgres {
    /// Name or address of the server, or the folder of its unix socket (with a leading `/`).
    /// Required.
    pub(super) host: String,
    /// TCP port, or the number in the socket's name. 1 to 65535. Default: 5432.
    pub(super) port: Option<u16>,
    /// Required.
    pub(super) database: String,
    /// Required.
    pub(super) user: String,
    /// Better `${file:…}` or `${env:…}` than plain text. Default: none, for `trust`, `peer` and
    /// client certificates.
    pub(super) password: Option<SecretText>,
    /// Encryption of every connection to the server.
    pub(super) tls: Option<Tls>,
    /// How long one connection attempt may take. 100ms to 168h. Default: 10s.
    pub(super) connect_timeout: Option<Span>,
    /// Name of the replication slot; created where missing, never dropped, never recreated on its
    /// own. 1 to 63 of `a-z`, `0-9` and `_`. Default: `pipeline` in lower case, every other
    /// character as `_`.
    pub(super) slot: Option<String>,
    /// The publication that the slot reads through.
    pub(super) publication: Option<Publication>,
    /// Which tables are captured. Default: all but the system's.
    pub(super) tables: Option<Tables>,
    /// What becomes of a column whose type Debezium has no mapping for. Default: `text`.
    pub(super) unmapped_types: Option<UnmappedTypes>,
    /// How values are written where Debezium gives a choice. A change of any of them changes the
    /// schemas of every topic that it concerns.
    pub(super) values: Option<PostgresValues>,
    /// Publish messages of `pg_logical_emit_message` to `<prefix>.message` (PostgreSQL 14 and newer). Default: true.
    pub(super) logical_messages: Option<bool>,
    /// How often progress is confirmed to the server, which keeps its log until then. 100ms to
    /// 168h; keep it below the server's `wal_sender_timeout`. Default: 1s.
    pub(super) status_interval: Option<Span>,
    /// A connection on which nothing arrives for this long, keepalives included, counts as dead.
    /// 1s to 168h; more than `status_interval`. Default: 60s.
    pub(super) silence_limit: Option<Span>,
    /// Largest single message (one row, in essence) accepted from the server. 1MiB to 1GiB.
    /// Default: 256MiB.
    pub(super) message_bytes_max: Option<Size>,
}

/// Encryption of the connections to the database.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// Default: `prefer` for loopback addresses and unix sockets, `verify-full` for everything
    /// else.
    pub(super) mode: Option<TlsMode>,
    /// PEM file with the certificate authorities to trust. Default: the system's.
    pub(super) ca: Option<PathBuf>,
    /// PEM file with the client's certificate chain; together with `key`. Default: none.
    pub(super) certificate: Option<PathBuf>,
    /// PEM file with the client's private key; together with `certificate`. Default: none.
    pub(super) key: Option<PathBuf>,
}

/// A MySQL or MariaDB server. The user needs REPLICATION SLAVE, REPLICATION CLIENT (MariaDB: BINLOG
/// MONITOR) and SELECT on the tables; RELOAD, for one moment at the start of a snapshot, where the
/// tables are to be read over several connections.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mysql {
    /// Name or address of the server, or the path of its unix socket (with a leading `/`).
    /// Required. Debezium: `database.hostname`.
    pub(super) host: String,
    /// TCP port. 1 to 65535. Default: 3306. Debezium: `database.port`.
    pub(super) port: Option<u16>,
    /// Required. Debezium: `database.user`.
    pub(super) user: String,
    /// Better `${file:…}` or `${env:…}` than plain text. Default: none. Debezium:
    /// `database.password`.
    pub(super) password: Option<SecretText>,
    /// Encryption of every connection to the server. Debezium: `database.ssl.mode` and the stores
    /// beside it.
    pub(super) tls: Option<Tls>,
    /// How long one connection attempt may take. 100ms to 168h. Default: 10s. Debezium:
    /// `connect.timeout.ms`.
    pub(super) connect_timeout: Option<Span>,
    /// Number by which the server knows this reader; two readers of one number throw each other
    /// out, and so does a replica's. 1 to 4294967295. Default: made of `pipeline`, above two
    /// billion. Debezium: `database.server.id`.
    pub(super) server_id: Option<u32>,
    /// Which tables are captured. Default: all but the system's. Debezium: `table.include.list`
    /// and `table.exclude.list`; a whole database is `shop.*`.
    pub(super) tables: Option<Tables>,
    /// What a place in the log is made of. Default: `auto`.
    pub(super) position: Option<LogPosition>,
    /// Publish the statements that define tables, and what they make of them, to the topic that is
    /// called like the prefix. Default: true. Debezium: `include.schema.changes`.
    pub(super) include_schema_changes: Option<bool>,
    /// How values are written where Debezium gives a choice. A change of any of them changes the
    /// schemas of every topic that it concerns.
    pub(super) values: Option<MysqlValues>,
    /// A connection on which nothing arrives for this long counts as dead; the server is asked for
    /// a heartbeat three times as often. 3s to 168h. Default: 60s. Debezium:
    /// `connect.keep.alive.interval.ms`.
    pub(super) silence_limit: Option<Span>,
    /// Largest single event (some rows of one statement, in essence) accepted from the server.
    /// 1MiB to 1GiB, which is the server's own limit. Default: 256MiB.
    pub(super) message_bytes_max: Option<Size>,
}

/// How PostgreSQL's values are written where Debezium gives a choice.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostgresValues {
    /// `numeric`, `decimal` and `money`. Default: `precise`. Debezium: `decimal.handling.mode`.
    pub(super) decimal: Option<DecimalMode>,
    /// `date`, `time` and `timestamp` without zone; those with a zone are always text. Default:
    /// `adaptive`. Debezium: `time.precision.mode`.
    pub(super) time: Option<TimeMode>,
    /// `bytea`, and the content of logical messages. Default: `bytes`. Debezium:
    /// `binary.handling.mode`.
    pub(super) binary: Option<BinaryMode>,
    /// `interval`. Default: `numeric`. Debezium: `interval.handling.mode`.
    pub(super) interval: Option<IntervalMode>,
    /// `hstore`. Default: `json`. Debezium: `hstore.handling.mode`.
    pub(super) hstore: Option<HstoreMode>,
}

/// How the values of MySQL and MariaDB are written where Debezium gives a choice.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MysqlValues {
    /// DECIMAL. Default: `precise`. Debezium: `decimal.handling.mode`.
    pub(super) decimal: Option<DecimalMode>,
    /// DATE, TIME and DATETIME; TIMESTAMP is always text. `connect` and `isostring` have no form for
    /// a TIME below zero or above 24:00:00: such a row stops the pipeline, or becomes a dead letter
    /// (`dead_letter.conversion`). Default: `adaptive_time_microseconds`; `adaptive` is refused.
    /// Debezium: `time.precision.mode`.
    pub(super) time: Option<TimeMode>,
    /// BINARY, VARBINARY and the BLOBs. Default: `bytes`. Debezium: `binary.handling.mode`.
    pub(super) binary: Option<BinaryMode>,
    /// BIGINT UNSIGNED. Default: `long`. Debezium: `bigint.unsigned.handling.mode`.
    pub(super) bigint_unsigned: Option<BigintUnsignedMode>,
    /// TINYINT(1), signed or not. Default: `number`. Debezium: the converter
    /// `TinyIntOneToBooleanConverter`.
    pub(super) tinyint1: Option<Tinyint1Mode>,
}

/// A MongoDB replica set or sharded cluster. The user needs `readAnyDatabase` for a whole
/// deployment, `read` on the database otherwise; `clusterMonitor` lets the start check the
/// deployment's identity and how far back its oplog goes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mongodb {
    /// Connection string, `mongodb://…` or `mongodb+srv://…`, with the options of MongoDB's own
    /// drivers: `replicaSet`, `tls`, `tlsCAFile`, `authSource`, `readPreference`,
    /// `connectTimeoutMS`, `serverSelectionTimeoutMS` and so on. Required. Debezium:
    /// `mongodb.connection.string`.
    pub(super) uri: SecretText,
    /// Together with `password`. Default: the one in `uri`. Debezium: `mongodb.user`.
    pub(super) user: Option<String>,
    /// Better `${file:…}` or `${env:…}` than plain text. Default: the one in `uri`. Debezium:
    /// `mongodb.password`.
    pub(super) password: Option<SecretText>,
    /// Which collections are captured. Default: all but the system's. Debezium:
    /// `database.include.list`, `collection.include.list` and their counterparts; a whole database
    /// is `shop.*`.
    pub(super) collections: Option<Collections>,
    /// What the change stream is opened over. Default: `deployment`. Debezium: `capture.scope`.
    pub(super) capture_scope: Option<CaptureScope>,
    /// With `capture_scope: database` the database, with `collection` the `database.collection`.
    /// Default: none. Debezium: `capture.target`.
    pub(super) capture_target: Option<String>,
    /// What an update's `after` is made of. Default: `lookup`. Debezium: `capture.mode` and
    /// `capture.mode.full.update.type`.
    pub(super) full_document: Option<FullDocument>,
    /// What `before` is made of. Default: `off`. Debezium: `capture.mode` with `…_with_pre_image`.
    pub(super) pre_images: Option<PreImages>,
    /// How documents stand in records. Default: `text`. With `structured` the schema of each
    /// collection is inferred, and kept with the offsets.
    pub(super) documents: Option<DocumentForm>,
    /// Fields of documents that are left out or called otherwise.
    pub(super) fields: Option<Fields>,
    /// How long the server waits for a change before it answers that there is none. 100ms to 60s.
    /// Default: 1s. Debezium: `cursor.max.await.time.ms`.
    pub(super) await_time: Option<Span>,
    /// Largest single event, which a server of 7.0 (6.0.9) or newer sends in fragments of 16 MB.
    /// 16MiB to 1GiB. Default: 64MiB.
    pub(super) message_bytes_max: Option<Size>,
}

/// Which collections are captured: globs over `database.collection`, where `*` is any run of
/// characters, `?` one of them and `[ab]` a choice.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Collections {
    /// Captured where at least one matches. Default: every collection. An empty list is refused.
    pub(super) include: Option<Vec<String>>,
    /// Left out where one matches, included or not. Default: none.
    pub(super) exclude: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CaptureScope {
    /// Everything but the databases `admin`, `config` and `local`. New databases are seen.
    Deployment,
    /// One database.
    Database,
    /// One collection.
    Collection,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FullDocument {
    /// Nothing: `after` is null, and `updateDescription` says what changed.
    Off,
    /// The document as it is when the event is read: after some quick updates each of them may
    /// show the last, and `after` is null where it was deleted meanwhile.
    Lookup,
    /// As it was right after the update, where the server kept it (6.0 and newer, collections with
    /// `changeStreamPreAndPostImages`); null elsewhere.
    WhenAvailable,
    /// As it was right after the update. The start is refused where a collection does not keep it.
    Required,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PreImages {
    /// `before` is null.
    Off,
    /// The document before the change, where the server kept it (6.0 and newer, collections with
    /// `changeStreamPreAndPostImages`); null elsewhere.
    WhenAvailable,
    /// The document before the change. The start is refused where a collection does not keep it.
    Required,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DocumentForm {
    /// Text of Extended JSON, as Debezium does.
    Text,
    /// Records of a schema that follows the documents, as Debezium's ExtractNewDocumentState
    /// makes them.
    Structured,
}

/// Fields of documents that are left out or called otherwise. The path of a field is
/// `database.collection.field`, deeper ones with further dots; `*` stands for any database or
/// collection.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    /// Default: none. Debezium: `field.exclude.list`.
    pub(super) exclude: Option<Vec<String>>,
    /// Each a path, a colon and the last step's new name. Default: none. Debezium: `field.renames`.
    pub(super) rename: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LogPosition {
    /// `gtid` where the server has them, `file` otherwise.
    Auto,
    /// Sets of transaction ids, which mean the same on every server of a group. The start is
    /// refused where `gtid_mode` is not `ON`.
    Gtid,
    /// File and offset of this one server, which mean nothing on any other.
    File,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server can; a stranger on the network can read and change everything.
    Prefer,
    /// Encrypted, whoever the server is.
    Require,
    /// Encrypted, and the server's certificate is signed by a trusted authority.
    VerifyCa,
    /// As `verify-ca`, and the certificate is made out to `host`.
    VerifyFull,
}

/// The publication that the slot reads through.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Publication {
    /// 1 to 63 bytes. Default: `pipeline` in lower case, every character but letters, digits and
    /// `_` as `_`.
    pub(super) name: Option<String>,
    /// Create it for the included tables where it is missing, which takes the ownership of the
    /// tables and CREATE on the database. Otherwise a missing one stops the start with the SQL
    /// that makes it. Default: true.
    pub(super) create: Option<bool>,
}

/// Which tables are captured: globs over `schema.table` (MySQL, MariaDB: `database.table`), where `*` is any run of characters, `?`
/// one of them and `[ab]` a choice.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tables {
    /// Captured where at least one matches. Default: every table. An empty list is refused.
    pub(super) include: Option<Vec<String>>,
    /// Left out where one matches, included or not. Default: none.
    pub(super) exclude: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum UnmappedTypes {
    /// The server's own text form, as a string.
    Text,
    /// Left out, as Debezium does.
    Skip,
    /// The start is refused, with the column's name.
    Fail,
}

/// How the rows that are already there are read before the log.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Snapshot {
    /// Default: `initial`.
    pub(super) mode: Option<SnapshotMode>,
    /// Tables read at the same time, with a connection each. 1 to 32. Default: 4.
    pub(super) connections: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SnapshotMode {
    /// Every captured row once, then the log from exactly that point.
    Initial,
    /// Every captured row once, then exit with 0.
    InitialOnly,
    /// The log only, from the moment the slot was made (MySQL, MariaDB, MongoDB: from its end at the
    /// start).
    NoData,
}

/// What keys and values look like: exactly one of these.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// Avro as the Confluent converter writes it, with schemas in a registry. Kafka only.
    Avro(Avro),
    /// JSON as Kafka Connect's JSON converter writes it.
    Json(Json),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Avro {
    /// A schema registry with the Confluent API. Required.
    pub(super) registry: Registry,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Json {
    /// Put the schema into every key and value (`{"schema": …, "payload": …}`). Default: false.
    pub(super) schemas: Option<bool>,
}

/// A schema registry with the Confluent API.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registry {
    /// One URL or a list that is tried in order, `http://` or `https://`. Required. User and
    /// password in it are taken as `auth.basic`.
    pub(super) url: OneOrMore,
    /// How the client proves who it is. Default: not at all.
    pub(super) auth: Option<RegistryAuth>,
    /// Certificates for `https://`.
    pub(super) tls: Option<RegistryTls>,
    /// Register schemas; otherwise they must be there already. Default: true.
    pub(super) register: Option<bool>,
    /// How long one request may take. 100ms to 168h. Default: 10s.
    pub(super) request_timeout: Option<Span>,
    /// How long a new schema waits for a registry that does not answer; rows of known schemas
    /// flow meanwhile. 0s to 168h. Default: 5m.
    pub(super) retry_budget: Option<Span>,
}

/// How the client proves who it is: exactly one of these.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RegistryAuth {
    /// HTTP basic authentication.
    Basic(Basic),
    /// A bearer token.
    Bearer(SecretText),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Basic {
    /// Required.
    pub(super) user: String,
    /// Better `${file:…}` or `${env:…}` than plain text. Required.
    pub(super) password: SecretText,
}

/// Certificates for the registry's `https://`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryTls {
    /// PEM file with the certificate authorities to trust. Default: the system's.
    pub(super) ca: Option<PathBuf>,
    /// PEM file with the client's certificate chain; together with `key`. Default: none.
    pub(super) certificate: Option<PathBuf>,
    /// PEM file with the client's private key; together with `certificate`. Default: none.
    pub(super) key: Option<PathBuf>,
}

/// Where records go: exactly one of these.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sink {
    /// Apache Kafka.
    Kafka(Kafka),
    /// JSON lines, appended to a file and synced.
    File(File),
    /// JSON lines on the standard output.
    Stdout(Nothing),
}

/// Apache Kafka, written with an idempotent producer and `acks=all`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Kafka {
    /// List of `host:port` to find the cluster by. At least one. Required.
    pub(super) bootstrap_servers: Vec<String>,
    /// How missing topics are created.
    pub(super) topics: Option<Topics>,
    /// Any property of librdkafka, SASL and TLS among them. Default: none. Properties that would
    /// break a guarantee are refused with the reason.
    #[schemars(with = "BTreeMap<String, Scalar>")]
    pub(super) properties: Option<BTreeMap<String, SecretText>>,
    /// How long broker loss, leader moves and full queues are waited out before the connection
    /// is made anew. 1s to 168h. Default: 5m.
    pub(super) retry_budget: Option<Span>,
}

/// How missing topics are created.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Topics {
    /// Create missing topics; otherwise they must be there already. Default: true.
    pub(super) create: Option<bool>,
    /// Partitions of a new topic. 1 to 10000. Default: the broker's `num.partitions`.
    pub(super) partitions: Option<i32>,
    /// Replicas of a new topic. 1 to 32. Default: the broker's `default.replication.factor`.
    pub(super) replication_factor: Option<i32>,
    /// What happens to old records of a new topic. Default: `delete`.
    pub(super) cleanup_policy: Option<CleanupPolicy>,
    /// Further settings of a new topic, as `kafka-topics.sh --config` takes them. Default: none.
    #[schemars(with = "BTreeMap<String, Scalar>")]
    pub(super) settings: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(super) enum CleanupPolicy {
    /// Dropped by age or size.
    #[serde(rename = "delete")]
    Delete,
    /// The newest record of each key stays.
    #[serde(rename = "compact")]
    Compact,
    /// Both.
    #[serde(rename = "compact,delete")]
    CompactDelete,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Created where missing, appended to otherwise. Required.
    pub(super) path: PathBuf,
}

/// Takes no settings.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Where the pipeline keeps how far it got: exactly one of these.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Offsets {
    /// Files in a folder of this machine. The folder must survive the process: in a container, a
    /// volume.
    File(OffsetsFile),
    /// A compacted topic of its own.
    Kafka(OffsetsKafka),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OffsetsFile {
    /// A folder, created where missing; one for each pipeline. Required.
    pub(super) path: PathBuf,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OffsetsKafka {
    /// Created where missing. Default: `tailwater-offsets.<pipeline>`.
    pub(super) topic: Option<String>,
    /// Replicas of the topic at its creation. 1 to 32. Default: `sink.kafka.topics.replication_factor`,
    /// then the broker's own default.
    pub(super) replication_factor: Option<i32>,
    /// Another cluster than the sink's. Default: the sink's; required with another sink.
    pub(super) bootstrap_servers: Option<Vec<String>>,
    /// Properties of librdkafka for that other cluster; only with `bootstrap_servers`. Default:
    /// none.
    #[schemars(with = "BTreeMap<String, Scalar>")]
    pub(super) properties: Option<BTreeMap<String, SecretText>>,
}

/// What becomes of a row that cannot be converted or delivered.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadLetter {
    /// For every kind of failure that is not set below. Default: `halt`.
    pub(super) policy: Option<DeadLetterPolicy>,
    /// Rows whose bytes or values make no sense. Default: `policy`.
    pub(super) conversion: Option<DeadLetterPolicy>,
    /// Records that the sink refuses for what they are, such as too large. Default: `policy`.
    pub(super) delivery: Option<DeadLetterPolicy>,
    /// Topic of the dead letters, with `sink.kafka` only. Default: `<prefix>.dead-letter`.
    pub(super) topic: Option<String>,
    /// File of the dead letters, with `sink.file` and `sink.stdout` only. Default: the sink's
    /// file with `.dead-letter` at its end; for stdout `<pipeline>.dead-letter`.
    pub(super) path: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeadLetterPolicy {
    /// Stop loudly; nothing is skipped.
    Halt,
    /// Set the row aside with its raw bytes, position and reason, and go on.
    DeadLetter,
}

/// Memory, checkpoints, patience.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Delivery {
    /// Follow each delete with a record without value, so that compacted topics forget the key.
    /// Default: true.
    pub(super) tombstones: Option<bool>,
    /// A checkpoint is written at most this often while records flow. Longer: fewer writes, more
    /// duplicates after a crash. 10ms to 1h. Default: 1s.
    pub(super) checkpoint_interval: Option<Span>,
    /// How long a stop (SIGTERM) may take as a whole, goodbyes included: what is in flight is
    /// finished within it, or sent again by the next start. Keep it below the time after which the
    /// supervisor kills. 0s to 168h. Default: 30s.
    pub(super) drain_timeout: Option<Span>,
    /// Memory of the rows between socket and sink, all queues together, by an estimate from their
    /// number and size. A full budget stops the reading, nothing else. 1MiB to 2GiB.
    /// Default: 12MiB.
    pub(super) memory: Option<Size>,
    /// How long reconnecting goes on without progress before the process gives up. 0s to 168h.
    /// Default: 10m.
    pub(super) retry_budget: Option<Span>,
    /// The header `cdc.id` on every record: the same for the same row change however often it is
    /// sent, so that a consumer can drop repeats. Default: true.
    pub(super) id_header: Option<bool>,
    /// The headers `__debezium.context.connectorName`, `…connectorLogicalName` and `…taskId` on
    /// every record, for consumers that look at them. Default: false.
    pub(super) context_headers: Option<bool>,
    /// Debezium's transaction metadata: a record when a transaction begins and one when it ends, and
    /// in every envelope which event of its transaction it is. Default: false.
    pub(super) transaction_metadata: Option<bool>,
    /// What the topic of begins and ends is called below `topic_prefix`, without the dot between.
    /// Default: `transaction`.
    pub(super) transaction_topic: Option<String>,
}

/// Health (`/healthz`), readiness (`/readyz`) and metrics (`/metrics`) over HTTP, read-only and
/// without authentication.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    /// `address:port` to listen on, or `off`. Default: `127.0.0.1:8085`.
    pub(super) listen: Option<String>,
}

/// Text that may hold a secret.
#[derive(Clone, Debug)]
pub(super) struct SecretText(pub(super) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "a secret: ${file:PATH}, ${env:NAME}, or plain text (discouraged)",
            "examples": ["${file:/run/secrets/name}", "${env:NAME}"],
        })
    }
}

/// What librdkafka and topics take as a value.
#[expect(dead_code, reason = "stands in the schema only")]
#[derive(JsonSchema)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(f64),
    Switch(bool),
}

/// One text, or a list of them.
#[derive(Clone, Debug)]
pub(super) struct OneOrMore(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one text or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMore, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(OneOrMore(all))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for OneOrMore {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMore".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ],
        })
    }
}
