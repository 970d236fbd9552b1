//! What stands in a record for a value that is not there, in Debezium's words: zeros where an old
//! image lacks a column that is never null, placeholders where the log did not repeat a value.

use super::codec::Codec;
use super::convert::Mismatch;
use super::datetime;
use super::decimal_text::plain;
use super::emit::{Emit, Nullability};
use super::geometry::{self, point_wkb};
use crate::value::{Decimal, UpdateDescription};

/// `unavailable.value.placeholder`: stands for a value that the log did not repeat.
pub(crate) const UNAVAILABLE: &str = "__debezium_unavailable_value";
/// The placeholder of an hstore that is a map.
const UNAVAILABLE_MAP: &str = "{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}";
/// Java's `UUID.nameUUIDFromBytes` of [`UNAVAILABLE`].
const UNAVAILABLE_UUID: &[u8] = b"b68a35a7-17ad-35b3-af2a-ae46edb4545a";
const NIL_UUID: &[u8] = b"00000000-0000-0000-0000-000000000000";

/// What Debezium puts in place of a value that it does not have in a column that is never null and
/// has no default (`ValueConverterProvider`'s fallbacks).
pub(crate) fn write_zero<E: Emit>(codec: &Codec, out: &mut E) {
    match codec {
        Codec::Bool => out.bool(false),
        Codec::Int16
        | Codec::Int32
        | Codec::Int64
        | Codec::UInt64
        | Codec::Date
        | Codec::MilliTime
        | Codec::MicroTime
        | Codec::NanoTime
        | Codec::MilliTimestamp
        | Codec::MicroTimestamp
        | Codec::NanoTimestamp
        | Codec::Duration => out.int(0),
        Codec::Float32 => out.float32(0.0),
        Codec::Float64 | Codec::DecimalDouble => out.float64(0.0),
        Codec::Decimal { .. } | Codec::UInt64Decimal => out.bytes(&[0]),
        Codec::VariableDecimal => out.variable_decimal(0, &[0]),
        Codec::DecimalText { scale } => {
            out.ascii(plain(Decimal { unscaled: &[0], scale: 0 }, *scale).as_bytes());
        }
        Codec::Text | Codec::BytesText(_) => out.text(""),
        Codec::Json => out.text("{}"),
        Codec::StringMap => assert!(out.string_map("{}"), "an object without pairs is one"),
        Codec::Uuid => out.ascii(NIL_UUID),
        Codec::Bytes => out.bytes(&[]),
        Codec::ZonedTime | Codec::IsoTime => out.ascii(b"00:00:00Z"),
        Codec::IsoDate => out.ascii(b"1970-01-01Z"),
        Codec::IsoTimestamp => out.ascii(b"1970-01-01T00:00:00Z"),
        Codec::IsoInterval => out.ascii(b"P0Y0M0DT0H0M0S"),
        Codec::ZonedTimestamp { digits } => {
            out.ascii(datetime::zoned_timestamp(0, *digits).as_bytes());
        }
        Codec::Point => out.point(0.0, 0.0, geometry::unreferenced(&point_wkb(0.0, 0.0))),
        Codec::Geometry => out.geometry(geometry::unreferenced(&[])),
        Codec::Array { .. } | Codec::FloatVector => {
            out.array_start(0);
            out.array_end(0);
        }
        Codec::Struct { fields } => {
            for field in fields {
                out.struct_field(&field.label);
                out.none(Nullability::NullFirst);
            }
            out.struct_end(fields.len());
        }
        Codec::UpdateDescription => out.update_description(&update(None)),
    }
}

