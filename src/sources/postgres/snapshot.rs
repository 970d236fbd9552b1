//! The first read of every table, as of the slot's consistent point.
//!
//! The walsender that made the slot exports the snapshot in which the slot begins, for as long as
//! it does nothing else. Each reader imports it into a transaction of its own before the first
//! row is read, and proves that it has it; from then on each holds it by itself. So all tables
//! are read at one moment, the one at which the stream starts: no gap and no overlap
//! (`SnapBuildExportSnapshot` in `snapbuild.c`).
//!
//! A reader that is lost takes its transaction along and cannot come back into the snapshot: the
//! whole snapshot fails, and the next run begins a new one. So does a table that was altered or
//! whose files were replaced between the snapshot and its reading (ALTER TABLE that rewrites,
//! TRUNCATE): such a table looks empty to an old snapshot, without any error.
//! <https://www.postgresql.org/docs/current/mvcc-caveats.html>

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::catalog::RelationFacts;
use super::connection::{CopyRead, PgConnection, Purpose};
use super::error::SourceError;
use super::select::copy_statement;
use super::sql::{Columns, quote_literal};
use crate::config::{PostgresConfig, UnmappedTypes};
use crate::sources::progress::{Counts, Expected, Reporter};
use crate::sources::readers::{Outcome, Queue, largest_first, rows, send_end, wait_for_all};
use crate::sources::{RawSender, Stage};

/// A scan over dead rows may have nothing to send for long; a dead peer is the kernel's to find.
const COPY_SILENCE_MAX: Duration = Duration::from_secs(300);

const IMPORT: &str = "import the snapshot";

/// Connections inside the snapshot, ready to read.
pub(super) struct Readers {
    connections: Vec<PgConnection>,
    /// Every transaction before this one is visible or rolled back.
    pub(super) transaction_id: i64,
    /// Microseconds since 1970, by the server's clock.
    pub(super) read_at_us: i64,
}

impl Readers {
    /// Opens `n` connections in the exported snapshot `name`.
    pub(super) async fn open(
        config: &PostgresConfig,
        n: usize,
        name: &str,
    ) -> Result<Self, SourceError> {
        let mut connections = Vec::new();
        let mut first: Option<(String, i64, i64)> = None;
        for _ in 0..n.max(1) {
            let mut connection = PgConnection::connect(config, Purpose::Sql).await?;
            let identity = import(&mut connection, name).await?;
            match &first {
                None => first = Some(identity),
                // The exporter's snapshot is in use, or it is not: nothing between.
                Some((snapshot, ..)) if *snapshot == identity.0 => {}
                Some((snapshot, ..)) => {
                    let found = identity.0;
                    return Err(connection.protocol_error(format!(
                        "a reader has snapshot {found}, another one {snapshot}"
                    )));
                }
            }
            connections.push(connection);
        }
        let (_, transaction_id, read_at_us) = first.expect("at least one reader was opened");
        Ok(Self { connections, transaction_id, read_at_us })
    }

    /// One of them, to read the catalogues with the snapshot's eyes.
    pub(super) fn any(&mut self) -> &mut PgConnection {
        self.connections.first_mut().expect("at least one reader was opened")
    }
}

