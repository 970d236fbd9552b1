//! One run: the stream, from where it was asked for.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::MyConnection;
use super::dump::{DumpSettings, StartPoint};
use super::stream::{self, Channels};
use crate::offsets::SourceAck;
use crate::sources::{RawSender, Session, SourceFuture};

/// What is streamed, on a connection that was registered for it.
pub struct StreamPhase {
    pub connection: MyConnection,
    pub settings: DumpSettings,
    pub from: StartPoint,
}

/// What a run still has to do, each with the connections that it does it on.
pub enum Phase {
    /// Everything was done by an earlier run.
    Nothing,
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
        Box::pin(async move {
            match self.phase {
                Phase::Nothing => Ok(()),
                Phase::Stream(phase) => {
                    let StreamPhase { connection, settings, from } = *phase;
                    let channels = Channels { out, acks, stop };
                    Ok(stream::run(connection, settings, &from, channels).await?)
                }
            }
        })
    }
}
