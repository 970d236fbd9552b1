//! MySQL's GTID sets: which transactions are done, as intervals per source and tag.
//!
//! The text is the server's: `uuid:1-5:7,uuid:tag:1-3` (manual, "GTID Format and Storage"). A tag
//! stands for all intervals after it, so one uuid may be followed by several tags.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `GNO_END` of the server (`libs/mysql/gtid/gtid_constants.h`): numbers stay below it.
const GNO_END: u64 = i64::MAX as u64;
/// `tag_max_length` of the same file.
const TAG_MAX: usize = 32;

/// Who gave a transaction its number: a server, and since MySQL 8.3 a tag chosen by a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GtidSource {
    uuid: [u8; 16],
    tag: Tag,
}

/// A tag in its normal form (lower case), empty for none. Fixed in size, so that a source is
/// `Copy` and following a log allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Tag {
    /// Zeros behind the tag, so that the order of arrays is the order of tags.
    bytes: [u8; TAG_MAX],
    length: u8,
}

impl Tag {
    const NONE: Self = Self { bytes: [0; TAG_MAX], length: 0 };

    /// A letter or underscore, then up to 31 letters, digits and underscores.
    fn parse(text: &str) -> Option<Self> {
        let mut tag = Self::NONE;
        tag.length = u8::try_from(text.len()).ok()?;
        let bytes = tag.bytes.get_mut(..text.len())?;
        for (index, (slot, byte)) in bytes.iter_mut().zip(text.bytes()).enumerate() {
            let fits = byte.is_ascii_alphabetic() || byte == b'_';
            if !fits && (index == 0 || !byte.is_ascii_digit()) {
                return None;
            }
            *slot = byte.to_ascii_lowercase();
        }
        (!text.is_empty()).then_some(tag)
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl GtidSource {
    /// `None` where `tag` is no tag. Empty: no tag.
    #[must_use]
    pub fn new(uuid: [u8; 16], tag: &str) -> Option<Self> {
        let tag = if tag.is_empty() { Tag::NONE } else { Tag::parse(tag)? };
        Some(Self { uuid, tag })
    }

    #[must_use]
    pub fn uuid(&self) -> &[u8; 16] {
        &self.uuid
    }

    /// Empty for none.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.tag.as_str()
    }
}

impl fmt::Debug for GtidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `uuid` or `uuid:tag`.
impl fmt::Display for GtidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_uuid(&self.uuid, f)?;
        if self.tag == Tag::NONE { Ok(()) } else { write!(f, ":{}", self.tag()) }
    }
}

fn fmt_uuid(uuid: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    // Braces and missing dashes are allowed by the server too, but never printed.
    let mut uuid = [0; 16];
    let mut digits = text.bytes();
    for (index, slot) in uuid.iter_mut().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) && digits.next() != Some(b'-') {
            return None;
        }
        let mut digit =
            || char::from(digits.next()?).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *slot = digit()? << 4 | digit()?;
    }
    digits.next().is_none().then_some(uuid)
}

/// Numbers from `start` up to, and without, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    start: u64,
    end: u64,
}

/// A set of transactions.
///
/// Sources are sorted and none is empty; intervals are sorted and neither overlap nor touch. So
/// equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidSet {
    sources: Vec<(GtidSource, Vec<Interval>)>,
}

impl GtidSet {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Whether any source has a tag: then only servers from 8.3 on understand the set.
    #[must_use]
    pub fn has_tags(&self) -> bool {
        self.sources.iter().any(|(source, _)| source.tag != Tag::NONE)
    }

