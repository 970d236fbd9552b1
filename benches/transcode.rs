//! The transcode budget: a ten-column insert from wire bytes to its record (at most 500 ns), and
//! the encode part alone, from a prepared change.

#[path = "../tests/support/decode_binlog.rs"]
mod decode_binlog;
#[path = "../tests/support/decode_events.rs"]
mod decode_events;
#[path = "../tests/support/decode_rows.rs"]
mod decode_rows;
#[path = "../tests/support/transcode_rows.rs"]
mod transcode_rows;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tailwater::change::{Change, EventId, Op};
use tailwater::encode::{EncodeOptions, Encoder, Format, SchemaIds};
use tailwater::record::RecordBatch;
use tailwater::schema::registry::RegistryError;
use tailwater::schema::{
    Column, ColumnType, Shape, SourceField, SourceFieldKind, SourceFieldValue, SourceLayout, Table,
    TableVersion,
};
use tailwater::sources::RawBatch;
use tailwater::sources::mysql::settings::Flavor;
use tailwater::value::{Decimal, OwnedValue, Value};

use transcode_rows::Transcoder;

struct One;

impl SchemaIds for One {
    fn id(&mut self, _: &str, _: &str) -> Result<u32, RegistryError> {
        Ok(1)
    }
}

fn table() -> Arc<Table> {
    let column = |name: &str, data_type, optional| Column {
        name: name.to_owned(),
        data_type,
        optional,
        default: None,
    };
    Arc::new(Table {
        version: TableVersion(0),
        shape: Shape::Rows,
        path: vec!["public".to_owned(), "orders".to_owned()],
        columns: vec![
            column("id", ColumnType::Int64, false),
            column("customer", ColumnType::Int32, false),
            column("name", ColumnType::Text, true),
            column("email", ColumnType::Text, true),
            column("total", ColumnType::Decimal { precision: 10, scale: 2 }, true),
            column("placed_at", ColumnType::TimestampTz { precision: 6 }, true),
            column("updated_at", ColumnType::Timestamp { precision: 6 }, true),
            column("paid", ColumnType::Bool, true),
            column("weight", ColumnType::Float64, true),
            column("note", ColumnType::Text, true),
        ],
        key: vec![0],
        source: Arc::new(source()),
    })
}

fn source() -> SourceLayout {
    let field = |name, kind, optional, value| SourceField { name, kind, optional, value };
    let text = |name, value: &str| {
        let value = SourceFieldValue::Constant(OwnedValue::Text(value.to_owned()));
        field(name, SourceFieldKind::String, false, value)
    };
    let slot =
        |name, kind, optional, slot| field(name, kind, optional, SourceFieldValue::Slot(slot));
    let (int, string) = (SourceFieldKind::Int64, SourceFieldKind::String);
    SourceLayout {
        name: "io.debezium.connector.postgresql.Source".to_owned(),
        fields: vec![
            text("version", "0.1.0"),
            text("connector", "postgresql"),
            text("name", "shop"),
            slot("ts_ms", int, false, 0),
            slot("snapshot", SourceFieldKind::Snapshot, true, 1),
            text("db", "shop"),
            slot("sequence", string, true, 2),
            slot("ts_us", int, true, 3),
            slot("ts_ns", int, true, 4),
            text("schema", "public"),
            text("table", "orders"),
            slot("txId", int, true, 5),
            slot("lsn", int, true, 6),
            slot("xmin", int, true, 7),
            slot("origin", string, true, 7),
            slot("origin_lsn", int, true, 7),
        ],
    }
}

const ROW: [Value<'static>; 10] = [
    Value::Int(1_234_567),
    Value::Int(4_711),
    Value::Text("Ada Lovelace"),
    Value::Text("ada@example.com"),
    Value::Decimal(Decimal { unscaled: &[0x01, 0xE2, 0x40], scale: 2 }),
    Value::TimestampTz(1_709_172_306_789_123),
    Value::Timestamp(1_709_172_306_789_123),
    Value::Bool(true),
    Value::Float64(72.5),
    Value::Text("leave it at the door, please"),
];

const SOURCE: [Value<'static>; 8] = [
    Value::Int(1_795_179_843_724),
    Value::Text("false"),
    Value::Text(r#"["272540848","272541040"]"#),
    Value::Int(1_795_179_843_724_192),
    Value::Int(1_795_179_843_724_192_000),
    Value::Int(10_834),
    Value::Int(272_541_040),
    Value::Null,
];

/// Records in one batch: about a quarter of a megabyte.
const ROWS: usize = 1_000;

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, format, id_header) in [
        ("avro", Format::Avro, false),
        ("avro_with_id", Format::Avro, true),
        ("json", Format::Json { schemas: false }, false),
    ] {
        let options = EncodeOptions {
            connector: "postgresql",
            values: tailwater::config::ValueModes::default(),
            topic_prefix: "shop".to_owned(),
            format,
            tombstones: true,
            id_header,
            context_headers: false,
            transaction_topic: None,
        };
        let mut encoder = Encoder::new(options, Arc::default(), Box::new(One));
        let table = table();
        let id = EventId { transaction: "7240110233/1/0-103E9F70", ordinal: 17 };
        let change = Change {
            table: &table,
            op: Op::Create,
            before: None,
            after: Some(&ROW),
            source: &SOURCE,
            id,
            transaction: None,
            raw: &[],
        };
        let mut batch = RecordBatch::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                batch.data.clear();
                batch.records.clear();
                batch.headers.clear();
                for _ in 0..ROWS {
                    encoder
                        .encode(black_box(&change), 1_795_179_844_034_652_816, &mut batch)
                        .expect("the row fits its schema");
                }
                black_box(batch.data.len())
            });
        });
    }
    group.finish();
}

fn transcode(criterion: &mut Criterion) {
    let postgres = || decode_rows::batch(ROWS);
    measure(criterion, "postgresql", Transcoder::new(decode_rows::decoder()), postgres);
    for (name, flavor) in [("mysql", Flavor::Mysql), ("mariadb", Flavor::Mariadb)] {
        let transcoder = Transcoder::new(decode_binlog::decoder(flavor));
        measure(criterion, name, transcoder, || decode_binlog::batch(flavor, ROWS));
    }
    let mongodb = || decode_events::batch(ROWS);
    measure(criterion, "mongodb", Transcoder::new(decode_events::decoder()), mongodb);
    let numbered = Transcoder::with_transactions(decode_rows::decoder());
    measure(criterion, "postgresql_with_transactions", numbered, postgres);
    let numbered = Transcoder::with_transactions(decode_binlog::decoder(Flavor::Mysql));
    let mysql = || decode_binlog::batch(Flavor::Mysql, ROWS);
    measure(criterion, "mysql_with_transactions", numbered, mysql);
}

fn measure(
    criterion: &mut Criterion,
    name: &str,
    mut transcoder: Transcoder,
    batch: impl Fn() -> RawBatch,
) {
    let mut group = criterion.benchmark_group("transcode an insert to avro_with_id");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_batched(
            &batch,
            |raw| {
                black_box(transcoder.transcode(&raw));
                raw
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, transcode, encode);
criterion_main!(benches);
