//! The encoder against what the real Debezium published: every record of the golden files is read
//! back into the change that it came from, encoded, and compared to the byte.
//!
//! Only the encoder is under test here. What a decoder must make of a database's bytes is the
//! business of the tests with a real server.

use std::collections::HashMap;
use std::sync::Arc;

use bumpalo::Bump;
use serde_json::Value as Json;
use tailwater::change::{Before, Change, EventId, Op};
use tailwater::encode::{EncodeOptions, Encoder, Format};
use tailwater::record::{RecordBatch, Topics};
use tailwater::schema::Table;
use tailwater::value::{Decimal, Value};

use super::avro;
use super::golden::{self, Config, Golden, GoldenRecord, Source};
use super::registry::Registry;
use super::tables;
use super::values::Values;

/// What a run compares, and with what.
struct Run {
    source: Source,
    config: Config,
    golden: Golden,
    /// Tables come from Connect's schemas, which say more than Avro's. Numbers are the same.
    connect: Golden,
    registry: Registry,
    topics: Arc<Topics>,
    encoder: Encoder,
    tables: HashMap<String, Arc<Table>>,
    compared: usize,
    differing: Vec<String>,
}

/// What one record holds, whatever its format.
struct Content {
    envelope: Json,
    now_ns: i64,
}

impl Run {
    fn new(source: Source, config: Config) -> Self {
        let registry = Registry::default();
        let topics = Arc::new(Topics::default());
        let options = EncodeOptions {
            connector: "postgresql",
            topic_prefix: config.prefix(source),
            format: match config {
                Config::Default | Config::Deltas => Format::Json { schemas: true },
                Config::Avro => Format::Avro,
            },
            values: tailwater::config::ValueModes::default(),
            tombstones: true,
            id_header: false,
            context_headers: false,
            transaction_topic: None,
        };
        let encoder = Encoder::new(options, Arc::clone(&topics), Box::new(registry.clone()));
        Self {
            source,
            config,
            golden: Golden::read(source, config),
            connect: Golden::read(source, Config::Default),
            registry,
            topics,
            encoder,
            tables: HashMap::new(),
            compared: 0,
            differing: Vec::new(),
        }
    }

    fn all(mut self) {
        let mut records = std::mem::take(&mut self.golden.records);
        records.retain(|record| !record.is_schema_change());
        let mut rest = &records[..];
        while let [first, ..] = rest {
            let length = change_length(&self.content(first), first, rest);
            self.change(&rest[..length]);
            rest = &rest[length..];
        }
        let (source, compared) = (self.source, self.compared);
        println!("{source:?}: {compared} records compared, {} differ", self.differing.len());
        assert_eq!(self.compared, records.len());
        assert!(self.differing.is_empty(), "{}", self.differing.join("\n"));
    }

    /// Encodes the change behind these records once for each of them, because each has a time of
    /// its own, and compares.
    fn change(&mut self, golden: &[GoldenRecord]) {
        let contents: Vec<Content> =
            golden.iter().filter(|r| !r.is_tombstone()).map(|r| self.content(r)).collect();
        let table = self.table(&golden[0], &contents[0].envelope["source"]);
        let arena = Bump::new();
        for (index, record) in golden.iter().enumerate() {
            // A tombstone has the time of the delete before it; nothing shows it.
            let content = if index == 2 { &contents[1] } else { &contents[0] };
            let slots = slots(Values { arena: &arena }, &table, &content.envelope["source"]);
            let change =
                Change { source: &slots, ..change(self.source, &table, &contents, &arena) };
            let mut batch = RecordBatch::default();
            self.encoder.encode(&change, content.now_ns, &mut batch).unwrap();
            assert_eq!(
                batch.records.len(),
                golden.len(),
                "records of one change of {}",
                record.topic
            );
            self.compare(record, &batch, index);
        }
    }

