//! The BSON corpus of the public specification, every case, in every form that Tailwater writes.
//!
//! * `canonical`, `relaxed`: what the corpus says; where it has no relaxed text, that is the canonical
//!   one with bare numbers. JSON leaves spaces outside of strings and
//!   escapes inside of them to the writer, and the corpus is written by hand: so whitespace outside
//!   of strings is taken away and strings are unescaped on both sides. All else, numbers and the
//!   order of members among it, is compared as text.
//! * `degenerate`: BSON that must be read though it should not be written gives the same text.
//! * `legacy`: Debezium's form is not in the corpus. It is made from the canonical text by the
//!   table in `legacy`, and compared to the byte.
//! * `errors`: bytes that must not be read.
//!
//! `parseErrors` and `degenerate_extjson` are for parsers of Extended JSON, which Tailwater has not.

#![expect(clippy::print_stdout, reason = "a comparison says how much it compared")]
#![expect(clippy::unwrap_used, reason = "a test that stops there says what was wrong")]

use bumpalo::Bump;
use serde_json::{Map, Value};
use tailwater::sources::mongodb::bson::{BsonError, Document};
use tailwater::sources::mongodb::extjson::{Form, to_text};

#[derive(Default)]
struct Tally {
    passed: usize,
    failures: Vec<String>,
}

impl Tally {
    fn count(&mut self, name: &str, found: Result<String, BsonError>, expected: &str) {
        match found {
            Ok(found) if found == expected => self.passed += 1,
            Ok(found) => self.failures.push(format!("{name}\n  {expected}\n  {found}")),
            Err(error) => self.failures.push(format!("{name}: {error}")),
        }
    }

    fn print(&self, form: &str) {
        let total = self.passed + self.failures.len();
        println!("BSON corpus, {form}: {}/{total}", self.passed);
        for failure in &self.failures {
            println!("  {failure}");
        }
    }
}

#[derive(Default)]
struct Tallies {
    canonical: Tally,
    relaxed: Tally,
    legacy: Tally,
    degenerate: Tally,
    errors: Tally,
}

#[test]
fn every_case_of_the_corpus_has_the_right_text() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/bson");
    let mut tallies = Tallies::default();
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    assert!(files.len() >= 31, "{} files", files.len());
    for file in &files {
        let cases: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let file = file.file_name().unwrap().to_string_lossy();
        for case in cases["valid"].as_array().into_iter().flatten() {
            tallies.valid(&format!("{file}: {}", case["description"]), case);
        }
        for case in cases["decodeErrors"].as_array().into_iter().flatten() {
            tallies.error(&format!("{file}: {}", case["description"]), case);
        }
    }
    tallies.finish();
}

impl Tallies {
    fn valid(&mut self, name: &str, case: &Value) {
        let canonical = normal(case["canonical_extjson"].as_str().unwrap());
        let relaxed = match case["relaxed_extjson"].as_str() {
            Some(relaxed) => normal(relaxed),
            None => relaxed(serde_json::from_str(&canonical).unwrap()).to_string(),
        };
        let bson = hex(&case["canonical_bson"]);
        self.canonical.count(
            name,
            text(&bson, Form::CANONICAL).map(|text| normal(&text)),
            &canonical,
        );
        let found = text(&bson, Form::RELAXED).map(|text| normal(&text));
        self.relaxed.count(name, found, &relaxed);
        self.legacy.count(name, text(&bson, Form::DOCUMENT), &legacy(&canonical));
        if case["degenerate_bson"].is_string() {
            let bson = hex(&case["degenerate_bson"]);
            let found = text(&bson, Form::CANONICAL).map(|text| normal(&text));
            self.degenerate.count(name, found, &canonical);
            let found = text(&bson, Form::RELAXED).map(|text| normal(&text));
            self.degenerate.count(name, found, &relaxed);
        }
    }

    fn error(&mut self, name: &str, case: &Value) {
        let bson = hex(&case["bson"]);
        let found = Document::new(&bson).and_then(Document::check);
        let written = text(&bson, Form::DOCUMENT);
        assert_eq!(found.is_err(), written.is_err(), "{name}: a check and a writer agree");
        let found = if found.is_err() { "an error" } else { "a document" };
        self.errors.count(name, Ok(found.into()), "an error");
    }

