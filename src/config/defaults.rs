//! Every default and every bound of the configuration, once. `written.rs` repeats the defaults in
//! its docs, and `config/reference.yaml` writes them out; a test compares the latter with these.

use std::time::Duration;

use super::{
    BigintUnsignedMode, BinaryMode, DecimalMode, DocumentForm, FullDocument, HstoreMode,
    IntervalMode, LogPosition, PreImages, SnapshotMode, TimeMode, Tinyint1Mode, TlsMode,
    UnmappedTypes, ValueModes,
};

pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

pub(super) const POSTGRES_PORT: u16 = 5432;
pub(super) const MYSQL_PORT: u16 = 3306;
pub(super) const LOG_POSITION: LogPosition = LogPosition::Auto;
pub(super) const FULL_DOCUMENT: FullDocument = FullDocument::Lookup;
pub(super) const PRE_IMAGES: PreImages = PreImages::Off;
pub(super) const DOCUMENT_FORM: DocumentForm = DocumentForm::Text;
pub(super) const AWAIT_TIME: Duration = Duration::from_secs(1);
/// Three times what a document may be (before, after, and what changed), and room to spare.
pub(super) const EVENT_BYTES_MAX: u64 = 64 << 20;
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const STATUS_INTERVAL: Duration = Duration::from_secs(1);
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(60);
pub(super) const MESSAGE_BYTES_MAX: u64 = 256 << 20;
pub(super) const UNMAPPED_TYPES: UnmappedTypes = UnmappedTypes::Text;
/// Debezium's.
pub(super) const POSTGRES_VALUES: ValueModes = ValueModes {
    decimal: DecimalMode::Precise,
    time: TimeMode::Adaptive,
    binary: BinaryMode::Bytes,
    interval: IntervalMode::Numeric,
    hstore: HstoreMode::Json,
    bigint_unsigned: BigintUnsignedMode::Long,
};
pub(super) const MYSQL_VALUES: ValueModes =
    ValueModes { time: TimeMode::AdaptiveTimeMicroseconds, ..POSTGRES_VALUES };
pub(super) const TINYINT1: Tinyint1Mode = Tinyint1Mode::Number;
/// Where the connection stays within the machine.
pub(super) const TLS_MODE_LOCAL: TlsMode = TlsMode::Prefer;
/// Where it crosses a network: anything less lets a stranger in the middle read the password.
pub(super) const TLS_MODE_REMOTE: TlsMode = TlsMode::VerifyFull;

pub(super) const SNAPSHOT_MODE: SnapshotMode = SnapshotMode::Initial;
pub(super) const SNAPSHOT_CONNECTIONS: usize = 4;
pub(super) const SNAPSHOT_CONNECTIONS_MAX: usize = 32;

pub(super) const REGISTRY_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const REGISTRY_RETRY_BUDGET: Duration = Duration::from_secs(300);

/// As AdminClient's -1: the broker's own `num.partitions` and `default.replication.factor`
/// (KIP-464, brokers since 2.4).
pub(super) const BROKER_DEFAULT: i32 = -1;
pub(super) const KAFKA_RETRY_BUDGET: Duration = Duration::from_secs(300);
pub(super) const TOPIC_CLEANUP_POLICY: &str = "delete";

pub(super) const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const MEMORY_BYTES: u64 = 12 << 20;
pub(super) const RETRY_BUDGET: Duration = Duration::from_secs(600);
/// Debezium's `topic.transaction`.
pub(super) const TRANSACTION_TOPIC: &str = "transaction";

pub(super) const ADMIN_LISTEN: &str = "127.0.0.1:8085";

pub(super) const INCLUDE_SCHEMA_CHANGES: bool = true;

/// Longest wait that any field takes; more is a typing error.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Folder of offsets without Kafka and without `offsets`.
pub(super) const LOCAL_FOLDER: &str = ".tailwater";
