//! What stands between the parentheses of CREATE TABLE, and behind them.

use super::column::{self, ColumnDef};
use super::cursor::Cursor;
use super::model::IndexKind;
use super::tokens::Token;
use super::types::{Charset, charset_of_collation, named_charset};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Column(ColumnDef),
    Index(IndexDef),
    /// Foreign keys and checks.
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexDef {
    /// `None`: the server makes one.
    pub(super) name: Option<String>,
    pub(super) kind: IndexKind,
    /// `None` for a part that is an expression.
    pub(super) parts: Vec<Option<String>>,
    /// MariaDB's: nothing is done where there is one of this name.
    pub(super) if_not_exists: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TableOptions {
    pub(super) charset: Charset,
    pub(super) comment: Option<String>,
}

/// `(element, …)`
pub(super) fn elements(cursor: &mut Cursor<'_>) -> Option<Vec<Element>> {
    cursor.must_sign('(')?;
    let mut elements = Vec::new();
    loop {
        elements.push(element(cursor)?);
        if !cursor.sign(',') {
            break;
        }
    }
    cursor.must_sign(')')?;
    Some(elements)
}

fn element(cursor: &mut Cursor<'_>) -> Option<Element> {
    // MariaDB's periods and vector indexes.
    if cursor.words(&["PERIOD", "FOR"]) {
        return None;
    }
    match constraint(cursor)? {
        Some(element) => Some(element),
        None => column::column(cursor).map(Element::Column),
    }
}

/// An index or a constraint, if one is next.
pub(super) fn constraint(cursor: &mut Cursor<'_>) -> Option<Option<Element>> {
    let mut symbol = None;
    if cursor.word("CONSTRAINT") {
        if !cursor.is_any(&["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"]) {
            cursor.words(&["IF", "NOT", "EXISTS"]);
            symbol = Some(cursor.name()?);
        }
        if !cursor.is_any(&["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"]) {
            return None;
        }
    }
    let element = if cursor.words(&["PRIMARY", "KEY"]) {
        index(cursor, IndexKind::Primary, None)?
    } else if cursor.word("UNIQUE") {
        cursor.any(&["INDEX", "KEY"]);
        index(cursor, IndexKind::Unique, symbol)?
    } else if cursor.any(&["FULLTEXT", "SPATIAL"]) {
        cursor.any(&["INDEX", "KEY"]);
        index(cursor, IndexKind::Other, None)?
    } else if cursor.any(&["INDEX", "KEY"])
        || cursor.words(&["VECTOR", "INDEX"])
        || cursor.words(&["VECTOR", "KEY"])
    {
        index(cursor, IndexKind::Other, None)?
    } else if cursor.words(&["FOREIGN", "KEY"]) || cursor.word("CHECK") {
        cursor.rest_of_item()?;
        Element::Nothing
    } else {
        return Some(None);
    };
    Some(Some(element))
}

/// `[name] [USING type] (part, …) [option] …`
pub(super) fn index(
    cursor: &mut Cursor<'_>,
    kind: IndexKind,
    symbol: Option<String>,
) -> Option<Element> {
    let if_not_exists = cursor.words(&["IF", "NOT", "EXISTS"]);
    let using = |cursor: &mut Cursor<'_>| match cursor.any(&["USING", "TYPE"]) {
        true => cursor.name().map(drop),
        false => Some(()),
    };
    let mut name = symbol;
    if !cursor.is_sign('(') && !cursor.is_any(&["USING", "TYPE"]) {
        name = Some(cursor.name()?);
    }
    using(cursor)?;
    let parts = parts(cursor)?;
    cursor.rest_of_item()?;
    let name = if kind == IndexKind::Primary { Some("PRIMARY".to_owned()) } else { name };
    Some(Element::Index(IndexDef { name, kind, parts, if_not_exists }))
}

