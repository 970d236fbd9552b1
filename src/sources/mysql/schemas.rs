//! What tables look like at the place in the log that is being read: a belief, followed from the
//! snapshot's moment on, statement by statement.
//!
//! The belief is kept as a [`SchemaHistory`], a clone of which goes with every position, so that a
//! restart goes on with exactly what was believed there. It covers the captured tables, and of the
//! others those that the log was seen to make: a table that is made beside another one and takes
//! its name (what tools for online schema changes do) is known when it does.
//!
//! A table map is checked against the belief in every respect that it shows (`believe`).
//! Where nothing is believed, or a statement was read that a map proves wrong, the catalogue is
//! asked, and its answer counts only with a proof from the log that no statement changed the table
//! between the map's place and the catalogue's (`reread`). A definition that the server
//! itself gave and a map contradicts is a loud stop: something changed the table without the log.
//!
//! CREATE TABLE IF NOT EXISTS is in the log whether it did anything or not. It is believed only
//! where the table is known not to exist: where every captured table was seen when the history
//! began ([`Definitions::seen`]), and the same tables were captured ever since.

mod doubt;
mod stored;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::config::TableFilter;
use crate::schema::history::SchemaHistory;
use crate::sources::mysql::catalog::TableName;
use crate::sources::mysql::ddl::{
    AlterTable, CreateTable, DatabaseCharset, Ddl, Dialect, Name, SqlMode, TableModel,
};
use crate::sources::mysql::definitions::{Definitions, Seen};
use crate::sources::mysql::settings::Flavor;
use crate::sources::mysql::sql::quote_table;

pub use stored::{SchemaHistoryError, forget_table};

use stored::{Entry, META, Meta, Written};

/// Tables that are followed although they are not captured; the oldest are forgotten.
const STRANGERS_MAX: usize = 256;

/// What does not change while a process runs.
#[derive(Clone, Debug)]
pub struct SchemaSettings {
    pub flavor: Flavor,
    pub filter: TableFilter,
    /// `lower_case_table_names = 1`: the server keeps names in lower case, whatever was written.
    pub lower_case: bool,
    /// `explicit_defaults_for_timestamp`
    pub explicit_timestamps: bool,
}

/// A statement, and what it was run with.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    pub text: &'a str,
    /// The default database; empty for none.
    pub database: &'a str,
    pub sql_mode: SqlMode,
    /// `character_set_server`, where the log has it.
    pub server_charset: Option<&'a str>,
}

/// What is believed of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belief {
    Known(Arc<TableModel>),
    /// A statement about it was not understood.
    Unknown,
}

/// What a statement did, for those who are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Created(TableName, Option<Arc<TableModel>>),
    Altered(TableName, Option<Arc<TableModel>>),
    Dropped { table: TableName, if_exists: bool },
    Database(String),
}

#[derive(Debug)]
pub struct Schemas {
    settings: SchemaSettings,
    tables: HashMap<TableName, Belief>,
    /// Those that are not captured, the oldest first.
    strangers: VecDeque<TableName>,
    meta: Meta,
    history: SchemaHistory,
}

impl Schemas {
    /// Nothing is believed of any table.
    #[must_use]
    pub fn empty(settings: SchemaSettings) -> Self {
        let meta = Meta::of_nothing(&settings.filter);
        let (tables, strangers) = (HashMap::new(), VecDeque::new());
        Self { settings, tables, strangers, meta, history: SchemaHistory::default() }
    }

    /// What the server said at one moment.
    #[must_use]
    pub fn of_definitions(settings: SchemaSettings, definitions: &Definitions) -> Self {
        let mut schemas = Self::empty(settings);
        match &definitions.seen {
            Seen::All => schemas.meta.see_all(),
            Seen::Databases(names) => names.iter().for_each(|name| schemas.meta.see_whole(name)),
        }
        for database in &definitions.databases {
            let charset = Some(database.charset.clone());
            schemas.meta.databases.insert(database.name.clone(), charset);
        }
        for name in &definitions.fleeting {
            schemas.meta.databases.insert(name.clone(), None);
        }
        schemas.keep_meta();
        for table in &definitions.tables {
            let belief = match &table.model {
                Some(model) => Belief::Known(Arc::clone(model)),
                None => Belief::Unknown,
            };
            schemas.believe(table.name.clone(), belief);
        }
        schemas
    }

