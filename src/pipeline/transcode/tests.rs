//! One event of many rows, on its way in pieces. The rows become dead letters, which takes no table.

use std::time::Duration;

use super::*;
use crate::change::Progress;
use crate::encode::{EncodeOptions, Format};
use crate::offsets::position::{Lsn, Position, PostgresPosition};
use crate::pipeline::keep;
use crate::pipeline::schema_ids::NoSchemaIds;
use crate::record::{TopicRole, Topics};
use crate::schema::history::SchemaHistory;
use crate::sources::RawSender;

const BUDGET_BYTES: u32 = 1 << 20;
const ROW_BYTES: usize = 50_000;
const N_ROWS: u64 = 100;

#[derive(Debug, thiserror::Error)]
#[error("convert a row")]
struct Bad;

impl Diagnose for Bad {
    fn disposition(&self) -> Disposition {
        Disposition::DeadLetter
    }
}

/// Rows of one event, then the place behind it.
struct Giant;

impl Decode for Giant {
    fn decode<'a>(
        &mut self,
        _: &'a RawBatch,
        _: &'a Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        let raw = vec![b'x'; ROW_BYTES / 4 * 3];
        for ordinal in 0..N_ROWS {
            let id = EventId { transaction: "t", ordinal };
            out.undecodable(Undecodable { table: "s.t", id, raw: &raw, error: Box::new(Bad) })?;
        }
        let (system_id, lsn) = ("7".to_owned(), Lsn(9));
        let position = PostgresPosition { system_id, timeline: 1, lsn };
        out.progress(Progress::Stream(Position::Postgres(position), SchemaHistory::default()));
        Ok(())
    }
}

/// A transcoder at work on one event of a few bytes.
fn start() -> (RawSender, mpsc::Receiver<RecordBatch>, std::thread::JoinHandle<Result<(), RunError>>)
{
    let topics = std::sync::Arc::new(Topics::default());
    let topic = topics.intern("dead", TopicRole::DeadLetter);
    let options = EncodeOptions {
        connector: "postgresql",
        topic_prefix: "shop".to_owned(),
        format: Format::Json { schemas: false },
        values: crate::config::ValueModes::default(),
        tombstones: true,
        id_header: true,
        context_headers: false,
        transaction_topic: None,
    };
    let encoder = Encoder::new(options, topics, Box::new(NoSchemaIds));
    let letters = DeadLetters { policy: DeadLetterPolicy::DeadLetter, topic };
    let transcoder = {
        let (keeper, _) = keep::channel();
        Transcoder::new(Box::new(Giant), encoder, letters, keeper, std::sync::Arc::default())
    };
    let (sender, raw) = mpsc::channel(4);
    let (out, batches) = mpsc::channel(64);
    let sender = RawSender::new(sender, BUDGET_BYTES);
    let working = std::thread::spawn(move || transcoder.run(raw, &out));
    (sender, batches, working)
}

fn raw() -> RawBatch {
    RawBatch {
        stage: Stage::Stream,
        data: vec![0; 100].into(),
        messages: vec![],
        read_at: Instant::now(),
        budget: None,
    }
}

/// A compressed transaction became one batch, however large it was: outside of the budget, and
/// beyond 4 GiB not at all.
#[tokio::test]
async fn an_event_of_any_size_leaves_in_pieces_within_the_budget() {
    let (sender, mut batches, working) = start();
    sender.send(raw()).await.unwrap();
    let budget = sender.budget();
    drop(sender);
    let (mut n_records, mut next, mut n_waits, mut last) = (0, 0, 0, None);
    loop {
        // As far as it comes while nothing is delivered.
        let mut held = Vec::new();
        while let Ok(Some(batch)) =
            tokio::time::timeout(Duration::from_millis(300), batches.recv()).await
        {
            held.push(batch);
        }
        let bytes: usize = held.iter().map(|batch: &RecordBatch| batch.data.len()).sum();
        assert!(bytes < BUDGET_BYTES as usize, "{bytes} bytes are on their way");
        n_waits += 1;
        for batch in held {
            assert!(last.is_none(), "the place comes with the last of them");
            assert_eq!(batch.sequence, next);
            next += 1;
            n_records += batch.records.len();
            last = batch.boundaries.last().map(|boundary| boundary.records);
        }
        if working.is_finished() && batches.is_empty() {
            break;
        }
    }
    working.join().unwrap().unwrap();
    assert_eq!(u64::try_from(n_records).unwrap(), N_ROWS);
    assert!(last.is_some());
    assert!(n_waits > 3, "{n_waits}");
    assert_eq!(budget.available_permits(), BUDGET_BYTES as usize, "all of it is free again");
}

#[tokio::test]
async fn whoever_waits_in_the_middle_of_an_event_leaves_with_the_sink() {
    let (sender, mut batches, working) = start();
    sender.send(raw()).await.unwrap();
    let first = batches.recv().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!working.is_finished(), "it waits for room");
    drop((first, batches));
    let ended = tokio::task::spawn_blocking(|| working.join().unwrap()).await.unwrap();
    assert!(ended.is_ok(), "{ended:?}");
}
