//! Table versions: what a table map and the catalogue say together.
//!
//! The table map (the log's *then*) decides which columns there are, in which order, of which type,
//! which may be null, and which are the primary key: `binlog_row_metadata=FULL` makes it say so.
//! The catalogue (*now*) adds what it lacks, matched by name and type: defaults, how a FLOAT or a
//! UUID was declared, the unique index that is the key of a table without a primary one. A new
//! [`TableVersion`] is made only where anything differs from the current one.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Tinyint1Mode;
use crate::schema::{Column, Shape, SourceLayout, Table, TableVersion};
use crate::sources::BoxError;
use crate::sources::mysql::catalog::{Catalog, ColumnFacts, DefaultText, TableFacts};
use crate::sources::mysql::defaults;
use crate::sources::mysql::settings::Flavor;
use crate::sources::mysql::source_block::SourceConstants;
use crate::sources::mysql::table_error::TableError;
use crate::sources::mysql::types::{MysqlType, WireType};

/// A table in its present version, and the types of its columns in the same order.
#[derive(Clone, Debug)]
pub struct Described {
    pub table: Arc<Table>,
    pub types: Vec<MysqlType>,
}

/// What a table map says of one column.
#[derive(Clone, Copy, Debug)]
pub struct WireColumn<'a> {
    pub name: &'a str,
    pub data_type: WireType<'a>,
    pub nullable: bool,
}

/// What a table map says of a table.
#[derive(Clone, Copy, Debug)]
pub struct WireTable<'a> {
    pub database: &'a str,
    pub table: &'a str,
    pub columns: &'a [WireColumn<'a>],
    /// Indexes into `columns`, in the order of the primary key; empty without one.
    pub primary_key: &'a [usize],
}

/// Makes and numbers table versions.
#[derive(Debug)]
pub struct Tables {
    constants: SourceConstants,
    tinyint1: Tinyint1Mode,
    next_version: u32,
    /// By database and table.
    current: HashMap<(String, String), Described>,
}

/// A column of a row, and what is known about it.
struct Known<'a> {
    name: &'a str,
    data_type: MysqlType,
    nullable: bool,
    default: &'a DefaultText,
    witness: Witness,
}

/// Who speaks of a column's type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Witness {
    /// The catalogue does not have the column, or has another one by its name.
    LogAlone,
    /// The catalogue, and the log where there is one.
    Catalog,
}

impl Tables {
    #[must_use]
    pub fn new(constants: SourceConstants, tinyint1: Tinyint1Mode) -> Self {
        Self { constants, tinyint1, next_version: 0, current: HashMap::new() }
    }

    /// The type as its values are read.
    fn chosen(&self, data_type: MysqlType, declared: &str) -> MysqlType {
        match self.tinyint1 {
            Tinyint1Mode::Number => data_type,
            Tinyint1Mode::Boolean => data_type.with_booleans(declared),
        }
    }

    /// The `source` block of a table, or of a database as a whole.
    #[must_use]
    pub fn layout(&self, database: &str, table: Option<&str>) -> Arc<SourceLayout> {
        self.constants.layout(database, table)
    }

    /// As it was described last.
    #[must_use]
    pub fn current(&self, database: &str, table: &str) -> Option<&Described> {
        self.current.get(&(database.to_owned(), table.to_owned()))
    }

    /// A table as a snapshot reads it, or as it is believed to be.
    ///
    /// # Errors
    /// When a column has a type that is not known.
    pub fn of_snapshot(&mut self, facts: &TableFacts) -> Result<Described, TableError> {
        let columns = facts.columns.iter().map(|column| {
            let Some(data_type) = column.data_type.clone() else {
                return Err(TableError::unknown_type(facts, column));
            };
            let data_type = self.chosen(data_type, &column.declared);
            let (name, default) = (column.name.as_str(), &column.default);
            let (nullable, witness) = (column.nullable, Witness::Catalog);
            Ok(Known { name, data_type, nullable, default, witness })
        });
        let columns: Vec<Known<'_>> = columns.collect::<Result<_, _>>()?;
        let key = named(&facts.key, &columns).unwrap_or_default();
        Ok(self.describe(&facts.database, &facts.table, columns, key))
    }

