//! What `source` does not have of mistakes and losses: the rights that are enough, a log that is
//! lost as servers of two generations tell it, an old server.

use mongodb::bson::doc;

use super::basics::ops;
use crate::support::mongodb::auth::User;
use crate::support::mongodb::state::Options;
use crate::support::mongodb::{Mongo, block};
use crate::support::tailwater::{Setup, exit};
use crate::support::unique;

/// A database with one document, captured.
fn captured(mongo: &Mongo) -> (String, Setup) {
    let name = unique("mongo_bad");
    block(mongo.collection(&name, "t").insert_one(doc! { "_id": 1 })).unwrap();
    let setup = Setup::mongodb(mongo, &name);
    (name, setup)
}

fn with_users(test: &str, user: User) -> Option<Mongo> {
    let root = User::new("root", "top", &["root"]);
    Mongo::alone(Options { users: vec![root, user], ..Options::default() }, test)
}

/// As that user, who is not in the URI.
fn log_in(setup: &mut Setup, mongo: &Mongo, (user, password): (&str, &str)) {
    let uri = format!("mongodb://127.0.0.1:{}/?replicaSet=rs0", mongo.port());
    setup
        .set("source.mongodb.uri", uri)
        .set("source.mongodb.user", user)
        .set("source.mongodb.password", password);
}

#[test]
fn the_documented_roles_are_enough() {
    let test = "mongodb::bad_input::the_documented_roles";
    let user = User::new("cdc", "secret", &["readAnyDatabase", "clusterMonitor"]);
    let Some(mongo) = with_users(test, user) else { return };
    let (_, mut setup) = captured(&mongo);
    log_in(&mut setup, &mongo, ("cdc", "secret"));
    assert_eq!(ops(&setup.catch_up()), "r");
}

/// MG-01: never from "now", whatever the code is that tells it.
#[test]
fn a_token_that_the_log_has_lost_stops_and_says_how_to_go_on() {
    for (wire, code) in [(9, "280"), (21, "286")] {
        let options = Options::of_wire(wire);
        let Some(mongo) = Mongo::alone(options, "mongodb::bad_input::a_token_that_is_lost") else {
            return;
        };
        let (name, setup) = captured(&mongo);
        assert_eq!(ops(&setup.catch_up()), "r");
        let t = mongo.collection(&name, "t");
        block(t.insert_one(doc! { "_id": 2 })).unwrap();
        assert_eq!(ops(&setup.catch_up()), "c");
        block(t.insert_one(doc! { "_id": 3 })).unwrap();
        mongo.noop();
        mongo.forget_log();
        block(t.insert_one(doc! { "_id": 4 })).unwrap();
        let said = ["oplog does not reach back", code, "offsets reset", "replSetResizeOplog"];
        let ended = setup.fails(exit::SOURCE, &said);
        assert_eq!(ended.stdout, "", "nothing was sent from anywhere else");
    }
}

/// Versions before 6.0 have no images: the message says which one has.
#[test]
fn an_old_server_is_told_what_it_lacks() {
    let Some(mongo) = Mongo::of_version(9, "mongodb::bad_input::an_old_server") else { return };
    let (name, mut setup) = captured(&mongo);
    setup.set("source.mongodb.pre_images", "when_available");
    setup.fails(exit::SOURCE, &["4.4", "6.0", "pre_images"]);
    block(mongo.database(&name).drop()).unwrap();
}
