//! Column types of the random workload: a random literal, and one canonical text for what SQL, a
//! consumer, our decoder and `mysqlbinlog` say of a value.
//!
//! A column's name tells its type (`c3`, `x17_3`: the fourth of [`ALL`]), so that a value can be
//! read without knowing how its table looked at the time.

use encoding_rs::{Encoding, GBK, SHIFT_JIS, UTF_8, WINDOWS_1252};
use serde_json::Value as Json;
use tailwater::value::Value;

use super::canonical::{self as form, big_decimal, hex};
use crate::support::avro::unbase64;
use crate::support::mysql::Kind as Flavor;

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Int {
        sql: &'static str,
        bits: u32,
        unsigned: bool,
    },
    Float,
    Double,
    Decimal {
        sql: &'static str,
        digits: u32,
        scale: u32,
    },
    Year,
    Date,
    Time {
        sql: &'static str,
    },
    Datetime {
        sql: &'static str,
        fsp: u32,
    },
    Timestamp {
        sql: &'static str,
    },
    Text {
        sql: &'static str,
        charset: &'static Encoding,
    },
    Utf16 {
        sql: &'static str,
    },
    Bytes {
        sql: &'static str,
    },
    Bit {
        sql: &'static str,
        bits: u32,
    },
    Enum,
    Set,
    Json,
    Geometry {
        sql: &'static str,
    },
    /// MySQL's.
    Vector,
    /// MariaDB's.
    Uuid,
    Inet {
        sql: &'static str,
    },
}

const fn int(sql: &'static str, bits: u32) -> Kind {
    Kind::Int { sql, bits, unsigned: false }
}

const fn unsigned(sql: &'static str, bits: u32) -> Kind {
    Kind::Int { sql, bits, unsigned: true }
}

const fn text(sql: &'static str) -> Kind {
    Kind::Text { sql, charset: UTF_8 }
}

pub(super) const INT: usize = 4;
pub(super) const BIGINT: usize = 6;
pub(super) const TEXT: usize = 27;
pub(super) const DECIMAL: usize = 12;

pub(super) const ALL: [Kind; 53] = [
    int("tinyint", 8),
    unsigned("tinyint unsigned", 8),
    int("smallint", 16),
    unsigned("smallint unsigned", 16),
    int("int", 32),
    unsigned("int unsigned", 32),
    int("bigint", 64),
    unsigned("bigint unsigned", 64),
    int("mediumint", 24),
    unsigned("mediumint unsigned", 24),
    Kind::Float,
    Kind::Double,
    Kind::Decimal { sql: "decimal(12,3)", digits: 12, scale: 3 },
    Kind::Decimal { sql: "decimal(65,30)", digits: 65, scale: 30 },
    Kind::Decimal { sql: "decimal(10,0) unsigned", digits: 10, scale: 0 },
    Kind::Year,
    Kind::Date,
    Kind::Time { sql: "time" },
    Kind::Time { sql: "time(2)" },
    Kind::Time { sql: "time(6)" },
    Kind::Datetime { sql: "datetime", fsp: 0 },
    Kind::Datetime { sql: "datetime(3)", fsp: 3 },
    Kind::Datetime { sql: "datetime(6)", fsp: 6 },
    Kind::Timestamp { sql: "timestamp" },
    Kind::Timestamp { sql: "timestamp(1)" },
    Kind::Timestamp { sql: "timestamp(6)" },
    text("varchar(40)"),
    text("text"),
    text("char(6)"),
    text("varchar(300)"),
    text("tinytext"),
    text("longtext"),
    Kind::Text { sql: "varchar(40) character set latin1", charset: WINDOWS_1252 },
    Kind::Text { sql: "char(9) character set gbk", charset: GBK },
    Kind::Text { sql: "text character set sjis", charset: SHIFT_JIS },
    Kind::Text { sql: "varchar(20) character set utf8mb3", charset: UTF_8 },
    Kind::Text { sql: "varchar(20) character set ascii", charset: UTF_8 },
    Kind::Utf16 { sql: "varchar(20) character set utf16" },
    Kind::Utf16 { sql: "char(8) character set ucs2" },
    Kind::Bytes { sql: "binary(7)" },
    Kind::Bytes { sql: "varbinary(30)" },
    Kind::Bytes { sql: "blob" },
    Kind::Bytes { sql: "tinyblob" },
    Kind::Bit { sql: "bit(1)", bits: 1 },
    Kind::Bit { sql: "bit(13)", bits: 13 },
    Kind::Bit { sql: "bit(64)", bits: 64 },
    Kind::Enum,
    Kind::Set,
    Kind::Json,
    Kind::Geometry { sql: "point" },
    Kind::Geometry { sql: "geometry" },
    Kind::Vector,
    Kind::Uuid,
];

