//! PostgreSQL: the end of a commit record, on one timeline of one cluster.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte position in the write-ahead log, printed as the server prints it (`16/B374D848`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("parse `{0}` as an LSN: expected two hexadecimal numbers with a slash, like 16/B374D848")]
pub struct ParseLsnError(String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseLsnError(text.to_owned());
        let (high, low) = text.split_once('/').ok_or_else(error)?;
        let high = u32::from_str_radix(high, 16).map_err(|_| error())?;
        let low = u32::from_str_radix(low, 16).map_err(|_| error())?;
        Ok(Self(u64::from(high) << 32 | u64::from(low)))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Everything that committed at or before `lsn` on this timeline of this cluster is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresPosition {
    /// `systemid` of `IDENTIFY_SYSTEM`.
    pub system_id: String,
    pub timeline: u32,
    /// The end of a commit record (the `end_lsn` of pgoutput's Commit), a slot's consistent point,
    /// or the end that an idle server reported. Never the LSN of a row: those are not ordered
    /// across transactions.
    pub lsn: Lsn,
}

impl PostgresPosition {
    /// By LSN within one cluster. Timelines only grow: a promoted standby continues the log, and
    /// whether it continues *our* log is proven at the start of a run, before any comparison.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        if self.system_id != other.system_id {
            return None;
        }
        match self.timeline.cmp(&other.timeline) {
            Ordering::Equal => Some(self.lsn.cmp(&other.lsn)),
            Ordering::Less if self.lsn <= other.lsn => Some(Ordering::Less),
            Ordering::Greater if self.lsn >= other.lsn => Some(Ordering::Greater),
            Ordering::Less | Ordering::Greater => None,
        }
    }
}

impl fmt::Display for PostgresPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (timeline {} of system {})", self.lsn, self.timeline, self.system_id)
    }
}
