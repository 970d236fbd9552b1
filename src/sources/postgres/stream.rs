//! The log, as it comes: rows out, keepalives answered, acknowledgements up.
//!
//! One task, one socket, and at each moment one of two waits. Either nothing is in hand, and the
//! socket is read; or a batch waits for room behind us, and the socket is not read, which is all
//! the backpressure there is. In both, acknowledgements arrive and status updates leave on time,
//! so a slow or dead sink never looks like a dead client to the server.
//!
//! Keepalives go on with the rows, in their order: how far an idle server's log has come is
//! progress like any other, and takes the same road through sink and checkpoint.

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{CopyRead, PgConnection, Purpose};
use super::error::SourceError;
use super::feedback::Feedback;
use super::frames::{BEGIN, COMMIT, Header, cut, cut_behind_commit, header, message_kind};
use super::sql::quote_ident;
use super::wire::CopyFrames;
use crate::config::PostgresConfig;
use crate::failpoint;
use crate::offsets::SourceAck;
use crate::offsets::position::{Lsn, Position};
use crate::sources::{Closed, RawBatch, RawSender, Stage};

/// How long a stop waits for the end of the transaction that is half on its way: without it, its
/// first half would come again. A longer one is cut, and does.
const LEAVE: Duration = Duration::from_secs(2);
/// How long the server may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the server may take to notice that a connection with a stream was closed.
const LET_GO: Duration = Duration::from_secs(10);
const LET_GO_POLL: Duration = Duration::from_millis(250);

/// What a stream is asked for with, and how it is kept alive.
#[derive(Clone, Debug)]
pub(super) struct StreamSettings {
    pub(super) slot: String,
    pub(super) publication: String,
    pub(super) logical_messages: bool,
    pub(super) server_version: u32,
    pub(super) system_id: String,
    pub(super) status_interval: Duration,
    pub(super) wal_sender_timeout: Duration,
    pub(super) silence_limit: Duration,
}

/// The ways to and from the rest of the pipeline.
#[derive(Clone)]
pub(super) struct Channels {
    pub(super) out: RawSender,
    pub(super) acks: watch::Receiver<Option<SourceAck>>,
    pub(super) stop: CancellationToken,
}

/// Streams from exactly `from` until told to stop.
pub(super) async fn run(
    walsender: PgConnection,
    settings: StreamSettings,
    from: Lsn,
    channels: Channels,
) -> Result<(), SourceError> {
    let mut stream = Stream::begin(walsender, settings, from, channels).await?;
    stream.serve().await?;
    stream.farewell().await?;
    stream.walsender.close().await;
    Ok(())
}

/// As [`run`], on a connection made here, where an earlier one was given up in the middle of its
/// stream: the server lets go of the slot only when it notices.
pub(super) async fn run_anew(
    config: &PostgresConfig,
    settings: StreamSettings,
    from: Lsn,
    channels: Channels,
) -> Result<(), SourceError> {
    let deadline = Instant::now() + LET_GO;
    loop {
        let walsender = PgConnection::connect(config, Purpose::Replication).await?;
        match run(walsender, settings.clone(), from, channels.clone()).await {
            Err(error) if is_held(&error) && Instant::now() < deadline => {
                tracing::debug!(%error, "the server still holds the slot for the last connection");
            }
            ended => return ended,
        }
        tokio::select! {
            biased;
            // 1. Nothing is in hand.
            () = channels.stop.cancelled() => return Ok(()),
            // 2. The next try.
            () = sleep(LET_GO_POLL) => {}
        }
    }
}

/// `object_in_use`: another process streams from the slot (`ReplicationSlotAcquire` in `slot.c`).
fn is_held(error: &SourceError) -> bool {
    error.has_code("55006")
}

/// How a stream with an end ended.
pub(super) enum CaughtUp {
    /// There, and the connection is ready for more.
    Connected(PgConnection),
    /// There, but the server did not leave the stream in time: it is in the middle of a long
    /// transaction and sends it to its end, or it is gone. The connection is closed.
    Disconnected,
    /// Told to stop before.
    Stopped,
}

