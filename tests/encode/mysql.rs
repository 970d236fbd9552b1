//! The schemas that MySQL's and MariaDB's own catalogues lead to, against those that Debezium
//! published: real servers were asked about every table of the golden SQL, after every statement
//! that made or changed one (`tests/golden/*/catalog.jsonl`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use tailwater::encode::{EncodeOptions, Format, describe};
use tailwater::schema::json_schema::to_json_schema;
use tailwater::sources::mysql::catalog::{self, TableFacts};
use tailwater::sources::mysql::settings::Flavor;
use tailwater::sources::mysql::source_block::SourceConstants;
use tailwater::sources::mysql::sql::Row;
use tailwater::sources::mysql::table::Tables;

use super::golden::{Config, Golden, Source};

/// Where ours are meant to be others: topic without prefix, field, and why.
const DIFFERENT: [(&str, &str, &str); 4] = [
    ("t_default", "t", "Debezium leaves the doubled quote in the default 'it''s'"),
    ("t_default", "by_", "Debezium leaves the escapes in the default 'a\\0\\0' of a BINARY"),
    ("t_default", "l", "Debezium cuts the default of an unsigned BIGINT; its values are not cut"),
    (
        "t_bool2",
        "b",
        "BOOLEAN is TINYINT(1) to catalogue and log, as it is in Debezium's snapshots",
    ),
];

/// Schemas of the key and the value.
type Schemas = (Option<Json>, Json);

fn options(prefix: &str) -> EncodeOptions {
    EncodeOptions {
        connector: "postgresql",
        topic_prefix: prefix.to_owned(),
        format: Format::Json { schemas: true },
        values: tailwater::config::ValueModes::default(),
        tombstones: true,
        id_header: false,
        context_headers: false,
        transaction_topic: None,
    }
}

/// Every version of every table, by topic.
fn ours(source: Source, flavor: Flavor) -> BTreeMap<String, Vec<Schemas>> {
    let prefix = Config::Default.prefix(source);
    let topic_prefix = prefix.clone();
    let mut tables = Tables::new(
        SourceConstants { version: "3.6.0.Final", flavor, topic_prefix },
        tailwater::config::Tinyint1Mode::Number,
    );
    let text = std::fs::read_to_string(source.folder().join("catalog.jsonl")).unwrap();
    let mut found: BTreeMap<String, Vec<Schemas>> = BTreeMap::new();
    for line in text.lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        let rows = |name: &str| -> Vec<Row> {
            let rows = line[name].as_array().unwrap().iter();
            let cell = |cell: &Json| cell.as_str().map(str::to_owned);
            rows.map(|row| row.as_array().unwrap().iter().map(cell).collect()).collect()
        };
        let facts = TableFacts {
            database: prefix.clone(),
            table: line["table"].as_str().unwrap().to_owned(),
            columns: catalog::columns(&rows("columns"), flavor).unwrap(),
            key: catalog::key(&rows("indexes")).unwrap(),
            transactional: true,
            estimated_rows: 0,
            estimated_bytes: 0,
        };
        let table = tables.of_snapshot(&facts).unwrap().table;
        let description = describe(&options(&prefix), &table).unwrap();
        let json = |schema| serde_json::from_slice(&to_json_schema(schema)).unwrap();
        let schemas = &description.schemas;
        let schemas = (schemas.key.as_ref().map(json), json(&schemas.value));
        found.entry(description.topic).or_default().push(schemas);
    }
    found
}

fn theirs(source: Source) -> BTreeMap<String, Vec<Schemas>> {
    let golden = Golden::read(source, Config::Default);
    let mut found: BTreeMap<String, Vec<Schemas>> = BTreeMap::new();
    for record in golden.records.iter().filter(|record| !record.is_schema_change()) {
        let Some(value) = &record.value_schema else { continue };
        // A truncated table has no key, whatever its rows have.
        if record.value["op"] == "t" {
            continue;
        }
        let schema = |number: &String| golden.schemas[number].clone();
        let schemas = (record.key_schema.as_ref().map(schema), schema(value));
        let versions = found.entry(record.topic.clone()).or_default();
        if !versions.contains(&schemas) {
            versions.push(schemas);
        }
    }
    found
}

/// The schemas without what is meant to differ.
fn without_differing(
    topic: &str,
    (key, mut value): Schemas,
    used: &mut BTreeSet<usize>,
) -> Schemas {
    let differing = DIFFERENT.iter().enumerate();
    for (index, (_, name, _)) in differing.filter(|(_, (table, ..))| topic.ends_with(table)) {
        let images = value["fields"].as_array_mut().unwrap().iter_mut();
        for image in images.filter(|field| field["field"] == "before" || field["field"] == "after")
        {
            let columns = image["fields"].as_array_mut().unwrap();
            let n_columns = columns.len();
            columns.retain(|column| column["field"] != *name);
            assert_eq!(columns.len() + 1, n_columns, "{name} is a field of {topic}");
            used.insert(index);
        }
    }
    (key, value)
}

fn check(source: Source, flavor: Flavor) {
    let (ours, theirs) = (ours(source, flavor), theirs(source));
    let mut used = BTreeSet::new();
    let mut n_compared = 0;
    for (topic, versions) in theirs {
        let none = Vec::new();
        let candidates = ours.get(&topic).unwrap_or(&none).iter().cloned();
        let candidates: Vec<Schemas> =
            candidates.map(|schemas| without_differing(&topic, schemas, &mut used)).collect();
        for expected in versions {
            n_compared += 1;
            let expected = without_differing(&topic, expected, &mut used);
            assert!(
                candidates.contains(&expected),
                "{topic}\n  theirs {} {}\n  ours   {}",
                expected.0.unwrap_or_default(),
                expected.1,
                candidates
                    .iter()
                    .map(|(k, v)| format!("{k:?} {v}"))
                    .collect::<Vec<_>>()
                    .join("\n    or   "),
            );
        }
    }
    println!("{source:?}: {n_compared} schemas compared");
    assert_eq!(used.len(), DIFFERENT.len(), "every difference was met");
    assert!(n_compared >= 33);
}

#[test]
fn catalogues_lead_to_debeziums_schemas() {
    check(Source::Mysql, Flavor::Mysql);
    check(Source::Mariadb, Flavor::Mariadb);
}
