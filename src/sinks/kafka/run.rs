//! The run: batches in, records to librdkafka, receipts out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use tokio::sync::mpsc;

use super::delivery::{Failure, Ledger, N_SLOTS, Token};
use super::error::{AclOperation, Refusal, SinkError, SizeSetting, refusal};
use super::letters::{self, BATCH_OVERHEAD};
use super::limits::Limits;
use super::producer::{Producer, addressed};
use super::sink::KafkaSink;
use super::topics::TopicState;
use crate::config::{DeadLetterPolicy, KafkaConfig};
use crate::disposition::{Diagnose, Disposition};
use crate::failpoint;
use crate::kafka_client::{Purpose, client_config};
use crate::record::{Record, RecordBatch, TopicId, TopicRole};
use crate::sinks::Receipt;
use crate::sinks::dead_letter::HEADER_PART;

/// A full queue is tried again after this long, or as soon as a batch is complete.
const FULL_WAIT: Duration = Duration::from_millis(5);
/// Producers whose last reports are awaited are looked at this often.
const IDLE_WAIT: Duration = Duration::from_millis(5);

pub(super) enum End {
    /// Nobody takes receipts any more.
    Closed,
    Failed(SinkError),
}

impl From<SinkError> for End {
    fn from(error: SinkError) -> Self {
        Self::Failed(error)
    }
}

struct InFlight {
    slot: usize,
    /// Since when it is the brokers' turn.
    since: Instant,
    batch: RecordBatch,
}

pub(super) struct Run {
    sink: KafkaSink,
    receipts: mpsc::Sender<Receipt>,
    client: ClientConfig,
    limits: Limits,
    ledger: Arc<Ledger>,
    producer: Producer,
    /// In the order of the batches; the last one may still be on its way into the producer.
    in_flight: VecDeque<InFlight>,
    next_slot: usize,
}

/// Why a record is not queued yet.
enum Obstacle {
    NewTopic(TopicId),
    QueueFull,
    Failed(SinkError),
}

impl Run {
    pub(super) fn new(sink: KafkaSink, receipts: mpsc::Sender<Receipt>) -> Result<Self, SinkError> {
        let client = producer_config(&sink.config);
        let ledger = Arc::new(Ledger::new());
        let producer = Producer::new(&client, &ledger)?;
        let limits = Limits::of(&client);
        let in_flight = VecDeque::with_capacity(N_SLOTS);
        Ok(Self { sink, receipts, client, limits, ledger, producer, in_flight, next_slot: 0 })
    }

    pub(super) async fn drive(
        &mut self,
        mut batches: mpsc::Receiver<RecordBatch>,
    ) -> Result<(), End> {
        let mut open = true;
        loop {
            self.settle().await?;
            if !open && self.in_flight.is_empty() {
                return Ok(());
            }
            let oldest = oldest(&self.in_flight, &self.ledger).map(|flight| flight.since);
            let overdue = oldest.map(|since| since + self.sink.config.retry_budget);
            tokio::select! {
                biased;
                // 1. What was delivered frees memory and moves the checkpoint.
                () = self.ledger.changed() => {}
                // 2. Seldom; settled above, which ends the run.
                () = sleep_until(overdue) => {}
                // 3. New work, as long as there is a slot for it. Cancel-safe, as recv is.
                batch = batches.recv(), if open && self.in_flight.len() < N_SLOTS => match batch {
                    Some(batch) => self.enqueue(batch).await?,
                    None => open = false,
                },
            }
        }
    }

    /// Hands the records of a batch to librdkafka, in order.
    async fn enqueue(&mut self, batch: RecordBatch) -> Result<(), End> {
        let (slot, n) = (self.next_slot, batch.records.len());
        self.next_slot = (slot + 1) % N_SLOTS;
        // One more than records, settled below: the batch must not complete while it is queued.
        self.ledger.open(slot, n + 1);
        self.in_flight.push_back(InFlight { slot, since: Instant::now(), batch });
        let mut index = 0;
        while index < n {
            match self.try_queue(index) {
                Ok(()) => index += 1,
                Err(Obstacle::NewTopic(id)) => self.meet_topic(id).await?,
                Err(Obstacle::QueueFull) => self.wait_for_room().await?,
                Err(Obstacle::Failed(error)) => {
                    let last = self.in_flight.len() - 1;
                    self.bury(last, index, error).await?;
                    index += 1;
                }
            }
            if index == 1 {
                failpoint::hit(failpoint::SEND);
            }
        }
        self.ledger.settle(slot);
        Ok(())
    }

