//! Doubles.

use bumpalo::collections::String as BumpString;

use super::Dialect;
use crate::schema::jackson::JavaDouble;

/// `Double.toString`. The specification, and the Java driver from 5.7 on, put a plus before an
/// exponent that is not negative (`JsonDoubleHelper`): `1.0E+10`.
pub(super) fn write(number: f64, dialect: Dialect, out: &mut BumpString<'_>) {
    if number.is_nan() {
        return out.push_str("NaN");
    }
    if number.is_infinite() {
        return out.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let text = JavaDouble::new(number);
    match (dialect, text.as_str().split_once('E')) {
        (Dialect::Specification, Some((mantissa, exponent))) if !exponent.starts_with('-') => {
            out.push_str(mantissa);
            out.push_str("E+");
            out.push_str(exponent);
        }
        _ => out.push_str(text.as_str()),
    }
}
