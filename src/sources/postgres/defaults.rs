//! Column defaults: `pg_get_expr` text to the value that goes into the schema.
//!
//! A literal gives its value. A call (`now()`, `nextval(…)`, `CURRENT_DATE`) gives the zero of its
//! type, as Debezium does: the schema must name some default, and none is known. Any other
//! expression has no default, and neither have types for which Debezium reads none. Unlike
//! Debezium, a literal is read to its end: `'it''s'` is *it's*, not *it*.

use bumpalo::Bump;

use crate::schema::ColumnType;
use crate::sources::postgres::text;
use crate::sources::postgres::types::{Reading, Scalar, oid};
use crate::value::{Interval, OwnedValue, Value};

/// The default of a column of type `oid`.
#[must_use]
pub fn parse(
    expression: &str,
    oid: u32,
    column_type: &ColumnType,
    reading: Reading,
) -> Option<OwnedValue> {
    let Reading::Scalar(scalar) = reading else { return None };
    let labelled = matches!(column_type, ColumnType::Enum { .. });
    if !labelled && !has_reader(oid) {
        return None;
    }
    match classify(expression)? {
        // A call on an enum column names no label.
        Expression::Call if labelled => None,
        Expression::Call => zero(oid, scalar),
        Expression::Literal(literal) => {
            let arena = Bump::new();
            let literal = spelled_as_output(scalar, literal);
            let value = text::read(reading, arena.alloc_str(&literal).as_bytes(), &arena).ok()?;
            owned(value)
        }
    }
}

/// The types whose defaults Debezium reads (`PostgresDefaultValueConverter`).
fn has_reader(oid: u32) -> bool {
    matches!(
        oid,
        oid::BIT
            | oid::VARBIT
            | oid::BOOL
            | oid::BPCHAR
            | oid::VARCHAR
            | oid::TEXT
            | oid::NUMERIC
            | oid::FLOAT4
            | oid::FLOAT8
            | oid::INT2
            | oid::INT4
            | oid::INT8
            | oid::JSON
            | oid::JSONB
            | oid::XML
            | oid::UUID
            | oid::DATE
            | oid::TIME
            | oid::TIMESTAMP
            | oid::TIMESTAMPTZ
            | oid::INTERVAL
    )
}

#[derive(Debug, PartialEq, Eq)]
enum Expression {
    Literal(String),
    Call,
}

/// `None` for NULL and for everything that is neither one literal nor a call.
fn classify(expression: &str) -> Option<Expression> {
    let expression = expression.trim();
    if is_call(expression) {
        return Some(Expression::Call);
    }
    let (literal, rest) = literal(expression)?;
    is_casts(rest).then_some(Expression::Literal(literal))
}

/// Debezium's pattern: a name, or a qualified one, with parentheses after it; `(now() AT TIME …)`
/// counts too.
fn is_call(expression: &str) -> bool {
    const KEYWORDS: [&str; 5] =
        ["CURRENT_TIMESTAMP", "CURRENT_TIME", "CURRENT_DATE", "LOCALTIME", "LOCALTIMESTAMP"];
    if KEYWORDS.iter().any(|keyword| expression.eq_ignore_ascii_case(keyword)) {
        return true;
    }
    let inner = expression.strip_prefix('(').unwrap_or(expression);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let n_name = inner.bytes().take_while(|&byte| is_name(byte)).count();
    let arguments = inner.get(n_name..).unwrap_or_default();
    n_name > 0 && arguments.starts_with('(') && arguments.contains(')')
}

/// One literal in front, and what follows it.
fn literal(expression: &str) -> Option<(String, &str)> {
    if let Some(inner) = expression.strip_prefix('(') {
        // `(-1)`, `('-1'::integer)`
        let (literal, rest) = literal_bare(inner)?;
        let (casts, rest) = rest.split_once(')')?;
        return is_casts(casts).then_some((literal, rest));
    }
    literal_bare(expression)
}

fn literal_bare(expression: &str) -> Option<(String, &str)> {
    let start = expression.as_bytes();
    match start {
        [b'\'', ..] => quoted(expression.get(1..)?),
        [b'B', b'\'', ..] => quoted(expression.get(2..)?),
        _ => {
            let end = expression.find([':', ')', ' ']).unwrap_or(expression.len());
            let (word, rest) = expression.split_at_checked(end)?;
            let number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
            let known = number || word == "true" || word == "false";
            known.then(|| (word.to_owned(), rest))
        }
    }
}

