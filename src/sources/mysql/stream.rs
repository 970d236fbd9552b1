//! The binary log, as it comes: events out, and nothing back.
//!
//! One task, one socket, and at each moment one of two waits. Either nothing is in hand, and the
//! socket is read; or a batch waits for room behind us, and the socket is not read, which is all
//! the backpressure there is. The server needs no word from us meanwhile: a replica says nothing
//! while it reads, and its acknowledgements are nobody's business but the checkpoint's.
//!
//! Every event is looked at by [`super::inspect`] before it is handed on, so a damaged one or a
//! gap ends the run with nothing behind it sent. Heartbeats go on with the events, in their order:
//! how far an idle server's log has come is progress like any other.

use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::connection::{EventsRead, MyConnection};
use super::dump::{self, DumpSettings, StartPoint};
use super::error::SourceError;
use super::inspect::Inspector;
use super::transactions::Place;
use super::wire::Frames;
use crate::offsets::SourceAck;
use crate::sources::{Closed, RawBatch, RawSender, Stage};

const OPERATION: &str = "stream";
/// How long a stop waits for the end of the transaction that is half on its way: without it, its
/// first half would come again. A longer one is cut, and does.
const LEAVE: Duration = Duration::from_secs(2);
/// A server that looks for a GTID in many files says nothing until it has found it, and cutting it
/// off would only make it begin again. The kernel's keepalives notice a server that is gone.
const SEEK_LIMIT: Duration = Duration::from_secs(30 * 60);
/// A replica with our UUID or, in MariaDB, our server id has come: MySQL says it with the number of
/// all that ends a stream, MariaDB with one of its own.
const FATAL: u16 = 1236;
const MARIADB_SAME_ID: u16 = 4052;
const SAME_ID: &str = "same server_uuid/server_id";

/// The ways to and from the rest of the pipeline.
#[derive(Clone)]
pub(super) struct Channels {
    pub(super) out: RawSender,
    pub(super) acks: watch::Receiver<Option<SourceAck>>,
    pub(super) stop: CancellationToken,
}

/// Streams from exactly `from` until told to stop, on a connection that [`dump::register`] was
/// called on.
pub(super) async fn run(
    connection: MyConnection,
    settings: DumpSettings,
    from: &StartPoint,
    channels: Channels,
) -> Result<(), SourceError> {
    let mut stream = Stream::begin(connection, settings, from, channels).await?;
    stream.serve().await
    // The connection is dropped, not closed: a server that sends does not read, and sees the
    // socket's end at its next event or heartbeat.
}

struct Stream {
    connection: MyConnection,
    settings: DumpSettings,
    inspector: Inspector,
    out: RawSender,
    /// `None` when nobody can acknowledge any more.
    acks: Option<watch::Receiver<Option<SourceAck>>>,
    stop: CancellationToken,
    heard_at: Instant,
    /// Until the first event, the server may still be looking for it.
    silence_limit: Duration,
    place: Place,
    /// Since a stop was told: until when the end of a transaction is waited for.
    leaving: Option<Instant>,
}

/// What ended a wait.
enum Event {
    Stop,
    Silent,
    Acknowledged,
    Read(EventsRead),
    Sent(Result<(), Closed>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    /// Told to stop, or nobody takes anything any more.
    End,
}

impl Stream {
    async fn begin(
        mut connection: MyConnection,
        settings: DumpSettings,
        from: &StartPoint,
        channels: Channels,
    ) -> Result<Self, SourceError> {
        dump::begin(&mut connection, &settings, from).await?;
        tracing::info!(server_id = settings.server_id, ?from, "streaming");
        let now = Instant::now();
        let Channels { out, acks, stop } = channels;
        Ok(Self {
            connection,
            silence_limit: settings.silence_limit.max(SEEK_LIMIT),
            settings,
            inspector: Inspector::new(from.extent()),
            out,
            acks: Some(acks),
            stop,
            heard_at: now,
            place: Place::default(),
            leaving: None,
        })
    }

    async fn serve(&mut self) -> Result<(), SourceError> {
        loop {
            match self.listen().await? {
                Event::Stop if self.may_leave() => return Ok(()),
                Event::Stop => {}
                Event::Silent => {
                    return Err(SourceError::Silent {
                        endpoint: self.connection.endpoint().to_owned(),
                        limit_ms: self.silence_limit.as_millis(),
                    });
                }
                Event::Read(EventsRead::Events(frames)) => {
                    self.heard_at = Instant::now();
                    self.silence_limit = self.settings.silence_limit;
                    let batch = self.inspected(frames)?;
                    if self.hand_on(batch).await == Flow::End
                        || (self.leaving.is_some() && self.place == Place::Between)
                    {
                        return Ok(());
                    }
                    // Nobody listened meanwhile: the silence begins anew.
                    self.heard_at = Instant::now();
                }
                Event::Read(EventsRead::Done) => {
                    let endpoint = self.connection.endpoint().to_owned();
                    return Err(SourceError::Closed { operation: OPERATION, endpoint });
                }
                Event::Acknowledged | Event::Sent(_) => {}
            }
        }
    }

