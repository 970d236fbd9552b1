//! What a run starts from and how it goes on: start checks, scopes, snapshots, resuming.

use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use serde_json::{Value, json};

use crate::support::mongodb::auth::User;
use crate::support::mongodb::failure::Failure;
use crate::support::mongodb::state::{Fault, Options};
use crate::support::mongodb::{Mongo, block};
use crate::support::tailwater::{Ended, Setup, Tailwater, exit};
use crate::support::{eventually, seconds, unique};

/// JSON lines to standard output, everything of one database.
pub(super) fn setup(mongo: &Mongo, database: &str) -> Setup {
    let source = json!({ "mongodb": {
        "uri": mongo.uri, "collections": { "include": [format!("{database}.*")] },
    } });
    Setup::of_source(database, source)
}

/// A database of its own with one collection of one document.
pub(super) fn database(mongo: &Mongo) -> String {
    let name = unique("mo").replace('-', "_");
    insert(mongo, &name, "a", doc! { "_id": 1, "v": "a" });
    name
}

pub(super) fn insert(mongo: &Mongo, database: &str, collection: &str, document: Document) {
    block(mongo.collection(database, collection).insert_one(document)).unwrap();
}

pub(super) fn ops(ended: &Ended) -> String {
    let op = |l: &Value| l["value"]["op"].as_str().unwrap_or("-").to_owned();
    ended.lines().iter().map(op).collect()
}

pub(super) fn arrives(tailwater: &Tailwater, n: usize) {
    let arrived = eventually(seconds(20), || {
        let text = std::fs::read_to_string(&tailwater.stdout).unwrap_or_default();
        (text.lines().count() >= n).then_some(())
    });
    assert!(arrived.is_some(), "fewer than {n} lines: {}", tailwater.said());
}

/// The shared server, and played ones of every generation.
fn generations(test: &str) -> Vec<Mongo> {
    [9, 13, 17, 21, 25]
        .into_iter()
        .filter_map(|wire| Mongo::alone(Options::of_wire(wire), test))
        .collect()
}

fn arrive_once_and_in_order(mongo: &Mongo) {
    let database = database(mongo);
    let setup = setup(mongo, &database);
    let tailwater = setup.start();
    tailwater.ready();
    let all = mongo.collection(&database, "a");
    block(all.insert_one(doc! { "_id": 2, "v": "b" })).unwrap();
    block(all.update_one(doc! { "_id": 2 }, doc! { "$set": { "v": "c" } })).unwrap();
    block(all.delete_one(doc! { "_id": 1 })).unwrap();
    arrives(&tailwater, 5);
    let ended = tailwater.stop().expect(0, &[]);
    assert_eq!(ops(&ended), "rcud-");
    insert(mongo, &database, "a", doc! { "_id": 3 });
    assert_eq!(ops(&setup.catch_up()), "c");
    assert_eq!(ops(&setup.catch_up()), "", "nothing is said twice");
}

#[test]
fn documents_of_snapshot_and_stream_arrive_once_and_in_order() {
    arrive_once_and_in_order(Mongo::shared());
    for mongo in generations("documents_of_snapshot_and_stream_arrive_once_and_in_order") {
        arrive_once_and_in_order(&mongo);
    }
}

#[test]
fn snapshot_modes_do_what_they_say() {
    let mongo = Mongo::shared();
    let database = database(mongo);
    let mut no_data = setup(mongo, &database);
    no_data.set("snapshot.mode", "no_data");
    assert_eq!(ops(&no_data.catch_up()), "");
    insert(mongo, &database, "b", doc! { "_id": 2 });
    assert_eq!(ops(&no_data.catch_up()), "c");
    let mut copy = setup(mongo, &database);
    copy.set("snapshot.mode", "initial_only").set("pipeline", format!("{database}_copy"));
    assert_eq!(ops(&copy.start().wait(seconds(60)).expect(0, &[])), "rr");
    assert_eq!(ops(&copy.start().wait(seconds(60)).expect(0, &[])), "", "it was done before");
    let until = setup(mongo, &database);
    assert_eq!(ops(&until.start_until("snapshot").wait(seconds(60)).expect(0, &[])), "rr");
    insert(mongo, &database, "a", doc! { "_id": 3 });
    assert_eq!(ops(&until.catch_up()), "c");
}

