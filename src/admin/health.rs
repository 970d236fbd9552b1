//! What "alive" and "ready" mean, and the JSON that says so.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stats::{Stage, State, View};

/// A consumer behind a pipeline that lags more than this should not be sent new work.
pub(super) const READY_LAG_MAX: Duration = Duration::from_secs(60);

/// Alive: running and not failed. A supervisor restarts what is not.
pub(super) fn is_alive(view: &View) -> bool {
    !matches!(view.state, State::Failed(_))
}

/// Why the pipeline is not ready; `None` when it is.
pub(super) fn not_ready(view: &View) -> Option<String> {
    match &view.state {
        State::Streaming => {}
        State::Reconnecting(reason) | State::Failed(reason) => {
            return Some(format!("{}: {reason}", view.state.name()));
        }
        State::Starting | State::Snapshot | State::Stopping => {
            return Some(view.state.name().to_owned());
        }
    }
    if !view.snapshot.complete {
        return Some("the snapshot is not complete".to_owned());
    }
    let lag = view.stages[Stage::Delivered as usize].lag;
    (lag > READY_LAG_MAX).then(|| {
        let (lag, bound) = (lag.as_secs(), READY_LAG_MAX.as_secs());
        format!("records are delivered {lag} s after they were read; the bound is {bound} s")
    })
}

pub(super) fn body(view: &View, reason: Option<String>) -> Value {
    let stages: serde_json::Map<String, Value> = Stage::ALL
        .into_iter()
        .map(|stage| {
            let stage_view = view.stages[stage as usize];
            let details = json!({
                "position": stage_view.position,
                "lag_bytes": stage_view.lag_bytes,
                "lag_seconds": stage_view.lag.as_secs_f64(),
            });
            (stage.name().to_owned(), details)
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": view.state.name(),
        "ready": reason.is_none(),
        "reason": reason,
        "uptime_seconds": view.uptime.as_secs(),
        "log_end": view.log_end,
        "stages": stages,
        "snapshot": {
            "complete": view.snapshot.complete,
            "tables": view.snapshot.tables,
            "tables_done": view.snapshot.tables_done,
            "rows": view.snapshot.rows,
        },
        "delivered_records": view.delivered_records,
        "dead_letters": view.dead_letters.iter().sum::<u64>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stats;

    #[test]
    fn ready_means_streaming_after_a_complete_snapshot_without_much_lag() {
        let stats = Stats::default();
        let reason = |stats: &Stats| not_ready(&stats.view());
        assert_eq!(reason(&stats).as_deref(), Some("starting"));
        stats.set_state(State::Streaming);
        assert_eq!(reason(&stats).as_deref(), Some("the snapshot is not complete"));
        stats.snapshot.complete();
        assert_eq!(reason(&stats), None);
        let mut view = stats.view();
        view.stages[Stage::Delivered as usize].lag = Duration::from_secs(61);
        assert_eq!(
            not_ready(&view).as_deref(),
            Some("records are delivered 61 s after they were read; the bound is 60 s")
        );
        stats.set_state(State::Reconnecting("connect to db:5432".to_owned()));
        assert_eq!(reason(&stats).as_deref(), Some("reconnecting: connect to db:5432"));
        assert!(is_alive(&stats.view()));
        stats.set_state(State::Failed("slot lost".to_owned()));
        assert!(!is_alive(&stats.view()));
    }
}
