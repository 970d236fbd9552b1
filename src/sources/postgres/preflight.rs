//! What must be right with a server before anything is made on it or read from it.

use std::time::Duration;

use super::catalog::RelationFacts;
use super::catalog_query::{self, Listed};
use super::connection::PgConnection;
use super::error::SourceError;
use super::publication::dotted_list;
use super::select;
use super::sql::{Columns, quote_ident, quote_table};
use crate::config::{PostgresConfig, TableFilter};

const VERSION_MIN: u32 = 130_000;

/// The server as far as a run cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// `server_version_num`: 150018 is 15.18.
    pub version: u32,
    pub database_oid: u32,
    /// Whom we are logged in as.
    pub role: String,
    /// After this long without a word from us the server hangs up; zero means never.
    pub wal_sender_timeout: Duration,
}

/// # Errors
/// When the server cannot replicate logically.
pub async fn server(connection: &mut PgConnection) -> Result<ServerFacts, SourceError> {
    const SQL: &str = "\
        SELECT pg_catalog.current_setting('server_version_num'), \
            pg_catalog.current_setting('wal_level'), pg_catalog.pg_is_in_recovery(), \
            (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()), \
            current_user, \
            (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout')";
    let rows = connection.query("read the server's settings", SQL).await?;
    let endpoint = connection.endpoint().to_owned();
    let mut columns = Columns::new(&endpoint, rows.into_iter().next().unwrap_or_default());
    let version = columns.parsed()?;
    let wal_level = columns.text()?;
    let in_recovery = columns.boolean()?;
    let database_oid = columns.parsed()?;
    let role = columns.text()?;
    let wal_sender_timeout = Duration::from_millis(columns.parsed()?);
    if version < VERSION_MIN {
        return Err(SourceError::ServerVersion { endpoint, found: version });
    }
    if in_recovery {
        return Err(SourceError::Standby { endpoint });
    }
    if wal_level != "logical" {
        return Err(SourceError::WalLevel { endpoint, found: wal_level });
    }
    Ok(ServerFacts { version, database_oid, role, wal_sender_timeout })
}

/// Every table of users, for [`captured`] to choose from.
///
/// # Errors
/// When the server cannot be asked.
pub async fn tables(connection: &mut PgConnection) -> Result<Vec<Listed>, SourceError> {
    catalog_query::list(connection).await
}

/// The tables that the filter takes and the log has.
///
/// # Errors
/// When there is none.
pub fn captured<'a>(
    config: &PostgresConfig,
    all: &'a [Listed],
) -> Result<Vec<&'a Listed>, SourceError> {
    let matching = all.iter().filter(|t| config.tables.matches(&t.schema, &t.table));
    let (captured, unlogged): (Vec<_>, Vec<_>) = matching.partition(|table| table.logged);
    if !unlogged.is_empty() {
        let tables = dotted_list(&unlogged);
        tracing::warn!(tables, "unlogged tables are not captured: the log does not have them");
    }
    if captured.is_empty() {
        return Err(SourceError::NoTables {
            database: config.database.clone(),
            filter: describe(&config.tables),
            present: all.len(),
        });
    }
    Ok(captured)
}

fn describe(filter: &TableFilter) -> String {
    let list = |patterns: &[String]| match patterns {
        [] => "everything".to_owned(),
        some => some.join(", "),
    };
    match filter.exclude() {
        [] => format!("include {}", list(filter.include())),
        exclude => format!("include {} exclude {}", list(filter.include()), list(exclude)),
    }
}

/// # Errors
/// When a snapshot could not read all rows of all tables.
pub fn check_readable(role: &str, tables: &[&Listed]) -> Result<(), SourceError> {
    let closed: Vec<&Listed> =
        tables.iter().copied().filter(|t| !(t.readable && t.schema_usable)).collect();
    if !closed.is_empty() {
        return Err(SourceError::MissingGrants {
            role: role.to_owned(),
            tables: dotted_list(&closed),
            sql: grants(role, &closed),
        });
    }
    let filtered: Vec<&Listed> = tables.iter().copied().filter(|t| t.row_security).collect();
    if !filtered.is_empty() {
        let (role, tables) = (role.to_owned(), dotted_list(&filtered));
        return Err(SourceError::RowSecurity { role, tables });
    }
    Ok(())
}

/// # Errors
/// When a column has a type that no schema has a place for.
pub fn check_types(relations: &[RelationFacts]) -> Result<(), SourceError> {
    let unmapped: Vec<String> = relations
        .iter()
        .flat_map(|relation| relation.columns.iter().map(move |column| (relation, column)))
        .filter(|(_, column)| select::mapped(column).is_none())
        .map(|(relation, column)| {
            let RelationFacts { schema, table, .. } = relation;
            format!("{schema}.{table}.{} ({})", column.name, column.type_facts.name)
        })
        .collect();
    if unmapped.is_empty() {
        return Ok(());
    }
    Err(SourceError::UnmappedTypes { columns: unmapped.join(", ") })
}

fn grants(role: &str, tables: &[&Listed]) -> String {
    let role = quote_ident(role);
    let mut schemas: Vec<&str> =
        tables.iter().filter(|t| !t.schema_usable).map(|t| t.schema.as_str()).collect();
    schemas.dedup();
    let mut statements: Vec<String> = schemas
        .iter()
        .map(|schema| format!("GRANT USAGE ON SCHEMA {} TO {role};", quote_ident(schema)))
        .collect();
    let unreadable = tables.iter().filter(|t| !t.readable);
    let names: Vec<String> = unreadable.map(|t| quote_table(&t.schema, &t.table)).collect();
    if !names.is_empty() {
        statements.push(format!("GRANT SELECT ON {} TO {role};", names.join(", ")));
    }
    statements.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(schema: &str, table: &str, readable: bool, schema_usable: bool) -> Listed {
        Listed {
            oid: 1,
            schema: schema.into(),
            table: table.into(),
            partitioned: false,
            logged: true,
            has_identity: true,
            readable,
            schema_usable,
            row_security: false,
            ancestors: vec![],
        }
    }

    #[test]
    fn missing_rights_come_with_the_statements_that_grant_them() {
        let tables = [
            listed("a", "open", true, true),
            listed("b", "one", false, false),
            listed("b", "Two", false, false),
            listed("c", "three", true, false),
        ];
        let tables: Vec<&Listed> = tables.iter().collect();
        let Err(SourceError::MissingGrants { tables, sql, .. }) = check_readable("cdc", &tables)
        else {
            panic!("unreadable tables were accepted");
        };
        assert_eq!(tables, "b.one, b.Two, c.three");
        assert_eq!(
            sql,
            "GRANT USAGE ON SCHEMA \"b\" TO \"cdc\"; GRANT USAGE ON SCHEMA \"c\" TO \"cdc\"; \
             GRANT SELECT ON \"b\".\"one\", \"b\".\"Two\" TO \"cdc\";"
        );
    }

    #[test]
    fn tables_that_hide_rows_from_us_are_named() {
        let mut table = listed("a", "t", true, true);
        table.row_security = true;
        let error = check_readable("cdc", &[&table]).unwrap_err();
        assert!(matches!(error, SourceError::RowSecurity { tables, .. } if tables == "a.t"));
    }
}
