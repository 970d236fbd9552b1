use std::time::Duration;

use tailwater::config::{PostgresConfig, SnapshotMode, TableFilter};
use tailwater::disposition::Disposition;
use tailwater::offsets::position::{Lsn, Position};
use tailwater::offsets::{Checkpoint, SnapshotState, SourceIdentity};
use tailwater::sources::{BoxError, Source, Started};

use super::server::{Server, source, with_password};

async fn start(
    config: PostgresConfig,
    checkpoint: Option<&Checkpoint>,
) -> Result<Started, BoxError> {
    source(config, SnapshotMode::Initial).start(checkpoint).await
}

/// Name of the error's variant, and its hint.
async fn refusal(config: PostgresConfig, checkpoint: Option<&Checkpoint>) -> (String, String) {
    match start(config, checkpoint).await {
        Ok(_) => ("started".into(), String::new()),
        Err(error) => {
            let variant = format!("{error:?}").split([' ', '{']).next().unwrap().to_owned();
            (variant, error.hint().unwrap_or_default())
        }
    }
}

fn lsn(checkpoint: &Checkpoint) -> Lsn {
    let Position::Postgres(position) = &checkpoint.position else { panic!("another source") };
    position.lsn
}

fn set_lsn(checkpoint: &mut Checkpoint, lsn: Lsn) {
    let Position::Postgres(position) = &mut checkpoint.position else { panic!("another source") };
    position.lsn = lsn;
}

/// A first start, taken to its checkpoint and given up.
async fn completed(server: &Server) -> Checkpoint {
    let mut checkpoint = start(server.config(), None).await.unwrap().checkpoint;
    assert_eq!(checkpoint.snapshot, SnapshotState::Running);
    checkpoint.snapshot = SnapshotState::Complete;
    checkpoint.counter = 7;
    checkpoint
}

const TABLES: &str =
    "CREATE TABLE a (id int PRIMARY KEY, v text);\nCREATE TABLE b (id int PRIMARY KEY)";

#[tokio::test]
async fn a_server_that_cannot_replicate_is_told_by_setting() {
    let server = Server::start("wal_level = replica", "");
    server.execute(TABLES).await;
    let (variant, hint) = refusal(server.config(), None).await;
    assert_eq!(variant, "WalLevel");
    assert!(hint.contains("ALTER SYSTEM SET wal_level = 'logical';"), "{hint}");
}

#[tokio::test]
async fn a_role_without_rights_is_told_the_grants() {
    let server = Server::start("", "host all cdc 127.0.0.1/32 scram-sha-256");
    server.execute(TABLES).await;
    server
        .execute(
            "SET password_encryption = 'scram-sha-256';\nCREATE ROLE cdc LOGIN PASSWORD 'x';\nCREATE SCHEMA s;\nCREATE TABLE s.t (id int PRIMARY KEY)",
        )
        .await;
    let config = || with_password(server.config(), "cdc", "x");
    let (variant, hint) = refusal(config(), None).await;
    assert_eq!(variant, "LacksReplication");
    assert!(hint.contains("ALTER ROLE \"cdc\" REPLICATION;"), "{hint}");

    server.execute("ALTER ROLE cdc REPLICATION").await;
    let (variant, hint) = refusal(config(), None).await;
    assert_eq!(variant, "PublicationRefused");
    assert!(hint.contains("CREATE PUBLICATION \"tailwater\" FOR TABLE"), "{hint}");

    server.execute("CREATE PUBLICATION tailwater FOR ALL TABLES").await;
    let (variant, hint) = refusal(config(), None).await;
    assert_eq!(variant, "MissingGrants");
    assert!(hint.contains("GRANT USAGE ON SCHEMA \"s\" TO \"cdc\";"), "{hint}");
    assert!(hint.contains("GRANT SELECT ON \"public\".\"a\""), "{hint}");

    server.execute("GRANT USAGE ON SCHEMA s TO cdc;\nGRANT SELECT ON a, b, s.t TO cdc").await;
    server.execute("ALTER TABLE a ENABLE ROW LEVEL SECURITY").await;
    let (variant, hint) = refusal(config(), None).await;
    assert_eq!(variant, "RowSecurity");
    assert!(hint.contains("BYPASSRLS"), "{hint}");
    assert_eq!(server.ask("SELECT count(*) FROM pg_replication_slots").await.unwrap(), "0");

    server.execute("ALTER TABLE a DISABLE ROW LEVEL SECURITY").await;
    assert_eq!(refusal(config(), None).await.0, "started");
}

