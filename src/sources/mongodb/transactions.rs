//! Begins and ends of transactions, which a change stream does not tell: its events say which
//! session and which number they are of, and that is all.
//!
//! So a transaction begins with its first event, and ends with the next one that is not its own, of
//! whichever collection. Debezium waits for that, however late it comes. Every event of a
//! transaction has the cluster time of its commit (manual, "Change Events", `clusterTime`), so here
//! a batch's own token of a later time ends it too, which servers move on while nothing happens.
//!
//! In a sharded cluster each shard that took part commits at a time of its own, and others' events
//! may stand between: the transaction ends and begins again there, as Debezium tells it. A token
//! alone ends it only a good while later; the place cannot wait for an event for ever, or the oplog
//! would leave it behind.
//!
//! No position is told inside of one: reading starts again before its first event, and counts come
//! out as they did. Where one follows the other, the place between them is told when it is known to
//! be one, with the next event.

use crate::change::{Edge, EventId, TransactionEdge, TransactionName};
use crate::offsets::position::MongodbPosition;
use crate::sources::mongodb::source_block::{Place, Transaction};
use crate::sources::{BoxError, ChangeHandler};

type Out<'o> = &'o mut dyn ChangeHandler;

/// The time for which the shards of one transaction may still commit it, as far as is waited for.
const SHARDS_SECONDS: u64 = 60;

/// Begins and ends, where they are asked for.
pub(super) struct Transactions {
    wanted: bool,
    /// Anything later than this beyond a transaction's cluster time is not its own.
    seconds: u64,
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
    /// Of its last event; seconds in the upper half, increment in the lower.
    cluster_time: u64,
}

impl Transactions {
    /// Of a replica set, whose transactions have one cluster time.
    pub(super) fn of_replica_set(wanted: bool) -> Self {
        Self { wanted, seconds: 0, open: None, ended: false, last: None }
    }

    pub(super) fn of_shards(wanted: bool) -> Self {
        Self { seconds: SHARDS_SECONDS, ..Self::of_replica_set(wanted) }
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

    /// The stream is at this cluster time, without an event.
    pub(super) fn reach(&mut self, cluster_time: u64, out: Out<'_>) -> Result<(), BoxError> {
        let is_past =
            |open: &Open| open.cluster_time.saturating_add(self.seconds << 32) < cluster_time;
        if self.open.as_ref().is_some_and(is_past) { self.end(out) } else { Ok(()) }
    }

    /// An event is next, of whichever collection.
    pub(super) fn meet(
        &mut self,
        its: Option<Transaction<'_>>,
        out: Out<'_>,
    ) -> Result<(), BoxError> {
        match &self.open {
            Some(open) if its.is_none_or(|its| !open.is(its)) => self.end(out),
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
        if !self.wanted {
            return Ok(());
        }
        self.meet(place.transaction, out)?;
        let Some(Transaction { lsid, number }) = place.transaction else { return Ok(()) };
        if let Some(open) = &mut self.open {
            open.cluster_time = open.cluster_time.max(cluster_time);
            return Ok(());
        }
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
