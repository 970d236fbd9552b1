//! Transaction metadata, as Debezium's `provide.transaction.metadata` writes it: a record when a
//! transaction begins and one when it ends (`<prefix>.transaction`), and in every envelope between
//! them which one of the transaction's it is.
//!
//! Counts are made of what is handed on and of nothing else, so they need no place in a checkpoint:
//! a position is never inside a transaction while it is counted, so one that is read again is
//! read from its begin, and every count comes out as before. A transaction of any size takes one
//! number for each table in it.

use std::collections::HashMap;
use std::ops::Range;

use super::SchemaIds;
use super::avro::AvroFormat;
use super::emit::{Emit, Nullability, Wire, WireFormat};
use super::encoder::{EncodeError, EncodeOptions, Format};
use super::json::JsonFormat;
use super::plan::Frame;
use crate::change::{Edge, TransactionEdge, TransactionName};
use crate::record::{Header, Record, RecordBatch, TopicId, TopicRole, Topics};
use crate::schema::Table;
use crate::schema::debezium::RecordSchemas;
use crate::schema::transaction::transaction_schemas;

/// A pipeline's transactions.
pub(crate) struct Transactions {
    topic: TopicId,
    topic_name: String,
    /// Made for the first begin.
    frames: Option<Frames>,
    /// The name of the transaction at hand.
    name: String,
    counts: Counts,
}

struct Frames {
    key: Frame,
    value: Frame,
}

/// What an envelope needs to know of its transaction.
pub(crate) struct Membership<'t> {
    name: &'t str,
    counts: &'t mut Counts,
    /// Index of the table.
    collection: usize,
    /// Envelopes of the change at hand.
    n_events: i64,
}

/// `event.block`
#[derive(Clone, Copy)]
pub(crate) struct Block<'t> {
    name: &'t str,
    total_order: i64,
    collection_order: i64,
}

/// How many events the open transaction has had, in all and by table.
#[derive(Default)]
struct Counts {
    total: i64,
    /// Dotted names of tables, each once.
    names: Vec<String>,
    indexes: HashMap<String, usize>,
    /// Index of a table version's table.
    of_version: Vec<Option<usize>>,
    /// By index.
    events: Vec<i64>,
    /// Indexes of the tables of the open transaction, in the order of their first events.
    touched: Vec<usize>,
}

impl Transactions {
    pub(crate) fn new(topic_name: String, topics: &Topics) -> Self {
        let topic = topics.intern(&topic_name, TopicRole::Auxiliary);
        let (name, counts) = (String::new(), Counts::default());
        Self { topic, topic_name, frames: None, name, counts }
    }

    pub(crate) fn topic(&self) -> TopicId {
        self.topic
    }