#[tokio::test]
async fn a_filter_that_takes_nothing_is_loud() {
    let server = Server::start("", "");
    assert_eq!(refusal(server.config(), None).await.0, "NoTables");
    server.execute("CREATE UNLOGGED TABLE u (id int)").await;
    assert_eq!(refusal(server.config(), None).await.0, "NoTables");
    server.execute(TABLES).await;
    let mut config = server.config();
    config.tables = TableFilter::new(vec!["public.typo".into()], vec![]).unwrap();
    assert_eq!(refusal(config, None).await.0, "NoTables");
}

#[tokio::test]
async fn a_publication_that_lacks_something_is_told_what() {
    let server = Server::start("", "");
    server.execute(TABLES).await;
    server.execute("CREATE TABLE nokey (v int)").await;
    let check = async |publication: &str, expected: &str, hint_has: &str| {
        server.execute("DROP PUBLICATION IF EXISTS tailwater").await;
        if !publication.is_empty() {
            server.execute(publication).await;
        }
        let mut config = server.config();
        config.publication.create = publication.is_empty();
        let (variant, hint) = refusal(config, None).await;
        assert_eq!(variant, expected, "{publication}");
        assert!(hint.contains(hint_has), "{hint}");
    };
    check("", "TablesWithoutIdentity", "ALTER TABLE \"public\".\"nokey\" REPLICA IDENTITY FULL;")
        .await;
    check(
        "CREATE PUBLICATION tailwater FOR TABLE a",
        "PublicationTables",
        "ADD TABLE \"public\".\"b\", \"public\".\"nokey\"",
    )
    .await;
    check(
        "CREATE PUBLICATION tailwater FOR ALL TABLES WITH (publish = 'insert')",
        "PublicationOperations",
        "SET (publish = 'insert, update, delete, truncate')",
    )
    .await;
    // Column lists and row filters came with 15.
    if server.version().await >= 150_000 {
        check(
            "CREATE PUBLICATION tailwater FOR TABLE a (id), b, nokey",
            "PublicationColumns",
            "ADD TABLE \"public\".\"a\"",
        )
        .await;
        check(
            "CREATE PUBLICATION tailwater FOR TABLE a WHERE (id > 1), b, nokey",
            "PublicationRowFilter",
            "ADD TABLE",
        )
        .await;
    }
    // What Debezium publishes too: warned about, accepted.
    check("CREATE PUBLICATION tailwater FOR ALL TABLES", "started", "").await;

    // A root alone: the stream names the partition, which is not captured.
    server
        .execute(
            "DROP PUBLICATION tailwater;\nCREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);\n\
             CREATE TABLE p_low PARTITION OF p FOR VALUES FROM (0) TO (9)",
        )
        .await;
    let mut root_only = server.config();
    root_only.slot = "root".into();
    root_only.tables = TableFilter::new(vec!["public.p".into()], vec![]).unwrap();
    let (variant, hint) = refusal(root_only.clone(), None).await;
    assert_eq!(variant, "PartitionsLeftOut");
    assert!(hint.contains("add public.p_low to"), "{hint}");
    let (_, create) = hint.split_once("owner: ").unwrap();
    server.execute(create).await;
    assert_eq!(refusal(root_only, None).await.0, "started");

    server.execute("DROP PUBLICATION tailwater").await;
    let mut config = server.config();
    config.slot = "another".into();
    config.publication.create = false;
    let (variant, hint) = refusal(config, None).await;
    assert_eq!(variant, "PublicationMissing");
    assert!(hint.contains("CREATE PUBLICATION \"tailwater\" FOR TABLE"), "{hint}");
}

