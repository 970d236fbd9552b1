//! A stock consumer, that knows nothing of us, reads the topics: confluent-kafka's
//! `AvroDeserializer` with the registry.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::cache;
use crate::support::kafka::Kafka;
use crate::support::postgres::Postgres;
use crate::support::registry::Registry;
use crate::support::tailwater::Setup;

const SCRIPT: &str = r#"
import json, sys
from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

bootstrap, registry, topic, wanted = sys.argv[1:]
decode = AvroDeserializer(SchemaRegistryClient({"url": registry}))
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"})
consumer.subscribe([topic])
for _ in range(int(wanted)):
    message = consumer.poll(30)
    if message is None or message.error():
        sys.exit(f"no record: {message and message.error()}")
    key = decode(message.key(), SerializationContext(topic, MessageField.KEY))
    value = message.value()
    if value is not None:
        value = decode(value, SerializationContext(topic, MessageField.VALUE))
    print(json.dumps([key, value], default=str))
consumer.close()
"#;

fn python() -> PathBuf {
    std::env::var_os("TAILWATER_PYTHON")
        .map_or_else(|| cache().join("python/bin/python"), Into::into)
}

#[test]
fn a_stock_avro_consumer_reads_every_record() {
    let database = Postgres::shared().database("python");
    database.run(
        "create table t (id int primary key, n numeric(8,2), t text, a int[], ts timestamptz, d date);
         alter table t replica identity full;
         insert into t values (1, 12.34, 'päpier', '{1,null}', '2024-02-29 01:02:03+00', '2024-02-29')",
    );
    let mut setup = Setup::avro(&database, Kafka::shared(), Registry::shared());
    setup.set("sink.kafka.topics.partitions", 1);
    let tailwater = setup.start();
    tailwater.ready();
    database.run("update t set t = 'new'; delete from t; insert into t (id) values (2)");
    tailwater.stop().expect(0, &[]);
    setup.catch_up();
    let output = Command::new(python())
        .args(["-c", SCRIPT, &Kafka::shared().bootstrap, &Registry::shared().url()])
        .args([&format!("{}.public.t", setup.prefix), "5"])
        .output()
        .expect("python runs: scripts/servers fetch python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let records: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let ops: Vec<&Value> = records.iter().map(|r| &r[1]["op"]).collect();
    assert_eq!(ops, [&json!("r"), &json!("u"), &json!("d"), &Value::Null, &json!("c")]);
    let row = &records[0][1]["after"];
    assert_eq!(records[0][0], json!({ "id": 1 }));
    assert_eq!(row["n"], "12.34");
    assert_eq!(row["t"], "päpier");
    assert_eq!(row["a"], json!([1, null]));
    assert_eq!(row["ts"], "2024-02-29T01:02:03.000000Z");
    assert_eq!(row["d"], 19782);
    assert_eq!(records[1][1]["before"]["t"], "päpier");
}
