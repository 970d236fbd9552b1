//! MongoDB: a resume token of a change stream.
//!
//! A token is the server's own: it is kept byte for byte and handed back as it came. Two things are
//! read out of it all the same, because the checkpoint needs an order. The servers of our range
//! (4.2 and newer) write the text `_data`, the hexadecimal digits of a KeyString, which was made to
//! be compared byte by byte; it begins with the cluster time. That is what the server itself sorts
//! the events of several shards by, see `src/mongo/db/pipeline/resume_token.h`: "the resume token
//! [..] is stored in a sortable format".

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Before the base64 of a token that has more than `_data`.
const BSON_PREFIX: &str = "bson:";
/// Type byte of a timestamp in a KeyString (`CType::kTimestamp`, 130), and its eight bytes.
const CLUSTER_TIME_PREFIX: &str = "82";
const CLUSTER_TIME_DIGITS: usize = 16;

/// What a change stream is resumed from: one BSON document of the server's, untouched.
///
/// In text it is the `_data` alone, as Debezium's offsets and the server's messages have it; a
/// token that has more than that is `bson:` and the base64 of the whole.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeToken {
    bson: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read a resume token: {0}")]
pub struct ResumeTokenError(&'static str);

impl ResumeToken {
    /// Of the bytes of the whole document: an event's `_id`, or a `postBatchResumeToken`.
    ///
    /// # Errors
    /// When the bytes are not as long as they say. What is in them is the server's business.
    pub fn from_bson(bson: &[u8]) -> Result<Self, ResumeTokenError> {
        let stated = bson.first_chunk::<4>().map(|length| i32::from_le_bytes(*length));
        let stated = stated.and_then(|length| usize::try_from(length).ok());
        if stated != Some(bson.len()) || bson.len() < 5 || bson.last() != Some(&0) {
            return Err(ResumeTokenError("no whole BSON document"));
        }
        Ok(Self { bson: bson.to_vec() })
    }

    #[must_use]
    pub fn as_bson(&self) -> &[u8] {
        &self.bson
    }

    /// The text in `_data`, with which every token of our range begins.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        self.split().map(|(data, _)| data)
    }

    /// The text in `_data`, and what follows it. Where a number in the event's `_id` is no int32,
    /// that is `_typeBits` (`ResumeToken::toDocument` in `resume_token.cpp`): the types of numbers,
    /// which the KeyString itself does not tell apart, and which its order does not need.
    fn split(&self) -> Option<(&str, &[u8])> {
        // <https://bsonspec.org/spec.html>: int32 length, then 0x02, name, int32 length of the text
        // with its zero, text, zero, and at the end the document's own zero.
        let rest = self.bson.get(4..)?.strip_prefix(b"\x02_data\0")?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_le_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        let text = text.strip_suffix(b"\0").filter(|text| !text.contains(&0))?;
        Some((std::str::from_utf8(text).ok()?, rest))
    }

    /// The cluster time that it begins with: seconds since the epoch, then a counter of 32 bits.
    #[must_use]
    pub fn cluster_time(&self) -> Option<u64> {
        let digits = self.data()?.strip_prefix(CLUSTER_TIME_PREFIX)?.get(..CLUSTER_TIME_DIGITS)?;
        digits.bytes().all(|c| c.is_ascii_hexdigit()).then_some(())?;
        u64::from_str_radix(digits, 16).ok()
    }

    /// The order of the stream, where both are sortable; equality otherwise.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        if self == other {
            return Some(Ordering::Equal);
        }
        self.cluster_time()?;
        other.cluster_time()?;
        // Digits of one length, so their own order is that of the bytes that they stand for.
        Some(self.data()?.cmp(other.data()?))
    }

    /// Sorts before every token of that time. The server never made it, and never sees it.
    ///
    /// # Panics
    /// Never: the text is short.
    #[must_use]
    pub fn before(cluster_time: u64) -> Self {
        let digits = format!("{CLUSTER_TIME_PREFIX}{cluster_time:016X}");
        Self::of_data(&digits).expect("18 digits are not too long")
    }

    /// Sorts behind the token that stands for the bare time of this one, and before those of the
    /// events of that time. Neither was it made by a server. (`resume_token.cpp`: behind the time
    /// come the version and the token's type, which is 0 for a bare time, the byte 0x29, and 128
    /// for an event, 0x2C.)
    #[must_use]
    pub fn behind_its_time(&self) -> Option<Self> {
        const TIME_AND_VERSION_DIGITS: usize = 22;
        let head = self.data()?.get(..TIME_AND_VERSION_DIGITS)?;
        Self::of_data(&format!("{head}2A")).ok()
    }

    fn of_data(data: &str) -> Result<Self, ResumeTokenError> {
        let too_long = |_| ResumeTokenError("too long");
        let text = i32::try_from(data.len() + 1).map_err(too_long)?;
        let whole = i32::try_from(data.len() + 17).map_err(too_long)?;
        let mut bson = whole.to_le_bytes().to_vec();
        bson.extend_from_slice(b"\x02_data\0");
        bson.extend_from_slice(&text.to_le_bytes());
        bson.extend_from_slice(data.as_bytes());
        bson.extend_from_slice(&[0, 0]);
        Ok(Self { bson })
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.split() {
            Some((data, b"\0")) if !data.starts_with(BSON_PREFIX) => f.write_str(data),
            Some(_) | None => write!(f, "{BSON_PREFIX}{}", STANDARD.encode(&self.bson)),
        }
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResumeToken({self})")
    }
}

