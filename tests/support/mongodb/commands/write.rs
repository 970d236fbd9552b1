//! Writes, one by one or in transactions.

use mongodb::bson::{Binary, Bson, Document, doc, spec::BinarySubtype};

use super::{Answer, Call};
use crate::support::mongodb::failure::Failure;
use crate::support::mongodb::oplog::{Namespace, Op, Transaction};
use crate::support::mongodb::order::{Key, integer};
use crate::support::mongodb::query;
use crate::support::mongodb::raw::{DOCUMENT_BYTES_MAX, Raw, field, parse, raw};
use crate::support::mongodb::state::{NEWEST, Open, Session, State};
use crate::support::mongodb::store::with_id;
use crate::support::mongodb::update::{Updated, apply};

/// Joins the transaction that a command names, or begins it.
pub(super) fn enter(call: &Call<'_>, state: &mut State) -> Result<(), Failure> {
    if !call.in_transaction() {
        return Ok(());
    }
    let (Some(id), Some(number)) = (call.session(), call.number()) else {
        return Err(Failure::new(
            72,
            "InvalidOptions",
            "a transaction needs a session and a number",
        ));
    };
    let read = state.committed();
    let session = state.sessions.entry(id).or_default();
    if call.request.command.get_bool("startTransaction").ok() == Some(true) {
        let (changes, overlay) = (vec![], std::collections::BTreeMap::new());
        session.open = Some(Open { number, read, changes, overlay });
        return Ok(());
    }
    match &session.open {
        Some(open) if open.number == number => Ok(()),
        _ => Err(no_transaction(number)),
    }
}

fn no_transaction(number: i64) -> Failure {
    let message =
        format!("Given transaction number {number} does not match any in-progress transactions.");
    Failure::new(251, "NoSuchTransaction", message).label("TransientTransactionError")
}

pub(super) fn end_transaction(call: &mut Call<'_>, state: &mut State) -> Result<Answer, Failure> {
    let (Some(id), Some(number)) = (call.session(), call.number()) else {
        return Err(Failure::new(125, "CommandFailed", "a transaction must be named"));
    };
    let session: &mut Session = state.sessions.entry(id.clone()).or_default();
    let Some(open) = session.open.take_if(|open| open.number == number) else {
        // A repeated commit is answered as the first was.
        return match &session.last {
            Some((last, reply)) if *last == number => Ok(reply.clone().into()),
            _ => Err(no_transaction(number)),
        };
    };
    if call.request.name == "commitTransaction" {
        session.last = Some((number, Document::new()));
        let stale = |(ns, Key(id)): &(Namespace, Key)| {
            let collection = state.store.get(ns);
            let then = collection.and_then(|c| c.get(id, open.read));
            then != collection.and_then(|c| c.get(id, NEWEST))
        };
        if open.overlay.keys().any(stale) {
            return Err(Failure::new(112, "WriteConflict", "WriteConflict error")
                .label("TransientTransactionError"));
        }
        if !open.changes.is_empty() {
            let lsid = logged_session(call, id);
            state.log(open.changes, Some(Transaction { lsid, number }));
        }
    }
    Ok(Document::new().into())
}

/// As the log names a session: its identifier, and the digest of its user.
fn logged_session(call: &Call<'_>, id: Vec<u8>) -> Document {
    let user = call.connection.login.user.as_ref().map(|name| format!("{name}@admin"));
    let uid = ring::digest::digest(&ring::digest::SHA256, user.unwrap_or_default().as_bytes());
    doc! {
        "id": Binary { subtype: BinarySubtype::Uuid, bytes: id },
        "uid": Binary { subtype: BinarySubtype::Generic, bytes: uid.as_ref().to_vec() },
    }
}

/// Retryable: a number that was answered before gets the same answer.
pub(super) fn write(call: &mut Call<'_>, state: &mut State) -> Result<Answer, Failure> {
    enter(call, state)?;
    let session = call.session();
    let retryable = call.number().filter(|_| !call.in_transaction()).zip(session.clone());
    if let Some((number, id)) = &retryable
        && let Some(known) = state.sessions.get(id)
        && let Some((last, reply)) = &known.last
        && last == number
    {
        return Ok(reply.clone().into());
    }
    let ns = call.ns()?;
    let reply = match call.request.name.as_str() {
        "insert" => insert(call, state, &ns)?,
        "update" => update(call, state, &ns)?,
        "delete" => delete(call, state, &ns)?,
        _ => find_and_modify(call, state, &ns, retryable.is_some())?,
    };
    if let Some((number, id)) = retryable {
        state.sessions.entry(id).or_default().last = Some((number, reply.clone()));
    }
    Ok(reply.into())
}

/// Documents of a list, from beside the command or from within.
fn list(call: &Call<'_>, name: &str) -> Vec<Raw> {
    if let Some(all) = call.request.sequences.get(name) {
        return all.clone();
    }
    let within = call.request.command.get_array(name).into_iter().flatten();
    within.filter_map(Bson::as_document).map(raw).collect()
}

