//! Offsets in a folder: two slots that are written in turn, so that a torn write can only damage
//! the one that is not needed.
//!
//! `<path>/<pipeline>.offsets.a` and `.b` hold one checkpoint each; the valid one with the higher
//! counter counts. A slot is `TWOF`, format version (u32), length (u32), CRC32C of the payload
//! (u32), payload (JSON); numbers are little-endian. `<path>/<pipeline>.schemas.*` hold the schema
//! histories that the slots name. `<path>/<pipeline>.lock` carries an advisory lock that the kernel
//! drops with the process, and names its holder for messages.
//!
//! After a failed write or fsync the handle is dropped and never believed again: the pages may be
//! gone from the cache while the next fsync says yes. The run starts over from what can be read.

mod histories;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::offsets::schemas::{Packer, Reference};
use crate::offsets::{Checkpoint, OffsetError, OffsetStore, StoreFuture};

const MAGIC: [u8; 4] = *b"TWOF";
/// Readers of a later program read this version for ever; a newer version is refused by name.
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
/// A checkpoint is a few hundred bytes; anything beyond this is not one.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;

pub struct FileOffsetStore(Arc<Slots>);

struct Slots {
    folder: PathBuf,
    pipeline: String,
    /// Held open for the lock alone; a write that nobody waits for any more still holds it.
    _lock: Option<File>,
    /// One at a time, also where a save was given up and goes on by itself.
    io: Mutex<Packer>,
}

/// A checkpoint as a slot has it.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    checkpoint: &'a Checkpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    schemas: &'a Option<Reference>,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(flatten)]
    checkpoint: Checkpoint,
    #[serde(default)]
    schemas: Option<Reference>,
}

enum Slot {
    Missing,
    Valid(Box<Stored>),
    Torn(String),
}

impl FileOffsetStore {
    /// Opens for a run, or for changing: takes the lock.
    ///
    /// # Errors
    /// When the folder cannot be made, or another process holds the lock.
    pub fn open(folder: &Path, pipeline: &str) -> Result<Self, OffsetError> {
        let mut slots = Slots::new(folder, pipeline);
        slots.create_folder().map_err(|source| slots.io("create the folder of", source))?;
        slots._lock = Some(slots.lock()?);
        Ok(Self(Arc::new(slots)))
    }

    /// Opens for a look, without the lock.
    #[must_use]
    pub fn open_readonly(folder: &Path, pipeline: &str) -> Self {
        Self(Arc::new(Slots::new(folder, pipeline)))
    }

    /// A disk may take seconds for an fsync: the thread that serves the sockets does not wait.
    async fn off_thread<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Slots, &mut Packer) -> Result<T, OffsetError> + Send + 'static,
    ) -> Result<T, OffsetError> {
        let slots = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let mut packer = slots.turn();
            work(&slots, &mut packer)
        });
        match done.await {
            Ok(result) => result,
            Err(error) => Err(self.0.io(operation, io::Error::other(error))),
        }
    }
}

impl Slots {
    fn new(folder: &Path, pipeline: &str) -> Self {
        let (folder, pipeline) = (folder.to_owned(), pipeline.to_owned());
        Self { folder, pipeline, _lock: None, io: Mutex::default() }
    }

