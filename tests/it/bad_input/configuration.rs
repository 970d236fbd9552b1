//! Found before anything is touched: no slot, no publication, no offsets.

use crate::support::postgres::Postgres;
use crate::support::tailwater::{Setup, exit};

const GOOD: &str = "pipeline: shop
source:
  postgres:
    host: 127.0.0.1
    port: 5432
    database: shop
    user: tailwater
    password: ${env:TAILWATER_TEST_PASSWORD}
    tls: { mode: disable }
    tables: { include: [\"inventory.*\"] }
format: { json: { schemas: false } }
sink: { stdout: {} }
offsets: { file: { path: /nonexistent/never-made } }
";

/// Runs the good file with one line replaced; `run` and `check` must say the same.
fn check(line: &str, instead: &str, said: &[&str]) {
    assert!(GOOD.contains(line), "the good file has the line");
    let database = Postgres::shared().database("never_used");
    let mut setup = Setup::stdout(&database);
    setup.env("TAILWATER_TEST_PASSWORD", "canary-of-the-password");
    for command in ["run", "check"] {
        let path = setup.folder.join("written.yaml");
        std::fs::write(&path, GOOD.replace(line, instead)).unwrap();
        let ended = setup.command_with(command, &path).wait(crate::support::seconds(20));
        let ended = ended.expect(exit::CONFIGURATION, said);
        assert!(!(ended.stderr + &ended.stdout).contains("canary"), "a secret was printed");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    check("    tables:", "    tabels:", &["written.yaml:10:5", "tabels", "`tables`"]);
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_its_place() {
    check("port: 5432", "port: many", &["written.yaml:5:", "port"]);
}

#[test]
fn a_missing_file_of_a_secret_is_named() {
    check(
        "${env:TAILWATER_TEST_PASSWORD}",
        "${file:/nonexistent/password}",
        &["written.yaml:8:", "/nonexistent/password"],
    );
}

#[test]
fn a_missing_variable_of_a_secret_is_named() {
    check(
        "${env:TAILWATER_TEST_PASSWORD}",
        "${env:TAILWATER_TEST_NO_SUCH}",
        &["TAILWATER_TEST_NO_SUCH"],
    );
}

#[test]
fn properties_that_would_break_a_guarantee_are_refused_with_the_reason() {
    check(
        "sink: { stdout: {} }",
        "sink: { kafka: { bootstrap_servers: [\"127.0.0.1:9\"], properties: { acks: \"1\" } } }",
        &["written.yaml:12:", "acks"],
    );
}

#[test]
fn avro_on_standard_output_is_refused() {
    check(
        "format: { json: { schemas: false } }",
        "format: { avro: { registry: { url: \"http://127.0.0.1:9\" } } }",
        &["stdout"],
    );
}
