//! The product's way from the socket to the values, with a recorder at its end.

use bumpalo::Bump;
use serde_json::{Value as Json, json};
use tailwater::change::{self, Before, Op, Progress};
use tailwater::config::{self, SourceConfig};
use tailwater::schema::SourceFieldValue;
use tailwater::sources::postgres::PostgresSource;
use tailwater::sources::{
    BoxError, ChangeHandler, Decode, RawBatch, RawSender, Source as _, Started, Undecodable,
};
use tailwater::value::{DecimalSpecial, Value};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Change, Field, Told, Transaction};
use crate::support::tailwater::Setup;
use crate::support::{runtime, seconds};
use crate::types::decimal;

const BUDGET_BYTES: u32 = 20 << 20;

/// A session that runs.
pub(super) struct Stream {
    session: JoinHandle<Result<(), BoxError>>,
    batches: mpsc::Receiver<RawBatch>,
    decoder: Box<dyn Decode>,
    stop: CancellationToken,
    /// Held so that the session does not take us for gone.
    _acks: watch::Sender<Option<tailwater::offsets::SourceAck>>,
}

impl Stream {
    pub(super) fn start(setup: &Setup) -> Self {
        let config = config::load(&setup.file()).expect("the configuration is right").config;
        let SourceConfig::Postgres(postgres) = config.source else { panic!("PostgreSQL") };
        let (pipeline, prefix) = (config.pipeline, config.topic_prefix);
        let mut source = PostgresSource::new(postgres, config.snapshot, pipeline, prefix);
        runtime().block_on(async {
            let first = source.prepare().await.unwrap_or_else(|error| panic!("{error}"));
            let started = source.start(Some(&first)).await;
            let Started { session, decoder, .. } =
                started.unwrap_or_else(|error| panic!("{error}"));
            let (sender, batches) = mpsc::channel(64);
            let (acks, ack_receiver) = watch::channel(None);
            let stop = CancellationToken::new();
            let sender = RawSender::new(sender, BUDGET_BYTES);
            let session = runtime().spawn(session.run(sender, ack_receiver, stop.clone()));
            Self { session, batches, decoder, stop, _acks: acks }
        })
    }

    /// Everything up to the row of `sentinel`. Not to be called in the runtime: the decoder blocks.
    pub(super) fn until_sentinel(mut self) -> Vec<Transaction> {
        let mut recorder = Recorder::default();
        let mut arena = Bump::new();
        while !recorder.done {
            let next = async { tokio::time::timeout(seconds(120), self.batches.recv()).await };
            let next = runtime().block_on(next).expect("the sentinel arrives");
            let batch = next.expect("the session runs");
            let decoded = self.decoder.decode(&batch, &arena, &mut recorder);
            decoded.unwrap_or_else(|error| panic!("{error}"));
            arena.reset();
        }
        self.stop.cancel();
        let ended = runtime().block_on(self.session).expect("no panic");
        ended.unwrap_or_else(|error| panic!("{error}"));
        recorder.transactions
    }
}

#[derive(Default)]
struct Recorder {
    transactions: Vec<Transaction>,
    /// Id and ordinal of the last change.
    last: Option<(String, u64)>,
    done: bool,
}

impl ChangeHandler for Recorder {
    fn change(&mut self, change: &change::Change<'_>) -> Result<(), BoxError> {
        let number = |name: &str| {
            let field = change.table.source.fields.iter().find(|field| field.name == name);
            match field.map(|field| &field.value) {
                Some(SourceFieldValue::Slot(slot)) => match change.source[*slot] {
                    Value::Int(number) => u64::try_from(number).unwrap(),
                    other => panic!("{name} is {other:?}"),
                },
                other => panic!("{name} is {other:?}"),
            }
        };
        let xid = number("txId");
        if self.transactions.last().is_none_or(|last| last.xid != xid) {
            self.transactions.push(Transaction { xid, changes: Vec::new() });
        }
        let id = (change.id.transaction.to_owned(), change.id.ordinal);
        let same = self.last.as_ref().is_some_and(|last| last.0 == id.0);
        assert!(!same || self.last.as_ref() < Some(&id), "the ordinals of {id:?} rise");
        self.last = Some(id);
        let table = change.table.path.join(".");
        self.done |= table == "public.sentinel";
        let names: Vec<&str> = change.table.columns.iter().map(|c| c.name.as_str()).collect();
        let old = change.before.map(|before| old(&table, &names, before));
        let new = change.after.map(|row| {
            assert_eq!(row.len(), names.len());
            row.iter().zip(&names).map(|(value, name)| (name.to_string(), told(value))).collect()
        });
        let op = change.op.code();
        // `test_decoding` has no row here, and neither have we.
        assert!(change.op != Op::Truncate || (old.is_none() && new.is_none()));
        let current = self.transactions.last_mut().expect("there is one");
        current.changes.push(Change { lsn: number("lsn"), table, op, old, new });
        Ok(())
    }

    fn progress(&mut self, _: Progress) {}

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        Err(row.error)
    }
}

/// Tables of these tests with REPLICA IDENTITY FULL.
const WHOLE: [&str; 2] = ["public.pair", "public.keyless"];

fn old(table: &str, names: &[&str], before: Before<'_>) -> Vec<Field> {
    let row = before.row();
    assert_eq!(row.len(), names.len());
    let whole = matches!(before, Before::Whole(_));
    assert_eq!(whole, WHOLE.contains(&table), "what the old row of {table} is");
    let missing = if whole { Value::Null } else { Value::Absent };
    let there = row.iter().zip(names).filter(|(value, _)| **value != missing);
    there.map(|(value, name)| (name.to_string(), told(value))).collect()
}

fn told(value: &Value<'_>) -> Told {
    Told::Text(match *value {
        Value::Null => return Told::Null,
        Value::Unavailable => return Told::Unchanged,
        Value::Bool(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::Float32(v) => format!("{v:?}"),
        Value::Float64(v) => format!("{v:?}"),
        Value::Decimal(v) => decimal(v.unscaled, usize::try_from(v.scale).unwrap()),
        Value::DecimalSpecial(DecimalSpecial::NaN) => "NaN".to_owned(),
        Value::DecimalSpecial(DecimalSpecial::PositiveInfinity) => "Infinity".to_owned(),
        Value::DecimalSpecial(DecimalSpecial::NegativeInfinity) => "-Infinity".to_owned(),
        Value::Text(v) => v.to_owned(),
        Value::Bytes(v) => v.iter().map(|b| format!("{b:02x}")).collect(),
        Value::Date(v) => v.to_string(),
        Value::Time(v) | Value::Timestamp(v) | Value::TimestampTz(v) => v.to_string(),
        Value::Interval(v) => format!("{} {} {}", v.months, v.days, v.micros),
        Value::Array(elements) => Json::Array(elements.iter().map(element).collect()).to_string(),
        Value::Absent
        | Value::UInt(_)
        | Value::NoSuchDate
        | Value::Geometry { .. }
        | Value::TimeTz { .. }
        | Value::FarTimestampTz { .. }
        | Value::Point { .. }
        | Value::Struct(_)
        | Value::UpdateDescription(_) => panic!("no row of this workload has {value:?}"),
    })
}

fn element(value: &Value<'_>) -> Json {
    match *value {
        Value::Null => Json::Null,
        Value::Int(v) => json!(v),
        Value::Text(v) => json!(v),
        other => panic!("no array of this workload has {other:?}"),
    }
}
