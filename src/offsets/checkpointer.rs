//! Receipts in, checkpoints out, and the one place where a [`SourceAck`] is made.
//!
//! Nothing here decides *when*: the pipeline calls [`Checkpointer::save`] by its clock. What is
//! decided here is *what*: the furthest boundary that a contiguous run of receipts has completed,
//! never anything behind a batch that is still under way.

use std::collections::BTreeMap;

use crate::change::Progress;
use crate::failpoint;
use crate::offsets::position::Position;
use crate::offsets::{Checkpoint, OffsetError, OffsetStore, SnapshotState};
use crate::schema::history::SchemaHistory;
use crate::sinks::Receipt;

/// Leave for a source to tell its database that everything up to a position may be forgotten.
/// Made here and nowhere else, after the checkpoint with that position became durable.
#[must_use = "an acknowledgement is meant to be sent"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAck {
    position: Position,
}

impl SourceAck {
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }
}

/// Holds the last durable checkpoint and what has become durable in the sink since.
pub struct Checkpointer {
    store: Box<dyn OffsetStore>,
    durable: Checkpoint,
    /// What the next checkpoint will say, because the sink has it.
    pending: Option<Progress>,
    snapshot: SnapshotState,
    /// Whether what is durable of schemas is ahead of the position, and stays until news of it.
    ahead: bool,
    next_sequence: u64,
}

impl Checkpointer {
    /// Makes `first` durable (unless it is what was loaded) before the first batch is read.
    ///
    /// # Errors
    /// When the store cannot keep it.
    pub async fn begin(
        mut store: Box<dyn OffsetStore>,
        loaded: Option<&Checkpoint>,
        mut first: Checkpoint,
    ) -> Result<Self, OffsetError> {
        if loaded != Some(&first) {
            first.counter = loaded.map_or(0, |l| l.counter) + 1;
            store.save(&first).await?;
        }
        let snapshot = first.snapshot;
        Ok(Self { store, durable: first, pending: None, snapshot, ahead: false, next_sequence: 0 })
    }

    /// Takes the receipt of the next batch.
    ///
    /// # Panics
    /// When a sink breaks its contract and reports batches out of order: going on would lose rows.
    pub fn deliver(&mut self, receipt: Receipt) {
        assert_eq!(receipt.sequence(), self.next_sequence, "receipts leave in order, without gaps");
        self.next_sequence += 1;
        if receipt.snapshot_complete() && self.snapshot.is_unfinished() {
            self.snapshot = SnapshotState::Complete;
        }
        if let Some(progress) = receipt.into_progress() {
            self.pending = Some(progress);
        }
    }

