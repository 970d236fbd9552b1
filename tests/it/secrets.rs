//! What a running pipeline says of itself, at the most talkative level: no secret of its
//! configuration and no value of a row.

use serde_json::json;

use crate::support::avro::base64;
use crate::support::kafka::Kafka;
use crate::support::postgres::Postgres;
use crate::support::registry::Registry;
use crate::support::tailwater::Setup;
use crate::support::{eventually, seconds};

const SECRET: &str = "canary-secret";

/// Every form in which a canary could sing.
fn check(what: &str, said: &str) {
    let basic = base64(format!("somebody:{SECRET}").as_bytes());
    for canary in ["canary", &base64(SECRET.as_bytes()), &basic] {
        if let Some((before, _)) = said.split_once(canary) {
            panic!("`{canary}` is in {what} after: {}", before.lines().last().unwrap_or_default());
        }
    }
}

#[test]
fn neither_logs_nor_metrics_nor_headers_of_dead_letters_tell_a_secret_or_a_value() {
    let (postgres, kafka) = (Postgres::start(&[]), Kafka::shared());
    let database = postgres.database("secrets");
    database.run(&format!(
        "create role locked login superuser replication password '{SECRET}';
         create table t (id int primary key, v text); insert into t values (1, 'canary-row')"
    ));
    let mut setup = Setup::avro(&database, kafka, Registry::shared());
    setup.set("source.postgres.user", "locked").set("source.postgres.password", SECRET);
    let auth = json!({ "basic": { "user": "somebody", "password": SECRET } });
    setup.set("format.avro.registry.auth", auth);
    let properties = json!({ "sasl.username": "somebody", "sasl.password": SECRET });
    setup.set("sink.kafka.properties", properties);
    setup.set("dead_letter", json!({ "policy": "dead_letter" }));
    setup.env("RUST_LOG", "trace");
    let topic = format!("{}.public.t", setup.prefix);
    kafka.create_topic(&topic, 1, &[("max.message.bytes", "20000")]);
    let tailwater = setup.start();
    tailwater.ready();
    database.run(
        "insert into t values (2, repeat('canary-row', 5000)); update t set v = 'canary-row 2' where id = 1",
    );
    let letters = format!("{}.dead-letter", setup.prefix);
    let found = eventually(seconds(60), || {
        let found = kafka.read(&letters);
        (!found.is_empty()).then_some(found)
    });
    for letter in found.expect("the large row becomes a dead letter") {
        for (name, value) in &letter.headers {
            let value = value.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            check(&format!("the header {name}"), &value);
        }
        let body =
            String::from_utf8_lossy(letter.value.as_deref().unwrap_or_default()).into_owned();
        assert!(body.contains("canary-row") && !body.contains(SECRET), "the row and nothing else");
    }
    let metrics = tailwater.admin("/metrics").expect("the admin endpoint answers").1;
    assert!(metrics.contains("tailwater_dead_letters_total{kind=\"delivery\"} 1"), "{metrics}");
    for path in ["/metrics", "/readyz", "/healthz"] {
        check(path, &tailwater.admin(path).expect("the admin endpoint answers").1);
    }
    let ended = tailwater.stop().expect(0, &[]);
    assert!(ended.stderr.contains("TRACE"), "the most talkative level");
    check("the log", &ended.stderr);
    check("standard output", &ended.stdout);
}