#[tokio::test]
async fn a_slot_is_never_made_again_once_something_was_promised() {
    let server = Server::start("", "");
    server.execute(TABLES).await;
    let checkpoint = completed(&server).await;
    let resumed = start(server.config(), Some(&checkpoint)).await.unwrap();
    assert_eq!(resumed.checkpoint, checkpoint);
    drop(resumed);

    let (variant, hint) = refusal(server.config(), None).await;
    assert_eq!(variant, "SlotWithoutCheckpoint");
    assert!(hint.contains("SELECT pg_drop_replication_slot('tailwater');"), "{hint}");

    server.execute("INSERT INTO a VALUES (1, 'x')").await;
    server
        .execute("SELECT pg_replication_slot_advance('tailwater', pg_current_wal_flush_lsn())")
        .await;
    let (variant, hint) = refusal(server.config(), Some(&checkpoint)).await;
    assert_eq!(variant, "SlotAhead");
    assert!(hint.contains("offsets reset"), "{hint}");

    server.execute("SELECT pg_drop_replication_slot('tailwater')").await;
    assert_eq!(refusal(server.config(), Some(&checkpoint)).await.0, "SlotMissing");
    server.execute("SELECT pg_create_logical_replication_slot('tailwater', 'test_decoding')").await;
    assert_eq!(refusal(server.config(), Some(&checkpoint)).await.0, "SlotForeign");
    assert_eq!(refusal(server.config(), None).await.0, "SlotForeign");
}

#[tokio::test]
async fn a_slot_in_use_is_waited_for_and_named() {
    let server = Server::start("", "");
    server.execute(TABLES).await;
    let checkpoint = completed(&server).await;
    let mut other = tailwater::sources::postgres::connection::PgConnection::connect(
        &server.config(),
        tailwater::sources::postgres::connection::Purpose::Replication,
    )
    .await
    .unwrap();
    other
        .start_copy(
            "test",
            "START_REPLICATION SLOT tailwater LOGICAL 0/0 (proto_version '1', publication_names 'tailwater')",
        )
        .await
        .unwrap();
    let Err(error) = start(server.config(), Some(&checkpoint)).await else {
        panic!("a slot in use was used");
    };
    assert_eq!(error.disposition(), Disposition::Reconnect);
    assert!(error.to_string().contains(&other.process_id().to_string()), "{error}");
    assert!(error.hint().unwrap().contains("pg_terminate_backend"));
}

#[tokio::test]
async fn a_slot_whose_log_is_gone_is_lost() {
    let server =
        Server::start("max_slot_wal_keep_size = 1MB\nmin_wal_size = 32MB\nmax_wal_size = 32MB", "");
    server.execute(TABLES).await;
    let checkpoint = completed(&server).await;
    for _ in 0..4 {
        server.execute("INSERT INTO a SELECT g, repeat('x', 100) FROM generate_series(1, 10000) g;\nDELETE FROM a;\nSELECT pg_switch_wal();\nCHECKPOINT").await;
    }
    let (variant, hint) = refusal(server.config(), Some(&checkpoint)).await;
    assert_eq!(variant, "SlotLost");
    assert!(hint.contains("max_slot_wal_keep_size"), "{hint}");
}