    /// Whether there is progress that is not yet durable.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.pending.as_ref().is_some_and(|p| {
            *p.position() != self.durable.position || self.snapshot != self.durable.snapshot
        })
    }

    /// The last checkpoint that is durable.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.durable
    }

    /// Writes the furthest completed position; afterwards, and only then, the source may know.
    ///
    /// # Errors
    /// When the store fails, or the position would move back. The outcome of a failed write is
    /// unknown: drop this checkpointer and load again.
    pub async fn save(
        &mut self,
        partitions: &BTreeMap<String, u32>,
    ) -> Result<Option<SourceAck>, OffsetError> {
        let Some(progress) = self.pending.take() else { return Ok(None) };
        let position = progress.position().clone();
        if !self.durable.position.may_advance_to(&position) {
            let (from, to) = (self.durable.position.to_string(), position.to_string());
            return Err(OffsetError::Backwards { from, to });
        }
        let mut next = self.durable.clone();
        next.position = position;
        if !self.ahead {
            next.schemas = progress.schemas().clone();
        }
        next.snapshot = self.snapshot;
        next.counter += 1;
        next.partitions.extend(partitions.iter().map(|(topic, n)| (topic.clone(), *n)));
        next.written_by = env!("CARGO_PKG_VERSION").to_owned();
        self.store.save(&next).await?;
        failpoint::hit(failpoint::CHECKPOINTED);
        self.durable = next;
        Ok(Some(SourceAck { position: self.durable.position.clone() }))
    }

    /// Writes what tables look like, ahead of the position: no row that shows it has left. From here
    /// on the histories of positions are older, and count no more.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub async fn keep(&mut self, schemas: SchemaHistory) -> Result<(), OffsetError> {
        let mut next = Checkpoint { schemas, ..self.durable.clone() };
        next.counter += 1;
        next.written_by = env!("CARGO_PKG_VERSION").to_owned();
        self.store.save(&next).await?;
        failpoint::hit(failpoint::KEPT);
        self.durable = next;
        self.ahead = true;
        Ok(())
    }

    /// Gives the store back, with its lock, for the next run.
    #[must_use]
    pub fn into_store(self) -> Box<dyn OffsetStore> {
        self.store
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::offsets::position::{Lsn, PostgresPosition};
    use crate::offsets::{SourceIdentity, StoreFuture};
    use crate::record::{Boundary, RecordBatch};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<Checkpoint>>>);

    impl OffsetStore for Memory {
        fn load(&mut self) -> StoreFuture<'_, Option<Checkpoint>> {
            let last = self.0.lock().unwrap().last().cloned();
            Box::pin(async move { Ok(last) })
        }
        fn save<'a>(&'a mut self, checkpoint: &'a Checkpoint) -> StoreFuture<'a, ()> {
            self.0.lock().unwrap().push(checkpoint.clone());
            Box::pin(async { Ok(()) })
        }
        fn reset(&mut self) -> StoreFuture<'_, ()> {
            Box::pin(async { Ok(()) })
        }
        fn location(&self) -> String {
            "memory".to_owned()
        }
    }

    fn position(lsn: u64) -> Position {
        Position::Postgres(PostgresPosition {
            system_id: "7".to_owned(),
            timeline: 1,
            lsn: Lsn(lsn),
        })
    }

    fn first(snapshot: SnapshotState) -> Checkpoint {
        Checkpoint {
            pipeline: "shop".to_owned(),
            identity: SourceIdentity::Postgres {
                system_id: "7".to_owned(),
                database_oid: 1,
                database: "shop".to_owned(),
                slot: "shop".to_owned(),
            },
            snapshot,
            position: position(100),
            schemas: SchemaHistory::default(),
            partitions: BTreeMap::new(),
            counter: 0,
            written_by: String::new(),
        }
    }

    fn receipt(sequence: u64, progress: &[Progress]) -> Receipt {
        let boundaries =
            progress.iter().map(|p| Boundary { records: 0, progress: p.clone() }).collect();
        Receipt::for_tests(RecordBatch { sequence, boundaries, ..RecordBatch::default() })
    }

    fn stream(lsn: u64) -> Progress {
        Progress::Stream(position(lsn), SchemaHistory::default())
    }

    async fn begin(snapshot: SnapshotState) -> (Checkpointer, Memory) {
        let memory = Memory::default();
        let made = Checkpointer::begin(Box::new(memory.clone()), None, first(snapshot)).await;
        (made.unwrap(), memory)
    }

    #[tokio::test]
    async fn an_acknowledgement_carries_only_what_was_saved() {
        let (mut checkpointer, memory) = begin(SnapshotState::Skipped).await;
        assert_eq!(memory.0.lock().unwrap().len(), 1);
        assert_eq!(checkpointer.save(&BTreeMap::new()).await.unwrap(), None);
        checkpointer.deliver(receipt(0, &[]));
        assert_eq!(checkpointer.save(&BTreeMap::new()).await.unwrap(), None);
        let (a, b) = (stream(120), stream(150));
        checkpointer.deliver(receipt(1, &[a, b]));
        assert!(checkpointer.is_behind());
        let ack = checkpointer.save(&BTreeMap::new()).await.unwrap().unwrap();
        assert_eq!(*ack.position(), position(150));
        let saved = memory.0.lock().unwrap().last().cloned().unwrap();
        assert_eq!((saved.position, saved.counter), (position(150), 2));
        assert!(!checkpointer.is_behind());
    }

    #[tokio::test]
    async fn the_snapshot_is_complete_only_with_its_last_batch() {
        let (mut checkpointer, memory) = begin(SnapshotState::Running).await;
        checkpointer.deliver(receipt(0, &[]));
        checkpointer.deliver(receipt(
            1,
            &[Progress::SnapshotComplete(position(100), SchemaHistory::default())],
        ));
        assert!(checkpointer.is_behind());
        assert!(checkpointer.save(&BTreeMap::new()).await.unwrap().is_some());
        let saved = memory.0.lock().unwrap().last().cloned().unwrap();
        assert_eq!(saved.snapshot, SnapshotState::Complete);
    }

    #[tokio::test]
    async fn schemas_that_were_kept_ahead_outlive_positions_that_are_older() {
        let history = |text| {
            let mut history = SchemaHistory::default();
            history.set("t", text);
            history
        };
        let (mut checkpointer, memory) = begin(SnapshotState::Running).await;
        let saved = || memory.0.lock().unwrap().last().cloned().unwrap();
        checkpointer.keep(history("2")).await.unwrap();
        let kept = saved();
        assert_eq!((kept.schemas, kept.counter), (history("2"), 2));
        assert_eq!((kept.position, kept.snapshot), (position(100), SnapshotState::Running));
        assert!(!checkpointer.is_behind());
        checkpointer
            .deliver(receipt(0, &[Progress::SnapshotComplete(position(100), history("1"))]));
        checkpointer.deliver(receipt(1, &[Progress::Stream(position(120), history("1"))]));
        assert!(checkpointer.save(&BTreeMap::new()).await.unwrap().is_some());
        assert_eq!(
            (saved().schemas, saved().position, saved().counter),
            (history("2"), position(120), 3)
        );
    }

    /// An idle server's first keepalive names the very place where the snapshot was taken.
    #[tokio::test]
    async fn the_end_of_a_snapshot_is_saved_though_the_log_stands_still() {
        let (mut checkpointer, memory) = begin(SnapshotState::Running).await;
        checkpointer.deliver(receipt(
            0,
            &[Progress::SnapshotComplete(position(100), SchemaHistory::default())],
        ));
        checkpointer.deliver(receipt(1, &[stream(100)]));
        assert_eq!(checkpointer.checkpoint().snapshot, SnapshotState::Running, "not durable yet");
        assert!(checkpointer.is_behind());
        assert!(checkpointer.save(&BTreeMap::new()).await.unwrap().is_some());
        let saved = memory.0.lock().unwrap().last().cloned().unwrap();
        assert_eq!(saved.snapshot, SnapshotState::Complete);
        assert_eq!(checkpointer.checkpoint().snapshot, SnapshotState::Complete);
    }

    #[tokio::test]
    async fn a_position_never_moves_back() {
        let (mut checkpointer, _memory) = begin(SnapshotState::Skipped).await;
        checkpointer.deliver(receipt(0, &[stream(99)]));
        let error = checkpointer.save(&BTreeMap::new()).await.unwrap_err();
        assert!(matches!(error, OffsetError::Backwards { .. }), "{error}");
    }

    #[tokio::test]
    #[should_panic(expected = "receipts leave in order")]
    async fn a_gap_in_the_receipts_is_our_own_mistake() {
        let (mut checkpointer, _memory) = begin(SnapshotState::Skipped).await;
        checkpointer.deliver(receipt(1, &[]));
    }

    #[tokio::test]
    async fn an_unchanged_checkpoint_is_not_written_again() {
        let memory = Memory::default();
        let loaded = first(SnapshotState::Complete);
        let store = Box::new(memory.clone());
        let begun = Checkpointer::begin(store, Some(&loaded), loaded.clone()).await;
        assert_eq!(*begun.unwrap().checkpoint(), loaded);
        assert!(memory.0.lock().unwrap().is_empty());
    }
}
