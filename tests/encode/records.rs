//! What the golden files do not show: headers of our own, placeholders of every type, refusals.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tailwater::change::{Before, Change, EventId, Op, Row};
use tailwater::disposition::{Diagnose, Disposition};
use tailwater::encode::{EncodeError, EncodeOptions, Encoder, Format, describe};
use tailwater::record::{RecordBatch, TopicRole, Topics};
use tailwater::schema::avro::to_avro_schema;
use tailwater::schema::{
    Column, ColumnType, Shape, SourceField, SourceFieldKind, SourceFieldValue, SourceLayout, Table,
    TableVersion,
};
use tailwater::value::{Decimal, DecimalSpecial, OwnedValue, Value};

use super::avro;
use super::registry::Registry;

fn options(format: Format) -> EncodeOptions {
    EncodeOptions {
        connector: "postgresql",
        topic_prefix: "shop".to_owned(),
        format,
        values: tailwater::config::ValueModes::default(),
        tombstones: true,
        id_header: false,
        context_headers: false,
        transaction_topic: None,
    }
}

const PLAIN_JSON: Format = Format::Json { schemas: false };

fn encoder(options: EncodeOptions) -> Encoder {
    Encoder::new(options, Arc::default(), Box::new(Registry::default()))
}

fn column(name: &str, data_type: ColumnType) -> Column {
    Column { name: name.to_owned(), data_type, optional: true, default: None }
}

/// A table whose first column is its key.
fn table(columns: Vec<Column>) -> Arc<Table> {
    let snapshot = SourceField {
        name: "snapshot",
        kind: SourceFieldKind::Snapshot,
        optional: true,
        value: SourceFieldValue::Slot(0),
    };
    Arc::new(Table {
        version: TableVersion(0),
        shape: Shape::Rows,
        path: vec!["public".to_owned(), "t".to_owned()],
        columns,
        key: vec![0],
        source: Arc::new(SourceLayout { name: "x.Source".to_owned(), fields: vec![snapshot] }),
    })
}

fn id_and_text() -> Arc<Table> {
    let id = Column { optional: false, ..column("id", ColumnType::Int32) };
    table(vec![id, column("v", ColumnType::Text)])
}

fn change<'a>(
    table: &'a Arc<Table>,
    op: Op,
    before: Option<Before<'a>>,
    after: Option<Row<'a>>,
) -> Change<'a> {
    let id = EventId { transaction: "sys/1/0-1A", ordinal: 7 };
    Change { table, op, before, after, source: &[Value::Null], id, transaction: None, raw: &[] }
}

