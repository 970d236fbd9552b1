//! Debezium's own records, reproduced: `tests/golden` holds what Debezium Server 3.6.0 published
//! for two SQL files against PostgreSQL 15, MySQL 9.7 and MariaDB 10.11, and the same SQL must give
//! the same topics here.
//!
//! Four configurations: JSON with schemas, Avro, and two that turn every handling mode (`connect`:
//! Connect's own types; `strings`: texts, and transaction metadata).
//!
//! Compared: topics, number and order of records, keys, values with the order of their fields,
//! tombstones, headers, both schemas; for Avro also that our bytes are what an independent encoder
//! makes of the value that an independent reader found in them. What differs from run to run
//! (clock, log positions) is compared by form, and transactions by their number in order; which table the snapshot begins and
//! ends with is compared as "one of them". The golden Avro schemas were put together from
//! references, so that each record in them says its namespace; Avro's own form leaves out one that
//! is the enclosing record's, and both are compared in that form. Known and wanted differences stand
//! in `tests/golden/*/allowed.json`, each with its reason.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use apache_avro::Schema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::mongodb::catalogue;
use crate::support::kafka::{Kafka, Record};
use crate::support::mongodb::Mongo;
use crate::support::mysql::{Kind, Server};
use crate::support::postgres::Postgres;
use crate::support::registry::Registry;
use crate::support::tailwater::{Setup, Tailwater};
use crate::support::{avro, eventually, seconds};
use crate::transactions;

#[test]
fn json_with_schemas_is_what_debezium_published() {
    check(Source::Postgres, "default");
}

#[test]
fn avro_is_what_debezium_published() {
    check(Source::Postgres, "avro");
}

#[test]
fn values_in_connects_types_are_what_debezium_published() {
    check(Source::Postgres, "connect");
}

#[test]
fn values_as_texts_are_what_debezium_published() {
    check(Source::Postgres, "strings");
}

#[test]
fn mysql_json_with_schemas_is_what_debezium_published() {
    check(Source::Binlog(Kind::Mysql), "default");
}

#[test]
fn mysql_avro_is_what_debezium_published() {
    check(Source::Binlog(Kind::Mysql), "avro");
}

#[test]
fn mysql_values_in_connects_types_are_what_debezium_published() {
    check(Source::Binlog(Kind::Mysql), "connect");
}

#[test]
fn mysql_values_as_texts_are_what_debezium_published() {
    check(Source::Binlog(Kind::Mysql), "strings");
}

#[test]
fn mariadb_json_with_schemas_is_what_debezium_published() {
    check(Source::Binlog(Kind::Mariadb), "default");
}

#[test]
fn mariadb_avro_is_what_debezium_published() {
    check(Source::Binlog(Kind::Mariadb), "avro");
}

#[test]
fn mariadb_values_in_connects_types_are_what_debezium_published() {
    check(Source::Binlog(Kind::Mariadb), "connect");
}

#[test]
fn mariadb_values_as_texts_are_what_debezium_published() {
    check(Source::Binlog(Kind::Mariadb), "strings");
}

#[test]
fn mysql_without_names_in_its_log_is_what_debezium_published() {
    check_without_names(Kind::Mysql, "--binlog-row-metadata=MINIMAL");
}

#[test]
fn mariadb_without_names_in_its_log_is_what_debezium_published() {
    check_without_names(Kind::Mariadb, "--binlog-row-metadata=NO_LOG");
}

#[test]
fn mongodb_json_with_schemas_is_what_debezium_published() {
    check(Source::Mongodb, "default");
}

#[test]
fn mongodb_avro_is_what_debezium_published() {
    check(Source::Mongodb, "avro");
}

#[test]
fn mongodb_without_lookup_is_what_debezium_published() {
    check(Source::Mongodb, "deltas");
}

