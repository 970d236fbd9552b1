//! Rows events: the frame around the rows. The rows themselves are read by a table's plan.

use super::parse_error::ParseError;
use super::reader::Reader;

/// What happened to the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsKind {
    Write,
    Update,
    /// `PARTIAL_UPDATE_ROWS_EVENT`: JSON columns may hold differences.
    PartialUpdate,
    Delete,
}

impl RowsKind {
    #[inline]
    #[must_use]
    pub fn is_update(self) -> bool {
        matches!(self, Self::Update | Self::PartialUpdate)
    }
}

/// Whether an event has the second version's variable header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsVersion {
    /// MySQL 5.1, and every MariaDB.
    V1,
    V2,
}

/// The frame of a rows event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows<'a> {
    pub table_id: u64,
    pub kind: RowsKind,
    /// `STMT_END_F`: the last of its statement; the numbers of tables end with it.
    pub ends_statement: bool,
    pub n_columns: usize,
    /// Which columns the images hold, a bit for each column of the table. Of an update these are
    /// the old image's.
    pub present: &'a [u8],
    /// Of the new image of an update.
    pub present_after: &'a [u8],
    /// One row after the other, of an update in pairs.
    pub rows: &'a [u8],
}

/// What is left of a compressed event when its rows are uncompressed elsewhere.
const STMT_END: u16 = 1;
/// `Table_id` that no table has: MySQL ends a statement with such an event where all of its tables
/// were filtered out (`Rows_log_event::is_rows_event…dummy`).
pub const NO_TABLE: u64 = 0x00FF_FFFF;

impl<'a> Rows<'a> {
    /// # Errors
    /// When the bytes are no such event.
    #[inline]
    pub fn parse(body: &'a [u8], kind: RowsKind, version: RowsVersion) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let table_id = reader.u48()?;
        let flags = reader.u16()?;
        if version == RowsVersion::V2 {
            // Its length counts itself. Partition numbers and NDB's notes are not needed.
            let length = usize::from(reader.u16()?);
            let length = length.checked_sub(2).ok_or(ParseError::Malformed("a rows header"))?;
            reader.take(length)?;
        }
        let n_columns = reader.packed_length()?;
        let bitmap_bytes = n_columns.div_ceil(8);
        let present = reader.take(bitmap_bytes)?;
        let present_after = if kind.is_update() { reader.take(bitmap_bytes)? } else { &[] };
        Ok(Self {
            table_id,
            kind,
            ends_statement: flags & STMT_END != 0,
            n_columns,
            present,
            present_after,
            rows: reader.rest(),
        })
    }
}
