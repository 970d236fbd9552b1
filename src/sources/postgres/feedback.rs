//! When the server is told what, on a replication stream. Pure: the clock is passed in.
//!
//! Two positions go up. *Write* is what we have received; it frees nothing and is for the
//! server's statistics. *Flush* (and *apply*) is what may be forgotten, and that is the last
//! acknowledgement that came out of a durable checkpoint, nothing else; before the first one it
//! is zero, which the server takes as "no word yet".
//! <https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-STANDBY-STATUS-UPDATE>

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::error::SourceError;
use crate::offsets::position::Lsn;

/// A new acknowledgement waits at most this long for its status update.
const CONFIRM_DELAY: Duration = Duration::from_millis(500);
/// From 1970 to 2000, where the server's time begins.
const EPOCH_2000: Duration = Duration::from_secs(946_684_800);

pub(super) const STATUS_BYTES: usize = 34;

#[derive(Debug)]
pub(super) struct Feedback {
    interval: Duration,
    received: Lsn,
    confirmed: Lsn,
    sent_confirmed: Lsn,
    sent_at: Instant,
    asked_at: Instant,
    /// The server wants to hear from us now.
    wanted: bool,
}

impl Feedback {
    /// Stays well inside the time after which the server hangs up, zero meaning never.
    pub(super) fn new(interval: Duration, wal_sender_timeout: Duration, now: Instant) -> Self {
        let interval = if wal_sender_timeout.is_zero() {
            interval
        } else {
            interval.min(wal_sender_timeout / 3)
        };
        let none = Lsn::default();
        Self {
            interval,
            received: none,
            confirmed: none,
            sent_confirmed: none,
            sent_at: now,
            asked_at: now,
            wanted: false,
        }
    }

    pub(super) fn receive(&mut self, lsn: Lsn) {
        // Keepalives and rows carry positions of different kinds; the highest is what we have.
        self.received = self.received.max(lsn);
    }

    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// # Errors
    /// When it would take back what was confirmed before.
    pub(super) fn confirm(&mut self, lsn: Lsn) -> Result<(), SourceError> {
        if lsn < self.confirmed {
            return Err(SourceError::ConfirmedBackwards { from: self.confirmed, to: lsn });
        }
        self.confirmed = lsn;
        Ok(())
    }

    /// Whether anything was confirmed yet.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed > Lsn::default()
    }

    /// When the next status update is to be sent.
    pub(super) fn due(&self) -> Instant {
        if self.wanted {
            self.sent_at
        } else if self.confirmed > self.sent_confirmed {
            self.sent_at + CONFIRM_DELAY.min(self.interval)
        } else {
            self.sent_at + self.interval
        }
    }

    /// The update itself. Once an interval it asks for an answer, so that an idle server says how
    /// far its log has come even when it never speaks unasked (`wal_sender_timeout = 0`).
    pub(super) fn status(&mut self, now: Instant, time: SystemTime) -> [u8; STATUS_BYTES] {
        let ask = now.duration_since(self.asked_at) >= self.interval;
        if ask {
            self.asked_at = now;
        }
        self.sent_at = now;
        self.sent_confirmed = self.confirmed;
        self.wanted = false;
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_2000 = since_1970.saturating_sub(EPOCH_2000).as_micros();
        let since_2000 = i64::try_from(since_2000).unwrap_or_default();

        let mut update = [0; STATUS_BYTES];
        update[0] = b'r';
        // A position that we confirm was received, if by an earlier run.
        update[1..9].copy_from_slice(&self.received.max(self.confirmed).0.to_be_bytes());
        update[9..17].copy_from_slice(&self.confirmed.0.to_be_bytes());
        update[17..25].copy_from_slice(&self.confirmed.0.to_be_bytes());
        update[25..33].copy_from_slice(&since_2000.to_be_bytes());
        update[33] = u8::from(ask);
        update
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn lsn(update: &[u8], at: usize) -> u64 {
        u64::from_be_bytes(update[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn nothing_but_an_acknowledgement_is_reported_as_flushed() {
        let now = Instant::now();
        let mut feedback = Feedback::new(INTERVAL, Duration::ZERO, now);
        feedback.receive(Lsn(70));
        feedback.receive(Lsn(60));
        let update = feedback.status(now, UNIX_EPOCH + EPOCH_2000 + Duration::from_micros(5));
        assert_eq!((lsn(&update, 1), lsn(&update, 9), lsn(&update, 17)), (70, 0, 0));
        assert_eq!(lsn(&update, 25), 5);
        feedback.confirm(Lsn(50)).unwrap();
        let update = feedback.status(now, UNIX_EPOCH);
        assert_eq!((lsn(&update, 1), lsn(&update, 9), lsn(&update, 17)), (70, 50, 50));
    }

    #[test]
    fn what_was_confirmed_is_never_taken_back() {
        let mut feedback = Feedback::new(INTERVAL, Duration::ZERO, Instant::now());
        feedback.confirm(Lsn(50)).unwrap();
        feedback.confirm(Lsn(50)).unwrap();
        let error = feedback.confirm(Lsn(49)).unwrap_err();
        assert!(matches!(error, SourceError::ConfirmedBackwards { .. }));
    }

    #[test]
    fn an_update_is_due_at_once_when_wanted_soon_after_an_acknowledgement_else_in_time() {
        let now = Instant::now();
        let mut feedback = Feedback::new(INTERVAL, Duration::ZERO, now);
        assert_eq!(feedback.due(), now + INTERVAL);
        feedback.confirm(Lsn(1)).unwrap();
        assert_eq!(feedback.due(), now + CONFIRM_DELAY);
        feedback.want();
        assert_eq!(feedback.due(), now);
        feedback.status(now, UNIX_EPOCH);
        assert_eq!(feedback.due(), now + INTERVAL);
        // The server would hang up after 6 s.
        let feedback = Feedback::new(INTERVAL, Duration::from_secs(6), now);
        assert_eq!(feedback.due(), now + Duration::from_secs(2));
    }

    #[test]
    fn an_answer_is_asked_for_once_an_interval_however_often_updates_go() {
        let start = Instant::now();
        let mut feedback = Feedback::new(INTERVAL, Duration::ZERO, start);
        let mut asked = 0;
        for step in 1..=100 {
            let now = start + Duration::from_secs(1) * step;
            asked += i32::from(feedback.status(now, UNIX_EPOCH)[33]);
        }
        assert_eq!(asked, 10);
    }
}
