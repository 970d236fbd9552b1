//! The database is not as it has to be.

use super::{database, mended};
use crate::support::kafka::Kafka;
use crate::support::postgres::{Database, Postgres, Session, binaries};
use crate::support::process::{Process, Spec};
use crate::support::tailwater::{Setup, exit};
use crate::support::{eventually, seconds};

fn setup(name: &str) -> (Database, Setup) {
    let database = database(Postgres::shared(), name);
    let setup = Setup::kafka(&database, Kafka::shared());
    (database, setup)
}

/// A role of its own for one test.
fn role(database: &Database, setup: &mut Setup, attributes: &str) -> String {
    let role = format!("role_{}", database.name);
    database.run(&format!(
        "create role {role} login {attributes}; grant create on database {} to {role}",
        database.name
    ));
    setup.set("source.postgres.user", role.clone());
    role
}

#[test]
fn a_wrong_password_is_said_without_the_password() {
    let (database, mut setup) = setup("password");
    database.run("create role locked login superuser replication password 'right'");
    setup.set("source.postgres.user", "locked");
    setup.set("source.postgres.password", "canary-wrong");
    let ended = setup.fails(exit::SOURCE, &["locked", "password authentication failed"]);
    assert!(!ended.stderr.contains("canary"), "the password was printed: {}", ended.stderr);
    setup.set("source.postgres.password", "right");
    mended(&setup, Kafka::shared(), 3);
}

#[test]
fn a_role_without_replication_gets_the_sql() {
    let (database, mut setup) = setup("replication");
    let role = role(&database, &mut setup, "");
    database.run(&format!("alter table t owner to {role}"));
    setup.fails(exit::SOURCE, &[&role, "ALTER ROLE", "REPLICATION"]);
    database.run(&format!("alter role {role} replication"));
    mended(&setup, Kafka::shared(), 3);
}

#[test]
fn wal_level_replica_gets_the_sql() {
    let postgres = Postgres::start(&[("wal_level", "replica")]);
    let setup = Setup::kafka(&database(&postgres, "level"), Kafka::shared());
    setup.fails(exit::SOURCE, &["wal_level", "ALTER SYSTEM SET wal_level", "restart"]);
    Session::open(postgres.port, "postgres", "postgres")
        .run("alter system set wal_level = logical");
    postgres.stop("INT");
    postgres.resume();
    mended(&setup, Kafka::shared(), 3);
}

#[test]
fn a_missing_select_gets_the_grant() {
    let (database, mut setup) = setup("grant");
    let role = role(&database, &mut setup, "replication");
    database.run(&format!("create publication {} for table t", database.name));
    setup.fails(exit::SOURCE, &[&role, "public.t", "GRANT SELECT"]);
    database.run(&format!("grant select on t to {role}"));
    mended(&setup, Kafka::shared(), 3);
}

#[test]
fn a_table_without_key_is_not_broken_by_a_publication_of_ours() {
    let (database, setup) = setup("keyless");
    database.run("create table keyless (a int)");
    setup.fails(exit::SOURCE, &["public.keyless", "REPLICA IDENTITY FULL"]);
    database.run("insert into keyless values (1); update keyless set a = 2");
    database.run("alter table keyless replica identity full");
    mended(&setup, Kafka::shared(), 3);
}

#[test]
fn types_without_a_mapping_are_refused_at_the_start_where_told_so() {
    let (database, mut setup) = setup("unmapped");
    database.run(
        "create type pair as (a int, b int); create table odd (id int primary key, p pair, q tsquery)",
    );
    setup.set("source.postgres.unmapped_types", "fail");
    setup.fails(exit::SOURCE, &["public.odd.p (pair)", "public.odd.q (tsquery)", "`text`"]);
    let session = database.session();
    let name = &database.name;
    for made in ["pg_replication_slots where slot_name", "pg_publication where pubname"] {
        let n = session.value(&format!("select count(*) from {made} = '{name}'"));
        assert_eq!(n.as_deref(), Some("0"), "nothing was made: {made}");
    }
    setup.set("source.postgres.unmapped_types", "text");
    mended(&setup, Kafka::shared(), 3);
}

#[test]
fn a_publication_without_a_table_gets_the_sql() {
    let (database, setup) = setup("lacking");
    let name = &database.name;
    database.run(&format!(
        "create table other (id int primary key); create publication {name} for table other"
    ));
    setup.fails(exit::SOURCE, &[name, "public.t", "ALTER PUBLICATION"]);
    database.run(&format!("alter publication {name} add table t"));
    mended(&setup, Kafka::shared(), 3);
}

