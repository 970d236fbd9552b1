//! What the catalogue says of a table, beyond what a table map carries: defaults, the declared
//! type, the unique index that stands in for a missing primary key.
//!
//! A catalogue read shows *now*, the log shows *then*. So the table map always wins on names,
//! types and their order; facts are matched to it by column name and type, and a column without a
//! match has no default. Reading the rows of the queries is pure, so that real servers' answers
//! can be tests.

use serde::{Deserialize, Serialize};

use crate::offsets::position::BinlogFile;
use crate::sources::BoxError;
use crate::sources::mysql::ddl::TableModel;
use crate::sources::mysql::settings::Flavor;
use crate::sources::mysql::sql::{self, Row};
use crate::sources::mysql::types::MysqlType;

/// Answers from the catalogue. Blocks the calling thread (the transcoder's own); asked once per
/// table version, never per row.
pub trait Catalog: Send {
    /// `None` when the table does not exist any more.
    ///
    /// # Errors
    /// When the server cannot be asked, or says what cannot be understood.
    fn table(&mut self, database: &str, table: &str) -> Result<Option<TableFacts>, BoxError>;

    /// The definition of a table, if it is the one that was in force behind `since`, a place in the
    /// log. A catalogue that cannot look into the log proves nothing.
    ///
    /// # Errors
    /// As [`Self::table`].
    fn definition(&mut self, _: &TableName, _: &BinlogFile) -> Result<Reread, BoxError> {
        Ok(Reread::Unproven("there is no log to look into".to_owned()))
    }
}

/// What the catalogue says of a table as of a place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reread {
    Proven(Box<TableModel>),
    /// Why it cannot be relied on.
    Unproven(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFacts {
    pub database: String,
    pub table: String,
    /// In the order of the table.
    pub columns: Vec<ColumnFacts>,
    /// Column names in the order of the primary key; without one, of the unique index that
    /// Debezium takes instead; empty without either.
    pub key: Vec<String>,
    /// Read as of one moment by every reader that opened its view at that moment.
    pub transactional: bool,
    /// `information_schema.tables.table_rows`: an estimate for InnoDB, for the progress of a
    /// snapshot.
    pub estimated_rows: u64,
    pub estimated_bytes: u64,
}

/// A table as the list of all tables has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    pub database: String,
    pub table: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnFacts {
    pub name: String,
    /// `None` for a type that is not known.
    pub data_type: Option<MysqlType>,
    /// As the server writes it.
    pub declared: String,
    pub nullable: bool,
    pub default: DefaultText,
    /// Of texts, ENUM and SET, by its name.
    pub charset: Option<String>,
}

/// `information_schema.columns.column_default`, with what tells how it is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultText {
    None,
    /// The value itself (MySQL).
    Value(String),
    /// An expression: MySQL's with `DEFAULT_GENERATED`, and every default of MariaDB, whose
    /// literals are in quotes.
    Expression(String),
}

/// The columns of one table, invisible and generated ones too: both servers log them like any other.
#[must_use]
pub fn columns_query(database: &str, table: &str) -> String {
    format!(
        "SELECT column_name, column_type, is_nullable, column_default, extra, character_set_name \
        FROM information_schema.columns WHERE table_schema = {} AND table_name = {} \
        ORDER BY ordinal_position",
        sql::quote_literal(database),
        sql::quote_literal(table)
    )
}

/// The parts of a table's indexes. Other than `information_schema.statistics` it gives them in the
/// order that `SHOW CREATE TABLE` has, from which Debezium takes the first
/// (<https://dev.mysql.com/doc/refman/8.4/en/show-index.html>).
#[must_use]
pub fn indexes_query(database: &str, table: &str) -> String {
    format!("SHOW INDEX FROM {} FROM {}", sql::quote_ident(table), sql::quote_ident(database))
}

/// Every table with rows of its own. MariaDB has `SYSTEM VERSIONED` for tables that keep their past.
pub const TABLES_QUERY: &str = "SELECT table_schema, table_name FROM information_schema.tables \
    WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema NOT IN \
    ('information_schema', 'mysql', 'performance_schema', 'sys') ORDER BY 1, 2";

/// The engine of one table, and how much there is to read.
#[must_use]
pub fn size_query(database: &str, table: &str) -> String {
    format!(
        "SELECT engine, table_rows, data_length FROM information_schema.tables \
        WHERE table_schema = {} AND table_name = {}",
        sql::quote_literal(database),
        sql::quote_literal(table)
    )
}

