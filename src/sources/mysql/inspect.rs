//! Whether what arrives is whole, undamaged and without a gap. Pure.
//!
//! Every event says how long it is and, in most cases, where in its file it ends; every event of a
//! log with checksums carries its CRC. What the events mean is the decoder's matter; here only the
//! 19 bytes that all of them begin with are read, and the three kinds that say where we are.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html>

use super::error::SourceError;

const HEADER_BYTES: usize = 19;
const CHECKSUM_BYTES: usize = 4;
/// The byte of flags that is cleared where a checksum is made (`LOG_EVENT_BINLOG_IN_USE_F`).
const FLAGS_AT: usize = 17;
const IN_USE: u8 = 1;
/// Made by the server for us; not in any file.
const ARTIFICIAL: u16 = 0x20;

mod kind {
    pub(super) const STOP: u8 = 3;
    pub(super) const ROTATE: u8 = 4;
    pub(super) const FORMAT_DESCRIPTION: u8 = 15;
    pub(super) const HEARTBEAT: u8 = 27;
    pub(super) const GTID: u8 = 33;
    pub(super) const ANONYMOUS_GTID: u8 = 34;
    pub(super) const PREVIOUS_GTIDS: u8 = 35;
    pub(super) const HEARTBEAT_V2: u8 = 41;
    pub(super) const GTID_TAGGED: u8 = 42;
    pub(super) const MARIADB_CHECKPOINT: u8 = 161;
    pub(super) const MARIADB_GTID: u8 = 162;
    pub(super) const MARIADB_GTID_LIST: u8 = 163;
    pub(super) const MARIADB_START_ENCRYPTION: u8 = 164;
}

/// Which part of the log was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything from this place on.
    From { file: String, position: u64 },
    /// What is not in a GTID set: the server passes over whole transactions, never over parts.
    Groups,
}

#[derive(Debug)]
pub(super) struct Inspector {
    extent: Extent,
    /// Until the first format description, what we asked for.
    checksums: bool,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    file: String,
    /// Where the next event begins. Counted in 64 bits; events know the lower 32.
    position: u64,
}

struct Header {
    kind: u8,
    size_bytes: u32,
    end: u32,
    flags: u16,
}

