//! What each event does to the decoder.

use std::cmp::Ordering;

use crate::change::{Change, Edge, EventId, Op, TransactionEdge};
use crate::offsets::position::BinlogFile;
use crate::sources::mysql::binlog::control::{Heartbeat, Incident, Rotate};
use crate::sources::mysql::binlog::gtid::{self, MariadbGtidEvent, MariadbXa, XaPrepare};
use crate::sources::mysql::binlog::header::kind;
use crate::sources::mysql::binlog::query::Query;
use crate::sources::mysql::binlog::rows::{RowsKind, RowsVersion};
use crate::sources::mysql::binlog::{ParseError, compressed};
use crate::sources::mysql::decode_error::DecodeError;
use crate::sources::mysql::decoder::{Decoder, Event};
use crate::sources::mysql::done::{Gtid, Kept, Novelty};
use crate::sources::mysql::group::{Ending, Fate, Group};
use crate::sources::mysql::prepared::xid_name;
use crate::sources::mysql::source_block::{Place, marker, slots};
use crate::sources::mysql::statement::{Statement, Target};
use crate::sources::{BoxError, ChangeHandler};

type Out<'o> = &'o mut dyn ChangeHandler;

impl Decoder {
    /// An event of the log itself.
    pub(super) fn event(&mut self, event: Event<'_>, out: Out<'_>) -> Result<(), BoxError> {
        match event.header.kind {
            kind::ROTATE => self.rotate(event, out)?,
            kind::FORMAT_DESCRIPTION => self.format_description(event)?,
            kind::HEARTBEAT_V2 => {
                let heartbeat = Heartbeat::parse_v2(event.body).map_err(|e| self.malformed(e))?;
                // Behind what was passed over. Version 1 has 32 bits, which may have wrapped.
                if let Some(offset) = heartbeat.offset
                    && heartbeat.file == self.at.name
                    && self.group.is_none()
                {
                    self.at.offset = self.at.offset.max(offset);
                }
            }
            kind::TRANSACTION_PAYLOAD => self.payload(event, out)?,
            kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED => self.gtid(event)?,
            kind::MARIADB_GTID => self.mariadb_gtid(event, out)?,
            kind::INCIDENT => {
                let at = self.place();
                let incident = Incident::parse(event.body).map_err(|e| self.malformed(e))?;
                let message = String::from_utf8_lossy(incident.message).into_owned();
                return Err(DecodeError::Incident { at, message }.into());
            }
            kind::MARIADB_START_ENCRYPTION => {
                return Err(DecodeError::Encrypted { at: self.place() }.into());
            }
            // The last of what a file begins with: where the log is followed by file, the place
            // behind it is where the server says that an empty file ends.
            kind::PREVIOUS_GTIDS => {
                self.done.rotate(&self.at);
                self.report(out);
            }
            // Where the log is, which other events tell better.
            kind::HEARTBEAT
            | kind::STOP
            | kind::MARIADB_GTID_LIST
            | kind::MARIADB_BINLOG_CHECKPOINT => {}
            _ => return self.inner_event(event, out),
        }
        Ok(())
    }