    fn turn(&self) -> MutexGuard<'_, Packer> {
        self.io.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create_folder(&self) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)
    }

    fn location(&self) -> String {
        self.path("offsets").display().to_string()
    }

    fn lock(&self) -> Result<File, OffsetError> {
        let path = self.path("lock");
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let mut file = open.map_err(|source| self.io("open the lock of", source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = file.read_to_string(&mut holder);
                if holder.trim() == our_name() && read.is_ok() {
                    return Err(OffsetError::Busy { location: self.location() });
                }
                let holder = match (read, holder.trim()) {
                    (Ok(_), text) if !text.is_empty() => text.to_owned(),
                    _ => "another process".to_owned(),
                };
                return Err(OffsetError::Locked { location: self.location(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(self.io("lock", source)),
        }
        let note = file.set_len(0).and_then(|()| file.write_all(our_name().as_bytes()));
        note.map_err(|source| self.io("write the lock of", source))?;
        Ok(file)
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.pipeline))
    }

    fn slot_path(&self, counter: u64) -> PathBuf {
        self.path(if counter.is_multiple_of(2) { "offsets.a" } else { "offsets.b" })
    }

    fn io(&self, operation: &'static str, source: io::Error) -> OffsetError {
        OffsetError::Io { operation, location: self.location(), source }
    }

    fn load_now(&self, packer: &mut Packer) -> Result<Option<Checkpoint>, OffsetError> {
        let slots = [self.read_slot(0)?, self.read_slot(1)?];
        let mut best: Option<Stored> = None;
        let mut torn = Vec::new();
        for slot in slots {
            match slot {
                Slot::Missing => {}
                Slot::Torn(detail) => torn.push(detail),
                Slot::Valid(stored) => {
                    let counter = stored.checkpoint.counter;
                    if best.as_ref().is_none_or(|b| b.checkpoint.counter < counter) {
                        best = Some(*stored);
                    }
                }
            }
        }
        if best.is_none() && !torn.is_empty() {
            let detail = torn.join("; ");
            return Err(OffsetError::Torn { location: self.location(), detail });
        }
        if let (Some(kept), false) = (&best, torn.is_empty()) {
            tracing::warn!(
                location = %self.location(), counter = kept.checkpoint.counter,
                damage = torn.join("; "),
                "one of the two offset slots is damaged; going on from the other"
            );
        }
        Ok(best.map(|Stored { checkpoint, schemas }| {
            packer.remember(&checkpoint.schemas, schemas);
            checkpoint
        }))
    }

    fn read_slot(&self, counter: u64) -> Result<Slot, OffsetError> {
        let path = self.slot_path(counter);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Slot::Missing),
            Err(source) => return Err(self.io("read", source)),
        };
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let payload = match parse(&bytes) {
            Ok(payload) => payload,
            Err(Damage::Newer(found)) => {
                let location = self.location();
                return Err(OffsetError::Newer { location, found, supported: VERSION });
            }
            Err(Damage::Torn(what)) => return Ok(Slot::Torn(format!("{name}: {what}"))),
        };
        let mut stored: Stored = match serde_json::from_slice(payload) {
            Ok(stored) => stored,
            Err(error) => return Ok(Slot::Torn(format!("{name}: {error}"))),
        };
        if stored.checkpoint.pipeline != self.pipeline {
            return Err(OffsetError::Foreign {
                location: self.location(),
                found: format!("pipeline `{}`", stored.checkpoint.pipeline),
                expected: self.pipeline.clone(),
            });
        }
        if let Some(reference) = &stored.schemas {
            match self.read_schemas(reference)? {
                Ok(schemas) => stored.checkpoint.schemas = schemas,
                Err(detail) => return Ok(Slot::Torn(format!("{name}: {detail}"))),
            }
        }
        Ok(Slot::Valid(Box::new(stored)))
    }

    fn save_now(&self, checkpoint: &Checkpoint, packer: &mut Packer) -> Result<(), OffsetError> {
        let write = |source| self.io("write", source);
        let known = packer.known(&checkpoint.schemas);
        let is_new = known.is_none();
        let reference = match known {
            Some(reference) => reference,
            None => self.write_schemas(&checkpoint.schemas).map_err(write)?,
        };
        let slot = frame(&Written { checkpoint, schemas: &reference });
        self.write_file(&self.slot_path(checkpoint.counter), &slot).map_err(write)?;
        packer.remember(&checkpoint.schemas, reference);
        if is_new {
            self.remove_old_schemas();
        }
        Ok(())
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let created = !path.exists();
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()?;
        if created {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    fn reset_now(&self, packer: &mut Packer) -> Result<(), OffsetError> {
        packer.forget();
        for counter in [0, 1] {
            match std::fs::remove_file(self.slot_path(counter)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(self.io("remove", e)),
                Ok(()) | Err(_) => {}
            }
        }
        self.remove_old_schemas();
        let sync = File::open(&self.folder).and_then(|folder| folder.sync_all());
        sync.map_err(|source| self.io("remove", source))
    }
}

impl OffsetStore for FileOffsetStore {
    fn load(&mut self) -> StoreFuture<'_, Option<Checkpoint>> {
        Box::pin(self.off_thread("read", Slots::load_now))
    }

    fn save<'a>(&'a mut self, checkpoint: &'a Checkpoint) -> StoreFuture<'a, ()> {
        let checkpoint = checkpoint.clone();
        Box::pin(self.off_thread("write", move |slots, packer| slots.save_now(&checkpoint, packer)))
    }

    fn reset(&mut self) -> StoreFuture<'_, ()> {
        Box::pin(self.off_thread("remove", Slots::reset_now))
    }

    fn location(&self) -> String {
        self.0.location()
    }
}

enum Damage {
    Torn(&'static str),
    Newer(u32),
}

fn frame(written: &Written<'_>) -> Vec<u8> {
    let payload = serde_json::to_vec(written).expect("a checkpoint has only string keys");
    let length = u32::try_from(payload.len()).expect("a checkpoint is small");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    bytes
}

fn parse(bytes: &[u8]) -> Result<&[u8], Damage> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(Damage::Torn("shorter than its header"));
    };
    let number = |at: usize| {
        header[at..at + 4].iter().rev().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
    };
    if header[..4] != MAGIC {
        return Err(Damage::Torn("does not begin with TWOF"));
    }
    if number(4) > VERSION {
        return Err(Damage::Newer(number(4)));
    }
    let length = number(8) as usize;
    if length > PAYLOAD_BYTES_MAX {
        return Err(Damage::Torn("says that it is larger than a checkpoint can be"));
    }
    let Some(payload) = rest.get(..length) else {
        return Err(Damage::Torn("shorter than its length says"));
    };
    if crc32c::crc32c(payload) != number(12) {
        return Err(Damage::Torn("its checksum is wrong"));
    }
    Ok(payload)
}

fn our_name() -> String {
    format!("process {} (boot {})", std::process::id(), boot_id())
}

/// Tells a lock note of before a reboot from one of now.
fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests;
