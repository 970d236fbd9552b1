//! What of the log is done, and which of it comes again.

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

#[derive(Clone, Debug)]
pub(crate) enum Done {
    MysqlGtids { server_uuid: String, gtids: GtidSet },
    MysqlFile { server_uuid: String, file: BinlogFile },
    Mariadb { gtids: MariadbGtidList, again: Vec<u32> },
}

impl Done {
    /// Everything up to `position`; `None` where it is another source's.
    pub(crate) fn up_to(position: &Position) -> Option<Self> {
        match position {
            Position::Postgres(_) | Position::Mongodb(_) => None,
            Position::Mysql(position) => {
                let server_uuid = position.server_uuid.clone();
                Some(match &position.gtids {
                    Some(gtids) => Self::MysqlGtids { server_uuid, gtids: gtids.clone() },
                    None => Self::MysqlFile { server_uuid, file: position.file.clone() },
                })
            }
            Position::Mariadb(position) => {
                // Only where reading starts earlier can anything come again.
                let comes_again = position.restart.is_some();
                let domains = position.gtids.iter().map(|gtid| gtid.domain);
                let again = if comes_again { domains.collect() } else { Vec::new() };
                Some(Self::Mariadb { gtids: position.gtids.clone(), again })
            }
        }
    }

    /// Of a transaction that begins at `begin`.
    pub(crate) fn novelty(&self, gtid: &Gtid, begin: &BinlogFile) -> Novelty {
        match (self, gtid) {
            (Self::MysqlGtids { gtids, .. }, Gtid::Mysql(source, number)) => {
                if gtids.contains(source, *number) { Novelty::Again } else { Novelty::New }
            }
            (Self::MysqlGtids { .. }, Gtid::Anonymous) => {
                Novelty::Impossible("an anonymous transaction, where GTIDs are the position")
            }
            (Self::MysqlFile { file, .. }, Gtid::Mysql(..) | Gtid::Anonymous) => {
                let before = begin.compare(file) == Some(std::cmp::Ordering::Less);
                if before { Novelty::Again } else { Novelty::New }
            }
            (Self::Mariadb { gtids, again }, Gtid::Mariadb(gtid)) => {
                if !gtids.contains(gtid) {
                    Novelty::New
                } else if again.contains(&gtid.domain) {
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
            Self::Mariadb { gtids, .. } => Restart::List(gtids.clone()),
        }
    }

    /// A transaction was handed on whole. Where it is kept instead, `prepared`, a GTID set leaves
    /// it out.
    pub(crate) fn add(&mut self, gtid: &Gtid, end: &BinlogFile, kept: Kept) {
        match (self, gtid) {
            (Self::MysqlGtids { gtids, .. }, Gtid::Mysql(source, number)) => {
                if kept == Kept::No {
                    gtids.add(source, *number);
                }
            }
            (Self::MysqlFile { file, .. }, _) => {
                // What comes again is before it.
                if file.compare(end) != Some(std::cmp::Ordering::Greater) {
                    file.clone_from(end);
                }
            }
            (Self::Mariadb { gtids, again }, Gtid::Mariadb(gtid)) => {
                if gtids.of_domain(gtid.domain).is_none_or(|last| gtid.sequence >= last.sequence) {
                    gtids.set(*gtid);
                    again.retain(|domain| *domain != gtid.domain);
                }
            }
            // `novelty` refused these.
            (Self::MysqlGtids { .. } | Self::Mariadb { .. }, _) => {}
        }
    }

    /// Where the log goes on in another file, there is nothing before it any more.
    pub(crate) fn rotate(&mut self, to: &BinlogFile) {
        if let Self::MysqlFile { file, .. } = self
            && file.compare(to) != Some(std::cmp::Ordering::Greater)
        {
            file.clone_from(to);
        }
    }

    pub(crate) fn position(&self, at: &BinlogFile, oldest: Option<&Restart>) -> Position {
        match self {
            Self::MysqlGtids { server_uuid, gtids } => Position::Mysql(MysqlPosition {
                server_uuid: server_uuid.clone(),
                gtids: Some(gtids.clone()),
                file: at.clone(),
                restart: None,
            }),
            Self::MysqlFile { server_uuid, file } => {
                let restart = match oldest {
                    Some(Restart::File(begin)) => Some(begin.clone()),
                    Some(Restart::ByGtid | Restart::List(_)) | None => None,
                };
                let server_uuid = server_uuid.clone();
                let file = file.clone();
                Position::Mysql(MysqlPosition { server_uuid, gtids: None, file, restart })
            }
            Self::Mariadb { gtids, .. } => {
                let restart = match oldest {
                    Some(Restart::List(before)) => Some(before.clone()),
                    Some(Restart::ByGtid | Restart::File(_)) | None => None,
                };
                let (gtids, file) = (gtids.clone(), at.clone());
                Position::Mariadb(MariadbPosition { gtids, file, restart })
            }
        }
    }
}

/// Whether a transaction's rows wait for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}
