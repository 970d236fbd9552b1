//! The value of a record, and which record counts. Pure.
//!
//! A schema history stands in records of its own, in parts, because brokers bound the size of a
//! record. They are written before the checkpoint that names them, and taken away a while after the
//! next one (`parts`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::offsets::schemas::{Reference, unpack};
use crate::offsets::{Checkpoint, OffsetError};

/// Well below a broker's default `message.max.bytes`.
pub(super) const PART_BYTES: usize = 512 << 10;

/// Readers of a later program read this version for ever; a newer version is refused by name.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a> {
    tailwater: u32,
    epoch: u64,
    checkpoint: &'a Checkpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    schemas: Option<&'a Reference>,
}

/// The part that every version has.
#[derive(Deserialize)]
struct Magic {
    tailwater: u32,
}

#[derive(Deserialize)]
struct Read {
    checkpoint: Checkpoint,
    /// Of the writer; earlier programs had none.
    #[serde(default)]
    epoch: Option<u64>,
    #[serde(default)]
    schemas: Option<Reference>,
}

/// Which of two records counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    pub(super) epoch: Option<u64>,
    pub(super) counter: u64,
}

impl Rank {
    /// A counter alone is not enough: a save that was given up, and the first one of the next run,
    /// have the same. It decides where a program without epochs had its turn: what that wrote is
    /// neither lower nor higher for it.
    fn is_above(self, other: Self) -> bool {
        match (self.epoch, other.epoch) {
            (Some(ours), Some(theirs)) if ours != theirs => ours > theirs,
            // Strictly higher: of two with the same counter the later one is a straggler.
            (Some(_) | None, Some(_) | None) => self.counter > other.counter,
        }
    }
}

impl Read {
    fn rank(&self) -> Rank {
        Rank { epoch: self.epoch, counter: self.checkpoint.counter }
    }
}

pub(super) fn encode(checkpoint: &Checkpoint, epoch: u64, schemas: Option<&Reference>) -> Vec<u8> {
    serde_json::to_vec(&Written { tailwater: VERSION, epoch, checkpoint, schemas })
        .expect("a checkpoint is text, numbers and maps of text")
}

/// The key of the record that a writer begins with. Of no interest but for its offset.
pub(super) fn claim_key(pipeline: &str) -> String {
    format!("{pipeline}/claim")
}

/// What the keys of a pipeline's history begin with. No pipeline has a slash in its name.
fn part_prefix(pipeline: &str) -> String {
    format!("{pipeline}/schemas/")
}

/// Whether it is the key of a part of this history.
pub(super) fn is_part_of(pipeline: &str, schemas: &Reference, key: &str) -> bool {
    key.starts_with(&format!("{}{}/", part_prefix(pipeline), schemas.name()))
}

/// The key of a part.
pub(super) fn part_key(pipeline: &str, schemas: &Reference, part: usize) -> String {
    format!("{}{}/{part:06}", part_prefix(pipeline), schemas.name())
}

/// A checkpoint that was read, and the keys of all parts that the topic has.
#[derive(Default)]
pub(super) struct Found {
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) epoch: Option<u64>,
    pub(super) schemas: Option<Reference>,
    pub(super) parts: Vec<String>,
}

impl Found {
    pub(super) fn rank(&self) -> Option<Rank> {
        let checkpoint = self.checkpoint.as_ref()?;
        Some(Rank { epoch: self.epoch, counter: checkpoint.counter })
    }
}

/// Folds the records of the topic, in order, to the one that counts.
pub(super) struct Latest {
    location: String,
    pipeline: String,
    found: Option<Read>,
    /// Of every history that was not taken away yet.
    parts: BTreeMap<String, Vec<u8>>,
    /// The newest record of this pipeline that cannot be read, and why.
    damaged: Option<OffsetError>,
}

impl Latest {
    pub(super) fn new(location: String, pipeline: &str) -> Self {
        Self {
            location,
            pipeline: pipeline.to_owned(),
            found: None,
            parts: BTreeMap::new(),
            damaged: None,
        }
    }

