//! The optional metadata of a table map: `Optional_metadata_field_type` in MySQL's `rows_event.h`,
//! the same in MariaDB from 10.5 on.
//!
//! Fields speak of "the character columns" or "the numeric columns", counted in the order of the
//! table; which columns these are is part of the format.

use super::parse_error::ParseError;
use super::reader::Reader;
use crate::sources::mysql::settings::Flavor;

use super::table_map::{KeyPart, MapColumn, column_type as t};

const SIGNEDNESS: u8 = 1;
const DEFAULT_CHARSET: u8 = 2;
const COLUMN_CHARSET: u8 = 3;
const COLUMN_NAME: u8 = 4;
const SET_STR_VALUE: u8 = 5;
const ENUM_STR_VALUE: u8 = 6;
const GEOMETRY_TYPE: u8 = 7;
const SIMPLE_PRIMARY_KEY: u8 = 8;
const PRIMARY_KEY_WITH_PREFIX: u8 = 9;
const ENUM_AND_SET_DEFAULT_CHARSET: u8 = 10;
const ENUM_AND_SET_COLUMN_CHARSET: u8 = 11;
const COLUMN_VISIBILITY: u8 = 12;
const VECTOR_DIMENSIONALITY: u8 = 13;

/// Fills the columns, and gives the primary key.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    columns: &mut [MapColumn<'a>],
    flavor: Flavor,
) -> Result<Vec<KeyPart>, ParseError> {
    let mut fields = Reader::new(bytes);
    let mut key = Vec::new();
    let is_character = |column: &MapColumn<'_>| is_character(column, flavor);
    while !fields.is_empty() {
        let field = fields.u8()?;
        let value = Reader::new(fields.packed_bytes()?);
        match field {
            SIGNEDNESS => bits(value, of(columns, is_numeric), |c, bit| c.unsigned = Some(bit)),
            DEFAULT_CHARSET => default_charset(value, of(columns, is_character))?,
            COLUMN_CHARSET => column_charset(value, of(columns, is_character))?,
            COLUMN_NAME => names(value, columns)?,
            SET_STR_VALUE => labels(value, of(columns, |c| c.column_type == t::SET))?,
            ENUM_STR_VALUE => labels(value, of(columns, |c| c.column_type == t::ENUM))?,
            GEOMETRY_TYPE => {
                numbers(value, of(columns, |c| c.column_type == t::GEOMETRY), |column, number| {
                    column.geometry_type = Some(number)
                })?
            }
            SIMPLE_PRIMARY_KEY => key = key_parts(value, columns.len(), |_| Ok(0))?,
            PRIMARY_KEY_WITH_PREFIX => key = key_parts(value, columns.len(), small)?,
            ENUM_AND_SET_DEFAULT_CHARSET => default_charset(value, of(columns, is_list))?,
            ENUM_AND_SET_COLUMN_CHARSET => column_charset(value, of(columns, is_list))?,
            COLUMN_VISIBILITY => bits(value, of(columns, |_| true), |c, bit| c.visible = Some(bit)),
            VECTOR_DIMENSIONALITY => {
                numbers(value, of(columns, |c| c.column_type == t::VECTOR), |column, number| {
                    column.dimensions = Some(number)
                })?
            }
            // Each has its length, and a server that must be understood says so by its version.
            _ => {}
        }
    }
    Ok(key)
}

fn of<'c, 'a>(
    columns: &'c mut [MapColumn<'a>],
    which: impl Fn(&MapColumn<'a>) -> bool + 'c,
) -> impl Iterator<Item = &'c mut MapColumn<'a>> {
    columns.iter_mut().filter(move |column| which(column))
}

/// `has_signedess_information_type` in MySQL's `sql/field_common_properties.h`: YEAR too, but not
/// BIT. Seen to be the same in MySQL 9.7 and MariaDB 10.11.
fn is_numeric(column: &MapColumn<'_>) -> bool {
    matches!(
        column.column_type,
        t::TINY
            | t::DECIMAL
            | t::YEAR
            | t::SHORT
            | t::INT24
            | t::LONG
            | t::LONGLONG
            | t::NEWDECIMAL
            | t::FLOAT
            | t::DOUBLE
    )
}

/// `is_character_type` in MySQL's `sql/log_event.cc`: blobs and vectors too, whose collation is
/// binary. To MariaDB a geometry is a blob (`is_character_field` in its `sql/log_event_server.cc`).
fn is_character(column: &MapColumn<'_>, flavor: Flavor) -> bool {
    if column.column_type == t::GEOMETRY {
        return flavor == Flavor::Mariadb;
    }
    matches!(
        column.column_type,
        t::STRING
            | t::VAR_STRING
            | t::VARCHAR
            | t::BLOB
            | t::VECTOR
            | t::TINY_BLOB
            | t::MEDIUM_BLOB
            | t::LONG_BLOB
            | t::VARCHAR_COMPRESSED
            | t::BLOB_COMPRESSED
    )
}