/// The settings that `debezium.properties` of the golden files has.
fn configure(setup: &mut Setup, source: Source, config: &str) {
    if config == "avro" {
        let registry = json!({ "url": Registry::shared().url() });
        setup.set("format", json!({ "avro": { "registry": registry } }));
        return;
    }
    setup.set("format", json!({ "json": { "schemas": true } }));
    if config == "deltas" {
        setup.set("source.mongodb.full_document", "off");
        setup.set("source.mongodb.fields", json!({ "rename": ["*.types.s:text"] }));
        return;
    }
    let mut values = match config {
        "connect" => json!({ "decimal": "double", "time": "connect", "binary": "base64" }),
        "strings" => json!({ "decimal": "string", "time": "isostring", "binary": "hex" }),
        _ => return,
    };
    setup.set("delivery.tombstones", config != "connect");
    setup.set("delivery.transaction_metadata", config == "strings");
    // Times that the mode has no form for.
    setup.set("dead_letter", json!({ "conversion": "dead_letter" }));
    match source {
        Source::Postgres => {
            if config == "strings" {
                values["interval"] = json!("string");
                values["hstore"] = json!("map");
                setup.set("source.postgres.unmapped_types", "text");
            }
            setup.set("source.postgres.values", values);
        }
        Source::Binlog(kind) => {
            setup.set(&format!("source.{}.values", kind.name()), values);
        }
        Source::Mongodb => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Postgres,
    Binlog(Kind),
    Mongodb,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Binlog(kind) => kind.name(),
            Self::Mongodb => "mongodb",
        }
    }

    /// The golden prefix, which is the database's name too.
    fn prefix(self, config: &str) -> String {
        format!("{}_{config}", self.name().chars().take(2).collect::<String>())
    }

    /// The first part of a table's name below the prefix.
    fn schema(self, prefix: &str) -> &str {
        match self {
            Self::Postgres => "public",
            Self::Binlog(_) | Self::Mongodb => prefix,
        }
    }

    fn folder(self) -> PathBuf {
        folder().join(self.name())
    }
}

/// The last statement's table, which is no part of the golden files.
const SENTINEL: &str = "zz_sentinel";

const DEAD_LETTERS: &str = ".dead-letter";

/// Key, value, schemas and headers of one record, as they are compared.
type Comparable = Value;

fn check(source: Source, config: &str) {
    let prefix = source.prefix(config);
    let adjust = |setup: &mut Setup| configure(setup, source, config);
    let records = match source {
        Source::Postgres => publish(&prefix, adjust),
        // Every transaction of the server begins and ends in the topic, whoever writes it.
        Source::Binlog(kind) if config == "strings" => {
            publish_binlog((&Server::start(kind, &[]), Kafka::shared()), &prefix, adjust)
        }
        Source::Binlog(kind) => {
            publish_binlog((Server::shared(kind), Kafka::shared()), &prefix, adjust)
        }
        Source::Mongodb => match publish_mongodb(&prefix, adjust) {
            Some(records) => records,
            None => return,
        },
    };
    compare(source, config, records);
}

/// The same from a log that does not name the columns of its rows, without a pause between a
/// definition and the next.
fn check_without_names(kind: Kind, option: &str) {
    let (source, config) = (Source::Binlog(kind), "default");
    // Topics of the same names are in the shared one.
    let (server, kafka) = (Server::start(kind, &[option]), Kafka::start(&[]));
    let adjust = |setup: &mut Setup| configure(setup, source, config);
    compare(source, config, publish_binlog((&server, &kafka), &source.prefix(config), adjust));
}

