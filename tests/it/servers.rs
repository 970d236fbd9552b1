//! The harness itself: without these, a green test could mean that nothing was looked at.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::support::kafka::Kafka;
use crate::support::postgres::{Postgres, statements};
use crate::support::proxy::Proxy;
use crate::support::registry::Registry;
use crate::support::{eventually, seconds};

#[test]
fn scripts_are_cut_where_psql_cuts_them() {
    let cut = statements("select ';', \"a;b\"; -- not; here\nselect $$;$$;;\n select 'it''s;'");
    assert_eq!(cut, ["select ';', \"a;b\"", " select $$;$$", "\n select 'it''s;'"]);
}

#[test]
fn a_stopped_database_comes_back_with_its_rows() {
    let postgres = Postgres::start(&[]);
    let database = postgres.database("kept");
    database.run("create table t as select 1 as a");
    postgres.stop("QUIT");
    postgres.resume();
    assert_eq!(database.session().value("select a from t").as_deref(), Some("1"));
}

#[test]
fn a_reader_sees_each_record_once() {
    let kafka = Kafka::shared();
    kafka.create_topic("reader.a", 2, &[]);
    let mut reader = kafka.reader("reader.");
    assert!(reader.read_on().is_empty());
    let producer: rdkafka::producer::BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &kafka.bootstrap).create().unwrap();
    for round in 0..3 {
        for key in 0..10 {
            let (key, value) = (key.to_string(), round.to_string());
            let record = rdkafka::producer::BaseRecord::to("reader.a").key(&key).payload(&value);
            producer.send(record).unwrap();
        }
        rdkafka::producer::Producer::flush(&producer, seconds(10)).unwrap();
        let records = reader.read_on();
        assert_eq!(records.len(), 10);
        assert!(records.iter().all(|r| r.value.as_deref() == Some(round.to_string().as_bytes())));
    }
    assert_eq!(kafka.read("reader.").len(), 30);
}

#[test]
fn the_registry_gives_back_what_was_registered() {
    let registry = Registry::shared();
    let schema = serde_json::json!({ "type": "record", "name": "A", "fields": [] });
    let id = registry.register("back-value", &schema);
    assert_eq!(registry.schema(id).parse::<serde_json::Value>().unwrap(), schema);
}

/// A server that sends back what it gets.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut to = stream.try_clone().unwrap();
                drop(std::io::copy(&mut &stream, &mut to));
            });
        }
    });
    port
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream
}

fn talk(mut stream: &TcpStream) -> std::io::Result<String> {
    stream.write_all(b"hello")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn the_proxy_does_what_networks_do() {
    let proxy = Proxy::start(echo());
    let stream = connect(&proxy);
    assert_eq!(talk(&stream).unwrap(), "hello");
    proxy.stall(true);
    assert!(talk(&stream).is_err(), "nothing passes a stalled connection");
    proxy.heal();
    let stream = connect(&proxy);
    assert_eq!(talk(&stream).unwrap(), "hello");
    proxy.half_close();
    assert_eq!((&stream).read(&mut [0]).unwrap(), 0, "the end of the server's bytes");
    let stream = connect(&proxy);
    assert_eq!(talk(&stream).unwrap(), "hello");
    proxy.cut();
    let ended = eventually(seconds(5), || talk(&stream).err());
    assert!(ended.is_some(), "a cut connection is closed");
    proxy.refuse(true);
    assert!(talk(&connect(&proxy)).is_err());
    proxy.heal();
    proxy.cut_after(7);
    let mut stream = connect(&proxy);
    stream.write_all(b"hello").unwrap();
    let mut got = Vec::new();
    drop(stream.read_to_end(&mut got));
    assert_eq!(got, b"he", "five bytes there, two back");
}
