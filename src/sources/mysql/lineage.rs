//! Whether a server's log continues the log that a checkpoint speaks of, and still has all of it.
//!
//! With MySQL's GTIDs the server itself does the arithmetic: what was purged must have been read,
//! and what was read must have been executed. With files and positions nothing says that two logs
//! are one, so the server must be the same and the file must still be there. MariaDB finds out when
//! it is asked for the log, strictly, before it sends a transaction; only a domain that is ahead of
//! the server is found out here.

use std::collections::BTreeMap;

use super::connection::MyConnection;
use super::dump::StartPoint;
use super::error::SourceError;
use super::preflight::{self, Gtids, LogEnd, ServerFacts};
use super::sql::{Columns, quote_literal};

/// Where every file begins, behind its magic number.
const FIRST_POSITION: u64 = 4;

/// Proves that reading can go on at `from`; gives where to ask for it.
///
/// `server_uuid` is the checkpoint's, where it has one: with files and positions, no other server
/// will do.
///
/// # Errors
/// When the server never had, or no longer has, what comes next.
pub async fn check(
    connection: &mut MyConnection,
    facts: &ServerFacts,
    server_uuid: Option<&str>,
    from: StartPoint,
) -> Result<StartPoint, SourceError> {
    let endpoint = connection.endpoint().to_owned();
    match from {
        StartPoint::Gtids(read) => {
            if facts.gtids != Gtids::Sets {
                let (flavor, found) = (connection.flavor(), "off".to_owned());
                return Err(SourceError::GtidsOff { endpoint, flavor, found });
            }
            check_gtids(connection, facts, &read).await?;
            Ok(StartPoint::Gtids(read))
        }
        StartPoint::MariadbGtids(read) => {
            let state = domains(&facts.executed)?;
            match ahead(&state, &domains(&read)?) {
                None => Ok(StartPoint::MariadbGtids(read)),
                Some(extra) => Err(not_there(connection, extra).await?),
            }
        }
        StartPoint::File { file, position } => {
            if let (Some(expected), Some(found)) = (server_uuid, &facts.server_uuid)
                && !expected.eq_ignore_ascii_case(found)
            {
                let (expected, found) = (expected.to_owned(), found.clone());
                return Err(SourceError::OtherServer { endpoint, expected, found });
            }
            let files = files(connection).await?;
            check_file(&files, &file, position, &facts.log_end)?;
            askable(connection, &files, file, position).await
        }
    }
}

async fn check_gtids(
    connection: &mut MyConnection,
    facts: &ServerFacts,
    read: &str,
) -> Result<(), SourceError> {
    let missing = subtract(connection, &facts.purged, read).await?;
    if !missing.is_empty() {
        return Err(SourceError::Purged { missing });
    }
    let extra = subtract(connection, read, &facts.executed).await?;
    match extra.is_empty() {
        true => Ok(()),
        false => Err(not_there(connection, extra).await?),
    }
}

/// What was read and is not on this server: a replica that has not come so far yet will have it,
/// any other server went another way.
async fn not_there(
    connection: &mut MyConnection,
    extra: String,
) -> Result<SourceError, SourceError> {
    let endpoint = connection.endpoint().to_owned();
    Ok(match preflight::applies_another_log(connection).await? {
        true => SourceError::Behind { endpoint, missing: extra },
        false => SourceError::Diverged { extra },
    })
}

async fn subtract(
    connection: &mut MyConnection,
    from: &str,
    what: &str,
) -> Result<String, SourceError> {
    let sql = format!("SELECT GTID_SUBTRACT({}, {})", quote_literal(from), quote_literal(what));
    let rows = connection.query("compare GTID sets", &sql).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    Ok(Columns::new(connection.endpoint(), row).text()?.replace('\n', ""))
}

/// The last sequence number of each domain.
fn domains(text: &str) -> Result<BTreeMap<u32, u64>, SourceError> {
    let error = || SourceError::GtidText {
        text: text.to_owned(),
        detail: "a GTID of MariaDB is domain-server-sequence",
    };
    let mut domains = BTreeMap::new();
    for gtid in text.split(',').map(str::trim).filter(|gtid| !gtid.is_empty()) {
        let mut words = gtid.split('-');
        let mut next = || words.next().ok_or_else(error);
        let domain = next()?.parse().map_err(|_| error())?;
        next()?.parse::<u32>().map_err(|_| error())?;
        let sequence = next()?.parse().map_err(|_| error())?;
        if words.next().is_some() {
            return Err(error());
        }
        let last: &mut u64 = domains.entry(domain).or_default();
        *last = (*last).max(sequence);
    }
    Ok(domains)
}

