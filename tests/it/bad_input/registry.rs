//! The registry is away, or says no.

use serde_json::json;

use super::database;
use crate::support::avro::Decoder;
use crate::support::fold::avro_event;
use crate::support::kafka::Kafka;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::registry::Registry;
use crate::support::seconds;
use crate::support::tailwater::{Setup, exit};

fn n_rows(setup: &Setup) -> usize {
    let decoder = Decoder::new(Registry::shared());
    let records = Kafka::shared().read(&format!("{}.public.t", setup.prefix));
    records.iter().map(|r| avro_event(r, &decoder)).filter(|e| e.value.is_some()).count()
}

#[test]
fn a_registry_that_is_away_at_the_start_is_waited_for_and_then_named() {
    let database = database(Postgres::shared(), "registry_away");
    let mut setup = Setup::avro(&database, Kafka::shared(), Registry::shared());
    let proxy = Proxy::start(Registry::shared().port);
    proxy.refuse(true);
    setup.set("format.avro.registry.url", Registry::url_at(proxy.port));
    setup.set("format.avro.registry.retry_budget", "2s");
    setup.set("delivery.retry_budget", "2s");
    setup.fails(exit::SINK, &[&format!("127.0.0.1:{}", proxy.port)]);
    assert_eq!(n_rows(&setup), 0);
    // With patience it waits, and goes on by itself.
    setup.set("format.avro.registry.retry_budget", "60s");
    setup.set("delivery.retry_budget", "60s");
    let tailwater = setup.start();
    std::thread::sleep(seconds(2));
    assert!(tailwater.process.ended().is_none(), "it waits: {}", tailwater.said());
    proxy.heal();
    tailwater.ready();
    tailwater.stop().expect(0, &[]);
    assert_eq!(n_rows(&setup), 3);
}

#[test]
fn a_refused_schema_is_named_with_subject_and_rule() {
    let registry = Registry::shared();
    let database = database(Postgres::shared(), "refused");
    let setup = Setup::avro(&database, Kafka::shared(), registry);
    let subject = format!("{}.public.t-value", setup.prefix);
    let other =
        json!({ "type": "record", "name": "Other", "fields": [{ "name": "x", "type": "int" }] });
    registry.register(&subject, &other);
    registry.set_compatibility(&subject, "BACKWARD");
    setup.fails(exit::SINK, &[&subject, "BACKWARD"]);
    assert_eq!(n_rows(&setup), 0);
    registry.set_compatibility(&subject, "NONE");
    setup.catch_up();
    assert_eq!(n_rows(&setup), 3);
}
