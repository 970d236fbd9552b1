//! What a person reads about a configuration, word for word, and what a good one resolves to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::config::interpolate::Lookup;
use crate::config::*;
use crate::disposition::Diagnose;

mod mongodb;
mod transactions;

/// Environment and files of a test.
#[derive(Default)]
struct Table {
    env: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, &'static str>,
}

impl Lookup for Table {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).map(|value| (*value).to_owned())
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let found = self.files.get(path.to_str().unwrap());
        found.map(|text| (*text).to_owned()).ok_or_else(|| "there is no such file".to_owned())
    }
}

fn table() -> Table {
    Table {
        env: BTreeMap::from([("PG_PASSWORD", "canary-env"), ("PG_PORT", "6543"), ("EMPTY", "")]),
        files: BTreeMap::from([("/run/secrets/pg", "canary-file\n"), ("/empty", "\n")]),
    }
}

fn parse_text(text: &str) -> Result<Loaded, ConfigError> {
    parse(text, "shop.yaml", &table())
}

const MINIMAL: &str = "\
pipeline: shop
source:
  postgres:
    host: 127.0.0.1
    database: shop
    user: tailwater
sink: { stdout: {} }
";

/// The issue's example, as it stands in the README.
const FULL: &str = r#"pipeline: shop                       # prefix of topics
source:
  postgres:
    host: db.example.org
    database: shop
    user: tailwater
    password: ${file:/run/secrets/pg}
    tls: { mode: verify-full, ca: /etc/ssl/pg-ca.pem }
    tables: { include: ["inventory.*"], exclude: ["inventory.audit_*"] }
snapshot: { mode: initial, connections: 4 }
format: { avro: { registry: { url: "http://127.0.0.1:8081" } } }
sink:
  kafka:
    bootstrap_servers: ["127.0.0.1:9092"]
    topics: { partitions: 3, replication_factor: 3 }
    properties: { compression.type: zstd }
offsets: { kafka: {} }
dead_letter: { policy: halt }
admin: { listen: "127.0.0.1:8085" }
"#;

/// `MINIMAL` with one text in it replaced.
fn minimal(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from}");
    MINIMAL.replacen(from, to, 1)
}

fn full(from: &str, to: &str) -> String {
    assert!(FULL.contains(from), "{from}");
    FULL.replacen(from, to, 1)
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let error = parse_text(text).expect_err("the text is refused");
    assert_eq!(error.lines(), expected, "\n{text}");
    let everything = format!("{error:?} {error} {:?} {}", error.lines(), error.hint().unwrap());
    assert!(!everything.contains("canary"), "a secret in {everything}");
}

#[test]
fn the_example_of_the_readme_resolves() {
    let Loaded { config, warnings } = parse_text(FULL).unwrap();
    assert_eq!(warnings, []);
    assert_eq!((config.pipeline.as_str(), config.topic_prefix.as_str()), ("shop", "shop"));
    let SourceConfig::Postgres(source) = &config.source else { panic!("PostgreSQL") };
    assert_eq!(source.password.as_ref().map(Secret::expose), Some("canary-file"));
    assert_eq!(source.tls.ca.as_deref(), Some(Path::new("/etc/ssl/pg-ca.pem")));
    assert!(source.tables.matches("inventory", "orders"));
    assert!(!source.tables.matches("inventory", "audit_log"));
    let SinkConfig::Kafka(kafka) = &config.sink else { panic!("kafka") };
    assert_eq!(kafka.topics.partitions, 3);
    assert_eq!(kafka.properties["compression.type"].expose(), "zstd");
    let OffsetsConfig::Kafka { kafka, topic, replication_factor } = &config.offsets else {
        panic!("kafka")
    };
    assert_eq!(kafka.bootstrap_servers, ["127.0.0.1:9092"]);
    assert_eq!((topic.as_str(), *replication_factor), ("tailwater-offsets.shop", 3));
    assert_eq!(config.dead_letter.topic, "shop.dead-letter");
    assert_eq!(config.admin.map(|a| a.to_string()).as_deref(), Some("127.0.0.1:8085"));
}

