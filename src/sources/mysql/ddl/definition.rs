//! A model as a topic of schema changes shows it: what Debezium's parsers make of the same
//! statement (`MySqlAntlrDdlParser` and its listeners).

use super::model::{ColumnModel, TableModel};
use crate::schema::definition::{ColumnDefinition, TableDefinition};
use crate::sources::mysql::catalog::DefaultText;
use crate::sources::mysql::quoted;
use crate::sources::mysql::settings::Flavor;
use crate::sources::mysql::types::MysqlType;

/// Of `java.sql.Types`.
mod jdbc {
    pub(super) const BIT: i32 = -7;
    pub(super) const BIGINT: i32 = -5;
    pub(super) const VARBINARY: i32 = -3;
    pub(super) const BINARY: i32 = -2;
    pub(super) const CHAR: i32 = 1;
    pub(super) const NUMERIC: i32 = 2;
    pub(super) const DECIMAL: i32 = 3;
    pub(super) const INTEGER: i32 = 4;
    pub(super) const SMALLINT: i32 = 5;
    pub(super) const FLOAT: i32 = 6;
    pub(super) const REAL: i32 = 7;
    pub(super) const DOUBLE: i32 = 8;
    pub(super) const VARCHAR: i32 = 12;
    pub(super) const BOOLEAN: i32 = 16;
    pub(super) const DATE: i32 = 91;
    pub(super) const TIME: i32 = 92;
    pub(super) const TIMESTAMP: i32 = 93;
    pub(super) const TIMESTAMP_WITH_TIMEZONE: i32 = 2014;
    pub(super) const BLOB: i32 = 2004;
    pub(super) const NCHAR: i32 = -15;
    pub(super) const NVARCHAR: i32 = -9;
    pub(super) const OTHER: i32 = 1111;
}

impl TableModel {
    #[must_use]
    pub fn definition(&self, flavor: Flavor) -> TableDefinition {
        TableDefinition {
            charset: self.charset.clone(),
            key: self.key(),
            columns: self.columns.iter().map(|column| definition(column, flavor)).collect(),
            comment: self.comment.clone(),
        }
    }
}

fn definition(column: &ColumnModel, flavor: Flavor) -> ColumnDefinition {
    let data_type = &column.data_type;
    let quote = |label: &String| format!("'{}'", label.replace('\'', "''"));
    let labels: Vec<String> = data_type.labels.iter().map(quote).collect();
    let (length, scale) = length_and_scale(column);
    ColumnDefinition {
        name: column.name.clone(),
        jdbc_type: jdbc_type(&data_type.name),
        type_name: match data_type.name.as_str() {
            // What its parser of MySQL's grammar makes of it.
            "BINARY" if flavor == Flavor::Mysql => "BINARY BINARY".to_owned(),
            name => name.to_owned(),
        },
        charset: column.charset.clone(),
        length,
        scale,
        optional: column.nullable,
        automatic: column.automatic,
        comment: column.comment.clone(),
        default: default(column),
        labels: (!labels.is_empty()).then_some(labels),
    }
}

fn jdbc_type(name: &str) -> i32 {
    let base = name.split(' ').next().unwrap_or(name);
    match base {
        "BOOL" | "BOOLEAN" => jdbc::BOOLEAN,
        "TINYINT" | "SMALLINT" | "INT1" | "INT2" => jdbc::SMALLINT,
        "MEDIUMINT" | "INT" | "INTEGER" | "INT3" | "INT4" | "MIDDLEINT" | "YEAR" => jdbc::INTEGER,
        "BIGINT" | "INT8" => jdbc::BIGINT,
        "BIT" => jdbc::BIT,
        "FLOAT" | "FLOAT4" => jdbc::FLOAT,
        "DOUBLE" | "FLOAT8" => jdbc::DOUBLE,
        "REAL" => jdbc::REAL,
        "DECIMAL" | "DEC" | "FIXED" => jdbc::DECIMAL,
        "NUMERIC" => jdbc::NUMERIC,
        "DATE" => jdbc::DATE,
        "TIME" => jdbc::TIME,
        "DATETIME" => jdbc::TIMESTAMP,
        "TIMESTAMP" => jdbc::TIMESTAMP_WITH_TIMEZONE,
        "CHAR" | "CHARACTER" | "ENUM" | "SET" => jdbc::CHAR,
        "NCHAR" => jdbc::NCHAR,
        "NVARCHAR" => jdbc::NVARCHAR,
        "VARCHAR" | "VARCHARACTER" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" => {
            jdbc::VARCHAR
        }
        "BINARY" => jdbc::BINARY,
        "VARBINARY" => jdbc::VARBINARY,
        "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" => jdbc::BLOB,
        _ => jdbc::OTHER,
    }
}

fn length_and_scale(column: &ColumnModel) -> (Option<i32>, Option<i32>) {
    let data_type = &column.data_type;
    let argument = |index: usize| {
        data_type.arguments.get(index).and_then(|&argument| i32::try_from(argument).ok())
    };
    let n_labels = i32::try_from(data_type.labels.len()).unwrap_or(i32::MAX);
    match data_type.name.split(' ').next().unwrap_or_default() {
        "ENUM" => (Some(1), None),
        "SET" => (Some((2 * n_labels - 1).max(0)), None),
        "DECIMAL" | "NUMERIC" | "DEC" | "FIXED" => {
            (argument(0).or(Some(10)), argument(1).or(Some(0)))
        }
        "BIT" | "CHAR" | "CHARACTER" | "BINARY" => (argument(0).or(Some(1)), None),
        _ => (argument(0), argument(1)),
    }
}

fn default(column: &ColumnModel) -> Option<String> {
    let bits = |text: &str| {
        let digits = text.strip_prefix("b'").and_then(|text| text.strip_suffix('\''));
        digits.map(str::to_owned)
    };
    match &column.default {
        DefaultText::None => None,
        DefaultText::Value(text) => match column.data_type.mysql_type() {
            Some(MysqlType::Binary { .. } | MysqlType::Bytes) => of_hex(text),
            _ => Some(bits(text).unwrap_or_else(|| text.clone())),
        },
        DefaultText::Expression(text) if text.starts_with('\'') => {
            quoted::one(text).map(|(text, _)| text)
        }
        DefaultText::Expression(text) if is_clock(text) => {
            (!column.nullable).then(|| "1970-01-01 00:00:00".to_owned())
        }
        DefaultText::Expression(text) => {
            let number = text.strip_prefix('-').unwrap_or(text);
            let is_number = number.starts_with(|c: char| c.is_ascii_digit());
            bits(text).or_else(|| is_number.then(|| text.clone()))
        }
    }
}

fn is_clock(text: &str) -> bool {
    let name = text.split('(').next().unwrap_or(text);
    name.eq_ignore_ascii_case("current_timestamp") || name.eq_ignore_ascii_case("now")
}

fn of_hex(text: &str) -> Option<String> {
    let Some(digits) = text.strip_prefix("0x") else { return Some(text.to_owned()) };
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    Some(String::from_utf8_lossy(&bytes.collect::<Option<Vec<u8>>>()?).into_owned())
}
