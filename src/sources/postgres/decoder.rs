//! The decoder: a state machine over the replication stream, and before it over the snapshot.
//!
//! A position is the end of a commit and nothing else; rows get ordinals, counted before any
//! filter, so that a row's id is the same in every run. Anything out of order (a row outside of a
//! transaction, a commit of another one, a position behind the last) ends the run: what came
//! before is published, what comes after cannot be trusted.

use std::sync::Arc;

use bumpalo::Bump;

use crate::change::{Change, Edge, EventId, Op, Progress, TransactionEdge, TransactionName};
use crate::config::{TableFilter, UnmappedTypes};
use crate::offsets::position::{Lsn, Position, PostgresPosition};
use crate::schema::Table;
use crate::schema::history::SchemaHistory;
use crate::sources::postgres::catalog::{Catalog, RelationFacts};
use crate::sources::postgres::datetime::EPOCH_MICROS;
use crate::sources::postgres::decode_error::DecodeError;
use crate::sources::postgres::pgoutput::{
    Frame, Message, RelationIds, RelationMessage, parse_frame, parse_message,
};
use crate::sources::postgres::relations::{Relation, Relations};
use crate::sources::postgres::row::{RowFault, RowMessage, images};
use crate::sources::postgres::snapshot_rows::{Context, SnapshotRows, fault_error};
use crate::sources::postgres::source_block::{Place, SourceConstants, slots, transaction_id};
use crate::sources::postgres::table::Tables;
use crate::sources::{BoxError, ChangeHandler, Decode, RawBatch, Stage, Undecodable};
use crate::value::Value;

#[derive(Debug)]
pub struct DecoderConfig {
    pub system_id: String,
    pub timeline: u32,
    pub database: String,
    pub topic_prefix: String,
    /// What the `source` block calls its version.
    pub version: &'static str,
    pub filter: TableFilter,
    pub unmapped_types: UnmappedTypes,
    /// Publish `pg_logical_emit_message`.
    pub logical_messages: bool,
    pub server_version: u32,
    /// `None` where the stream goes on from a checkpoint.
    pub snapshot: Option<SnapshotFacts>,
    /// The checkpoint that the stream goes on from; `None` for the stream's very beginning.
    pub resume_from: Option<Lsn>,
}

#[derive(Clone, Debug)]
pub struct SnapshotFacts {
    /// In the numbering of [`Stage::Snapshot`].
    pub tables: Vec<RelationFacts>,
    pub consistent_point: Lsn,
    pub transaction_id: i64,
    /// Microseconds since 1970.
    pub read_at_us: i64,
}

pub struct Decoder {
    system_id: String,
    timeline: u32,
    filter: TableFilter,
    logical_messages: bool,
    catalog: Box<dyn Catalog>,
    tables: Tables,
    message_table: Arc<Table>,
    snapshot: Option<SnapshotRows>,
    relations: Relations,
    state: State,
    /// `<system id>-<commit LSN>` of the open transaction.
    transaction_id: String,
    /// The commit before, which dates messages outside of any transaction.
    last_commit_us: Option<i64>,
    /// The end of the last commit: the first half of `source.sequence`, which so never goes back
    /// from one transaction to the next (the first LSN of a transaction would).
    last_commit: Option<Lsn>,
    /// Progress has been reported up to here.
    reported: Lsn,
}

#[derive(Debug)]
enum State {
    Between,
    Transaction(Transaction),
}

#[derive(Debug)]
struct Transaction {
    xid: u32,
    commit_lsn: Lsn,
    commit_us: i64,
    /// The end of the commit before it.
    after: Option<Lsn>,
    /// Row changes so far.
    n_changes: u64,
    origin: Option<(String, Lsn)>,
}

impl Transaction {
    fn name(&self, lsn: Lsn) -> TransactionName<'static> {
        TransactionName::XidAt { xid: self.xid, lsn: lsn.0 }
    }

    fn place(&self, lsn: Lsn) -> Place<'_> {
        Place {
            ts_us: self.commit_us,
            snapshot: "false",
            after: self.after,
            tx_id: Some(i64::from(self.xid)),
            lsn,
            origin: self.origin.as_ref().map(|(name, lsn)| (name.as_str(), *lsn)),
        }
    }
}

