//! The events that begin a transaction and give it its name.

use super::parse_error::ParseError;
use super::reader::Reader;
use crate::offsets::position::{GtidSource, MariadbGtid};

/// MySQL's GTID events, with and without tag, and the anonymous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GtidEvent {
    /// `None`: anonymous, `gtid_mode` is off.
    pub gtid: Option<(GtidSource, u64)>,
    /// Microseconds since 1970 of the commit on the server where the transaction began; `None`
    /// from servers before 8.0.1.
    pub original_commit_us: Option<u64>,
}

/// `Gtid_event::LOGICAL_TIMESTAMP_TYPECODE`.
const LOGICAL_TIMESTAMP: u8 = 2;
/// `ENCODED_COMMIT_TIMESTAMP_LENGTH` is 55 bits; the 56th says that another one follows.
const OTHER_TIMESTAMP_FOLLOWS: u64 = 1 << 55;

/// `GTID_LOG_EVENT` and `ANONYMOUS_GTID_LOG_EVENT` (`Gtid_event` in `control_events.h`).
///
/// # Errors
/// When the bytes are no such event.
pub fn parse(body: &[u8], anonymous: bool) -> Result<GtidEvent, ParseError> {
    let mut reader = Reader::new(body);
    let _flags = reader.u8()?;
    let uuid = reader.array()?;
    let number = reader.u64()?;
    let gtid = if anonymous { None } else { Some(named(uuid, "", number)?) };
    let mut original_commit_us = None;
    // Behind the logical timestamps, which are for parallel appliers.
    if reader.u8().is_ok_and(|code| code == LOGICAL_TIMESTAMP) && reader.take(16).is_ok() {
        original_commit_us = match reader.u56() {
            Ok(immediate) if immediate & OTHER_TIMESTAMP_FOLLOWS != 0 => Some(reader.u56()?),
            Ok(immediate) => Some(immediate),
            Err(_) => None,
        };
    }
    Ok(GtidEvent { gtid, original_commit_us })
}

fn named(uuid: [u8; 16], tag: &str, number: u64) -> Result<(GtidSource, u64), ParseError> {
    let source = GtidSource::new(uuid, tag).ok_or(ParseError::Malformed("a malformed GTID tag"))?;
    // `GNO_END` is not a number of a transaction.
    if number == 0 || number >= i64::MAX.unsigned_abs() {
        return Err(ParseError::Malformed("a GTID without a number"));
    }
    Ok((source, number))
}

/// `GTID_TAGGED_LOG_EVENT` of MySQL 8.3 and newer, in the format of `libs/mysql/serialization`:
/// version, size, the last field that must be understood, then fields by id
/// (`Gtid_event::define_fields`).
///
/// # Errors
/// When the bytes are no such event, or a field that must be understood is not known.
pub fn parse_tagged(body: &[u8]) -> Result<GtidEvent, ParseError> {
    let mut fields = Reader::new(body);
    // The version too is a variable-length integer.
    if varlen(&mut fields)? != 1 {
        return Err(ParseError::Malformed("a tagged GTID event of an unknown version"));
    }
    let _size = varlen(&mut fields)?;
    let last_required = varlen(&mut fields)?;
    let (mut uuid, mut number, mut tag) = ([0; 16], None, "");
    let (mut immediate, mut original) = (None, None);
    while !fields.is_empty() {
        match varlen(&mut fields)? {
            1 => {
                for byte in &mut uuid {
                    *byte = u8::try_from(varlen(&mut fields)?)
                        .map_err(|_| ParseError::Malformed("a uuid in a tagged GTID event"))?;
                }
            }
            // Zig-zag, the lowest bit is the sign.
            2 => number = Some(varlen(&mut fields)?).filter(|n| n & 1 == 0).map(|n| n >> 1),
            3 => {
                let length = usize::try_from(varlen(&mut fields)?)
                    .map_err(|_| ParseError::Malformed("a tag in a tagged GTID event"))?;
                tag = std::str::from_utf8(fields.take(length)?).map_err(|_| ParseError::NotUtf8)?;
            }
            6 => immediate = Some(varlen(&mut fields)?),
            7 => original = Some(varlen(&mut fields)?),
            // Flags, logical timestamps, length, server versions, commit group ticket.
            0 | 4 | 5 | 8..=11 => _ = varlen(&mut fields)?,
            field if field <= last_required => return Err(ParseError::GtidField(field)),
            // Its length is not known, and fields come in order.
            _ => break,
        }
    }
    let number = number.ok_or(ParseError::Malformed("a tagged GTID event without a number"))?;
    let gtid = Some(named(uuid, tag, number)?);
    Ok(GtidEvent { gtid, original_commit_us: original.or(immediate) })
}

