//! Messages of the pgoutput plugin, protocol version 1, and the frames of the replication stream
//! around them.
//!
//! Total: any bytes give a message or an error. Nothing is allocated: names, tuples and lists of
//! relations are views into the payload. Formats: PostgreSQL manual, "Logical Replication Message
//! Formats" and "Streaming Replication Protocol"; server source `src/backend/replication/logical/proto.c`.

use crate::offsets::position::Lsn;
use crate::sources::postgres::reader::{Reader, Short};

/// A payload that is no pgoutput message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("read a replication message that is too short")]
    Short(#[from] Short),
    #[error("read a replication frame of unknown type {}", printable(*.0))]
    UnknownFrame(u8),
    #[error("read a pgoutput message of unknown type {}", printable(*.0))]
    UnknownMessage(u8),
    /// Streamed and two-phase transactions come only to those who ask for them.
    #[error("read a pgoutput message of type {} ({name}) that was not asked for", printable(*.tag))]
    NotAskedFor { tag: u8, name: &'static str },
    #[error("read {0}: not UTF-8")]
    NotUtf8(&'static str),
    #[error("read {field}: unexpected {}", printable(*.found))]
    Unexpected { field: &'static str, found: u8 },
    #[error("read {field}: negative count or length {found}")]
    Negative { field: &'static str, found: i32 },
    #[error("read {message}: {n_bytes} bytes follow its end")]
    Trailing { message: &'static str, n_bytes: usize },
}

fn printable(byte: u8) -> String {
    if byte.is_ascii_graphic() {
        format!("`{}`", char::from(byte))
    } else {
        format!("0x{byte:02x}")
    }
}

/// One CopyData payload of a logical replication stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// `w`
    XLogData { start: Lsn, sent_at: i64, body: &'a [u8] },
    /// `k`
    Keepalive { end: Lsn },
}

/// # Errors
/// When the payload is no frame.
pub fn parse_frame(payload: &[u8]) -> Result<Frame<'_>, ParseError> {
    let mut reader = Reader::new(payload);
    match reader.u8("the frame's type")? {
        b'w' => {
            let start = Lsn(reader.u64("walStart")?);
            reader.u64("walEnd")?;
            let sent_at = reader.i64("sendTime")?;
            Ok(Frame::XLogData { start, sent_at, body: reader.rest() })
        }
        b'k' => {
            let end = Lsn(reader.u64("walEnd")?);
            reader.i64("sendTime")?;
            reader.u8("replyRequested")?;
            expect_end(reader, "a keepalive")?;
            Ok(Frame::Keepalive { end })
        }
        other => Err(ParseError::UnknownFrame(other)),
    }
}

/// Times are microseconds since 2000-01-01 UTC, as the server sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Begin {
        final_lsn: Lsn,
        commit_time: i64,
        xid: u32,
    },
    Commit {
        commit_lsn: Lsn,
        end_lsn: Lsn,
        commit_time: i64,
    },
    Origin {
        commit_lsn: Lsn,
        name: &'a str,
    },
    Relation(RelationMessage<'a>),
    /// Names a type; the catalogue tells more.
    Type {
        oid: u32,
    },
    Insert {
        relation: u32,
        new: Tuple<'a>,
    },
    Update {
        relation: u32,
        old: Option<OldTuple<'a>>,
        new: Tuple<'a>,
    },
    Delete {
        relation: u32,
        old: OldTuple<'a>,
    },
    Truncate {
        relations: RelationIds<'a>,
    },
    Message {
        transactional: bool,
        prefix: &'a str,
        content: &'a [u8],
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationMessage<'a> {
    pub oid: u32,
    pub schema: &'a str,
    pub table: &'a str,
    /// `pg_class.relreplident`.
    pub replica_identity: u8,
    n_columns: u16,
    columns: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Part of the replica identity.
    pub identity: bool,
    pub name: &'a str,
    pub type_oid: u32,
    pub type_modifier: i32,
}

impl<'a> RelationMessage<'a> {
    /// # Errors
    /// Never after [`parse_message`], which has walked the columns once.
    pub fn columns(&self) -> Result<Vec<RelationColumn<'a>>, ParseError> {
        let mut reader = Reader::new(self.columns);
        (0..self.n_columns).map(|_| relation_column(&mut reader)).collect()
    }
}

/// Which columns an old tuple holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// The replica identity's; all others are sent as null, which means nothing.
    Key(Tuple<'a>),
    Whole(Tuple<'a>),
}

/// A row on the wire. Walked, never copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<'a> {
    n_columns: u16,
    columns: &'a [u8],
}

impl<'a> Tuple<'a> {
    #[must_use]
    pub fn n_columns(&self) -> usize {
        usize::from(self.n_columns)
    }

    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields { left: self.n_columns, reader: Reader::new(self.columns) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    Null,
    /// Unchanged TOAST: not repeated.
    Unchanged,
    Text(&'a [u8]),
}

pub struct Fields<'a> {
    left: u16,
    reader: Reader<'a>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ParseError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(field(&mut self.reader))
    }
}

/// The oids of a Truncate message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationIds<'a>(&'a [u8]);

impl RelationIds<'_> {
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let (oids, _) = self.0.as_chunks::<4>();
        oids.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}

/// # Errors
/// When the body is no message of protocol version 1.
pub fn parse_message(body: &[u8]) -> Result<Message<'_>, ParseError> {
    let mut reader = Reader::new(body);
    let tag = reader.u8("the message's type")?;
    let (message, name) = match tag {
        b'B' => (begin(&mut reader)?, "Begin"),
        b'C' => (commit(&mut reader)?, "Commit"),
        b'O' => (origin(&mut reader)?, "Origin"),
        b'R' => (relation(&mut reader)?, "Relation"),
        b'Y' => (data_type(&mut reader)?, "Type"),
        b'I' => (insert(&mut reader)?, "Insert"),
        b'U' => (update(&mut reader)?, "Update"),
        b'D' => (delete(&mut reader)?, "Delete"),
        b'T' => (truncate(&mut reader)?, "Truncate"),
        b'M' => (logical_message(&mut reader)?, "Message"),
        b'S' => return Err(ParseError::NotAskedFor { tag, name: "Stream Start" }),
        b'E' => return Err(ParseError::NotAskedFor { tag, name: "Stream Stop" }),
        b'c' => return Err(ParseError::NotAskedFor { tag, name: "Stream Commit" }),
        b'A' => return Err(ParseError::NotAskedFor { tag, name: "Stream Abort" }),
        b'b' => return Err(ParseError::NotAskedFor { tag, name: "Begin Prepare" }),
        b'P' => return Err(ParseError::NotAskedFor { tag, name: "Prepare" }),
        b'K' => return Err(ParseError::NotAskedFor { tag, name: "Commit Prepared" }),
        b'r' => return Err(ParseError::NotAskedFor { tag, name: "Rollback Prepared" }),
        b'p' => return Err(ParseError::NotAskedFor { tag, name: "Stream Prepare" }),
        other => return Err(ParseError::UnknownMessage(other)),
    };
    expect_end(reader, name)?;
    Ok(message)
}

fn expect_end(reader: Reader<'_>, message: &'static str) -> Result<(), ParseError> {
    if reader.is_empty() {
        return Ok(());
    }
    Err(ParseError::Trailing { message, n_bytes: reader.rest().len() })
}

fn begin<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, ParseError> {
    let final_lsn = Lsn(reader.u64("final LSN")?);
    let commit_time = reader.i64("commit time")?;
    Ok(Message::Begin { final_lsn, commit_time, xid: reader.u32("xid")? })
}

fn commit<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, ParseError> {
    reader.u8("flags")?;
    let commit_lsn = Lsn(reader.u64("commit LSN")?);
    let end_lsn = Lsn(reader.u64("end LSN")?);
    Ok(Message::Commit { commit_lsn, end_lsn, commit_time: reader.i64("commit time")? })
}

fn origin<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, ParseError> {
    let commit_lsn = Lsn(reader.u64("origin's commit LSN")?);
    Ok(Message::Origin { commit_lsn, name: text(reader, "origin's name")? })
}

fn relation<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, ParseError> {
    let oid = reader.u32("relation oid")?;
    let schema = match text(reader, "schema name")? {
        // The server saves the bytes of its own schema's name (proto.c, logicalrep_write_namespace).
        "" => "pg_catalog",
        name => name,
    };
    let table = text(reader, "table name")?;
    let replica_identity = reader.u8("replica identity")?;
    let n_columns = count(reader, "number of columns")?;
    let columns = reader.rest();
    for _ in 0..n_columns {
        relation_column(reader)?;
    }
    let relation = RelationMessage { oid, schema, table, replica_identity, n_columns, columns };
    Ok(Message::Relation(relation))
}

fn relation_column<'a>(reader: &mut Reader<'a>) -> Result<RelationColumn<'a>, ParseError> {
    let identity = reader.u8("column flags")? & 1 != 0;
    let name = text(reader, "column name")?;
    let type_oid = reader.u32("column type")?;
    Ok(RelationColumn { identity, name, type_oid, type_modifier: reader.i32("type modifier")? })
}

