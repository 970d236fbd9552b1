//! A server's reply to `aggregate`, `find` or `getMore`, in pieces that the decoder can take.
//!
//! ```text
//! { cursor: { nextBatch: [ {event}, {event}, … ], postBatchResumeToken: {token}, id, ns }, ok, … }
//! ```
//!
//! The bytes stay as they came. A reply may be 16 MB and have tens of thousands of events, far more
//! than a batch's records should weigh, so it leaves in slices of one buffer, each with the bounds
//! of its documents. The token of the batch's end is the last message of the last slice.
//!
//! The memory budget counts what a slice becomes. The reply itself stays until the last of its
//! slices is decoded, however many readers there are, and has a bound of its own: `Replies`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use mongodb::bson::{RawBsonRef, RawDocument};
use mongodb::raw_batch_cursor::RawBatch as DriverBatch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::SourceError;
use crate::sources::{RawBatch, Stage};

/// A slice ends with the document that reaches this.
const SLICE_BYTES: usize = 1 << 20;

/// A document has 16 MB at most, and a batch ends with the one that reaches this.
/// <https://www.mongodb.com/docs/manual/reference/limits/#bson-documents>
const REPLY_BYTES_MAX: u32 = 16 << 20;
/// One that is worked on, and one that is asked for meanwhile.
const REPLIES: u32 = 2;

/// Room for the replies of all readers together. It is not taken off the memory budget, which may
/// be smaller than one of them, and whose share of one would wait for that of another.
#[derive(Clone, Debug)]
pub(super) struct Replies(Arc<Semaphore>);

impl Default for Replies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new((REPLIES * REPLY_BYTES_MAX) as usize)))
    }
}

impl Replies {
    /// Before a reply is asked for: waits until the largest one would fit. Cancel-safe.
    pub(super) async fn room(&self) -> Room {
        // Nobody closes it.
        Room(Arc::clone(&self.0).acquire_many_owned(REPLY_BYTES_MAX).await.ok())
    }
}

/// Held from a question until the last slice of its answer is dropped.
#[derive(Debug)]
pub(super) struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// Gives back what a reply of so many bytes does not need.
    fn settle(&mut self, n_bytes: usize) {
        if let Some(held) = &mut self.0 {
            drop(held.split(held.num_permits().saturating_sub(n_bytes)));
        }
    }
}

/// What a reply holds.
#[derive(Debug)]
pub struct Pieces {
    pub batches: Vec<RawBatch>,
    /// Documents, without the token.
    pub n_documents: usize,
    pub n_bytes: usize,
    /// The token of the batch's end, of change streams only.
    pub token: Option<Bytes>,
    /// Whether the server has closed the cursor.
    pub is_last: bool,
}

/// Takes a reply of the driver apart, without copying it.
pub(super) fn pieces(
    (reply, room): (DriverBatch, Room),
    stage: Stage,
    servers: &str,
    operation: &'static str,
) -> Result<Pieces, SourceError> {
    struct Reply(DriverBatch);
    impl AsRef<[u8]> for Reply {
        fn as_ref(&self) -> &[u8] {
            self.0.as_raw_document().as_bytes()
        }
    }
    cut(&in_room(Reply(reply), room), stage).map_err(|detail| SourceError::Reply {
        operation,
        servers: servers.to_owned(),
        detail: detail.to_string(),
    })
}

/// Bytes that take their room along.
fn in_room(reply: impl AsRef<[u8]> + Send + 'static, mut room: Room) -> Bytes {
    struct InRoom<T>(T, #[expect(dead_code, reason = "held, and given back when dropped")] Room);
    impl<T: AsRef<[u8]>> AsRef<[u8]> for InRoom<T> {
        fn as_ref(&self) -> &[u8] {
            self.0.as_ref()
        }
    }
    room.settle(reply.as_ref().len());
    Bytes::from_owner(InRoom(reply, room))
}

/// What made no sense.
type Detail = Box<dyn std::error::Error + Send + Sync>;

fn cut(data: &Bytes, stage: Stage) -> Result<Pieces, Detail> {
    let reply = RawDocument::from_bytes(data)?;
    let cursor = reply.get_document("cursor")?;
    let batch = match cursor.get("nextBatch")? {
        Some(batch) => Some(batch),
        None => cursor.get("firstBatch")?,
    };
    let batch = batch.and_then(RawBsonRef::as_array).ok_or("there is no batch in it")?;
    let token = match cursor.get("postBatchResumeToken")? {
        Some(token) => token.as_document().map(RawDocument::as_bytes),
        None => None,
    };
    let mut slices = Slices { data, stage, done: Vec::new(), open: Vec::new() };
    let mut n_documents = 0;
    for element in batch {
        let document = element?.as_document().ok_or("a batch holds something but documents")?;
        slices.push(place(data, document.as_bytes())?);
        n_documents += 1;
    }
    let token = token.map(|token| Ok::<_, Detail>(data.slice(place(data, token)?))).transpose()?;
    let batches = slices.end(token.as_ref())?;
    let is_last = cursor.get_i64("id")? == 0;
    Ok(Pieces { batches, n_documents, n_bytes: data.len(), token, is_last })
}

/// Where a part of `data` is in it.
fn place(data: &[u8], part: &[u8]) -> Result<Range<usize>, Detail> {
    let start = part.as_ptr().addr().checked_sub(data.as_ptr().addr());
    let start = start.filter(|start| start.saturating_add(part.len()) <= data.len());
    let start = start.ok_or("a document lies outside of it")?;
    Ok(start..start + part.len())
}

struct Slices<'a> {
    data: &'a Bytes,
    stage: Stage,
    done: Vec<RawBatch>,
    /// Documents of the slice that is being filled, one behind the other.
    open: Vec<Range<usize>>,
}

