//! Cursors: of a change stream, of a scan that goes on from where it stood, or of documents that
//! were all found at once.

use std::collections::VecDeque;
use std::ops::Bound;

use mongodb::bson::{Bson, Document, Timestamp, doc};

use super::failure::Failure;
use super::oplog::{Namespace, Uuid};
use super::order::{Key, compare, integer};
use super::query;
use super::raw::{INTERNAL_BYTES_MAX, Raw, field, parse, raw};
use super::state::{NEWEST, State};
use super::stream::Stream;

pub(crate) struct Cursor {
    pub(crate) ns: Namespace,
    pub(crate) kind: Kind,
    pub(crate) at: Option<Timestamp>,
    /// Who opened it is the only one who may read on.
    pub(crate) session: Option<Vec<u8>>,
}

pub(crate) enum Kind {
    Stream(Box<Stream>),
    Scan(Box<Scan>),
    Found(VecDeque<Raw>),
}

/// A batch, as the reply shows it.
pub(crate) struct Page {
    pub(crate) documents: Vec<Raw>,
    pub(crate) token: Option<Document>,
    pub(crate) ended: bool,
}

enum Place {
    /// Insertion order, after this number.
    Natural(u64),
    /// Order of `_id`, beyond this bound.
    Ids(Bound<Key>),
    IdsBack(Bound<Key>),
}

/// Reads documents when they are asked for: what is written meanwhile is seen or not, as with a
/// real scan, unless it reads at one time.
pub(crate) struct Scan {
    uuid: Uuid,
    place: Place,
    filter: Document,
    projection: Option<Document>,
    left: Option<u64>,
    below: Option<Key>,
}

impl Cursor {
    pub(crate) fn page(&mut self, state: &State, n_max: usize) -> Result<Page, Failure> {
        match &mut self.kind {
            Kind::Stream(stream) => {
                let batch = stream.batch(state, n_max)?;
                let token = Some(batch.token);
                Ok(Page { documents: batch.documents, token, ended: batch.ended })
            }
            Kind::Scan(scan) => scan.page(state, &self.ns, self.at, n_max),
            Kind::Found(found) => {
                let mut documents = vec![];
                let mut bytes = 0;
                while let Some(next) = found.front()
                    && documents.len() < n_max
                    && (documents.is_empty() || bytes + next.len() <= INTERNAL_BYTES_MAX)
                {
                    bytes += next.len();
                    documents.extend(found.pop_front());
                }
                Ok(Page { documents, token: None, ended: found.is_empty() })
            }
        }
    }
}

impl Scan {
    fn page(
        &mut self,
        state: &State,
        ns: &Namespace,
        at: Option<Timestamp>,
        n_max: usize,
    ) -> Result<Page, Failure> {
        let Some(collection) = state.store.get(ns).filter(|c| c.uuid == self.uuid) else {
            let message = format!("collection dropped or renamed: {}", ns.full());
            return Err(Failure::new(175, "QueryPlanKilled", message));
        };
        let time = at.or(state.held).unwrap_or(NEWEST);
        let mut documents: Vec<Raw> = vec![];
        let mut bytes = 0;
        while documents.len() < n_max {
            if self.left == Some(0) {
                return Ok(Page { documents, token: None, ended: true });
            }
            let (place, found) = match &self.place {
                Place::Natural(number) => match collection.after_number(*number, time) {
                    Some((number, found)) => (Place::Natural(number), found.clone()),
                    None => return Ok(Page { documents, token: None, ended: true }),
                },
                Place::Ids(bound) => match collection.after_id(bound.as_ref(), time) {
                    Some((id, _)) if self.below.as_ref().is_some_and(|b| id >= b) => {
                        return Ok(Page { documents, token: None, ended: true });
                    }
                    Some((id, found)) => (Place::Ids(Bound::Excluded(id.clone())), found.clone()),
                    None => return Ok(Page { documents, token: None, ended: true }),
                },
                Place::IdsBack(bound) => match collection.before_id(bound.as_ref(), time) {
                    Some((id, found)) => {
                        (Place::IdsBack(Bound::Excluded(id.clone())), found.clone())
                    }
                    None => return Ok(Page { documents, token: None, ended: true }),
                },
            };
            if !documents.is_empty() && bytes + found.len() > INTERNAL_BYTES_MAX {
                break;
            }
            self.place = place;
            if let Some(found) = shown(&found, &self.filter, self.projection.as_ref())? {
                bytes += found.len();
                documents.push(found);
                self.left = self.left.map(|n| n - 1);
            }
        }
        // A full batch does not know whether more will come, unless a limit was reached.
        Ok(Page { documents, token: None, ended: self.left == Some(0) })
    }
}

/// The document, if it passes, as the projection leaves it.
fn shown(
    found: &Raw,
    filter: &Document,
    projection: Option<&Document>,
) -> Result<Option<Raw>, Failure> {
    if !filter.is_empty() {
        // Filters on `_id` alone need not understand the rest.
        let only_id = filter.keys().all(|name| name == "_id");
        let looked_at = match (only_id, field(found, "_id")) {
            (true, Some(id)) => doc! { "_id": id },
            _ => parse(found).ok_or_else(|| Failure::new(22, "InvalidBSON", "broken document"))?,
        };
        if !query::matches(&looked_at, filter)? {
            return Ok(None);
        }
    }
    let Some(projection) = projection.filter(|p| !p.is_empty()) else {
        return Ok(Some(found.clone()));
    };
    if projection.len() == 1 && projection.get("_id").is_some_and(query::truth) {
        let id = field(found, "_id").unwrap_or(Bson::Null);
        return Ok(Some(raw(&doc! { "_id": id })));
    }
    let document =
        parse(found).ok_or_else(|| Failure::new(22, "InvalidBSON", "broken document"))?;
    Ok(Some(raw(&project(document, projection))))
}

