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

    /// Whether it belongs to the server: the databases `admin`, `config` and `local`, and whatever
    /// lives below `system.` in the others. Change streams leave them out as well.
    /// <https://www.mongodb.com/docs/manual/changeStreams/#watch-a-collection--database--or-deployment>
    #[must_use]
    pub fn is_system(&self) -> bool {
        is_system_database(&self.database) || self.collection.starts_with("system.")
    }
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
        for (database, collection, system) in [
            ("shop", "orders", false),
            ("shop", "a.system.b", false),
            ("shop", "system.buckets.weather", true),
            ("admin", "x", true),
            ("config", "chunks", true),
            ("local", "oplog.rs", true),
        ] {
            let namespace = Namespace::new(database, collection);
            assert_eq!(namespace.is_system(), system, "{namespace}");
        }
    }
}
