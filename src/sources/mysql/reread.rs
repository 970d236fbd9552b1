//! A table's definition as of a place in the log that is already behind us: the catalogue's present
//! one, with a proof that it is the same.
//!
//! The catalogue is read first, then the log's end. Whatever the catalogue shows is in the log
//! before that end: MySQL makes a definition visible when it commits, after its statement was
//! written (`MYSQL_BIN_LOG::ordered_commit`), and a MariaDB table that is being altered is locked
//! against questions about it until its statement was written. And whatever was in the log before
//! the place that is asked about is in the catalogue, for that place is a table map, and a table has
//! no rows while its definition is being changed. So if the log between the two places has no
//! statement about the table, the definition is that of both.
//!
//! The log is looked into by SHOW BINLOG EVENTS, in pieces, over the same connection.
//! <https://dev.mysql.com/doc/refman/8.4/en/show-binlog-events.html>

use super::catalog::{Reread, TableName};
use super::catalog_query;
use super::connection::MyConnection;
use super::ddl::{Ddl, Dialect, Name, Target};
use super::definitions;
use super::error::SourceError;
use super::log_point;
use super::sql::{Columns, quote_literal, quote_table};
use super::statement::Statement;
use crate::offsets::position::BinlogFile;

const ASK: &str = "look into the log for statements about a table";
const EVENTS_A_TIME: usize = 5_000;
/// Beyond it, whoever waits has waited long enough.
const EVENTS_MAX: usize = 5_000_000;
/// `ER_ERROR_WHEN_EXECUTING_COMMAND`: the place is not in the log any more, or none of its.
const NO_SUCH_EVENTS: u16 = 1220;

pub(super) async fn definition(
    connection: &mut MyConnection,
    name: &TableName,
    since: &BinlogFile,
) -> Result<Reread, SourceError> {
    let facts = catalog_query::facts(connection, &name.database, &name.table).await?;
    let Some(facts) = facts else {
        return Ok(Reread::Unproven("it does not exist any more".to_owned()));
    };
    let definition = definitions::one(connection, &facts).await?;
    let Some(model) = definition.and_then(|definition| definition.model) else {
        return Ok(Reread::Unproven("it has a column of an unknown type".to_owned()));
    };
    let end = log_point::read(connection).await?;
    let end = BinlogFile { name: end.file, offset: end.offset };
    Ok(match find_statement(connection, name, since, &end).await? {
        None => {
            let table = quote_table(&name.database, &name.table);
            tracing::info!(table, since = %since, until = %end, "the catalogue was asked for a table");
            Reread::Proven(Box::new((*model).clone()))
        }
        Some(found) => Reread::Unproven(found),
    })
}

/// What in the log may have changed the table, or why that cannot be told.
async fn find_statement(
    connection: &mut MyConnection,
    name: &TableName,
    since: &BinlogFile,
    end: &BinlogFile,
) -> Result<Option<String>, SourceError> {
    let files = match connection.query(ASK, "SHOW BINARY LOGS").await {
        Ok(rows) => rows,
        Err(error) if error.has_code(super::preflight::ACCESS_DENIED) => {
            return Ok(Some("we may not list the log's files".to_owned()));
        }
        Err(error) => return Err(error),
    };
    let files = files.into_iter().filter_map(|row| row.into_iter().next().flatten());
    let files = files.skip_while(|file| *file != since.name);
    let (mut offset, mut n_events, mut reached) = (since.offset, 0, false);
    for file in files.collect::<Vec<_>>() {
        loop {
            let events = match page(connection, &file, offset).await {
                Ok(events) => events,
                Err(error) if error.has_code(NO_SUCH_EVENTS) => {
                    return Ok(Some(format!("the log at {file}:{offset} cannot be shown")));
                }
                Err(error) => return Err(error),
            };
            for event in &events {
                if event.touches(name, connection.flavor()) {
                    return Ok(Some(format!("a statement at {file}:{} changes it", event.at)));
                }
                offset = event.end;
            }
            n_events += events.len();
            if n_events > EVENTS_MAX {
                return Ok(Some(format!("more than {EVENTS_MAX} events were written since")));
            }
            if events.len() < EVENTS_A_TIME {
                break;
            }
        }
        reached = file == end.name && offset >= end.offset;
        if file == end.name {
            break;
        }
        offset = 4;
    }
    Ok((!reached).then(|| format!("the log between {since} and {end} cannot be shown")))
}

struct LoggedEvent {
    at: u64,
    end: u64,
    kind: String,
    info: String,
}