fn data_type<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, ParseError> {
    let oid = reader.u32("type oid")?;
    reader.c_string("type's schema")?;
    reader.c_string("type's name")?;
    Ok(Message::Type { oid })
}

fn insert<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, ParseError> {
    let relation = reader.u32("relation oid")?;
    expect_tag(reader, b'N')?;
    Ok(Message::Insert { relation, new: tuple(reader)? })
}

fn update<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, ParseError> {
    let relation = reader.u32("relation oid")?;
    let tag = reader.u8("tuple's type")?;
    if tag == b'N' {
        return Ok(Message::Update { relation, old: None, new: tuple(reader)? });
    }
    let old = Some(old_tuple(reader, tag)?);
    expect_tag(reader, b'N')?;
    Ok(Message::Update { relation, old, new: tuple(reader)? })
}

fn delete<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, ParseError> {
    let relation = reader.u32("relation oid")?;
    let tag = reader.u8("tuple's type")?;
    Ok(Message::Delete { relation, old: old_tuple(reader, tag)? })
}

fn truncate<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, ParseError> {
    let n_relations = reader.u32("number of relations")?;
    reader.u8("truncate options")?;
    // A count beyond the message fails in `take`, whatever it claims.
    let n_bytes = usize::try_from(n_relations).unwrap_or(usize::MAX).saturating_mul(4);
    Ok(Message::Truncate { relations: RelationIds(reader.take(n_bytes, "truncated relations")?) })
}