#[tokio::test]
async fn another_cluster_database_slot_or_future_is_refused() {
    let server = Server::start("", "");
    server.execute(TABLES).await;
    let checkpoint = completed(&server).await;
    let check = async |change: &dyn Fn(&mut Checkpoint)| {
        let mut changed = checkpoint.clone();
        change(&mut changed);
        refusal(server.config(), Some(&changed)).await.0
    };
    let identity = |checkpoint: &mut Checkpoint,
                    to: &dyn Fn(&mut String, &mut u32, &mut String)| {
        let SourceIdentity::Postgres { system_id, database_oid, slot, .. } =
            &mut checkpoint.identity
        else {
            panic!("PostgreSQL's")
        };
        to(system_id, database_oid, slot);
    };
    assert_eq!(check(&|c| identity(c, &|id, _, _| id.push('1'))).await, "OtherSystem");
    assert_eq!(check(&|c| identity(c, &|_, oid, _| *oid += 1)).await, "OtherDatabase");
    assert_eq!(check(&|c| identity(c, &|_, _, slot| slot.push('1'))).await, "OtherSlot");
    assert_eq!(check(&|c| set_lsn(c, Lsn(u64::MAX / 2))).await, "BeyondLog");
    assert_eq!(
        check(&|c| {
            let Position::Postgres(position) = &mut c.position else { panic!("another source") };
            position.timeline = 2;
        })
        .await,
        "Diverged"
    );
    // Below what was confirmed: the server would begin later than asked, without a word.
    assert_eq!(check(&|c| set_lsn(c, Lsn(1))).await, "SlotAhead");
}

#[tokio::test]
async fn an_interrupted_snapshot_begins_again_behind_the_changes_that_its_slot_has() {
    let server = Server::start("", "");
    server.execute(TABLES).await;
    let slots = "SELECT string_agg(slot_name || ' ' || confirmed_flush_lsn, ',') \
                 FROM pg_replication_slots WHERE NOT temporary";
    let first = start(server.config(), None).await.unwrap().checkpoint;
    let made = server.ask(slots).await;
    server.execute("INSERT INTO a VALUES (1, 'x')").await;
    let second = start(server.config(), Some(&first)).await.unwrap().checkpoint;
    assert_eq!((second.snapshot, lsn(&second)), (SnapshotState::Running, lsn(&first)));
    assert_eq!(server.ask(slots).await, made, "the slot was kept where it was");
}

#[tokio::test]
async fn a_promotion_is_followed_up_to_the_point_where_the_timelines_part() {
    let server = Server::start("", "");
    server.execute(TABLES).await;
    let before = completed(&server).await;
    server.promote();
    let resumed = start(server.config(), Some(&before)).await.unwrap();
    let Position::Postgres(position) = &resumed.checkpoint.position else {
        panic!("another source")
    };
    assert_eq!((position.timeline, position.lsn), (2, lsn(&before)));
    drop(resumed);

    server.execute("INSERT INTO a VALUES (1, 'x')").await;
    let end = server.ask("SELECT pg_current_wal_flush_lsn()").await.unwrap();
    let mut beyond = before.clone();
    set_lsn(&mut beyond, end.parse().unwrap());
    let (variant, hint) = refusal(server.config(), Some(&beyond)).await;
    assert_eq!(variant, "Diverged");
    assert!(hint.contains("point of divergence"), "{hint}");
}

#[tokio::test]
async fn a_start_that_is_given_up_while_it_waits_leaves_no_slot_behind() {
    let server = Server::start("", "");
    server.execute(TABLES).await;
    let mut open = server.sql().await;
    open.query("test", "BEGIN").await.unwrap();
    open.query("test", "SELECT txid_current()").await.unwrap();
    // Long enough for the log line that names the open transaction.
    let given_up = tokio::time::timeout(Duration::from_secs(7), start(server.config(), None)).await;
    assert!(given_up.is_err(), "the slot did not wait");
    let slots = "SELECT count(*) FROM pg_replication_slots";
    for _ in 0..50 {
        if server.ask(slots).await.as_deref() == Some("0") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    open.query("test", "COMMIT").await.unwrap();
    assert_eq!(server.ask(slots).await.as_deref(), Some("0"));
    assert_eq!(refusal(server.config(), None).await.0, "started");
}