#[test]
fn everything_that_may_be_left_out_has_its_default() {
    let Loaded { config, warnings } = parse_text(MINIMAL).unwrap();
    assert_eq!(warnings, []);
    let SourceConfig::Postgres(source) = &config.source else { panic!("PostgreSQL") };
    assert_eq!((source.port, source.slot.as_str()), (5432, "shop"));
    assert_eq!((source.publication.name.as_str(), source.publication.create), ("shop", true));
    assert_eq!((source.tls.mode, source.unmapped_types), (TlsMode::Prefer, UnmappedTypes::Text));
    assert!(source.tables.matches("any", "thing"));
    assert_eq!(config.snapshot.mode, SnapshotMode::Initial);
    assert!(matches!(config.format, FormatConfig::Json { schemas: false }));
    let OffsetsConfig::File { path } = &config.offsets else { panic!("a folder") };
    assert_eq!(path, &PathBuf::from(".tailwater/shop"));
    assert_eq!(config.dead_letter.conversion, DeadLetterPolicy::Halt);
    assert_eq!(config.dead_letter.path, PathBuf::from("shop.dead-letter"));
    assert_eq!(config.delivery.memory_bytes, 12 << 20);
    assert_eq!(config.delivery.checkpoint_interval, Duration::from_secs(1));
    assert_eq!(config.admin.map(|a| a.to_string()).as_deref(), Some("127.0.0.1:8085"));
}

#[test]
fn tls_is_verified_unless_the_connection_stays_on_the_machine() {
    let check = |host: &str, expected: TlsMode| {
        let Loaded { config, .. } = parse_text(&minimal("127.0.0.1", host)).unwrap();
        let SourceConfig::Postgres(source) = &config.source else { panic!("PostgreSQL") };
        assert_eq!(source.tls.mode, expected, "{host}");
    };
    check("localhost", TlsMode::Prefer);
    check("\"::1\"", TlsMode::Prefer);
    check("/run/postgresql", TlsMode::Prefer);
    check("db.example.org", TlsMode::VerifyFull);
    check("10.0.0.1", TlsMode::VerifyFull);
}

const MYSQL: &str = "\
pipeline: shop
source:
  mysql:
    host: 127.0.0.1
    user: tailwater
sink: { stdout: {} }
";

#[test]
fn a_mysql_source_needs_a_host_and_a_user() {
    let Loaded { config, warnings } = parse_text(MYSQL).unwrap();
    assert!(warnings.is_empty());
    let SourceConfig::Mysql(source) = &config.source else { panic!("MySQL") };
    assert_eq!((source.host.as_str(), source.port), ("127.0.0.1", 3306));
    assert_eq!((source.tls.mode, source.position), (TlsMode::Prefer, LogPosition::Auto));
    assert_eq!(source.silence_limit, Duration::from_secs(60));
    assert_eq!(source.message_bytes_max, 256 << 20);
    assert!(source.tables.matches("any", "thing"));
    assert_eq!(source.server_id, None, "made of the pipeline's name");
    let mariadb = MYSQL.replace("mysql:", "mariadb:");
    let Loaded { config, .. } = parse_text(&mariadb).unwrap();
    assert!(matches!(config.source, SourceConfig::Mariadb(_)));
}

#[test]
fn a_mysql_source_is_checked_at_its_own_place() {
    let check = |line: &str, expected: &str| {
        let text = MYSQL.replace("user: tailwater", &format!("user: tailwater\n    {line}"));
        assert_eq!(parse_text(&text).unwrap_err().lines(), [expected], "{line}");
    };
    check(
        "server_id: 0",
        "shop.yaml:6:16: source.mysql.server_id: 0 is out of range: 1 to 4294967295",
    );
    check("port: 0", "shop.yaml:6:11: source.mysql.port: 0 is out of range: 1 to 65535");
    check(
        "silence_limit: 2s",
        "shop.yaml:6:20: source.mysql.silence_limit: 2s is out of range: 3s to 168h",
    );
    check(
        "tables: { include: [orders] }",
        "shop.yaml:6:25: source.mysql.tables.include.0: `orders` is no pattern over `database.table`: there is no dot in it, as in `shop.orders` or `shop.*`",
    );
    check(
        "position: lsn",
        "shop.yaml:6:15: source.mysql.position: unknown name `lsn`; known: auto, gtid, file",
    );
    check(
        "values: { time: adaptive }",
        "shop.yaml:6:21: source.mysql.values.time: milliseconds of 32 bits are too few for a TIME: `adaptive_time_microseconds` is the same but for that",
    );
    check(
        "values: { hstore: map }",
        "shop.yaml:6:15: source.mysql.values: unknown key `hstore`; known: decimal, time, binary, bigint_unsigned, tinyint1",
    );
}

