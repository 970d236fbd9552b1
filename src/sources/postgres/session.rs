//! One run: the snapshot, if there is one to take, then the stream.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::catalog::RelationFacts;
use super::connection::PgConnection;
use super::error::SourceError;
use super::snapshot::{self, Readers};
use super::stream::{self, CaughtUp, Channels, StreamSettings};
use crate::config::{PostgresConfig, UnmappedTypes};
use crate::offsets::SourceAck;
use crate::offsets::position::Lsn;
use crate::sources::readers::Outcome;
use crate::sources::{RawSender, Session, SourceFuture};

/// What a run still has to do, each with the connections that it does it on.
pub(super) enum Phase {
    /// Everything was done by an earlier run.
    Nothing,
    Snapshot(SnapshotPhase, After),
    /// A snapshot that was interrupted, once more. What it sent is as of an earlier moment: the
    /// changes since then come first, up to the moment of the new one, so that nothing that was
    /// deleted meanwhile stays behind and no row goes back to an older version.
    SnapshotAgain(Box<AgainPhase>),
    Stream(StreamPhase),
}

pub(super) struct AgainPhase {
    /// For the stream after it, when the catch-up's connection cannot be kept.
    pub(super) config: PostgresConfig,
    pub(super) catch_up: StreamPhase,
    pub(super) snapshot: SnapshotPhase,
    pub(super) consistent_point: Lsn,
    /// Holds the temporary slot whose snapshot is read.
    pub(super) exporter: PgConnection,
}

pub(super) struct SnapshotPhase {
    pub(super) readers: Readers,
    pub(super) tables: Vec<RelationFacts>,
    pub(super) unmapped: UnmappedTypes,
}

/// What comes after the snapshot. Either way the walsender that exported it stays open and idle
/// until it is over.
pub(super) enum After {
    /// Its temporary slot goes with it.
    Nothing(PgConnection),
    Stream(StreamPhase),
}

pub(super) struct StreamPhase {
    pub(super) walsender: PgConnection,
    pub(super) settings: StreamSettings,
    pub(super) from: Lsn,
}

pub(super) struct PostgresSession {
    pub(super) phase: Phase,
}

impl Session for PostgresSession {
    fn run(
        self: Box<Self>,
        out: RawSender,
        acks: watch::Receiver<Option<SourceAck>>,
        stop: CancellationToken,
    ) -> SourceFuture<'static, ()> {
        Box::pin(async move { Ok(run(self.phase, Channels { out, acks, stop }).await?) })
    }
}

async fn run(phase: Phase, channels: Channels) -> Result<(), SourceError> {
    match phase {
        Phase::Nothing => Ok(()),
        Phase::Stream(phase) => run_stream(phase, channels).await,
        Phase::SnapshotAgain(phase) => run_again(*phase, channels).await,
        Phase::Snapshot(snapshot, after) => match run_snapshot(snapshot, &channels).await? {
            Outcome::Closed => Ok(()),
            Outcome::Complete => match after {
                After::Nothing(walsender) => {
                    walsender.close().await;
                    Ok(())
                }
                After::Stream(phase) => run_stream(phase, channels).await,
            },
        },
    }
}

async fn run_again(phase: AgainPhase, channels: Channels) -> Result<(), SourceError> {
    let AgainPhase { config, catch_up, snapshot, consistent_point, exporter } = phase;
    let StreamPhase { walsender, settings, from } = catch_up;
    let between = (from, consistent_point);
    let caught_up =
        stream::run_until(walsender, settings.clone(), between, channels.clone()).await?;
    let walsender = match caught_up {
        CaughtUp::Connected(walsender) => Some(walsender),
        CaughtUp::Disconnected => None,
        CaughtUp::Stopped => return Ok(()),
    };
    let outcome = run_snapshot(snapshot, &channels).await?;
    exporter.close().await;
    match (outcome, walsender) {
        (Outcome::Closed, _) => Ok(()),
        (Outcome::Complete, Some(walsender)) => {
            stream::run(walsender, settings, consistent_point, channels).await
        }
        (Outcome::Complete, None) => {
            stream::run_anew(&config, settings, consistent_point, channels).await
        }
    }
}

/// A stop gives the snapshot up: the next run begins it again.
async fn run_snapshot(phase: SnapshotPhase, channels: &Channels) -> Result<Outcome, SourceError> {
    let SnapshotPhase { readers, tables, unmapped } = phase;
    tokio::select! {
        biased;
        // 1. Final. Dropping the readers closes their connections.
        () = channels.stop.cancelled() => Ok(Outcome::Closed),
        // 2. The work.
        outcome = snapshot::run(readers, tables, unmapped, channels.out.clone()) => outcome,
    }
}

async fn run_stream(phase: StreamPhase, channels: Channels) -> Result<(), SourceError> {
    let StreamPhase { walsender, settings, from } = phase;
    stream::run(walsender, settings, from, channels).await
}