    fn finish(&self) {
        let all = [
            ("canonical", &self.canonical),
            ("relaxed", &self.relaxed),
            ("legacy strict", &self.legacy),
            ("degenerate BSON", &self.degenerate),
            ("decode errors", &self.errors),
        ];
        for (form, tally) in all {
            tally.print(form);
        }
        assert!(all.iter().all(|(_, tally)| tally.failures.is_empty() && tally.passed > 0));
    }
}

fn text(bson: &[u8], form: Form) -> Result<String, BsonError> {
    to_text(Document::new(bson)?, form, &Bump::new()).map(str::to_owned)
}

fn hex(text: &Value) -> Vec<u8> {
    let digits: Vec<u32> =
        text.as_str().unwrap().chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// Without whitespace outside of strings, and strings in one way of escaping.
fn normal(json: &str) -> String {
    let mut out = String::new();
    let mut characters = json.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                let mut string = String::from('"');
                while let Some(inner) = characters.next() {
                    string.push(inner);
                    match inner {
                        '\\' => string.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                let string: String = serde_json::from_str(&string).unwrap();
                out.push_str(&serde_json::to_string(&string).unwrap());
            }
            space if space.is_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

/// Canonical Extended JSON with bare numbers and readable dates.
fn relaxed(canonical: Value) -> Value {
    match canonical {
        Value::Object(members) if only(&members, "$date").is_some() => {
            // Two of the three dates that have no relaxed text in the corpus can be read.
            let date = match members["$date"]["$numberLong"].as_str() {
                Some("0") => "1970-01-01T00:00:00Z".into(),
                Some("2147483647") => "1970-01-25T20:31:23.647Z".into(),
                _ => members["$date"].clone(),
            };
            Value::Object([("$date".to_owned(), date)].into_iter().collect())
        }
        Value::Object(members) => {
            let number = ["$numberInt", "$numberLong", "$numberDouble"]
                .iter()
                .find_map(|name| only(&members, name)?.as_str()?.parse().ok());
            match number {
                Some(number) => Value::Number(number),
                None => Value::Object(
                    members.into_iter().map(|(name, value)| (name, relaxed(value))).collect(),
                ),
            }
        }
        Value::Array(elements) => elements.into_iter().map(relaxed).collect(),
        other => other,
    }
}

/// Canonical Extended JSON as the legacy form of the Java driver: which converter `JsonMode.STRICT`
/// takes for each type (`JsonWriterSettings`), spaces as under Debezium's settings.
fn legacy(canonical: &str) -> String {
    let mut out = String::new();
    write_legacy(&serde_json::from_str(canonical).unwrap(), &mut out);
    out
}

fn write_legacy(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            if let Some(text) = bare_number(members) {
                return out.push_str(&text);
            }
            let members = as_legacy(members);
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write_string(name, out);
                out.push_str(": ");
                write_legacy(value, out);
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write_legacy(element, out);
            }
            out.push(']');
        }
        Value::String(text) => write_string(text, out),
        other => out.push_str(&other.to_string()),
    }
}

/// The only member, where it has this name.
fn only<'v>(members: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    if members.len() == 1 { members.get(name) } else { None }
}

fn bare_number(members: &Map<String, Value>) -> Option<String> {
    if let Some(Value::String(text)) = only(members, "$numberInt") {
        return Some(text.clone());
    }
    // The Java driver of Debezium writes no plus.
    let Some(Value::String(text)) = only(members, "$numberDouble") else { return None };
    Some(text.replace("E+", "E"))
}

fn as_legacy(members: &Map<String, Value>) -> Map<String, Value> {
    let pairs = |pairs: [(&str, Value); 2]| {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    if let Some(date) = only(members, "$date") {
        let millis: i64 = date["$numberLong"].as_str().unwrap().parse().unwrap();
        return [("$date".to_owned(), Value::from(millis))].into_iter().collect();
    }
    if let Some(Value::Object(binary)) = only(members, "$binary") {
        let subtype = binary["subType"].as_str().unwrap().to_uppercase();
        return pairs([("$binary", binary["base64"].clone()), ("$type", subtype.into())]);
    }
    if let Some(regex) = only(members, "$regularExpression") {
        return pairs([
            ("$regex", regex["pattern"].clone()),
            ("$options", regex["options"].clone()),
        ]);
    }
    if let Some(pointer) = only(members, "$dbPointer") {
        return pairs([("$ref", pointer["$ref"].clone()), ("$id", pointer["$id"].clone())]);
    }
    members.clone()
}

/// Enough for the corpus: it has no marks and nothing unassigned.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..' ' | '\u{7F}'..='\u{9F}' | '\u{1_0000}'.. => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