/// As many ones as the lowest bits of the first byte have, so many bytes follow
/// (`variable_length_integers.h`).
fn varlen(reader: &mut Reader<'_>) -> Result<u64, ParseError> {
    let first = reader.u8()?;
    let more = first.trailing_ones();
    let mut bytes = [0; 8];
    let length = usize::try_from(more).unwrap_or(8);
    let (slots, _) = bytes.split_at_mut(length);
    slots.copy_from_slice(reader.take(length)?);
    let high = u64::from_le_bytes(bytes);
    // 8 bits hold nothing of the number once seven or eight of them are ones.
    if more >= 7 {
        return Ok(high);
    }
    Ok(u64::from(first >> (more + 1)) | high << (7 - more))
}

/// MariaDB's `Gtid_log_event` (`sql/log_event.h`), which stands in for BEGIN too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MariadbGtidEvent<'a> {
    pub gtid: MariadbGtid,
    /// `FL_STANDALONE`: one event follows, and no commit.
    pub standalone: bool,
    pub xa: MariadbXa<'a>,
    pub alter: MariadbAlter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MariadbXa<'a> {
    None,
    /// `FL_PREPARED_XA`: the rows of a transaction that is prepared here and decided later.
    Prepared(Xid<'a>),
    /// `FL_COMPLETED_XA`: the decision, a statement.
    Completed(Xid<'a>),
}

/// Which part of an ALTER TABLE the statement is: with `binlog_alter_two_phase` (10.8 and newer) it
/// is in the log when it begins and when it ends, with the same text, each time as a group of its
/// own; rows of other transactions may stand between.
/// <https://mariadb.com/kb/en/replication-and-binary-log-system-variables/#binlog_alter_two_phase>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MariadbAlter {
    /// Of an ALTER that is in the log once, as of any other statement, there is only the whole.
    Whole,
    /// `FL_START_ALTER_E1`: nothing has changed yet, and it may yet fail.
    Begins,
    /// `FL_COMMIT_ALTER_E1`
    Commits,
    /// `FL_ROLLBACK_ALTER_E1`: it failed.
    RollsBack,
}

impl MariadbAlter {
    /// Of `flags_extra`, the byte behind all else: there are none in logs before 10.8, and zeros
    /// fill up short events (`Gtid_log_event::Gtid_log_event` in `sql/log_event.cc`). What other
    /// flags stand for comes behind that byte.
    fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        const START: u8 = 2;
        const COMMIT: u8 = 4;
        const ROLLBACK: u8 = 8;
        if reader.is_empty() {
            return Ok(Self::Whole);
        }
        match reader.u8()? & (START | COMMIT | ROLLBACK) {
            0 => Ok(Self::Whole),
            START => Ok(Self::Begins),
            COMMIT => Ok(Self::Commits),
            ROLLBACK => Ok(Self::RollsBack),
            _ => Err(ParseError::Malformed("two parts of an ALTER in one")),
        }
    }

    /// Whether the statement has changed what it is about.
    #[must_use]
    pub fn is_done(self) -> bool {
        match self {
            Self::Whole | Self::Commits => true,
            Self::Begins | Self::RollsBack => false,
        }
    }
}

/// The name of an XA transaction. Without the lengths of its two parts: the statements that name
/// it are compared with it in the server's own normal form (see `sources::mysql::statement`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xid<'a> {
    pub format: u32,
    pub global: &'a [u8],
    pub branch: &'a [u8],
}

