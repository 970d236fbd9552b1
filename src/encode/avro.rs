//! Avro's binary encoding (specification 1.12, "Binary Encoding").

use super::emit::{Emit, Nullability, Wire, WireFormat};

/// Confluent's framing: a zero, then the schema's number, big-endian.
pub(crate) fn frame(schema_id: u32) -> Vec<u8> {
    let mut prefix = vec![0];
    prefix.extend_from_slice(&schema_id.to_be_bytes());
    prefix
}

pub(crate) struct AvroFormat;

impl WireFormat for AvroFormat {
    type Out<'a> = Avro<'a>;

    fn over(buffer: &mut Vec<u8>) -> Avro<'_> {
        Avro(buffer)
    }
}

pub(crate) struct Avro<'a>(&'a mut Vec<u8>);

impl Avro<'_> {
    #[inline]
    fn length(&mut self, length: usize) {
        self.int(i64::try_from(length).expect("a slice is shorter than i64::MAX"));
    }
}

impl Wire for Avro<'_> {
    #[inline]
    fn glue(&mut self, _: &[u8]) {}

    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

impl Emit for Avro<'_> {
    #[inline]
    fn some(&mut self, nullability: Nullability) {
        match nullability {
            Nullability::Required => {}
            Nullability::NullFirst => self.0.push(2),
            Nullability::NullLast => self.0.push(0),
        }
    }

    #[inline]
    fn none(&mut self, nullability: Nullability) {
        match nullability {
            Nullability::Required => {}
            Nullability::NullFirst => self.0.push(0),
            Nullability::NullLast => self.0.push(2),
        }
    }

    fn bool(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    /// Zigzag, then seven bits a byte, lowest first.
    #[inline]
    fn int(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        if rest < 0x80 {
            self.0.push(rest.to_le_bytes()[0]);
            return;
        }
        let mut bytes = [0; 10];
        let mut length = 0;
        while rest >= 0x80 {
            bytes[length] = rest.to_le_bytes()[0] | 0x80;
            rest >>= 7;
            length += 1;
        }
        bytes[length] = rest.to_le_bytes()[0];
        self.0.extend_from_slice(&bytes[..=length]);
    }

    fn float32(&mut self, value: f32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn float64(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    #[inline]
    fn ascii(&mut self, value: &[u8]) {
        self.bytes(value);
    }

    #[inline]
    fn bytes(&mut self, value: &[u8]) {
        self.length(value.len());
        self.0.extend_from_slice(value);
    }

    /// One block with all items, as Java's `BinaryEncoder` writes arrays; an empty array has none.
    fn array_start(&mut self, length: usize) {
        if length > 0 {
            self.length(length);
        }
    }

    fn array_item(&mut self, _: usize) {}

    fn array_end(&mut self, _: usize) {
        self.0.push(0);
    }

    fn variable_decimal(&mut self, scale: i32, unscaled: &[u8]) {
        self.int(i64::from(scale));
        self.bytes(unscaled);
    }

    fn point(&mut self, x: f64, y: f64, wkb: &[u8]) {
        self.float64(x);
        self.float64(y);
        self.some(Nullability::NullFirst);
        self.bytes(wkb);
        self.none(Nullability::NullFirst);
    }
}
