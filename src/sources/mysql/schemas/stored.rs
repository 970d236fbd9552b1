//! A belief as the checkpoint keeps it: a text for each table, and one for all of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::TableFilter;
use crate::disposition::{Diagnose, Disposition};
use crate::schema::history::SchemaHistory;
use crate::sources::BoxError;
use crate::sources::mysql::ddl::TableModel;

/// Readers of a later program read this version for ever; a newer version is refused by name.
pub(super) const FORMAT: u32 = 1;
/// The name of what is said of all tables. No table has it.
pub(super) const META: &str = "";

#[derive(Debug, thiserror::Error)]
pub enum SchemaHistoryError {
    #[error("read the schema history in the checkpoint: entry `{entry}` is damaged")]
    Damaged { entry: String, source: serde_json::Error },
    #[error(
        "read the schema history in the checkpoint: its version {found} is newer than {supported}"
    )]
    Newer { found: u32, supported: u32 },
}

impl Diagnose for SchemaHistoryError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Damaged { .. } | Self::Newer { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Damaged { .. } => "run `tailwater offsets reset` and let the pipeline take a new snapshot, which makes the history anew".to_owned(),
            Self::Newer { .. } => "run the tailwater version that wrote it, or a newer one".to_owned(),
        })
    }
}

impl From<SchemaHistoryError> for BoxError {
    fn from(error: SchemaHistoryError) -> Self {
        Box::new(error)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    format: u32,
    /// Whether a captured table that is not here does not exist.
    complete: bool,
    /// Databases of which that is true, where it is not of all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    whole: BTreeSet<String>,
    /// Which tables were captured: with others it is not true any more.
    #[serde(default)]
    filter: String,
    /// Character sets of databases; `None` for one that is there and of which it is not known.
    pub(super) databases: BTreeMap<String, Option<String>>,
}

impl Meta {
    pub(super) fn of_nothing(filter: &TableFilter) -> Self {
        let (whole, databases) = (BTreeSet::new(), BTreeMap::new());
        Self { format: FORMAT, complete: false, whole, filter: digest(filter), databases }
    }

    /// Of a moment at which every captured table was seen.
    pub(super) fn see_all(&mut self) {
        self.complete = true;
    }

    /// Every captured table of this database was seen, or it has none.
    pub(super) fn see_whole(&mut self, database: &str) {
        if !self.complete {
            self.whole.insert(database.to_owned());
        }
    }

    pub(super) fn forget_database(&mut self, database: &str) {
        self.whole.remove(database);
        self.databases.remove(database);
    }

    /// There may be captured tables that nobody saw.
    pub(super) fn doubt(&mut self) {
        self.complete = false;
        self.whole.clear();
    }

    /// Whether a captured table of this database that is not known does not exist.
    pub(super) fn knows_all_of(&self, database: &str) -> bool {
        self.complete || self.whole.contains(database)
    }

    /// ... of any database.
    pub(super) fn knows_all(&self) -> bool {
        self.complete
    }

    pub(super) fn charset_of(&self, database: &str) -> Option<&str> {
        self.databases.get(database)?.as_deref()
    }

    /// Reads what was kept, as it is to be taken where these tables are captured; with whether that
    /// differs from what was kept.
    pub(super) fn restored(
        text: &str,
        filter: &TableFilter,
    ) -> Result<(Self, bool), SchemaHistoryError> {
        let damaged = |source| SchemaHistoryError::Damaged { entry: META.to_owned(), source };
        let mut meta: Self = serde_json::from_str(text).map_err(damaged)?;
        if meta.format > FORMAT {
            return Err(SchemaHistoryError::Newer { found: meta.format, supported: FORMAT });
        }
        let filter = digest(filter);
        let differs = meta.filter != filter;
        if differs {
            meta.filter = filter;
            meta.doubt();
        }
        Ok((meta, differs))
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("it has only string keys")
    }
}

/// The same for the same patterns in another order.
fn digest(filter: &TableFilter) -> String {
    let sorted = |patterns: &[String]| {
        let mut sorted: Vec<&str> = patterns.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        sorted.join("\n")
    };
    let text = format!("{}\n\n{}", sorted(filter.include()), sorted(filter.exclude()));
    let bytes = Sha256::digest(text);
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Serialize)]
pub(super) struct Written<'a> {
    pub(super) database: &'a str,
    pub(super) table: &'a str,
    /// `None`: not known.
    pub(super) model: Option<&'a TableModel>,
}

impl Written<'_> {
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a model has only string keys")
    }
}

#[derive(Deserialize)]
pub(super) struct Entry {
    pub(super) database: String,
    pub(super) table: String,
    pub(super) model: Option<TableModel>,
}

/// The history without what it says of one table, `database.table`: the catalogue is asked for it
/// when its next rows come. `None` where it says nothing of such a table.
///
/// # Errors
/// When the history cannot be read.
pub fn forget_table(
    history: &SchemaHistory,
    table: &str,
) -> Result<Option<SchemaHistory>, SchemaHistoryError> {
    for (name, text) in history.iter().filter(|(name, _)| *name != META) {
        let entry: Entry = serde_json::from_str(text)
            .map_err(|source| SchemaHistoryError::Damaged { entry: name.to_owned(), source })?;
        let Entry { database, table: of_table, .. } = &entry;
        if format!("{database}.{of_table}") == table {
            // Unknown and not gone: a table that is not there may be taken for one that does not
            // exist.
            let written = Written { database, table: of_table, model: None };
            let mut without = history.clone();
            without.set(name, &written.to_text());
            return Ok(Some(without));
        }
    }
    Ok(None)
}
