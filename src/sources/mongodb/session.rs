//! One run: the snapshot, if there is one to take, then the stream.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::deployment::Deployment;
use super::error::SourceError;
use super::open::StreamSettings;
use super::parts::Plan;
use super::snapshot::{self, Moment};
use super::stages::StartPoint;
use super::stream::{self, Channels, Proven};
use crate::offsets::SourceAck;
use crate::sources::readers::Outcome;
use crate::sources::{RawSender, Session, SourceFuture};

/// What is read before the stream.
pub struct SnapshotPhase {
    pub(super) plan: Plan,
    pub(super) moment: Moment,
}

/// What comes after the snapshot. A cursor that waited for it would have been closed meanwhile, so
/// the stream is opened then.
pub enum After {
    Nothing,
    Stream(Box<(StreamSettings, StartPoint)>),
}

/// What a run still has to do.
pub enum Phase {
    /// Everything was done by an earlier run.
    Nothing,
    Snapshot(Box<SnapshotPhase>, After),
    Stream(Box<(StreamSettings, Proven)>),
}

pub struct MongodbSession {
    deployment: Deployment,
    phase: Phase,
}

impl MongodbSession {
    #[must_use]
    pub fn new(deployment: Deployment, phase: Phase) -> Self {
        Self { deployment, phase }
    }
}

impl Session for MongodbSession {
    fn run(
        self: Box<Self>,
        out: RawSender,
        acks: watch::Receiver<Option<SourceAck>>,
        stop: CancellationToken,
    ) -> SourceFuture<'static, ()> {
        let Self { deployment, phase } = *self;
        Box::pin(
            async move { Ok(run(deployment, phase, Channels { out, _acks: acks, stop }).await?) },
        )
    }
}

async fn run(deployment: Deployment, phase: Phase, channels: Channels) -> Result<(), SourceError> {
    match phase {
        Phase::Nothing => Ok(()),
        Phase::Stream(phase) => {
            let (settings, proven) = *phase;
            stream::run(deployment, settings, proven, channels).await
        }
        Phase::Snapshot(phase, after) => {
            match (run_snapshot(&deployment, *phase, &channels).await?, after) {
                (Outcome::Closed, _) | (Outcome::Complete, After::Nothing) => {
                    deployment.close().await;
                    Ok(())
                }
                (Outcome::Complete, After::Stream(later)) => {
                    let (settings, from) = *later;
                    run_later(deployment, settings, from, channels).await
                }
            }
        }
    }
}

/// A stop gives the snapshot up: the next run begins it again.
async fn run_snapshot(
    deployment: &Deployment,
    phase: SnapshotPhase,
    channels: &Channels,
) -> Result<Outcome, SourceError> {
    let SnapshotPhase { plan, moment } = phase;
    tokio::select! {
        biased;
        // 1. Final. Dropping the readers closes their cursors.
        () = channels.stop.cancelled() => Ok(Outcome::Closed),
        // 2. The work.
        outcome = snapshot::run(deployment.clone(), plan, moment, channels.out.clone()) => outcome,
    }
}

async fn run_later(
    deployment: Deployment,
    settings: StreamSettings,
    from: StartPoint,
    channels: Channels,
) -> Result<(), SourceError> {
    let proven = tokio::select! {
        biased;
        // 1. Nothing was asked for yet.
        () = channels.stop.cancelled() => return Ok(()),
        // 2. The way to the stream.
        proven = stream::prove(&deployment, &settings, from) => {
            proven.map_err(|error| settings.remembered(error))?
        }
    };
    stream::run(deployment, settings, proven, channels).await
}
