//! Commands: what every one of them passes, and where each is answered.

mod admin;
mod catalog;
mod read;
mod write;

pub(crate) use catalog::stats;

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, Timestamp, doc};

use super::auth;
use super::cursor::Page;
use super::failure::Failure;
use super::oplog::Namespace;
use super::order::integer;
use super::raw::Builder;
use super::server::Server;
use super::state::State;
use super::wire::Request;

/// What the server knows of a client's connection.
pub(crate) struct Connection {
    pub(crate) number: i32,
    pub(crate) application: String,
    pub(crate) login: auth::Login,
}

impl Connection {
    pub(crate) fn new(number: i32) -> Self {
        Self { number, application: String::new(), login: auth::Login::default() }
    }
}

pub(crate) enum Answer {
    Plain(Document),
    Page { first: bool, page: Page, id: i64, ns: String, at: Option<Timestamp> },
}

impl From<Document> for Answer {
    fn from(document: Document) -> Self {
        Self::Plain(document)
    }
}

/// One command on its way.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a Server,
    pub(crate) connection: &'a mut Connection,
    pub(crate) request: &'a Request,
}

impl Call<'_> {
    /// The namespace of a command whose first field names a collection.
    pub(crate) fn ns(&self) -> Result<Namespace, Failure> {
        match self.request.command.get(&self.request.name) {
            Some(Bson::String(collection)) if !collection.is_empty() => {
                Ok(Namespace::new(&self.request.database, collection))
            }
            _ => {
                let message = "collection name has invalid type";
                Err(Failure::new(73, "InvalidNamespace", message))
            }
        }
    }

    pub(crate) fn session(&self) -> Option<Vec<u8>> {
        let id = self.request.command.get_document("lsid").ok()?.get("id")?;
        match id {
            Bson::Binary(binary) => Some(binary.bytes.clone()),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<i64> {
        self.request.command.get("txnNumber").and_then(integer)
    }

    pub(crate) fn in_transaction(&self) -> bool {
        self.request.command.get("autocommit").and_then(Bson::as_bool) == Some(false)
    }
}

/// The reply's bytes; `None` ends the connection.
pub(crate) fn answer(
    server: &Server,
    connection: &mut Connection,
    request: &Request,
) -> Option<Vec<u8>> {
    let mut state = server.state();
    *state.counts.entry(request.name.clone()).or_default() += 1;
    if request.name == "find" && state.finds.len() < 64 {
        state.finds.push(request.command.clone());
    }
    let mut call = Call { server, connection, request };
    let (result, state) = match fault(&mut call, state) {
        (None, state) => (None, state),
        (Some(Err(failure)), state) => (Some(Err(failure)), state),
        (Some(Ok(())), state) => match allowed(&call, &state) {
            Err(failure) => (Some(Err(failure)), state),
            Ok(()) => {
                let (result, state) = dispatch(&mut call, state);
                (Some(result), state)
            }
        },
    };
    server.notify();
    Some(reply(&state, result?))
}

fn reply(state: &State, result: Result<Answer, Failure>) -> Vec<u8> {
    let mut builder = Builder::new();
    let time = state.known();
    let is_set = !state.options.standalone;
    match result {
        Ok(answer) => {
            match answer {
                Answer::Plain(document) => builder.all(&document),
                Answer::Page { first, page, id, ns, at } => {
                    cursor(
                        &mut builder,
                        if first { "firstBatch" } else { "nextBatch" },
                        page,
                        (id, ns, at),
                    );
                }
            }
            builder.bson("ok", 1.0);
            if is_set {
                builder.bson("$clusterTime", cluster_time(time));
                builder.bson("operationTime", time);
            }
        }
        Err(failure) => {
            builder.all(&failure.document(time));
            if is_set {
                builder.bson("$clusterTime", cluster_time(time));
            }
        }
    }
    builder.finish()
}

type Known = (i64, String, Option<Timestamp>);

fn cursor(builder: &mut Builder, batch: &str, page: Page, (id, ns, at): Known) {
    builder.begin("cursor");
    // Lists have it at the end (recorded).
    let is_list = ns.ends_with(".$cmd.listCollections");
    if !is_list {
        builder.documents(batch, &page.documents);
    }
    if let Some(token) = page.token {
        builder.bson("postBatchResumeToken", token);
    }
    if let Some(at) = at {
        builder.bson("atClusterTime", at);
    }
    builder.bson("id", id);
    builder.bson("ns", ns);
    if is_list {
        builder.documents(batch, &page.documents);
    }
    builder.end();
}

/// Without keys, the signature is empty.
fn cluster_time(time: Timestamp) -> Document {
    let hash = mongodb::bson::Binary {
        subtype: mongodb::bson::spec::BinarySubtype::Generic,
        bytes: vec![0; 20],
    };
    doc! { "clusterTime": time, "signature": { "hash": hash, "keyId": 0_i64 } }
}

type Guard<'a> = MutexGuard<'a, State>;

/// Errors that the test ordered; `None` ends the connection.
fn fault<'a>(
    call: &mut Call<'a>,
    mut state: Guard<'a>,
) -> (Option<Result<(), Failure>>, Guard<'a>) {
    let name = &call.request.name;
    let Some(at) = state.faults.iter().position(|f| f.commands.contains(name)) else {
        return (Some(Ok(())), state);
    };
    let fault = &mut state.faults[at];
    if fault.skip > 0 {
        fault.skip -= 1;
        return (Some(Ok(())), state);
    }
    let fault = fault.clone();
    match &mut state.faults[at].times {
        Some(1) => drop(state.faults.remove(at)),
        Some(n) => *n -= 1,
        None => {}
    }
    if !fault.block.is_zero() {
        drop(state);
        std::thread::sleep(fault.block);
        state = call.server.state();
    }
    if fault.close {
        return (None, state);
    }
    (Some(fault.failure.map_or(Ok(()), Err)), state)
}