pub(crate) fn project(document: Document, projection: &Document) -> Document {
    let wants = |name: &str| projection.get(name).map(query::truth);
    let including = projection.iter().any(|(name, v)| name != "_id" && query::truth(v));
    document
        .into_iter()
        .filter(|(name, _)| match wants(name) {
            Some(wanted) => wanted,
            None => !including || name == "_id",
        })
        .collect()
}

/// A query of `find`.
pub(crate) struct Query {
    pub(crate) filter: Document,
    pub(crate) sort: Document,
    pub(crate) projection: Option<Document>,
    pub(crate) limit: Option<u64>,
    pub(crate) skip: usize,
    pub(crate) min: Option<Bson>,
    pub(crate) max: Option<Bson>,
    pub(crate) by_id: bool,
}

impl Query {
    pub(crate) fn of(command: &Document) -> Self {
        let document = |name: &str| command.get_document(name).cloned().unwrap_or_default();
        let count = |name: &str| {
            command.get(name).and_then(integer).and_then(|n| u64::try_from(n.abs()).ok())
        };
        let bound = |name: &str| command.get_document(name).ok()?.get("_id").cloned();
        Self {
            filter: document("filter"),
            sort: document("sort"),
            projection: command.get_document("projection").ok().cloned(),
            limit: count("limit").filter(|n| *n > 0),
            skip: count("skip").and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
            min: bound("min"),
            max: bound("max"),
            by_id: command.contains_key("hint"),
        }
    }

    /// A scan that goes on where it can, everything at once where a sort needs it.
    pub(crate) fn run(
        self,
        state: &State,
        session: Option<&[u8]>,
        ns: &Namespace,
        at: Option<Timestamp>,
    ) -> Result<Kind, Failure> {
        let Some(collection) = state.store.get(ns) else { return Ok(Kind::Found(VecDeque::new())) };
        let by_id = self.sort.len() == 1 && self.sort.contains_key("_id");
        let scans = (self.sort.is_empty() || by_id) && self.skip == 0;
        if !scans || state.open(session).is_some() {
            return self.find(state, session, ns, at).map(Kind::Found);
        }
        let back = by_id && self.sort.get("_id").and_then(integer) == Some(-1);
        let bounds = id_bounds(&self.filter);
        let place = if back {
            Place::IdsBack(Bound::Unbounded)
        } else if by_id || self.by_id || bounds.is_some() {
            let from = self.min.clone().or(bounds);
            Place::Ids(from.map_or(Bound::Unbounded, |id| Bound::Included(Key(id))))
        } else {
            Place::Natural(0)
        };
        Ok(Kind::Scan(Box::new(Scan {
            uuid: collection.uuid,
            place,
            filter: self.filter,
            projection: self.projection,
            left: self.limit,
            below: self.max.map(Key),
        })))
    }

    fn find(
        self,
        state: &State,
        session: Option<&[u8]>,
        ns: &Namespace,
        at: Option<Timestamp>,
    ) -> Result<VecDeque<Raw>, Failure> {
        let all: Vec<Raw> = match (at.or(state.held), state.store.get(ns)) {
            (Some(time), Some(collection)) => {
                collection.all(time).map(|(_, r)| r.clone()).collect()
            }
            _ => state.documents(session, ns).into_iter().map(|(_, r)| r).collect(),
        };
        let mut found = vec![];
        for one in all {
            if shown(&one, &self.filter, None)?.is_some() {
                found.push(one);
            }
        }
        sort(&mut found, &self.sort);
        let limit = self.limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        let cut = found.into_iter().skip(self.skip).take(limit);
        let projection = self.projection.as_ref();
        cut.filter_map(|one| shown(&one, &Document::new(), projection).transpose()).collect()
    }
}

pub(crate) fn sort(found: &mut [Raw], sort: &Document) {
    if sort.is_empty() || sort.contains_key("$natural") {
        if sort.get("$natural").and_then(integer) == Some(-1) {
            found.reverse();
        }
        return;
    }
    let value = |raw: &Raw, path: &str| {
        let document = parse(raw).unwrap_or_default();
        query::values(&document, path).into_iter().next().unwrap_or(Bson::Null)
    };
    found.sort_by(|a, b| {
        let by = |(path, way): (&String, &Bson)| {
            let order = compare(&value(a, path), &value(b, path));
            if integer(way) == Some(-1) { order.reverse() } else { order }
        };
        sort.iter().map(by).find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
}

/// Where a scan by `_id` may begin: the filter's lower bound.
fn id_bounds(filter: &Document) -> Option<Bson> {
    match filter.get("_id")? {
        Bson::Document(operators) => {
            operators.get("$gte").or(operators.get("$gt")).or(operators.get("$eq")).cloned()
        }
        Bson::RegularExpression(_) => None,
        value => Some(value.clone()),
    }
}
