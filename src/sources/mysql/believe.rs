//! A table map without names, completed by what is believed of its table, if the two agree.
//!
//! What such a map shows depends on the server: types with their lengths, digits and nullability
//! always; signedness, character sets and kinds of geometry too, except for MariaDB's
//! `binlog_row_metadata=NO_LOG`, its default. Everything that is shown is compared.

use crate::sources::mysql::binlog::table_map::{KeyPart, MapColumn, TableMap, column_type as t};
use crate::sources::mysql::charset;
use crate::sources::mysql::ddl::{ColumnModel, DataType, Storage, TableModel};
use crate::sources::mysql::types::{MysqlType, WireType};

/// `binary`.
const BINARY: u16 = 63;

/// Where a map and a belief do not agree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Contradiction {
    #[error("its rows have {found} columns, where {believed} are believed")]
    ColumnCount { found: usize, believed: usize },
    #[error("column `{column}`, believed to be {declared}, is another one: {what}")]
    Column { column: String, declared: String, what: &'static str },
}

/// Gives the map the names and whatever else it lacks.
pub(crate) fn complete<'a>(
    map: &mut TableMap<'a>,
    model: &'a TableModel,
) -> Result<(), Contradiction> {
    let (found, believed) = (map.columns.len(), model.columns.len());
    if found != believed {
        return Err(Contradiction::ColumnCount { found, believed });
    }
    for (column, model) in map.columns.iter_mut().zip(&model.columns) {
        complete_column(column, model).map_err(|what| Contradiction::Column {
            column: model.name.clone(),
            declared: model.data_type.declared(),
            what,
        })?;
    }
    let key = model.primary_key().into_iter().flat_map(|index| index.parts.iter().flatten());
    map.primary_key = key
        .filter_map(|name| model.columns.iter().position(|column| column.name == *name))
        .map(|column| KeyPart { column, prefix: 0 })
        .collect();
    Ok(())
}

fn complete_column<'a>(
    column: &mut MapColumn<'a>,
    model: &'a ColumnModel,
) -> Result<(), &'static str> {
    let declared = model.data_type.mysql_type().ok_or("its type is not known")?;
    if column.nullable != model.nullable {
        return Err("one of the two may be null");
    }
    if let Some(unsigned) = is_unsigned(&declared, &model.data_type) {
        if column.unsigned.is_some_and(|found| found != unsigned) {
            return Err("one of the two is unsigned");
        }
        column.unsigned = Some(unsigned);
    }
    let charset = charset_of(&declared, model)?;
    if let Some(charset) = charset {
        if column.collation.is_some_and(|found| !charset::is_of(found, charset)) {
            return Err("it has another character set");
        }
        if column.collation.is_none() {
            let collation = charset::some_collation(charset);
            column.collation = Some(collation.ok_or("its character set is not known")?);
        }
    }
    let labels: Vec<&str> = match &declared {
        MysqlType::Enum { labels } | MysqlType::Set { labels } => {
            labels.iter().map(String::as_str).collect()
        }
        _ => Vec::new(),
    };
    let (code, metadata) = column.wire;
    let wire = WireType {
        code,
        metadata,
        unsigned: column.unsigned.unwrap_or(false),
        binary: column.collation == Some(BINARY),
        geometry: column.geometry_type,
        labels: &labels,
    };
    let stored = MysqlType::of_wire(&wire).ok_or("it is stored as a type that is not known")?;
    stored.refined_by(&declared).ok_or("it is stored as another type")?;
    check_storage(column, model, &declared)?;
    column.name = Some(&model.name);
    Ok(())
}

/// `None` where the log says nothing of it.
fn is_unsigned(declared: &MysqlType, data_type: &DataType) -> Option<bool> {
    Some(match declared {
        MysqlType::TinyInt { unsigned }
        | MysqlType::SmallInt { unsigned }
        | MysqlType::MediumInt { unsigned }
        | MysqlType::Int { unsigned }
        | MysqlType::BigInt { unsigned } => *unsigned,
        MysqlType::Float { .. } | MysqlType::Double | MysqlType::Decimal { .. } => {
            data_type.declared().ends_with("unsigned")
        }
        _ => return None,
    })
}

/// The character set that the log would name; `None` where it names none.
fn charset_of<'m>(
    declared: &MysqlType,
    model: &'m ColumnModel,
) -> Result<Option<&'m str>, &'static str> {
    Ok(match declared {
        MysqlType::Text | MysqlType::Enum { .. } | MysqlType::Set { .. } => {
            Some(model.charset.as_deref().ok_or("its character set is not known")?)
        }
        MysqlType::Binary { .. }
        | MysqlType::Bytes
        | MysqlType::Uuid
        | MysqlType::Inet4
        | MysqlType::Inet6 => Some("binary"),
        _ => None,
    })
}

fn check_storage(
    column: &MapColumn<'_>,
    model: &ColumnModel,
    declared: &MysqlType,
) -> Result<(), &'static str> {
    let n_labels = match declared {
        MysqlType::Enum { labels } => return same(column.metadata, enum_bytes(labels.len())),
        MysqlType::Set { labels } => labels.len(),
        MysqlType::Text | MysqlType::Bytes | MysqlType::Binary { .. } => {
            return match model.data_type.storage() {
                Some(storage) => check_text(column, model, storage),
                None => Ok(()),
            };
        }
        _ => return Ok(()),
    };
    same(column.metadata, set_bytes(n_labels))
}

fn check_text(
    column: &MapColumn<'_>,
    model: &ColumnModel,
    storage: Storage,
) -> Result<(), &'static str> {
    let width = model.charset.as_deref().map_or(1, charset::bytes_max);
    match (storage, column.column_type) {
        (Storage::Fixed { characters }, t::STRING)
        | (Storage::Varying { characters }, t::VARCHAR | t::VAR_STRING) => {
            let found = u32::from(column.metadata);
            if found == characters.saturating_mul(width) { Ok(()) } else { Err(LENGTH) }
        }
        (Storage::Blob { length_bytes }, t::BLOB) => same(column.metadata, length_bytes),
        // With a byte before each value, whatever the length.
        (Storage::Varying { .. }, t::VARCHAR_COMPRESSED)
        | (Storage::Blob { .. }, t::BLOB_COMPRESSED) => Ok(()),
        _ => Err("it is stored as another type"),
    }
}

const LENGTH: &str = "it has another length";

fn same(found: u16, expected: u16) -> Result<(), &'static str> {
    if found == expected { Ok(()) } else { Err(LENGTH) }
}

fn enum_bytes(n_labels: usize) -> u16 {
    if n_labels < 256 { 1 } else { 2 }
}

/// `get_set_pack_length`: one for each eight members, and eight beyond four.
fn set_bytes(n_labels: usize) -> u16 {
    match n_labels.div_ceil(8) {
        0 | 1 => 1,
        2 => 2,
        3 => 3,
        4 => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests;
