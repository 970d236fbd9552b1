//! Begins and ends of transactions, which a change stream does not tell: its events say which
//! session and which number they are of, and that is all.
//!
//! So a transaction begins with its first event. Debezium lets it end with the next event that is
//! not its own, however late that comes. Every event of a transaction has the cluster time of its
//! commit (manual, "Change Events", `clusterTime`), so here it ends with anything that is later: an
//! event, of whichever collection, or a batch's own token, which servers move on while nothing
//! happens.
//!
//! No position is told inside of one: reading starts again before its first event, and counts come
//! out as they did. Where one follows the other, the place between them is told when it is known to
//! be one, with the next event.

use crate::change::{Edge, EventId, TransactionEdge, TransactionName};
use crate::offsets::position::MongodbPosition;
use crate::sources::mongodb::source_block::{Place, Transaction};
use crate::sources::{BoxError, ChangeHandler};

type Out<'o> = &'o mut dyn ChangeHandler;

/// Begins and ends, where they are asked for.
pub(super) struct Transactions {
    wanted: bool,
    open: Option<Open>,
    /// One has ended since this was asked for.
    ended: bool,
    /// Behind the last event of the batches before, while one is open.
    last: Option<MongodbPosition>,
}

struct Open {
    lsid: String,
    number: i64,
    /// Of its first event.
    id: String,
    ts_ms: i64,
    /// Seconds in the upper half, increment in the lower.
    cluster_time: u64,
}

impl Transactions {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, open: None, ended: false, last: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether one has ended since the last call: the place before the message at hand is one to
    /// start again from.
    pub(super) fn take_ended(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// The place behind the batches before, if there is no later one.
    pub(super) fn take_last(&mut self) -> Option<MongodbPosition> {
        self.last.take()
    }

    /// A batch ends here, inside of a transaction.
    pub(super) fn keep_last(&mut self, position: MongodbPosition) {
        self.last = Some(position);
    }

    /// The stream is at this cluster time.
    pub(super) fn reach(&mut self, cluster_time: u64, out: Out<'_>) -> Result<(), BoxError> {
        match &self.open {
            Some(open) if open.cluster_time < cluster_time => self.end(out),
            Some(_) | None => Ok(()),
        }
    }

    /// A change is next: its transaction begins, if this is the first of it.
    pub(super) fn enter(
        &mut self,
        (place, id): (&Place<'_>, EventId<'_>),
        cluster_time: u64,
        out: Out<'_>,
    ) -> Result<(), BoxError> {
        match (&self.open, place.transaction) {
            _ if !self.wanted => return Ok(()),
            (None, None) => return Ok(()),
            (Some(open), Some(its)) if open.is(its) => return Ok(()),
            (Some(_), _) => self.end(out)?,
            (None, Some(_)) => {}
        }
        let Some(Transaction { lsid, number }) = place.transaction else { return Ok(()) };
        let open = Open {
            lsid: lsid.to_owned(),
            number,
            id: id.transaction.to_owned(),
            ts_ms: place.ts_us.div_euclid(1000),
            cluster_time,
        };
        open.say(Edge::Begin, out)?;
        self.open = Some(open);
        Ok(())
    }

    fn end(&mut self, out: Out<'_>) -> Result<(), BoxError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        self.ended = true;
        open.say(Edge::End, out)
    }
}

impl Open {
    fn is(&self, other: Transaction<'_>) -> bool {
        self.number == other.number && self.lsid == other.lsid
    }

    fn say(&self, edge: Edge, out: Out<'_>) -> Result<(), BoxError> {
        let Self { lsid, number, id, ts_ms, .. } = self;
        let name = TransactionName::Session { lsid, number: *number };
        out.transaction(&TransactionEdge { edge, name, ts_ms: *ts_ms, id })
    }
}
