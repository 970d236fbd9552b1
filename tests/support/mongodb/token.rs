//! Resume tokens in the server's own form: a KeyString (`src/mongo/db/storage/key_string.cpp`) of
//! the fields of `ResumeTokenData` (`src/mongo/db/pipeline/resume_token.cpp`), in upper-case
//! hexadecimal digits. Bytewise order is the order of the stream.
//!
//! Version 1 is checked against recordings of 4.4; version 2 (6.0 and later) is built from the
//! source and the manual's examples. Fractions within a document key keep their order but not the
//! server's bytes.
//!
//! A KeyString does not tell `1`, `NumberLong(1)` and `1.0` apart, and the server must: the types
//! of numbers stand beside it, in the token's `_typeBits`, where one of them is no int32. This
//! server wants back what it handed out, both parts of it.

use std::fmt::Write as _;

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, Timestamp, doc};

use super::failure::Failure;
use super::order;
use super::type_bits::TypeBits;

const END: u8 = 0x04;
const HIGH_WATER_MARK: i64 = 0;
const EVENT: i64 = 128;

/// A token, in the order of the stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token {
    pub(crate) key: Vec<u8>,
    pub(crate) bits: TypeBits,
}

impl Token {
    fn push(&mut self, byte: u8) {
        self.key.push(byte);
    }

    fn extend(&mut self, bytes: impl IntoIterator<Item = u8>) {
        self.key.extend(bytes);
    }
}

/// What names an event within the stream.
pub(crate) struct Event<'a> {
    pub(crate) time: Timestamp,
    /// Place within a transaction.
    pub(crate) index: usize,
    pub(crate) from_invalidate: bool,
    pub(crate) uuid: Option<[u8; 16]>,
    pub(crate) operation: &'a str,
    /// The document's key, or what a later server tells of a command.
    pub(crate) identifier: Option<&'a Document>,
}

/// Tokens of 6.0 and later have version 2.
pub(crate) fn version(wire: i32) -> i64 {
    if wire >= 17 { 2 } else { 1 }
}

pub(crate) fn of_event(event: &Event<'_>, version: i64) -> Token {
    let mut key = head(event.time, version, EVENT, event.index, event.from_invalidate);
    if version == 1 {
        if let Some(uuid) = event.uuid {
            push_binary(&mut key, 4, &uuid);
            // Commands on collections have no document key; its absence is not written.
            if let Some(identifier) = event.identifier {
                push_document(&mut key, identifier);
            }
        }
    } else {
        match event.uuid {
            Some(uuid) => push_binary(&mut key, 4, &uuid),
            None => key.push(0x14),
        }
        let mut identifier = doc! { "operationType": event.operation };
        if let Some(named) = event.identifier {
            let name = match event.operation {
                "insert" | "update" | "replace" | "delete" => "documentKey",
                _ => "operationDescription",
            };
            identifier.insert(name, named.clone());
        }
        push_document(&mut key, &identifier);
    }
    key.push(END);
    key
}

/// The token of a piece of a large event: its number, from 0, comes last.
pub(crate) fn fragment(event: &Token, number: i32) -> Token {
    let mut key = event.clone();
    key.key.pop().expect("a token has an end");
    push_int(&mut key, i64::from(number));
    key.push(END);
    key
}

/// "Everything before this time was seen": `ResumeToken::makeHighWaterMarkToken`.
pub(crate) fn high_water_mark(time: Timestamp, version: i64) -> Token {
    let mut key = head(time, version, HIGH_WATER_MARK, 0, false);
    if version > 1 {
        key.push(0x14);
    }
    key.push(END);
    key
}

fn head(time: Timestamp, version: i64, kind: i64, index: usize, invalidate: bool) -> Token {
    let mut key = Token { key: vec![0x82], bits: TypeBits::default() };
    key.extend(time.time.to_be_bytes());
    key.extend(time.increment.to_be_bytes());
    push_int(&mut key, version);
    push_int(&mut key, kind);
    push_int(&mut key, i64::try_from(index).unwrap());
    key.push(if invalidate { 0x6F } else { 0x6E });
    key
}

/// `ResumeToken::toDocument`: the bits only where one of them is set.
pub(crate) fn document(token: &Token) -> Document {
    let mut hex = String::with_capacity(token.key.len() * 2);
    for byte in &token.key {
        write!(hex, "{byte:02X}").expect("a string takes all");
    }
    let mut document = doc! { "_data": hex };
    if let Some(bytes) = token.bits.encoded() {
        document.insert("_typeBits", Binary { subtype: BinarySubtype::Generic, bytes });
    }
    document
}

