//! Handling modes that no golden file shows, or shows without the ends of their range: schema and
//! value of one column, in JSON and in Avro.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tailwater::change::{Change, EventId, Op};
use tailwater::config::{
    BigintUnsignedMode, BinaryMode, DecimalMode, HstoreMode, IntervalMode, TimeMode, ValueModes,
};
use tailwater::encode::{EncodeError, EncodeOptions, Encoder, Format};
use tailwater::record::RecordBatch;
use tailwater::schema::{Column, ColumnType, Shape, SourceLayout, Table, TableVersion};
use tailwater::value::{Decimal, DecimalSpecial, Value};

use super::avro;
use super::registry::Registry;

/// Schema and value of a column, as a JSON record has them, and the value in Avro.
fn encode(
    modes: ValueModes,
    data_type: &ColumnType,
    value: Value<'_>,
) -> Result<(Json, Json, Json), EncodeError> {
    let column = |name: &str, data_type: &ColumnType, optional| Column {
        name: name.to_owned(),
        data_type: data_type.clone(),
        optional,
        default: None,
    };
    let table = Arc::new(Table {
        version: TableVersion(0),
        shape: Shape::Rows,
        path: vec!["public".to_owned(), "t".to_owned()],
        columns: vec![column("id", &ColumnType::Int32, false), column("v", data_type, true)],
        key: vec![0],
        source: Arc::new(SourceLayout { name: "x.Source".to_owned(), fields: Vec::new() }),
    });
    let row = [Value::Int(1), value];
    let id = EventId { transaction: "t", ordinal: 0 };
    let op = Op::Create;
    let change = Change {
        table: &table,
        op,
        before: None,
        after: Some(&row),
        source: &[],
        id,
        transaction: None,
        raw: &[],
    };
    let registry = Registry::default();
    let record = |format| {
        let options = EncodeOptions {
            connector: "postgresql",
            topic_prefix: "p".to_owned(),
            format,
            values: modes,
            tombstones: true,
            id_header: false,
            context_headers: false,
            transaction_topic: None,
        };
        let mut batch = RecordBatch::default();
        let mut encoder = Encoder::new(options, Arc::default(), Box::new(registry.clone()));
        encoder.encode(&change, 0, &mut batch)?;
        Ok(batch.value(&batch.records[0]).unwrap().to_vec())
    };
    let json: Json = serde_json::from_slice(&record(Format::Json { schemas: true })?).unwrap();
    let avro = record(Format::Avro)?;
    let id = u32::from_be_bytes(avro[1..5].try_into().unwrap());
    let avro = avro::read(&registry.schema(id).1, &avro[5..]);
    let mut schema = json["schema"]["fields"][1]["fields"][1].clone();
    let object = schema.as_object_mut().unwrap();
    for same in ["field", "optional", "version"] {
        object.shift_remove(same);
    }
    Ok((schema, json["payload"]["after"]["v"].clone(), avro["after"]["v"].clone()))
}

/// The same value in both formats.
#[track_caller]
fn check(
    modes: ValueModes,
    data_type: &ColumnType,
    value: Value<'_>,
    schema: Json,
    expected: Json,
) {
    let (found, json, avro) = encode(modes, data_type, value).unwrap();
    assert_eq!(found, schema);
    assert_eq!(json, expected);
    assert_eq!(avro, expected);
}

fn time(time: TimeMode) -> ValueModes {
    ValueModes { time, ..ValueModes::default() }
}

#[test]
fn unsigned_numbers_of_64_bits_are_whole_when_precise() {
    let data_type = ColumnType::UInt64;
    let value = Value::UInt(u64::MAX);
    check(ValueModes::default(), &data_type, value, json!({ "type": "int64" }), json!(-1));
    let precise =
        ValueModes { bigint_unsigned: BigintUnsignedMode::Precise, ..ValueModes::default() };
    let (schema, json, _) = encode(precise, &data_type, value).unwrap();
    let name = "org.apache.kafka.connect.data.Decimal";
    assert_eq!(schema, json!({ "type": "bytes", "name": name, "parameters": { "scale": "0" } }));
    // Two's complement has a byte for the sign.
    assert_eq!(json, json!("AP//////////"));
    assert_eq!(encode(precise, &data_type, Value::UInt(7)).unwrap().1, json!("Bw=="));
}

#[test]
fn times_have_the_unit_of_their_mode() {
    let schema = |kind, name: &str| json!({ "type": kind, "name": name });
    let micros = 1_709_179_506_789_123;
    let datetime = ColumnType::Timestamp { precision: 3 };
    let value = Value::Timestamp(micros);
    let expected = schema("int64", "io.debezium.time.MicroTimestamp");
    check(time(TimeMode::Microseconds), &datetime, value, expected, json!(micros));
    let expected = schema("int64", "io.debezium.time.NanoTimestamp");
    check(time(TimeMode::Nanoseconds), &datetime, value, expected, json!(micros * 1_000));
    let expected = schema("int64", "io.debezium.time.Timestamp");
    let adaptive = time(TimeMode::AdaptiveTimeMicroseconds);
    check(adaptive, &datetime, value, expected, json!(micros / 1_000));
    let short = ColumnType::Time { precision: 0 };
    let expected = schema("int64", "io.debezium.time.MicroTime");
    check(adaptive, &short, Value::Time(1_000_000), expected, json!(1_000_000));
    let expected = schema("int64", "io.debezium.time.NanoTime");
    let nanos = time(TimeMode::Nanoseconds);
    // MySQL's longest.
    let signed = ColumnType::SignedTime { precision: 6 };
    let long = -3_020_399_000_001;
    check(nanos, &signed, Value::Time(long), expected, json!(long * 1_000));
    let expected = schema("int32", "io.debezium.time.Date");
    check(nanos, &ColumnType::Date, Value::Date(19_782), expected, json!(19_782));
}

