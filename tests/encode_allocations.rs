//! After warm-up the encoder takes no memory, neither per row nor per value: a test of its own,
//! because the counting allocator is the whole binary's.

#![expect(clippy::unwrap_used, reason = "a test that stops there says what was wrong")]

use std::sync::Arc;

use tailwater::change::{Before, Change, Edge, EventId, Op, TransactionEdge, TransactionName};
use tailwater::encode::{EncodeOptions, Encoder, Format, SchemaIds};
use tailwater::record::RecordBatch;
use tailwater::schema::registry::RegistryError;
use tailwater::schema::{
    Column, ColumnType, Shape, SourceField, SourceFieldKind, SourceFieldValue, SourceLayout, Table,
    TableVersion,
};
use tailwater::value::{Decimal, Interval, Value};

struct One;

impl SchemaIds for One {
    fn id(&mut self, _: &str, _: &str) -> Result<u32, RegistryError> {
        Ok(1)
    }
}

fn columns() -> Vec<(ColumnType, Value<'static>)> {
    let array = |element| ColumnType::Array(Box::new(element));
    let decimal = |scale| Value::Decimal(Decimal { unscaled: &[0x7F, 0x10], scale });
    let labels: Arc<[String]> = Arc::new(["sad".to_owned()]);
    vec![
        (ColumnType::Int32, Value::Int(1)),
        (ColumnType::Bool, Value::Bool(true)),
        (ColumnType::Int16, Value::Int(-7)),
        (ColumnType::Int64, Value::Int(i64::MAX)),
        (ColumnType::Float32, Value::Float32(1.25)),
        (ColumnType::Float64, Value::Float64(5e-324)),
        (ColumnType::Decimal { precision: 10, scale: 2 }, decimal(2)),
        (ColumnType::Decimal { precision: 10, scale: 4 }, decimal(2)),
        (ColumnType::VariableDecimal, decimal(3)),
        (ColumnType::Money { scale: 2 }, decimal(2)),
        (ColumnType::Text, Value::Text("päpier 😀 \"quoted\"\n")),
        (ColumnType::Text, Value::Unavailable),
        (ColumnType::Bytes, Value::Bytes(b"\x00\xff")),
        (ColumnType::Bits { length: 9 }, Value::Bytes(b"\x01\x01")),
        (ColumnType::Json, Value::Text("{}")),
        (ColumnType::Uuid, Value::Text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        (ColumnType::Enum { labels }, Value::Text("sad")),
        (ColumnType::Date, Value::Date(1)),
        (ColumnType::Time { precision: 3 }, Value::Time(1_000)),
        (ColumnType::Time { precision: 6 }, Value::Time(1)),
        (ColumnType::TimeTz { precision: 6 }, Value::TimeTz { micros: 1, offset_s: 3_600 }),
        (ColumnType::Timestamp { precision: 3 }, Value::Timestamp(-1)),
        (ColumnType::Timestamp { precision: 6 }, Value::Timestamp(i64::MAX)),
        (ColumnType::TimestampTz { precision: 6 }, Value::TimestampTz(1)),
        (ColumnType::Interval, Value::Interval(Interval { months: 1, days: 2, micros: 3 })),
        (ColumnType::Point, Value::Point { x: 1.0, y: -2.0 }),
        (array(ColumnType::Int32), Value::Array(&[Value::Int(1), Value::Null])),
        (array(ColumnType::Text), Value::Array(&[Value::Text("a"), Value::Text("b")])),
        (array(ColumnType::Int64), Value::Unavailable),
        (ColumnType::Text, Value::Null),
    ]
}

fn options(format: Format) -> EncodeOptions {
    EncodeOptions {
        connector: "postgresql",
        topic_prefix: "shop".to_owned(),
        format,
        values: tailwater::config::ValueModes::default(),
        tombstones: true,
        id_header: true,
        context_headers: true,
        transaction_topic: Some("transaction".to_owned()),
    }
}

fn check(format: Format) {
    let columns = columns();
    let field = |name, optional, slot| SourceField {
        name,
        kind: SourceFieldKind::Int64,
        optional,
        value: SourceFieldValue::Slot(slot),
    };
    let table = Arc::new(Table {
        version: TableVersion(0),
        shape: Shape::Rows,
        path: vec!["public".to_owned(), "t".to_owned()],
        columns: columns
            .iter()
            .enumerate()
            .map(|(index, (data_type, _))| Column {
                name: format!("c{index}"),
                data_type: data_type.clone(),
                optional: true,
                default: None,
            })
            .collect(),
        key: vec![0, 10],
        source: Arc::new(SourceLayout {
            name: "x.Source".to_owned(),
            fields: vec![field("lsn", true, 0), field("ts_ms", false, 1)],
        }),
    });
    let row: Vec<Value<'_>> = columns.iter().map(|(_, value)| *value).collect();
    let mut old = row.clone();
    old[0] = Value::Int(2);
    let mut encoder = Encoder::new(options(format), Arc::default(), Box::new(One));
    let mut batch = RecordBatch::default();
    let id = EventId { transaction: "7240110233/1/0-103E9F70", ordinal: 17 };
    let source = [Value::Null, Value::Int(7)];
    let name = TransactionName::XidAt { xid: 777, lsn: 290_554_384 };
    let create = Change {
        table: &table,
        op: Op::Create,
        before: None,
        after: Some(&row),
        source: &source,
        id,
        transaction: Some(name),
        raw: &[],
    };
    let moved = Change { op: Op::Update, before: Some(Before::Whole(&old)), ..create };
    let delete =
        Change { op: Op::Delete, before: Some(Before::Whole(&old)), after: None, ..create };
    let mut encode = |batch: &mut RecordBatch| {
        batch.data.clear();
        batch.records.clear();
        batch.headers.clear();
        let edge = |edge| TransactionEdge { edge, name, ts_ms: 1, id: id.transaction };
        encoder.encode_transaction(&edge(Edge::Begin), batch).unwrap();
        for change in [&create, &moved, &delete] {
            encoder.encode(change, 1_795_179_844_034_652_816, batch).unwrap();
        }
        encoder.encode_transaction(&edge(Edge::End), batch).unwrap();
    };
    encode(&mut batch);
    let info = allocation_counter::measure(|| {
        for _ in 0..100 {
            encode(&mut batch);
        }
    });
    assert_eq!(info.count_total, 0, "allocations in 800 records");
    assert_eq!(batch.records.len(), 8);
}

#[test]
fn avro_takes_no_memory_after_warm_up() {
    check(Format::Avro);
}

#[test]
fn json_takes_no_memory_after_warm_up() {
    check(Format::Json { schemas: true });
}
