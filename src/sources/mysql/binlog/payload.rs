//! `Transaction_payload_event`: a whole transaction, compressed. MySQL 8.0.20 and newer write it
//! where `binlog_transaction_compression` is on.

use std::io::{self, Read};

use super::header::{HEADER_BYTES, Header};
use super::parse_error::ParseError;
use super::reader::Reader;

/// The most that `max_allowed_packet` can be. A rows event may be a little larger than one row,
/// and no row is larger than a packet.
pub const EVENT_BYTES_MAX: u64 = 1 << 30;
/// A buffer beyond this is given back behind the event that needed it.
const KEPT_BYTES: usize = 1 << 20;

/// `Transaction_payload_event::fields`.
const END_MARK: u64 = 0;
const PAYLOAD_SIZE: u64 = 1;
const COMPRESSION_TYPE: u64 = 2;
const UNCOMPRESSED_SIZE: u64 = 3;
/// `mysql::binlog::event::compression::type`.
const ZSTD: u64 = 0;
const NONE: u64 = 255;

/// The events inside, one after the other, in one buffer that is kept between them: a
/// transaction of any size takes the memory of its largest event.
#[derive(Debug)]
pub struct Events {
    event: Vec<u8>,
    event_bytes_max: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self::new(EVENT_BYTES_MAX)
    }
}

impl Events {
    /// Events that are larger are refused: compressed to nothing, they pass every limit of the
    /// connection.
    #[must_use]
    pub fn new(event_bytes_max: u64) -> Self {
        Self { event: Vec::new(), event_bytes_max: event_bytes_max.min(EVENT_BYTES_MAX) }
    }

    /// Calls `each` with every event of the payload, whole and without checksum, as inner events
    /// never have one.
    ///
    /// # Errors
    /// When the payload is cut or malformed, and the errors of `each`.
    pub fn walk<E: From<ParseError>>(
        &mut self,
        body: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let payload = Payload::parse(body)?;
        let mut left = payload.uncompressed_bytes;
        let mut reader = payload.open()?;
        while left > 0 {
            let length = self.next(&mut reader, left)?;
            left -= length;
            each(&self.event)?;
            if self.event.capacity() > KEPT_BYTES {
                self.event = Vec::new();
            }
        }
        if is_at_end(&mut reader).map_err(failed)? {
            Ok(())
        } else {
            Err(ParseError::Compression("a payload that is longer than it says").into())
        }
    }

    /// The bytes of the event that now lies in the buffer.
    fn next(&mut self, reader: &mut dyn Read, left: u64) -> Result<u64, ParseError> {
        let mut header = [0; HEADER_BYTES];
        reader.read_exact(&mut header).map_err(failed)?;
        let (parsed, _) = Header::parse(&header)?;
        let length = u64::from(parsed.event_bytes);
        if length > self.event_bytes_max {
            let (found, limit) = (length, self.event_bytes_max);
            return Err(ParseError::TooLarge { found, limit });
        }
        let body = length.checked_sub(HEADER_BYTES as u64).filter(|_| length <= left);
        let body =
            body.ok_or(ParseError::Malformed("an event in a payload with a wrong length"))?;
        self.event.clear();
        self.event.extend_from_slice(&header);
        // Grows with what is really there, not with what the header claims.
        let found = reader.take(body).read_to_end(&mut self.event).map_err(failed)?;
        if found as u64 == body {
            Ok(length)
        } else {
            Err(failed(io::ErrorKind::UnexpectedEof.into()))
        }
    }
}

fn failed(_: io::Error) -> ParseError {
    ParseError::Compression("a transaction payload")
}

fn is_at_end(reader: &mut dyn Read) -> io::Result<bool> {
    let mut one = [0];
    reader.read(&mut one).map(|n| n == 0)
}

/// The frame of a payload.
struct Payload<'a> {
    compressed: bool,
    uncompressed_bytes: u64,
    bytes: &'a [u8],
}