    /// The wait with nothing in hand.
    async fn listen(&mut self) -> Result<Event, SourceError> {
        let due = self.heard_at + self.silence_limit;
        Ok(tokio::select! {
            biased;
            // 1. Whatever is still in the socket comes again.
            () = told_to_stop(&self.stop, self.leaving) => Event::Stop,
            // 2. Last but for the end, because it is nearly always ready. Cancel-safe: bytes stay
            //    in the buffer.
            read = self.connection.read_events(OPERATION) => {
                Event::Read(read.map_err(|error| refusal(error, &self.connection, &self.settings))?)
            }
            // 3. Nothing for the server in it; the channel only shall not keep an old one.
            () = next_ack(&mut self.acks) => Event::Acknowledged,
            // 4. Behind the read: bytes that wait in the socket are no silence.
            () = sleep_until(due.into()) => Event::Silent,
        })
    }

    /// Each event as the decoder gets it: without its OK byte and its checksum.
    fn inspected(&mut self, frames: Frames) -> Result<RawBatch, SourceError> {
        let Frames { data, mut payloads } = frames;
        for range in &mut payloads {
            let event = data.get(range.start as usize + 1..range.end as usize).unwrap_or_default();
            let length = self.inspector.inspect(event)?;
            let start = range.start + 1;
            // Not longer than the payload, whose end fits.
            let end = start.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
            *range = Range { start, end: end.min(range.end) };
        }
        self.note(&data, &mut payloads);
        Ok(RawBatch {
            stage: Stage::Stream,
            data,
            messages: payloads,
            read_at: self.heard_at,
            budget: None,
        })
    }

    /// Where the batch leaves us. On the way out it ends with the transaction that is open.
    fn note(&mut self, data: &[u8], events: &mut Vec<Range<u32>>) {
        let mut kept = events.len();
        for (at, range) in events.iter().enumerate() {
            let event = data.get(range.start as usize..range.end as usize).unwrap_or_default();
            self.place = self.place.after(event);
            if self.leaving.is_some() && self.place == Place::Between {
                kept = at + 1;
                break;
            }
        }
        events.truncate(kept);
    }

    /// Nothing is in hand, and a stop was told or its time is over.
    fn may_leave(&mut self) -> bool {
        if self.place == Place::Between || self.leaving.is_some() {
            return true;
        }
        self.leaving = Some(Instant::now() + LEAVE);
        false
    }

    /// The wait with a batch in hand.
    async fn hand_on(&mut self, batch: RawBatch) -> Flow {
        let out = self.out.clone();
        let mut sent = std::pin::pin!(out.send(batch));
        loop {
            let event = tokio::select! {
                biased;
                // 1. A batch that is given up was never acknowledged and comes again.
                () = told_to_stop(&self.stop, self.leaving) => Event::Stop,
                // 2. Pinned outside of the loop, so it keeps its place in the queue.
                sent = &mut sent => Event::Sent(sent),
                // 3. As above.
                () = next_ack(&mut self.acks) => Event::Acknowledged,
            };
            match event {
                Event::Sent(Err(Closed)) => return Flow::End,
                Event::Stop if self.leaving.is_some() => return Flow::End,
                // With this batch in hand, there is always something to end.
                Event::Stop => self.leaving = Some(Instant::now() + LEAVE),
                Event::Sent(Ok(())) => return Flow::Continue,
                Event::Acknowledged | Event::Silent | Event::Read(_) => {}
            }
        }
    }
}

/// The stop itself, or the end of its patience. Cancel-safe.
async fn told_to_stop(stop: &CancellationToken, leaving: Option<Instant>) {
    match leaving {
        Some(late) => sleep_until(late.into()).await,
        None => stop.cancelled().await,
    }
}

/// Waits for ever once nobody can acknowledge any more. Cancel-safe.
async fn next_ack(acks: &mut Option<watch::Receiver<Option<SourceAck>>>) {
    if let Some(receiver) = acks {
        if receiver.changed().await.is_ok() {
            receiver.mark_unchanged();
            return;
        }
        *acks = None;
    }
    std::future::pending().await
}

/// What a dump thread says when it ends.
fn refusal(error: SourceError, connection: &MyConnection, settings: &DumpSettings) -> SourceError {
    let endpoint = connection.endpoint().to_owned();
    match error {
        SourceError::Statement { source, .. }
            if source.code == MARIADB_SAME_ID
                || (source.code == FATAL && source.message.contains(SAME_ID)) =>
        {
            let (server_id, flavor) = (settings.server_id, connection.flavor());
            SourceError::Superseded { endpoint, server_id, flavor, source }
        }
        SourceError::Statement { source, .. } => SourceError::DumpRefused { endpoint, source },
        other => other,
    }
}
