//! One change event, field by field (manual, "Change Events").
//!
//! The order of fields is not the server's promise, and newer servers add fields: names decide, and
//! a field that is not known is passed over. An operation that is not known is not.

use crate::sources::mongodb::bson::{Bson, BsonError, Document, Timestamp};

/// What happened. The kinds beyond the manual's are named as in the server's
/// `db/pipeline/document_source_change_stream.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Insert,
    Update,
    Replace,
    Delete,
    /// Something about collections, databases or indexes, which changes no document of its own:
    /// `rename`, and `drop`, of which Debezium too makes no records.
    Structure,
}

impl Operation {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "insert" => Self::Insert,
            "update" => Self::Update,
            "replace" => Self::Replace,
            "delete" => Self::Delete,
            "drop" | "rename" | "dropDatabase" | "invalidate" => Self::Structure,
            // Shown with `showExpandedEvents`.
            "create"
            | "createIndexes"
            | "dropIndexes"
            | "modify"
            | "shardCollection"
            | "refineCollectionShardKey"
            | "reshardCollection"
            | "migrateLastChunkFromShard"
            | "endOfTransaction" => Self::Structure,
            // Shown with `showSystemEvents`, or between servers.
            "startIndexBuild"
            | "abortIndexBuild"
            | "commitIndexBuild"
            | "reshardBegin"
            | "reshardBlockingWrites"
            | "reshardDoneCatchUp"
            | "migrateChunkToNewShard" => Self::Structure,
            _ => return None,
        })
    }
}

/// A part of an event that was too large for one reply (`$changeStreamSplitLargeEvent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// From 1.
    pub(crate) number: i32,
    pub(crate) of: i32,
}

/// What a message of the stream is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(crate) enum Message<'a> {
    /// A post-batch resume token: the document itself.
    Token(Document<'a>),
    Event(Event<'a>),
}

/// The fields that are asked for; `None` where they are absent or null.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Event<'a> {
    pub(crate) token: Option<Document<'a>>,
    pub(crate) operation: Option<&'a str>,
    pub(crate) cluster_time: Option<Timestamp>,
    /// Milliseconds since 1970; 6.0 and newer.
    pub(crate) wall_time_ms: Option<i64>,
    pub(crate) database: &'a str,
    pub(crate) collection: &'a str,
    /// The new name of what is renamed.
    pub(crate) to: Option<(&'a str, &'a str)>,
    pub(crate) document_key: Option<Document<'a>>,
    pub(crate) document: Option<Document<'a>>,
    pub(crate) document_before: Option<Document<'a>>,
    pub(crate) update: Option<Document<'a>>,
    /// The transaction's session and its number there.
    pub(crate) lsid: Option<Document<'a>>,
    pub(crate) txn_number: Option<i64>,
    pub(crate) fragment: Option<Fragment>,
}

/// Why an event makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error(transparent)]
    Bson(#[from] BsonError),
    #[error("read field {0} of a change event: its type is {1}")]
    Type(&'static str, &'static str),
    #[error("read a change event: it has no field {0}")]
    Missing(&'static str),
    #[error("read a change event: operation type `{0}` is unknown")]
    UnknownOperation(String),
}

impl<'a> Message<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, EventError> {
        let document = Document::new(bytes)?;
        let mut elements = document.elements().peekable();
        // A token has `_data` where an event has its token.
        if let Some(Ok(first)) = elements.peek()
            && first.name == "_data"
        {
            document.check()?;
            return Ok(Self::Token(document));
        }
        let mut event = Event::default();
        for element in elements {
            let element = element?;
            event.set(element.name, element.value)?;
        }
        Ok(Self::Event(event))
    }
}

impl<'a> Event<'a> {
    fn set(&mut self, name: &str, value: Bson<'a>) -> Result<(), EventError> {
        match name {
            "_id" => self.token = document("_id", value)?,
            "operationType" => self.operation = text("operationType", value)?,
            "clusterTime" => match value {
                Bson::Timestamp(time) => self.cluster_time = Some(time),
                other => return Err(EventError::Type("clusterTime", other.type_name())),
            },
            "wallTime" => match value {
                Bson::DateTime(millis) => self.wall_time_ms = Some(millis),
                other => return Err(EventError::Type("wallTime", other.type_name())),
            },
            "ns" => {
                (self.database, self.collection) = namespace("ns", value)?.unwrap_or_default();
            }
            "to" => self.to = namespace("to", value)?,
            "documentKey" => self.document_key = document("documentKey", value)?,
            "fullDocument" => self.document = document("fullDocument", value)?,
            "fullDocumentBeforeChange" => {
                self.document_before = document("fullDocumentBeforeChange", value)?;
            }
            "updateDescription" => self.update = document("updateDescription", value)?,
            "lsid" => self.lsid = document("lsid", value)?,
            "txnNumber" => match value {
                Bson::Int64(number) => self.txn_number = Some(number),
                Bson::Int32(number) => self.txn_number = Some(i64::from(number)),
                other => return Err(EventError::Type("txnNumber", other.type_name())),
            },
            "splitEvent" => {
                self.fragment = document("splitEvent", value)?.map(fragment).transpose()?
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn operation(&self) -> Result<Operation, EventError> {
        let name = self.operation.ok_or(EventError::Missing("operationType"))?;
        Operation::named(name).ok_or_else(|| EventError::UnknownOperation(name.to_owned()))
    }

    pub(crate) fn token(&self) -> Result<Document<'a>, EventError> {
        self.token.ok_or(EventError::Missing("_id"))
    }

    pub(crate) fn cluster_time(&self) -> Result<Timestamp, EventError> {
        self.cluster_time.ok_or(EventError::Missing("clusterTime"))
    }

    /// The `_id` of the document that was changed.
    pub(crate) fn id(&self) -> Result<Bson<'a>, EventError> {
        let key = self.document_key.ok_or(EventError::Missing("documentKey"))?;
        key.get("_id")?.ok_or(EventError::Missing("documentKey._id"))
    }
}

fn document<'a>(name: &'static str, value: Bson<'a>) -> Result<Option<Document<'a>>, EventError> {
    match value {
        Bson::Document(document) => Ok(Some(document)),
        Bson::Null => Ok(None),
        other => Err(EventError::Type(name, other.type_name())),
    }
}

/// Database and collection; the latter is empty where there is none.
fn namespace<'a>(
    name: &'static str,
    value: Bson<'a>,
) -> Result<Option<(&'a str, &'a str)>, EventError> {
    let Some(namespace) = document(name, value)? else { return Ok(None) };
    let (mut database, mut collection) = ("", "");
    for element in namespace.elements() {
        let element = element?;
        match element.name {
            "db" => database = text(name, element.value)?.unwrap_or_default(),
            "coll" => collection = text(name, element.value)?.unwrap_or_default(),
            _ => {}
        }
    }
    Ok(Some((database, collection)))
}

fn text<'a>(name: &'static str, value: Bson<'a>) -> Result<Option<&'a str>, EventError> {
    match value {
        Bson::String(text) => Ok(Some(text)),
        Bson::Null => Ok(None),
        other => Err(EventError::Type(name, other.type_name())),
    }
}

fn fragment(split: Document<'_>) -> Result<Fragment, EventError> {
    let number = |field, name| match split.get(field)? {
        Some(Bson::Int32(number)) => Ok(number),
        Some(other) => Err(EventError::Type(name, other.type_name())),
        None => Err(EventError::Missing(name)),
    };
    Ok(Fragment {
        number: number("fragment", "splitEvent.fragment")?,
        of: number("of", "splitEvent.of")?,
    })
}
