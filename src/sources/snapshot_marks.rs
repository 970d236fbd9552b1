//! Which row of a snapshot is the first or the last, of its table and of all.
//!
//! Debezium marks them, and the last is known only afterwards. So a source holds back the latest
//! row of each table until the next one comes or the table ends. Debezium reads tables in the order
//! of their names: the last row of the last one that has rows is the snapshot's last, and is held
//! until a later table shows a row or the snapshot ends. Pure: the rows themselves stay with the
//! source.

/// Tables are known by their index in the order in which the session numbers them.
#[derive(Debug)]
pub(crate) struct SnapshotMarks {
    tables: Vec<TableMarks>,
    /// The first table by name.
    first: Option<usize>,
    /// The last table by name that has shown a row.
    last: Option<usize>,
}

#[derive(Debug)]
struct TableMarks {
    /// Its place in the order of names.
    rank: usize,
    n_emitted: u64,
    ended: bool,
}

/// Whether a row is known to be the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsLast {
    No,
    OfTable,
    OfSnapshot,
}

impl SnapshotMarks {
    /// Of tables with these names.
    pub(crate) fn new<N: Ord>(names: &[N]) -> Self {
        let mut by_name: Vec<usize> = (0..names.len()).collect();
        by_name.sort_by_key(|&index| &names[index]);
        let mut tables: Vec<TableMarks> =
            names.iter().map(|_| TableMarks { rank: 0, n_emitted: 0, ended: false }).collect();
        for (rank, &index) in by_name.iter().enumerate() {
            tables[index].rank = rank;
        }
        Self { tables, first: by_name.first().copied(), last: None }
    }

    /// The index of a table that the session calls by this number.
    pub(crate) fn index(&self, number: u32) -> Option<usize> {
        usize::try_from(number).ok().filter(|&index| index < self.tables.len())
    }

    pub(crate) fn is_ended(&self, index: usize) -> bool {
        self.tables[index].ended
    }

    /// A table shows its first row. If it is behind the last one by name, that one's last row is
    /// not the snapshot's: gives the table whose held row can go.
    pub(crate) fn begun(&mut self, index: usize) -> Option<usize> {
        let rank = |index: usize| self.tables[index].rank;
        if self.last.is_some_and(|last| rank(index) < rank(last)) {
            return None;
        }
        self.last.replace(index).filter(|&last| self.tables[last].ended)
    }

    /// A table ends; says whether its held row, if it has one, can go.
    pub(crate) fn ended(&mut self, index: usize) -> bool {
        self.tables[index].ended = true;
        self.last != Some(index)
    }

    /// The snapshot ends: gives the table whose held row is the last of all.
    ///
    /// # Errors
    /// When a table did not end.
    pub(crate) fn end(&self) -> Result<Option<usize>, &'static str> {
        match self.tables.iter().all(|table| table.ended) {
            true => Ok(self.last),
            false => Err("it ended before all of its tables"),
        }
    }

    /// A row goes: its mark, and its number within its table from 0. As Debezium's
    /// `setSnapshotMarker` decides, the first row of the first table by name is `first` even where
    /// it is the table's last.
    pub(crate) fn row(&mut self, index: usize, is_last: IsLast) -> (&'static str, u64) {
        let is_first_table = self.first == Some(index);
        let table = &mut self.tables[index];
        let ordinal = table.n_emitted;
        table.n_emitted += 1;
        let mark = match (is_first_table, ordinal, is_last) {
            (_, _, IsLast::OfSnapshot) => "last",
            (true, 0, _) => "first",
            (_, _, IsLast::OfTable) => "last_in_data_collection",
            (_, 0, IsLast::No) => "first_in_data_collection",
            (_, _, IsLast::No) => "true",
        };
        (mark, ordinal)
    }
}
