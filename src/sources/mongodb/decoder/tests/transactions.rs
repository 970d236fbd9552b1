//! Transactions, where their begins and ends are asked for.

use super::*;
use crate::change::TransactionEdge;

/// Begins, ends, changes and positions, with transaction metadata.
#[derive(Default)]
struct Metadata(Vec<String>);

impl ChangeHandler for Metadata {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        self.0.push(match change.transaction {
            Some(name) => format!("of {}", shown(name)),
            None => "of none".to_owned(),
        });
        Ok(())
    }

    fn transaction(&mut self, edge: &TransactionEdge<'_>) -> Result<(), BoxError> {
        self.0.push(format!(
            "{:?} {} at {} ({})",
            edge.edge,
            shown(edge.name),
            edge.ts_ms,
            edge.id
        ));
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        let Position::Mongodb(position) = progress.position() else { panic!("{progress:?}") };
        self.0.push(format!("position {}", position.token));
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        Err(row.error)
    }
}

fn shown(name: TransactionName<'_>) -> String {
    let mut text = String::new();
    name.write(&mut text);
    text
}

fn metadata(batches: &[&[Driver]]) -> Vec<String> {
    metadata_of(Deployment::ReplicaSet, batches)
}

fn metadata_of(deployment: Deployment, batches: &[&[Driver]]) -> Vec<String> {
    let config = DecoderConfig { transaction_metadata: true, deployment, ..config() };
    let mut decoder = Decoder::new(config).unwrap();
    let mut out = Metadata::default();
    for batch in batches {
        let messages: Vec<Vec<u8>> = batch.iter().map(|m| m.to_vec().unwrap()).collect();
        decoder.decode(&raw(Stage::Stream, &messages), &Bump::new(), &mut out).unwrap();
    }
    out.0
}

/// An insert within a transaction.
fn within(increment: u32, place: u8, number: i64) -> Driver {
    let mut event = insert(increment);
    event.insert("_id", doc! { "_data": token_within(increment, place) });
    event.extend(doc! { "txnNumber": number, "lsid": { "id": 1 } });
    event
}

const LATER: &str = "826B005FA3000000032B0229296E04";

#[test]
fn a_transaction_ends_with_what_is_later_and_positions_wait_for_it() {
    let begin = |n, i| format!("Begin {{\"id\": 1}}:{n} at 1795186584000 (rs0/1795186584.{i})");
    let end = |n, i| format!("End {{\"id\": 1}}:{n} at 1795186584000 (rs0/1795186584.{i})");
    let of = |n| format!("of {{\"id\": 1}}:{n}");
    let position = |token: &str| format!("position {token}");
    // By another transaction, by an event of none; the batches' own tokens say nothing new.
    let found = metadata(&[
        &[insert(1), within(2, 0, 7), batch_end(&token_within(2, 0))],
        &[within(2, 1, 7), within(3, 0, 8), batch_end(&token_within(3, 0))],
        &[insert(4)],
    ]);
    let expected = [
        "of none".to_owned(),
        begin(7, 2),
        of(7),
        position(&token(1)),
        of(7),
        end(7, 2),
        begin(8, 3),
        of(8),
        position(&token_within(2, 1)),
        end(8, 3),
        "of none".to_owned(),
        position(&token(4)),
    ];
    assert_eq!(found, expected);
    // One after the other, each in a batch of its own.
    let found = metadata(&[&[within(2, 0, 7)], &[within(2, 1, 7)], &[within(3, 0, 8)]]);
    assert_eq!(found[5..], [of(8), position(&token_within(2, 1))]);
    // By a later token, or an event of a collection that is not captured.
    let ended = [begin(7, 2), of(7), end(7, 2), position(LATER)];
    assert_eq!(metadata(&[&[within(2, 0, 7)], &[batch_end(LATER)]]), ended);
    let mut filtered = insert(3);
    filtered.insert("ns", doc! { "db": "shop", "coll": "secret" });
    let ended = [begin(7, 2), of(7), end(7, 2), position(&token(3))];
    assert_eq!(metadata(&[&[within(2, 0, 7)], &[filtered]]), ended);
}

/// The fragments of an event at the end of a transaction.
fn of_transaction() -> [Driver; 3] {
    fragments().map(|mut fragment| {
        let number = fragment.get_document("splitEvent").unwrap().get_i32("fragment").unwrap();
        fragment.insert("_id", doc! { "_data": format!("{}{number:02}", token_within(9, 1)) });
        if number == 1 {
            fragment.extend(doc! { "txnNumber": 7_i64, "lsid": { "id": 1 } });
        }
        fragment
    })
}

/// Behind it there is no place to start again from, and before it the transaction is half.
#[test]
fn behind_a_transaction_that_ends_with_a_split_event_the_place_is_later() {
    let [first, second, third] = of_transaction();
    let found = metadata(&[&[insert(8), within(9, 0, 7)], &[first, second, third, insert(10)]]);
    let positions: Vec<&String> = found.iter().filter(|l| l.starts_with("position")).collect();
    assert_eq!(
        positions,
        [&format!("position {}", token(8)), &format!("position {}", token(10))],
        "{found:?}"
    );
    let [first, second, third] = of_transaction();
    let batch = [insert(8), within(9, 0, 7), first, second, third, within(10, 0, 8)];
    let found = metadata(&[&batch]);
    assert_eq!(found.last(), Some(&format!("position {}", token(8))), "{found:?}");
}

/// Each of them commits at a time of its own.
#[test]
fn a_transaction_of_several_shards_ends_with_what_is_not_its_own() {
    let found = |batches: &[&[Driver]]| -> Vec<String> {
        let found = metadata_of(Deployment::Sharded, batches);
        let word = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
        found.iter().map(word).collect()
    };
    let later = |seconds: u32| batch_end(&format!("82{:08X}000000032B0229296E04", TIME + seconds));
    let (first, second, third) = (within(2, 0, 7), within(4, 0, 7), within(6, 0, 7));
    let whole =
        found(&[&[first.clone(), second.clone()], std::slice::from_ref(&third), &[insert(7)]]);
    assert_eq!(whole, ["Begin", "of", "of", "of", "End", "of", "position"]);
    // A token says nothing of the other shards, for a while.
    let quiet = found(&[&[first.clone(), later(1)], &[second.clone(), later(59)], &[later(61)]]);
    assert_eq!(quiet, ["Begin", "of", "of", "End", "position"]);
    // As Debezium tells it.
    let between = found(&[&[first, insert(3), second, insert(5)]]);
    assert_eq!(between, ["Begin", "of", "End", "of", "Begin", "of", "End", "of", "position"]);
    // Of a collection that is not captured: its own, and another's.
    let secret = |mut event: Driver| {
        event.insert("ns", doc! { "db": "shop", "coll": "secret" });
        event
    };
    let own = found(&[&[within(2, 0, 7), secret(within(3, 0, 7)), third.clone()]]);
    assert_eq!(own, ["Begin", "of", "of"]);
    let others = found(&[&[within(2, 0, 7), secret(within(3, 0, 8)), third]]);
    assert_eq!(others, ["Begin", "of", "End", "Begin", "of", "position"]);
}

#[test]
fn without_metadata_a_position_may_be_within_a_transaction() {
    assert_eq!(seen(&[within(2, 0, 7), within(2, 1, 7)]).positions, [token_within(2, 1)]);
}
