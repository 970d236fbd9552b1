//! Where the server's log ends right now, in every way that the server can say it.

use crate::sources::mysql::connection::MyConnection;
use crate::sources::mysql::error::SourceError;
use crate::sources::mysql::settings::Flavor;
use crate::sources::mysql::sql::{Columns, quote_literal};

const ASK: &str = "ask for the end of the log";

/// A place between two transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPoint {
    pub file: String,
    pub offset: u64,
    /// Every transaction before it: `gtid_executed`, or MariaDB's last of every domain. `None`
    /// where the server does not number its transactions (MySQL with `gtid_mode` not `ON`).
    pub gtids: Option<String>,
}

/// The end of the log. Exact while nothing is committed; otherwise each of its parts may be a
/// little older than the next.
///
/// # Errors
/// When the server cannot be asked, or keeps no log.
pub async fn read(connection: &mut MyConnection) -> Result<LogPoint, SourceError> {
    match connection.flavor() {
        Flavor::Mysql => mysql(connection).await,
        Flavor::Mariadb => {
            let (file, offset) = mariadb_status(connection, "SHOW MASTER STATUS").await?;
            mariadb_gtids(connection, file, offset).await
        }
    }
}

async fn mysql(connection: &mut MyConnection) -> Result<LogPoint, SourceError> {
    // <https://dev.mysql.com/doc/refman/8.4/en/show-binary-log-status.html>
    let renamed = connection.version().is_at_least(8, 2, 0);
    let sql = if renamed { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    let rows = connection.query(ASK, "SELECT @@GLOBAL.gtid_mode").await?;
    let mode = Columns::new(connection.endpoint(), rows.into_iter().next().unwrap_or_default());
    let has_gtids = { mode }.text()? == "ON";
    let row = connection.query(ASK, sql).await?.into_iter().next();
    let row = row.ok_or_else(|| binlog_off(connection))?;
    // File, Position, Binlog_Do_DB, Binlog_Ignore_DB, Executed_Gtid_Set
    let mut columns = Columns::new(connection.endpoint(), row);
    let (file, offset) = (columns.text()?, columns.parsed()?);
    columns.optional()?;
    columns.optional()?;
    // The set is printed with a line for each server.
    let gtids = columns.text()?.replace('\n', "");
    Ok(LogPoint { file, offset, gtids: has_gtids.then_some(gtids) })
}

/// The place that belongs to the view which this connection's transaction was begun with, exact
/// under any load.
/// <https://mariadb.com/docs/server/server-usage/replication-cluster-multi-master/standard-replication/enhancements-for-start-transaction-with-consistent-snapshot>
///
/// # Errors
/// When the server cannot be asked, or keeps no log.
pub async fn of_view(connection: &mut MyConnection) -> Result<LogPoint, SourceError> {
    // Binlog_snapshot_file before Binlog_snapshot_position, name and value each.
    let sql = "SHOW STATUS WHERE Variable_name IN \
               ('Binlog_snapshot_file', 'Binlog_snapshot_position')";
    let rows = connection.query(ASK, sql).await?;
    let value = |name: &str| {
        let named = |row: &&Vec<Option<String>>| {
            let first = row.first().and_then(Option::as_deref);
            first.is_some_and(|found| found.eq_ignore_ascii_case(name))
        };
        rows.iter().find(named).and_then(|row| row.get(1).cloned().flatten())
    };
    let file = value("Binlog_snapshot_file").filter(|file| !file.is_empty());
    let offset = value("Binlog_snapshot_position").and_then(|offset| offset.parse().ok());
    match (file, offset) {
        (Some(file), Some(offset)) => mariadb_gtids(connection, file, offset).await,
        _ => Err(binlog_off(connection)),
    }
}

async fn mariadb_status(
    connection: &mut MyConnection,
    sql: &str,
) -> Result<(String, u64), SourceError> {
    let row = connection.query(ASK, sql).await?.into_iter().next();
    let row = row.ok_or_else(|| binlog_off(connection))?;
    let mut columns = Columns::new(connection.endpoint(), row);
    Ok((columns.text()?, columns.parsed()?))
}

/// `gtid_binlog_pos` moves on; this is what it was at the place.
async fn mariadb_gtids(
    connection: &mut MyConnection,
    file: String,
    offset: u64,
) -> Result<LogPoint, SourceError> {
    let sql = format!("SELECT BINLOG_GTID_POS({}, {offset})", quote_literal(&file));
    let rows = connection.query(ASK, &sql).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let gtids = Columns::new(connection.endpoint(), row).text()?;
    Ok(LogPoint { file, offset, gtids: Some(gtids) })
}

fn binlog_off(connection: &MyConnection) -> SourceError {
    SourceError::BinlogOff { endpoint: connection.endpoint().to_owned() }
}
