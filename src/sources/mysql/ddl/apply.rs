//! What a definition makes of a table.

use super::alter::{Action, DefaultSpec, Place};
use super::column::{self, ColumnDef};
use super::model::{ColumnModel, Index, IndexKind, Origin, TableModel, same_name};
use super::table::{Element, IndexDef, TableOptions};
use super::types::Charset;
use crate::sources::mysql::catalog::DefaultText;

pub(super) fn create(
    elements: &[Element],
    options: &TableOptions,
    database_charset: Option<&str>,
) -> Option<TableModel> {
    let charset = match &options.charset {
        Charset::Named(name) => Some(name.clone()),
        Charset::Default => database_charset.map(str::to_owned),
    };
    let model = TableModel {
        origin: Origin::Statement,
        charset,
        comment: options.comment.clone().filter(|comment| !comment.is_empty()),
        columns: Vec::new(),
        indexes: Vec::new(),
    };
    let mut work = Work::new(model);
    for element in elements {
        if let Element::Column(def) = element {
            work.add(def, &Place::Last)?;
        }
    }
    // After all columns: a key may name one that comes later. The first of each kind is that which
    // a column has itself, in the order of the columns.
    for element in elements {
        if let Element::Index(index) = element {
            work.index(index)?;
        }
    }
    work.finish()
}

/// `None` where the table has not what is altered.
pub(super) fn alter(before: &TableModel, actions: &[Action]) -> Option<TableModel> {
    let mut work = Work::new(TableModel { origin: Origin::Statement, ..before.clone() });
    let mut in_order: Vec<&Action> = actions.iter().collect();
    in_order.sort_by_key(|action| turn(action));
    for action in &in_order {
        if let Action::Convert(Charset::Named(name)) = action {
            work.model.charset = Some(name.clone());
        }
    }
    for action in in_order {
        work.action(action)?;
    }
    work.finish()
}

/// The server reads a statement to its end before it does anything: the order in the text is that of
/// columns and of new indexes, and of nothing else.
fn turn(action: &Action) -> u8 {
    match action {
        // A new index may have the name of an old one.
        Action::DropIndex { .. } | Action::DropConstraint(_) => 0,
        // Columns that name no character set get the table's, wherever that stands in the text
        // (`prepare_create_field` in MySQL's `sql/sql_table.cc`, `mysql_prepare_create_table` in
        // MariaDB's: `default_table_charset`).
        Action::Options(_) => 1,
        Action::AddColumn { .. }
        | Action::Change { .. }
        | Action::RenameColumn { .. }
        | Action::DropColumn { .. }
        | Action::SetDefault { .. }
        | Action::AddIndex(_)
        | Action::RenameIndex { .. } => 2,
        // All texts that the table has in the end, whatever they name themselves (`table_charset`,
        // in the same places).
        Action::Convert(_) => 3,
    }
}

/// Before a name in an index that is the one after the statement: columns may change names with each
/// other, and no part is to be renamed twice.
const NEW: char = '\0';

/// A table that is being changed. The names in a statement are those of before it.
struct Work {
    model: TableModel,
    /// Beside each column, its name before the statement; `None` for a new one.
    before: Vec<Option<String>>,
}

impl Work {
    fn new(model: TableModel) -> Self {
        let before = model.columns.iter().map(|column| Some(column.name.clone())).collect();
        Self { model, before }
    }

    fn finish(mut self) -> Option<TableModel> {
        let model = &mut self.model;
        for part in model.indexes.iter_mut().flat_map(|index| &mut index.parts).flatten() {
            if let Some(name) = part.strip_prefix(NEW) {
                *part = name.to_owned();
            }
        }
        let names: Vec<String> = model.columns.iter().map(|c| c.name.to_lowercase()).collect();
        let unique: std::collections::HashSet<&String> = names.iter().collect();
        if names.is_empty() || unique.len() != names.len() {
            return None;
        }
        if model.indexes.iter().filter(|index| index.kind == IndexKind::Primary).count() > 1 {
            return None;
        }
        let known = |part: &Option<String>| match part {
            Some(name) => names.contains(&name.to_lowercase()),
            None => true,
        };
        if !model.indexes.iter().all(|index| index.parts.iter().all(known)) {
            return None;
        }
        // What is in a primary key is never null.
        let key = model.primary_key().map(|index| index.parts.clone()).unwrap_or_default();
        for name in key.iter().flatten() {
            for column in model.columns.iter_mut().filter(|c| same_name(&c.name, name)) {
                column.nullable = false;
            }
        }
        Some(self.model)
    }