impl<'a> MariadbGtidEvent<'a> {
    /// The server id of a MariaDB GTID is the header's.
    ///
    /// # Errors
    /// When the bytes are no such event.
    pub fn parse(body: &'a [u8], server_id: u32) -> Result<Self, ParseError> {
        const STANDALONE: u8 = 1;
        const GROUP_COMMIT_ID: u8 = 2;
        const PREPARED_XA: u8 = 64;
        const COMPLETED_XA: u8 = 128;
        let mut reader = Reader::new(body);
        let sequence = reader.u64()?;
        let domain = reader.u32()?;
        let flags = reader.u8()?;
        if flags & GROUP_COMMIT_ID != 0 {
            reader.u64()?;
        }
        let xa = if flags & (PREPARED_XA | COMPLETED_XA) == 0 {
            MariadbXa::None
        } else {
            let xid = Xid::parse(&mut reader)?;
            if flags & PREPARED_XA != 0 {
                MariadbXa::Prepared(xid)
            } else {
                MariadbXa::Completed(xid)
            }
        };
        let alter = MariadbAlter::parse(&mut reader)?;
        let gtid = MariadbGtid { domain, server_id, sequence };
        Ok(Self { gtid, standalone: flags & STANDALONE != 0, xa, alter })
    }
}

impl<'a> Xid<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let format = reader.u32()?;
        let (global, branch) = (reader.u8()?, reader.u8()?);
        let global = reader.take(usize::from(global))?;
        Ok(Self { format, global, branch: reader.take(usize::from(branch))? })
    }

    /// The body of `XA_prepare_event` behind its first byte: the lengths have four bytes there.
    fn parse_prepare(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let format = reader.u32()?;
        let length = |n: u32| usize::try_from(n).map_err(|_| ParseError::Malformed("a length"));
        let (global, branch) = (length(reader.u32()?)?, length(reader.u32()?)?);
        let global = reader.take(global)?;
        Ok(Self { format, global, branch: reader.take(branch)? })
    }
}

/// `XA_prepare_event`: the end of the rows of an XA transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XaPrepare<'a> {
    /// `XA COMMIT … ONE PHASE`: committed here and now.
    pub one_phase: bool,
    pub xid: Xid<'a>,
}

impl<'a> XaPrepare<'a> {
    /// # Errors
    /// When the bytes are no such event.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let one_phase = reader.u8()? != 0;
        Ok(Self { one_phase, xid: Xid::parse_prepare(&mut reader)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_alter_are_told_apart_behind_whatever_comes_before() {
        const START: &[u8] = &[7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        let alter = |flags: u8, rest: &[u8]| {
            let body = [START, &[flags], rest].concat();
            MariadbGtidEvent::parse(&body, 1).map(|parsed| parsed.alter)
        };
        use MariadbAlter::{Begins, Commits, RollsBack, Whole};
        // Filled up, as before 10.8; with the number of a group commit, which may look like flags.
        assert_eq!(alter(1, &[0; 6]), Ok(Whole));
        assert_eq!(alter(2, &[2; 8]), Ok(Whole));
        assert_eq!(alter(2, &[2, 2, 2, 2, 2, 2, 2, 2, 0]), Ok(Whole));
        assert_eq!(alter(1, &[2, 0, 0, 0, 0, 0]), Ok(Begins));
        assert_eq!(alter(3, &[0, 0, 0, 0, 0, 0, 0, 0, 2]), Ok(Begins));
        assert_eq!(alter(1, &[4, 6, 0, 0, 0, 0, 0, 0, 0]), Ok(Commits));
        assert_eq!(alter(1, &[8, 6, 0, 0, 0, 0, 0, 0, 0]), Ok(RollsBack));
        // More than one engine, which another byte counts, and flags of later days.
        assert_eq!(alter(1, &[1 | 4, 2, 6, 0, 0, 0, 0, 0, 0, 0]), Ok(Commits));
        assert_eq!(alter(1, &[1 | 16, 4, 9, 0, 0, 0]), Ok(Whole));
        let xid = [1, 0, 0, 0, 1, 1, b'g', b'b'];
        assert_eq!(alter(128, &[&xid[..], &[8, 6, 0, 0, 0, 0, 0, 0, 0]].concat()), Ok(RollsBack));
        assert!(alter(1, &[2 | 4]).is_err());
    }
}