/// Where a message stands, and where its values go.
#[derive(Clone, Copy)]
struct Wire<'a> {
    start: Lsn,
    sent_us: i64,
    payload: &'a [u8],
    arena: &'a Bump,
}

impl Decoder {
    #[must_use]
    pub fn new(config: DecoderConfig, catalog: Box<dyn Catalog>) -> Self {
        let constants = SourceConstants {
            version: config.version,
            topic_prefix: config.topic_prefix,
            database: config.database,
        };
        let mut tables = Tables::new(constants, config.unmapped_types);
        let message_table = tables.of_messages();
        let system_id = config.system_id;
        let snapshot = config.snapshot.map(|facts| SnapshotRows::new(facts, &system_id));
        Self {
            system_id,
            timeline: config.timeline,
            filter: config.filter,
            logical_messages: config.logical_messages,
            catalog,
            tables,
            message_table,
            snapshot,
            relations: Relations::default(),
            state: State::Between,
            transaction_id: String::new(),
            last_commit_us: None,
            last_commit: config.resume_from,
            // A server's first keepalives may name an older place than the one that was asked for.
            reported: config.resume_from.unwrap_or_default(),
        }
    }

    fn stream(
        &mut self,
        raw: &RawBatch,
        arena: &Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        // Only a snapshot that is taken again has a stream before it: what was sent by the one
        // that was interrupted catches up with it first.
        if self.snapshot.is_some() && self.last_commit.is_none() {
            return Err(DecodeError::Snapshot("the stream began before the snapshot's end").into());
        }
        for range in &raw.messages {
            let payload = raw
                .data
                .get(range.start as usize..range.end as usize)
                .ok_or(DecodeError::Snapshot("a message lies outside of its batch"))?;
            let parse = |source| DecodeError::Parse { lsn: self.reported, source };
            match parse_frame(payload).map_err(parse)? {
                Frame::XLogData { start, sent_at, body } => {
                    let parse = |source| DecodeError::Parse { lsn: start, source };
                    let message = parse_message(body).map_err(parse)?;
                    let sent_us = unix_micros(sent_at);
                    self.message(message, Wire { start, sent_us, payload, arena }, out)?;
                }
                Frame::Keepalive { end } => self.keepalive(end, out),
            }
        }
        Ok(())
    }