#[test]
fn handling_modes_are_debeziums_defaults_until_one_is_chosen() {
    let modes = |text: &str| parse_text(text).unwrap().config.values;
    assert_eq!(modes(MINIMAL), ValueModes::default());
    let binlog = ValueModes { time: TimeMode::AdaptiveTimeMicroseconds, ..ValueModes::default() };
    assert_eq!(modes(MYSQL), binlog);
    let text =
        minimal("user: tailwater", "user: tailwater\n    values: { hstore: map, time: connect }");
    let chosen =
        ValueModes { hstore: HstoreMode::Map, time: TimeMode::Connect, ..ValueModes::default() };
    assert_eq!(modes(&text), chosen);
    let values = "values: { bigint_unsigned: precise, tinyint1: boolean, binary: base64_url_safe }";
    let text = MYSQL.replace("user: tailwater", &format!("user: tailwater\n    {values}"));
    let config = parse_text(&text).unwrap().config;
    let chosen = ValueModes {
        bigint_unsigned: BigintUnsignedMode::Precise,
        binary: BinaryMode::Base64UrlSafe,
        ..binlog
    };
    assert_eq!(config.values, chosen);
    let SourceConfig::Mysql(source) = config.source else { panic!("MySQL") };
    assert_eq!(source.tinyint1, Tinyint1Mode::Boolean);
}

#[test]
fn names_derive_from_the_pipeline() {
    let Loaded { config, .. } =
        parse_text(&minimal("pipeline: shop", "pipeline: Shop-EU.1")).unwrap();
    let SourceConfig::Postgres(source) = &config.source else { panic!("PostgreSQL") };
    assert_eq!(
        (source.slot.as_str(), source.publication.name.as_str()),
        ("shop_eu_1", "shop_eu_1")
    );
    assert_eq!(
        (config.topic_prefix.as_str(), config.dead_letter.topic.as_str()),
        ("Shop-EU.1", "Shop-EU.1.dead-letter")
    );
}

#[test]
fn a_policy_holds_for_the_kinds_that_do_not_set_their_own() {
    let text = format!("{MINIMAL}dead_letter: {{ policy: dead_letter, delivery: halt }}\n");
    let config = parse_text(&text).unwrap().config;
    assert_eq!(config.dead_letter.conversion, DeadLetterPolicy::DeadLetter);
    assert_eq!(config.dead_letter.delivery, DeadLetterPolicy::Halt);
}

#[test]
fn references_are_replaced_wherever_text_stands() {
    let text = minimal(
        "host: 127.0.0.1",
        "host: 127.0.0.1\n    port: ${env:PG_PORT}\n    password: \"a${env:PG_PASSWORD}$${b\"",
    );
    let SourceConfig::Postgres(source) = parse_text(&text).unwrap().config.source else {
        panic!("PostgreSQL")
    };
    assert_eq!(source.port, 6543);
    assert_eq!(source.password.as_ref().map(Secret::expose), Some("acanary-env${b"));
}

#[test]
fn what_comes_from_outside_is_never_read_as_yaml() {
    let lookup = Table {
        env: BTreeMap::from([("EVIL", "x\n    port: 1\n    nonsense: [")]),
        ..Table::default()
    };
    let text = minimal("user: tailwater", "user: tailwater\n    password: ${env:EVIL}");
    let SourceConfig::Postgres(source) = parse(&text, "f", &lookup).unwrap().config.source else {
        panic!("PostgreSQL")
    };
    assert_eq!(source.port, 5432);
}