/// What the server reads from a token that a client hands in.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) token: Token,
    pub(crate) time: Timestamp,
    pub(crate) high_water_mark: bool,
    pub(crate) from_invalidate: bool,
}

pub(crate) fn given(token: &Document) -> Result<Given, Failure> {
    let Ok(hex) = token.get_str("_data") else {
        let shown = fields(token);
        let message = format!(
            "Bad resume token: _data of missing or of wrong type. Expected string, got {shown}"
        );
        return Err(Failure::new(40647, "Location40647", message));
    };
    let pairs = hex.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<_>>()
        .filter(|_| hex.len().is_multiple_of(2));
    let Some(bytes) = bytes else {
        let message = "resume token string was not a valid hex string";
        return Err(Failure::new(9, "FailedToParse", message));
    };
    let unknown = |kind: u8| {
        let message = format!("KeyString format error: Unknown type: {kind}");
        Failure::new(50811, "Location50811", message)
    };
    let first = bytes.first().copied().unwrap_or(0);
    let (Some(0x82), Some(time)) = (bytes.first(), bytes.get(1..9)) else {
        return Err(unknown(first));
    };
    let part = |range| u32::from_be_bytes(<[u8; 4]>::try_from(&time[range]).unwrap());
    let time = Timestamp { time: part(0..4), increment: part(4..8) };
    let (_, rest) = integer(&bytes[9..]).ok_or_else(|| unknown(0))?;
    let (kind, rest) = integer(rest).ok_or_else(|| unknown(0))?;
    let (_, rest) = integer(rest).ok_or_else(|| unknown(0))?;
    let from_invalidate = rest.first() == Some(&0x6F);
    let high_water_mark = kind == HIGH_WATER_MARK;
    let bits = match token.get("_typeBits") {
        None => TypeBits::default(),
        Some(Bson::Binary(bits)) if bits.subtype == BinarySubtype::Generic => {
            TypeBits::read(&bits.bytes).ok_or_else(|| unknown(0))?
        }
        Some(_) => {
            let message = format!("Bad resume token: _typeBits of wrong type {}", fields(token));
            return Err(Failure::new(40648, "Location40648", message));
        }
    };
    Ok(Given { time, high_water_mark, from_invalidate, token: Token { key: bytes, bits } })
}

/// As the server's messages print a small document.
fn fields(document: &Document) -> String {
    let fields: Vec<String> = document.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    format!("{{{}}}", fields.join(", "))
}

/// As the server's messages print a token.
pub(crate) fn shown(token: &Token) -> String {
    let document = document(token);
    format!("_data: \"{}\"", document.get_str("_data").expect("a token has data"))
}

fn integer(key: &[u8]) -> Option<(i64, &[u8])> {
    let (&kind, rest) = key.split_first()?;
    match kind {
        0x29 => Some((0, rest)),
        0x2B..=0x32 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(kind - 0x2A))?;
            let value = bytes.iter().fold(0_i64, |n, b| (n << 8) | i64::from(*b));
            Some((value >> 1, rest))
        }
        _ => None,
    }
}

fn push_int(key: &mut Token, value: i64) {
    key.bits.int();
    push_integer(key, value);
}

/// The least bytes that hold the value and one bit for "a fraction follows"; negative numbers
/// with every bit turned.
fn push_integer(key: &mut Token, value: i64) {
    if value == 0 {
        key.push(0x29);
        return;
    }
    let Some(doubled) = value.unsigned_abs().checked_mul(2) else {
        // 2^63 and beyond: the branch of large magnitudes.
        key.push(if value < 0 { 0x1F } else { 0x33 });
        key.extend(value.unsigned_abs().to_be_bytes());
        return;
    };
    push_magnitude(key, doubled, value < 0);
}

fn push_magnitude(key: &mut Token, doubled: u64, negative: bool) {
    let bytes = doubled.to_be_bytes();
    let n = 8 - usize::try_from(doubled.leading_zeros() / 8).unwrap();
    let length = u8::try_from(n).unwrap();
    key.push(if negative { 0x28 - length } else { 0x2A + length });
    let turn = if negative { 0xFF } else { 0 };
    key.extend(bytes[8 - n..].iter().map(|b| b ^ turn));
}