    fn compare(&mut self, golden: &GoldenRecord, batch: &RecordBatch, index: usize) {
        self.compared += 1;
        let record = &batch.records[index];
        let mut differences = Vec::new();
        let mut same = |what: &str, ours: String, theirs: String| {
            if ours != theirs {
                differences.push(format!("{what}\n  ours   {ours}\n  theirs {theirs}"));
            }
        };
        same("topic", self.topics.get(record.topic).name.to_string(), golden.topic.clone());
        let headers = batch.headers(record).map(|(name, value)| {
            (
                String::from_utf8(name.to_vec()).unwrap(),
                String::from_utf8(value.unwrap().to_vec()).unwrap(),
            )
        });
        let headers: Vec<_> = headers.collect();
        same("headers", format!("{headers:?}"), format!("{:?}", golden.headers));
        for (what, ours, theirs, schema) in [
            ("key", batch.key(record), &golden.key, &golden.key_schema),
            ("value", batch.value(record), &golden.value, &golden.value_schema),
        ] {
            let Some(ours) = ours else {
                same(what, "null".to_owned(), theirs.to_string());
                continue;
            };
            let schema = schema.as_ref().map(|number| &self.golden.schemas[number]);
            let schema = schema.unwrap_or(&Json::Null);
            match self.config {
                Config::Default | Config::Deltas => {
                    let ours: Json = serde_json::from_slice(ours).unwrap();
                    same(what, ours["payload"].to_string(), theirs.to_string());
                    same("schema", ours["schema"].to_string(), schema.to_string());
                }
                Config::Avro => {
                    assert_eq!(ours[0], 0);
                    let id = u32::from_be_bytes(ours[1..5].try_into().unwrap());
                    let (subject, text) = self.registry.schema(id);
                    same("subject", subject, format!("{}-{what}", golden.topic));
                    let theirs_schema = golden::without_repeated_namespaces(schema, "");
                    same("schema", text.clone(), theirs_schema.to_string());
                    let theirs = golden::unhex(theirs.as_str().unwrap_or_default());
                    same(what, format!("{:02x?}", &ours[5..]), format!("{theirs:02x?}"));
                    // An independent reader reads every byte, and no more.
                    same(
                        "read",
                        avro::read(&text, &ours[5..]).to_string(),
                        avro::read(&text, &theirs).to_string(),
                    );
                }
            }
        }
        let differing = differences.iter().map(|d| format!("{} #{index} {d}", golden.topic));
        self.differing.extend(differing);
    }

    fn content(&self, record: &GoldenRecord) -> Content {
        let envelope = match (self.config, &record.value) {
            (Config::Avro, Json::String(hex)) => {
                let schema = &self.golden.schemas[record.value_schema.as_ref().unwrap()];
                avro::read(&schema.to_string(), &golden::unhex(hex))
            }
            (_, value) => value.clone(),
        };
        let ns = envelope["ts_ns"].as_i64();
        let ns = ns.or_else(|| Some(envelope["ts_ms"].as_i64()? * 1_000_000));
        Content { now_ns: ns.unwrap_or(0), envelope }
    }

    fn table(&mut self, record: &GoldenRecord, source: &Json) -> Arc<Table> {
        let number = record.value_schema.as_ref().unwrap();
        if let Some(table) = self.tables.get(number) {
            return Arc::clone(table);
        }
        let records =
            self.connect.records.iter().filter(|r| r.value_schema.as_ref() == Some(number));
        let key = records.clone().find_map(|r| r.key_schema.as_ref());
        let schema = |number: &String| &self.connect.schemas[number];
        let version = u32::try_from(self.tables.len()).unwrap();
        let table = tables::table(version, schema(number), key.map(schema), source);
        self.tables.insert(number.clone(), Arc::clone(&table));
        table
    }
}

/// How many of the records at the front of `rest` come from one change.
fn change_length(content: &Content, first: &GoldenRecord, rest: &[GoldenRecord]) -> usize {
    let length = match (content.envelope["op"].as_str().unwrap(), first.headers.is_empty()) {
        ("d", true) => 2,
        ("d", false) => 3,
        _ => 1,
    };
    assert!(rest[..length].iter().all(|record| record.topic == first.topic));
    assert!(length == 1 || rest[1].is_tombstone());
    length
}

