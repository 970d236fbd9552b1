//! The moment of a snapshot: views that show one state of every table, and the place in the log at
//! which exactly that state ends.
//!
//! With the right to lock (RELOAD), FLUSH TABLES WITH READ LOCK holds every commit back while all
//! readers open their views and the place is read: a few milliseconds. A lock that waits for a
//! long statement holds everybody else back meanwhile, so it gives up soon, and is tried again
//! after a rest.
//! <https://dev.mysql.com/doc/refman/8.4/en/flush.html#flush-tables-with-read-lock>
//!
//! Without it there is one reader. MariaDB tells the place that belongs to a view. MySQL does not:
//! there the place is read before and after the view is opened, until nothing was committed
//! between. The set of executed GTIDs is the one to believe: a transaction is in the log before it
//! is visible, and in the set only after it is. So one that is on its way at that moment is not in
//! the set, and comes with the stream although the view may show it: again, never not at all. A
//! place in a file has it the other way round, which is why GTIDs are needed there.
//! (`MYSQL_BIN_LOG::ordered_commit` in `sql/binlog.cc`: flush, sync, commit in the engine, then
//! `gtid_state->update_commit_group`.)
//!
//! Definitions are no part of a view (MariaDB) or only partly (MySQL), so they are read before and
//! after the moment, and the moment is given up where they differ.

use std::time::{Duration, Instant};

use crate::config::TableFilter;
use crate::sources::mysql::catalog::TableFacts;
use crate::sources::mysql::catalog_query;
use crate::sources::mysql::connection::MyConnection;
use crate::sources::mysql::definitions::{self, Definitions};
use crate::sources::mysql::error::SourceError;
use crate::sources::mysql::log_point::{self, LogPoint};
use crate::sources::mysql::settings::{ConnectSettings, Flavor};
use crate::sources::mysql::snapshot_error::SnapshotError;
use crate::sources::mysql::sql::{Columns, quote_table};
use crate::sources::mysql::table_error::TableError;

/// DDL between the two looks at the definitions is rare; this often in a row it is a migration.
const ATTEMPTS_MAX: u32 = 5;
/// How long a lock may wait, with every other statement behind it.
const LOCK_WAIT: &str = "SET lock_wait_timeout = 3";
const LOCK_ATTEMPTS_MAX: u32 = 5;
const LOCK_REST: Duration = Duration::from_secs(2);
/// How long a moment without a commit is looked for.
const QUIET_WAIT: Duration = Duration::from_secs(60);
const QUIET_REST: Duration = Duration::from_millis(5);
/// A lock that is held for longer is worth a warning.
const LOCK_HELD_MAX: Duration = Duration::from_secs(1);

