//! XA transactions that are prepared and not yet decided.
//!
//! Their rows stand in the log where they were prepared, and leave only when the log says that
//! they were committed. Until then their events are kept here, bounded: an XA transaction that
//! nobody decides stops the pipeline, instead of growing it. A crash loses nothing, because the
//! position lets reading start again before the oldest of them.

use crate::sources::mysql::binlog::gtid::Xid;
use crate::sources::mysql::decode_error::DecodeError;

/// All of them together. Half of what the whole process may take.
pub(crate) const PREPARED_BYTES_MAX: usize = 64 << 20;

/// Table maps and rows events of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
    /// Where each event ends in `bytes`, and where it began in the log.
    events: Vec<(usize, u64)>,
}

impl Kept {
    fn push(&mut self, event: &[u8], offset: u64) {
        self.bytes.extend_from_slice(event);
        self.events.push((self.bytes.len(), offset));
    }

    /// Each event with where it began.
    pub(crate) fn events(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let mut start = 0;
        self.events.iter().map(move |(end, offset)| {
            let event = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            (event, *offset)
        })
    }
}

/// One prepared transaction.
#[derive(Debug)]
pub(crate) struct Prepared<G> {
    /// The server's normal form: `X'7831',X'',1`, in lower case.
    pub(crate) name: String,
    pub(crate) group: G,
    pub(crate) kept: Kept,
}

/// The transaction that is being prepared, and those that are.
#[derive(Debug)]
pub(crate) struct PreparedSet<G> {
    current: Kept,
    /// In the order of the log.
    all: Vec<Prepared<G>>,
    bytes: usize,
    limit: usize,
}

impl<G> PreparedSet<G> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { current: Kept::default(), all: Vec::new(), bytes: 0, limit }
    }

    /// Keeps an event of the transaction that is being prepared.
    pub(crate) fn keep(&mut self, event: &[u8], offset: u64) -> Result<(), DecodeError> {
        self.bytes += event.len();
        if self.bytes > self.limit {
            let xid = self.all.first().map_or("that is being prepared", |oldest| &oldest.name);
            return Err(DecodeError::PreparedTooLarge { xid: xid.to_owned(), limit: self.limit });
        }
        self.current.push(event, offset);
        Ok(())
    }

    /// The events so far, where the transaction turned out to be decided at once.
    pub(crate) fn take_current(&mut self) -> Kept {
        let kept = std::mem::take(&mut self.current);
        self.bytes -= kept.bytes.len();
        kept
    }

    pub(crate) fn prepare(&mut self, name: String, group: G) {
        let kept = std::mem::take(&mut self.current);
        self.all.push(Prepared { name, group, kept });
    }

    /// Takes a transaction that was decided.
    pub(crate) fn decide(&mut self, name: &str) -> Option<Prepared<G>> {
        let index = self.all.iter().position(|prepared| prepared.name == name)?;
        let prepared = self.all.remove(index);
        self.bytes -= prepared.kept.bytes.len();
        Some(prepared)
    }

    pub(crate) fn oldest(&self) -> Option<&Prepared<G>> {
        self.all.first()
    }
}

/// The name of a transaction as servers write it into statements (`XID::serialize`), in lower case.
pub(crate) fn xid_name(xid: &Xid<'_>) -> String {
    use std::fmt::Write as _;
    let mut name = String::new();
    let mut part = |bytes: &[u8], end: &str| {
        name.push_str("x'");
        for byte in bytes {
            let written = write!(name, "{byte:02x}");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        name.push_str(end);
    };
    part(xid.global, "',");
    part(xid.branch, "',");
    name.push_str(&xid.format.to_string());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_has_the_servers_name() {
        let xid = Xid { format: 1, global: b"x1", branch: &[] };
        assert_eq!(xid_name(&xid), "X'7831',X'',1".to_ascii_lowercase());
    }

    #[test]
    fn what_is_kept_is_bounded_and_given_back() {
        let mut set = PreparedSet::new(10);
        set.keep(b"12345", 1).unwrap();
        set.prepare("a".to_owned(), ());
        set.keep(b"123", 2).unwrap();
        set.keep(b"45", 3).unwrap();
        assert!(
            matches!(set.keep(b"6", 4), Err(DecodeError::PreparedTooLarge { xid, .. }) if xid == "a")
        );
        let mut set = PreparedSet::new(10);
        set.keep(b"123", 2).unwrap();
        set.keep(b"45", 3).unwrap();
        set.prepare("b".to_owned(), ());
        assert!(set.decide("a").is_none());
        let prepared = set.decide("b").unwrap();
        let events: Vec<_> = prepared.kept.events().collect();
        assert_eq!(events, [(&b"123"[..], 2), (&b"45"[..], 3)]);
        assert_eq!(set.bytes, 0);
    }
}