/// Commands of the handshake need no login, and no primary.
fn is_handshake(name: &str) -> bool {
    matches!(
        name,
        "hello"
            | "isMaster"
            | "ismaster"
            | "saslStart"
            | "saslContinue"
            | "ping"
            | "buildInfo"
            | "buildinfo"
            | "endSessions"
            | "logout"
            | "connectionStatus"
    )
}

/// Servers refuse fields that they do not know: a misspelt option must not pass for one.
fn known_fields(request: &Request) -> Result<(), Failure> {
    const COMMON: [&str; 16] = [
        "lsid",
        "$db",
        "$clusterTime",
        "$readPreference",
        "readConcern",
        "writeConcern",
        "maxTimeMS",
        "comment",
        "txnNumber",
        "autocommit",
        "startTransaction",
        "apiVersion",
        "apiStrict",
        "apiDeprecationErrors",
        "let",
        "ordered",
    ];
    let own: &[&str] = match request.name.as_str() {
        "find" => &[
            "filter",
            "sort",
            "projection",
            "hint",
            "skip",
            "limit",
            "batchSize",
            "singleBatch",
            "min",
            "max",
            "noCursorTimeout",
            "allowDiskUse",
            "collation",
            "returnKey",
            "showRecordId",
            "allowPartialResults",
        ],
        "aggregate" => &["pipeline", "cursor", "hint", "collation", "allowDiskUse", "explain"],
        "getMore" => &["collection", "batchSize"],
        "killCursors" => &["cursors"],
        "listCollections" => &["filter", "nameOnly", "authorizedCollections", "cursor"],
        "listDatabases" => &["filter", "nameOnly", "authorizedDatabases"],
        "collStats" => &["scale"],
        _ => return Ok(()),
    };
    let known = |name: &&String| COMMON.contains(&name.as_str()) || own.contains(&name.as_str());
    match request.command.keys().skip(1).find(|name| !known(name)) {
        Some(name) => {
            let message = format!("BSON field '{}.{name}' is an unknown field.", request.name);
            Err(Failure::new(40415, "Location40415", message))
        }
        None => Ok(()),
    }
}

fn allowed(call: &Call<'_>, state: &State) -> Result<(), Failure> {
    let name = call.request.name.as_str();
    if is_handshake(name) {
        return Ok(());
    }
    auth::may(state, &call.connection.login, call.request)?;
    known_fields(call.request)?;
    // `runCommandImpl` of `src/mongo/s/commands/strategy.cpp`.
    if state.options.router && call.request.database == "local" {
        let message = "Can't use 'local' database through mongos";
        return Err(Failure::new(20, "IllegalOperation", message));
    }
    let writes = matches!(
        name,
        "insert"
            | "update"
            | "delete"
            | "findAndModify"
            | "create"
            | "drop"
            | "dropDatabase"
            | "renameCollection"
            | "collMod"
            | "createIndexes"
            | "commitTransaction"
            | "abortTransaction"
    );
    let reads = matches!(
        name,
        "find" | "aggregate" | "count" | "listCollections" | "listDatabases" | "collStats"
    );
    if !state.primary && writes {
        return Err(Failure::new(10107, "NotWritablePrimary", "not primary"));
    }
    let elsewhere = call.request.command.get_document("$readPreference");
    let secondary_ok =
        elsewhere.is_ok_and(|p| p.get_str("mode").is_ok_and(|mode| mode != "primary"));
    if !state.primary && reads && !secondary_ok {
        return Err(Failure::new(
            13435,
            "NotPrimaryNoSecondaryOk",
            "not primary and secondaryOk=false",
        ));
    }
    Ok(())
}

fn dispatch<'a>(call: &mut Call<'a>, mut state: Guard<'a>) -> (Result<Answer, Failure>, Guard<'a>) {
    let s = &mut *state;
    let result = match call.request.name.as_str() {
        "hello" | "isMaster" | "ismaster" => return admin::hello(call, state),
        "getMore" => return read::get_more(call, state),
        "find" => read::find(call, s),
        "aggregate" => read::aggregate(call, s),
        "count" => read::count(call, s),
        "killCursors" => read::kill_cursors(call, s),
        "insert" | "update" | "delete" | "findAndModify" => write::write(call, s),
        "commitTransaction" | "abortTransaction" => write::end_transaction(call, s),
        "create" | "drop" | "dropDatabase" | "renameCollection" | "collMod" | "createIndexes"
        | "listCollections" | "listDatabases" | "listIndexes" | "collStats" | "dbStats" => {
            catalog::run(call, s)
        }
        "saslStart" | "saslContinue" => {
            auth::sasl(&s.options.users, &mut call.connection.login, call.request).map(Answer::from)
        }
        _ => admin::run(call, s),
    };
    (result, state)
}

/// How long a `getMore` may wait.
pub(crate) fn patience(command: &Document, name: &str) -> Option<Instant> {
    let ms = command.get(name).and_then(integer).and_then(|ms| u64::try_from(ms).ok())?;
    Some(Instant::now() + Duration::from_millis(ms))
}