/// What stands for a value that the log did not repeat: the placeholder's text where the column is
/// text, its bytes where it is bytes, an array of either, and of its byte values for numbers.
///
/// Debezium has no placeholder for decimals, and publishes null. A null would be a lie, so they
/// get the placeholder's bytes as their unscaled value: a consumer that knows the placeholder
/// recognises it. Scalars of fixed size are never moved out of the row and have none.
pub(crate) fn placeholder<E: Emit>(codec: &Codec, out: &mut E) -> Result<(), Mismatch> {
    match codec {
        Codec::Text | Codec::Json | Codec::DecimalText { .. } | Codec::BytesText(_) => {
            out.ascii(UNAVAILABLE.as_bytes());
        }
        Codec::Uuid => out.ascii(UNAVAILABLE_UUID),
        Codec::StringMap => assert!(out.string_map(UNAVAILABLE_MAP), "it is an object of texts"),
        Codec::Bytes | Codec::Decimal { .. } | Codec::UInt64Decimal => {
            out.bytes(UNAVAILABLE.as_bytes());
        }
        Codec::VariableDecimal => out.variable_decimal(0, UNAVAILABLE.as_bytes()),
        Codec::Geometry => out.geometry(geometry::unreferenced(UNAVAILABLE.as_bytes())),
        Codec::Array { element, nullability } => array_placeholder(element, *nullability, out),
        Codec::UpdateDescription => out.update_description(&update(Some(UNAVAILABLE))),
        Codec::Bool
        | Codec::Int16
        | Codec::Int32
        | Codec::Int64
        | Codec::UInt64
        | Codec::Float32
        | Codec::Float64
        | Codec::DecimalDouble
        | Codec::Date
        | Codec::IsoDate
        | Codec::MilliTime
        | Codec::MicroTime
        | Codec::NanoTime
        | Codec::IsoTime
        | Codec::ZonedTime
        | Codec::MilliTimestamp
        | Codec::MicroTimestamp
        | Codec::NanoTimestamp
        | Codec::IsoTimestamp
        | Codec::ZonedTimestamp { .. }
        | Codec::Duration
        | Codec::IsoInterval
        | Codec::Point
        | Codec::Struct { .. }
        | Codec::FloatVector => return Err(Mismatch::Unavailable),
    }
    Ok(())
}

/// Numbers: the byte values, as Debezium does for `int[]` and `bigint[]`; booleans: the bits,
/// highest first; everything else: one element that is the placeholder.
fn array_placeholder<E: Emit>(element: &Codec, nullability: Nullability, out: &mut E) {
    let bytes = UNAVAILABLE.bytes();
    match element {
        Codec::Int16
        | Codec::Int32
        | Codec::Int64
        | Codec::UInt64
        | Codec::Date
        | Codec::MilliTime
        | Codec::MicroTime
        | Codec::NanoTime
        | Codec::MilliTimestamp
        | Codec::MicroTimestamp
        | Codec::NanoTimestamp
        | Codec::Duration => {
            write_all(bytes, nullability, out, |byte, out| out.int(i64::from(byte)));
        }
        Codec::Float32 | Codec::FloatVector => {
            write_all(bytes, nullability, out, |byte, out| out.float32(f32::from(byte)));
        }
        Codec::Float64 | Codec::DecimalDouble => {
            write_all(bytes, nullability, out, |byte, out| out.float64(f64::from(byte)));
        }
        Codec::Bool => {
            let bits = bytes.flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
            let bits: Vec<bool> = bits.collect();
            write_all(bits.into_iter(), nullability, out, |bit, out| out.bool(bit));
        }
        Codec::Text
        | Codec::Json
        | Codec::ZonedTime
        | Codec::ZonedTimestamp { .. }
        | Codec::IsoDate
        | Codec::IsoTime
        | Codec::IsoTimestamp
        | Codec::IsoInterval => {
            write_all([()].into_iter(), nullability, out, |(), out| {
                out.ascii(UNAVAILABLE.as_bytes());
            });
        }
        Codec::Point => write_all([()].into_iter(), nullability, out, |(), out| {
            out.point(f64::NAN, f64::NAN, geometry::unreferenced(UNAVAILABLE.as_bytes()));
        }),
        Codec::Struct { .. } => write_all([(); 0].into_iter(), nullability, out, |(), _| ()),
        Codec::Uuid
        | Codec::StringMap
        | Codec::Bytes
        | Codec::BytesText(_)
        | Codec::Decimal { .. }
        | Codec::UInt64Decimal
        | Codec::DecimalText { .. }
        | Codec::VariableDecimal
        | Codec::Geometry
        | Codec::Array { .. }
        | Codec::UpdateDescription => write_all([()].into_iter(), nullability, out, |(), out| {
            placeholder(element, out).expect("these have a placeholder of their own");
        }),
    }
}

fn update(updated: Option<&str>) -> UpdateDescription<'_> {
    UpdateDescription { removed: &[], updated, truncated: &[] }
}

fn write_all<E: Emit, T>(
    items: impl ExactSizeIterator<Item = T>,
    nullability: Nullability,
    out: &mut E,
    write: impl Fn(T, &mut E),
) {
    let length = items.len();
    out.array_start(length);
    for (index, item) in items.enumerate() {
        out.array_item(index);
        out.some(nullability);
        write(item, out);
    }
    out.array_end(length);
}