impl<'a> Payload<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let (mut size, mut compression, mut uncompressed) = (None, None, None);
        loop {
            let field = reader.packed()?;
            if field == END_MARK {
                break;
            }
            let value = Reader::new(reader.packed_bytes()?).packed();
            match field {
                PAYLOAD_SIZE => size = Some(value?),
                COMPRESSION_TYPE => compression = Some(value?),
                UNCOMPRESSED_SIZE => uncompressed = Some(value?),
                // A field that is added later may change what the others mean.
                _ => return Err(ParseError::Payload { field, what: "it is unknown" }),
            }
        }
        let missing = |field| ParseError::Payload { field, what: "it is missing" };
        let size = size.ok_or(missing(PAYLOAD_SIZE))?;
        let compressed = match compression.ok_or(missing(COMPRESSION_TYPE))? {
            ZSTD => true,
            NONE => false,
            _ => {
                let what = "the compression is unknown";
                return Err(ParseError::Payload { field: COMPRESSION_TYPE, what });
            }
        };
        if size != reader.rest().len() as u64 {
            let what = "it is not the size of what follows";
            return Err(ParseError::Payload { field: PAYLOAD_SIZE, what });
        }
        let uncompressed_bytes =
            if compressed { uncompressed.ok_or(missing(UNCOMPRESSED_SIZE))? } else { size };
        Ok(Self { compressed, uncompressed_bytes, bytes: reader.rest() })
    }

    fn open(self) -> Result<Box<dyn Read + 'a>, ParseError> {
        if !self.compressed {
            return Ok(Box::new(self.bytes));
        }
        let decoder = zstd::stream::read::Decoder::with_buffer(self.bytes).map_err(failed)?;
        Ok(Box::new(decoder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A payload that says it is so large.
    fn payload(uncompressed_bytes: u64, events: &[u8]) -> Vec<u8> {
        let bytes = zstd::encode_all(events, 1).unwrap();
        let packed = |n: u64| [&[254][..], &n.to_le_bytes()].concat();
        let field = |field: u8, n: u64| [&[field, 9][..], &packed(n)].concat();
        let size = u64::try_from(bytes.len()).unwrap();
        [field(1, size), field(2, 0), field(3, uncompressed_bytes), vec![0], bytes].concat()
    }

    /// An event that says that it has so many bytes, and the rest of it.
    fn event(event_bytes: u32, body: &[u8]) -> Vec<u8> {
        let mut event = vec![0, 0, 0, 0, 16, 1, 0, 0, 0];
        event.extend(event_bytes.to_le_bytes());
        event.extend([0; 6]);
        event.extend(body);
        event
    }

    #[test]
    fn what_a_payload_claims_takes_no_memory() {
        let walk = |body: &[u8]| {
            let mut events = Events::default();
            let mut n_events = 0;
            let result = events.walk::<ParseError>(body, |_| {
                n_events += 1;
                Ok(())
            });
            assert!(events.event.capacity() < 1 << 20, "{}", events.event.capacity());
            result.map(|()| n_events)
        };
        let whole = event(27, &[7; 8]);
        assert_eq!(walk(&payload(27, &whole)).unwrap(), 1);
        assert!(walk(&payload(1 << 63, &whole)).is_err());
        assert!(walk(&payload(u64::MAX, &event(u32::MAX, &[7; 8]))).is_err());
        assert!(walk(&payload(1 << 40, &event(1 << 30, &[7; 8]))).is_err());
        assert!(walk(&payload(26, &whole)).is_err());
        assert!(walk(&payload(28, &whole)).is_err());
    }

    #[test]
    fn an_event_beyond_the_limit_is_refused_and_the_buffer_of_a_large_one_let_go() {
        let event = event(2_000_019, &vec![7; 2_000_000]);
        let body = payload(2_000_019, &event);
        let walk = |limit| {
            let mut events = Events::new(limit);
            let result = events.walk::<ParseError>(&body, |_| Ok(()));
            assert_eq!(events.event.capacity(), 0);
            result
        };
        assert_eq!(walk(2_000_019), Ok(()));
        let refused = ParseError::TooLarge { found: 2_000_019, limit: 2_000_018 };
        assert_eq!(walk(2_000_018), Err(refused));
    }
}