fn push_double(key: &mut Token, value: f64) {
    if value.is_nan() {
        return key.push(0x1E);
    }
    let negative = value < 0.0;
    let turn = if negative { u64::MAX } else { 0 };
    let magnitude = value.abs();
    let whole = magnitude.trunc();
    if magnitude == 0.0 {
        key.push(0x29);
    } else if magnitude < 1.0 {
        key.push(if negative { 0x28 } else { 0x2A });
        key.extend((magnitude.to_bits() ^ turn).to_be_bytes());
    } else if magnitude >= 9_007_199_254_740_992.0 {
        key.push(if negative { 0x1F } else { 0x33 });
        key.extend((magnitude.to_bits() ^ turn).to_be_bytes());
    } else {
        let integer: u64 = format!("{whole:.0}").parse().expect("a whole number");
        if magnitude == whole {
            push_magnitude(key, integer * 2, negative);
        } else {
            push_magnitude(key, integer * 2 + 1, negative);
            key.extend(((magnitude - whole).to_bits() ^ turn).to_be_bytes());
        }
    }
}

fn push_text(key: &mut Token, text: &[u8]) {
    for &byte in text {
        key.push(byte);
        if byte == 0 {
            key.push(0xFF);
        }
    }
    key.push(0);
}

fn push_binary(key: &mut Token, subtype: u8, bytes: &[u8]) {
    key.push(0x5A);
    match u8::try_from(bytes.len()) {
        Ok(n) if n < 0xFF => key.push(n),
        _ => {
            key.push(0xFF);
            key.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        }
    }
    key.push(subtype);
    key.extend(bytes.iter().copied());
}

fn push_document(key: &mut Token, document: &Document) {
    key.push(0x46);
    push_elements(key, document);
}

fn push_elements(key: &mut Token, document: &Document) {
    for (name, value) in document {
        key.push(kind(value));
        push_text(key, name.as_bytes());
        push_value(key, value);
    }
    key.push(0);
}

/// `bsonTypeToGenericKeyStringType`.
fn kind(value: &Bson) -> u8 {
    match value {
        Bson::MinKey => 10,
        Bson::Undefined => 15,
        Bson::Null => 20,
        Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => 30,
        Bson::Symbol(_) | Bson::String(_) => 60,
        Bson::Document(_) => 70,
        Bson::Array(_) => 80,
        Bson::Binary(_) => 90,
        Bson::ObjectId(_) => 100,
        Bson::Boolean(_) => 110,
        Bson::DateTime(_) => 120,
        Bson::Timestamp(_) => 130,
        Bson::RegularExpression(_) => 140,
        Bson::DbPointer(_) => 150,
        Bson::JavaScriptCode(_) => 160,
        Bson::JavaScriptCodeWithScope(_) => 170,
        Bson::MaxKey => 240,
    }
}

fn push_value(key: &mut Token, value: &Bson) {
    match value {
        Bson::Int32(n) => push_int(key, i64::from(*n)),
        Bson::Int64(n) => {
            key.bits.long();
            push_integer(key, *n);
        }
        Bson::Double(n) => {
            key.bits.double(*n);
            push_double(key, *n);
        }
        Bson::Decimal128(n) => {
            key.bits.decimal(n.bytes());
            push_double(key, order::double(value).expect("it is a number"));
        }
        Bson::Boolean(on) => key.push(if *on { 0x6F } else { 0x6E }),
        Bson::Document(document) => push_document(key, document),
        Bson::Binary(binary) => push_binary(key, u8::from(binary.subtype), &binary.bytes),
        Bson::Array(values) => {
            key.push(80);
            values.iter().for_each(|value| push_value(key, value));
            key.push(0);
        }
        _ => {
            key.push(kind(value));
            push_rest(key, value);
        }
    }
}

fn push_rest(key: &mut Token, value: &Bson) {
    match value {
        Bson::Symbol(text) => {
            key.bits.symbol();
            push_text(key, text.as_bytes());
        }
        Bson::String(text) => {
            key.bits.text();
            push_text(key, text.as_bytes());
        }
        Bson::JavaScriptCode(text) => push_text(key, text.as_bytes()),
        Bson::ObjectId(id) => key.extend(id.bytes()),
        Bson::DateTime(time) => {
            key.extend((time.timestamp_millis() ^ i64::MIN).to_be_bytes());
        }
        Bson::Timestamp(time) => {
            key.extend(time.time.to_be_bytes());
            key.extend(time.increment.to_be_bytes());
        }
        Bson::RegularExpression(regex) => {
            push_text(key, regex.pattern.as_str().as_bytes());
            push_text(key, regex.options.as_str().as_bytes());
        }
        Bson::JavaScriptCodeWithScope(code) => {
            push_text(key, code.code.as_bytes());
            push_elements(key, &code.scope);
        }
        _ => {}
    }
}
