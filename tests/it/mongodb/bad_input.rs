//! Mistakes of people and servers: each ends with the documented exit code and a message that says
//! what to do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mongodb::bson::doc;

use super::basics::ops;
use crate::support::mongodb::auth::User;
use crate::support::mongodb::failure::Failure;
use crate::support::mongodb::state::{Fault, Options};
use crate::support::mongodb::{Mongo, block};
use crate::support::tailwater::{Setup, exit};
use crate::support::{new_folder, unique};

/// A database with one document, captured.
fn captured(mongo: &Mongo) -> (String, Setup) {
    let name = unique("mongo_bad");
    block(mongo.collection(&name, "t").insert_one(doc! { "_id": 1 })).unwrap();
    let setup = Setup::mongodb(mongo, &name);
    (name, setup)
}

#[test]
fn a_server_that_stands_alone_is_told_from_a_replica_set() {
    let test = "mongodb::bad_input::a_server_that_stands_alone";
    let options = Options { standalone: true, ..Options::default() };
    let Some(mongo) = Mongo::alone(options, test) else { return };
    let (_, setup) = captured(&mongo);
    setup.fails(exit::SOURCE, &["stands alone", "--replSet", "rs.initiate()"]);
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
fn missing_privileges_name_the_role_to_grant() {
    let test = "mongodb::bad_input::missing_privileges";
    let user = User::new("cdc", "secret", &["clusterMonitor"]);
    let Some(mongo) = with_users(test, user) else { return };
    let (_, mut setup) = captured(&mongo);
    log_in(&mut setup, &mongo, ("cdc", "secret"));
    let said = ["not allowed", "Unauthorized (13)", "grantRolesToUser", "readAnyDatabase"];
    setup.fails(exit::SOURCE, &said);
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

#[test]
fn a_wrong_password_is_told_and_not_shown() {
    let test = "mongodb::bad_input::a_wrong_password";
    let user = User::new("cdc", "secret", &["readAnyDatabase", "clusterMonitor"]);
    let Some(mongo) = with_users(test, user) else { return };
    let (_, mut setup) = captured(&mongo);
    log_in(&mut setup, &mongo, ("cdc", "wr0ng-one"));
    let ended = setup.fails(exit::SOURCE, &["log in to", "`cdc`", "authSource"]);
    assert!(!ended.stderr.contains("wr0ng-one"), "{}", ended.stderr);
}

/// Certificate and key of a server, signed by an authority; the folder has `ca.pem` and `other.pem`.
fn certificates() -> PathBuf {
    let folder = new_folder("mongo_tls");
    let openssl = |arguments: &str| {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let output = Command::new("openssl").args(words).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    for name in ["ca", "other"] {
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }
    std::fs::write(folder.join("extensions"), "subjectAltName=IP:127.0.0.1,DNS:localhost").unwrap();
    openssl("req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr");
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem",
    );
    folder
}

fn tls_uri(mongo: &Mongo, folder: &Path, authority: &str) -> String {
    let file = folder.join(authority);
    format!(
        "mongodb://127.0.0.1:{}/?replicaSet=rs0&tls=true&tlsCAFile={}&serverSelectionTimeoutMS=3000",
        mongo.port(),
        file.display()
    )
}

#[test]
fn an_unknown_authority_is_refused_and_the_right_one_is_enough() {
    let folder = certificates();
    let tls = Some((folder.join("server.pem"), folder.join("server.key")));
    let options = Options { tls, ..Options::default() };
    let Some(mongo) = Mongo::alone(options, "mongodb::bad_input::an_unknown_authority") else {
        return;
    };
    let (_, mut setup) = captured(&mongo);
    setup.set("source.mongodb.uri", tls_uri(&mongo, &folder, "other.pem"));
    setup.fails(exit::SOURCE, &["tlsCAFile"]);
    setup.set("source.mongodb.uri", tls_uri(&mongo, &folder, "ca.pem"));
    assert_eq!(ops(&setup.catch_up()), "r");
}

#[test]
fn an_unknown_collection_is_named_with_those_that_are_there() {
    let mongo = Mongo::shared();
    let (name, mut setup) = captured(mongo);
    setup.set("source.mongodb.collections.include", vec![format!("{name}.tt")]);
    let missing = format!("`{name}.tt`");
    setup.fails(exit::SOURCE, &["no such collection", &missing, "createCollection"]);
    block(mongo.database(&name).drop()).unwrap();
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

#[test]
fn a_pipeline_that_the_server_refuses_is_told() {
    let options = Options::default();
    let Some(mongo) = Mongo::alone(options, "mongodb::bad_input::a_refused_pipeline") else {
        return;
    };
    let (name, setup) = captured(&mongo);
    assert_eq!(ops(&setup.catch_up()), "r");
    block(mongo.collection(&name, "t").insert_one(doc! { "_id": 2 })).unwrap();
    let message = "Regular expression is invalid: regular expression is too large";
    mongo.order(Fault {
        commands: vec!["aggregate".to_owned()],
        times: None,
        skip: 0,
        failure: Some(Failure::new(51091, "Location51091", message)),
        close: false,
        block: Duration::ZERO,
    });
    setup.fails(exit::SOURCE, &["refuses its pipeline", "too large", "source.mongodb.collections"]);
}

#[test]
fn another_deployments_token_is_refused_before_anything_is_read() {
    let test = "mongodb::bad_input::another_deployment";
    let (Some(one), Some(other)) =
        (Mongo::alone(Options::default(), test), Mongo::alone(Options::default(), test))
    else {
        return;
    };
    let (name, mut setup) = captured(&one);
    assert_eq!(ops(&setup.catch_up()), "r");
    block(other.collection(&name, "t").insert_one(doc! { "_id": 9 })).unwrap();
    setup.set("source.mongodb.uri", other.uri.clone());
    setup.fails(exit::SOURCE, &["the checkpoint is a place in", "offsets reset"]);
}

#[test]
fn images_that_a_collection_does_not_keep_are_asked_for_by_name() {
    let mongo = Mongo::shared();
    if mongo.wire() < 17 {
        println!("SKIPPED mongodb::bad_input::images: the server keeps none");
        return;
    }
    let (name, mut setup) = captured(mongo);
    for key in ["pre_images", "full_document"] {
        let mut setup = setup.clone();
        setup.set(&format!("source.mongodb.{key}"), "required");
        setup.fails(exit::SOURCE, &[key, "collMod", "changeStreamPreAndPostImages"]);
    }
    let images = doc! { "collMod": "t", "changeStreamPreAndPostImages": { "enabled": true } };
    block(mongo.database(&name).run_command(images)).unwrap();
    setup.set("source.mongodb.pre_images", "required");
    assert_eq!(ops(&setup.catch_up()), "r");
    block(mongo.database(&name).drop()).unwrap();
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
