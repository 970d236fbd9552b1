//! The first read of every collection.
//!
//! ```text
//!  T = now ─▶ stream opened at T + 1 tick: its token is where the stream will begin
//!          ─▶ readers, each in a session of its own that reads as of T
//! ```
//!
//! A server of 5.0 or newer reads as of a moment of the past, so all readers see one state of the
//! whole deployment, and the stream begins with the first event that is not in it: nothing comes
//! twice and no document goes back. It keeps that past for a while only
//! (`minSnapshotHistoryWindowInSeconds`, 300 by default). When it has given up T, what is not yet
//! read is read as it is by then; older servers, and capped collections of all of them, are read so
//! from the beginning. Such a document may be newer than the stream's first events of it, which
//! follow it and end with its present state.
//!
//! Documents are read with read concern `majority` at least: what a rollback could undo is never
//! seen. Nor is a state before T, which a majority may not have reached yet when the stream begins
//! behind it: the server is asked to wait for it (`afterClusterTime`). Large collections are read in ranges of `_id`, whose bounds are places in the index on it
//! (`min` and `max` of `find`) and no comparisons: those see one BSON type only, and documents with
//! an `_id` of another would be missed.
//!
//! Of a sharded cluster, what is read without a moment is read from primaries, whatever
//! `readPreference` says: a primary keeps documents that moved to another shard until reads that
//! began before have ended, a secondary deletes them under a read that takes longer than
//! `orphanCleanupDelaySecs`. Reads as of a moment have the documents of that moment everywhere.
//! <https://www.mongodb.com/docs/manual/core/long-running-secondary-reads/>
//!
//! A cursor that is lost ends the snapshot, and the next run begins another one.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_core::Stream;
use mongodb::bson::{Document, Timestamp, doc};
use mongodb::options::{Hint, ReadConcern, ReadPreference, SelectionCriteria};
use mongodb::raw_batch_cursor::RawBatch as DriverBatch;
use tokio::task::JoinSet;

use super::deployment::Deployment;
use super::error::SourceError;
use super::parts::{Part, Plan, READ_MAX};
use super::reply::{self, Pieces, Room};
use crate::sources::progress::{Counts, Expected, Reporter};
use crate::sources::readers::{Outcome, Queue, send_end, wait_for_all};
use crate::sources::{Closed, RawBatch, RawSender, Stage};

const READ: &str = "read a collection for the snapshot";

/// `SnapshotTooOld`, for all collections; `SnapshotUnavailable` of one that was altered since, and
/// `InvalidOptions` of one that has no past.
const NO_PAST: [i32; 3] = [TOO_OLD, 246, 72];
const TOO_OLD: i32 = 239;

/// The state that is read: everything up to a time, and where there is no other way newer changes
/// too.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub(super) time: Timestamp,
    /// Whether the server can read as of it.
    pub(super) has_past: bool,
    /// Whether documents move between shards.
    pub(super) is_sharded: bool,
}

/// What all readers share.
struct Work {
    deployment: Deployment,
    plan: Plan,
    queue: Queue<Part>,
    /// Parts of each collection that are not yet read.
    left: Vec<AtomicUsize>,
    moment: Moment,
    given_up: AtomicBool,
    counts: Counts,
    out: RawSender,
}

impl Work {
    /// The moment to read a collection at.
    fn moment(&self, number: u32) -> Option<Timestamp> {
        let capped = self.plan.collection(number).is_none_or(|collection| collection.listed.capped);
        let kept = self.moment.has_past && !capped && !self.given_up.load(Ordering::Relaxed);
        kept.then_some(self.moment.time)
    }
}

/// Reads every collection and hands on its documents, then that it is complete, at last that all
/// are. Dropping the future ends the readers.
pub(super) async fn run(
    deployment: Deployment,
    plan: Plan,
    moment: Moment,
    out: RawSender,
) -> Result<Outcome, SourceError> {
    let rows = plan.expected_documents();
    let reporter = Reporter::new(Expected { rows, tables: plan.collections.len() });
    let queue = Queue::new(plan.parts.clone());
    let left = plan.parts_left().into_iter().map(AtomicUsize::new).collect();
    let (given_up, counts) = (AtomicBool::new(false), Counts::default());
    let n_readers = plan.n_readers;
    let work = Arc::new(Work { deployment, plan, queue, left, moment, given_up, counts, out });
    let mut running = JoinSet::new();
    for _ in 0..n_readers {
        running.spawn(read_parts(Arc::clone(&work)));
    }
    let lost = |detail| SourceError::ReaderLost { detail };
    wait_for_all(running, (reporter, &work.counts), &work.out, lost).await
}

