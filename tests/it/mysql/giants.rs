//! Transactions that are far larger than the memory that the pipeline may take: one event of a
//! compressed one, and the commit of a prepared one. They became one batch of records each.
//!
//! `TAILWATER_GIANT_MB=n` for other sizes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::support::mysql::{Kind, Server};
use crate::support::tailwater::{Setup, Tailwater, exit};
use crate::support::{eventually, knob, seconds};

const ROW_BYTES: u64 = 1000;
/// `delivery.memory`, which is what it is without being said.
const MEMORY_BYTES: u64 = 12 << 20;
/// The program itself in an unoptimised build, with its buffers, and what the sink writes at once.
const PROGRAM_BYTES: u64 = 100 << 20;

/// An empty table whose rows have about [`ROW_BYTES`].
fn pipeline(server: &Server, name: &str) -> (Setup, String) {
    let database = server.database(name);
    server.run(&format!("create table {database}.t (id int primary key, v varchar(2000))"));
    let mut setup = Setup::mysql(server, &database);
    setup.set("sink", serde_json::json!({ "file": { "path": setup.folder.join("first") } }));
    setup.catch_up();
    (setup, database)
}

/// The statement that inserts rows 1 to `n`.
fn rows(database: &str, n: u64) -> String {
    format!(
        "insert into {database}.t with recursive n (id) as \
         (select 1 union all select id + 1 from n where id < {n}) \
         select id, repeat(sha2(id, 256), {}) from n",
        ROW_BYTES / 64
    )
}

fn path(setup: &mut Setup, name: &str) -> PathBuf {
    let path = setup.folder.join(name);
    setup.set("sink.file.path", path.display().to_string());
    path
}

/// Ids of the whole lines of a file, one after the other.
fn ids(path: &Path) -> impl Iterator<Item = u64> {
    let lines = BufReader::new(File::open(path).unwrap()).lines();
    lines.map_while(|line| {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).ok()?;
        Some(line["value"]["after"]["id"].as_u64().expect("a row"))
    })
}

/// The most memory that was resident so far.
fn peak_bytes(tailwater: &Tailwater) -> Option<u64> {
    let status = format!("/proc/{}/status", tailwater.process.pid());
    let status = std::fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().unwrap() << 10)
}

/// Runs to the end of the log; the most memory that it took.
fn catch_up(setup: &Setup) -> u64 {
    let tailwater = setup.start_until("caught-up");
    let mut peak = 0;
    let ended = eventually(seconds(600), || {
        peak = peak_bytes(&tailwater).unwrap_or(0).max(peak);
        tailwater.process.ended()
    });
    assert!(ended.is_some(), "it goes on and on: {}", tailwater.said());
    tailwater.wait(seconds(1)).expect(0, &[]);
    peak
}

fn log_bytes(server: &Server) -> u64 {
    let logs = server.session().rows("show binary logs");
    logs.iter().map(|row| row[1].as_ref().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn a_compressed_transaction_is_streamed_through_bounded_memory_and_survives_a_kill() {
    let server = Server::start(Kind::Mysql, &["--binlog-transaction-compression=ON"]);
    let (mut setup, database) = pipeline(&server, "compressed");
    let n_rows = knob("TAILWATER_GIANT_MB", 300) * 1_000_000 / ROW_BYTES;
    let before = log_bytes(&server);
    server.session().script(&format!(
        "use {database}; set cte_max_recursion_depth = 100000000; {}",
        rows(&database, n_rows)
    ));
    let payload = log_bytes(&server) - before;
    assert!(payload < n_rows * ROW_BYTES / 5, "it is compressed: {payload} bytes");

    // Killed in its middle.
    let killed = path(&mut setup, "killed");
    let tailwater = setup.start();
    let half = n_rows * ROW_BYTES / 2;
    let long_enough = || std::fs::metadata(&killed).is_ok_and(|file| file.len() > half);
    let arrived = eventually(seconds(300), || long_enough().then_some(()));
    assert!(arrived.is_some(), "{}", tailwater.said());
    let peak_of_killed = peak_bytes(&tailwater).unwrap();
    tailwater.kill().expect(exit::KILLED, &[]);
    let n_killed = ids(&killed).zip(1..).map(|(id, n)| assert_eq!(id, n)).count() as u64;
    assert!((1..n_rows).contains(&n_killed), "{n_killed} of {n_rows}");

    // What comes again is this transaction, and it comes whole, once and in order.
    let whole = path(&mut setup, "whole");
    let peak = catch_up(&setup).max(peak_of_killed);
    assert!(ids(&whole).eq(1..=n_rows));
    println!(
        "giant: {n_rows} rows, {} MB, in one event of {} MB: at most {} MB resident; killed after \
         {n_killed} rows, which came again, 0 lost",
        n_rows * ROW_BYTES / 1_000_000,
        payload >> 20,
        peak >> 20
    );
    assert!(peak < PROGRAM_BYTES + MEMORY_BYTES + 2 * payload, "{peak} bytes");
    let again = path(&mut setup, "again");
    setup.catch_up();
    assert_eq!(std::fs::metadata(again).map_or(0, |file| file.len()), 0, "nothing twice");
    std::fs::remove_dir_all(&setup.folder).unwrap();
}

#[test]
fn the_commit_of_a_large_prepared_transaction_takes_bounded_memory() {
    const N_ROWS: u64 = 55_000;
    const HELD_BYTES: u64 = 64 << 20;
    let server = Server::start(Kind::Mysql, &[]);
    let (mut setup, database) = pipeline(&server, "prepared_giant");
    server.session().script(&format!(
        "use {database}; set cte_max_recursion_depth = 100000000; xa start 'giant'; {}; xa end 'giant'; \
         xa prepare 'giant'; xa commit 'giant'",
        rows(&database, N_ROWS)
    ));
    let whole = path(&mut setup, "whole");
    let peak = catch_up(&setup);
    assert!(ids(&whole).eq(1..=N_ROWS));
    println!("giant: XA commit of {} MB: at most {} MB resident", N_ROWS / 1000, peak >> 20);
    assert!(peak < PROGRAM_BYTES + MEMORY_BYTES + HELD_BYTES, "{peak} bytes");
    std::fs::remove_dir_all(&setup.folder).unwrap();
}

#[test]
fn an_event_that_is_small_until_it_is_uncompressed_is_refused_by_its_size() {
    let server = Server::start(
        Kind::Mysql,
        &["--binlog-transaction-compression=ON", "--max-allowed-packet=64M"],
    );
    let database = server.database("hidden");
    server.run(&format!("create table {database}.t (id int primary key, v longtext)"));
    let mut setup = Setup::mysql(&server, &database);
    setup.catch_up();
    server.run(&format!("insert into {database}.t values (1, repeat('x', 3000000))"));
    setup.set("source.mysql.message_bytes_max", "2MiB");
    setup.fails(exit::SOURCE, &["read an event of 30000", "message_bytes_max"]);
    setup.set("source.mysql.message_bytes_max", "4MiB");
    assert_eq!(setup.catch_up().lines().len(), 1);
}
