//! Defaults: `information_schema.columns.column_default` to the value that a schema shows.
//!
//! MySQL prints the value itself and says in `extra` where it is an expression; MariaDB prints an
//! expression always, with literals in quotes. What becomes of which default follows Debezium's
//! `DefaultValueParserListener` and `BinlogDefaultValueConverter`, with two differences: a text
//! default is the text (Debezium leaves escapes and doubled quotes in), and an unsigned BIGINT
//! above 2^63 is what its values are (Debezium shows 2^63 - 1).

use bumpalo::Bump;

use crate::sources::mysql::catalog::DefaultText;
use crate::sources::mysql::quoted;
use crate::sources::mysql::text;
use crate::sources::mysql::types::MysqlType;
use crate::value::{OwnedValue, Value};

/// Debezium's default of a column whose default is the clock: without fraction, whatever the
/// column's digits.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// `None` where the column has no default, or one that has no place in a schema.
#[must_use]
pub fn parse(default: &DefaultText, data_type: &MysqlType, optional: bool) -> Option<OwnedValue> {
    match default {
        DefaultText::None => None,
        DefaultText::Value(text) => literal(text, data_type, optional),
        DefaultText::Expression(text) if is_clock(text) => clock(data_type, optional),
        DefaultText::Expression(text) if text.starts_with('\'') => {
            let (text, rest) = quoted::one(text)?;
            rest.is_empty().then(|| literal(&text, data_type, optional))?
        }
        // A number or bits; NULL and every other expression is none.
        DefaultText::Expression(text) => bare(text, data_type, optional),
    }
}

/// `CURRENT_TIMESTAMP(3)`, MariaDB's `current_timestamp()`.
fn is_clock(text: &str) -> bool {
    let name = text.split_once('(').map_or(text, |(name, _)| name);
    ["current_timestamp", "now"].iter().any(|clock| name.eq_ignore_ascii_case(clock))
}

/// The epoch stands for the clock, except in a TIMESTAMP that may be null.
fn clock(data_type: &MysqlType, optional: bool) -> Option<OwnedValue> {
    match data_type {
        MysqlType::Timestamp { .. } => (!optional).then(|| OwnedValue::Text(EPOCH.to_owned())),
        MysqlType::DateTime { .. } => Some(OwnedValue::Timestamp(0)),
        MysqlType::Date => Some(OwnedValue::Date(0)),
        _ => None,
    }
}

/// What MariaDB prints without quotes and is no call: numbers, and bits.
fn bare(text: &str, data_type: &MysqlType, optional: bool) -> Option<OwnedValue> {
    match data_type {
        MysqlType::Boolean
        | MysqlType::TinyInt { .. }
        | MysqlType::SmallInt { .. }
        | MysqlType::MediumInt { .. }
        | MysqlType::Int { .. }
        | MysqlType::BigInt { .. }
        | MysqlType::Float { .. }
        | MysqlType::Double
        | MysqlType::Decimal { .. }
        | MysqlType::Year
        | MysqlType::Bit { .. } => literal(text, data_type, optional),
        _ => None,
    }
}

fn literal(text: &str, data_type: &MysqlType, optional: bool) -> Option<OwnedValue> {
    let arena = Bump::new();
    let bytes = match data_type {
        MysqlType::Bit { length } => bits(text, *length)?,
        MysqlType::Binary { length } => {
            let mut bytes = binary(text)?;
            bytes.resize(usize::from(*length).max(bytes.len()), 0);
            bytes
        }
        MysqlType::Bytes => binary(text)?,
        // A date may be written with a time, and a time with a date.
        MysqlType::Date => text.split(' ').next()?.as_bytes().to_vec(),
        MysqlType::DateTime { .. } | MysqlType::Timestamp { .. } if !text.contains(' ') => {
            format!("{text} 00:00:00").into_bytes()
        }
        _ => text.as_bytes().to_vec(),
    };
    match text::read(data_type, &bytes, &arena).ok()? {
        Value::NoSuchDate => no_such_date(data_type, optional),
        value => owned(value),
    }
}

/// Debezium's: null where the column may be null, and a schema shows no null; otherwise the epoch.
fn no_such_date(data_type: &MysqlType, optional: bool) -> Option<OwnedValue> {
    match data_type {
        _ if optional => None,
        MysqlType::Date => Some(OwnedValue::Date(0)),
        MysqlType::DateTime { .. } => Some(OwnedValue::Timestamp(0)),
        _ => Some(OwnedValue::Text(EPOCH.to_owned())),
    }
}

/// `b'101'`, highest bit first, to as many bytes as the column has.
fn bits(text: &str, length: u8) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("b'")?.strip_suffix('\'')?;
    let number = u64::from_str_radix(digits, 2).ok()?.to_be_bytes();
    let n_bytes = usize::from(length).div_ceil(8);
    Some(number.get(number.len().checked_sub(n_bytes)?..)?.to_vec())
}

/// MySQL prints the defaults of binary columns in hexadecimal, MariaDB as text.
fn binary(text: &str) -> Option<Vec<u8>> {
    let Some(digits) = text.strip_prefix("0x") else { return Some(text.as_bytes().to_vec()) };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    rest.is_empty().then(|| bytes.collect())?
}