/// Of MariaDB alone; beyond [`ALL`] because a constant has one length.
pub(super) const INET: [Kind; 2] = [Kind::Inet { sql: "inet4" }, Kind::Inet { sql: "inet6" }];

const LABELS: [&str; 3] = ["sad", "o'k", "schön"];
const MEMBERS: [&str; 4] = ["a", "bé", "c d", "e"];

/// The kind that a column's name tells.
pub(super) fn of_column(name: &str) -> Kind {
    match name {
        "b" => return ALL[TEXT],
        "id" | "a" | "k" | "gen" | "small" => return ALL[INT],
        _ => {}
    }
    let digits = name.rsplit(['c', '_']).next().unwrap();
    let index: usize = digits.parse().unwrap_or_else(|_| panic!("the column {name}"));
    of_index(index)
}

pub(super) fn of_index(index: usize) -> Kind {
    ALL.get(index).copied().unwrap_or_else(|| INET[index - ALL.len()])
}

/// Indices of what a server knows.
pub(super) fn of_flavor(flavor: Flavor) -> impl Iterator<Item = usize> {
    let all = ALL.iter().chain(&INET).enumerate();
    all.filter(move |(_, kind)| match kind {
        Kind::Vector => flavor == Flavor::Mysql,
        Kind::Uuid | Kind::Inet { .. } => flavor == Flavor::Mariadb,
        _ => true,
    })
    .map(|(index, _)| index)
}