const BEGIN: &str = "open a view for the snapshot";
const LOCK: &str = "lock the tables for the snapshot's moment";
/// Under any other level the view would begin anew with every statement, and without a word.
const LEVEL: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
const VIEW: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// `ER_LOCK_WAIT_TIMEOUT`
const LOCK_TIMEOUT: u16 = 1205;
/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`; `ER_ACCESS_DENIED_ERROR`, which hosted servers answer;
/// `ER_DBACCESS_DENIED_ERROR` and `ER_TABLEACCESS_DENIED_ERROR` of LOCK TABLES.
const DENIED: [u16; 4] = [1227, 1045, 1044, 1142];

/// What a snapshot is taken of, and how.
#[derive(Clone, Debug)]
pub struct MomentSettings {
    pub connect: ConnectSettings,
    /// As a GRANT names us: `'user'@'host'`.
    pub account: String,
    pub tables: TableFilter,
    /// At most so many readers.
    pub n_readers: usize,
}

/// A moment that was found, with the connections that see it.
pub struct Moment {
    pub point: LogPoint,
    /// Microseconds since 1970, by the server's clock.
    pub read_at_us: i64,
    /// By name.
    pub tables: Vec<TableFacts>,
    /// The same tables, as statements define them.
    pub definitions: Definitions,
    /// Each in a transaction with the same view.
    pub(super) readers: Vec<MyConnection>,
    /// Holds read locks on the tables without transactions, which no view shows as they were.
    pub(super) locked: Option<MyConnection>,
}

/// # Errors
/// When the server cannot be asked, a table has a column of an unknown type, or no moment is
/// found.
pub async fn find(settings: &MomentSettings) -> Result<Moment, SnapshotError> {
    for _ in 0..ATTEMPTS_MAX {
        if let Some(moment) = attempt(settings).await? {
            return Ok(moment);
        }
        tracing::info!("tables were altered while the snapshot began; it begins again");
    }
    Err(SnapshotError::Restless { attempts: ATTEMPTS_MAX })
}

/// The log's present end, and how tables are defined there.
///
/// # Errors
/// When the server cannot be asked, or tables are altered all the time.
pub async fn end_of_log(
    connection: &mut MyConnection,
    filter: &TableFilter,
) -> Result<(LogPoint, Definitions), SnapshotError> {
    catalog_query::show_generated_keys(connection).await?;
    for _ in 0..ATTEMPTS_MAX {
        let (tables, definitions) = defined(connection, filter).await?;
        let point = log_point::read(connection).await?;
        let (tables_after, definitions_after) = defined(connection, filter).await?;
        let confirmed = definitions.confirmed_by(&definitions_after);
        if let Some(definitions) = confirmed.filter(|_| same(&tables, &tables_after)) {
            return Ok((point, definitions));
        }
    }
    Err(SnapshotError::Restless { attempts: ATTEMPTS_MAX })
}

/// `None` where definitions changed meanwhile.
async fn attempt(settings: &MomentSettings) -> Result<Option<Moment>, SnapshotError> {
    let mut side = MyConnection::connect(&settings.connect).await?;
    catalog_query::show_generated_keys(&mut side).await?;
    let (tables, definitions) = defined(&mut side, &settings.tables).await?;
    for facts in &tables {
        if let Some(column) = facts.columns.iter().find(|column| column.data_type.is_none()) {
            return Err(TableError::unknown_type(facts, column).into());
        }
    }
    let mut connections = Connections::open(settings, &tables).await?;
    let point = match lock(&settings.connect).await? {
        Some(locker) => under_lock(locker, &tables, &mut connections).await?,
        None => without_lock(settings, &tables, &mut connections).await?,
    };
    let read_at_us = clock(&mut side).await?;
    let (tables_after, definitions_after) = defined(&mut side, &settings.tables).await?;
    side.close().await;
    let definitions = match definitions.confirmed_by(&definitions_after) {
        Some(definitions) if same(&tables, &tables_after) => definitions,
        Some(_) | None => return Ok(None),
    };
    let Connections { readers, locked } = connections;
    Ok(Some(Moment { point, read_at_us, tables, definitions, readers, locked }))
}

/// Made before the lock, which is not to wait for logins.
struct Connections {
    readers: Vec<MyConnection>,
    /// Only where there are tables without transactions.
    locked: Option<MyConnection>,
}

impl Connections {
    async fn open(settings: &MomentSettings, tables: &[TableFacts]) -> Result<Self, SourceError> {
        let n_readers = settings.n_readers.min(tables.len()).max(1);
        let mut readers = Vec::with_capacity(n_readers);
        for _ in 0..n_readers {
            readers.push(MyConnection::connect(&settings.connect).await?);
        }
        let locked = match tables.iter().all(|table| table.transactional) {
            true => None,
            false => Some(MyConnection::connect(&settings.connect).await?),
        };
        Ok(Self { readers, locked })
    }
}

/// A connection that holds the lock; `None` where the user may not, or it is not to be had.
async fn lock(connect: &ConnectSettings) -> Result<Option<MyConnection>, SourceError> {
    let mut locker = MyConnection::connect(connect).await?;
    locker.query(LOCK, LOCK_WAIT).await?;
    for _ in 0..LOCK_ATTEMPTS_MAX {
        match locker.query(LOCK, "FLUSH TABLES WITH READ LOCK").await {
            Ok(_) => return Ok(Some(locker)),
            Err(error) if is_denied(&error) => {
                tracing::info!(user = connect.user, "may not lock the tables: one reader only");
                return Ok(None);
            }
            Err(error) if error.has_code(LOCK_TIMEOUT) => tokio::time::sleep(LOCK_REST).await,
            Err(error) => return Err(error),
        }
    }
    tracing::warn!("statements run too long to lock the tables: one reader only");
    Ok(None)
}

async fn under_lock(
    mut locker: MyConnection,
    tables: &[TableFacts],
    connections: &mut Connections,
) -> Result<LogPoint, SourceError> {
    let since = Instant::now();
    for reader in &mut connections.readers {
        begin(reader).await?;
    }
    let point = log_point::read(&mut locker).await?;
    lock_others(tables, connections).await?;
    locker.query(LOCK, "UNLOCK TABLES").await?;
    let held = since.elapsed();
    let held_ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
    let readers = connections.readers.len();
    tracing::info!(held_ms, readers, "tables were locked for the snapshot's moment");
    if held > LOCK_HELD_MAX {
        tracing::warn!(held_ms, "the lock was held for long: the way to the server is slow");
    }
    locker.close().await;
    Ok(point)
}

/// Locks the tables without transactions until they are read. Under the lock on everything, which
/// does not keep other read locks out, so nothing is written between the two.
async fn lock_others(
    tables: &[TableFacts],
    connections: &mut Connections,
) -> Result<(), SourceError> {
    let Some(connection) = &mut connections.locked else { return Ok(()) };
    let others = tables.iter().filter(|table| !table.transactional);
    let names = others.map(|table| format!("{} READ", quote_table(&table.database, &table.table)));
    let sql = format!("LOCK TABLES {}", names.collect::<Vec<_>>().join(", "));
    match connection.query(LOCK, &sql).await {
        Ok(_) => Ok(()),
        Err(error) if is_denied(&error) => {
            connections.locked = None;
            warn_of_others(tables);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What is written to them while they are read is read, and comes with the stream once more.
fn warn_of_others(tables: &[TableFacts]) {
    let others = tables.iter().filter(|table| !table.transactional);
    let names = others.map(|table| format!("{}.{}", table.database, table.table));
    let tables = names.collect::<Vec<_>>().join(", ");
    if !tables.is_empty() {
        tracing::warn!(
            tables,
            "tables without transactions may not be locked: rows that are written while they are read come twice"
        );
    }
}

async fn without_lock(
    settings: &MomentSettings,
    tables: &[TableFacts],
    connections: &mut Connections,
) -> Result<LogPoint, SnapshotError> {
    // One view is one connection's.
    connections.readers.truncate(1);
    connections.locked = None;
    warn_of_others(tables);
    let reader = connections.readers.first_mut().expect("at least one reader was opened");
    if reader.flavor() == Flavor::Mariadb {
        begin(reader).await?;
        return Ok(log_point::of_view(reader).await?);
    }
    let account = || settings.account.clone();
    let since = Instant::now();
    while since.elapsed() < QUIET_WAIT {
        let before = log_point::read(reader).await?;
        if before.gtids.is_none() {
            return Err(SnapshotError::NoLock { account: account() });
        }
        begin(reader).await?;
        if log_point::read(reader).await? == before {
            return Ok(before);
        }
        reader.query(BEGIN, "ROLLBACK").await?;
        tokio::time::sleep(QUIET_REST).await;
    }
    Err(SnapshotError::NoQuietMoment { account: account(), seconds: QUIET_WAIT.as_secs() })
}

async fn begin(reader: &mut MyConnection) -> Result<(), SourceError> {
    reader.query(BEGIN, LEVEL).await?;
    reader.query(BEGIN, VIEW).await?;
    Ok(())
}

/// Every captured table, and what statements about tables depend on: the character sets of tables
/// and databases too, which no column shows.
async fn defined(
    connection: &mut MyConnection,
    filter: &TableFilter,
) -> Result<(Vec<TableFacts>, Definitions), SourceError> {
    let tables = captured(connection, filter).await?;
    let definitions = definitions::read(connection, &tables).await?;
    Ok((tables, definitions))
}

/// Every captured table, as it is defined now.
async fn captured(
    connection: &mut MyConnection,
    filter: &TableFilter,
) -> Result<Vec<TableFacts>, SourceError> {
    let mut definitions = Vec::new();
    for name in catalog_query::captured(connection, filter).await? {
        // Dropped since the list was made.
        let facts = catalog_query::facts(connection, &name.database, &name.table).await?;
        definitions.extend(facts);
    }
    Ok(definitions)
}

/// Whether the same tables are defined in the same way; how large they are does not matter.
fn same(before: &[TableFacts], after: &[TableFacts]) -> bool {
    let alike = |(a, b): (&TableFacts, &TableFacts)| {
        let sized = TableFacts {
            estimated_rows: b.estimated_rows,
            estimated_bytes: b.estimated_bytes,
            ..a.clone()
        };
        sized == *b
    };
    before.len() == after.len() && before.iter().zip(after).all(alike)
}

async fn clock(connection: &mut MyConnection) -> Result<i64, SourceError> {
    // The session's time zone is UTC, and `UNIX_TIMESTAMP` does not depend on it.
    let sql = "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)";
    let rows = connection.query("ask for the time", sql).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    Columns::new(connection.endpoint(), row).parsed()
}

fn is_denied(error: &SourceError) -> bool {
    DENIED.iter().any(|&code| error.has_code(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mysql::catalog::{ColumnFacts, DefaultText};
    use crate::sources::mysql::types::MysqlType;

    fn table(name: &str, declared: &str) -> TableFacts {
        let column = ColumnFacts {
            name: "c".to_owned(),
            data_type: MysqlType::declared(declared),
            declared: declared.to_owned(),
            nullable: true,
            default: DefaultText::None,
            charset: None,
        };
        TableFacts {
            database: "d".to_owned(),
            table: name.to_owned(),
            columns: vec![column],
            key: Vec::new(),
            transactional: true,
            estimated_rows: 1,
            estimated_bytes: 1,
        }
    }

    #[test]
    fn a_moment_stands_while_the_definitions_do() {
        let before = [table("a", "int"), table("b", "int")];
        let grown = TableFacts { estimated_rows: 2, ..before[1].clone() };
        assert!(same(&before, &[before[0].clone(), grown]));
        assert!(!same(&before, &before[..1]));
        assert!(!same(&before, &[before[0].clone(), table("b", "bigint")]));
        assert!(!same(&before, &[before[0].clone(), table("c", "int")]));
    }
}
