//! The decoder: change events to changes, and before them the documents of a snapshot.
//!
//! * **What comes in.** Of the stream, raw documents: change events (their first field is `_id`,
//!   the token), and post-batch resume tokens (their first field is `_data`). Of a snapshot, raw
//!   documents of the collection that the batch names.
//! * **Where a restart is exact.** Behind every event, in a transaction too: tokens count its
//!   operations. Between the fragments of a split event it is not, and behind the last of them only
//!   as long as the server would split the event again, and in the same way: a document that was
//!   looked up may be smaller by then (`document_source_change_stream_split_large_event.cpp`,
//!   280). So no token of a fragment is a place, whatever the batch's own token says, and a split
//!   event comes again where nothing is behind it yet. One position a batch is told, the last: more
//!   would cost an allocation each and save nothing.
//! * **Names of events.** `<lineage>/<seconds>.<increment>` is the entry of the oplog, the ordinal
//!   counts the operations in it; both are read out of the token, so that an event has the same name
//!   however often and from wherever it is read. In a sharded cluster two shards may write at the
//!   same cluster time, and there the whole token is the name.
//! * **Transactions.** Where their begins and ends are asked for, a restart is exact behind a whole
//!   one only.
//! * **What makes no record.** Whatever changes no document: `drop`, `rename`, `invalidate` and
//!   the events of newer servers about collections and indexes. Debezium leaves them out too; the
//!   log tells of them (`notice`).

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;

use crate::change::{Before, Change, EventId, Op, Progress, TransactionName};
use crate::config::{DocumentForm, FieldsConfig, TableFilter};
use crate::offsets::position::{MongodbPosition, Position, ResumeToken};
use crate::schema::history::SchemaHistory;
use crate::sources::mongodb::bson::{Bson, Document};
use crate::sources::mongodb::captured::{Collection, Collections};
use crate::sources::mongodb::decode_error::{DecodeError, RowError};
use crate::sources::mongodb::event::{Event, EventError, Message, Operation};
use crate::sources::mongodb::extjson::{self, Form};
use crate::sources::mongodb::fields::FieldRules;
use crate::sources::mongodb::namespace::Namespace;
use crate::sources::mongodb::notice::Notice;
use crate::sources::mongodb::row::{DocumentError, Image, Rows};
use crate::sources::mongodb::snapshot_rows::{Context, SnapshotRows};
use crate::sources::mongodb::source_block::{Place, SourceConstants, Transaction, marker, slots};
use crate::sources::mongodb::split::{Split, SplitError};
use crate::sources::mongodb::token;
use crate::sources::mongodb::transactions::Transactions;
use crate::sources::{BoxError, ChangeHandler, Decode, RawBatch, Stage, Undecodable};
use crate::value::Value;

/// What the decoder is made for.
#[derive(Debug)]
pub struct DecoderConfig {
    pub source: SourceConstants,
    /// The replica set's or cluster's name, as it stands in the ids of events and in positions.
    pub lineage: String,
    pub deployment: Deployment,
    /// Over `database.collection`. The server filters too, to save the way; this one decides.
    pub filter: TableFilter,
    pub fields: FieldsConfig,
    pub form: DocumentForm,
    /// What is known of documents that are to be records, as the decoder of a run before kept it.
    pub schemas: SchemaHistory,
    /// `None` where the stream goes on from a checkpoint.
    pub snapshot: Option<SnapshotFacts>,
    /// Fragments of one split event together, at most; beyond it is a loud stop.
    pub split_bytes_max: usize,
    /// Tell of the begins and ends of transactions.
    pub transaction_metadata: bool,
}

/// Who wrote the oplog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deployment {
    ReplicaSet,
    Sharded,
}

/// What the decoder must know of a snapshot: the moment, without its connections.
#[derive(Clone, Debug)]
pub struct SnapshotFacts {
    /// By the number that the session gives them (`Stage::Snapshot { table }`).
    pub collections: Vec<Namespace>,
    /// Where the stream goes on behind the snapshot.
    pub position: MongodbPosition,
    /// Microseconds since 1970: the documents' `source.ts_*`.
    pub read_at_us: i64,
    /// The cluster time (seconds in the upper half, increment in the lower) that every document
    /// was read at, if there is one such moment: events of it and before are in the snapshot, and
    /// are passed over when the stream brings them.
    pub includes: Option<u64>,
}

pub struct Decoder {
    lineage: String,
    deployment: Deployment,
    collections: Collections,
    split: Split,
    /// The token of a split event's last fragment, until there is another one.
    fragment: Option<ResumeToken>,
    snapshot: Option<SnapshotRows>,
    includes: Option<u64>,
    transactions: Transactions,
    /// The last position told, for messages.
    after: Option<MongodbPosition>,
}

