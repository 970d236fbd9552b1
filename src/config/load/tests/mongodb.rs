//! `source.mongodb`: what it needs, and what is said of what is wrong with it.

use super::*;

const MONGODB: &str = "\
pipeline: shop
source:
  mongodb:
    uri: mongodb://127.0.0.1/?replicaSet=rs0
sink: { stdout: {} }
";

#[test]
fn a_mongodb_source_needs_a_uri() {
    let Loaded { config, warnings } = parse_text(MONGODB).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let SourceConfig::Mongodb(source) = &config.source else { panic!("MongoDB") };
    assert_eq!(
        (&source.scope, source.servers().as_str()),
        (&CaptureScope::Deployment, "127.0.0.1:27017")
    );
    assert_eq!(source.full_document, FullDocument::Lookup);
    assert_eq!((source.pre_images, source.documents), (PreImages::Off, DocumentForm::Text));
    assert_eq!((source.await_time, source.message_bytes_max), (Duration::from_secs(1), 64 << 20));
    assert!(source.collections.matches("any", "thing"));
}

#[test]
fn a_mongodb_source_is_checked_at_its_own_place() {
    let check = |line: &str, expected: &str| {
        let text = MONGODB.replace("rs0", &format!("rs0\n    {line}"));
        assert_eq!(parse_text(&text).unwrap_err().lines(), [expected], "{line}");
    };
    check(
        "user: tailwater",
        "shop.yaml:4:5: source.mongodb: `user` and `password` are given together, or both in `uri`",
    );
    check(
        "capture_target: shop",
        "shop.yaml:5:21: source.mongodb.capture_target: a whole deployment has no target; set `capture_scope`",
    );
    check(
        "capture_scope: collection\n    capture_target: shop",
        "shop.yaml:6:21: source.mongodb.capture_target: expected the `database.collection` that `capture_scope` speaks of",
    );
    check(
        "capture_scope: database",
        "shop.yaml:4:5: source.mongodb.capture_target: expected the name of the database that `capture_scope` speaks of",
    );
    check(
        "collections: { include: [orders] }",
        "shop.yaml:5:30: source.mongodb.collections.include.0: `orders` is no pattern over `database.collection`: there is no dot in it, as in `shop.orders` or `shop.*`",
    );
    check(
        "collections: { include: [] }",
        "shop.yaml:5:29: source.mongodb.collections.include: an empty list captures nothing; leave the key out to capture every collection",
    );
    check(
        "fields: { exclude: [shop.orders] }",
        "shop.yaml:5:25: source.mongodb.fields.exclude.0: expected `database.collection.field`",
    );
    check(
        "fields: { rename: [\"*.orders.a\"] }",
        "shop.yaml:5:24: source.mongodb.fields.rename.0: expected `database.collection.field:new_name`",
    );
    let scoped =
        MONGODB.replace("rs0", "rs0\n    capture_scope: collection\n    capture_target: shop.a.b");
    let SourceConfig::Mongodb(source) = parse_text(&scoped).unwrap().config.source else {
        panic!("MongoDB")
    };
    let (database, collection) = ("shop".to_owned(), "a.b".to_owned());
    assert_eq!(source.scope, CaptureScope::Collection { database, collection });
}

#[test]
fn a_uri_is_never_shown_and_its_password_is_warned_of() {
    let uri = |uri: &str| MONGODB.replace("mongodb://127.0.0.1/?replicaSet=rs0", uri);
    let error = parse_text(&uri("\"mongodb://u:canary@h@x/\"")).unwrap_err();
    assert!(error.lines().concat().contains("source.mongodb.uri: no connection string"));
    assert!(!error.lines().concat().contains("canary"));
    let warned = |text: &str| {
        let Loaded { config, warnings } = parse_text(&uri(text)).unwrap();
        assert!(!format!("{config:?}").contains("canary"));
        warnings.iter().map(|warning| warning.problem.clone()).collect::<Vec<_>>().join("; ")
    };
    assert!(warned("mongodb://u:canary@127.0.0.1/").contains("plain text"));
    assert!(warned("mongodb://db.example.org/").contains("unencrypted"));
    assert_eq!(warned("mongodb://db.example.org/?tls=true"), "");
    assert_eq!(warned("mongodb+srv://db.example.org/"), "");
}
