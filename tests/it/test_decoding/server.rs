//! What `test_decoding` says of a slot's log, with its values in the form of ours.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::text::{self, Line, Literal, Printed};
use super::{Change, Field, Told, Transaction};
use crate::ledger::lsn;
use crate::support::postgres::Session;

/// Type and printed value -> ours.
type Converted = BTreeMap<(String, String), String>;

/// Everything in the slot. The session prints in a time zone and in forms of its own, which must
/// make no difference.
pub(super) fn transactions(session: &Session, slot: &str) -> Vec<Transaction> {
    session.run(
        "set timezone = 'Asia/Kathmandu'; set intervalstyle = 'iso_8601';
         set bytea_output = 'escape'; set datestyle = 'ISO'; set extra_float_digits = 1",
    );
    let rows = session.rows(&format!(
        "select lsn, data from pg_logical_slot_get_changes('{slot}', null, null,
         'include-xids', 'on', 'skip-empty-xacts', 'on')"
    ));
    let mut found: Vec<(u64, Vec<(u64, Line)>)> = Vec::new();
    for row in &rows {
        let (at, data) = (row[0].as_deref().unwrap(), row[1].as_deref().unwrap());
        if let Some(xid) = data.strip_prefix("BEGIN ") {
            found.push((xid.parse().unwrap(), Vec::new()));
        } else if let Some(xid) = data.strip_prefix("COMMIT ") {
            assert_eq!(found.last().map(|(begun, _)| begun.to_string()).as_deref(), Some(xid));
        } else {
            found.last_mut().expect("BEGIN came first").1.push((lsn(at), text::line(data)));
        }
    }
    let converted = convert(session, found.iter().flat_map(|(_, lines)| lines).map(|(_, l)| l));
    let transaction = |(xid, lines): (u64, Vec<(u64, Line)>)| {
        let changes = lines.into_iter().flat_map(|(lsn, line)| changes(lsn, &line, &converted));
        Transaction { xid, changes: changes.collect() }
    };
    found.into_iter().map(transaction).collect()
}

fn changes(lsn: u64, line: &Line, converted: &Converted) -> Vec<Change> {
    let told = |row: &Option<Vec<Printed>>| -> Option<Vec<Field>> {
        row.as_ref().map(|row| row.iter().map(|column| told(column, converted)).collect())
    };
    let (old, mut new) = (told(&line.old), told(&line.new));
    // A large value that did not change stands in the old row alone, where the log has that whole.
    for (name, value) in new.iter_mut().flatten().filter(|(_, told)| *told == Told::Unchanged) {
        if let Some((_, before)) = old.iter().flatten().find(|(other, _)| other == name) {
            value.clone_from(before);
        }
    }
    let change = |table: &String| Change {
        lsn,
        table: table.clone(),
        op: line.op,
        old: old.clone(),
        new: new.clone(),
    };
    line.tables.iter().map(change).collect()
}

fn told(column: &Printed, converted: &Converted) -> Field {
    let told = match &column.literal {
        Literal::Null => Told::Null,
        Literal::UnchangedToast => Told::Unchanged,
        Literal::Value(text) => {
            let known = converted.get(&(column.type_name.clone(), text.clone()));
            Told::Text(known.cloned().unwrap_or_else(|| same(&column.type_name, text)))
        }
    };
    (column.name.clone(), told)
}

/// Types whose values are the printed text, or nearly so.
fn same(type_name: &str, text: &str) -> String {
    match type_name {
        "bit" => (text == "1").to_string(),
        "real" => format!("{:?}", text.parse::<f32>().unwrap()),
        "double precision" => format!("{:?}", text.parse::<f64>().unwrap()),
        "integer[]" | "text[]" | "bytea" | "money" | "date" | "interval" => {
            panic!("{type_name} {text} was not converted")
        }
        _ => text.to_owned(),
    }
}

/// SQL of our form of `x`, where it is another one.
fn conversion(type_name: &str) -> Option<&'static str> {
    Some(match type_name {
        "money" => "x::numeric(20,2)::text",
        "bytea" => "encode(x, 'hex')",
        "date" => "(x - date '1970-01-01')::text",
        "time without time zone" | "timestamp without time zone" | "timestamp with time zone" => {
            "(extract(epoch from x) * 1000000)::bigint::text"
        }
        "interval" => {
            "concat_ws(' ', extract(year from x) * 12 + extract(month from x), extract(day from x),
             ((extract(hour from x) * 3600 + extract(minute from x) * 60 + extract(second from x))
              * 1000000)::bigint)"
        }
        "integer[]" | "text[]" => "to_json(x)::text",
        _ => return None,
    })
}

/// Asks the server once per type.
fn convert<'a>(session: &Session, lines: impl Iterator<Item = &'a Line>) -> Converted {
    let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for column in lines.flat_map(|line| line.old.iter().chain(&line.new)).flatten() {
        if let (Literal::Value(text), Some(_)) = (&column.literal, conversion(&column.type_name)) {
            wanted.entry(&column.type_name).or_default().insert(text);
        }
    }
    let mut converted = Converted::new();
    for (type_name, texts) in wanted {
        let expression = conversion(type_name).expect("asked for before");
        let quoted: Vec<String> =
            texts.iter().map(|text| format!("'{}'", text.replace('\'', "''"))).collect();
        let rows = session.rows(&format!(
            "select s, {expression} from unnest(array[{}]) s, lateral (select s::{type_name} x) c",
            quoted.join(", ")
        ));
        for row in rows {
            let [Some(text), Some(ours)] = row.as_slice() else { panic!("a NULL: {row:?}") };
            let ours = match ours.parse::<Value>() {
                Ok(json) if type_name.ends_with("[]") => json.to_string(),
                _ => ours.clone(),
            };
            converted.insert((type_name.to_owned(), text.clone()), ours);
        }
    }
    converted
}
