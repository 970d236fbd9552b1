//! MariaDB's compressed events and columns: zlib behind a small header.

use flate2::{Decompress, FlushDecompress, Status};

use super::parse_error::ParseError;
use super::payload::EVENT_BYTES_MAX;
use super::reader::Reader;

/// Whether a stream has zlib's own header and checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    Zlib,
    Raw,
}

/// Appends what was compressed (`binlog_buf_uncompress` in MariaDB's `sql/log_event.cc`): the first
/// byte has the highest bit, the algorithm in three bits (0 is zlib, the only one) and the number
/// of bytes of the length that follows, highest first.
///
/// # Errors
/// When it is something else, not exactly as long as it says, or longer than `bytes_max`.
pub fn uncompress(bytes: &[u8], bytes_max: u64, out: &mut Vec<u8>) -> Result<(), ParseError> {
    let malformed = ParseError::Compression("a compressed event with a malformed header");
    let mut reader = Reader::new(bytes);
    let head = reader.u8()?;
    if head & 0xF0 != 0x80 {
        return Err(ParseError::Compression("a compressed event: its algorithm is unknown"));
    }
    let length_bytes = usize::from(head & 7);
    if !(1..=4).contains(&length_bytes) {
        return Err(malformed);
    }
    let length = reader.take(length_bytes)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    if length > bytes_max {
        return Err(ParseError::TooLarge { found: length, limit: bytes_max });
    }
    inflate(reader.rest(), length, Wrapping::Zlib, out)
}

/// Appends exactly `length` bytes. The buffer grows with what really comes.
pub(crate) fn inflate(
    bytes: &[u8],
    length: u64,
    wrapping: Wrapping,
    out: &mut Vec<u8>,
) -> Result<(), ParseError> {
    const STEP_BYTES: usize = 64 << 10;
    if length > EVENT_BYTES_MAX {
        return Err(ParseError::TooLarge { found: length, limit: EVENT_BYTES_MAX });
    }
    let wrong = ParseError::Compression("compressed data that is not as long as it says");
    let end = out.len() + usize::try_from(length).map_err(|_| wrong)?;
    let mut stream = Decompress::new(wrapping == Wrapping::Zlib);
    loop {
        let done = usize::try_from(stream.total_in()).map_err(|_| wrong)?;
        out.reserve(STEP_BYTES.min(end - out.len()).max(1));
        let before = out.len();
        let rest = bytes.get(done..).unwrap_or_default();
        let status = stream.decompress_vec(rest, out, FlushDecompress::None);
        match status.map_err(|_| ParseError::Compression("compressed data"))? {
            Status::StreamEnd => return if out.len() == end { Ok(()) } else { Err(wrong) },
            Status::Ok | Status::BufError if out.len() > end => return Err(wrong),
            Status::Ok => {}
            // No progress, and nothing more to come.
            Status::BufError if out.len() == before && rest.is_empty() => return Err(wrong),
            Status::BufError => {}
        }
    }
}
