//! Encoded records on their way to a sink: one arena of bytes, the bounds of each record in it,
//! and the boundaries at which a position is complete.
//!
//! A batch is the unit of durability: a sink reports whole batches, in order. Batches are small
//! (about a megabyte, and a row that is larger), so that costs little and saves a ledger per
//! record.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::budget::Share;
use crate::change::Progress;

/// Batches whose memory is kept for further ones, and the largest arena that is worth keeping.
const SPARES_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 1 << 20;

/// Index into [`Topics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub u32);

/// What a topic is for: sinks create and verify topics by it, and metrics count by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRole {
    Data,
    /// Schema changes, heartbeats, transactions, logical messages.
    Auxiliary,
    DeadLetter,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: Arc<str>,
    pub role: TopicRole,
}

/// Every topic that this process has named so far. Shared between the encoder, which adds, and the
/// sink, which looks up once per topic; never locked per row.
#[derive(Debug, Default)]
pub struct Topics {
    topics: std::sync::RwLock<Vec<Topic>>,
}

impl Topics {
    /// The id of a topic, the same for the same name.
    pub fn intern(&self, name: &str, role: TopicRole) -> TopicId {
        let mut topics = self.topics.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found = topics.iter().position(|t| &*t.name == name);
        let index = found.unwrap_or_else(|| {
            topics.push(Topic { name: Arc::from(name), role });
            topics.len() - 1
        });
        TopicId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// The topic behind an id that [`Self::intern`] gave.
    #[must_use]
    pub fn get(&self, id: TopicId) -> Topic {
        let topics = self.topics.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        topics[id.0 as usize].clone()
    }
}

/// One record: ranges into the arena of its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub topic: TopicId,
    /// `None`: a record without key.
    pub key: Option<Range<u32>>,
    /// `None`: a tombstone.
    pub value: Option<Range<u32>>,
    /// Range into [`RecordBatch::headers`].
    pub headers: Range<u32>,
}

/// A header; name and value are ranges into the arena. A `None` value is a null header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: Range<u32>,
    pub value: Option<Range<u32>>,
}

/// After the first `records` records of the batch, `progress` is complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Boundary {
    pub records: usize,
    pub progress: Progress,
}

/// Records in the order of the log, ready for a sink.
#[derive(Debug, Default)]
pub struct RecordBatch {
    /// 0, 1, 2, … without gaps within one run of the pipeline.
    pub sequence: u64,
    pub data: Vec<u8>,
    pub records: Vec<Record>,
    pub headers: Vec<Header>,
    pub boundaries: Vec<Boundary>,
    /// When the oldest bytes of the batch were read from the source.
    pub read_at: Option<std::time::Instant>,
    /// Records that the sink set aside, for metrics.
    pub n_dead_letters: u64,
    /// Bytes of the memory budget that this batch holds until it is dropped.
    pub budget: Option<Share>,
    /// Where the memory of this batch goes back to.
    pub home: Option<Home>,
}

impl RecordBatch {
    /// Ends a batch that is done with: its memory goes back to where it was made.
    pub fn recycle(mut self) {
        let Some(Home(home)) = self.home.take() else { return };
        if self.data.capacity() <= SPARE_BYTES_MAX {
            self.data.clear();
            self.records.clear();
            self.headers.clear();
            let Self { data, records, headers, .. } = self;
            // Nobody there, or enough spares: then it is freed.
            home.try_send(Memory { data, records, headers }).ok();
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.boundaries.is_empty()
    }

    #[must_use]
    pub fn bytes(&self, range: &Range<u32>) -> &[u8] {
        &self.data[range.start as usize..range.end as usize]
    }

    #[must_use]
    pub fn key(&self, record: &Record) -> Option<&[u8]> {
        record.key.as_ref().map(|range| self.bytes(range))
    }

    #[must_use]
    pub fn value(&self, record: &Record) -> Option<&[u8]> {
        record.value.as_ref().map(|range| self.bytes(range))
    }

    /// Name and value of each header of a record.
    pub fn headers<'a>(
        &'a self,
        record: &'a Record,
    ) -> impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)> + 'a {
        self.headers[record.headers.start as usize..record.headers.end as usize]
            .iter()
            .map(|h| (self.bytes(&h.name), h.value.as_ref().map(|range| self.bytes(range))))
    }
}

/// What a batch is written to.
#[derive(Debug, Default)]
struct Memory {
    data: Vec<u8>,
    records: Vec<Record>,
    headers: Vec<Header>,
}

/// The way back to the [`Batches`] that made a batch.
#[derive(Clone, Debug)]
pub struct Home(mpsc::Sender<Memory>);

/// Makes batches from the memory of those that are done with: pages that are fresh from the kernel
/// cost more than the rows that are written to them.
#[derive(Debug)]
pub struct Batches {
    home: mpsc::Sender<Memory>,
    spares: mpsc::Receiver<Memory>,
}

impl Default for Batches {
    fn default() -> Self {
        let (home, spares) = mpsc::channel(SPARES_MAX);
        Self { home, spares }
    }
}

impl Batches {
    /// An empty batch with room for about as much.
    pub fn make(&mut self, n_bytes: usize, n_records: usize) -> RecordBatch {
        let Memory { mut data, mut records, headers } = self.spares.try_recv().unwrap_or_default();
        data.reserve(n_bytes);
        records.reserve(n_records);
        let home = Some(Home(self.home.clone()));
        RecordBatch { data, records, headers, home, ..RecordBatch::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_made_from_the_memory_of_one_that_is_done_with() {
        let mut batches = Batches::default();
        let mut first = batches.make(1000, 10);
        first.data.extend_from_slice(b"row");
        let memory = first.data.as_ptr();
        first.recycle();
        let second = batches.make(10, 1);
        assert!(second.data.is_empty() && second.data.as_ptr() == memory);
        assert_ne!(batches.make(10, 1).data.as_ptr(), memory);
    }

    #[test]
    fn the_memory_of_a_giant_is_not_kept() {
        let mut batches = Batches::default();
        batches.make(SPARE_BYTES_MAX + 1, 1).recycle();
        assert_eq!(batches.make(0, 0).data.capacity(), 0);
    }
}
