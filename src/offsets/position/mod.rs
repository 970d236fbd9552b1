//! Positions: places to restart from, never addresses of rows.
//!
//! Each source has its own algebra in a file of its own; [`Position`] only tells them apart. A new
//! source adds a file and a variant. Positions of different sources, and of different
//! lineages of one source, do not compare.

mod gtid_set;
mod mariadb;
mod mongodb;
mod mysql;
mod postgres;

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use gtid_set::{DecodeGtidSetError, GtidSet, GtidSource, ParseGtidSetError};
pub use mariadb::{MariadbGtid, MariadbGtidList, MariadbPosition, ParseMariadbGtidError};
pub use mongodb::{MongodbPosition, ResumeToken, ResumeTokenError};
pub use mysql::{BinlogFile, MysqlPosition};
pub use postgres::{Lsn, ParseLsnError, PostgresPosition};

/// A place in a source's log from which reading can start again without loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    Postgres(PostgresPosition),
    Mysql(MysqlPosition),
    Mariadb(MariadbPosition),
    Mongodb(MongodbPosition),
}

impl Position {
    /// Order within one lineage; `None` where the two have no order (another source, another
    /// cluster, another timeline).
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Postgres(a), Self::Postgres(b)) => a.compare(b),
            (Self::Mysql(a), Self::Mysql(b)) => a.compare(b),
            (Self::Mariadb(a), Self::Mariadb(b)) => a.compare(b),
            (Self::Mongodb(a), Self::Mongodb(b)) => a.compare(b),
            (Self::Postgres(_) | Self::Mysql(_) | Self::Mariadb(_) | Self::Mongodb(_), _) => None,
        }
    }

    /// One number for gauges: only its growth and its distance to another say anything.
    #[must_use]
    pub fn as_metric(&self) -> u64 {
        match self {
            Self::Postgres(position) => position.lsn.0,
            Self::Mysql(position) => position.as_metric(),
            Self::Mariadb(position) => position.as_metric(),
            Self::Mongodb(position) => position.as_metric(),
        }
    }

    /// Whether moving from `self` to `next` is progress or standing still.
    #[must_use]
    pub fn may_advance_to(&self, next: &Self) -> bool {
        matches!(self.compare(next), Some(Ordering::Less | Ordering::Equal))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(position) => position.fmt(f),
            Self::Mysql(position) => position.fmt(f),
            Self::Mariadb(position) => position.fmt(f),
            Self::Mongodb(position) => position.fmt(f),
        }
    }
}
