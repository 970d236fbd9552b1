//! Changes to a part of a document (`sql-common/json_diff.cc`).
//!
//! Only the containers on the way to a change are opened; all else stays as it is stored.

use std::cmp::Ordering;
use std::fmt::Write;

use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use super::JsonForm;
use super::binary::{Budget, Stored};
use super::text;
use crate::sources::mysql::binlog::Reader;
use crate::sources::mysql::decode_error::ValueError;

const MALFORMED: ValueError = ValueError::JsonDiff("it is malformed");
const NO_PLACE: ValueError = ValueError::JsonDiff("its path leads nowhere in the old document");

/// A document with changes in it.
#[derive(Debug)]
pub(super) enum Node<'a> {
    Stored(Stored<'a>),
    Array(BumpVec<'a, Node<'a>>),
    /// In the order of the binary form: shorter keys first, then by bytes.
    Object(BumpVec<'a, (&'a str, Node<'a>)>),
}

enum Leg<'a> {
    Member(&'a str),
    Cell(usize),
}

/// `enum_json_diff_operation`
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Replace,
    Insert,
    Remove,
}

pub(super) fn apply<'a>(
    document: &'a [u8],
    diffs: &'a [u8],
    budget: &mut Budget,
    arena: &'a Bump,
) -> Result<Node<'a>, ValueError> {
    let mut root = Node::Stored(Stored::document(document)?);
    let mut reader = Reader::new(diffs);
    let short = |_| MALFORMED;
    while !reader.is_empty() {
        let operation = match reader.u8().map_err(short)? {
            0 => Operation::Replace,
            1 => Operation::Insert,
            2 => Operation::Remove,
            _ => return Err(MALFORMED),
        };
        let path = reader.packed_bytes().map_err(short)?;
        let legs = legs(path, arena)?;
        let value = if operation == Operation::Remove {
            None
        } else {
            let bytes = reader.packed_bytes().map_err(short)?;
            Some(Node::Stored(Stored::document(bytes)?))
        };
        apply_one(&mut root, operation, &legs, value, &mut Opener { budget, arena })?;
    }
    Ok(root)
}

fn apply_one<'a>(
    root: &mut Node<'a>,
    operation: Operation,
    legs: &[Leg<'a>],
    value: Option<Node<'a>>,
    opener: &mut Opener<'_, 'a>,
) -> Result<(), ValueError> {
    let Some((last, way)) = legs.split_last() else {
        return match (operation, value) {
            (Operation::Replace, Some(value)) => {
                *root = value;
                Ok(())
            }
            _ => Err(NO_PLACE),
        };
    };
    let mut parent = root;
    for leg in way {
        parent = opener.child(parent, leg)?;
    }
    opener.open(parent)?;
    match (operation, parent, last, value) {
        (Operation::Replace, parent, leg, Some(value)) => {
            *opener.child(parent, leg)? = value;
        }
        (Operation::Insert, Node::Array(items), Leg::Cell(index), Some(value)) => {
            items.insert((*index).min(items.len()), value);
        }
        (Operation::Insert, Node::Object(members), Leg::Member(key), Some(value)) => {
            match members.binary_search_by(|(other, _)| by_length(other, key)) {
                Ok(_) => return Err(NO_PLACE),
                Err(index) => members.insert(index, (key, value)),
            }
        }
        (Operation::Remove, Node::Array(items), Leg::Cell(index), None) if *index < items.len() => {
            items.remove(*index);
        }
        (Operation::Remove, Node::Object(members), Leg::Member(key), None) => {
            let index = members.iter().position(|(other, _)| other == key).ok_or(NO_PLACE)?;
            members.remove(index);
        }
        _ => return Err(NO_PLACE),
    }
    Ok(())
}

