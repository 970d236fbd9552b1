//! One change to its records: which there are, and what stands in each.
//!
//! | change | records |
//! |---|---|
//! | create, read, update | the envelope |
//! | delete | the envelope, a tombstone |
//! | update that changes the key | delete and tombstone of the old key, create of the new one |
//! | truncate | an envelope without key and rows |
//!
//! Of documents the same, but that a document's key never changes, and an envelope of their own.

use std::ops::Range;

use super::emit::{Emit, Nullability, Wire, WireFormat};
use super::encoder::{EncodeError, EncodeOptions};
use super::json::{Json, JsonFormat};
use super::plan::{Frame, KeyPlan, Plan};
use super::row::{Image, Misfit, RowPlan};
use super::transactions::{Membership, write_block};
use crate::change::{Before, Change, Op, Row};
use crate::record::{Header, Record, RecordBatch};
use crate::schema::Shape;
use crate::value::Value;

/// `RelationalChangeRecordEmitter`'s headers on the two halves of a changed key.
const NEW_KEY: &str = "__debezium.newkey";
const OLD_KEY: &str = "__debezium.oldkey";
/// The id of the event, the same however often it is read.
pub(super) const ID: &str = "cdc.id";

/// A document that is not there.
const NO_DOCUMENT: Row<'static> = &[Value::Null; 3];

/// The records of one change, on their way into a batch.
pub(crate) struct Draft<'a, 'c> {
    pub(crate) plan: &'a Plan,
    pub(crate) options: &'a EncodeOptions,
    /// Names and values of the headers that every record gets.
    pub(crate) context: &'a [(&'static str, Vec<u8>)],
    pub(crate) change: &'a Change<'c>,
    pub(crate) times: &'a Times,
    pub(crate) transaction: Option<Membership<'a>>,
    pub(crate) out: &'a mut RecordBatch,
    /// Counts the records of this change.
    pub(crate) part: u32,
}

/// The times of envelopes: the same in every record of a batch, and so written once.
#[derive(Default)]
pub(crate) struct Times {
    now_ns: i64,
    bytes: Vec<u8>,
}

impl Times {
    /// Always with the same format.
    pub(crate) fn set<F: WireFormat>(&mut self, now_ns: i64) {
        if self.now_ns == now_ns && !self.bytes.is_empty() {
            return;
        }
        self.now_ns = now_ns;
        self.bytes.clear();
        let mut out = F::over(&mut self.bytes);
        write_time(b",\"ts_ms\":", now_ns / 1_000_000, &mut out);
        write_time(b",\"ts_us\":", now_ns / 1_000, &mut out);
        write_time(b",\"ts_ns\":", now_ns, &mut out);
    }
}

/// The other key of a changed key, for a header.
type OtherKey<'c> = Option<(&'static str, Row<'c>, Image)>;

