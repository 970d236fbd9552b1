//! Debezium's `source` block for MySQL and MariaDB: which fields are fixed per table, and the slots
//! that each change fills.

use std::sync::Arc;

use crate::schema::{SourceField, SourceFieldKind, SourceFieldValue, SourceLayout};
use crate::sources::mysql::settings::Flavor;
use crate::value::{OwnedValue, Value};

const N_SLOTS: usize = 11;
const TS_MS: usize = 0;
const SNAPSHOT: usize = 1;
const TS_US: usize = 2;
const TS_NS: usize = 3;
const SERVER_ID: usize = 4;
const GTID: usize = 5;
const FILE: usize = 6;
const POS: usize = 7;
const ROW: usize = 8;
const THREAD: usize = 9;
const QUERY: usize = 10;

/// The markers of `source.snapshot` (`SnapshotRecord`).
pub mod marker {
    /// Of the stream.
    pub const NONE: &str = "false";
}

/// What is the same for every table of a source.
#[derive(Clone, Debug)]
pub struct SourceConstants {
    pub version: &'static str,
    pub flavor: Flavor,
    pub topic_prefix: String,
}

impl SourceConstants {
    #[must_use]
    pub fn layout(&self, database: &str, table: Option<&str>) -> Arc<SourceLayout> {
        let required = |name, kind, value| SourceField { name, kind, optional: false, value };
        let optional = |name, kind, value| SourceField { name, kind, optional: true, value };
        let text = |text: &str| SourceFieldValue::Constant(OwnedValue::Text(text.to_owned()));
        let slot = SourceFieldValue::Slot;
        let null = SourceFieldValue::Constant(OwnedValue::Null);
        let (string, int32, int64) =
            (SourceFieldKind::String, SourceFieldKind::Int32, SourceFieldKind::Int64);
        let (name, connector) = match self.flavor {
            Flavor::Mysql => ("io.debezium.connector.mysql.Source", "mysql"),
            Flavor::Mariadb => ("io.debezium.connector.mariadb.Source", "mariadb"),
        };
        let fields = vec![
            required("version", string, text(self.version)),
            required("connector", string, text(connector)),
            required("name", string, text(&self.topic_prefix)),
            required("ts_ms", int64, slot(TS_MS)),
            optional("snapshot", SourceFieldKind::Snapshot, slot(SNAPSHOT)),
            required("db", string, text(database)),
            optional("sequence", string, null.clone()),
            optional("ts_us", int64, slot(TS_US)),
            optional("ts_ns", int64, slot(TS_NS)),
            optional("table", string, table.map_or_else(|| null.clone(), text)),
            required("server_id", int64, slot(SERVER_ID)),
            optional("gtid", string, slot(GTID)),
            required("file", string, slot(FILE)),
            required("pos", int64, slot(POS)),
            required("row", int32, slot(ROW)),
            optional("thread", int64, slot(THREAD)),
            optional("query", string, slot(QUERY)),
        ];
        Arc::new(SourceLayout { name: name.to_owned(), fields })
    }
}

/// One change's place, from which its slots are filled.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Microseconds since 1970. The stream's: of the GTID event (MySQL, `original_commit_timestamp`
    /// is what Debezium takes), otherwise of the event's header, in whole seconds.
    pub ts_us: i64,
    pub snapshot: &'a str,
    /// Of the server where the change was made; 0 in a snapshot.
    pub server_id: u32,
    pub gtid: Option<&'a str>,
    pub file: &'a str,
    /// Where the rows event begins; that of the payload for a compressed transaction.
    pub pos: u64,
    /// Counts the rows of one event, from 0.
    pub row: u32,
    pub thread: Option<u32>,
    /// The statement, where the log carries it (`binlog_rows_query_log_events`) and `include_query`
    /// asks for it.
    pub query: Option<&'a str>,
}

pub type Slots<'a> = [Value<'a>; N_SLOTS];

/// The slots of a change.
#[must_use]
pub fn slots<'a>(place: &Place<'a>) -> Slots<'a> {
    let text = |text: Option<&'a str>| text.map_or(Value::Null, Value::Text);
    let mut slots = [Value::Null; N_SLOTS];
    slots[TS_MS] = Value::Int(place.ts_us.div_euclid(1000));
    slots[SNAPSHOT] = Value::Text(place.snapshot);
    slots[TS_US] = Value::Int(place.ts_us);
    slots[TS_NS] = Value::Int(place.ts_us.saturating_mul(1000));
    slots[SERVER_ID] = Value::Int(i64::from(place.server_id));
    slots[GTID] = text(place.gtid);
    slots[FILE] = Value::Text(place.file);
    slots[POS] = Value::Int(place.pos.cast_signed());
    set_row(&mut slots, place.row);
    slots[THREAD] = place.thread.map_or(Value::Null, |thread| Value::Int(i64::from(thread)));
    slots[QUERY] = text(place.query);
    slots
}

/// Makes the slots of one row of an event those of another one: they differ in nothing else.
#[inline]
pub fn set_row(slots: &mut Slots<'_>, row: u32) {
    slots[ROW] = Value::Int(i64::from(row));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_the_layout() {
        let constants = SourceConstants {
            version: "3.6.0",
            flavor: Flavor::Mysql,
            topic_prefix: "p".to_owned(),
        };
        let layout = constants.layout("shop", Some("t"));
        let place = Place {
            ts_us: 1_795_181_349_849_809,
            snapshot: marker::NONE,
            server_id: 1,
            gtid: Some("dfd7e4ae-e4dd-11f1-ad22-02fc00000001:1163"),
            file: "binlog.000001",
            pos: 425_040,
            row: 1,
            thread: Some(133),
            query: None,
        };
        let slots = slots(&place);
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
            ("connector", Value::Text("mysql")),
            ("name", Value::Text("p")),
            ("ts_ms", Value::Int(1_795_181_349_849)),
            ("snapshot", Value::Text("false")),
            ("db", Value::Text("shop")),
            ("sequence", Value::Null),
            ("ts_us", Value::Int(1_795_181_349_849_809)),
            ("ts_ns", Value::Int(1_795_181_349_849_809_000)),
            ("table", Value::Text("t")),
            ("server_id", Value::Int(1)),
            ("gtid", Value::Text("dfd7e4ae-e4dd-11f1-ad22-02fc00000001:1163")),
            ("file", Value::Text("binlog.000001")),
            ("pos", Value::Int(425_040)),
            ("row", Value::Int(1)),
            ("thread", Value::Int(133)),
            ("query", Value::Null),
        ];
        assert_eq!(found, expected);
        assert_eq!(layout.name, "io.debezium.connector.mysql.Source");
        let constants = SourceConstants { flavor: Flavor::Mariadb, ..constants };
        assert_eq!(constants.layout("a", None).name, "io.debezium.connector.mariadb.Source");
    }
}
