//! Transaction metadata: the records of begins and ends, and the block in every envelope between.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tailwater::change::{Before, Change, Edge, EventId, Op, Row, TransactionEdge, TransactionName};
use tailwater::disposition::{Diagnose, Disposition};
use tailwater::encode::{EncodeError, EncodeOptions, Encoder, Format};
use tailwater::record::{RecordBatch, TopicRole, Topics};
use tailwater::schema::{Column, ColumnType, Shape, SourceLayout, Table, TableVersion};
use tailwater::value::{Decimal, DecimalSpecial, Value};

use super::avro;
use super::registry::Registry;

struct Setup {
    encoder: Encoder,
    topics: Arc<Topics>,
    registry: Registry,
    batch: RecordBatch,
}

impl Setup {
    fn new(format: Format, topic: Option<&str>) -> Self {
        let (topics, registry) = (Arc::<Topics>::default(), Registry::default());
        let options = EncodeOptions {
            connector: "mysql",
            topic_prefix: "shop".to_owned(),
            format,
            values: tailwater::config::ValueModes::default(),
            tombstones: true,
            id_header: true,
            context_headers: true,
            transaction_topic: topic.map(str::to_owned),
        };
        let ids = Box::new(registry.clone());
        let encoder = Encoder::new(options, Arc::clone(&topics), ids);
        Self { encoder, topics, registry, batch: RecordBatch::default() }
    }

    fn json() -> Self {
        Self::new(Format::Json { schemas: false }, Some("transaction"))
    }

    fn edge(&mut self, edge: Edge) {
        let edge = TransactionEdge { edge, name: NAME, ts_ms: 1_795_181_433_599, id: "u:7" };
        self.encoder.encode_transaction(&edge, &mut self.batch).unwrap();
    }

    fn change(
        &mut self,
        table: &Arc<Table>,
        op: Op,
        before: Option<Row<'_>>,
        after: Option<Row<'_>>,
    ) -> Result<(), EncodeError> {
        let change = Change {
            table,
            op,
            before: before.map(Before::Whole),
            after,
            source: &[],
            id: EventId { transaction: "u:7", ordinal: 0 },
            transaction: Some(NAME),
            raw: &[],
        };
        self.encoder.encode(&change, 1_500_000_000_123_456_789, &mut self.batch)
    }

    fn insert(&mut self, table: &Arc<Table>, id: i64) {
        self.change(table, Op::Create, None, Some(&[Value::Int(id), Value::Null])).unwrap();
    }

    fn values(&self) -> Vec<Json> {
        let values = self.batch.records.iter().map(|record| self.batch.value(record));
        values.flatten().map(|value| serde_json::from_slice(value).unwrap()).collect()
    }

    /// Total and collection's order of each envelope; the collections' counts of each end.
    fn numbers(&self) -> Vec<String> {
        let numbers = self.values().into_iter().map(|value| match value["status"].as_str() {
            Some("END") => {
                let each = value["data_collections"].as_array().unwrap().iter();
                let each = each.map(|of| {
                    let table = of["data_collection"].as_str().unwrap();
                    format!(" {table}={}", of["event_count"])
                });
                format!("end {}{}", value["event_count"], each.collect::<String>())
            }
            Some(status) => status.to_lowercase(),
            None => {
                let block = &value["transaction"];
                format!(
                    "{} {}/{}",
                    value["op"].as_str().unwrap(),
                    block["total_order"],
                    block["data_collection_order"]
                )
            }
        });
        numbers.collect()
    }
}

const NAME: TransactionName<'static> = TransactionName::Gtid("dfd7e4ae:1371");

fn table(version: u32, name: &str) -> Arc<Table> {
    let column = |name: &str, data_type, optional| Column {
        name: name.to_owned(),
        data_type,
        optional,
        default: None,
    };
    Arc::new(Table {
        version: TableVersion(version),
        shape: Shape::Rows,
        path: vec!["db".to_owned(), name.to_owned()],
        columns: vec![
            column("id", ColumnType::Int32, false),
            column("v", ColumnType::Decimal { precision: 4, scale: 1 }, true),
        ],
        key: vec![0],
        source: Arc::new(SourceLayout { name: "x.Source".to_owned(), fields: vec![] }),
    })
}

