//! Debezium's `source` block for MongoDB: which fields are fixed per collection, and the slots that
//! each change fills.

use std::sync::Arc;

use bumpalo::Bump;

use crate::schema::{SourceField, SourceFieldKind, SourceFieldValue, SourceLayout};
use crate::sources::mongodb::namespace::Namespace;
use crate::value::{OwnedValue, Value};

const N_SLOTS: usize = 8;
const TS_MS: usize = 0;
const SNAPSHOT: usize = 1;
const TS_US: usize = 2;
const TS_NS: usize = 3;
const ORD: usize = 4;
const LSID: usize = 5;
const TXN_NUMBER: usize = 6;
const WALL_TIME: usize = 7;

/// The markers of `source.snapshot` (`SnapshotRecord`). Of the places within a snapshot, Debezium's
/// MongoDB connector marks its very last document alone.
pub mod marker {
    /// Of the stream.
    pub const NONE: &str = "false";
    /// Of a snapshot.
    pub const SNAPSHOT: &str = "true";
    /// Of a snapshot's last document.
    pub const LAST: &str = "last";
}

/// `ord` of what has no place in the oplog: documents of a snapshot.
pub const NO_ORD: i32 = -1;

/// What is the same for every collection of a source.
#[derive(Clone, Debug)]
pub struct SourceConstants {
    pub version: &'static str,
    pub topic_prefix: String,
}

impl SourceConstants {
    #[must_use]
    pub fn layout(&self, namespace: &Namespace) -> Arc<SourceLayout> {
        let required = |name, kind, value| SourceField { name, kind, optional: false, value };
        let optional = |name, kind, value| SourceField { name, kind, optional: true, value };
        let text = |text: &str| SourceFieldValue::Constant(OwnedValue::Text(text.to_owned()));
        let slot = SourceFieldValue::Slot;
        let null = SourceFieldValue::Constant(OwnedValue::Null);
        let (string, int32, int64) =
            (SourceFieldKind::String, SourceFieldKind::Int32, SourceFieldKind::Int64);
        let fields = vec![
            required("version", string, text(self.version)),
            required("connector", string, text("mongodb")),
            required("name", string, text(&self.topic_prefix)),
            required("ts_ms", int64, slot(TS_MS)),
            optional("snapshot", SourceFieldKind::Snapshot, slot(SNAPSHOT)),
            required("db", string, text(&namespace.database)),
            optional("sequence", string, null),
            optional("ts_us", int64, slot(TS_US)),
            optional("ts_ns", int64, slot(TS_NS)),
            required("collection", string, text(&namespace.collection)),
            required("ord", int32, slot(ORD)),
            optional("lsid", string, slot(LSID)),
            optional("txnNumber", int64, slot(TXN_NUMBER)),
            optional("wallTime", int64, slot(WALL_TIME)),
        ];
        // Not `…connector.mongodb`: Debezium's own name for it lacks two letters.
        Arc::new(SourceLayout { name: "io.debezium.connector.mongo.Source".to_owned(), fields })
    }
}

/// One change's place, from which its slots are filled.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Microseconds since 1970: of the change, or of the snapshot.
    pub ts_us: i64,
    pub snapshot: &'a str,
    /// The increment of the event's cluster time, or [`NO_ORD`].
    pub ord: i32,
    /// Session and number of the transaction, if the change was made in one.
    pub transaction: Option<Transaction<'a>>,
    /// Milliseconds since 1970, where the server says it (6.0 and newer).
    pub wall_time_ms: Option<i64>,
}

/// What events of one transaction share.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// The session's id as JSON.
    pub lsid: &'a str,
    pub number: i64,
}

/// The slots of a change, in the arena.
#[must_use]
pub fn slots<'a>(place: &Place<'a>, arena: &'a Bump) -> &'a [Value<'a>] {
    let mut slots = [Value::Null; N_SLOTS];
    slots[TS_MS] = Value::Int(place.ts_us.div_euclid(1000));
    slots[SNAPSHOT] = Value::Text(place.snapshot);
    slots[TS_US] = Value::Int(place.ts_us);
    slots[TS_NS] = Value::Int(place.ts_us.saturating_mul(1000));
    slots[ORD] = Value::Int(i64::from(place.ord));
    if let Some(transaction) = place.transaction {
        slots[LSID] = Value::Text(transaction.lsid);
        slots[TXN_NUMBER] = Value::Int(transaction.number);
    }
    slots[WALL_TIME] = place.wall_time_ms.map_or(Value::Null, Value::Int);
    arena.alloc_slice_copy(&slots)
}
