//! Frames of the front-end/back-end protocol: a tag, a length that counts itself, a body.
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>
//!
//! Pure and total: any bytes give messages, a wish for more, or an error. Nothing is allocated
//! for a length that was only declared.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::error::ServerError;

pub(super) const HEADER_BYTES: usize = 5;

pub(super) const COPY_DATA: u8 = b'd';
pub(super) const COPY_DONE: u8 = b'c';
pub(super) const COMMAND_COMPLETE: u8 = b'C';
pub(super) const ERROR: u8 = b'E';
pub(super) const NOTICE: u8 = b'N';
pub(super) const PARAMETER_STATUS: u8 = b'S';
pub(super) const NOTIFICATION: u8 = b'A';
pub(super) const READY: u8 = b'Z';

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("message `{tag}` has the impossible length {length}")]
    Length { tag: char, length: i32 },
    #[error("message of {bytes} bytes is over the limit of {limit}")]
    TooLarge { bytes: u64, limit: u32 },
    #[error("{0} ends before its last field")]
    Short(&'static str),
    #[error("{0} is not UTF-8")]
    Encoding(&'static str),
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) tag: u8,
    pub(super) body: Bytes,
}

/// CopyData messages, one after the other; each range is one payload without its frame.
#[derive(Debug)]
pub struct CopyFrames {
    pub data: Bytes,
    pub payloads: Vec<Range<u32>>,
}

/// Tag and whole length of the message that begins at `at`, once it is there completely.
fn complete(input: &[u8], at: usize, limit: u32) -> Result<Option<(u8, usize)>, WireError> {
    let Some(&[tag, a, b, c, d]) = input.get(at..at + HEADER_BYTES) else { return Ok(None) };
    let length = i32::from_be_bytes([a, b, c, d]);
    let declared = u32::try_from(length).ok().filter(|length| *length >= 4);
    let declared = declared.ok_or(WireError::Length { tag: char::from(tag), length })?;
    if declared > limit {
        return Err(WireError::TooLarge { bytes: u64::from(declared), limit });
    }
    let whole = 1 + declared as usize;
    Ok((input.len() - at >= whole).then_some((tag, whole)))
}

/// Takes the next message off `input`, if it is complete.
pub(super) fn take_message(input: &mut BytesMut, limit: u32) -> Result<Option<Message>, WireError> {
    let Some((tag, whole)) = complete(input, 0, limit)? else { return Ok(None) };
    let mut body = input.split_to(whole).freeze();
    body.advance(HEADER_BYTES);
    Ok(Some(Message { tag, body }))
}

/// Takes every complete CopyData message that `input` begins with, without copying a byte.
pub(super) fn take_copy_data(
    input: &mut BytesMut,
    limit: u32,
) -> Result<Option<CopyFrames>, WireError> {
    let mut payloads = Vec::new();
    let mut end = 0;
    while let Some((COPY_DATA, whole)) = complete(input, end, limit)? {
        let next = end + whole;
        let (Ok(from), Ok(to)) = (u32::try_from(end + HEADER_BYTES), u32::try_from(next)) else {
            break;
        };
        payloads.push(from..to);
        end = next;
    }
    if payloads.is_empty() {
        return Ok(None);
    }
    Ok(Some(CopyFrames { data: input.split_to(end).freeze(), payloads }))
}