    /// How many transactions there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let intervals = self.sources.iter().flat_map(|(_, intervals)| intervals);
        intervals.fold(0, |sum, i| sum.saturating_add(i.end - i.start))
    }

    #[must_use]
    pub fn contains(&self, source: &GtidSource, number: u64) -> bool {
        let Ok(index) = self.find(source) else { return false };
        let intervals = &self.sources[index].1;
        let after = intervals.partition_point(|i| i.end <= number);
        intervals.get(after).is_some_and(|i| i.start <= number)
    }

    /// Adds one transaction; `false` where it was there already, or is no number of a transaction.
    pub fn add(&mut self, source: &GtidSource, number: u64) -> bool {
        if !(1..GNO_END).contains(&number) || self.contains(source, number) {
            return false;
        }
        insert(self.intervals_mut(source), Interval { start: number, end: number + 1 });
        true
    }

    pub fn union(&mut self, other: &Self) {
        for (source, intervals) in &other.sources {
            let mine = self.intervals_mut(source);
            intervals.iter().for_each(|interval| insert(mine, *interval));
        }
    }

    /// What is in `self` and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut sources = Vec::new();
        for (source, intervals) in &self.sources {
            let taken = other.intervals(source);
            let rest: Vec<_> = intervals.iter().flat_map(|i| without(*i, taken)).collect();
            if !rest.is_empty() {
                sources.push((*source, rest));
            }
        }
        Self { sources }
    }

    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.minus(&self.minus(other))
    }

    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.sources.iter().all(|(source, intervals)| {
            let theirs = other.intervals(source);
            intervals.iter().all(|mine| {
                let after = theirs.partition_point(|i| i.end < mine.end);
                theirs.get(after).is_some_and(|i| i.start <= mine.start)
            })
        })
    }

    /// By inclusion; `None` where each has what the other has not.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self.is_subset_of(other), other.is_subset_of(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Less),
            (false, true) => Some(Ordering::Greater),
            (false, false) => None,
        }
    }

    fn find(&self, source: &GtidSource) -> Result<usize, usize> {
        self.sources.binary_search_by(|(other, _)| other.cmp(source))
    }

    fn intervals(&self, source: &GtidSource) -> &[Interval] {
        self.find(source).map_or(&[], |index| &self.sources[index].1)
    }

    fn intervals_mut(&mut self, source: &GtidSource) -> &mut Vec<Interval> {
        let index = match self.find(source) {
            Ok(index) => index,
            Err(index) => {
                self.sources.insert(index, (*source, Vec::new()));
                index
            }
        };
        &mut self.sources[index].1
    }
}

/// Puts an interval among others, and joins what it touches.
fn insert(intervals: &mut Vec<Interval>, new: Interval) {
    let first = intervals.partition_point(|i| i.end < new.start);
    let last = intervals.partition_point(|i| i.start <= new.end);
    let start = intervals.get(first).map_or(new.start, |i| i.start.min(new.start));
    let end = last
        .checked_sub(1)
        .and_then(|last| intervals.get(last))
        .map_or(new.end, |i| i.end.max(new.end));
    if first < last {
        intervals[first] = Interval { start, end };
        intervals.drain(first + 1..last);
    } else {
        intervals.insert(first, new);
    }
}

/// What is left of an interval.
fn without(interval: Interval, taken: &[Interval]) -> impl Iterator<Item = Interval> {
    let first = taken.partition_point(|i| i.end <= interval.start);
    let mut start = interval.start;
    let mut taken = taken[first..].iter();
    std::iter::from_fn(move || {
        while start < interval.end {
            let cut = taken.next().filter(|cut| cut.start < interval.end);
            let (from, to) = (start, cut.map_or(interval.end, |cut| cut.start));
            start = cut.map_or(interval.end, |cut| cut.end);
            if from < to {
                return Some(Interval { start: from, end: to });
            }
        }
        None
    })
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "parse `{0}` as a GTID set: expected sources with intervals, like 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7"
)]
pub struct ParseGtidSetError(String);

impl FromStr for GtidSet {
    type Err = ParseGtidSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut set = Self::default();
        // SELECT @@gtid_executed breaks its lines after commas.
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            parse_part(part, &mut set).ok_or_else(|| ParseGtidSetError(part.to_owned()))?;
        }
        Ok(set)
    }
}

fn parse_part(part: &str, set: &mut GtidSet) -> Option<()> {
    let mut items = part.split(':').map(str::trim);
    let mut source = GtidSource { uuid: parse_uuid(items.next()?)?, tag: Tag::NONE };
    let mut tag_is_open = true;
    for item in items {
        if let Some(tag) = Tag::parse(item) {
            source.tag = tag;
            tag_is_open = true;
        } else {
            let interval = parse_interval(item)?;
            // An empty one (5-4) is allowed by the server and means nothing.
            if interval.start < interval.end {
                insert(set.intervals_mut(&source), interval);
            }
            tag_is_open = false;
        }
    }
    (!tag_is_open).then_some(())
}

fn parse_interval(text: &str) -> Option<Interval> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number: u64 = digits.then(|| text.parse().ok())??;
        (1..GNO_END).contains(&number).then_some(number)
    };
    let (start, end) = match text.split_once('-') {
        Some((start, end)) => (number(start)?, number(end)?),
        None => (number(text)?, number(text)?),
    };
    Some(Interval { start, end: end + 1 })
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Option<&GtidSource> = None;
        for (source, intervals) in &self.sources {
            match before {
                Some(before) if before.uuid == source.uuid => write!(f, ":{}", source.tag())?,
                Some(_) => write!(f, ",{source}")?,
                None => write!(f, "{source}")?,
            }
            for interval in intervals {
                write!(f, ":{}", interval.start)?;
                if interval.end - interval.start > 1 {
                    write!(f, "-{}", interval.end - 1)?;
                }
            }
            before = Some(source);
        }
        Ok(())
    }
}

impl Serialize for GtidSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GtidSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

mod wire;
pub use wire::DecodeGtidSetError;

#[cfg(test)]
mod tests;
