//! The ledger of what is on its way: a counter per batch in flight, written by librdkafka's
//! callbacks and read by the sink.
//!
//! On success a callback takes one atomic step, no lock and no allocation. Only failures take a
//! lock; they are rare and end the run or bury the record.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tokio::sync::Notify;

use super::error::{Refusal, refusal};
use crate::kafka_client::{ClientFailure, KafkaLog, log_line};

/// Batches in flight at most. A batch holds up to about a megabyte, librdkafka's queue 32 of them.
pub(super) const N_SLOTS: usize = 64;
const SLOT_BITS: u32 = 6;

/// Which record a delivery report is about, packed into the word that librdkafka carries along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) slot: usize,
    pub(super) record: usize,
    /// The record's stand-in among the dead letters, not the record itself.
    pub(super) dead_letter: bool,
}

impl Token {
    pub(super) fn pack(self) -> usize {
        self.record << (SLOT_BITS + 1) | usize::from(self.dead_letter) << SLOT_BITS | self.slot
    }

    pub(super) fn unpack(word: usize) -> Self {
        Self {
            slot: word & (N_SLOTS - 1),
            record: word >> (SLOT_BITS + 1),
            dead_letter: word >> SLOT_BITS & 1 == 1,
        }
    }
}

/// A record that was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) token: Token,
    pub(super) code: RDKafkaErrorCode,
}

#[derive(Debug)]
pub(super) struct Ledger {
    outstanding: [AtomicUsize; N_SLOTS],
    /// Records refused for their size, in the order of the reports.
    too_large: Mutex<VecDeque<Failure>>,
    /// The first failure that ends the run; what follows it says nothing new.
    last_straw: Mutex<Option<Failure>>,
    log: KafkaLog,
    changed: Notify,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            outstanding: std::array::from_fn(|_| AtomicUsize::new(0)),
            too_large: Mutex::default(),
            last_straw: Mutex::default(),
            log: KafkaLog::default(),
            changed: Notify::new(),
        }
    }

    /// Begins a batch: `n` reports (or calls of [`Self::settle`]) complete it.
    pub(super) fn open(&self, slot: usize, n: usize) {
        let before = self.outstanding[slot].swap(n, Ordering::AcqRel);
        assert_eq!(before, 0, "a slot is used again only after its batch was completed");
    }

    /// Adds reports to a batch that is not complete.
    pub(super) fn expect_more(&self, slot: usize, n: usize) {
        let before = self.outstanding[slot].fetch_add(n, Ordering::AcqRel);
        assert_ne!(before, 0, "a complete batch expects nothing more");
    }

    /// One report of the batch has come.
    pub(super) fn settle(&self, slot: usize) {
        // AcqRel: whoever sees zero sees everything that happened before each of the reports.
        if self.outstanding[slot].fetch_sub(1, Ordering::AcqRel) == 1 {
            self.changed.notify_one();
        }
    }

    pub(super) fn is_complete(&self, slot: usize) -> bool {
        self.outstanding[slot].load(Ordering::Acquire) == 0
    }

    pub(super) fn take_too_large(&self) -> Option<Failure> {
        lock(&self.too_large).pop_front()
    }

    pub(super) fn last_straw(&self) -> Option<Failure> {
        *lock(&self.last_straw)
    }

    pub(super) fn client_failure(&self) -> Option<ClientFailure> {
        self.log.failure()
    }

    /// Waits until a batch was completed or something failed. Never misses one: the permit of a
    /// notification is kept until it is taken.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A failed record keeps its count, so that its batch is not complete.
    fn fail(&self, token: Token, code: RDKafkaErrorCode) {
        let failure = Failure { token, code };
        if refusal(code) == Refusal::TooLarge && !token.dead_letter {
            lock(&self.too_large).push_back(failure);
        } else {
            lock(&self.last_straw).get_or_insert(failure);
        }
        self.changed.notify_one();
    }
}

impl ClientContext for Ledger {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if self.log.note(&error, reason) {
            self.changed.notify_one();
        }
    }

    fn stats_raw(&self, _statistics: &[u8]) {}
}

impl ProducerContext for Ledger {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, word: usize) {
        let token = Token::unpack(word);
        match result {
            Ok(_) => self.settle(token.slot),
            Err((error, _)) => {
                self.fail(token, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(slot: usize, record: usize) -> Token {
        Token { slot, record, dead_letter: false }
    }

    #[test]
    fn a_token_survives_the_way_through_librdkafka() {
        for slot in [0, 1, 63] {
            for record in [0, 1, 200_000] {
                for dead_letter in [false, true] {
                    let token = Token { slot, record, dead_letter };
                    assert_eq!(Token::unpack(token.pack()), token);
                }
            }
        }
    }

    #[test]
    fn a_batch_is_complete_after_its_last_report_and_not_before() {
        let ledger = Ledger::new();
        ledger.open(5, 3);
        ledger.settle(5);
        ledger.expect_more(5, 1);
        ledger.settle(5);
        ledger.settle(5);
        assert!(!ledger.is_complete(5));
        ledger.settle(5);
        assert!(ledger.is_complete(5));
    }

    #[test]
    fn a_failed_record_keeps_its_batch_open_and_the_first_reason_is_kept() {
        let ledger = Ledger::new();
        ledger.open(0, 2);
        ledger.fail(token(0, 0), RDKafkaErrorCode::MessageTimedOut);
        ledger.fail(token(0, 1), RDKafkaErrorCode::PurgeQueue);
        assert!(!ledger.is_complete(0));
        let first = ledger.last_straw().unwrap();
        assert_eq!((first.token, first.code), (token(0, 0), RDKafkaErrorCode::MessageTimedOut));
    }

    #[test]
    fn an_oversized_record_can_be_buried_but_not_its_dead_letter() {
        let ledger = Ledger::new();
        ledger.open(0, 2);
        ledger.fail(token(0, 1), RDKafkaErrorCode::MessageSizeTooLarge);
        assert_eq!(ledger.take_too_large().unwrap().token, token(0, 1));
        assert_eq!(ledger.last_straw(), None);
        let letter = Token { dead_letter: true, ..token(0, 1) };
        ledger.fail(letter, RDKafkaErrorCode::MessageSizeTooLarge);
        assert_eq!(ledger.last_straw().unwrap().token, letter);
    }
}
