//! What a table map and the catalogue say together, made into a plan by which rows are read.

use std::sync::Arc;

use bumpalo::Bump;

use crate::schema::Table;
use crate::sources::BoxError;
use crate::sources::mysql::binlog::table_map::{MapColumn, TableMap, column_type};
use crate::sources::mysql::catalog::{Catalog, TableFacts};
use crate::sources::mysql::charset::Charset;
use crate::sources::mysql::ddl::{ColumnModel, TableModel};
use crate::sources::mysql::decode_error::DecodeError;
use crate::sources::mysql::json::JsonForm;
use crate::sources::mysql::reading::Reading;
use crate::sources::mysql::table::{Tables, WireColumn, WireTable};
use crate::sources::mysql::types::WireType;

/// `binary`.
const BINARY_COLLATION: u16 = 63;

/// How the rows of one version of a table are read.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) table: Arc<Table>,
    /// `database.table`, for messages.
    pub(crate) name: String,
    /// In the order of the rows, which is that of the table.
    pub(crate) columns: Vec<PlanColumn>,
    pub(crate) n_json: usize,
}

#[derive(Debug)]
pub(crate) struct PlanColumn {
    pub(crate) reading: Reading,
    pub(crate) in_key: bool,
}

impl PlanColumn {
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.reading, Reading::Json { .. })
    }
}

impl Plan {
    pub(crate) fn column_name(&self, index: usize) -> &str {
        self.table.columns.get(index).map_or("?", |column| column.name.as_str())
    }

    /// Of a map that names its columns, itself or by what is believed of its table.
    ///
    /// # Errors
    /// When the map does not tell enough, or the catalogue cannot be asked.
    pub(crate) fn of(
        map: &TableMap<'_>,
        form: JsonForm,
        tables: &mut Tables,
        (believed, catalog): (Option<&TableModel>, &mut dyn Catalog),
    ) -> Result<Self, BoxError> {
        let name = format!("{}.{}", map.database, map.table);
        let cannot = |column: &MapColumn<'_>, index: usize, what| DecodeError::Column {
            table: name.clone(),
            column: column.name.map_or_else(|| format!("{}", index + 1), str::to_owned),
            what,
        };
        let arena = Bump::new();
        let mut columns = Vec::with_capacity(map.columns.len());
        for (index, column) in map.columns.iter().enumerate() {
            let believed = believed.and_then(|model| model.columns.get(index));
            let wire = wire_column(column, believed, &arena);
            let wire = wire.map_err(|what| cannot(column, index, what))?;
            columns.push(wire);
        }
        // A prefix that is the key of an index is not the key of a record: the whole column is.
        let primary_key: Vec<usize> = map.primary_key.iter().map(|part| part.column).collect();
        let wire = WireTable {
            database: map.database,
            table: map.table,
            columns: &columns,
            primary_key: &primary_key,
        };
        let described = match believed {
            Some(model) => {
                let facts = model.facts(map.database, map.table);
                tables.of_table_map(&wire, &mut Answer(facts))?
            }
            None => tables.of_table_map(&wire, catalog)?,
        };
        let mut plan = Vec::with_capacity(columns.len());
        let types = map.columns.iter().zip(&described.types);
        for (index, (column, data_type)) in types.enumerate() {
            let reading = Reading::of(column, data_type, form);
            plan.push(PlanColumn {
                reading: reading.map_err(|what| cannot(column, index, what))?,
                in_key: described.table.key.contains(&index),
            });
        }
        let n_json = plan.iter().filter(|column| column.is_json()).count();
        Ok(Self { table: described.table, name, columns: plan, n_json })
    }
}

/// The belief in the catalogue's place.
struct Answer(TableFacts);

impl Catalog for Answer {
    fn table(&mut self, _: &str, _: &str) -> Result<Option<TableFacts>, BoxError> {
        Ok(Some(self.0.clone()))
    }
}

fn wire_column<'a>(
    column: &MapColumn<'a>,
    believed: Option<&ColumnModel>,
    arena: &'a Bump,
) -> Result<WireColumn<'a>, &'static str> {
    let name = column.name.ok_or("the log does not tell its name")?;
    let labels: &[&str] = match (&column.labels, believed) {
        (Some(labels), _) => texts(labels, column, arena)?,
        (None, Some(believed)) => arena.alloc_slice_fill_iter(
            believed.data_type.labels.iter().map(|label| &*arena.alloc_str(label)),
        ),
        (None, None) if matches!(column.column_type, column_type::ENUM | column_type::SET) => {
            return Err("the log does not tell its labels");
        }
        (None, None) => &[],
    };
    let (code, metadata) = column.wire;
    let data_type = WireType {
        code,
        metadata,
        unsigned: column.unsigned.unwrap_or(false),
        binary: column.collation == Some(BINARY_COLLATION),
        geometry: column.geometry_type,
        labels,
    };
    Ok(WireColumn { name, data_type, nullable: column.nullable })
}

/// Labels are in the column's character set; those of a `binary` column are in UTF-8, as all names
/// are.
fn texts<'a>(
    labels: &[&'a [u8]],
    column: &MapColumn<'_>,
    arena: &'a Bump,
) -> Result<&'a [&'a str], &'static str> {
    let collation = column.collation.ok_or("the log does not tell its character set")?;
    let charset = match Charset::of_collation(collation).ok_or("its collation is not known")? {
        Charset::Binary => Charset::Utf8,
        charset => charset,
    };
    let mut texts = bumpalo::collections::Vec::with_capacity_in(labels.len(), arena);
    for label in labels {
        texts.push(charset.decode(label, arena).map_err(|_| "a label is no text")?);
    }
    Ok(texts.into_bump_slice())
}
