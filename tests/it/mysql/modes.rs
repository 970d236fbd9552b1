//! Handling modes that are the source's own, on rows of the snapshot and of the stream; the others
//! are in the golden files.

use serde_json::{Value, json};

use crate::support::mysql::{Kind, Server};
use crate::support::tailwater::{Ended, Setup, exit};

fn setup(server: &Server, database: &str, values: Value) -> Setup {
    let mut setup = Setup::mysql(server, database);
    setup.set(&format!("source.{}.values", server.kind.name()), values);
    setup
}

/// One column of every new row.
fn column(ended: &Ended, name: &str) -> Vec<Value> {
    ended.lines().iter().map(|line| line["value"]["after"][name].clone()).collect()
}

#[test]
fn booleans_and_unsigned_numbers_are_what_was_asked_for() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let database = server.database("value_modes");
        server.run(&format!(
            "create table {database}.t (id int primary key, b boolean not null default true, \
            n tinyint, t1 tinyint(1), u bigint unsigned)"
        ));
        let rows = "values (1, 0, 5, null, 18446744073709551615), (2, -1, 1, 7, 0)";
        server.run(&format!("insert into {database}.t {rows}"));
        let mut asked = setup(
            server,
            &database,
            json!({ "tinyint1": "boolean", "bigint_unsigned": "precise" }),
        );
        asked.set("format.json.schemas", true);
        let check = |ended: &Ended| {
            let payload = |name: &str| -> Vec<Value> {
                let lines = ended.lines();
                lines.iter().map(|l| l["value"]["payload"]["after"][name].clone()).collect()
            };
            assert_eq!(payload("b"), [json!(false), json!(true)], "{kind:?}");
            assert_eq!(payload("t1"), [json!(null), json!(true)]);
            assert_eq!(payload("n"), [json!(5), json!(1)]);
            assert_eq!(payload("u"), [json!("AP//////////"), json!("AA==")]);
            let schema = &ended.lines()[0]["value"]["schema"]["fields"][1]["fields"][1];
            let expected =
                json!({ "type": "boolean", "optional": false, "default": true, "field": "b" });
            assert_eq!(*schema, expected);
        };
        check(&asked.catch_up());
        let more = rows.replace("(1,", "(3,").replace("(2,", "(4,");
        server.run(&format!("insert into {database}.t {more}"));
        check(&asked.catch_up());
    }
}

/// Debezium makes a null of it, and a warning in a log.
#[test]
fn a_time_that_the_mode_has_no_form_for_stops_or_is_put_aside() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let database = server.database("long_times");
        server.run(&format!("create table {database}.t (id int primary key, t time(3))"));
        server.run(&format!("insert into {database}.t values (1, '23:59:59.999')"));
        let mut setup = setup(server, &database, json!({ "time": "isostring" }));
        assert_eq!(column(&setup.catch_up(), "t"), [json!("23:59:59.999Z")]);
        server.run(&format!("insert into {database}.t values (2, '-00:00:01'), (3, '24:00:00')"));
        setup.fails(exit::SOURCE, &["convert column t", "adaptive_time_microseconds"]);
        let aside = setup.folder.join("aside");
        setup.set("dead_letter.conversion", "dead_letter");
        setup.set("dead_letter.path", aside.display().to_string());
        assert_eq!(column(&setup.catch_up(), "t"), [json!("00:00:00Z")], "{kind:?}");
        let letters = std::fs::read_to_string(aside).unwrap();
        assert_eq!(letters.lines().count(), 1);
        assert!(letters.contains("adaptive_time_microseconds"), "{letters}");
    }
}
