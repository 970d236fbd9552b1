//! The played server under the official driver, before anything is built on it.

use futures_util::StreamExt as _;
use mongodb::bson::{Document, doc};
use mongodb::options::FullDocumentType;

use crate::support::mongodb::state::Options;
use crate::support::mongodb::{Mongo, block};
use crate::support::{knob, unique};

/// Nothing to check: a server to look at by hand, or for another process.
#[test]
fn it_serves_for_a_while_when_it_is_asked_to() {
    let seconds = knob("TAILWATER_MONGODB_SERVE_SECONDS", 0);
    if seconds == 0 {
        return;
    }
    let port = u16::try_from(knob("TAILWATER_MONGODB_SERVE_PORT", 27017)).unwrap();
    let wire = i32::try_from(knob("TAILWATER_MONGODB_SERVE_WIRE", 21)).unwrap();
    let mongo = Mongo::play_on(Options::of_wire(wire), port);
    println!("serving {} for {seconds} s", mongo.uri);
    std::thread::sleep(std::time::Duration::from_secs(seconds));
}

#[test]
fn the_driver_writes_reads_and_watches() {
    let mongo = Mongo::shared();
    let name = unique("driver");
    let all = mongo.collection(&name, "a");
    let mut stream =
        block(mongo.database(&name).watch().full_document(FullDocumentType::UpdateLookup)).unwrap();
    let documents: Vec<Document> = (0..300).map(|n| doc! { "_id": n, "v": 1 }).collect();
    block(all.insert_many(&documents)).unwrap();
    block(all.update_one(doc! { "_id": 7 }, doc! { "$set": { "v": 2 } })).unwrap();
    block(all.replace_one(doc! { "_id": 8 }, doc! { "r": true })).unwrap();
    block(all.delete_one(doc! { "_id": 9 })).unwrap();
    let found: Vec<Document> = block(async {
        let cursor = all.find(doc! { "_id": { "$gte": 7 } }).batch_size(50).await.unwrap();
        cursor.map(|one| one.unwrap()).collect().await
    });
    assert_eq!(found.len(), 292);
    assert_eq!(found[0], doc! { "_id": 7, "v": 2 });
    assert_eq!(found[1], doc! { "_id": 8, "r": true });
    assert_eq!(block(all.count_documents(doc! {})).unwrap(), 299);
    let mut seen = vec![];
    while seen.len() < 303 {
        let event = block(stream.next()).unwrap().unwrap();
        seen.push(format!("{:?}", event.operation_type));
    }
    assert!(seen[..300].iter().all(|o| o == "Insert"), "{seen:?}");
    assert_eq!(seen[300..], ["Update", "Replace", "Delete"]);
    block(mongo.database(&name).drop()).unwrap();
}