#[test]
fn numbers_may_be_passwords() {
    for (written, expected) in [("007", "007"), ("1e5", "1e5"), ("true", "true"), ("\"\"", "")] {
        let text = minimal("user: tailwater", &format!("user: tailwater\n    password: {written}"));
        let SourceConfig::Postgres(source) = parse_text(&text).unwrap().config.source else {
            panic!("PostgreSQL")
        };
        assert_eq!(source.password.as_ref().map(Secret::expose), Some(expected));
    }
}

#[test]
fn no_secret_can_be_printed() {
    let text =
        full("url: \"http://127.0.0.1:8081\"", "url: \"http://me:canary-url@127.0.0.1:8081\"")
            .replace("compression.type: zstd", "sasl.password: canary-kafka");
    let Loaded { config, warnings } = parse_text(&text).unwrap();
    let FormatConfig::Avro(registry) = &config.format else { panic!("avro") };
    assert_eq!(registry.urls, ["http://127.0.0.1:8081"]);
    let Some(RegistryAuth::Basic { user, password }) = &registry.auth else { panic!("basic") };
    assert_eq!((user.as_str(), password.expose()), ("me", "canary-url"));
    let printed = format!("{config:?} {config:#?} {warnings:?}");
    assert!(!printed.contains("canary"), "{printed}");
    let lines: Vec<String> = warnings.iter().map(|w| w.line("shop.yaml")).collect();
    assert_eq!(
        lines,
        [
            "shop.yaml:16:34: sink.kafka.properties.sasl.password: a secret in plain text; `${file:PATH}` or `${env:NAME}` keeps it out of this file",
            "shop.yaml:11:36: format.avro.registry.url: a secret in plain text; `${file:PATH}` or `${env:NAME}` keeps it out of this file",
        ]
    );
}

#[test]
fn several_registries_share_one_login() {
    let text = full(
        "url: \"http://127.0.0.1:8081\"",
        "url: [\"https://a:8081/\", \"https://b/base/\"], auth: { bearer: \"${env:PG_PASSWORD}\" }",
    );
    let FormatConfig::Avro(registry) = parse_text(&text).unwrap().config.format else {
        panic!("avro")
    };
    assert_eq!(registry.urls, ["https://a:8081", "https://b/base"]);
    assert!(matches!(registry.auth, Some(RegistryAuth::Bearer(_))));
}

#[test]
fn what_is_allowed_but_unwise_is_a_warning() {
    let check = |text: &str, expected: &[&str]| {
        let warnings = parse_text(text).unwrap().warnings;
        let lines: Vec<String> = warnings.iter().map(|w| w.line("f")).collect();
        assert_eq!(lines, expected, "\n{text}");
    };
    check(
        &minimal("user: tailwater", "user: tailwater\n    password: plain"),
        &[
            "f:7:15: source.postgres.password: a secret in plain text; `${file:PATH}` or `${env:NAME}` keeps it out of this file",
        ],
    );
    check(
        &minimal("127.0.0.1", "db.example.org\n    tls: { mode: require }"),
        &[
            "f:5:18: source.postgres.tls.mode: the server's certificate is not verified, so anybody in between can pose as it; `verify-full` prevents that",
        ],
    );
    check(
        &minimal("127.0.0.1", "db.example.org\n    tls: { mode: prefer }"),
        &[
            "f:5:18: source.postgres.tls.mode: passwords and rows may cross the network unencrypted; `verify-full` prevents that",
        ],
    );
    check(
        &format!("{MINIMAL}admin: {{ listen: \"0.0.0.0:8085\" }}"),
        &[
            "f:8:18: admin.listen: health and metrics, with the names of tables, are open to the network",
        ],
    );
    check(
        &full("127.0.0.1:9092", "kafka.example.org:9092"),
        &[
            "f:14:24: sink.kafka.bootstrap_servers: rows cross the network unencrypted; the properties `security.protocol: SSL` or `SASL_SSL` prevent that",
        ],
    );
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    refused(
        &minimal("host:", "hots:"),
        &[
            "shop.yaml:4:5: source.postgres: unknown key `hots`; did you mean `host`? (known: host, port, database, user, password, tls, connect_timeout, slot, publication, tables, unmapped_types, values, logical_messages, status_interval, silence_limit, message_bytes_max)",
        ],
    );
    refused(
        &minimal("pipeline:", "Pipeline:"),
        &[
            "shop.yaml:1:1: unknown key `Pipeline`; did you mean `pipeline`? (known: pipeline, topic_prefix, source, snapshot, format, sink, offsets, dead_letter, delivery, admin)",
        ],
    );
    refused(
        &minimal("sink:", "sinks:"),
        &[
            "shop.yaml:7:1: unknown key `sinks`; did you mean `sink`? (known: pipeline, topic_prefix, source, snapshot, format, sink, offsets, dead_letter, delivery, admin)",
        ],
    );
    refused(
        &full("replication_factor", "replication-factor"),
        &[
            "shop.yaml:15:30: sink.kafka.topics: unknown key `replication-factor`; did you mean `replication_factor`? (known: create, partitions, replication_factor, cleanup_policy, settings)",
        ],
    );
    refused(
        &minimal("{ stdout: {} }", "{ stdot: {} }"),
        &[
            "shop.yaml:7:9: sink: unknown name `stdot`; did you mean `stdout`? (known: kafka, file, stdout)",
        ],
    );
    refused(
        &minimal("postgres:", "oracle:"),
        &["shop.yaml:3:3: source: unknown name `oracle`; known: postgres, mysql, mariadb, mongodb"],
    );
    refused(
        &full("mode: initial", "mode: inital"),
        &[
            "shop.yaml:10:19: snapshot.mode: unknown name `inital`; did you mean `initial`? (known: initial, initial_only, no_data)",
        ],
    );
    refused(
        &full("mode: initial", "mode: \"${env:PG_PASSWORD}\""),
        &[
            "shop.yaml:10:19: snapshot.mode: an unknown name from a reference; known: initial, initial_only, no_data",
        ],
    );
}

