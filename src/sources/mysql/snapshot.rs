//! The first read of every table, as of one moment ([`super::moment`]).
//!
//! Rows go out as the server sent them, each a packet of the text protocol, for the decoder's
//! `snapshot_rows`. A reader that is lost takes its view along, and nobody can come back into it:
//! the whole snapshot fails, and the next run begins a new one. So does one of a table that is
//! altered or truncated before it is read: the server refuses to show it to a view that is older
//! than it (`ER_TABLE_DEF_CHANGED`).
//!
//! A table's metadata lock ends with the reading of the table, not of all of them: ALTER TABLE
//! waits for it, and everybody else behind that.
//! <https://dev.mysql.com/doc/refman/8.4/en/metadata-locking.html>

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::sources::mysql::catalog::TableFacts;
use crate::sources::mysql::connection::{MyConnection, RowsRead};
use crate::sources::mysql::error::SourceError;
use crate::sources::mysql::moment::Moment;
use crate::sources::mysql::select::select_statement;
use crate::sources::mysql::snapshot_error::SnapshotError;
use crate::sources::progress::{Counts, Expected, Reporter};
use crate::sources::readers::{Queue, largest_first, rows, send_end, wait_for_all};
use crate::sources::{RawSender, Stage};

pub use crate::sources::readers::Outcome;

/// A server may skip over dead rows for long before it has one to send; a dead peer is the
/// kernel's to find.
const ROWS_SILENCE_MAX: Duration = Duration::from_secs(300);

const READ: &str = "read a table for the snapshot";

/// `ER_NO_SUCH_TABLE`, `ER_BAD_FIELD_ERROR`, `ER_TABLE_DEF_CHANGED`; `ER_BAD_DB_ERROR`.
const CHANGED: [u16; 4] = [1146, 1054, 1412, 1049];

/// What all readers share.
struct Work {
    tables: Vec<TableFacts>,
    queue: Queue<u32>,
    counts: Counts,
    out: RawSender,
}

/// Numbers of the tables that `wanted` wants, in the order in which they are begun.
fn order(tables: &[TableFacts], wanted: impl Fn(&TableFacts) -> bool) -> VecDeque<u32> {
    let wanted = (0..).zip(tables).filter(|(_, table)| wanted(table));
    largest_first(wanted.map(|(number, table)| (number, table.estimated_bytes)))
}

/// Reads every table and hands on its rows, then that it is complete, at last that all are.
/// Tables have the numbers of their places in the moment. Dropping the future ends the readers.
///
/// # Errors
/// When a reader is lost, or a table was altered.
pub async fn run(moment: Moment, out: RawSender) -> Result<Outcome, SnapshotError> {
    let Moment { tables, readers, locked, .. } = moment;
    let n_rows = Some(tables.iter().map(|table| table.estimated_rows).sum());
    let reporter = Reporter::new(Expected { rows: n_rows, tables: tables.len() });
    // Those that a connection holds a lock on are that one's to read.
    let others = locked.is_some();
    let queue = Queue::new(order(&tables, |table| table.transactional || !others));
    let locked_order = order(&tables, |table| !table.transactional && others);
    let work = Arc::new(Work { tables, queue, counts: Counts::default(), out });
    let mut running = JoinSet::new();
    for connection in readers {
        running.spawn(read_tables(connection, Arc::clone(&work)));
    }
    if let Some(connection) = locked {
        running.spawn(read_locked(connection, Arc::clone(&work), locked_order));
    }
    let lost = |detail| SnapshotError::ReaderLost { detail };
    wait_for_all(running, (reporter, &work.counts), &work.out, lost).await
}

async fn read_tables(
    mut connection: MyConnection,
    work: Arc<Work>,
) -> Result<Outcome, SnapshotError> {
    const SAVEPOINT: &str = "SAVEPOINT tailwater";
    const RELEASE: &str = "ROLLBACK TO SAVEPOINT tailwater";
    while let Some(number) = work.queue.next() {
        connection.query(READ, SAVEPOINT).await?;
        if let Outcome::Closed = read_table(&mut connection, &work, number).await? {
            return Ok(Outcome::Closed);
        }
        connection.query(READ, RELEASE).await?;
    }
    connection.close().await;
    Ok(Outcome::Complete)
}

/// The locks end with the connection.
async fn read_locked(
    mut connection: MyConnection,
    work: Arc<Work>,
    order: VecDeque<u32>,
) -> Result<Outcome, SnapshotError> {
    for number in order {
        if let Outcome::Closed = read_table(&mut connection, &work, number).await? {
            return Ok(Outcome::Closed);
        }
    }
    connection.close().await;
    Ok(Outcome::Complete)
}

async fn read_table(
    connection: &mut MyConnection,
    work: &Work,
    number: u32,
) -> Result<Outcome, SnapshotError> {
    let table = work.tables.get(number as usize);
    let table = table.expect("the queue has the numbers of the tables");
    let name = format!("{}.{}", table.database, table.table);
    let changed = |error: SourceError| match CHANGED.iter().any(|&code| error.has_code(code)) {
        true => SnapshotError::TableChanged { table: name.clone() },
        false => SnapshotError::Source(error),
    };
    let started = Instant::now();
    let mut n_rows = 0;
    connection.start_rows(READ, &select_statement(table)).await.map_err(changed)?;
    loop {
        let Ok(read) = timeout(ROWS_SILENCE_MAX, connection.read_rows(READ)).await else {
            return Err(SnapshotError::Source(SourceError::Timeout {
                operation: READ,
                endpoint: connection.endpoint().to_owned(),
                timeout_ms: ROWS_SILENCE_MAX.as_millis(),
            }));
        };
        let RowsRead::Rows(frames) = read.map_err(changed)? else { break };
        n_rows += frames.payloads.len();
        work.counts.add(frames.payloads.len(), frames.data.len());
        if work.out.send(rows(number, frames.data, frames.payloads)).await.is_err() {
            return Ok(Outcome::Closed);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(table = name, rows = n_rows, seconds, "table read");
    work.counts.add_table();
    Ok(send_end(&work.out, Stage::SnapshotTableEnd { table: number }).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_tables_are_in_an_order_of_their_own() {
        let table = |estimated_bytes, transactional| TableFacts {
            database: "d".into(),
            table: "t".into(),
            columns: vec![],
            key: vec![],
            transactional,
            estimated_rows: 0,
            estimated_bytes,
        };
        let tables = [table(8192, true), table(0, true), table(1 << 40, false), table(8192, true)];
        assert_eq!(order(&tables, |table| !table.transactional), [2]);
        assert_eq!(order(&tables, |table| table.transactional), [0, 3, 1]);
    }
}
