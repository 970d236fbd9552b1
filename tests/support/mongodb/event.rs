//! Entries of the log as change events:
//! <https://www.mongodb.com/docs/manual/reference/change-events/>, fields in the order of the
//! recordings.

use mongodb::bson::{Bson, DateTime, Document, doc};

use super::failure::Failure;
use super::oplog::{Change, Delta, Entry, Namespace, Op};
use super::raw::{Builder, INTERNAL_BYTES_MAX, Raw, parse};
use super::state::{NEWEST, State};
use super::token::{self, Event, Token};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Deployment,
    Database(String),
    Collection(Namespace),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Default,
    Lookup,
    WhenAvailable,
    Required,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Off,
    WhenAvailable,
    Required,
}

/// What a stream was asked to show.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) scope: Scope,
    pub(crate) full: Full,
    pub(crate) before: Before,
    pub(crate) expanded: bool,
    pub(crate) version: i64,
}

pub(crate) enum Part {
    Bson(Bson),
    Raw(Raw),
}

/// An event in parts: filters look at the small ones without reading documents.
pub(crate) struct Made {
    pub(crate) token: Token,
    pub(crate) parts: Vec<(&'static str, Part)>,
}

impl Made {
    pub(crate) fn raw(&self) -> Raw {
        let mut builder = Builder::new();
        for (name, part) in &self.parts {
            match part {
                Part::Bson(value) => builder.bson(name, value.clone()),
                Part::Raw(raw) => builder.document(name, raw),
            }
        }
        Raw::new(builder.finish())
    }

    /// The event as filters see it; documents that are not BSON text are left out.
    pub(crate) fn document(&self, whole: bool) -> Document {
        let mut document = Document::new();
        for (name, part) in &self.parts {
            match part {
                Part::Bson(value) => {
                    document.insert(*name, value.clone());
                }
                Part::Raw(raw) if whole => {
                    document.insert(*name, parse(raw).unwrap_or_default());
                }
                Part::Raw(_) => {}
            }
        }
        document
    }
}

impl Scope {
    /// Whether the stream is told of this namespace.
    fn covers(&self, ns: &Namespace) -> bool {
        let system = ns.collection.starts_with("system.");
        match self {
            Self::Deployment => {
                !system && !matches!(ns.database.as_str(), "admin" | "config" | "local")
            }
            Self::Database(database) => !system && *database == ns.database,
            Self::Collection(only) => only == ns,
        }
    }

    fn ends(&self, change: &Change) -> bool {
        match (self, &change.op) {
            (Self::Collection(ns), Op::Drop) => *ns == change.ns,
            (Self::Collection(ns), Op::Rename { to }) => *ns == change.ns || ns == to,
            (Self::Collection(ns), Op::DropDatabase) => ns.database == change.ns.database,
            (Self::Database(database), Op::DropDatabase) => *database == change.ns.database,
            _ => false,
        }
    }
}

impl View {
    fn shows(&self, change: &Change) -> bool {
        let covered = match &change.op {
            Op::Noop => false,
            Op::Rename { to } => self.scope.covers(&change.ns) || self.scope.covers(to),
            Op::DropDatabase => match &self.scope {
                Scope::Deployment => true,
                Scope::Database(database) => *database == change.ns.database,
                // Drops of the collections came before it.
                Scope::Collection(_) => false,
            },
            _ => self.scope.covers(&change.ns),
        };
        let plain =
            !matches!(change.op, Op::Create { .. } | Op::Modify { .. } | Op::CreateIndexes { .. });
        covered && (plain || self.expanded)
    }
}

/// All events of an entry that a stream shows.
pub(crate) fn events(state: &State, entry: &Entry, view: &View) -> Result<Vec<Made>, Failure> {
    let mut made = vec![];
    for (index, change) in entry.changes.iter().enumerate() {
        if view.shows(change) {
            made.push(event(state, entry, view, index)?);
        }
        if view.scope.ends(change) {
            made.push(invalidate(entry, view, index));
        }
    }
    Ok(made)
}

fn operation(op: &Op) -> &'static str {
    match op {
        Op::Insert { .. } => "insert",
        Op::Update { .. } => "update",
        Op::Replace { .. } => "replace",
        Op::Delete { .. } => "delete",
        Op::Create { .. } => "create",
        Op::Modify { .. } => "modify",
        Op::CreateIndexes { .. } => "createIndexes",
        Op::Drop => "drop",
        Op::Rename { .. } => "rename",
        Op::DropDatabase => "dropDatabase",
        Op::Noop => "noop",
    }
}