impl Slices<'_> {
    fn push(&mut self, document: Range<usize>) {
        self.open.push(document);
        if self.open_bytes() >= SLICE_BYTES {
            self.close();
        }
    }

    fn open_bytes(&self) -> usize {
        match (self.open.first(), self.open.last()) {
            (Some(first), Some(last)) => last.end - first.start,
            (None, _) | (_, None) => 0,
        }
    }

    fn close(&mut self) {
        let (Some(first), Some(last)) = (self.open.first(), self.open.last()) else { return };
        let (base, end) = (first.start, last.end);
        let within = |at: usize| u32::try_from(at - base).unwrap_or(u32::MAX);
        let messages = self.open.iter().map(|range| within(range.start)..within(range.end));
        self.done.push(RawBatch {
            stage: self.stage,
            data: self.data.slice(base..end),
            messages: messages.collect(),
            read_at: Instant::now(),
            budget: None,
        });
        self.open.clear();
    }

    /// With the token as the last message, in the last slice where it lies close behind it.
    fn end(mut self, token: Option<&Bytes>) -> Result<Vec<RawBatch>, Detail> {
        if let Some(token) = token {
            let token = place(self.data, token)?;
            let fits = self
                .open
                .last()
                .is_none_or(|last| last.end <= token.start && token.start - last.end < SLICE_BYTES);
            if !fits {
                self.close();
            }
            self.open.push(token);
        }
        self.close();
        Ok(self.done)
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, doc};

    use super::*;

    fn bytes(document: &Document) -> Bytes {
        Bytes::from(document.to_vec().unwrap())
    }

    fn messages(pieces: &Pieces) -> Vec<Vec<Document>> {
        let of_batch = |batch: &RawBatch| {
            let each = batch.messages.iter().map(|range| {
                let raw = &batch.data[range.start as usize..range.end as usize];
                Document::from_reader(raw).unwrap()
            });
            each.collect::<Vec<_>>()
        };
        pieces.batches.iter().map(of_batch).collect()
    }

    #[test]
    fn events_leave_as_they_came_and_the_token_last() {
        let (a, b, token) = (doc! { "_id": 1 }, doc! { "_id": 2 }, doc! { "_data": "82" });
        let reply = bytes(&doc! {
            "cursor": {
                "nextBatch": [a.clone(), b.clone()],
                "postBatchResumeToken": token.clone(),
                "id": 7_i64,
                "ns": "shop.$cmd.aggregate",
            },
            "ok": 1.0,
        });
        let pieces = cut(&reply, Stage::Stream).unwrap();
        assert_eq!(messages(&pieces), [vec![a, b, token.clone()]]);
        assert_eq!((pieces.n_documents, pieces.is_last), (2, false));
        assert_eq!(pieces.token.as_deref(), Some(token.to_vec().unwrap().as_slice()));
        let batch = pieces.batches.first().unwrap();
        assert!(reply.as_ptr().addr() < batch.data.as_ptr().addr(), "not a copy");
    }

    #[test]
    fn an_empty_batch_has_its_token_all_the_same() {
        let token = doc! { "_data": "82" };
        let cursor = doc! { "firstBatch": [], "postBatchResumeToken": &token, "id": 7_i64 };
        let pieces = cut(&bytes(&doc! { "cursor": cursor }), Stage::Stream).unwrap();
        assert_eq!(messages(&pieces), [vec![token]]);
    }

    #[test]
    fn a_token_before_the_batch_is_still_its_end() {
        let (event, token) = (doc! { "_id": 1 }, doc! { "_data": "82" });
        let cursor = doc! { "postBatchResumeToken": &token, "nextBatch": [&event], "id": 0_i64 };
        let pieces = cut(&bytes(&doc! { "cursor": cursor }), Stage::Stream).unwrap();
        assert_eq!(messages(&pieces), [vec![event], vec![token]]);
        assert!(pieces.is_last);
    }

    #[test]
    fn a_snapshot_has_no_token_and_large_replies_are_cut() {
        let document = doc! { "_id": 1, "text": "x".repeat(400_000) };
        let all = vec![document.clone(); 7];
        let reply = doc! { "cursor": { "firstBatch": all, "id": 0_i64 } };
        let stage = Stage::Snapshot { table: 3 };
        let pieces = cut(&bytes(&reply), stage).unwrap();
        let sizes: Vec<usize> = pieces.batches.iter().map(|batch| batch.messages.len()).collect();
        assert_eq!((sizes.as_slice(), pieces.n_documents), (&[3, 3, 1][..], 7));
        assert!(messages(&pieces).concat().iter().all(|one| *one == document));
        assert!(pieces.batches.iter().all(|batch| batch.stage == stage));
        assert_eq!(pieces.token, None);
        let empty = cut(&bytes(&doc! { "cursor": { "firstBatch": [], "id": 0_i64 } }), stage);
        assert!(empty.unwrap().batches.is_empty());
    }

    /// Each of several readers had two replies of 16 MB, outside of every bound.
    #[tokio::test]
    async fn replies_have_room_until_their_last_slice_is_dropped() {
        let replies = Replies::default();
        let free = || replies.0.available_permits();
        let all = free();
        let document = doc! { "_id": 1, "text": "x".repeat(600_000) };
        let reply = bytes(&doc! {
            "cursor": { "firstBatch": vec![document; 4], "id": 0_i64 },
        });
        let n_bytes = reply.len();
        let room = replies.room().await;
        assert_eq!(free(), all - REPLY_BYTES_MAX as usize);
        let mut pieces = cut(&in_room(reply, room), Stage::Snapshot { table: 1 }).unwrap();
        assert_eq!(free(), all - n_bytes);
        let asked = replies.room().await;
        let next = tokio::time::timeout(std::time::Duration::from_millis(20), replies.room());
        assert!(next.await.is_err(), "a third one waits");
        assert_eq!(pieces.batches.len(), 2);
        pieces.batches.pop();
        assert_eq!(free(), all - n_bytes - REPLY_BYTES_MAX as usize);
        pieces.batches.pop();
        assert_eq!(free(), all - REPLY_BYTES_MAX as usize);
        drop((replies.room().await, asked));
        assert_eq!(free(), all);
    }

    /// What a 4.4 server really sent, message by message.
    #[test]
    fn recorded_replies_come_apart() {
        use crate::offsets::position::ResumeToken;
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mongodb/wire");
        let (mut n_replies, mut n_tokens, mut n_documents) = (0, 0, 0);
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
            for line in lines.filter(|line: &serde_json::Value| line["from"] == "server") {
                let hex = line["hex"].as_str().unwrap_or_default().as_bytes();
                let digit = |c: u8| u8::try_from(char::from(c).to_digit(16).unwrap()).unwrap();
                let message: Vec<u8> =
                    hex.chunks_exact(2).map(|two| digit(two[0]) << 4 | digit(two[1])).collect();
                // Header and flags, then one section of kind 0; long ones are cut.
                let document = message.get(21..).unwrap_or_default();
                let whole = document.len() >= 4
                    && document[..4] == u32::try_from(document.len()).unwrap().to_le_bytes();
                let reply = whole.then(|| Document::from_reader(document).unwrap());
                let Some(Ok(cursor)) = reply.as_ref().map(|reply| reply.get_document("cursor"))
                else {
                    continue;
                };
                let pieces = cut(&Bytes::copy_from_slice(document), Stage::Stream).unwrap();
                let batch = cursor.get_array("nextBatch").or(cursor.get_array("firstBatch"));
                assert_eq!(pieces.n_documents, batch.unwrap().len());
                assert_eq!(pieces.is_last, cursor.get_i64("id").unwrap() == 0);
                let token = cursor.get_document("postBatchResumeToken").ok();
                let found = pieces.token.map(|token| ResumeToken::from_bson(&token).unwrap());
                let data = token.map(|token| token.get_str("_data").unwrap());
                assert_eq!(found.as_ref().and_then(ResumeToken::data), data);
                n_replies += 1;
                n_documents += pieces.n_documents;
                n_tokens += usize::from(found.is_some());
            }
        }
        println!("recorded replies: {n_replies}, {n_documents} documents, {n_tokens} tokens");
        assert!(n_replies >= 85 && n_tokens >= 80, "{n_replies} {n_tokens}");
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for reply in [
            doc! {},
            doc! { "cursor": 1 },
            doc! { "cursor": { "id": 1_i64 } },
            doc! { "cursor": { "nextBatch": [1], "id": 1_i64 } },
            doc! { "cursor": { "nextBatch": [] } },
        ] {
            assert!(cut(&bytes(&reply), Stage::Stream).is_err(), "{reply}");
        }
        assert!(cut(&Bytes::from_static(b"\x05\0\0\0"), Stage::Stream).is_err());
    }
}