fn logical_message<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, ParseError> {
    let transactional = reader.u8("message flags")? & 1 != 0;
    reader.u64("message LSN")?;
    let prefix = text(reader, "message prefix")?;
    let n_bytes = length(reader, "message content")?;
    let content = reader.take(n_bytes, "message content")?;
    Ok(Message::Message { transactional, prefix, content })
}

fn text<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a str, ParseError> {
    std::str::from_utf8(reader.c_string(field)?).map_err(|_| ParseError::NotUtf8(field))
}

fn count(reader: &mut Reader<'_>, field: &'static str) -> Result<u16, ParseError> {
    let found = reader.i16(field)?;
    u16::try_from(found).map_err(|_| ParseError::Negative { field, found: i32::from(found) })
}

fn length(reader: &mut Reader<'_>, field: &'static str) -> Result<usize, ParseError> {
    let found = reader.i32(field)?;
    usize::try_from(found).map_err(|_| ParseError::Negative { field, found })
}

fn expect_tag(reader: &mut Reader<'_>, wanted: u8) -> Result<(), ParseError> {
    let found = reader.u8("tuple's type")?;
    if found == wanted {
        return Ok(());
    }
    Err(ParseError::Unexpected { field: "tuple's type", found })
}

fn old_tuple<'a>(reader: &mut Reader<'a>, tag: u8) -> Result<OldTuple<'a>, ParseError> {
    match tag {
        b'K' => Ok(OldTuple::Key(tuple(reader)?)),
        b'O' => Ok(OldTuple::Whole(tuple(reader)?)),
        found => Err(ParseError::Unexpected { field: "tuple's type", found }),
    }
}

fn tuple<'a>(reader: &mut Reader<'a>) -> Result<Tuple<'a>, ParseError> {
    let n_columns = count(reader, "number of columns")?;
    let columns = reader.rest();
    for _ in 0..n_columns {
        field(reader)?;
    }
    Ok(Tuple { n_columns, columns })
}

#[inline]
fn field<'a>(reader: &mut Reader<'a>) -> Result<Field<'a>, ParseError> {
    match reader.u8("column's kind")? {
        b'n' => Ok(Field::Null),
        b'u' => Ok(Field::Unchanged),
        b't' => {
            let n_bytes = length(reader, "column's length")?;
            Ok(Field::Text(reader.take(n_bytes, "column's value")?))
        }
        // `b` is a value in binary form, which was not asked for either.
        found => Err(ParseError::Unexpected { field: "column's kind", found }),
    }
}

#[cfg(test)]
mod tests;