    /// Of a column that was there before the statement.
    fn old(&self, name: &str) -> Option<usize> {
        let is = |old: &Option<String>| old.as_ref().is_some_and(|old| same_name(old, name));
        self.before.iter().position(is)
    }

    fn action(&mut self, action: &Action) -> Option<()> {
        match action {
            Action::AddColumn { column, place, if_not_exists } => {
                if *if_not_exists && self.old(&column.column.name).is_some() {
                    return Some(());
                }
                self.add(column, place)
            }
            Action::Change { old, column, place, if_exists } => match self.old(old) {
                Some(at) => self.change(at, column, place.as_ref()),
                None => if_exists.then_some(()),
            },
            Action::RenameColumn { from, to } => {
                let at = self.old(from)?;
                self.rename(at, to);
                Some(())
            }
            Action::DropColumn { column, if_exists } => match self.old(column) {
                Some(at) => {
                    self.drop_column(at);
                    Some(())
                }
                None => if_exists.then_some(()),
            },
            Action::SetDefault { column, default } => {
                let at = self.old(column)?;
                let column = self.model.columns.get_mut(at)?;
                column.default = match default {
                    DefaultSpec::Set(text) => column::for_type(text.clone(), &column.data_type),
                    DefaultSpec::Dropped => DefaultText::None,
                };
                Some(())
            }
            Action::AddIndex(index) => self.index(index),
            Action::RenameIndex { from, to } => {
                let index = self.model.indexes.iter_mut().find(|i| same_name(&i.name, from))?;
                index.name.clone_from(to);
                Some(())
            }
            Action::DropIndex { name, if_exists } => {
                let n_before = self.drop_index(name);
                (*if_exists || self.model.indexes.len() < n_before).then_some(())
            }
            Action::DropConstraint(name) => {
                self.drop_index(name);
                Some(())
            }
            Action::Convert(charset) => self.convert(charset),
            Action::Options(options) => {
                if let Charset::Named(name) = &options.charset {
                    self.model.charset = Some(name.clone());
                }
                if let Some(comment) = &options.comment {
                    self.model.comment = Some(comment.clone()).filter(|text| !text.is_empty());
                }
                Some(())
            }
        }
    }

    fn drop_index(&mut self, name: &str) -> usize {
        let n_before = self.model.indexes.len();
        self.model.indexes.retain(|index| !same_name(&index.name, name));
        n_before
    }

    fn add(&mut self, def: &ColumnDef, place: &Place) -> Option<()> {
        let column = self.resolved(def);
        let at = self.place(place)?;
        self.model.columns.insert(at, column);
        self.before.insert(at, None);
        self.own_index(def)
    }

    fn change(&mut self, at: usize, def: &ColumnDef, place: Option<&Place>) -> Option<()> {
        self.rename(at, &def.column.name);
        let column = self.resolved(def);
        *self.model.columns.get_mut(at)? = column;
        if let Some(place) = place {
            let (column, before) = (self.model.columns.remove(at), self.before.remove(at));
            let to = self.place(place)?;
            self.model.columns.insert(to, column);
            self.before.insert(to, before);
        }
        self.own_index(def)
    }

    /// A column's own PRIMARY KEY or UNIQUE.
    fn own_index(&mut self, def: &ColumnDef) -> Option<()> {
        let Some(kind) = def.index else { return Some(()) };
        let name = (kind == IndexKind::Primary).then(|| "PRIMARY".to_owned());
        let parts = vec![Some(def.column.name.clone())];
        self.index(&IndexDef { name, kind, parts, if_not_exists: false })
    }

