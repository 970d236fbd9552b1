//! Values, as `org.bson.json.JsonWriter` and its converters write them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Dialect, Form, Mode, Out, date, number, put, string};
use crate::sources::mongodb::bson::{
    Array, Binary, Bson, BsonError, DEPTH_MAX, Decimal128, Document, Element, ObjectId, RawValue,
    Timestamp,
};

const LOWER: &[u8; 16] = b"0123456789abcdef";

pub(super) struct Writer<'a> {
    form: Form,
    depth: usize,
    out: Out<'a>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(form: Form, out: Out<'a>) -> Self {
        Self { form, depth: 0, out }
    }

    pub(super) fn finish(self) -> Result<&'a str, BsonError> {
        std::str::from_utf8(self.out.into_bump_slice()).map_err(|_| BsonError::NotUtf8("a string"))
    }

    pub(super) fn document(&mut self, document: Document<'_>) -> Result<(), BsonError> {
        self.enter()?;
        self.put("{");
        let mut comma = "";
        for element in document.raw_elements() {
            let element = element?;
            self.put(comma);
            comma = self.form.comma;
            string::write_bytes(element.name, "a name", &mut self.out)?;
            self.put(": ");
            self.raw(element.value)?;
        }
        self.put("}");
        self.depth -= 1;
        Ok(())
    }

    pub(super) fn members(&mut self, members: &[Element<'_>]) -> Result<(), BsonError> {
        self.enter()?;
        self.put("{");
        let mut comma = "";
        for element in members {
            self.put(comma);
            comma = self.form.comma;
            string::write(element.name, &mut self.out);
            self.put(": ");
            self.value(&element.value)?;
        }
        self.put("}");
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self, array: Array<'_>) -> Result<(), BsonError> {
        self.enter()?;
        self.put("[");
        let mut comma = "";
        for element in array.raw_elements() {
            let element = element?;
            self.put(comma);
            comma = self.form.comma;
            self.raw(element.value)?;
        }
        self.put("]");
        self.depth -= 1;
        Ok(())
    }

    fn raw(&mut self, value: RawValue<'_>) -> Result<(), BsonError> {
        match value {
            RawValue::String(text) => string::write_bytes(text, "a string", &mut self.out),
            RawValue::Other(value) => self.value(&value),
        }
    }

    pub(super) fn value(&mut self, value: &Bson<'_>) -> Result<(), BsonError> {
        match *value {
            Bson::Document(document) => return self.document(document),
            Bson::Array(array) => return self.array(array),
            Bson::JavaScriptWithScope { code, scope } => return self.scoped(code, scope),
            Bson::String(text) => string::write(text, &mut self.out),
            Bson::Int32(number) => self.int32(number),
            Bson::Int64(number) => self.int64(number),
            Bson::Double(number) => self.double(number),
            Bson::Boolean(true) => self.put("true"),
            Bson::Boolean(false) => self.put("false"),
            Bson::Null => self.put("null"),
            Bson::ObjectId(id) => self.object_id(id),
            Bson::DateTime(millis) => self.date(millis),
            Bson::Decimal128(decimal) => self.decimal(decimal),
            Bson::Binary(binary) => self.binary(binary),
            Bson::Timestamp(timestamp) => self.timestamp(timestamp),
            Bson::Regex { pattern, options } => self.regex(pattern, options),
            Bson::DbPointer { namespace, id } => self.db_pointer(namespace, id),
            Bson::JavaScript(code) => self.wrapped("{\"$code\": ", code),
            Bson::Symbol(text) => self.wrapped("{\"$symbol\": ", text),
            Bson::Undefined => self.put("{\"$undefined\": true}"),
            Bson::MinKey => self.put("{\"$minKey\": 1}"),
            Bson::MaxKey => self.put("{\"$maxKey\": 1}"),
        }
        Ok(())
    }

    fn scoped(&mut self, code: &str, scope: Document<'_>) -> Result<(), BsonError> {
        self.put("{\"$code\": ");
        string::write(code, &mut self.out);
        self.put(self.form.comma);
        self.put("\"$scope\": ");
        self.document(scope)?;
        self.put("}");
        Ok(())
    }

    fn enter(&mut self) -> Result<(), BsonError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(BsonError::Depth(DEPTH_MAX)) } else { Ok(()) }
    }

    fn put(&mut self, text: &str) {
        put(&mut self.out, text);
    }

    fn decimal(&mut self, decimal: Decimal128) {
        struct Text<'o, 'a>(&'o mut Out<'a>);
        impl std::fmt::Write for Text<'_, '_> {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                put(self.0, text);
                Ok(())
            }
        }
        self.put("{\"$numberDecimal\": \"");
        write!(Text(&mut self.out), "{decimal}").expect("a buffer in memory takes every text");
        self.put("\"}");
    }

    fn integer(&mut self, number: impl itoa::Integer) {
        put(&mut self.out, itoa::Buffer::new().format(number));
    }

    /// An object with one member, whose value is a string.
    fn wrapped(&mut self, before: &str, text: &str) {
        self.put(before);
        string::write(text, &mut self.out);
        self.put("}");
    }

    fn int32(&mut self, number: i32) {
        match self.form.mode {
            Mode::Legacy | Mode::Relaxed => self.integer(number),
            Mode::Canonical => {
                self.put("{\"$numberInt\": \"");
                self.integer(number);
                self.put("\"}");
            }
        }
    }

    fn int64(&mut self, number: i64) {
        match self.form.mode {
            Mode::Relaxed => self.integer(number),
            Mode::Legacy | Mode::Canonical => self.number_long(number),
        }
    }

    fn number_long(&mut self, number: i64) {
        self.put("{\"$numberLong\": \"");
        self.integer(number);
        self.put("\"}");
    }

    /// Legacy writes `NaN` bare, which is no JSON: so does Debezium.
    fn double(&mut self, number: f64) {
        let wrapped = match self.form.mode {
            Mode::Legacy => false,
            Mode::Relaxed => !number.is_finite(),
            Mode::Canonical => true,
        };
        if wrapped {
            self.put("{\"$numberDouble\": \"");
        }
        number::write(number, self.form.dialect, &mut self.out);
        if wrapped {
            self.put("\"}");
        }
    }

    fn object_id(&mut self, ObjectId(bytes): ObjectId) {
        let mut text = [0; 24];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair[0] = LOWER[usize::from(byte >> 4)];
            pair[1] = LOWER[usize::from(byte & 0xF)];
        }
        self.put("{\"$oid\": \"");
        self.out.extend_from_slice_copy(&text);
        self.put("\"}");
    }

    /// `LegacyExtendedJsonDateTimeConverter` and its kin.
    fn date(&mut self, millis: i64) {
        self.put("{\"$date\": ");
        match (self.form.mode, date::Moment::readable(millis)) {
            (Mode::Legacy, _) => self.integer(millis),
            (Mode::Relaxed, Some(moment)) => {
                self.put("\"");
                moment.write(self.form.dialect, &mut self.out);
                self.put("\"");
            }
            (Mode::Relaxed, None) | (Mode::Canonical, _) => self.number_long(millis),
        }
        self.put("}");
    }

    fn binary(&mut self, Binary { subtype, bytes }: Binary<'_>) {
        if self.form.mode == Mode::Legacy {
            self.put("{\"$binary\": \"");
            self.base64(bytes);
            self.put("\"");
            self.put(self.form.comma);
            self.put("\"$type\": \"");
        } else {
            self.put("{\"$binary\": {\"base64\": \"");
            self.base64(bytes);
            self.put("\"");
            self.put(self.form.comma);
            self.put("\"subType\": \"");
        }
        let digits = match self.form.dialect {
            Dialect::Java => b"0123456789ABCDEF",
            Dialect::Specification => LOWER,
        };
        for digit in [subtype >> 4, subtype & 0xF] {
            self.out.push(digits[usize::from(digit)]);
        }
        self.put(if self.form.mode == Mode::Legacy { "\"}" } else { "\"}}" });
    }

    /// Piece by piece, because an arena has no room for a text of unknown length elsewhere.
    fn base64(&mut self, bytes: &[u8]) {
        const PIECE: usize = 3 * 64;
        let mut text = [0; 4 * 64];
        self.out.reserve(bytes.len().div_ceil(3) * 4);
        for piece in bytes.chunks(PIECE) {
            let length = STANDARD
                .encode_slice(piece, &mut text)
                .expect("four bytes for every three that a piece can have");
            self.out.extend_from_slice_copy(&text[..length]);
        }
    }

    fn timestamp(&mut self, Timestamp { time, increment }: Timestamp) {
        self.put("{\"$timestamp\": {\"t\": ");
        self.integer(time);
        self.put(self.form.comma);
        self.put("\"i\": ");
        self.integer(increment);
        self.put("}}");
    }

    fn regex(&mut self, pattern: &str, options: &str) {
        let (before, between, after) = match self.form.mode {
            Mode::Legacy => ("{\"$regex\": ", "\"$options\": ", "}"),
            Mode::Relaxed | Mode::Canonical => {
                ("{\"$regularExpression\": {\"pattern\": ", "\"options\": ", "}}")
            }
        };
        self.put(before);
        string::write(pattern, &mut self.out);
        self.put(self.form.comma);
        self.put(between);
        string::write_sorted(options, &mut self.out);
        self.put(after);
    }

    /// The Java driver leaves out `$dbPointer` in all but the canonical form
    /// (`JsonWriter.doWriteDBPointer`).
    fn db_pointer(&mut self, namespace: &str, id: ObjectId) {
        let bare = self.form.dialect == Dialect::Java && self.form.mode != Mode::Canonical;
        self.put(if bare { "{\"$ref\": " } else { "{\"$dbPointer\": {\"$ref\": " });
        string::write(namespace, &mut self.out);
        self.put(self.form.comma);
        self.put("\"$id\": ");
        self.object_id(id);
        self.put(if bare { "}" } else { "}}" });
    }
}
