//! Messages: `OP_MSG`, and the `OP_QUERY` and `OP_REPLY` that a first `hello` may use
//! (<https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>).

use std::collections::HashMap;
use std::io::{self, Read, Write};

use mongodb::bson::Document;

use super::raw::{Raw, parse};

const MESSAGE: i32 = 2013;
const QUERY: i32 = 2004;
const REPLY: i32 = 1;
/// `maxMessageSizeBytes`.
const MESSAGE_BYTES_MAX: usize = 48_000_000;

pub(crate) struct Request {
    pub(crate) id: i32,
    legacy: bool,
    /// No answer is wanted (`moreToCome`).
    pub(crate) silent: bool,
    pub(crate) name: String,
    pub(crate) command: Document,
    pub(crate) database: String,
    /// Documents that came beside the command.
    pub(crate) sequences: HashMap<String, Vec<Raw>>,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn number(bytes: &[u8], at: usize) -> io::Result<i32> {
    let four = bytes.get(at..at + 4).ok_or_else(|| broken("a message is too short"))?;
    Ok(i32::from_le_bytes(<[u8; 4]>::try_from(four).expect("it is four bytes")))
}

fn length(bytes: &[u8], at: usize) -> io::Result<usize> {
    usize::try_from(number(bytes, at)?).map_err(|_| broken("a length is negative"))
}

/// `None` at the end of the connection.
pub(crate) fn read(from: &mut impl Read) -> io::Result<Option<Request>> {
    let mut header = [0; 16];
    match from.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let n = length(&header, 0)?;
    if !(16..=MESSAGE_BYTES_MAX).contains(&n) {
        return Err(broken("a message is too long"));
    }
    let mut body = vec![0; n - 16];
    from.read_exact(&mut body)?;
    decode(&header, &body).map(Some)
}

/// A whole message, as a recording has it.
pub(crate) fn decode(header: &[u8], body: &[u8]) -> io::Result<Request> {
    let id = number(header, 4)?;
    match number(header, 12)? {
        MESSAGE => message(id, body),
        QUERY => query(id, body),
        other => Err(broken(&format!("operation code {other} is not spoken here"))),
    }
}

fn message(id: i32, body: &[u8]) -> io::Result<Request> {
    let flags = number(body, 0)?;
    let end = if flags & 1 == 0 { body.len() } else { body.len().saturating_sub(4) };
    let mut at = 4;
    let mut command = None;
    let mut sequences = HashMap::new();
    while at < end {
        let n = length(body, at + 1)?;
        let section =
            body.get(at + 1..at + 1 + n).ok_or_else(|| broken("a section is too short"))?;
        match body[at] {
            0 => command = parse(section),
            1 => {
                let (name, all) = sequence(&section[4..])?;
                sequences.insert(name, all);
            }
            _ => return Err(broken("a kind of section is unknown")),
        }
        at += 1 + n;
    }
    let command = command.ok_or_else(|| broken("a message has no command"))?;
    let database = command.get_str("$db").unwrap_or("").to_owned();
    request(id, command, database, sequences, flags & 2 != 0)
}

fn sequence(section: &[u8]) -> io::Result<(String, Vec<Raw>)> {
    let end = section.iter().position(|b| *b == 0).ok_or_else(|| broken("a name has no end"))?;
    let name = String::from_utf8_lossy(&section[..end]).into_owned();
    let mut at = end + 1;
    let mut all = vec![];
    while at < section.len() {
        let n = length(section, at)?;
        let one = section.get(at..at + n).ok_or_else(|| broken("a document is too short"))?;
        all.push(Raw::new(one.to_vec()));
        at += n.max(5);
    }
    Ok((name, all))
}

fn query(id: i32, body: &[u8]) -> io::Result<Request> {
    let name = body.get(4..).unwrap_or_default();
    let end = name.iter().position(|b| *b == 0).ok_or_else(|| broken("a name has no end"))?;
    let full = String::from_utf8_lossy(&name[..end]).into_owned();
    let database = full.split('.').next().unwrap_or("").to_owned();
    let at = 4 + end + 1 + 8;
    let command = body.get(at..).and_then(parse).ok_or_else(|| broken("a query is broken"))?;
    let mut request = request(id, command, database, HashMap::new(), false)?;
    request.legacy = true;
    Ok(request)
}

fn request(
    id: i32,
    command: Document,
    database: String,
    sequences: HashMap<String, Vec<Raw>>,
    silent: bool,
) -> io::Result<Request> {
    let name = command.keys().next().ok_or_else(|| broken("a command is empty"))?.clone();
    Ok(Request { id, legacy: false, silent, name, command, database, sequences })
}

pub(crate) fn write(to: &mut impl Write, request: &Request, reply: &[u8]) -> io::Result<()> {
    let head: &[u8] = if request.legacy {
        // Flags (await capable), cursor 0, from 0, one document.
        &[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    } else {
        &[0, 0, 0, 0, 0]
    };
    let n = i32::try_from(16 + head.len() + reply.len()).expect("a reply is below 2 GB");
    let code = if request.legacy { REPLY } else { MESSAGE };
    let mut bytes = Vec::with_capacity(64 + reply.len());
    for part in [n, request.id.wrapping_add(1), request.id, code] {
        bytes.extend(part.to_le_bytes());
    }
    bytes.extend(head);
    bytes.extend(reply);
    to.write_all(&bytes)?;
    to.flush()
}