#[test]
fn missing_keys_are_named() {
    refused(
        &minimal("    host: 127.0.0.1\n", ""),
        &["shop.yaml:4:5: source.postgres: the key `host` is missing"],
    );
    refused(&minimal("pipeline: shop\n", ""), &["shop.yaml:1:1: the key `pipeline` is missing"]);
    refused(
        &full("format: { avro: { registry: { url: \"http://127.0.0.1:8081\" } } }\n", ""),
        &[
            "shop.yaml:1:1: format: the key `format` is missing; `sink.kafka` needs `avro: { registry: { url: … } }` or `json: {}`",
        ],
    );
    refused(
        &full("registry: { url: \"http://127.0.0.1:8081\" }", ""),
        &["shop.yaml:11:17: format.avro: the key `registry` is missing"],
    );
}

#[test]
fn wrong_types_say_what_was_expected() {
    let port =
        |value: &str| minimal("host: 127.0.0.1", &format!("host: 127.0.0.1\n    port: {value}"));
    refused(
        &port("fifty"),
        &[
            "shop.yaml:5:11: source.postgres.port: expected a whole number from 0 to 65535, found text",
        ],
    );
    refused(
        &port("\"5432\""),
        &[
            "shop.yaml:5:11: source.postgres.port: expected a whole number from 0 to 65535, found text",
        ],
    );
    refused(
        &port("70000"),
        &[
            "shop.yaml:5:11: source.postgres.port: expected a whole number from 0 to 65535, found a number",
        ],
    );
    refused(&port("0"), &["shop.yaml:5:11: source.postgres.port: 0 is out of range: 1 to 65535"]);
    refused(
        &port("[5432]"),
        &[
            "shop.yaml:5:11: source.postgres.port: expected a whole number from 0 to 65535, found a list",
        ],
    );
    refused(
        &port("${env:PG_PASSWORD}"),
        &[
            "shop.yaml:5:11: source.postgres.port: expected a whole number from 0 to 65535, found text",
        ],
    );
    refused(
        &minimal("database: shop", "database:"),
        &["shop.yaml:5:13: source.postgres.database: expected text, found nothing"],
    );
    refused(
        &minimal("{ stdout: {} }", "{ stdout: {}, file: { path: x } }"),
        &["shop.yaml:7:7: sink: expected exactly one of kafka, file, stdout, found 2"],
    );
    refused(
        &minimal("{ stdout: {} }", "stdout"),
        &["shop.yaml:7:7: sink: `stdout` is a section: write `stdout: { … }`"],
    );
    refused(
        &full("[\"127.0.0.1:9092\"]", "127.0.0.1:9092"),
        &["shop.yaml:14:24: sink.kafka.bootstrap_servers: expected a list, found text"],
    );
    refused(
        &full("partitions: 3", "create: yes"),
        &["shop.yaml:15:23: sink.kafka.topics.create: expected true or false, found text"],
    );
}

