//! The rows of one event, one after the other, by the plan of their table.

use bumpalo::Bump;

use crate::change::{Before, Op, Row};
use crate::sources::mysql::binlog::rows::{Rows, RowsKind};
use crate::sources::mysql::binlog::table_map::bit;
use crate::sources::mysql::binlog::{ParseError, Reader};
use crate::sources::mysql::decode_error::ValueError;
use crate::sources::mysql::json;
use crate::sources::mysql::plan::Plan;
use crate::sources::mysql::reading::{Fault, Reading};
use crate::value::Value;

/// `PARTIAL_JSON_UPDATES` of `enum_rows_event_value_option`.
const PARTIAL_JSON: u64 = 1;

/// One change as the log has it.
pub(crate) struct RowChange<'a> {
    pub(crate) op: Op,
    /// The bytes of its images.
    pub(crate) raw: &'a [u8],
    /// The images, or a column of the plan with a value that makes no sense.
    pub(crate) images: Result<Images<'a>, (usize, ValueError)>,
}

#[derive(Clone, Copy)]
pub(crate) struct Images<'a> {
    pub(crate) before: Option<Before<'a>>,
    pub(crate) after: Option<Row<'a>>,
}

/// What an old image holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OldImage {
    Whole,
    /// Of the columns some, of which none is outside of the key: `binlog_row_image=MINIMAL`.
    Key,
    /// `NOBLOB`.
    Partial,
}

/// Walks over the rows of an event.
pub(crate) struct RowWalk<'p, 'a> {
    plan: &'p Plan,
    rows: Rows<'a>,
    old: OldImage,
    reader: Reader<'a>,
    arena: &'a Bump,
    /// The first value of the row that made no sense.
    fault: Option<(usize, ValueError)>,
}

impl<'p, 'a> RowWalk<'p, 'a> {
    /// The caller has compared the number of columns.
    pub(crate) fn new(plan: &'p Plan, rows: Rows<'a>, arena: &'a Bump) -> Self {
        let old = old_image(plan, rows.present);
        Self { plan, rows, old, reader: Reader::new(rows.rows), arena, fault: None }
    }