/// `Json_key_comparator`
fn by_length(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Turns stored containers into such that can be changed.
struct Opener<'b, 'a> {
    budget: &'b mut Budget,
    arena: &'a Bump,
}

impl<'a> Opener<'_, 'a> {
    fn open(&mut self, node: &mut Node<'a>) -> Result<(), ValueError> {
        let Node::Stored(stored) = node else { return Ok(()) };
        let Some(container) = stored.container()? else { return Err(NO_PLACE) };
        self.budget.spend(container.count)?;
        *node = if container.object {
            let mut members = BumpVec::with_capacity_in(container.count + 1, self.arena);
            for index in 0..container.count {
                members.push((container.key(index)?, Node::Stored(container.value(index)?)));
            }
            Node::Object(members)
        } else {
            let mut items = BumpVec::with_capacity_in(container.count + 1, self.arena);
            for index in 0..container.count {
                items.push(Node::Stored(container.value(index)?));
            }
            Node::Array(items)
        };
        Ok(())
    }

    fn child<'n>(
        &mut self,
        node: &'n mut Node<'a>,
        leg: &Leg<'a>,
    ) -> Result<&'n mut Node<'a>, ValueError> {
        self.open(node)?;
        let found = match (node, leg) {
            (Node::Array(items), Leg::Cell(index)) => items.get_mut(*index),
            (Node::Object(members), Leg::Member(key)) => {
                members.iter_mut().find(|(other, _)| other == key).map(|(_, node)| node)
            }
            _ => None,
        };
        found.ok_or(NO_PLACE)
    }
}

/// `$.member."another member"[3]`, as `Json_path::to_string` writes it.
fn legs<'a>(path: &'a [u8], arena: &'a Bump) -> Result<BumpVec<'a, Leg<'a>>, ValueError> {
    let path = std::str::from_utf8(path).map_err(|_| MALFORMED)?;
    let mut legs = BumpVec::new_in(arena);
    let mut rest = path.strip_prefix('$').ok_or(MALFORMED)?;
    while !rest.is_empty() {
        if let Some(cell) = rest.strip_prefix('[') {
            let (index, after) = cell.split_once(']').ok_or(MALFORMED)?;
            legs.push(Leg::Cell(index.parse().map_err(|_| MALFORMED)?));
            rest = after;
        } else if let Some(quoted) = rest.strip_prefix(".\"") {
            let (name, after) = unquoted(quoted, arena)?;
            legs.push(Leg::Member(name));
            rest = after;
        } else {
            let name = rest.strip_prefix('.').ok_or(MALFORMED)?;
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, after) = name.split_at(end);
            legs.push(Leg::Member(name));
            rest = after;
        }
    }
    Ok(legs)
}

/// A JSON string without its first quote, and what follows its last.
fn unquoted<'a>(text: &'a str, arena: &'a Bump) -> Result<(&'a str, &'a str), ValueError> {
    let mut name = BumpString::new_in(arena);
    let mut rest = text.chars();
    loop {
        match rest.next().ok_or(MALFORMED)? {
            '"' => return Ok((name.into_bump_str(), rest.as_str())),
            '\\' => name.push(match rest.next().ok_or(MALFORMED)? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                // The server escapes control characters only, which are one unit of UTF-16.
                'u' => {
                    let mut code = 0;
                    for _ in 0..4 {
                        let digit = rest.next().and_then(|c| c.to_digit(16)).ok_or(MALFORMED)?;
                        code = code << 4 | digit;
                    }
                    char::from_u32(code).ok_or(MALFORMED)?
                }
                other => other,
            }),
            other => name.push(other),
        }
    }
}

pub(super) fn write(
    node: &Node<'_>,
    form: JsonForm,
    budget: &mut Budget,
    out: &mut dyn Write,
) -> Result<(), ValueError> {
    let put = |out: &mut dyn Write, text| out.write_str(text).map_err(|_| MALFORMED);
    if let Node::Stored(stored) = node {
        return text::write_stored(*stored, form, budget, out);
    }
    budget.enter()?;
    match node {
        Node::Stored(_) => {}
        Node::Array(items) => {
            put(out, "[")?;
            for (index, item) in items.iter().enumerate() {
                text::separate(index, form, out)?;
                write(item, form, budget, out)?;
            }
            put(out, "]")?;
        }
        Node::Object(members) => {
            put(out, "{")?;
            for (index, (key, value)) in members.iter().enumerate() {
                text::separate(index, form, out)?;
                text::write_key(key, form, budget, out)?;
                write(value, form, budget, out)?;
            }
            put(out, "}")?;
        }
    }
    budget.leave();
    Ok(())
}