    fn rename(&mut self, at: usize, to: &str) {
        let Some(column) = self.model.columns.get_mut(at) else { return };
        let from = std::mem::replace(&mut column.name, to.to_owned());
        let old = self.before.get(at).cloned().flatten().unwrap_or(from);
        for part in self.model.indexes.iter_mut().flat_map(|index| &mut index.parts) {
            if part.as_ref().is_some_and(|name| same_name(name, &old)) {
                *part = Some(format!("{NEW}{to}"));
            }
        }
    }

    fn drop_column(&mut self, at: usize) {
        let name = self.model.columns.remove(at).name;
        self.before.remove(at);
        for index in &mut self.model.indexes {
            index.parts.retain(|part| part.as_ref().is_none_or(|p| !same_name(p, &name)));
        }
        self.model.indexes.retain(|index| !index.parts.is_empty());
    }

    fn place(&self, place: &Place) -> Option<usize> {
        match place {
            Place::Last => Some(self.model.columns.len()),
            Place::First => Some(0),
            Place::After(name) => {
                let after = |column: &ColumnModel| same_name(&column.name, name);
                self.model.columns.iter().position(after).map(|at| at + 1)
            }
        }
    }

    /// With the character set that it has in this table.
    fn resolved(&self, def: &ColumnDef) -> ColumnModel {
        let mut column = def.column.clone();
        if !column.data_type.is_text() {
            return column;
        }
        let charset = match &def.charset {
            Charset::Named(name) => Some(name.clone()),
            Charset::Default => self.model.charset.clone(),
        };
        if charset.as_deref() == Some("binary") {
            column.data_type = column.data_type.into_binary();
        }
        column.charset = charset.filter(|_| column.data_type.is_text());
        column
    }

    /// MySQL's name for an index without one (`make_unique_key_name` in `sql/sql_table.cc`).
    fn index(&mut self, def: &IndexDef) -> Option<()> {
        let taken = |name: &str| self.model.indexes.iter().any(|i| same_name(&i.name, name));
        let first = def.parts.first()?.as_deref().unwrap_or("functional_index");
        if def.if_not_exists {
            // An index without a name has that of its first column, as far as this goes
            // (`handle_if_exists_options` in MariaDB's `sql/sql_table.cc`).
            if taken(def.name.as_deref().unwrap_or(first)) {
                return Some(());
            }
            // One that is not known may be there all the same, and may be the one that makes the
            // key: of what the catalogue alone told there is the key and no other index.
            if def.kind != IndexKind::Other && self.model.primary_key().is_none() {
                return None;
            }
        }
        let name = match &def.name {
            Some(name) => name.clone(),
            None => {
                let numbered = (2..100).map(|n| format!("{first}_{n}"));
                let free = |name: &String| !taken(name) && !same_name(name, "PRIMARY");
                std::iter::once(first.to_owned()).chain(numbered).find(free)?
            }
        };
        if taken(&name) {
            return None;
        }
        let new = |part: &String| format!("{NEW}{part}");
        let parts = def.parts.iter().map(|part| part.as_ref().map(new)).collect();
        self.model.indexes.push(Index { name, kind: def.kind, parts });
        Some(())
    }

    /// CONVERT TO makes room for longer characters where it must (manual, "ALTER TABLE").
    fn convert(&mut self, charset: &Charset) -> Option<()> {
        let Charset::Named(name) = charset else { return None };
        self.model.charset = Some(name.clone());
        for column in &mut self.model.columns {
            if !column.data_type.is_text() {
                continue;
            }
            let stays = column.charset.as_ref() == Some(name);
            // TEXT may become MEDIUMTEXT, and texts become bytes.
            if !stays && (column.data_type.name.ends_with("TEXT") || name == "binary") {
                return None;
            }
            column.charset = Some(name.clone());
        }
        Some(())
    }
}
