//! Values, as `org.bson.json.JsonWriter` and its converters write them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bumpalo::collections::String as BumpString;

use super::{Dialect, Form, Mode, date, number, string};
use crate::sources::mongodb::bson::{
    Array, Binary, Bson, BsonError, DEPTH_MAX, Document, ObjectId, Timestamp,
};

pub(super) struct Writer<'o, 'a> {
    form: Form,
    depth: usize,
    out: &'o mut BumpString<'a>,
}

impl<'o, 'a> Writer<'o, 'a> {
    pub(super) fn new(form: Form, out: &'o mut BumpString<'a>) -> Self {
        Self { form, depth: 0, out }
    }

    pub(super) fn value(&mut self, value: &Bson<'_>) -> Result<(), BsonError> {
        match *value {
            Bson::Document(document) => return self.document(document),
            Bson::Array(array) => return self.array(array),
            Bson::JavaScriptWithScope { code, scope } => return self.scoped(code, scope),
            Bson::String(text) => string::write(text, self.out),
            Bson::Int32(number) => self.int32(number),
            Bson::Int64(number) => self.int64(number),
            Bson::Double(number) => self.double(number),
            Bson::Boolean(true) => self.put("true"),
            Bson::Boolean(false) => self.put("false"),
            Bson::Null => self.put("null"),
            Bson::ObjectId(id) => self.object_id(id),
            Bson::DateTime(millis) => self.date(millis),
            Bson::Decimal128(decimal) => {
                self.put("{\"$numberDecimal\": \"");
                self.format(format_args!("{decimal}"));
                self.put("\"}");
            }
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

    fn document(&mut self, document: Document<'_>) -> Result<(), BsonError> {
        self.enter()?;
        self.put("{");
        let mut comma = "";
        for element in document.elements() {
            let element = element?;
            self.put(comma);
            comma = self.form.comma;
            string::write(element.name, self.out);
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
        for value in array.values() {
            let value = value?;
            self.put(comma);
            comma = self.form.comma;
            self.value(&value)?;
        }
        self.put("]");
        self.depth -= 1;
        Ok(())
    }

    fn scoped(&mut self, code: &str, scope: Document<'_>) -> Result<(), BsonError> {
        self.put("{\"$code\": ");
        string::write(code, self.out);
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
        self.out.push_str(text);
    }

    fn format(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a string in memory takes every text");
    }

    fn integer(&mut self, number: impl itoa::Integer) {
        self.out.push_str(itoa::Buffer::new().format(number));
    }

    /// An object with one member, whose value is a string.
    fn wrapped(&mut self, before: &str, text: &str) {
        self.put(before);
        string::write(text, self.out);
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
        number::write(number, self.form.dialect, self.out);
        if wrapped {
            self.put("\"}");
        }
    }

    fn object_id(&mut self, ObjectId(bytes): ObjectId) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 24];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xF)];
        }
        self.put("{\"$oid\": \"");
        self.put(std::str::from_utf8(&text).expect("hex digits are ASCII"));
        self.put("\"}");
    }

    /// `LegacyExtendedJsonDateTimeConverter` and its kin.
    fn date(&mut self, millis: i64) {
        self.put("{\"$date\": ");
        match (self.form.mode, date::Moment::readable(millis)) {
            (Mode::Legacy, _) => self.integer(millis),
            (Mode::Relaxed, Some(moment)) => {
                self.put("\"");
                moment.write(self.form.dialect, self.out);
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
        match self.form.dialect {
            Dialect::Java => self.format(format_args!("{subtype:02X}")),
            Dialect::Specification => self.format(format_args!("{subtype:02x}")),
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
            self.put(std::str::from_utf8(&text[..length]).expect("base64 is ASCII"));
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
        string::write(pattern, self.out);
        self.put(self.form.comma);
        self.put(between);
        string::write_sorted(options, self.out);
        self.put(after);
    }

    /// The Java driver leaves out `$dbPointer` in all but the canonical form
    /// (`JsonWriter.doWriteDBPointer`).
    fn db_pointer(&mut self, namespace: &str, id: ObjectId) {
        let bare = self.form.dialect == Dialect::Java && self.form.mode != Mode::Canonical;
        self.put(if bare { "{\"$ref\": " } else { "{\"$dbPointer\": {\"$ref\": " });
        string::write(namespace, self.out);
        self.put(self.form.comma);
        self.put("\"$id\": ");
        self.object_id(id);
        self.put(if bare { "}" } else { "}}" });
    }
}
