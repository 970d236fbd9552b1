//! A GTID set as `COM_BINLOG_DUMP_GTID` wants it. Pure.
//!
//! Both forms stand in `Gtid_set::encode` of `sql/rpl_gtid_set.cc`: the old one, a count and then
//! UUIDs with intervals; and since 8.3 the one with tags, whose count has a 1 in its first and in
//! its last byte.

use std::collections::BTreeMap;

use super::error::SourceError;

const TAG_BYTES_MAX: usize = 32;

/// A UUID and a tag, empty where there is none.
type Source = ([u8; 16], String);
/// First transaction and the one behind the last.
type Interval = (u64, u64);

/// Reads `uuid[:tag]:1-5:7[:tag:3],…` as the server prints it, and encodes it.
///
/// # Errors
/// When the text is no GTID set.
pub(super) fn encode(text: &str) -> Result<Vec<u8>, SourceError> {
    let sources =
        parse(text).map_err(|detail| SourceError::GtidText { text: text.to_owned(), detail })?;
    let tagged = sources.keys().any(|(_, tag)| !tag.is_empty());
    let n_sources = u64::try_from(sources.len()).unwrap_or(u64::MAX);
    let count = if tagged { 1 | n_sources << 8 | 1 << 56 } else { n_sources };
    let mut encoded = count.to_le_bytes().to_vec();
    for ((uuid, tag), intervals) in &sources {
        encoded.extend_from_slice(uuid);
        if tagged {
            // One byte of `mysql::serialization` holds lengths below 64, shifted by one.
            encoded.push(u8::try_from(tag.len() << 1).unwrap_or_default());
            encoded.extend_from_slice(tag.as_bytes());
        }
        encoded.extend_from_slice(&intervals.len().to_le_bytes());
        for (from, to) in intervals {
            encoded.extend_from_slice(&from.to_le_bytes());
            encoded.extend_from_slice(&to.to_le_bytes());
        }
    }
    Ok(encoded)
}

fn parse(text: &str) -> Result<BTreeMap<Source, Vec<Interval>>, &'static str> {
    let mut sources: BTreeMap<Source, Vec<Interval>> = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let mut words = part.split(':').map(str::trim);
        let uuid = uuid(words.next().unwrap_or_default())?;
        let mut tag = String::new();
        let mut n_intervals = 0;
        for word in words {
            if word.starts_with(|c: char| c.is_ascii_digit()) {
                sources.entry((uuid, tag.clone())).or_default().push(interval(word)?);
                n_intervals += 1;
            } else {
                tag = checked_tag(word)?;
            }
        }
        if n_intervals == 0 {
            return Err("a UUID without a transaction");
        }
    }
    for intervals in sources.values_mut() {
        *intervals = merged(std::mem::take(intervals));
    }
    Ok(sources)
}

fn uuid(text: &str) -> Result<[u8; 16], &'static str> {
    const DETAIL: &str = "a UUID has 32 hexadecimal digits";
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_digit(16).ok_or(DETAIL))
        .collect::<Result<_, _>>()?;
    let mut uuid = [0; 16];
    if digits.len() != 32 {
        return Err(DETAIL);
    }
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
        let value = pair.iter().fold(0, |value, digit| value << 4 | digit);
        *byte = u8::try_from(value).map_err(|_| DETAIL)?;
    }
    Ok(uuid)
}

fn checked_tag(text: &str) -> Result<String, &'static str> {
    let tag = text.to_ascii_lowercase();
    let first = tag.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let all = tag.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    match first && all && tag.len() <= TAG_BYTES_MAX {
        true => Ok(tag),
        false => Err("a tag has up to 32 letters, digits and underscores"),
    }
}

fn interval(text: &str) -> Result<Interval, &'static str> {
    const DETAIL: &str = "an interval is one number, or two with a dash";
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| DETAIL);
    let (first, last) = (number(first)?, number(last)?);
    // The server's numbers are signed.
    if first == 0 || last < first || last >= i64::MAX.unsigned_abs() {
        return Err(DETAIL);
    }
    // The encoding names the first that is not in it.
    Ok((first, last + 1))
}

fn merged(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut merged: Vec<Interval> = Vec::new();
    for (from, to) in intervals {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn numbers(encoded: &[u8]) -> Vec<u64> {
        let words = encoded.chunks_exact(8);
        words.map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
    }

    #[test]
    fn sets_without_tags_keep_the_form_that_every_server_reads() {
        assert_eq!(encode("").unwrap(), [0; 8]);
        let encoded = encode(&format!("{A}:1-5:7")).unwrap();
        assert_eq!(numbers(&encoded[..8]), [1]);
        assert_eq!(encoded[8..12], [0x3e, 0x11, 0xfa, 0x47]);
        assert_eq!(numbers(&encoded[24..]), [2, 1, 6, 7, 8]);
    }

    #[test]
    fn intervals_are_sorted_and_merged_over_repeated_uuids() {
        let encoded = encode(&format!("{A}:9:1-3,\n{}:4-5:8", A.to_uppercase())).unwrap();
        assert_eq!(numbers(&encoded[24..]), [2, 1, 6, 8, 10]);
    }

    #[test]
    fn tags_change_the_form_of_all() {
        let encoded = encode(&format!("{A}:1-2:red:5")).unwrap();
        assert_eq!(encoded[..8], [1, 2, 0, 0, 0, 0, 0, 1]);
        assert_eq!(encoded[24], 0, "no tag comes first");
        assert_eq!(numbers(&encoded[25..49]), [1, 1, 3]);
        assert_eq!(encoded[65..69], [6, b'r', b'e', b'd']);
        assert_eq!(numbers(&encoded[69..]), [1, 5, 6]);
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in [
            "x",
            A,
            &format!("{A}:"),
            &format!("{A}:0"),
            &format!("{A}:5-4"),
            &format!("{A}:1-2-3"),
            &format!("{A}:red"),
            &format!("{A}:re d:1"),
            &format!("{A}:9223372036854775807"),
            &format!("{A}f:1"),
            "0-1-100",
        ] {
            assert!(encode(text).is_err(), "{text}");
        }
    }
}