async fn read_parts(work: Arc<Work>) -> Result<Outcome, SourceError> {
    while let Some(part) = work.queue.next() {
        let number = part.number;
        let at = work.moment(number);
        let outcome = match read_part(&work, &part, at).await {
            Err(error) if at.is_some() && error.has_code(&NO_PAST) => {
                give_up_the_past(&work, &error);
                read_part(&work, &part, None).await
            }
            outcome => outcome,
        };
        if outcome? == Outcome::Closed {
            return Ok(Outcome::Closed);
        }
        let left = work.left.get(number as usize);
        if left.is_some_and(|left| left.fetch_sub(1, Ordering::AcqRel) == 1)
            && end_collection(&work, number).await == Outcome::Closed
        {
            return Ok(Outcome::Closed);
        }
    }
    Ok(Outcome::Complete)
}

/// What was read of the part comes again: each document once more, as it is now.
fn give_up_the_past(work: &Work, error: &SourceError) {
    let too_old = error.has_code(&[TOO_OLD]);
    if too_old && work.given_up.swap(true, Ordering::Relaxed) {
        return;
    }
    let what = if too_old { "what is left" } else { "this collection" };
    tracing::warn!(
        error = error.server().map(ToString::to_string),
        "the server does not have the snapshot's moment (minSnapshotHistoryWindowInSeconds, or the \
         collection was altered since): {what} is read as it is now, and the changes since follow it"
    );
}

async fn end_collection(work: &Work, number: u32) -> Outcome {
    if let Some(collection) = work.plan.collection(number) {
        tracing::info!(collection = %collection.listed.namespace, "collection read");
    }
    work.counts.add_table();
    send_end(&work.out, Stage::SnapshotTableEnd { table: number }).await
}

async fn read_part(
    work: &Work,
    part: &Part,
    at: Option<Timestamp>,
) -> Result<Outcome, SourceError> {
    let Some(collection) = work.plan.collection(part.number) else { return Ok(Outcome::Complete) };
    let failed = |error: &mongodb::error::Error| work.deployment.failed(READ, error);
    let namespace = &collection.listed.namespace;
    let handle = work.deployment.client.database(&namespace.database);
    let handle = handle.collection::<Document>(&namespace.collection);
    let mut find = handle.find(doc! {}).batch_size(collection.batch_size).max_time(READ_MAX);
    if part.is_range() {
        find = find.hint(Hint::Keys(doc! { "_id": 1 }));
    }
    if let Some(from) = &part.from {
        find = find.min(doc! { "_id": from.clone() });
    }
    if let Some(to) = &part.to {
        find = find.max(doc! { "_id": to.clone() });
    }
    let session = work.deployment.client.start_session();
    let session = match at {
        Some(at) => session.snapshot(true).snapshot_time(at).await,
        None => session.causal_consistency(true).await,
    };
    let mut session = session.map_err(|error| failed(&error))?;
    // The driver asks with this for a state that is no older, and a snapshot takes nothing beside
    // its own time.
    if at.is_none() {
        session.advance_operation_time(work.moment.time);
        find = find.read_concern(ReadConcern::majority());
        if work.moment.is_sharded {
            find =
                find.selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        }
    }
    // The answer brings the first documents.
    let room = work.deployment.replies.room().await;
    let cursor = find.session(&mut session).batch().await;
    let mut cursor = cursor.map_err(|error| failed(&error))?;
    pump(work, part.number, (&mut cursor.stream(&mut session), room)).await
}

/// Hands on what a cursor brings; the next reply is asked for while the last one is handed on.
async fn pump(
    work: &Work,
    number: u32,
    (cursor, room): (&mut (impl Stream<Item = mongodb::error::Result<DriverBatch>> + Unpin), Room),
) -> Result<Outcome, SourceError> {
    let stage = Stage::Snapshot { table: number };
    let mut room = Some(room);
    let mut in_hand: Vec<RawBatch> = Vec::new();
    loop {
        let first_room = room.take();
        let next = async {
            let room = match first_room {
                Some(room) => room,
                None => work.deployment.replies.room().await,
            };
            let reply = poll_fn(|context| Pin::new(&mut *cursor).poll_next(context)).await;
            reply.map(|reply| reply.map(|reply| (reply, room)))
        };
        let (sent, next) = tokio::join!(hand_on(&work.out, std::mem::take(&mut in_hand)), next);
        if let Err(Closed) = sent {
            return Ok(Outcome::Closed);
        }
        match next {
            None => return Ok(Outcome::Complete),
            Some(Err(error)) => return Err(work.deployment.failed(READ, &error)),
            Some(Ok(reply)) => {
                let pieces = reply::pieces(reply, stage, &work.deployment.servers, READ)?;
                let Pieces { batches, n_documents, n_bytes, .. } = pieces;
                work.counts.add(n_documents, n_bytes);
                in_hand = batches;
            }
        }
    }
}

async fn hand_on(out: &RawSender, batches: Vec<RawBatch>) -> Result<(), Closed> {
    for batch in batches {
        out.send(batch).await?;
    }
    Ok(())
}