    /// The next change; `None` after the last one.
    ///
    /// # Errors
    /// When the event ends within a row.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<RowChange<'a>>, ParseError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let start = self.reader.rest();
        self.fault = None;
        let (op, before, after) = match self.rows.kind {
            RowsKind::Write => {
                (Op::Create, None, Some(self.image(self.rows.present, Value::Unavailable)?))
            }
            RowsKind::Delete => (Op::Delete, Some(self.image_before()?), None),
            RowsKind::Update => {
                let before = self.image_before()?;
                let after = self.image_after(before)?;
                (Op::Update, Some(before), Some(after))
            }
            RowsKind::PartialUpdate => {
                let (before, after) = self.partial_update()?;
                (Op::Update, Some(before), Some(after))
            }
        };
        let length = start.len() - self.reader.rest().len();
        if length == 0 {
            // Rows without columns and without bytes would never end.
            return Err(ParseError::Malformed("a rows event of rows without bytes"));
        }
        let raw = start.get(..length).unwrap_or_default();
        let before = before.map(|row| match self.old {
            OldImage::Whole | OldImage::Partial => Before::Whole(row),
            OldImage::Key => Before::Key(row),
        });
        let images = match self.fault.take() {
            None => Ok(Images { before, after }),
            Some(fault) => Err(fault),
        };
        Ok(Some(RowChange { op, raw, images }))
    }

    /// One image whose missing columns are `missing`.
    #[inline]
    fn image(
        &mut self,
        present: &'a [u8],
        missing: Value<'static>,
    ) -> Result<&'a [Value<'a>], ParseError> {
        let plan = self.plan;
        let row = self.arena.alloc_slice_fill_copy(plan.columns.len(), missing);
        let nulls = self.reader.take(ones(present).div_ceil(8))?;
        let mut n_present = 0;
        for (index, (column, out)) in plan.columns.iter().zip(row.iter_mut()).enumerate() {
            if !bit(present, index) {
                continue;
            }
            if bit(nulls, n_present) {
                *out = Value::Null;
            } else if let Err(fault) = column.reading.read_into(&mut self.reader, self.arena, out) {
                *out = self.failed(index, fault)?;
            }
            n_present += 1;
        }
        Ok(row)
    }

    #[cold]
    fn failed(&mut self, index: usize, fault: Fault) -> Result<Value<'a>, ParseError> {
        match fault {
            Fault::Short => Err(crate::sources::mysql::binlog::Short.into()),
            Fault::Value(error) => {
                self.fault.get_or_insert((index, error));
                Ok(Value::Unavailable)
            }
        }
    }

    /// The old image. What a whole one lacks (`NOBLOB`) has a value that the log did not repeat;
    /// what stands beside a key alone is no part of it.
    #[inline]
    fn image_before(&mut self) -> Result<&'a [Value<'a>], ParseError> {
        let missing = match self.old {
            OldImage::Partial => Value::Unavailable,
            OldImage::Whole | OldImage::Key => Value::Absent,
        };
        self.image(self.rows.present, missing)
    }

    /// The new image of an update: what it leaves out did not change, and stands in the old one
    /// where that has it.
    #[inline]
    fn image_after(&mut self, before: Row<'a>) -> Result<&'a [Value<'a>], ParseError> {
        let present = self.rows.present_after;
        if ones(present) == self.plan.columns.len() {
            return self.image(present, Value::Unavailable);
        }
        let after = self.image(present, Value::Unavailable)?;
        Ok(self.completed(after, before))
    }

    fn completed(&self, after: Row<'a>, before: Row<'a>) -> &'a [Value<'a>] {
        let present = self.rows.present_after;
        let whole = self.arena.alloc_slice_copy(after);
        for (index, (value, old)) in whole.iter_mut().zip(before).enumerate() {
            if !bit(present, index) && !matches!(old, Value::Absent) {
                *value = *old;
            }
        }
        whole
    }

    /// Old and new image where JSON columns of the new one may hold differences
    /// (`PARTIAL_UPDATE_ROWS_EVENT`; the format is in `unpack_row` of MySQL's
    /// `sql/rpl_record.cc`).
    fn partial_update(&mut self) -> Result<(Row<'a>, Row<'a>), ParseError> {
        let documents = self.arena.alloc_slice_fill_copy(self.plan.n_json, None);
        let before_bytes = self.reader;
        let before = self.image_before()?;
        self.documents(before_bytes, before, documents)?;
        let options = self.reader.packed()?;
        if options & !PARTIAL_JSON != 0 {
            return Err(ParseError::Malformed("a partial update with unknown options"));
        }
        // A bit for each JSON column of the table, whether the image has it or not.
        let partial: &[u8] = if options & PARTIAL_JSON != 0 {
            self.reader.take(self.plan.n_json.div_ceil(8))?
        } else {
            &[]
        };
        let after = self.partial_image(partial, documents)?;
        Ok((before, self.completed(after, before)))
    }

    /// Finds the documents of the old image again: their texts are of no use for differences.
    fn documents(
        &self,
        mut reader: Reader<'a>,
        before: Row<'a>,
        documents: &mut [Option<&'a [u8]>],
    ) -> Result<(), ParseError> {
        reader.take(ones(self.rows.present).div_ceil(8))?;
        let mut n_json = 0;
        for (index, column) in self.plan.columns.iter().enumerate() {
            let is_there = bit(self.rows.present, index) && !matches!(before[index], Value::Null);
            if let Reading::Json { length, .. } = &column.reading {
                if is_there {
                    documents[n_json] = Some(length.take(&mut reader)?);
                }
                n_json += 1;
            } else if is_there {
                // Its bytes were there before, and a value that made no sense is known already.
                match column.reading.read(&mut reader, self.arena) {
                    Ok(_) | Err(Fault::Value(_)) => {}
                    Err(Fault::Short) => return Err(crate::sources::mysql::binlog::Short.into()),
                }
            }
        }
        Ok(())
    }

    fn partial_image(
        &mut self,
        partial: &[u8],
        documents: &[Option<&'a [u8]>],
    ) -> Result<&'a [Value<'a>], ParseError> {
        let plan = self.plan;
        let present = self.rows.present_after;
        let row = self.arena.alloc_slice_fill_copy(plan.columns.len(), Value::Unavailable);
        let nulls = self.reader.take(ones(present).div_ceil(8))?;
        let (mut n_present, mut n_json) = (0, 0);
        for (index, column) in plan.columns.iter().enumerate() {
            let json = column.is_json().then_some(n_json);
            n_json += usize::from(column.is_json());
            if !bit(present, index) {
                continue;
            }
            let null = bit(nulls, n_present);
            n_present += 1;
            let difference = json.filter(|n| bit(partial, *n));
            let value = match (&column.reading, difference) {
                _ if null => Ok(Value::Null),
                (Reading::Json { form, .. }, Some(n)) => {
                    // Always four bytes of length (`Json_diff_vector::write_binary`).
                    let length = usize::try_from(self.reader.u32()?).unwrap_or(usize::MAX);
                    let diffs = self.reader.take(length)?;
                    match documents.get(n).copied().flatten() {
                        Some(old) => json::apply_diffs(old, diffs, *form, self.arena)
                            .map(Value::Text)
                            .map_err(Fault::Value),
                        // Without the old document its new form is not known.
                        None => Ok(Value::Unavailable),
                    }
                }
                (reading, _) => reading.read(&mut self.reader, self.arena),
            };
            row[index] = match value {
                Ok(value) => value,
                Err(fault) => self.failed(index, fault)?,
            };
        }
        Ok(row)
    }
}

/// How many columns an image holds.
#[inline]
fn ones(present: &[u8]) -> usize {
    // At most 4096.
    present.iter().map(|byte| byte.count_ones() as usize).sum()
}

fn old_image(plan: &Plan, present: &[u8]) -> OldImage {
    let mut columns = plan.columns.iter().enumerate();
    if ones(present) == plan.columns.len() {
        OldImage::Whole
    } else if columns.all(|(index, column)| column.in_key || !bit(present, index)) {
        OldImage::Key
    } else {
        OldImage::Partial
    }
}