/// The server answered a question about the catalogue in a form that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the catalogue: {0}")]
pub struct CatalogError(&'static str);

/// Reads the answer to [`TABLES_QUERY`].
///
/// # Errors
/// When a row has not the columns that were asked for.
pub fn tables(rows: Vec<Row>) -> Result<Vec<TableName>, CatalogError> {
    let table = |row: Row| match <[_; 2]>::try_from(row) {
        Ok([Some(database), Some(table)]) => Ok(TableName { database, table }),
        _ => Err(CatalogError("a table without name")),
    };
    rows.into_iter().map(table).collect()
}

/// What [`size_query`] is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub transactional: bool,
    pub rows: u64,
    pub bytes: u64,
}

/// Reads the answer to [`size_query`]; `None` where there is no such table.
///
/// # Errors
/// When the row has not the columns that were asked for.
pub fn size(rows: &[Row]) -> Result<Option<Size>, CatalogError> {
    /// Engines that give one view to a transaction, from its beginning on
    /// (<https://dev.mysql.com/doc/refman/8.4/en/commit.html>).
    const TRANSACTIONAL: [&str; 2] = ["InnoDB", "ROCKSDB"];
    let Some(row) = rows.first() else { return Ok(None) };
    let [engine, rows, bytes] = row.as_slice() else {
        return Err(CatalogError("a size without engine, rows or bytes"));
    };
    let engine = engine.as_deref().unwrap_or_default();
    // Only estimates: a number that is not there is none.
    let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
    Ok(Some(Size {
        transactional: TRANSACTIONAL.iter().any(|known| known.eq_ignore_ascii_case(engine)),
        rows: number(rows).unwrap_or(0),
        bytes: number(bytes).unwrap_or(0),
    }))
}

/// Reads the answer to [`columns_query`].
///
/// # Errors
/// When a row has not the columns that were asked for.
pub fn columns(rows: &[Row], flavor: Flavor) -> Result<Vec<ColumnFacts>, CatalogError> {
    rows.iter().map(|row| column(row, flavor)).collect()
}

fn column(row: &Row, flavor: Flavor) -> Result<ColumnFacts, CatalogError> {
    let [Some(name), Some(declared), Some(nullable), default, extra, rest @ ..] = row.as_slice()
    else {
        return Err(CatalogError("a column without name, type or nullability"));
    };
    let extra = extra.as_deref().unwrap_or_default().to_ascii_uppercase();
    let is_expression = flavor == Flavor::Mariadb || extra.contains("DEFAULT_GENERATED");
    // `STORED GENERATED`, `VIRTUAL GENERATED`: not the same word as `DEFAULT_GENERATED`.
    let generated = extra.split(' ').any(|word| word == "GENERATED");
    Ok(ColumnFacts {
        name: name.clone(),
        data_type: MysqlType::declared(declared),
        declared: declared.clone(),
        nullable: nullable == "YES",
        default: match default {
            Some(text) if !generated && is_expression => DefaultText::Expression(text.clone()),
            Some(text) if !generated => DefaultText::Value(text.clone()),
            Some(_) | None => DefaultText::None,
        },
        charset: rest.first().cloned().flatten(),
    })
}

/// Reads the answer to [`indexes_query`]: the columns of the primary key, or else of the first
/// unique index over whole rows that are never null (Debezium's `CreateTableParserListener`).
///
/// # Errors
/// When a row has not the columns that were asked for.
pub fn key(rows: &[Row]) -> Result<Vec<String>, CatalogError> {
    let mut indexes: Vec<Index<'_>> = Vec::new();
    for row in rows {
        // Table, Non_unique, Key_name, Seq_in_index, Column_name, Collation, Cardinality,
        // Sub_part, Packed, Null, …
        let [_, Some(non_unique), Some(name), _, column, _, _, _, _, null, ..] = row.as_slice()
        else {
            return Err(CatalogError("an index without name"));
        };
        if non_unique != "0" {
            continue;
        }
        if indexes.last().is_none_or(|index| index.name != name) {
            indexes.push(Index { name, columns: Vec::new(), usable: true });
        }
        let index = indexes.last_mut().expect("one was just pushed");
        match column {
            Some(column) => index.columns.push(column.clone()),
            // A part that is an expression.
            None => index.usable = false,
        }
        index.usable &= null.as_deref() != Some("YES");
    }
    let primary = indexes.iter().position(|index| index.name == "PRIMARY");
    let first = indexes.iter().position(|index| index.usable);
    Ok(primary.or(first).map(|at| indexes.swap_remove(at).columns).unwrap_or_default())
}

struct Index<'r> {
    name: &'r str,
    columns: Vec<String>,
    usable: bool,
}

#[cfg(test)]
mod tests;
