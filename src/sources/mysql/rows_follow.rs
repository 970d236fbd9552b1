//! Rows events to changes.

use bumpalo::Bump;

use crate::change::{Change, EventId};
use crate::sources::mysql::binlog::ParseError;
use crate::sources::mysql::binlog::compressed;
use crate::sources::mysql::binlog::header::{HEADER_BYTES, Header, kind};
use crate::sources::mysql::binlog::rows::{NO_TABLE, Rows, RowsKind, RowsVersion};
use crate::sources::mysql::decode_error::{DecodeError, RowError};
use crate::sources::mysql::decoder::{Decoder, Event};
use crate::sources::mysql::follow::place;
use crate::sources::mysql::group::{Fate, Group};
use crate::sources::mysql::prepared::Kept;
use crate::sources::mysql::row::{RowChange, RowWalk};
use crate::sources::mysql::source_block::{set_row, slots};
use crate::sources::mysql::table_maps::Relation;
use crate::sources::{BoxError, ChangeHandler, Undecodable};

type Out<'o> = &'o mut dyn ChangeHandler;
type Form = (RowsKind, RowsVersion);

impl Decoder {
    pub(super) fn rows(
        &mut self,
        event: Event<'_>,
        form: Form,
        out: Out<'_>,
    ) -> Result<(), BoxError> {
        let Some(group) = &mut self.group else {
            let (at, place) = (self.place(), "outside of a transaction");
            return Err(DecodeError::Order { at, found: "rows", place }.into());
        };
        match group.fate {
            Fate::Skip => Ok(()),
            Fate::Prepare => Ok(self.prepared.keep(event.whole, event.offset)?),
            Fate::Stream => {
                let mut group = self.group.take();
                let result = match &mut group {
                    Some(group) => self.hand_on_rows(group, event, form, out),
                    None => Ok(()),
                };
                self.group = group;
                result
            }
        }
    }

    /// MariaDB's compressed rows: the frame is as ever, the rows are not. They are made whole in
    /// a buffer that is kept between events.
    pub(super) fn rows_compressed(
        &mut self,
        event: Event<'_>,
        form: Form,
        out: Out<'_>,
    ) -> Result<(), BoxError> {
        let mut whole = std::mem::take(&mut self.uncompressed);
        whole.clear();
        let result = uncompress(event, form, (self.event_bytes_max, &mut whole))
            .map_err(|source| self.malformed(source).into())
            .and_then(|()| {
                let body = whole.get(HEADER_BYTES..).unwrap_or_default();
                self.rows(Event { body, whole: &whole, ..event }, form, out)
            });
        self.keep_buffer(whole);
        result
    }

    /// The events of an XA transaction that was committed.
    pub(super) fn hand_on(
        &mut self,
        group: &mut Group,
        kept: &Kept,
        out: Out<'_>,
    ) -> Result<(), BoxError> {
        self.maps.forget_numbers();
        // Its own: values need not outlive their event, and here are many in one batch.
        let mut arena = Bump::new();
        for (whole, offset) in kept.events() {
            arena.reset();
            let parsed = Header::parse(whole).map_err(|short| self.malformed(short.into()));
            let (header, body) = parsed?;
            let event = Event { header, body, whole, offset, arena: &arena };
            match form(header.kind) {
                Some(form) => self.hand_on_rows(group, event, form, out)?,
                None => self.learn(event)?,
            }
        }
        Ok(())
    }

    fn hand_on_rows(
        &mut self,
        group: &mut Group,
        event: Event<'_>,
        (kind, version): Form,
        out: Out<'_>,
    ) -> Result<(), BoxError> {
        let rows = Rows::parse(event.body, kind, version).map_err(|e| self.malformed(e))?;
        if rows.table_id == NO_TABLE && rows.rows.is_empty() {
            return Ok(());
        }
        let (at, file) = (&self.at, &self.at.name);
        let error = || super::decode_error::At { file: at.name.clone(), offset: at.offset };
        let relation = self.maps.get(rows.table_id);
        let relation =
            relation.ok_or_else(|| DecodeError::UnknownTable { at: error(), id: rows.table_id })?;
        let plan = match relation {
            Relation::Captured(plan) => plan,
            Relation::Filtered(counter) => {
                group.n_changes += counter.count(&rows);
                return Ok(());
            }
        };
        let (expected, found) = (plan.columns.len(), rows.n_columns);
        if expected != found {
            let (at, table) = (error(), plan.name.clone());
            return Err(DecodeError::ColumnCount { at, table, expected, found }.into());
        }
        let mut walk = RowWalk::new(plan, rows, event.arena);
        let mut source = slots(&place(group, file, event, 0));
        let transaction = group.transaction(file);
        let mut row = 0;
        loop {
            let next = walk.next().map_err(|source| {
                let (at, table) = (error(), plan.name.clone());
                DecodeError::Rows { at, table, source }
            })?;
            let Some(RowChange { op, raw, images }) = next else { break };
            let ordinal = group.n_changes + u64::from(row);
            let id = EventId { transaction: &group.name, ordinal };
            match images {
                Ok(images) => {
                    set_row(&mut source, row);
                    let (table, before, after) = (&plan.table, images.before, images.after);
                    let source = &source;
                    out.change(&Change { table, op, before, after, source, id, transaction, raw })?;
                }
                Err((column, source)) => {
                    let column = plan.column_name(column).to_owned();
                    let error = RowError { table: plan.name.clone(), column, source };
                    let (table, error) = (plan.name.as_str(), Box::new(error));
                    out.undecodable(Undecodable { table, id, raw, error })?;
                }
            }
            row += 1;
        }
        group.handed_on |= row > 0;
        group.n_changes += u64::from(row);
        Ok(())
    }
}

/// `None` for a table map.
fn form(kind: u8) -> Option<Form> {
    use RowsKind::{Delete, PartialUpdate, Update, Write};
    use RowsVersion::{V1, V2};
    Some(match kind {
        kind::WRITE_ROWS | kind::MARIADB_WRITE_ROWS_COMPRESSED => (Write, V2),
        kind::UPDATE_ROWS | kind::MARIADB_UPDATE_ROWS_COMPRESSED => (Update, V2),
        kind::DELETE_ROWS | kind::MARIADB_DELETE_ROWS_COMPRESSED => (Delete, V2),
        kind::PARTIAL_UPDATE_ROWS => (PartialUpdate, V2),
        kind::WRITE_ROWS_V1 | kind::MARIADB_WRITE_ROWS_COMPRESSED_V1 => (Write, V1),
        kind::UPDATE_ROWS_V1 | kind::MARIADB_UPDATE_ROWS_COMPRESSED_V1 => (Update, V1),
        kind::DELETE_ROWS_V1 | kind::MARIADB_DELETE_ROWS_COMPRESSED_V1 => (Delete, V1),
        _ => return None,
    })
}

fn uncompress(
    event: Event<'_>,
    (kind, version): Form,
    (bytes_max, out): (u64, &mut Vec<u8>),
) -> Result<(), ParseError> {
    let rows = Rows::parse(event.body, kind, version)?.rows;
    let head = event.whole.len() - rows.len();
    out.extend_from_slice(event.whole.get(..head).unwrap_or_default());
    compressed::uncompress(rows, bytes_max, out)
}
