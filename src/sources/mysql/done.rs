//! What of the log is done, and which of it comes again.

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::offsets::position::{
    BinlogFile, GtidSet, GtidSource, MariadbGtid, MariadbGtidList, MariadbPosition, MysqlPosition,
    Position,
};

/// The name of a transaction, as far as the log gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gtid {
    Mysql(GtidSource, u64),
    Mariadb(MariadbGtid),
    Anonymous,
}

impl Gtid {
    /// Writes the name; nothing for one without.
    pub(crate) fn write(&self, out: &mut String) {
        out.clear();
        let written = match self {
            Self::Mysql(source, number) => write!(out, "{source}:{number}"),
            Self::Mariadb(gtid) => write!(out, "{gtid}"),
            Self::Anonymous => Ok(()),
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
}

/// Whether a transaction was handed on before this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Novelty {
    New,
    /// It comes again because of what is prepared around it.
    Again,
    /// It can be in no log that continues from where we are.
    Impossible(&'static str),
}

/// Where reading would have to start for a transaction to come again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Restart {
    /// A GTID set that leaves the transaction out is enough.
    ByGtid,
    File(BinlogFile),
    List(MariadbGtidList),
}

/// What comes again does so once, at the beginning of a run that a position with a restart began;
/// until it has all come, that restart stands in every position.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    MysqlGtids { server_uuid: String, gtids: GtidSet, again: GtidSet },
    MysqlFile { server_uuid: String, file: BinlogFile, again: Option<BinlogFile> },
    Mariadb { gtids: MariadbGtidList, again: Option<Again> },
}

/// The log of MariaDB that comes again.
#[derive(Clone, Debug)]
pub(crate) struct Again {
    from: MariadbGtidList,
    /// Those that have not yet come as far as before.
    domains: Vec<u32>,
}

impl Again {
    fn between(from: &MariadbGtidList, done: &MariadbGtidList) -> Option<Self> {
        let behind = done.iter().filter(|gtid| !from.contains(gtid));
        let domains: Vec<u32> = behind.map(|gtid| gtid.domain).collect();
        (!domains.is_empty()).then(|| Self { from: from.clone(), domains })
    }
}

impl Done {
    /// Everything up to `position`; `None` where it is another source's.
    pub(crate) fn up_to(position: &Position) -> Option<Self> {
        match position {
            Position::Postgres(_) | Position::Mongodb(_) => None,
            Position::Mysql(position) => {
                let server_uuid = position.server_uuid.clone();
                Some(match &position.gtids {
                    Some(gtids) => {
                        let (gtids, again) = (gtids.clone(), position.again.clone());
                        Self::MysqlGtids { server_uuid, gtids, again }
                    }
                    None => {
                        let (file, again) = (position.file.clone(), position.restart.clone());
                        Self::MysqlFile { server_uuid, file, again }
                    }
                })
            }
            Position::Mariadb(position) => {
                let gtids = position.gtids.clone();
                let again = position.restart.as_ref().and_then(|from| Again::between(from, &gtids));
                Some(Self::Mariadb { gtids, again })
            }
        }
    }

    /// Of a transaction that begins at `begin`.
    pub(crate) fn novelty(&self, gtid: &Gtid, begin: &BinlogFile) -> Novelty {
        match (self, gtid) {
            (Self::MysqlGtids { gtids, again, .. }, Gtid::Mysql(source, number)) => {
                if again.contains(source, *number) {
                    Novelty::Again
                } else if gtids.contains(source, *number) {
                    // The server was told not to send it: its log was begun anew under us.
                    Novelty::Impossible("a GTID that was read before")
                } else {
                    Novelty::New
                }
            }
            (Self::MysqlGtids { .. }, Gtid::Anonymous) => {
                Novelty::Impossible("an anonymous transaction, where GTIDs are the position")
            }
            (Self::MysqlFile { file, again, .. }, Gtid::Mysql(..) | Gtid::Anonymous) => {
                match (begin.compare(file), again) {
                    (Some(Ordering::Less), Some(_)) => Novelty::Again,
                    (Some(Ordering::Less), None) => {
                        Novelty::Impossible("a transaction before the place that was reached")
                    }
                    (Some(Ordering::Equal | Ordering::Greater) | None, _) => Novelty::New,
                }
            }
            (Self::Mariadb { gtids, again }, Gtid::Mariadb(gtid)) => {
                if !gtids.contains(gtid) {
                    Novelty::New
                } else if again.as_ref().is_some_and(|a| a.domains.contains(&gtid.domain)) {
                    Novelty::Again
                } else {
                    // The order of a domain is the order of its numbers (`gtid_strict_mode`).
                    Novelty::Impossible("a GTID that is not after the last one of its domain")
                }
            }
            (Self::MysqlGtids { .. } | Self::MysqlFile { .. }, Gtid::Mariadb(_)) => {
                Novelty::Impossible("a MariaDB GTID in the log of a MySQL server")
            }
            (Self::Mariadb { .. }, Gtid::Mysql(..) | Gtid::Anonymous) => {
                Novelty::Impossible("a transaction without GTID in the log of a MariaDB server")
            }
        }
    }

