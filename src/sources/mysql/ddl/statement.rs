//! Which statement it is.

use super::alter::{self, Action};
use super::cursor::Cursor;
use super::model::TableModel;
use super::table::{self, Element, TableOptions};
use super::target::{self, Target};
use super::types::Charset;
use super::{Dialect, Name, apply};

/// What a statement does to definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ddl {
    Create(CreateTable),
    Alter(AlterTable),
    /// In this order. With the condition, a table that is not there is passed over.
    Rename {
        pairs: Vec<(Name, Name)>,
        if_exists: bool,
    },
    Drop {
        tables: Vec<Name>,
        if_exists: bool,
    },
    CreateDatabase {
        name: String,
        if_not_exists: bool,
        /// An old one goes with all that is in it.
        or_replace: bool,
        charset: DatabaseCharset,
    },
    /// `None`: the default database.
    AlterDatabase {
        name: Option<String>,
        charset: DatabaseCharset,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
    },
    /// Nothing that rows depend on.
    Elsewhere,
    /// Not understood.
    Unknown(Target),
}

/// Of a database, as a statement gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseCharset {
    /// The server's for a new database, and what it was for an old one.
    Unsaid,
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTable {
    pub name: Name,
    pub if_not_exists: bool,
    pub or_replace: bool,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Like(Name),
    Table { elements: Vec<Element>, options: TableOptions },
}

impl CreateTable {
    /// Whose definition it takes over.
    #[must_use]
    pub fn like(&self) -> Option<&Name> {
        match &self.body {
            Body::Like(name) => Some(name),
            Body::Table { .. } => None,
        }
    }

