//! Column types as the random workload uses them: a random literal, what SQL says that a consumer
//! should see, and what the consumer saw, both as one canonical text.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::support::avro::unbase64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Bit,
    Int(&'static str),
    /// Everything that reads as the server prints it.
    Printed(&'static str),
    Bytes,
    Float4,
    Float8,
    Numeric,
    FreeNumeric,
    Money,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    IntArray,
    TextArray,
}

pub(crate) const ALL: &[Kind] = &[
    Kind::Bool,
    Kind::Bit,
    Kind::Int("int2"),
    Kind::Int("int4"),
    Kind::Int("int8"),
    Kind::Int("oid"),
    Kind::Int("posint"),
    Kind::Printed("text"),
    Kind::Printed("varchar(40)"),
    Kind::Printed("char(6)"),
    Kind::Printed("uuid"),
    Kind::Printed("json"),
    Kind::Printed("jsonb"),
    Kind::Printed("inet"),
    Kind::Printed("cidr"),
    Kind::Printed("macaddr"),
    Kind::Printed("mood"),
    Kind::Printed("int4range"),
    Kind::Printed("tsvector"),
    Kind::Printed("xml"),
    Kind::Bytes,
    Kind::Float4,
    Kind::Float8,
    Kind::Numeric,
    Kind::FreeNumeric,
    Kind::Money,
    Kind::Date,
    Kind::Time,
    Kind::Timestamp,
    Kind::TimestampTz,
    Kind::Interval,
    Kind::IntArray,
    Kind::TextArray,
];

/// Types that the tables need, before them.
pub(crate) const PRELUDE: &str = "create type mood as enum ('sad', 'ok', 'ha,ppy');
    create domain posint as int check (value > 0);";

impl Kind {
    pub(crate) fn sql_type(self) -> &'static str {
        match self {
            Self::Int(name) | Self::Printed(name) => name,
            Self::Bool => "boolean",
            Self::Bit => "bit(1)",
            Self::Bytes => "bytea",
            Self::Float4 => "real",
            Self::Float8 => "double precision",
            Self::Numeric => "numeric(12,3)",
            Self::FreeNumeric => "numeric",
            Self::Money => "money",
            Self::Date => "date",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamptz",
            Self::Interval => "interval",
            Self::IntArray => "int[]",
            Self::TextArray => "text[]",
        }
    }

    /// A literal of this type; sometimes null, often at an edge.
    pub(crate) fn random(self, rng: &mut StdRng) -> String {
        if rng.random_bool(0.15) {
            return "null".to_owned();
        }
        match self {
            Self::Bool => rng.random_bool(0.5).to_string(),
            Self::Bit => format!("b'{}'", rng.random_range(0..2)),
            Self::Int("int2") => {
                format!("({}::int2)", rng.random::<i16>()).replace("(-32768::", "('-32768'::")
            }
            Self::Int("int8") => format!("'{}'", rng.random::<i64>()),
            Self::Int("oid") => rng.random::<u32>().to_string(),
            Self::Int("posint") => rng.random_range(1..i32::MAX).to_string(),
            Self::Int(_) => format!("'{}'", rng.random::<i32>()),
            Self::Printed(name) => printed(name, rng),
            Self::Bytes => format!("'\\x{}'", hex(rng)),
            Self::Float4 => {
                pick(rng, &["'NaN'", "'-Infinity'", "'1.1e-38'", "0.1", "-3.4028235e38"])
            }
            Self::Float8 => {
                pick(rng, &["'NaN'", "'Infinity'", "1e-300", "0.1", "123456789.123456789"])
            }
            Self::Numeric => format!(
                "{}.{:03}",
                rng.random_range(-99_999_999..99_999_999),
                rng.random_range(0..1000)
            ),
            Self::FreeNumeric => {
                pick(rng, &["0", "-0.0001", "1e20", "12345678901234567890.123456789", "-1", "100"])
            }
            Self::Money => {
                format!("'{}.{:02}'", rng.random_range(-9999..9999), rng.random_range(0..100))
            }
            Self::Date => format!("date '2000-01-01' + {}", rng.random_range(-700_000..2_000_000)),
            Self::Time => {
                format!("time '00:00' + interval '{} us'", rng.random_range(0..86_400_000_000_i64))
            }
            Self::Timestamp => format!("timestamp '2000-01-01' + interval '{} us'", micros(rng)),
            Self::TimestampTz => {
                format!("timestamptz '2000-01-01 00:00+00' + interval '{} us'", micros(rng))
            }
            Self::Interval => format!(
                "interval '{} months {} days {} us'",
                rng.random_range(-500..500),
                rng.random_range(-500..500),
                rng.random_range(-100_000_000_000_i64..100_000_000_000)
            ),
            Self::IntArray => pick(rng, &["'{}'", "'{1,null,-3}'", "'{2147483647}'"]),
            Self::TextArray => {
                pick(rng, &["'{}'", "'{a,\"b,c\",null,\"null\"}'", "'{\"\",\"\\\"\"}'"])
            }
        }
    }

    /// SQL for the canonical text of a column.
    pub(crate) fn expected(self, name: &str) -> String {
        let micros =
            |column: &str| format!("(extract(epoch from {column}) * 1000000)::bigint::text");
        match self {
            Self::Bool | Self::Int(_) | Self::Float4 | Self::Float8 => format!("{name}::text"),
            Self::Bit => format!("(case {name} when b'1' then 'true' when b'0' then 'false' end)"),
            // `format` calls the type's output function; a cast to text would trim and pad.
            Self::Printed(_) => {
                format!("case when {name} is not null then format('%s', {name}) end")
            }
            Self::Bytes => format!("encode({name}, 'hex')"),
            Self::Numeric => format!("{name}::text"),
            Self::FreeNumeric => format!("trim_scale({name})::text"),
            Self::Money => format!("{name}::numeric(20,2)::text"),
            Self::Date => format!("({name} - date '1970-01-01')::text"),
            Self::Time | Self::Timestamp => micros(name),
            Self::TimestampTz => {
                format!("to_char({name} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
            // A month is a twelfth of 365.25 days.
            Self::Interval => format!(
                "((extract(year from {name}) * 12 + extract(month from {name})) * 2629800000000
                 + extract(day from {name}) * 86400000000
                 + extract(hour from {name}) * 3600000000 + extract(minute from {name}) * 60000000
                 + extract(second from {name}) * 1000000)::bigint::text"
            ),
            Self::IntArray | Self::TextArray => format!("to_json({name})::text"),
        }
    }

    /// The canonical text of what SQL said.
    pub(crate) fn of_sql(self, text: Option<&str>) -> Option<String> {
        let text = text?;
        Some(match self {
            Self::Float4 => text.parse::<f32>().map_or(text.to_owned(), |f| format!("{f:?}")),
            Self::Float8 => text.parse::<f64>().map_or(text.to_owned(), |f| format!("{f:?}")),
            Self::IntArray | Self::TextArray => text.parse::<Value>().unwrap().to_string(),
            _ => text.to_owned(),
        })
    }

    /// The canonical text of what the consumer has.
    pub(crate) fn of_event(self, value: &Value) -> Option<String> {
        if value.is_null() {
            return None;
        }
        let bytes = || unbase64(value.as_str().expect("bytes are base64"));
        Some(match self {
            Self::Float4 | Self::Float8 => float(self, value),
            Self::Bytes => bytes().iter().map(|b| format!("{b:02x}")).collect(),
            Self::Numeric => decimal(&bytes(), 3),
            Self::Money => decimal(&bytes(), 2),
            Self::FreeNumeric => {
                let digits = unbase64(value["value"].as_str().expect("the digits are base64"));
                trim(&decimal(&digits, usize::try_from(value["scale"].as_u64().unwrap()).unwrap()))
            }
            _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        })
    }
}

fn float(kind: Kind, value: &Value) -> String {
    match value.as_str() {
        Some("Infinity") => "inf".to_owned(),
        Some("-Infinity") => "-inf".to_owned(),
        Some(other) => other.to_owned(),
        // Shortest digits of a float4 are not those of the double that JSON makes of them.
        None if kind == Kind::Float4 => format!("{:?}", value.to_string().parse::<f32>().unwrap()),
        None => format!("{:?}", value.as_f64().unwrap()),
    }
}

/// Two's complement, big-endian, as Java's BigInteger; 128 bits are enough for this workload.
pub(crate) fn decimal(bytes: &[u8], scale: usize) -> String {
    let sign = if bytes.first().is_some_and(|b| *b >= 128) { -1 } else { 0 };
    let unscaled = bytes.iter().fold(sign, |n: i128, b| n << 8 | i128::from(*b));
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

fn trim(number: &str) -> String {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        number.to_owned()
    }
}

fn micros(rng: &mut StdRng) -> i64 {
    rng.random_range(-30_000_000_000_000_000..200_000_000_000_000_000)
}

fn hex(rng: &mut StdRng) -> String {
    let n = rng.random_range(0..20);
    (0..n).map(|_| format!("{:02x}", rng.random::<u8>())).collect()
}

fn pick(rng: &mut StdRng, literals: &[&str]) -> String {
    literals[rng.random_range(0..literals.len())].to_owned()
}

pub(crate) fn random_text(rng: &mut StdRng, n_max: usize) -> String {
    const LETTERS: &[&str] =
        &["a", "B", " ", "\"", "\\", "''", "é", "😀", "\n", "\t", "1", ",", "{", "\u{7f}"];
    let n = rng.random_range(0..=n_max);
    (0..n).map(|_| LETTERS[rng.random_range(0..LETTERS.len())]).collect()
}

fn printed(name: &str, rng: &mut StdRng) -> String {
    match name {
        "uuid" => format!("'{:032x}'", rng.random::<u128>()),
        "json" => pick(rng, &["'{ \"a\" : 1.0,  \"a\": [] }'", "'null'", "'\"x\\u00e9\"'"]),
        "jsonb" => {
            pick(rng, &["'{\"b\": 2, \"a\": [1, null, 1e2]}'", "'[]'", "'12345678901234567890'"])
        }
        "inet" => pick(rng, &["'192.168.0.1/24'", "'10.0.0.1'", "'::1'", "'2001:db8::/32'"]),
        "cidr" => pick(rng, &["'10.0.0.0/8'", "'10.0.0.1/32'", "'2001:db8::/32'"]),
        "macaddr" => "'08:00:2b:01:02:03'".to_owned(),
        "mood" => pick(rng, &["'sad'", "'ok'", "'ha,ppy'"]),
        "int4range" => pick(rng, &["'[1,5)'", "'empty'", "'(,7]'"]),
        "tsvector" => pick(rng, &["'fat:2,4 cat:3A'", "''"]),
        "xml" => pick(rng, &["'<a b=\"c\"/>'", "'<t>x &amp; y</t>'"]),
        "char(6)" => format!("'{}'", random_text(rng, 3).replace(' ', "_")),
        _ => format!("'{}'", random_text(rng, 20)),
    }
}

#[test]
fn decimals_read_as_the_server_prints_them() {
    assert_eq!(decimal(&[0xff], 3), "-0.001");
    assert_eq!(decimal(&[0x04, 0xd2], 2), "12.34");
    assert_eq!(decimal(&[0], 0), "0");
    assert_eq!(trim("1.500"), "1.5");
}
