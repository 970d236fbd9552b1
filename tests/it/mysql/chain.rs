//! Every change of every key in order: each begins with the row that the one before it left behind.
//!
//! A full row image makes it checkable without knowing what was written: `before` of a change is
//! `after` of the last one. What comes again is known by its id and has to come as it came before:
//! a part of the same sequence, up to its end, before anything new.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::kinds::{Kind, of_column};
use crate::support::fold::Event;

type Row = Map<String, Value>;

/// The changes of one key, in the order in which they came first.
#[derive(Default)]
struct History {
    known: HashMap<String, usize>,
    /// The row as the last change left it.
    row: Option<Row>,
    /// How many changes of the present reading have come.
    at: usize,
}

#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Chained {
    pub(super) n_keys: usize,
    pub(super) n_changes: usize,
    pub(super) n_repeated: usize,
}

/// Panics at the first change that does not follow.
pub(super) fn check(events: &[Event]) -> Chained {
    let mut topics: BTreeMap<&str, BTreeMap<String, History>> = BTreeMap::new();
    let mut truncations = BTreeSet::new();
    let mut chained = Chained::default();
    // A copy that takes a table's place leaves its own name without a word, with all its rows.
    for event in events.iter().filter(|event| !event.topic.ends_with("_new")) {
        let keys = topics.entry(&event.topic).or_default();
        let id = event.id.as_deref().expect("every record has an id");
        match (event.op(), &event.key) {
            ("tombstone", _) => {}
            ("t", _) => {
                // One that comes again says nothing to a key that was new after it.
                let is_new = truncations.insert(id);
                keys.values_mut().for_each(|history| history.truncated(id, is_new));
            }
            (_, Some(key)) => {
                let repeated = keys.entry(key.to_string()).or_default().take(id, event);
                chained.n_repeated += usize::from(repeated);
                chained.n_changes += usize::from(!repeated);
            }
            (op, None) => panic!("{op} without a key: {event:?}"),
        }
    }
    chained.n_keys = topics.values().map(BTreeMap::len).sum();
    chained
}

impl History {
    /// Whether it came before.
    fn take(&mut self, id: &str, event: &Event) -> bool {
        if let Some(&at) = self.known.get(id) {
            assert!(at <= self.at, "changes are left out before what comes again: {event:?}");
            self.at = at + 1;
            return true;
        }
        self.ends_what_comes_again(event);
        let value = event.value.as_ref().expect("a change has a value");
        let row = |name: &str| value[name].as_object().cloned();
        let before = match event.op() {
            // A snapshot shows the row, whatever was known of it.
            "r" => None,
            "c" => {
                assert!(self.row.is_none(), "a row is made twice: {event:?}, was {:?}", self.row);
                None
            }
            _ => Some(row("before").expect("the row image is full")),
        };
        if let Some(before) = before {
            let known = self.row.as_ref().unwrap_or_else(|| panic!("of no row: {event:?}"));
            for (name, value) in &before {
                let same = known.get(name).is_none_or(|known| is_same(name, known, value));
                assert!(same, "`{name}` was {:?}: {event:?}", known.get(name));
            }
        }
        self.row = row("after");
        self.push(id);
        false
    }

    fn truncated(&mut self, id: &str, is_new: bool) {
        match self.known.get(id) {
            Some(&at) => self.at = at + 1,
            None if is_new => {
                self.row = None;
                self.push(id);
            }
            None => {}
        }
    }

    fn ends_what_comes_again(&self, event: &Event) {
        let n = self.known.len();
        assert_eq!(self.at, n, "something new before the end of what comes again: {event:?}");
    }

    fn push(&mut self, id: &str) {
        self.known.insert(id.to_owned(), self.known.len());
        self.at = self.known.len();
    }
}

/// In another form, where the snapshot has the server's (JSON).
fn is_same(name: &str, known: &Value, found: &Value) -> bool {
    let is_random = name.starts_with(['c', 'x']);
    known == found
        || is_random
            && match of_column(name) {
                // Named by the catalogue's *now*, which an altered column is no more in.
                Kind::Uuid | Kind::Inet { .. } => name.starts_with('x'),
                kind => kind.of_event(known) == kind.of_event(found),
            }
}