/// Streams every transaction whose commit lies in `from..until`, and nothing after.
pub(super) async fn run_until(
    walsender: PgConnection,
    settings: StreamSettings,
    (from, until): (Lsn, Lsn),
    channels: Channels,
) -> Result<CaughtUp, SourceError> {
    let mut stream = Stream::begin(walsender, settings, from, channels).await?;
    stream.until = Some(until);
    let flow = stream.serve().await?;
    let parting = stream.farewell().await?;
    match (flow, parting) {
        (Flow::Reached, Parting::Answered) => Ok(CaughtUp::Connected(stream.walsender)),
        // Dropped, not closed: a server that sends and does not read would not hear it.
        (Flow::Reached, Parting::Unanswered) => Ok(CaughtUp::Disconnected),
        (Flow::Continue | Flow::End, _) => {
            stream.walsender.close().await;
            Ok(CaughtUp::Stopped)
        }
    }
}

/// Protocol version 1: versions 2, 3 and 4 add only streaming of transactions in progress, two
/// phases and parallel streams, and all three are off here.
///
/// Values as text: `binary` would hold for every column of the connection, the types whose text
/// form is all that we know of among them, and a type without a send function would end the
/// stream.
/// <https://www.postgresql.org/docs/current/protocol-logical-replication.html>
fn start_command(settings: &StreamSettings, from: Lsn) -> String {
    // A list of identifiers within a literal; here a backslash is an ordinary character.
    let publication = quote_ident(&settings.publication).replace('\'', "''");
    let messages = match settings.logical_messages && settings.server_version >= 140_000 {
        true => ", messages 'true'",
        false => "",
    };
    format!(
        "START_REPLICATION SLOT {} LOGICAL {from} (proto_version '1', \
         publication_names '{publication}'{messages})",
        quote_ident(&settings.slot)
    )
}

struct Stream {
    walsender: PgConnection,
    settings: StreamSettings,
    feedback: Feedback,
    out: RawSender,
    /// `None` when nobody can acknowledge any more.
    acks: Option<watch::Receiver<Option<SourceAck>>>,
    stop: CancellationToken,
    heard_at: Instant,
    /// Transactions that commit here or later are somebody else's.
    until: Option<Lsn>,
    /// Whether the last message that was read lies between a Begin and its Commit.
    in_transaction: bool,
    /// Told to stop: until when the end of the transaction is waited for.
    leaving: Option<Instant>,
}

