//! Names and labels of every metric, once. Counters get `_total` from the text format.

pub(super) const BUILD_INFO: &str = "tailwater_build_info";
pub(super) const STATE: &str = "tailwater_state";
pub(super) const READY: &str = "tailwater_ready";
pub(super) const UPTIME: &str = "tailwater_uptime_seconds";
pub(super) const POSITION: &str = "tailwater_position";
pub(super) const LAG_BYTES: &str = "tailwater_lag_bytes";
pub(super) const LAG_SECONDS: &str = "tailwater_lag_seconds";
pub(super) const READ_BYTES: &str = "tailwater_read_bytes";
pub(super) const ROWS: &str = "tailwater_rows";
pub(super) const TABLE_ROWS: &str = "tailwater_table_rows";
pub(super) const SENT: &str = "tailwater_records_sent";
pub(super) const DELIVERED: &str = "tailwater_records_delivered";
pub(super) const CHECKPOINTS: &str = "tailwater_checkpoints";
pub(super) const QUEUE_BYTES: &str = "tailwater_queue_bytes";
pub(super) const QUEUE_BUDGET_BYTES: &str = "tailwater_queue_budget_bytes";
pub(super) const BATCHES_IN_FLIGHT: &str = "tailwater_batches_in_flight";
pub(super) const SNAPSHOT_TABLES: &str = "tailwater_snapshot_tables";
pub(super) const SNAPSHOT_TABLES_DONE: &str = "tailwater_snapshot_tables_done";
pub(super) const SNAPSHOT_ROWS: &str = "tailwater_snapshot_rows";
pub(super) const SNAPSHOT_BYTES: &str = "tailwater_snapshot_bytes";
pub(super) const SNAPSHOT_COMPLETE: &str = "tailwater_snapshot_complete";
pub(super) const DEAD_LETTERS: &str = "tailwater_dead_letters";
pub(super) const RETRIES: &str = "tailwater_retries";

pub(super) const LABEL_VERSION: &str = "version";
pub(super) const LABEL_STATE: &str = "state";
pub(super) const LABEL_STAGE: &str = "stage";
pub(super) const LABEL_TABLE: &str = "table";
pub(super) const LABEL_KIND: &str = "kind";
pub(super) const LABEL_COMPONENT: &str = "component";
