//! Rows of the snapshot: the decoder's part before the stream.
//!
//! The latest row of each table is held back until its mark is known, as `SnapshotMarks` decides.
//! Within a batch a row is held as a view; only what is left over at its end is copied.

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
use crate::sources::snapshot_marks::{IsLast, SnapshotMarks};
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
    marks: SnapshotMarks,
}

#[derive(Debug, Default)]
struct SnapshotTable {
    /// Made when the first bytes come.
    described: Option<Described>,
    /// Stable over repeated snapshots only by name: `<server>-snapshot-<point>-<table>`.
    id: String,
    held: Vec<u8>,
    holds: bool,
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
        let names: Vec<_> =
            facts.tables.iter().map(|table| (&table.database, &table.table)).collect();
        let marks = SnapshotMarks::new(&names);
        Self { facts, tables, marks }
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
        if self.marks.is_ended(index) {
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
                Some(row) => self.emit(index, row, IsLast::No, context)?,
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
        if self.marks.is_ended(index) {
            return Err(SnapshotRowsError::Order("a table ended twice").into());
        }
        match self.marks.ended(index) && self.tables[index].holds {
            true => self.emit_held(index, IsLast::OfTable, context),
            false => Ok(()),
        }
    }

    /// A table shows its first row.
    fn begun(&mut self, index: usize, context: &mut Context<'_>) -> Result<(), BoxError> {
        match self.marks.begun(index) {
            Some(last) => self.emit_held(last, IsLast::OfTable, context),
            None => Ok(()),
        }
    }

    /// # Errors
    /// When a table did not end, or the last row is refused.
    pub fn end(mut self, context: &mut Context<'_>) -> Result<(), BoxError> {
        if let Some(last) = self.marks.end().map_err(SnapshotRowsError::Order)? {
            self.emit_held(last, IsLast::OfSnapshot, context)?;
        }
        Ok(())
    }

    fn emit_held(
        &mut self,
        index: usize,
        is_last: IsLast,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let held = std::mem::take(&mut self.tables[index].held);
        let row = context.arena.alloc_slice_copy(&held);
        self.tables[index].holds = false;
        self.emit(index, row, is_last, context)
    }

    fn emit(
        &mut self,
        index: usize,
        payload: &[u8],
        is_last: IsLast,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let (mark, ordinal) = self.marks.row(index, is_last);
        // As Debezium has it: a snapshot is of no server and no transaction, but has a place.
        let place = Place {
            ts_us: self.facts.read_at_us,
            snapshot: mark,
            server_id: 0,
            gtid: None,
            file: &self.facts.point.file,
            pos: self.facts.point.offset,
            row: 0,
            thread: None,
            query: None,
        };
        let table = &self.tables[index];
        let described = table.described.as_ref();
        let described = described.ok_or(SnapshotRowsError::Order("a row came without table"))?;
        let id = EventId { transaction: &table.id, ordinal };
        match row(described, payload, context.arena) {
            Ok(row) => context.out.change(&Change {
                table: &described.table,
                op: Op::Read,
                before: None,
                after: Some(row),
                source: &slots(&place),
                id,
                transaction: None,
                raw: payload,
            }),
            Err(fault) => {
                let error = fault.into_error(described)?;
                let table = described.table.path.join(".");
                context.out.undecodable(Undecodable { table: &table, id, raw: payload, error })
            }
        }
    }

    fn index(&self, number: u32) -> Result<usize, SnapshotRowsError> {
        let index = self.marks.index(number);
        index.ok_or(SnapshotRowsError::Order("it has rows of a table that was not announced"))
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