    /// Queues one record of the youngest batch. The road of every record: no await, no lock.
    fn try_queue(&self, index: usize) -> Result<(), Obstacle> {
        let InFlight { slot, batch, .. } = self.in_flight.back().expect("pushed by enqueue");
        let record = &batch.records[index];
        let topic = self.sink.book.get(record.topic).ok_or(Obstacle::NewTopic(record.topic))?;
        let bytes = letters::wire_bytes(batch, record);
        if let Some((limit, setting)) = self.limits.broken_by(bytes, topic) {
            return Err(Obstacle::Failed(oversized(topic, bytes, (limit, setting))));
        }
        let token = Token { slot: *slot, record: index, dead_letter: false };
        self.send(topic, (batch, record), token, None).map_err(|error| {
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => Obstacle::QueueFull,
                Some(code) if refusal(code) == Refusal::TooLarge => {
                    let limit = (self.limits.message_bytes, SizeSetting::Client);
                    Obstacle::Failed(oversized(topic, bytes, limit))
                }
                code => {
                    Obstacle::Failed(self.failed(code.unwrap_or(RDKafkaErrorCode::Fail), topic))
                }
            }
        })
    }

    fn send(
        &self,
        topic: &TopicState,
        (batch, record): (&RecordBatch, &Record),
        token: Token,
        part: Option<&str>,
    ) -> Result<(), KafkaError> {
        let key = batch.key(record);
        let mut out = addressed(&topic.name, topic.partition(key), token);
        if let Some(key) = key {
            out = out.key(key);
        }
        if let Some(value) = batch.value(record) {
            out = out.payload(value);
        }
        let headers = batch.headers(record);
        if headers.len() > 0 || part.is_some() {
            let mut owned = OwnedHeaders::new_with_capacity(headers.len() + 1);
            for (name, value) in headers {
                // Header names are ours: ASCII.
                let key = std::str::from_utf8(name).unwrap_or("?");
                owned = owned.insert(Header { key, value });
            }
            if let Some(part) = part {
                owned = owned.insert(Header { key: HEADER_PART, value: Some(part) });
            }
            out = out.headers(owned);
        }
        self.producer.send(out)
    }

    async fn meet_topic(&mut self, id: TopicId) -> Result<(), End> {
        let topic = self.sink.topics.get(id);
        self.sink.book.resolve(id, topic, &self.ledger).await?;
        // Which had a budget of its own.
        if let Some(youngest) = self.in_flight.back_mut() {
            youngest.since = Instant::now();
        }
        let limit = self.sink.book.get(id).and_then(|topic| topic.bytes_max);
        if let Some(limit) = limit.filter(|limit| *limit < self.limits.batch_bytes) {
            self.shrink_batches(limit).await?;
        }
        Ok(())
    }

    /// A topic takes smaller batches than this producer makes: the brokers would refuse many small
    /// records together. `batch.size` belongs to the producer, so a new one is made, after the last
    /// report of the old one, so that order holds.
    async fn shrink_batches(&mut self, limit: usize) -> Result<(), End> {
        while !self.producer.is_idle() {
            self.check()?;
            tokio::time::sleep(IDLE_WAIT).await;
        }
        self.client.set("batch.size", limit.to_string());
        self.producer = Producer::new(&self.client, &self.ledger)?;
        self.limits = Limits::of(&self.client);
        tracing::info!(batch_bytes = limit, "batches are kept below the topic's max.message.bytes");
        Ok(())
    }

    async fn wait_for_room(&mut self) -> Result<(), End> {
        self.settle().await?;
        // A time-out is as good as news: either way the queue is tried again.
        tokio::time::timeout(FULL_WAIT, self.ledger.changed()).await.unwrap_or(());
        Ok(())
    }

    /// Sends the receipts of what is complete and deals with what failed.
    async fn settle(&mut self) -> Result<(), End> {
        self.check()?;
        while let Some(failure) = self.ledger.take_too_large() {
            let (at, error) = self.refused_for_size(failure);
            self.bury(at, failure.token.record, error).await?;
        }
        while let Some(oldest) = self.in_flight.front()
            && self.ledger.is_complete(oldest.slot)
        {
            let Some(InFlight { batch, .. }) = self.in_flight.pop_front() else { break };
            let receipt = Receipt::of(batch);
            failpoint::hit(failpoint::DELIVERED);
            self.receipts.send(receipt).await.map_err(|_| End::Closed)?;
        }
        Ok(())
    }

    /// Failures that end the run.
    fn check(&self) -> Result<(), SinkError> {
        if let Some(failure) = self.ledger.last_straw() {
            let topic = self.topic_of(failure);
            return Err(self.failed(failure.code, topic));
        }
        match self.ledger.client_failure() {
            Some(failure) if refusal(failure.code) == Refusal::Authentication => {
                Err(self.sink.book.unauthenticated(failure.reason))
            }
            Some(failure) => Err(self.fatal(failure.reason)),
            None => self.check_age(),
        }
    }

    /// The budget of a delivery. librdkafka would give up record by record, and a broker that
    /// comes back between two of them would get the second of a key without the first: here all
    /// are given up together, with the producer.
    fn check_age(&self) -> Result<(), SinkError> {
        match oldest(&self.in_flight, &self.ledger) {
            Some(InFlight { since, batch, .. })
                if since.elapsed() >= self.sink.config.retry_budget =>
            {
                let first = batch.records.first();
                let topic = first.map(|record| self.sink.topics.get(record.topic).name.to_string());
                Err(SinkError::TimedOut {
                    topic: topic.unwrap_or_default(),
                    budget_ms: self.sink.config.retry_budget.as_millis(),
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A producer without the right to write gets no producer id, which librdkafka calls fatal: no
    /// new producer would fare better.
    fn fatal(&self, detail: String) -> SinkError {
        match (self.producer.fatal_code(), self.in_flight.front()) {
            (
                Some(
                    RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::TopicAuthorizationFailed,
                ),
                Some(InFlight { batch, .. }),
            ) if !batch.records.is_empty() => {
                let topic = self.sink.topics.get(batch.records[0].topic);
                self.sink.book.denied(AclOperation::Write, &topic.name)
            }
            _ => SinkError::Fatal { detail },
        }
    }

    /// The brokers refused a record for its size. It was alone in its batch if it is larger than
    /// any batch of several; otherwise it may be innocent.
    fn refused_for_size(&self, failure: Failure) -> (usize, SinkError) {
        let at = self.position(failure.token.slot);
        let batch = &self.in_flight[at].batch;
        let bytes = letters::wire_bytes(batch, &batch.records[failure.token.record]);
        let topic = self.topic_of(failure);
        let error = if bytes + BATCH_OVERHEAD > self.limits.batch_bytes {
            let limit = topic.bytes_max.unwrap_or(self.limits.batch_bytes);
            oversized(topic, bytes, (limit, SizeSetting::Topic))
        } else {
            SinkError::BatchTooLarge {
                topic: topic.name.to_string(),
                brokers: self.sink.book.brokers(),
            }
        };
        (at, error)
    }

    /// Puts a letter in the place of a record that cannot be sent, or ends the run.
    async fn bury(&mut self, at: usize, index: usize, error: SinkError) -> Result<(), End> {
        let InFlight { slot, batch, .. } = &self.in_flight[at];
        let (slot, record) = (*slot, &batch.records[index]);
        let origin = self.sink.topics.get(record.topic);
        let letter = if origin.role == TopicRole::DeadLetter {
            letters::alone(batch, record)
        } else if error.disposition() == Disposition::DeadLetter
            && self.sink.policy == DeadLetterPolicy::DeadLetter
        {
            tracing::warn!(topic = %origin.name, %error, "record goes to the dead letters");
            letters::letter(batch, record, &error, (&origin.name, self.sink.dead_letters))
        } else {
            return Err(error.into());
        };
        // A letter of the transcoder's own was counted there.
        let n_new = u64::from(origin.role != TopicRole::DeadLetter);
        self.in_flight[at].batch.n_dead_letters += n_new;
        let dead_letters = letter.records[0].topic;
        if self.sink.book.get(dead_letters).is_none() {
            self.meet_topic(dead_letters).await?;
        }
        let token = Token { slot, record: index, dead_letter: true };
        self.send_letter(&letter, token, error).await
    }

    /// Sends a letter whole or in parts. It takes over the count of the record that it stands for.
    async fn send_letter(
        &mut self,
        letter: &RecordBatch,
        token: Token,
        error: SinkError,
    ) -> Result<(), End> {
        let mut record = letter.records[0].clone();
        let topic = self.sink.book.get(record.topic).expect("met by bury");
        let Some(parts) = letters::parts(letter, &record, self.limits.safe(topic)) else {
            return Err(error.into());
        };
        let n = parts.len();
        self.ledger.expect_more(token.slot, n - 1);
        for (i, part) in (1_usize..).zip(parts) {
            record.value = record.value.is_some().then_some(part);
            let name = (n > 1).then(|| format!("{i}/{n}"));
            loop {
                let topic = self.sink.book.get(record.topic).expect("met by bury");
                match self.send(topic, (letter, &record), token, name.as_deref()) {
                    Ok(()) => break,
                    Err(error)
                        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) =>
                    {
                        self.check()?;
                        tokio::time::sleep(FULL_WAIT).await;
                    }
                    Err(error) => {
                        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                        return Err(self.failed(code, topic).into());
                    }
                }
            }
        }
        Ok(())
    }

    fn failed(&self, source: RDKafkaErrorCode, topic: &TopicState) -> SinkError {
        let name = topic.name.to_string();
        match refusal(source) {
            Refusal::TooLarge => {
                SinkError::BatchTooLarge { topic: name, brokers: self.sink.book.brokers() }
            }
            Refusal::TimedOut => SinkError::TimedOut {
                topic: name,
                budget_ms: self.sink.config.retry_budget.as_millis(),
            },
            Refusal::AclDenied => self.sink.book.denied(AclOperation::Write, &name),
            Refusal::TopicGone => SinkError::TopicGone { topic: name, source },
            Refusal::InvalidRecord => SinkError::InvalidRecord { topic: name, source },
            Refusal::Authentication => self.sink.book.unauthenticated(source.to_string()),
            Refusal::Fatal => self.fatal(source.to_string()),
            // A fatal producer throws away what it has: the reason is its own, not the record's.
            Refusal::Purged | Refusal::Other if self.producer.fatal_code().is_some() => {
                self.fatal(source.to_string())
            }
            Refusal::Purged | Refusal::Other => SinkError::Refused { topic: name, source },
        }
    }

    fn position(&self, slot: usize) -> usize {
        let found = self.in_flight.iter().position(|flight| flight.slot == slot);
        found.expect("a batch with a failed record is not complete, so it is still here")
    }

    fn topic_of(&self, failure: Failure) -> &TopicState {
        let batch = &self.in_flight[self.position(failure.token.slot)].batch;
        let id = match failure.token.dead_letter {
            true if self.sink.topics.get(batch.records[failure.token.record].topic).role
                != TopicRole::DeadLetter =>
            {
                self.sink.dead_letters
            }
            true | false => batch.records[failure.token.record].topic,
        };
        self.sink.book.get(id).expect("a record was sent to it")
    }
}

/// A record waits for ever in librdkafka: [`Run::check_age`] gives up, not record by record.
/// <https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md>
fn producer_config(kafka: &KafkaConfig) -> ClientConfig {
    let mut client = client_config(kafka, Purpose::Produce);
    client.set("message.timeout.ms", "0");
    client
}

/// The first batch that waits for the brokers: behind it some may be complete, before it some may
/// wait for their receipts only.
fn oldest<'a>(in_flight: &'a VecDeque<InFlight>, ledger: &Ledger) -> Option<&'a InFlight> {
    in_flight.iter().find(|flight| !ledger.is_complete(flight.slot))
}

/// Waits for ever where there is nothing to wait for. Cancel-safe.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn oversized(
    topic: &TopicState,
    bytes: usize,
    (limit, setting): (usize, SizeSetting),
) -> SinkError {
    SinkError::Oversized { topic: topic.name.to_string(), bytes, limit, setting }
}

#[cfg(test)]
mod tests;
