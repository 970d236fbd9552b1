//! Transaction metadata: begins, ends, and the place of each event between them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

/// The topic of begins and ends, below the prefix.
const TOPIC: &str = ".transaction";

/// What all events of a transaction have in common of their names: PostgreSQL's go on with the
/// place of each.
fn common(name: &str) -> &str {
    match name.split_once(':') {
        Some((xid, _)) if xid.bytes().all(|b| b.is_ascii_digit()) => xid,
        Some(_) | None => name,
    }
}

/// Puts the number of the transaction, in the order of begins and ends, in place of its name.
pub(crate) fn number(topics: &mut BTreeMap<String, Vec<Value>>) {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let edges = topics.iter().filter(|(topic, _)| topic.ends_with(TOPIC));
    for record in edges.flat_map(|(_, records)| records) {
        let next = numbers.len();
        let name = record["value"]["id"].as_str().expect("it has a name");
        numbers.entry(common(name).to_owned()).or_insert(next);
    }
    let rename = |place: Option<&mut Value>| {
        let Some(place) = place else { return };
        let Some(name) = place.as_str() else { return };
        let begin = common(name);
        let at = if begin.len() < name.len() { ":N" } else { "" };
        *place = match numbers.get(begin) {
            Some(number) => json!(format!("transaction {number}{at}")),
            None => json!(format!("a transaction without begin{at}")),
        };
    };
    for (topic, records) in topics {
        for record in records {
            if topic.ends_with(TOPIC) {
                rename(record.pointer_mut("/key/id"));
                rename(record.pointer_mut("/value/id"));
            }
            rename(record.pointer_mut("/value/transaction/id"));
        }
    }
}