impl<'c> Draft<'_, 'c> {
    pub(crate) fn write<F: WireFormat>(&mut self) -> Result<(), EncodeError> {
        match (self.change.table.shape, self.change.op) {
            (Shape::Rows, Op::Create | Op::Read) => {
                let after = self.after()?;
                let key = self.key::<F>(after, Image::After)?;
                let value = self.envelope::<F>(None, Some(after), self.change.op)?;
                self.push(key, Some(value), None)
            }
            (Shape::Rows, Op::Update) => self.update::<F>(),
            (Shape::Rows, Op::Delete) => {
                let before = self.before()?;
                let key = self.key::<F>(before, Image::Before)?;
                self.delete::<F>(key, before, None)
            }
            (Shape::Rows, Op::Truncate) => {
                let value = self.envelope::<F>(None, None, Op::Truncate)?;
                self.push(None, Some(value), None)
            }
            (Shape::Messages, Op::Message) => {
                let message = self.after()?;
                let key = self.key::<F>(message, Image::After)?;
                let value = self.message::<F>(message)?;
                self.push(key, Some(value), None)
            }
            (Shape::Documents, Op::Create | Op::Read | Op::Update) => {
                let after = self.after()?;
                let before = self.change.before.map_or(NO_DOCUMENT, Before::row);
                let key = self.key::<F>(after, Image::After)?;
                let value = self.document::<F>(before, after)?;
                self.push(key, Some(value), None)
            }
            (Shape::Documents, Op::Delete) => {
                let before = self.before()?;
                let key = self.key::<F>(before, Image::Before)?;
                let value = self.document::<F>(before, NO_DOCUMENT)?;
                self.push_delete(key, value, None)
            }
            (Shape::Rows | Shape::Documents, Op::Message)
            | (Shape::Documents, Op::Truncate)
            | (Shape::Messages, Op::Create | Op::Read | Op::Update | Op::Delete | Op::Truncate) => {
                Err(EncodeError::Shape { table: self.table(), op: self.change.op.code() })
            }
        }
    }

    /// A key has changed when its bytes have: Debezium compares the two structs.
    fn update<F: WireFormat>(&mut self) -> Result<(), EncodeError> {
        let after = self.after()?;
        let key = self.key::<F>(after, Image::After)?;
        if let (Some(key), Some(before)) = (&key, self.change.before) {
            let before = before.row();
            let start = self.out.data.len();
            let old_key = self.key::<F>(before, Image::Before)?;
            if let Some(old_key) = old_key
                && self.out.bytes(&old_key) != self.out.bytes(key)
            {
                let moved_to = Some((NEW_KEY, after, Image::After));
                self.delete::<F>(Some(old_key), before, moved_to)?;
                let value = self.envelope::<F>(None, Some(after), Op::Create)?;
                let moved_from = Some((OLD_KEY, before, Image::Before));
                return self.push(Some(key.clone()), Some(value), moved_from);
            }
            self.out.data.truncate(start);
        }
        // A key alone is no old row.
        let before = match self.change.before {
            Some(Before::Whole(row)) => Some(row),
            Some(Before::Key(_)) | None => None,
        };
        let value = self.envelope::<F>(before, Some(after), Op::Update)?;
        self.push(key, Some(value), None)
    }

    fn delete<F: WireFormat>(
        &mut self,
        key: Option<Range<u32>>,
        before: Row<'c>,
        moved_to: OtherKey<'c>,
    ) -> Result<(), EncodeError> {
        let value = self.envelope::<F>(Some(before), None, Op::Delete)?;
        self.push_delete(key, value, moved_to)
    }

    /// The envelope of a delete, and its tombstone.
    fn push_delete(
        &mut self,
        key: Option<Range<u32>>,
        value: Range<u32>,
        moved_to: OtherKey<'c>,
    ) -> Result<(), EncodeError> {
        self.push(key.clone(), Some(value), moved_to)?;
        if self.options.tombstones {
            self.push(key, None, moved_to)?;
        }
        Ok(())
    }

    fn after(&self) -> Result<Row<'c>, EncodeError> {
        self.change.after.ok_or_else(|| self.incomplete("new"))
    }

    fn before(&self) -> Result<Row<'c>, EncodeError> {
        self.change.before.map(Before::row).ok_or_else(|| self.incomplete("old"))
    }

    fn key<F: WireFormat>(
        &mut self,
        row: Row<'_>,
        image: Image,
    ) -> Result<Option<Range<u32>>, EncodeError> {
        let Some(key) = &self.plan.key else { return Ok(None) };
        // A zero in its place would be the key of another row.
        if key.row.columns().any(|column| matches!(row.get(column), None | Some(Value::Absent))) {
            return Err(self.incomplete(match image {
                Image::Before => "key of the old",
                Image::After => "key of the new",
            }));
        }
        self.framed::<F>(&key.frame, |out| key.row.write(row, image, out)).map(Some)
    }

    /// Debezium's envelope.
    fn envelope<F: WireFormat>(
        &mut self,
        before: Option<Row<'_>>,
        after: Option<Row<'_>>,
        op: Op,
    ) -> Result<Range<u32>, EncodeError> {
        let (plan, slots, times) = (self.plan, self.change.source, self.times);
        let block = self.transaction.as_mut().map(Membership::next);
        self.framed::<F>(&plan.value_frame, |out| {
            out.glue(b"{\"before\":");
            write_row(&plan.row, before, Image::Before, out)?;
            out.glue(b",\"after\":");
            write_row(&plan.row, after, Image::After, out)?;
            out.glue(b",\"source\":");
            plan.source.write(slots, out)?;
            out.glue(b",\"transaction\":");
            write_block(block, out);
            out.glue(b",\"op\":");
            out.ascii(op.code().as_bytes());
            out.raw(&times.bytes);
            out.glue(b"}");
            Ok(())
        })
    }

    /// `MessageValue`: the envelope of a logical message.
    fn message<F: WireFormat>(&mut self, message: Row<'_>) -> Result<Range<u32>, EncodeError> {
        let (plan, slots, now_ns) = (self.plan, self.change.source, self.times.now_ns);
        let block = self.transaction.as_mut().map(Membership::next);
        self.framed::<F>(&plan.value_frame, |out| {
            out.glue(b"{\"op\":");
            out.ascii(Op::Message.code().as_bytes());
            write_time(b",\"ts_ms\":", now_ns / 1_000_000, out);
            out.glue(b",\"source\":");
            plan.source.write(slots, out)?;
            out.glue(b",\"transaction\":");
            write_block(block, out);
            out.glue(b",\"message\":");
            plan.row.write(message, Image::After, out)?;
            out.glue(b"}");
            Ok(())
        })
    }

    /// The envelope of documents.
    fn document<F: WireFormat>(
        &mut self,
        before: Row<'_>,
        after: Row<'_>,
    ) -> Result<Range<u32>, EncodeError> {
        let (plan, slots, now_ns, op) =
            (self.plan, self.change.source, self.times.now_ns, self.change.op);
        let block = self.transaction.as_mut().map(Membership::next);
        self.framed::<F>(&plan.value_frame, |out| {
            plan.row.write_documents(before, after, out)?;
            out.glue(b",\"source\":");
            plan.source.write(slots, out)?;
            out.glue(b",\"op\":");
            out.some(Nullability::NullFirst);
            out.ascii(op.code().as_bytes());
            write_time(b",\"ts_ms\":", now_ns / 1_000_000, out);
            out.glue(b",\"transaction\":");
            write_block(block, out);
            out.glue(b"}");
            Ok(())
        })
    }

    /// Appends what `write` writes, with what stands around it.
    fn framed<F: WireFormat>(
        &mut self,
        frame: &Frame,
        write: impl FnOnce(&mut F::Out<'_>) -> Result<(), Misfit>,
    ) -> Result<Range<u32>, EncodeError> {
        let start = self.out.data.len();
        self.out.data.extend_from_slice(&frame.prefix);
        let written = write(&mut F::over(&mut self.out.data));
        written.map_err(|misfit| misfit.into_error(self.change.table))?;
        self.out.data.extend_from_slice(frame.suffix);
        self.range(start)
    }

    fn push(
        &mut self,
        key: Option<Range<u32>>,
        value: Option<Range<u32>>,
        other_key: OtherKey<'_>,
    ) -> Result<(), EncodeError> {
        let start = self.out.headers.len();
        if let (Some((name, row, image)), Some(plan)) = (other_key, &self.plan.key) {
            self.key_header(name, plan, row, image)?;
        }
        for (name, value) in self.context {
            let name = self.append(name.as_bytes())?;
            let value = Some(self.append(value)?);
            self.out.headers.push(Header { name, value });
        }
        if self.options.id_header {
            self.id_header()?;
        }
        let headers = span(start, self.out.headers.len()).ok_or_else(|| self.too_large())?;
        self.out.records.push(Record { topic: self.plan.topic, key, value, headers });
        self.part += 1;
        Ok(())
    }

    fn key_header(
        &mut self,
        name: &str,
        plan: &KeyPlan,
        row: Row<'_>,
        image: Image,
    ) -> Result<(), EncodeError> {
        let name = self.append(name.as_bytes())?;
        let write = |out: &mut Json<'_>| plan.row.write(row, image, out);
        let value = Some(self.framed::<JsonFormat>(&plan.header_frame, write)?);
        self.out.headers.push(Header { name, value });
        Ok(())
    }

    /// `<transaction>:<ordinal>`, and `:<part>` on all but the first record of a change.
    fn id_header(&mut self) -> Result<(), EncodeError> {
        let name = self.append(ID.as_bytes())?;
        let start = self.out.data.len();
        let data = &mut self.out.data;
        data.extend_from_slice(self.change.id.transaction.as_bytes());
        data.push(b':');
        data.extend_from_slice(itoa::Buffer::new().format(self.change.id.ordinal).as_bytes());
        if self.part > 0 {
            data.push(b':');
            data.extend_from_slice(itoa::Buffer::new().format(self.part).as_bytes());
        }
        let value = Some(self.range(start)?);
        self.out.headers.push(Header { name, value });
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<Range<u32>, EncodeError> {
        let start = self.out.data.len();
        self.out.data.extend_from_slice(bytes);
        self.range(start)
    }

    /// From `start` to the end of the arena.
    fn range(&self, start: usize) -> Result<Range<u32>, EncodeError> {
        span(start, self.out.data.len()).ok_or_else(|| self.too_large())
    }

    fn table(&self) -> String {
        self.change.table.path.join(".")
    }

    fn too_large(&self) -> EncodeError {
        EncodeError::TooLarge { table: self.table() }
    }

    fn incomplete(&self, image: &'static str) -> EncodeError {
        EncodeError::Incomplete { table: self.table(), op: self.change.op.code(), image }
    }
}

fn write_row<W: Wire>(
    plan: &RowPlan,
    row: Option<Row<'_>>,
    image: Image,
    out: &mut W,
) -> Result<(), Misfit> {
    let Some(row) = row else {
        out.none(Nullability::NullFirst);
        return Ok(());
    };
    out.some(Nullability::NullFirst);
    plan.write(row, image, out)
}

#[inline]
fn write_time<W: Wire>(label: &[u8], value: i64, out: &mut W) {
    out.glue(label);
    out.some(Nullability::NullFirst);
    out.int(value);
}

pub(super) fn span(start: usize, end: usize) -> Option<Range<u32>> {
    Some(u32::try_from(start).ok()?..u32::try_from(end).ok()?)
}