    /// An event that may stand in a compressed transaction too.
    pub(super) fn inner_event(&mut self, event: Event<'_>, out: Out<'_>) -> Result<(), BoxError> {
        use RowsKind::{Delete, PartialUpdate, Update, Write};
        use RowsVersion::{V1, V2};
        match event.header.kind {
            kind::QUERY => self.query(event, out),
            kind::MARIADB_QUERY_COMPRESSED => self.query_compressed(event, out),
            kind::XID => self.commit(event, out),
            kind::XA_PREPARE => self.xa_prepare(event, out),
            kind::TABLE_MAP => self.table_map(event),
            kind::WRITE_ROWS => self.rows(event, (Write, V2), out),
            kind::UPDATE_ROWS => self.rows(event, (Update, V2), out),
            kind::DELETE_ROWS => self.rows(event, (Delete, V2), out),
            kind::PARTIAL_UPDATE_ROWS => self.rows(event, (PartialUpdate, V2), out),
            kind::WRITE_ROWS_V1 => self.rows(event, (Write, V1), out),
            kind::UPDATE_ROWS_V1 => self.rows(event, (Update, V1), out),
            kind::DELETE_ROWS_V1 => self.rows(event, (Delete, V1), out),
            kind::MARIADB_WRITE_ROWS_COMPRESSED_V1 => self.rows_compressed(event, (Write, V1), out),
            kind::MARIADB_UPDATE_ROWS_COMPRESSED_V1 => {
                self.rows_compressed(event, (Update, V1), out)
            }
            kind::MARIADB_DELETE_ROWS_COMPRESSED_V1 => {
                self.rows_compressed(event, (Delete, V1), out)
            }
            kind::MARIADB_WRITE_ROWS_COMPRESSED => self.rows_compressed(event, (Write, V2), out),
            kind::MARIADB_UPDATE_ROWS_COMPRESSED => self.rows_compressed(event, (Update, V2), out),
            kind::MARIADB_DELETE_ROWS_COMPRESSED => self.rows_compressed(event, (Delete, V2), out),
            // A byte that once was the length, then the statement.
            kind::ROWS_QUERY => self.rows_query(event.body.get(1..).unwrap_or_default()),
            kind::MARIADB_ANNOTATE_ROWS => self.rows_query(event.body),
            // Variables of a statement that comes next and is judged by itself; group
            // replication's own bookkeeping.
            kind::INTVAR | kind::RAND | kind::USER_VAR => Ok(()),
            kind::TRANSACTION_CONTEXT | kind::VIEW_CHANGE | kind::IGNORABLE => Ok(()),
            kind::APPEND_BLOCK
            | kind::DELETE_FILE
            | kind::BEGIN_LOAD_QUERY
            | kind::EXECUTE_LOAD_QUERY => {
                let at = self.place();
                Err(DecodeError::StatementLogged { at, statement: "LOAD DATA" }.into())
            }
            _ if event.header.is_ignorable() => Ok(()),
            kind => Err(DecodeError::UnknownEvent { at: self.place(), kind }.into()),
        }
    }

    fn rotate(&mut self, event: Event<'_>, out: Out<'_>) -> Result<(), DecodeError> {
        let rotate = Rotate::parse(event.body).map_err(|e| self.malformed(e))?;
        if self.group.is_some() {
            return Err(self.order("a rotation", "inside a transaction"));
        }
        let to = BinlogFile { name: rotate.file.to_owned(), offset: rotate.offset };
        let moved = self.at.name != to.name;
        if moved {
            // A place that is not after this one could be acknowledged for none of ours.
            if self.done.is_by_file() && self.at.compare(&to) != Some(Ordering::Less) {
                return Err(self.order("a rotation", "to a file that does not come after it"));
            }
            self.begun = 0;
        }
        self.at = to;
        // The one that begins a connection says where that is, which is known.
        if moved && !event.header.is_artificial() {
            self.done.rotate(&self.at);
            self.report(out);
        }
        Ok(())
    }

    fn format_description(&mut self, event: Event<'_>) -> Result<(), DecodeError> {
        use crate::sources::mysql::binlog::control::FormatDescription;
        FormatDescription::parse(event.body).map_err(|e| self.malformed(e))?;
        if self.group.is_some() {
            return Err(self.order("a new file", "inside a transaction"));
        }
        // Made when the file was, and sent again where reading begins inside of it.
        self.begun = event.header.timestamp;
        let expected = self.expected.take_if(|(name, _)| *name == self.at.name);
        match expected {
            Some((_, begun)) if begun != self.begun => {
                Err(DecodeError::BegunAnew { at: self.place() })
            }
            Some(_) | None => Ok(()),
        }
    }

    #[cold]
    fn order(&self, found: &'static str, place: &'static str) -> DecodeError {
        DecodeError::Order { at: self.place(), found, place }
    }