/// Runs the parts of a write; errors of single ones are told in the reply.
fn each(
    call: &Call<'_>,
    all: &[Raw],
    mut one: impl FnMut(&Raw, usize) -> Result<(), Failure>,
) -> Result<Vec<Document>, Failure> {
    let ordered = call.request.command.get_bool("ordered").unwrap_or(true);
    let mut errors = vec![];
    for (index, part) in all.iter().enumerate() {
        let Err(failure) = one(part, index) else { continue };
        if call.in_transaction() || !failure.labels.is_empty() {
            return Err(failure);
        }
        let index = i32::try_from(index).unwrap();
        errors.push(doc! { "index": index, "code": failure.code, "errmsg": failure.message });
        if ordered {
            break;
        }
    }
    Ok(errors)
}

fn finished(mut reply: Document, errors: Vec<Document>) -> Document {
    if !errors.is_empty() {
        reply.insert("writeErrors", errors);
    }
    reply
}

fn count(n: usize) -> i32 {
    i32::try_from(n).expect("a batch is bounded")
}

fn insert(call: &Call<'_>, state: &mut State, ns: &Namespace) -> Result<Document, Failure> {
    state.ensure(ns);
    let session = call.session();
    let mut n = 0;
    let errors = each(call, &list(call, "documents"), |document, _| {
        insert_one(state, session.as_deref(), ns, document)?;
        n += 1;
        Ok(())
    })?;
    Ok(finished(doc! { "n": count(n) }, errors))
}

fn insert_one(
    state: &mut State,
    session: Option<&[u8]>,
    ns: &Namespace,
    document: &Raw,
) -> Result<(), Failure> {
    if document.len() > DOCUMENT_BYTES_MAX {
        let n = document.len();
        let message = format!(
            "object to insert too large. size in bytes: {n}, max size: {DOCUMENT_BYTES_MAX}"
        );
        return Err(Failure::new(2, "BadValue", message));
    }
    let (id, document) = match field(document, "_id") {
        Some(id) => (id, document.clone()),
        None => {
            let parsed =
                parse(document).ok_or_else(|| Failure::new(22, "InvalidBSON", "broken"))?;
            let (id, stored) = with_id(parsed);
            (id, raw(&stored))
        }
    };
    if matches!(id, Bson::Array(_) | Bson::RegularExpression(_) | Bson::Undefined) {
        return Err(Failure::new(53, "InvalidIdField", "The '_id' value cannot be of this type"));
    }
    if state.document(session, ns, &id).is_some() {
        let message = format!(
            "E11000 duplicate key error collection: {} index: _id_ dup key: {{ _id: {id} }}",
            ns.full()
        );
        return Err(Failure::new(11000, "DuplicateKey", message));
    }
    let change = state.change(ns, Op::Insert { id, after: document });
    state.put(session, change)
}

/// Documents that a filter finds, at most so many.
fn targets(
    state: &State,
    session: Option<&[u8]>,
    ns: &Namespace,
    filter: &Document,
    limit: usize,
) -> Result<Vec<(Bson, Raw)>, Failure> {
    let exact = filter.get("_id").filter(|id| match id {
        Bson::Document(d) => !d.keys().any(|name| name.starts_with('$')),
        Bson::RegularExpression(_) => false,
        _ => true,
    });
    let candidates = match exact {
        Some(id) => {
            let found = state.document(session, ns, id);
            found.into_iter().map(|raw| (id.clone(), raw)).collect()
        }
        None => {
            let all = state.documents(session, ns).into_iter();
            all.map(|(Key(id), raw)| (id, raw)).collect::<Vec<_>>()
        }
    };
    let mut found = vec![];
    for (id, candidate) in candidates {
        let fits = match (exact, filter.len()) {
            (Some(_), 1) | (None, 0) => true,
            _ => query::matches(&parse(&candidate).unwrap_or_default(), filter)?,
        };
        if fits {
            // The stored form: `1` finds `1.0`, and the log names what is stored.
            let id = field(&candidate, "_id").unwrap_or(id);
            found.push((id, candidate));
            if found.len() == limit {
                break;
            }
        }
    }
    Ok(found)
}

struct Outcome {
    matched: usize,
    modified: usize,
    upserted: Option<Bson>,
    before: Option<Document>,
    after: Option<Document>,
}

struct Wish<'a> {
    filter: &'a Document,
    update: &'a Bson,
    multi: bool,
    upsert: bool,
    images: bool,
}