/// The change that these envelopes tell of: all but its source slots.
fn change<'a>(
    source: Source,
    table: &'a Arc<Table>,
    contents: &[Content],
    arena: &'a Bump,
) -> Change<'a> {
    let envelope = &contents[0].envelope;
    let row = |json: &Json| (!json.is_null()).then(|| row(table, json, arena));
    let moved = contents.len() == 2;
    let op = match envelope["op"].as_str().unwrap() {
        _ if moved => Op::Update,
        "c" => Op::Create,
        "u" => Op::Update,
        "d" => Op::Delete,
        "r" => Op::Read,
        "t" => Op::Truncate,
        "m" => Op::Message,
        other => panic!("operation {other}"),
    };
    let whole = match source {
        Source::Postgres => {
            matches!(table.path.last().unwrap().as_str(), "t_full" | "t_toast_full" | "t_nopk_full")
        }
        // `binlog_row_image=FULL`
        Source::Mysql | Source::Mariadb => true,
        Source::Mongodb => unreachable!("its records are compared in `mongodb`"),
    };
    let before = row(&envelope["before"]).map(|row| {
        if whole { Before::Whole(row) } else { Before::Key(key_alone(table, row, arena)) }
    });
    let after = match (op, moved) {
        (Op::Message, _) => row(&envelope["message"]),
        (_, true) => row(&contents[1].envelope["after"]),
        (_, false) => row(&envelope["after"]),
    };
    let id = EventId { transaction: "t", ordinal: 0 };
    Change { table, op, before, after, source: &[], id, transaction: None, raw: &[] }
}

/// The columns of the replica identity, the others absent. Of `t_index` its key too: the zero that
/// Debezium published there is one that we refuse to make up.
fn key_alone<'a>(table: &Table, row: &[Value<'a>], arena: &'a Bump) -> &'a [Value<'a>] {
    let by_index = table.path.last().unwrap() == "t_index";
    let row = row.iter().enumerate().map(|(index, value)| {
        let name = table.columns[index].name.as_str();
        let identity =
            if by_index { matches!(name, "id" | "k1" | "k2") } else { table.key.contains(&index) };
        if identity { *value } else { Value::Absent }
    });
    arena.alloc_slice_fill_iter(row.collect::<Vec<_>>())
}

fn row<'a>(table: &Table, json: &Json, arena: &'a Bump) -> &'a [Value<'a>] {
    let fields = json.as_object().unwrap();
    assert_eq!(fields.len(), table.columns.len());
    // By place: Avro's names are not the columns'.
    let values = table.columns.iter().zip(fields.values()).map(|(column, json)| {
        match (column.name.as_str(), json.is_null()) {
            ("nneg", false) => negative_scale(fields["id"].as_i64().unwrap()),
            _ => Values { arena }.value(&column.data_type, json),
        }
    });
    arena.alloc_slice_fill_iter(values.collect::<Vec<_>>())
}

/// `t_num.nneg` as the server sends it. Debezium reads scale 2046 out of numeric(4,-2).
fn negative_scale(id: i64) -> Value<'static> {
    let unscaled: &[u8] = match id % 100 {
        1 => &[0xF0, 0xE4, 0xD0],
        2 => &[100],
        4 => &[0x04, 0xB0],
        _ => &[0],
    };
    Value::Decimal(Decimal { unscaled, scale: 0 })
}

fn slots<'a>(values: Values<'a>, table: &Table, source: &Json) -> Vec<Value<'a>> {
    let slot = |name: &'static str| match &source[name] {
        Json::Null => Value::Null,
        Json::String(text) => Value::Text(values.arena.alloc_str(text)),
        number => Value::Int(number.as_i64().unwrap()),
    };
    tables::slots(&table.source).map(slot).collect()
}

#[test]
fn json_is_what_debezium_published() {
    for source in [Source::Postgres, Source::Mysql, Source::Mariadb] {
        Run::new(source, Config::Default).all();
    }
}

#[test]
fn avro_is_what_debezium_published() {
    for source in [Source::Postgres, Source::Mysql, Source::Mariadb] {
        Run::new(source, Config::Avro).all();
    }
}
