//! Avro's binary encoding (specification 1.12, "Binary Encoding").

use super::binary_text::BinaryText;
use super::emit::{Emit, Nullability, Shape, Wire, WireFormat};
use super::string_map;
use crate::value::UpdateDescription;

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

    /// An array that is null where it is empty.
    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        if items.is_empty() {
            return self.none(Nullability::NullFirst);
        }
        self.some(Nullability::NullFirst);
        self.array_start(items.len());
        for item in items {
            write(self, item);
        }
        self.array_end(items.len());
    }
}

/// Seven bits a byte, lowest first, a high bit on all but the last. Eight of the bytes are made in
/// one register and stored at once: the timestamps of every record are long, and bytes that are
/// stored one by one to be copied together stall the copy.
#[inline]
fn write_varint(out: &mut Vec<u8>, value: u64) {
    const MORE: u64 = 0x8080_8080_8080_8080;
    let low = value & 0x00FF_FFFF_FFFF_FFFF;
    let low = (low & 0x0FFF_FFFF) | ((low & 0x00FF_FFFF_F000_0000) << 4);
    let low = (low & 0x0000_3FFF_0000_3FFF) | ((low & 0x0FFF_C000_0FFF_C000) << 2);
    let low = (low & 0x007F_007F_007F_007F) | ((low & 0x3F80_3F80_3F80_3F80) << 1);
    if let high @ 1.. = value >> 56 {
        out.extend_from_slice(&(low | MORE).to_le_bytes());
        let [ninth, ..] = high.to_le_bytes();
        out.push(ninth);
        if ninth >= 0x80 {
            out.push(1);
        }
        return;
    }
    // The bits below the highest byte that is not zero.
    let last = 7 - (low | 1).leading_zeros() / 8;
    let more = MORE & ((1 << (8 * last)) - 1);
    let end = out.len() + last as usize + 1;
    out.extend_from_slice(&(low | more).to_le_bytes());
    out.truncate(end);
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
        let rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        if rest < 0x80 {
            self.0.push(rest.to_le_bytes()[0]);
            return;
        }
        write_varint(self.0, rest);
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

    fn binary_text(&mut self, value: &[u8], form: BinaryText) {
        self.length(form.length(value));
        form.append(value, self.0);
    }

    /// One block with all pairs, as for arrays; the values may be null.
    fn string_map(&mut self, json: &str) -> bool {
        let Some(n_pairs) = string_map::count(json) else { return false };
        self.array_start(n_pairs);
        let written = string_map::pairs(json, |key, value| {
            self.text(key);
            match value {
                Some(value) => {
                    self.some(Nullability::NullFirst);
                    self.text(value);
                }
                None => self.none(Nullability::NullFirst),
            }
        });
        self.array_end(n_pairs);
        written.is_some()
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

    fn struct_field(&mut self, _: &[u8]) {}

    fn struct_end(&mut self, _: usize) {}

    fn variable_decimal(&mut self, scale: i32, unscaled: &[u8]) {
        self.int(i64::from(scale));
        self.bytes(unscaled);
    }

    fn point(&mut self, x: f64, y: f64, shape: Shape<'_>) {
        self.float64(x);
        self.float64(y);
        self.some(Nullability::NullFirst);
        self.geometry(shape);
    }

    fn geometry(&mut self, shape: Shape<'_>) {
        self.bytes(shape.wkb);
        match shape.srid {
            Some(srid) => {
                self.some(Nullability::NullFirst);
                self.int(i64::from(srid));
            }
            None => self.none(Nullability::NullFirst),
        }
    }

    fn update_description(&mut self, update: &UpdateDescription<'_>) {
        self.list(update.removed, |out, name| out.text(name));
        match update.updated {
            Some(fields) => {
                self.some(Nullability::NullFirst);
                self.text(fields);
            }
            None => self.none(Nullability::NullFirst),
        }
        self.list(update.truncated, |out, array| {
            out.text(array.field);
            out.int(i64::from(array.new_size));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::write_varint;

    #[test]
    fn numbers_of_every_length_are_split_into_seven_bits() {
        let mut values = vec![0, 1, u64::MAX];
        for bit in 0..64 {
            values.extend([1 << bit, (1 << bit) - 1, 0xA5A5_5A5A_C3C3_3C3C >> bit]);
        }
        for value in values {
            let mut expected = Vec::new();
            let mut rest = value;
            while rest >= 0x80 {
                expected.push(u8::try_from(rest & 0x7F).unwrap() | 0x80);
                rest >>= 7;
            }
            expected.push(u8::try_from(rest).unwrap());
            let mut written = Vec::new();
            write_varint(&mut written, value);
            assert_eq!(written, expected, "{value}");
        }
    }
}
