//! The decoder: a state machine over the events of a binlog, and before it over the snapshot.
//!
//! A position is the end of a transaction and nothing else; rows get ordinals, counted before any
//! filter, so that a row's id, (transaction, ordinal), is the same in every run.
//!
//! The log holds committed transactions only, whole and one after the other, so their rows are
//! handed on as they come and a transaction of any size takes no memory. Two exceptions:
//!
//! * XA: rows stand where they were prepared, and are kept (bounded) until the log says COMMIT or
//!   ROLLBACK. Positions meanwhile let reading start again before them.
//! * A group that ends with ROLLBACK, or has ROLLBACK TO in it: servers write these where a
//!   transaction mixes engines. Rows that are handed on cannot be taken back, so it is a loud stop.
//!
//! Anything out of order ends the run, and so does every event that is not known, unless the server
//! marks it as one that may be passed over.

use bumpalo::Bump;

use crate::change::Progress;
use crate::config::{TableFilter, Tinyint1Mode};
use crate::offsets::position::{BinlogFile, Position};
use crate::sources::mysql::binlog::header::{Header, kind};
use crate::sources::mysql::binlog::{ParseError, payload};
use crate::sources::mysql::catalog::Catalog;
use crate::sources::mysql::decode_error::{At, DecodeError};
use crate::sources::mysql::done::Done;
use crate::sources::mysql::group::Group;
use crate::sources::mysql::json::JsonForm;
use crate::sources::mysql::prepared::{PREPARED_BYTES_MAX, PreparedSet};
use crate::sources::mysql::schema_follow::SnapshotSchemas;
use crate::sources::mysql::schemas::Schemas;
use crate::sources::mysql::settings::Flavor;
use crate::sources::mysql::source_block::SourceConstants;
use crate::sources::mysql::table::Tables;
use crate::sources::mysql::table_maps::TableMaps;
use crate::sources::{BoxError, ChangeHandler, Decode, RawBatch, Stage};

/// Checksum at the end of an event: taken off before, but counted by its header.
const CHECKSUM_BYTES: usize = 4;
/// Buffers beyond this are given back.
const BUFFER_KEPT_BYTES: usize = 8 << 20;

#[derive(Debug)]
pub struct DecoderConfig {
    pub source: SourceConstants,
    pub filter: TableFilter,
    pub json_form: JsonForm,
    pub tinyint1: Tinyint1Mode,
    /// Put the statement behind the rows into the `source` block, where the log has it.
    pub include_query: bool,
    /// Hand on what statements do to definitions.
    pub include_schema_changes: bool,
    /// The checkpoint that the stream goes on from, or the snapshot's consistent point.
    pub resume_from: Position,
    /// The most that an event may have when it is uncompressed.
    pub event_bytes_max: u32,
}

/// What decodes the batches of a snapshot, which come before the stream's.
pub trait SnapshotDecode: Send {
    /// A batch of [`Stage::Snapshot`] or [`Stage::SnapshotTableEnd`]. Versions of tables are
    /// numbered together with the stream's, by `tables`.
    ///
    /// # Errors
    /// As [`Decode::decode`].
    fn decode<'a>(
        &mut self,
        raw: &'a RawBatch,
        arena: &'a Bump,
        tables: &mut Tables,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError>;
}

/// Where the decoder's questions go.
pub struct Collaborators {
    pub catalog: Box<dyn Catalog>,
    /// What tables look like at the position to go on from.
    pub schemas: Schemas,
    /// To be said before a snapshot's rows.
    pub announced: Option<SnapshotSchemas>,
    /// `None` where the stream goes on from a checkpoint.
    pub snapshot: Option<Box<dyn SnapshotDecode>>,
}

