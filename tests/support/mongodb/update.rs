//! Update operators and pipelines, and what they leave in the log.
//!
//! The log of a classic update names each changed path, in the order of the paths; array operators
//! that do more than append log the whole array (`src/mongo/db/update/`). A pipeline is logged as a
//! replacement by 4.4, and as the difference of both documents later
//! (`src/mongo/db/update/document_diff_calculator.cpp`).

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document};

use super::failure::Failure;
use super::oplog::Delta;
use super::order::{compare, double, integer};
use super::query;

pub(crate) enum Updated {
    Nothing,
    Delta(Document, Delta),
    Replacement(Document),
}

/// Applies an update to a document; `wire` decides how a pipeline is logged.
pub(crate) fn apply(
    before: &Document,
    update: &Bson,
    wire: i32,
    inserting: bool,
) -> Result<Updated, Failure> {
    match update {
        Bson::Array(stages) => pipeline(before, stages, wire),
        Bson::Document(update) if update.keys().next().is_some_and(|k| k.starts_with('$')) => {
            operators(before, update, inserting)
        }
        Bson::Document(replacement) => {
            let mut after = Document::new();
            if let Some(id) = before.get("_id") {
                after.insert("_id", id.clone());
            }
            after.extend(replacement.clone());
            Ok(if same(&after, before) { Updated::Nothing } else { Updated::Replacement(after) })
        }
        _ => Err(Failure::new(9, "FailedToParse", "Update argument must be an object or an array")),
    }
}

/// Byte for byte: a changed type of number is a change.
fn same(a: &Document, b: &Document) -> bool {
    a.to_vec().ok() == b.to_vec().ok()
}

/// What happened to one path.
enum Touched {
    Set(Bson),
    Removed,
}

struct Work {
    after: Document,
    touched: BTreeMap<String, Touched>,
}

impl Work {
    fn set(&mut self, path: &str, value: Bson) -> Result<(), Failure> {
        if read(&self.after, path).is_some_and(|old| identical(old, &value)) {
            return Ok(());
        }
        write(&mut self.after, path, value.clone())?;
        self.touched.insert(path.to_owned(), Touched::Set(value));
        Ok(())
    }

    fn unset(&mut self, path: &str) {
        if remove(&mut self.after, path).is_some() {
            self.touched.insert(path.to_owned(), Touched::Removed);
        }
    }
}

fn identical(a: &Bson, b: &Bson) -> bool {
    a.element_type() == b.element_type() && {
        let (mut x, mut y) = (Document::new(), Document::new());
        x.insert("", a.clone());
        y.insert("", b.clone());
        same(&x, &y)
    }
}

fn operators(before: &Document, update: &Document, inserting: bool) -> Result<Updated, Failure> {
    let mut work = Work { after: before.clone(), touched: BTreeMap::new() };
    for (operator, fields) in update {
        let Bson::Document(fields) = fields else {
            let message =
                format!("Modifiers operate on fields but we found another type: {operator}");
            return Err(Failure::new(9, "FailedToParse", message));
        };
        for (path, argument) in fields {
            if operator == "$setOnInsert" && !inserting {
                continue;
            }
            if path == "_id" && !inserting {
                let message =
                    "Performing an update on the path '_id' would modify the immutable field '_id'";
                return Err(Failure::new(66, "ImmutableField", message));
            }
            operate(&mut work, operator, path, argument)?;
        }
    }
    let mut delta = Delta::default();
    for (path, touched) in work.touched {
        match touched {
            Touched::Set(value) => {
                delta.updated.insert(path, value);
            }
            Touched::Removed => delta.removed.push(path),
        }
    }
    if delta.updated.is_empty() && delta.removed.is_empty() {
        return Ok(Updated::Nothing);
    }
    Ok(Updated::Delta(work.after, delta))
}

