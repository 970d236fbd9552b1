//! Collections that events were seen of, each with the one version that its records have: documents
//! have no schema, so a collection never gets a second one.

use std::sync::Arc;

use crate::config::TableFilter;
use crate::schema::{Column, ColumnType, Shape, Table, TableVersion};
use crate::sources::mongodb::fields::{FieldRules, Rule};
use crate::sources::mongodb::namespace::Namespace;
use crate::sources::mongodb::source_block::SourceConstants;

/// A captured collection.
#[derive(Debug)]
pub(crate) struct Collection {
    pub(crate) table: Arc<Table>,
    pub(crate) rules: Vec<Rule>,
}

/// Every collection that was met; found by name without an allocation.
#[derive(Debug)]
pub(crate) struct Collections {
    constants: SourceConstants,
    filter: TableFilter,
    rules: FieldRules,
    /// By name.
    known: Vec<Known>,
    /// Of the last one that was asked for: events come in runs of one collection.
    last: usize,
    next_version: u32,
}

#[derive(Debug)]
struct Known {
    namespace: Namespace,
    /// `None` for one that is not captured.
    collection: Option<Collection>,
}

impl Known {
    fn name(&self) -> (&str, &str) {
        (&self.namespace.database, &self.namespace.collection)
    }
}

impl Collections {
    pub(crate) fn new(constants: SourceConstants, filter: TableFilter, rules: FieldRules) -> Self {
        Self { constants, filter, rules, known: Vec::new(), last: 0, next_version: 0 }
    }

    /// `None` for one that is not captured.
    pub(crate) fn get(&mut self, database: &str, collection: &str) -> Option<&Collection> {
        let name = (database, collection);
        if self.known.get(self.last).is_none_or(|known| known.name() != name) {
            self.last = match self.known.binary_search_by(|known| known.name().cmp(&name)) {
                Ok(index) => index,
                Err(index) => {
                    let known = self.meet(Namespace::new(database, collection));
                    self.known.insert(index, known);
                    index
                }
            };
        }
        self.known.get(self.last)?.collection.as_ref()
    }

    fn meet(&mut self, namespace: Namespace) -> Known {
        let captured = self.filter.matches(&namespace.database, &namespace.collection);
        let collection = captured.then(|| {
            let rules = self.rules.of(&namespace);
            Collection { table: Arc::new(self.table(&namespace)), rules }
        });
        Known { namespace, collection }
    }

    fn table(&mut self, namespace: &Namespace) -> Table {
        let column = |name: &str, data_type, optional| Column {
            name: name.to_owned(),
            data_type,
            optional,
            default: None,
        };
        let version = TableVersion(self.next_version);
        self.next_version += 1;
        Table {
            version,
            shape: Shape::Documents,
            path: vec![namespace.database.clone(), namespace.collection.clone()],
            columns: vec![
                column("id", ColumnType::Text, false),
                column("document", ColumnType::Json, true),
                column("updateDescription", ColumnType::UpdateDescription, true),
            ],
            key: vec![0],
            source: self.constants.layout(namespace),
        }
    }
}