impl FromStr for ResumeToken {
    type Err = ResumeTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(BSON_PREFIX) {
            Some(base64) => {
                let bson = STANDARD.decode(base64);
                Self::from_bson(&bson.map_err(|_| ResumeTokenError("no base64"))?)
            }
            None if text.is_empty() || text.contains('\0') => {
                Err(ResumeTokenError("no text of one"))
            }
            None => Self::of_data(text),
        }
    }
}

impl Serialize for ResumeToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResumeToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Every event up to the one of `token`, or up to the time that it stands for, is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MongodbPosition {
    pub token: ResumeToken,
    /// Of the event, or of the batch's end: seconds since the epoch in the upper half, a counter
    /// in the lower. For metrics and for a person.
    pub cluster_time: Option<u64>,
    /// The replica set's name, or what stands for the sharded cluster.
    pub lineage: String,
}

impl MongodbPosition {
    /// By token; where tokens of two formats have no order, by time, if it differs.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        if self.lineage != other.lineage {
            return None;
        }
        self.token.compare(&other.token).or_else(|| {
            let order = self.time()?.cmp(&other.time()?);
            (order != Ordering::Equal).then_some(order)
        })
    }

    fn time(&self) -> Option<u64> {
        self.token.cluster_time().or(self.cluster_time)
    }

    pub(super) fn as_metric(&self) -> u64 {
        self.cluster_time.or_else(|| self.token.cluster_time()).unwrap_or_default()
    }
}