pub struct Decoder {
    pub(super) with: Collaborators,
    pub(super) flavor: Flavor,
    pub(super) tables: Tables,
    pub(super) filter: TableFilter,
    pub(super) json_form: JsonForm,
    pub(super) include_query: bool,
    pub(super) include_schema_changes: bool,
    pub(super) maps: TableMaps,
    /// Where the log is: the end of the last event.
    pub(super) at: BinlogFile,
    /// When that file was begun; 0 until its first event says so.
    pub(super) begun: u32,
    /// The file that the checkpoint is in, and when it was begun.
    pub(super) expected: Option<(String, u32)>,
    pub(super) done: Done,
    /// The open transaction.
    pub(super) group: Option<Group>,
    pub(super) prepared: PreparedSet<Group>,
    payload: payload::Events,
    /// Values of one event, and of one event of a payload. A batch may have far more values than
    /// bytes, so those of each event give way to the next one's.
    arena: Bump,
    payload_arena: Bump,
    pub(super) event_bytes_max: u64,
    /// What a compressed event became.
    pub(super) uncompressed: Vec<u8>,
}

/// One event, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Event<'e> {
    pub(super) header: Header,
    pub(super) body: &'e [u8],
    /// Header and body.
    pub(super) whole: &'e [u8],
    /// Where it begins in the file; of an event in a payload, where the payload begins.
    pub(super) offset: u64,
    pub(super) arena: &'e Bump,
}

impl Decoder {
    /// # Errors
    /// When the position to go on from is another database's.
    pub fn new(config: DecoderConfig, with: Collaborators) -> Result<Self, DecodeError> {
        let at = match &config.resume_from {
            Position::Mysql(position) => position.read_from().clone(),
            Position::Mariadb(position) => position.file.clone(),
            Position::Postgres(_) | Position::Mongodb(_) => {
                BinlogFile { name: String::new(), offset: 0 }
            }
        };
        let expected = match &config.resume_from {
            Position::Mysql(position) => Some((position.file.name.clone(), position.begun)),
            Position::Mariadb(position) => Some((position.file.name.clone(), position.begun)),
            Position::Postgres(_) | Position::Mongodb(_) => None,
        };
        let done = Done::up_to(&config.resume_from);
        Ok(Self {
            with,
            flavor: config.source.flavor,
            tables: Tables::new(config.source, config.tinyint1),
            filter: config.filter,
            json_form: config.json_form,
            include_query: config.include_query,
            include_schema_changes: config.include_schema_changes,
            maps: TableMaps::default(),
            at,
            begun: 0,
            expected: expected.filter(|(_, begun)| *begun != 0),
            done: done.ok_or(DecodeError::Snapshot("the position is not a binlog's"))?,
            group: None,
            prepared: PreparedSet::new(PREPARED_BYTES_MAX),
            payload: payload::Events::new(u64::from(config.event_bytes_max)),
            arena: Bump::new(),
            payload_arena: Bump::new(),
            event_bytes_max: u64::from(config.event_bytes_max),
            uncompressed: Vec::new(),
        })
    }

    fn stream(&mut self, raw: &RawBatch, out: &mut dyn ChangeHandler) -> Result<(), BoxError> {
        if self.with.snapshot.is_some() {
            return Err(DecodeError::Snapshot("the stream began before the snapshot's end").into());
        }
        let mut arena = std::mem::take(&mut self.arena);
        let result = raw.messages.iter().try_for_each(|range| {
            let message = raw
                .data
                .get(range.start as usize..range.end as usize)
                .ok_or(DecodeError::Snapshot("a message lies outside of its batch"))?;
            let result = self.message(message, &arena, out);
            renew(&mut arena);
            result
        });
        self.arena = arena;
        result
    }

    /// One event as the server sent it.
    fn message(
        &mut self,
        message: &[u8],
        arena: &Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        let parsed = Header::parse(message).map_err(ParseError::from);
        let (header, body) = parsed.map_err(|source| self.malformed(source))?;
        let expected = header.event_bytes as usize;
        if message.len() != expected && message.len() + CHECKSUM_BYTES != expected {
            let (at, expected) = (self.place(), header.event_bytes);
            return Err(DecodeError::Length { at, expected, found: message.len() }.into());
        }
        let offset = self.advance(&header);
        self.event(Event { header, body, whole: message, offset, arena }, out)
    }

