//! Doubles.

use super::{Dialect, Out, put};
use crate::schema::jackson::JavaDouble;

/// `Double.toString`. The specification, and the Java driver from 5.7 on, put a plus before an
/// exponent that is not negative (`JsonDoubleHelper`): `1.0E+10`.
pub(super) fn write(number: f64, dialect: Dialect, out: &mut Out<'_>) {
    if number.is_nan() {
        return put(out, "NaN");
    }
    if number.is_infinite() {
        return put(out, if number > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let text = JavaDouble::new(number);
    match (dialect, text.as_str().split_once('E')) {
        (Dialect::Specification, Some((mantissa, exponent))) if !exponent.starts_with('-') => {
            put(out, mantissa);
            put(out, "E+");
            put(out, exponent);
        }
        _ => put(out, text.as_str()),
    }
}
