//! Rows of the snapshot: the decoder's part before the stream.
//!
//! Debezium marks the first and the last row of each table and of the whole snapshot, and the last
//! is known only afterwards. So the latest row of each table is held back until the next one comes
//! or the table ends. Debezium reads tables in the order of their names: the last row of the last
//! one that has rows is the snapshot's last, and is held until a later table shows a row or the
//! snapshot ends. Within a batch a row is held as a view; only what is left over at its end is
//! copied.

use bumpalo::Bump;

use crate::change::{Change, EventId, Op};
use crate::disposition::{Diagnose, Disposition};
use crate::sources::mysql::catalog::TableFacts;
use crate::sources::mysql::decoder::SnapshotDecode;
use crate::sources::mysql::log_point::LogPoint;
use crate::sources::mysql::source_block::{Place, slots};
use crate::sources::mysql::sql;
use crate::sources::mysql::table::{Described, Tables};
use crate::sources::mysql::text::{self, TextError};
use crate::sources::{BoxError, ChangeHandler, RawBatch, Stage, Undecodable};
use crate::value::Value;

/// What the decoder must know of a snapshot: the moment, without its connections.
#[derive(Clone, Debug)]
pub struct SnapshotFacts {
    /// By the number that the session gives them.
    pub tables: Vec<TableFacts>,
    pub point: LogPoint,
    /// Microseconds since 1970.
    pub read_at_us: i64,
}

/// The snapshot contradicts itself: nothing of it can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotRowsError {
    #[error("decode a snapshot batch: {0}")]
    Order(&'static str),
    #[error("read a row of {table}: it is no row of the text protocol")]
    Row { table: String },
    #[error("read a row of {table}: it has {found} columns, its query {expected}")]
    ColumnCount { table: String, expected: usize, found: usize },
}

/// One row that cannot be decoded: the dead-letter policy decides.
#[derive(Debug, thiserror::Error)]
#[error("convert column {column} of {table}")]
pub struct SnapshotRowError {
    pub table: String,
    pub column: String,
    pub source: TextError,
}

impl From<SnapshotRowsError> for BoxError {
    fn from(error: SnapshotRowsError) -> Self {
        Box::new(error)
    }
}

impl Diagnose for SnapshotRowsError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Order(_) | Self::Row { .. } | Self::ColumnCount { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        Some("the snapshot is not complete; this is a defect of the server's output or of tailwater: please report it with the server's version".to_owned())
    }
}

impl Diagnose for SnapshotRowError {
    fn disposition(&self) -> Disposition {
        Disposition::DeadLetter
    }

    fn hint(&self) -> Option<String> {
        let (column, table) = (sql::quote_ident(&self.column), &self.table);
        Some(format!(
            "look at the value with SELECT {column} FROM {table}; to go on without the row, set dead_letter.conversion: dead_letter"
        ))
    }
}

#[derive(Debug)]
pub struct SnapshotRows {
    facts: SnapshotFacts,
    /// By the number that the session gives them.
    tables: Vec<SnapshotTable>,
    /// The first table by name.
    first: Option<usize>,
    /// The last table by name that has shown a row.
    last: Option<usize>,
}

#[derive(Debug, Default)]
struct SnapshotTable {
    /// Made when the first bytes come.
    described: Option<Described>,
    /// Stable over repeated snapshots only by name: `<server>-snapshot-<point>-<table>`.
    id: String,
    n_emitted: u64,
    held: Vec<u8>,
    holds: bool,
    ended: bool,
}

impl SnapshotRows {
    /// `server` is what identifies the server in the ids of events.
    #[must_use]
    pub fn new(facts: SnapshotFacts, server: &str) -> Self {
        let LogPoint { file, offset, .. } = &facts.point;
        let tables = facts.tables.iter().map(|table| SnapshotTable {
            id: format!("{server}-snapshot-{file}:{offset}-{}.{}", table.database, table.table),
            ..SnapshotTable::default()
        });
        let tables = tables.collect();
        let first = (0..facts.tables.len())
            .min_by_key(|&index| (&facts.tables[index].database, &facts.tables[index].table));
        Self { facts, tables, first, last: None }
    }

