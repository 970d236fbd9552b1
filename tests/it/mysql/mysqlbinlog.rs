//! The server's own tool as the oracle of our decoder: both read the same log, and must tell the
//! same rows with the same values.
//!
//! Our side is the product's: the real session, its batches through the real decoder with its
//! look-ups, up to the values that an encoder gets. `mysqlbinlog` prints what is in the log, and we
//! bring both to one form.
//!
//! Seeds are printed; `TAILWATER_SEED=n` runs one alone, `TAILWATER_SEEDS=n` that many. With odd
//! seeds the decoder begins when the workload is over, so that all it looks up is of later.
//!
//! Known gaps: MySQL's `mysqlbinlog` knows neither shapes nor vectors, and gives up the rest of a
//! row there, so that those columns are left out for it; UUIDs of MariaDB are printed in another
//! order. The oracle of whole topics has them all. A UUID or INET column that was dropped or renamed
//! before its rows are read comes as bytes: MariaDB's log does not tell these types.

use std::collections::HashMap;

use bumpalo::Bump;
use tailwater::change::{self, Op, Progress};
use tailwater::config::{self, SourceConfig};
use tailwater::sources::mysql::settings::Flavor;
use tailwater::sources::mysql::source::MysqlSource;
use tailwater::sources::{
    BoxError, ChangeHandler, Decode, RawBatch, RawSender, Source as _, Started, Undecodable,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::binlog_text;
use super::kinds::of_column;
use super::workload::Workload;
use crate::support::mysql::{Kind, Server};
use crate::support::tailwater::Setup;
use crate::support::{knob, runtime, seconds};

#[derive(Default)]
struct Tally {
    n_rows: usize,
    n_values: usize,
    differences: Vec<String>,
}

#[test]
fn the_decoder_tells_what_mysqlbinlog_tells() {
    let one = std::env::var("TAILWATER_SEED").ok().map(|s| s.parse::<u64>().unwrap());
    let seeds = one.map_or_else(|| (0..knob("TAILWATER_SEEDS", 2)).collect(), |s| vec![s]);
    let mut failed = Vec::new();
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let mut tally = Tally::default();
        for seed in &seeds {
            println!("mysqlbinlog: {} seed {seed}", kind.name());
            one_seed(&server, *seed, &mut tally);
        }
        println!(
            "mysqlbinlog: {}, {} rows, {} values compared, {} differing",
            kind.name(),
            tally.n_rows,
            tally.n_values,
            tally.differences.len()
        );
        assert!(tally.n_values > tally.n_rows, "the workload wrote something");
        failed.extend(tally.differences);
    }
    assert!(failed.is_empty(), "{}", failed[..failed.len().min(20)].join("\n"));
}

fn one_seed(server: &Server, seed: u64, tally: &mut Tally) {
    let database = server.database("mysqlbinlog");
    let mut workload = Workload::new(seed, server, &database);
    if server.kind == Kind::Mysql {
        workload.only_columns(|kind| kind.is_in_mysqlbinlog());
    }
    workload.create();
    server.run(&format!("create table {database}.sentinel (id int primary key)"));
    let mut setup = Setup::mysql(server, &database);
    setup.set("snapshot.mode", "no_data");
    let stream = Stream::start(&setup);
    let write = |workload: &mut Workload| {
        for _ in 0..5 {
            workload.run(24);
            server.run("flush binary logs");
        }
        server.run(&format!("insert into {database}.sentinel values (1)"));
    };
    let ours = if seed.is_multiple_of(2) {
        std::thread::scope(|scope| {
            let decoding = scope.spawn(|| stream.until_sentinel());
            write(&mut workload);
            decoding.join().expect("the decoder understands everything")
        })
    } else {
        write(&mut workload);
        stream.until_sentinel()
    };
    let theirs = binlog_text::rows(server, &database);
    compare(&format!("{} seed {seed}", server.kind.name()), server.kind, (&ours, &theirs), tally);
    server.run(&format!("drop database {database}"));
}

fn compare(
    context: &str,
    flavor: Kind,
    (ours, theirs): (&[Row], &[binlog_text::Row]),
    tally: &mut Tally,
) {
    let mut differ = |what: String| {
        let start: String = what.chars().take(400).collect();
        tally.differences.push(format!("{context}: {start}"));
    };
    if ours.len() != theirs.len() {
        differ(format!("{} rows, and {} of mysqlbinlog", ours.len(), theirs.len()));
    }
    for (n, (our, their)) in ours.iter().zip(theirs).enumerate() {
        if (our.op, our.table.as_str()) != (their.op, their.table.as_str()) {
            return differ(format!("row {n}: {} {} and {their:?}", our.op, our.table));
        }
        tally.n_rows += 1;
        for (image, our_row, their_row) in
            [("old", &our.old, &their.old), ("new", &our.new, &their.new)]
        {
            let empty = Vec::new();
            let (our_row, their_row) = (
                our_row.as_ref().unwrap_or(&empty),
                their_row.as_ref().unwrap_or(&Vec::new()).clone(),
            );
            if our_row.len() != their_row.len() {
                differ(format!("row {n}, {image}: {our_row:?} and {their_row:?}"));
                continue;
            }
            for ((name, value), printed) in our_row.iter().zip(&their_row) {
                let kind = of_column(name);
                if !kind.is_in_mysqlbinlog() {
                    continue;
                }
                tally.n_values += 1;
                let theirs = kind.of_mysqlbinlog(flavor, printed);
                if *value != theirs {
                    let (op, table) = (our.op, &our.table);
                    let printed = String::from_utf8_lossy(printed);
                    differ(format!(
                        "row {n} {op} {table}.{name} {kind:?}, {image}: {value:?} and {theirs:?} of {printed}"
                    ));
                }
            }
        }
    }
}