    fn gtid(&mut self, event: Event<'_>) -> Result<(), DecodeError> {
        let parsed = match event.header.kind {
            kind::GTID_TAGGED => gtid::parse_tagged(event.body),
            other => gtid::parse(event.body, other == kind::ANONYMOUS_GTID),
        };
        let parsed = parsed.map_err(|e| self.malformed(e))?;
        let gtid = parsed.gtid.map_or(Gtid::Anonymous, |(source, n)| Gtid::Mysql(source, n));
        let commit_us = parsed.original_commit_us.filter(|us| *us > 0);
        let commit_us = commit_us.and_then(|us| i64::try_from(us).ok());
        self.open(gtid, event.offset, Ending::Undecided)?.commit_us = commit_us;
        Ok(())
    }

    fn mariadb_gtid(&mut self, event: Event<'_>, out: Out<'_>) -> Result<(), BoxError> {
        let parsed = MariadbGtidEvent::parse(event.body, event.header.server_id);
        let parsed = parsed.map_err(|e| self.malformed(e))?;
        let ending = if parsed.standalone { Ending::Statement } else { Ending::Commit };
        let group = self.open(Gtid::Mariadb(parsed.gtid), event.offset, ending)?;
        match parsed.xa {
            MariadbXa::Prepared(_) => group.begin_xa(),
            MariadbXa::None | MariadbXa::Completed(_) => {}
        }
        if !parsed.alter.is_done() {
            group.fate = Fate::Skip;
        }
        // Whatever it is of: `MariaDbStreamingChangeEventSource.handleGtidEvent`.
        self.begin_metadata(event, out)
    }

    /// Says that the group begins, where Debezium sees its begin.
    fn begin_metadata(&mut self, event: Event<'_>, out: Out<'_>) -> Result<(), BoxError> {
        let Some(group) = &mut self.group else { return Ok(()) };
        if group.begun_at.is_some() {
            return Ok(());
        }
        group.begun_at = Some(event.offset);
        self.edge(Edge::Begin, event, out)
    }

    /// Says that the group begins or ends, if it has a part in transaction metadata.
    fn edge(&self, edge: Edge, event: Event<'_>, out: Out<'_>) -> Result<(), BoxError> {
        let Some(group) = &self.group else { return Ok(()) };
        // It was said before. Its rows may yet come: those of an XA transaction.
        if group.novelty == Novelty::Again {
            return Ok(());
        }
        let Some(name) = group.transaction(&self.at.name) else { return Ok(()) };
        let ts_ms = place(group, &self.at.name, event, 0).ts_us.div_euclid(1000);
        out.transaction(&TransactionEdge { edge, name, ts_ms, id: &group.name })
    }

    fn open(&mut self, gtid: Gtid, offset: u64, ending: Ending) -> Result<&mut Group, DecodeError> {
        if self.group.is_some() {
            return Err(self.order("a transaction", "inside another one"));
        }
        let begin = BinlogFile { name: self.at.name.clone(), offset };
        let novelty = self.done.novelty(&gtid, &begin);
        if let Novelty::Impossible(what) = novelty {
            return Err(self.order(what, "after what is done"));
        }
        let mut gtid_text = String::new();
        gtid.write(&mut gtid_text);
        let name = if gtid_text.is_empty() { begin.to_string() } else { gtid_text.clone() };
        self.maps.forget_numbers();
        Ok(self.group.insert(Group {
            gtid,
            novelty,
            fate: if novelty == Novelty::Again { Fate::Skip } else { Fate::Stream },
            ending,
            commit_us: None,
            thread: None,
            n_changes: 0,
            handed_on: false,
            restart: self.done.restart_before(&begin),
            name,
            gtid_text,
            query: None,
            begun_at: None,
        }))
    }

    fn query_compressed(&mut self, event: Event<'_>, out: Out<'_>) -> Result<(), BoxError> {
        let mut bytes = std::mem::take(&mut self.uncompressed);
        bytes.clear();
        let result = uncompress_query(event.body, self.event_bytes_max, &mut bytes)
            .map_err(|e| self.malformed(e).into())
            .and_then(|()| self.query(Event { body: &bytes, ..event }, out));
        self.keep_buffer(bytes);
        result
    }