#[test]
fn durations_and_sizes_need_a_unit_and_a_range() {
    let delivery = |text: &str| format!("{MINIMAL}delivery: {{ {text} }}");
    refused(
        &delivery("drain_timeout: 30"),
        &[
            "shop.yaml:8:28: delivery.drain_timeout: expected a duration with a unit, like 500ms, 30s, 5m or 2h",
        ],
    );
    refused(
        &delivery("checkpoint_interval: 1ms"),
        &["shop.yaml:8:34: delivery.checkpoint_interval: 1ms is out of range: 10ms to 1h"],
    );
    refused(
        &delivery("memory: 64MB"),
        &[
            "shop.yaml:8:21: delivery.memory: expected a size with a unit, like 512KiB, 32MiB or 1GiB",
        ],
    );
    refused(
        &delivery("memory: 1KiB"),
        &["shop.yaml:8:21: delivery.memory: 1KiB is out of range: 1MiB to 2GiB"],
    );
    refused(
        &minimal("host: 127.0.0.1", "host: 127.0.0.1\n    status_interval: 60s"),
        &[
            "shop.yaml:4:5: source.postgres.silence_limit: must be longer than `status_interval`, or a quiet server looks dead",
        ],
    );
}

#[test]
fn conflicts_are_refused_with_the_way_out() {
    let avro = "format: { avro: { registry: { url: \"http://h\" } } }\n";
    refused(
        &format!("{MINIMAL}{avro}"),
        &[
            "shop.yaml:8:17: format.avro: `sink.stdout` writes lines of text, which Avro's bytes are not; use `json`",
        ],
    );
    refused(
        &format!("{MINIMAL}offsets: {{ kafka: {{}} }}\n"),
        &[
            "shop.yaml:8:19: offsets.kafka.bootstrap_servers: the key `bootstrap_servers` is missing: the sink is not Kafka, so there is no cluster to share",
        ],
    );
    refused(
        &format!("{MINIMAL}dead_letter: {{ topic: x }}\n"),
        &[
            "shop.yaml:8:23: dead_letter.topic: without `sink.kafka` dead letters go to a file; set `path` instead",
        ],
    );
    refused(
        &full("policy: halt", "path: x"),
        &[
            "shop.yaml:18:22: dead_letter.path: dead letters of `sink.kafka` go to a topic; set `topic` instead",
        ],
    );
    refused(
        &full("kafka: {} }", "kafka: { properties: { linger.ms: 1 } } }"),
        &[
            "shop.yaml:17:33: offsets.kafka.properties: only with `bootstrap_servers`; otherwise those of `sink.kafka` are used",
        ],
    );
    refused(
        &full("mode: verify-full", "mode: disable"),
        &[
            "shop.yaml:8:18: source.postgres.tls.mode: `disable` never looks at the certificates that are given beside it",
        ],
    );
    refused(
        &full("ca: /etc/ssl/pg-ca.pem", "key: k.pem"),
        &["shop.yaml:8:10: source.postgres.tls: `key` is given without its `certificate`"],
    );
    refused(
        &full(
            "url: \"http://127.0.0.1:8081\"",
            "url: \"http://a:canary@h\", auth: { bearer: \"${env:PG_PASSWORD}\" }",
        ),
        &[
            "shop.yaml:11:36: format.avro.registry.url: user and password in the URL contradict `auth` or another URL",
        ],
    );
}

