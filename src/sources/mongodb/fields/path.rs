//! How the path of a rule and a dotted name meet: `a.0.b` in an update's description is the `b` of
//! the first element of `a`, and the rule `a.b` is about it.

use super::{Becomes, Rule};

/// Where a name stands, seen from a rule's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Elsewhere,
    /// At the end of the path or below it: the rule is about all of it.
    AtOrBelow,
    /// Above it, after so many names of the path: the rule is about something within.
    Above(usize),
}

pub(crate) fn place(name: &str, path: &[String]) -> Place {
    let mut path_names = path.iter();
    let mut n_met = 0;
    for part in significant(name) {
        match path_names.next() {
            None => return Place::AtOrBelow,
            Some(wanted) if wanted == part => n_met += 1,
            Some(_) => return Place::Elsewhere,
        }
    }
    if n_met == path.len() { Place::AtOrBelow } else { Place::Above(n_met) }
}

/// The parts of a name without the places in arrays. Of a name with two places in a row Debezium
/// takes every part as it is: arrays of arrays are out of its reach.
fn significant(name: &str) -> impl Iterator<Item = &str> {
    let skips = name.contains('.') && !has_nested_places(name);
    name.split('.').filter(move |part| !skips || !is_place(part))
}

fn has_nested_places(name: &str) -> bool {
    name.split('.').zip(name.split('.').skip(1)).any(|(a, b)| is_place(a) && is_place(b))
}

fn is_place(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Appends the name that a rule gives to a name at or below its path.
pub(crate) fn write_renamed(name: &str, rule: &Rule, out: &mut impl Extend<u8>) {
    let mut n_names = 0;
    for (index, part) in name.split('.').enumerate() {
        if index > 0 {
            out.extend(*b".");
        }
        let mut part = part;
        if !is_place(part) {
            n_names += 1;
            if let Becomes::Named(new) = &rule.becomes
                && n_names == rule.path.len()
            {
                part = new;
            }
        }
        out.extend(part.bytes());
    }
}