    fn message(
        &mut self,
        message: Message<'_>,
        wire: Wire<'_>,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        match message {
            Message::Begin { final_lsn, commit_time, xid } => {
                self.begin(final_lsn, unix_micros(commit_time), xid, wire.start)?;
                self.edge(Edge::Begin, wire.start, out)?;
            }
            Message::Commit { commit_lsn, end_lsn, .. } => {
                self.commit((commit_lsn, end_lsn), wire.start, out)?;
            }
            Message::Origin { commit_lsn, name } => {
                let transaction = open(&mut self.state, wire.start, "an origin")?;
                transaction.origin = Some((name.to_owned(), commit_lsn));
            }
            Message::Relation(relation) => self.relation(&relation, wire.start)?,
            // The catalogue tells more about a type than its name.
            Message::Type { .. } => {}
            Message::Insert { relation, new } => {
                self.row(relation, RowMessage::Insert { new }, wire, out)?;
            }
            Message::Update { relation, old, new } => {
                self.row(relation, RowMessage::Update { old, new }, wire, out)?;
            }
            Message::Delete { relation, old } => {
                self.row(relation, RowMessage::Delete { old }, wire, out)?;
            }
            Message::Truncate { relations } => self.truncate(relations, wire, out)?,
            Message::Message { transactional, prefix, content } => {
                if self.logical_messages {
                    let values = [Value::Text(prefix), Value::Bytes(content)];
                    self.logical_message(transactional, &values, wire, out)?;
                }
            }
        }
        Ok(())
    }

    fn begin(
        &mut self,
        commit_lsn: Lsn,
        commit_us: i64,
        xid: u32,
        begin: Lsn,
    ) -> Result<(), DecodeError> {
        match self.state {
            State::Transaction(_) => Err(DecodeError::Order {
                lsn: begin,
                found: "a begin",
                place: "inside a transaction",
            }),
            State::Between => {
                transaction_id(&mut self.transaction_id, &self.system_id, commit_lsn);
                self.state = State::Transaction(Transaction {
                    xid,
                    commit_lsn,
                    commit_us,
                    after: self.last_commit,
                    n_changes: 0,
                    origin: None,
                });
                Ok(())
            }
        }
    }

    /// Says that the open transaction begins, or ends. Debezium names each with the place of its
    /// message, and dates both with the commit.
    fn edge(&self, edge: Edge, lsn: Lsn, out: &mut dyn ChangeHandler) -> Result<(), BoxError> {
        let State::Transaction(transaction) = &self.state else { return Ok(()) };
        out.transaction(&TransactionEdge {
            edge,
            name: transaction.name(lsn),
            ts_ms: transaction.commit_us.div_euclid(1000),
            id: &self.transaction_id,
        })
    }

    fn commit(
        &mut self,
        (commit_lsn, end_lsn): (Lsn, Lsn),
        start: Lsn,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        let transaction = open(&mut self.state, commit_lsn, "a commit")?;
        if transaction.commit_lsn != commit_lsn {
            let expected = transaction.commit_lsn;
            return Err(DecodeError::CommitMismatch { expected, found: commit_lsn }.into());
        }
        if end_lsn < self.reported {
            return Err(DecodeError::Backwards { from: self.reported, to: end_lsn }.into());
        }
        self.last_commit_us = Some(transaction.commit_us);
        self.edge(Edge::End, start, out)?;
        self.last_commit = Some(end_lsn);
        self.state = State::Between;
        self.reported = end_lsn;
        out.progress(Progress::Stream(self.position(end_lsn), SchemaHistory::default()));
        Ok(())
    }

    /// Between transactions everything that the server has read is done. Inside of one the end
    /// that it names says nothing about us.
    fn keepalive(&mut self, end: Lsn, out: &mut dyn ChangeHandler) {
        match self.state {
            State::Between if end > self.reported => {
                self.reported = end;
                out.progress(Progress::Stream(self.position(end), SchemaHistory::default()));
            }
            State::Between | State::Transaction(_) => {}
        }
    }

    fn position(&self, lsn: Lsn) -> Position {
        let system_id = self.system_id.clone();
        Position::Postgres(PostgresPosition { system_id, timeline: self.timeline, lsn })
    }

    fn relation(&mut self, message: &RelationMessage<'_>, lsn: Lsn) -> Result<(), BoxError> {
        let relation = if self.filter.matches(message.schema, message.table) {
            let columns = message.columns().map_err(|source| DecodeError::Parse { lsn, source })?;
            let described = self.tables.of_relation(message, &columns, &mut *self.catalog)?;
            Relation::Captured(described)
        } else {
            Relation::Filtered
        };
        self.relations.insert(message.oid, relation);
        Ok(())
    }

    fn row(
        &mut self,
        oid: u32,
        message: RowMessage<'_>,
        wire: Wire<'_>,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        let transaction = open(&mut self.state, wire.start, "a row")?;
        let ordinal = transaction.n_changes;
        transaction.n_changes += 1;
        let relation = self.relations.get(oid);
        let relation = relation.ok_or(DecodeError::UnknownRelation { lsn: wire.start, oid })?;
        let Relation::Captured(described) = relation else { return Ok(()) };
        let id = EventId { transaction: &self.transaction_id, ordinal };
        loop {
            match images(described, message, wire.arena) {
                Ok((op, before, after)) => {
                    let source = &slots(&transaction.place(wire.start), wire.arena);
                    let table = &described.table;
                    let raw = wire.payload;
                    let transaction = Some(transaction.name(wire.start));
                    let change = Change { table, op, before, after, source, id, transaction, raw };
                    return out.change(&change);
                }
                Err(RowFault::UnexpectedNull { column }) => self.tables.relax(described, column),
                Err(fault) => {
                    let error = fault_error(fault, described)?;
                    let (table, raw) = (described.name.as_str(), wire.payload);
                    return out.undecodable(Undecodable { table, id, raw, error });
                }
            }
        }
    }

    fn truncate(
        &mut self,
        relations: RelationIds<'_>,
        wire: Wire<'_>,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        for oid in relations.iter() {
            let transaction = open(&mut self.state, wire.start, "a truncate")?;
            let ordinal = transaction.n_changes;
            transaction.n_changes += 1;
            let relation = self.relations.get(oid);
            let relation = relation.ok_or(DecodeError::UnknownRelation { lsn: wire.start, oid })?;
            let Relation::Captured(described) = relation else { continue };
            out.change(&Change {
                table: &described.table,
                op: Op::Truncate,
                before: None,
                after: None,
                source: &slots(&transaction.place(wire.start), wire.arena),
                id: EventId { transaction: &self.transaction_id, ordinal },
                transaction: Some(transaction.name(wire.start)),
                raw: wire.payload,
            })?;
        }
        Ok(())
    }

    /// A message has a place of its own and no ordinal, so that rows keep theirs whether messages
    /// are asked for or not.
    fn logical_message(
        &mut self,
        transactional: bool,
        values: &[Value<'_>],
        wire: Wire<'_>,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        let (place, transaction) = if transactional {
            let open = open(&mut self.state, wire.start, "a transactional message")?;
            (open.place(wire.start), Some(open.name(wire.start)))
        } else {
            let place = Place {
                ts_us: self.last_commit_us.unwrap_or(wire.sent_us),
                snapshot: "false",
                after: self.last_commit,
                tx_id: None,
                lsn: wire.start,
                origin: None,
            };
            (place, None)
        };
        let id = format!("{}-message-{}", self.system_id, wire.start);
        out.change(&Change {
            table: &self.message_table,
            op: Op::Message,
            before: None,
            after: Some(values),
            source: &slots(&place, wire.arena),
            id: EventId { transaction: &id, ordinal: 0 },
            transaction,
            raw: wire.payload,
        })
    }
}