#[test]
fn connects_own_times_are_logical_types_of_avro() {
    let modes = time(TimeMode::Connect);
    for (data_type, value, kind, name, expected) in [
        (ColumnType::Date, Value::Date(-1), "int32", "Date", -1),
        (
            ColumnType::SignedTime { precision: 6 },
            Value::Time(86_400_000_000),
            "int32",
            "Time",
            86_400_000,
        ),
        (ColumnType::Timestamp { precision: 6 }, Value::Timestamp(-1), "int64", "Timestamp", -1),
    ] {
        let name = format!("org.apache.kafka.connect.data.{name}");
        let schema = json!({ "type": kind, "name": name });
        check(modes, &data_type, value, schema, json!(expected));
    }
}

#[test]
fn what_a_mode_has_no_form_for_is_an_error_and_never_a_null() {
    #[track_caller]
    fn refused(modes: ValueModes, data_type: &ColumnType, value: Value<'_>, said: &str) {
        let error = encode(modes, data_type, value).unwrap_err();
        assert!(matches!(error, EncodeError::Convert { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let signed = ColumnType::SignedTime { precision: 0 };
    for mode in [TimeMode::Connect, TimeMode::Isostring] {
        for micros in [-1, 86_400_000_001, 3_020_399_000_000] {
            refused(time(mode), &signed, Value::Time(micros), "adaptive_time_microseconds");
        }
    }
    let datetime = ColumnType::Timestamp { precision: 6 };
    let year_2500 = Value::Timestamp(16_725_225_600_000_000);
    refused(time(TimeMode::Nanoseconds), &datetime, year_2500, "nanoseconds of 64 bits");
    let double = ValueModes { decimal: DecimalMode::Double, ..ValueModes::default() };
    let huge = Value::Decimal(Decimal { unscaled: &[1], scale: -400 });
    refused(double, &ColumnType::VariableDecimal, huge, "a double");
    let map = ValueModes { hstore: HstoreMode::Map, ..ValueModes::default() };
    let (_, json, _) = encode(map, &ColumnType::Hstore, Value::Text("{}")).unwrap();
    assert_eq!(json, json!({}));
}

#[test]
fn numerics_that_are_no_numbers_have_a_form_outside_of_precise() {
    let string = ValueModes { decimal: DecimalMode::String, ..ValueModes::default() };
    let double = ValueModes { decimal: DecimalMode::Double, ..ValueModes::default() };
    for (special, text) in [
        (DecimalSpecial::NaN, "NAN"),
        (DecimalSpecial::PositiveInfinity, "POSITIVE_INFINITY"),
        (DecimalSpecial::NegativeInfinity, "NEGATIVE_INFINITY"),
    ] {
        let (data_type, value) = (ColumnType::VariableDecimal, Value::DecimalSpecial(special));
        check(string, &data_type, value, json!({ "type": "string" }), json!(text));
        assert_eq!(encode(double, &data_type, value).unwrap().0, json!({ "type": "double" }));
    }
}

#[test]
fn bytes_and_maps_and_intervals_as_text() {
    let modes = ValueModes {
        binary: BinaryMode::Base64UrlSafe,
        hstore: HstoreMode::Map,
        interval: IntervalMode::String,
        ..ValueModes::default()
    };
    let string = json!({ "type": "string" });
    check(modes, &ColumnType::Bytes, Value::Bytes(&[0xFB, 0xFF]), string, json!("-_8="));
    let placeholder = "__debezium_unavailable_value";
    let string = json!({ "type": "string" });
    check(modes, &ColumnType::Bytes, Value::Unavailable, string, json!(placeholder));
    let map = json!({
        "type": "map",
        "keys": { "type": "string", "optional": false },
        "values": { "type": "string", "optional": true },
    });
    let value = Value::Text(r#"{"a":"1","q\"t":"x\\y","b c":null}"#);
    let expected = json!({ "a": "1", "q\"t": "x\\y", "b c": null });
    check(modes, &ColumnType::Hstore, value, map.clone(), expected);
    let expected = json!({ placeholder: placeholder });
    check(modes, &ColumnType::Hstore, Value::Unavailable, map, expected);
    let interval = tailwater::value::Interval { months: -14, days: 3, micros: 1_500_000 };
    let schema = json!({ "type": "string", "name": "io.debezium.time.Interval" });
    let expected = json!("P-1Y-2M3DT0H0M1.5S");
    check(modes, &ColumnType::Interval, Value::Interval(interval), schema, expected);
}
