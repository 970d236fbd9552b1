//! Any bytes as a value of any type, in both forms: a value or an error, no panic; and a text that
//! reads at all reads the same in an array.
#![no_main]

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use tailwater::sources::postgres::types::{self, Reading, Scalar};
use tailwater::sources::postgres::{binary, text};
use tailwater::value::Value;

const SCALARS: [Scalar; 25] = [
    Scalar::Bool, Scalar::OneBit, Scalar::Int16, Scalar::Int32, Scalar::Int64, Scalar::Oid,
    Scalar::Float32, Scalar::Float64, Scalar::Decimal(2), Scalar::Decimal(2046),
    Scalar::VariableDecimal, Scalar::Money, Scalar::Text, Scalar::Jsonb, Scalar::Inet,
    Scalar::Bytes, Scalar::Bits, Scalar::Uuid, Scalar::Hstore, Scalar::Date, Scalar::Time,
    Scalar::TimeTz, Scalar::Timestamp, Scalar::TimestampTz, Scalar::Interval,
];

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else { return };
    let arena = Bump::new();
    let scalar = SCALARS.get(usize::from(*which) % (SCALARS.len() + 1)).copied();
    let scalar = scalar.unwrap_or(Scalar::Point);
    let _ = binary::read(Reading::Scalar(scalar), bytes, &arena);
    let _ = text::read(Reading::Array(scalar), bytes, &arena);
    let _ = types::as_text();
    let Ok(value) = text::read(Reading::Scalar(scalar), bytes, &arena) else { return };
    let quoted: Vec<u8> =
        bytes.iter().flat_map(|byte| if b"\"\\".contains(byte) { vec![b'\\', *byte] } else { vec![*byte] }).collect();
    let array = [b"{\"", &quoted[..], b"\"}"].concat();
    let found = text::read(Reading::Array(scalar), &array, &arena);
    // NaN differs from itself, its print does not.
    assert_eq!(format!("{found:?}"), format!("{:?}", Ok::<_, ()>(Value::Array(&[value]))));
});
