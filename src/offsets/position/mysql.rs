//! MySQL: the end of a transaction, by GTID set where the server has GTIDs, else by file.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::gtid_set::GtidSet;

/// A place in one server's own binlog: the end of an event that closes a transaction.
///
/// The end of an event is counted in 64 bits. The log itself repeats only the low 32
/// (`Log_event::log_pos`), which wrap in a transaction of more than 4 GiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinlogFile {
    /// As in `SHOW BINARY LOGS`: `binlog.000042`.
    pub name: String,
    pub offset: u64,
}

impl BinlogFile {
    /// By number of the file, then by offset. `None` for files with other base names, and for
    /// names that do not end with a number: `binlog.1000000` follows `binlog.999999`, so names are
    /// never compared as text.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let (base, number) = self.parts()?;
        let (other_base, other_number) = other.parts()?;
        let order = || number.cmp(&other_number).then(self.offset.cmp(&other.offset));
        (base == other_base).then(order)
    }

    fn parts(&self) -> Option<(&str, u64)> {
        let (base, number) = self.name.rsplit_once('.')?;
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| number.parse().ok()).flatten().map(|number| (base, number))
    }

    /// One number that grows with the log. Files are a gigabyte as a rule (`max_binlog_size`), but
    /// a large transaction makes larger ones.
    pub(super) fn as_metric(&self) -> u64 {
        let (_, number) = self.parts().unwrap_or_default();
        number.saturating_mul(1 << 40).saturating_add(self.offset)
    }
}

impl fmt::Display for BinlogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.offset)
    }
}

/// Everything in `gtids` is done; where the server has no GTIDs, everything before `file`.
///
/// XA transactions that are prepared and not yet decided are read again from their beginning: that
/// much of the log comes again, and is passed over but for them. Without GTIDs `restart` says where
/// it begins; with them `again` says what it is, and the server sends it because it is not in
/// `gtids`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MysqlPosition {
    /// `@@server_uuid`. A place in a file means nothing on another server; a set of GTIDs does.
    pub server_uuid: String,
    /// `None` where `gtid_mode` is off: then `file` alone is the place.
    pub gtids: Option<GtidSet>,
    pub file: BinlogFile,
    /// When `file` was begun, in seconds since 1970, as its first event says; 0 for unknown. A log
    /// that was begun anew (`RESET`) has files of the same names and transactions of the same
    /// numbers.
    #[serde(default)]
    pub begun: u32,
    /// Where reading starts again without GTIDs, or `None` for `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<BinlogFile>,
    /// With GTIDs: nothing of this is in `gtids`.
    #[serde(default, skip_serializing_if = "GtidSet::is_empty")]
    pub again: GtidSet,
}

impl MysqlPosition {
    /// Everything up to there is done and nothing waits for a decision.
    #[must_use]
    pub fn new(server_uuid: String, gtids: Option<GtidSet>, file: BinlogFile) -> Self {
        Self { server_uuid, gtids, file, begun: 0, restart: None, again: GtidSet::default() }
    }

    /// Where to read from without GTIDs; what is done of it is passed over.
    #[must_use]
    pub fn read_from(&self) -> &BinlogFile {
        self.restart.as_ref().unwrap_or(&self.file)
    }

    /// By inclusion of the GTID sets; without them by file, on one server only. Nothing that is
    /// still undecided keeps a position behind another one.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (&self.gtids, &other.gtids) {
            (Some(gtids), Some(others)) => self.seen(gtids).compare(&other.seen(others)),
            (None, None) if self.server_uuid == other.server_uuid => self.file.compare(&other.file),
            (None, None) | (Some(_), None) | (None, Some(_)) => None,
        }
    }

    /// What is done, and what was read and waits for a decision.
    fn seen<'a>(&self, gtids: &'a GtidSet) -> Cow<'a, GtidSet> {
        if self.again.is_empty() {
            return Cow::Borrowed(gtids);
        }
        let mut seen = gtids.clone();
        seen.union(&self.again);
        Cow::Owned(seen)
    }

    pub(super) fn as_metric(&self) -> u64 {
        let count = |gtids: &GtidSet| gtids.count().saturating_add(self.again.count());
        self.gtids.as_ref().map_or_else(|| self.file.as_metric(), count)
    }
}

impl fmt::Display for MysqlPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gtids {
            Some(gtids) => write!(f, "{gtids} ({} of server {})", self.file, self.server_uuid),
            None => write!(f, "{} (server {})", self.file, self.server_uuid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, offset: u64) -> BinlogFile {
        BinlogFile { name: name.to_owned(), offset }
    }

    fn position(gtids: Option<&str>, name: &str, offset: u64) -> MysqlPosition {
        let gtids = gtids.map(|text| text.parse().unwrap());
        MysqlPosition::new("s".to_owned(), gtids, file(name, offset))
    }

    #[test]
    fn files_are_ordered_by_number() {
        let order = |a, b| file(a, 4).compare(&file(b, 4));
        assert_eq!(order("binlog.999999", "binlog.1000000"), Some(Ordering::Less));
        assert_eq!(order("binlog.000999", "binlog.001000"), Some(Ordering::Less));
        assert_eq!(order("binlog.000001", "changelog.000002"), None);
        assert_eq!(order("binlog", "binlog"), None);
        assert_eq!(file("b.1", 5_000_000_000).compare(&file("b.1", 7)), Some(Ordering::Greater));
    }

    #[test]
    fn gtids_decide_and_files_only_without_them() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let (five, six) = (format!("{uuid}:1-5"), format!("{uuid}:1-6"));
        let earlier = position(Some(&five), "binlog.000009", 9);
        let later = position(Some(&six), "binlog.000001", 4);
        assert_eq!(earlier.compare(&later), Some(Ordering::Less));
        let by_file = position(None, "binlog.000001", 4);
        assert_eq!(by_file.compare(&later), None);
        assert_eq!(by_file.compare(&position(None, "binlog.000001", 5)), Some(Ordering::Less));
        let elsewhere = MysqlPosition { server_uuid: "t".to_owned(), ..by_file.clone() };
        assert_eq!(by_file.compare(&elsewhere), None);
    }

    #[test]
    fn what_waits_for_a_decision_holds_no_position_back() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let all = position(Some(&format!("{uuid}:1-5")), "binlog.000001", 9);
        let mut waiting = position(Some(&format!("{uuid}:1-2:4-5")), "binlog.000001", 9);
        assert_eq!(waiting.compare(&all), Some(Ordering::Less));
        waiting.again = format!("{uuid}:3").parse().unwrap();
        assert_eq!(waiting.compare(&all), Some(Ordering::Equal));
        assert_eq!(waiting.as_metric(), all.as_metric());
    }

    #[test]
    fn a_position_survives_being_written() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        for position in [
            position(Some(&format!("{uuid}:1-5:7")), "binlog.000009", 9),
            MysqlPosition {
                again: format!("{uuid}:6").parse().unwrap(),
                ..position(Some(&format!("{uuid}:1-5:7")), "binlog.000009", 9)
            },
            MysqlPosition {
                restart: Some(file("binlog.000001", 4)),
                ..position(None, "binlog.000002", 5_000_000_000)
            },
        ] {
            let text = serde_json::to_string(&position).unwrap();
            assert_eq!(serde_json::from_str::<MysqlPosition>(&text).unwrap(), position, "{text}");
        }
    }
}