    /// The new table, where its database has this character set; `None` where that makes no sense.
    #[must_use]
    pub fn model(&self, database_charset: Option<&str>) -> Option<TableModel> {
        match &self.body {
            Body::Like(_) => None,
            Body::Table { elements, options } => apply::create(elements, options, database_charset),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterTable {
    pub name: Name,
    pub if_exists: bool,
    pub new_name: Option<Name>,
    pub(super) actions: Vec<Action>,
}

impl AlterTable {
    /// The table afterwards; `None` where the statement makes no sense for this table.
    #[must_use]
    pub fn model(&self, before: &TableModel) -> Option<TableModel> {
        apply::alter(before, &self.actions)
    }

    /// Whether it gives a column a type.
    pub(super) fn has_types(&self) -> bool {
        let typed =
            |action: &Action| matches!(action, Action::AddColumn { .. } | Action::Change { .. });
        self.actions.iter().any(typed)
    }

    /// Only to another name.
    #[must_use]
    pub fn only_renames(&self) -> bool {
        self.actions.is_empty()
    }
}

impl Ddl {
    /// Reads a statement of the log.
    #[must_use]
    pub fn of(text: &str, dialect: Dialect) -> Self {
        let read = Cursor::new(text, dialect).and_then(|mut cursor| statement(&mut cursor));
        match read {
            Some(ddl) if dialect.mode.is_oracle(dialect.flavor) => target::without_types(ddl),
            Some(ddl) => ddl,
            None => Self::Unknown(target::of(text, dialect)),
        }
    }
}

/// Objects that no row depends on.
const ELSEWHERE: [&str; 18] = [
    "USER",
    "ROLE",
    "VIEW",
    "PROCEDURE",
    "FUNCTION",
    "TRIGGER",
    "EVENT",
    "SERVER",
    "TABLESPACE",
    "LOGFILE",
    "UNDO",
    "RESOURCE",
    "INSTANCE",
    "AGGREGATE",
    "DEFINER",
    "SQL",
    "LIBRARY",
    "PACKAGE",
];

fn statement(cursor: &mut Cursor<'_>) -> Option<Ddl> {
    // MariaDB's variables for one statement.
    if cursor.words(&["SET", "STATEMENT"]) {
        while !cursor.word("FOR") {
            cursor.next()?;
        }
    }
    let administers = ["GRANT", "REVOKE", "SET", "FLUSH", "ANALYZE", "OPTIMIZE", "REPAIR", "CHECK"];
    if cursor.is_any(&administers) || cursor.is_any(&["INSTALL", "UNINSTALL", "USE"]) {
        return Some(Ddl::Elsewhere);
    }
    let ddl = if cursor.word("CREATE") {
        create(cursor)?
    } else if cursor.word("ALTER") {
        alter_something(cursor)?
    } else if cursor.word("RENAME") {
        rename(cursor)?
    } else if cursor.word("DROP") {
        drop_something(cursor)?
    } else if cursor.word("TRUNCATE") {
        return Some(Ddl::Elsewhere);
    } else {
        return None;
    };
    (ddl == Ddl::Elsewhere || cursor.at_end()).then_some(ddl)
}

fn create(cursor: &mut Cursor<'_>) -> Option<Ddl> {
    let or_replace = cursor.words(&["OR", "REPLACE"]);
    if cursor.word("TEMPORARY") || (cursor.is_any(&ELSEWHERE)) {
        return Some(Ddl::Elsewhere);
    }
    if cursor.words(&["ALGORITHM"]) || cursor.words(&["SPATIAL", "REFERENCE"]) {
        return Some(Ddl::Elsewhere);
    }
    if cursor.any(&["DATABASE", "SCHEMA"]) {
        let if_not_exists = cursor.words(&["IF", "NOT", "EXISTS"]);
        let name = cursor.name()?;
        let charset = database_charset(cursor)?;
        return Some(Ddl::CreateDatabase { name, if_not_exists, or_replace, charset });
    }
    if !cursor.word("TABLE") {
        let (name, action) = alter::create_index(cursor)?;
        while !cursor.at_end() {
            cursor.next()?;
        }
        let actions = vec![action];
        return Some(Ddl::Alter(AlterTable { name, if_exists: false, new_name: None, actions }));
    }
    let if_not_exists = cursor.words(&["IF", "NOT", "EXISTS"]);
    let name = cursor.table()?;
    let body = if cursor.word("LIKE") {
        Body::Like(cursor.table()?)
    } else if cursor.is_sign('(') && cursor.is_at(1, "LIKE") {
        cursor.next()?;
        cursor.must("LIKE")?;
        let like = cursor.table()?;
        cursor.must_sign(')')?;
        Body::Like(like)
    } else {
        Body::Table { elements: table::elements(cursor)?, options: table::options(cursor)? }
    };
    Some(Ddl::Create(CreateTable { name, if_not_exists, or_replace, body }))
}

fn database_charset(cursor: &mut Cursor<'_>) -> Option<DatabaseCharset> {
    let mut options = TableOptions::default();
    while !cursor.at_end() {
        if cursor.words(&["READ", "ONLY"]) {
            cursor.sign('=');
            cursor.value()?;
        } else if cursor.is("DEFAULT") && cursor.is_at(1, "ENCRYPTION") {
            cursor.next()?;
        } else if !table::option(cursor, &mut options)? {
            return None;
        }
    }
    Some(match options.charset {
        Charset::Default => DatabaseCharset::Unsaid,
        Charset::Named(name) => DatabaseCharset::Named(name),
    })
}

fn alter_something(cursor: &mut Cursor<'_>) -> Option<Ddl> {
    if cursor.is_any(&ELSEWHERE) || cursor.is("ALGORITHM") {
        return Some(Ddl::Elsewhere);
    }
    if cursor.any(&["DATABASE", "SCHEMA"]) {
        let options = ["CHARACTER", "CHARSET", "CHAR", "COLLATE", "DEFAULT", "ENCRYPTION", "READ"];
        let name = if cursor.is_any(&options) { None } else { Some(cursor.name()?) };
        return Some(Ddl::AlterDatabase { name, charset: database_charset(cursor)? });
    }
    let (name, if_exists) = altered(cursor)?;
    let (actions, new_name) = alter::actions(cursor)?;
    Some(Ddl::Alter(AlterTable { name, if_exists, new_name, actions }))
}

/// `[ONLINE] [IGNORE] TABLE [IF EXISTS] t [WAIT n | NOWAIT]`
pub(super) fn altered(cursor: &mut Cursor<'_>) -> Option<(Name, bool)> {
    cursor.word("ONLINE");
    cursor.word("IGNORE");
    cursor.must("TABLE")?;
    let if_exists = cursor.if_exists();
    let name = cursor.table()?;
    wait(cursor)?;
    Some((name, if_exists))
}

fn wait(cursor: &mut Cursor<'_>) -> Option<()> {
    if cursor.word("WAIT") {
        cursor.number()?;
    } else {
        cursor.word("NOWAIT");
    }
    Some(())
}

fn rename(cursor: &mut Cursor<'_>) -> Option<Ddl> {
    if cursor.word("USER") {
        return Some(Ddl::Elsewhere);
    }
    if !cursor.any(&["TABLE", "TABLES"]) {
        return None;
    }
    let if_exists = cursor.if_exists();
    let mut pairs = Vec::new();
    loop {
        let from = cursor.table()?;
        wait(cursor)?;
        cursor.must("TO")?;
        pairs.push((from, cursor.table()?));
        if !cursor.sign(',') {
            return Some(Ddl::Rename { pairs, if_exists });
        }
    }
}

fn drop_something(cursor: &mut Cursor<'_>) -> Option<Ddl> {
    if cursor.word("TEMPORARY")
        || cursor.is_any(&ELSEWHERE)
        || cursor.is_any(&["PREPARE", "SPATIAL"])
    {
        return Some(Ddl::Elsewhere);
    }
    if cursor.any(&["DATABASE", "SCHEMA"]) {
        let if_exists = cursor.if_exists();
        return Some(Ddl::DropDatabase { name: cursor.name()?, if_exists });
    }
    if cursor.word("INDEX") {
        let (name, action) = alter::drop_index(cursor)?;
        while !cursor.at_end() {
            cursor.next()?;
        }
        let actions = vec![action];
        return Some(Ddl::Alter(AlterTable { name, if_exists: false, new_name: None, actions }));
    }
    // A sequence of MariaDB is a table.
    if !cursor.any(&["TABLE", "TABLES", "SEQUENCE"]) {
        return None;
    }
    let if_exists = cursor.if_exists();
    let mut tables = Vec::new();
    loop {
        tables.push(cursor.table()?);
        if !cursor.sign(',') {
            break;
        }
    }
    wait(cursor)?;
    cursor.any(&["RESTRICT", "CASCADE"]);
    Some(Ddl::Drop { tables, if_exists })
}