    #[must_use]
    pub fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    /// # Errors
    /// When the batch makes no sense, or a row is refused.
    pub fn rows(
        &mut self,
        number: u32,
        raw: &RawBatch,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let index = self.index(number)?;
        let arena = context.arena;
        let table = &mut self.tables[index];
        if table.ended {
            return Err(SnapshotRowsError::Order("rows came after the end of their table").into());
        }
        if table.described.is_none() {
            table.described = Some(context.tables.of_snapshot(&self.facts.tables[index])?);
        }
        let mut held: Option<&[u8]> = match table.holds {
            true => Some(arena.alloc_slice_copy(&table.held)),
            false => None,
        };
        for range in &raw.messages {
            let payload = raw.data.get(range.start as usize..range.end as usize);
            let payload =
                payload.ok_or(SnapshotRowsError::Order("a message lies outside of its batch"))?;
            match held.replace(payload) {
                Some(row) => self.emit(index, row, self.marker(index, IsLast::No), context)?,
                None => self.begun(index, context)?,
            }
        }
        let table = &mut self.tables[index];
        table.holds = held.is_some();
        table.held.clear();
        table.held.extend_from_slice(held.unwrap_or_default());
        Ok(())
    }

    /// # Errors
    /// When the table ended before, or its last row is refused.
    pub fn table_end(&mut self, number: u32, context: &mut Context<'_>) -> Result<(), BoxError> {
        let index = self.index(number)?;
        let table = &mut self.tables[index];
        if table.ended {
            return Err(SnapshotRowsError::Order("a table ended twice").into());
        }
        table.ended = true;
        if !table.holds || self.last == Some(index) {
            return Ok(());
        }
        self.emit_held(index, self.marker(index, IsLast::OfTable), context)
    }

    /// A table shows its first row. If it is behind the last one by name, that one's last row is
    /// not the snapshot's.
    fn begun(&mut self, index: usize, context: &mut Context<'_>) -> Result<(), BoxError> {
        match self.last {
            Some(last) if self.name(index) < self.name(last) => Ok(()),
            last => {
                self.last = Some(index);
                let Some(last) = last else { return Ok(()) };
                if !self.tables[last].ended {
                    return Ok(());
                }
                self.emit_held(last, self.marker(last, IsLast::OfTable), context)
            }
        }
    }

    /// # Errors
    /// When a table did not end, or the last row is refused.
    pub fn end(mut self, context: &mut Context<'_>) -> Result<(), BoxError> {
        if self.tables.iter().any(|table| !table.ended) {
            return Err(SnapshotRowsError::Order("it ended before all of its tables").into());
        }
        if let Some(last) = self.last {
            self.emit_held(last, "last", context)?;
        }
        Ok(())
    }

    fn emit_held(
        &mut self,
        index: usize,
        marker: &str,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let held = std::mem::take(&mut self.tables[index].held);
        let row = context.arena.alloc_slice_copy(&held);
        self.tables[index].holds = false;
        self.emit(index, row, marker, context)
    }

    fn emit(
        &mut self,
        index: usize,
        payload: &[u8],
        marker: &str,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        // As Debezium has it: a snapshot is of no server and no transaction, but has a place.
        let place = Place {
            ts_us: self.facts.read_at_us,
            snapshot: marker,
            server_id: 0,
            gtid: None,
            file: &self.facts.point.file,
            pos: self.facts.point.offset,
            row: 0,
            thread: None,
            query: None,
        };
        let table = &mut self.tables[index];
        let described = table.described.as_ref();
        let described = described.ok_or(SnapshotRowsError::Order("a row came without table"))?;
        let id = EventId { transaction: &table.id, ordinal: table.n_emitted };
        table.n_emitted += 1;
        match row(described, payload, context.arena) {
            Ok(row) => context.out.change(&Change {
                table: &described.table,
                op: Op::Read,
                before: None,
                after: Some(row),
                source: &slots(&place),
                id,
                raw: payload,
            }),
            Err(fault) => {
                let error = fault.into_error(described)?;
                let table = described.table.path.join(".");
                context.out.undecodable(Undecodable { table: &table, id, raw: payload, error })
            }
        }
    }

