//! The tables that the log has described so far, and their plans.
//!
//! The number in a table map is good for the statement's rows and no longer: a server gives new
//! ones after a restart, a FLUSH or a DDL, and may give an old one to another table. So numbers
//! are forgotten with each transaction, and plans are kept by name. A plan is used again only
//! where a map is the same byte for byte, and no DDL came between.

use std::collections::HashMap;

use crate::sources::mysql::binlog::ParseError;
use crate::sources::mysql::binlog::table_map::{name_bytes, split_id};
use crate::sources::mysql::plan::Plan;
use crate::sources::mysql::row_count::RowCounter;

#[derive(Debug)]
pub(crate) enum Relation {
    Captured(Plan),
    /// Not asked for: its rows are counted and passed over.
    Filtered(RowCounter),
}

#[derive(Debug)]
struct Entry {
    /// The body of the map, behind its number.
    map: Vec<u8>,
    relation: Relation,
    /// A statement may have changed what the catalogue says of it.
    stale: bool,
}

#[derive(Debug, Default)]
pub(crate) struct TableMaps {
    all: Vec<Entry>,
    /// By the bytes of both names, as they stand in a map.
    by_name: HashMap<Box<[u8]>, usize>,
    by_id: HashMap<u64, usize>,
    last: Option<(u64, usize)>,
}

impl TableMaps {
    /// Follows a map; `make` is asked for what is not known yet.
    pub(crate) fn map<E: From<ParseError>>(
        &mut self,
        body: &[u8],
        make: impl FnOnce(&[u8]) -> Result<Relation, E>,
    ) -> Result<(), E> {
        let (id, map) = split_id(body)?;
        let name = name_bytes(map)?;
        let known = self.by_name.get(name).copied();
        let index = match known {
            Some(index) if !self.all[index].stale && self.all[index].map == map => index,
            Some(index) => {
                self.all[index] = Entry { map: map.to_vec(), relation: make(map)?, stale: false };
                index
            }
            None => {
                let relation = make(map)?;
                self.all.push(Entry { map: map.to_vec(), relation, stale: false });
                self.by_name.insert(name.into(), self.all.len() - 1);
                self.all.len() - 1
            }
        };
        self.by_id.insert(id, index);
        self.last = Some((id, index));
        Ok(())
    }

    #[inline]
    pub(crate) fn get(&mut self, id: u64) -> Option<&Relation> {
        let index = match self.last {
            Some((last, index)) if last == id => index,
            _ => *self.by_id.get(&id)?,
        };
        self.last = Some((id, index));
        self.all.get(index).map(|entry| &entry.relation)
    }

    /// A transaction ended.
    pub(crate) fn forget_numbers(&mut self) {
        self.by_id.clear();
        self.last = None;
    }

    /// A statement may have changed any table.
    pub(crate) fn mark_stale(&mut self) {
        self.all.iter_mut().for_each(|entry| entry.stale = true);
    }
}
