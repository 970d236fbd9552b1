//! Events that say where the log is, not what happened in the database.

use super::parse_error::ParseError;
use super::reader::Reader;
use crate::offsets::position::MariadbGtid;

/// The only format there is since MySQL 5.0.
const BINLOG_VERSION: u16 = 4;
/// `ST_SERVER_VER_LEN`.
const SERVER_VERSION_BYTES: usize = 50;

/// `Rotate_event`: what follows is in another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotate<'a> {
    pub offset: u64,
    pub file: &'a str,
}

impl<'a> Rotate<'a> {
    /// # Errors
    /// When the bytes are no rotate event.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let offset = reader.u64()?;
        let file = std::str::from_utf8(reader.rest()).map_err(|_| ParseError::NotUtf8)?;
        if file.is_empty() {
            return Err(ParseError::Malformed("a rotation without a file name"));
        }
        Ok(Self { offset, file })
    }
}

/// `Format_description_event`: who wrote the file. The lengths of the post-headers are not used:
/// they are fixed for every event that is read here since MySQL 5.6 and MariaDB 10.0, but for
/// rows events of version 1, whose 8 bytes are the same too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatDescription<'a> {
    /// As in `SELECT version()`: `9.7.4`, `10.11.19-MariaDB-log`.
    pub server_version: &'a str,
    /// Seconds since 1970 at a server start; 0 where the file follows another of the same run.
    pub created: u32,
}

impl<'a> FormatDescription<'a> {
    /// # Errors
    /// When the bytes are no description of a format that is known.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        if version != BINLOG_VERSION {
            return Err(ParseError::Version(version));
        }
        let server_version = reader.take(SERVER_VERSION_BYTES)?;
        let end = server_version.iter().position(|b| *b == 0).unwrap_or(SERVER_VERSION_BYTES);
        let server_version = server_version.get(..end).unwrap_or_default();
        let server_version =
            std::str::from_utf8(server_version).map_err(|_| ParseError::NotUtf8)?;
        let created = reader.u32()?;
        if usize::from(reader.u8()?) != super::header::HEADER_BYTES {
            return Err(ParseError::Malformed("a header length other than 19"));
        }
        Ok(Self { server_version, created })
    }
}

/// `Incident_event`: the server says that its log has a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incident<'a> {
    /// 1 is `LOST_EVENTS`, the only one that exists.
    pub number: u16,
    pub message: &'a [u8],
}

impl<'a> Incident<'a> {
    /// # Errors
    /// When the bytes are no incident event.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        Ok(Self { number: reader.u16()?, message: reader.short_bytes()? })
    }
}

/// Where the server is in its log while there is nothing to send, or while it passes over what was
/// asked to be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    pub file: &'a str,
    /// `None` in version 1: the header's 32 bits are all there is.
    pub offset: Option<u64>,
}

impl<'a> Heartbeat<'a> {
    /// `Heartbeat_event`: the body is the name of the file.
    ///
    /// # Errors
    /// When it is no text.
    pub fn parse_v1(body: &'a [u8]) -> Result<Self, ParseError> {
        let file = std::str::from_utf8(body).map_err(|_| ParseError::NotUtf8)?;
        // MariaDB ends it with a zero in some versions.
        Ok(Self { file: file.trim_end_matches('\0'), offset: None })
    }

    /// `Heartbeat_event_v2` (`OTW_HB_*` in `control_events.h`): fields with type and length.
    ///
    /// # Errors
    /// When the bytes are no such fields.
    pub fn parse_v2(body: &'a [u8]) -> Result<Self, ParseError> {
        const END_MARK: u64 = 0;
        const LOG_FILENAME: u64 = 1;
        const LOG_POSITION: u64 = 2;
        let mut reader = Reader::new(body);
        let (mut file, mut offset) = ("", None);
        while !reader.is_empty() {
            let field = reader.packed()?;
            if field == END_MARK {
                break;
            }
            let value = reader.packed_bytes()?;
            match field {
                LOG_FILENAME => {
                    file = std::str::from_utf8(value).map_err(|_| ParseError::NotUtf8)?;
                }
                LOG_POSITION => offset = Some(Reader::new(value).packed()?),
                // A heartbeat changes nothing, whatever else it tells.
                _ => {}
            }
        }
        Ok(Self { file, offset })
    }
}

/// MariaDB's `Gtid_list_log_event`: the last GTID of each domain and server before this file, or,
/// artificial, where a connection begins.
///
/// # Errors
/// When the bytes are no such list.
pub fn gtid_list(body: &[u8]) -> Result<Vec<MariadbGtid>, ParseError> {
    /// The high bits of the count are flags.
    const COUNT: u32 = (1 << 28) - 1;
    const ENTRY_BYTES: usize = 16;
    let mut reader = Reader::new(body);
    let count = reader.u32()? & COUNT;
    if usize::try_from(count).is_ok_and(|count| reader.rest().len() / ENTRY_BYTES < count) {
        return Err(ParseError::Malformed("a GTID list that is cut"));
    }
    (0..count)
        .map(|_| {
            let (domain, server_id) = (reader.u32()?, reader.u32()?);
            Ok(MariadbGtid { domain, server_id, sequence: reader.u64()? })
        })
        .collect()
}
