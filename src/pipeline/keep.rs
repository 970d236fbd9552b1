//! The transcoder's way to the offset store: what a restart must know before the first row that
//! rests on it leaves.
//!
//! A registry that has seen a schema refuses a narrower one, and what a restart infers may be that.
//! So a schema that was inferred is durable before anybody sees it, and the thread that wants to
//! show it waits.

use tokio::sync::{mpsc, oneshot};

use crate::disposition::{Diagnose, Disposition};
use crate::schema::history::SchemaHistory;

/// The run is over, and nobody writes any more.
#[derive(Debug, thiserror::Error)]
#[error("keep what was learnt of schemas: the run was given up")]
pub(super) struct GivenUp;

impl Diagnose for GivenUp {
    fn disposition(&self) -> Disposition {
        Disposition::Reconnect
    }
}

/// A schema history that somebody waits for.
pub(super) struct Request {
    pub(super) schemas: SchemaHistory,
    pub(super) kept: oneshot::Sender<()>,
}

/// The transcoder's end.
#[derive(Clone, Debug)]
pub struct Keeper(mpsc::Sender<Request>);

/// The end of the run, which writes.
pub struct Requests(mpsc::Receiver<Request>);

/// The transcoder waits for each answer, so that there is one request at most.
#[must_use]
pub fn channel() -> (Keeper, Requests) {
    let (sender, receiver) = mpsc::channel(1);
    (Keeper(sender), Requests(receiver))
}

impl Keeper {
    /// Returns when the history is durable. Blocks the thread meanwhile.
    pub(super) fn keep(&self, schemas: &SchemaHistory) -> Result<(), GivenUp> {
        let (kept, answer) = oneshot::channel();
        let request = Request { schemas: schemas.clone(), kept };
        self.0.blocking_send(request).map_err(|_| GivenUp)?;
        answer.blocking_recv().map_err(|_| GivenUp)
    }
}

impl Requests {
    /// Cancel-safe. `None` when there is no transcoder any more.
    pub(super) async fn next(&mut self) -> Option<Request> {
        self.0.recv().await
    }

    /// Whoever waits, or comes later, hears that the run is over.
    pub(super) fn refuse(&mut self) {
        self.0.close();
        while let Ok(request) = self.0.try_recv() {
            drop(request);
        }
    }
}
