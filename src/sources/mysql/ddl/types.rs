//! The type of a column as a statement names it.

use serde::{Deserialize, Serialize};

use super::Dialect;
use super::cursor::Cursor;
use crate::sources::mysql::settings::Flavor;
use crate::sources::mysql::types::MysqlType;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataType {
    /// As it was written, in upper case: `BIGINT UNSIGNED`.
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<u32>,
    /// Of ENUM and SET.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// A type, and what a statement says of character sets right behind it.
pub(super) struct Typed {
    pub(super) data_type: DataType,
    pub(super) charset: Charset,
    /// SERIAL: not null, AUTO_INCREMENT, unique.
    pub(super) serial: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Charset {
    /// The table's.
    #[default]
    Default,
    Named(String),
}

/// The character set of a collation: its name begins with it. MariaDB's `uca1400_ai_ci` does not,
/// and leaves the character set as it is.
pub(super) fn charset_of_collation(collation: &str) -> Option<String> {
    let name = collation.split('_').next().unwrap_or(collation).to_ascii_lowercase();
    (!name.starts_with("uca1400")).then_some(name)
}

/// How a text or bytes are stored, which a table map shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    Fixed {
        characters: u32,
    },
    Varying {
        characters: u32,
    },
    /// Bytes that say how long a value is.
    Blob {
        length_bytes: u16,
    },
}