#[test]
fn kafka_properties_that_would_break_a_guarantee_are_refused_by_name() {
    let with = |property: &str| full("compression.type: zstd", property);
    refused(
        &with("acks: 1"),
        &[
            "shop.yaml:16:25: sink.kafka.properties.acks: may not be set: records must be on every in-sync replica before a checkpoint may pass them, so acks=all is fixed",
        ],
    );
    refused(
        &with("enable.idempotence: false, retries: 3"),
        &[
            "shop.yaml:16:39: sink.kafka.properties.enable.idempotence: may not be set: without idempotence a retry can double or reorder records, so it is always on",
            "shop.yaml:16:55: sink.kafka.properties.retries: may not be set: a record that ran out of retries would be a gap; set `retry_budget`, which bounds the wait instead",
        ],
    );
    refused(
        &with("linger.millis: 5"),
        &[
            "shop.yaml:16:34: sink.kafka.properties.linger.millis: librdkafka knows no such property, or was built without it",
        ],
    );
    refused(
        &with("linger.ms: canary"),
        &[
            "shop.yaml:16:30: sink.kafka.properties.linger.ms: librdkafka refuses the value of this property",
        ],
    );
}

#[test]
fn names_patterns_and_addresses_are_checked_before_anything_starts() {
    refused(
        &minimal("pipeline: shop", "pipeline: \"shop eu\""),
        &["shop.yaml:1:11: pipeline: expected 1 to 100 letters, digits, `.`, `_` and `-`"],
    );
    refused(
        &minimal("user: tailwater", "user: tailwater\n    slot: My-Slot"),
        &[
            "shop.yaml:7:11: source.postgres.slot: expected 1 to 63 of `a-z`, `0-9` and `_`, which is what PostgreSQL takes for a slot",
        ],
    );
    refused(
        &full("\"inventory.*\"", "\"inventory.[\""),
        &[
            "shop.yaml:9:25: source.postgres.tables.include.0: `inventory.[` is no pattern over `schema.table`: unclosed character class; missing ']'",
        ],
    );
    refused(
        &full("\"inventory.*\"", "orders"),
        &[
            "shop.yaml:9:25: source.postgres.tables.include.0: `orders` is no pattern over `schema.table`: there is no dot in it, as in `public.orders` or `public.*`",
        ],
    );
    refused(
        &full("[\"inventory.*\"]", "[]"),
        &[
            "shop.yaml:9:24: source.postgres.tables.include: an empty list captures nothing; leave the key out to capture every table",
        ],
    );
    refused(
        &full("[\"127.0.0.1:9092\"]", "[]"),
        &[
            "shop.yaml:14:24: sink.kafka.bootstrap_servers: an empty list; at least one `host:port` is needed",
        ],
    );
    refused(
        &full("127.0.0.1:9092", "127.0.0.1"),
        &[
            "shop.yaml:14:25: sink.kafka.bootstrap_servers.0: expected `host:port` with a port from 1 to 65535, found `127.0.0.1`",
        ],
    );
    refused(
        &full("http://127.0.0.1:8081", "127.0.0.1:8081"),
        &["shop.yaml:11:36: format.avro.registry.url: expected a URL like http://127.0.0.1:8081"],
    );
    refused(
        &full("\"127.0.0.1:8085\"", "8085"),
        &[
            "shop.yaml:19:18: admin.listen: expected `address:port` like 127.0.0.1:8085, or `off`, found `8085`",
        ],
    );
    refused(
        &full("partitions: 3", "partitions: 0"),
        &["shop.yaml:15:27: sink.kafka.topics.partitions: 0 is out of range: 1 to 10000"],
    );
    refused(
        &full("connections: 4", "connections: 0"),
        &["shop.yaml:10:41: snapshot.connections: 0 is out of range: 1 to 32"],
    );
}

#[test]
fn a_missing_secret_is_named_with_its_line() {
    let password =
        |text: &str| minimal("user: tailwater", &format!("user: tailwater\n    password: {text}"));
    let at = "shop.yaml:7:15: source.postgres.password";
    let check =
        |text: &str, problem: &str| refused(&password(text), &[&format!("{at}: {problem}")]);
    check(
        "${file:/run/secrets/nowhere}",
        "cannot read the secret file /run/secrets/nowhere: there is no such file",
    );
    check("${file:/empty}", "the secret file /empty is empty");
    check("${env:NOWHERE}", "the environment variable NOWHERE is not set");
    check("${env:EMPTY}", "the environment variable EMPTY is empty");
    check("${vault:canary}", "an unknown reference; there are `${env:NAME}` and `${file:PATH}`");
    check("canary${env:X", "`${` without its `}`; write `$${` for the two characters themselves");
}

