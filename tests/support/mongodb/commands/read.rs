//! Cursors opened, read on, and killed.

use std::collections::VecDeque;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use mongodb::bson::{Bson, DateTime, Document, Timestamp, doc};

use super::{Answer, Call, patience, write};
use crate::support::mongodb::aggregation;
use crate::support::mongodb::cursor::{Cursor, Kind, Query};
use crate::support::mongodb::event::Scope;
use crate::support::mongodb::failure::Failure;
use crate::support::mongodb::oplog::Namespace;
use crate::support::mongodb::order::integer;
use crate::support::mongodb::raw::{Raw, raw};
use crate::support::mongodb::state::State;
use crate::support::mongodb::stream::Stream;

/// Documents of a first batch when nobody says otherwise.
const FIRST_BATCH: usize = 101;

fn batch_size(document: &Document) -> Option<usize> {
    document.get("batchSize").and_then(integer).and_then(|n| usize::try_from(n).ok())
}

/// Answers with the first batch, and keeps the cursor when there is more to come.
pub(super) fn opened(
    state: &mut State,
    mut cursor: Cursor,
    shown: String,
    size: Option<usize>,
) -> Result<Answer, Failure> {
    let page = cursor.page(state, size.unwrap_or(FIRST_BATCH))?;
    let at = cursor.at;
    let id = if page.ended { 0 } else { (i64::from(rand::random::<u32>()) << 20) | 1 };
    if id != 0 {
        state.cursors.insert(id, cursor);
    }
    Ok(Answer::Page { first: true, page, id, ns: shown, at })
}

/// The time that a read concern asks for; `None` is "now".
fn read_time(call: &Call<'_>, state: &State, ns: &Namespace) -> Result<Option<Timestamp>, Failure> {
    let command = &call.request.command;
    let Ok(concern) = command.get_document("readConcern") else { return Ok(None) };
    if concern.get_str("level").ok() != Some("snapshot") || call.in_transaction() {
        return Ok(None);
    }
    if state.options.wire < 13 {
        let message = "readConcern level snapshot is only valid in multi-statement transactions";
        return Err(Failure::new(72, "InvalidOptions", message));
    }
    let time = concern.get_timestamp("atClusterTime").unwrap_or_else(|_| state.committed());
    let oldest = state.oplog.last().time.saturating_sub(state.options.history_seconds);
    if time.time < oldest {
        let message =
            format!("Read timestamp {time} is older than the oldest available timestamp.");
        return Err(Failure::new(239, "SnapshotTooOld", message));
    }
    if state.store.get(ns).is_some_and(|c| c.made > time) {
        let message = "Unable to read from a snapshot due to pending collection catalog changes; \
                       please retry the operation.";
        return Err(Failure::new(246, "SnapshotUnavailable", message));
    }
    Ok(Some(time))
}

pub(super) fn find(call: &mut Call<'_>, state: &mut State) -> Result<Answer, Failure> {
    let ns = call.ns()?;
    let shown = ns.full();
    let command = &call.request.command;
    let size = batch_size(command);
    let query = Query::of(command);
    let limit = command.get("singleBatch").and_then(Bson::as_bool) == Some(true);
    if shown == "local.oplog.rs" {
        let kind = Kind::Found(oplog(state, &query));
        return opened(state, Cursor { ns, kind, at: None, session: call.session() }, shown, size);
    }
    if shown == "config.version" && state.options.router {
        let version = doc! { "_id": 1, "clusterId": state.replica_set };
        let kind = Kind::Found(VecDeque::from([raw(&version)]));
        return opened(state, Cursor { ns, kind, at: None, session: call.session() }, shown, size);
    }
    if (query.min.is_some() || query.max.is_some()) && !query.by_id {
        let message = "When using min()/max() a hint of which index to use must be provided";
        return Err(Failure::new(51173, "Location51173", message));
    }
    write::enter(call, state)?;
    let at = read_time(call, state, &ns)?;
    let session = call.session();
    let kind = query.run(state, session.as_deref(), &ns, at)?;
    let answer = opened(state, Cursor { ns, kind, at, session }, shown, size)?;
    Ok(match answer {
        Answer::Page { first, page, id, ns, at } if limit => {
            state.cursors.remove(&id);
            Answer::Page { first, page, id: 0, ns, at }
        }
        answer => answer,
    })
}

/// Enough of the oplog for who asks from when to when it reaches.
fn oplog(state: &State, query: &Query) -> VecDeque<Raw> {
    if state.options.standalone {
        return VecDeque::new();
    }
    let back = query.sort.get("$natural").or(query.sort.get("ts")).and_then(integer) == Some(-1);
    let limit = query.limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let shown = |entry: &crate::support::mongodb::oplog::Entry| {
        raw(&doc! {
            "op": "n", "ns": "", "ts": entry.time, "t": state.term, "v": 2_i64,
            "wall": DateTime::from_millis(entry.wall_ms), "o": { "msg": "test server" },
        })
    };
    let entries = state.oplog.entries();
    if back {
        entries.rev().take(limit).map(shown).collect()
    } else {
        entries.take(limit).map(shown).collect()
    }
}

