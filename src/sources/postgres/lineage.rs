//! Whether a server's log continues the log that a checkpoint speaks of. Pure.
//!
//! A promoted standby starts a new timeline at a switch point. A checkpoint on the old timeline
//! is part of the new one's past only up to that point; beyond it lies what the old primary may
//! have sent to us and never to the standby.

use super::error::SourceError;
use crate::offsets::position::Lsn;

/// `IDENTIFY_SYSTEM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemIdentity {
    pub system_id: String,
    pub timeline: u32,
    /// The end of the flushed log.
    pub log_end: Lsn,
}

/// One line of a timeline's history file: this timeline ended there.
/// <https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    pub timeline: u32,
    pub at: Lsn,
}

/// Lines of `timeline <tab> LSN <tab> reason`; comments and blank lines are passed over, as the
/// server does (`readTimeLineHistory` in `timeline.c`). `None` when a line makes no sense.
#[must_use]
pub fn parse_history(text: &str) -> Option<Vec<Switch>> {
    let mut switches = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let timeline = words.next()?.parse().ok()?;
        let at = words.next()?.parse().ok()?;
        switches.push(Switch { timeline, at });
    }
    Some(switches)
}

/// # Errors
/// When the checkpoint is not part of the server's past.
pub fn check(
    timeline: u32,
    checkpoint: Lsn,
    server: &SystemIdentity,
    history: &[Switch],
) -> Result<(), SourceError> {
    let diverged = |detail: String| SourceError::Diverged { checkpoint, timeline, detail };
    if timeline > server.timeline {
        return Err(diverged(format!("the server is on the older timeline {}", server.timeline)));
    }
    if timeline < server.timeline {
        let Some(switch) = history.iter().find(|switch| switch.timeline == timeline) else {
            let ours = server.timeline;
            return Err(diverged(format!(
                "timeline {ours} of the server does not descend from it"
            )));
        };
        // Equal is right: nothing was written between the checkpoint and the switch.
        if checkpoint > switch.at {
            let (ours, at) = (server.timeline, switch.at);
            return Err(diverged(format!("timeline {ours} of the server left it at {at}")));
        }
    }
    if checkpoint > server.log_end {
        return Err(SourceError::BeyondLog { checkpoint, end: server.log_end });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORY: &str = "1\t0/3000000\tno recovery target specified\n\n# note\n2\t0/5000000\tx\n";

    fn verdict(timeline: u32, lsn: u64) -> &'static str {
        let server =
            SystemIdentity { system_id: "7".into(), timeline: 3, log_end: Lsn(0x600_0000) };
        match check(timeline, Lsn(lsn), &server, &parse_history(HISTORY).unwrap()) {
            Ok(()) => "ours",
            Err(SourceError::Diverged { .. }) => "diverged",
            Err(SourceError::BeyondLog { .. }) => "beyond",
            Err(_) => "other",
        }
    }

    #[test]
    fn a_checkpoint_is_ours_up_to_the_point_where_its_timeline_ended() {
        for (timeline, lsn, expected) in [
            (3, 0x600_0000, "ours"),
            (3, 0x600_0001, "beyond"),
            (2, 0x500_0000, "ours"),
            (2, 0x500_0001, "diverged"),
            (1, 0x300_0000, "ours"),
            (1, 0x400_0000, "diverged"),
            (4, 0x100_0000, "diverged"),
        ] {
            assert_eq!(verdict(timeline, lsn), expected, "timeline {timeline} at {lsn:x}");
        }
    }

    #[test]
    fn a_timeline_that_the_history_does_not_know_has_diverged() {
        let server = SystemIdentity { system_id: "7".into(), timeline: 3, log_end: Lsn(9) };
        assert!(matches!(check(2, Lsn(1), &server, &[]), Err(SourceError::Diverged { .. })));
    }

    #[test]
    fn a_history_that_makes_no_sense_is_not_guessed_at() {
        for text in ["x", "1", "1 0-3", "a\t0/1"] {
            assert_eq!(parse_history(text), None, "{text}");
        }
        assert_eq!(parse_history(""), Some(vec![]));
    }
}