#[test]
fn text_that_is_no_configuration_is_refused_with_its_place() {
    refused("", &["shop.yaml: the file is empty"]);
    refused("just text", &["shop.yaml:1:1: expected a map, found text"]);
    refused(
        "a: { password: ${env:X} }",
        &[
            "shop.yaml:1:17: while parsing a flow mapping, did not find expected ',' or '}' (inside `{ }` and `[ ]`, a `${…}` must stand in quotes)",
        ],
    );
    refused("a: [1, 2", &["shop.yaml:1:4: unclosed bracket '['"]);
    refused(
        "pipeline: a\npipeline: b\n",
        &["shop.yaml:2:1: the key `pipeline` was already given on line 1"],
    );
    refused(
        "pipeline: a\n---\npipeline: b\n",
        &["shop.yaml:2:1: a second YAML document; a configuration is one"],
    );
    refused(
        "pipeline: &x a\n",
        &[
            "shop.yaml:1:14: an anchor (`&name`), which a configuration may not use; quote the value if the ampersand belongs to it",
        ],
    );
    refused("pipeline: *canary\n", &["shop.yaml:1:11: while parsing node, found unknown anchor"]);
    refused(
        "pipeline: !canary x\n",
        &[
            "shop.yaml:1:11: a tag (`!name`), which a configuration may not use; quote the value if the exclamation mark belongs to it",
        ],
    );
    let deep = format!("a: {}{}", "[".repeat(40), "]".repeat(40));
    refused(&deep, &["shop.yaml:1:35: nested deeper than 32 levels"]);
}

#[test]
fn files_are_bounded_and_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.yaml");
    let name = path.display();
    let error = load(&path).unwrap_err();
    assert_eq!(error.lines(), [format!("{name}: No such file or directory (os error 2)")]);
    std::fs::write(&path, "#".repeat(1 + (1 << 20))).unwrap();
    assert_eq!(load(&path).unwrap_err().lines(), [format!("{name}: larger than 1048576 bytes")]);
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(load(&path).unwrap_err().lines(), [format!("{name}: not UTF-8 text")]);
}

#[test]
fn secret_files_are_read_without_their_last_newline() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("pg");
    std::fs::write(&secret, "two\nlines\n").unwrap();
    let path = folder.path().join("shop.yaml");
    let line = format!("user: tailwater\n    password: ${{file:{}}}", secret.display());
    std::fs::write(&path, minimal("user: tailwater", &line)).unwrap();
    let SourceConfig::Postgres(source) = load(&path).unwrap().config.source else {
        panic!("PostgreSQL")
    };
    assert_eq!(source.password.as_ref().map(Secret::expose), Some("two\nlines"));
}

/// Editors show the schema: every key has a description, and a default where it may be left out.
#[test]
fn every_key_of_the_schema_is_documented() {
    fn visit(name: &str, schema: &serde_json::Value, gaps: &mut Vec<String>) {
        let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) else { return };
        let required: Vec<&str> = schema["required"]
            .as_array()
            .map(|list| list.iter().filter_map(|v| v.as_str()).collect())
            .unwrap_or_default();
        for (key, property) in properties {
            let described = property.get("description").and_then(|d| d.as_str()).unwrap_or("");
            let is_section =
                property.to_string().contains("$ref") && !described.contains("Default");
            let has_default = described.contains("Default:") || is_section;
            let fine =
                if required.contains(&key.as_str()) { !described.is_empty() } else { has_default };
            if !fine && !described.contains("Required") {
                gaps.push(format!("{name}.{key}: {described}"));
            }
        }
    }
    let schema = json_schema();
    let mut gaps = Vec::new();
    visit("", &schema, &mut gaps);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        visit(name, definition, &mut gaps);
    }
    assert_eq!(gaps, Vec::<String>::new());
}