/// Up to the closing quote; `pg_get_expr` doubles quotes and escapes nothing else
/// (`simple_quote_literal` of `ruleutils.c`).
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
                out.push('\'');
            }
            '\'' => return Some((out, text.get(at + 1..)?)),
            other => out.push(other),
        }
    }
    None
}

/// Nothing, or `::type` any number of times.
fn is_casts(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let Some(casts) = text.strip_prefix("::") else { return false };
    // Of a type's name (`timestamp(3) without time zone`, `"bit"`, `public.mood`), never an
    // operator or another quote.
    casts.chars().all(|c| c.is_alphanumeric() || " \"_.,()[]:".contains(c))
}

/// An expression may spell a value as input, a reader wants it as output.
fn spelled_as_output(scalar: Scalar, literal: String) -> String {
    match scalar {
        Scalar::Bool => match literal.as_str() {
            "true" => "t".to_owned(),
            "false" => "f".to_owned(),
            _ => literal,
        },
        Scalar::Uuid => literal.to_ascii_lowercase(),
        _ => literal,
    }
}

fn zero(oid: u32, scalar: Scalar) -> Option<OwnedValue> {
    Some(match scalar {
        Scalar::Bool | Scalar::OneBit => OwnedValue::Bool(false),
        Scalar::Int16 | Scalar::Int32 | Scalar::Int64 => OwnedValue::Int(0),
        Scalar::Float32 => OwnedValue::Float32(0.0),
        Scalar::Float64 => OwnedValue::Float64(0.0),
        Scalar::Decimal(scale) => OwnedValue::Decimal { unscaled: vec![0], scale: scale.into() },
        Scalar::VariableDecimal => OwnedValue::Decimal { unscaled: vec![0], scale: 0 },
        Scalar::Bits => OwnedValue::Bytes(Vec::new()),
        Scalar::Jsonb => OwnedValue::Text("{}".to_owned()),
        Scalar::Text if oid == oid::JSON => OwnedValue::Text("{}".to_owned()),
        Scalar::Text => OwnedValue::Text(String::new()),
        Scalar::Uuid => OwnedValue::Text("00000000-0000-0000-0000-000000000000".to_owned()),
        Scalar::Date => OwnedValue::Date(0),
        Scalar::Time => OwnedValue::Time(0),
        Scalar::Timestamp => OwnedValue::Timestamp(0),
        Scalar::TimestampTz => OwnedValue::TimestampTz(0),
        Scalar::Interval => OwnedValue::Interval(Interval { months: 0, days: 0, micros: 0 }),
        Scalar::Oid
        | Scalar::Money
        | Scalar::Inet
        | Scalar::Bytes
        | Scalar::Hstore
        | Scalar::TimeTz
        | Scalar::Point => return None,
    })
}