fn operate(work: &mut Work, operator: &str, path: &str, argument: &Bson) -> Result<(), Failure> {
    let old = read(&work.after, path).cloned();
    match operator {
        "$set" | "$setOnInsert" => work.set(path, argument.clone()),
        "$unset" => {
            work.unset(path);
            Ok(())
        }
        "$inc" => {
            let old = old.unwrap_or(Bson::Int32(0));
            work.set(path, add(&[old, argument.clone()])?)
        }
        "$min" | "$max" => {
            let wanted = if operator == "$min" {
                std::cmp::Ordering::Less
            } else {
                std::cmp::Ordering::Greater
            };
            if old.is_none_or(|old| compare(argument, &old) == wanted) {
                return work.set(path, argument.clone());
            }
            Ok(())
        }
        "$rename" => {
            let Bson::String(to) = argument else {
                return Err(Failure::bad_value("The 'to' field for $rename must be a string"));
            };
            if let Some(old) = old {
                work.unset(path);
                work.set(to, old)?;
            }
            Ok(())
        }
        "$push" | "$addToSet" | "$pop" | "$pull" => array(work, operator, path, argument),
        _ => Err(Failure::new(9, "FailedToParse", format!("Unknown modifier: {operator}"))),
    }
}

fn array(work: &mut Work, operator: &str, path: &str, argument: &Bson) -> Result<(), Failure> {
    let old = match read(&work.after, path) {
        None if matches!(operator, "$push" | "$addToSet") => None,
        None => return Ok(()),
        Some(Bson::Array(old)) => Some(old.clone()),
        Some(_) => {
            let message = format!("The field '{path}' must be an array but is of another type");
            return Err(Failure::bad_value(message));
        }
    };
    let each = match argument {
        Bson::Document(d) if d.contains_key("$each") => {
            d.get_array("$each").cloned().unwrap_or_default()
        }
        one => vec![one.clone()],
    };
    let mut new = old.clone().unwrap_or_default();
    match operator {
        "$push" => new.extend(each),
        "$addToSet" => {
            for one in each {
                if !new.iter().any(|known| compare(known, &one).is_eq()) {
                    new.push(one);
                }
            }
        }
        "$pop" if integer(argument) == Some(-1) => {
            drop((!new.is_empty()).then(|| new.remove(0)));
        }
        "$pop" => drop(new.pop()),
        _ => new = pulled(new, argument)?,
    }
    let Some(old) = old else { return work.set(path, Bson::Array(new)) };
    if operator == "$push" {
        // Appended elements are logged by their places.
        for (at, value) in new.into_iter().enumerate().skip(old.len()) {
            work.set(&format!("{path}.{at}"), value)?;
        }
        return Ok(());
    }
    work.set(path, Bson::Array(new))
}

fn pulled(all: Vec<Bson>, condition: &Bson) -> Result<Vec<Bson>, Failure> {
    let mut kept = vec![];
    for value in all {
        let goes = match (condition, &value) {
            (Bson::Document(filter), Bson::Document(d)) => query::matches(d, filter)?,
            (Bson::Document(operators), value) if operators.keys().any(|k| k.starts_with('$')) => {
                let (mut one, mut filter) = (Document::new(), Document::new());
                one.insert("v", value.clone());
                filter.insert("v", operators.clone());
                query::matches(&one, &filter)?
            }
            (condition, value) => compare(condition, value).is_eq(),
        };
        if !goes {
            kept.push(value);
        }
    }
    Ok(kept)
}

/// The sum in the narrowest type that holds both.
pub(crate) fn add(values: &[Bson]) -> Result<Bson, Failure> {
    let not_a_number =
        || Failure::new(14, "TypeMismatch", "Cannot apply $inc to a value of non-numeric type");
    if let Some(all) = values.iter().map(integer).collect::<Option<Vec<_>>>() {
        let sum =
            all.iter().try_fold(0_i64, |sum, n| sum.checked_add(*n)).ok_or_else(not_a_number)?;
        let small = values.iter().all(|v| matches!(v, Bson::Int32(_)));
        return Ok(match i32::try_from(sum) {
            Ok(sum) if small => Bson::Int32(sum),
            _ => Bson::Int64(sum),
        });
    }
    let all: Option<Vec<f64>> = values.iter().map(double).collect();
    Ok(Bson::Double(all.ok_or_else(not_a_number)?.iter().sum()))
}