    fn query(&mut self, event: Event<'_>, out: Out<'_>) -> Result<(), BoxError> {
        let query = Query::parse(event.body).map_err(|e| self.malformed(e))?;
        let statement = Statement::of(query.text);
        if self.group.is_none() {
            // Servers of today name every transaction; a log without names is followed by file.
            if statement == Statement::Nothing {
                return Ok(());
            }
            self.open(Gtid::Anonymous, event.offset, Ending::Undecided)?;
        }
        let Some(group) = &mut self.group else { return Ok(()) };
        match statement {
            Statement::Begin => {
                group.begin(query.thread_id);
                self.begin_metadata(event, out)?;
            }
            Statement::XaStart(_) => group.begin_xa(),
            Statement::Nothing | Statement::XaEnd => {}
            Statement::Commit => return self.commit(event, out),
            Statement::Rollback => {
                let Some(group) = &self.group else { return Ok(()) };
                if group.handed_on {
                    return Err(self.rolled_back("ROLLBACK").into());
                }
                return self.commit(event, out);
            }
            Statement::RollbackTo => {
                if group.handed_on || group.fate == Fate::Prepare {
                    return Err(self.rolled_back("ROLLBACK TO SAVEPOINT").into());
                }
            }
            Statement::XaCommit(name) => self.xa_decide(name, Decision::Commit, out)?,
            Statement::XaRollback(name) => self.xa_decide(name, Decision::Rollback, out)?,
            Statement::Rows { statement, target } => {
                if self.may_be_captured(target, query.database) {
                    return Err(DecodeError::StatementLogged { at: self.place(), statement }.into());
                }
                self.statement_done(out);
            }
            Statement::Empty(target) => {
                self.truncate(target, &query, event, out)?;
                self.maps.mark_stale();
                self.statement_done(out);
            }
            Statement::Ddl => {
                self.ddl(&query, event, out)?;
                self.statement_done(out);
            }
            Statement::DdlThenRows => {
                group.begin(query.thread_id);
                self.begin_metadata(event, out)?;
                self.ddl(&query, event, out)?;
            }
        }
        Ok(())
    }

    fn rolled_back(&self, statement: &'static str) -> DecodeError {
        DecodeError::RolledBack { at: self.place(), statement }
    }

    /// A statement that may be the whole transaction.
    fn statement_done(&mut self, out: Out<'_>) {
        let ended = |group: &Group| group.ending != Ending::Commit;
        if let Some(group) = self.group.take_if(|group| ended(group)) {
            self.finish(&group, Kept::No, out);
        }
    }

    fn commit(&mut self, event: Event<'_>, out: Out<'_>) -> Result<(), BoxError> {
        match &self.group {
            None => return Err(self.order("a commit", "outside of a transaction").into()),
            Some(group) if group.fate == Fate::Prepare => {
                return Err(self.order("a commit", "inside an XA transaction").into());
            }
            Some(_) => self.edge(Edge::End, event, out)?,
        }
        if let Some(group) = self.group.take() {
            self.finish(&group, Kept::No, out);
        }
        Ok(())
    }

    fn finish(&mut self, group: &Group, kept: Kept, out: Out<'_>) {
        self.done.add(&group.gtid, &self.at, kept);
        self.report(out);
    }

    fn rows_query(&mut self, text: &[u8]) -> Result<(), BoxError> {
        if let Some(group) = self.group.as_mut().filter(|_| self.include_query) {
            let text = String::from_utf8_lossy(text);
            group.query.get_or_insert_default().replace_range(.., &text);
        }
        Ok(())
    }

    fn may_be_captured(&self, target: Option<Target<'_>>, default_database: &str) -> bool {
        let Some(target) = target else { return true };
        let (database, table) = target.names(default_database);
        self.filter.matches(&database, &table)
    }

