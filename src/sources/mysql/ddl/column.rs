//! The definition of a column: `name type [attribute] …`.

use super::cursor::Cursor;
use super::model::{ColumnModel, IndexKind};
use super::tokens::Token;
use super::types::{self, Charset, DataType, Typed};
use crate::sources::mysql::catalog::DefaultText;
use crate::sources::mysql::settings::Flavor;
use crate::sources::mysql::types::MysqlType;

/// A column as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnDef {
    pub(super) column: ColumnModel,
    pub(super) charset: Charset,
    /// Whether null was said to be allowed, or not; the rest depends on keys.
    pub(super) says_null: Option<bool>,
    /// PRIMARY KEY or UNIQUE, which make an index of their own.
    pub(super) index: Option<IndexKind>,
}

pub(super) fn column(cursor: &mut Cursor<'_>) -> Option<ColumnDef> {
    let name = cursor.name()?;
    let Typed { data_type, charset, serial } = types::data_type(cursor)?;
    let column = ColumnModel {
        name,
        data_type,
        charset: None,
        nullable: !serial,
        automatic: serial,
        comment: None,
        default: DefaultText::None,
    };
    let mut def = ColumnDef {
        column,
        charset,
        says_null: serial.then_some(false),
        index: serial.then_some(IndexKind::Unique),
    };
    while !ends(cursor) {
        cursor.onward(|cursor| attribute(cursor, &mut def))?;
    }
    // A first TIMESTAMP without a word on null is one that is never null, or not, by a setting of
    // the session (explicit_defaults_for_timestamp).
    let is_timestamp = matches!(def.column.data_type.mysql_type()?, MysqlType::Timestamp { .. });
    if is_timestamp && def.says_null.is_none() && !cursor.dialect.explicit_timestamps {
        return None;
    }
    def.column.nullable = def.says_null.unwrap_or(true);
    Some(def)
}

fn ends(cursor: &Cursor<'_>) -> bool {
    cursor.at_end()
        || cursor.is_sign(',')
        || cursor.is_sign(')')
        || cursor.is_any(&["FIRST", "AFTER"])
}

fn attribute(cursor: &mut Cursor<'_>, def: &mut ColumnDef) -> Option<()> {
    if cursor.words(&["NOT", "NULL"]) {
        def.says_null = Some(false);
    } else if cursor.word("NULL") {
        def.says_null = Some(true);
    } else if cursor.word("DEFAULT") {
        def.column.default = default(cursor, &def.column.data_type)?;
    } else if cursor.words(&["ON", "UPDATE"]) {
        clock(cursor)?;
        def.column.automatic = true;
    } else if cursor.word("AUTO_INCREMENT") {
        def.column.automatic = true;
    } else if cursor.words(&["SERIAL", "DEFAULT", "VALUE"]) {
        def.column.automatic = true;
        (def.says_null, def.index) = (Some(false), Some(IndexKind::Unique));
    } else if cursor.word("UNIQUE") {
        cursor.word("KEY");
        def.index = def.index.or(Some(IndexKind::Unique));
    } else if cursor.words(&["PRIMARY", "KEY"]) || cursor.word("KEY") || cursor.word("PRIMARY") {
        def.index = Some(IndexKind::Primary);
    } else if cursor.word("COMMENT") {
        def.column.comment = Some(cursor.text()?).filter(|comment| !comment.is_empty());
    } else if cursor.is_any(&["COLLATE", "CHARACTER", "CHARSET"]) {
        types::charset_of(cursor, &mut def.charset)?;
    } else {
        return silent(cursor);
    }
    Some(())
}

/// Attributes that change nothing here.
fn silent(cursor: &mut Cursor<'_>) -> Option<()> {
    if cursor.words(&["GENERATED", "ALWAYS"]) || cursor.is("AS") {
        cursor.must("AS")?;
        cursor.parentheses()?;
        cursor.any(&["VIRTUAL", "STORED", "PERSISTENT"]);
    } else if cursor.word("CONSTRAINT") {
        if !cursor.is("CHECK") {
            cursor.name()?;
        }
        cursor.must("CHECK")?;
        check(cursor)?;
    } else if cursor.word("CHECK") {
        check(cursor)?;
    } else if cursor.word("REFERENCES") {
        references(cursor)?;
    } else if cursor.any(&["COLUMN_FORMAT", "STORAGE"]) {
        cursor.name()?;
    } else if cursor.word("SRID") {
        cursor.number()?;
    } else if cursor.any(&["ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE", "REF_SYSTEM_ID"]) {
        cursor.sign('=');
        cursor.value()?;
    } else if cursor.words(&["NOT", "SECONDARY"]) || cursor.any(&["VISIBLE", "INVISIBLE"]) {
    } else {
        return None;
    }
    Some(())
}

fn check(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.parentheses()?;
    if !cursor.words(&["NOT", "ENFORCED"]) {
        cursor.word("ENFORCED");
    }
    Some(())
}