fn compare(source: Source, config: &str, records: Vec<Record>) {
    let ours = if config == "avro" { avro_record } else { json_record };
    let prefix = source.prefix(config);
    let (letters, records): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record.topic.ends_with(DEAD_LETTERS));
    let mut found: BTreeMap<String, Vec<Comparable>> = BTreeMap::new();
    for record in records.iter().filter(|r| !r.topic.ends_with(SENTINEL)) {
        found.entry(record.topic.clone()).or_default().push(ours(record));
    }
    let mut golden = golden_records(source, config);
    for topics in [&mut golden, &mut found] {
        transactions::number(topics);
        let marks: Vec<String> = topics.values_mut().flat_map(|t| place_marks(source, t)).collect();
        // MongoDB's connector marks the end alone.
        let n_first = usize::from(source != Source::Mongodb);
        let firsts = marks.iter().filter(|m| *m == "first").count();
        assert_eq!(firsts, n_first, "the snapshot begins once");
        assert_eq!(marks.iter().filter(|m| *m == "last").count(), 1, "the snapshot ends once");
    }
    let mut tally = Tally::new(source, config);
    for topic in golden.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
        let none = Vec::new();
        let expected = golden.get(topic).unwrap_or(&none);
        let mut found = found.get(topic).unwrap_or(&none).iter();
        let name = topic.strip_prefix(&prefix).unwrap_or(topic).trim_start_matches('.');
        let name = if name.is_empty() { "(schema changes)" } else { name };
        // A database is called like its prefix, and the prefix like its configuration.
        let name = match source {
            Source::Postgres => name,
            Source::Binlog(_) | Source::Mongodb => {
                name.strip_prefix(&format!("{prefix}.")).unwrap_or(name)
            }
        };
        for (index, expected) in expected.iter().enumerate() {
            let ours = if tally.may_miss(name, index) { None } else { found.next() };
            tally.compare(name, index, Some(expected), ours);
        }
        for (index, extra) in found.enumerate() {
            tally.compare(name, expected.len() + index, None, Some(extra));
        }
    }
    assert_eq!(letters.len(), tally.n_dead_letters(), "what is missing was put aside");
    tally.finish();
}

fn sql(name: &str) -> String {
    std::fs::read_to_string(folder().join("sql").join(name)).unwrap()
}

/// Runs the golden SQL before and after the start, as it was run for Debezium.
fn publish(prefix: &str, adjust: impl Fn(&mut Setup)) -> Vec<Record> {
    let (postgres, kafka) = (Postgres::shared(), Kafka::shared());
    let database = postgres.named_database(prefix);
    let session = database.session();
    session.script(&sql("pg_setup.sql"));
    // Debezium's default: everything, tables without a usable identity included.
    session.run(&format!("create publication {prefix} for all tables"));
    let mut setup = Setup::kafka(&database, kafka);
    setup.set("sink.kafka.topics.partitions", 1);
    setup.set("source.postgres.unmapped_types", "skip");
    setup.set("source.postgres.logical_messages", true);
    setup.set("delivery.id_header", false);
    adjust(&mut setup);
    let tailwater = setup.start();
    tailwater.ready();
    for line in sql("pg_stream.sql").lines() {
        // The catalogue shows what is now: Debezium saw t_ddl as it was after all its changes.
        let changes = line.contains("alter table t_ddl");
        if changes {
            tailwater.process.signal("STOP");
        }
        session.script(line);
        if changes {
            tailwater.process.signal("CONT");
        }
    }
    let records = read((Source::Postgres, kafka), prefix, tailwater);
    database.drop_with_slots();
    records
}

fn publish_binlog(
    (server, kafka): (&Server, &Kafka),
    prefix: &str,
    adjust: impl Fn(&mut Setup),
) -> Vec<Record> {
    let kind = server.kind;
    server.run(&format!("drop database if exists {prefix}"));
    server.run(&format!("create database {prefix} character set utf8mb4"));
    let session = server.session();
    session.run(&format!("use {prefix}"));
    session.script(&(sql("my_setup.sql") + &sql(&format!("{}_setup.sql", kind.name()))));
    let mut setup = Setup::mysql(server, prefix).into_kafka(kafka);
    setup.set("sink.kafka.topics.partitions", 1);
    setup.set("delivery.id_header", false);
    setup.set(&format!("source.{}.include_schema_changes", kind.name()), true);
    adjust(&mut setup);
    let tailwater = setup.start();
    tailwater.ready();
    let stream = sql("my_stream.sql") + &sql(&format!("{}_stream.sql", kind.name()));
    session.script(&stream);
    session.run(&format!("insert into {SENTINEL} values (1)"));
    read((Source::Binlog(kind), kafka), prefix, tailwater)
}