impl Decode for Decoder {
    fn decode<'a>(
        &mut self,
        raw: &'a RawBatch,
        arena: &'a Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        if raw.stage == Stage::Stream {
            return self.stream(raw, arena, out);
        }
        let mut context = Context { arena, tables: &mut self.tables, out };
        let unexpected = DecodeError::Snapshot("no snapshot was announced, or it has ended");
        let Some(snapshot) = &mut self.snapshot else { return Err(unexpected.into()) };
        match raw.stage {
            Stage::Stream => Ok(()),
            Stage::Snapshot { table } => snapshot.rows(table, raw, &mut context),
            Stage::SnapshotTableEnd { table } => snapshot.table_end(table, &mut context),
            Stage::SnapshotEnd => {
                let point = snapshot.facts().consistent_point;
                if let Some(snapshot) = self.snapshot.take() {
                    snapshot.end(&mut context)?;
                }
                self.reported = self.reported.max(point);
                out.progress(Progress::SnapshotComplete(
                    self.position(point),
                    SchemaHistory::default(),
                ));
                Ok(())
            }
        }
    }
}

fn open<'s>(
    state: &'s mut State,
    lsn: Lsn,
    found: &'static str,
) -> Result<&'s mut Transaction, DecodeError> {
    match state {
        State::Transaction(transaction) => Ok(transaction),
        State::Between => Err(DecodeError::Order { lsn, found, place: "outside of a transaction" }),
    }
}

/// The server counts from 2000. A clock is centuries away from either end.
fn unix_micros(micros: i64) -> i64 {
    micros.saturating_add(EPOCH_MICROS)
}

#[cfg(test)]
mod tests;
