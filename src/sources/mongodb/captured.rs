//! Collections that events were seen of, each with the version that its records have. Documents have
//! no schema, so as texts they never get a second one; as records they get one whenever a document
//! has something new.

use std::collections::BTreeMap;
use std::sync::Arc;

use bumpalo::Bump;

use crate::config::{DocumentForm, TableFilter};
use crate::schema::history::SchemaHistory;
use crate::schema::{Column, ColumnType, Shape, SourceLayout, Table, TableVersion};
use crate::sources::mongodb::bson::Document;
use crate::sources::mongodb::fields::{self, FieldRules, Rule};
use crate::sources::mongodb::namespace::{Namespace, is_system};
use crate::sources::mongodb::source_block::SourceConstants;
use crate::sources::mongodb::structured::{News, StateError, Structure};

/// A captured collection.
#[derive(Debug)]
pub(crate) struct Collection {
    pub(crate) table: Arc<Table>,
    pub(crate) rules: Vec<Rule>,
    /// `None` where documents are texts.
    pub(crate) structure: Option<Structure>,
}

/// Every captured collection that was met; found by name without an allocation. There are as many
/// as there are topics. Of those that are not captured only the last is known: names that come and
/// go without end are theirs.
#[derive(Debug)]
pub(crate) struct Collections {
    constants: SourceConstants,
    filter: TableFilter,
    rules: FieldRules,
    /// By name.
    known: Vec<Known>,
    /// Of the last one that was asked for: events come in runs of one collection.
    last: usize,
    /// The last one that is not captured.
    left_out: Namespace,
    next_version: u32,
    form: DocumentForm,
    /// Of a run before, by the collection's name; taken when it is met.
    remembered: BTreeMap<String, Structure>,
    /// What a restart needs to know of all structures, those of collections that were not met too.
    history: SchemaHistory,
    has_news: bool,
}

#[derive(Debug)]
struct Known {
    namespace: Namespace,
    collection: Collection,
}

impl Known {
    fn name(&self) -> (&str, &str) {
        (&self.namespace.database, &self.namespace.collection)
    }
}

impl Collections {
    pub(crate) fn new(
        constants: SourceConstants,
        filter: TableFilter,
        rules: FieldRules,
        form: DocumentForm,
    ) -> Self {
        Self {
            constants,
            filter,
            rules,
            known: Vec::new(),
            last: 0,
            left_out: Namespace::new("", ""),
            next_version: 0,
            form,
            remembered: BTreeMap::new(),
            history: SchemaHistory::default(),
            has_news: false,
        }
    }

    pub(crate) fn are_records(&self) -> bool {
        self.form == DocumentForm::Structured
    }

    /// Goes on with what [`Self::history`] gave. Where documents are texts it is passed on unread,
    /// for the day when they are records again. The error names its collection.
    pub(crate) fn remember(&mut self, history: SchemaHistory) -> Result<(), (String, StateError)> {
        if self.are_records() {
            for (name, text) in history.iter() {
                let read = Structure::of_text(text);
                let structure = read.map_err(|error| (name.to_owned(), error))?;
                self.remembered.insert(name.to_owned(), structure);
            }
        }
        self.history = history;
        Ok(())
    }

    /// What is known of documents, as of the last [`Self::settle`].
    pub(crate) fn history(&self) -> &SchemaHistory {
        &self.history
    }

    /// Shows a document that is going to be a record to the structure of its collection. One that
    /// is malformed says so when it is made a record.
    pub(crate) fn observe(&mut self, of: (&str, &str), document: Document<'_>, arena: &Bump) {
        if self.get(of.0, of.1).is_none_or(|collection| collection.structure.is_none()) {
            return;
        }
        let known = self.known.get_mut(self.last).map(|known| &mut known.collection);
        let Some(Collection { rules, structure: Some(structure), .. }) = known else { return };
        if let Ok(document) = fields::document(rules, document, arena) {
            self.has_news |= structure.observe(document).is_err() || structure.has_news();
        }
    }

    /// Gives collections whose structure has grown their next version. Whether the history is
    /// another one now, which must be durable before anything shows such a version.
    #[must_use]
    pub(crate) fn settle(&mut self) -> bool {
        if !std::mem::take(&mut self.has_news) {
            return false;
        }
        let mut changed = false;
        for known in &mut self.known {
            let collection = &mut known.collection;
            let Some(structure) = &mut collection.structure else { continue };
            match structure.take_news() {
                News::None => continue,
                News::Learnt => {}
                News::Version => {
                    let version = TableVersion(self.next_version);
                    self.next_version += 1;
                    let layout = Arc::clone(&collection.table.source);
                    let data_type = structure.column_type();
                    let table = table(version, &known.namespace, data_type, layout);
                    collection.table = Arc::new(table);
                }
            }
            self.history.set(&known.namespace.to_string(), &structure.to_text());
            changed = true;
        }
        changed
    }

    /// `None` for one that is not captured.
    pub(crate) fn get(&mut self, database: &str, collection: &str) -> Option<&Collection> {
        let name = (database, collection);
        if (self.left_out.database.as_str(), self.left_out.collection.as_str()) == name {
            return None;
        }
        if self.known.get(self.last).is_none_or(|known| known.name() != name) {
            self.last = match self.known.binary_search_by(|known| known.name().cmp(&name)) {
                Ok(index) => index,
                Err(_) if !self.captures(database, collection) => {
                    self.left_out.set(database, collection);
                    return None;
                }
                Err(index) => {
                    let known = self.meet(Namespace::new(database, collection));
                    self.known.insert(index, known);
                    index
                }
            };
        }
        self.known.get(self.last).map(|known| &known.collection)
    }

    pub(crate) fn captures(&self, database: &str, collection: &str) -> bool {
        !is_system(database, collection) && self.filter.matches(database, collection)
    }

    fn meet(&mut self, namespace: Namespace) -> Known {
        let rules = self.rules.of(&namespace);
        let structure = match self.form {
            DocumentForm::Text => None,
            DocumentForm::Structured => {
                Some(self.remembered.remove(&namespace.to_string()).unwrap_or_default())
            }
        };
        let data_type = structure.as_ref().map_or(ColumnType::Json, Structure::column_type);
        let version = TableVersion(self.next_version);
        self.next_version += 1;
        let layout = self.constants.layout(&namespace);
        let table = Arc::new(table(version, &namespace, data_type, layout));
        Known { namespace, collection: Collection { table, rules, structure } }
    }
}

fn table(
    version: TableVersion,
    namespace: &Namespace,
    document: ColumnType,
    source: Arc<SourceLayout>,
) -> Table {
    let column = |name: &str, data_type, optional| Column {
        name: name.to_owned(),
        data_type,
        optional,
        default: None,
    };
    Table {
        version,
        shape: Shape::Documents,
        path: vec![namespace.database.clone(), namespace.collection.clone()],
        columns: vec![
            column("id", ColumnType::Text, false),
            column("document", document, true),
            column("updateDescription", ColumnType::UpdateDescription, true),
        ],
        key: vec![0],
        source,
    }
}