/// Where a place is ahead of the server.
fn ahead(server: &BTreeMap<u32, u64>, read: &BTreeMap<u32, u64>) -> Option<String> {
    let ahead: Vec<String> = read
        .iter()
        .filter(|(domain, sequence)| server.get(domain).is_none_or(|last| last < *sequence))
        .map(|(domain, sequence)| format!("{sequence} of domain {domain}"))
        .collect();
    (!ahead.is_empty()).then(|| ahead.join(", "))
}

struct LogFile {
    name: String,
    bytes: u64,
}

/// In the order of the log, which is not that of their names as text.
async fn files(connection: &mut MyConnection) -> Result<Vec<LogFile>, SourceError> {
    let rows = connection.query("list the log's files", "SHOW BINARY LOGS").await?;
    let each = rows.into_iter().map(|row| {
        let mut columns = Columns::new(connection.endpoint(), row);
        Ok(LogFile { name: columns.text()?, bytes: columns.parsed()? })
    });
    each.collect()
}

fn check_file(
    files: &[LogFile],
    file: &str,
    position: u64,
    end: &LogEnd,
) -> Result<(), SourceError> {
    let (name, end) = (file.to_owned(), format!("{}:{}", end.file, end.position));
    let Some(found) = files.iter().find(|candidate| candidate.name == file) else {
        let oldest = files.first().map(|first| first.name.clone()).unwrap_or_default();
        // A name that is still to come was never ours to read.
        return Err(match number(file) > files.last().map_or(0, |last| number(&last.name)) {
            true => SourceError::BeyondLog { file: name, position, end },
            false => SourceError::FileGone { file: name, position, oldest },
        });
    };
    match position <= found.bytes {
        true => Ok(()),
        false => Err(SourceError::BeyondLog { file: name, position, end }),
    }
}

fn number(file: &str) -> u64 {
    file.rsplit_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// The dump command has 32 bits for a position. Behind one transaction that large nothing is left
/// in its file but its end, and then the next file's beginning is the same place.
async fn askable(
    connection: &mut MyConnection,
    files: &[LogFile],
    file: String,
    position: u64,
) -> Result<StartPoint, SourceError> {
    if u32::try_from(position).is_ok() {
        return Ok(StartPoint::File { file, position });
    }
    let sql = format!("SHOW BINLOG EVENTS IN {} FROM {position} LIMIT 1", quote_literal(&file));
    let rows = connection.query("look behind the checkpoint", &sql).await?;
    let kind = rows.into_iter().next().and_then(|row| row.into_iter().nth(2)).flatten();
    let at_end = matches!(kind.as_deref(), None | Some("Rotate" | "Stop"));
    let at = files.iter().position(|candidate| candidate.name == file);
    match at.and_then(|at| files.get(at + 1)) {
        Some(next) if at_end => {
            Ok(StartPoint::File { file: next.name.clone(), position: FIRST_POSITION })
        }
        _ => Err(SourceError::PositionTooLarge { file, position }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(file: &str, position: u64) -> &'static str {
        let files = [("binlog.999999", 500), ("binlog.1000000", 300)]
            .map(|(name, bytes)| LogFile { name: name.into(), bytes });
        let end = LogEnd { file: "binlog.1000000".into(), position: 300 };
        match check_file(&files, file, position, &end) {
            Ok(()) => "there",
            Err(SourceError::FileGone { .. }) => "gone",
            Err(SourceError::BeyondLog { .. }) => "beyond",
            Err(_) => "other",
        }
    }

    #[test]
    fn a_place_is_reachable_while_its_file_is_there_and_so_long() {
        for (file, position, expected) in [
            ("binlog.999999", 4, "there"),
            ("binlog.999999", 500, "there"),
            ("binlog.999999", 501, "beyond"),
            ("binlog.1000000", 300, "there"),
            ("binlog.1000000", 301, "beyond"),
            ("binlog.999998", 4, "gone"),
            ("binlog.1000001", 4, "beyond"),
            ("other.000001", 4, "gone"),
        ] {
            assert_eq!(verdict(file, position), expected, "{file}:{position}");
        }
    }

    fn compare(server: &str, read: &str) -> Option<String> {
        ahead(&domains(server).unwrap(), &domains(read).unwrap())
    }

    #[test]
    fn each_domain_counts_for_itself() {
        assert_eq!(compare("0-1-100,1-2-5", "0-1-100"), None);
        assert_eq!(compare("0-1-100,1-2-5", "0-9-99,1-2-5"), None, "the server id does not count");
        assert_eq!(compare("0-1-100", ""), None);
        let found = compare("0-1-100", "0-1-101,2-1-3");
        assert_eq!(found.as_deref(), Some("101 of domain 0, 3 of domain 2"));
    }

    #[test]
    fn what_is_no_gtid_of_mariadb_is_refused() {
        for text in ["0-1", "0-1-2-3", "a-1-2", "0-x-2", "0-1-x", "3e11fa47:1-5"] {
            assert!(domains(text).is_err(), "{text}");
        }
    }
}
