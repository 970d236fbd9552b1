//! Kills, cuts and elections while a random workload runs: what the topics fold to is what the
//! collections hold, every counter's versions come in order, and what comes twice was on its way
//! when something died.
//!
//! The same on a real replica set, for longer:
//!
//! ```text
//! TAILWATER_TEST_MONGODB_URI=mongodb://127.0.0.1:27017/?replicaSet=rs0 \
//! TAILWATER_KILLS=200 TAILWATER_CUTS=100 cargo test --features failpoints --test it -- \
//!     --nocapture mongodb::faults
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use super::lines;
use super::text::record_key;
use super::workload::{N_COUNTERS, Rows, Workload};
use crate::ledger::saved_at;
use crate::support::mongodb::Mongo;
use crate::support::mongodb::state::Options;
use crate::support::proxy::Proxy;
use crate::support::tailwater::{Setup, Tailwater, exit};
use crate::support::{eventually, knob, seconds, unique};

/// What was on its way when the last checkpoint was saved may be this much older, on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

/// Named points between the steps of the order law, and how often each is passed before a kill.
const POINTS: [(&str, u32); 5] =
    [("read", 30), ("encode", 30), ("send", 30), ("delivered", 30), ("checkpointed", 5)];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    /// Looked up when the event is read.
    Lookup,
    /// As it was right after the update: every event has its exact document.
    Images,
}

/// A pipeline that is killed and started again.
struct Pipeline {
    setup: Setup,
    proxy: Option<Proxy>,
    running: Option<Tailwater>,
    files: Vec<PathBuf>,
    tally: BTreeMap<String, u64>,
    /// From when to when records may come again, in milliseconds.
    exposed: Vec<(i64, i64)>,
}

