use std::time::Duration;

use tailwater::config::SnapshotMode;
use tailwater::offsets::SnapshotState;
use tailwater::sources::postgres::catalog::{Catalog, ReplicaIdentity, TypeKind};
use tailwater::sources::postgres::catalog_query::{Sizes, list, relations};
use tailwater::sources::postgres::catalog_reader::CatalogReader;
use tailwater::sources::postgres::connection::CopyRead;
use tailwater::sources::postgres::error::SourceError;
use tailwater::sources::{BoxError, RawBatch, RawSender, Session, Source, Stage};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::server::{Server, source};

#[tokio::test]
async fn sql_gives_rows_and_the_servers_error() {
    let server = Server::start("", "");
    let mut connection = server.sql().await;
    let rows = connection
        .query(
            "test",
            "SELECT 1, NULL, 'it''s', '2020-01-02'::timestamptz, 0.1::float8, '\\x00ff'::bytea",
        )
        .await
        .unwrap();
    let row: Vec<Option<&str>> = rows[0].iter().map(Option::as_deref).collect();
    let expected = ["1", "", "it's", "2020-01-02 00:00:00+00", "0.1", "\\x00ff"];
    assert_eq!(row[1], None);
    for (at, value) in expected.iter().enumerate().filter(|(at, _)| *at != 1) {
        assert_eq!(row[at], Some(*value));
    }
    let Err(SourceError::Statement { source, .. }) = connection.query("test", "SELECT nope").await
    else {
        panic!("no error");
    };
    assert_eq!(source.code, "42703");
    // And the connection lives on.
    assert_eq!(connection.query("test", "SELECT 2").await.unwrap()[0][0].as_deref(), Some("2"));
    // Whatever would end an idle session is off, in every version that has it.
    let timeouts = "SELECT name FROM pg_settings WHERE setting <> '0' AND name IN \
                    ('statement_timeout', 'idle_session_timeout', 'transaction_timeout', \
                     'idle_in_transaction_session_timeout')";
    assert!(connection.query("test", timeouts).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_copy_comes_whole_in_runs_of_messages() {
    let server = Server::start("", "");
    let mut connection = server.sql().await;
    let sql = "COPY (SELECT g, repeat('x', g % 3000) FROM generate_series(1, 5000) g) TO STDOUT (FORMAT binary)";
    connection.start_copy("test", sql).await.unwrap();
    let (mut bytes, mut reads) = (Vec::new(), 0);
    while let CopyRead::Frames(frames) = connection.read_copy("test").await.unwrap() {
        reads += 1;
        for range in &frames.payloads {
            bytes.extend_from_slice(&frames.data[range.start as usize..range.end as usize]);
        }
    }
    assert_eq!(connection.end_copy("test").await.unwrap(), "COPY 5000");
    assert!(bytes.starts_with(b"PGCOPY\n\xff\r\n\0") && bytes.ends_with(&[0xff, 0xff]));
    // 19 bytes of header, 2 + 4 + 4 + 4 a row, the text, 2 bytes of trailer.
    let text: usize = (1..=5000).map(|g| g % 3000).sum();
    assert_eq!(bytes.len(), 19 + 5000 * 14 + text + 2);
    assert!(reads < 1000, "{reads} reads");
    assert_eq!(connection.query("test", "SELECT 1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_by_its_length_alone() {
    let server = Server::start("", "");
    let mut config = server.config();
    config.message_bytes_max = 100_000;
    use tailwater::sources::postgres::connection::{PgConnection, Purpose};
    let mut connection = PgConnection::connect(&config, Purpose::Sql).await.unwrap();
    let error = connection.query("test", "SELECT repeat('x', 1000000)").await.unwrap_err();
    assert!(matches!(error, SourceError::MessageTooLarge { limit: 100_000, .. }), "{error:?}");
}

#[tokio::test]
async fn the_catalogue_tells_keys_types_and_defaults() {
    let server = Server::start("", "");
    server
        .execute(
            "CREATE TYPE mood AS ENUM ('sad', 'happy');\nALTER TYPE mood ADD VALUE 'ok' BEFORE 'happy';\n\
             CREATE DOMAIN price AS numeric(8,2);\nCREATE DOMAIN price2 AS price;\n\
             CREATE DOMAIN sure AS int NOT NULL;\nCREATE DOMAIN surer AS sure;\n\
             CREATE TABLE t (x int, b int, a int NOT NULL DEFAULT 7, m mood DEFAULT 'ok', p price2[], \
               g int GENERATED ALWAYS AS (a * 2) STORED, c char(3), s sure, r surer, PRIMARY KEY (b, a));\n\
             ALTER TABLE t DROP COLUMN x;\n\
             CREATE TABLE u (a int NOT NULL, b int NOT NULL);\nCREATE UNIQUE INDEX u_z ON u (a);\n\
             CREATE UNIQUE INDEX u_m ON u (b, a);\nCREATE UNIQUE INDEX u_a ON u (a) WHERE b > 1;\n\
             CREATE UNIQUE INDEX u_b ON u ((a + b));\nALTER TABLE u REPLICA IDENTITY USING INDEX u_z",
        )
        .await;
    let mut connection = server.sql().await;
    let oids: Vec<u32> = list(&mut connection).await.unwrap().iter().map(|t| t.oid).collect();
    let facts = relations(&mut connection, &oids, Sizes::Measured).await.unwrap();
    let [t, u] = facts.as_slice() else { panic!("{facts:?}") };
    assert_eq!(t.primary_key, ["b", "a"]);
    let names: Vec<&str> = t.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["b", "a", "m", "p", "g", "c", "s", "r"]);
    assert_eq!(t.columns[1].default_expression.as_deref(), Some("7"));
    assert!(t.columns[1].not_null && t.columns[4].generated && !t.columns[2].not_null);
    assert!(t.columns[6].not_null && !t.columns[7].not_null);
    assert_eq!(t.columns[2].default_expression.as_deref(), Some("'ok'::mood"));
    let labels = ["sad", "ok", "happy"].map(str::to_owned).to_vec();
    assert_eq!(t.columns[2].type_facts.kind, TypeKind::Enum { labels });
    let TypeKind::Array { element } = &t.columns[3].type_facts.kind else { panic!() };
    let TypeKind::Domain { base, type_modifier } = &element.kind else { panic!() };
    assert_eq!((base.name.as_str(), *type_modifier), ("numeric", (8 << 16) + 2 + 4));
    assert_eq!((t.columns[5].type_facts.name.as_str(), t.columns[5].type_modifier), ("bpchar", 7));
    assert_eq!(u.replica_identity, ReplicaIdentity::Index);
    assert_eq!((u.unique_key.join(","), u.identity_index.join(",")), ("b,a".into(), "a".into()));
}

#[tokio::test]
async fn the_decoders_catalogue_comes_back_after_its_connection_was_lost() {
    let server = Server::start("", "");
    server.execute("CREATE TABLE t (id int PRIMARY KEY)").await;
    let oid: u32 = server.ask("SELECT 't'::regclass::oid").await.unwrap().parse().unwrap();
    let reader = CatalogReader::new(tokio::runtime::Handle::current(), server.config());
    let ask = |mut reader: CatalogReader| {
        tokio::task::spawn_blocking(move || {
            let facts = reader.relation(oid).unwrap().unwrap();
            assert!(reader.relation(1).unwrap().is_none());
            let name = reader.column_type(23).unwrap().unwrap().name;
            (reader, facts.table, name)
        })
    };
    let (reader, table, name) = ask(reader).await.unwrap();
    assert_eq!((table.as_str(), name.as_str()), ("t", "int4"));
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE application_name = 'tailwater' AND pid <> pg_backend_pid()";
    server.execute(others).await;
    assert_eq!(ask(reader).await.unwrap().1, "t");
}

/// A pipeline of one queue.
struct Running {
    batches: mpsc::Receiver<RawBatch>,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), BoxError>>,
    _acks: watch::Sender<Option<tailwater::offsets::SourceAck>>,
}

fn run(session: Box<dyn Session>, capacity: usize, budget_bytes: u32) -> Running {
    let (sender, batches) = mpsc::channel(capacity);
    let (acks, receiver) = watch::channel(None);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(session.run(RawSender::new(sender, budget_bytes), receiver, stop.clone()));
    Running { batches, stop, tasks, _acks: acks }
}

impl Running {
    async fn next(&mut self) -> RawBatch {
        let next = tokio::time::timeout(Duration::from_secs(20), self.batches.recv()).await;
        match next.expect("a batch in time") {
            Some(batch) => batch,
            None => panic!("{:?}", self.tasks.join_next().await),
        }
    }

    async fn end(mut self) -> Result<(), BoxError> {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap()
    }
}

fn payloads(batch: &RawBatch) -> impl Iterator<Item = &[u8]> {
    batch.messages.iter().map(|r| &batch.data[r.start as usize..r.end as usize])
}

/// Kinds of the pgoutput messages within, keepalives as `k`.
fn kinds(batch: &RawBatch) -> String {
    payloads(batch).map(|p| char::from(if p[0] == b'w' { p[25] } else { p[0] })).collect()
}

#[tokio::test]
async fn a_first_run_reads_every_row_once_and_then_streams_what_came_since() {
    let server = Server::start("", "");
    server
        .execute(
            "CREATE TABLE small (id int PRIMARY KEY);\nINSERT INTO small SELECT generate_series(1, 10);\n\
             CREATE TABLE large (id int PRIMARY KEY, v text);\n\
             INSERT INTO large SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g;\n\
             CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);\n\
             CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);\n\
             INSERT INTO part VALUES (1), (2);\nCREATE TABLE empty (id int PRIMARY KEY)",
        )
        .await;
    let started = source(server.config(), SnapshotMode::Initial).start(None).await.unwrap();
    assert_eq!(started.checkpoint.snapshot, SnapshotState::Running);
    // After the consistent point: in the stream and not in the snapshot.
    server.execute("INSERT INTO small VALUES (11)").await;
    let mut running = run(started.session, 4, 1 << 20);
    let (mut rows, mut ended) = ([0usize; 5], Vec::new());
    loop {
        let batch = running.next().await;
        match batch.stage {
            Stage::Snapshot { table } => rows[table as usize] += batch.messages.len(),
            Stage::SnapshotTableEnd { table } => ended.push(table),
            Stage::SnapshotEnd => break,
            Stage::Stream => panic!("the stream began before the snapshot's end"),
        }
    }
    ended.sort_unstable();
    // By name: empty, large, part, part_1, small. Header and trailer are messages of their own.
    assert_eq!(ended, [0, 1, 2, 3, 4]);
    let extra = rows[0];
    assert_eq!(rows.map(|n| n - extra), [0, 20000, 2, 2, 10]);
    let mut seen = String::new();
    while !seen.contains('C') {
        let batch = running.next().await;
        assert_eq!(batch.stage, Stage::Stream);
        seen += &kinds(&batch);
    }
    assert_eq!(seen.replace('k', ""), "BRIC");
    running.end().await.unwrap();
    let active = "SELECT active FROM pg_replication_slots WHERE slot_name = 'tailwater'";
    assert_eq!(server.ask(active).await.as_deref(), Some("f"));
}

#[tokio::test]
async fn initial_only_ends_and_leaves_no_slot() {
    let server = Server::start("", "");
    server.execute("CREATE TABLE t (id int PRIMARY KEY);\nINSERT INTO t VALUES (1)").await;
    let mut source = source(server.config(), SnapshotMode::InitialOnly);
    let started = source.start(None).await.unwrap();
    let mut running = run(started.session, 4, 1 << 20);
    while running.next().await.stage != Stage::SnapshotEnd {}
    running.tasks.join_next().await.unwrap().unwrap().unwrap();
    // A temporary slot goes with its connection, whose end the server notices on its own.
    let slots = async || server.ask("SELECT count(*) FROM pg_replication_slots").await.unwrap();
    let begun = std::time::Instant::now();
    while slots().await != "0" {
        assert!(begun.elapsed() < Duration::from_secs(10), "a slot is left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut checkpoint = started.checkpoint;
    checkpoint.snapshot = SnapshotState::Complete;
    let again = source.start(Some(&checkpoint)).await.unwrap();
    let mut running = run(again.session, 4, 1 << 20);
    assert!(running.batches.recv().await.is_none());
}

#[tokio::test]
async fn the_server_hears_from_us_however_long_a_batch_waits() {
    let server = Server::start("wal_sender_timeout = 2s", "");
    server.execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    let started = source(server.config(), SnapshotMode::NoData).start(None).await.unwrap();
    assert_eq!(started.checkpoint.snapshot, SnapshotState::Skipped);
    // Room for one batch, and nobody takes it.
    let mut running = run(started.session, 1, 10_000);
    server
        .execute("INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 20000) g")
        .await;
    let pid = "SELECT string_agg(pid::text || state, ',') FROM pg_stat_replication";
    let before = server.ask(pid).await;
    assert!(before.is_some(), "nobody streams");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(server.ask(pid).await, before, "the server hung up");
    // Nothing was acknowledged, so nothing was confirmed.
    let moved = "SELECT flush_lsn FROM pg_stat_replication";
    assert_eq!(server.ask(moved).await, None);
    let mut rows = 0;
    while rows < 20000 {
        rows += kinds(&running.next().await).matches('I').count();
    }
    assert_eq!(rows, 20000);
    running.end().await.unwrap();
}

#[tokio::test]
async fn an_idle_server_says_how_far_it_is_even_without_keepalives_of_its_own() {
    let server = Server::start("wal_sender_timeout = 0", "");
    server
        .execute("CREATE TABLE t (id int PRIMARY KEY);\nCREATE UNLOGGED TABLE neighbour (id int)")
        .await;
    let mut config = server.config();
    config.tables = tailwater::config::TableFilter::new(vec!["public.t".into()], vec![]).unwrap();
    let started = source(config, SnapshotMode::NoData).start(None).await.unwrap();
    let mut running = run(started.session, 16, 1 << 20);
    server
        .execute("CREATE TABLE other (id int);\nINSERT INTO other SELECT generate_series(1, 1000)")
        .await;
    let end: u64 = {
        let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')";
        server.ask(sql).await.unwrap().parse().unwrap()
    };
    loop {
        let batch = running.next().await;
        let told = payloads(&batch)
            .filter(|p| p[0] == b'k')
            .map(|p| u64::from_be_bytes(p[1..9].try_into().unwrap()))
            .max();
        if told.is_some_and(|lsn| lsn >= end) {
            break;
        }
    }
    running.end().await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_ends_the_run_so_that_it_starts_again() {
    use tailwater::disposition::Disposition;
    let server = Server::start("", "");
    server.execute("CREATE TABLE t (id int PRIMARY KEY)").await;
    let started = source(server.config(), SnapshotMode::NoData).start(None).await.unwrap();
    let mut running = run(started.session, 16, 1 << 20);
    running.next().await;
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication").await;
    let error = running.tasks.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.disposition(), Disposition::Reconnect, "{error}");
}

#[tokio::test]
async fn a_table_changed_under_the_snapshot_begins_it_again_and_is_not_taken_for_an_empty_one() {
    use tailwater::disposition::Disposition;
    let server = Server::start("", "");
    server.execute("CREATE TABLE t (id int PRIMARY KEY);\nINSERT INTO t VALUES (1)").await;
    let mut source = source(server.config(), SnapshotMode::Initial);
    let mut checkpoint = None;
    for change in [
        "ALTER TABLE t ALTER id TYPE bigint",
        "TRUNCATE t",
        "ALTER TABLE t RENAME id TO renamed",
        "DROP TABLE t;\nCREATE TABLE u (id int PRIMARY KEY);\nALTER PUBLICATION tailwater ADD TABLE u",
    ] {
        let started = source.start(checkpoint.as_ref()).await.unwrap();
        server.execute(change).await;
        let mut running = run(started.session, 16, 1 << 20);
        let error = running.tasks.join_next().await.unwrap().unwrap().unwrap_err();
        assert!(error.to_string().contains("since the snapshot began"), "{change}: {error}");
        assert_eq!(error.disposition(), Disposition::Reconnect);
        checkpoint = Some(started.checkpoint);
    }
}

#[tokio::test]
async fn a_lost_reader_fails_the_whole_snapshot() {
    let server = Server::start("", "");
    server.execute("CREATE TABLE t (id int PRIMARY KEY, v text);\nINSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 50000) g").await;
    let started = source(server.config(), SnapshotMode::Initial).start(None).await.unwrap();
    let mut running = run(started.session, 1, 10_000);
    running.next().await;
    server
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%'")
        .await;
    while running.batches.recv().await.is_some() {}
    assert!(running.tasks.join_next().await.unwrap().unwrap().is_err());
}
