//! Golden values read back into what a source would have decoded.

use bumpalo::Bump;
use serde_json::Value as Json;
use tailwater::schema::ColumnType;
use tailwater::value::{Decimal, Interval, OwnedValue, Value};

const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// Makes values that live in an arena.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) arena: &'a Bump,
}

impl<'a> Values<'a> {
    /// The value that Debezium published as `json` in a column of this type.
    pub(crate) fn value(self, data_type: &ColumnType, json: &Json) -> Value<'a> {
        if json.is_null() {
            return Value::Null;
        }
        if self.is_placeholder(json) {
            return Value::Unavailable;
        }
        let int = || json.as_i64().unwrap();
        match data_type {
            ColumnType::Bool => Value::Bool(json.as_bool().unwrap()),
            ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => Value::Int(int()),
            ColumnType::Year => Value::Int(int()),
            ColumnType::UInt64 => Value::UInt(int().cast_unsigned()),
            ColumnType::Float32 => Value::Float32(float(json).parse().unwrap()),
            ColumnType::Float64 => Value::Float64(float(json).parse().unwrap()),
            ColumnType::Decimal { scale, .. } | ColumnType::Money { scale } => {
                Value::Decimal(Decimal { unscaled: self.bytes(json), scale: *scale })
            }
            ColumnType::VariableDecimal => Value::Decimal(Decimal {
                unscaled: self.bytes(&json["value"]),
                scale: i32::try_from(json["scale"].as_i64().unwrap()).unwrap(),
            }),
            ColumnType::Text
            | ColumnType::Json
            | ColumnType::Xml
            | ColumnType::Uuid
            | ColumnType::Ltree
            | ColumnType::TsVector
            | ColumnType::Hstore
            | ColumnType::Enum { .. }
            | ColumnType::EnumSet { .. } => Value::Text(self.text(json)),
            ColumnType::Bytes | ColumnType::Bits { .. } => Value::Bytes(self.bytes(json)),
            ColumnType::Date => Value::Date(match int() {
                // The stream's infinities; the snapshot's differ, and stay days here.
                -2_147_472_692 => i32::MAX,
                -2_147_472_691 => i32::MIN,
                days => i32::try_from(days).unwrap(),
            }),
            ColumnType::Time { precision: 0..=3 } => Value::Time(int() * 1_000),
            ColumnType::Time { .. } | ColumnType::SignedTime { .. } => Value::Time(int()),
            ColumnType::TimeTz { .. } => {
                Value::TimeTz { micros: time_of_day(json.as_str().unwrap()), offset_s: 0 }
            }
            ColumnType::Timestamp { precision: 0..=3 } => Value::Timestamp(int() * 1_000),
            ColumnType::Timestamp { .. } => Value::Timestamp(match int() {
                9_223_372_036_825_200_000 => i64::MAX,
                -9_223_372_036_832_400_000 => i64::MIN,
                micros => micros,
            }),
            // A name does not tell the digits of MySQL's columns, and the snapshot of Debezium
            // leaves out a fraction of zeros: as text, as defaults come.
            ColumnType::TimestampTz { precision }
                if digits(json).is_some_and(|digits| digits != *precision) =>
            {
                Value::Text(self.text(json))
            }
            ColumnType::TimestampTz { .. } => timestamp(json.as_str().unwrap()),
            ColumnType::Interval => Value::Interval(Interval { months: 0, days: 0, micros: int() }),
            ColumnType::Geometry => self.geometry(json),
            ColumnType::FloatVector => {
                let numbers = json.as_array().unwrap().iter();
                let bytes = numbers.flat_map(|n| float(n).parse::<f32>().unwrap().to_le_bytes());
                Value::Bytes(self.arena.alloc_slice_copy(&bytes.collect::<Vec<u8>>()))
            }
            ColumnType::Point => {
                Value::Point { x: json["x"].as_f64().unwrap(), y: json["y"].as_f64().unwrap() }
            }
            ColumnType::Array(element) => {
                let items = json.as_array().unwrap().iter().map(|item| self.value(element, item));
                let items: Vec<Value<'a>> = items.collect();
                Value::Array(self.arena.alloc_slice_copy(&items))
            }
            ColumnType::Struct(_) | ColumnType::UpdateDescription => panic!("rows have none"),
        }
    }

    fn geometry(self, json: &Json) -> Value<'a> {
        let srid = json["srid"].as_i64().unwrap_or(0);
        Value::Geometry { srid: u32::try_from(srid).unwrap(), wkb: self.bytes(&json["wkb"]) }
    }

    fn text(self, json: &Json) -> &'a str {
        self.arena.alloc_str(json.as_str().unwrap())
    }

    fn bytes(self, json: &Json) -> &'a [u8] {
        self.arena.alloc_slice_copy(&unbase64(json.as_str().unwrap()))
    }

    fn is_placeholder(self, json: &Json) -> bool {
        match json {
            Json::String(text) => text == UNAVAILABLE || unbase64(text) == UNAVAILABLE.as_bytes(),
            Json::Array(items) => {
                let bytes = items.iter().map(|i| i.as_u64().and_then(|i| u8::try_from(i).ok()));
                let bytes: Option<Vec<u8>> = bytes.collect();
                bytes.is_some_and(|bytes| bytes == UNAVAILABLE.as_bytes())
                    || matches!(&items[..], [one] if one == UNAVAILABLE)
            }
            _ => false,
        }
    }
}