/// An event on its way to a change, and where it lives.
struct Work<'w, 'a> {
    event: &'w Event<'a>,
    /// The event's bytes.
    raw: &'a [u8],
    arena: &'a Bump,
    op: Op,
}

impl Decoder {
    /// # Errors
    /// When a rule for fields is not of its form, or what is known of documents cannot be read.
    pub fn new(config: DecoderConfig) -> Result<Self, DecodeError> {
        let DecoderConfig { source, lineage, filter, fields, schemas, snapshot, .. } = config;
        let rules = FieldRules::new(&fields)?;
        let mut collections = Collections::new(source, filter, rules, config.form);
        let unreadable = |(collection, source)| DecodeError::State { collection, source };
        collections.remember(schemas).map_err(unreadable)?;
        let includes = snapshot.as_ref().and_then(|facts| facts.includes);
        Ok(Self {
            snapshot: snapshot.map(|facts| SnapshotRows::new(facts, &lineage)),
            lineage,
            deployment: config.deployment,
            collections,
            split: Split::new(config.split_bytes_max),
            fragment: None,
            includes,
            transactions: match config.deployment {
                Deployment::ReplicaSet => Transactions::of_replica_set(config.transaction_metadata),
                Deployment::Sharded => Transactions::of_shards(config.transaction_metadata),
            },
            after: None,
        })
    }

    /// Shows all documents of a batch to the structures of their collections before the first of
    /// them becomes a record, so that a batch makes one version and not many. What it does not
    /// understand is told when its turn comes.
    fn foresee(
        &mut self,
        raw: &RawBatch,
        arena: &Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        for range in &raw.messages {
            let Ok(bytes) = message(raw, range) else { continue };
            if let Ok(Message::Event(event)) = Message::parse(bytes)
                && event.fragment.is_none()
            {
                self.observe(&event, arena);
            }
        }
        settle(&mut self.collections, out)
    }

    fn observe(&mut self, event: &Event<'_>, arena: &Bump) {
        for document in [event.document_before, event.document].into_iter().flatten() {
            self.collections.observe((event.database, event.collection), document, arena);
        }
    }