impl DataType {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), arguments: Vec::new(), labels: Vec::new() }
    }

    /// Reads `information_schema.columns.column_type`.
    #[must_use]
    pub fn of_declared(column_type: &str) -> Option<Self> {
        // Both servers write what both understand, but for what MariaDB has in its own comments.
        let mut cursor = Cursor::new(column_type, Dialect::of(Flavor::Mariadb))?;
        // But for this one, which MariaDB never writes.
        if cursor.is("JSON") {
            cursor.dialect.flavor = Flavor::Mysql;
        }
        let typed = data_type(&mut cursor)?;
        cursor.at_end().then_some(typed.data_type)
    }

    /// The first word of the name.
    fn base(&self) -> &str {
        let name = self.name.as_str();
        ["DOUBLE PRECISION", "CHARACTER VARYING", "NATIONAL", "BINARY VARYING"]
            .into_iter()
            .find(|long| name.starts_with(long))
            .unwrap_or_else(|| name.split(' ').next().unwrap_or(name))
    }

    fn has(&self, word: &str) -> bool {
        self.name.split(' ').any(|part| part == word)
    }

    /// As `information_schema` writes it, but for the widths of integers.
    #[must_use]
    pub fn declared(&self) -> String {
        let first = self.arguments.first().copied();
        let (name, arguments) = match self.base() {
            // The one width that may mean something.
            "BOOL" | "BOOLEAN" => ("tinyint", "(1)".to_owned()),
            "TINYINT" | "INT1" if first == Some(1) => ("tinyint", "(1)".to_owned()),
            "TINYINT" | "INT1" => ("tinyint", String::new()),
            "SMALLINT" | "INT2" => ("smallint", String::new()),
            "MEDIUMINT" | "MIDDLEINT" | "INT3" => ("mediumint", String::new()),
            "INT" | "INTEGER" | "INT4" => ("int", String::new()),
            "BIGINT" | "INT8" | "SERIAL" => ("bigint", String::new()),
            "DECIMAL" | "NUMERIC" | "DEC" | "FIXED" => {
                let precision = first.filter(|&precision| precision > 0).unwrap_or(10);
                let scale = self.arguments.get(1).copied().unwrap_or(0);
                ("decimal", format!("({precision},{scale})"))
            }
            "FLOAT" if self.arguments.len() == 1 && first > Some(24) => ("double", String::new()),
            "FLOAT" if self.arguments.len() == 1 => ("float", String::new()),
            "FLOAT" | "FLOAT4" => ("float", self.in_parentheses()),
            "DOUBLE" | "DOUBLE PRECISION" | "REAL" | "FLOAT8" => ("double", self.in_parentheses()),
            "BIT" => ("bit", format!("({})", first.unwrap_or(1))),
            "BINARY" => ("binary", format!("({})", first.unwrap_or(1))),
            "BINARY VARYING" => ("varbinary", self.in_parentheses()),
            "CHAR" | "CHARACTER" | "NCHAR" => ("char", format!("({})", first.unwrap_or(1))),
            "NATIONAL" if !self.has("VARCHAR") && !self.has("VARYING") => {
                ("char", format!("({})", first.unwrap_or(1)))
            }
            "NATIONAL" | "CHARACTER VARYING" | "VARCHARACTER" | "NVARCHAR" => {
                ("varchar", self.in_parentheses())
            }
            "GEOMETRYCOLLECTION" => ("geomcollection", String::new()),
            "YEAR" => ("year", String::new()),
            "ENUM" | "SET" => {
                let quoted = |label: &String| format!("'{}'", label.replace('\'', "''"));
                let labels: Vec<String> = self.labels.iter().map(quoted).collect();
                let name = if self.base() == "ENUM" { "enum" } else { "set" };
                (name, format!("({})", labels.join(",")))
            }
            other => return format!("{}{}", other.to_ascii_lowercase(), self.in_parentheses()),
        };
        let unsigned = self.has("UNSIGNED") || self.has("ZEROFILL") || self.has("SERIAL");
        format!("{name}{arguments}{}", if unsigned { " unsigned" } else { "" })
    }

    fn in_parentheses(&self) -> String {
        let arguments: Vec<String> = self.arguments.iter().map(u32::to_string).collect();
        if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(",")) }
    }

    #[must_use]
    pub fn mysql_type(&self) -> Option<MysqlType> {
        // Labels need no quoting on this way.
        match self.base() {
            "ENUM" => Some(MysqlType::Enum { labels: self.labels.as_slice().into() }),
            "SET" => Some(MysqlType::Set { labels: self.labels.as_slice().into() }),
            _ => MysqlType::declared(&self.declared()),
        }
    }

    /// Whether values of it have a character set.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(
            self.mysql_type(),
            Some(MysqlType::Text | MysqlType::Enum { .. } | MysqlType::Set { .. })
        )
    }

    /// `None` where a table map shows nothing of it.
    pub(crate) fn storage(&self) -> Option<Storage> {
        let declared = self.declared();
        let name = declared.split('(').next().unwrap_or(&declared);
        let argument = declared.strip_prefix(name).unwrap_or_default().trim_matches(['(', ')']);
        let blob = |length_bytes| Some(Storage::Blob { length_bytes });
        match name {
            "char" | "binary" => Some(Storage::Fixed { characters: argument.parse().ok()? }),
            "varchar" | "varbinary" => {
                Some(Storage::Varying { characters: argument.parse().ok()? })
            }
            "tinytext" | "tinyblob" => blob(1),
            "text" | "blob" => blob(2),
            "mediumtext" | "mediumblob" => blob(3),
            "longtext" | "longblob" | "json" => blob(4),
            _ => None,
        }
    }

    /// A text in the character set `binary` is bytes (manual, "The Binary Character Set").
    pub(super) fn into_binary(self) -> Self {
        let declared = self.declared();
        let name = match declared.split('(').next().unwrap_or_default() {
            "char" => "BINARY",
            "varchar" => "VARBINARY",
            "tinytext" => "TINYBLOB",
            "text" => "BLOB",
            "mediumtext" => "MEDIUMBLOB",
            "longtext" => "LONGBLOB",
            _ => return self,
        };
        Self { name: name.to_owned(), ..self }
    }
}