    /// As Debezium's `setSnapshotMarker` decides: the first row of the first table by name is
    /// `first`, even where it is the table's last.
    fn marker(&self, index: usize, is_last: IsLast) -> &'static str {
        let is_first = self.tables[index].n_emitted == 0;
        match (is_first && self.first == Some(index), is_first, is_last) {
            (true, _, _) => "first",
            (false, _, IsLast::OfTable) => "last_in_data_collection",
            (false, true, IsLast::No) => "first_in_data_collection",
            (false, false, IsLast::No) => "true",
        }
    }

    fn name(&self, index: usize) -> (&str, &str) {
        let table = &self.facts.tables[index];
        (&table.database, &table.table)
    }

    fn index(&self, number: u32) -> Result<usize, SnapshotRowsError> {
        usize::try_from(number)
            .ok()
            .filter(|&index| index < self.tables.len())
            .ok_or(SnapshotRowsError::Order("it has rows of a table that was not announced"))
    }
}

/// The decoder's part before the stream, batch by batch.
pub struct SnapshotDecoder {
    /// `None` at its end.
    rows: Option<SnapshotRows>,
}

impl SnapshotDecoder {
    #[must_use]
    pub fn new(rows: SnapshotRows) -> Self {
        Self { rows: Some(rows) }
    }
}

impl SnapshotDecode for SnapshotDecoder {
    fn decode<'a>(
        &mut self,
        raw: &'a RawBatch,
        arena: &'a Bump,
        tables: &mut Tables,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        let over = SnapshotRowsError::Order("it is over");
        let context = &mut Context { arena, tables, out };
        match (raw.stage, &mut self.rows) {
            (_, None) => Err(over.into()),
            (Stage::Snapshot { table }, Some(rows)) => rows.rows(table, raw, context),
            (Stage::SnapshotTableEnd { table }, Some(rows)) => rows.table_end(table, context),
            (Stage::SnapshotEnd, rows) => rows.take().ok_or(over)?.end(context),
            (Stage::Stream, Some(_)) => {
                Err(SnapshotRowsError::Order("the stream began before its end").into())
            }
        }
    }
}

/// Whether a row is known to be the last of its table.
#[derive(Clone, Copy)]
enum IsLast {
    No,
    OfTable,
}

/// What the work on one batch needs besides its rows.
pub struct Context<'c> {
    pub arena: &'c Bump,
    pub tables: &'c mut Tables,
    pub out: &'c mut dyn ChangeHandler,
}

#[derive(Debug)]
enum RowFault {
    Packet,
    Count(usize),
    Value { column: usize, error: TextError },
}

fn row<'a>(
    described: &Described,
    payload: &'a [u8],
    arena: &'a Bump,
) -> Result<&'a [Value<'a>], RowFault> {
    let expected = described.types.len();
    let mut values = bumpalo::collections::Vec::with_capacity_in(expected, arena);
    for value in sql::values(payload) {
        let value = value.map_err(|_| RowFault::Packet)?;
        let column = values.len();
        let data_type = described.types.get(column).ok_or(RowFault::Count(column + 1))?;
        values.push(match value {
            None => Value::Null,
            Some(value) => text::read(data_type, value, arena)
                .map_err(|error| RowFault::Value { column, error })?,
        });
    }
    if values.len() != expected {
        return Err(RowFault::Count(values.len()));
    }
    Ok(values.into_bump_slice())
}

impl RowFault {
    /// A row's own error, or the error that ends the run.
    fn into_error(self, described: &Described) -> Result<BoxError, SnapshotRowsError> {
        let path = &described.table.path;
        let table = path.iter().map(|part| sql::quote_ident(part)).collect::<Vec<_>>().join(".");
        match self {
            Self::Packet => Err(SnapshotRowsError::Row { table }),
            Self::Count(found) => {
                let expected = described.types.len();
                Err(SnapshotRowsError::ColumnCount { table, expected, found })
            }
            Self::Value { column, error: source } => {
                let column = described.table.columns.get(column);
                let column = column.map_or("?", |column| column.name.as_str()).to_owned();
                Ok(Box::new(SnapshotRowError { table, column, source }))
            }
        }
    }
}

#[cfg(test)]
mod tests;
