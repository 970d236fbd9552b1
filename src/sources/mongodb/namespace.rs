//! Where a document lives.

use std::fmt;

/// A database and a collection in it. Collection names may hold dots, database names may not
/// (<https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions>), so the first dot
/// of the text form parts the two.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace {
    pub database: String,
    pub collection: String,
}

impl Namespace {
    #[must_use]
    pub fn new(database: impl Into<String>, collection: impl Into<String>) -> Self {
        Self { database: database.into(), collection: collection.into() }
    }

    /// Becomes another, in the room that it has.
    pub(super) fn set(&mut self, database: &str, collection: &str) {
        database.clone_into(&mut self.database);
        collection.clone_into(&mut self.collection);
    }

    /// Whether it belongs to the server, see [`is_system`].
    #[must_use]
    pub fn is_system(&self) -> bool {
        is_system(&self.database, &self.collection)
    }
}

/// What [`is_temporary`] finds, as a regular expression of the server.
pub(super) const TEMPORARY: &str =
    "^tmp(\\.agg_out\\.|\\.mr\\.|[0-9A-Za-z]{5}\\.(renameCollection$|convertToCapped\\.))";

/// Whether a collection belongs to the server: those of the databases `admin`, `config` and
/// `local`, whatever lives below `system.` in the others, which change streams leave out as well,
/// and what it makes for a moment, which they do not.
/// <https://www.mongodb.com/docs/manual/changeStreams/#watch-a-collection--database--or-deployment>
#[must_use]
pub fn is_system(database: &str, collection: &str) -> bool {
    is_system_database(database) || collection.starts_with("system.") || is_temporary(collection)
}

/// Collections that live for the length of one command and then take another's name: of `$out`
/// (`document_source_out.cpp`), of `mapReduce`, of a rename between databases
/// (`rename_collection.cpp`) and of `convertToCapped` (`capped_utils.cpp`). Each has a name of its
/// own, so a topic of its own would be made for each.
fn is_temporary(collection: &str) -> bool {
    let Some(rest) = collection.strip_prefix("tmp") else { return false };
    if rest.starts_with(".agg_out.") || rest.starts_with(".mr.") {
        return true;
    }
    // `Database::makeUniqueCollectionNamespace` puts letters and digits for `tmp%%%%%`.
    const UNIQUE: usize = 5;
    let is_unique = rest
        .get(..UNIQUE)
        .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let kind = rest.get(UNIQUE..).filter(|_| is_unique).unwrap_or_default();
    kind == ".renameCollection" || kind.starts_with(".convertToCapped.")
}

#[must_use]
pub fn is_system_database(database: &str) -> bool {
    matches!(database, "admin" | "config" | "local")
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.collection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_server_is_known() {
        let server = regex::Regex::new(TEMPORARY).unwrap();
        for (database, collection, system) in [
            ("shop", "orders", false),
            ("shop", "a.system.b", false),
            ("shop", "system.buckets.weather", true),
            ("admin", "x", true),
            ("config", "chunks", true),
            ("local", "oplog.rs", true),
            ("shop", "tmp.agg_out.2", true),
            ("shop", "tmp.agg_out.9c79fa0c-4512-42ae-97bf-50d958271143", true),
            ("shop", "tmp.mr.orders_0", true),
            ("shop", "tmpa1B2c.renameCollection", true),
            ("shop", "tmpa1B2c.convertToCapped.orders", true),
            ("shop", "tmpa1B2.renameCollection", false),
            ("shop", "tmp.orders", false),
            ("shop", "tmporary.create", false),
            ("shop", "tmpäöü.renameCollection", false),
            ("shop", "x.tmp.agg_out.2", false),
        ] {
            let namespace = Namespace::new(database, collection);
            assert_eq!(namespace.is_system(), system, "{namespace}");
            let named = system && collection.starts_with("tmp");
            assert_eq!(server.is_match(collection), named, "{namespace}: the server's view");
        }
    }
}