impl Kind {
    pub(super) fn sql_type(self) -> &'static str {
        match self {
            Self::Int { sql, .. }
            | Self::Decimal { sql, .. }
            | Self::Time { sql }
            | Self::Datetime { sql, .. }
            | Self::Text { sql, .. }
            | Self::Utf16 { sql }
            | Self::Bytes { sql }
            | Self::Bit { sql, .. }
            | Self::Geometry { sql }
            | Self::Inet { sql } => sql,
            // Of which the servers make NOT NULL where nothing is said.
            Self::Timestamp { sql: "timestamp" } => "timestamp null",
            Self::Timestamp { sql: "timestamp(1)" } => "timestamp(1) null",
            Self::Timestamp { .. } => "timestamp(6) null",
            Self::Float => "float",
            Self::Double => "double",
            Self::Year => "year",
            Self::Date => "date",
            Self::Enum => "enum('sad','o''k','schön')",
            Self::Set => "set('a','bé','c d','e')",
            Self::Json => "json",
            Self::Vector => "vector(3)",
            Self::Uuid => "uuid",
        }
    }

    /// SQL for the text of a column that [`Self::of_sql`] understands.
    pub(super) fn expected(self, name: &str) -> String {
        match self {
            // Debezium's `bigint.unsigned.handling.mode=long`.
            Self::Int { sql: "bigint unsigned", .. } => format!("cast({name} as signed)"),
            // A FLOAT is printed with six digits.
            Self::Float => format!("{name} + 0e0"),
            Self::Bytes { .. } => format!("hex({name})"),
            Self::Bit { .. } => format!("{name} + 0"),
            Self::Geometry { .. } => format!("hex(st_aswkb({name}))"),
            Self::Vector => format!("vector_to_string({name})"),
            _ => name.to_owned(),
        }
    }

    /// The canonical text of what SQL said.
    pub(super) fn of_sql(self, text: Option<&str>) -> Option<String> {
        let text = text?;
        match self {
            Self::Float => Some(format!("{:?}", text.parse::<f32>().unwrap())),
            Self::Double => Some(format!("{:?}", text.parse::<f64>().unwrap())),
            Self::Date => form::date(text),
            Self::Time { .. } => Some(form::time(text)),
            Self::Datetime { .. } | Self::Timestamp { .. } => form::datetime(text),
            Self::Bytes { .. } | Self::Geometry { .. } => Some(text.to_lowercase()),
            Self::Json => Some(form::json(text)),
            Self::Vector => Some(form::floats(&text.parse().unwrap())),
            _ => Some(text.to_owned()),
        }
    }

    /// The canonical text of what the consumer has.
    pub(super) fn of_event(self, value: &Json) -> Option<String> {
        if value.is_null() {
            return None;
        }
        let bytes = |value: &Json| unbase64(value.as_str().expect("bytes are base64"));
        let micros = |value: &Json| value.as_i64().expect("a number");
        Some(match self {
            // Shortest digits of a float4 are not those of the double that JSON makes of them.
            Self::Float => format!("{:?}", value.to_string().parse::<f32>().unwrap()),
            Self::Double => format!("{:?}", value.as_f64().unwrap()),
            Self::Decimal { scale, .. } => big_decimal(&bytes(value), scale),
            Self::Datetime { fsp, .. } if fsp <= 3 => (micros(value) * 1000).to_string(),
            Self::Timestamp { .. } => return form::datetime(value.as_str().unwrap()),
            Self::Bytes { .. } => hex(&bytes(value)),
            Self::Bit { bits: 1, .. } => u8::from(value.as_bool().unwrap()).to_string(),
            Self::Bit { .. } => form::bits(&bytes(value)).to_string(),
            Self::Json => form::json(value.as_str().unwrap()),
            Self::Geometry { .. } => hex(&bytes(&value["wkb"])),
            Self::Vector => form::floats(value),
            _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        })
    }

    /// The canonical text of what our decoder has; `None` for NULL.
    pub(super) fn of_value(self, value: &Value<'_>) -> Option<String> {
        Some(match (self, *value) {
            (_, Value::Null) => return None,
            (Self::Float, Value::Float32(v)) => format!("{:.5e}", f64::from(v)),
            (_, Value::Float64(v)) => format!("{v:?}"),
            (Self::Int { .. } | Self::Year, Value::Int(v)) => v.to_string(),
            (Self::Int { .. }, Value::UInt(v)) => v.to_string(),
            (Self::Decimal { scale, .. }, Value::Decimal(v)) => {
                assert_eq!(u32::try_from(v.scale), Ok(scale));
                big_decimal(v.unscaled, scale)
            }
            (_, Value::NoSuchDate) => "none".to_owned(),
            (Self::Date, Value::Date(v)) => v.to_string(),
            (Self::Time { .. }, Value::Time(v))
            | (Self::Datetime { .. }, Value::Timestamp(v))
            | (Self::Timestamp { .. }, Value::TimestampTz(v)) => v.to_string(),
            (Self::Text { charset, .. }, Value::Text(v)) => {
                // MySQL keeps a backslash as 0x815F, elsewhere the wide one.
                let sjis = charset == SHIFT_JIS;
                let text = if sjis { v.replace('\\', "\u{ff3c}") } else { v.to_owned() };
                hex(&charset.encode(&text).0)
            }
            (Self::Utf16 { .. }, Value::Text(v)) => {
                hex(&v.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>())
            }
            (Self::Bytes { .. }, Value::Bytes(v)) => hex(v),
            (Self::Bit { .. }, Value::Bytes(v)) => form::bits(v).to_string(),
            (Self::Bit { .. }, Value::Bool(v)) => u8::from(v).to_string(),
            (Self::Json, Value::Text(v)) => form::json(v),
            (Self::Geometry { .. }, Value::Geometry { srid, wkb }) => {
                hex(&[&srid.to_le_bytes(), wkb].concat())
            }
            (Self::Enum | Self::Set | Self::Uuid | Self::Inet { .. }, Value::Text(v)) => {
                v.to_owned()
            }
            // The log does not tell these types: where the catalogue has forgotten the column, they
            // are what the log says.
            (Self::Inet { sql }, Value::Bytes(v)) => form::inet(sql == "inet4", v.to_vec()),
            (Self::Uuid, Value::Bytes(v)) => hex(v),
            (kind, value) => panic!("{kind:?} is {value:?}"),
        })
    }

    /// Whether `mysqlbinlog` prints such a column: MySQL's gives the rest of the row up at shapes
    /// and vectors, and MariaDB's UUIDs are in the order of the index.
    pub(super) fn is_in_mysqlbinlog(self) -> bool {
        !matches!(self, Self::Geometry { .. } | Self::Vector | Self::Uuid)
    }

    /// The canonical text of what `mysqlbinlog` prints after `@n=`.
    pub(super) fn of_mysqlbinlog(self, flavor: Flavor, printed: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(printed);
        let text = text.trim_end();
        if text == "NULL" {
            return None;
        }
        let quoted = || form::unquoted(flavor, printed);
        let unquoted = text.trim_matches('\'');
        Some(match self {
            Self::Int { unsigned, .. } => match text.split_once(" (") {
                Some((_, other)) if unsigned => other.trim_end_matches(')').to_owned(),
                Some((signed, _)) => signed.to_owned(),
                None => text.to_owned(),
            },
            Self::Float => format!("{:.5e}", text.parse::<f64>().unwrap()),
            Self::Double => format!("{:?}", text.parse::<f64>().unwrap()),
            Self::Decimal { .. } | Self::Year => text.to_owned(),
            Self::Date => form::date(&unquoted.replace(':', "-")).unwrap_or("none".to_owned()),
            Self::Time { .. } => form::time(unquoted),
            Self::Datetime { .. } => form::datetime(unquoted).unwrap_or("none".to_owned()),
            Self::Timestamp { .. } => match form::seconds(text) {
                0 => "none".to_owned(),
                micros => micros.to_string(),
            },
            Self::Text { .. } | Self::Utf16 { .. } => hex(&quoted()),
            Self::Bytes { sql } => {
                let mut bytes = quoted();
                // The log leaves out what a fixed length ends with.
                if sql == "binary(7)" {
                    bytes.resize(7, 0);
                }
                hex(&bytes)
            }
            Self::Bit { .. } => binary(text).to_string(),
            Self::Enum => LABELS[text.parse::<usize>().unwrap() - 1].to_owned(),
            Self::Set => {
                let members = binary(text);
                let there = MEMBERS.iter().enumerate().filter(|(i, _)| members >> i & 1 == 1);
                there.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
            }
            Self::Json => {
                // A document that is a string alone is printed without its quotes.
                let text = String::from_utf8(quoted()).unwrap();
                let is_json = text.parse::<Json>().is_ok();
                if is_json { form::json(&text) } else { Json::String(text).to_string() }
            }
            Self::Inet { sql } => form::inet(sql == "inet4", quoted()),
            Self::Geometry { .. } | Self::Vector | Self::Uuid => panic!("not asked for"),
        })
    }
}

fn binary(text: &str) -> u64 {
    let digits = text.trim_start_matches("b'").trim_end_matches('\'');
    u64::from_str_radix(digits, 2).unwrap_or_else(|_| panic!("{text}"))
}
