//! Receipts in, checkpoints out, and the one place where a [`SourceAck`] is made.

use crate::change::Progress;
use crate::offsets::position::Position;
use crate::offsets::{Checkpoint, OffsetError, OffsetStore, SnapshotState};
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
    pending: Option<Progress>,
    next_sequence: u64,
}
impl Checkpointer {
    /// # Errors
    /// x
    pub async fn begin(
        mut store: Box<dyn OffsetStore>,
        mut first: Checkpoint,
    ) -> Result<Self, OffsetError> {
        first.counter += 1;
        store.save(&first).await?;
        Ok(Self { store, durable: first, pending: None, next_sequence: 0 })
    }

    /// Takes the receipt of the next batch.
    pub fn deliver(&mut self, receipt: &Receipt) {
        assert_eq!(receipt.sequence(), self.next_sequence, "receipts leave in order");
        self.next_sequence += 1;
        let _ = &self.pending;
        let _ = SnapshotState::Running;
        let _ = &self.store;
        let _ = &self.durable;
    }
}
