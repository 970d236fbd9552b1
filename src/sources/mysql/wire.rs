//! Packets of the client/server protocol: three bytes of length, one of sequence, a payload.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>
//!
//! Pure and total: any bytes give payloads, a wish for more, or an error. Nothing is allocated for
//! a length that was only declared.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::error::ServerError;

const HEADER_BYTES: usize = 4;
/// A packet of this length is continued by the next one, if only by an empty one.
const FULL_BYTES: usize = 0xFF_FFFF;

pub(super) const OK: u8 = 0x00;
pub(super) const EOF: u8 = 0xFE;
pub(super) const ERROR: u8 = 0xFF;
/// An EOF is shorter; with this length and more, the byte begins a row's first value.
const EOF_BYTES_MAX: usize = 8;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("packet {found} arrived where {expected} is next: one was lost or doubled")]
    OutOfOrder { expected: u8, found: u8 },
    #[error("message of {bytes} bytes is over the limit of {limit}")]
    TooLarge { bytes: u64, limit: u32 },
    #[error("{0} ends before its last field")]
    Short(&'static str),
    #[error("{0} is not UTF-8")]
    Encoding(&'static str),
}

/// Payloads, one after the other; each range is one without its header.
#[derive(Debug)]
pub struct Frames {
    pub data: Bytes,
    pub payloads: Vec<Range<u32>>,
}

/// How far one payload reaches.
struct Extent {
    /// With headers.
    whole_bytes: usize,
    payload_bytes: usize,
    n_packets: usize,
}

/// The payload that begins at `at`, once it is there completely.
fn extent(
    input: &[u8],
    at: usize,
    mut sequence: u8,
    limit: u32,
) -> Result<Option<Extent>, WireError> {
    let mut extent = Extent { whole_bytes: 0, payload_bytes: 0, n_packets: 0 };
    loop {
        let from = at + extent.whole_bytes;
        let Some(&[a, b, c, found]) = input.get(from..from + HEADER_BYTES) else {
            return Ok(None);
        };
        if found != sequence {
            return Err(WireError::OutOfOrder { expected: sequence, found });
        }
        sequence = sequence.wrapping_add(1);
        let length = u32::from_le_bytes([a, b, c, 0]) as usize;
        extent.payload_bytes += length;
        extent.whole_bytes += HEADER_BYTES + length;
        extent.n_packets += 1;
        if extent.payload_bytes > limit as usize {
            let bytes = u64::try_from(extent.payload_bytes).unwrap_or(u64::MAX);
            return Err(WireError::TooLarge { bytes, limit });
        }
        if input.len() - at < extent.whole_bytes {
            return Ok(None);
        }
        if length < FULL_BYTES {
            return Ok(Some(extent));
        }
    }
}

fn advance(sequence: &mut u8, n_packets: usize) {
    // Sequence numbers wrap at 256.
    let step = u8::try_from(n_packets % 256).unwrap_or_default();
    *sequence = sequence.wrapping_add(step);
}

/// Takes the next payload off `input`, if it is complete. Joins what was split over packets.
pub(super) fn take_payload(
    input: &mut BytesMut,
    sequence: &mut u8,
    limit: u32,
) -> Result<Option<Bytes>, WireError> {
    let Some(extent) = extent(input, 0, *sequence, limit)? else { return Ok(None) };
    advance(sequence, extent.n_packets);
    let mut packets = input.split_to(extent.whole_bytes);
    if extent.n_packets == 1 {
        packets.advance(HEADER_BYTES);
        return Ok(Some(packets.freeze()));
    }
    // In place: a payload of some hundred megabytes is not held twice.
    let mut end = 0;
    for n in 0..extent.n_packets {
        let start = n * (HEADER_BYTES + FULL_BYTES) + HEADER_BYTES;
        let length = FULL_BYTES.min(extent.payload_bytes - end);
        packets.copy_within(start..start + length, end);
        end += length;
    }
    packets.truncate(end);
    Ok(Some(packets.freeze()))
}

/// Takes every complete payload that `input` begins with and `wanted` wants, without copying a
/// byte unless one was split over packets.
pub(super) fn take_run(
    input: &mut BytesMut,
    sequence: &mut u8,
    limit: u32,
    wanted: fn(&[u8]) -> bool,
) -> Result<Option<Frames>, WireError> {
    let mut payloads = Vec::new();
    let mut end = 0;
    let mut next = *sequence;
    while let Some(extent) = extent(input, end, next, limit)? {
        let from = end + HEADER_BYTES;
        let to = end + extent.whole_bytes;
        let payload = input.get(from..to).unwrap_or_default();
        if !wanted(payload) {
            break;
        }
        if extent.n_packets > 1 {
            if payloads.is_empty() {
                return take_large(input, sequence, limit);
            }
            break;
        }
        let (Ok(from), Ok(last)) = (u32::try_from(from), u32::try_from(to)) else { break };
        payloads.push(from..last);
        end = to;
        advance(&mut next, 1);
    }
    if payloads.is_empty() {
        return Ok(None);
    }
    *sequence = next;
    Ok(Some(Frames { data: input.split_to(end).freeze(), payloads }))
}

fn take_large(
    input: &mut BytesMut,
    sequence: &mut u8,
    limit: u32,
) -> Result<Option<Frames>, WireError> {
    let Some(data) = take_payload(input, sequence, limit)? else { return Ok(None) };
    let length = u32::try_from(data.len()).map_err(|_| WireError::TooLarge {
        bytes: u64::try_from(data.len()).unwrap_or(u64::MAX),
        limit,
    })?;
    Ok(Some(Frames { data, payloads: vec![Range { start: 0, end: length }] }))
}

/// Appends `payload` in as many packets as it takes.
pub(super) fn put_payload(output: &mut BytesMut, sequence: &mut u8, payload: &[u8]) {
    let mut rest = payload;
    loop {
        let (chunk, behind) = rest.split_at(rest.len().min(FULL_BYTES));
        output.put_uint_le(u64::try_from(chunk.len()).unwrap_or(u64::MAX), 3);
        output.put_u8(*sequence);
        advance(sequence, 1);
        output.extend_from_slice(chunk);
        rest = behind;
        if chunk.len() < FULL_BYTES {
            return;
        }
    }
}

pub(super) fn is_eof(payload: &[u8]) -> bool {
    payload.first() == Some(&EOF) && payload.len() <= EOF_BYTES_MAX
}

pub(super) fn is_row(payload: &[u8]) -> bool {
    !is_eof(payload) && payload.first() != Some(&ERROR)
}

/// An event of the binary log comes behind an OK byte.
pub(super) fn is_event(payload: &[u8]) -> bool {
    payload.first() == Some(&OK)
}

/// Reads the fields of one payload.
pub(super) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(what: &'static str, payload: &'a [u8]) -> Self {
        Self { what, rest: payload }
    }

    pub(super) fn bytes(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(WireError::Short(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.bytes(N)?.try_into().map_err(|_| WireError::Short(self.what))
    }

    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_dt_integers.html>
    /// `None` is the NULL of a row.
    fn length(&mut self) -> Result<Option<u64>, WireError> {
        Ok(Some(match self.byte()? {
            0xFB => return Ok(None),
            0xFC => u64::from(self.u16()?),
            0xFD => {
                let [a, b, c] = self.array()?;
                u64::from(u32::from_le_bytes([a, b, c, 0]))
            }
            0xFE => u64::from_le_bytes(self.array()?),
            0xFF => return Err(WireError::Short(self.what)),
            small => u64::from(small),
        }))
    }

    pub(super) fn number(&mut self) -> Result<u64, WireError> {
        self.length()?.ok_or(WireError::Short(self.what))
    }

    /// A value of a text row; `None` is NULL.
    pub(super) fn value(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        let Some(length) = self.length()? else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| WireError::Short(self.what))?;
        self.bytes(length).map(Some)
    }

    pub(super) fn until_zero(&mut self) -> Result<&'a [u8], WireError> {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let text = self.bytes(end.ok_or(WireError::Short(self.what))?)?;
        self.byte()?;
        Ok(text)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// Fields of an ERR packet. Never fails: an error about an error would hide the error.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html>
pub(super) fn server_error(payload: &[u8]) -> ServerError {
    let mut fields = Fields::new("an error", payload.get(1..).unwrap_or_default());
    let code = fields.u16().unwrap_or_default();
    // A server that refuses a connection before the handshake sends no state.
    let (state, message) = match fields.rest().split_first() {
        Some((b'#', rest)) if rest.len() >= 5 => rest.split_at(5),
        _ => (&b""[..], fields.rest()),
    };
    ServerError {
        code,
        state: String::from_utf8_lossy(state).into_owned(),
        message: String::from_utf8_lossy(message).into_owned(),
    }
}

/// One row of the text protocol; `None` is NULL.
pub(super) fn text_row(payload: &[u8]) -> Result<Vec<Option<String>>, WireError> {
    const WHAT: &str = "a row";
    let mut fields = Fields::new(WHAT, payload);
    let mut row = Vec::new();
    while !fields.rest().is_empty() {
        row.push(match fields.value()? {
            None => None,
            Some(value) => {
                let text = std::str::from_utf8(value).map_err(|_| WireError::Encoding(WHAT))?;
                Some(text.to_owned())
            }
        });
    }
    Ok(row)
}

#[cfg(test)]
mod tests;
