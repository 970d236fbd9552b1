//! Why the bytes of an event make no sense.

use super::reader::Short;

/// Bytes that are not what their event type says. Never carries values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("read an event that is too short")]
    Short(#[from] Short),
    #[error("read {0}")]
    Malformed(&'static str),
    #[error("read the event as UTF-8")]
    NotUtf8,
    #[error("read binlog format version {0}: only 4 is known")]
    Version(u16),
    #[error("read a column of type {0}: the type is unknown")]
    ColumnType(u8),
    #[error("read field {0} of a tagged GTID event: it is unknown and must be understood")]
    GtidField(u64),
    #[error("read query status variable {0}: it is unknown, so what follows it cannot be read")]
    StatusVariable(u8),
    #[error("read field {field} of a transaction payload: {what}")]
    Payload { field: u64, what: &'static str },
    #[error("uncompress {0}")]
    Compression(&'static str),
    #[error("read an event of {found} bytes: more than the limit of {limit}")]
    TooLarge { found: u64, limit: u64 },
}
