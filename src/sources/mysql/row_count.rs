//! How many rows an event of a table has that nobody asked for.
//!
//! The id of a change counts every row change of its transaction before filters, so that it stays
//! the same when the filter is another one. Rows are walked over by the lengths of their values,
//! which the table map alone tells; nothing is read or checked.

use crate::sources::mysql::binlog::rows::{Rows, RowsKind};
use crate::sources::mysql::binlog::table_map::{MapColumn, TableMap, bit, column_type as t};
use crate::sources::mysql::binlog::{Reader, Short};
use crate::sources::mysql::decimal;
use crate::sources::mysql::reading::Length;
use crate::sources::mysql::temporal::fraction_bytes;

/// `PARTIAL_JSON_UPDATES` of `enum_rows_event_value_option`.
const PARTIAL_JSON: u64 = 1;

/// How many bytes a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Bytes(usize),
    Behind(Length),
    /// The same, and it may be a difference.
    Json(Length),
}

/// Walks over the rows of one version of a table.
#[derive(Debug)]
pub(crate) struct RowCounter {
    /// In the order of the rows; `None` where a column's form is not known.
    steps: Option<Vec<Step>>,
    n_json: usize,
}

impl RowCounter {
    pub(crate) fn of(map: &TableMap<'_>) -> Self {
        let steps: Option<Vec<Step>> = map.columns.iter().map(step).collect();
        let json = |steps: &Vec<Step>| steps.iter().filter(|s| matches!(s, Step::Json(_))).count();
        let n_json = steps.as_ref().map_or(0, json);
        Self { steps, n_json }
    }

    /// Rows that cannot be walked over count as one: a table that is left out because it cannot be
    /// read must not stop the others.
    pub(crate) fn count(&self, rows: &Rows<'_>) -> u64 {
        let counted = self.steps.as_ref().filter(|steps| steps.len() == rows.n_columns);
        counted.and_then(|steps| self.walk(steps, rows).ok()).unwrap_or(1)
    }

    fn walk(&self, steps: &[Step], rows: &Rows<'_>) -> Result<u64, Short> {
        let mut reader = Reader::new(rows.rows);
        let mut n_rows = 0;
        while !reader.is_empty() {
            let before = reader.rest().len();
            pass(steps, rows.present, &mut reader, &[])?;
            match rows.kind {
                RowsKind::Write | RowsKind::Delete => {}
                RowsKind::Update => pass(steps, rows.present_after, &mut reader, &[])?,
                RowsKind::PartialUpdate => {
                    let options = reader.packed()?;
                    let bytes =
                        if options & PARTIAL_JSON != 0 { self.n_json.div_ceil(8) } else { 0 };
                    let partial = reader.take(bytes)?;
                    pass(steps, rows.present_after, &mut reader, partial)?;
                }
            }
            if reader.rest().len() == before {
                return Err(Short);
            }
            n_rows += 1;
        }
        Ok(n_rows)
    }
}

/// Passes over one image. `partial` has a bit for each JSON column of the table.
#[inline]
fn pass(
    steps: &[Step],
    present: &[u8],
    reader: &mut Reader<'_>,
    partial: &[u8],
) -> Result<(), Short> {
    // At most 4096 columns.
    let n_present: usize = present.iter().map(|byte| byte.count_ones() as usize).sum();
    let nulls = reader.take(n_present.div_ceil(8))?;
    let (mut place, mut n_json) = (0, 0);
    for (index, step) in steps.iter().enumerate() {
        let json = n_json;
        n_json += usize::from(matches!(step, Step::Json(_)));
        if !bit(present, index) {
            continue;
        }
        let null = bit(nulls, place);
        place += 1;
        match step {
            _ if null => {}
            Step::Bytes(length) => drop(reader.take(*length)?),
            // Always four bytes of length (`Json_diff_vector::write_binary`).
            Step::Json(_) if bit(partial, json) => drop(Length::Four.take(reader)?),
            Step::Behind(length) | Step::Json(length) => drop(length.take(reader)?),
        }
    }
    Ok(())
}

fn step(column: &MapColumn<'_>) -> Option<Step> {
    let [high, low] = column.metadata.to_be_bytes();
    let fraction = fraction_bytes(low);
    let behind = || Length::of_pack(column.metadata);
    Some(match column.column_type {
        t::TINY | t::YEAR => Step::Bytes(1),
        t::SHORT => Step::Bytes(2),
        t::INT24 | t::DATE | t::NEWDATE | t::TIME => Step::Bytes(3),
        t::LONG | t::TIMESTAMP | t::FLOAT => Step::Bytes(4),
        t::LONGLONG | t::DATETIME | t::DOUBLE => Step::Bytes(8),
        t::NEWDECIMAL => Step::Bytes(decimal::Shape::new(high, low)?.n_bytes()),
        t::TIME2 => Step::Bytes(3 + fraction),
        t::TIMESTAMP2 => Step::Bytes(4 + fraction),
        t::DATETIME2 => Step::Bytes(5 + fraction),
        // Bits beyond whole bytes, then whole bytes.
        t::BIT => Step::Bytes(usize::from(low) + usize::from(high > 0)),
        t::ENUM | t::SET => Step::Bytes(usize::from(column.metadata)),
        t::STRING | t::VARCHAR | t::VAR_STRING | t::VARCHAR_COMPRESSED => {
            Step::Behind(Length::of_maximum(column.metadata))
        }
        t::BLOB | t::TINY_BLOB | t::MEDIUM_BLOB | t::LONG_BLOB | t::BLOB_COMPRESSED => {
            Step::Behind(behind()?)
        }
        t::GEOMETRY | t::VECTOR => Step::Behind(behind()?),
        t::JSON => Step::Json(behind()?),
        _ => return None,
    })
}
