//! How a record is written as one line of JSON.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::FileError;
use crate::record::{Record, RecordBatch, TopicRole, Topics};

/// Appends the record's line to `lines`, or to `letters` if it is a dead letter.
pub(super) fn append_line(
    batch: &RecordBatch,
    record: &Record,
    topics: &Topics,
    (lines, letters): (&mut Vec<u8>, &mut Vec<u8>),
) -> Result<(), FileError> {
    let topic = topics.get(record.topic);
    match topic.role {
        TopicRole::Data | TopicRole::Auxiliary => {
            RecordLine { topic: &topic.name, batch, record }.append(lines)
        }
        TopicRole::DeadLetter => {
            LetterLine { topic: &topic.name, batch, record }.append(letters);
            Ok(())
        }
    }
}

/// `{"topic":…,"key":…,"value":…,"headers":{…}}`; key and value are the encoder's JSON as it is.
struct RecordLine<'a> {
    topic: &'a str,
    batch: &'a RecordBatch,
    record: &'a Record,
}

impl RecordLine<'_> {
    fn append(&self, out: &mut Vec<u8>) -> Result<(), FileError> {
        let json = |bytes: Option<&'_ [u8]>| match bytes {
            None => Ok(b"null".to_vec()),
            Some(bytes) if looks_like_json(bytes) => Ok(bytes.to_vec()),
            Some(_) => Err(FileError::NotJson { topic: self.topic.to_owned() }),
        };
        let key = json(self.batch.key(self.record))?;
        let value = json(self.batch.value(self.record))?;
        out.extend_from_slice(b"{\"topic\":");
        push_json(out, &self.topic);
        out.extend_from_slice(b",\"key\":");
        out.extend_from_slice(&key);
        out.extend_from_slice(b",\"value\":");
        out.extend_from_slice(&value);
        out.extend_from_slice(b",\"headers\":");
        push_json(out, &Headers { batch: self.batch, record: self.record });
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}

/// `{"topic":…,"key_base64":…,"value_base64":…,"headers":{…}}`.
struct LetterLine<'a> {
    topic: &'a str,
    batch: &'a RecordBatch,
    record: &'a Record,
}

impl LetterLine<'_> {
    fn append(&self, out: &mut Vec<u8>) {
        let base64 = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        out.extend_from_slice(b"{\"topic\":");
        push_json(out, &self.topic);
        out.extend_from_slice(b",\"key_base64\":");
        push_json(out, &self.batch.key(self.record).map(base64));
        out.extend_from_slice(b",\"value_base64\":");
        push_json(out, &self.batch.value(self.record).map(base64));
        out.extend_from_slice(b",\"headers\":");
        push_json(out, &Headers { batch: self.batch, record: self.record });
        out.extend_from_slice(b"}\n");
    }
}

struct Headers<'a> {
    batch: &'a RecordBatch,
    record: &'a Record,
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let headers = self.batch.headers(self.record);
        let mut map = serializer.serialize_map(Some(headers.len()))?;
        for (name, value) in headers {
            let name = String::from_utf8_lossy(name);
            map.serialize_entry(&name, &value.map(String::from_utf8_lossy))?;
        }
        map.end()
    }
}

fn push_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("text and maps of text always have a JSON form");
}

/// Whether the bytes can stand in a line of JSON: they begin like JSON and have no line break. The
/// encoder writes compact JSON; what this catches is a format that is not JSON at all.
fn looks_like_json(bytes: &[u8]) -> bool {
    let starts =
        matches!(bytes.first(), Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'));
    starts && !bytes.contains(&b'\n')
}
