//! Which parts of schema histories the topic has, and when those of old ones may be taken away.
//! Pure.
//!
//! A process that lost its lock while it was stopped (a virtual machine that was paused, a disk
//! that hung) may wake up between the question whether it holds the lock and its next write. A
//! checkpoint that it writes then loses against its successor's by the counter; a tombstone has no
//! counter. So no tombstone may ever be for a part that a successor needs:
//!
//! * The key of a part has a number in it that only the save has that wrote it, at random. What a
//!   successor writes itself has other keys, whatever is in it. (A counter would not do: the same
//!   one comes again after a reset, and after a save of which only the parts arrived.)
//! * Parts are taken away a while after the checkpoint that needs them no more became durable, by a
//!   save that found the lock held: so it was held, after that checkpoint was there, for longer
//!   than it takes to learn of its loss. Whoever takes the lock later finds that checkpoint, or one
//!   after it.

use std::time::{Duration, Instant};

/// Longer than a session of the lock, which is how long a loss may take to be known.
const AFTER: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Of the newest history.
    current: Vec<String>,
    /// Of older ones, since when they are.
    old: Vec<(Instant, String)>,
}

impl Parts {
    /// What was found in the topic, and of it what the checkpoint names.
    pub(super) fn found(all: Vec<String>, is_named: impl Fn(&str) -> bool, now: Instant) -> Self {
        let (current, old): (Vec<_>, Vec<_>) = all.into_iter().partition(|key| is_named(key));
        Self { current, old: old.into_iter().map(|key| (now, key)).collect() }
    }

    /// A checkpoint that names these became durable. What it names is not old, whoever wrote it.
    pub(super) fn replace(&mut self, new: Vec<String>, now: Instant) {
        let old = std::mem::replace(&mut self.current, new);
        self.old.extend(old.into_iter().map(|key| (now, key)));
        self.old.retain(|(_, key)| !self.current.contains(key));
    }

    /// Takes out what is to be taken away now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<String> {
        let is_due = |(since, _): &mut (Instant, String)| now.duration_since(*since) >= AFTER;
        self.old.extract_if(.., is_due).map(|(_, key)| key).collect()
    }

    /// Takes out everything.
    pub(super) fn all(&mut self) -> Vec<String> {
        let Self { current, old } = std::mem::take(self);
        current.into_iter().chain(old.into_iter().map(|(_, key)| key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_no_checkpoint_needs_goes_a_while_later_and_what_one_needs_stays() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut parts = Parts::found(keys(&["a/0", "b/0"]), |key| key.starts_with('b'), begun);
        assert_eq!(parts.due(at(29)), keys(&[]));
        assert_eq!(parts.due(at(30)), keys(&["a/0"]));
        parts.replace(keys(&["c/0", "c/1"]), at(31));
        parts.replace(keys(&["d/0"]), at(50));
        assert_eq!(parts.due(at(60)), keys(&[]), "a successor may need it still");
        assert_eq!(parts.due(at(61)), keys(&["b/0"]));
        assert_eq!(parts.due(at(1000)), keys(&["c/0", "c/1"]));
        assert_eq!(parts.due(at(1000)), keys(&[]));
        assert_eq!(parts.all(), keys(&["d/0"]));
    }

    /// After a reset that left the parts behind, the same history was once written under the same
    /// keys, and taken away half a minute later.
    #[test]
    fn what_is_written_again_under_an_old_key_stays() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut parts = Parts::found(keys(&["a/0", "b/0"]), |_| false, begun);
        parts.replace(keys(&["a/0"]), at(0));
        assert_eq!(parts.due(at(31)), keys(&["b/0"]));
        parts.replace(keys(&["a/0"]), at(32));
        assert_eq!(parts.due(at(1000)), keys(&[]));
        assert_eq!(parts.all(), keys(&["a/0"]));
    }
}