/// Reads a type.
pub(super) fn data_type(cursor: &mut Cursor<'_>) -> Option<Typed> {
    let first = cursor.name()?.to_ascii_uppercase();
    let plain = |data_type| Some(Typed { data_type, charset: Charset::Default, serial: false });
    match first.as_str() {
        "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "INTEGER" | "BIGINT" | "INT1" | "INT2"
        | "INT3" | "INT4" | "INT8" | "MIDDLEINT" | "DECIMAL" | "NUMERIC" | "DEC" | "FIXED"
        | "FLOAT" | "FLOAT4" | "FLOAT8" => plain(number(cursor, first)?),
        // A mode makes it a FLOAT.
        "REAL" if cursor.dialect.mode.real_is_float() => None,
        "REAL" => plain(number(cursor, first)?),
        "DOUBLE" => {
            let name = if cursor.word("PRECISION") { "DOUBLE PRECISION" } else { "DOUBLE" };
            plain(number(cursor, name.to_owned())?)
        }
        "BOOL" | "BOOLEAN" | "DATE" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" | "GEOMETRY"
        | "POINT" | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING"
        | "MULTIPOLYGON" | "GEOMETRYCOLLECTION" | "GEOMCOLLECTION" | "UUID" | "INET4" | "INET6" => {
            plain(DataType::new(&first))
        }
        "JSON" if cursor.dialect.flavor == Flavor::Mysql => plain(DataType::new(&first)),
        // An alias (<https://mariadb.com/kb/en/json-data-type/>).
        "JSON" => Some(Typed {
            data_type: DataType::new("LONGTEXT"),
            charset: Charset::Named("utf8mb4".to_owned()),
            serial: false,
        }),
        "BIT" | "YEAR" | "TIME" | "DATETIME" | "TIMESTAMP" | "VARBINARY" | "VECTOR" | "BINARY" => {
            let arguments = arguments(cursor)?;
            let data_type = DataType { arguments, ..DataType::new(&first) };
            compressed(cursor);
            plain(data_type)
        }
        // With a length they become the smallest type that has room.
        "TEXT" | "BLOB" if cursor.is_sign('(') => None,
        "BLOB" => {
            compressed(cursor);
            plain(DataType::new(&first))
        }
        "SERIAL" if !cursor.is("DEFAULT") => Some(Typed {
            data_type: DataType::new("BIGINT UNSIGNED"),
            charset: Charset::Default,
            serial: true,
        }),
        _ => text(cursor, first),
    }
}

fn number(cursor: &mut Cursor<'_>, mut name: String) -> Option<DataType> {
    let arguments = arguments(cursor)?;
    loop {
        let sign = ["UNSIGNED", "ZEROFILL"].into_iter().find(|word| cursor.word(word));
        match sign {
            Some(word) => name = format!("{name} {word}"),
            None if cursor.word("SIGNED") => {}
            None => break,
        }
    }
    Some(DataType { name, arguments, labels: Vec::new() })
}

fn arguments(cursor: &mut Cursor<'_>) -> Option<Vec<u32>> {
    let mut arguments = Vec::new();
    if cursor.sign('(') {
        loop {
            arguments.push(cursor.number()?);
            if !cursor.sign(',') {
                break;
            }
        }
        cursor.must_sign(')')?;
    }
    Some(arguments)
}

/// Types whose values have a character set.
fn text(cursor: &mut Cursor<'_>, first: String) -> Option<Typed> {
    let mut charset = Charset::Default;
    let mut data_type = match first.as_str() {
        "CHAR" | "CHARACTER" if cursor.word("VARYING") => DataType::new("VARCHAR"),
        "CHAR" | "CHARACTER" if cursor.word("BYTE") => DataType::new("BINARY"),
        "NATIONAL" => {
            charset = Charset::Named("utf8mb3".to_owned());
            let second = cursor.name()?.to_ascii_uppercase();
            let varying = cursor.word("VARYING") || second.starts_with("VARCHAR");
            if !varying && !matches!(second.as_str(), "CHAR" | "CHARACTER") {
                return None;
            }
            DataType::new(if varying { "NVARCHAR" } else { "NCHAR" })
        }
        "NCHAR" | "NVARCHAR" => {
            charset = Charset::Named("utf8mb3".to_owned());
            let varying = cursor.any(&["VARCHAR", "VARYING", "VARCHARACTER"]);
            DataType::new(if varying { "NVARCHAR" } else { first.as_str() })
        }
        "LONG" => {
            if cursor.word("VARBINARY") || (cursor.word("CHAR") && cursor.word("BYTE")) {
                return Some(Typed {
                    data_type: DataType::new("MEDIUMBLOB"),
                    charset,
                    serial: false,
                });
            }
            cursor.any(&["VARCHAR", "VARCHARACTER"]);
            DataType::new("MEDIUMTEXT")
        }
        "CHAR" | "CHARACTER" | "VARCHAR" | "VARCHARACTER" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT"
        | "LONGTEXT" => DataType::new(&first),
        "ENUM" | "SET" => {
            cursor.must_sign('(')?;
            let mut labels = Vec::new();
            loop {
                // Spaces at the end of a label are left out (manual, "The ENUM Type").
                labels.push(cursor.text()?.trim_end_matches(' ').to_owned());
                if !cursor.sign(',') {
                    break;
                }
            }
            cursor.must_sign(')')?;
            DataType { labels, ..DataType::new(&first) }
        }
        _ => return None,
    };
    if !matches!(data_type.name.as_str(), "ENUM" | "SET") {
        data_type.arguments = arguments(cursor)?;
    }
    charset_of(cursor, &mut charset)?;
    Some(Typed { data_type, charset, serial: false })
}

