//! Lines between those who log and the thread that writes.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::Style;

/// Some hundred kilobytes: more than any burst of a pipeline that works.
const LINES_MAX: usize = 1024;
/// How long the last words wait for a reader that does not read, all of them together.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Since the last line that says so.
    n_lost: u64,
    /// The thread has a line in hand.
    writing: bool,
    /// The process ends: until then lines wait for room.
    ends: Option<Instant>,
}

impl State {
    fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX
    }

    /// What is left of the patience.
    fn left(&self) -> Duration {
        self.ends.map_or(Duration::ZERO, |ends| ends.saturating_duration_since(Instant::now()))
    }
}

impl Queue {
    /// A queue whose thread writes to what `open` gives.
    pub(super) fn start<W: Write>(
        style: Style,
        open: impl FnOnce() -> W + Send + 'static,
    ) -> Arc<Self> {
        let queue = Arc::new(Self { state: Mutex::default(), changed: Condvar::new() });
        let reader = Arc::clone(&queue);
        let thread = std::thread::Builder::new().name("logs".to_owned());
        let started = thread.spawn(move || reader.write_all(style, &mut open()));
        started.expect("a process that begins can start a thread");
        queue
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A line is there or not, whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.is_full() && !state.left().is_zero() {
            let left = state.left();
            let waited = self.changed.wait_timeout_while(state, left, |state| state.is_full());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.is_full() {
            state.n_lost += 1;
            return;
        }
        state.lines.push_back(line.to_vec());
        self.changed.notify_all();
    }

    pub(super) fn finish(&self) {
        let mut state = self.state();
        state.ends.get_or_insert_with(|| Instant::now() + PATIENCE);
        let left = state.left();
        let busy = |state: &mut State| state.writing || !state.lines.is_empty();
        drop(self.changed.wait_timeout_while(state, left, busy));
    }

    /// The thread: one line after the other, for ever.
    fn write_all(&self, style: Style, out: &mut impl Write) {
        loop {
            let idle = |state: &mut State| state.lines.is_empty();
            let state = self.changed.wait_while(self.state(), idle);
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            let line = state.lines.pop_front().unwrap_or_default();
            let n_lost = std::mem::take(&mut state.n_lost);
            state.writing = true;
            drop(state);
            // Nobody is left to tell where stderr is closed.
            out.write_all(&line).ok();
            if n_lost > 0 {
                out.write_all(lost(style, n_lost).as_bytes()).ok();
            }
            self.state().writing = false;
            self.changed.notify_all();
        }
    }
}

/// What stands where lines are missing.
fn lost(style: Style, n_lines: u64) -> String {
    const MESSAGE: &str = "lines were lost, because nobody read them";
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time)).ok();
    match style {
        Style::Text => format!("{time}  WARN {MESSAGE} n_lines={n_lines}\n"),
        Style::Json => format!(
            "{{\"timestamp\":\"{time}\",\"level\":\"WARN\",\"message\":\"{MESSAGE}\",\"n_lines\":{n_lines}}}\n"
        ),
    }
}

/// Takes one event as one piece, which is how it comes.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Instant;

    use super::*;

    /// Hands on what is written, and waits until somebody takes it.
    struct Slow(SyncSender<String>);

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.send(String::from_utf8_lossy(line).into_owned()).ok();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue() -> (Arc<Queue>, Receiver<String>) {
        let (sender, lines) = sync_channel(0);
        (Queue::start(Style::Json, move || Slow(sender)), lines)
    }

    #[test]
    fn who_logs_never_waits_and_what_is_lost_is_counted() {
        let (queue, lines) = queue();
        let started = Instant::now();
        for n in 0..5_000 {
            queue.push(format!("{n}\n").as_bytes());
        }
        assert!(started.elapsed() < Duration::from_secs(4), "nobody read");
        let (mut n_read, mut n_lost) = (0, 0);
        for line in lines.iter() {
            match serde_json::from_str::<serde_json::Value>(&line).unwrap() {
                serde_json::Value::Number(_) => n_read += 1,
                said => n_lost += said["n_lines"].as_u64().unwrap(),
            }
            if n_read + n_lost == 5_000 {
                break;
            }
        }
        assert!(n_read >= LINES_MAX as u64 && n_lost > 0);
    }

    #[test]
    fn the_last_words_wait_for_room() {
        let (queue, lines) = queue();
        for n in 0..2 * LINES_MAX {
            queue.push(format!("{n}\n").as_bytes());
        }
        let reader = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            lines.iter().take_while(|line| line != "end\n").count()
        });
        queue.state().ends = Some(Instant::now() + PATIENCE);
        queue.push(b"end\n");
        assert!(reader.join().unwrap() >= LINES_MAX, "and nothing before them is lost");
        queue.finish();
    }

    /// Each line behind the first words of the end had its own five seconds.
    #[test]
    fn the_last_words_have_one_patience_together() {
        let (queue, lines) = queue();
        for n in 0..2 * LINES_MAX {
            queue.push(format!("{n}\n").as_bytes());
        }
        let started = Instant::now();
        queue.finish();
        for _ in 0..5 {
            queue.push(b"more\n");
        }
        queue.finish();
        let took = started.elapsed();
        assert!((PATIENCE..PATIENCE + Duration::from_secs(2)).contains(&took), "{took:?}");
        drop(lines);
    }
}