fn header(event: &[u8]) -> Option<Header> {
    let word = |at: usize| {
        let bytes = event.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    Some(Header {
        kind: *event.get(4)?,
        size_bytes: word(9)?,
        end: word(13)?,
        flags: u16::from_le_bytes(event.get(FLAGS_AT..HEADER_BYTES)?.try_into().ok()?),
    })
}

impl Inspector {
    pub(super) fn new(extent: Extent) -> Self {
        Self { extent, checksums: true, place: None }
    }

    /// Looks at the next event; gives its length without its checksum.
    ///
    /// # Errors
    /// When it is damaged, makes no sense, or does not follow the one before it.
    pub(super) fn inspect(&mut self, event: &[u8]) -> Result<usize, SourceError> {
        let Some(header) = header(event) else {
            return Err(self.refuse(format!("{} bytes are no event", event.len())));
        };
        if header.size_bytes as usize != event.len() {
            let (said, came) = (header.size_bytes, event.len());
            return Err(self.refuse(format!("it says {said} bytes, and {came} came")));
        }
        let trimmed = self.check_sum(&header, event)?;
        self.follow(&header, event.get(HEADER_BYTES..trimmed).unwrap_or_default())?;
        Ok(trimmed)
    }

    /// `binlog.000007:1234`, where the next event begins.
    pub(super) fn place(&self) -> String {
        match &self.place {
            Some(Place { file, position }) => format!("{file}:{position}"),
            None => "the beginning".to_owned(),
        }
    }

    /// The file that we are in, and where in it the next event begins.
    pub(super) fn reached(&self) -> Option<(&str, u64)> {
        self.place.as_ref().map(|place| (place.file.as_str(), place.position))
    }

    fn check_sum(&mut self, header: &Header, event: &[u8]) -> Result<usize, SourceError> {
        let too_short = || format!("{} bytes are too few for its kind", event.len());
        let is_description = header.kind == kind::FORMAT_DESCRIPTION;
        // Always there in a format description, and zero in one without checksums
        // (`Log_event_footer::get_checksum_alg` in `libs/mysql/binlog/event/binlog_event.cpp`).
        if !self.checksums && !is_description {
            return Ok(event.len());
        }
        let Some((body, sum)) = event.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(self.refuse(too_short()));
        };
        if is_description {
            self.checksums = match body.last() {
                Some(0) => false,
                Some(1) => true,
                Some(other) => {
                    return Err(self.refuse(format!("checksum algorithm {other} is unknown")));
                }
                None => return Err(self.refuse(too_short())),
            };
        }
        if body.len() < HEADER_BYTES {
            return Err(self.refuse(too_short()));
        }
        if self.checksums {
            let expected = u32::from_le_bytes(*sum);
            let found = if is_description { sum_without_use(body) } else { crc32fast::hash(body) };
            if found != expected {
                return Err(SourceError::Checksum { place: self.place(), expected, found });
            }
        }
        Ok(body.len())
    }

    fn follow(&mut self, header: &Header, body: &[u8]) -> Result<(), SourceError> {
        let artificial = header.flags & ARTIFICIAL != 0;
        match header.kind {
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => Ok(()),
            kind::ROTATE => {
                if !artificial && header.end != 0 {
                    self.step(header)?;
                }
                self.enter(body)
            }
            _ if artificial => Ok(()),
            _ => self.step(header),
        }
    }

    /// From the end of the last event to the end of this one.
    fn step(&mut self, header: &Header) -> Result<(), SourceError> {
        let may_jump = self.may_jump(header.kind);
        let Some(place) = &mut self.place else {
            return Err(self.refuse("no file was named before it".to_owned()));
        };
        let next = place.position + u64::from(header.size_bytes);
        if header.end == 0 {
            // A format description that is sent again because we begin in the middle of its file,
            // and MariaDB's events of a transaction (since 11.4), say nothing of their place.
            if header.kind != kind::FORMAT_DESCRIPTION {
                place.position = next;
            }
            return Ok(());
        }
        if next & u64::from(u32::MAX) == u64::from(header.end) {
            place.position = next;
            return Ok(());
        }
        if may_jump {
            place.position = widened(place.position, header.end);
            return Ok(());
        }
        let detail = format!("of {} bytes ends at {}", header.size_bytes, header.end);
        Err(SourceError::Gap { place: self.place(), detail })
    }

    /// What a server that passes over transactions may send next; and in MariaDB the first event
    /// of a file, before which the one about its encryption is left out.
    fn may_jump(&self, next: u8) -> bool {
        let opens = matches!(
            next,
            kind::STOP
                | kind::ROTATE
                | kind::GTID
                | kind::ANONYMOUS_GTID
                | kind::GTID_TAGGED
                | kind::PREVIOUS_GTIDS
                | kind::MARIADB_CHECKPOINT
                | kind::MARIADB_GTID
                | kind::MARIADB_START_ENCRYPTION
        );
        next == kind::MARIADB_GTID_LIST || (self.extent == Extent::Groups && opens)
    }

    /// The next event is at the start of this file, or wherever in it we asked to begin.
    fn enter(&mut self, body: &[u8]) -> Result<(), SourceError> {
        let named = body.split_first_chunk::<8>();
        let Some((position, file)) = named.map(|(p, file)| (u64::from_le_bytes(*p), file)) else {
            return Err(self.refuse("a rotation names no file".to_owned()));
        };
        let file = String::from_utf8_lossy(file).into_owned();
        let follows = match &self.place {
            None => match &self.extent {
                Extent::From { file: wanted, position: at } => *wanted == file && *at == position,
                Extent::Groups => true,
            },
            Some(now) if now.file == file => now.position == position,
            Some(now) => is_successor(&now.file, &file),
        };
        if !follows {
            let detail = format!("is in {file}:{position}");
            return Err(SourceError::Gap { place: self.place(), detail });
        }
        self.place = Some(Place { file, position });
        Ok(())
    }

    fn refuse(&self, detail: String) -> SourceError {
        SourceError::Event { place: self.place(), detail }
    }
}

/// A log in use says so in its first event, which does not count
/// (`Log_event_footer::event_checksum_test`).
fn sum_without_use(event: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let (before, rest) = event.split_at_checked(FLAGS_AT).unwrap_or((event, &[]));
    hasher.update(before);
    if let Some((flags, behind)) = rest.split_first() {
        hasher.update(&[flags & !IN_USE]);
        hasher.update(behind);
    }
    hasher.finalize()
}

/// The first place at or behind `position` with these lower 32 bits.
fn widened(position: u64, low: u32) -> u64 {
    let candidate = position & !u64::from(u32::MAX) | u64::from(low);
    if candidate < position { candidate + (1 << 32) } else { candidate }
}

/// `binlog.000009` -> `binlog.000010`; compared as numbers, for `999999` is followed by `1000000`.
fn is_successor(now: &str, next: &str) -> bool {
    let numbered = |name: &str| {
        let (base, number) = name.rsplit_once('.')?;
        Some((base.to_owned(), number.parse::<u64>().ok()?))
    };
    match (numbered(now), numbered(next)) {
        (Some((base, number)), Some((next_base, next_number))) => {
            base == next_base && Some(next_number) == number.checked_add(1)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