fn encode(options: EncodeOptions, change: &Change<'_>) -> Result<RecordBatch, EncodeError> {
    let mut batch = RecordBatch::default();
    encoder(options).encode(change, 1_500_000_000_123_456_789, &mut batch)?;
    Ok(batch)
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

/// Key, value and headers of every record, as text.
fn shown(batch: &RecordBatch) -> Vec<String> {
    let records = batch.records.iter().map(|record| {
        let headers = batch.headers(record).map(|(name, value)| {
            format!(" {}={}", text(Some(name)).unwrap(), text(value).unwrap_or_default())
        });
        format!(
            "{:?} {:?}{}",
            text(batch.key(record)),
            text(batch.value(record)),
            headers.collect::<String>()
        )
        .replace('\\', "")
        .replace("Some(\"", "")
        .replace("\")", "")
    });
    records.collect()
}

#[test]
fn a_change_of_key_is_a_delete_a_tombstone_and_a_create_with_ids_of_their_own() {
    let table = id_and_text();
    let old = [Value::Int(1), Value::Absent];
    let new = [Value::Int(2), Value::Text("b")];
    let change = change(&table, Op::Update, Some(Before::Key(&old)), Some(&new));
    let batch = encode(EncodeOptions { id_header: true, ..options(PLAIN_JSON) }, &change).unwrap();
    let time = r#""ts_ms":1500000000123,"ts_us":1500000000123456,"ts_ns":1500000000123456789}"#;
    let schema = r#"{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"optional":false,"name":"shop.public.t.Key"},"payload":"#;
    assert_eq!(
        shown(&batch),
        [
            format!(
                r#"{{"id":1}} {{"before":{{"id":1,"v":null}},"after":null,"source":{{"snapshot":"false"}},"transaction":null,"op":"d",{time} __debezium.newkey={schema}{{"id":2}}}} cdc.id=sys/1/0-1A:7"#
            ),
            format!(
                r#"{{"id":1}} None __debezium.newkey={schema}{{"id":2}}}} cdc.id=sys/1/0-1A:7:1"#
            ),
            format!(
                r#"{{"id":2}} {{"before":null,"after":{{"id":2,"v":"b"}},"source":{{"snapshot":"false"}},"transaction":null,"op":"c",{time} __debezium.oldkey={schema}{{"id":1}}}} cdc.id=sys/1/0-1A:7:2"#
            ),
        ]
    );
}

#[test]
fn without_tombstones_a_delete_is_one_record_and_a_change_of_key_two() {
    let table = id_and_text();
    let old = [Value::Int(1), Value::Text("a")];
    let new = [Value::Int(2), Value::Text("a")];
    let quiet = || EncodeOptions { tombstones: false, ..options(PLAIN_JSON) };
    let delete = change(&table, Op::Delete, Some(Before::Whole(&old)), None);
    assert_eq!(encode(quiet(), &delete).unwrap().records.len(), 1);
    let moved = change(&table, Op::Update, Some(Before::Whole(&old)), Some(&new));
    assert_eq!(encode(quiet(), &moved).unwrap().records.len(), 2);
}

#[test]
fn an_update_that_keeps_its_key_shows_a_whole_old_row_and_no_mere_key() {
    let table = id_and_text();
    let old = [Value::Int(1), Value::Text("a")];
    let new = [Value::Int(1), Value::Text("b")];
    for (before, expected) in [
        (Some(Before::Whole(&old[..])), json!({"id": 1, "v": "a"})),
        (Some(Before::Key(&[Value::Int(1), Value::Absent][..])), Json::Null),
        (None, Json::Null),
    ] {
        let batch =
            encode(options(PLAIN_JSON), &change(&table, Op::Update, before, Some(&new))).unwrap();
        let [record] = &batch.records[..] else { panic!("{} records", batch.records.len()) };
        let value: Json = serde_json::from_slice(batch.value(record).unwrap()).unwrap();
        assert_eq!((&value["op"], &value["before"]), (&json!("u"), &expected));
        // Nothing of the old key stays behind in the arena.
        let key = batch.key(record).unwrap().len();
        assert_eq!(batch.data.len(), key + batch.value(record).unwrap().len());
    }
}

#[test]
fn context_headers_name_the_connector_as_debezium_does() {
    let table = id_and_text();
    let new = [Value::Int(1), Value::Null];
    let create = change(&table, Op::Create, None, Some(&new));
    let batch =
        encode(EncodeOptions { context_headers: true, ..options(PLAIN_JSON) }, &create).unwrap();
    let headers: Vec<_> = batch
        .headers(&batch.records[0])
        .map(|(n, v)| (text(Some(n)).unwrap(), text(v).unwrap()))
        .collect();
    let value =
        |v: &str| format!(r#"{{"schema":{{"type":"string","optional":false}},"payload":"{v}"}}"#);
    assert_eq!(
        headers,
        [
            ("__debezium.context.connectorLogicalName".to_owned(), value("shop")),
            ("__debezium.context.taskId".to_owned(), value("0")),
            ("__debezium.context.connectorName".to_owned(), value("postgresql")),
        ]
    );
}

#[test]
fn what_was_not_repeated_is_marked_in_every_type_that_can_be_large() {
    const MARK: &str = "__debezium_unavailable_value";
    const BASE64: &str = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
    const UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";
    let codes: Vec<u8> = MARK.bytes().collect();
    let array = |element| ColumnType::Array(Box::new(element));
    let labels: Arc<[String]> = Arc::new(["a".to_owned()]);
    let cases = [
        (ColumnType::Text, json!(MARK)),
        (ColumnType::Json, json!(MARK)),
        (ColumnType::Hstore, json!(MARK)),
        (ColumnType::Xml, json!(MARK)),
        (ColumnType::Bytes, json!(BASE64)),
        (ColumnType::Bits { length: 9000 }, json!(BASE64)),
        (ColumnType::Decimal { precision: 9, scale: 2 }, json!(BASE64)),
        (ColumnType::VariableDecimal, json!({"scale": 0, "value": BASE64})),
        (array(ColumnType::Text), json!([MARK])),
        (array(ColumnType::Json), json!([MARK])),
        (array(ColumnType::Enum { labels }), json!([MARK])),
        (array(ColumnType::Uuid), json!([UUID])),
        (array(ColumnType::Bytes), json!([BASE64])),
        (array(ColumnType::Int16), json!(codes)),
        (array(ColumnType::Int32), json!(codes)),
        (array(ColumnType::Int64), json!(codes)),
        (array(ColumnType::Date), json!(codes)),
        (array(ColumnType::VariableDecimal), json!([{"scale": 0, "value": BASE64}])),
        (array(ColumnType::TimestampTz { precision: 6 }), json!([MARK])),
    ];
    for (data_type, expected) in cases {
        let table = table(vec![column("id", ColumnType::Int32), column("v", data_type)]);
        let row = [Value::Int(1), Value::Unavailable];
        let change = change(&table, Op::Update, None, Some(&row));
        let batch = encode(options(PLAIN_JSON), &change).unwrap();
        let value: Json = serde_json::from_slice(batch.value(&batch.records[0]).unwrap()).unwrap();
        assert_eq!(value["after"]["v"], expected);
        let described = describe(&options(Format::Avro), &table).unwrap();
        let batch = encode(options(Format::Avro), &change).unwrap();
        let bytes = &batch.value(&batch.records[0]).unwrap()[5..];
        let value = avro::read(&to_avro_schema(&described.schemas.value), bytes);
        assert_eq!(value["after"]["v"], expected);
    }
}

#[test]
fn an_old_row_that_lacks_a_required_column_shows_its_default_or_its_types_zero() {
    let required = |name: &str, data_type| Column { optional: false, ..column(name, data_type) };
    let with_default = Column {
        default: Some(OwnedValue::Decimal { unscaled: vec![125], scale: 1 }),
        ..required("d", ColumnType::Decimal { precision: 8, scale: 2 })
    };
    let optional_with_default =
        Column { default: Some(OwnedValue::Int(42)), ..column("o", ColumnType::Int32) };
    let columns = vec![
        required("id", ColumnType::Int32),
        with_default,
        required("t", ColumnType::Text),
        required("j", ColumnType::Json),
        required("u", ColumnType::Uuid),
        required("tz", ColumnType::TimestampTz { precision: 3 }),
        required("a", ColumnType::Array(Box::new(ColumnType::Int32))),
        required("n", ColumnType::Decimal { precision: 4, scale: 1 }),
        optional_with_default,
    ];
    let mut row = vec![Value::Absent; columns.len()];
    row[0] = Value::Int(5);
    let table = table(columns);
    let change = change(&table, Op::Delete, Some(Before::Key(&row)), None);
    let expected = json!({
        "id": 5, "d": "BOI=", "t": "", "j": "{}", "u": "00000000-0000-0000-0000-000000000000",
        "tz": "1970-01-01T00:00:00.000Z", "a": [], "n": "AA==", "o": null
    });
    let batch = encode(options(PLAIN_JSON), &change).unwrap();
    let value: Json = serde_json::from_slice(batch.value(&batch.records[0]).unwrap()).unwrap();
    assert_eq!(value["before"], expected);
    let described = describe(&options(Format::Avro), &table).unwrap();
    let batch = encode(options(Format::Avro), &change).unwrap();
    let bytes = &batch.value(&batch.records[0]).unwrap()[5..];
    assert_eq!(avro::read(&to_avro_schema(&described.schemas.value), bytes)["before"], expected);
}

/// The error of a row with this value in a column of this type, by its detail.
fn check_refused(data_type: ColumnType, optional: bool, value: Value<'_>, detail: &str) {
    let column = Column { optional, ..column("v", data_type) };
    let table = table(vec![self::column("id", ColumnType::Int32), column]);
    let row = [Value::Int(1), value];
    let good = [Value::Int(1), Value::Unavailable];
    let mut encoder = encoder(EncodeOptions { id_header: true, ..options(Format::Avro) });
    let mut batch = RecordBatch::default();
    drop(encoder.encode(&change(&table, Op::Create, None, Some(&good)), 0, &mut batch));
    let before = (batch.data.clone(), batch.records.clone(), batch.headers.clone());
    let error = encoder.encode(&change(&table, Op::Create, None, Some(&row)), 0, &mut batch);
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), format!("convert column v of public.t: {detail}"));
    assert_eq!(error.disposition(), Disposition::DeadLetter);
    // The batch is as it was.
    assert_eq!((batch.data, batch.records, batch.headers), before);
}

