//! What a start proves before it goes on: that the deployment is the one that was read, that it has
//! what was read, that the token's event is there, and what follows where one of these is late,
//! lost, or not told.

use std::time::Duration;

use mongodb::bson::doc;

use super::source::{arrives, database, insert, ops, setup};
use crate::support::mongodb::auth::User;
use crate::support::mongodb::failure::Failure;
use crate::support::mongodb::state::{Fault, Options};
use crate::support::mongodb::{Mongo, block};
use crate::support::proxy::Proxy;
use crate::support::seconds;
use crate::support::tailwater::exit;

fn fault(command: &str, times: Option<u32>, failure: Option<Failure>) -> Fault {
    let commands = vec![command.to_owned()];
    Fault { commands, times, skip: 0, failure, close: false, block: Duration::ZERO }
}

/// MG-03: a server says that the event of a token is not there when it has found another, which
/// may be long after the stream was opened.
#[test]
fn a_token_whose_event_is_missed_late_is_gone_on_from_by_its_time() {
    for wire in [9, 21] {
        let test = "mongodb::resume::a_token_whose_event_is_missed_late";
        let Some(mongo) = Mongo::alone(Options::of_wire(wire), test) else { return };
        let database = database(&mongo);
        insert(&mongo, &database, "b", doc! { "_id": 1 });
        let mut one = setup(&mongo, &database);
        one.set("snapshot.mode", "no_data")
            .set("source.mongodb.capture_scope", "collection")
            .set("source.mongodb.capture_target", format!("{database}.a"));
        let tailwater = one.start();
        tailwater.ready();
        insert(&mongo, &database, "a", doc! { "_id": 2 });
        arrives(&tailwater, 1);
        assert_eq!(ops(&tailwater.stop().expect(0, &[])), "c");
        insert(&mongo, &database, "b", doc! { "_id": 3 });
        one.set("source.mongodb.capture_target", format!("{database}.b"));
        let slow = Fault { block: Duration::from_secs(2), ..fault("getMore", Some(1), None) };
        mongo.order(slow);
        let tailwater = one.start();
        arrives(&tailwater, 1);
        tailwater.says("the checkpoint's own event is not in what is captured now", seconds(1));
        assert_eq!(ops(&tailwater.stop().expect(0, &[])), "c", "wire {wire}");
    }
}

/// The filter leaves out the event of the token, and nothing that is captured comes for a while:
/// the server's token moves on, and still it says of the next event that the first is missing.
/// That was taken for a log that is lost.
#[test]
fn a_token_whose_event_is_missed_behind_an_idle_time_is_no_lost_log() {
    for is_told in [true, false] {
        let test = "mongodb::resume::a_token_whose_event_is_missed_behind_an_idle_time";
        let reader = User::new("one", "secret", &["read@shop_of_idle"]);
        let users = vec![User::new("root", "top", &["root"]), reader];
        let options = Options { users, noop: Duration::from_secs(3600), ..Options::default() };
        let Some(mongo) = Mongo::alone(options, test) else { return };
        let database = "shop_of_idle";
        insert(&mongo, database, "a", doc! { "_id": 1 });
        let mut one = setup(&mongo, database);
        let user = if is_told { "root:top" } else { "one:secret" };
        let uri = format!("mongodb://{user}@127.0.0.1:{}/?replicaSet=rs0", mongo.port());
        one.set("source.mongodb.uri", uri)
            .set("snapshot.mode", "no_data")
            .set("delivery.checkpoint_interval", "100ms")
            .set("source.mongodb.capture_scope", "database")
            .set("source.mongodb.capture_target", database);
        let tailwater = one.start();
        tailwater.ready();
        insert(&mongo, database, "b", doc! { "_id": 2 });
        arrives(&tailwater, 1);
        // The checkpoint is the event's own place.
        drop(tailwater.stop().expect(0, &[]));
        one.set("source.mongodb.collections.include", vec![format!("{database}.a")]);
        let tailwater = one.start();
        tailwater.ready();
        mongo.noop();
        std::thread::sleep(Duration::from_secs(3));
        insert(&mongo, database, "a", doc! { "_id": 3 });
        arrives(&tailwater, 1);
        insert(&mongo, database, "a", doc! { "_id": 4 });
        arrives(&tailwater, 2);
        tailwater.says("is not in what is captured now", seconds(1));
        assert_eq!(ops(&tailwater.stop().expect(0, &[])), "cc", "told: {is_told}");
    }
}