fn ms(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

impl Pipeline {
    fn start(mongo: &Mongo, database: &str, after: After) -> Self {
        let proxy = mongo.local_port().map(Proxy::start);
        let mut setup = Setup::mongodb(mongo, database);
        if let Some(proxy) = &proxy {
            setup.set("source.mongodb.uri", mongo.uri_through(proxy.port));
        }
        if after == After::Images {
            setup.set("source.mongodb.full_document", "required");
        }
        setup.set("delivery.checkpoint_interval", "200ms").set("delivery.id_header", true);
        let (files, tally, exposed) = (vec![], BTreeMap::new(), vec![]);
        let mut pipeline = Self { setup, proxy, running: None, files, tally, exposed };
        pipeline.resume();
        pipeline.running.as_ref().unwrap().ready();
        pipeline
    }

    fn resume(&mut self) {
        let tailwater = self.setup.start();
        self.files.push(tailwater.stdout.clone());
        self.running = Some(tailwater);
    }

    fn count(&mut self, fault: &str) {
        *self.tally.entry(fault.to_owned()).or_default() += 1;
    }

    /// What was produced since the checkpoint before now may come again.
    fn expose(&mut self) {
        let since = saved_at(&self.setup.offsets()) - SLACK;
        self.exposed.push((ms(since), ms(SystemTime::now())));
    }

    fn alive(&self) {
        let running = self.running.as_ref().expect("it runs");
        let ended = running.process.ended();
        assert!(ended.is_none(), "it ended by itself with {ended:?}: {}", running.said());
    }

    fn kill(&mut self, rng: &mut StdRng, number: u64) {
        self.alive();
        self.running.take().expect("it runs").kill();
        self.expose();
        if number.is_multiple_of(2) {
            self.count("kill at random");
        } else {
            let (point, times) = POINTS[usize::try_from(number / 2).unwrap() % POINTS.len()];
            let mut armed = self.setup.clone();
            armed.env("FAILPOINTS", &format!("{point}={}*off->return", rng.random_range(1..times)));
            let armed = armed.start();
            self.files.push(armed.stdout.clone());
            let died = armed.process.wait(seconds(5)).is_some();
            self.count(&if died {
                format!("kill at {point}")
            } else {
                "kill at random".to_owned()
            });
            let ended = armed.kill();
            let expected = if died { exit::ABORTED } else { exit::KILLED };
            assert_eq!(ended.code, expected, "{point}: {}", ended.stderr);
            self.expose();
        }
        self.resume();
    }

    fn cut(&mut self, rng: &mut StdRng) {
        let Some(proxy) = &self.proxy else { return };
        let kind = match rng.random_range(0..4) {
            0 => {
                proxy.cut();
                "cut"
            }
            1 => {
                proxy.half_close();
                "half-close"
            }
            2 => {
                proxy.stall(true);
                std::thread::sleep(Duration::from_millis(rng.random_range(50..400)));
                proxy.cut();
                proxy.heal();
                "stall"
            }
            _ => {
                proxy.cut_after(rng.random_range(1..60_000));
                "cut in a message"
            }
        };
        self.count(&format!("cut: {kind}"));
        self.expose();
    }
}

#[test]
fn with_post_images_nothing_is_lost_through_kills_cuts_and_elections() {
    let mongo = Mongo::own();
    if mongo.wire() < 17 {
        println!("SKIPPED mongodb::faults::with_post_images: the server keeps none");
        return;
    }
    run(&mongo, After::Images);
}

#[test]
fn with_lookups_nothing_is_lost_through_kills_cuts_and_elections() {
    let old = Mongo::of_version(9, "the 4.4 of mongodb::faults::with_lookups");
    run(&old.unwrap_or_else(Mongo::own), After::Lookup);
}

fn run(mongo: &Mongo, after: After) {
    let seed = knob("TAILWATER_FAULT_SEED", 1);
    let (n_kills, n_cuts) = (knob("TAILWATER_KILLS", 10), knob("TAILWATER_CUTS", 5));
    let database = unique("mongo_faults");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut workload = Workload::new(mongo, &database, seed, after == After::Images);
    workload.run(60);
    // What was gone before the snapshot is in no topic.
    workload.gone.clear();
    let mut pipeline = Pipeline::start(mongo, &database, after);
    for round in 0..n_kills.max(n_cuts) {
        std::thread::scope(|scope| {
            scope.spawn(|| workload.run(40));
            pause(&mut rng);
            if round < n_cuts {
                pipeline.cut(&mut rng);
                pause(&mut rng);
            }
            if round % 5 == 3 {
                elect(mongo, &mut rng, &mut pipeline);
            }
            if round < n_kills {
                pipeline.kill(&mut rng, round);
            }
        });
    }
    finish(mongo, &database, pipeline, (&workload, after));
}

fn pause(rng: &mut StdRng) {
    std::thread::sleep(Duration::from_millis(rng.random_range(20..300)));
}

/// What a server does to its clients.
fn elect(mongo: &Mongo, rng: &mut StdRng, pipeline: &mut Pipeline) {
    let kind = match rng.random_range(0..if mongo.is_real() { 1 } else { 3 }) {
        0 => {
            mongo.step_down(Duration::from_millis(300));
            "election"
        }
        1 => {
            mongo.kill_cursors();
            "cursors killed"
        }
        _ => {
            mongo.cut();
            "server restart"
        }
    };
    pipeline.count(kind);
    pause(rng);
    pipeline.expose();
}

fn finish(
    mongo: &Mongo,
    database: &str,
    mut pipeline: Pipeline,
    (workload, after): (&Workload<'_>, After),
) {
    if let Some(proxy) = &pipeline.proxy {
        proxy.heal();
    }
    assert!(eventually(seconds(30), || mongo.is_writable().then_some(())).is_some());
    workload.sentinel();
    let arrived = eventually(seconds(120), || {
        let all = lines(pipeline.files.last().unwrap());
        all.iter().any(|l| topic(l) == "sentinel").then_some(())
    });
    let tailwater = pipeline.running.take().unwrap();
    assert!(arrived.is_some(), "the sentinel did not arrive: {}", tailwater.said());
    tailwater.stop().expect(0, &[]);
    let records: Vec<Value> = pipeline.files.iter().flat_map(|f| lines(f)).collect();
    let (n_versions, n_again) = counters_in_order(workload, &records);
    let (n_repeated, bound) = repeats(&pipeline, &records);
    let n_documents = compare(workload, after, &records);
    let faults: Vec<String> = pipeline.tally.iter().map(|(f, n)| format!("{n} {f}")).collect();
    let Workload { n_writes, n_failed, .. } = workload;
    println!(
        "oracle: faults of mongodb ({after:?}): {}; {n_writes} writes ({n_failed} refused), {} \
         records, {n_documents} documents compared, 0 lost, 0 phantom; {n_versions} versions of \
         counters in order, {n_again} again; {n_repeated} records twice, bound {bound}",
        faults.join(", "),
        records.len()
    );
    assert!(n_repeated <= bound, "{n_repeated} records came again, at most {bound} may");
    drop(crate::support::mongodb::block(mongo.database(database).drop()));
}

fn topic(record: &Value) -> &str {
    record["topic"].as_str().unwrap().rsplit('.').next().unwrap()
}

/// Every version of every counter, told by what the update changed, and never one before the one
/// that it follows.
fn counters_in_order(workload: &Workload<'_>, records: &[Value]) -> (usize, usize) {
    let mut last: BTreeMap<i32, i64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut n_again = 0;
    for record in records.iter().filter(|r| topic(r) == "counter") {
        let id: i32 = record["key"]["id"].as_str().unwrap().parse().unwrap();
        let value = &record["value"];
        let text = match value["op"].as_str().unwrap() {
            "u" => value["updateDescription"]["updatedFields"].as_str().unwrap(),
            _ => value["after"].as_str().unwrap(),
        };
        let fields: Value = serde_json::from_str(text).unwrap();
        let version = fields["n"].as_i64().unwrap();
        n_again += usize::from(!seen.insert((id, version)));
        let snapshot = value["op"] == "r";
        let before = last.insert(id, version).unwrap_or(version);
        let follows = version <= before + 1 || snapshot;
        assert!(follows, "counter {id} jumps from {before} to {version}");
    }
    for id in 0..N_COUNTERS {
        let version = workload.n_of(id);
        assert_eq!(last.get(&id), Some(&version), "the last version of counter {id}");
    }
    (seen.len(), n_again)
}

/// How many records came twice, and how many may: those that were on their way at each fault.
fn repeats(pipeline: &Pipeline, records: &[Value]) -> (usize, usize) {
    let (mut seen, mut n_repeated) = (BTreeSet::new(), 0);
    let mut times = vec![];
    for record in records.iter().filter(|r| !r["value"].is_null() && r["value"]["op"] != "r") {
        let name = record["headers"]["cdc.id"].as_str().expect("every event has an id");
        times.push(record["value"]["ts_ms"].as_i64().unwrap_or(i64::MAX));
        n_repeated += usize::from(!seen.insert(name.to_owned()));
    }
    times.sort_unstable();
    let within = |(from, to): &(i64, i64)| {
        times.partition_point(|t| t <= to) - times.partition_point(|t| t < from)
    };
    (n_repeated, pipeline.exposed.iter().map(within).sum())
}

/// Documents by topic and key; `None` is one that was gone when it was looked up.
type Folded = BTreeMap<String, BTreeMap<String, Option<Value>>>;

fn fold(records: &[Value]) -> Folded {
    let mut topics = Folded::new();
    for record in records {
        let rows = topics.entry(topic(record).to_owned()).or_default();
        let key = record_key(record["key"]["id"].as_str().unwrap());
        match record["value"]["op"].as_str() {
            None | Some("d") => drop(rows.remove(&key)),
            Some("c" | "u" | "r") => {
                let after = record["value"]["after"].as_str();
                let after = after.map(|text| serde_json::from_str(text).unwrap());
                rows.insert(key, after);
            }
            Some(other) => panic!("an operation {other}"),
        }
    }
    topics
}

fn compare(workload: &Workload<'_>, after: After, records: &[Value]) -> usize {
    let folded = fold(records);
    let (mut lost, mut phantom, mut n) = (vec![], vec![], 0);
    let live =
        workload.live().iter().map(|name| (name.clone(), workload.rows(name).unwrap(), true));
    let gone = workload.gone.iter().map(|(name, rows)| (name.clone(), rows.clone(), false));
    for (name, rows, is_live) in live.chain(gone) {
        let none = BTreeMap::new();
        let found = folded.get(&name).unwrap_or(&none);
        n += rows.len();
        // The last look-ups of a collection that is gone may have come too late.
        let exact = is_live || after == After::Images;
        one(&name, (&rows, found), exact, (&mut lost, &mut phantom));
    }
    assert!(lost.is_empty() && phantom.is_empty(), "lost {lost:#?}, phantom {phantom:#?}");
    n
}

fn one(
    name: &str,
    (rows, found): (&Rows, &BTreeMap<String, Option<Value>>),
    exact: bool,
    (lost, phantom): (&mut Vec<String>, &mut Vec<String>),
) {
    for (key, row) in rows {
        match found.get(key) {
            Some(Some(known)) if known == row => {}
            Some(_) if !exact => {}
            other => {
                let shown: String = format!("{other:?}").chars().take(300).collect();
                let row: String = row.to_string().chars().take(300).collect();
                lost.push(format!("{name} {key}: {row}, topic has {shown}"));
            }
        }
    }
    phantom.extend(found.keys().filter(|k| !rows.contains_key(*k)).map(|k| format!("{name} {k}")));
}

/// A knob of its own, so that a run by hand can be as old a server as it likes.
#[test]
fn another_version_may_be_asked_for() {
    let wire = knob("TAILWATER_MONGODB_WIRE", 0);
    if wire == 0 {
        return;
    }
    let options = Options::of_wire(i32::try_from(wire).unwrap());
    let Some(mongo) = Mongo::alone(options, "mongodb::faults::another_version") else { return };
    let after = if wire >= 17 { After::Images } else { After::Lookup };
    run(&mongo, after);
}
