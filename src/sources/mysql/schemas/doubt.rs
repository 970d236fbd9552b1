//! What is not known any more.

use super::{Belief, Effect, Schemas, Statement};
use crate::sources::mysql::catalog::TableName;
use crate::sources::mysql::ddl::Target;
use crate::sources::mysql::sql::quote_table;

impl Schemas {
    /// A statement cannot even be read: it may have been about anything.
    pub fn doubt_everything(&mut self) {
        self.meta.databases.clear();
        self.doubt_those(|_| true);
    }

    /// What a statement that is not understood may be about is not known any more.
    pub(super) fn doubt(&mut self, target: &Target, statement: &Statement<'_>) -> Vec<Effect> {
        match target {
            Target::Tables(names) => {
                let mut effect = None;
                for name in names {
                    let name = self.name(name, statement);
                    tracing::warn!(
                        table = quote_table(&name.database, &name.table),
                        "a statement about a table is not understood; the catalogue is asked for \
                         it where the log does not say what its rows are"
                    );
                    // Of a table that takes a new name, by that.
                    effect = Some(match self.tables.contains_key(&name) || effect.is_some() {
                        true => Effect::Altered(name.clone(), None),
                        false => Effect::Created(name.clone(), None),
                    });
                    self.believe(name, Belief::Unknown);
                }
                effect.into_iter().collect()
            }
            Target::Named(words) => {
                if words.may_be_about_the_default_database() {
                    let default = self.cased(statement.database);
                    let mut databases = std::mem::take(&mut self.meta.databases);
                    databases
                        .retain(|name, _| *name != default && !words.may_be_about_all_of(name));
                    self.meta.databases = databases;
                }
                self.doubt_those(|name| words.may_be_about(&name.database, &name.table));
                Vec::new()
            }
            Target::Anything => {
                self.doubt_everything();
                Vec::new()
            }
        }
    }

    fn doubt_those(&mut self, is_meant: impl Fn(&TableName) -> bool) {
        self.meta.doubt();
        self.keep_meta();
        let doubted: Vec<_> = self.tables.keys().filter(|name| is_meant(name)).cloned().collect();
        tracing::warn!(
            tables = doubted.len(),
            "a statement is not understood; the catalogue is asked for every table that it may be \
             about, where the log does not say what its rows are"
        );
        for name in doubted {
            self.believe(name, Belief::Unknown);
        }
    }
}
