//! The binary form of a GTID set: what `COM_BINLOG_DUMP_GTID` sends and a `Previous_gtids` event
//! holds (`Gtid_set::encode` in MySQL's `sql/rpl_gtid_set.cc`).
//!
//! The first eight bytes are the number of sources. Where a set has tags (MySQL 8.3 and newer),
//! the highest and the lowest byte of them are 1 and the number stands between; then every source
//! has its tag behind the uuid, as a serialised string (`libs/mysql/serialization`: a short length
//! is one byte, shifted left by one).

use super::{GNO_END, GtidSet, GtidSource, Interval, TAG_MAX, Tag, insert};

const TAGGED: u64 = 1;
const FORMAT_SHIFT: u32 = 56;

/// Bytes that are no GTID set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("decode a GTID set: {0}")]
pub struct DecodeGtidSetError(&'static str);

impl GtidSet {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let tagged = self.has_tags();
        let count = self.sources.len() as u64;
        let header = if tagged { TAGGED << FORMAT_SHIFT | count << 8 | TAGGED } else { count };
        let mut bytes = header.to_le_bytes().to_vec();
        for (source, intervals) in &self.sources {
            bytes.extend(source.uuid);
            if tagged {
                bytes.push(source.tag.length << 1);
                bytes.extend(source.tag().bytes());
            }
            bytes.extend((intervals.len() as u64).to_le_bytes());
            for interval in intervals {
                bytes.extend(interval.start.to_le_bytes());
                bytes.extend(interval.end.to_le_bytes());
            }
        }
        bytes
    }

    /// # Errors
    /// When `bytes` are not exactly one set.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, DecodeGtidSetError> {
        let header = number(&mut bytes)?;
        let tagged = match header >> FORMAT_SHIFT {
            0 => false,
            TAGGED => true,
            _ => return Err(DecodeGtidSetError("its format is unknown")),
        };
        let count = if tagged { (header << 8) >> 16 } else { header };
        let mut set = Self::default();
        for _ in 0..count {
            let uuid = *take::<16>(&mut bytes)?;
            let tag = if tagged { tag(&mut bytes)? } else { Tag::NONE };
            let source = GtidSource { uuid, tag };
            for _ in 0..number(&mut bytes)? {
                let (start, end) = (number(&mut bytes)?, number(&mut bytes)?);
                if start == 0 || start >= end || end > GNO_END {
                    return Err(DecodeGtidSetError("an interval is empty or out of range"));
                }
                insert(set.intervals_mut(&source), Interval { start, end });
            }
        }
        set.sources.retain(|(_, intervals)| !intervals.is_empty());
        if bytes.is_empty() { Ok(set) } else { Err(DecodeGtidSetError("bytes follow it")) }
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; N], DecodeGtidSetError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(DecodeGtidSetError("it is too short"))?;
    *bytes = rest;
    Ok(first)
}

fn number(bytes: &mut &[u8]) -> Result<u64, DecodeGtidSetError> {
    take(bytes).map(|bytes| u64::from_le_bytes(*bytes))
}

fn tag(bytes: &mut &[u8]) -> Result<Tag, DecodeGtidSetError> {
    let [length] = *take::<1>(bytes)?;
    let malformed = DecodeGtidSetError("a tag is malformed");
    let length = usize::from(length >> 1);
    if length == 0 {
        return Ok(Tag::NONE);
    }
    let text = bytes.get(..length.min(TAG_MAX + 1)).ok_or(malformed)?;
    *bytes = bytes.get(length..).ok_or(malformed)?;
    std::str::from_utf8(text).ok().and_then(Tag::parse).ok_or(malformed)
}
