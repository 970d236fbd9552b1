//! XA transactions that are prepared where a stream is to begin.
//!
//! Their rows are in the log before that place and their commit may come behind it. So reading
//! begins at an earlier place, which is remembered here, and then every transaction that had been
//! prepared before it is waited for: whatever is undecided after that was prepared behind it, and
//! comes with the log. Most are decided within milliseconds. One that nobody decides, left behind
//! by a program that died, holds its locks for ever; it stops the start by its name.
//! <https://dev.mysql.com/doc/refman/8.4/en/xa-statements.html>
//! <https://mariadb.com/docs/server/reference/sql-statements/transactions/xa-transactions>

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::connection::MyConnection;
use super::error::SourceError;
use super::log_point::{self, LogPoint};
use super::preflight;
use super::settings::Flavor;
use super::sql::{Columns, Row};
use crate::failpoint;

const LIST: &str = "list prepared XA transactions";
const WAIT: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_millis(50);
/// One that is being prepared is in the log before the server lists it: while the log is being
/// flushed to the disk, in the main. So the list is looked at for this long, over and over. One that
/// takes longer still is no gap but a stop: its commit says that nobody has its rows.
const LISTED_WITHIN: Duration = Duration::from_millis(250);
/// `ER_XAER_RMERR`, which is how MySQL says that XA_RECOVER_ADMIN is missing
/// (`Sql_cmd_xa_recover::check_xa_recover_privilege` in `sql/xa.cc`), and
/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`.
const DENIED: [u16; 2] = [1401, 1227];

/// A place in the log such that no transaction that was prepared before it is undecided now.
///
/// # Errors
/// When one stays undecided for a minute, or the server cannot be asked.
pub(super) async fn place(
    connection: &mut MyConnection,
    account: &str,
) -> Result<LogPoint, SourceError> {
    let point = log_point::read(connection).await?;
    let since = Instant::now();
    let mut old = match prepared(connection).await {
        Ok(old) => old,
        Err(error) if is_denied(&error) => {
            tracing::info!("XA transactions cannot be seen without XA_RECOVER_ADMIN");
            return Ok(point);
        }
        Err(error) => return Err(error),
    };
    let limit = failpoint::wait(failpoint::UNDECIDED, WAIT);
    let mut told = false;
    while !old.is_empty() || since.elapsed() < LISTED_WITHIN {
        if !old.is_empty() && !told {
            let xa = names(&old);
            tracing::info!(xa, "waiting for XA transactions that were prepared before the start");
            told = true;
        }
        if !old.is_empty() && since.elapsed() > limit {
            let (names, waited_ms) = (names(&old), limit.as_millis());
            return Err(SourceError::Undecided { names, waited_ms });
        }
        tokio::time::sleep(REST).await;
        let now = match prepared(connection).await {
            Ok(now) => now,
            // Taken away meanwhile: what is not to be seen any more is not decided.
            Err(error) if is_denied(&error) => {
                return Err(preflight::missing(account, LIST, "XA_RECOVER_ADMIN"));
            }
            Err(error) => return Err(error),
        };
        match since.elapsed() < LISTED_WITHIN {
            true => old = now,
            false => old.retain(|name| now.contains(name)),
        }
    }
    Ok(point)
}

fn is_denied(error: &SourceError) -> bool {
    DENIED.iter().any(|code| error.has_code(*code))
}

fn names(transactions: &BTreeSet<String>) -> String {
    transactions.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// As they are written in `XA COMMIT`.
async fn prepared(connection: &mut MyConnection) -> Result<BTreeSet<String>, SourceError> {
    let sql = match connection.flavor() {
        Flavor::Mysql => "XA RECOVER CONVERT XID",
        Flavor::Mariadb => "XA RECOVER FORMAT='SQL'",
    };
    let rows = connection.query(LIST, sql).await?;
    let name = |row| name(connection, row);
    rows.into_iter().map(name).collect()
}

/// Columns formatID, gtrid_length, bqual_length, data. MySQL gives the data as one hexadecimal
/// number, MariaDB as the whole name.
fn name(connection: &MyConnection, row: Row) -> Result<String, SourceError> {
    let mut columns = Columns::new(connection.endpoint(), row);
    let format: u32 = columns.parsed()?;
    let global_bytes: usize = columns.parsed()?;
    columns.text()?;
    let data = columns.text()?;
    let Some(digits) = data.strip_prefix("0x") else { return Ok(data) };
    let (global, branch) = digits.split_at_checked(2 * global_bytes).unwrap_or((digits, ""));
    Ok(format!("X'{global}',X'{branch}',{format}"))
}
