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
//! The log is looked into as it is streamed, over a connection of its own, up to where it ends at
//! that moment: the statements come with the character set and the mode that they were run with,
//! places are counted in 64 bits, and of a log of any length one event at a time is in memory. SHOW
//! BINLOG EVENTS has none of this.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use bumpalo::Bump;
use tokio::time::timeout;

use super::binlog::ParseError;
use super::binlog::gtid::MariadbGtidEvent;
use super::binlog::header::{Header, kind};
use super::binlog::payload;
use super::binlog::query::Query;
use super::catalog::{Reread, TableName};
use super::catalog_query;
use super::connection::{EventsRead, MyConnection};
use super::ddl::{Ddl, Dialect, Name, SqlMode, Target};
use super::definitions;
use super::dump::{self, LOOK};
use super::error::SourceError;
use super::follow::uncompress_query;
use super::inspect::{Extent, Inspector};
use super::log_point;
use super::settings::{ConnectSettings, Flavor};
use super::sql::quote_table;
use super::statement::{self, Statement};
use super::wire::Frames;
use crate::offsets::position::BinlogFile;

/// Beyond them, whoever waits has waited long enough.
const EVENTS_MAX: u64 = 5_000_000;
const BYTES_MAX: u64 = 32 << 30;
/// The server only reads files.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_millis(50);
/// `ER_SOURCE_FATAL_ERROR_READING_BINLOG`: among others, the place is not in the log any more.
const NOT_THERE: u16 = 1236;