fn owned(value: Value<'_>) -> Option<OwnedValue> {
    Some(match value {
        Value::Bool(v) => OwnedValue::Bool(v),
        Value::Int(v) => OwnedValue::Int(v),
        Value::UInt(v) => OwnedValue::UInt(v),
        Value::Float32(v) => OwnedValue::Float32(v),
        Value::Float64(v) => OwnedValue::Float64(v),
        Value::Decimal(v) => OwnedValue::Decimal { unscaled: v.unscaled.to_vec(), scale: v.scale },
        Value::Text(v) => OwnedValue::Text(v.to_owned()),
        Value::Bytes(v) => OwnedValue::Bytes(v.to_vec()),
        Value::Date(v) => OwnedValue::Date(v),
        Value::Time(v) => OwnedValue::Time(v),
        Value::Timestamp(v) => OwnedValue::Timestamp(v),
        Value::TimestampTz(v) => OwnedValue::TimestampTz(v),
        Value::Null
        | Value::Absent
        | Value::Unavailable
        | Value::DecimalSpecial(_)
        | Value::NoSuchDate
        | Value::TimeTz { .. }
        | Value::FarTimestampTz { .. }
        | Value::Interval(_)
        | Value::Point { .. }
        | Value::Geometry { .. }
        | Value::Array(_)
        | Value::Struct(_)
        | Value::UpdateDescription(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What both servers print for the same default.
    fn check(declared: &str, mysql: &str, mariadb: &str, expected: Option<OwnedValue>) {
        let data_type = MysqlType::declared(declared).unwrap();
        let as_value = DefaultText::Value(mysql.to_owned());
        let as_expression = DefaultText::Expression(mariadb.to_owned());
        assert_eq!(parse(&as_value, &data_type, false), expected, "{declared} {mysql}");
        assert_eq!(parse(&as_expression, &data_type, false), expected, "{declared} {mariadb}");
    }

    fn text(text: &str) -> Option<OwnedValue> {
        Some(OwnedValue::Text(text.to_owned()))
    }

    #[test]
    fn both_servers_mean_the_same() {
        use OwnedValue::{
            Bool, Bytes, Date, Decimal, Float32, Int, Time, Timestamp, TimestampTz, UInt,
        };
        check("int", "-42", "-42", Some(Int(-42)));
        check(
            "bigint unsigned",
            "18446744073709551615",
            "18446744073709551615",
            Some(UInt(u64::MAX)),
        );
        check("varchar(10)", "it's", "'it''s'", text("it's"));
        check("varchar(10)", "a\\b ", "'a\\\\b '", text("a\\b "));
        check(
            "decimal(8,2)",
            "12.50",
            "12.50",
            Some(Decimal { unscaled: vec![4, 0xE2], scale: 2 }),
        );
        check("date", "2020-02-29", "'2020-02-29'", Some(Date(18_321)));
        let micros = 1_582_938_123_456_789;
        let when = "2020-02-29 01:02:03.456789";
        check("datetime(6)", when, "'2020-02-29 01:02:03.456789'", Some(Timestamp(micros)));
        check("timestamp(6)", when, "'2020-02-29 01:02:03.456789'", Some(TimestampTz(micros)));
        check("time(3)", "-01:02:03.004", "'-01:02:03.004'", Some(Time(-3_723_004_000)));
        check("year", "2024", "2024", Some(Int(2024)));
        check("enum('a','b')", "b", "'b'", text("b"));
        check("set('a','b')", "a,b", "'a,b'", text("a,b"));
        check("bit(8)", "b'101'", "b'101'", Some(Bytes(vec![5])));
        check("bit(20)", "b'101'", "b'101'", Some(Bytes(vec![5, 0, 0])));
        check("bit(1)", "b'1'", "b'1'", Some(Bool(true)));
        check("binary(3)", "0x61", "'a\\0\\0'", Some(Bytes(vec![b'a', 0, 0])));
        check("varbinary(4)", "0x6162", "'ab'", Some(Bytes(b"ab".to_vec())));
        check("float", "1.5", "1.5", Some(Float32(1.5)));
        check("date", "0000-00-00", "'0000-00-00'", Some(Date(0)));
        check("timestamp", "0000-00-00 00:00:00", "'0000-00-00 00:00:00'", text(EPOCH));
    }

    #[test]
    fn the_clock_becomes_the_epoch() {
        let check = |declared: &str, default: &str, optional, expected| {
            let data_type = MysqlType::declared(declared).unwrap();
            let default = DefaultText::Expression(default.to_owned());
            assert_eq!(parse(&default, &data_type, optional), expected, "{declared}");
        };
        check("timestamp(3)", "CURRENT_TIMESTAMP(3)", false, text(EPOCH));
        check("timestamp", "current_timestamp()", false, text(EPOCH));
        check("timestamp", "current_timestamp()", true, None);
        check("datetime", "CURRENT_TIMESTAMP", true, Some(OwnedValue::Timestamp(0)));
    }

    #[test]
    fn the_rest_has_no_default() {
        for (declared, default) in [
            ("varchar(36)", "uuid()"),
            ("int", "(1 + 2)"),
            ("int", "NULL"),
            ("varchar(10)", "NULL"),
            ("json", "json_array()"),
            ("varchar(10)", "concat('a','b')"),
            ("varchar(10)", "'open"),
            ("varchar(10)", "'a' 'b'"),
        ] {
            let data_type = MysqlType::declared(declared).unwrap();
            let default = DefaultText::Expression(default.to_owned());
            assert_eq!(parse(&default, &data_type, true), None, "{default:?}");
        }
        let zero = DefaultText::Value("0000-00-00".to_owned());
        assert_eq!(parse(&zero, &MysqlType::Date, true), None);
        assert_eq!(parse(&DefaultText::None, &MysqlType::Date, true), None);
    }
}
