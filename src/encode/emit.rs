//! What a conversion writes to: the primitives that Avro and JSON have in common.

use super::binary_text::BinaryText;
use crate::schema::connect::Literal;
use crate::value::UpdateDescription;

/// Whether a value may be null, and which branch of Avro's union null then is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nullability {
    Required,
    /// `["null", T]`
    NullFirst,
    /// `[T, "null"]`: the schema has a default.
    NullLast,
}

impl Nullability {
    pub(crate) fn of(optional: bool, has_default: bool) -> Self {
        match (optional, has_default) {
            (false, _) => Self::Required,
            (true, false) => Self::NullFirst,
            (true, true) => Self::NullLast,
        }
    }
}

/// Well-known binary and the number of its reference system.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub(crate) wkb: &'a [u8],
    pub(crate) srid: Option<i32>,
}

pub(crate) trait Emit {
    /// Before a value that is there.
    fn some(&mut self, nullability: Nullability);
    fn none(&mut self, nullability: Nullability);
    fn bool(&mut self, value: bool);
    fn int(&mut self, value: i64);
    fn float32(&mut self, value: f32);
    fn float64(&mut self, value: f64);
    fn text(&mut self, value: &str);
    /// Text that needs no escaping in any format.
    fn ascii(&mut self, value: &[u8]);
    fn bytes(&mut self, value: &[u8]);
    /// Bytes as a text.
    fn binary_text(&mut self, value: &[u8], form: BinaryText);
    /// A map of texts, given as a JSON object; `false` where it is none.
    #[must_use]
    fn string_map(&mut self, json: &str) -> bool;
    fn array_start(&mut self, length: usize);
    /// Before every item.
    fn array_item(&mut self, index: usize);
    fn array_end(&mut self, length: usize);
    /// Before every field of a record; `label` is how JSON opens it.
    fn struct_field(&mut self, label: &[u8]);
    fn struct_end(&mut self, n_fields: usize);
    /// `io.debezium.data.VariableScaleDecimal`
    fn variable_decimal(&mut self, scale: i32, unscaled: &[u8]);
    /// `io.debezium.data.geometry.Point`.
    fn point(&mut self, x: f64, y: f64, shape: Shape<'_>);
    /// `io.debezium.data.geometry.Geometry`.
    fn geometry(&mut self, shape: Shape<'_>);
    /// `io.debezium.connector.mongodb.changestream.updatedescription`
    fn update_description(&mut self, update: &UpdateDescription<'_>);
}

/// A format of records: primitives, and what stands around fields.
pub(crate) trait Wire: Emit {
    /// What JSON writes around fields (`{"id":`, `}`); Avro writes nothing.
    fn glue(&mut self, text: &[u8]);
    /// Bytes that were written in this format before.
    fn raw(&mut self, bytes: &[u8]);
}

/// Makes the writer of a format over a buffer.
pub(crate) trait WireFormat {
    type Out<'a>: Wire;

    fn over(buffer: &mut Vec<u8>) -> Self::Out<'_>;
}

/// Catches a converted value for a schema's default. Arrays, structs and floats that are no
/// numbers have no place there and leave nothing.
#[derive(Default)]
pub(crate) struct LiteralOut {
    pub(crate) literal: Option<Literal>,
}

impl Emit for LiteralOut {
    fn some(&mut self, _: Nullability) {}
    fn none(&mut self, _: Nullability) {}

    fn bool(&mut self, value: bool) {
        self.literal = Some(Literal::Bool(value));
    }

    fn int(&mut self, value: i64) {
        self.literal = Some(Literal::Int(value));
    }

    fn float32(&mut self, value: f32) {
        self.literal = value.is_finite().then_some(Literal::Float32(value));
    }

    fn float64(&mut self, value: f64) {
        self.literal = value.is_finite().then_some(Literal::Float64(value));
    }

    fn text(&mut self, value: &str) {
        self.literal = Some(Literal::Text(value.to_owned()));
    }

    fn ascii(&mut self, value: &[u8]) {
        self.literal = Some(Literal::Text(String::from_utf8_lossy(value).into_owned()));
    }

    fn bytes(&mut self, value: &[u8]) {
        self.literal = Some(Literal::Bytes(value.to_vec()));
    }

    fn binary_text(&mut self, value: &[u8], form: BinaryText) {
        let mut text = Vec::new();
        form.append(value, &mut text);
        self.ascii(&text);
    }

    fn string_map(&mut self, _: &str) -> bool {
        true
    }

    fn array_start(&mut self, _: usize) {}
    fn array_item(&mut self, _: usize) {}

    fn array_end(&mut self, _: usize) {
        self.literal = None;
    }

    fn struct_field(&mut self, _: &[u8]) {}

    fn struct_end(&mut self, _: usize) {
        self.literal = None;
    }

    fn variable_decimal(&mut self, _: i32, _: &[u8]) {}
    fn point(&mut self, _: f64, _: f64, _: Shape<'_>) {}
    fn geometry(&mut self, _: Shape<'_>) {}
    fn update_description(&mut self, _: &UpdateDescription<'_>) {}
}