fn owned(value: Value<'_>) -> Option<OwnedValue> {
    Some(match value {
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
        Value::Null
        | Value::Absent
        | Value::Unavailable
        | Value::DecimalSpecial(_)
        | Value::UInt(_)
        | Value::FarTimestampTz { .. }
        | Value::NoSuchDate
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
    use crate::sources::postgres::types;

    fn check(oid: u32, type_modifier: i32, expression: &str, expected: Option<OwnedValue>) {
        let mapped = types::map(oid, type_modifier, None).unwrap();
        let found = parse(expression, oid, &mapped.column_type, mapped.reading);
        assert_eq!(found, expected, "{expression}");
    }

    fn text(text: &str) -> Option<OwnedValue> {
        Some(OwnedValue::Text(text.to_owned()))
    }

    #[test]
    fn literals_give_their_value() {
        use OwnedValue::{Bool, Date, Decimal, Float32, Int, Time, Timestamp, TimestampTz};
        check(oid::INT4, -1, "42", Some(Int(42)));
        check(oid::INT4, -1, "'-5'::integer", Some(Int(-5)));
        check(oid::INT4, -1, "(-5)", Some(Int(-5)));
        check(oid::INT8, -1, "'9007199254740993'::bigint", Some(Int(9_007_199_254_740_993)));
        check(oid::TEXT, -1, "'it''s'::text", text("it's"));
        check(oid::TEXT, -1, "'a\\b''c'::text", text("a\\b'c"));
        check(oid::VARCHAR, 14, "'x'::character varying(10)", text("x"));
        check(oid::BOOL, -1, "false", Some(Bool(false)));
        check(oid::BIT, 1, "B'1'::\"bit\"", Some(Bool(true)));
        check(oid::BIT, 3, "B'101'::\"bit\"", Some(OwnedValue::Bytes(vec![5])));
        check(
            oid::NUMERIC,
            (8 << 16 | 2) + 4,
            "12.5",
            Some(Decimal { unscaled: vec![4, 0xe2], scale: 2 }),
        );
        check(
            oid::NUMERIC,
            (6 << 16 | 3) + 4,
            "1.5",
            Some(Decimal { unscaled: vec![5, 0xdc], scale: 3 }),
        );
        check(oid::FLOAT4, -1, "1.5", Some(Float32(1.5)));
        check(oid::DATE, -1, "'2020-02-29'::date", Some(Date(18_321)));
        check(oid::TIME, -1, "'01:02:03'::time without time zone", Some(Time(3_723_000_000)));
        let micros = 1_582_938_123_456_789;
        check(
            oid::TIMESTAMP,
            -1,
            "'2020-02-29 01:02:03.456789'::timestamp without time zone",
            Some(Timestamp(micros)),
        );
        check(
            oid::TIMESTAMPTZ,
            -1,
            "'2020-02-29 01:02:03.456789+00'::timestamp with time zone",
            Some(TimestampTz(micros)),
        );
        check(oid::JSONB, -1, "'{\"a\": 1}'::jsonb", text("{\"a\": 1}"));
        let interval = Interval { months: 0, days: 1, micros: 0 };
        check(oid::INTERVAL, -1, "'1 day'::interval", Some(OwnedValue::Interval(interval)));
        check(
            oid::UUID,
            -1,
            "'00000000-0000-0000-0000-000000000001'::uuid",
            text("00000000-0000-0000-0000-000000000001"),
        );
    }

    #[test]
    fn calls_give_the_zero_of_their_type() {
        check(oid::TIMESTAMPTZ, -1, "now()", Some(OwnedValue::TimestampTz(0)));
        check(oid::TIMESTAMPTZ, -1, "CURRENT_TIMESTAMP", Some(OwnedValue::TimestampTz(0)));
        check(
            oid::TIMESTAMP,
            -1,
            "(now() AT TIME ZONE 'utc'::text)",
            Some(OwnedValue::Timestamp(0)),
        );
        check(oid::UUID, -1, "gen_random_uuid()", text("00000000-0000-0000-0000-000000000000"));
        check(oid::TEXT, -1, "upper('abc'::text)", text(""));
        check(oid::INT8, -1, "nextval('t_bigkey_a_seq'::regclass)", Some(OwnedValue::Int(0)));
        check(oid::JSONB, -1, "jsonb_build_object()", text("{}"));
    }

    #[test]
    fn the_rest_has_no_default() {
        check(oid::TEXT, -1, "NULL::text", None);
        check(oid::TEXT, -1, "('a'::text || 'b'::text)", None);
        check(oid::INT4, -1, "(1 + 2)", None);
        check(oid::BYTEA, -1, "'\\x01ff'::bytea", None);
        check(oid::INET, -1, "'10.0.0.1'::inet", None);
        check(1007, -1, "'{1,2}'::integer[]", None);
        check(oid::INT4, -1, "'x'::integer", None);
        check(oid::TEXT, -1, "'open", None);
    }

    #[test]
    fn enums_default_to_a_label_and_never_to_a_call() {
        let column_type = ColumnType::Enum { labels: ["ok".to_owned()].into() };
        let reading = Reading::Scalar(Scalar::Text);
        assert_eq!(parse("'ok'::mood", 20_000, &column_type, reading), text("ok"));
        assert_eq!(parse("'ok'::public.mood", 20_000, &column_type, reading), text("ok"));
        assert_eq!(parse("some_mood()", 20_000, &column_type, reading), None);
    }
}
