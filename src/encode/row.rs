//! The fields of a row, of a key, of a source block: compiled once, written many times.

use super::codec::Codec;
use super::convert::{self, Mismatch};
use super::emit::{Emit, Nullability, Wire, WireFormat};
use super::encoder::EncodeError;
use super::stand_in;
use crate::config::ValueModes;
use crate::schema::connect::{Field, Literal};
use crate::schema::debezium::SNAPSHOT_DEFAULT;
use crate::schema::{Column, SourceFieldKind, SourceFieldValue, SourceLayout, Table, jackson};
use crate::value::Value;

/// Which image a row is. A new row is complete; an old one may be no more than its key, and then
/// Debezium fills what must not be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    Before,
    After,
}

/// Columns of a table, in the order of a record's fields.
pub(crate) struct RowPlan {
    fields: Vec<FieldPlan>,
}

struct FieldPlan {
    /// Index into the row image.
    column: usize,
    codec: Codec,
    nullability: Nullability,
    /// The default in its converted form, for old images that lack the column.
    default: Option<Literal>,
    /// `{"name":` or `,"name":`
    label: Vec<u8>,
}

/// A value that has no place in its field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Misfit {
    field: MisfitField,
    mismatch: Mismatch,
}

#[derive(Clone, Copy, Debug)]
enum MisfitField {
    /// By its index in the row image.
    Column(usize),
    Source(&'static str),
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.mismatch.fmt(f)
    }
}

impl Misfit {
    pub(crate) fn into_error(self, table: &Table) -> EncodeError {
        let column = match self.field {
            MisfitField::Column(index) => {
                table.columns.get(index).map_or_else(String::new, |column| column.name.clone())
            }
            MisfitField::Source(name) => format!("source.{name}"),
        };
        EncodeError::Convert {
            table: table.path.join("."),
            column,
            detail: self.mismatch.to_string(),
        }
    }
}

impl RowPlan {
    /// `fields` are those of the columns in `picked`, in that order; there may be more behind them.
    pub(crate) fn compile(
        columns: &[Column],
        picked: &[usize],
        fields: &[Field],
        modes: &ValueModes,
    ) -> Self {
        let fields = picked.iter().zip(fields).enumerate();
        let fields = fields.map(|(index, (column, field))| FieldPlan {
            column: *column,
            codec: Codec::of(&columns[*column].data_type, modes),
            nullability: Nullability::of(field.schema.optional, field.schema.default.is_some()),
            default: field.schema.default.clone(),
            label: label(index, &field.name),
        });
        Self { fields: fields.collect() }
    }

