//! Begins and ends of transactions, which a change stream does not tell: its events say which
//! session and which number they are of, and that is all.
//!
//! So a transaction begins with its first event. Debezium lets it end with the next event that is
//! not its own, however late that comes. Every event of a transaction has the cluster time of its
//! commit (manual, "Change Events", `clusterTime`), so here it ends with anything that is later: an
//! event, of whichever collection, or a batch's own token, which servers move on while nothing
//! happens.
//!
//! While one is open, no position is told: reading starts again before its first event, and counts
//! come out as they did.

use crate::change::{Edge, EventId, TransactionEdge, TransactionName};
use crate::sources::mongodb::source_block::{Place, Transaction};
use crate::sources::{BoxError, ChangeHandler};

type Out<'o> = &'o mut dyn ChangeHandler;

/// The transaction that is open, where begins and ends are asked for.
pub(super) enum Transactions {
    Unwanted,
    Between,
    Within(Open),
}

pub(super) struct Open {
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
        if wanted { Self::Between } else { Self::Unwanted }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Within(_))
    }

    /// The stream is at this cluster time.
    pub(super) fn reach(&mut self, cluster_time: u64, out: Out<'_>) -> Result<(), BoxError> {
        match self {
            Self::Within(open) if open.cluster_time < cluster_time => self.end(out),
            Self::Unwanted | Self::Between | Self::Within(_) => Ok(()),
        }
    }

    /// A change is next: its transaction begins, if this is the first of it.
    pub(super) fn enter(
        &mut self,
        (place, id): (&Place<'_>, EventId<'_>),
        cluster_time: u64,
        out: Out<'_>,
    ) -> Result<(), BoxError> {
        match (&*self, place.transaction) {
            (Self::Unwanted, _) | (Self::Between, None) => return Ok(()),
            (Self::Within(open), Some(its)) if open.is(its) => return Ok(()),
            (Self::Within(_), _) => self.end(out)?,
            (Self::Between, Some(_)) => {}
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
        *self = Self::Within(open);
        Ok(())
    }

    fn end(&mut self, out: Out<'_>) -> Result<(), BoxError> {
        match std::mem::replace(self, Self::Between) {
            Self::Within(open) => open.say(Edge::End, out),
            Self::Unwanted | Self::Between => Ok(()),
        }
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
