//! A first look at the frames of a stream: just enough to keep it alive and to end it in the right
//! place. Everything else is the decoder's.

use super::pgoutput::{Frame, Message, parse_frame, parse_message};
use super::wire::CopyFrames;
use crate::offsets::position::Lsn;

/// Leaves only what comes before `until`: the first transaction that commits there or later, or a
/// word that the log has come so far, and everything behind it, goes. Says whether it met one.
/// Transactions come in the order of their commits, so nothing before `until` is behind it; and a
/// slot's snapshot holds exactly the transactions whose commit record begins before its
/// consistent point (`SnapBuildXactNeedsSkip` in `snapbuild.c`).
pub(super) fn cut(frames: &mut CopyFrames, until: Lsn) -> bool {
    let CopyFrames { data, payloads } = frames;
    let met = payloads.iter().position(|range| {
        let payload = data.get(range.start as usize..range.end as usize).unwrap_or_default();
        match parse_frame(payload) {
            Ok(Frame::Keepalive { end }) => end >= until,
            Ok(Frame::XLogData { body, .. }) => match parse_message(body) {
                Ok(Message::Begin { final_lsn, .. }) => final_lsn >= until,
                // The decoder says what is wrong with it.
                Ok(_) | Err(_) => false,
            },
            Err(_) => false,
        }
    });
    payloads.truncate(met.unwrap_or(payloads.len()));
    met.is_some()
}

/// Leaves what comes up to the first commit, and that commit.
pub(super) fn cut_behind_commit(frames: &mut CopyFrames) {
    let CopyFrames { data, payloads } = frames;
    let commit = payloads.iter().position(|range| {
        let payload = data.get(range.start as usize..range.end as usize);
        payload.and_then(message_kind) == Some(COMMIT)
    });
    payloads.truncate(commit.map_or(payloads.len(), |at| at + 1));
}

/// `Begin` and `Commit` of the logical replication message formats.
/// <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>
pub(super) const BEGIN: u8 = b'B';
pub(super) const COMMIT: u8 = b'C';
/// `w`, two positions and a time stand before the message.
const XLOG_HEADER_BYTES: usize = 25;

pub(super) fn message_kind(payload: &[u8]) -> Option<u8> {
    (*payload.first()? == b'w').then(|| payload.get(XLOG_HEADER_BYTES).copied())?
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    Log { start: Lsn },
    Keepalive { end: Lsn, wants_answer: bool },
}

/// `w`: start of the data, present end of the log, time. `k`: end of what was sent, time, whether
/// an answer is wanted.
/// <https://www.postgresql.org/docs/current/protocol-replication.html>
pub(super) fn header(payload: &[u8]) -> Option<Header> {
    let (kind, rest) = payload.split_first()?;
    let (lsn, rest) = rest.split_first_chunk::<8>()?;
    let lsn = Lsn(u64::from_be_bytes(*lsn));
    match kind {
        b'w' => Some(Header::Log { start: lsn }),
        b'k' => Some(Header::Keepalive { end: lsn, wants_answer: *rest.get(8)? == 1 }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(message: &[u8]) -> Vec<u8> {
        [&b"w"[..], &[0; 24], message].concat()
    }

    fn frames(payloads: &[Vec<u8>]) -> CopyFrames {
        let mut at = 0;
        let ranges = payloads.iter().map(|p| {
            let start = at;
            at += u32::try_from(p.len()).unwrap();
            start..at
        });
        let ranges = ranges.collect();
        CopyFrames { data: payloads.concat().into(), payloads: ranges }
    }

    #[test]
    fn a_stream_with_an_end_stops_before_the_first_transaction_that_commits_there() {
        let begin = |commit: u64| log(&[&b"B"[..], &commit.to_be_bytes(), &[0; 12]].concat());
        let keepalive = |end: u64| [&b"k"[..], &end.to_be_bytes(), &[0; 8], &[0]].concat();
        let check = |payloads: &[Vec<u8>], kept: usize, met: bool| {
            let mut frames = frames(payloads);
            assert_eq!(cut(&mut frames, Lsn(100)), met);
            assert_eq!(frames.payloads.len(), kept);
        };
        check(&[begin(98), keepalive(99), begin(99)], 3, false);
        check(&[begin(99), begin(100), begin(101)], 1, true);
        check(&[begin(99), keepalive(100), begin(101)], 1, true);
        check(&[keepalive(100)], 0, true);
    }

    #[test]
    fn a_stream_that_is_left_ends_with_the_commit_of_its_transaction() {
        let check = |messages: &[&[u8]], kept: usize| {
            let payloads: Vec<Vec<u8>> = messages.iter().map(|message| log(message)).collect();
            let mut frames = frames(&payloads);
            cut_behind_commit(&mut frames);
            assert_eq!(frames.payloads.len(), kept);
        };
        check(&[b"I1", b"C1", b"B2", b"I2", b"C2"], 2);
        check(&[b"C1", b"B2"], 1);
        check(&[b"I1", b"I1"], 2);
        check(&[b""], 1);
    }

    #[test]
    fn headers_are_read_from_any_bytes() {
        let keepalive = |wants| [&b"k\0\0\0\0\0\0\0\x09"[..], &[0; 8], &[wants]].concat();
        assert_eq!(
            header(&keepalive(1)),
            Some(Header::Keepalive { end: Lsn(9), wants_answer: true })
        );
        assert_eq!(
            header(&keepalive(0)),
            Some(Header::Keepalive { end: Lsn(9), wants_answer: false })
        );
        assert_eq!(header(&keepalive(1)[..17]), None);
        assert_eq!(header(b"w\0\0\0\0\0\0\0\x01rest"), Some(Header::Log { start: Lsn(1) }));
        assert_eq!(header(b"w\0\0"), None);
        assert_eq!(header(b"x\0\0\0\0\0\0\0\x01"), None);
        assert_eq!(header(b""), None);
    }
}