#[test]
fn a_value_without_a_place_in_the_schema_is_refused_and_leaves_nothing_behind() {
    let decimal = || ColumnType::Decimal { precision: 4, scale: 1 };
    let nan = Value::DecimalSpecial(DecimalSpecial::NaN);
    check_refused(decimal(), true, nan, "NaN and infinity have no place in a decimal");
    check_refused(
        ColumnType::VariableDecimal,
        true,
        nan,
        "NaN and infinity have no place in a decimal",
    );
    let finer = Value::Decimal(Decimal { unscaled: &[1], scale: 2 });
    check_refused(
        decimal(),
        true,
        finer,
        "the value has more digits after the point than the column's scale",
    );
    check_refused(
        ColumnType::Text,
        false,
        Value::Null,
        "the value is NULL in a column whose schema says that it never is",
    );
    check_refused(ColumnType::Text, true, Value::Absent, "the new row does not carry the column");
    check_refused(ColumnType::Text, true, Value::Int(1), "the value is not text");
    check_refused(
        ColumnType::Int16,
        true,
        Value::Int(40_000),
        "the number is out of the range of an int16",
    );
    check_refused(
        ColumnType::Bool,
        true,
        Value::Unavailable,
        "the log did not repeat the unchanged value, and this type has no placeholder",
    );
    let labels: Arc<[String]> = Arc::new(["a".to_owned()]);
    let moods = ColumnType::Array(Box::new(ColumnType::Enum { labels }));
    check_refused(
        moods,
        true,
        Value::Array(&[Value::Text("a"), Value::Null]),
        "an element is NULL, which the schema of this array does not allow",
    );
}

