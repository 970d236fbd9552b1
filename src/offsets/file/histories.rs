//! The schema histories beside the slots, each in a file that has its digest in the name.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Damage, Slots, parse};
use crate::offsets::OffsetError;
use crate::offsets::schemas::{Reference, pack, unpack};
use crate::schema::history::SchemaHistory;

/// What the files are called, behind the pipeline.
const SCHEMAS: &str = "schemas.";

/// Of a slot, what it names.
#[derive(Deserialize)]
struct Naming {
    #[serde(default)]
    schemas: Option<Reference>,
}

impl Slots {
    pub(super) fn schemas_path(&self, reference: &Reference) -> PathBuf {
        self.path(&format!("{SCHEMAS}{}", reference.name()))
    }

    pub(super) fn write_schemas(&self, history: &SchemaHistory) -> io::Result<Option<Reference>> {
        let Some((reference, bytes)) = pack(history)? else { return Ok(None) };
        self.write_file(&self.schemas_path(&reference), &bytes)?;
        Ok(Some(reference))
    }

    /// What is wrong with it within; whether it can be read at all without.
    pub(super) fn read_schemas(
        &self,
        reference: &Reference,
    ) -> Result<Result<SchemaHistory, String>, OffsetError> {
        match std::fs::read(self.schemas_path(reference)) {
            Ok(bytes) => Ok(unpack(reference, &bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Err(format!("read its schema history: {error}")))
            }
            // The history may be whole, and what cannot be read now may be read next time.
            Err(source) => Err(self.io("read the schema history of", source)),
        }
    }

    /// Removes the histories that neither slot names. One that stays takes room and does no harm;
    /// one that is taken away is a checkpoint less. So all stay where a slot's words are not known.
    pub(super) fn remove_old_schemas(&self) {
        let mut named = Vec::new();
        for counter in [0, 1] {
            match self.schemas_named_by(&self.slot_path(counter)) {
                Ok(path) => named.extend(path),
                Err(error) => {
                    tracing::warn!(
                        location = %self.location(), %error,
                        "old schema histories stay: what the offset slots name cannot be read"
                    );
                    return;
                }
            }
        }
        for path in self.all_schemas() {
            if !named.contains(&path) {
                drop(std::fs::remove_file(path));
            }
        }
    }

    /// The history that a slot names, whatever state that is in.
    fn schemas_named_by(&self, slot: &Path) -> io::Result<Option<PathBuf>> {
        let bytes = match std::fs::read(slot) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match parse(&bytes) {
            Ok(payload) => {
                let naming: Naming = serde_json::from_slice(payload)?;
                Ok(naming.schemas.map(|named| self.schemas_path(&named)))
            }
            // Torn: nobody will ever read it.
            Err(Damage::Torn(_)) => Ok(None),
            Err(Damage::Newer(_)) => Err(io::Error::other("a newer version wrote one of them")),
        }
    }

    pub(super) fn all_schemas(&self) -> Vec<PathBuf> {
        let prefix = format!("{}.{SCHEMAS}", self.pipeline);
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        // Exactly what is written: a pipeline beside this one may be called `<this one>.schemas`.
        let ours = |entry: &std::fs::DirEntry| {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(&prefix));
            rest.is_some_and(Reference::is_digest_name)
        };
        entries.filter(ours).map(|entry| entry.path()).collect()
    }
}