    /// What was believed when a checkpoint was saved.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn restore(
        settings: SchemaSettings,
        history: &SchemaHistory,
    ) -> Result<Self, SchemaHistoryError> {
        let mut schemas = Self::empty(settings);
        let mut widened = false;
        for (name, text) in history.iter() {
            let damaged = |source| SchemaHistoryError::Damaged { entry: name.to_owned(), source };
            if name == META {
                (schemas.meta, widened) = Meta::restored(text, &schemas.settings.filter)?;
                continue;
            }
            let Entry { database, table, model } = serde_json::from_str(text).map_err(damaged)?;
            let name = TableName { database, table };
            if !schemas.is_captured(&name) {
                schemas.strangers.push_back(name.clone());
            }
            schemas.tables.insert(
                name,
                model.map_or(Belief::Unknown, |model| Belief::Known(Arc::new(model))),
            );
        }
        schemas.history = history.clone();
        if widened {
            schemas.keep_meta();
        }
        Ok(schemas)
    }

    /// What is believed now, to go with a position.
    #[must_use]
    pub fn history(&self) -> &SchemaHistory {
        &self.history
    }

    #[must_use]
    pub fn belief(&self, database: &str, table: &str) -> Option<&Belief> {
        self.tables.get(&self.own(database, table))
    }

    /// A definition that was proven.
    pub fn learn(&mut self, name: TableName, model: Arc<TableModel>) {
        self.believe(name, Belief::Known(model));
    }

    /// Follows a statement.
    pub fn follow(&mut self, statement: &Statement<'_>) -> Vec<Effect> {
        let dialect = Dialect {
            flavor: self.settings.flavor,
            mode: statement.sql_mode,
            explicit_timestamps: self.settings.explicit_timestamps,
        };
        match Ddl::of(statement.text, dialect) {
            Ddl::Elsewhere => Vec::new(),
            Ddl::Create(create) => self.create(&create, statement),
            Ddl::Alter(alter) => self.alter(&alter, statement),
            Ddl::Rename { pairs, if_exists } => self.rename(&pairs, if_exists, statement),
            Ddl::Drop { tables, if_exists } => {
                let dropped = tables.iter().map(|name| {
                    let table = self.name(name, statement);
                    self.forget(&table);
                    Effect::Dropped { table, if_exists }
                });
                dropped.collect()
            }
            Ddl::CreateDatabase { name, if_not_exists, or_replace, charset } => {
                let name = self.cased(&name);
                if or_replace {
                    self.forget_database(&name);
                }
                let charset = match charset {
                    DatabaseCharset::Named(charset) => Some(charset),
                    DatabaseCharset::Unsaid => statement.server_charset.map(str::to_owned),
                };
                match (if_not_exists, self.meta.databases.contains_key(&name)) {
                    (false, _) => {
                        self.meta.see_whole(&name);
                        self.set_charset(&name, charset);
                    }
                    // Whether it did anything is not in the log.
                    (true, false) => {
                        let charset = charset.filter(|_| self.meta.knows_all());
                        self.set_charset(&name, charset);
                    }
                    (true, true) => {}
                }
                vec![Effect::Database(name)]
            }
            Ddl::AlterDatabase { name, charset } => {
                let name = name.unwrap_or_else(|| statement.database.to_owned());
                let name = self.cased(&name);
                if let DatabaseCharset::Named(charset) = charset {
                    self.set_charset(&name, Some(charset));
                }
                vec![Effect::Database(name)]
            }
            Ddl::DropDatabase { name, .. } => {
                let name = self.cased(&name);
                self.forget_database(&name);
                vec![Effect::Database(name)]
            }
            Ddl::Unknown(target) => self.doubt(&target, statement),
        }
    }

    fn create(&mut self, create: &CreateTable, statement: &Statement<'_>) -> Vec<Effect> {
        let name = self.name(&create.name, statement);
        if create.if_not_exists {
            // Whether it did anything is not in the log.
            match self.tables.get(&name) {
                Some(_) => return Vec::new(),
                None if self.is_captured(&name) && self.meta.knows_all_of(&name.database) => {}
                None => {
                    self.believe(name.clone(), Belief::Unknown);
                    return vec![Effect::Created(name, None)];
                }
            }
        }
        let model = match create.like() {
            Some(like) => {
                let like = self.name(like, statement);
                self.known(&like).map(|model| (**model).clone())
            }
            None => create.model(self.meta.charset_of(&name.database)),
        };
        let model = model.map(Arc::new);
        self.believe(name.clone(), model.clone().map_or(Belief::Unknown, Belief::Known));
        vec![Effect::Created(name, model)]
    }

    fn alter(&mut self, alter: &AlterTable, statement: &Statement<'_>) -> Vec<Effect> {
        let name = self.name(&alter.name, statement);
        let Some(belief) = self.tables.get(&name).cloned() else {
            // A stranger stays one, unless it takes a name that is captured.
            let new_name = alter.new_name.as_ref().map(|new| self.name(new, statement));
            let name = new_name.unwrap_or(name);
            if self.is_captured(&name) {
                self.believe(name.clone(), Belief::Unknown);
            }
            return vec![Effect::Altered(name, None)];
        };
        let model = match &belief {
            Belief::Known(model) if alter.only_renames() => Some(Arc::clone(model)),
            Belief::Known(model) => alter.model(model).map(Arc::new),
            Belief::Unknown => None,
        };
        let name = match &alter.new_name {
            Some(new) => {
                self.forget(&name);
                self.name(new, statement)
            }
            None => name,
        };
        if model.is_none() {
            tracing::warn!(
                table = quote_table(&name.database, &name.table),
                "what a statement made of a table is not known"
            );
        }
        self.believe(name.clone(), model.clone().map_or(Belief::Unknown, Belief::Known));
        vec![Effect::Altered(name, model)]
    }

    fn rename(
        &mut self,
        pairs: &[(Name, Name)],
        if_exists: bool,
        statement: &Statement<'_>,
    ) -> Vec<Effect> {
        let mut effects = Vec::with_capacity(pairs.len());
        for (from, to) in pairs {
            let (from, to) = (self.name(from, statement), self.name(to, statement));
            let belief = self.tables.get(&from).cloned();
            let missing = || self.is_captured(&from) && self.meta.knows_all_of(&from.database);
            if if_exists && belief.is_none() && missing() {
                continue;
            }
            self.forget(&from);
            let model = match &belief {
                Some(Belief::Known(model)) => Some(Arc::clone(model)),
                Some(Belief::Unknown) | None => None,
            };
            if belief.is_some() || self.is_captured(&to) {
                self.believe(to.clone(), belief.unwrap_or(Belief::Unknown));
            }
            effects.push(Effect::Altered(to, model));
        }
        effects
    }

    fn known(&self, name: &TableName) -> Option<&Arc<TableModel>> {
        match self.tables.get(name)? {
            Belief::Known(model) => Some(model),
            Belief::Unknown => None,
        }
    }

    fn believe(&mut self, name: TableName, belief: Belief) {
        if !self.is_captured(&name) && !self.tables.contains_key(&name) {
            self.strangers.push_back(name.clone());
            if self.strangers.len() > STRANGERS_MAX
                && let Some(oldest) = self.strangers.front().cloned()
            {
                self.forget(&oldest);
            }
        }
        let model = match &belief {
            Belief::Known(model) => Some(&**model),
            Belief::Unknown => None,
        };
        let entry = Written { database: &name.database, table: &name.table, model };
        self.history.set(&quote_table(&name.database, &name.table), &entry.to_text());
        self.tables.insert(name, belief);
    }

    fn forget(&mut self, name: &TableName) {
        self.tables.remove(name);
        self.strangers.retain(|stranger| stranger != name);
        self.history.remove(&quote_table(&name.database, &name.table));
    }

    fn forget_database(&mut self, name: &str) {
        let tables = self.tables.keys().filter(|table| table.database == name);
        for table in tables.cloned().collect::<Vec<_>>() {
            self.forget(&table);
        }
        self.meta.forget_database(name);
        self.keep_meta();
    }

    fn set_charset(&mut self, database: &str, charset: Option<String>) {
        self.meta.databases.insert(database.to_owned(), charset);
        self.keep_meta();
    }

    fn keep_meta(&mut self) {
        self.history.set(META, &self.meta.to_text());
    }

    fn is_captured(&self, name: &TableName) -> bool {
        self.settings.filter.matches(&name.database, &name.table)
    }

    fn name(&self, name: &Name, statement: &Statement<'_>) -> TableName {
        self.own(name.database.as_deref().unwrap_or(statement.database), &name.table)
    }

    fn own(&self, database: &str, table: &str) -> TableName {
        TableName { database: self.cased(database), table: self.cased(table) }
    }

    fn cased(&self, name: &str) -> String {
        if self.settings.lower_case { name.to_lowercase() } else { name.to_owned() }
    }
}

#[cfg(test)]
mod tests;