async fn page(
    connection: &mut MyConnection,
    file: &str,
    offset: u64,
) -> Result<Vec<LoggedEvent>, SourceError> {
    let sql = format!(
        "SHOW BINLOG EVENTS IN {} FROM {offset} LIMIT {EVENTS_A_TIME}",
        quote_literal(file)
    );
    let rows = connection.query(ASK, &sql).await?;
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        // Log_name, Pos, Event_type, Server_id, End_log_pos, Info
        let mut columns = Columns::new(connection.endpoint(), row);
        columns.optional()?;
        let (at, kind) = (columns.parsed()?, columns.text()?);
        columns.optional()?;
        let end = columns.parsed()?;
        let info = columns.optional()?.unwrap_or_default();
        events.push(LoggedEvent { at, end, kind, info });
    }
    Ok(events)
}

impl LoggedEvent {
    fn touches(&self, name: &TableName, flavor: super::settings::Flavor) -> bool {
        if !self.kind.starts_with("Query") {
            return false;
        }
        let (database, text) = self.statement();
        match Statement::of(text.as_bytes()) {
            Statement::Ddl | Statement::DdlThenRows => {
                touches(&Ddl::of(text, Dialect::of(flavor)), name, &database)
            }
            Statement::Begin
            | Statement::Commit
            | Statement::Rollback
            | Statement::RollbackTo
            | Statement::Nothing
            | Statement::XaStart(_)
            | Statement::XaEnd
            | Statement::XaCommit(_)
            | Statement::XaRollback(_)
            | Statement::Rows { .. }
            | Statement::Empty(_) => false,
        }
    }

    /// ``use `db`; statement``
    fn statement(&self) -> (String, &str) {
        let quoted = || {
            let mut rest = self.info.strip_prefix("use `")?;
            let mut database = String::new();
            loop {
                let (part, after) = rest.split_once('`')?;
                database.push_str(part);
                match after.strip_prefix('`') {
                    Some(after) => {
                        database.push('`');
                        rest = after;
                    }
                    None => return Some((database, after.strip_prefix("; ")?)),
                }
            }
        };
        quoted().unwrap_or_else(|| (String::new(), &self.info))
    }
}

/// Whether a statement may have changed what the table looks like.
fn touches(ddl: &Ddl, name: &TableName, default_database: &str) -> bool {
    let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    let is = |other: &Name| {
        let database = other.database.as_deref().unwrap_or(default_database);
        same(database, &name.database) && same(&other.table, &name.table)
    };
    match ddl {
        Ddl::Create(create) => is(&create.name),
        Ddl::Alter(alter) => is(&alter.name) || alter.new_name.as_ref().is_some_and(is),
        Ddl::Rename(pairs) => pairs.iter().any(|(from, to)| is(from) || is(to)),
        Ddl::Drop { tables, .. } => tables.iter().any(is),
        Ddl::DropDatabase { name: database, .. } => same(database, &name.database),
        Ddl::CreateDatabase { .. } | Ddl::AlterDatabase { .. } | Ddl::Elsewhere => false,
        Ddl::Unknown(Target::Table(other)) => is(other),
        Ddl::Unknown(Target::Anything) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mysql::settings::Flavor;
    use crate::sources::mysql::sql::quote_ident;

    #[test]
    fn statements_about_the_table_are_seen() {
        let name = TableName { database: "my`db".to_owned(), table: "t".to_owned() };
        let event = |info: &str| LoggedEvent {
            at: 4,
            end: 5,
            kind: "Query".to_owned(),
            info: info.to_owned(),
        };
        for (info, expected) in [
            ("use `my``db`; alter table t add x int /* xid=7 */", true),
            ("use `my``db`; alter table u add x int", false),
            ("use `other`; alter table t add x int", false),
            ("use `other`; alter table `my``db`.T add x int", true),
            ("use `other`; rename table a to b, b to `my``db`.t", true),
            ("use `my``db`; ALTER TABLE t SPARKLE", true),
            ("use `my``db`; SPARKLE", true),
            ("drop database `my``db`", true),
            ("BEGIN", false),
            ("use `my``db`; create user u", false),
            (quote_ident("x").as_str(), true),
        ] {
            assert_eq!(event(info).touches(&name, Flavor::Mysql), expected, "{info}");
        }
        let rows = LoggedEvent { kind: "Table_map".to_owned(), ..event("table_id: 7 (d.t)") };
        assert!(!rows.touches(&name, Flavor::Mysql));
    }
}
