//! A million change events of MongoDB of 500 bytes, from raw batches to Avro, on the road that they
//! take in a pipeline: through the bounded sender of a session, the transcoder on its own thread,
//! and the queue before a sink, which here gives every batch back at once. Prints CPU time and peak
//! memory of the whole process. Budget: 2 µs of CPU an event, 96 MiB.
//!
//! `cargo bench --bench events`; `BENCH_ROWS` is the number of events.

#![expect(clippy::print_stdout, reason = "a measurement is printed")]
#![expect(clippy::disallowed_methods, reason = "no pipeline owns the task of a measurement")]

#[path = "../tests/support/decode_events.rs"]
mod decode_events;

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use tailwater::config::DeadLetterPolicy;
use tailwater::encode::{EncodeOptions, Encoder, Format, SchemaIds};
use tailwater::pipeline::keep;
use tailwater::pipeline::transcode::{DeadLetters, Transcoder};
use tailwater::record::{TopicId, Topics};
use tailwater::schema::registry::RegistryError;
use tailwater::sources::{RawBatch, RawSender};
use tailwater::stats::Stats;
use tokio::sync::mpsc;

/// The default of `memory_limit` after what the rest of the process takes.
const BUDGET_BYTES: u32 = 12 << 20;
/// About what a server sends in one reply to a stream that is behind, parted for the transcoder.
const EVENTS_PER_BATCH: usize = 1_000;

struct One;

impl SchemaIds for One {
    fn id(&mut self, _: &str, _: &str) -> Result<u32, RegistryError> {
        Ok(1)
    }
}

fn transcoder() -> Transcoder {
    let options = EncodeOptions {
        topic_prefix: "shop".to_owned(),
        format: Format::Avro,
        connector: "mongodb",
        values: tailwater::config::ValueModes::default(),
        tombstones: true,
        id_header: true,
        context_headers: false,
        transaction_topic: None,
    };
    let encoder = Encoder::new(options, Arc::new(Topics::default()), Box::new(One));
    let letters = DeadLetters { policy: DeadLetterPolicy::Halt, topic: TopicId(u32::MAX) };
    let decoder = Box::new(decode_events::decoder());
    let (keeper, _) = keep::channel();
    Transcoder::new(decoder, encoder, letters, keeper, Arc::new(Stats::default()))
}

fn main() {
    let n_events: usize =
        std::env::var("BENCH_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let made = decode_events::batch(EVENTS_PER_BATCH);
    let event_bytes = made.data.len() / EVENTS_PER_BATCH;
    let (raw_out, raw_in) = mpsc::channel(64);
    let (records_out, mut records_in) = mpsc::channel(4);
    let worker = thread::spawn(move || transcoder().run(raw_in, &records_out));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let n_records = runtime.block_on(async move {
        let session = tokio::spawn(async move {
            let sender = RawSender::new(raw_out, BUDGET_BYTES);
            for _ in 0..n_events / EVENTS_PER_BATCH {
                // A reply is memory of its own, as the driver hands it on.
                let data = Bytes::copy_from_slice(&made.data);
                let messages = made.messages.clone();
                let read_at = Instant::now();
                let batch = RawBatch { stage: made.stage, data, messages, read_at, budget: None };
                sender.send(batch).await.expect("the transcoder listens");
            }
        });
        let mut n_records = 0;
        while let Some(mut batch) = records_in.recv().await {
            n_records += batch.records.len();
            drop(batch.budget.take());
            batch.recycle();
        }
        session.await.expect("the session ends");
        n_records
    });
    worker.join().expect("the transcoder ends").expect("every event is encoded");
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert_eq!(n_records, n_events);
    let each = cpu * 1e6 / f64::from(u32::try_from(n_events).expect("a number of events"));
    println!(
        "{n_events} events of {event_bytes} bytes: {each:.2} µs of CPU an event, {seconds:.2} s, {} MiB at most",
        peak_kib() / 1024
    );
}

/// Of the process: user and system time (`proc_pid_stat(5)`, fields 14 and 15, in ticks of 10 ms).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a command in parentheses");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("a number of ticks");
    (ticks(11) + ticks(12)) / 100.0
}

/// `VmHWM`
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
}
