//! When the stream's socket is read: at once while little comes, in heaps while much does.
//!
//! A server sends every row change by itself (PostgreSQL's `WalSndWriteData` in `walsender.c`), so
//! a reader that keeps up with it gets one row per read, and each passes every queue and wakes
//! every thread behind for itself alone. A short rest lets the rows gather in the kernel's buffer instead. It
//! costs that much latency, so it is taken only while rows come without a pause.

use std::time::{Duration, Instant};

/// Long enough for a good number of rows, short enough for the kernel's buffer and for latency.
const REST: Duration = Duration::from_millis(3);
/// Whatever comes within this time has come without a pause.
const PAUSE: Duration = Duration::from_millis(1);
/// Batches of this size and more are worth their way.
const SMALL_BYTES: usize = 64 << 10;
/// A rest that brought less was not worth it.
const WORTHWHILE_BYTES: usize = 4 << 10;
/// A few small batches in a row are one short transaction.
const STREAK: u32 = 8;

#[derive(Debug)]
pub(super) struct Pace {
    last: Instant,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    /// So many small batches came without a pause.
    Eager { streak: u32 },
    /// Much comes; whether the last batch was read after a rest.
    Resting { rested: bool },
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, mode: Mode::Eager { streak: 0 } }
    }

    /// A batch was handed on: until when the socket is left alone, if it is.
    pub(super) fn after(&mut self, n_bytes: usize, now: Instant) -> Option<Instant> {
        let pause = now.saturating_duration_since(self.last);
        self.last = now;
        let small = n_bytes < SMALL_BYTES;
        self.mode = match self.mode {
            Mode::Eager { .. } if !small || pause >= PAUSE => Mode::Eager { streak: 0 },
            Mode::Eager { streak } if streak + 1 < STREAK => Mode::Eager { streak: streak + 1 },
            Mode::Resting { rested: true } if n_bytes < WORTHWHILE_BYTES => {
                Mode::Eager { streak: 0 }
            }
            Mode::Eager { .. } | Mode::Resting { .. } => Mode::Resting { rested: small },
        };
        matches!(self.mode, Mode::Resting { rested: true }).then(|| now + REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds batches as (microseconds after the last one, bytes) and gives which of them rests.
    fn rests(batches: &[(u64, usize)]) -> Vec<bool> {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let each = batches.iter().map(|(after_us, n_bytes)| {
            now += Duration::from_micros(*after_us);
            pace.after(*n_bytes, now).is_some()
        });
        each.collect()
    }

    #[test]
    fn rows_with_pauses_between_them_never_wait() {
        let transaction = [(1_200, 60), (50, 150), (50, 60)];
        assert!(!rests(&transaction.repeat(20)).contains(&true));
    }

    #[test]
    fn rows_without_a_pause_are_gathered_as_long_as_that_gathers_something() {
        let mut batches = vec![(20, 150); 8];
        batches.extend([(3_500, 5_000), (3_500, 5_000), (3_500, 300), (20, 150)]);
        let expected = [&[false; 7][..], &[true, true, true, false, false]].concat();
        assert_eq!(rests(&batches), expected);
    }

    #[test]
    fn large_batches_need_no_rest() {
        assert!(!rests(&[(20, 200_000); 20]).contains(&true));
        let mut batches = vec![(20, 150); 8];
        batches.extend([(3_500, 200_000), (20, 150), (3_500, 200_000)]);
        assert_eq!(rests(&batches)[7..], [true, false, true, false]);
    }
}
