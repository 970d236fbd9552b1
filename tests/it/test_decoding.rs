//! The server's own decoder as the oracle of ours: `test_decoding` and pgoutput read the same log
//! through two slots made at the same moment, and must tell the same transactions, changes and
//! values.
//!
//! Our side is the product's: the real session over a real connection, its batches through the
//! real decoder with its look-ups, up to the values that an encoder gets. What `test_decoding`
//! prints is brought to the form of our values by the server itself, where it is not the same text.
//!
//! Seeds are printed; `TAILWATER_SEED=n` runs one alone, `TAILWATER_SEEDS=n` that many. With odd
//! seeds the decoder begins when the workload is over, so that all it looks up is of later.
//!
//! Known gaps: types that the workload has no column of; keys of old rows that were NULL, which
//! `test_decoding` leaves out as it leaves out what the log has not.

mod ours;
mod server;
mod text;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::knob;
use crate::support::postgres::{Postgres, Session};
use crate::support::tailwater::Setup;
use crate::workload::Workload;

/// A committed transaction with its changes in the order in which they were made.
#[derive(Clone, Debug, PartialEq)]
struct Transaction {
    xid: u64,
    changes: Vec<Change>,
}

/// A change as either side tells it.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    lsn: u64,
    table: String,
    op: &'static str,
    /// What the log has of the old row; NULLs are left out.
    old: Option<Vec<Field>>,
    new: Option<Vec<Field>>,
}

type Field = (String, Told);

#[derive(Clone, Debug, PartialEq)]
enum Told {
    Null,
    /// A large value that the log does not repeat.
    Unchanged,
    Text(String),
}

#[derive(Default)]
struct Tally {
    n_transactions: usize,
    n_changes: usize,
    n_values: usize,
    differences: Vec<String>,
}

#[test]
fn the_decoder_tells_what_test_decoding_tells() {
    let one = std::env::var("TAILWATER_SEED").ok().map(|s| s.parse::<u64>().unwrap());
    let seeds = one.map_or_else(|| (0..knob("TAILWATER_SEEDS", 5)).collect(), |s| vec![s]);
    let mut tally = Tally::default();
    for seed in &seeds {
        println!("test_decoding: seed {seed}");
        one_seed(*seed, &mut tally);
    }
    let Tally { n_transactions, n_changes, n_values, differences } = tally;
    println!(
        "test_decoding: {} seeds, {n_transactions} transactions, {n_changes} changes, {n_values} values compared, {} differing",
        seeds.len(),
        differences.len()
    );
    assert!(differences.is_empty(), "{}", differences[..differences.len().min(20)].join("\n"));
    assert!(n_values > n_changes && n_changes > n_transactions, "the workload wrote something");
}

fn one_seed(seed: u64, tally: &mut Tally) {
    let database = Postgres::shared().database("test_decoding");
    let session = database.session();
    let mut workload = Workload::new(seed, || database.session());
    workload.create();
    session.run("create table sentinel (id int primary key)");
    session.run(EXTRA_TABLES);
    let mut setup = Setup::stdout(&database);
    setup.set("snapshot.mode", "no_data");
    let stream = ours::Stream::start(&setup);
    let slot = format!("{}_theirs", database.name);
    session.run(&format!("select pg_create_logical_replication_slot('{slot}', 'test_decoding')"));

    let write = |workload: &mut Workload| {
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..8 {
            workload.run(15);
            extra(&session, &mut rng);
        }
        session.run("insert into sentinel values (1)");
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
    let theirs = server::transactions(&session, &slot);
    compare(seed, &ours, &theirs, tally);
    database.drop_with_slots();
}

/// What the random workload has not: rows without a key, large values under a full identity, rows
/// that move between partitions, truncation of several tables at once.
const EXTRA_TABLES: &str = "
    create table keyless (n int, note text, big text);
    alter table keyless replica identity full;
    alter table keyless alter big set storage external;
    create table parts (id int primary key, v text) partition by range (id);
    create table parts_low partition of parts for values from (0) to (100);
    create table parts_high partition of parts for values from (100) to (200);
    create table pile_a (id int primary key);
    create table pile_b (id int primary key);";

fn extra(session: &Session, rng: &mut StdRng) {
    let (n, id, other) = (rng.random_range(0..3), rng.random_range(0..100), rng.random_range(0..9));
    session.run(&format!(
        "insert into keyless values ({n}, 'it''s [text]:', repeat('{n}y', 3000)), (null, null, null);
         insert into parts values ({id}, 'low') on conflict do nothing;
         insert into pile_a values ({id}) on conflict do nothing;
         insert into pile_b values ({id}) on conflict do nothing"
    ));
    // Here the large value is not repeated in the new row; the log has it in the old one.
    session.run(&format!("update keyless set note = 'n{other}' where n = {n}"));
    session.run(&format!("update keyless set big = null where n = {other}"));
    session.run(&format!(
        "begin; update parts set id = 100 + id % 100, v = 'moved' where id % 3 = {n}
            and not exists (select from parts other where other.id = 100 + parts.id % 100);
         delete from keyless where n = {other} or n is null; savepoint s;
         delete from keyless; rollback to s; delete from parts where id % 7 = {other}; commit"
    ));
    if rng.random_bool(0.4) {
        session.run("truncate pile_a, pile_b restart identity");
    }
}

fn compare(seed: u64, ours: &[Transaction], theirs: &[Transaction], tally: &mut Tally) {
    let mut differ = |what: String| {
        let start: String = what.chars().take(500).collect();
        tally.differences.push(format!("seed {seed}: {start}"));
    };
    let xids = |side: &[Transaction]| side.iter().map(|t| t.xid).collect::<Vec<_>>();
    if xids(ours) != xids(theirs) {
        return differ(format!("transactions: {:?} and {:?}", xids(ours), xids(theirs)));
    }
    for (our, their) in ours.iter().zip(theirs) {
        let what = |change: &Change| (change.lsn, change.table.clone(), change.op);
        let whats = |t: &Transaction| t.changes.iter().map(what).collect::<Vec<_>>();
        if whats(our) != whats(their) {
            differ(format!("changes of {}: {:?} and {:?}", our.xid, whats(our), whats(their)));
            continue;
        }
        tally.n_transactions += 1;
        for (our, their) in our.changes.iter().zip(&their.changes) {
            tally.n_changes += 1;
            let at = format!("{} {} at {:X}", our.op, our.table, our.lsn);
            for (image, our, their) in
                [("old", &our.old, &their.old), ("new", &our.new, &their.new)]
            {
                match (our, their) {
                    (None, None) => {}
                    (Some(our), Some(their)) if names(our) == names(their) => {
                        tally.n_values += our.len();
                        let different = our.iter().zip(their).filter(|(our, their)| our != their);
                        different.for_each(|(our, their)| {
                            differ(format!("{at}, {image}: {our:?} and {their:?}"));
                        });
                    }
                    _ => differ(format!("{at}, {image} row: {our:?} and {their:?}")),
                }
            }
        }
    }
}

fn names(row: &[Field]) -> Vec<&str> {
    row.iter().map(|(name, _)| name.as_str()).collect()
}
