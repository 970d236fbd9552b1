//! Statements carry passwords: those about users always, those about tables in the CONNECTION of a
//! FEDERATED one. The log never repeats a statement, whatever its level; the topic of schema changes
//! has the statements about captured tables, as Debezium's has, and no others.

use crate::support::mysql::{Kind, Server};
use crate::support::tailwater::Setup;

const SECRET: &str = "canary-secret";

#[test]
fn statements_with_passwords_are_in_no_log_and_those_about_users_in_no_topic() {
    for kind in Kind::BOTH {
        let option = match kind {
            Kind::Mysql => "--binlog-row-metadata=MINIMAL",
            Kind::Mariadb => "--binlog-row-metadata=NO_LOG",
        };
        let server = Server::start(kind, &[option]);
        let database = server.database("canaries");
        let session = server.session();
        let connection = format!("connection='mysql://canary-user:{SECRET}@h:1/d/t'");
        session.script(&format!(
            "use {database}; create table t (id int primary key, odd text(100)) {connection}"
        ));
        // Read otherwise than the catalogue: the statement that the server shows has more in it.
        if kind == Kind::Mariadb {
            session.run(&format!(
                "create table versioned (id int primary key) {connection} with system versioning"
            ));
        }
        let mut setup = Setup::mysql(&server, &database);
        setup.set(&format!("source.{}.include_schema_changes", kind.name()), true);
        setup.env("RUST_LOG", "trace");
        let first = setup.catch_up();
        if kind == Kind::Mariadb {
            assert!(first.stderr.contains("the statement is read otherwise"), "{}", first.stderr);
        }
        session.script(&format!(
            "create user canary_a identified by '{SECRET}'; alter user canary_a identified by '{SECRET}2';
             set password for canary_a = {};
             create server canary_s foreign data wrapper mysql
                 options (user 'canary-user', password '{SECRET}', host 'h', database 'd');
             create table u (id int primary key) {connection};
             alter table u add odd text(100), {connection};
             create table odd (id int primary key, a text(100)) {connection};
             alter table t comment 'canary-comment'; insert into t values (1, 'a');
             insert into odd values (1, 'a'); drop server canary_s; drop user canary_a",
            match kind {
                Kind::Mysql => format!("'{SECRET}3'"),
                Kind::Mariadb => format!("password('{SECRET}3')"),
            }
        ));
        let second = setup.catch_up();
        for ended in [&first, &second] {
            let sung = ended.stderr.lines().find(|line| line.contains("canary-"));
            assert_eq!(sung, None, "{kind:?}");
        }
        let told: Vec<String> = second.lines().iter().map(ToString::to_string).collect();
        let told = told.join("\n").to_lowercase();
        for about_users in ["canary_a", "create server", "identified", "set password"] {
            assert!(!told.contains(about_users), "{kind:?}: {about_users}");
        }
        // As Debezium has it, and the docs say so.
        assert!(told.contains("create table u") && told.contains(SECRET), "{kind:?}: {told}");
    }
}
