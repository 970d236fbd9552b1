//! What a run starts from (follows).

use crate::config::{MongodbConfig, SnapshotConfig};
use crate::disposition::{Diagnose, Disposition};
use crate::offsets::Checkpoint;
use crate::sources::{Source, SourceFuture, Started};

pub struct MongodbSource;

#[derive(Debug, thiserror::Error)]
#[error("start a MongoDB source: under construction")]
pub struct UnderConstruction;

impl Diagnose for UnderConstruction {
    fn disposition(&self) -> Disposition {
        Disposition::Stop
    }
}

impl MongodbSource {
    #[must_use]
    pub fn new(_: MongodbConfig, _: SnapshotConfig, _: String, _: String) -> Self {
        Self
    }
}

impl Source for MongodbSource {
    fn prepare(&mut self) -> SourceFuture<'_, Checkpoint> {
        Box::pin(async { Err(Box::new(UnderConstruction) as _) })
    }

    fn start<'a>(&'a mut self, _: Option<&'a Checkpoint>) -> SourceFuture<'a, Started> {
        Box::pin(async { Err(Box::new(UnderConstruction) as _) })
    }

    fn name(&self) -> &'static str {
        "mongodb"
    }
}