pub(super) fn aggregate(call: &mut Call<'_>, state: &mut State) -> Result<Answer, Failure> {
    let command = &call.request.command;
    let pipeline: Vec<Document> = command
        .get_array("pipeline")
        .map_err(|_| {
            Failure::new(40414, "Location40414", "BSON field 'aggregate.pipeline' is missing")
        })?
        .iter()
        .filter_map(|stage| stage.as_document().cloned())
        .collect();
    let size = command.get_document("cursor").ok().and_then(batch_size);
    let database = call.request.database.clone();
    let target = match command.get("aggregate") {
        Some(Bson::String(collection)) => Some(Namespace::new(&database, collection)),
        _ => None,
    };
    let shown = target.as_ref().map_or(format!("{database}.$cmd.aggregate"), Namespace::full);
    let ns = target.clone().unwrap_or_else(|| Namespace::new(&database, "$cmd.aggregate"));
    if let Some(options) = pipeline.first().and_then(|s| s.get_document("$changeStream").ok()) {
        let everything = options.get_bool("allChangesForCluster").unwrap_or(false);
        if everything && database != "admin" {
            let message = "The 'allChangesForCluster' option is only allowed on the admin database";
            return Err(Failure::new(20, "InvalidOptions", message));
        }
        let scope = match target {
            Some(ns) => Scope::Collection(ns),
            None => Scope::Database(database),
        };
        let stream = Stream::open(state, scope, options, &pipeline[1..])?;
        let kind = Kind::Stream(Box::new(stream));
        return opened(state, Cursor { ns, kind, at: None, session: call.session() }, shown, size);
    }
    write::enter(call, state)?;
    let at = read_time(call, state, &ns)?;
    let session = call.session();
    let out = pipeline.last().and_then(|stage| stage.get("$out")).cloned();
    let n_stages = pipeline.len() - usize::from(out.is_some());
    let stages = &pipeline[..n_stages];
    let mut found = aggregation::run(state, session.as_deref(), &ns, at, stages)?;
    if let Some(to) = out {
        aggregation::out(state, std::mem::take(&mut found), &ns, &to)?;
    }
    let kind = Kind::Found(found.iter().map(raw).collect());
    opened(state, Cursor { ns, kind, at, session }, shown, size)
}

/// A change stream without events waits for some.
pub(super) fn get_more<'a>(
    call: &mut Call<'a>,
    mut state: MutexGuard<'a, State>,
) -> (Result<Answer, Failure>, MutexGuard<'a, State>) {
    let command = &call.request.command;
    let id = command.get("getMore").and_then(integer).unwrap_or(0);
    let Some(mut cursor) = state.cursors.remove(&id) else {
        let message = format!("cursor id {id} not found");
        return (Err(Failure::new(43, "CursorNotFound", message)), state);
    };
    if let Err(failure) = may_read_on(call, &cursor) {
        state.cursors.insert(id, cursor);
        return (Err(failure), state);
    }
    let size = batch_size(command).filter(|n| *n > 0).unwrap_or(usize::MAX);
    let until = patience(command, "maxTimeMS").unwrap_or(Instant::now() + Duration::from_secs(1));
    let page = loop {
        match cursor.page(&state, size) {
            Ok(page) => {
                let waits = matches!(cursor.kind, Kind::Stream(_))
                    && page.documents.is_empty()
                    && !page.ended
                    && Instant::now() < until
                    && !call.server.is_closing();
                if !waits {
                    break page;
                }
                state = call.server.wait(state, until);
            }
            // The cursor is gone with its error.
            Err(failure) => return (Err(failure), state),
        }
    };
    let ns = cursor.ns.full();
    let id = if page.ended { 0 } else { id };
    let at = cursor.at;
    if id != 0 {
        state.cursors.insert(id, cursor);
    }
    (Ok(Answer::Page { first: false, page, id, ns, at }), state)
}

/// `validateLSID` and `validateAwaitData` of the server's `getmore_cmd.cpp`.
fn may_read_on(call: &Call<'_>, cursor: &Cursor) -> Result<(), Failure> {
    if cursor.session != call.session() {
        let message = "Cannot run getMore on a cursor which was created in another session";
        return Err(Failure::new(50738, "Location50738", message));
    }
    let awaits = matches!(cursor.kind, Kind::Stream(_));
    if !awaits && call.request.command.contains_key("maxTimeMS") {
        let message = "cannot set maxTimeMS on getMore command for a non-awaitData cursor";
        return Err(Failure::bad_value(message));
    }
    Ok(())
}

pub(super) fn kill_cursors(call: &mut Call<'_>, state: &mut State) -> Result<Answer, Failure> {
    let (mut killed, mut missing) = (vec![], vec![]);
    for id in call.request.command.get_array("cursors").into_iter().flatten() {
        let known = integer(id).is_some_and(|id| state.cursors.remove(&id).is_some());
        if known { killed.push(id.clone()) } else { missing.push(id.clone()) }
    }
    let none: Vec<Bson> = vec![];
    Ok(doc! {
        "cursorsKilled": killed, "cursorsNotFound": missing, "cursorsAlive": none.clone(),
        "cursorsUnknown": none,
    }
    .into())
}

pub(super) fn count(call: &mut Call<'_>, state: &mut State) -> Result<Answer, Failure> {
    let ns = call.ns()?;
    let mut command = call.request.command.clone();
    if let Some(filter) = command.remove("query") {
        command.insert("filter", filter);
    }
    let mut query = Query::of(&command);
    // A sort makes it find everything at once.
    query.sort = doc! { "$natural": 1 };
    let Kind::Found(found) = query.run(state, None, &ns, None)? else {
        return Err(Failure::unknown("count"));
    };
    Ok(doc! { "n": i32::try_from(found.len()).unwrap() }.into())
}