/// How many digits of a second's fraction a timestamp has; `None` where it is infinite.
fn digits(json: &Json) -> Option<u8> {
    let text = json.as_str().unwrap().strip_suffix('Z')?;
    Some(text.split_once('.').map_or(0, |(_, fraction)| u8::try_from(fraction.len()).unwrap()))
}

pub(crate) fn owned(value: Value<'_>) -> OwnedValue {
    match value {
        Value::Bool(v) => OwnedValue::Bool(v),
        Value::Int(v) => OwnedValue::Int(v),
        Value::Float32(v) => OwnedValue::Float32(v),
        Value::Float64(v) => OwnedValue::Float64(v),
        Value::Decimal(v) => OwnedValue::Decimal { unscaled: v.unscaled.to_vec(), scale: v.scale },
        Value::Text(v) => OwnedValue::Text(v.to_owned()),
        Value::Bytes(v) => OwnedValue::Bytes(v.to_vec()),
        Value::Date(v) => OwnedValue::Date(v),
        Value::Time(v) => OwnedValue::Time(v),
        Value::TimeTz { micros, offset_s } => OwnedValue::TimeTz { micros, offset_s },
        Value::Timestamp(v) => OwnedValue::Timestamp(v),
        Value::TimestampTz(v) => OwnedValue::TimestampTz(v),
        Value::Interval(v) => OwnedValue::Interval(v),
        other => panic!("no default can be {other:?}"),
    }
}

fn float(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        number => number.to_string(),
    }
}

/// Base64 without checks; any text that is none gives any bytes.
pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    let digits = text.bytes().filter_map(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for digit in digits {
        bits = (bits << 6 | u32::from(digit)) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xFF).unwrap());
        }
    }
    bytes
}

/// Microseconds of `02:05:06.789Z`.
fn time_of_day(text: &str) -> i64 {
    let text = text.strip_suffix('Z').unwrap();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = whole.split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap());
    seconds * 1_000_000 + format!("{fraction:0<6}").parse::<i64>().unwrap()
}

fn timestamp(text: &str) -> Value<'static> {
    if text.ends_with("infinity") {
        return Value::TimestampTz(if text.starts_with('-') { i64::MIN } else { i64::MAX });
    }
    let (date, time) = text.split_once('T').unwrap();
    let (rest, day) = date.rsplit_once('-').unwrap();
    let (year, month) = rest.rsplit_once('-').unwrap();
    let number = |text: &str| text.parse::<i64>().unwrap();
    let days = days(number(year), number(month), number(day));
    let in_day = time_of_day(time);
    let micros = days.checked_mul(86_400_000_000).and_then(|micros| micros.checked_add(in_day));
    micros.map_or_else(
        || Value::FarTimestampTz {
            seconds: days * 86_400 + in_day / 1_000_000,
            micros: u32::try_from(in_day % 1_000_000).unwrap(),
        },
        Value::TimestampTz,
    )
}

/// Days since 1970, counted year by year and month by month: slow, and nothing like the encoder's.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = |year: i64| if leap(year) { 366 } else { 365 };
    let years = if year >= 1970 {
        (1970..year).map(length).sum::<i64>()
    } else {
        -(year..1970).map(length).sum::<i64>()
    };
    let months = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    years + months.iter().take(usize::try_from(month - 1).unwrap()).sum::<i64>() + day - 1
}
