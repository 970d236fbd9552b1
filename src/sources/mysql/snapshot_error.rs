//! What can go wrong while a snapshot is taken.

use crate::disposition::{Diagnose, Disposition};
use crate::sources::BoxError;
use crate::sources::mysql::error::SourceError;
use crate::sources::mysql::table_error::TableError;

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("begin the snapshot: tables were altered each of the {attempts} times that it began")]
    Restless { attempts: u32 },
    #[error(
        "begin the snapshot: no moment without a commit was found within {seconds} s, and {account} may not lock the tables for one"
    )]
    NoQuietMoment { account: String, seconds: u64 },
    #[error(
        "begin the snapshot: {account} may not lock the tables for a moment, and without GTIDs there is no other way to know where it begins"
    )]
    NoLock { account: String },
    #[error("read {table} for the snapshot: it was altered since the snapshot began")]
    TableChanged { table: String },
    #[error("read the tables: a reader ended without a word: {detail}")]
    ReaderLost { detail: String },
}

impl From<SnapshotError> for BoxError {
    fn from(error: SnapshotError) -> Self {
        Box::new(error)
    }
}

impl Diagnose for SnapshotError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Source(error) => error.disposition(),
            Self::Table(error) => error.disposition(),
            // The next run begins another snapshot.
            Self::Restless { .. }
            | Self::NoQuietMoment { .. }
            | Self::TableChanged { .. }
            | Self::ReaderLost { .. } => Disposition::Reconnect,
            Self::NoLock { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        let grant = |account: &str| format!("GRANT RELOAD ON *.* TO {account};");
        match self {
            Self::Source(error) => error.hint(),
            Self::Table(error) => error.hint(),
            Self::Restless { .. } | Self::TableChanged { .. } => {
                Some("the snapshot begins again by itself; alter tables after it".to_owned())
            }
            Self::NoQuietMoment { account, .. } => {
                Some(format!("{} -- the lock is held for milliseconds", grant(account)))
            }
            Self::NoLock { account } => {
                Some(format!("{} -- or switch GTIDs on (gtid_mode = ON)", grant(account)))
            }
            Self::ReaderLost { .. } => None,
        }
    }
}