/// Reads the fields of one message body.
pub(super) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(what: &'static str, body: &'a [u8]) -> Self {
        Self { what, rest: body }
    }

    pub(super) fn bytes(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(WireError::Short(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        let (first, rest) = self.rest.split_first().ok_or(WireError::Short(self.what))?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn int16(&mut self) -> Result<i16, WireError> {
        let bytes = self.bytes(2)?.try_into().map_err(|_| WireError::Short(self.what))?;
        Ok(i16::from_be_bytes(bytes))
    }

    pub(super) fn int32(&mut self) -> Result<i32, WireError> {
        let bytes = self.bytes(4)?.try_into().map_err(|_| WireError::Short(self.what))?;
        Ok(i32::from_be_bytes(bytes))
    }

    pub(super) fn c_string(&mut self) -> Result<&'a str, WireError> {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let text = self.bytes(end.ok_or(WireError::Short(self.what))?)?;
        self.byte()?;
        std::str::from_utf8(text).map_err(|_| WireError::Encoding(self.what))
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// Fields of an ErrorResponse or NoticeResponse. Never fails: an error about an error would hide
/// the error, and one sent before the encoding is agreed on may be in any encoding.
pub(super) fn server_error(body: &[u8]) -> ServerError {
    let mut error = ServerError::default();
    for field in body.split(|byte| *byte == 0) {
        let Some((kind, text)) = field.split_first() else { continue };
        let text = String::from_utf8_lossy(text).into_owned();
        match kind {
            // The unlocalised severity, since 9.6; `S` is the translated one.
            b'V' => error.severity = text,
            b'S' if error.severity.is_empty() => error.severity = text,
            b'C' => error.code = text,
            b'M' => error.message = text,
            b'D' => error.detail = Some(text),
            b'H' => error.hint = Some(text),
            _ => {}
        }
    }
    error
}

/// The values of one row, as text; what they are called and of which type, the query knows.
pub(super) fn data_row(body: &[u8]) -> Result<Vec<Option<String>>, WireError> {
    const WHAT: &str = "a row";
    let mut fields = Fields::new(WHAT, body);
    let n_columns = usize::try_from(fields.int16()?).map_err(|_| WireError::Short(WHAT))?;
    let mut row = Vec::new();
    for _ in 0..n_columns {
        // -1 is NULL.
        row.push(match usize::try_from(fields.int32()?) {
            Err(_) => None,
            Ok(length) => {
                let text = std::str::from_utf8(fields.bytes(length)?);
                Some(text.map_err(|_| WireError::Encoding(WHAT))?.to_owned())
            }
        });
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 1000;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = i32::try_from(body.len() + 4).unwrap();
        [&[tag], length.to_be_bytes().as_slice(), body].concat()
    }

    fn payloads(frames: &CopyFrames) -> Vec<&[u8]> {
        let bounds = frames.payloads.iter();
        bounds.map(|r| &frames.data[r.start as usize..r.end as usize]).collect()
    }

    #[test]
    fn all_complete_copy_frames_leave_together_and_the_rest_waits() {
        let bytes = [frame(b'd', b"one"), frame(b'd', b""), frame(b'd', b"three")].concat();
        for cut in 0..=bytes.len() {
            let mut input = BytesMut::from(&bytes[..cut]);
            let mut seen = Vec::new();
            while let Some(frames) = take_copy_data(&mut input, LIMIT).unwrap() {
                seen.extend(payloads(&frames).iter().map(|p| p.to_vec()));
            }
            input.extend_from_slice(&bytes[cut..]);
            while let Some(frames) = take_copy_data(&mut input, LIMIT).unwrap() {
                seen.extend(payloads(&frames).iter().map(|p| p.to_vec()));
            }
            assert_eq!(seen, [b"one".to_vec(), b"".to_vec(), b"three".to_vec()], "cut at {cut}");
            assert!(input.is_empty());
        }
    }

    #[test]
    fn another_message_ends_a_run_of_copy_frames() {
        let mut input = BytesMut::new();
        input.extend(frame(b'd', b"one"));
        input.extend(frame(b'c', b""));
        input.extend(frame(b'd', b"two"));
        let frames = take_copy_data(&mut input, LIMIT).unwrap().unwrap();
        assert_eq!(payloads(&frames), [b"one"]);
        assert!(take_copy_data(&mut input, LIMIT).unwrap().is_none());
        assert_eq!(take_message(&mut input, LIMIT).unwrap().unwrap().tag, b'c');
    }

    #[test]
    fn a_declared_length_is_checked_before_a_byte_of_it_is_waited_for() {
        let check = |length: i32| {
            let bytes = [b"d", length.to_be_bytes().as_slice()].concat();
            take_message(&mut BytesMut::from(bytes.as_slice()), LIMIT).map(|m| m.is_some())
        };
        assert_eq!(check(1001), Err(WireError::TooLarge { bytes: 1001, limit: LIMIT }));
        assert_eq!(check(i32::MAX).unwrap_err().to_string().split(' ').next(), Some("message"));
        for length in [3, 0, -1, i32::MIN] {
            assert_eq!(check(length), Err(WireError::Length { tag: 'd', length }));
        }
        assert_eq!(check(1000), Ok(false));
    }

    #[test]
    fn an_error_response_is_read_even_when_it_is_damaged() {
        let error = server_error(b"SERREUR\0VERROR\0C28P01\0Mno \xff\0Dwhy\0Hdo\0\0");
        assert_eq!(error.severity, "ERROR");
        assert_eq!(error.code, "28P01");
        assert_eq!(error.message, "no \u{fffd}");
        assert_eq!(error.detail.as_deref(), Some("why"));
        assert_eq!(error.hint.as_deref(), Some("do"));
        assert_eq!(server_error(b"C28P0").code, "28P0");
        assert_eq!(server_error(b""), ServerError::default());
    }

    #[test]
    fn rows_tell_null_from_empty_and_refuse_to_read_past_the_end() {
        let body = [&2i16.to_be_bytes()[..], &(-1i32).to_be_bytes(), &0i32.to_be_bytes()].concat();
        assert_eq!(data_row(&body).unwrap(), [None, Some(String::new())]);
        let short = [&1i16.to_be_bytes()[..], &9i32.to_be_bytes(), b"abc"].concat();
        assert_eq!(data_row(&short), Err(WireError::Short("a row")));
        assert!(data_row(&(-1i16).to_be_bytes()).is_err());
    }
}