    fn truncate(
        &mut self,
        target: Target<'_>,
        query: &Query<'_>,
        event: Event<'_>,
        out: Out<'_>,
    ) -> Result<(), BoxError> {
        let (database, table) = target.names(query.database);
        let Some(group) = &mut self.group else { return Ok(()) };
        let ordinal = group.n_changes;
        group.n_changes += 1;
        if group.fate == Fate::Skip || !self.filter.matches(&database, &table) {
            return Ok(());
        }
        let Some(described) = self.describe(&database, &table)? else { return Ok(()) };
        let Some(group) = &self.group else { return Ok(()) };
        out.change(&Change {
            table: &described.table,
            op: Op::Truncate,
            before: None,
            after: None,
            source: &slots(&place(group, &self.at.name, event, 0)),
            id: EventId { transaction: &group.name, ordinal },
            transaction: group.transaction(&self.at.name),
            raw: event.whole,
        })
    }

    fn table_map(&mut self, event: Event<'_>) -> Result<(), BoxError> {
        let Some(group) = &self.group else {
            return Err(self.order("a table map", "outside of a transaction").into());
        };
        match group.fate {
            Fate::Skip => Ok(()),
            Fate::Prepare => Ok(self.prepared.keep(event.whole, event.offset)?),
            Fate::Stream => self.learn(event),
        }
    }

    fn xa_prepare(&mut self, event: Event<'_>, out: Out<'_>) -> Result<(), BoxError> {
        let prepare = XaPrepare::parse(event.body).map_err(|e| self.malformed(e))?;
        let group = self.group.take().filter(|group| group.fate == Fate::Prepare);
        let Some(mut group) = group else {
            return Err(self.order("an XA prepare", "outside of an XA transaction").into());
        };
        if prepare.one_phase {
            let kept = self.prepared.take_current();
            if group.novelty == Novelty::New {
                self.hand_on(&mut group, &kept, out)?;
            }
            self.finish(&group, Kept::No, out);
        } else {
            self.done.add(&group.gtid, &self.at, Kept::Yes);
            self.prepared.prepare(xid_name(&prepare.xid), group);
            self.report(out);
        }
        Ok(())
    }

    fn xa_decide(&mut self, name: &str, decision: Decision, out: Out<'_>) -> Result<(), BoxError> {
        let Some(deciding) = self.group.take() else { return Ok(()) };
        let name = name.to_ascii_lowercase();
        match (self.prepared.decide(&name), decision, deciding.novelty) {
            (Some(mut prepared), decision, novelty) => {
                if decision == Decision::Commit && novelty == Novelty::New {
                    self.hand_on(&mut prepared.group, &prepared.kept, out)?;
                }
                self.done.add(&prepared.group.gtid, &self.at, Kept::No);
            }
            (None, Decision::Commit, Novelty::New) => {
                return Err(DecodeError::UnknownXa { at: self.place(), xid: name }.into());
            }
            (None, _, _) => {}
        }
        self.finish(&deciding, Kept::No, out);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Commit,
    Rollback,
}

/// Where a change stands.
pub(super) fn place<'e>(group: &'e Group, file: &'e str, event: Event<'e>, row: u32) -> Place<'e> {
    let seconds = i64::from(event.header.timestamp);
    Place {
        ts_us: group.commit_us.unwrap_or(seconds * 1_000_000),
        snapshot: marker::NONE,
        server_id: event.header.server_id,
        gtid: Some(group.gtid_text.as_str()).filter(|text| !text.is_empty()),
        file,
        pos: event.offset,
        row,
        thread: group.thread,
        query: group.query.as_deref(),
    }
}

/// A query event whose statement is compressed: all before it is as ever.
pub(super) fn uncompress_query(
    body: &[u8],
    bytes_max: u64,
    out: &mut Vec<u8>,
) -> Result<(), ParseError> {
    let statement = Query::parse(body)?.text;
    let head = body.len() - statement.len();
    out.extend_from_slice(body.get(..head).unwrap_or_default());
    compressed::uncompress(statement, bytes_max, out)
}