/// MariaDB's `COMPRESSED[=method]`, if it is next.
fn compressed(cursor: &mut Cursor<'_>) -> bool {
    let found = cursor.dialect.flavor == Flavor::Mariadb && cursor.word("COMPRESSED");
    if found && cursor.sign('=') {
        cursor.name();
    }
    found
}

/// What follows the type of a text.
pub(super) fn charset_of(cursor: &mut Cursor<'_>, charset: &mut Charset) -> Option<()> {
    loop {
        if cursor.words(&["CHARACTER", "SET"])
            || cursor.words(&["CHAR", "SET"])
            || cursor.word("CHARSET")
        {
            cursor.sign('=');
            *charset = Charset::Named(named_charset(cursor)?);
        } else if cursor.word("COLLATE") {
            cursor.sign('=');
            if let Some(name) = charset_of_collation(&cursor.value()?) {
                *charset = Charset::Named(name);
            }
        } else if cursor.word("ASCII") {
            *charset = Charset::Named("latin1".to_owned());
        } else if cursor.word("UNICODE") {
            *charset = Charset::Named("ucs2".to_owned());
        } else if cursor.word("BINARY") {
            // The binary collation of whatever character set.
        } else if compressed(cursor) {
        } else {
            return Some(());
        }
    }
}

/// DEFAULT is whatever the database has, which is not followed here.
pub(super) fn named_charset(cursor: &mut Cursor<'_>) -> Option<String> {
    let name = cursor.value()?.to_ascii_lowercase();
    (name != "default").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> DataType {
        DataType::of_declared(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn synonyms_are_one_type() {
        for (written, declared) in [
            ("INTEGER(11) UNSIGNED", "int unsigned"),
            ("int(10) unsigned zerofill", "int unsigned"),
            ("BOOL", "tinyint(1)"),
            ("DEC", "decimal(10,0)"),
            ("numeric(12)", "decimal(12,0)"),
            ("fixed(8,2) unsigned", "decimal(8,2) unsigned"),
            ("float(24)", "float"),
            ("float(53)", "double"),
            ("float(7,4)", "float(7,4)"),
            ("double precision", "double"),
            ("real", "double"),
            ("bit", "bit(1)"),
            ("char", "char(1)"),
            ("character varying(20)", "varchar(20)"),
            ("national varchar(5)", "varchar(5)"),
            ("nchar(5)", "char(5)"),
            ("long varchar", "mediumtext"),
            ("long", "mediumtext"),
            ("datetime(3)", "datetime(3)"),
            ("geometrycollection", "geomcollection"),
            ("serial", "bigint unsigned"),
            ("enum('a','b''c')", "enum('a','b''c')"),
        ] {
            assert_eq!(read(written).declared(), declared, "{written}");
        }
        assert_eq!(read("set('a ','b')").labels, ["a", "b"]);
        assert_eq!(read("varchar(10) /*M!100301 COMPRESSED*/").declared(), "varchar(10)");
        for unknown in ["text(100)", "blob(5)", "clob", "varchar2(5)", "int(", "enum(a)"] {
            assert_eq!(DataType::of_declared(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn collations_name_their_character_set() {
        for (collation, charset) in [
            ("utf8mb4_0900_ai_ci", Some("utf8mb4")),
            ("latin1_swedish_ci", Some("latin1")),
            ("binary", Some("binary")),
            ("uca1400_ai_ci", None),
        ] {
            assert_eq!(charset_of_collation(collation).as_deref(), charset);
        }
    }
}
