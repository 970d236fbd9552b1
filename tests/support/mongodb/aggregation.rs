//! Aggregations over documents, the few that a capture or a test asks for.

use mongodb::bson::{Bson, Document, Timestamp, doc};

use super::commands::stats;
use super::failure::Failure;
use super::oplog::{Namespace, Op};
use super::order::{Key, integer};
use super::query;
use super::raw::{Raw, parse, raw};
use super::state::State;
use super::{cursor, store, update};

pub(crate) fn run(
    state: &State,
    session: Option<&[u8]>,
    ns: &Namespace,
    at: Option<Timestamp>,
    pipeline: &[Document],
) -> Result<Vec<Document>, Failure> {
    let documents = || -> Vec<Document> {
        let all: Vec<Raw> = match (at.or(state.held), state.store.get(ns)) {
            (Some(time), Some(collection)) => {
                collection.all(time).map(|(_, r)| r.clone()).collect()
            }
            _ => state.documents(session, ns).into_iter().map(|(_, r)| r).collect(),
        };
        all.iter().filter_map(|r| parse(r)).collect()
    };
    let mut found: Option<Vec<Document>> = None;
    for stage in pipeline {
        let Some((name, argument)) = stage.iter().next() else { continue };
        if name == "$collStats" {
            found = Some(vec![coll_stats(state, ns, argument)]);
            continue;
        }
        let input = found.take().unwrap_or_else(documents);
        found = Some(apply(input, name, argument)?);
    }
    Ok(found.unwrap_or_else(documents))
}

/// `$out`: documents go to a collection that is made for it, which then takes the place of the
/// other (`src/mongo/db/pipeline/document_source_out.cpp`).
pub(crate) fn out(
    state: &mut State,
    found: Vec<Document>,
    from: &Namespace,
    to: &Bson,
) -> Result<(), Failure> {
    let to = match to {
        Bson::String(name) => Namespace::new(&from.database, name),
        Bson::Document(to) => {
            let part = |name| to.get_str(name).unwrap_or_default();
            Namespace::new(part("db"), part("coll"))
        }
        _ => return Err(Failure::new(16990, "Location16990", "$out only supports a string")),
    };
    let name = format!("tmp.agg_out.{}", mongodb::bson::Uuid::new());
    let made = Namespace::new(&to.database, &name);
    state.ensure(&made);
    for document in found {
        let (id, stored) = store::with_id(document);
        let change = state.change(&made, Op::Insert { id, after: raw(&stored) });
        state.log(vec![change], None);
    }
    let change = state.change(&made, Op::Rename { to });
    state.log(vec![change], None);
    Ok(())
}

fn coll_stats(state: &State, ns: &Namespace, argument: &Bson) -> Document {
    let mut found = doc! { "ns": ns.full(), "host": &state.address };
    let stats = stats(state, ns);
    let asked = argument.as_document().cloned().unwrap_or_default();
    if asked.contains_key("count") {
        found.insert("count", stats.get("count").cloned().unwrap_or(Bson::Null));
    }
    if asked.contains_key("storageStats") {
        found.insert("storageStats", stats);
    }
    found
}

fn size(argument: &Bson) -> usize {
    integer(argument).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
}

fn apply(input: Vec<Document>, name: &str, argument: &Bson) -> Result<Vec<Document>, Failure> {
    let wanted = argument.as_document().cloned().unwrap_or_default();
    Ok(match name {
        "$match" => {
            let mut kept = vec![];
            for one in input {
                if query::matches(&one, &wanted)? {
                    kept.push(one);
                }
            }
            kept
        }
        "$sort" => {
            let mut all: Vec<Raw> = input.iter().map(raw).collect();
            cursor::sort(&mut all, &wanted);
            all.iter().filter_map(|r| parse(r)).collect()
        }
        "$skip" => input.into_iter().skip(size(argument)).collect(),
        "$limit" => input.into_iter().take(size(argument)).collect(),
        "$project" => input.into_iter().map(|one| cursor::project(one, &wanted)).collect(),
        "$count" => {
            let n = i32::try_from(input.len()).unwrap();
            let name = argument.as_str().unwrap_or("count");
            if n == 0 { vec![] } else { vec![doc! { name: n }] }
        }
        "$sample" => {
            let n = wanted.get("size").map_or(usize::MAX, size);
            let mut all: Vec<(u64, Document)> =
                input.into_iter().map(|one| (rand::random(), one)).collect();
            all.sort_by_key(|(order, _)| *order);
            all.into_iter().take(n).map(|(_, one)| one).collect()
        }
        "$group" => group(input, &wanted)?,
        "$bucketAuto" => buckets(input, &wanted)?,
        _ => {
            let each = input.into_iter().map(|one| update::run_stage(one, name, argument));
            each.collect::<Result<_, _>>()?
        }
    })
}

fn group(input: Vec<Document>, wanted: &Document) -> Result<Vec<Document>, Failure> {
    let mut groups: Vec<(Bson, Document)> = vec![];
    for one in input {
        let id = query::evaluate(&one, wanted.get("_id").unwrap_or(&Bson::Null))?;
        let at = match groups.iter().position(|(known, _)| Key(known.clone()) == Key(id.clone())) {
            Some(at) => at,
            None => {
                groups.push((id, Document::new()));
                groups.len() - 1
            }
        };
        for (name, accumulator) in wanted.iter().filter(|(name, _)| *name != "_id") {
            let (how, what) = accumulator
                .as_document()
                .and_then(|d| d.iter().next())
                .ok_or_else(|| Failure::bad_value("an accumulator is an object"))?;
            let value = query::evaluate(&one, what)?;
            let made = &mut groups[at].1;
            let old = made.get(name).cloned();
            let new = match (how.as_str(), old) {
                ("$sum", old) => update::add(&[old.unwrap_or(Bson::Int32(0)), value])?,
                ("$min", Some(old)) => Key(old).min(Key(value)).0,
                ("$max", Some(old)) => Key(old).max(Key(value)).0,
                ("$min" | "$max" | "$first", None) => value,
                ("$first", Some(old)) => old,
                (other, _) => {
                    return Err(Failure::new(
                        15952,
                        "Location15952",
                        format!("unknown group operator '{other}'"),
                    ));
                }
            };
            made.insert(name, new);
        }
    }
    let shown = groups.into_iter().map(|(id, made)| {
        let mut all = doc! { "_id": id };
        all.extend(made);
        all
    });
    Ok(shown.collect())
}

fn buckets(input: Vec<Document>, wanted: &Document) -> Result<Vec<Document>, Failure> {
    let by = wanted.get("groupBy").unwrap_or(&Bson::Null);
    let mut keys: Vec<Key> =
        input.iter().map(|one| query::evaluate(one, by).map(Key)).collect::<Result<_, _>>()?;
    keys.sort();
    let n = wanted.get("buckets").map_or(1, size).max(1);
    let each = keys.len().div_ceil(n).max(1);
    let starts: Vec<&[Key]> = keys.chunks(each).collect();
    let made = starts.iter().enumerate().map(|(at, chunk)| {
        let next = starts.get(at + 1).and_then(|c| c.first());
        let max = next.or(chunk.last()).map_or(Bson::Null, |k| k.0.clone());
        let count = i32::try_from(chunk.len()).unwrap();
        doc! { "_id": { "min": chunk[0].0.clone(), "max": max }, "count": count }
    });
    Ok(made.collect())
}