    /// Indexes into the row image.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> {
        self.fields.iter().map(|field| field.column)
    }

    pub(crate) fn write<W: Wire>(
        &self,
        row: &[Value<'_>],
        image: Image,
        out: &mut W,
    ) -> Result<(), Misfit> {
        if self.fields.is_empty() {
            out.glue(b"{");
        }
        for field in &self.fields {
            out.glue(&field.label);
            field.write_of(row, image, out)?;
        }
        out.glue(b"}");
        Ok(())
    }

    /// The fields of a document's envelope up to its source: the document before, the document
    /// after, what the update did.
    pub(crate) fn write_documents<W: Wire>(
        &self,
        before: &[Value<'_>],
        after: &[Value<'_>],
        out: &mut W,
    ) -> Result<(), Misfit> {
        let [document, update] = &self.fields[..] else {
            unreachable!("a plan of documents has two fields");
        };
        out.glue(b"{\"before\":");
        document.write_of(before, Image::After, out)?;
        out.glue(b",\"after\":");
        document.write_of(after, Image::After, out)?;
        out.glue(b",\"updateDescription\":");
        update.write_of(after, Image::After, out)
    }
}

impl FieldPlan {
    /// Writes the field's value out of a row.
    #[inline]
    fn write_of<W: Wire>(
        &self,
        row: &[Value<'_>],
        image: Image,
        out: &mut W,
    ) -> Result<(), Misfit> {
        let value = row.get(self.column).copied().unwrap_or(Value::Absent);
        let written = self.write(value, image, out);
        written.map_err(|mismatch| Misfit { field: MisfitField::Column(self.column), mismatch })
    }

    #[inline]
    fn write<W: Wire>(&self, value: Value<'_>, image: Image, out: &mut W) -> Result<(), Mismatch> {
        match (value, image) {
            (Value::Null | Value::NoSuchDate, _) | (Value::Absent, Image::Before)
                if self.nullability != Nullability::Required =>
            {
                out.none(self.nullability);
                Ok(())
            }
            // A date that is none cannot be told in a column that is never null; what stands
            // there instead is what Debezium puts there.
            (Value::NoSuchDate, _) | (Value::Null | Value::Absent, Image::Before) => {
                match &self.default {
                    Some(default) => convert::write_literal(default, out),
                    None => stand_in::write_zero(&self.codec, out),
                }
                Ok(())
            }
            (value, _) => {
                out.some(self.nullability);
                convert::write(&self.codec, value, out)
            }
        }
    }
}

pub(crate) fn label(index: usize, name: &str) -> Vec<u8> {
    let mut label = vec![if index == 0 { b'{' } else { b',' }];
    jackson::write_string(&mut label, name);
    label.push(b':');
    label
}

/// The source block: runs of bytes that are the same for every record of a table version, and the
/// slots between them.
pub(crate) struct SourcePlan {
    constants: Vec<u8>,
    steps: Vec<SourceStep>,
}

enum SourceStep {
    Run(std::ops::Range<usize>),
    Slot { name: &'static str, slot: usize, kind: SourceFieldKind, nullability: Nullability },
}

impl SourcePlan {
    pub(crate) fn compile<F: WireFormat>(layout: &SourceLayout) -> Result<Self, Misfit> {
        let mut plan = Self { constants: Vec::new(), steps: Vec::new() };
        if layout.fields.is_empty() {
            F::over(&mut plan.constants).glue(b"{");
        }
        let mut run = 0;
        for (index, field) in layout.fields.iter().enumerate() {
            let has_default = field.kind == SourceFieldKind::Snapshot;
            let nullability = Nullability::of(field.optional, has_default);
            F::over(&mut plan.constants).glue(&label(index, field.name));
            match &field.value {
                SourceFieldValue::Constant(value) => {
                    write_source_field(
                        field.kind,
                        nullability,
                        value.as_value(),
                        &mut F::over(&mut plan.constants),
                    )
                    .map_err(|mismatch| Misfit {
                        field: MisfitField::Source(field.name),
                        mismatch,
                    })?;
                }
                SourceFieldValue::Slot(slot) => {
                    let end = plan.constants.len();
                    plan.steps.push(SourceStep::Run(run..end));
                    run = end;
                    let (name, slot, kind) = (field.name, *slot, field.kind);
                    plan.steps.push(SourceStep::Slot { name, slot, kind, nullability });
                }
            }
        }
        F::over(&mut plan.constants).glue(b"}");
        plan.steps.push(SourceStep::Run(run..plan.constants.len()));
        plan.steps.retain(|step| !matches!(step, SourceStep::Run(run) if run.is_empty()));
        Ok(plan)
    }

    pub(crate) fn write<W: Wire>(&self, slots: &[Value<'_>], out: &mut W) -> Result<(), Misfit> {
        for step in &self.steps {
            match step {
                SourceStep::Run(run) => out.raw(&self.constants[run.clone()]),
                SourceStep::Slot { name, slot, kind, nullability } => {
                    let value = slots.get(*slot).copied().unwrap_or(Value::Absent);
                    write_source_field(*kind, *nullability, value, out).map_err(|mismatch| {
                        Misfit { field: MisfitField::Source(name), mismatch }
                    })?;
                }
            }
        }
        Ok(())
    }
}

#[inline]
fn write_source_field<E: Emit>(
    kind: SourceFieldKind,
    nullability: Nullability,
    value: Value<'_>,
    out: &mut E,
) -> Result<(), Mismatch> {
    match (kind, value) {
        // Connect gives the default where there is no value, and Debezium leaves it to that.
        (SourceFieldKind::Snapshot, Value::Null) => {
            out.some(nullability);
            out.ascii(SNAPSHOT_DEFAULT.as_bytes());
        }
        (_, Value::Null) if nullability == Nullability::Required => return Err(Mismatch::Null),
        (_, Value::Null) => out.none(nullability),
        (SourceFieldKind::Int64, Value::Int(value)) => {
            out.some(nullability);
            out.int(value);
        }
        (SourceFieldKind::Int32, value) => {
            out.some(nullability);
            convert::write(&Codec::Int32, value, out)?;
        }
        (SourceFieldKind::String | SourceFieldKind::Snapshot, Value::Text(text)) => {
            out.some(nullability);
            out.text(text);
        }
        (SourceFieldKind::Int64, _) => return Err(Mismatch::Kind("an integer")),
        (SourceFieldKind::String | SourceFieldKind::Snapshot, _) => {
            return Err(Mismatch::Kind("text"));
        }
    }
    Ok(())
}