/// MG-09: `$gt` sees one type only.
#[test]
fn a_snapshot_has_ids_of_every_type() {
    let mongo = Mongo::shared();
    let database = database(mongo);
    let ids: Vec<Bson> = vec![
        Bson::Null,
        Bson::MinKey,
        Bson::MaxKey,
        Bson::Double(f64::NAN),
        Bson::Double(-1.5),
        Bson::Int64(1 << 40),
        Bson::String("a".into()),
        Bson::Boolean(true),
        Bson::ObjectId(ObjectId::new()),
        Bson::DateTime(DateTime::from_millis(7)),
        Bson::Document(doc! { "a": { "b": 1 } }),
    ];
    for id in &ids {
        insert(mongo, &database, "a", doc! { "_id": id.clone() });
    }
    let ended = setup(mongo, &database).catch_up();
    assert_eq!(ops(&ended), "r".repeat(ids.len() + 1));
}

/// MG-10, and MG-09 between the readers: places in the index part the types too.
#[test]
fn a_collection_in_parts_is_read_once_by_many() {
    let test = "a_collection_in_parts_is_read_once_by_many";
    for wire in [9, 21] {
        let Some(mongo) = Mongo::alone(Options::of_wire(wire), test) else { return };
        let database = database(&mongo);
        for n in 0..100 {
            for id in [Bson::String(format!("{n}")), Bson::Int32(n + 2)] {
                insert(&mongo, &database, "a", doc! { "_id": id });
            }
            insert(&mongo, &database, "b", doc! { "_id": { "n": n } });
        }
        let mut setup = setup(&mongo, &database);
        setup.set("snapshot.connections", 4).env("FAILPOINTS", "part=return(300)");
        let ended = setup.catch_up();
        assert!(!ended.stderr.contains("\"parts\":2,"), "{}", ended.stderr);
        let lines = ended.lines();
        assert_eq!(ops(&ended), "r".repeat(301), "{wire}");
        let mut keys: Vec<String> =
            lines.iter().map(|l| format!("{} {}", l["topic"], l["key"])).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 301, "each once");
    }
}

#[test]
fn a_collection_is_followed_through_its_drop_and_its_making() {
    let mongo = Mongo::shared();
    let database = database(mongo);
    let mut setup = setup(mongo, &database);
    setup
        .set("source.mongodb.capture_scope", "collection")
        .set("source.mongodb.capture_target", format!("{database}.a"));
    let tailwater = setup.start();
    tailwater.ready();
    block(mongo.collection(&database, "a").drop()).unwrap();
    tailwater.says("opened again", seconds(20));
    insert(mongo, &database, "a", doc! { "_id": 2 });
    insert(mongo, &database, "b", doc! { "_id": 3 });
    arrives(&tailwater, 2);
    assert_eq!(ops(&tailwater.stop().expect(0, &[])), "rc");
    insert(mongo, &database, "a", doc! { "_id": 4 });
    assert_eq!(ops(&setup.catch_up()), "c");
}

#[test]
fn a_database_is_followed_through_its_drop() {
    let mongo = Mongo::shared();
    let database = database(mongo);
    let mut setup = setup(mongo, &database);
    setup
        .set("source.mongodb.capture_scope", "database")
        .set("source.mongodb.capture_target", database.as_str());
    assert_eq!(ops(&setup.catch_up()), "r");
    block(mongo.database(&database).drop()).unwrap();
    insert(mongo, &database, "a", doc! { "_id": 2 });
    let tailwater = setup.start();
    arrives(&tailwater, 1);
    assert_eq!(ops(&tailwater.stop().expect(0, &[])), "c");
}

