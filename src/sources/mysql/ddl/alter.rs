//! The actions of ALTER TABLE.

use super::Name;
use super::column::{self, ColumnDef};
use super::cursor::Cursor;
use super::model::IndexKind;
use super::table::{self, Element, IndexDef, TableOptions};
use super::types::{Charset, charset_of};
use crate::sources::mysql::catalog::DefaultText;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Last,
    First,
    After(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    AddColumn {
        column: ColumnDef,
        place: Place,
        if_not_exists: bool,
    },
    /// CHANGE, and MODIFY where the name stays. `None`: where it is.
    Change {
        old: String,
        column: ColumnDef,
        place: Option<Place>,
        if_exists: bool,
    },
    RenameColumn {
        from: String,
        to: String,
    },
    DropColumn {
        column: String,
        if_exists: bool,
    },
    SetDefault {
        column: String,
        default: DefaultSpec,
    },
    AddIndex(IndexDef),
    RenameIndex {
        from: String,
        to: String,
    },
    DropIndex {
        name: String,
        if_exists: bool,
    },
    /// A unique index, or something that is nothing to rows.
    DropConstraint(String),
    /// Of every text that the table has.
    Convert(Charset),
    Options(TableOptions),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DefaultSpec {
    /// Without its type.
    Set(DefaultText),
    Dropped,
}

/// Actions up to the statement's end, and the table's new name.
pub(super) fn actions(cursor: &mut Cursor<'_>) -> Option<(Vec<Action>, Option<Name>)> {
    let (mut actions, mut renamed) = (Vec::new(), None);
    while !cursor.at_end() {
        cursor.onward(|cursor| {
            if cursor.word("RENAME") {
                return rename(cursor, &mut actions, &mut renamed);
            }
            action(cursor, &mut actions)?.then_some(())
        })?;
        // Options need no comma between them.
        cursor.sign(',');
    }
    Some((actions, renamed))
}

fn rename(
    cursor: &mut Cursor<'_>,
    actions: &mut Vec<Action>,
    renamed: &mut Option<Name>,
) -> Option<()> {
    if cursor.word("COLUMN") {
        // MariaDB's IF EXISTS says nothing that a column which is there does not.
        if cursor.if_exists() {
            return None;
        }
        let from = cursor.name()?;
        cursor.must("TO")?;
        actions.push(Action::RenameColumn { from, to: cursor.name()? });
    } else if cursor.any(&["INDEX", "KEY"]) {
        if cursor.if_exists() {
            return None;
        }
        let from = cursor.name()?;
        cursor.must("TO")?;
        actions.push(Action::RenameIndex { from, to: cursor.name()? });
    } else {
        if !cursor.any(&["TO", "AS"]) {
            cursor.sign('=');
        }
        *renamed = Some(cursor.table()?);
    }
    Some(())
}

/// What is done to partitions is nothing to the definition of rows; a partition is no row either.
const PARTITIONS: [&str; 11] = [
    "COALESCE",
    "REORGANIZE",
    "EXCHANGE",
    "ANALYZE",
    "CHECK",
    "OPTIMIZE",
    "REBUILD",
    "REPAIR",
    "REMOVE",
    "UPGRADE",
    "TRUNCATE",
];

fn action(cursor: &mut Cursor<'_>, actions: &mut Vec<Action>) -> Option<bool> {
    if cursor.word("ADD") {
        add(cursor, actions)?;
    } else if cursor.word("DROP") {
        drop_something(cursor, actions)?;
    } else if cursor.word("CHANGE") {
        cursor.word("COLUMN");
        let if_exists = cursor.if_exists();
        let old = cursor.name()?;
        let column = column::column(cursor)?;
        let place = place(cursor)?;
        actions.push(Action::Change { old, column, place, if_exists });
    } else if cursor.word("MODIFY") {
        cursor.word("COLUMN");
        let if_exists = cursor.if_exists();
        let column = column::column(cursor)?;
        let (old, place) = (column.column.name.clone(), place(cursor)?);
        actions.push(Action::Change { old, column, place, if_exists });
    } else if cursor.word("ALTER") {
        alter(cursor, actions)?;
    } else if cursor.words(&["CONVERT", "TO"]) {
        let mut charset = Charset::Default;
        charset_of(cursor, &mut charset)?;
        // Of the database, or of nothing: not followed here.
        if charset == Charset::Default {
            return None;
        }
        actions.push(Action::Convert(charset));
    } else if cursor.words(&["ORDER", "BY"]) {
        while !cursor.at_end() {
            cursor.next()?;
        }
    } else if cursor.words(&["DISABLE", "KEYS"])
        || cursor.words(&["ENABLE", "KEYS"])
        || cursor.words(&["WITH", "VALIDATION"])
        || cursor.words(&["WITHOUT", "VALIDATION"])
        || cursor.words(&["DISCARD", "TABLESPACE"])
        || cursor.words(&["IMPORT", "TABLESPACE"])
    {
    } else if cursor.words(&["PARTITION", "BY"])
        || (cursor.is_any(&PARTITIONS) && (1..=2).any(|n| is_partition(cursor, n)))
    {
        while !cursor.at_end() {
            cursor.next()?;
        }
    } else if cursor.word("FORCE") {
    } else {
        let mut options = TableOptions::default();
        if !table::option(cursor, &mut options)? {
            return Some(false);
        }
        actions.push(Action::Options(options));
    }
    Some(true)
}

fn is_partition(cursor: &Cursor<'_>, ahead: usize) -> bool {
    cursor.is_at(ahead, "PARTITION") || cursor.is_at(ahead, "PARTITIONING")
}

fn place(cursor: &mut Cursor<'_>) -> Option<Option<Place>> {
    if cursor.word("FIRST") {
        return Some(Some(Place::First));
    }
    if cursor.word("AFTER") {
        return Some(Some(Place::After(cursor.name()?)));
    }
    Some(None)
}

fn add(cursor: &mut Cursor<'_>, actions: &mut Vec<Action>) -> Option<()> {
    if is_partition(cursor, 0) {
        while !cursor.at_end() {
            cursor.next()?;
        }
        return Some(());
    }
    // MariaDB's.
    if cursor.words(&["SYSTEM", "VERSIONING"]) || cursor.words(&["PERIOD", "FOR"]) {
        return None;
    }
    if !cursor.is("COLUMN") {
        match table::constraint(cursor)? {
            Some(Element::Index(index)) => {
                actions.push(Action::AddIndex(index));
                return Some(());
            }
            Some(Element::Column(_) | Element::Nothing) => return Some(()),
            None => {}
        }
    }
    cursor.word("COLUMN");
    let if_not_exists = cursor.words(&["IF", "NOT", "EXISTS"]);
    let mut push = |column| {
        actions.push(Action::AddColumn { column, place: Place::Last, if_not_exists });
    };
    if cursor.is_sign('(') {
        for element in table::elements(cursor)? {
            match element {
                Element::Column(column) => push(column),
                Element::Index(_) | Element::Nothing => return None,
            }
        }
        return Some(());
    }
    let column = column::column(cursor)?;
    let place = place(cursor)?.unwrap_or(Place::Last);
    actions.push(Action::AddColumn { column, place, if_not_exists });
    Some(())
}

fn drop_something(cursor: &mut Cursor<'_>, actions: &mut Vec<Action>) -> Option<()> {
    if cursor.words(&["PRIMARY", "KEY"]) {
        actions.push(Action::DropIndex { name: "PRIMARY".to_owned(), if_exists: false });
    } else if cursor.any(&["INDEX", "KEY"]) {
        let if_exists = cursor.if_exists();
        actions.push(Action::DropIndex { name: cursor.name()?, if_exists });
    } else if cursor.words(&["FOREIGN", "KEY"]) || cursor.word("CHECK") {
        cursor.if_exists();
        cursor.name()?;
    } else if cursor.word("CONSTRAINT") {
        cursor.if_exists();
        actions.push(Action::DropConstraint(cursor.name()?));
    } else if is_partition(cursor, 0) {
        while !cursor.at_end() {
            cursor.next()?;
        }
    } else if cursor.words(&["SYSTEM", "VERSIONING"]) || cursor.words(&["PERIOD", "FOR"]) {
        return None;
    } else {
        cursor.word("COLUMN");
        let if_exists = cursor.if_exists();
        let column = cursor.name()?;
        cursor.any(&["RESTRICT", "CASCADE"]);
        actions.push(Action::DropColumn { column, if_exists });
    }
    Some(())
}

fn alter(cursor: &mut Cursor<'_>, actions: &mut Vec<Action>) -> Option<()> {
    if cursor.any(&["INDEX", "KEY", "CHECK", "CONSTRAINT"]) {
        return cursor.rest_of_item();
    }
    cursor.word("COLUMN");
    if cursor.if_exists() {
        return None;
    }
    let column = cursor.name()?;
    if cursor.words(&["DROP", "DEFAULT"]) {
        actions.push(Action::SetDefault { column, default: DefaultSpec::Dropped });
    } else if cursor.words(&["SET", "DEFAULT"]) {
        let default = DefaultSpec::Set(column::untyped_default(cursor)?);
        actions.push(Action::SetDefault { column, default });
    } else if !(cursor.words(&["SET", "VISIBLE"]) || cursor.words(&["SET", "INVISIBLE"])) {
        return None;
    }
    Some(())
}

/// `CREATE [UNIQUE …] INDEX name ON t (…)` as the ALTER TABLE that it is.
pub(super) fn create_index(cursor: &mut Cursor<'_>) -> Option<(Name, Action)> {
    let kind = if cursor.word("UNIQUE") { IndexKind::Unique } else { IndexKind::Other };
    cursor.any(&["FULLTEXT", "SPATIAL", "VECTOR"]);
    cursor.must("INDEX")?;
    let if_not_exists = cursor.words(&["IF", "NOT", "EXISTS"]);
    let index = cursor.name()?;
    if cursor.any(&["USING", "TYPE"]) {
        cursor.name()?;
    }
    cursor.must("ON")?;
    let table = cursor.table()?;
    match table::index(cursor, kind, Some(index))? {
        Element::Index(index) => {
            Some((table, Action::AddIndex(IndexDef { if_not_exists, ..index })))
        }
        Element::Column(_) | Element::Nothing => None,
    }
}

/// `DROP INDEX name ON t`
pub(super) fn drop_index(cursor: &mut Cursor<'_>) -> Option<(Name, Action)> {
    let if_exists = cursor.if_exists();
    let name = cursor.name()?;
    cursor.must("ON")?;
    Some((cursor.table()?, Action::DropIndex { name, if_exists }))
}
