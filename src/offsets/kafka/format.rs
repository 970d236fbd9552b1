//! The value of a record, and which record counts. Pure.

use serde::{Deserialize, Serialize};

use crate::offsets::{Checkpoint, OffsetError};

/// Readers of a later program read this version for ever; a newer version is refused by name.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a> {
    tailwater: u32,
    checkpoint: &'a Checkpoint,
}

/// The part that every version has.
#[derive(Deserialize)]
struct Magic {
    tailwater: u32,
}

#[derive(Deserialize)]
struct Read {
    checkpoint: Checkpoint,
}

pub(super) fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    serde_json::to_vec(&Written { tailwater: VERSION, checkpoint })
        .expect("a checkpoint is text, numbers and maps of text")
}

/// Folds the records of the topic, in order, to the one that counts.
pub(super) struct Latest {
    location: String,
    pipeline: String,
    found: Option<Checkpoint>,
    /// The newest record of this pipeline that cannot be read, and why.
    damaged: Option<OffsetError>,
}

impl Latest {
    pub(super) fn new(location: String, pipeline: &str) -> Self {
        Self { location, pipeline: pipeline.to_owned(), found: None, damaged: None }
    }

    pub(super) fn take(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), OffsetError> {
        if key != Some(self.pipeline.as_bytes()) {
            return Ok(());
        }
        let Some(value) = value else {
            (self.found, self.damaged) = (None, None);
            return Ok(());
        };
        match self.decode(value) {
            Ok(next) => {
                // Strictly higher: of two with the same counter the later one is a straggler.
                if self.found.as_ref().is_none_or(|found| next.counter > found.counter) {
                    self.found = Some(next);
                    self.damaged = None;
                }
                Ok(())
            }
            Err(error @ OffsetError::Torn { .. }) => {
                self.damaged = Some(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A damaged record is forgiven only when a whole one came after it.
    pub(super) fn finish(self) -> Result<Option<Checkpoint>, OffsetError> {
        self.damaged.map_or(Ok(self.found), Err)
    }

    fn decode(&self, value: &[u8]) -> Result<Checkpoint, OffsetError> {
        let location = || self.location.clone();
        let torn = |e: serde_json::Error| OffsetError::Torn {
            location: location(),
            detail: format!("{:?} at column {}", e.classify(), e.column()),
        };
        let magic: Magic = serde_json::from_slice(value).map_err(torn)?;
        if magic.tailwater > VERSION {
            let (found, supported) = (magic.tailwater, VERSION);
            return Err(OffsetError::Newer { location: location(), found, supported });
        }
        let Read { checkpoint } = serde_json::from_slice(value).map_err(torn)?;
        if checkpoint.pipeline != self.pipeline {
            let (found, expected) = (checkpoint.pipeline, self.pipeline.clone());
            let found = format!("pipeline `{found}`");
            return Err(OffsetError::Foreign { location: location(), found, expected });
        }
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::offsets::position::{Lsn, Position, PostgresPosition};
    use crate::offsets::{SnapshotState, SourceIdentity};

    fn checkpoint(counter: u64) -> Checkpoint {
        Checkpoint {
            pipeline: "shop".to_owned(),
            identity: SourceIdentity::Postgres {
                system_id: "74".to_owned(),
                database_oid: 5,
                database: "shop".to_owned(),
                slot: "shop".to_owned(),
            },
            snapshot: SnapshotState::Complete,
            position: Position::Postgres(PostgresPosition {
                system_id: "74".to_owned(),
                timeline: 1,
                lsn: Lsn(counter * 10),
            }),
            partitions: BTreeMap::from([("shop.a".to_owned(), 3)]),
            counter,
            written_by: "0.1.0".to_owned(),
        }
    }

    fn latest(records: &[(&str, Option<Vec<u8>>)]) -> Result<Option<u64>, OffsetError> {
        let mut latest = Latest::new("topic o".to_owned(), "shop");
        for (key, value) in records {
            latest.take(Some(key.as_bytes()), value.as_deref())?;
        }
        Ok(latest.finish()?.map(|checkpoint| checkpoint.counter))
    }

    fn saved(counter: u64) -> (&'static str, Option<Vec<u8>>) {
        ("shop", Some(encode(&checkpoint(counter))))
    }

    #[test]
    fn what_was_written_is_read_back() {
        let mut latest = Latest::new(String::new(), "shop");
        latest.take(Some(b"shop"), Some(&encode(&checkpoint(7)))).unwrap();
        assert_eq!(latest.finish().unwrap(), Some(checkpoint(7)));
    }

    #[test]
    fn the_highest_counter_since_the_last_reset_wins() {
        assert_eq!(latest(&[]).unwrap(), None);
        assert_eq!(latest(&[saved(1), saved(3), saved(2)]).unwrap(), Some(3));
        assert_eq!(latest(&[saved(9), ("shop", None)]).unwrap(), None);
        assert_eq!(latest(&[saved(9), ("shop", None), saved(1)]).unwrap(), Some(1));
        assert_eq!(latest(&[saved(1), ("other", Some(b"x".to_vec()))]).unwrap(), Some(1));
    }

    #[test]
    fn damaged_newer_and_foreign_records_are_errors_and_never_an_empty_answer() {
        let torn = ("shop", Some(b"{\"tailwater\":1,\"check".to_vec()));
        assert!(matches!(latest(&[saved(1), torn.clone()]), Err(OffsetError::Torn { .. })));
        assert_eq!(latest(&[torn, saved(2)]).unwrap(), Some(2));
        let newer = ("shop", Some(b"{\"tailwater\":2}".to_vec()));
        assert!(matches!(latest(&[newer]), Err(OffsetError::Newer { found: 2, .. })));
        let mut other = checkpoint(1);
        other.pipeline = "other".to_owned();
        let foreign = ("shop", Some(encode(&other)));
        assert!(matches!(latest(&[foreign]), Err(OffsetError::Foreign { .. })));
    }
}
