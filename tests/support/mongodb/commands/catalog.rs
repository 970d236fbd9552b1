//! Databases and collections: made, changed, listed.

use std::collections::VecDeque;

use mongodb::bson::{Bson, Document, doc};

use super::read::opened;
use super::{Answer, Call};
use crate::support::mongodb::cursor::{Cursor, Kind};
use crate::support::mongodb::event::uuid_value;
use crate::support::mongodb::failure::Failure;
use crate::support::mongodb::oplog::{Namespace, Op};
use crate::support::mongodb::query;
use crate::support::mongodb::raw::raw;
use crate::support::mongodb::state::{NEWEST, State};
use crate::support::mongodb::store::{Collection, create};

pub(super) fn run(call: &mut Call<'_>, state: &mut State) -> Result<Answer, Failure> {
    match call.request.name.as_str() {
        "listCollections" => return list_collections(call, state),
        "listDatabases" => return list_databases(call, state),
        "listIndexes" => return list_indexes(call, state),
        _ => {}
    }
    let reply = match call.request.name.as_str() {
        "create" => made(call, state)?,
        "drop" => dropped(call, state)?,
        "dropDatabase" => drop_database(call, state),
        "renameCollection" => renamed(call, state)?,
        "collMod" => modified(call, state)?,
        "createIndexes" => {
            let ns = call.ns()?;
            state.ensure(&ns);
            let indexes = call.request.command.get_array("indexes").cloned().unwrap_or_default();
            let op = Op::CreateIndexes { described: doc! { "indexes": indexes } };
            let change = state.change(&ns, op);
            state.log(vec![change], None);
            doc! { "numIndexesBefore": 1, "numIndexesAfter": 2 }
        }
        "collStats" => stats(state, &call.ns()?),
        _ => doc! { "db": &call.request.database, "collections": 1 },
    };
    Ok(reply.into())
}

fn missing(ns: &Namespace) -> Failure {
    Failure::new(26, "NamespaceNotFound", format!("ns not found: {}", ns.full()))
}

