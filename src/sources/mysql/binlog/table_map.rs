//! `Table_map_event`: which table the rows events after it are about, and how their columns are
//! written.

use super::metadata;
use super::parse_error::ParseError;
use super::reader::Reader;
use crate::sources::mysql::settings::Flavor;

/// Types of columns as a table map names them (`include/field_types.h`; MariaDB's own two in
/// `include/mysql_com.h`).
pub mod column_type {
    pub const DECIMAL: u8 = 0;
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    /// MariaDB's `COMPRESSED` columns.
    pub const BLOB_COMPRESSED: u8 = 140;
    pub const VARCHAR_COMPRESSED: u8 = 141;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const MEDIUM_BLOB: u8 = 250;
    pub const LONG_BLOB: u8 = 251;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

/// A table map, read whole. Made once for each version of a table, not for each event: see
/// [`name_bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMap<'a> {
    pub database: &'a str,
    pub table: &'a str,
    pub columns: Vec<MapColumn<'a>>,
    /// The primary key, in its order; empty without one, and where the log does not tell
    /// (`binlog_row_metadata=MINIMAL`, when no column has a name either).
    pub primary_key: Vec<KeyPart>,
}

impl TableMap<'_> {
    /// Whether `binlog_row_metadata=FULL` wrote it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.columns.iter().all(|column| column.name.is_some())
    }
}

/// One column, in the order of the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapColumn<'a> {
    /// The real type: ENUM and SET are not hidden behind STRING.
    pub column_type: u8,
    /// What the type needs for its values to be read: bytes of a length, digits, or two numbers of
    /// a byte each. Its meaning depends on the type.
    pub metadata: u16,
    /// Type and metadata as they stand in the log.
    pub wire: (u8, [u8; 2]),
    pub nullable: bool,
    /// Of numbers.
    pub unsigned: Option<bool>,
    /// Of characters, ENUM and SET: the number of a collation. 63 is binary.
    pub collation: Option<u16>,
    pub name: Option<&'a str>,
    /// Of ENUM and SET, in the column's character set.
    pub labels: Option<Vec<&'a [u8]>>,
    /// Of geometries: `Field::geometry_type`, 0 for any.
    pub geometry_type: Option<u32>,
    /// `false` for INVISIBLE columns.
    pub visible: Option<bool>,
    /// Of vectors.
    pub dimensions: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPart {
    pub column: usize,
    /// Characters of the column that are part of the key; 0 for all.
    pub prefix: u32,
}

/// The number by which the next rows events name the table, and the rest of the body. The rest is
/// the same, byte for byte, for every map of one version of a table.
///
/// # Errors
/// When there are too few bytes.
pub fn split_id(body: &[u8]) -> Result<(u64, &[u8]), ParseError> {
    let mut reader = Reader::new(body);
    let id = reader.u48()?;
    // Flags: of foreign keys and row counts, nothing that changes how rows are read.
    reader.u16()?;
    Ok((id, reader.rest()))
}

/// The bytes that name database and table, for a look-up without parsing the rest.
///
/// # Errors
/// When there are too few bytes.
pub fn name_bytes(map: &[u8]) -> Result<&[u8], ParseError> {
    let mut reader = Reader::new(map);
    reader.packed_bytes()?;
    reader.u8()?;
    reader.packed_bytes()?;
    reader.u8()?;
    let length = map.len() - reader.rest().len();
    Ok(map.get(..length).unwrap_or(map))
}

impl<'a> TableMap<'a> {
    /// # Errors
    /// When the bytes are no table map, or one with a column type that is not known.
    pub fn parse(map: &'a [u8], flavor: Flavor) -> Result<Self, ParseError> {
        let mut reader = Reader::new(map);
        let database = name(&mut reader)?;
        let table = name(&mut reader)?;
        let n_columns = reader.packed_length()?;
        let types = reader.take(n_columns)?;
        let metadata_block = reader.packed_bytes()?;
        let nullable = reader.take(n_columns.div_ceil(8))?;
        let mut blocks = Reader::new(metadata_block);
        let mut columns = Vec::with_capacity(n_columns);
        for (index, wire_type) in types.iter().enumerate() {
            let before = blocks.rest();
            let (column_type, metadata) = metadata_of(*wire_type, &mut blocks)?;
            let mut wire = (*wire_type, [0; 2]);
            let length = before.len() - blocks.rest().len();
            wire.1.iter_mut().zip(before.iter().take(length)).for_each(|(slot, b)| *slot = *b);
            let nullable = bit(nullable, index);
            columns.push(MapColumn {
                column_type,
                metadata,
                wire,
                nullable,
                ..MapColumn::default()
            });
        }
        if !blocks.is_empty() {
            return Err(ParseError::Malformed("a table map with too much column metadata"));
        }
        let primary_key = metadata::read(reader.rest(), &mut columns, flavor)?;
        Ok(Self { database, table, columns, primary_key })
    }
}

/// Length, bytes and a zero.
fn name<'a>(reader: &mut Reader<'a>) -> Result<&'a str, ParseError> {
    let bytes = reader.packed_bytes()?;
    if reader.u8()? != 0 {
        return Err(ParseError::Malformed("a name in a table map that does not end"));
    }
    std::str::from_utf8(bytes).map_err(|_| ParseError::NotUtf8)
}

/// The lowest bit of the first byte is the first column.
#[inline]
pub(crate) fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 != 0)
}

/// The real type of a column and its metadata (`Table_map_log_event::save_field_metadata` and
/// `read_field_metadata` in `sql/rpl_utility.h`; MariaDB's in `sql/rpl_record.cc`).
fn metadata_of(wire_type: u8, blocks: &mut Reader<'_>) -> Result<(u8, u16), ParseError> {
    use column_type as t;
    let metadata = match wire_type {
        t::TINY | t::SHORT | t::LONG | t::LONGLONG | t::INT24 | t::YEAR | t::NULL => 0,
        t::DATE | t::NEWDATE | t::TIME | t::DATETIME | t::TIMESTAMP => 0,
        t::FLOAT | t::DOUBLE | t::BLOB | t::TINY_BLOB | t::MEDIUM_BLOB | t::LONG_BLOB => {
            u16::from(blocks.u8()?)
        }
        t::JSON | t::GEOMETRY | t::VECTOR | t::BLOB_COMPRESSED => u16::from(blocks.u8()?),
        t::TIME2 | t::DATETIME2 | t::TIMESTAMP2 => u16::from(blocks.u8()?),
        t::VARCHAR | t::VARCHAR_COMPRESSED => blocks.u16()?,
        // Two bytes each, the first one first.
        t::BIT | t::NEWDECIMAL => u16::from_be_bytes(blocks.array()?),
        t::STRING | t::VAR_STRING | t::ENUM | t::SET => return string(blocks),
        unknown => return Err(ParseError::ColumnType(unknown)),
    };
    Ok((wire_type, metadata))
}

/// The first byte is the real type; two bits of it, inverted, are the high bits of the length in
/// bytes (`Field_string::do_save_field_metadata`).
fn string(blocks: &mut Reader<'_>) -> Result<(u8, u16), ParseError> {
    let [first, second] = blocks.array()?;
    let high = u16::from(!first & 0x30) << 4;
    match first | 0x30 {
        column_type::ENUM => Ok((column_type::ENUM, u16::from(second))),
        column_type::SET => Ok((column_type::SET, u16::from(second))),
        column_type::STRING | column_type::VAR_STRING => {
            Ok((column_type::STRING, high | u16::from(second)))
        }
        unknown => Err(ParseError::ColumnType(unknown)),
    }
}
