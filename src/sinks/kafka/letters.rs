//! Records that go to the dead letters because of their size, and how they get through at all: a
//! letter that is too large for a record is sent in parts.

use std::ops::Range;

use crate::disposition::Diagnose;
use crate::record::{Record, RecordBatch, TopicId};
use crate::sinks::dead_letter::{self, DeadLetter, FailureKind, HEADER_PART};

use super::error::SinkError;

/// What librdkafka adds to key, value and headers at most (`RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD`:
/// varints of length, offset, timestamp, key, value and header count, and the attributes).
const RECORD_OVERHEAD: usize = 5 + 10 + 5 + 5 + 5 + 5 + 1;
/// A batch's own header (`RecordBatch` of the Kafka protocol), which the brokers count too.
pub(super) const BATCH_OVERHEAD: usize = 61;
/// Two varints per header.
const HEADER_OVERHEAD: usize = 10;

/// Upper bound of a record's size on the wire, as librdkafka's own check computes it.
pub(super) fn wire_bytes(batch: &RecordBatch, record: &Record) -> usize {
    let length = |range: &Option<Range<u32>>| range.as_ref().map_or(0, ExactSizeIterator::len);
    let headers = &batch.headers[record.headers.start as usize..record.headers.end as usize];
    let headers: usize =
        headers.iter().map(|h| h.name.len() + length(&h.value) + HEADER_OVERHEAD).sum();
    length(&record.key) + length(&record.value) + headers + RECORD_OVERHEAD
}

/// The letter for a record of `batch` that `error` speaks of, alone in a batch of its own.
pub(super) fn letter(
    batch: &RecordBatch,
    record: &Record,
    error: &SinkError,
    (origin, dead_letters): (&str, TopicId),
) -> RecordBatch {
    let headers: Vec<_> = batch.headers(record).collect();
    let text = match error.hint() {
        Some(hint) => format!("{error}; hint: {hint}"),
        None => error.to_string(),
    };
    let mut out = RecordBatch::default();
    let letter = DeadLetter {
        kind: FailureKind::Delivery,
        error: text,
        key: batch.key(record),
        raw: batch.value(record).unwrap_or_default(),
        topic: Some(origin),
        now_ns: now_ns(),
        headers: &headers,
        ..DeadLetter::default()
    };
    dead_letter::append(&mut out, dead_letters, &letter);
    out
}

/// A record of `batch`, alone in a batch of its own.
pub(super) fn alone(batch: &RecordBatch, record: &Record) -> RecordBatch {
    let headers = record.headers.start as usize..record.headers.end as usize;
    let headers = batch.headers[headers].to_vec();
    let n = u32::try_from(headers.len()).expect("part of a batch");
    RecordBatch {
        data: batch.data.clone(),
        records: vec![Record { headers: 0..n, ..record.clone() }],
        headers,
        ..RecordBatch::default()
    }
}

/// The parts in which a letter fits into records of `limit` bytes: ranges of its value. One part
/// where it fits whole; `None` where key and headers alone are too large.
pub(super) fn parts(batch: &RecordBatch, record: &Record, limit: usize) -> Option<Vec<Range<u32>>> {
    let value = record.value.clone().unwrap_or(0..0);
    // `x/y` of the part header, generously.
    let part_header = HEADER_PART.len() + 24 + HEADER_OVERHEAD;
    let fixed = wire_bytes(batch, record) - value.len() + part_header;
    let room = limit.checked_sub(fixed).filter(|room| *room > 0)?;
    let room = u32::try_from(room).unwrap_or(u32::MAX);
    let mut parts = Vec::new();
    let mut start = value.start;
    while start < value.end {
        let end = start.saturating_add(room).min(value.end);
        parts.push(start..end);
        start = end;
    }
    if parts.is_empty() {
        parts.push(value);
    }
    Some(parts)
}

fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::kafka::error::SizeSetting;

    fn batch_with_value(n: usize) -> RecordBatch {
        let mut batch = RecordBatch { data: b"key".to_vec(), ..RecordBatch::default() };
        batch.data.resize(3 + n, b'v');
        let end = u32::try_from(3 + n).unwrap();
        batch.records.push(Record {
            topic: TopicId(0),
            key: Some(0..3),
            value: Some(3..end),
            headers: 0..0,
        });
        batch
    }

    fn oversized() -> SinkError {
        SinkError::Oversized {
            topic: "shop.orders".to_owned(),
            bytes: 3000,
            limit: 2000,
            setting: SizeSetting::Topic,
        }
    }

    #[test]
    fn a_letter_larger_than_a_record_is_cut_into_parts_that_hold_every_byte() {
        let batch = batch_with_value(10_000);
        let letters = letter(&batch, &batch.records[0], &oversized(), ("shop.orders", TopicId(1)));
        let record = &letters.records[0];
        assert_eq!(letters.value(record).unwrap().len(), 10_000);
        let parts = parts(&letters, record, 2000).unwrap();
        assert!(parts.len() > 5);
        assert_eq!(parts.first().unwrap().start, record.value.clone().unwrap().start);
        assert_eq!(parts.last().unwrap().end, record.value.clone().unwrap().end);
        assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        for part in &parts {
            let mut record = record.clone();
            record.value = Some(part.clone());
            assert!(wire_bytes(&letters, &record) + HEADER_PART.len() + 34 <= 2000);
        }
    }

    #[test]
    fn a_letter_that_fits_stays_whole_and_one_without_room_is_refused() {
        let batch = batch_with_value(10);
        let parts_within = |limit| parts(&batch, &batch.records[0], limit);
        assert_eq!(parts_within(2000).unwrap(), std::slice::from_ref(&(3..13)));
        assert_eq!(parts_within(20), None);
    }
}