#[test]
fn a_begin_and_an_end_are_records_as_debezium_writes_them() {
    let mut setup = Setup::json();
    let odd = table(0, "Odd Täble");
    setup.edge(Edge::Begin);
    setup.insert(&odd, 1);
    setup.edge(Edge::End);
    let [begin, row, end] = setup.batch.records.as_slice() else { panic!("three records") };
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    for (record, expected, id) in [
        (
            begin,
            r#"{"status":"BEGIN","id":"dfd7e4ae:1371","event_count":null,"data_collections":null,"ts_ms":1795181433599}"#,
            "u:7:begin",
        ),
        (
            end,
            r#"{"status":"END","id":"dfd7e4ae:1371","event_count":1,"data_collections":[{"data_collection":"db.Odd Täble","event_count":1}],"ts_ms":1795181433599}"#,
            "u:7:end",
        ),
    ] {
        assert_eq!(text(setup.batch.key(record)), r#"{"id":"dfd7e4ae:1371"}"#);
        assert_eq!(text(setup.batch.value(record)), expected);
        let topic = setup.topics.get(record.topic);
        assert_eq!((&*topic.name, topic.role), ("shop.transaction", TopicRole::Auxiliary));
        let headers: Vec<_> =
            setup.batch.headers(record).map(|(n, v)| (text(Some(n)), text(v))).collect();
        assert_eq!(headers.len(), 4);
        assert_eq!(headers[3], ("cdc.id".to_owned(), id.to_owned()));
        assert!(headers[0].1.contains(r#""payload":"shop""#));
    }
    let value = text(setup.batch.value(row));
    let block = r#""transaction":{"id":"dfd7e4ae:1371","total_order":1,"data_collection_order":1},"op":"c""#;
    assert!(value.contains(block), "{value}");
}

#[test]
fn envelopes_are_counted_by_table_and_tombstones_are_not() {
    let mut setup = Setup::json();
    let (a, b) = (table(0, "a"), table(1, "b"));
    let row = |id| [Value::Int(id), Value::Null];
    setup.edge(Edge::Begin);
    setup.insert(&b, 1);
    setup.insert(&a, 1);
    // A changed key is a delete and a create.
    setup.change(&a, Op::Update, Some(&row(1)), Some(&row(2))).unwrap();
    setup.change(&b, Op::Update, Some(&row(1)), Some(&row(1))).unwrap();
    setup.change(&a, Op::Delete, Some(&row(2)), None).unwrap();
    setup.change(&b, Op::Truncate, None, None).unwrap();
    // Another version of the same table goes on where the first one was.
    setup.insert(&table(7, "a"), 3);
    setup.edge(Edge::End);
    setup.edge(Edge::Begin);
    setup.edge(Edge::End);
    setup.edge(Edge::Begin);
    setup.insert(&a, 4);
    setup.edge(Edge::End);
    assert_eq!(
        setup.numbers(),
        [
            "begin",
            "c 1/1",
            "c 2/1",
            "d 3/2",
            "c 4/3",
            "u 5/2",
            "d 6/4",
            "t 7/3",
            "c 8/5",
            "end 8 db.b=3 db.a=5",
            "begin",
            "end 0",
            "begin",
            "c 1/1",
            "end 1 db.a=1",
        ]
    );
}

#[test]
fn a_row_that_is_put_aside_is_not_counted() {
    let mut setup = Setup::json();
    let (a, b) = (table(0, "a"), table(1, "b"));
    let nan = [Value::Int(1), Value::DecimalSpecial(DecimalSpecial::NaN)];
    let good = Decimal { unscaled: &[1], scale: 1 };
    let old = [Value::Int(1), Value::Decimal(good)];
    setup.edge(Edge::Begin);
    setup.insert(&a, 1);
    let error = setup.change(&a, Op::Create, None, Some(&nan)).unwrap_err();
    assert_eq!(error.disposition(), Disposition::DeadLetter);
    // The delete of the old key is written by then, and is taken back too.
    let moved = [Value::Int(2), nan[1]];
    setup.change(&b, Op::Update, Some(&old), Some(&moved)).unwrap_err();
    setup.insert(&a, 2);
    setup.edge(Edge::End);
    assert_eq!(setup.numbers(), ["begin", "c 1/1", "c 2/2", "end 2 db.a=2"]);
    setup.insert(&b, 2);
    assert_eq!(setup.numbers().last().unwrap(), "c 3/1");
}

#[test]
fn nothing_is_written_where_it_was_not_asked_for() {
    let mut setup = Setup::new(Format::Json { schemas: false }, None);
    setup.edge(Edge::Begin);
    setup.insert(&table(0, "a"), 1);
    setup.edge(Edge::End);
    assert_eq!(setup.values().len(), 1);
    assert_eq!(setup.values()[0]["transaction"], Json::Null);
}

#[test]
fn in_avro_they_are_of_the_schemas_that_confluents_converter_registers() {
    let mut setup = Setup::new(Format::Avro, Some("tx"));
    let a = table(0, "a");
    setup.edge(Edge::Begin);
    setup.insert(&a, 1);
    setup.edge(Edge::End);
    let read = |bytes: Option<&[u8]>| {
        let (head, datum) = bytes.unwrap().split_at(5);
        let id = u32::from_be_bytes(head[1..].try_into().unwrap());
        let (subject, schema) = setup.registry.schema(id);
        (subject, avro::read(&schema, datum))
    };
    let [begin, row, end] = setup.batch.records.as_slice() else { panic!("three records") };
    let key = ("shop.tx-key".to_owned(), json!({ "id": "dfd7e4ae:1371" }));
    assert_eq!(read(setup.batch.key(begin)), key);
    let value = |status, count, collections| {
        let value = json!({
            "status": status, "id": "dfd7e4ae:1371", "event_count": count,
            "data_collections": collections, "ts_ms": 1_795_181_433_599_i64,
        });
        ("shop.tx-value".to_owned(), value)
    };
    let collections = json!([{ "data_collection": "db.a", "event_count": 1 }]);
    assert_eq!(read(setup.batch.value(begin)), value("BEGIN", Json::Null, Json::Null));
    assert_eq!(read(setup.batch.value(end)), value("END", json!(1), collections));
    let block = json!({ "id": "dfd7e4ae:1371", "total_order": 1, "data_collection_order": 1 });
    assert_eq!(read(setup.batch.value(row)).1["transaction"], block);
    assert_eq!(
        setup.registry.schemas_of("shop.tx-key"),
        [
            r#"{"type":"record","name":"TransactionMetadataKey","namespace":"io.debezium.connector.common","fields":[{"name":"id","type":"string"}],"connect.version":1,"connect.name":"io.debezium.connector.common.TransactionMetadataKey"}"#
        ]
    );
    let collection = r#"{"type":"record","name":"collection","namespace":"event","fields":[{"name":"data_collection","type":"string"},{"name":"event_count","type":"long"}],"connect.version":1,"connect.name":"event.collection"}"#;
    assert_eq!(
        setup.registry.schemas_of("shop.tx-value"),
        [format!(
            r#"{{"type":"record","name":"TransactionMetadataValue","namespace":"io.debezium.connector.common","fields":[{{"name":"status","type":"string"}},{{"name":"id","type":"string"}},{{"name":"event_count","type":["null","long"],"default":null}},{{"name":"data_collections","type":["null",{{"type":"array","items":["null",{collection}]}}],"default":null}},{{"name":"ts_ms","type":"long"}}],"connect.version":1,"connect.name":"io.debezium.connector.common.TransactionMetadataValue"}}"#
        )]
    );
}

#[test]
fn a_table_may_not_have_the_topic_of_transactions() {
    let mut setup = Setup::new(Format::Json { schemas: false }, Some("db.a"));
    let row = [Value::Int(1), Value::Null];
    let error = setup.change(&table(0, "a"), Op::Create, None, Some(&row)).unwrap_err();
    let said = "name the topic of db.a: shop.db.a is the topic of transaction metadata already";
    assert_eq!((error.to_string().as_str(), error.disposition()), (said, Disposition::Stop));
}

#[test]
fn names_are_those_of_each_source() {
    let mut text = "before".to_owned();
    for (name, expected) in [
        (NAME, "dfd7e4ae:1371"),
        (TransactionName::Place { file: "binlog.000001", pos: 157 }, "file=binlog.000001,pos=157"),
        (TransactionName::XidAt { xid: 11_277, lsn: 290_554_384 }, "11277:290554384"),
        (TransactionName::Session { lsid: "{\"id\": 1}", number: 7 }, "{\"id\": 1}:7"),
    ] {
        name.write(&mut text);
        assert_eq!(text, expected);
    }
}
