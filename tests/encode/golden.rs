//! The golden files: what the real Debezium published, one record a line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

/// What Debezium read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Postgres,
    Mysql,
    Mariadb,
    Mongodb,
}

impl Source {
    pub(crate) fn folder(self) -> PathBuf {
        let name = match self {
            Self::Postgres => "postgresql",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Mongodb => "mongodb",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
    }
}

/// What Debezium wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Config {
    Default,
    Avro,
    /// MongoDB alone: `capture.mode=change_streams`, and a field with another name.
    Deltas,
}

impl Config {
    fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Avro => "avro",
            Self::Deltas => "deltas",
        }
    }

    /// The topic prefix: the source's first two letters, and the configuration.
    pub(crate) fn prefix(self, source: Source) -> String {
        let letters = match source {
            Source::Postgres => "po",
            Source::Mysql => "my",
            Source::Mariadb => "ma",
            Source::Mongodb => "mo",
        };
        format!("{letters}_{}", self.name())
    }
}

/// A golden record. Keys and values are JSON documents, or Avro in hex.
pub(crate) struct GoldenRecord {
    pub(crate) topic: String,
    pub(crate) key: Json,
    pub(crate) value: Json,
    pub(crate) key_schema: Option<String>,
    pub(crate) value_schema: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl GoldenRecord {
    /// About a statement, in the topic that is the prefix: no row's.
    pub(crate) fn is_schema_change(&self) -> bool {
        !self.topic.contains('.')
    }

    pub(crate) fn is_tombstone(&self) -> bool {
        self.value.is_null()
    }

    fn parse(line: &str) -> Self {
        let line: Json = serde_json::from_str(line).unwrap();
        let number = |name: &str| line.get(name).filter(|v| !v.is_null()).map(Json::to_string);
        let headers = line.get("headers").and_then(Json::as_array).cloned().unwrap_or_default();
        let text = |json: &Json| json.as_str().unwrap().to_owned();
        Self {
            topic: text(&line["topic"]),
            key: line["key"].clone(),
            value: line["value"].clone(),
            key_schema: number("key_schema"),
            value_schema: number("value_schema"),
            headers: headers.iter().map(|h| (text(&h[0]), text(&h[1]))).collect(),
        }
    }
}

pub(crate) struct Golden {
    pub(crate) records: Vec<GoldenRecord>,
    pub(crate) schemas: BTreeMap<String, Json>,
}

impl Golden {
    pub(crate) fn read(source: Source, config: Config) -> Self {
        let folder = source.folder().join(config.name());
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let schemas: Json = serde_json::from_str(&read("schemas.json")).unwrap();
        let schemas = schemas.as_object().unwrap();
        Self {
            records: read("records.jsonl").lines().map(GoldenRecord::parse).collect(),
            schemas: schemas.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }
}

/// Bytes of a hex text.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap()).collect()
}

/// Golden schemas had their references put in place, so every record repeats its namespace. Avro's
/// own printer leaves it out where it is that of the record around; the meaning is the same.
pub(crate) fn without_repeated_namespaces(schema: &Json, around: &str) -> Json {
    match schema {
        Json::Array(items) => {
            Json::Array(items.iter().map(|i| without_repeated_namespaces(i, around)).collect())
        }
        Json::Object(object) => {
            let namespace = object.get("namespace").and_then(Json::as_str);
            let within = namespace.unwrap_or(around);
            let kept = object.iter().filter(|(k, _)| *k != "namespace" || within != around);
            let walked = kept.map(|(k, v)| {
                let walk = matches!(k.as_str(), "fields" | "type" | "items");
                let value = if walk { without_repeated_namespaces(v, within) } else { v.clone() };
                (k.clone(), value)
            });
            Json::Object(walked.collect())
        }
        other => other.clone(),
    }
}
