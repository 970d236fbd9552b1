//! The relations that the stream has described so far.

use std::collections::HashMap;

use crate::sources::postgres::table::Described;

#[derive(Debug)]
pub(crate) enum Relation {
    Captured(Described),
    /// Not asked for: its rows are counted and skipped.
    Filtered,
}

/// Relations by oid; rows come in runs of one relation, so the last one is looked at first.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    by_oid: HashMap<u32, usize>,
    all: Vec<Relation>,
    last: Option<(u32, usize)>,
}

impl Relations {
    pub(crate) fn insert(&mut self, oid: u32, relation: Relation) {
        if let Some(&index) = self.by_oid.get(&oid) {
            self.all[index] = relation;
        } else {
            self.by_oid.insert(oid, self.all.len());
            self.all.push(relation);
        }
    }

    #[inline]
    pub(crate) fn get(&mut self, oid: u32) -> Option<&mut Relation> {
        let index = match self.last {
            Some((last, index)) if last == oid => index,
            _ => *self.by_oid.get(&oid)?,
        };
        self.last = Some((oid, index));
        self.all.get_mut(index)
    }
}