/// `REFERENCES t (c) [MATCH …] [ON DELETE …] [ON UPDATE …]`
pub(super) fn references(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.table()?;
    if cursor.is_sign('(') {
        cursor.parentheses()?;
    }
    if cursor.word("MATCH") {
        cursor.name()?;
    }
    while cursor.words(&["ON", "DELETE"]) || cursor.words(&["ON", "UPDATE"]) {
        if !(cursor.words(&["SET", "NULL"])
            || cursor.words(&["SET", "DEFAULT"])
            || cursor.words(&["NO", "ACTION"])
            || cursor.any(&["RESTRICT", "CASCADE"]))
        {
            return None;
        }
    }
    Some(())
}

const CLOCKS: [&str; 4] = ["CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP"];

fn clock(cursor: &mut Cursor<'_>) -> Option<DefaultText> {
    if !cursor.any(&CLOCKS) {
        return None;
    }
    if cursor.is_sign('(') {
        cursor.parentheses()?;
    }
    Some(DefaultText::Expression("CURRENT_TIMESTAMP".to_owned()))
}

/// What stands behind DEFAULT, as the catalogue would show it.
pub(super) fn default(cursor: &mut Cursor<'_>, data_type: &DataType) -> Option<DefaultText> {
    if cursor.is_any(&CLOCKS) {
        return clock(cursor);
    }
    if cursor.is_sign('(') {
        cursor.parentheses()?;
        // Of any other expression the schema shows nothing.
        return Some(DefaultText::Expression("(…)".to_owned()));
    }
    let negative = cursor.sign('-');
    if !negative {
        cursor.sign('+');
    }
    let text = match cursor.next()? {
        Token::Word(word) if !negative => return worded(cursor, word),
        Token::Number(digits) => number(digits, negative, data_type),
        Token::Text(text) if !negative => typed(&text, data_type),
        Token::Bits(digits) if !negative => bits(u64::from_str_radix(digits, 2).ok()?, data_type)?,
        Token::Hex(digits) if !negative => hex(digits, data_type)?,
        _ => return None,
    };
    Some(DefaultText::Value(text))
}

/// Of a column whose type stands elsewhere: [`for_type`] says how it looks there.
pub(super) fn untyped_default(cursor: &mut Cursor<'_>) -> Option<DefaultText> {
    default(cursor, &DataType::of_declared("longtext")?)
}

/// A default that was read without its type.
pub(super) fn for_type(default: DefaultText, data_type: &DataType) -> DefaultText {
    match (default, data_type.mysql_type()) {
        (DefaultText::Value(text), Some(MysqlType::Bit { .. })) => {
            let bits = text.parse().ok().and_then(|number| bits(number, data_type));
            DefaultText::Value(bits.unwrap_or(text))
        }
        (DefaultText::Value(text), _) => DefaultText::Value(typed(&text, data_type)),
        (other, _) => other,
    }
}

fn worded(cursor: &mut Cursor<'_>, word: &str) -> Option<DefaultText> {
    let value = |text: &str| Some(DefaultText::Value(text.to_owned()));
    match word.to_ascii_uppercase().as_str() {
        "NULL" => Some(DefaultText::None),
        "TRUE" => value("1"),
        "FALSE" => value("0"),
        // MariaDB takes any call without parentheses around it.
        _ if cursor.dialect.flavor == Flavor::Mariadb && cursor.is_sign('(') => {
            cursor.parentheses()?;
            Some(DefaultText::Expression("(…)".to_owned()))
        }
        _ => None,
    }
}

fn number(digits: &str, negative: bool, data_type: &DataType) -> String {
    let text = format!("{}{digits}", if negative { "-" } else { "" });
    match (data_type.mysql_type(), digits.parse()) {
        (Some(MysqlType::Bit { .. }), Ok(number)) => {
            bits(number, data_type).unwrap_or_else(|| text.clone())
        }
        _ => typed(&text, data_type),
    }
}

/// In the form that the catalogue has for a type.
fn typed(text: &str, data_type: &DataType) -> String {
    match data_type.mysql_type() {
        Some(MysqlType::Decimal { scale, .. }) => rescaled(text, usize::from(scale)),
        Some(MysqlType::Binary { .. } | MysqlType::Bytes) => in_hex(text.as_bytes()),
        _ => text.to_owned(),
    }
}

/// With as many fraction digits as the type has. One that has more is rounded by the server.
fn rescaled(text: &str, scale: usize) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = if matches!(whole, "" | "-") { format!("{whole}0") } else { whole.to_owned() };
    match scale {
        0 => whole,
        _ => format!("{whole}.{fraction:0<scale$.scale$}"),
    }
}

fn bits(number: u64, data_type: &DataType) -> Option<String> {
    match data_type.mysql_type()? {
        MysqlType::Bit { .. } => Some(format!("b'{number:b}'")),
        _ => Some(number.to_string()),
    }
}

fn hex(digits: &str, data_type: &DataType) -> Option<String> {
    match data_type.mysql_type()? {
        MysqlType::Binary { .. } | MysqlType::Bytes => Some(format!("0x{digits}")),
        MysqlType::Bit { .. } => bits(u64::from_str_radix(digits, 16).ok()?, data_type),
        _ => None,
    }
}

fn in_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "0x".to_owned();
    for byte in bytes {
        let written = write!(text, "{byte:02X}");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    text
}
