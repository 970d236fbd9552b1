//! One row on the wire to one row of [`Value`]s, by the plan of its relation.

use bumpalo::Bump;

use crate::change::{Before, Op, Row};
use crate::sources::postgres::copy::CopyRow;
use crate::sources::postgres::decode_error::{CopyError, ValueError};
use crate::sources::postgres::pgoutput::{Field, OldTuple, ParseError, Tuple};
use crate::sources::postgres::table::{Described, PlanColumn};
use crate::sources::postgres::{binary, text};
use crate::value::Value;

/// Why a row gives no values. Columns are indexes into the plan.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RowFault {
    /// A null where the catalogue promised none: the promise is withdrawn and the row read again.
    UnexpectedNull {
        column: usize,
    },
    Value {
        column: usize,
        error: ValueError,
    },
    Count {
        expected: usize,
        found: usize,
    },
    Parse(ParseError),
    Copy(CopyError),
}

impl From<ParseError> for RowFault {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl From<CopyError> for RowFault {
    fn from(error: CopyError) -> Self {
        Self::Copy(error)
    }
}

/// A row change on the wire.
#[derive(Clone, Copy)]
pub(crate) enum RowMessage<'a> {
    Insert { new: Tuple<'a> },
    Update { old: Option<OldTuple<'a>>, new: Tuple<'a> },
    Delete { old: OldTuple<'a> },
}

/// Operation, old and new image.
pub(crate) type Images<'a> = (Op, Option<Before<'a>>, Option<Row<'a>>);

pub(crate) fn images<'a>(
    described: &Described,
    message: RowMessage<'a>,
    arena: &'a Bump,
) -> Result<Images<'a>, RowFault> {
    match message {
        RowMessage::Insert { new } => {
            Ok((Op::Create, None, Some(whole(described, new, None, arena)?)))
        }
        RowMessage::Update { old, new } => {
            let before = old.map(|old| old_image(described, old, arena)).transpose()?;
            let old = before.map(Before::row);
            Ok((Op::Update, before, Some(whole(described, new, old, arena)?)))
        }
        RowMessage::Delete { old } => {
            Ok((Op::Delete, Some(old_image(described, old, arena)?), None))
        }
    }
}

fn old_image<'a>(
    described: &Described,
    old: OldTuple<'a>,
    arena: &'a Bump,
) -> Result<Before<'a>, RowFault> {
    match old {
        OldTuple::Key(tuple) => Ok(Before::Key(key_only(described, tuple, arena)?)),
        OldTuple::Whole(tuple) => Ok(Before::Whole(whole(described, tuple, None, arena)?)),
    }
}

/// A new row. Where TOAST was not repeated, the value stands in `old` if the log had it there: the
/// whole old row (replica identity full), or a key that is itself unchanged TOAST, for which the
/// server logs the old key (`ExtractReplicaIdentity`).
fn whole<'a>(
    described: &Described,
    tuple: Tuple<'a>,
    old: Option<Row<'a>>,
    arena: &'a Bump,
) -> Result<Row<'a>, RowFault> {
    check_count(described, tuple.n_columns())?;
    let row = blank(described, arena);
    for (index, (column, field)) in described.plan.iter().zip(tuple.fields()).enumerate() {
        let field = field?;
        let Some(target) = column.target else { continue };
        let out = &mut row[target];
        match field {
            Field::Text(bytes) => text::read_into(column.reading, bytes, arena, out)
                .map_err(|error| RowFault::Value { column: index, error })?,
            Field::Null if column.required => {
                return Err(RowFault::UnexpectedNull { column: index });
            }
            Field::Null => *out = Value::Null,
            Field::Unchanged => {
                *out = match old.map_or(Value::Absent, |old| old[target]) {
                    Value::Absent => Value::Unavailable,
                    value => value,
                }
            }
        }
    }
    Ok(row)
}

/// The replica identity's columns of an old row. All others are sent as null, which means that
/// they are not part of it (`logicalrep_write_tuple` of an old key tuple).
fn key_only<'a>(
    described: &Described,
    tuple: Tuple<'a>,
    arena: &'a Bump,
) -> Result<Row<'a>, RowFault> {
    check_count(described, tuple.n_columns())?;
    let row = blank(described, arena);
    for (index, (column, field)) in described.plan.iter().zip(tuple.fields()).enumerate() {
        let field = field?;
        let PlanColumn { target: Some(target), identity: true, .. } = *column else { continue };
        let out = &mut row[target];
        match field {
            Field::Text(bytes) => text::read_into(column.reading, bytes, arena, out)
                .map_err(|error| RowFault::Value { column: index, error })?,
            // The columns of an identity are not null (ALTER TABLE refuses
            // an index over others): a partition has another identity than the root that it goes by.
            Field::Null => *out = Value::Absent,
            Field::Unchanged => *out = Value::Unavailable,
        }
    }
    Ok(row)
}

/// A row of the snapshot.
pub(crate) fn of_copy<'a>(
    described: &Described,
    copied: CopyRow<'a>,
    arena: &'a Bump,
) -> Result<Row<'a>, RowFault> {
    let fields = copied.fields()?;
    check_count(described, fields.n_left())?;
    let row = blank(described, arena);
    for (index, (column, field)) in described.plan.iter().zip(fields).enumerate() {
        let field = field?;
        let Some(target) = column.target else { continue };
        let read_into = if column.binary { binary::read_into } else { text::read_into };
        let out = &mut row[target];
        match field {
            Some(bytes) => read_into(column.reading, bytes, arena, out)
                .map_err(|error| RowFault::Value { column: index, error })?,
            None if column.required => return Err(RowFault::UnexpectedNull { column: index }),
            None => *out = Value::Null,
        }
    }
    Ok(row)
}

fn blank<'a>(described: &Described, arena: &'a Bump) -> &'a mut [Value<'a>] {
    arena.alloc_slice_fill_copy(described.table.columns.len(), Value::Absent)
}

fn check_count(described: &Described, found: usize) -> Result<(), RowFault> {
    let expected = described.plan.len();
    if expected == found { Ok(()) } else { Err(RowFault::Count { expected, found }) }
}