    /// How to come back to a transaction that begins at `begin`.
    pub(crate) fn restart_before(&self, begin: &BinlogFile) -> Restart {
        match self {
            Self::MysqlGtids { .. } => Restart::ByGtid,
            Self::MysqlFile { .. } => Restart::File(begin.clone()),
            // What comes again is behind where this run began.
            Self::Mariadb { again: Some(again), .. } => Restart::List(again.from.clone()),
            Self::Mariadb { gtids, again: None } => Restart::List(gtids.clone()),
        }
    }

    /// A transaction was handed on whole. Where it is kept instead, prepared, it has to come again.
    pub(crate) fn add(&mut self, gtid: &Gtid, end: &BinlogFile, kept: Kept) {
        match (self, gtid) {
            (Self::MysqlGtids { gtids, again, .. }, Gtid::Mysql(source, number)) => match kept {
                Kept::Yes => _ = again.add(source, *number),
                Kept::No => {
                    gtids.add(source, *number);
                    if again.contains(source, *number) {
                        let mut one = GtidSet::default();
                        one.add(source, *number);
                        *again = again.minus(&one);
                    }
                }
            },
            (Self::MysqlFile { file, again, .. }, _) => reach(file, again, end),
            (Self::Mariadb { gtids, again }, Gtid::Mariadb(gtid)) => {
                if gtids.of_domain(gtid.domain).is_none_or(|last| gtid.sequence >= last.sequence) {
                    gtids.set(*gtid);
                    if let Some(coming) = again {
                        coming.domains.retain(|domain| *domain != gtid.domain);
                    }
                    again.take_if(|coming| coming.domains.is_empty());
                }
            }
            // `novelty` refused these.
            (Self::MysqlGtids { .. } | Self::Mariadb { .. }, _) => {}
        }
    }

    /// Whether places are files and offsets, because transactions have no names.
    pub(crate) fn is_by_file(&self) -> bool {
        matches!(self, Self::MysqlFile { .. })
    }

    /// Where the log goes on in another file, there is nothing before it any more.
    pub(crate) fn rotate(&mut self, to: &BinlogFile) {
        if let Self::MysqlFile { file, again, .. } = self {
            reach(file, again, to);
        }
    }

    /// `begun` is when the file of `at` was.
    pub(crate) fn position(
        &self,
        at: &BinlogFile,
        begun: u32,
        oldest: Option<&Restart>,
    ) -> Position {
        match self {
            Self::MysqlGtids { server_uuid, gtids, again } => Position::Mysql(MysqlPosition {
                server_uuid: server_uuid.clone(),
                gtids: Some(gtids.clone()),
                file: at.clone(),
                begun,
                restart: None,
                again: again.clone(),
            }),
            Self::MysqlFile { server_uuid, file, again } => {
                let restart = match (again, oldest) {
                    (Some(from), _) | (None, Some(Restart::File(from))) => Some(from.clone()),
                    (None, Some(Restart::ByGtid | Restart::List(_)) | None) => None,
                };
                let (server_uuid, file) = (server_uuid.clone(), file.clone());
                let begun = if file.name == at.name { begun } else { 0 };
                let (gtids, again) = (None, GtidSet::default());
                Position::Mysql(MysqlPosition { server_uuid, gtids, file, begun, restart, again })
            }
            Self::Mariadb { gtids, again } => {
                let restart = match (again, oldest) {
                    (Some(Again { from, .. }), _) | (None, Some(Restart::List(from))) => {
                        Some(from.clone())
                    }
                    (None, Some(Restart::ByGtid | Restart::File(_)) | None) => None,
                };
                let (gtids, file) = (gtids.clone(), at.clone());
                Position::Mariadb(MariadbPosition { gtids, file, begun, restart })
            }
        }
    }
}

/// The log was read up to `end`, unless that comes again.
fn reach(file: &mut BinlogFile, again: &mut Option<BinlogFile>, end: &BinlogFile) {
    if file.compare(end) != Some(Ordering::Greater) {
        file.clone_from(end);
        *again = None;
    }
}

/// Whether a transaction's rows wait for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}