/// The recorded server was a 4.4: later ones tell more.
fn publish_mongodb(prefix: &str, adjust: impl Fn(&mut Setup)) -> Option<Vec<Record>> {
    let mongo = Mongo::of_version(9, &format!("golden::mongodb {prefix}"))?;
    let kafka = Kafka::shared();
    catalogue::set_up(&mongo, prefix);
    let mut setup = Setup::mongodb(&mongo, prefix).into_kafka(kafka);
    setup.set("sink.kafka.topics.partitions", 1);
    setup.set("delivery.id_header", false);
    adjust(&mut setup);
    let tailwater = setup.start();
    tailwater.ready();
    // An update's document is looked up when it is read. Debezium had read the first ones when the
    // rest happened, but for one configuration; and the rest when all of it had happened.
    let reads_late = prefix.ends_with("avro");
    if !reads_late {
        catalogue::first_changes(&mongo, prefix);
        let mut reader = kafka.reader(&format!("{prefix}.{prefix}.ids"));
        let n_ids = catalogue::ids().len();
        let mut n_read = 0;
        let arrived = eventually(seconds(60), || {
            n_read += reader.read_on().len();
            (n_read == 2 * n_ids).then_some(())
        });
        assert!(arrived.is_some(), "{n_read} of {}: {}", 2 * n_ids, tailwater.said());
    }
    tailwater.stop().expect(0, &[]);
    if reads_late {
        catalogue::first_changes(&mongo, prefix);
    }
    catalogue::other_changes(&mongo, prefix);
    let tailwater = setup.start();
    Some(read((Source::Mongodb, kafka), prefix, tailwater))
}