fn modify(
    call: &Call<'_>,
    state: &mut State,
    ns: &Namespace,
    wish: &Wish<'_>,
) -> Result<Outcome, Failure> {
    let session = call.session();
    let wire = state.options.wire;
    let limit = if wish.multi { usize::MAX } else { 1 };
    let found = targets(state, session.as_deref(), ns, wish.filter, limit)?;
    let mut outcome =
        Outcome { matched: found.len(), modified: 0, upserted: None, before: None, after: None };
    for (id, before) in &found {
        let parsed = parse(before)
            .ok_or_else(|| Failure::new(22, "InvalidBSON", "the document cannot be updated"))?;
        let (op, after) = match apply(&parsed, wish.update, wire, false)? {
            Updated::Nothing => (None, parsed.clone()),
            Updated::Delta(after, delta) => {
                let (id, before) = (id.clone(), before.clone());
                (Some(Op::Update { id, before, after: raw(&after), delta }), after)
            }
            Updated::Replacement(after) => {
                let (id, before) = (id.clone(), before.clone());
                (Some(Op::Replace { id, before, after: raw(&after) }), after)
            }
        };
        if let Some(op) = op {
            if wish.images {
                state.noop();
            }
            let change = state.change(ns, op);
            state.put(session.as_deref(), change)?;
            outcome.modified += 1;
        }
        (outcome.before, outcome.after) = (Some(parsed), Some(after));
    }
    if found.is_empty() && wish.upsert {
        let start: Document = wish
            .filter
            .iter()
            .filter(|(name, value)| !name.starts_with('$') && !matches!(value, Bson::Document(_)))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let made = match apply(&start, wish.update, wire, true)? {
            Updated::Nothing => start,
            Updated::Delta(after, _) | Updated::Replacement(after) => after,
        };
        let (id, stored) = with_id(made);
        state.ensure(ns);
        insert_one(state, session.as_deref(), ns, &raw(&stored))?;
        outcome.upserted = Some(id);
        outcome.after = Some(stored);
    }
    Ok(outcome)
}

fn update(call: &Call<'_>, state: &mut State, ns: &Namespace) -> Result<Document, Failure> {
    let (mut matched, mut modified, mut upserted) = (0, 0, vec![]);
    let errors = each(call, &list(call, "updates"), |part, index| {
        let part = parse(part).ok_or_else(|| Failure::new(22, "InvalidBSON", "broken"))?;
        let filter = part.get_document("q").cloned().unwrap_or_default();
        let wish = Wish {
            filter: &filter,
            update: part.get("u").unwrap_or(&Bson::Null),
            multi: part.get_bool("multi").unwrap_or(false),
            upsert: part.get_bool("upsert").unwrap_or(false),
            images: false,
        };
        let outcome = modify(call, state, ns, &wish)?;
        matched += outcome.matched;
        modified += outcome.modified;
        if let Some(id) = outcome.upserted {
            matched += 1;
            upserted.push(doc! { "index": count(index), "_id": id });
        }
        Ok(())
    })?;
    let mut reply = doc! { "n": count(matched), "nModified": count(modified) };
    if !upserted.is_empty() {
        reply.insert("upserted", upserted);
    }
    Ok(finished(reply, errors))
}

fn delete(call: &Call<'_>, state: &mut State, ns: &Namespace) -> Result<Document, Failure> {
    let session = call.session();
    let mut n = 0;
    let errors = each(call, &list(call, "deletes"), |part, _| {
        let part = parse(part).ok_or_else(|| Failure::new(22, "InvalidBSON", "broken"))?;
        let filter = part.get_document("q").cloned().unwrap_or_default();
        let one = part.get("limit").and_then(integer) == Some(1);
        let limit = if one { 1 } else { usize::MAX };
        for (id, before) in targets(state, session.as_deref(), ns, &filter, limit)? {
            let change = state.change(ns, Op::Delete { id, before });
            state.put(session.as_deref(), change)?;
            n += 1;
        }
        Ok(())
    })?;
    Ok(finished(doc! { "n": count(n) }, errors))
}

fn find_and_modify(
    call: &Call<'_>,
    state: &mut State,
    ns: &Namespace,
    retryable: bool,
) -> Result<Document, Failure> {
    let command = &call.request.command;
    let filter = command.get_document("query").cloned().unwrap_or_default();
    if command.get_bool("remove").ok() == Some(true) {
        let session = call.session();
        let found = targets(state, session.as_deref(), ns, &filter, 1)?;
        let n = count(found.len());
        let mut value = Bson::Null;
        for (id, before) in found {
            value = parse(&before).map_or(Bson::Null, Bson::Document);
            let change = state.change(ns, Op::Delete { id, before });
            state.put(session.as_deref(), change)?;
        }
        return Ok(doc! { "lastErrorObject": { "n": n }, "value": value });
    }
    let wish = Wish {
        filter: &filter,
        update: command.get("update").unwrap_or(&Bson::Null),
        multi: false,
        upsert: command.get_bool("upsert").unwrap_or(false),
        // 4.4 writes the image for a retry into the log, before the update (recorded as a gap).
        images: retryable && state.options.wire < 13,
    };
    let outcome = modify(call, state, ns, &wish)?;
    let new = command.get_bool("new").unwrap_or(false);
    let value = if new { outcome.after } else { outcome.before };
    let mut last = doc! { "n": 1, "updatedExisting": outcome.matched > 0 };
    if let Some(id) = outcome.upserted {
        last.insert("upserted", id);
    }
    Ok(doc! { "lastErrorObject": last, "value": value.map_or(Bson::Null, Bson::Document) })
}
