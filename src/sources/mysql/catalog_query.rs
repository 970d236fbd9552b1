//! The questions of [`super::catalog`], asked over a connection.

use crate::config::TableFilter;
use crate::sources::mysql::catalog::{self, TableFacts, TableName};
use crate::sources::mysql::connection::MyConnection;
use crate::sources::mysql::error::SourceError;

const ASK: &str = "ask the catalogue";
/// `ER_NO_SUCH_TABLE`
const NO_SUCH_TABLE: u16 = 1146;
/// `ER_UNKNOWN_SYSTEM_VARIABLE`: MariaDB, and MySQL before 8.0.30.
const UNKNOWN_VARIABLE: u16 = 1193;

/// Lets the catalogue show the primary key that MySQL adds where a table has none: the log has it.
/// <https://dev.mysql.com/doc/refman/8.4/en/create-table-gipks.html>
///
/// # Errors
/// When the server cannot be asked.
pub async fn show_generated_keys(connection: &mut MyConnection) -> Result<(), SourceError> {
    let set = "SET show_gipk_in_create_table_and_information_schema = ON";
    match connection.query(ASK, set).await {
        Ok(_) => Ok(()),
        Err(error) if error.has_code(UNKNOWN_VARIABLE) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The captured tables, by name.
///
/// # Errors
/// When the server cannot be asked.
pub async fn captured(
    connection: &mut MyConnection,
    filter: &TableFilter,
) -> Result<Vec<TableName>, SourceError> {
    let rows = connection.query(ASK, catalog::TABLES_QUERY).await?;
    let mut tables = catalog::tables(rows).map_err(|error| misread(connection, &error))?;
    tables.retain(|name| filter.matches(&name.database, &name.table));
    Ok(tables)
}

/// Everything about one table; `None` when it does not exist.
///
/// # Errors
/// When the server cannot be asked.
pub async fn facts(
    connection: &mut MyConnection,
    database: &str,
    table: &str,
) -> Result<Option<TableFacts>, SourceError> {
    let rows = connection.query(ASK, &catalog::columns_query(database, table)).await?;
    let columns = catalog::columns(&rows, connection.flavor());
    let columns = columns.map_err(|error| misread(connection, &error))?;
    let rows = connection.query(ASK, &catalog::size_query(database, table)).await?;
    let size = catalog::size(&rows).map_err(|error| misread(connection, &error))?;
    let Some(size) = size.filter(|_| !columns.is_empty()) else { return Ok(None) };
    let rows = match connection.query(ASK, &catalog::indexes_query(database, table)).await {
        Ok(rows) => rows,
        Err(error) if error.has_code(NO_SUCH_TABLE) => return Ok(None),
        Err(error) => return Err(error),
    };
    let key = catalog::key(&rows).map_err(|error| misread(connection, &error))?;
    Ok(Some(TableFacts {
        database: database.to_owned(),
        table: table.to_owned(),
        columns,
        key,
        transactional: size.transactional,
        estimated_rows: size.rows,
        estimated_bytes: size.bytes,
    }))
}

pub(super) fn misread(connection: &MyConnection, error: &impl std::fmt::Display) -> SourceError {
    let (endpoint, detail) = (connection.endpoint().to_owned(), error.to_string());
    SourceError::Protocol { endpoint, detail }
}