fn invalidate(entry: &Entry, view: &View, index: usize) -> Made {
    let change = &entry.changes[index];
    let token = token::of_event(
        &Event {
            time: entry.time,
            index,
            from_invalidate: true,
            uuid: change.uuid.filter(|_| !matches!(change.op, Op::DropDatabase)),
            operation: operation(&change.op),
            identifier: None,
        },
        view.version,
    );
    let mut parts = vec![
        ("_id", Part::Bson(token::document(&token).into())),
        ("operationType", Part::Bson("invalidate".into())),
        ("clusterTime", Part::Bson(entry.time.into())),
    ];
    if view.version > 1 {
        parts.push(("wallTime", Part::Bson(DateTime::from_millis(entry.wall_ms).into())));
    }
    Made { token, parts }
}

fn event(state: &State, entry: &Entry, view: &View, index: usize) -> Result<Made, Failure> {
    let change = &entry.changes[index];
    let operation = operation(&change.op);
    let key = match &change.op {
        Op::Insert { id, .. }
        | Op::Update { id, .. }
        | Op::Replace { id, .. }
        | Op::Delete { id, .. } => Some(doc! { "_id": id.clone() }),
        _ => None,
    };
    let token = token::of_event(
        &Event {
            time: entry.time,
            index,
            from_invalidate: false,
            uuid: change.uuid.filter(|_| !matches!(change.op, Op::DropDatabase)),
            operation,
            identifier: key.as_ref(),
        },
        view.version,
    );
    let mut parts: Vec<(&'static str, Part)> = vec![];
    if let Op::Rename { to } = &change.op {
        parts.push(("to", Part::Bson(namespace(to).into())));
    }
    if let Some(transaction) = &entry.transaction {
        parts.push(("txnNumber", Part::Bson(transaction.number.into())));
        parts.push(("lsid", Part::Bson(transaction.lsid.clone().into())));
    }
    parts.push(("_id", Part::Bson(token::document(&token).into())));
    parts.push(("operationType", Part::Bson(operation.into())));
    parts.push(("clusterTime", Part::Bson(entry.time.into())));
    if state.options.wire >= 17 {
        parts.push(("wallTime", Part::Bson(DateTime::from_millis(entry.wall_ms).into())));
    }
    if let (true, Some(uuid)) = (view.expanded, change.uuid) {
        parts.push(("collectionUUID", Part::Bson(uuid_value(uuid))));
    }
    if let Some(full) = full_document(state, change, view)? {
        parts.push(("fullDocument", full));
    }
    let ns = match change.op {
        Op::DropDatabase => doc! { "db": &change.ns.database },
        _ => namespace(&change.ns),
    };
    parts.push(("ns", Part::Bson(ns.into())));
    if let Some(key) = key {
        parts.push(("documentKey", Part::Bson(key.into())));
    }
    if let Op::Create { options: of }
    | Op::Modify { options: of }
    | Op::CreateIndexes { described: of } = &change.op
    {
        parts.push(("operationDescription", Part::Bson(of.clone().into())));
    }
    if let Op::Update { delta, .. } = &change.op {
        let described = describe(delta, state.options.wire);
        parts.push(("updateDescription", Part::Bson(described.into())));
    }
    if let Some(before) = before_change(change, view)? {
        parts.push(("fullDocumentBeforeChange", before));
    }
    Ok(Made { token, parts })
}

fn namespace(ns: &Namespace) -> Document {
    doc! { "db": &ns.database, "coll": &ns.collection }
}

pub(crate) fn uuid_value(uuid: [u8; 16]) -> Bson {
    mongodb::bson::Uuid::from_bytes(uuid).into()
}

fn describe(delta: &Delta, wire: i32) -> Document {
    let mut described =
        doc! { "updatedFields": delta.updated.clone(), "removedFields": delta.removed.clone() };
    if wire >= 13 {
        let truncated: Vec<Document> = delta
            .truncated
            .iter()
            .map(|(field, size)| doc! { "field": field, "newSize": *size })
            .collect();
        described.insert("truncatedArrays", truncated);
    }
    described
}

fn full_document(state: &State, change: &Change, view: &View) -> Result<Option<Part>, Failure> {
    let (id, after) = match &change.op {
        Op::Insert { after, .. } | Op::Replace { after, .. } => {
            return Ok(Some(Part::Raw(after.clone())));
        }
        Op::Update { id, after, .. } => (id, after),
        _ => return Ok(None),
    };
    Ok(match view.full {
        Full::Default => None,
        Full::Lookup => {
            // By the collection's identity: another one of the same name does not count.
            let collection = state.store.get(&change.ns).filter(|c| Some(c.uuid) == change.uuid);
            let time = state.held.unwrap_or(NEWEST);
            Some(match collection.and_then(|c| c.get(id, time)) {
                Some(found) => Part::Raw(found.clone()),
                None => Part::Bson(Bson::Null),
            })
        }
        Full::WhenAvailable | Full::Required if change.images => Some(Part::Raw(after.clone())),
        Full::WhenAvailable => Some(Part::Bson(Bson::Null)),
        Full::Required => {
            return Err(no_image("a post-image for all update events, but the post-image"));
        }
    })
}

fn before_change(change: &Change, view: &View) -> Result<Option<Part>, Failure> {
    let (Op::Update { before, .. } | Op::Replace { before, .. } | Op::Delete { before, .. }) =
        &change.op
    else {
        return Ok(None);
    };
    Ok(match view.before {
        Before::Off => None,
        Before::WhenAvailable | Before::Required if change.images => {
            Some(Part::Raw(before.clone()))
        }
        Before::WhenAvailable => Some(Part::Bson(Bson::Null)),
        // Of a collection that keeps none: `document_source_change_stream_add_pre_image.cpp`.
        Before::Required => {
            let message = "Change stream was configured to require a pre-image for all update, \
                           delete and replace events, but pre-image id was not available for event";
            return Err(Failure::new(51770, "Location51770", message)
                .label("NonResumableChangeStreamError"));
        }
    })
}

fn no_image(what: &str) -> Failure {
    let message = format!("Change stream was configured to require {what} was not found for event");
    Failure::new(47, "NoMatchingDocument", message).label("NonResumableChangeStreamError")
}

/// `$changeStreamSplitLargeEvent`: an event that is too large leaves in pieces, whole fields each.
pub(crate) fn split(made: Made) -> Result<Vec<Made>, Failure> {
    if made.raw().len() <= INTERNAL_BYTES_MAX {
        return Ok(vec![made]);
    }
    let base = made.token;
    let mut pieces: Vec<Vec<(&'static str, Part)>> = vec![];
    let mut bytes = usize::MAX;
    for (name, part) in made.parts.into_iter().filter(|(name, _)| *name != "_id") {
        let n = match &part {
            Part::Raw(raw) => raw.len(),
            Part::Bson(value) => doc! { "v": value.clone() }.to_vec().map_or(0, |v| v.len()),
        };
        if n > INTERNAL_BYTES_MAX - 1024 {
            let message = "Splitting change event failed: event size exceeds the limit";
            return Err(Failure::new(7_182_500, "Location7182500", message));
        }
        if bytes.saturating_add(n) > INTERNAL_BYTES_MAX - 1024 {
            pieces.push(vec![]);
            bytes = 0;
        }
        bytes += n;
        pieces.last_mut().expect("one was begun").push((name, part));
    }
    let of = i32::try_from(pieces.len()).unwrap();
    let piece = |(number, parts): (i32, Vec<(&'static str, Part)>)| {
        let token = token::fragment(&base, number - 1);
        let mut all = vec![
            ("_id", Part::Bson(token::document(&token).into())),
            ("splitEvent", Part::Bson(doc! { "fragment": number, "of": of }.into())),
        ];
        all.extend(parts);
        Made { token, parts: all }
    };
    Ok((1..).zip(pieces).map(piece).collect())
}