/// MG-03: the event of the token is not in the new scope.
#[test]
fn the_scope_may_be_changed_between_two_runs() {
    let mongo = Mongo::shared();
    let database = database(mongo);
    insert(mongo, &database, "b", doc! { "_id": 1 });
    let mut one = setup(mongo, &database);
    one.set("snapshot.mode", "no_data")
        .set("source.mongodb.capture_scope", "collection")
        .set("source.mongodb.capture_target", format!("{database}.a"));
    let tailwater = one.start();
    tailwater.ready();
    insert(mongo, &database, "a", doc! { "_id": 2 });
    arrives(&tailwater, 1);
    assert_eq!(ops(&tailwater.stop().expect(0, &[])), "c");
    insert(mongo, &database, "b", doc! { "_id": 3 });
    one.set("source.mongodb.capture_target", format!("{database}.b"));
    let tailwater = one.start();
    arrives(&tailwater, 1);
    let ended = tailwater.stop().expect(0, &[]);
    assert_eq!(ops(&ended), "c");
    assert_eq!(ended.lines()[0]["value"]["source"]["collection"], "b");
}

#[test]
fn elections_and_killed_cursors_cost_nothing() {
    let test = "elections_and_killed_cursors_cost_nothing";
    let Some(mongo) = Mongo::alone(Options::default(), test) else { return };
    let database = database(&mongo);
    let tailwater = setup(&mongo, &database).start();
    tailwater.ready();
    let mut n = 1;
    for trouble in 0..4 {
        match trouble {
            0 => mongo.kill_cursors(),
            1 => mongo.cut(),
            2 => mongo.step_down(Duration::from_millis(500)),
            _ => mongo.order(Fault {
                commands: vec!["getMore".to_owned()],
                times: Some(1),
                skip: 0,
                failure: Some(Failure::new(11602, "InterruptedDueToReplStateChange", "test")),
                close: false,
                block: Duration::ZERO,
            }),
        }
        let inserted = eventually(seconds(20), || {
            let document = doc! { "_id": n + 1 };
            block(mongo.collection(&database, "a").insert_one(document)).ok()
        });
        assert!(inserted.is_some());
        n += 1;
        arrives(&tailwater, usize::try_from(n).unwrap());
    }
    // A stop between two runs would be told with the error of the last; the ordered one comes with
    // the next batch.
    let on = eventually(seconds(20), || {
        let said = tailwater.said();
        let count = |what: &str| said.matches(what).count();
        let met = said.contains("11602") && count("\"streaming\"") > count("going on from");
        met.then_some(())
    });
    assert!(on.is_some(), "{}", tailwater.said());
    tailwater.ready();
    let ended = tailwater.stop().expect(0, &[]);
    let lines = ended.lines();
    let mut keys: Vec<&Value> = lines.iter().map(|l| &l["key"]["id"]).collect();
    keys.dedup();
    assert_eq!(keys.len(), 5, "each once, but for a repeat: {keys:?}");
}

#[test]
fn a_snapshot_outlives_the_history_of_the_server() {
    let test = "a_snapshot_outlives_the_history_of_the_server";
    let Some(mongo) = Mongo::alone(Options::default(), test) else { return };
    let database = database(&mongo);
    mongo.order(Fault {
        commands: vec!["find".to_owned()],
        times: Some(1),
        skip: 0,
        failure: Some(Failure::new(239, "SnapshotTooOld", "Read timestamp is older")),
        close: false,
        block: Duration::ZERO,
    });
    let ended = setup(&mongo, &database).catch_up();
    assert_eq!(ops(&ended), "r");
}

#[test]
fn what_cannot_be_streamed_from_is_refused_with_the_way_out() {
    let test = "what_cannot_be_streamed_from_is_refused_with_the_way_out";
    let alone = Options { standalone: true, ..Options::default() };
    let Some(mongo) = Mongo::alone(alone, test) else { return };
    setup(&mongo, "x").fails(exit::SOURCE, &["stands alone", "rs.initiate()"]);
}

