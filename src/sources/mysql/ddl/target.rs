//! What a statement that is not understood may have changed.
//!
//! Whatever changes a table names it, or names its database, or is for the whole default database
//! and says so. So a statement that falls into words casts doubt only on what has one of them for a
//! name. Too many tables are doubted that way (`x` of `MODIFY x` may be a table too) and none too
//! few.

use std::collections::BTreeSet;

use super::cursor::Cursor;
use super::statement::{Ddl, altered};
use super::tokens::Token;
use super::{Dialect, Name};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// These, with the one that the statement is for, or its new name, at the end.
    Tables(Vec<Name>),
    Named(Words),
    /// It does not even fall into words.
    Anything,
}

/// The words of a statement, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    all: BTreeSet<String>,
    /// Those without a dot before or behind them.
    alone: BTreeSet<String>,
}

impl Words {
    fn of(cursor: &mut Cursor<'_>) -> Self {
        let (mut words, mut behind_dot) = (Self::default(), false);
        while let Some(token) = cursor.next() {
            let was_behind_dot = std::mem::replace(&mut behind_dot, token == Token::Sign('.'));
            let word = match token {
                Token::Word(word) | Token::Number(word) => word.to_lowercase(),
                Token::Name(name) | Token::Text(name) => name.to_lowercase(),
                Token::Bits(_) | Token::Hex(_) | Token::Sign(_) => continue,
            };
            if !was_behind_dot && !cursor.is_sign('.') {
                words.alone.insert(word.clone());
            }
            words.all.insert(word);
        }
        words
    }

    /// Whether the statement may be about this table.
    #[must_use]
    pub fn may_be_about(&self, database: &str, table: &str) -> bool {
        self.all.contains(&table.to_lowercase()) || self.may_be_about_all_of(database)
    }

    /// ... or about all of this database.
    #[must_use]
    pub fn may_be_about_all_of(&self, database: &str) -> bool {
        self.alone.contains(&database.to_lowercase())
    }

    /// Whether it may be about a database that it does not name.
    #[must_use]
    pub fn may_be_about_the_default_database(&self) -> bool {
        self.alone.contains("database") || self.alone.contains("schema")
    }
}

pub(super) fn of(text: &str, dialect: Dialect) -> Target {
    if let Some(names) = Cursor::new(text, dialect).and_then(|mut cursor| tables(&mut cursor)) {
        return Target::Tables(names);
    }
    match Cursor::new(text, dialect) {
        Some(mut cursor) => Target::Named(Words::of(&mut cursor)),
        None => Target::Anything,
    }
}

/// The tables of a statement whose first words say that it is about one.
fn tables(cursor: &mut Cursor<'_>) -> Option<Vec<Name>> {
    let name = if cursor.word("CREATE") {
        cursor.words(&["OR", "REPLACE"]);
        if !cursor.any(&["TABLE", "SEQUENCE"]) {
            return None;
        }
        cursor.words(&["IF", "NOT", "EXISTS"]);
        cursor.table()?
    } else if cursor.words(&["ALTER", "SEQUENCE"]) {
        cursor.if_exists();
        cursor.table()?
    } else {
        cursor.must("ALTER")?;
        altered(cursor)?.0
    };
    let mut names = vec![name];
    // What it renames the table to is not known either, nor what becomes of another one: MariaDB
    // takes tables in and sets them free (`CONVERT TABLE x TO PARTITION p`, `CONVERT PARTITION p TO
    // TABLE x`). <https://mariadb.com/kb/en/partitioning-overview/>
    while cursor.peek().is_some() {
        if cursor.word("TABLE") {
            names.insert(0, cursor.table()?);
        } else if !cursor.word("RENAME") {
            cursor.next();
        } else if !cursor.is_any(&["COLUMN", "INDEX", "KEY"]) {
            if !cursor.any(&["TO", "AS"]) {
                cursor.sign('=');
            }
            names.push(cursor.table()?);
        }
    }
    Some(names)
}

/// In MariaDB's Oracle mode types have other meanings (`DATE` has a time, `BLOB` is a LONGBLOB): of
/// a statement with types only what it is about is read.
/// <https://mariadb.com/docs/release-notes/community-server/about/compatibility-and-differences/sql_modeoracle>
pub(super) fn without_types(ddl: Ddl) -> Ddl {
    match ddl {
        Ddl::Create(create) if create.like().is_none() => {
            Ddl::Unknown(Target::Tables(vec![create.name]))
        }
        Ddl::Alter(alter) if alter.has_types() => {
            let names = std::iter::once(alter.name).chain(alter.new_name);
            Ddl::Unknown(Target::Tables(names.collect()))
        }
        other => other,
    }
}