    pub(crate) fn membership(
        &mut self,
        name: TransactionName<'_>,
        table: &Table,
    ) -> Membership<'_> {
        name.write(&mut self.name);
        let collection = self.counts.index(table);
        Membership { name: &self.name, counts: &mut self.counts, collection, n_events: 0 }
    }

    /// Appends the record of a begin or an end.
    pub(crate) fn write(
        &mut self,
        edge: &TransactionEdge<'_>,
        ids: &mut dyn SchemaIds,
        (options, context): (&EncodeOptions, &[(&'static str, Vec<u8>)]),
        out: &mut RecordBatch,
    ) -> Result<(), EncodeError> {
        let frames = match self.frames.take() {
            Some(frames) => frames,
            None => Frames::compile(options.format, &self.topic_name, ids)?,
        };
        let frames = self.frames.insert(frames);
        edge.name.write(&mut self.name);
        if edge.edge == Edge::Begin {
            self.counts.restart();
        }
        let sizes = (out.data.len(), out.headers.len());
        let draft = EdgeDraft { edge, name: &self.name, counts: &self.counts, frames };
        let parts = match options.format {
            Format::Avro => draft.parts::<AvroFormat>(out),
            Format::Json { .. } => draft.parts::<JsonFormat>(out),
        };
        let headers = draft.headers(options.id_header, context, out);
        let (Some((key, value)), Some(headers)) = (parts, headers) else {
            out.data.truncate(sizes.0);
            out.headers.truncate(sizes.1);
            return Err(EncodeError::TooLarge { table: self.topic_name.clone() });
        };
        out.records.push(Record { topic: self.topic, key: Some(key), value: Some(value), headers });
        Ok(())
    }
}

impl Frames {
    fn compile(format: Format, topic: &str, ids: &mut dyn SchemaIds) -> Result<Self, EncodeError> {
        let RecordSchemas { key, value } = transaction_schemas();
        let key = key.expect("records of transactions have a key");
        let key = Frame::of(format, &key, || format!("{topic}-key"), ids)?;
        let value = Frame::of(format, &value, || format!("{topic}-value"), ids)?;
        Ok(Self { key, value })
    }
}

/// The record of a begin or an end, on its way into a batch.
struct EdgeDraft<'d> {
    edge: &'d TransactionEdge<'d>,
    name: &'d str,
    counts: &'d Counts,
    frames: &'d Frames,
}

impl EdgeDraft<'_> {
    /// Key and value.
    fn parts<F: WireFormat>(&self, out: &mut RecordBatch) -> Option<(Range<u32>, Range<u32>)> {
        let key = framed::<F>(&self.frames.key, out, |out| {
            out.glue(b"{\"id\":");
            out.text(self.name);
            out.glue(b"}");
        });
        let value = framed::<F>(&self.frames.value, out, |out| self.value(out));
        Some((key?, value?))
    }

    fn value<W: Wire>(&self, out: &mut W) {
        out.glue(b"{\"status\":");
        out.ascii(match self.edge.edge {
            Edge::Begin => b"BEGIN",
            Edge::End => b"END",
        });
        out.glue(b",\"id\":");
        out.text(self.name);
        match self.edge.edge {
            Edge::Begin => {
                out.glue(b",\"event_count\":");
                out.none(Nullability::NullFirst);
                out.glue(b",\"data_collections\":");
                out.none(Nullability::NullFirst);
            }
            Edge::End => {
                out.glue(b",\"event_count\":");
                out.some(Nullability::NullFirst);
                out.int(self.counts.total);
                out.glue(b",\"data_collections\":");
                out.some(Nullability::NullFirst);
                self.collections(out);
            }
        }
        out.glue(b",\"ts_ms\":");
        out.int(self.edge.ts_ms);
        out.glue(b"}");
    }

    fn collections<W: Wire>(&self, out: &mut W) {
        let length = self.counts.by_table().count();
        out.array_start(length);
        for (index, (name, n_events)) in self.counts.by_table().enumerate() {
            out.array_item(index);
            out.some(Nullability::NullFirst);
            out.glue(b"{\"data_collection\":");
            out.text(name);
            out.glue(b",\"event_count\":");
            out.int(n_events);
            out.glue(b"}");
        }
        out.array_end(length);
    }

    fn headers(
        &self,
        id_header: bool,
        context: &[(&'static str, Vec<u8>)],
        out: &mut RecordBatch,
    ) -> Option<Range<u32>> {
        let start = out.headers.len();
        for (name, value) in context {
            let name = append(out, &[name.as_bytes()])?;
            let value = Some(append(out, &[value])?);
            out.headers.push(Header { name, value });
        }
        if id_header {
            let edge: &[u8] = match self.edge.edge {
                Edge::Begin => b":begin",
                Edge::End => b":end",
            };
            let name = append(out, &[super::records::ID.as_bytes()])?;
            let value = Some(append(out, &[self.edge.id.as_bytes(), edge])?);
            out.headers.push(Header { name, value });
        }
        super::records::span(start, out.headers.len())
    }
}

fn framed<F: WireFormat>(
    frame: &Frame,
    out: &mut RecordBatch,
    write: impl FnOnce(&mut F::Out<'_>),
) -> Option<Range<u32>> {
    let start = out.data.len();
    out.data.extend_from_slice(&frame.prefix);
    write(&mut F::over(&mut out.data));
    out.data.extend_from_slice(frame.suffix);
    super::records::span(start, out.data.len())
}

fn append(out: &mut RecordBatch, parts: &[&[u8]]) -> Option<Range<u32>> {
    let start = out.data.len();
    for part in parts {
        out.data.extend_from_slice(part);
    }
    super::records::span(start, out.data.len())
}

impl<'t> Membership<'t> {
    /// The block of the next envelope.
    #[inline]
    pub(crate) fn next(&mut self) -> Block<'t> {
        self.n_events += 1;
        let (total_order, collection_order) = self.counts.add(self.collection, 1);
        Block { name: self.name, total_order, collection_order }
    }

    /// None of the change's envelopes is published.
    pub(crate) fn take_back(self) {
        self.counts.add(self.collection, -self.n_events);
    }
}

impl Counts {
    fn restart(&mut self) {
        self.total = 0;
        for index in self.touched.drain(..) {
            self.events[index] = 0;
        }
    }

    /// The index of a table, whichever version this is.
    #[inline]
    fn index(&mut self, table: &Table) -> usize {
        match self.of_version.get(table.version.0 as usize) {
            Some(Some(index)) => *index,
            Some(None) | None => self.learn(table),
        }
    }

    #[cold]
    fn learn(&mut self, table: &Table) -> usize {
        let (version, name) = (table.version.0 as usize, table.path.join("."));
        let index = *self.indexes.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            self.events.push(0);
            self.names.len() - 1
        });
        if self.of_version.len() <= version {
            self.of_version.resize(version + 1, None);
        }
        self.of_version[version] = Some(index);
        index
    }

    #[inline]
    fn add(&mut self, index: usize, n: i64) -> (i64, i64) {
        if self.events[index] == 0 && !self.touched.contains(&index) {
            self.touched.push(index);
        }
        self.total += n;
        self.events[index] += n;
        (self.total, self.events[index])
    }

    /// Name and number of events of each table that had any.
    fn by_table(&self) -> impl Iterator<Item = (&str, i64)> {
        let tables =
            self.touched.iter().map(|index| (self.names[*index].as_str(), self.events[*index]));
        tables.filter(|(_, n_events)| *n_events > 0)
    }
}

/// Writes the envelope's field `transaction`.
#[inline]
pub(crate) fn write_block<W: Wire>(block: Option<Block<'_>>, out: &mut W) {
    let Some(Block { name, total_order, collection_order }) = block else {
        out.none(Nullability::NullFirst);
        return;
    };
    out.some(Nullability::NullFirst);
    out.glue(b"{\"id\":");
    out.text(name);
    out.glue(b",\"total_order\":");
    out.int(total_order);
    out.glue(b",\"data_collection_order\":");
    out.int(collection_order);
    out.glue(b"}");
}