#[test]
fn a_change_without_its_row_is_refused() {
    let table = id_and_text();
    let row = [Value::Int(1), Value::Null];
    for (op, before, after, message) in [
        (Op::Create, None, None, "encode operation c of public.t: the log carries no new row"),
        (Op::Delete, None, None, "encode operation d of public.t: the log carries no old row"),
        // Never a zero in a key's place: it would be the key of another row.
        (
            Op::Delete,
            Some(Before::Key(&[Value::Absent, Value::Null][..])),
            None,
            "encode operation d of public.t: the log carries no key of the old row",
        ),
        (
            Op::Update,
            Some(Before::Key(&[Value::Absent, Value::Null][..])),
            Some(&row[..]),
            "encode operation u of public.t: the log carries no key of the old row",
        ),
        (
            Op::Message,
            None,
            Some(&row[..]),
            "encode operation m of public.t: its records have no such operation",
        ),
    ] {
        let error = encode(options(Format::Avro), &change(&table, op, before, after)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn columns_that_avro_cannot_tell_apart_stop_the_pipeline() {
    let table = table(vec![column("a-b", ColumnType::Int32), column("a b", ColumnType::Int32)]);
    let row = [Value::Int(1), Value::Int(2)];
    let create = change(&table, Op::Create, None, Some(&row));
    let error = encode(options(Format::Avro), &create).unwrap_err();
    assert_eq!(
        error.to_string(),
        "name the fields of public.t: columns a-b and a b both become a_b"
    );
    assert_eq!(error.disposition(), Disposition::Stop);
    assert_eq!(encode(options(PLAIN_JSON), &create).unwrap().records.len(), 1);
}

#[test]
fn a_refused_schema_is_asked_for_again_and_its_row_not_lost() {
    let table = id_and_text();
    let row = [Value::Int(1), Value::Text("v")];
    let registry = Registry::default();
    let topics = Arc::new(Topics::default());
    let mut encoder =
        Encoder::new(options(Format::Avro), Arc::clone(&topics), Box::new(registry.clone()));
    let create = change(&table, Op::Create, None, Some(&row));
    let mut batch = RecordBatch::default();
    *registry.refuses.lock().unwrap() = true;
    let error = encoder.encode(&create, 0, &mut batch).unwrap_err();
    assert_eq!(error.to_string(), "get the schema id of subject shop.public.t-key");
    assert_eq!(error.disposition(), Disposition::Stop);
    assert!(batch.is_empty() && batch.data.is_empty());
    *registry.refuses.lock().unwrap() = false;
    encoder.encode(&create, 0, &mut batch).unwrap();
    // Later rows of the version never ask.
    *registry.refuses.lock().unwrap() = true;
    encoder.encode(&create, 0, &mut batch).unwrap();
    assert_eq!(batch.records.len(), 2);
    let topic = topics.get(batch.records[0].topic);
    assert_eq!((&*topic.name, topic.role), ("shop.public.t", TopicRole::Data));
}

#[test]
fn two_tables_never_share_a_topic() {
    let mut encoder = encoder(options(PLAIN_JSON));
    let named = |version, path: &str| {
        let path = vec!["public".to_owned(), path.to_owned()];
        Arc::new(Table { version: TableVersion(version), path, ..(*id_and_text()).clone() })
    };
    let mut encode = |table: &Arc<Table>| {
        let row = [Value::Int(1), Value::Null];
        let change = Change {
            table,
            op: Op::Create,
            before: None,
            after: Some(&row),
            source: &[Value::Text("false")],
            id: EventId { transaction: "t", ordinal: 0 },
            transaction: None,
            raw: &[],
        };
        encoder.encode(&change, 0, &mut RecordBatch::default())
    };
    encode(&named(0, "a b")).unwrap();
    encode(&named(1, "a b")).unwrap();
    let error = encode(&named(2, "a-b")).err();
    assert!(error.is_none(), "another name, another topic");
    let error = encode(&named(3, "a+b")).unwrap_err();
    assert_eq!(error.disposition(), Disposition::Stop);
    assert!(error.to_string().contains("public.a b"), "{error}");
    let error = encode(&named(4, &"x".repeat(249))).unwrap_err();
    assert!(matches!(error, EncodeError::TopicTooLong { .. }), "{error}");
}