    fn stream<'a>(
        &mut self,
        raw: &'a RawBatch,
        arena: &'a Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        if self.snapshot.is_some() {
            return Err(DecodeError::Batch("the stream began before the snapshot's end").into());
        }
        if self.collections.are_records() {
            self.foresee(raw, arena, out)?;
        }
        // The last places to start again from: behind it, and behind the last message.
        let (mut reached, mut previous, mut told) = (None, None, None);
        for range in &raw.messages {
            let message = message(raw, range)?;
            let parsed = Message::parse(message).map_err(|source| self.malformed(source))?;
            let follows_fragment = self.fragment.is_some();
            let token = match &parsed {
                Message::Token(token) => {
                    self.idle(*token, out)?;
                    *token
                }
                Message::Event(event) => {
                    self.event(event, message, arena, out)?;
                    event.token().map_err(|source| self.malformed(source))?
                }
            };
            if self.transactions.take_ended() {
                let last = self.transactions.take_last();
                // With a split event at its end, there is no place between it and this message.
                if !follows_fragment {
                    reached = previous.or(reached);
                    told = if reached.is_none() { last } else { None };
                }
            }
            if self.is_place(&parsed, token)? {
                previous = Some(token);
                if !self.transactions.is_open() {
                    reached = previous;
                }
            }
        }
        let last = previous.filter(|_| self.transactions.is_open());
        if let Some(token) = last {
            let position = self.position(token)?;
            self.transactions.keep_last(position);
        }
        let position = match reached {
            Some(token) => Some(self.position(token)?),
            None => told,
        };
        if let Some(position) = position {
            self.after = Some(position.clone());
            let schemas = self.collections.history().clone();
            out.progress(Progress::Stream(Position::Mongodb(position), schemas));
        }
        Ok(())
    }

    /// Whether a stream can begin behind this token again.
    fn is_place(&mut self, parsed: &Message<'_>, token: Document<'_>) -> Result<bool, DecodeError> {
        if self.split.is_open() {
            return Ok(false);
        }
        match parsed {
            Message::Event(event) if event.fragment.is_some() => {
                self.fragment = Some(self.position(token)?.token);
            }
            Message::Token(_)
                if self.fragment.as_ref().is_some_and(|f| f.as_bson() == token.bytes()) => {}
            Message::Event(_) | Message::Token(_) => {
                self.fragment = None;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Nothing more is to come up to this token, so the transaction before it is whole.
    fn idle(&mut self, token: Document<'_>, out: &mut dyn ChangeHandler) -> Result<(), BoxError> {
        if self.transactions.is_open()
            && let Some(cluster_time) = self.position(token)?.cluster_time
        {
            self.transactions.reach(cluster_time, out)?;
        }
        Ok(())
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        raw: &[u8],
        arena: &Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        let Some(fragment) = event.fragment else {
            self.split.interrupt().map_err(|source| self.unsplit(source))?;
            return self.whole(event, raw, arena, out);
        };
        let document = Document::new(raw).map_err(|source| self.malformed(source.into()))?;
        let whole = self.split.add(fragment, document).map_err(|source| self.unsplit(source))?;
        let Some(whole) = whole else { return Ok(()) };
        match Message::parse(&whole).map_err(|source| self.malformed(source))? {
            Message::Event(event) => {
                self.observe(&event, arena);
                settle(&mut self.collections, out)?;
                self.whole(&event, &whole, arena, out)
            }
            Message::Token(_) => Err(self.malformed(EventError::Missing("_id")).into()),
        }
    }

    /// An event that is complete.
    fn whole(
        &mut self,
        event: &Event<'_>,
        raw: &[u8],
        arena: &Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        let operation = event.operation().map_err(|source| self.malformed(source))?;
        let op = match operation {
            Operation::Insert => Op::Create,
            Operation::Update | Operation::Replace => Op::Update,
            Operation::Delete => Op::Delete,
            Operation::Structure => {
                Notice::of(event, &self.collections).tell(event);
                return Ok(());
            }
        };
        let time = event.cluster_time().map_err(|source| self.malformed(source))?;
        if self.includes.is_some_and(|includes| time.as_u64() <= includes) {
            return Ok(());
        }
        if self.transactions.is_open() {
            let its = transaction(event, arena).map_err(|source| self.malformed(source))?;
            self.transactions.meet(its, out)?;
        }
        let work = Work { event, raw, arena, op };
        let id = self.id(&work).map_err(|source| self.malformed(source))?;
        let malformed = |source| DecodeError::Event { after: after(self.after.as_ref()), source };
        let Some(collection) = self.collections.get(event.database, event.collection) else {
            return Ok(());
        };
        let way = (&mut self.transactions, out);
        change(&work, id, collection, way).map_err(|error| match error {
            Refusal::Event(source) => malformed(source).into(),
            Refusal::Sink(error) => error,
        })
    }

    /// The name of an event: see the module's page.
    fn id<'a>(&self, work: &Work<'_, 'a>) -> Result<EventId<'a>, EventError> {
        let data = work.event.token()?.get("_data")?;
        let Some(Bson::String(data)) = data else {
            return Err(EventError::Missing("_id._data"));
        };
        let mut name = BumpString::with_capacity_in(self.lineage.len() + NUMBERS_BYTES, work.arena);
        name.push_str(&self.lineage);
        name.push('/');
        let front = match self.deployment {
            Deployment::ReplicaSet => token::front(data),
            Deployment::Sharded => None,
        };
        let ordinal = if let Some(front) = front {
            let mut digits = itoa::Buffer::new();
            name.push_str(digits.format(front.time));
            name.push('.');
            name.push_str(digits.format(front.increment));
            front.operation
        } else {
            name.push_str(data);
            0
        };
        Ok(EventId { transaction: name.into_bump_str(), ordinal })
    }

    fn position(&self, token: Document<'_>) -> Result<MongodbPosition, DecodeError> {
        let token = ResumeToken::from_bson(token.bytes())
            .map_err(|_| DecodeError::Token { after: after(self.after.as_ref()) })?;
        let cluster_time = token.cluster_time();
        Ok(MongodbPosition { token, cluster_time, lineage: self.lineage.clone() })
    }

    fn within_snapshot<'s>(
        &'s mut self,
        arena: &'s Bump,
        out: &'s mut dyn ChangeHandler,
    ) -> Result<(&'s mut SnapshotRows, Context<'s>), DecodeError> {
        let unexpected = DecodeError::Batch("no snapshot was announced, or it has ended");
        let rows = self.snapshot.as_mut().ok_or(unexpected)?;
        Ok((rows, Context { arena, collections: &mut self.collections, out }))
    }

    #[cold]
    fn malformed(&self, source: EventError) -> DecodeError {
        DecodeError::Event { after: after(self.after.as_ref()), source }
    }

    #[cold]
    fn unsplit(&self, source: SplitError) -> DecodeError {
        DecodeError::Split { after: after(self.after.as_ref()), source }
    }
}

/// Versions that are new are durable before a record has one.
pub(super) fn settle(
    collections: &mut Collections,
    out: &mut dyn ChangeHandler,
) -> Result<(), BoxError> {
    if collections.settle() { out.keep_schemas(collections.history()) } else { Ok(()) }
}

/// Room for a cluster time in digits.
const NUMBERS_BYTES: usize = 24;

/// Where a message stands, for a person.
fn after(position: Option<&MongodbPosition>) -> String {
    position.map_or_else(|| "its start".to_owned(), ToString::to_string)
}

/// A message's bytes.
pub(super) fn message<'a>(
    raw: &'a RawBatch,
    range: &std::ops::Range<u32>,
) -> Result<&'a [u8], DecodeError> {
    let bytes = raw.data.get(range.start as usize..range.end as usize);
    bytes.ok_or(DecodeError::Batch("a message lies outside of its batch"))
}

