//! The 19 bytes before every event, and the kinds of event there are.

use super::reader::{Reader, Short};

/// `LOG_EVENT_HEADER_LEN` (MySQL: `libs/mysql/binlog/event/binlog_event.h`).
pub const HEADER_BYTES: usize = 19;

/// `LOG_EVENT_ARTIFICIAL_F`: made for the reader, not in the file.
const ARTIFICIAL: u16 = 0x20;
/// `LOG_EVENT_IGNORABLE_F`: a reader that does not know the event may pass over it.
const IGNORABLE: u16 = 0x80;

/// The common header of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Seconds since 1970 when the statement began; 0 for an event made for the reader.
    pub timestamp: u32,
    pub kind: u8,
    pub server_id: u32,
    /// Header, body and checksum.
    pub event_bytes: u32,
    /// The low 32 bits of where the event ends in its file; 0 inside a transaction payload, and
    /// from MariaDB 11.4 on for events that were cached before they were written.
    pub log_pos: u32,
    flags: u16,
}

impl Header {
    /// The header, and the body behind it.
    ///
    /// # Errors
    /// When there are fewer bytes than a header has.
    #[inline]
    pub fn parse(event: &[u8]) -> Result<(Self, &[u8]), Short> {
        let mut reader = Reader::new(event);
        let timestamp = reader.u32()?;
        let kind = reader.u8()?;
        let server_id = reader.u32()?;
        let event_bytes = reader.u32()?;
        let log_pos = reader.u32()?;
        let flags = reader.u16()?;
        Ok((Self { timestamp, kind, server_id, event_bytes, log_pos, flags }, reader.rest()))
    }

    #[inline]
    #[must_use]
    pub fn is_artificial(&self) -> bool {
        self.flags & ARTIFICIAL != 0
    }

    #[inline]
    #[must_use]
    pub fn is_ignorable(&self) -> bool {
        self.flags & IGNORABLE != 0
    }
}

/// `Log_event_type` of MySQL (`binlog_event.h`) and, from 160 on, of MariaDB (`sql/log_event.h`).
/// Numbers below 160 mean the same for both; MariaDB's own uses of 33 to 42 never met a release.
pub mod kind {
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const APPEND_BLOCK: u8 = 9;
    pub const DELETE_FILE: u8 = 11;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const BEGIN_LOAD_QUERY: u8 = 17;
    pub const EXECUTE_LOAD_QUERY: u8 = 18;
    pub const TABLE_MAP: u8 = 19;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const WRITE_ROWS: u8 = 30;
    pub const UPDATE_ROWS: u8 = 31;
    pub const DELETE_ROWS: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    /// Group replication's own bookkeeping.
    pub const TRANSACTION_CONTEXT: u8 = 36;
    /// Group replication's own bookkeeping, in a transaction of its own.
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;

    pub const MARIADB_ANNOTATE_ROWS: u8 = 160;
    pub const MARIADB_BINLOG_CHECKPOINT: u8 = 161;
    pub const MARIADB_GTID: u8 = 162;
    pub const MARIADB_GTID_LIST: u8 = 163;
    pub const MARIADB_START_ENCRYPTION: u8 = 164;
    pub const MARIADB_QUERY_COMPRESSED: u8 = 165;
    pub const MARIADB_WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub const MARIADB_UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub const MARIADB_DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub const MARIADB_WRITE_ROWS_COMPRESSED: u8 = 169;
    pub const MARIADB_UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub const MARIADB_DELETE_ROWS_COMPRESSED: u8 = 171;
}
