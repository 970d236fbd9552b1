//! Rows of the snapshot: the decoder's part before the stream.
//!
//! The latest row of each table is held back until its mark is known, as `SnapshotMarks` decides.
//! Within a batch a row is held as a view; only what is left over at its end is copied.

use bumpalo::Bump;

use crate::change::{Change, EventId, Op};
use crate::sources::postgres::copy::{CopyRow, CopyState, next_row};
use crate::sources::postgres::decode_error::{CopyError, DecodeError, RowError};
use crate::sources::postgres::decoder::SnapshotFacts;
use crate::sources::postgres::row::{self, RowFault};
use crate::sources::postgres::source_block::{Place, slots};
use crate::sources::postgres::table::{Described, Tables};
use crate::sources::snapshot_marks::{IsLast, SnapshotMarks};
use crate::sources::{BoxError, ChangeHandler, RawBatch, Undecodable};

#[derive(Debug)]
pub(crate) struct SnapshotRows {
    facts: SnapshotFacts,
    /// By the number that the session gives them.
    tables: Vec<SnapshotTable>,
    marks: SnapshotMarks,
}

#[derive(Debug, Default)]
struct SnapshotTable {
    /// Made when the first bytes come.
    described: Option<Described>,
    /// Stable over repeated snapshots only by name: `<system>-snapshot-<point>-<table>`.
    id: String,
    copy: CopyState,
    held: Vec<u8>,
    holds: bool,
}

impl SnapshotRows {
    pub(crate) fn new(facts: SnapshotFacts, system_id: &str) -> Self {
        let point = facts.consistent_point;
        let tables = facts
            .tables
            .iter()
            .map(|table| SnapshotTable {
                id: format!("{system_id}-snapshot-{point}-{}.{}", table.schema, table.table),
                ..SnapshotTable::default()
            })
            .collect();
        let names: Vec<_> =
            facts.tables.iter().map(|table| (&table.schema, &table.table)).collect();
        let marks = SnapshotMarks::new(&names);
        Self { facts, tables, marks }
    }

    pub(crate) fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    pub(crate) fn rows(
        &mut self,
        number: u32,
        raw: &RawBatch,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let index = self.index(number)?;
        let arena = context.arena;
        let table = &mut self.tables[index];
        if self.marks.is_ended(index) {
            return Err(DecodeError::Snapshot("rows came after the end of their table").into());
        }
        if table.described.is_none() {
            table.described = Some(context.tables.of_snapshot(&self.facts.tables[index])?);
        }
        let mut held = table.holds.then(|| CopyRow::kept(arena.alloc_slice_copy(&table.held)));
        for range in &raw.messages {
            let mut payload = raw
                .data
                .get(range.start as usize..range.end as usize)
                .ok_or(DecodeError::Snapshot("a message lies outside of its batch"))?;
            loop {
                let copy = &mut self.tables[index].copy;
                let next = next_row(copy, &mut payload)
                    .map_err(|source| self.copy_error(index, source))?;
                let Some(next) = next else { break };
                match held.replace(next) {
                    Some(row) => self.emit(index, row, IsLast::No, context)?,
                    None => self.begun(index, context)?,
                }
            }
        }
        let table = &mut self.tables[index];
        table.holds = held.is_some();
        table.held.clear();
        table.held.extend_from_slice(held.map_or(&[], |row| row.bytes()));
        Ok(())
    }

    pub(crate) fn table_end(
        &mut self,
        number: u32,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let index = self.index(number)?;
        // Without its trailer a COPY was cut off, whatever else was said.
        if self.tables[index].copy != CopyState::Done || self.marks.is_ended(index) {
            return Err(
                DecodeError::Snapshot("a table ended without the trailer of its COPY").into()
            );
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

    pub(crate) fn end(mut self, context: &mut Context<'_>) -> Result<(), BoxError> {
        if let Some(last) = self.marks.end().map_err(DecodeError::Snapshot)? {
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
        let row = CopyRow::kept(context.arena.alloc_slice_copy(&held));
        self.tables[index].holds = false;
        self.emit(index, row, is_last, context)
    }

    fn emit(
        &mut self,
        index: usize,
        copied: CopyRow<'_>,
        is_last: IsLast,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let (mark, ordinal) = self.marks.row(index, is_last);
        let place = Place {
            ts_us: self.facts.read_at_us,
            snapshot: mark,
            after: None,
            tx_id: Some(self.facts.transaction_id),
            lsn: self.facts.consistent_point,
            origin: None,
        };
        let table = &mut self.tables[index];
        let described =
            table.described.as_mut().ok_or(DecodeError::Snapshot("a row came without table"))?;
        let id = EventId { transaction: &table.id, ordinal };
        loop {
            match row::of_copy(described, copied, context.arena) {
                Ok(row) => {
                    let change = Change {
                        table: &described.table,
                        op: Op::Read,
                        before: None,
                        after: Some(row),
                        source: &slots(&place, context.arena),
                        id,
                        transaction: None,
                        raw: copied.bytes(),
                    };
                    return context.out.change(&change);
                }
                Err(RowFault::UnexpectedNull { column }) => {
                    context.tables.relax(described, column);
                }
                Err(fault) => {
                    let error = fault_error(fault, described)?;
                    let (table, raw) = (described.name.as_str(), copied.bytes());
                    return context.out.undecodable(Undecodable { table, id, raw, error });
                }
            }
        }
    }

    fn name(&self, index: usize) -> (&str, &str) {
        let table = &self.facts.tables[index];
        (&table.schema, &table.table)
    }

    fn index(&self, number: u32) -> Result<usize, DecodeError> {
        let index = self.marks.index(number);
        index.ok_or(DecodeError::Snapshot("it has rows of a table that was not announced"))
    }

    fn copy_error(&self, index: usize, source: CopyError) -> DecodeError {
        let (schema, table) = self.name(index);
        DecodeError::Copy { table: format!("{schema}.{table}"), source }
    }
}

/// What the work on one batch needs besides its rows.
pub(crate) struct Context<'c> {
    pub(crate) arena: &'c Bump,
    pub(crate) tables: &'c mut Tables,
    pub(crate) out: &'c mut dyn ChangeHandler,
}

/// A row's own error, or the error that ends the run.
pub(crate) fn fault_error(fault: RowFault, described: &Described) -> Result<BoxError, BoxError> {
    let table = described.name.clone();
    let hard = match fault {
        RowFault::Value { column, error } => {
            let column = described.column_name(column).to_owned();
            return Ok(Box::new(RowError { table, column, source: error }));
        }
        RowFault::UnexpectedNull { .. } => DecodeError::Snapshot("a null was not expected twice"),
        RowFault::Count { expected, found } => DecodeError::ColumnCount { table, expected, found },
        RowFault::Parse(source) => DecodeError::Row { table, source },
        RowFault::Copy(source) => DecodeError::Copy { table, source },
    };
    Err(hard.into())
}
