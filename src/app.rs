//! Stand-in for the composition root: the parts that the command line calls, without their work.

use std::sync::Arc;

use crate::config::Config;
use crate::disposition::{Diagnose, Disposition};
use crate::exit;
use crate::offsets::{OffsetError, OffsetStore};
use crate::stats::Stats;

/// When a run ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Only when it is told to.
    Stopped,
    /// Every row of the snapshot is durable in the sink.
    Snapshot,
    /// The log's end as seen at the start is durable in the sink.
    CaughtUp,
}

/// How a run without an error ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Told to stop, and everything in flight was finished.
    Stopped,
    /// `until` was reached.
    Reached,
    /// It ended before; says what was left.
    Incomplete(String),
}

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("run a pipeline: not built yet")]
    NotBuilt,
}

impl AppError {
    #[must_use]
    pub fn exit_code(&self) -> exit::Code {
        match self {
            Self::NotBuilt => exit::Code::Internal,
        }
    }
}

impl Diagnose for AppError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NotBuilt => Disposition::Stop,
        }
    }
}

/// Runs one pipeline until it is done, is told to stop by a signal, or fails for good.
///
/// # Errors
/// What no retry heals.
#[expect(clippy::unused_async, reason = "stand-in")]
pub async fn run(_config: Config, _until: Until, _stats: Arc<Stats>) -> Result<Outcome, AppError> {
    Err(AppError::NotBuilt)
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To look, also while the pipeline runs.
    Look,
    /// To change; refused while the pipeline runs.
    Change,
}

/// The offset store of a configuration.
///
/// # Errors
/// When it cannot be opened, or a running pipeline holds it.
#[expect(clippy::unused_async, reason = "stand-in")]
pub async fn open_offsets(
    config: &Config,
    _access: Access,
) -> Result<Box<dyn OffsetStore>, OffsetError> {
    Err(OffsetError::Torn { location: config.pipeline.clone(), detail: "not built yet".to_owned() })
}