impl fmt::Display for MongodbPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.token)?;
        if let Some(time) = self.cluster_time {
            write!(f, " at {}:{}", time >> 32, time & 0xFFFF_FFFF)?;
        }
        write!(f, " ({})", self.lineage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of a 4.4 server's replies.
    const IDLE: &str = "826B005F93000000052B0229296E04";
    const EVENT: &str = "826B005F93000000052B022C0100296E5A10049091A62E013D4E6FADF306AA86274E89461E5F6964002B020004";
    const NEXT: &str = "826B005F93000000062B022C0100296E5A10049091A62E013D4E6FADF306AA86274E89461E5F6964002B040004";

    fn position(token: &str, lineage: &str) -> MongodbPosition {
        let token: ResumeToken = token.parse().unwrap();
        MongodbPosition { cluster_time: token.cluster_time(), token, lineage: lineage.into() }
    }

    #[test]
    fn a_token_is_kept_byte_for_byte() {
        let token: ResumeToken = EVENT.parse().unwrap();
        let bson = token.as_bson().to_vec();
        assert_eq!(bson.len(), EVENT.len() + 17);
        assert_eq!(bson.get(..11), Some(&b"\x6B\0\0\0\x02_data\0"[..]));
        assert_eq!(ResumeToken::from_bson(&bson).unwrap(), token);
        assert_eq!((token.data(), token.to_string().as_str()), (Some(EVENT), EVENT));
        assert_eq!(token.cluster_time(), Some(0x6B00_5F93_0000_0005));
    }

    /// As the manual shows them for an `_id` that is a double.
    fn with_type_bits(data: &str) -> ResumeToken {
        let mut bson = vec![0; 4];
        bson.extend_from_slice(b"\x02_data\0");
        bson.extend_from_slice(&i32::try_from(data.len() + 1).unwrap().to_le_bytes());
        bson.extend_from_slice(data.as_bytes());
        bson.extend_from_slice(b"\0\x05_typeBits\0\x01\0\0\0\0@\0");
        let length = i32::try_from(bson.len()).unwrap().to_le_bytes();
        bson[..4].copy_from_slice(&length);
        ResumeToken::from_bson(&bson).unwrap()
    }

    #[test]
    fn a_token_with_type_bits_is_kept_whole_and_has_its_place_in_the_order() {
        let token = with_type_bits(EVENT);
        let plain: ResumeToken = EVENT.parse().unwrap();
        assert_eq!((token.data(), token.cluster_time()), (Some(EVENT), plain.cluster_time()));
        let text = serde_json::to_string(&token).unwrap();
        assert!(text.starts_with("\"bson:"), "{text}");
        assert_eq!(serde_json::from_str::<ResumeToken>(&text).unwrap(), token);
        assert_eq!(token.compare(&token), Some(Ordering::Equal));
        let idle: ResumeToken = IDLE.parse().unwrap();
        assert_eq!(idle.compare(&token), Some(Ordering::Less));
        assert_eq!(token.compare(&idle), Some(Ordering::Greater));
    }

    #[test]
    fn a_token_of_another_form_survives_too() {
        // { other: "82" }
        let bson = b"\x13\0\0\0\x02other\0\x03\0\0\x0082\0\0";
        let token = ResumeToken::from_bson(bson).unwrap();
        assert_eq!(token.data(), None);
        let text = serde_json::to_string(&token).unwrap();
        assert!(text.starts_with("\"bson:"), "{text}");
        assert_eq!(serde_json::from_str::<ResumeToken>(&text).unwrap(), token);
        assert_eq!(token.compare(&EVENT.parse().unwrap()), None);
        assert_eq!(token.compare(&token), Some(Ordering::Equal));
    }

    #[test]
    fn what_is_no_document_is_no_token() {
        for bytes in [&b""[..], b"\x05\0\0\0", b"\x06\0\0\0\0", b"\x05\0\0\0\x01"] {
            assert!(ResumeToken::from_bson(bytes).is_err(), "{bytes:?}");
        }
        for text in ["", "bson:", "bson:!", "bson:AAAA", "a\0b"] {
            assert!(text.parse::<ResumeToken>().is_err(), "{text}");
        }
    }

    #[test]
    fn tokens_are_ordered_as_the_stream_is() {
        let compare = |a: &str, b: &str| position(a, "rs0").compare(&position(b, "rs0"));
        assert_eq!(compare(IDLE, EVENT), Some(Ordering::Less), "a time comes before its events");
        let before = ResumeToken::before(0x6B00_5F93_0000_0005).to_string();
        assert_eq!(compare(&before, IDLE), Some(Ordering::Less));
        let idle: ResumeToken = IDLE.parse().unwrap();
        let behind = idle.behind_its_time().unwrap().to_string();
        assert_eq!(compare(IDLE, &behind), Some(Ordering::Less));
        assert_eq!(compare(&behind, EVENT), Some(Ordering::Less));
        assert_eq!(compare(EVENT, NEXT), Some(Ordering::Less));
        assert_eq!(compare(NEXT, IDLE), Some(Ordering::Greater));
        assert_eq!(compare(NEXT, NEXT), Some(Ordering::Equal));
        assert_eq!(position(IDLE, "rs0").compare(&position(IDLE, "rs1")), None);
        assert_eq!(compare("nonsense", EVENT), None);
    }

    #[test]
    fn a_token_without_an_order_is_placed_by_its_time() {
        let mut unsorted = position("nonsense", "rs0");
        let event = position(EVENT, "rs0");
        unsorted.cluster_time = Some(1);
        assert_eq!(unsorted.compare(&event), Some(Ordering::Less));
        unsorted.cluster_time = event.cluster_time;
        assert_eq!(unsorted.compare(&event), None);
    }

    #[test]
    fn a_position_is_written_as_it_is_read() {
        let position = position(IDLE, "rs0");
        let json = serde_json::to_value(&position).unwrap();
        assert_eq!(json["token"], IDLE);
        assert_eq!(serde_json::from_value::<MongodbPosition>(json).unwrap(), position);
        assert_eq!(position.to_string(), format!("{IDLE} at 1795186579:5 (rs0)"));
    }
}