pub(crate) fn read<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    let mut parts = path.split('.');
    let mut value = document.get(parts.next()?)?;
    for part in parts {
        value = match value {
            Bson::Document(inner) => inner.get(part)?,
            Bson::Array(inner) => inner.get(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

fn write(document: &mut Document, path: &str, value: Bson) -> Result<(), Failure> {
    let Some((head, rest)) = path.split_once('.') else {
        document.insert(path, value);
        return Ok(());
    };
    if !document.contains_key(head) {
        document.insert(head, Document::new());
    }
    write_within(document.get_mut(head).expect("it was put there"), rest, value)
}

fn write_within(holder: &mut Bson, path: &str, value: Bson) -> Result<(), Failure> {
    match holder {
        Bson::Document(inner) => write(inner, path, value),
        Bson::Array(inner) => {
            let (index, rest) = path.split_once('.').map_or((path, None), |(i, r)| (i, Some(r)));
            let Ok(index) = index.parse::<usize>() else { return Err(no_field(path)) };
            while inner.len() <= index {
                inner.push(Bson::Null);
            }
            match rest {
                None => inner[index] = value,
                Some(rest) => {
                    if matches!(inner[index], Bson::Null) {
                        inner[index] = Bson::Document(Document::new());
                    }
                    return write_within(&mut inner[index], rest, value);
                }
            }
            Ok(())
        }
        _ => Err(no_field(path)),
    }
}

fn no_field(path: &str) -> Failure {
    Failure::new(28, "PathNotViable", format!("Cannot create field '{path}' in element"))
}

fn remove(document: &mut Document, path: &str) -> Option<Bson> {
    let Some((head, rest)) = path.split_once('.') else { return document.remove(path) };
    let mut holder = document.get_mut(head)?;
    let mut rest = rest;
    loop {
        match (holder, rest.split_once('.')) {
            (Bson::Document(inner), _) => return remove(inner, rest),
            // An array keeps its places: the element becomes null.
            (Bson::Array(inner), None) => {
                let at = inner.get_mut(rest.parse::<usize>().ok()?)?;
                return Some(std::mem::replace(at, Bson::Null));
            }
            (Bson::Array(inner), Some((index, beyond))) => {
                holder = inner.get_mut(index.parse::<usize>().ok()?)?;
                rest = beyond;
            }
            _ => return None,
        }
    }
}

fn pipeline(before: &Document, stages: &[Bson], wire: i32) -> Result<Updated, Failure> {
    let mut after = before.clone();
    for stage in stages {
        let Some((name, argument)) = stage.as_document().and_then(|d| d.iter().next()) else {
            return Err(Failure::new(9, "FailedToParse", "a stage is an object with one field"));
        };
        after = run_stage(after, name, argument)?;
    }
    if same(&after, before) {
        return Ok(Updated::Nothing);
    }
    if wire < 13 {
        return Ok(Updated::Replacement(after));
    }
    let mut delta = Delta::default();
    difference(before, &after, "", &mut delta);
    Ok(Updated::Delta(after, delta))
}

pub(crate) fn run_stage(
    document: Document,
    name: &str,
    argument: &Bson,
) -> Result<Document, Failure> {
    let mut after = document.clone();
    match (name, argument) {
        ("$set" | "$addFields", Bson::Document(fields)) => {
            for (path, expression) in fields {
                let value = query::evaluate(&document, expression)?;
                write(&mut after, path, value)?;
            }
        }
        ("$unset", Bson::String(path)) => drop(remove(&mut after, path)),
        ("$unset", Bson::Array(paths)) => {
            for path in paths.iter().filter_map(Bson::as_str) {
                drop(remove(&mut after, path));
            }
        }
        ("$replaceWith", expression) => {
            if let Bson::Document(new) = query::evaluate(&document, expression)? {
                after = new;
            }
        }
        _ => {
            let message = format!("Unrecognized pipeline stage name: '{name}'");
            return Err(Failure::new(40324, "Location40324", message));
        }
    }
    Ok(after)
}

fn difference(before: &Document, after: &Document, prefix: &str, delta: &mut Delta) {
    let path = |name: &str| format!("{prefix}{name}");
    for name in before.keys().filter(|name| !after.contains_key(name)) {
        delta.removed.push(path(name));
    }
    for (name, new) in after {
        match (before.get(name), new) {
            (Some(old), new) if identical(old, new) => {}
            (Some(Bson::Document(old)), Bson::Document(new)) => {
                difference(old, new, &path(&format!("{name}.")), delta);
            }
            (Some(Bson::Array(old)), Bson::Array(new)) if new.len() <= old.len() => {
                if new.len() < old.len() {
                    delta.truncated.push((path(name), i32::try_from(new.len()).unwrap()));
                }
                for (at, (old, new)) in old.iter().zip(new).enumerate() {
                    if !identical(old, new) {
                        delta.updated.insert(path(&format!("{name}.{at}")), new.clone());
                    }
                }
            }
            (_, new) => {
                delta.updated.insert(path(name), new.clone());
            }
        }
    }
}
