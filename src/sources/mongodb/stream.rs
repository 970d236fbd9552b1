//! The change stream, as it comes: replies out, and nothing back.
//!
//! ```text
//!  getMore ─▶ reply n ─▶ slices ─▶ (room in the budget) ─▶ decoder
//!     └─────▶ reply n+1 is asked for as soon as reply n is here, and waited for with it
//! ```
//!
//! The server needs no word from us: who reads a change stream keeps nothing on it, and the
//! checkpoint alone says where to begin again. It answers each question within `await_time`, or
//! when it has found something, which after a long silence of the captured collections may take as
//! long as its whole oplog: no timer of ours ends that. A question that stays open for
//! `QUIET` has that very server asked on another connection whether it still lives; whether *this*
//! connection does is for the kernel's keepalives, which the driver switches on.
//!
//! An error ends the run, and the next one begins at the checkpoint. The one thing that is gone on
//! from within a run is an invalidation, because it is no error: the collection or database of the
//! scope was dropped or renamed, and the stream is opened again behind that.

use std::time::Duration;

use mongodb::options::ServerAddress;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::deployment::Deployment;
use super::error::SourceError;
use super::open::{self, OpenStream, READ, StreamSettings};
use super::reply::Pieces;
use super::stages::StartPoint;
use crate::failpoint;
use crate::offsets::SourceAck;
use crate::sources::{Closed, RawBatch, RawSender};

/// How long a question may stay open before the server is asked whether it is there.
const QUIET: Duration = Duration::from_secs(60);
/// How long that answer may take.
const PING: Duration = Duration::from_secs(30);
/// An answer that comes at once may tell that the token is no good, before a snapshot is taken for
/// nothing; one that does not, means that the server is looking for it. It is as good later on.
const FIRST_ANSWER: Duration = Duration::from_millis(300);

/// The ways to and from the rest of the pipeline.
pub(super) struct Channels {
    pub(super) out: RawSender,
    /// Nothing for the server in it; kept so that its sender finds somebody.
    pub(super) _acks: watch::Receiver<Option<SourceAck>>,
    pub(super) stop: CancellationToken,
}

/// A stream that was opened, and what it said at once.
pub struct Proven {
    pub(super) stream: OpenStream,
    /// Its first reply, where there was one.
    pub(super) first: Option<Pieces>,
}

/// Opens a stream at a place of now, which need not be looked for.
pub(super) async fn begin(
    deployment: &Deployment,
    settings: &StreamSettings,
    from: StartPoint,
) -> Result<Proven, SourceError> {
    let mut stream = open::open(deployment, settings, from).await?;
    // The reply to the opening itself: empty, but for the token that the stream begins at.
    let first = stream.next(deployment).await?;
    Ok(Proven { stream, first })
}

/// Opens a stream at a place of the past and waits a moment for its first answer: that it is lost
/// turns out only when the server looks for it.
pub(super) async fn prove(
    deployment: &Deployment,
    settings: &StreamSettings,
    from: StartPoint,
) -> Result<Proven, SourceError> {
    let mut proven = begin(deployment, settings, from).await?;
    if let Ok(answer) = timeout(FIRST_ANSWER, proven.stream.next(deployment)).await {
        proven.first = answer?.or(proven.first);
    }
    Ok(proven)
}

/// Streams until told to stop.
pub(super) async fn run(
    deployment: Deployment,
    settings: StreamSettings,
    proven: Proven,
    channels: Channels,
) -> Result<(), SourceError> {
    let Proven { mut stream, mut first } = proven;
    let mut invalidated = None;
    tracing::info!(place = %stream.place, "streaming");
    let ended = loop {
        let followed = follow(&deployment, stream, first.take(), &channels).await;
        let (flow, last_place) = followed.map_err(|error| settings.remembered(error))?;
        if flow == Flow::End {
            break Ok(());
        }
        // A cursor that is closed again before it brought anything was not ended by an invalidation.
        let is_new = invalidated.as_ref() != Some(&last_place);
        if !is_new || !matches!(last_place, StartPoint::After(_)) {
            break Err(SourceError::Ended { operation: READ });
        }
        tracing::warn!(
            place = %last_place,
            "what the stream was opened over was dropped or renamed; it is opened again, and sees \
             whatever is made under that name"
        );
        stream = open::open(&deployment, &settings, last_place.clone()).await?;
        invalidated = Some(last_place);
    };
    deployment.close().await;
    ended
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// The server has closed the cursor behind an invalidation.
    Invalidated,
    /// Told to stop, or nobody takes anything any more.
    End,
}

/// Hands on what one cursor brings, until it ends.
async fn follow(
    deployment: &Deployment,
    mut stream: OpenStream,
    mut in_hand: Option<Pieces>,
    channels: &Channels,
) -> Result<(Flow, StartPoint), SourceError> {
    let server = stream.server.clone();
    loop {
        let is_last = in_hand.as_ref().is_some_and(|pieces| pieces.is_last);
        let place = stream.place.clone();
        let batches = in_hand.take().map(|pieces| pieces.batches).unwrap_or_default();
        // Both are waited for, come what may: an error behind a good batch must not keep it back,
        // or a stream that always fails at one place would never get up to it.
        let both = async {
            tokio::join!(hand_on(&channels.out, batches), async {
                if is_last { Ok(None) } else { stream.next(deployment).await }
            })
        };
        let (sent, next) = tokio::select! {
            biased;
            // 1. What is in hand was never acknowledged and comes again, from any event on.
            () = channels.stop.cancelled() => return Ok((Flow::End, place)),
            // 2. The work.
            both = both => both,
            // 3. Ends with an error only, and seldom.
            gone = found_gone(deployment, server.clone()) => return Err(gone),
        };
        if let Err(Closed) = sent {
            return Ok((Flow::End, place));
        }
        match next? {
            Some(pieces) => in_hand = Some(pieces),
            None => return Ok((Flow::Invalidated, place)),
        }
    }
}

async fn hand_on(out: &RawSender, batches: Vec<RawBatch>) -> Result<(), Closed> {
    for batch in batches {
        out.send(batch).await?;
    }
    Ok(())
}

/// Whoever waits for the answer of a server that is gone would wait for ever: asks, as long as it
/// is polled, whether it is there.
async fn found_gone(deployment: &Deployment, server: Option<ServerAddress>) -> SourceError {
    const ASK: &str = "ask whether the server is there";
    let ping = async || match server.clone() {
        Some(server) => deployment.ping_at(server, ASK).await,
        None => deployment.ping(ASK).await,
    };
    loop {
        sleep(failpoint::wait(failpoint::QUIET, QUIET)).await;
        let limit = failpoint::wait(failpoint::QUIET, PING);
        match timeout(limit, ping()).await {
            Ok(Ok(_)) => {
                tracing::debug!("the server looks for the next event, or we wait for room")
            }
            Ok(Err(error)) => return error,
            Err(_) => {
                return SourceError::Silent {
                    operation: READ,
                    servers: deployment.servers.clone(),
                    timeout_ms: limit.as_millis(),
                };
            }
        }
    }
}
