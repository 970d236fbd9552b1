//! MariaDB: the end of a transaction, by the last GTID of every domain.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::mysql::BinlogFile;

/// `domain-server-sequence`, as MariaDB prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MariadbGtid {
    pub domain: u32,
    pub server_id: u32,
    pub sequence: u64,
}

impl fmt::Display for MariadbGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server_id, self.sequence)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse `{0}` as MariaDB GTIDs: expected domain-server-sequence, like 0-1-100,7-2-5")]
pub struct ParseMariadbGtidError(String);

impl FromStr for MariadbGtid {
    type Err = ParseMariadbGtidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut parts = text.split('-');
            let gtid = Self {
                domain: parts.next()?.parse().ok()?,
                server_id: parts.next()?.parse().ok()?,
                sequence: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(gtid)
        };
        parse().ok_or_else(|| ParseMariadbGtidError(text.to_owned()))
    }
}

/// The last transaction of every domain, sorted by domain: MariaDB's "GTID position".
///
/// Within a domain the log is one sequence, whose numbers grow (manual, "Global Transaction ID",
/// with `gtid_strict_mode`); domains are independent of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MariadbGtidList {
    gtids: Vec<MariadbGtid>,
}

impl MariadbGtidList {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gtids.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &MariadbGtid> {
        self.gtids.iter()
    }

    #[must_use]
    pub fn of_domain(&self, domain: u32) -> Option<&MariadbGtid> {
        let index = self.gtids.binary_search_by_key(&domain, |gtid| gtid.domain).ok()?;
        self.gtids.get(index)
    }

    /// Makes `gtid` the last one of its domain, whatever was there before.
    pub fn set(&mut self, gtid: MariadbGtid) {
        match self.gtids.binary_search_by_key(&gtid.domain, |gtid| gtid.domain) {
            Ok(index) => self.gtids[index] = gtid,
            Err(index) => self.gtids.insert(index, gtid),
        }
    }

    /// Whether the transaction is at or before this position in its domain.
    #[must_use]
    pub fn contains(&self, gtid: &MariadbGtid) -> bool {
        self.of_domain(gtid.domain).is_some_and(|last| gtid.sequence <= last.sequence)
    }

    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.gtids.iter().all(|gtid| other.contains(gtid))
    }

    /// Per domain; `None` where one is further in one domain and the other in another.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self.is_subset_of(other), other.is_subset_of(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Less),
            (false, true) => Some(Ordering::Greater),
            (false, false) => None,
        }
    }

    fn count(&self) -> u64 {
        self.gtids.iter().fold(0, |sum, gtid| sum.saturating_add(gtid.sequence))
    }
}

impl FromStr for MariadbGtidList {
    type Err = ParseMariadbGtidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut list = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let gtid: MariadbGtid = part.parse()?;
            // `gtid_binlog_state` has a GTID for each server of a domain; the largest is the last.
            if !list.contains(&gtid) {
                list.set(gtid);
            }
        }
        Ok(list)
    }
}

impl fmt::Display for MariadbGtidList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, gtid) in self.gtids.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{gtid}")?;
        }
        Ok(())
    }
}

impl Serialize for MariadbGtidList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MariadbGtidList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Everything up to `gtids` is done, domain by domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MariadbPosition {
    pub gtids: MariadbGtidList,
    /// The same place in the log of the server that it was read from.
    pub file: BinlogFile,
    /// When `file` was begun, in seconds since 1970, as its first event says; 0 for unknown.
    #[serde(default)]
    pub begun: u32,
    /// Where reading starts again: before the oldest XA transaction that is prepared and not yet
    /// decided, or `None` for `gtids`. What is in `gtids` was handed on, but for those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<MariadbGtidList>,
}

impl MariadbPosition {
    /// Everything up to there is done and nothing waits for a decision.
    #[must_use]
    pub fn new(gtids: MariadbGtidList, file: BinlogFile) -> Self {
        Self { gtids, file, begun: 0, restart: None }
    }

    /// Where to read from (`@slave_connect_state`); what is done of it is passed over.
    #[must_use]
    pub fn read_from(&self) -> &MariadbGtidList {
        self.restart.as_ref().unwrap_or(&self.gtids)
    }

    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        self.gtids.compare(&other.gtids)
    }

    pub(super) fn as_metric(&self) -> u64 {
        self.gtids.count()
    }
}

impl fmt::Display for MariadbPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.gtids, self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> MariadbGtidList {
        text.parse().unwrap()
    }

    #[test]
    fn lists_are_printed_by_domain() {
        for (text, printed) in [
            ("", ""),
            ("0-1-100", "0-1-100"),
            ("7-2-5, 0-1-100", "0-1-100,7-2-5"),
            ("0-1-9,0-2-10,0-3-8", "0-2-10"),
        ] {
            assert_eq!(list(text).to_string(), printed);
        }
        for malformed in
            ["0-1", "0-1-2-3", "a-1-2", "0-1-", "4294967296-1-1", "0-1-18446744073709551616"]
        {
            assert!(malformed.parse::<MariadbGtidList>().is_err(), "{malformed}");
        }
    }

    #[test]
    fn domains_are_compared_each_for_itself() {
        for (a, b, order) in [
            ("0-1-5", "0-2-5", Some(Ordering::Equal)),
            ("0-1-5", "0-1-6", Some(Ordering::Less)),
            ("0-1-5", "0-1-5,1-1-1", Some(Ordering::Less)),
            ("0-1-5,1-1-2", "0-1-6,1-1-1", None),
            ("", "0-1-1", Some(Ordering::Less)),
        ] {
            assert_eq!(list(a).compare(&list(b)), order, "{a} and {b}");
            assert_eq!(list(b).compare(&list(a)), order.map(Ordering::reverse), "{b} and {a}");
        }
    }
}