/// Everything up to the sentinel.
fn read((source, kafka): (Source, &Kafka), prefix: &str, tailwater: Tailwater) -> Vec<Record> {
    let sentinel = format!("{prefix}.{}.{SENTINEL}", source.schema(prefix));
    let mut reader = kafka.reader(&sentinel);
    let last = eventually(seconds(60), || reader.read_on().pop());
    assert!(last.is_some(), "the sentinel did not arrive: {}", tailwater.said());
    tailwater.stop().expect(0, &[]);
    let mut records = kafka.read(prefix);
    records.retain(|record| {
        record
            .topic
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    records
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn json_record(record: &Record) -> Comparable {
    let part = |bytes: &Option<Vec<u8>>| match bytes {
        None => (Value::Null, Value::Null),
        Some(bytes) => {
            let value: Value = serde_json::from_slice(bytes).unwrap();
            (value["payload"].clone(), value["schema"].clone())
        }
    };
    let ((key, key_schema), (value, value_schema)) = (part(&record.key), part(&record.value));
    comparable([key, value, key_schema, value_schema], headers(record))
}

fn avro_record(record: &Record) -> Comparable {
    let part = |bytes: &Option<Vec<u8>>| match bytes {
        None => (Value::Null, Value::Null),
        Some(bytes) => {
            let (id, datum) = avro::unframe(bytes);
            let text = Registry::shared().schema(id);
            let schema = Schema::parse_str(&text).expect("apache-avro reads the schema");
            let value = avro::read(&schema, datum);
            let json = avro::to_json(&value);
            let again = avro::write(&schema, value);
            assert_eq!(again, datum, "{}: not the bytes that another encoder makes", record.topic);
            (json, serde_json::from_str(&text).unwrap())
        }
    };
    let ((key, key_schema), (value, value_schema)) = (part(&record.key), part(&record.value));
    comparable([key, value, key_schema, value_schema], headers(record))
}

fn headers(record: &Record) -> Value {
    let text = |v: &Option<Vec<u8>>| v.as_ref().map(|v| String::from_utf8_lossy(v).into_owned());
    record.headers.iter().map(|(name, value)| json!([name, text(value)])).collect()
}

fn comparable(parts: [Value; 4], headers: Value) -> Comparable {
    let [key, mut value, mut key_schema, mut value_schema] = parts;
    mask(&mut value);
    shorten(&mut key_schema, None);
    shorten(&mut value_schema, None);
    json!({
        "key": key, "value": value, "headers": headers,
        "key_schema": key_schema, "value_schema": value_schema,
    })
}

/// Turns the marks of the whole snapshot's first and last row into those of their tables, and
/// returns them: which table they fall on is up to the order of reading.
fn place_marks(source: Source, records: &mut [Comparable]) -> Vec<String> {
    let n_rows = records.iter().filter(|r| r["value"]["op"] == "r").count();
    let mut marks = Vec::new();
    for (i, record) in records.iter_mut().filter(|r| r["value"]["op"] == "r").enumerate() {
        let mark = &mut record["value"]["source"]["snapshot"];
        if let Some(text @ ("first" | "last")) = mark.as_str() {
            marks.push(text.to_owned());
            let last = i + 1 == n_rows;
            *mark = match (source, last) {
                (Source::Mongodb, _) => json!("true"),
                (_, true) => json!("last_in_data_collection"),
                (_, false) => json!("first_in_data_collection"),
            };
        }
    }
    marks
}

/// Leaves out each namespace that is the enclosing record's.
fn shorten(schema: &mut Value, enclosing: Option<&str>) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(|part| shorten(part, enclosing)),
        Value::Object(fields) => {
            let own = fields.get("namespace").and_then(Value::as_str).map(str::to_owned);
            if own.is_some() && own.as_deref() == enclosing {
                fields.shift_remove("namespace");
            }
            let inner = own.as_deref().or(enclosing);
            for name in ["fields", "type", "items", "values"] {
                if let Some(part) = fields.get_mut(name) {
                    shorten(part, inner);
                }
            }
        }
        _ => {}
    }
}

#[derive(Deserialize)]
struct GoldenLine {
    topic: String,
    #[serde(default)]
    key: Value,
    #[serde(default)]
    value: Value,
    key_schema: Option<u32>,
    value_schema: Option<u32>,
    #[serde(default)]
    headers: Vec<Value>,
}

fn golden_records(source: Source, config: &str) -> BTreeMap<String, Vec<Comparable>> {
    let folder = source.folder().join(config);
    let schemas = std::fs::read_to_string(folder.join("schemas.json")).unwrap();
    let schemas: HashMap<String, Value> = serde_json::from_str(&schemas).unwrap();
    let records = std::fs::read_to_string(folder.join("records.jsonl")).unwrap();
    let mut topics: BTreeMap<String, Vec<Comparable>> = BTreeMap::new();
    for line in records.lines() {
        let line: GoldenLine = serde_json::from_str(line).unwrap();
        let schema =
            |id: Option<u32>| id.map_or(Value::Null, |id| schemas[&id.to_string()].clone());
        let (key_schema, value_schema) = (schema(line.key_schema), schema(line.value_schema));
        let plain = |part: Value, schema: &Value| match (&part, config) {
            (Value::String(hex), "avro") => {
                let schema = Schema::parse(schema).expect("a golden schema parses");
                avro::to_json(&avro::read(&schema, &unhex(hex)))
            }
            _ => part,
        };
        let parts = [plain(line.key, &key_schema), plain(line.value, &value_schema)];
        let [key, value] = parts;
        let record = comparable([key, value, key_schema, value_schema], line.headers.into());
        topics.entry(line.topic).or_default().push(record);
    }
    topics
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Takes out what differs from run to run and leaves its form.
fn mask(envelope: &mut Value) {
    let form = |value: &mut Value| match value {
        Value::Number(_) => *value = json!(0),
        Value::String(text) => {
            let digits = text.split(|c: char| !c.is_ascii_digit()).filter(|d| !d.is_empty());
            let digits: Vec<String> = digits.map(str::to_owned).collect();
            *value = json!(digits.iter().fold(text.clone(), |text, d| text.replacen(
                d.as_str(),
                "N",
                1
            )));
        }
        _ => {}
    };
    for name in ["ts_ms", "ts_us", "ts_ns"] {
        envelope.get_mut(name).map(form);
    }
    if let Some(source) = envelope.get_mut("source") {
        if let Some(version) = source.get_mut("version") {
            *version = json!("version");
        }
        for name in ["ts_ms", "ts_us", "ts_ns", "lsn", "sequence", "txId", "xmin", "file", "pos"]
            .iter()
            .chain(&["server_id", "thread"])
        {
            source.get_mut(*name).map(form);
        }
        // Of one second, and of whoever else writes.
        if let Some(ord) = source.get_mut("ord") {
            *ord = json!(if ord.as_i64().is_some_and(|n| n > 0) { "in the log" } else { "none" });
        }
        for (name, form) in [("lsid", "a session"), ("txnNumber", "a number")] {
            if let Some(value) = source.get_mut(name).filter(|value| !value.is_null()) {
                let text = value.as_str().unwrap_or_default();
                let binaries = text.matches("{\"$binary\": \"").count();
                *value = json!(format!("{form} with {binaries}"));
            }
        }
        if let Some(gtid) = source.get_mut("gtid").filter(|gtid| gtid.is_string()) {
            *gtid = json!("gtid");
        }
        if source["table"] == "t_default" {
            for side in ["before", "after"] {
                let Some(row) = envelope.get_mut(side).and_then(Value::as_object_mut) else {
                    continue;
                };
                for name in ["f", "fn", "fu", "ts"] {
                    if let Some(value) = row.get_mut(name).filter(|v| v.is_string()) {
                        *value = json!("now");
                    }
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct Allowed {
    topic: String,
    index: Option<usize>,
    path: String,
    reason: String,
    #[serde(default)]
    config: Option<String>,
    /// Missing because it is a dead letter.
    #[serde(default)]
    dead_letter: bool,
    #[serde(skip)]
    used: bool,
}

impl Allowed {
    fn covers(&self, topic: &str, index: usize, path: &str) -> bool {
        let below = path.strip_prefix(self.path.as_str());
        (self.topic == "*" || self.topic == topic)
            && self.index.is_none_or(|i| i == index)
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

struct Tally {
    config: String,
    allowed: Vec<Allowed>,
    n_compared: usize,
    n_differing: usize,
    n_allowed: usize,
    unexpected: Vec<String>,
}

impl Tally {
    fn new(source: Source, config: &str) -> Self {
        // Other modes differ in other places.
        let folder = match config {
            "connect" | "strings" => source.folder().join(config),
            _ => source.folder(),
        };
        let text = std::fs::read_to_string(folder.join("allowed.json")).unwrap();
        let mut allowed: Vec<Allowed> = serde_json::from_str(&text).unwrap();
        allowed.retain(|a| a.config.as_deref().is_none_or(|c| c == config));
        assert!(allowed.iter().all(|a| !a.reason.is_empty()), "every difference has a reason");
        Self {
            config: format!("{} {config}", source.name()),
            allowed,
            n_compared: 0,
            n_differing: 0,
            n_allowed: 0,
            unexpected: Vec::new(),
        }
    }

    fn may_miss(&self, topic: &str, index: usize) -> bool {
        self.allowed.iter().any(|allowed| allowed.covers(topic, index, "missing"))
    }

    fn n_dead_letters(&self) -> usize {
        self.allowed.iter().filter(|allowed| allowed.dead_letter).count()
    }

    fn compare(&mut self, topic: &str, index: usize, golden: Option<&Value>, ours: Option<&Value>) {
        self.n_compared += 1;
        let mut differences = Vec::new();
        match (golden, ours) {
            (Some(golden), Some(ours)) => differ("", golden, ours, &mut differences),
            (Some(golden), None) => differences.push(("missing".to_owned(), short(golden))),
            (None, Some(ours)) => differences.push(("extra".to_owned(), short(ours))),
            (None, None) => {}
        }
        let n_unexpected = self.unexpected.len();
        for (path, detail) in &differences {
            let covers = |a: &&mut Allowed| a.covers(topic, index, path);
            match self.allowed.iter_mut().find(covers) {
                Some(allowed) => allowed.used = true,
                None => self.unexpected.push(format!("{topic}[{index}] {path}: {detail}")),
            }
        }
        if self.unexpected.len() > n_unexpected {
            self.n_differing += 1;
        } else if !differences.is_empty() {
            self.n_allowed += 1;
        }
    }

    fn finish(self) {
        let Self { config, n_compared, n_differing, n_allowed, .. } = &self;
        println!(
            "golden {config}: {n_compared} compared, {n_differing} differing, {n_allowed} allowed"
        );
        let shown = self.unexpected.iter().take(60).cloned().collect::<Vec<_>>().join("\n");
        assert!(self.unexpected.is_empty(), "{} differences:\n{shown}", self.unexpected.len());
        let idle =
            self.allowed.iter().filter(|a| !a.used).map(|a| format!("{} {}", a.topic, a.path));
        let idle: Vec<String> = idle.collect();
        assert!(idle.is_empty(), "allowed differences that are none: {idle:?}");
        assert!(self.n_compared > 80, "the golden files were read");
    }
}

/// Every deepest place where two values differ.
fn differ(path: &str, golden: &Value, ours: &Value, out: &mut Vec<(String, String)>) {
    match (golden, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let n = out.len();
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match (a.get(name), b.get(name)) {
                    (Some(a), Some(b)) => differ(&at, a, b, out),
                    (a, b) => out.push((at, format!("golden {a:?}, ours {b:?}"))),
                }
            }
            // The order of attributes of a schema means nothing, that of a row's fields does.
            if out.len() == n && !path.contains("schema") && !a.keys().eq(b.keys()) {
                out.push((format!("{path}.order"), format!("golden {a:?}, ours {b:?}")));
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differ(&format!("{path}[{i}]"), a, b, out);
            }
        }
        (a, b) if a == b => {}
        (a, b) => out.push((path.to_owned(), format!("golden {}, ours {}", short(a), short(b)))),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}

#[test]
fn every_golden_record_can_be_compared() {
    let binlog = Source::Binlog;
    let sources = [
        (Source::Postgres, [162, 149], 104),
        (binlog(Kind::Mysql), [189, 182], 92),
        (binlog(Kind::Mariadb), [180, 173], 105),
    ];
    for (source, [n_records, n_without_tombstones], n_edges) in sources {
        for config in ["default", "avro", "connect", "strings"] {
            let n: usize = golden_records(source, config).values().map(Vec::len).sum();
            let expected = match config {
                "connect" => n_without_tombstones,
                "strings" => n_records + n_edges,
                _ => n_records,
            };
            assert_eq!(n, expected, "records of {} {config}", source.name());
            let allowed = Tally::new(source, config).allowed;
            assert!(allowed.iter().all(|a| !a.path.is_empty()), "{config}");
        }
    }
    for config in ["default", "avro", "deltas"] {
        let n: usize = golden_records(Source::Mongodb, config).values().map(Vec::len).sum();
        assert_eq!(n, 86, "records of mongodb {config}");
    }
}
