//! The encoder: one compiled plan per table version.

use std::collections::HashMap;
use std::sync::Arc;

use super::SchemaIds;
use super::avro::AvroFormat;
use super::json::JsonFormat;
use super::plan::{Plan, topic_role};
use super::records::{Draft, Times};
use super::schema_changes::SchemaChangePlan;
use super::topics::topic_name;
use super::transactions::Transactions;
use crate::change::{Change, SchemaChange, TransactionEdge};
use crate::config::ValueModes;
use crate::disposition::{Diagnose, Disposition};
use crate::record::{RecordBatch, TopicId, Topics};
use crate::schema::Table;
use crate::schema::jackson;
use crate::schema::registry::RegistryError;

#[derive(Clone, Debug)]
pub struct EncodeOptions {
    /// As in the source block.
    pub connector: &'static str,
    pub topic_prefix: String,
    pub format: Format,
    pub values: ValueModes,
    pub tombstones: bool,
    pub id_header: bool,
    /// Debezium's `__debezium.context.*` headers on every record: the connector's logical name,
    /// its task and its kind. They say the same on every record and cost the producer on each.
    pub context_headers: bool,
    /// Where begins and ends of transactions go, below the prefix. `None`: nowhere, and envelopes
    /// have none of their own either.
    pub transaction_topic: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Avro,
    Json { schemas: bool },
}

#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("get the schema id of subject {subject}")]
    Registry { subject: String, source: RegistryError },
    #[error("convert column {column} of {table}: {detail}")]
    Convert { table: String, column: String, detail: String },
    /// The log did not carry the row that the operation is about.
    #[error("encode operation {op} of {table}: the log carries no {image} row")]
    Incomplete { table: String, op: &'static str, image: &'static str },
    #[error("encode operation {op} of {table}: its records have no such operation")]
    Shape { table: String, op: &'static str },
    #[error("encode a row of {table}: its records go beyond the 4 GiB of a batch")]
    TooLarge { table: String },
    #[error("name the topic of {table}: {topic} is the topic of {other} already")]
    TopicClash { table: String, other: String, topic: String },
    #[error("name the topic of {table}: {topic} is longer than the 249 characters of Kafka")]
    TopicTooLong { table: String, topic: String },
    #[error("name the fields of {table}: columns {first} and {second} both become {field}")]
    NameClash { table: String, first: String, second: String, field: String },
}

impl Diagnose for EncodeError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Registry { source, .. } => source.disposition(),
            Self::Convert { .. } | Self::Incomplete { .. } | Self::TooLarge { .. } => {
                Disposition::DeadLetter
            }
            Self::Shape { .. }
            | Self::NameClash { .. }
            | Self::TopicClash { .. }
            | Self::TopicTooLong { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Registry { source, .. } => source.hint(),
            Self::Convert { .. } => Some(
                "set dead_letter: { policy: dead_letter } to put such rows aside and go on"
                    .to_owned(),
            ),
            Self::Incomplete { table, .. } => {
                Some(format!("ALTER TABLE {table} REPLICA IDENTITY FULL"))
            }
            Self::NameClash { table, first, second, .. } => Some(format!(
                "rename {first} or {second} of {table}, or use format: {{ json: {{}} }}, \
                 which keeps names as they are"
            )),
            Self::TopicClash { table, .. } | Self::TopicTooLong { table, .. } => Some(format!(
                "rename {table}, or leave it out with exclude: [\"{table}\"] below `tables` of the \
                 source (`collections` of MongoDB); characters that Kafka does not allow become \
                 underscores"
            )),
            Self::Shape { .. } | Self::TooLarge { .. } => None,
        }
    }
}

/// Appends records to batches. Pure but for [`SchemaIds`], which is asked once per table version.
pub struct Encoder {
    options: EncodeOptions,
    topics: Arc<Topics>,
    ids: Box<dyn SchemaIds>,
    /// By table version. A version that failed to compile is not kept, so its next row tries again.
    plans: Vec<Option<Plan>>,
    context: Vec<(&'static str, Vec<u8>)>,
    /// Made for the first schema change.
    schema_changes: Option<SchemaChangePlan>,
    /// Where they are asked for.
    transactions: Option<Transactions>,
    times: Times,
    /// Whose topic it is: two tables in one topic would mix their keys.
    owners: HashMap<TopicId, Vec<String>>,
}

/// `Topic.MAX_NAME_LENGTH` of Kafka's clients.
const TOPIC_NAME_MAX: usize = 249;

/// Who owns the topic of transactions, in messages.
const TRANSACTIONS: &str = "transaction metadata";

impl Encoder {
    #[must_use]
    pub fn new(options: EncodeOptions, topics: Arc<Topics>, ids: Box<dyn SchemaIds>) -> Self {
        let context = context_headers(&options);
        let (plans, mut owners) = (Vec::new(), HashMap::new());
        let (times, schema_changes) = (Times::default(), None);
        let transactions = options.transaction_topic.as_ref().map(|topic| {
            let topic = topic_name(&options.topic_prefix, std::slice::from_ref(topic));
            Transactions::new(topic, &topics)
        });
        if let Some(transactions) = &transactions {
            owners.insert(transactions.topic(), vec![TRANSACTIONS.to_owned()]);
        }
        Self { options, topics, ids, plans, context, schema_changes, transactions, times, owners }
    }