#[test]
fn unknown_names_are_refused_with_those_that_are_there() {
    let mongo = Mongo::shared();
    let database = database(mongo);
    let mut one = setup(mongo, &database);
    one.set("source.mongodb.collections.include", json!([format!("{database}.orders")]));
    one.fails(exit::SOURCE, &["no such collection", "createCollection", &format!("{database}.a")]);
    one.set("source.mongodb.collections.include", json!([format!("{database}.x*")]));
    one.fails(exit::SOURCE, &["none of the", "source.mongodb.collections"]);
    let mut gone = setup(mongo, &database);
    gone.set("source.mongodb.capture_scope", "database")
        .set("source.mongodb.capture_target", format!("{database}_gone"))
        .set("source.mongodb.collections", json!({}));
    gone.fails(exit::SOURCE, &["there is none of that name", &database]);
}

#[test]
fn images_that_are_required_must_be_kept() {
    let test = "images_that_are_required_must_be_kept";
    let Some(mongo) = Mongo::alone(Options::of_wire(21), test) else { return };
    let database = database(&mongo);
    let mut setup = setup(&mongo, &database);
    setup.set("source.mongodb.pre_images", "required");
    setup.fails(exit::SOURCE, &["do not keep images", "collMod: \"a\"", "when_available"]);
    let command = doc! { "collMod": "a", "changeStreamPreAndPostImages": { "enabled": true } };
    block(mongo.database(&database).run_command(command)).unwrap();
    assert_eq!(ops(&setup.catch_up()), "r");
    let Some(old) = Mongo::alone(Options::of_wire(9), test) else { return };
    let database = self::database(&old);
    let mut setup = self::setup(&old, &database);
    setup.set("source.mongodb.full_document", "when_available");
    setup.fails(exit::SOURCE, &["version 4.4.1 is older than 6.0", "upgrade"]);
}

#[test]
fn another_deployment_and_a_lost_oplog_are_refused() {
    let test = "another_deployment_and_a_lost_oplog_are_refused";
    let Some(mongo) = Mongo::alone(Options::default(), test) else { return };
    let database = database(&mongo);
    let mut setup = setup(&mongo, &database);
    assert_eq!(ops(&setup.catch_up()), "r");
    // The same name, another id.
    let Some(other) = Mongo::alone(Options::default(), test) else { return };
    setup.set("source.mongodb.uri", other.uri.as_str());
    setup.fails(exit::SOURCE, &["resume at", "replica set rs0 (id ", "offsets reset"]);
    setup.set("source.mongodb.uri", mongo.uri.as_str());
    // The log keeps its last entry, which may be the very one that comes next.
    insert(&mongo, &database, "a", doc! { "_id": 2 });
    insert(&mongo, &database, "a", doc! { "_id": 3 });
    mongo.forget_log();
    let said = ["does not reach back", "replSetResizeOplog", "offsets reset"];
    let ended = setup.fails(exit::SOURCE, &said);
    assert_eq!(ops(&ended), "", "never from now on");
}

/// The URI without, or with other, credentials.
fn uri_as(mongo: &Mongo, login: &str) -> String {
    format!("mongodb://{login}127.0.0.1:{}/?replicaSet=rs0", mongo.port())
}

