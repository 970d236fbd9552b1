//! Dead letters: what a row that cannot go on leaves behind.
//!
//! A dead letter is a record like any other: it travels in the batch in which the row would have
//! travelled, so the batch's receipt waits for it too (correctness I8). The value is the untouched
//! bytes of the row; everything that a person or a replay needs to know about it is in headers.
//! Pure: building one does no I/O and reads no clock.

use std::ops::Range;

use crate::change::EventId;
use crate::record::{Header, Record, RecordBatch, TopicId};

pub const HEADER_ERROR: &str = "tailwater.error";
pub const HEADER_KIND: &str = "tailwater.kind";
pub const HEADER_TABLE: &str = "tailwater.table";
/// Transaction and ordinal of the row: the same however often it is read.
pub const HEADER_POSITION: &str = "tailwater.position";
pub const HEADER_SCHEMA: &str = "tailwater.schema";
pub const HEADER_TOPIC: &str = "tailwater.topic";
/// When the letter was written, in milliseconds since the epoch.
pub const HEADER_TIME: &str = "tailwater.time";
/// `2/3`: the second of three records that together hold the value. Only on letters that are
/// larger than a record of the dead-letter topic may be.
pub const HEADER_PART: &str = "tailwater.part";

/// Error texts are cut here, so that headers cannot outgrow the record that they explain.
const ERROR_BYTES_MAX: usize = 2048;

/// Which policy sent the row here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureKind {
    /// Its bytes or values made no sense.
    #[default]
    Conversion,
    /// The sink refused it for what it is.
    Delivery,
}

impl FailureKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Conversion => "conversion",
            Self::Delivery => "delivery",
        }
    }
}

/// Everything known about a row that could not go on. What is not known stays out of the headers.
#[derive(Clone, Debug, Default)]
pub struct DeadLetter<'a> {
    pub kind: FailureKind,
    /// The error and its causes, in one line.
    pub error: String,
    pub key: Option<&'a [u8]>,
    /// Wire bytes of the row (conversion), or the record's value (delivery).
    pub raw: &'a [u8],
    /// Dotted name; empty where it is not known.
    pub table: &'a str,
    pub id: Option<EventId<'a>>,
    /// Number of the schema in the registry, or a description of it in JSON.
    pub schema: Option<&'a str>,
    /// Where the record would have gone.
    pub topic: Option<&'a str>,
    /// Nanoseconds since the epoch.
    pub now_ns: i64,
    /// The headers that the record already had, `cdc.id` among them.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

/// Appends the letter to `out` as a record for `topic`.
pub fn append(out: &mut RecordBatch, topic: TopicId, letter: &DeadLetter<'_>) {
    let key = letter.key.map(|key| push(out, key));
    let value = Some(push(out, letter.raw));
    let first = index(out.headers.len());
    for (name, value) in letter.headers {
        let name = push(out, name);
        let value = value.map(|value| push(out, value));
        out.headers.push(Header { name, value });
    }
    push_header(out, HEADER_ERROR, cut(&letter.error));
    push_header(out, HEADER_KIND, letter.kind.name());
    if !letter.table.is_empty() {
        push_header(out, HEADER_TABLE, letter.table);
    }
    if let Some(EventId { transaction, ordinal }) = letter.id {
        push_header(out, HEADER_POSITION, &format!("{transaction}:{ordinal}"));
    }
    for (name, value) in [(HEADER_SCHEMA, letter.schema), (HEADER_TOPIC, letter.topic)] {
        if let Some(value) = value {
            push_header(out, name, value);
        }
    }
    push_header(out, HEADER_TIME, &(letter.now_ns / 1_000_000).to_string());
    let headers = first..index(out.headers.len());
    out.records.push(Record { topic, key, value, headers });
}

fn push_header(out: &mut RecordBatch, name: &str, value: &str) {
    let name = push(out, name.as_bytes());
    let value = Some(push(out, value.as_bytes()));
    out.headers.push(Header { name, value });
}

fn push(out: &mut RecordBatch, bytes: &[u8]) -> Range<u32> {
    let start = index(out.data.len());
    out.data.extend_from_slice(bytes);
    start..index(out.data.len())
}

fn index(n: usize) -> u32 {
    u32::try_from(n).expect("a batch is far below four gigabytes")
}

fn cut(text: &str) -> &str {
    let end = (0..=ERROR_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
    if text.len() <= ERROR_BYTES_MAX { text } else { text.split_at(end.unwrap_or(0)).0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter<'a>() -> DeadLetter<'a> {
        DeadLetter {
            kind: FailureKind::Conversion,
            error: "convert column price of shop.orders: not a number".to_owned(),
            key: Some(b"\x00\x01"),
            raw: b"\xff\x00raw",
            table: "shop.orders",
            id: Some(EventId { transaction: "74/0/16B3748", ordinal: 3 }),
            schema: Some("7"),
            topic: Some("shop.shop.orders"),
            now_ns: 1_700_000_000_123_456_789,
            headers: &[(b"cdc.id", Some(b"a/1:0"))],
        }
    }

    fn headers(batch: &RecordBatch, record: usize) -> Vec<(String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        batch.headers(&batch.records[record]).map(|(n, v)| (text(n), v.map(text))).collect()
    }

    #[test]
    fn a_letter_carries_the_raw_bytes_and_says_why_in_headers() {
        let mut batch = RecordBatch::default();
        append(&mut batch, TopicId(4), &letter());
        let record = &batch.records[0];
        assert_eq!(record.topic, TopicId(4));
        assert_eq!(batch.key(record), Some(&b"\x00\x01"[..]));
        assert_eq!(batch.value(record), Some(&b"\xff\x00raw"[..]));
        let expected = [
            ("cdc.id", "a/1:0"),
            ("tailwater.error", "convert column price of shop.orders: not a number"),
            ("tailwater.kind", "conversion"),
            ("tailwater.table", "shop.orders"),
            ("tailwater.position", "74/0/16B3748:3"),
            ("tailwater.schema", "7"),
            ("tailwater.topic", "shop.shop.orders"),
            ("tailwater.time", "1700000000123"),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(n, v)| ((*n).to_owned(), Some((*v).to_owned()))).collect();
        assert_eq!(headers(&batch, 0), expected);
    }

    #[test]
    fn what_is_not_known_is_left_out_and_earlier_records_stay_as_they_are() {
        let mut batch = RecordBatch::default();
        append(&mut batch, TopicId(0), &letter());
        let before = (batch.records[0].clone(), headers(&batch, 0));
        let bare = DeadLetter { error: "x".to_owned(), ..DeadLetter::default() };
        append(&mut batch, TopicId(1), &bare);
        assert_eq!((batch.records[0].clone(), headers(&batch, 0)), before);
        assert_eq!(batch.key(&batch.records[1]), None);
        assert_eq!(batch.value(&batch.records[1]), Some(&b""[..]));
        let names: Vec<_> = headers(&batch, 1).into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["tailwater.error", "tailwater.kind", "tailwater.time"]);
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let error = "ü".repeat(ERROR_BYTES_MAX);
        let mut batch = RecordBatch::default();
        append(&mut batch, TopicId(0), &DeadLetter { error, ..letter() });
        let value = headers(&batch, 0)[1].1.clone().unwrap();
        assert_eq!(value.len(), ERROR_BYTES_MAX);
    }
}