    /// A table as the log has it from here on.
    ///
    /// # Errors
    /// When the catalogue cannot be asked, or a column has a type that is not known.
    pub fn of_table_map(
        &mut self,
        wire: &WireTable<'_>,
        catalog: &mut dyn Catalog,
    ) -> Result<Described, BoxError> {
        let facts = catalog.table(wire.database, wire.table)?;
        let facts = facts.as_ref();
        let mut columns = Vec::with_capacity(wire.columns.len());
        for column in wire.columns {
            let believed = facts.and_then(|facts| {
                facts.columns.iter().find(|believed| believed.name == column.name)
            });
            let known = known(column, believed);
            let mut known = known.ok_or_else(|| TableError::unknown_code(wire, column))?;
            if self.constants.flavor == Flavor::Mariadb
                && known.witness == Witness::LogAlone
                && known.data_type.is_ambiguous()
            {
                let recalled = self.recalled(wire, column.name, &known.data_type);
                known.data_type = recalled
                    .ok_or_else(|| TableError::ambiguous(wire, column, &known.data_type))?;
            }
            if let Some(believed) = believed {
                known.data_type = self.chosen(known.data_type, &believed.declared);
            }
            columns.push(known);
        }
        let key = match wire.primary_key {
            // A primary key of now did not exist then.
            [] => facts.and_then(|facts| named(&facts.key, &columns)),
            key => Some(key.to_vec()),
        };
        Ok(self.describe(wire.database, wire.table, columns, key.unwrap_or_default()))
    }

    /// The type of a column that the catalogue does not have any more, from the version before.
    fn recalled(
        &self,
        wire: &WireTable<'_>,
        column: &str,
        data_type: &MysqlType,
    ) -> Option<MysqlType> {
        let earlier = self.current.get(&(wire.database.to_owned(), wire.table.to_owned()))?;
        let index = earlier.table.columns.iter().position(|known| known.name == column)?;
        data_type.refined_by(earlier.types.get(index)?)
    }

    fn describe(
        &mut self,
        database: &str,
        table: &str,
        known: Vec<Known<'_>>,
        key: Vec<usize>,
    ) -> Described {
        let mut types = Vec::with_capacity(known.len());
        let mut columns = Vec::with_capacity(known.len());
        for column in known {
            columns.push(Column {
                name: column.name.to_owned(),
                data_type: column.data_type.column_type(),
                optional: column.nullable,
                default: defaults::parse(column.default, &column.data_type, column.nullable),
            });
            types.push(column.data_type);
        }
        let described = Table {
            version: TableVersion(0),
            shape: Shape::Rows,
            path: vec![database.to_owned(), table.to_owned()],
            columns,
            key,
            source: self.constants.layout(database, Some(table)),
        };
        self.settle((database.to_owned(), table.to_owned()), described, types)
    }

    /// The current version where nothing differs, else a new one.
    fn settle(
        &mut self,
        name: (String, String),
        mut table: Table,
        types: Vec<MysqlType>,
    ) -> Described {
        if let Some(current) = self.current.get(&name) {
            table.version = current.table.version;
            if *current.table == table && current.types == types {
                return current.clone();
            }
        }
        table.version = TableVersion(self.next_version);
        self.next_version += 1;
        let described = Described { table: Arc::new(table), types };
        self.current.insert(name, described.clone());
        described
    }
}

/// The log's column, with what the catalogue adds where the two agree; `None` where the log's type
/// is not known.
fn known<'a>(wire: &WireColumn<'a>, believed: Option<&'a ColumnFacts>) -> Option<Known<'a>> {
    let data_type = MysqlType::of_wire(&wire.data_type)?;
    let declared = believed.and_then(|believed| believed.data_type.as_ref());
    let refined = declared.and_then(|declared| data_type.refined_by(declared));
    let default = match (believed, &refined) {
        (Some(believed), Some(_)) => &believed.default,
        _ => &DefaultText::None,
    };
    let witness = if refined.is_some() { Witness::Catalog } else { Witness::LogAlone };
    let data_type = refined.unwrap_or(data_type);
    Some(Known { name: wire.name, data_type, nullable: wire.nullable, default, witness })
}

/// The places of the key's columns; `None` where the table has not all of them, or one may be null.
fn named(key: &[String], columns: &[Known<'_>]) -> Option<Vec<usize>> {
    let place = |name: &String| columns.iter().position(|column| column.name == name);
    let places: Option<Vec<usize>> = key.iter().map(place).collect();
    places.filter(|places| places.iter().all(|&place| !columns[place].nullable))
}

#[cfg(test)]
mod tests;
