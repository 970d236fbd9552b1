//! Collections that events were seen of, each with the version that its records have. Documents have
//! no schema, so as texts they never get a second one; as records they get one whenever a document
//! has something new.

use std::collections::BTreeMap;
use std::sync::Arc;

use bumpalo::Bump;

use crate::config::{DocumentForm, TableFilter};
use crate::schema::{Column, ColumnType, Shape, SourceLayout, Table, TableVersion};
use crate::sources::mongodb::bson::Document;
use crate::sources::mongodb::fields::{self, FieldRules, Rule};
use crate::sources::mongodb::namespace::{Namespace, is_system};
use crate::sources::mongodb::source_block::SourceConstants;
use crate::sources::mongodb::structured::{StateError, Structure};

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
    grown: bool,
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
            grown: false,
        }
    }

    pub(crate) fn are_records(&self) -> bool {
        self.form == DocumentForm::Structured
    }

    /// Goes on with what [`Self::structures`] gave.
    pub(crate) fn remember(
        &mut self,
        structures: &BTreeMap<String, String>,
    ) -> Result<(), StateError> {
        for (name, text) in structures {
            self.remembered.insert(name.clone(), Structure::of_text(text)?);
        }
        Ok(())
    }

    /// What is known of documents, by the names of their collections.
    pub(crate) fn structures(&self) -> BTreeMap<String, String> {
        let met = self.known.iter().filter_map(|known| {
            let structure = known.collection.structure.as_ref()?;
            Some((known.namespace.to_string(), structure.to_text()))
        });
        let remembered = self.remembered.iter();
        remembered.map(|(name, structure)| (name.clone(), structure.to_text())).chain(met).collect()
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
            self.grown |= structure.observe(document).is_err() || structure.has_grown();
        }
    }

    /// Gives collections whose structure has grown their next version.
    pub(crate) fn settle(&mut self) {
        if !std::mem::take(&mut self.grown) {
            return;
        }
        for known in &mut self.known {
            let collection = &mut known.collection;
            let Some(structure) = &mut collection.structure else { continue };
            if structure.take_version() {
                let version = TableVersion(self.next_version);
                self.next_version += 1;
                let layout = Arc::clone(&collection.table.source);
                let data_type = structure.column_type();
                collection.table = Arc::new(table(version, &known.namespace, data_type, layout));
            }
        }
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