/// A router has no oplog to look at, and a plain reader may not look at one: how far back it goes
/// is the stream's to say.
#[test]
fn a_token_whose_event_is_missed_needs_no_look_at_the_oplog() {
    for router in [true, false] {
        let test = "mongodb::resume::a_token_whose_event_is_missed_needs_no_look";
        let reader = User::new("app", "secret", &["readAnyDatabase"]);
        let users = vec![User::new("root", "top", &["root"]), reader];
        let users = if router { vec![] } else { users };
        let noop = Duration::from_secs(3600);
        let options = Options { router, users, noop, ..Options::default() };
        let Some(mongo) = Mongo::alone(options, test) else { return };
        let database = database(&mongo);
        let mut one = setup(&mongo, &database);
        if !router {
            let port = mongo.port();
            let uri = format!("mongodb://app:secret@127.0.0.1:{port}/?replicaSet=rs0");
            one.set("source.mongodb.uri", uri);
        }
        one.set("snapshot.mode", "no_data");
        let tailwater = one.start();
        tailwater.ready();
        insert(&mongo, &database, "b", doc! { "_id": 2 });
        arrives(&tailwater, 1);
        drop(tailwater.stop().expect(0, &[]));
        insert(&mongo, &database, "b", doc! { "_id": 3 });
        insert(&mongo, &database, "a", doc! { "_id": 4 });
        one.set("source.mongodb.collections.include", vec![format!("{database}.a")]);
        let ended = one.catch_up();
        assert_eq!(ops(&ended), "c", "router: {router}");
        let said = "the checkpoint's own event is not in what is captured now";
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}

/// A plain reader is told nothing of the replica set's id.
#[test]
fn another_deployment_is_told_without_the_right_to_ask_for_its_id() {
    let test = "mongodb::resume::another_deployment_is_told";
    let users = || {
        let read = User::new("app", "secret", &["readAnyDatabase"]);
        vec![User::new("root", "top", &["root"]), read]
    };
    let play = || Mongo::alone(Options { users: users(), ..Options::default() }, test);
    let (Some(mongo), Some(other)) = (play(), play()) else { return };
    let uri =
        |mongo: &Mongo| format!("mongodb://app:secret@127.0.0.1:{}/?replicaSet=rs0", mongo.port());
    let database = database(&mongo);
    insert(&other, &database, "a", doc! { "_id": 7 });
    let mut setup = setup(&mongo, &database);
    setup.set("source.mongodb.uri", uri(&mongo));
    assert_eq!(ops(&setup.catch_up()), "r");
    insert(&mongo, &database, "a", doc! { "_id": 2 });
    let ended = setup.catch_up();
    assert_eq!(ops(&ended), "c");
    assert!(!ended.stderr.contains("of the same name"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("its name is all"), "{}", ended.stderr);
    setup.set("source.mongodb.uri", uri(&other));
    let said = ["resume at", "admin.system.version", "offsets reset"];
    assert_eq!(ops(&setup.fails(exit::SOURCE, &said)), "");
}

/// Who may read one database only cannot be told of another deployment, and hears of that.
#[test]
fn a_deployment_that_nothing_is_told_of_is_warned_of() {
    let test = "mongodb::resume::a_deployment_that_nothing_is_told_of";
    let users = vec![
        User::new("root", "top", &["root"]),
        User::new("one", "secret", &["read@shop_of_one"]),
    ];
    let Some(mongo) = Mongo::alone(Options { users, ..Options::default() }, test) else { return };
    insert(&mongo, "shop_of_one", "a", doc! { "_id": 1 });
    let mut setup = setup(&mongo, "shop_of_one");
    setup
        .set(
            "source.mongodb.uri",
            format!("mongodb://one:secret@127.0.0.1:{}/?replicaSet=rs0", mongo.port()),
        )
        .set("source.mongodb.capture_scope", "database")
        .set("source.mongodb.capture_target", "shop_of_one");
    let ended = setup.catch_up();
    assert_eq!(ops(&ended), "r");
    assert!(ended.stderr.contains("could not be told from it"), "{}", ended.stderr);
    assert!(ended.stderr.contains("clusterMonitor"), "{}", ended.stderr);
    let ended = setup.catch_up();
    assert!(ended.stderr.contains("its name is all"), "{}", ended.stderr);
}

/// A member that has not yet heard of what was read is not one that lost it.
#[test]
fn a_member_that_lags_is_waited_for_and_a_deployment_without_what_was_read_is_refused() {
    let test = "mongodb::resume::a_member_that_lags";
    let Some(mongo) = Mongo::alone(Options::default(), test) else { return };
    let database = database(&mongo);
    let setup = setup(&mongo, &database);
    assert_eq!(ops(&setup.catch_up()), "r");
    let lag = |length| {
        mongo.lag(length);
        // Of seconds that the server seems not to know of.
        std::thread::sleep(Duration::from_millis(1100));
    };
    lag(Duration::from_secs(7));
    insert(&mongo, &database, "a", doc! { "_id": 2 });
    let tailwater = setup.start();
    arrives(&tailwater, 1);
    // The checkpoint is beyond what the server says now.
    std::thread::sleep(Duration::from_millis(700));
    tailwater.kill();
    insert(&mongo, &database, "a", doc! { "_id": 3 });
    let tailwater = setup.start();
    arrives(&tailwater, 1);
    let ended = tailwater.stop().expect(0, &[]);
    assert_eq!(ops(&ended), "c", "it went on when the server knew again");
    lag(Duration::from_secs(60));
    insert(&mongo, &database, "a", doc! { "_id": 4 });
    let tailwater = setup.start();
    arrives(&tailwater, 1);
    std::thread::sleep(Duration::from_millis(700));
    tailwater.kill();
    let said = ["and the newest there is", "restored from a backup", "offsets reset"];
    assert_eq!(ops(&setup.fails(exit::SOURCE, &said)), "");
}

/// What was sent is gone on from; what was not is told of.
#[test]
fn no_data_goes_on_from_where_an_unfinished_snapshot_began() {
    let mongo = Mongo::shared();
    let database = database(mongo);
    let all = (10..4000).map(|n| doc! { "_id": n, "text": "x".repeat(200) });
    block(mongo.collection(&database, "a").insert_many(all)).unwrap();
    let mut setup = setup(mongo, &database);
    let mut armed = setup.clone();
    armed.env("FAILPOINTS", "delivered=1*off->return");
    armed.start().wait(seconds(60)).expect(exit::ABORTED, &[]);
    let t = mongo.collection(&database, "a");
    block(t.delete_one(doc! { "_id": 1 })).unwrap();
    block(t.insert_one(doc! { "_id": 5000 })).unwrap();
    setup.set("snapshot.mode", "no_data");
    let ended = setup.catch_up();
    assert_eq!(ops(&ended), "d-c", "the changes since it began");
    assert!(ended.stderr.contains("does not take it up"), "{}", ended.stderr);
    insert(mongo, &database, "a", doc! { "_id": 5001 });
    assert_eq!(ops(&setup.catch_up()), "c");
}

/// In the middle of an upgrade, and behind a feature that is not switched on.
#[test]
fn words_that_a_server_does_not_know_are_left_out() {
    let test = "mongodb::resume::words_that_a_server_does_not_know";
    let options = Options { plain: true, ..Options::of_wire(21) };
    let Some(mongo) = Mongo::alone(options, test) else { return };
    let database = database(&mongo);
    let setup = setup(&mongo, &database);
    let ended = setup.catch_up();
    assert_eq!(ops(&ended), "r");
    assert!(ended.stderr.contains("events beyond 16 MB cannot be sent"), "{}", ended.stderr);
    insert(&mongo, &database, "a", doc! { "_id": 2 });
    assert_eq!(ops(&setup.catch_up()), "c");
}

/// A router that has lost its config servers finds no users: it says what it says of a wrong
/// password.
#[test]
fn a_login_that_fails_after_others_is_tried_again() {
    let test = "mongodb::resume::a_login_that_fails_after_others";
    let users = vec![User::new("root", "top", &["root"])];
    let Some(mongo) = Mongo::alone(Options { users, ..Options::default() }, test) else { return };
    let database = database(&mongo);
    let tailwater = setup(&mongo, &database).start();
    tailwater.ready();
    arrives(&tailwater, 1);
    let refused = Failure::new(18, "AuthenticationFailed", "Authentication failed.");
    mongo.order(fault("saslStart", None, Some(refused)));
    mongo.cut();
    tailwater.says("log in to", seconds(20));
    std::thread::sleep(Duration::from_secs(1));
    mongo.order_nothing();
    let inserted = crate::support::eventually(seconds(20), || {
        let document = doc! { "_id": 2 };
        block(mongo.collection(&database, "a").insert_one(document)).ok()
    });
    assert!(inserted.is_some());
    arrives(&tailwater, 2);
    tailwater.stop().expect(0, &[]);
}

/// MG-16: a secondary may delete documents that have moved to another shard under a long read.
#[test]
fn what_is_read_of_shards_without_a_moment_is_read_from_primaries() {
    let test = "mongodb::resume::what_is_read_of_shards";
    let Some(mongo) = Mongo::alone(Options { router: true, ..Options::default() }, test) else {
        return;
    };
    let database = database(&mongo);
    let mut setup = setup(&mongo, &database);
    setup.set("source.mongodb.uri", format!("{}&readPreference=secondary", mongo.uri));
    let too_old = Failure::new(239, "SnapshotTooOld", "Read timestamp is older");
    // The cluster's id is asked for twice, and the oplog looked at.
    mongo.order(Fault { skip: 3, ..fault("find", Some(1), Some(too_old)) });
    assert_eq!(ops(&setup.catch_up()), "r");
    let reads: Vec<(String, String)> = mongo
        .finds("a")
        .iter()
        .map(|find| {
            let part = |of: &str, name: &str| {
                let part = find.get_document(of).and_then(|part| part.get_str(name));
                part.unwrap_or("none").to_owned()
            };
            (part("readConcern", "level"), part("$readPreference", "mode"))
        })
        .collect();
    // A limit that the server has for reads of applications ends none of them.
    assert!(mongo.finds("a").iter().all(|find| find.contains_key("maxTimeMS")));
    let expected = [("snapshot", "secondary"), ("majority", "none")];
    assert_eq!(reads, expected.map(|(level, mode)| (level.to_owned(), mode.to_owned())));
    insert(&mongo, &database, "a", doc! { "_id": 2 });
    assert_eq!(ops(&setup.catch_up()), "c");
}

/// A question that stays open is not a server that is gone; one that answers nothing is.
#[test]
fn a_server_that_answers_nothing_any_more_is_found_out() {
    let test = "mongodb::resume::a_server_that_answers_nothing";
    let Some(mongo) = Mongo::alone(Options::default(), test) else { return };
    let database = database(&mongo);
    let proxy = Proxy::start(mongo.port());
    let mut setup = setup(&mongo, &database);
    setup
        .set("source.mongodb.await_time", "30s")
        .env("FAILPOINTS", "quiet=return(1000)")
        .env("RUST_LOG", "tailwater=debug");
    let tailwater = setup.start();
    tailwater.ready();
    tailwater.says("the server looks for the next event", seconds(20));
    drop(tailwater.stop().expect(0, &[]));
    setup.set("source.mongodb.uri", mongo.uri_through(proxy.port));
    let tailwater = setup.start();
    tailwater.ready();
    proxy.stall(true);
    tailwater.says("did not answer a ping within 1000 ms", seconds(30));
    proxy.stall(false);
    insert(&mongo, &database, "a", doc! { "_id": 2 });
    arrives(&tailwater, 1);
    tailwater.stop().expect(0, &[]);
}