/// What ended a wait.
enum Event {
    Stop,
    Due,
    Acknowledged(SourceAck),
    Read(CopyRead),
    Sent(Result<(), Closed>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    /// Told to stop, or nobody takes anything any more.
    End,
    /// `until` is reached.
    Reached,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Parting {
    Answered,
    Unanswered,
}

impl Stream {
    async fn begin(
        mut walsender: PgConnection,
        settings: StreamSettings,
        from: Lsn,
        channels: Channels,
    ) -> Result<Self, SourceError> {
        let command = start_command(&settings, from);
        walsender.start_copy("start the replication stream", &command).await?;
        tracing::info!(slot = settings.slot, %from, "streaming");
        let now = Instant::now();
        let mut feedback =
            Feedback::new(settings.status_interval, settings.wal_sender_timeout, now);
        // Tells the server at once that somebody is there, and asks how far its log is.
        feedback.want();
        let Channels { out, mut acks, stop } = channels;
        acks.mark_changed();
        let acks = Some(acks);
        Ok(Self {
            walsender,
            settings,
            feedback,
            out,
            acks,
            stop,
            heard_at: now,
            until: None,
            in_transaction: false,
            leaving: None,
        })
    }

    async fn serve(&mut self) -> Result<Flow, SourceError> {
        loop {
            match self.listen().await? {
                Event::Stop if self.may_leave() => return Ok(Flow::End),
                Event::Stop => {}
                Event::Due => self.on_due().await?,
                Event::Acknowledged(ack) => self.acknowledge(&ack)?,
                Event::Read(CopyRead::Frames(mut frames)) => {
                    self.heard_at = Instant::now();
                    if self.leaving.is_some() {
                        cut_behind_commit(&mut frames);
                    }
                    self.note(&frames);
                    let reached = self.until.is_some_and(|until| cut(&mut frames, until));
                    if self.hand_on(frames).await? == Flow::End
                        || (self.leaving.is_some() && !self.in_transaction)
                    {
                        return Ok(Flow::End);
                    }
                    if reached {
                        return Ok(Flow::Reached);
                    }
                    // Nobody listened meanwhile: the silence begins anew.
                    self.heard_at = Instant::now();
                }
                Event::Read(CopyRead::Done) => {
                    let endpoint = self.walsender.endpoint().to_owned();
                    return Err(SourceError::Closed { operation: "stream", endpoint });
                }
                Event::Sent(_) => {}
            }
        }
    }

    /// The wait with nothing in hand.
    async fn listen(&mut self) -> Result<Event, SourceError> {
        let due = self.feedback.due().min(self.heard_at + self.settings.silence_limit);
        Ok(tokio::select! {
            biased;
            // 1. Whatever is still in the socket comes again.
            () = told_to_stop(&self.stop, self.leaving) => Event::Stop,
            // 2. Being late makes the server hang up; it is due seldom, so it starves nobody.
            () = sleep_until(due.into()) => Event::Due,
            // 3. Goes with the next update; cheap.
            ack = next_ack(&mut self.acks) => Event::Acknowledged(ack),
            // 4. Last, because it is nearly always ready. Cancel-safe: bytes stay in the buffer.
            read = self.walsender.read_copy("stream") => Event::Read(read?),
        })
    }

    /// The wait with a batch in hand.
    async fn hand_on(&mut self, frames: CopyFrames) -> Result<Flow, SourceError> {
        let batch = RawBatch {
            stage: Stage::Stream,
            data: frames.data,
            messages: frames.payloads,
            read_at: self.heard_at,
            budget: None,
        };
        let out = self.out.clone();
        let mut sent = std::pin::pin!(out.send(batch));
        loop {
            let event = tokio::select! {
                biased;
                // 1. As above. A batch that is given up was never acknowledged and comes again.
                () = told_to_stop(&self.stop, self.leaving) => Event::Stop,
                // 2. As above; only updates, for silence means nothing while nobody listens.
                () = sleep_until(self.feedback.due().into()) => Event::Due,
                // 3. As above.
                ack = next_ack(&mut self.acks) => Event::Acknowledged(ack),
                // 4. Pinned outside of the loop, so it keeps its place in the queue.
                sent = &mut sent => Event::Sent(sent),
            };
            match event {
                Event::Sent(Err(Closed)) => return Ok(Flow::End),
                Event::Sent(Ok(())) => return Ok(Flow::Continue),
                Event::Stop if self.leaving.is_some() => return Ok(Flow::End),
                // With this batch in hand, there is always something to end.
                Event::Stop => self.leaving = Some(Instant::now() + LEAVE),
                Event::Due => self.send_status().await?,
                Event::Acknowledged(ack) => self.acknowledge(&ack)?,
                Event::Read(_) => {}
            }
        }
    }

    /// Nothing is in hand, and a stop was told or its time is over.
    fn may_leave(&mut self) -> bool {
        if !self.in_transaction || self.leaving.is_some() {
            return true;
        }
        self.leaving = Some(Instant::now() + LEAVE);
        false
    }

    async fn on_due(&mut self) -> Result<(), SourceError> {
        if self.heard_at.elapsed() >= self.settings.silence_limit {
            return Err(SourceError::Silent {
                endpoint: self.walsender.endpoint().to_owned(),
                limit_ms: self.settings.silence_limit.as_millis(),
            });
        }
        if Instant::now() >= self.feedback.due() {
            self.send_status().await?;
        }
        Ok(())
    }

    async fn send_status(&mut self) -> Result<(), SourceError> {
        let update = self.feedback.status(Instant::now(), SystemTime::now());
        self.walsender.send_copy_data(&update).await?;
        if self.feedback.is_confirmed() {
            failpoint::hit(failpoint::ACKNOWLEDGED);
        }
        Ok(())
    }

    fn acknowledge(&mut self, ack: &SourceAck) -> Result<(), SourceError> {
        match ack.position() {
            Position::Postgres(position) if position.system_id == self.settings.system_id => {
                self.feedback.confirm(position.lsn)
            }
            other @ (Position::Postgres(_)
            | Position::Mysql(_)
            | Position::Mariadb(_)
            | Position::Mongodb(_)) => Err(SourceError::ForeignPosition {
                position: Box::new(other.clone()),
                system_id: self.settings.system_id.clone(),
            }),
        }
    }

    /// How far we have read, and whether the server waits for a word.
    fn note(&mut self, frames: &CopyFrames) {
        for range in &frames.payloads {
            let payload = frames.data.get(range.start as usize..range.end as usize);
            match payload.and_then(header) {
                Some(Header::Log { start }) => {
                    self.feedback.receive(start);
                    match payload.and_then(message_kind) {
                        Some(BEGIN) => self.in_transaction = true,
                        Some(COMMIT) => self.in_transaction = false,
                        Some(_) | None => {}
                    }
                }
                Some(Header::Keepalive { end, wants_answer }) => {
                    self.feedback.receive(end);
                    if wants_answer {
                        self.feedback.want();
                    }
                }
                // The decoder refuses it, with its place.
                None => {}
            }
        }
    }

    /// Last acknowledgement, CopyDone, goodbye. Nothing in it can fail the run: what the server
    /// does not hear it does not forget, and that costs a replay at most.
    async fn farewell(&mut self) -> Result<Parting, SourceError> {
        let last = self.acks.as_mut().and_then(|acks| acks.borrow_and_update().clone());
        if let Some(ack) = last {
            self.acknowledge(&ack)?;
        }
        let goodbye = async {
            self.send_status().await?;
            self.walsender.send_copy_done().await?;
            while let CopyRead::Frames(_) = self.walsender.read_copy("end the stream").await? {}
            self.walsender.end_copy("end the stream").await
        };
        match timeout(FAREWELL, goodbye).await {
            Ok(Ok(_)) => return Ok(Parting::Answered),
            Ok(Err(error)) => tracing::debug!(%error, "the server did not say goodbye"),
            Err(_) => tracing::debug!("the server did not say goodbye in time"),
        }
        Ok(Parting::Unanswered)
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
async fn next_ack(acks: &mut Option<watch::Receiver<Option<SourceAck>>>) -> SourceAck {
    while let Some(receiver) = acks {
        if receiver.changed().await.is_err() {
            *acks = None;
            break;
        }
        let newest = receiver.borrow_and_update().clone();
        if let Some(ack) = newest {
            return ack;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::postgres::error::ServerError;

    fn settings() -> StreamSettings {
        StreamSettings {
            slot: "shop".into(),
            publication: "it's \"mine\"".into(),
            logical_messages: true,
            server_version: 150_018,
            system_id: "7".into(),
            status_interval: Duration::from_secs(10),
            wal_sender_timeout: Duration::from_secs(60),
            silence_limit: Duration::from_secs(60),
        }
    }

    #[test]
    fn the_stream_is_asked_for_at_the_checkpoint_and_with_what_the_server_knows() {
        assert_eq!(
            start_command(&settings(), Lsn(0x16_B374_D848)),
            "START_REPLICATION SLOT \"shop\" LOGICAL 16/B374D848 (proto_version '1', \
             publication_names '\"it''s \"\"mine\"\"\"', messages 'true')"
        );
        let old = StreamSettings { server_version: 130_024, ..settings() };
        assert!(!start_command(&old, Lsn(1)).contains("messages"));
        let quiet = StreamSettings { logical_messages: false, ..settings() };
        assert!(!start_command(&quiet, Lsn(1)).contains("messages"));
    }

    #[test]
    fn only_a_slot_that_is_still_held_is_waited_for() {
        let refused = |code: &str| {
            let source = Box::new(ServerError { code: code.to_owned(), ..ServerError::default() });
            is_held(&SourceError::Statement { operation: "start the replication stream", source })
        };
        assert!(refused("55006"));
        // The slot is gone, the slot is of no use, somebody else's trouble.
        assert!(!refused("42704") && !refused("55000") && !refused("57P03"));
        assert!(!is_held(&SourceError::Closed { operation: "stream", endpoint: "h:1".into() }));
    }
}