fn is_list(column: &MapColumn<'_>) -> bool {
    matches!(column.column_type, t::ENUM | t::SET)
}

/// The highest bit of the first byte is the first column.
fn bits<'c, 'a: 'c>(
    value: Reader<'a>,
    columns: impl Iterator<Item = &'c mut MapColumn<'a>>,
    set: impl Fn(&mut MapColumn<'a>, bool),
) {
    let bits = value.rest().iter().flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1 != 0));
    for (column, bit) in columns.zip(bits) {
        set(column, bit);
    }
}

fn small(reader: &mut Reader<'_>) -> Result<u32, ParseError> {
    u32::try_from(reader.packed()?).map_err(|_| ParseError::Malformed("a number in a table map"))
}

fn collation(reader: &mut Reader<'_>) -> Result<u16, ParseError> {
    u16::try_from(reader.packed()?).map_err(|_| ParseError::Malformed("a collation"))
}

/// The most frequent collation, then pairs of column and collation for the others.
fn default_charset<'c, 'a: 'c>(
    mut value: Reader<'a>,
    columns: impl Iterator<Item = &'c mut MapColumn<'a>>,
) -> Result<(), ParseError> {
    let default = collation(&mut value)?;
    let mut columns: Vec<_> = columns.collect();
    columns.iter_mut().for_each(|column| column.collation = Some(default));
    while !value.is_empty() {
        let index = value.packed_length()?;
        let column = columns.get_mut(index);
        let column = column.ok_or(ParseError::Malformed("a collation of no column"))?;
        column.collation = Some(collation(&mut value)?);
    }
    Ok(())
}

fn column_charset<'c, 'a: 'c>(
    mut value: Reader<'a>,
    columns: impl Iterator<Item = &'c mut MapColumn<'a>>,
) -> Result<(), ParseError> {
    for column in columns {
        column.collation = Some(collation(&mut value)?);
    }
    end(value, "collations of more columns than there are")
}

fn names<'a>(mut value: Reader<'a>, columns: &mut [MapColumn<'a>]) -> Result<(), ParseError> {
    for column in columns {
        let name = value.packed_bytes()?;
        column.name = Some(std::str::from_utf8(name).map_err(|_| ParseError::NotUtf8)?);
    }
    end(value, "names of more columns than there are")
}

fn labels<'c, 'a: 'c>(
    mut value: Reader<'a>,
    columns: impl Iterator<Item = &'c mut MapColumn<'a>>,
) -> Result<(), ParseError> {
    for column in columns {
        let count = value.packed_length()?;
        // A label has at least its length.
        let mut labels = Vec::with_capacity(count.min(value.rest().len()));
        for _ in 0..count {
            labels.push(value.packed_bytes()?);
        }
        column.labels = Some(labels);
    }
    end(value, "labels of more columns than there are")
}

fn numbers<'c, 'a: 'c>(
    mut value: Reader<'a>,
    columns: impl Iterator<Item = &'c mut MapColumn<'a>>,
    set: impl Fn(&mut MapColumn<'a>, u32),
) -> Result<(), ParseError> {
    for column in columns {
        set(column, small(&mut value)?);
    }
    end(value, "facts of more columns than there are")
}

fn key_parts(
    mut value: Reader<'_>,
    n_columns: usize,
    prefix: impl Fn(&mut Reader<'_>) -> Result<u32, ParseError>,
) -> Result<Vec<KeyPart>, ParseError> {
    let mut parts = Vec::new();
    while !value.is_empty() {
        let column = value.packed_length()?;
        if column >= n_columns {
            return Err(ParseError::Malformed("a key of no column"));
        }
        parts.push(KeyPart { column, prefix: prefix(&mut value)? });
    }
    Ok(parts)
}

fn end(value: Reader<'_>, what: &'static str) -> Result<(), ParseError> {
    if value.is_empty() { Ok(()) } else { Err(ParseError::Malformed(what)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mysql::binlog::table_map::TableMap;

    /// MySQL 9 counts a vector among the columns that have a collation. While we did not, the
    /// exceptions from a map's default collation met the columns before those that were meant, and
    /// texts were read in the wrong character set.
    #[test]
    fn a_vector_has_its_place_among_the_collations() {
        let mut map = b"\x01d\0\x01t\0\x04".to_vec();
        map.extend([t::VECTOR, t::VARCHAR, t::VARCHAR, t::VARCHAR]);
        // Bytes of a vector's length; lengths of the texts. All may be null.
        map.extend([7, 4, 40, 0, 40, 0, 40, 0, 0x0F]);
        // 255 for all but the first, 63, and the second, 8.
        map.extend([DEFAULT_CHARSET, 7, 252, 255, 0, 0, 63, 1, 8]);
        let map = TableMap::parse(&map, Flavor::Mysql).unwrap();
        let collations: Vec<_> = map.columns.iter().map(|column| column.collation).collect();
        assert_eq!(collations, [Some(63), Some(8), Some(255), Some(255)]);
    }
}