    /// Appends the records of one change (none, one, or up to three when its key changed).
    /// `now_ns` is the wall clock in nanoseconds since the epoch, the envelope's `ts_*`.
    ///
    /// # Errors
    /// When a value has no place in the schema, or the schema no number. `out` is then as before.
    pub fn encode(
        &mut self,
        change: &Change<'_>,
        now_ns: i64,
        out: &mut RecordBatch,
    ) -> Result<(), EncodeError> {
        let index = self.compile(change.table)?;
        let plan = self.plans[index].as_ref().expect("compile left a plan there");
        match self.options.format {
            Format::Avro => self.times.set::<AvroFormat>(now_ns),
            Format::Json { .. } => self.times.set::<JsonFormat>(now_ns),
        }
        let transaction = match (&mut self.transactions, change.transaction) {
            (Some(transactions), Some(name)) => Some(transactions.membership(name, change.table)),
            (Some(_) | None, _) => None,
        };
        let (data, headers, records) = (out.data.len(), out.headers.len(), out.records.len());
        let mut draft = Draft {
            plan,
            options: &self.options,
            context: &self.context,
            change,
            times: &self.times,
            transaction,
            out: &mut *out,
            part: 0,
        };
        let written = match self.options.format {
            Format::Avro => draft.write::<AvroFormat>(),
            Format::Json { .. } => draft.write::<JsonFormat>(),
        };
        if written.is_err() {
            if let Some(transaction) = draft.transaction {
                transaction.take_back();
            }
            out.data.truncate(data);
            out.headers.truncate(headers);
            out.records.truncate(records);
        }
        written
    }

    /// Appends the record of one schema change.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_schema_change(
        &mut self,
        change: &SchemaChange<'_>,
        now_ns: i64,
        out: &mut RecordBatch,
    ) -> Result<(), EncodeError> {
        let plan = match self.schema_changes.take() {
            Some(plan) => plan,
            None => SchemaChangePlan::compile(&self.options, change, &self.topics, &mut *self.ids)?,
        };
        let plan = self.schema_changes.insert(plan);
        plan.write(change, now_ns, (&self.options, &self.context), out)
    }

    /// Appends the record of a transaction's begin or end, where they are asked for.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_transaction(
        &mut self,
        edge: &TransactionEdge<'_>,
        out: &mut RecordBatch,
    ) -> Result<(), EncodeError> {
        let Some(transactions) = &mut self.transactions else { return Ok(()) };
        transactions.write(edge, &mut *self.ids, (&self.options, &self.context), out)
    }

    /// The index of the table version's plan, which is there afterwards.
    #[inline]
    fn compile(&mut self, table: &Table) -> Result<usize, EncodeError> {
        let index = table.version.0 as usize;
        if !matches!(self.plans.get(index), Some(Some(_))) {
            self.claim_topic(table)?;
            let plan = Plan::compile(&self.options, table, &self.topics, &mut *self.ids)?;
            if self.plans.len() <= index {
                self.plans.resize_with(index + 1, || None);
            }
            self.plans[index] = Some(plan);
        }
        Ok(index)
    }
}

impl Encoder {
    fn claim_topic(&mut self, table: &Table) -> Result<(), EncodeError> {
        let topic = topic_name(&self.options.topic_prefix, &table.path);
        let name = || table.path.join(".");
        if topic.len() > TOPIC_NAME_MAX {
            return Err(EncodeError::TopicTooLong { table: name(), topic });
        }
        let id = self.topics.intern(&topic, topic_role(table.shape));
        let owner = self.owners.entry(id).or_insert_with(|| table.path.clone());
        if *owner != table.path {
            let other = owner.join(".");
            return Err(EncodeError::TopicClash { table: name(), other, topic });
        }
        Ok(())
    }
}

/// Debezium converts headers with `JsonConverter`, so a text comes with its schema.
fn context_headers(options: &EncodeOptions) -> Vec<(&'static str, Vec<u8>)> {
    if !options.context_headers {
        return Vec::new();
    }
    let header = |name, text: &str| {
        let mut value = br#"{"schema":{"type":"string","optional":false},"payload":"#.to_vec();
        jackson::write_string(&mut value, text);
        value.push(b'}');
        (name, value)
    };
    vec![
        header("__debezium.context.connectorLogicalName", &options.topic_prefix),
        header("__debezium.context.taskId", "0"),
        header("__debezium.context.connectorName", options.connector),
    ]
}