pub(super) async fn definition(
    connection: &mut MyConnection,
    settings: &ConnectSettings,
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
    Ok(match find_statement(settings, name, since, &end).await? {
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
    settings: &ConnectSettings,
    name: &TableName,
    since: &BinlogFile,
    end: &BinlogFile,
) -> Result<Option<String>, SourceError> {
    let begun = Instant::now();
    let mut from = since.clone();
    let mut look = Look {
        name,
        since,
        flavor: settings.flavor,
        inspector: Inspector::new(Extent::Groups),
        is_done: true,
        events: payload::Events::default(),
        n_events: 0,
        n_bytes: 0,
    };
    loop {
        if let Some(found) = look.walk(settings, &from).await? {
            return Ok(Some(found));
        }
        if let Some((file, position)) = look.inspector.reached() {
            from = BinlogFile { name: file.to_owned(), offset: position };
        }
        if end.compare(&from).is_some_and(Ordering::is_le) {
            return Ok(None);
        }
        // A log is shown to readers a little later than its end is said to be there: when it is
        // on the disk (`update_binlog_end_pos` in `MYSQL_BIN_LOG::ordered_commit`).
        if begun.elapsed() > SHOWN_WITHIN {
            return Ok(Some(format!("the log between {from} and {end} cannot be shown")));
        }
        tokio::time::sleep(REST).await;
    }
}

/// A walk through the log.
struct Look<'l> {
    name: &'l TableName,
    since: &'l BinlogFile,
    flavor: Flavor,
    inspector: Inspector,
    /// Of the group that we are in: its statements did what they say.
    is_done: bool,
    events: payload::Events,
    n_events: u64,
    n_bytes: u64,
}

impl Look<'_> {
    /// From a place on to where the log ends at this moment; gives what was found.
    async fn walk(
        &mut self,
        settings: &ConnectSettings,
        from: &BinlogFile,
    ) -> Result<Option<String>, SourceError> {
        let mut connection = MyConnection::connect(settings).await?;
        self.inspector = Inspector::new(dump::look(&mut connection, from).await?);
        loop {
            let Ok(read) = timeout(SILENCE_LIMIT, connection.read_events(LOOK)).await else {
                let endpoint = connection.endpoint().to_owned();
                let timeout_ms = SILENCE_LIMIT.as_millis();
                return Err(SourceError::Timeout { operation: LOOK, endpoint, timeout_ms });
            };
            // Dropped, not closed, where it is not at its end: a server that sends does not read.
            match read {
                Ok(EventsRead::Events(frames)) => {
                    if let Some(found) = self.frames(&frames)? {
                        return Ok(Some(found));
                    }
                }
                Ok(EventsRead::Done) => break,
                Err(error) if error.has_code(NOT_THERE) => {
                    return Ok(Some(format!("the log at {from} cannot be shown")));
                }
                Err(error) => return Err(error),
            }
        }
        connection.close().await;
        Ok(None)
    }

    /// What was found.
    fn frames(&mut self, frames: &Frames) -> Result<Option<String>, SourceError> {
        for range in &frames.payloads {
            // Behind the OK byte.
            let event = frames.data.get(range.start as usize + 1..range.end as usize);
            if let Some(found) = self.event(event.unwrap_or_default())? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn event(&mut self, event: &[u8]) -> Result<Option<String>, SourceError> {
        let at = self.inspector.place();
        let length = self.inspector.inspect(event)?;
        self.n_events += 1;
        self.n_bytes += event.len() as u64;
        if self.n_events > EVENTS_MAX || self.n_bytes > BYTES_MAX {
            let (events, bytes) = (self.n_events, self.n_bytes);
            return Ok(Some(format!("more than {events} events, {bytes} bytes, came since")));
        }
        let is_before = self.inspector.reached().is_some_and(|(file, position)| {
            file == self.since.name && position <= self.since.offset
        });
        if is_before {
            return Ok(None);
        }
        let touches = self.touched_by(event.get(..length).unwrap_or_default());
        let touches = touches.map_err(|source| {
            let (place, detail) = (at.clone(), source.to_string());
            SourceError::Event { place, detail }
        });
        Ok(touches?.then(|| format!("a statement at {at} may change it")))
    }

    fn touched_by(&mut self, event: &[u8]) -> Result<bool, ParseError> {
        let (header, body) = Header::parse(event)?;
        match header.kind {
            // What an ALTER of two halves does is seen in its commit, which is found too.
            kind::MARIADB_GTID => {
                self.is_done = MariadbGtidEvent::parse(body, header.server_id)?.alter.is_done();
                Ok(false)
            }
            kind::QUERY | kind::MARIADB_QUERY_COMPRESSED if !self.is_done => Ok(false),
            kind::QUERY => is_about(self.name, &Query::parse(body)?, self.flavor),
            kind::MARIADB_QUERY_COMPRESSED => {
                let mut bytes = Vec::new();
                uncompress_query(body, payload::EVENT_BYTES_MAX, &mut bytes)?;
                is_about(self.name, &Query::parse(&bytes)?, self.flavor)
            }
            kind::TRANSACTION_PAYLOAD => {
                let (name, flavor, mut found) = (self.name, self.flavor, false);
                self.events.walk::<ParseError>(body, |inner| {
                    let (header, body) = Header::parse(inner)?;
                    if header.kind == kind::QUERY {
                        found |= is_about(name, &Query::parse(body)?, flavor)?;
                    }
                    Ok(())
                })?;
                Ok(found)
            }
            // No other event defines a table.
            _ => Ok(false),
        }
    }
}

fn is_about(name: &TableName, query: &Query<'_>, flavor: Flavor) -> Result<bool, ParseError> {
    match Statement::of(query.text) {
        Statement::Ddl | Statement::DdlThenRows => {}
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
        | Statement::Empty(_) => return Ok(false),
    }
    let arena = Bump::new();
    // One that cannot be read may be about anything.
    let Some(text) = statement::text(query, &arena) else { return Ok(true) };
    let dialect = Dialect { mode: SqlMode(query.sql_mode), ..Dialect::of(flavor) };
    Ok(touches(&Ddl::of(text, dialect), name, query.database))
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
        Ddl::Rename { pairs, .. } => pairs.iter().any(|(from, to)| is(from) || is(to)),
        Ddl::Drop { tables, .. } => tables.iter().any(is),
        Ddl::DropDatabase { name: database, .. } => same(database, &name.database),
        Ddl::CreateDatabase { name: database, or_replace, .. } => {
            *or_replace && same(database, &name.database)
        }
        Ddl::AlterDatabase { .. } | Ddl::Elsewhere => false,
        Ddl::Unknown(Target::Tables(others)) => others.iter().any(is),
        Ddl::Unknown(Target::Named(words)) => words.may_be_about(&name.database, &name.table),
        Ddl::Unknown(Target::Anything) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mysql::sql::quote_ident;

    /// A statement, with a client's `latin1` where it has a collation.
    fn query<'q>(database: &'q str, text: &'q [u8], client_collation: Option<u16>) -> Query<'q> {
        let (thread_id, server_collation, sql_mode) = (1, None, 0);
        Query { thread_id, database, text, client_collation, server_collation, sql_mode }
    }

    #[test]
    fn statements_about_the_table_are_seen() {
        let name = TableName { database: "my`db".to_owned(), table: "t".to_owned() };
        for (database, text, expected) in [
            ("my`db", "alter table t add x int /* xid=7 */", true),
            ("my`db", "alter table u add x int", false),
            ("other", "alter table t add x int", false),
            ("other", "alter table `my``db`.T add x int", true),
            ("other", "rename table a to b, b to `my``db`.t", true),
            ("my`db", "ALTER TABLE t SPARKLE", true),
            ("my`db", "SPARKLE t", true),
            ("my`db", "SPARKLE u", false),
            ("", "drop database `my``db`", true),
            ("", "create or replace database `my``db`", true),
            ("", "BEGIN", false),
            ("my`db", "create user u", false),
            ("my`db", quote_ident("t").as_str(), true),
            ("my`db", "SPARKLE '", true),
            ("my`db", "alter table u convert table t to partition p values less than (9)", true),
            ("my`db", "alter table u convert partition p to table t", true),
            ("my`db", "alter table u convert partition p to table v", false),
            ("my`db", "alter table t convert partition p to table v", true),
        ] {
            let query = query(database, text.as_bytes(), None);
            for flavor in [Flavor::Mysql, Flavor::Mariadb] {
                assert_eq!(is_about(&name, &query, flavor).unwrap(), expected, "{text}");
            }
        }
    }

    /// With its checksum where it has one.
    fn event(kind: u8, (end, flags): (u32, u16), body: &[u8], has_sum: bool) -> Vec<u8> {
        let mut event = vec![0, 0, 0, 0, kind, 1, 0, 0, 0];
        let length = 19 + body.len() + if has_sum { 4 } else { 0 };
        event.extend(u32::try_from(length).unwrap().to_le_bytes());
        event.extend(end.to_le_bytes());
        event.extend(flags.to_le_bytes());
        event.extend(body);
        if has_sum {
            event.extend(crc32fast::hash(&event).to_le_bytes());
        }
        event
    }

    /// A place that the command has no room for is gone to from the beginning of its file.
    #[test]
    fn what_stands_before_the_place_does_not_count() {
        let name = TableName { database: "d".to_owned(), table: "t".to_owned() };
        let (file, position) = ("b.000001".to_owned(), 4);
        let extent = Extent::From { file: file.clone(), position };
        let found = |since: u64| {
            let since = BinlogFile { name: file.clone(), offset: since };
            let mut look = Look {
                name: &name,
                since: &since,
                flavor: Flavor::Mysql,
                inspector: Inspector::new(extent.clone()),
                is_done: true,
                events: payload::Events::default(),
                n_events: 0,
                n_bytes: 0,
            };
            let rotation = [&position.to_le_bytes()[..], file.as_bytes()].concat();
            let mut events = vec![event(kind::ROTATE, (0, 0x20), &rotation, true)];
            // No checksums behind it.
            events.push(event(kind::FORMAT_DESCRIPTION, (0, 0), &[0; 80], false));
            let statement = [&[0; 8][..], &[1, 0, 0, 0, 0, b'd', 0], b"alter table t add x int"];
            let statement = statement.concat();
            let mut end = 4;
            for _ in 0..2 {
                end += u32::try_from(19 + statement.len()).unwrap();
                events.push(event(kind::QUERY, (end, 0), &statement, false));
            }
            events.iter().find_map(|event| look.event(event).unwrap())
        };
        assert_eq!(found(4).unwrap(), "a statement at b.000001:4 may change it");
        assert_eq!(found(61).unwrap(), "a statement at b.000001:61 may change it");
        assert_eq!(found(118), None);
    }

    /// They were once taken for UTF-8, and the whole look failed.
    #[test]
    fn statements_are_read_in_the_character_set_of_their_client() {
        const LATIN1: u16 = 8;
        let name = TableName { database: "d".to_owned(), table: "größe".to_owned() };
        let text = b"alter table gr\xF6\xDFe add x int comment 'f\xFCr'";
        let is_about = |query: &Query<'_>| is_about(&name, query, Flavor::Mysql).unwrap();
        assert!(is_about(&query("d", text, Some(LATIN1))));
        assert!(!is_about(&query("d", b"alter table gr\xF6\xDF add x int", Some(LATIN1))));
        assert!(is_about(&query("d", b"alter table gr\xF6\xDF add x int", None)), "no UTF-8");
    }
}
