//! The schema history beside a checkpoint, packed.
//!
//! It may be large and seldom changes, and checkpoints are small and written all the time. So a
//! checkpoint names its history by the digest of its bytes, and the bytes are made durable before
//! the first checkpoint that names them. A history that is gone or damaged makes the checkpoint
//! worthless, and it is treated as damaged itself.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::schema::history::SchemaHistory;

/// Of zstd: a history is text that repeats itself.
const LEVEL: i32 = 3;
/// Beyond any history: a hundred thousand tables have about as much.
const TEXT_BYTES_MAX: u64 = 512 << 20;

/// Of the digest, how much is in a name.
const NAME_DIGITS: usize = 16;

/// How a checkpoint names its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reference {
    /// SHA-256 of the packed bytes, in hexadecimal.
    digest: String,
    pub(super) bytes: u64,
    /// A number that only the save has that wrote them, where it is in their name. Once it was the
    /// checkpoint's counter, which comes again after a reset and after a save that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    save: Option<u64>,
}

impl Reference {
    /// With a name that no other save gives to its bytes.
    pub(super) fn of_save(self, unique: u64) -> Self {
        Self { save: Some(unique), ..self }
    }

    /// For the name of a file or a key.
    pub(super) fn name(&self) -> String {
        let digest = self.digest.get(..NAME_DIGITS).unwrap_or(&self.digest);
        match self.save {
            Some(unique) => format!("{digest}-{unique}"),
            None => digest.to_owned(),
        }
    }

    /// Whether it can be a name of only a digest.
    pub(super) fn is_digest_name(name: &str) -> bool {
        name.len() == NAME_DIGITS && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    }
}

/// A history as it is kept; `None` for one of nothing.
pub(super) fn pack(history: &SchemaHistory) -> io::Result<Option<(Reference, Vec<u8>)>> {
    if history.is_empty() {
        return Ok(None);
    }
    let bytes = zstd::bulk::compress(history.to_text().as_bytes(), LEVEL)?;
    let reference = Reference { digest: digest(&bytes), bytes: bytes.len() as u64, save: None };
    Ok(Some((reference, bytes)))
}

/// What is durable already.
#[derive(Debug, Default)]
pub(super) struct Packer {
    last: Option<(SchemaHistory, Option<Reference>)>,
}

impl Packer {
    /// How a history is named that is known to be durable.
    pub(super) fn known(&self, history: &SchemaHistory) -> Option<Option<Reference>> {
        let (last, reference) = self.last.as_ref()?;
        last.is_same(history).then(|| reference.clone())
    }

    /// What was read or became durable.
    pub(super) fn remember(&mut self, history: &SchemaHistory, reference: Option<Reference>) {
        self.last = Some((history.clone(), reference));
    }

    pub(super) fn forget(&mut self) {
        self.last = None;
    }
}

/// Unpacks what a checkpoint names; the error says what is wrong with it.
pub(super) fn unpack(reference: &Reference, bytes: &[u8]) -> Result<SchemaHistory, String> {
    if bytes.len() as u64 != reference.bytes || digest(bytes) != reference.digest {
        return Err("its schema history is not the one that it names".to_owned());
    }
    let text = text(bytes, TEXT_BYTES_MAX);
    let text = text.map_err(|error| format!("its schema history cannot be unpacked: {error}"))?;
    SchemaHistory::of_text(&text).map_err(|error| format!("its schema history: {error}"))
}

/// Grows with what is there, not with what there may be.
fn text(bytes: &[u8], bytes_max: u64) -> io::Result<String> {
    let decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
    let mut text = String::new();
    decoder.take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(text)
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        let written = write!(text, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(texts: &[(&str, &str)]) -> SchemaHistory {
        let mut history = SchemaHistory::default();
        texts.iter().for_each(|(name, text)| history.set(name, text));
        history
    }

    #[test]
    fn a_history_is_packed_once_and_read_back() {
        let mut packer = Packer::default();
        let first = history(&[("a", "1"), ("b", &"x".repeat(10_000))]);
        let (reference, bytes) = pack(&first).unwrap().unwrap();
        assert!(bytes.len() < 200);
        assert_eq!(unpack(&reference, &bytes).unwrap(), first);
        assert_eq!(packer.known(&first), None);
        packer.remember(&first, Some(reference.clone()));
        assert_eq!(packer.known(&first.clone()), Some(Some(reference.clone())));
        let mut second = first.clone();
        second.set("a", "2");
        assert_eq!(packer.known(&second), None);
        assert_eq!(pack(&SchemaHistory::default()).unwrap(), None);
        // Two saves of the same bytes may be told apart, and are read alike.
        let (one, two) = (reference.clone().of_save(1), reference.of_save(2));
        assert_ne!(one.name(), two.name());
        assert_eq!(unpack(&two, &bytes).unwrap(), first);
    }

    /// 512 MiB were once reserved for each, which a container with a limit may not grant.
    #[test]
    fn unpacking_takes_what_there_is_and_no_more_than_is_allowed() {
        let packed = zstd::bulk::compress("x".repeat(100_000).as_bytes(), LEVEL).unwrap();
        let unpacked = text(&packed, TEXT_BYTES_MAX).unwrap();
        assert_eq!(unpacked.len(), 100_000);
        assert!(unpacked.capacity() < 1 << 20, "{}", unpacked.capacity());
        assert_eq!(text(&packed, 100_000).unwrap().len(), 100_000);
        assert!(text(&packed, 99_999).is_err());
        assert!(text(b"no zstd", TEXT_BYTES_MAX).is_err());
        let bytes = zstd::bulk::compress(b"\xFF", LEVEL).unwrap();
        assert!(text(&bytes, TEXT_BYTES_MAX).is_err());
    }

    #[test]
    fn damage_is_told() {
        let (reference, mut bytes) = pack(&history(&[("a", "1")])).unwrap().unwrap();
        assert!(unpack(&reference, &bytes[1..]).is_err());
        bytes[0] ^= 1;
        assert!(unpack(&reference, &bytes).is_err());
    }
}