struct Row {
    op: &'static str,
    table: String,
    old: Option<Vec<(String, Option<String>)>>,
    new: Option<Vec<(String, Option<String>)>>,
}

/// A session that runs, and the decoder behind it.
struct Stream {
    session: JoinHandle<Result<(), BoxError>>,
    batches: mpsc::Receiver<RawBatch>,
    decoder: Box<dyn Decode>,
    stop: CancellationToken,
    /// Held so that the session does not take us for gone.
    _acks: watch::Sender<Option<tailwater::offsets::SourceAck>>,
}

impl Stream {
    fn start(setup: &Setup) -> Self {
        let config = config::load(&setup.file()).expect("the configuration is right").config;
        let (flavor, source) = match config.source {
            SourceConfig::Mysql(source) => (Flavor::Mysql, source),
            SourceConfig::Mariadb(source) => (Flavor::Mariadb, source),
            SourceConfig::Postgres(_) | SourceConfig::Mongodb(_) => panic!("it is MySQL's"),
        };
        let (pipeline, prefix) = (config.pipeline, config.topic_prefix);
        let mut source = MysqlSource::new(flavor, source, config.snapshot, pipeline, prefix);
        runtime().block_on(async {
            let first = source.prepare().await.unwrap_or_else(|error| panic!("{error}"));
            let started = source.start(Some(&first)).await;
            let Started { session, decoder, .. } =
                started.unwrap_or_else(|error| panic!("{error}"));
            let (sender, batches) = mpsc::channel(64);
            let (acks, ack_receiver) = watch::channel(None);
            let stop = CancellationToken::new();
            let sender = RawSender::new(sender, 20 << 20);
            let session = runtime().spawn(session.run(sender, ack_receiver, stop.clone()));
            Self { session, batches, decoder, stop, _acks: acks }
        })
    }

    /// Everything up to the row of `sentinel`. Not to be called in the runtime: the decoder blocks.
    fn until_sentinel(mut self) -> Vec<Row> {
        let mut recorder = Recorder::default();
        let mut arena = Bump::new();
        while !recorder.done {
            let next = async { tokio::time::timeout(seconds(60), self.batches.recv()).await };
            let next = runtime().block_on(next).expect("the sentinel arrives");
            let Some(batch) = next else {
                panic!("the session ended: {:?}", runtime().block_on(self.session));
            };
            let decoded = self.decoder.decode(&batch, &arena, &mut recorder);
            decoded.unwrap_or_else(|error| panic!("{error}: {error:?}"));
            arena.reset();
        }
        self.stop.cancel();
        let ended = runtime().block_on(self.session).expect("no panic");
        ended.unwrap_or_else(|error| panic!("{error}"));
        recorder.rows
    }
}

#[derive(Default)]
struct Recorder {
    rows: Vec<Row>,
    /// The last ordinal of each transaction.
    last: HashMap<String, u64>,
    done: bool,
}

impl ChangeHandler for Recorder {
    fn change(&mut self, change: &change::Change<'_>) -> Result<(), BoxError> {
        let id = change.id;
        let before = self.last.insert(id.transaction.to_owned(), id.ordinal);
        assert!(before < Some(id.ordinal), "the ordinals of {id:?} rise");
        // A truncation is a statement, not a row.
        if change.op == Op::Truncate {
            return Ok(());
        }
        let path: Vec<String> = change.table.path.iter().map(|part| format!("`{part}`")).collect();
        self.done |= path[1] == "`sentinel`";
        let columns = &change.table.columns;
        let told = |row: change::Row<'_>| {
            assert_eq!(row.len(), columns.len());
            row.iter()
                .zip(columns)
                .map(|(value, column)| {
                    (column.name.clone(), of_column(&column.name).of_value(value))
                })
                .collect()
        };
        self.rows.push(Row {
            op: change.op.code(),
            table: path.join("."),
            old: change.before.map(|before| told(before.row())),
            new: change.after.map(told),
        });
        Ok(())
    }

    fn progress(&mut self, _: Progress) {}

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        Err(row.error)
    }
}