fn parts(cursor: &mut Cursor<'_>) -> Option<Vec<Option<String>>> {
    cursor.must_sign('(')?;
    let mut parts = Vec::new();
    loop {
        if cursor.is_sign('(') {
            cursor.parentheses()?;
            parts.push(None);
        } else {
            parts.push(Some(cursor.name()?));
            // So many characters of it.
            if cursor.is_sign('(') {
                cursor.parentheses()?;
            }
        }
        cursor.any(&["ASC", "DESC"]);
        if !cursor.sign(',') {
            break;
        }
    }
    cursor.must_sign(')')?;
    Some(parts)
}

/// Options that say nothing about rows, each with one value.
const SILENT: [&str; 34] = [
    "ENGINE",
    "AUTO_INCREMENT",
    "AUTOEXTEND_SIZE",
    "AVG_ROW_LENGTH",
    "CHECKSUM",
    "TABLE_CHECKSUM",
    "COMPRESSION",
    "CONNECTION",
    "DELAY_KEY_WRITE",
    "ENCRYPTION",
    "ENGINE_ATTRIBUTE",
    "SECONDARY_ENGINE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "INSERT_METHOD",
    "KEY_BLOCK_SIZE",
    "MAX_ROWS",
    "MIN_ROWS",
    "PACK_KEYS",
    "PASSWORD",
    "ROW_FORMAT",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "TABLESPACE",
    "STORAGE",
    "PAGE_CHECKSUM",
    "PAGE_COMPRESSED",
    "PAGE_COMPRESSION_LEVEL",
    "TRANSACTIONAL",
    "ENCRYPTED",
    "ENCRYPTION_KEY_ID",
    "IETF_QUOTES",
    "ALGORITHM",
    "LOCK",
];

/// One option of a table, if one is next. Of ALTER TABLE too.
pub(super) fn option(cursor: &mut Cursor<'_>, options: &mut TableOptions) -> Option<bool> {
    let at_charset = |cursor: &Cursor<'_>, ahead| {
        cursor.is_at(ahead, "CHARSET")
            || (cursor.is_at(ahead, "CHARACTER") && cursor.is_at(ahead + 1, "SET"))
            || (cursor.is_at(ahead, "CHAR") && cursor.is_at(ahead + 1, "SET"))
    };
    let named = usize::from(cursor.is("DEFAULT"));
    if at_charset(cursor, named) {
        cursor.word("DEFAULT");
        if !cursor.word("CHARSET") {
            cursor.next()?;
            cursor.must("SET")?;
        }
        cursor.sign('=');
        options.charset = Charset::Named(named_charset(cursor)?);
    } else if cursor.is_at(named, "COLLATE") {
        cursor.word("DEFAULT");
        cursor.must("COLLATE")?;
        cursor.sign('=');
        if let Some(charset) = charset_of_collation(&named_charset(cursor)?) {
            options.charset = Charset::Named(charset);
        }
    } else if cursor.word("COMMENT") {
        cursor.sign('=');
        options.comment = Some(cursor.text()?);
    } else if cursor.word("UNION") {
        cursor.sign('=');
        cursor.parentheses()?;
    } else if cursor.any(&["DATA", "INDEX"]) {
        cursor.must("DIRECTORY")?;
        cursor.sign('=');
        cursor.text()?;
    } else if cursor.any(&SILENT) {
        cursor.sign('=');
        cursor.value()?;
    } else {
        return Some(false);
    }
    Some(true)
}

/// Everything behind the parentheses of CREATE TABLE.
pub(super) fn options(cursor: &mut Cursor<'_>) -> Option<TableOptions> {
    let mut options = TableOptions::default();
    loop {
        cursor.sign(',');
        // MySQL's mark of a CREATE TABLE … SELECT, whose rows follow.
        if cursor.words(&["START", "TRANSACTION"]) {
            break;
        }
        // What partitions there are is nothing to rows.
        if cursor.words(&["PARTITION", "BY"]) {
            while !cursor.at_end() {
                match cursor.next()? {
                    Token::Word(word) if word.eq_ignore_ascii_case("SELECT") => return None,
                    _ => {}
                }
            }
            break;
        }
        if !option(cursor, &mut options)? {
            break;
        }
    }
    cursor.at_end().then_some(options)
}
