//! From a source to a sink: wiring, batching, delivery, checkpoints, supervision, shutdown.
//!
//! ```text
//!  Session ──RawBatch──▶ Transcoder ──RecordBatch──▶ Sink ──Receipt──▶ Checkpointer
//!  (async)               (own thread)                (async)                │
//!     ▲                                                                     │
//!     └──────────────────────────── SourceAck ◀─────────────────────────────┘
//! ```
//!
//! One [`run`] goes from a durable checkpoint to its end or its first error. [`supervise`] decides
//! what follows an error and begins the next run, always from what the offset store says, never
//! from memory. So there is one way to start, and every reconnect takes it.
//!
//! Every queue is bounded. The memory budget counts what a batch takes from the socket until the
//! records made of it are durable; when it is spent the session stops reading and nothing else. A
//! batch that becomes more than it reserved, as one event of a whole transaction does, leaves in
//! pieces, and the transcoder waits for the ones before.

pub mod keep;
pub mod report;
pub mod run;
pub mod schema_ids;
pub mod supervise;
pub mod transcode;

use std::fmt;

use crate::disposition::{Diagnose, Disposition};
use crate::exit;
use crate::offsets::OffsetError;
use crate::sources::BoxError;

/// Where in the pipeline an error came up: decides the exit code, not what is done about it.
#[derive(Debug)]
pub enum RunError {
    Source(BoxError),
    /// Decoding or encoding a row.
    Transcode(BoxError),
    /// The id of a schema: the registry refuses, or cannot be reached.
    Registry(BoxError),
    Sink(BoxError),
    Offsets(OffsetError),
    /// A stop, or the end of a session, was not finished in time.
    Drain {
        timeout_ms: u128,
    },
    /// A mistake of this program, met by this thread.
    Panicked {
        task: &'static str,
    },
    EndedEarly {
        task: &'static str,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error)
            | Self::Transcode(error)
            | Self::Registry(error)
            | Self::Sink(error) => error.fmt(f),
            Self::Offsets(error) => error.fmt(f),
            Self::Drain { timeout_ms } => {
                write!(f, "finish what was in flight within {timeout_ms} ms")
            }
            Self::Panicked { task } => {
                write!(f, "keep the pipeline's {task} running: it met a mistake of its own")
            }
            Self::EndedEarly { task } => {
                write!(f, "keep the pipeline's {task} running: it ended early")
            }
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Source(error)
            | Self::Transcode(error)
            | Self::Registry(error)
            | Self::Sink(error) => error.source(),
            Self::Offsets(error) => error.source(),
            Self::Drain { .. } | Self::Panicked { .. } | Self::EndedEarly { .. } => None,
        }
    }
}

impl RunError {
    /// What the process ends with when nothing heals the error.
    #[must_use]
    pub fn exit_code(&self) -> exit::Code {
        match self {
            Self::Source(_) | Self::Transcode(_) => exit::Code::Source,
            Self::Registry(_) | Self::Sink(_) => exit::Code::Sink,
            Self::Offsets(_) => exit::Code::Offsets,
            Self::Drain { .. } => exit::Code::Incomplete,
            Self::Panicked { .. } | Self::EndedEarly { .. } => exit::Code::Internal,
        }
    }

    /// One word for metrics.
    #[must_use]
    pub fn component(&self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Transcode(_) => "transcoder",
            Self::Registry(_) => "registry",
            Self::Sink(_) => "sink",
            Self::Offsets(_) => "offsets",
            Self::Drain { .. } | Self::Panicked { .. } | Self::EndedEarly { .. } => "pipeline",
        }
    }
}

impl From<OffsetError> for RunError {
    fn from(error: OffsetError) -> Self {
        Self::Offsets(error)
    }
}

impl Diagnose for RunError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Source(error)
            | Self::Transcode(error)
            | Self::Registry(error)
            | Self::Sink(error) => error.disposition(),
            Self::Offsets(error) => error.disposition(),
            // The same bytes would meet it again, and be sent again before.
            Self::Panicked { .. } => Disposition::Stop,
            Self::Drain { .. } | Self::EndedEarly { .. } => Disposition::Reconnect,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error)
            | Self::Transcode(error)
            | Self::Registry(error)
            | Self::Sink(error) => error.hint(),
            Self::Offsets(error) => error.hint(),
            Self::Drain { .. } => Some(
                "nothing is lost: what was not confirmed is sent again; raise \
                 `delivery.drain_timeout` if the sink is only slow"
                    .to_owned(),
            ),
            Self::Panicked { .. } => Some(
                "this is a defect of tailwater: please report it with the lines before; nothing \
                 after the last checkpoint was acknowledged"
                    .to_owned(),
            ),
            Self::EndedEarly { .. } => None,
        }
    }
}

/// How long a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until it is told to stop.
    Stopped,
    /// Until the snapshot is durable.
    Snapshot,
    /// Until the log's end, as it was at the start, is durable.
    CaughtUp,
}

/// How a run without error ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Told to stop, and everything in flight was finished.
    Stopped,
    /// What [`Until`] asked for is reached and durable.
    Reached,
    /// Told to stop before what [`Until`] asked for was reached.
    Incomplete,
}