#[test]
fn a_publication_without_a_column_is_named_with_the_column() {
    let (database, setup) = setup("narrow");
    let name = &database.name;
    database.run(&format!("create publication {name} for table t (id)"));
    setup.fails(exit::SOURCE, &[name, "\"public\".\"t\": v", "ALTER PUBLICATION"]);
    database.run(&format!("alter publication {name} set table t"));
    mended(&setup, Kafka::shared(), 3);
}

#[test]
fn a_slot_of_another_plugin_is_left_alone() {
    let (database, setup) = setup("plugin");
    let name = &database.name;
    let session = database.session();
    session.run(&format!("select pg_create_logical_replication_slot('{name}', 'test_decoding')"));
    setup.fails(exit::SOURCE, &[name]);
    let plugin = session
        .value(&format!("select plugin from pg_replication_slots where slot_name = '{name}'"));
    assert_eq!(plugin.as_deref(), Some("test_decoding"));
    session.run(&format!("select pg_drop_replication_slot('{name}')"));
    mended(&setup, Kafka::shared(), 3);
}

#[test]
fn a_slot_that_somebody_reads_is_waited_for_and_then_named() {
    let (database, mut setup) = setup("in_use");
    setup.set("delivery.retry_budget", "3s");
    setup.catch_up();
    let log = setup.folder.join("pg_recvlogical");
    let name = &database.name;
    let args = format!(
        "-h 127.0.0.1 -p {} -U postgres -d {name} -S {name} --start --no-loop \
         -o proto_version=1 -o publication_names={name} -f /dev/null",
        database.port
    );
    let reader = Process::start(&Spec {
        program: &binaries().join("pg_recvlogical"),
        args: args.split_whitespace().map(str::to_owned).collect(),
        env: vec![],
        unprivileged: false,
        death_signal: "KILL",
        stdout: log.clone(),
        stderr: log,
    });
    let active = format!("select active_pid from pg_replication_slots where slot_name = '{name}'");
    let pid =
        eventually(seconds(20), || database.session().value(&active)).expect("it reads the slot");
    setup.fails(exit::SOURCE, &[name, &pid]);
    drop(reader);
    database.run("insert into t values (4, 'd')");
    let free =
        eventually(seconds(20), || database.session().value(&active).is_none().then_some(()));
    assert!(free.is_some(), "the slot is free again");
    mended(&setup, Kafka::shared(), 4);
}

#[test]
fn a_slot_ahead_of_the_checkpoint_is_a_loud_stop_and_nothing_is_sent() {
    let (database, setup) = setup("ahead");
    setup.catch_up();
    database.run("insert into t values (4, 'd')");
    let name = &database.name;
    database
        .run(&format!("select pg_replication_slot_advance('{name}', pg_current_wal_flush_lsn())"));
    let before = Kafka::shared().read(&setup.prefix).len();
    setup.fails(exit::SOURCE, &["ahead of the checkpoint", name]);
    assert_eq!(Kafka::shared().read(&setup.prefix).len(), before, "nothing was sent");
}

#[test]
fn a_slot_that_is_gone_is_not_made_again() {
    let (database, setup) = setup("gone");
    setup.catch_up();
    let name = &database.name;
    database.run(&format!("select pg_drop_replication_slot('{name}')"));
    setup.fails(exit::SOURCE, &[name, "gone"]);
    let found = database.session().rows("select slot_name from pg_replication_slots");
    assert!(!found.iter().any(|row| row[0].as_deref() == Some(name)), "the slot was made again");
}

#[test]
fn a_slot_whose_log_was_thrown_away_is_a_loud_stop() {
    let postgres = Postgres::start(&[
        ("max_slot_wal_keep_size", "1MB"),
        ("min_wal_size", "32MB"),
        ("max_wal_size", "32MB"),
    ]);
    let database = database(&postgres, "lost");
    let setup = Setup::kafka(&database, Kafka::shared());
    setup.catch_up();
    let session = database.session();
    for _ in 0..4 {
        session.run(
            "select pg_switch_wal(); create table if not exists filler (x text);
            insert into filler select repeat('x', 1000) from generate_series(1, 20000); checkpoint",
        );
    }
    let status = format!(
        "select wal_status from pg_replication_slots where slot_name = '{}'",
        database.name
    );
    assert_eq!(session.value(&status).as_deref(), Some("lost"));
    setup.fails(exit::SOURCE, &[&database.name, "threw away"]);
}

#[test]
fn a_slot_without_a_checkpoint_is_somebody_elses_until_told_otherwise() {
    let (database, setup) = setup("orphan");
    let name = &database.name;
    database.run(&format!("create publication {name} for table t"));
    database.run(&format!("select pg_create_logical_replication_slot('{name}', 'pgoutput')"));
    setup.fails(exit::SOURCE, &[name, "pg_drop_replication_slot"]);
}
