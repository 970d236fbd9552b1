//! The broker is not as it has to be, or says no.

use serde_json::json;

use super::{database, ids, mended};
use crate::support::eventually;
use crate::support::kafka::Kafka;
use crate::support::postgres::Postgres;
use crate::support::seconds;
use crate::support::tailwater::{Setup, exit};

#[test]
fn a_missing_topic_with_creation_off_gets_the_command() {
    let (kafka, database) = (Kafka::shared(), database(Postgres::shared(), "no_topic"));
    let mut setup = Setup::kafka(&database, kafka);
    setup.set("sink.kafka.topics.create", false);
    let topic = format!("{}.public.t", setup.prefix);
    setup.fails(exit::SINK, &[&topic, "kafka-topics.sh", "--create"]);
    kafka.create_topic(&topic, 2, &[]);
    mended(&setup, kafka, 3);
}

#[test]
fn fewer_partitions_than_before_would_move_keys() {
    let (kafka, database) = (Kafka::shared(), database(Postgres::shared(), "fewer"));
    let setup = Setup::kafka(&database, kafka);
    setup.catch_up();
    let topic = format!("{}.public.t", setup.prefix);
    assert_eq!(kafka.topics(&topic)[&topic], 3);
    kafka.delete_topic(&topic);
    let gone = eventually(seconds(20), || kafka.topics(&topic).is_empty().then_some(()));
    assert!(gone.is_some(), "the topic is gone");
    kafka.create_topic(&topic, 1, &[]);
    database.run("insert into t values (4, 'd')");
    setup.fails(exit::SINK, &[&topic, "partitions"]);
    assert!(ids(kafka, &setup.prefix).is_empty(), "nothing was sent to the wrong partition");
}

#[test]
fn a_denied_right_is_named() {
    let kafka = Kafka::start_with_rights();
    let database = database(Postgres::shared(), "denied");
    let mut setup = Setup::kafka(&database, &kafka);
    let topic = format!("{}.public.t", setup.prefix);
    kafka.create_topic(&topic, 1, &[]);
    setup.set("sink.kafka.bootstrap_servers", vec![format!("127.0.0.1:{}", kafka.second_port)]);
    setup.set(
        "sink.kafka.properties",
        json!({
            "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
            "sasl.username": "limited", "sasl.password": "secret",
        }),
    );
    setup.fails(exit::SINK, &["kafka-acls.sh"]);
    // Through the other door, where everything is allowed.
    setup.set("sink.kafka.bootstrap_servers", vec![kafka.bootstrap.clone()]);
    setup.set("sink.kafka.properties", json!({}));
    mended(&setup, &kafka, 3);
}

#[test]
fn a_record_over_the_brokers_limit_halts_by_default() {
    let (kafka, database) = (Kafka::shared(), database(Postgres::shared(), "oversized"));
    let setup = Setup::kafka(&database, kafka);
    let topic = format!("{}.public.t", setup.prefix);
    kafka.create_topic(&topic, 1, &[("max.message.bytes", "20000")]);
    setup.catch_up();
    database.run("insert into t values (4, repeat('x', 50000))");
    database.run("insert into t values (5, 'after')");
    setup.fails(exit::SINK, &[&topic, "20000", "max.message.bytes"]);
    assert_eq!(ids(kafka, &setup.prefix), [1, 2, 3], "nothing passes it");
    kafka.delete_topic(&topic);
    let gone = eventually(seconds(20), || kafka.topics(&topic).is_empty().then_some(()));
    assert!(gone.is_some(), "the topic is gone");
    kafka.create_topic(&topic, 1, &[("max.message.bytes", "200000")]);
    setup.catch_up();
    assert_eq!(ids(kafka, &setup.prefix), [4, 5]);
}

#[test]
fn a_record_over_the_brokers_limit_becomes_a_dead_letter_if_told_so() {
    let (kafka, database) = (Kafka::shared(), database(Postgres::shared(), "dead_letter"));
    let mut setup = Setup::kafka(&database, kafka);
    setup.set("dead_letter", json!({ "policy": "dead_letter" }));
    let topic = format!("{}.public.t", setup.prefix);
    kafka.create_topic(&topic, 1, &[("max.message.bytes", "20000")]);
    database.run("insert into t values (4, repeat('x', 50000)), (5, 'after')");
    setup.catch_up();
    assert_eq!(ids(kafka, &setup.prefix), [1, 2, 3, 5]);
    let letters = kafka.read(&format!("{}.dead-letter", setup.prefix));
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].header("tailwater.kind").as_deref(), Some("delivery"));
    assert!(letters[0].value.as_ref().is_some_and(|v| v.len() > 50_000), "the whole record");
}

#[test]
fn a_broker_that_is_away_is_waited_for_and_then_named() {
    let (kafka, database) = (Kafka::shared(), database(Postgres::shared(), "no_broker"));
    let mut setup = Setup::kafka(&database, kafka);
    let port = crate::support::free_port();
    setup.set("sink.kafka.bootstrap_servers", vec![format!("127.0.0.1:{port}")]);
    setup.set("sink.kafka.retry_budget", "3s");
    setup.set("delivery.retry_budget", "3s");
    setup.fails(exit::SINK, &[&format!("127.0.0.1:{port}")]);
    setup.set("sink.kafka.bootstrap_servers", vec![kafka.bootstrap.clone()]);
    mended(&setup, kafka, 3);
}