enum Refusal {
    Event(EventError),
    Sink(BoxError),
}

impl From<EventError> for Refusal {
    fn from(source: EventError) -> Self {
        Self::Event(source)
    }
}

fn change(
    work: &Work<'_, '_>,
    id: EventId<'_>,
    collection: &Collection,
    (transactions, out): (&mut Transactions, &mut dyn ChangeHandler),
) -> Result<(), Refusal> {
    let Work { event, raw, arena, op } = *work;
    if op == Op::Create && event.document.is_none() {
        return Err(EventError::Missing("fullDocument").into());
    }
    let source = place(event, arena)?;
    let time = event.cluster_time()?.as_u64();
    transactions.enter((&source, id), time, out).map_err(Refusal::Sink)?;
    let images = match images(work, collection)? {
        Ok(images) => images,
        Err(source) => {
            let table = collection.table.path.join(".");
            let error = Box::new(RowError { collection: table.clone(), source });
            let row = Undecodable { table: &table, id, raw, error };
            return out.undecodable(row).map_err(Refusal::Sink);
        }
    };
    let change = Change {
        table: &collection.table,
        op,
        before: images.before.map(Before::Whole),
        after: images.after,
        source: slots(&source, arena),
        id,
        transaction: source
            .transaction
            .map(|Transaction { lsid, number }| TransactionName::Session { lsid, number }),
        raw,
    };
    out.change(&change).map_err(Refusal::Sink)
}

struct Images<'a> {
    before: Option<&'a [Value<'a>]>,
    after: Option<&'a [Value<'a>]>,
}

/// The outer error is the event's, the inner one a document's.
fn images<'a>(
    work: &Work<'_, 'a>,
    collection: &Collection,
) -> Result<Result<Images<'a>, DocumentError>, EventError> {
    let Work { event, arena, op, .. } = *work;
    let id = event.id()?;
    let rows = Rows { collection, arena };
    let images = || {
        let key = rows.key(&id)?;
        let row = |values: Image<'a>| -> &'a [Value<'a>] { arena.alloc(values) };
        let after = if op == Op::Delete {
            None
        } else {
            let document = rows.document(event.document)?;
            let update = if op == Op::Update { rows.update(event.update)? } else { Value::Null };
            Some(row([key, document, update]))
        };
        let before = if op == Op::Delete || event.document_before.is_some() {
            Some(row([key, rows.document(event.document_before)?, Value::Null]))
        } else {
            None
        };
        Ok(Images { before, after })
    };
    Ok(images())
}

fn place<'a>(event: &Event<'_>, arena: &'a Bump) -> Result<Place<'a>, EventError> {
    let time = event.cluster_time()?;
    // As Debezium's `SourceInfo.timestamp` prefers.
    let ts_us = match event.wall_time_ms {
        Some(millis) => millis.saturating_mul(1_000),
        None => i64::from(time.time) * 1_000_000,
    };
    let transaction = transaction(event, arena)?;
    Ok(Place {
        ts_us,
        snapshot: marker::NONE,
        ord: time.increment.cast_signed(),
        transaction,
        wall_time_ms: event.wall_time_ms,
    })
}

fn transaction<'a>(
    event: &Event<'_>,
    arena: &'a Bump,
) -> Result<Option<Transaction<'a>>, EventError> {
    Ok(match (event.lsid, event.txn_number) {
        (Some(lsid), Some(number)) => {
            Some(Transaction { lsid: extjson::to_text(lsid, Form::DOCUMENT, arena)?, number })
        }
        _ => None,
    })
}

impl Decode for Decoder {
    fn decode<'a>(
        &mut self,
        raw: &'a RawBatch,
        arena: &'a Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        match raw.stage {
            Stage::Stream => self.stream(raw, arena, out),
            Stage::Snapshot { table } => {
                let (rows, mut context) = self.within_snapshot(arena, out)?;
                rows.rows(table, raw, &mut context)
            }
            Stage::SnapshotTableEnd { table } => {
                let (rows, _) = self.within_snapshot(arena, out)?;
                rows.table_end(table)
            }
            Stage::SnapshotEnd => {
                let (rows, mut context) = self.within_snapshot(arena, out)?;
                let position = rows.end(&mut context)?;
                self.snapshot = None;
                self.after = Some(position.clone());
                let schemas = self.collections.history().clone();
                out.progress(Progress::SnapshotComplete(Position::Mongodb(position), schemas));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