#[test]
fn a_login_that_fails_and_a_right_that_is_missing_are_told_with_what_mends_them() {
    let test = "a_login_that_fails_and_a_right_that_is_missing_are_told_with_what_mends_them";
    let users = vec![
        User::new("root", "secret", &["root"]),
        User::new("app", "secret", &["readAnyDatabase", "clusterMonitor"]),
        User::new("one", "secret", &["read@elsewhere"]),
    ];
    let Some(mongo) = Mongo::alone(Options { users, ..Options::default() }, test) else { return };
    let database = database(&mongo);
    let mut setup = setup(&mongo, &database);
    setup.set("source.mongodb.uri", uri_as(&mongo, "app:wrong-canary@"));
    let ended =
        setup.fails(exit::SOURCE, &["log in to", "`app`", "source.mongodb.user", "authSource"]);
    assert!(!ended.stderr.contains("canary"));
    setup.set("source.mongodb.uri", uri_as(&mongo, "one:secret@"));
    let grant = "db.getSiblingDB(\"admin\").grantRolesToUser(\"one\", [{ role: \"readAnyDatabase\", db: \"admin\" }])";
    setup.fails(exit::SOURCE, &["not allowed", grant]);
    setup.set("source.mongodb.uri", uri_as(&mongo, ""));
    setup.fails(exit::SOURCE, &["not allowed", "nobody is logged in", "createUser"]);
    setup
        .set("source.mongodb.uri", uri_as(&mongo, ""))
        .set("source.mongodb.user", "app")
        .set("source.mongodb.password", "secret");
    assert_eq!(ops(&setup.catch_up()), "r");
}

#[test]
fn a_pipeline_that_the_server_refuses_is_told() {
    let test = "a_pipeline_that_the_server_refuses_is_told";
    let Some(mongo) = Mongo::alone(Options::default(), test) else { return };
    let database = database(&mongo);
    mongo.order(Fault {
        commands: vec!["aggregate".to_owned()],
        times: None,
        skip: 0,
        failure: Some(Failure::new(40324, "Location40324", "Unrecognized pipeline stage name")),
        close: false,
        block: Duration::ZERO,
    });
    setup(&mongo, &database).fails(exit::SOURCE, &["refuses its pipeline", "Unrecognized"]);
}

#[test]
fn servers_that_are_away_are_waited_for() {
    let mut setup = Setup::of_source(
        "away",
        json!({ "mongodb": {
            "uri": "mongodb://127.0.0.1:9/?replicaSet=rs0&serverSelectionTimeoutMS=300",
        } }),
    );
    setup.set("delivery.retry_budget", "1s");
    setup.fails(exit::SOURCE, &["reach 127.0.0.1:9", "net.bindIp"]);
}

/// Files of an authority and of a certificate for `name`, by the folder that they are in.
fn certificate(name: &str) -> std::path::PathBuf {
    let folder = crate::support::new_folder("mongo-tls");
    let openssl = |arguments: &str| {
        let mut command = std::process::Command::new("openssl");
        let made = command.args(arguments.split(' ')).current_dir(&folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
    );
    openssl(&format!(
        "req -newkey rsa:2048 -nodes -subj /CN={name} -keyout server.key -out server.csr"
    ));
    std::fs::write(folder.join("san"), format!("subjectAltName={name}")).unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem",
    );
    folder
}

#[test]
fn a_server_without_a_certificate_that_is_trusted_is_refused() {
    let test = "a_server_without_a_certificate_that_is_trusted_is_refused";
    let folder = certificate("IP:127.0.0.1");
    let tls = Some((folder.join("server.pem"), folder.join("server.key")));
    let Some(mongo) = Mongo::alone(Options { tls, ..Options::default() }, test) else { return };
    let database = database(&mongo);
    let mut setup = setup(&mongo, &database);
    let uri = |rest: &str| {
        let base = format!("mongodb://127.0.0.1:{}/?replicaSet=rs0", mongo.port());
        format!("{base}&serverSelectionTimeoutMS=2000{rest}")
    };
    setup.set("delivery.retry_budget", "1s");
    setup.set("source.mongodb.uri", uri("&tls=true"));
    setup.fails(exit::SOURCE, &["agree on TLS", "tlsCAFile"]);
    setup.set("source.mongodb.uri", uri(""));
    setup.fails(exit::SOURCE, &["reach 127.0.0.1"]);
    let ca = folder.join("ca.pem");
    setup.set("source.mongodb.uri", uri(&format!("&tls=true&tlsCAFile={}", ca.display())));
    assert_eq!(ops(&setup.catch_up()), "r");
}
