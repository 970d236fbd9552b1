//! Debezium's `source` block for PostgreSQL (`io.debezium.connector.postgresql.Source`): which
//! fields are fixed per table, and the slots that each change fills.

use std::fmt::Write as _;
use std::sync::Arc;

use bumpalo::Bump;

use crate::offsets::position::Lsn;
use crate::schema::{SourceField, SourceFieldKind, SourceFieldValue, SourceLayout};
use crate::value::{OwnedValue, Value};

const NAME: &str = "io.debezium.connector.postgresql.Source";
const CONNECTOR: &str = "postgresql";

const N_SLOTS: usize = 9;
const TS_MS: usize = 0;
const SNAPSHOT: usize = 1;
const SEQUENCE: usize = 2;
const TS_US: usize = 3;
const TS_NS: usize = 4;
const TX_ID: usize = 5;
const LSN: usize = 6;
const ORIGIN: usize = 7;
const ORIGIN_LSN: usize = 8;

/// What is the same for every table of a source.
#[derive(Clone, Debug)]
pub(crate) struct SourceConstants {
    pub(crate) version: &'static str,
    pub(crate) topic_prefix: String,
    pub(crate) database: String,
}

impl SourceConstants {
    /// Logical messages belong to no table: both names are empty there.
    pub(crate) fn layout(&self, schema: &str, table: &str) -> Arc<SourceLayout> {
        let required = |name, kind, value| SourceField { name, kind, optional: false, value };
        let optional = |name, kind, value| SourceField { name, kind, optional: true, value };
        let text = |text: &str| SourceFieldValue::Constant(OwnedValue::Text(text.to_owned()));
        let slot = SourceFieldValue::Slot;
        let null = SourceFieldValue::Constant(OwnedValue::Null);
        let (string, int64) = (SourceFieldKind::String, SourceFieldKind::Int64);
        let fields = vec![
            required("version", string, text(self.version)),
            required("connector", string, text(CONNECTOR)),
            required("name", string, text(&self.topic_prefix)),
            required("ts_ms", int64, slot(TS_MS)),
            optional("snapshot", SourceFieldKind::Snapshot, slot(SNAPSHOT)),
            required("db", string, text(&self.database)),
            optional("sequence", string, slot(SEQUENCE)),
            optional("ts_us", int64, slot(TS_US)),
            optional("ts_ns", int64, slot(TS_NS)),
            required("schema", string, text(schema)),
            required("table", string, text(table)),
            optional("txId", int64, slot(TX_ID)),
            optional("lsn", int64, slot(LSN)),
            optional("xmin", int64, null),
            optional("origin", string, slot(ORIGIN)),
            optional("origin_lsn", int64, slot(ORIGIN_LSN)),
        ];
        Arc::new(SourceLayout { name: NAME.to_owned(), fields })
    }
}

/// One change's place, from which its slots are filled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Microseconds since 1970.
    pub(crate) ts_us: i64,
    pub(crate) snapshot: &'a str,
    /// The end of the commit before; nothing in a snapshot.
    pub(crate) after: Option<Lsn>,
    pub(crate) tx_id: Option<i64>,
    pub(crate) lsn: Lsn,
    pub(crate) origin: Option<(&'a str, Lsn)>,
}

/// The slots of a change; their texts are in the arena.
pub(crate) fn slots<'a>(place: &Place<'a>, arena: &'a Bump) -> [Value<'a>; N_SLOTS] {
    let int = |value: Option<i64>| value.map_or(Value::Null, Value::Int);
    let mut slots = [Value::Null; N_SLOTS];
    slots[TS_MS] = Value::Int(place.ts_us.div_euclid(1000));
    slots[SNAPSHOT] = Value::Text(place.snapshot);
    slots[SEQUENCE] = Value::Text(sequence(place, arena));
    slots[TS_US] = Value::Int(place.ts_us);
    // Nanoseconds end in 2262; a clock that is set beyond stays there.
    slots[TS_NS] = Value::Int(place.ts_us.saturating_mul(1000));
    slots[TX_ID] = int(place.tx_id);
    slots[LSN] = Value::Int(place.lsn.0.cast_signed());
    if let Some((name, lsn)) = place.origin {
        slots[ORIGIN] = Value::Text(name);
        slots[ORIGIN_LSN] = Value::Int(lsn.0.cast_signed());
    }
    slots
}

/// `["<commit before>","<row>"]`, in decimal.
fn sequence<'a>(place: &Place<'_>, arena: &'a Bump) -> &'a str {
    // Two numbers of up to 20 digits and eight signs.
    let mut text = bumpalo::collections::String::with_capacity_in(48, arena);
    let mut digits = itoa::Buffer::new();
    match place.after {
        Some(lsn) => {
            text.push_str("[\"");
            text.push_str(digits.format(lsn.0));
            text.push_str("\",\"");
        }
        None => text.push_str("[null,\""),
    }
    text.push_str(digits.format(place.lsn.0));
    text.push_str("\"]");
    text.into_bump_str()
}

/// Writes `<system id>-<lsn>`, the stable name of a transaction.
pub(crate) fn transaction_id(buffer: &mut String, system_id: &str, lsn: Lsn) {
    buffer.clear();
    let written = write!(buffer, "{system_id}-{lsn}");
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_the_layout() {
        let constants = SourceConstants {
            version: "3.6.0",
            topic_prefix: "p".to_owned(),
            database: "d".to_owned(),
        };
        let layout = constants.layout("public", "t");
        let arena = Bump::new();
        let place = Place {
            ts_us: 1_795_179_846_554_303,
            snapshot: "false",
            after: Some(Lsn(272_547_016)),
            tx_id: Some(10_850),
            lsn: Lsn(272_548_104),
            origin: Some(("node", Lsn(7))),
        };
        let slots = slots(&place, &arena);
        let found: Vec<_> = layout
            .fields
            .iter()
            .map(|field| match &field.value {
                SourceFieldValue::Constant(value) => (field.name, value.as_value()),
                SourceFieldValue::Slot(index) => (field.name, slots[*index]),
            })
            .collect();
        let expected = [
            ("version", Value::Text("3.6.0")),
            ("connector", Value::Text("postgresql")),
            ("name", Value::Text("p")),
            ("ts_ms", Value::Int(1_795_179_846_554)),
            ("snapshot", Value::Text("false")),
            ("db", Value::Text("d")),
            ("sequence", Value::Text("[\"272547016\",\"272548104\"]")),
            ("ts_us", Value::Int(1_795_179_846_554_303)),
            ("ts_ns", Value::Int(1_795_179_846_554_303_000)),
            ("schema", Value::Text("public")),
            ("table", Value::Text("t")),
            ("txId", Value::Int(10_850)),
            ("lsn", Value::Int(272_548_104)),
            ("xmin", Value::Null),
            ("origin", Value::Text("node")),
            ("origin_lsn", Value::Int(7)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_snapshot_has_no_transaction_in_its_sequence() {
        let arena = Bump::new();
        let place = Place {
            ts_us: 0,
            snapshot: "first",
            after: None,
            tx_id: Some(1),
            lsn: Lsn(272_475_864),
            origin: None,
        };
        assert_eq!(slots(&place, &arena)[SEQUENCE], Value::Text("[null,\"272475864\"]"));
    }
}
