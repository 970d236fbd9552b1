//! Which collections there are, and which of them are captured.
//!
//! Views hold nothing of their own, and what lies below a time series is the server's: neither has
//! change events. Capped collections are captured like any other.

use mongodb::bson::{Document, doc};

use super::deployment::Deployment;
use super::error::{Images, SourceError};
use super::namespace::{Namespace, is_system_database};
use crate::config::{CaptureScope, FullDocument, MongodbConfig, PreImages};

/// One collection, as `listCollections` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub namespace: Namespace,
    /// A snapshot session cannot read it.
    pub capped: bool,
    /// Keeps documents as they were before and after a change.
    pub images: bool,
    /// Has an index on `_id` that bounds can be given for.
    pub id_index: bool,
}

/// Every collection within the scope, in the order of names.
pub(super) async fn list(
    deployment: &Deployment,
    config: &MongodbConfig,
) -> Result<Vec<Listed>, SourceError> {
    let databases = match &config.scope {
        CaptureScope::Deployment => databases(deployment).await?,
        CaptureScope::Database(database) | CaptureScope::Collection { database, .. } => {
            vec![database.clone()]
        }
    };
    let mut all = Vec::new();
    for database in databases {
        all.extend(of_database(deployment, &database).await?);
    }
    if let CaptureScope::Collection { collection, .. } = &config.scope {
        all.retain(|listed| listed.namespace.collection == *collection);
    }
    all.sort_by(|a, b| a.namespace.cmp(&b.namespace));
    Ok(all)
}

/// Those that the configuration asks for.
pub(super) fn captured(config: &MongodbConfig, all: &[Listed]) -> Vec<Listed> {
    let wanted = |listed: &&Listed| {
        let Namespace { database, collection } = &listed.namespace;
        config.collections.matches(database, collection)
    };
    all.iter().filter(wanted).cloned().collect()
}

async fn databases(deployment: &Deployment) -> Result<Vec<String>, SourceError> {
    let command = doc! { "listDatabases": 1, "nameOnly": true };
    let answer = deployment.ask_primary("list the databases", "admin", command).await?;
    let databases = answer.get_array("databases").map(Vec::as_slice).unwrap_or_default();
    let names =
        databases.iter().filter_map(|database| database.as_document()?.get_str("name").ok());
    Ok(names.filter(|name| !is_system_database(name)).map(str::to_owned).collect())
}

async fn of_database(deployment: &Deployment, database: &str) -> Result<Vec<Listed>, SourceError> {
    const OPERATION: &str = "list the collections";
    let command = doc! { "listCollections": 1, "filter": { "type": "collection" } };
    let handle = deployment.client.database(database);
    // Of the primary: a secondary that lags may not have the newest ones yet.
    let cursor = handle.run_cursor_command(command).await;
    let mut cursor = cursor.map_err(|error| deployment.failed(OPERATION, &error))?;
    let mut listed = Vec::new();
    while cursor.advance().await.map_err(|error| deployment.failed(OPERATION, &error))? {
        let found = cursor.deserialize_current();
        let found = found.map_err(|error| deployment.failed(OPERATION, &error))?;
        listed.extend(of_entry(database, &found).filter(|one| !one.namespace.is_system()));
    }
    Ok(listed)
}

/// <https://www.mongodb.com/docs/manual/reference/command/listCollections/#output>
fn of_entry(database: &str, entry: &Document) -> Option<Listed> {
    let options = entry.get_document("options").ok();
    let option = |name: &str| options.and_then(|options| options.get(name));
    let images = option("changeStreamPreAndPostImages").and_then(|images| images.as_document());
    Some(Listed {
        namespace: Namespace::new(database, entry.get_str("name").ok()?),
        capped: option("capped").and_then(|capped| capped.as_bool()) == Some(true),
        images: images.is_some_and(|images| images.get_bool("enabled").unwrap_or(false)),
        id_index: entry.get_document("idIndex").is_ok(),
    })
}

/// What is asked for by name must be there when a pipeline is begun: most of the time it is a
/// typing error. Later it may be dropped, and made again.
pub(super) async fn check_known(
    deployment: &Deployment,
    config: &MongodbConfig,
    all: &[Listed],
) -> Result<(), SourceError> {
    if let CaptureScope::Database(database) = &config.scope
        && all.is_empty()
    {
        // Whoever may read one database only is told of that one.
        let known = super::preflight::allowed(databases(deployment).await)?;
        if let Some(known) = known.filter(|known| !known.contains(database)) {
            return Err(SourceError::UnknownDatabase { database: database.clone(), known });
        }
    }
    let names: Vec<String> = all.iter().map(|listed| listed.namespace.to_string()).collect();
    let target = match &config.scope {
        CaptureScope::Collection { database, collection } => {
            Some(format!("{database}.{collection}"))
        }
        CaptureScope::Deployment | CaptureScope::Database(_) => None,
    };
    let by_name = config.collections.include().iter().filter(|pattern| !is_glob(pattern));
    let unknown: Vec<String> =
        by_name.chain(&target).filter(|name| !names.contains(name)).cloned().collect();
    if let Some(wanted) = unknown.first() {
        // Only some are shown: those of the same database are what may have been meant.
        let of = |name: &str| name.split('.').next().map(str::to_owned);
        let database = of(wanted);
        let mut known = names;
        known.sort_by_key(|name| of(name) != database);
        return Err(SourceError::UnknownCollection { unknown, known });
    }
    let filtered = !config.collections.include().is_empty();
    if filtered && captured(config, all).is_empty() {
        return Err(SourceError::NothingCaptured { n_found: all.len() });
    }
    Ok(())
}

pub(super) fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

/// An event whose required image is missing ends the stream: better said before it begins.
pub(super) fn check_images(config: &MongodbConfig, captured: &[Listed]) -> Result<(), SourceError> {
    let without = || {
        let without = captured.iter().filter(|listed| !listed.images);
        without.map(|listed| listed.namespace.clone()).collect::<Vec<_>>()
    };
    let check = |images: Images| match without() {
        collections if collections.is_empty() => Ok(()),
        collections => Err(SourceError::ImagesOff { images, collections }),
    };
    match config.pre_images {
        PreImages::Off | PreImages::WhenAvailable => {}
        PreImages::Required => check(Images::Before)?,
    }
    match config.full_document {
        FullDocument::Off | FullDocument::Lookup | FullDocument::WhenAvailable => Ok(()),
        FullDocument::Required => check(Images::After),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_list_is_understood() {
        let entry = doc! {
            "name": "orders", "type": "collection",
            "options": { "capped": true, "changeStreamPreAndPostImages": { "enabled": true } },
            "idIndex": { "v": 2 },
        };
        let listed = of_entry("shop", &entry).unwrap();
        assert_eq!(listed.namespace, Namespace::new("shop", "orders"));
        assert!(listed.capped && listed.images && listed.id_index);
        let listed = of_entry("shop", &doc! { "name": "x", "options": {} }).unwrap();
        assert!(!listed.capped && !listed.images && !listed.id_index);
    }

    #[test]
    fn a_name_is_no_pattern() {
        assert!(!is_glob("shop.orders"));
        assert!(is_glob("shop.*") && is_glob("shop.order?") && is_glob("{a,b}.c"));
    }
}