    /// Moves to the end of an event, and gives where it begins.
    fn advance(&mut self, header: &Header) -> u64 {
        // What is made for the reader is nowhere in the file; a heartbeat is not either, and nor is
        // a description of the format that is sent again in mid-file.
        let nowhere = match header.kind {
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => true,
            kind::FORMAT_DESCRIPTION => header.log_pos == 0,
            _ => false,
        };
        if nowhere || header.is_artificial() {
            return self.at.offset;
        }
        const WRAP: u64 = 1 << 32;
        let length = u64::from(header.event_bytes);
        let end = if header.log_pos == 0 {
            self.at.offset.saturating_add(length)
        } else {
            // The next offset with these low bits.
            let same = self.at.offset / WRAP * WRAP + u64::from(header.log_pos);
            if same < self.at.offset { same.saturating_add(WRAP) } else { same }
        };
        self.at.offset = end;
        end.saturating_sub(length)
    }

    /// The events of a compressed transaction, as if they stood there themselves.
    pub(super) fn payload(
        &mut self,
        event: Event<'_>,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        let mut events = std::mem::take(&mut self.payload);
        let mut arena = std::mem::take(&mut self.payload_arena);
        let at = self.place();
        let result = events.walk(event.body, |whole| {
            let (header, body) = Header::parse(whole).map_err(ParseError::from)?;
            let inner = Event { header, body, whole, offset: event.offset, arena: &arena };
            let result = self.inner_event(inner, out).map_err(WalkError::Event);
            renew(&mut arena);
            result
        });
        self.payload = events;
        self.payload_arena = arena;
        result.map_err(|error| match error {
            WalkError::Parse(source) => DecodeError::Parse { at, source }.into(),
            WalkError::Event(error) => error,
        })
    }

    /// For the next compressed event, unless this one was a giant.
    pub(super) fn keep_buffer(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= BUFFER_KEPT_BYTES {
            self.uncompressed = buffer;
        }
    }

    pub(super) fn place(&self) -> At {
        At { file: self.at.name.clone(), offset: self.at.offset }
    }

    #[cold]
    pub(super) fn malformed(&self, source: ParseError) -> DecodeError {
        DecodeError::Parse { at: self.place(), source }
    }

    fn position(&self) -> Position {
        let oldest = self.prepared.oldest().map(|prepared| &prepared.group.restart);
        self.done.position(&self.at, self.begun, oldest)
    }

    pub(super) fn report(&self, out: &mut dyn ChangeHandler) {
        let schemas = self.with.schemas.history().clone();
        out.progress(Progress::Stream(self.position(), schemas));
    }
}

enum WalkError {
    Parse(ParseError),
    Event(BoxError),
}

impl From<ParseError> for WalkError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

/// Empties the arena for the next event, unless this one was a giant.
fn renew(arena: &mut Bump) {
    arena.reset();
    if arena.allocated_bytes() > BUFFER_KEPT_BYTES {
        *arena = Bump::new();
    }
}

impl Decode for Decoder {
    fn decode<'a>(
        &mut self,
        raw: &'a RawBatch,
        arena: &'a Bump,
        out: &mut dyn ChangeHandler,
    ) -> Result<(), BoxError> {
        self.announce_snapshot(out)?;
        let unexpected = DecodeError::Snapshot("no snapshot was announced, or it has ended");
        match (raw.stage, &mut self.with.snapshot) {
            (Stage::Stream, _) => self.stream(raw, out),
            (_, None) => Err(unexpected.into()),
            (Stage::Snapshot { .. } | Stage::SnapshotTableEnd { .. }, Some(snapshot)) => {
                snapshot.decode(raw, arena, &mut self.tables, out)
            }
            (Stage::SnapshotEnd, Some(snapshot)) => {
                snapshot.decode(raw, arena, &mut self.tables, out)?;
                self.with.snapshot = None;
                let schemas = self.with.schemas.history().clone();
                out.progress(Progress::SnapshotComplete(self.position(), schemas));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