/// The options of a command without what every command has.
fn options(command: &Document) -> Document {
    const COMMON: [&str; 9] = [
        "lsid",
        "$db",
        "$clusterTime",
        "$readPreference",
        "writeConcern",
        "txnNumber",
        "comment",
        "autocommit",
        "apiVersion",
    ];
    let rest = command.iter().skip(1).filter(|(name, _)| !COMMON.contains(&name.as_str()));
    rest.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn made(call: &Call<'_>, state: &mut State) -> Result<Document, Failure> {
    let ns = call.ns()?;
    if state.store.get(&ns).is_some() {
        let message = format!("Collection {} already exists.", ns.full());
        return Err(Failure::new(48, "NamespaceExists", message));
    }
    let options = options(&call.request.command);
    if options.contains_key("changeStreamPreAndPostImages") && state.options.wire < 17 {
        let message = "BSON field 'create.changeStreamPreAndPostImages' is an unknown field.";
        return Err(Failure::new(40415, "Location40415", message));
    }
    state.log(vec![create(&ns, options)], None);
    Ok(Document::new())
}

fn modified(call: &Call<'_>, state: &mut State) -> Result<Document, Failure> {
    let ns = call.ns()?;
    state.store.get(&ns).ok_or_else(|| missing(&ns))?;
    let change = state.change(&ns, Op::Modify { options: options(&call.request.command) });
    state.log(vec![change], None);
    Ok(Document::new())
}

fn dropped(call: &Call<'_>, state: &mut State) -> Result<Document, Failure> {
    let ns = call.ns()?;
    if state.store.get(&ns).is_none() {
        // Since 7.0 it is no error any more.
        if state.options.wire >= 21 {
            return Ok(Document::new());
        }
        return Err(Failure::new(26, "NamespaceNotFound", "ns not found"));
    }
    let change = state.change(&ns, Op::Drop);
    state.log(vec![change], None);
    Ok(doc! { "nIndexesWas": 1, "ns": ns.full() })
}

/// Each collection first, then the database, as the log of a real server has it.
fn drop_database(call: &Call<'_>, state: &mut State) -> Document {
    let database = call.request.database.clone();
    let all: Vec<Namespace> =
        state.store.collections.keys().filter(|ns| ns.database == database).cloned().collect();
    let existed = state.store.databases.contains(&database);
    for ns in all {
        let change = state.change(&ns, Op::Drop);
        state.log(vec![change], None);
    }
    if !existed {
        return Document::new();
    }
    let change = state.change(&Namespace::new(&database, ""), Op::DropDatabase);
    state.log(vec![change], None);
    doc! { "dropped": database }
}

fn renamed(call: &Call<'_>, state: &mut State) -> Result<Document, Failure> {
    let command = &call.request.command;
    let named = |name: &str| {
        let text = command.get_str(name).unwrap_or("");
        let (database, collection) = text.split_once('.').unwrap_or((text, ""));
        Namespace::new(database, collection)
    };
    let (from, to) = (named("renameCollection"), named("to"));
    if state.store.get(&from).is_none() {
        let message = format!("Source collection {} does not exist", from.full());
        return Err(Failure::new(26, "NamespaceNotFound", message));
    }
    if state.store.get(&to).is_some() && command.get_bool("dropTarget").ok() != Some(true) {
        return Err(Failure::new(48, "NamespaceExists", "target namespace exists"));
    }
    let change = state.change(&from, Op::Rename { to });
    state.log(vec![change], None);
    Ok(Document::new())
}

fn described(name: &str, collection: &Collection, only_names: bool) -> Document {
    let mut described = doc! { "name": name, "type": collection.kind };
    if !only_names {
        described.insert("options", collection.options.clone());
        let mut info = doc! { "readOnly": collection.kind == "view" };
        if collection.kind == "collection" {
            info.insert("uuid", uuid_value(collection.uuid));
        }
        described.insert("info", info);
        if collection.kind == "collection" {
            described.insert("idIndex", doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" });
        }
    }
    described
}

fn list_collections(call: &Call<'_>, state: &mut State) -> Result<Answer, Failure> {
    let command = &call.request.command;
    let database = &call.request.database;
    let only_names = command.get_bool("nameOnly").unwrap_or(false);
    let filter = command.get_document("filter").cloned().unwrap_or_default();
    let mut found = VecDeque::new();
    let mut all: Vec<_> = state.store.collections.iter().collect();
    // In the order of their making, as recorded.
    all.sort_by_key(|(_, collection)| (collection.made.time, collection.made.increment));
    for (ns, collection) in all {
        if ns.database == *database
            && query::matches(&described(&ns.collection, collection, false), &filter)?
        {
            found.push_back(raw(&described(&ns.collection, collection, only_names)));
        }
    }
    if database == "admin" {
        // The one that tests of who a deployment is ask for.
        let one = doc! {
            "name": "system.version", "type": "collection", "options": {},
            "info": { "readOnly": false, "uuid": uuid_value(state.admin) },
        };
        if query::matches(&one, &filter)? {
            found.push_back(raw(&one));
        }
    }
    let shown = format!("{database}.$cmd.listCollections");
    let ns = Namespace::new(database, "$cmd.listCollections");
    opened(
        state,
        Cursor { ns, kind: Kind::Found(found), at: None, session: call.session() },
        shown,
        Some(usize::MAX),
    )
}

fn list_databases(call: &Call<'_>, state: &State) -> Result<Answer, Failure> {
    let command = &call.request.command;
    let only_names = command.get_bool("nameOnly").unwrap_or(false);
    let filter = command.get_document("filter").cloned().unwrap_or_default();
    let mut names = state.store.databases();
    names.extend(["admin", "config", "local"].map(str::to_owned));
    names.sort();
    names.dedup();
    let mut found = vec![];
    for name in names {
        let one = doc! { "name": &name, "sizeOnDisk": 8192.0, "empty": false };
        if query::matches(&one, &filter)? {
            found.push(if only_names {
                doc! { "name": name }
            } else {
                one
            });
        }
    }
    let mut reply = doc! { "databases": found };
    if !only_names {
        reply.insert("totalSize", 8192.0);
    }
    Ok(reply.into())
}

fn list_indexes(call: &Call<'_>, state: &mut State) -> Result<Answer, Failure> {
    let ns = call.ns()?;
    state.store.get(&ns).ok_or_else(|| missing(&ns))?;
    let index = doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" };
    let kind = Kind::Found(VecDeque::from([raw(&index)]));
    let shown = ns.full();
    opened(state, Cursor { ns, kind, at: None, session: call.session() }, shown, None)
}

/// Of the log, its bounds; of a collection, its number of documents and their bytes.
pub(crate) fn stats(state: &State, ns: &Namespace) -> Document {
    if ns.full() == "local.oplog.rs" {
        let n = i32::try_from(state.oplog.end() - state.oplog.first()).unwrap_or(i32::MAX);
        return doc! {
            "ns": ns.full(), "size": n, "count": n, "storageSize": n, "capped": true,
            "max": -1, "maxSize": 1_038_090_240_i64, "totalSize": n,
        };
    }
    let (mut n, mut bytes) = (0, 0);
    let collection = state.store.get(ns);
    for (_, document) in collection.into_iter().flat_map(|c| c.all(NEWEST)) {
        n += 1;
        bytes += i64::try_from(document.len()).unwrap();
    }
    let average = if n > 0 { Bson::Int64(bytes / n) } else { Bson::Int64(0) };
    let mut stats = doc! { "ns": ns.full(), "size": bytes, "count": n, "storageSize": bytes };
    if n > 0 {
        stats.insert("avgObjSize", average);
    }
    let capped = collection.is_some_and(|c| c.options.get_bool("capped").unwrap_or(false));
    stats.insert("capped", capped);
    stats
}
