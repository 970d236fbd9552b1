//! Whether the oplog will last as long as the snapshot.
//!
//! Nothing on the server keeps it for us: when a snapshot takes longer than it reaches back, the
//! stream behind it cannot begin, and everything was for nothing. That is a loud stop whenever it
//! happens; here it is foretold.

use std::time::Duration;

use mongodb::bson::{Bson, Document, Timestamp, doc};

use super::deployment::Deployment;
use super::error::SourceError;
use super::parts::{Plan, whole};
use super::preflight::allowed;

const OPERATION: &str = "ask how far back the oplog goes";
/// What one reader gets through, to be on the safe side: a disk that is busy with other things.
const BYTES_PER_SECOND: u64 = 10 << 20;
/// Below this it has room left, and nothing was thrown away yet.
const FULL_PERCENT: u64 = 80;

/// What the oplog covers, and whether it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    reach: Duration,
    bytes: u64,
    bytes_max: u64,
}

/// Warns when the snapshot may take longer than the oplog reaches back. Says nothing where the
/// user may not look at it, or behind a mongos, which has none.
pub(super) async fn warn_if_short(
    deployment: &Deployment,
    plan: &Plan,
    newest_seconds: u32,
) -> Result<(), SourceError> {
    let Some(window) = window(deployment, newest_seconds).await? else {
        tracing::debug!("how far back the oplog goes is not known");
        return Ok(());
    };
    let Some(bytes) = plan.expected_bytes() else { return Ok(()) };
    let needed = estimate(bytes, plan.n_readers);
    tracing::info!(
        oplog_seconds = window.reach.as_secs(),
        snapshot_bytes = bytes,
        snapshot_seconds_estimated = needed.as_secs(),
        "the oplog and the snapshot"
    );
    if is_short(window, needed) {
        tracing::warn!(
            oplog_seconds = window.reach.as_secs(),
            snapshot_seconds_estimated = needed.as_secs(),
            hint = "db.adminCommand({ replSetResizeOplog: 1, size: <MB>, minRetentionHours: 48 }) on every member",
            "the snapshot may take longer than the oplog reaches back: the stream could not begin \
             behind it"
        );
    }
    Ok(())
}

fn estimate(bytes: u64, n_readers: usize) -> Duration {
    let n_readers = u64::try_from(n_readers).unwrap_or(u64::MAX).max(1);
    Duration::from_secs(bytes / BYTES_PER_SECOND.saturating_mul(n_readers))
}

/// An oplog that is not full grows while we read.
fn is_short(window: Window, needed: Duration) -> bool {
    let full = window.bytes.saturating_mul(100) >= window.bytes_max.saturating_mul(FULL_PERCENT);
    full && needed.saturating_mul(2) > window.reach
}

async fn oldest(deployment: &Deployment) -> Result<Option<Timestamp>, SourceError> {
    let command = doc! {
        "find": "oplog.rs",
        "filter": {},
        "projection": { "ts": 1 },
        "sort": { "$natural": 1 },
        "limit": 1,
        "singleBatch": true,
    };
    let answer = allowed(deployment.command(OPERATION, "local", command).await)?;
    Ok(answer.as_ref().and_then(oldest_of))
}

async fn window(
    deployment: &Deployment,
    newest_seconds: u32,
) -> Result<Option<Window>, SourceError> {
    let oldest = oldest(deployment).await?;
    let stats = doc! { "collStats": "oplog.rs" };
    let stats = allowed(deployment.command(OPERATION, "local", stats).await)?;
    Ok(oldest.zip(stats).and_then(|(oldest, stats)| {
        let number = |name: &str| stats.get(name).and_then(whole);
        Some(Window {
            reach: Duration::from_secs(u64::from(newest_seconds.saturating_sub(oldest.time))),
            bytes: number("size")?,
            bytes_max: number("maxSize")?,
        })
    }))
}

fn oldest_of(answer: &Document) -> Option<Timestamp> {
    let batch = answer.get_document("cursor").ok()?.get_array("firstBatch").ok()?;
    let entry = batch.first().and_then(Bson::as_document)?;
    entry.get_timestamp("ts").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_oplog_that_is_full_can_be_too_short() {
        let window = |bytes| Window { reach: Duration::from_secs(3600), bytes, bytes_max: 1000 };
        let hour = estimate(BYTES_PER_SECOND * 3600 * 4, 4);
        assert_eq!(hour, Duration::from_secs(3600));
        assert!(is_short(window(990), hour));
        assert!(!is_short(window(300), hour));
        assert!(!is_short(window(990), Duration::from_secs(60)));
    }

    #[test]
    fn the_first_entry_says_how_old_the_oplog_is() {
        let ts = Timestamp { time: 7, increment: 1 };
        let entry = doc! { "ts": ts };
        let answer = doc! { "cursor": { "firstBatch": [entry], "id": 0_i64 } };
        assert_eq!(oldest_of(&answer), Some(ts));
        assert_eq!(oldest_of(&doc! { "cursor": { "firstBatch": [] } }), None);
    }
}