async fn import(
    connection: &mut PgConnection,
    name: &str,
) -> Result<(String, i64, i64), SourceError> {
    connection.query(IMPORT, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let set = format!("SET TRANSACTION SNAPSHOT {}", quote_literal(name));
    connection.query(IMPORT, &set).await?;
    let sql = "SELECT pg_catalog.pg_current_snapshot()::text, \
               pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text, \
               (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8";
    let rows = connection.query(IMPORT, sql).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let mut columns = Columns::new(connection.endpoint(), row);
    Ok((columns.text()?, columns.parsed()?, columns.parsed()?))
}

/// What all readers share.
struct Work {
    tables: Vec<RelationFacts>,
    unmapped: UnmappedTypes,
    queue: Queue<u32>,
    counts: Counts,
    out: RawSender,
}

impl Work {
    fn next(&self) -> Option<(u32, &RelationFacts)> {
        let number = self.queue.next()?;
        Some((number, self.tables.get(number as usize)?))
    }
}

/// A table that was never analysed has a negative number of rows.
fn expected(tables: &[RelationFacts]) -> Expected {
    let rows = tables.iter().map(|table| u64::try_from(table.estimated_rows).ok()).sum();
    Expected { rows, tables: tables.len() }
}

/// Reads every table and hands on its rows, then that it is complete, at last that all are.
/// Dropping the future ends the readers.
pub(super) async fn run(
    readers: Readers,
    tables: Vec<RelationFacts>,
    unmapped: UnmappedTypes,
    out: RawSender,
) -> Result<Outcome, SourceError> {
    let reporter = Reporter::new(expected(&tables));
    let sizes = (0..).zip(&tables).map(|(number, table)| (number, table.estimated_bytes));
    let queue = Queue::new(largest_first(sizes));
    let work = Arc::new(Work { tables, unmapped, queue, counts: Counts::default(), out });
    let mut running = JoinSet::new();
    for connection in readers.connections {
        running.spawn(read_tables(connection, Arc::clone(&work)));
    }
    let lost = |detail| SourceError::ReaderLost { detail };
    wait_for_all(running, (reporter, &work.counts), &work.out, lost).await
}

async fn read_tables(
    mut connection: PgConnection,
    work: Arc<Work>,
) -> Result<Outcome, SourceError> {
    while let Some((number, table)) = work.next() {
        if let Outcome::Closed = read_table(&mut connection, &work, number, table).await? {
            return Ok(Outcome::Closed);
        }
    }
    connection.close().await;
    Ok(Outcome::Complete)
}

async fn read_table(
    connection: &mut PgConnection,
    work: &Work,
    number: u32,
    table: &RelationFacts,
) -> Result<Outcome, SourceError> {
    const READ: &str = "read a table for the snapshot";
    // Undefined table, column, type: COPY looks names up as of now, not as of the snapshot.
    const GONE: [&str; 3] = ["42P01", "42703", "42704"];
    let name = format!("{}.{}", table.schema, table.table);
    let started = Instant::now();
    match connection.start_copy(READ, &copy_statement(table, work.unmapped)).await {
        Ok(()) => {}
        Err(error) if GONE.iter().any(|code| error.has_code(code)) => {
            return Err(SourceError::TableRewritten { table: name });
        }
        Err(error) => return Err(error),
    }
    loop {
        let Ok(read) = timeout(COPY_SILENCE_MAX, connection.read_copy(READ)).await else {
            return Err(SourceError::Timeout {
                operation: READ,
                endpoint: connection.endpoint().to_owned(),
                timeout_ms: COPY_SILENCE_MAX.as_millis(),
            });
        };
        let CopyRead::Frames(frames) = read? else { break };
        work.counts.add(frames.payloads.len(), frames.data.len());
        if work.out.send(rows(number, frames.data, frames.payloads)).await.is_err() {
            return Ok(Outcome::Closed);
        }
    }
    let tag = connection.end_copy(READ).await?;
    check_not_rewritten(connection, table.oid, &name).await?;
    let n_rows = tag.strip_prefix("COPY ").unwrap_or_default();
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(table = name, rows = n_rows, seconds, "table read");
    work.counts.add_table();
    Ok(send_end(&work.out, Stage::SnapshotTableEnd { table: number }).await)
}

/// Compares the file that the snapshot knows with the one that the server reads now. COPY took a
/// lock that nobody can rewrite the table under, and the transaction still holds it: so if the two
/// are the same, they were the same while the rows were read. Partitions count for their root.
async fn check_not_rewritten(
    connection: &mut PgConnection,
    oid: u32,
    name: &str,
) -> Result<(), SourceError> {
    let sql = format!(
        "SELECT count(*) FROM pg_catalog.pg_class c \
         WHERE (c.oid = {oid} OR c.oid IN \
                (SELECT relid FROM pg_catalog.pg_partition_tree({oid}::regclass) WHERE isleaf)) \
             AND c.relkind = 'r' \
             AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)"
    );
    let rows = connection.query("look for a rewritten table", &sql).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    match Columns::new(connection.endpoint(), row).parsed::<i64>()? {
        0 => Ok(()),
        _ => Err(SourceError::TableRewritten { table: name.to_owned() }),
    }
}
