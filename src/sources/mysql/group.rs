//! One transaction of the log, a "group" of events in the servers' words.

use crate::change::TransactionName;
use crate::sources::mysql::done::{Gtid, Novelty, Restart};

/// Why rows of a transaction go where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Handed on as they come: the log holds committed transactions only.
    Stream,
    /// Kept until the XA transaction is decided.
    Prepare,
    /// Handed on before, or without any effect: a half of an ALTER.
    Skip,
}

/// What ends the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// MySQL: not known before the first statement. BEGIN makes it [`Self::Commit`], a DDL ends it.
    Undecided,
    /// XID, COMMIT or ROLLBACK.
    Commit,
    /// MariaDB's `FL_STANDALONE`: its one statement.
    Statement,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) gtid: Gtid,
    pub(crate) novelty: Novelty,
    pub(crate) fate: Fate,
    pub(crate) ending: Ending,
    /// Microseconds since 1970 of the commit, where its GTID event tells.
    pub(crate) commit_us: Option<i64>,
    /// The connection.
    pub(crate) thread: Option<u32>,
    /// Row changes so far, filtered ones too.
    pub(crate) n_changes: u64,
    /// Rows were handed on that a rollback would have to take back.
    pub(crate) handed_on: bool,
    /// How reading comes back to its beginning.
    pub(crate) restart: Restart,
    /// Its name in events' ids: the GTID, or where it begins.
    pub(crate) name: String,
    /// The GTID, empty for none.
    pub(crate) gtid_text: String,
    /// The statement behind the rows, where the log has it and it was asked for.
    pub(crate) query: Option<String>,
    /// Where Debezium sees its begin: at MySQL's BEGIN, which XA and most statements that define
    /// tables lack, and at every GTID of MariaDB.
    pub(crate) begun_at: Option<u64>,
}

impl Group {
    /// Its name in transaction metadata, if it has a part there; `file` is the one that it is in.
    pub(crate) fn transaction<'g>(&'g self, file: &'g str) -> Option<TransactionName<'g>> {
        self.begun_at.map(|pos| match self.gtid_text.as_str() {
            "" => TransactionName::Place { file, pos },
            gtid => TransactionName::Gtid(gtid),
        })
    }

    /// Rows come now: the first statement was BEGIN.
    pub(crate) fn begin(&mut self, thread: u32) {
        self.thread = Some(thread);
        if self.ending == Ending::Undecided {
            self.ending = Ending::Commit;
        }
    }

    /// Rows come now, of an XA transaction.
    pub(crate) fn begin_xa(&mut self) {
        self.ending = Ending::Commit;
        // What is prepared again is kept again: its decision may still come.
        self.fate = Fate::Prepare;
    }
}
