//! One run: the snapshot, if there is one to take, then the stream.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::MyConnection;
use super::dump::{self, DumpSettings, StartPoint};
use super::error::SourceError;
use super::moment::Moment;
use super::settings::ConnectSettings;
use super::snapshot::{self, Outcome};
use super::stream::{self, Channels};
use crate::offsets::SourceAck;
use crate::sources::{BoxError, RawSender, Session, SourceFuture};

/// What is streamed, on a connection that was registered for it.
pub struct StreamPhase {
    pub connection: MyConnection,
    pub settings: DumpSettings,
    pub from: StartPoint,
}

/// A stream that begins when the snapshot is over, on a connection that is made then.
pub struct LaterStream {
    pub connect: ConnectSettings,
    pub settings: DumpSettings,
    pub from: StartPoint,
}

/// What comes after the snapshot.
pub enum After {
    Nothing,
    Stream(Box<LaterStream>),
}

/// What a run still has to do, each with the connections that it does it on.
pub enum Phase {
    /// Everything was done by an earlier run.
    Nothing,
    Snapshot(Box<Moment>, After),
    Stream(Box<StreamPhase>),
}

pub struct MysqlSession {
    phase: Phase,
}

impl MysqlSession {
    #[must_use]
    pub fn new(phase: Phase) -> Self {
        Self { phase }
    }
}

impl Session for MysqlSession {
    fn run(
        self: Box<Self>,
        out: RawSender,
        acks: watch::Receiver<Option<SourceAck>>,
        stop: CancellationToken,
    ) -> SourceFuture<'static, ()> {
        Box::pin(run(self.phase, Channels { out, acks, stop }))
    }
}

async fn run(phase: Phase, channels: Channels) -> Result<(), BoxError> {
    match phase {
        Phase::Nothing => Ok(()),
        Phase::Stream(phase) => Ok(run_stream(*phase, channels).await?),
        Phase::Snapshot(moment, after) => match (run_snapshot(*moment, &channels).await?, after) {
            (Outcome::Closed, _) | (Outcome::Complete, After::Nothing) => Ok(()),
            (Outcome::Complete, After::Stream(later)) => Ok(run_later(*later, channels).await?),
        },
    }
}

/// A stop gives the snapshot up: the next run begins it again.
async fn run_snapshot(moment: Moment, channels: &Channels) -> Result<Outcome, BoxError> {
    tokio::select! {
        biased;
        // 1. Final. Dropping the readers closes their connections.
        () = channels.stop.cancelled() => Ok(Outcome::Closed),
        // 2. The work.
        outcome = snapshot::run(moment, channels.out.clone()) => Ok(outcome?),
    }
}

async fn run_later(later: LaterStream, channels: Channels) -> Result<(), SourceError> {
    let LaterStream { connect, settings, from } = later;
    let connecting = async {
        let mut connection = MyConnection::connect(&connect).await?;
        dump::register(&mut connection, &settings).await?;
        Ok::<_, SourceError>(connection)
    };
    let connection = tokio::select! {
        biased;
        // 1. Nothing was asked for yet.
        () = channels.stop.cancelled() => return Ok(()),
        // 2. The way to the stream.
        connection = connecting => connection?,
    };
    run_stream(StreamPhase { connection, settings, from }, channels).await
}

async fn run_stream(phase: StreamPhase, channels: Channels) -> Result<(), SourceError> {
    let StreamPhase { connection, settings, from } = phase;
    stream::run(connection, settings, &from, channels).await
}
