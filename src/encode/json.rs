//! JSON as Kafka Connect's `JsonConverter` writes it.

use super::binary_text::BinaryText;
use super::emit::{Emit, Nullability, Shape, Wire, WireFormat};
use crate::schema::jackson;
use crate::value::UpdateDescription;

pub(crate) struct JsonFormat;

impl WireFormat for JsonFormat {
    type Out<'a> = Json<'a>;

    fn over(buffer: &mut Vec<u8>) -> Json<'_> {
        Json(buffer)
    }
}

pub(crate) struct Json<'a>(&'a mut Vec<u8>);

impl Wire for Json<'_> {
    fn glue(&mut self, text: &[u8]) {
        self.0.extend_from_slice(text);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

impl Json<'_> {
    /// The fields that a point and a geometry both end with.
    fn shape(&mut self, shape: Shape<'_>) {
        self.glue(b"\"wkb\":");
        self.bytes(shape.wkb);
        self.glue(b",\"srid\":");
        match shape.srid {
            Some(srid) => self.int(i64::from(srid)),
            None => self.glue(b"null"),
        }
        self.glue(b"}");
    }

    /// An array that is null where it is empty.
    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        if items.is_empty() {
            return self.glue(b"null");
        }
        self.array_start(items.len());
        for (index, item) in items.iter().enumerate() {
            self.array_item(index);
            write(self, item);
        }
        self.array_end(items.len());
    }
}

impl Emit for Json<'_> {
    fn some(&mut self, _: Nullability) {}

    fn none(&mut self, _: Nullability) {
        self.0.extend_from_slice(b"null");
    }

    fn bool(&mut self, value: bool) {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn int(&mut self, value: i64) {
        jackson::write_int(self.0, value);
    }

    fn float32(&mut self, value: f32) {
        jackson::write_float32(self.0, value);
    }

    fn float64(&mut self, value: f64) {
        jackson::write_float64(self.0, value);
    }

    fn text(&mut self, value: &str) {
        jackson::write_string(self.0, value);
    }

    fn ascii(&mut self, value: &[u8]) {
        self.0.push(b'"');
        self.0.extend_from_slice(value);
        self.0.push(b'"');
    }

    fn bytes(&mut self, value: &[u8]) {
        jackson::write_base64(self.0, value);
    }

    fn binary_text(&mut self, value: &[u8], form: BinaryText) {
        self.0.push(b'"');
        form.append(value, self.0);
        self.0.push(b'"');
    }

    /// `JsonConverter` writes a map of texts as an object.
    fn string_map(&mut self, json: &str) -> bool {
        self.0.extend_from_slice(json.as_bytes());
        true
    }

    fn array_start(&mut self, _: usize) {
        self.0.push(b'[');
    }

    fn array_item(&mut self, index: usize) {
        if index > 0 {
            self.0.push(b',');
        }
    }

    fn array_end(&mut self, _: usize) {
        self.0.push(b']');
    }

    fn struct_field(&mut self, label: &[u8]) {
        self.glue(label);
    }

    fn struct_end(&mut self, n_fields: usize) {
        self.glue(if n_fields == 0 { b"{}" } else { b"}" });
    }

    fn variable_decimal(&mut self, scale: i32, unscaled: &[u8]) {
        self.glue(b"{\"scale\":");
        self.int(i64::from(scale));
        self.glue(b",\"value\":");
        self.bytes(unscaled);
        self.glue(b"}");
    }

    fn point(&mut self, x: f64, y: f64, shape: Shape<'_>) {
        self.glue(b"{\"x\":");
        self.float64(x);
        self.glue(b",\"y\":");
        self.float64(y);
        self.glue(b",");
        self.shape(shape);
    }

    fn geometry(&mut self, shape: Shape<'_>) {
        self.glue(b"{");
        self.shape(shape);
    }

    fn update_description(&mut self, update: &UpdateDescription<'_>) {
        self.glue(b"{\"removedFields\":");
        self.list(update.removed, |out, name| out.text(name));
        self.glue(b",\"updatedFields\":");
        match update.updated {
            Some(fields) => self.text(fields),
            None => self.glue(b"null"),
        }
        self.glue(b",\"truncatedArrays\":");
        self.list(update.truncated, |out, array| {
            out.glue(b"{\"field\":");
            out.text(array.field);
            out.glue(b",\"size\":");
            out.int(i64::from(array.new_size));
            out.glue(b"}");
        });
        self.glue(b"}");
    }
}
