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
use crate::sources::postgres::copy::{CopyRow, CopyState, next_row};
use crate::sources::postgres::decode_error::{CopyError, DecodeError, RowError};
use crate::sources::postgres::decoder::SnapshotFacts;
use crate::sources::postgres::row::{self, RowFault};
use crate::sources::postgres::source_block::{Place, slots};
use crate::sources::postgres::table::{Described, Tables};
use crate::sources::{BoxError, ChangeHandler, RawBatch, Undecodable};

#[derive(Debug)]
pub(crate) struct SnapshotRows {
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
    /// Stable over repeated snapshots only by name: `<system>-snapshot-<point>-<table>`.
    id: String,
    copy: CopyState,
    n_emitted: u64,
    held: Vec<u8>,
    holds: bool,
    ended: bool,
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
        let first = (0..facts.tables.len())
            .min_by_key(|&index| (&facts.tables[index].schema, &facts.tables[index].table));
        Self { facts, tables, first, last: None }
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
        if table.ended {
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
                    Some(row) => self.emit(index, row, self.marker(index, IsLast::No), context)?,
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
        let table = &mut self.tables[index];
        // Without its trailer a COPY was cut off, whatever else was said.
        if table.copy != CopyState::Done || table.ended {
            return Err(
                DecodeError::Snapshot("a table ended without the trailer of its COPY").into()
            );
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

    pub(crate) fn end(mut self, context: &mut Context<'_>) -> Result<(), BoxError> {
        if self.tables.iter().any(|table| !table.ended) {
            return Err(DecodeError::Snapshot("it ended before all of its tables").into());
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
        let row = CopyRow::kept(context.arena.alloc_slice_copy(&held));
        self.tables[index].holds = false;
        self.emit(index, row, marker, context)
    }

    fn emit(
        &mut self,
        index: usize,
        copied: CopyRow<'_>,
        marker: &str,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let place = Place {
            ts_us: self.facts.read_at_us,
            snapshot: marker,
            after: None,
            tx_id: Some(self.facts.transaction_id),
            lsn: self.facts.consistent_point,
            origin: None,
        };
        let table = &mut self.tables[index];
        let described =
            table.described.as_mut().ok_or(DecodeError::Snapshot("a row came without table"))?;
        let id = EventId { transaction: &table.id, ordinal: table.n_emitted };
        table.n_emitted += 1;
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
        (&table.schema, &table.table)
    }

    fn index(&self, number: u32) -> Result<usize, DecodeError> {
        usize::try_from(number)
            .ok()
            .filter(|&index| index < self.tables.len())
            .ok_or(DecodeError::Snapshot("it has rows of a table that was not announced"))
    }

    fn copy_error(&self, index: usize, source: CopyError) -> DecodeError {
        let (schema, table) = self.name(index);
        DecodeError::Copy { table: format!("{schema}.{table}"), source }
    }
}

/// Whether a row is known to be the last of its table.
#[derive(Clone, Copy)]
enum IsLast {
    No,
    OfTable,
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