    pub(super) fn take(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), OffsetError> {
        let key = key.and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
        if key.starts_with(&part_prefix(&self.pipeline)) {
            match value {
                Some(bytes) => self.parts.insert(key.to_owned(), bytes.to_owned()),
                None => self.parts.remove(key),
            };
            return Ok(());
        }
        if key != self.pipeline {
            return Ok(());
        }
        let Some(value) = value else {
            (self.found, self.damaged) = (None, None);
            return Ok(());
        };
        match self.decode(value) {
            Ok(next) => {
                if self.found.as_ref().is_none_or(|found| next.rank().is_above(found.rank())) {
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
    pub(super) fn finish(mut self) -> Result<Found, OffsetError> {
        if let Some(error) = self.damaged {
            return Err(error);
        }
        let parts = self.parts.keys().cloned().collect();
        let Some(Read { mut checkpoint, epoch, schemas }) = self.found.take() else {
            return Ok(Found { parts, ..Found::default() });
        };
        if let Some(reference) = &schemas {
            let mut bytes = Vec::new();
            for part in 0.. {
                let Some(more) = self.parts.get(&part_key(&self.pipeline, reference, part)) else {
                    break;
                };
                bytes.extend_from_slice(more);
            }
            let torn = |detail| OffsetError::Torn { location: self.location.clone(), detail };
            checkpoint.schemas = unpack(reference, &bytes).map_err(torn)?;
        }
        Ok(Found { checkpoint: Some(checkpoint), epoch, schemas, parts })
    }

    fn decode(&self, value: &[u8]) -> Result<Read, OffsetError> {
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
        let read: Read = serde_json::from_slice(value).map_err(torn)?;
        if read.checkpoint.pipeline != self.pipeline {
            let (found, expected) = (read.checkpoint.pipeline, self.pipeline.clone());
            let found = format!("pipeline `{found}`");
            return Err(OffsetError::Foreign { location: location(), found, expected });
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::position::{Lsn, Position, PostgresPosition};
    use crate::offsets::schemas::pack;
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
            schemas: crate::schema::history::SchemaHistory::default(),
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
        Ok(latest.finish()?.checkpoint.map(|checkpoint| checkpoint.counter))
    }

    fn saved(counter: u64) -> (&'static str, Option<Vec<u8>>) {
        in_epoch(1, counter)
    }

    fn in_epoch(epoch: u64, counter: u64) -> (&'static str, Option<Vec<u8>>) {
        ("shop", Some(encode(&checkpoint(counter), epoch, None)))
    }

    /// As programs without epochs wrote it.
    fn without_epoch(counter: u64) -> (&'static str, Option<Vec<u8>>) {
        let checkpoint = checkpoint(counter);
        let value = serde_json::json!({ "tailwater": 1, "checkpoint": checkpoint });
        ("shop", Some(serde_json::to_vec(&value).unwrap()))
    }

    #[test]
    fn what_was_written_is_read_back() {
        let mut latest = Latest::new(String::new(), "shop");
        latest.take(Some(b"shop"), Some(&encode(&checkpoint(7), 1, None))).unwrap();
        assert_eq!(latest.finish().unwrap().checkpoint, Some(checkpoint(7)));
    }

    #[test]
    fn the_highest_counter_since_the_last_reset_wins() {
        assert_eq!(latest(&[]).unwrap(), None);
        assert_eq!(latest(&[saved(1), saved(3), saved(2)]).unwrap(), Some(3));
        assert_eq!(latest(&[saved(9), ("shop", None)]).unwrap(), None);
        assert_eq!(latest(&[saved(9), ("shop", None), saved(1)]).unwrap(), Some(1));
        assert_eq!(latest(&[saved(1), ("other", Some(b"x".to_vec()))]).unwrap(), Some(1));
    }

    /// A save that its writer gave up was on the leader, and not yet where a load could see it. The
    /// next run's save had the same counter and was acknowledged; the one before it came to light
    /// in front of it, and won.
    #[test]
    fn a_save_that_was_given_up_loses_against_its_successors() {
        let winner = |records: &[(u64, u64)]| {
            let mut latest = Latest::new("topic o".to_owned(), "shop");
            for (epoch, counter) in records {
                let (key, value) = in_epoch(*epoch, *counter);
                latest.take(Some(key.as_bytes()), value.as_deref()).unwrap();
            }
            let rank = latest.finish().unwrap().rank().unwrap();
            (rank.epoch.unwrap(), rank.counter)
        };
        assert_eq!(winner(&[(1, 6), (1, 7), (9, 7)]), (9, 7));
        assert_eq!(winner(&[(1, 6), (9, 7), (1, 7)]), (9, 7));
        assert_eq!(winner(&[(1, 6), (9, 7), (1, 8), (9, 8)]), (9, 8));
        assert_eq!(winner(&[(9, 7), (1, 8)]), (9, 7));
    }

    #[test]
    fn a_program_without_epochs_goes_on_where_one_with_them_stopped_and_the_other_way_round() {
        assert_eq!(latest(&[without_epoch(5), in_epoch(9, 6)]).unwrap(), Some(6));
        assert_eq!(latest(&[in_epoch(9, 6), without_epoch(7)]).unwrap(), Some(7));
        assert_eq!(latest(&[in_epoch(9, 6), without_epoch(7), in_epoch(12, 8)]).unwrap(), Some(8));
        assert_eq!(latest(&[in_epoch(9, 6), without_epoch(5)]).unwrap(), Some(6));
    }

    #[test]
    fn a_claim_is_no_checkpoint() {
        let key = claim_key("shop");
        let claim = (key.as_str(), Some(b"tailwater-7".to_vec()));
        assert_eq!(latest(std::slice::from_ref(&claim)).unwrap(), None);
        assert_eq!(latest(&[saved(3), claim]).unwrap(), Some(3));
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
        let foreign = ("shop", Some(encode(&other, 1, None)));
        assert!(matches!(latest(&[foreign]), Err(OffsetError::Foreign { .. })));
    }

    #[test]
    fn a_history_is_put_together_from_its_parts() {
        let mut saved = checkpoint(3);
        saved.schemas.set("t", "text");
        let (reference, bytes) = pack(&saved.schemas).unwrap().unwrap();
        let reference = reference.of_save(3);
        let parts: Vec<(String, Vec<u8>)> = bytes
            .chunks(5)
            .enumerate()
            .map(|(index, part)| (part_key("shop", &reference, index), part.to_vec()))
            .collect();
        let read = |parts: &[(String, Vec<u8>)]| {
            let mut latest = Latest::new("topic o".to_owned(), "shop");
            for (key, part) in parts {
                latest.take(Some(key.as_bytes()), Some(part)).unwrap();
            }
            latest.take(Some(b"shop"), Some(&encode(&saved, 1, Some(&reference)))).unwrap();
            latest.finish()
        };
        let found = read(&parts).unwrap();
        assert_eq!(found.checkpoint, Some(saved.clone()));
        assert_eq!(found.parts.len(), parts.len());
        let other = reference.clone().of_save(33);
        assert!(found.parts.iter().all(|key| is_part_of("shop", &reference, key)));
        assert!(!found.parts.iter().any(|key| is_part_of("shop", &other, key)));
        assert!(matches!(read(&parts[1..]), Err(OffsetError::Torn { .. })));
        assert!(matches!(read(&parts[..1]), Err(OffsetError::Torn { .. })));
    }
}
