use bumpalo::Bump;
use mongodb::bson::{self as driver, Bson as Theirs, doc};

use super::{
    FIELDS_MAX, LEVELS_MAX, NAME_BYTES_MAX, NESTED_FIELDS_MAX, News, StateError, Structure,
    VERSIONS_MAX,
};
use crate::schema::ColumnType;
use crate::sources::mongodb::bson::{BsonError, Document};
use crate::value::Value;

fn observe(structure: &mut Structure, document: &driver::Document) {
    let bytes = driver::serialize_to_vec(document).unwrap();
    structure.observe(Document::new(&bytes).unwrap()).unwrap();
}

fn after(documents: &[driver::Document]) -> Structure {
    let mut structure = Structure::default();
    documents.iter().for_each(|document| observe(&mut structure, document));
    structure
}

/// `a int, b {c [string]}`
fn shape(data_type: &ColumnType) -> String {
    match data_type {
        ColumnType::Struct(fields) => {
            let fields = fields.iter().map(|f| format!("{} {}", f.name, shape(&f.data_type)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        ColumnType::Array(items) => format!("[{}]", shape(items)),
        ColumnType::Timestamp { precision: 3 } => "date".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// The record of a document, as text.
fn record(structure: &Structure, document: &driver::Document) -> String {
    fn text(value: &Value<'_>) -> String {
        match value {
            Value::Null => "-".to_owned(),
            Value::Struct(values) => {
                format!("{{{}}}", values.iter().map(text).collect::<Vec<_>>().join(" "))
            }
            Value::Array(values) => {
                format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(" "))
            }
            Value::Text(text) => (*text).to_owned(),
            Value::Int(number) => number.to_string(),
            Value::Float64(number) => format!("{number:?}"),
            other => format!("{other:?}"),
        }
    }
    let bytes = driver::serialize_to_vec(document).unwrap();
    let arena = Bump::new();
    text(&structure.values(Document::new(&bytes).unwrap(), &arena).unwrap())
}

fn check(documents: &[driver::Document], expected: &str, records: &[&str]) {
    let mut structure = after(documents);
    assert_eq!(shape(&structure.column_type()), expected);
    for (document, expected) in documents.iter().zip(records) {
        assert_eq!(record(&structure, document), *expected);
    }
    structure.take_news();
    documents.iter().for_each(|document| observe(&mut structure, document));
    assert!(!structure.has_news(), "what was seen is known");
    let restored = Structure::of_text(&structure.to_text()).unwrap();
    assert_eq!(restored, structure);
    assert_eq!(shape(&restored.column_type()), expected);
}

#[test]
fn every_type_has_its_place() {
    let document = doc! {
        "_id": driver::oid::ObjectId::from_bytes([0xAB; 12]), "int": 1, "long": 2_i64, "double": 0.5,
        "bool": true, "text": "x", "date": driver::DateTime::from_millis(5),
        "bytes": driver::Binary { subtype: 4.into(), bytes: vec![1] },
        "decimal": "1.10".parse::<driver::Decimal128>().unwrap(),
        "code": Theirs::JavaScriptCode("f".into()), "symbol": Theirs::Symbol("s".into()),
        "record": { "x": 1, "y": { "z": [] } }, "array": [1, null, 2],
        "timestamp": driver::Timestamp { time: 1, increment: 2 }, "min": Theirs::MinKey,
    };
    check(
        &[document],
        "{_id text, int int32, long int64, double float64, bool bool, text text, date date, \
         bytes bytes, decimal text, code text, symbol text, record {x int32, y {}}, array [int32], \
         timestamp json, min json}",
        &["{abababababababababababab 1 2 0.5 Bool(true) x Timestamp(5000) Bytes([1]) 1.10 f s \
           {1 {}} [1 - 2] {\"$timestamp\": {\"t\": 1, \"i\": 2}} {\"$minKey\": 1}}"],
    );
}

#[test]
fn numbers_widen_as_avro_reads_them() {
    check(&[doc! { "a": 1 }, doc! { "a": 2_i64 }], "{a int64}", &["{1}", "{2}"]);
    check(&[doc! { "a": 1 }, doc! { "a": 0.5 }], "{a float64}", &["{1.0}", "{0.5}"]);
    check(&[doc! { "a": 1_i64 }, doc! { "a": 0.5 }], "{a float64}", &["{1.0}", "{0.5}"]);
    check(&[doc! { "a": 0.5 }, doc! { "a": -1 }], "{a float64}", &["{0.5}", "{-1.0}"]);
    check(
        &[doc! { "a": [1, 2_i64, -5_000_000_000_i64, 0.5] }],
        "{a [float64]}",
        &["{[1.0 2.0 -5000000000.0 0.5]}"],
    );
    let beyond = (1_i64 << 53) + 1;
    check(
        &[doc! { "a": 0.5 }, doc! { "a": beyond }, doc! { "a": -beyond + 1 }],
        "{a float64, __rest json}",
        &["{0.5 -}", "{- {\"a\": 9007199254740993}}", "{-9007199254740992.0 -}"],
    );
}

/// A double among ids must not turn all ids out of their field.
#[test]
fn a_long_that_no_double_is_stays_a_long() {
    let beyond = (1_i64 << 53) + 1;
    check(
        &[doc! { "a": 1 }, doc! { "a": beyond }, doc! { "a": 0.5 }, doc! { "a": 2 }],
        "{a int64, __rest json}",
        &["{1 -}", "{9007199254740993 -}", "{- {\"a\": 0.5}}", "{2 -}"],
    );
}

#[test]
fn what_does_not_fit_goes_to_the_rest() {
    check(
        &[doc! { "a": 1, "b": 1 }, doc! { "a": "x", "b": 2 }, doc! { "a": { "x": 1 } }],
        "{a int32, b int32, __rest json}",
        &["{1 1 -}", "{- 2 {\"a\": \"x\"}}", "{- - {\"a\": {\"x\": 1}}}"],
    );
    check(
        &[doc! { "a": { "x": 1 } }, doc! { "a": { "x": "y", "z": true } }, doc! { "a": [1] }],
        "{a {x int32, __rest json, z bool}, __rest json}",
        &["{{1 - -} -}", "{{- {\"x\": \"y\"} Bool(true)} -}", "{- {\"a\": [1]}}"],
    );
    check(
        &[doc! { "a": [1, 2] }, doc! { "a": [1, "x"] }],
        "{a [int32], __rest json}",
        &["{[1 2] -}", "{- {\"a\": [1, \"x\"]}}"],
    );
    // A date that no timestamp counts in microseconds.
    let (near, far) = (driver::DateTime::from_millis(1), driver::DateTime::from_millis(i64::MAX));
    check(
        &[doc! { "a": near }, doc! { "a": far }],
        "{a date, __rest json}",
        &[
            "{Timestamp(1000) -}",
            "{- {\"a\": {\"$date\": {\"$numberLong\": \"9223372036854775807\"}}}}",
        ],
    );
}

#[test]
fn a_first_array_of_two_types_is_json() {
    check(&[doc! { "a": [1, "x", null] }], "{a json}", &["{[1, \"x\", null]}"]);
    check(&[doc! { "a": [[1], ["x"]] }], "{a json}", &["{[[1], [\"x\"]]}"]);
    check(
        &[doc! { "a": [{ "x": 1 }, { "y": [true] }, null] }],
        "{a [{x int32, y [bool]}]}",
        &["{[{1 -} {- [Bool(true)]} -]}"],
    );
}

#[test]
fn what_has_no_type_has_no_place_until_it_gets_one() {
    check(
        &[doc! { "n": null, "e": [], "ee": [[], null], "u": Theirs::Undefined, "x": 1 }],
        "{x int32}",
        &["{1}"],
    );
    check(
        &[doc! { "a": [], "b": [] }, doc! { "a": "x", "b": Theirs::MinKey }, doc! { "a": [[]] }],
        "{a text, b json}",
        &["{- []}", "{x {\"$minKey\": 1}}", "{- -}"],
    );
    check(
        &[doc! { "x": 1, "e": [] }, doc! { "e": [true] }, doc! { "x": null }],
        "{x int32, e [bool]}",
        &["{1 []}", "{- [Bool(true)]}", "{- -}"],
    );
}

#[test]
fn order_is_of_first_sight() {
    check(
        &[doc! { "b": 1, "a": 1 }, doc! { "c": 1, "a": "x", "b": 2 }, doc! { "d": 1 }],
        "{b int32, a int32, c int32, __rest json, d int32}",
        &["{1 1 - - -}", "{2 - 1 {\"a\": \"x\"} -}", "{- - - - 1}"],
    );
}

#[test]
fn names_that_avro_cannot_tell_apart_are_not_fields() {
    check(
        &[doc! { "a-b": 1, "a_b": 2, "": 3, "__rest": 4, "ä": 5, "ö": 6 }],
        "{a-b int32, __rest json, ä int32}",
        &["{1 {\"a_b\": 2, \"\": 3, \"__rest\": 4, \"ö\": 6} 5}"],
    );
}

#[test]
fn a_name_that_is_a_whole_text_is_no_field() {
    let (longest, longer) = ("x".repeat(NAME_BYTES_MAX), "y".repeat(NAME_BYTES_MAX + 1));
    let rest = format!("{{1 {{\"{longer}\": 2}}}}");
    let document = doc! { longest.clone(): 1, longer: 2 };
    check(&[document], &format!("{{{longest} int32, __rest json}}"), &[&rest]);
}

#[test]
fn of_a_name_that_repeats_the_last_value_that_fits_counts() {
    let repeated = |values: &[(u8, &[u8])]| {
        let mut bytes = vec![0; 4];
        for (kind, value) in values {
            bytes.push(*kind);
            bytes.extend_from_slice(b"a\0");
            bytes.extend_from_slice(value);
        }
        bytes.push(0);
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    let (one, two, text) = (1_i32.to_le_bytes(), 2_i32.to_le_bytes(), b"\x02\0\0\0x\0");
    let bytes = repeated(&[(0x10, &one), (0x10, &two), (0x02, text)]);
    let mut structure = Structure::default();
    let document = Document::new(&bytes).unwrap();
    structure.observe(document).unwrap();
    assert_eq!(shape(&structure.column_type()), "{a int32, __rest json}");
    let arena = Bump::new();
    let Value::Struct([a, rest]) = structure.values(document, &arena).unwrap() else { panic!() };
    assert_eq!((*a, *rest), (Value::Int(2), Value::Text("{\"a\": \"x\"}")));
}

#[test]
fn ten_thousand_names_are_few_fields_and_few_versions() {
    let mut structure = Structure::default();
    let mut n_versions = 0;
    for number in 0..10_000 {
        let map = doc! { format!("key{number}"): number };
        observe(&mut structure, &doc! { "_id": number, format!("top{number}"): 1, "map": map });
        n_versions += u32::from(structure.take_news() == News::Version);
    }
    assert_eq!(n_versions, VERSIONS_MAX);
    let document = doc! { "_id": 1, "new": 2, "map": { "key1": 3, "new": 4 } };
    observe(&mut structure, &document);
    assert!(!structure.has_news());
    let text = record(&structure, &document);
    assert!(text.contains("{\"new\": 2}") && text.contains("{\"new\": 4}"), "{text}");

    let wide: driver::Document = (0..1_000).map(|n| (format!("f{n}"), Theirs::from(n))).collect();
    let ColumnType::Struct(fields) = after(std::slice::from_ref(&wide)).column_type() else {
        panic!()
    };
    assert_eq!(fields.len(), FIELDS_MAX + 1);
    let nested = after(&[doc! { "map": wide }]).column_type();
    let ColumnType::Struct(fields) = nested else { panic!() };
    let ColumnType::Struct(fields) = &fields[0].data_type else { panic!() };
    assert_eq!(fields.len(), NESTED_FIELDS_MAX + 1);
}

#[test]
fn deep_documents_end_in_json() {
    for array in [false, true] {
        let deep = (0..150).fold(Theirs::from(1), |inner, _| match array {
            true => Theirs::Array(vec![inner]),
            false => Theirs::Document(doc! { "a": inner }),
        });
        let structure = after(&[doc! { "a": deep.clone() }]);
        let shape = shape(&structure.column_type());
        assert_eq!(shape.matches(['{', '[']).count(), LEVELS_MAX, "{shape}");
        assert!(record(&structure, &doc! { "a": deep }).contains("1"));
    }
}

#[test]
fn documents_that_are_read_again_change_nothing() {
    let documents =
        [doc! { "a": 1 }, doc! { "b": "x", "a": 0.5 }, doc! { "b": 2, "c": [1] }, doc! { "d": 1 }];
    let whole = after(&documents);
    for kept in 0..documents.len() {
        let text = after(&documents[..kept]).to_text();
        let mut restored = Structure::of_text(&text).unwrap();
        documents[kept..].iter().for_each(|document| observe(&mut restored, document));
        assert_eq!(restored.column_type(), whole.column_type());
    }
}

#[test]
fn a_malformed_document_is_an_error_and_what_was_understood_stays() {
    let mut bytes = driver::serialize_to_vec(&doc! { "a": 1, "b": true }).unwrap();
    let at = bytes.len() - 2;
    bytes[at] = 7;
    let mut structure = Structure::default();
    let document = Document::new(&bytes).unwrap();
    assert_eq!(structure.observe(document), Err(BsonError::Boolean(7)));
    assert_eq!(structure.take_news(), News::Version);
    assert_eq!(shape(&structure.column_type()), "{a int32}");
    assert!(structure.values(document, &Bump::new()).is_err());
}

#[test]
fn a_later_programs_text_is_refused() {
    let later = "{\"format\":2,\"shape\":\"of a kind that nobody knows yet\"}";
    let refused = Structure::of_text(later);
    assert!(matches!(refused, Err(StateError::Newer { found: 2, supported: 1 })), "{refused:?}");
    assert!(matches!(Structure::of_text("{}"), Err(StateError::Json(_))));
    assert!(matches!(Structure::of_text("{\"format\":1}"), Err(StateError::Json(_))));
}

/// What this program writes is read by every later one.
#[test]
fn the_text_of_the_first_format_stays() {
    let text = r#"{"format":1,"root":[{"name":"_id","kind":"text"},{"name":"a","kind":{"record":[{"name":"x","kind":{"array":"int32"}},{"name":"__rest","kind":"rest"}]}},{"name":"n","kind":"wide_int64"}],"n_versions":2}"#;
    let structure = Structure::of_text(text).unwrap();
    assert_eq!(shape(&structure.column_type()), "{_id text, a {x [int32], __rest json}, n int64}");
    assert_eq!(structure.to_text(), text);
}

#[test]
fn a_text_with_fields_that_no_record_has_is_refused() {
    for (name, other, kind) in [
        ("a", "a", "text"),
        ("a-b", "a_b", "text"),
        ("", "a", "text"),
        ("a", "__rest", "text"),
        ("a", "b", "rest"),
    ] {
        let field = |name, kind| format!(r#"{{"name":"{name}","kind":"{kind}"}}"#);
        let (first, second) = (field(name, "text"), field(other, kind));
        let text = format!(r#"{{"format":1,"root":[{first},{second}],"n_versions":1}}"#);
        let refused = Structure::of_text(&text);
        assert!(matches!(refused, Err(StateError::Field(_))), "{text}: {refused:?}");
    }
}

/// Or else a double that comes after the restart would widen the field, and a reader of the wider
/// schema would lose digits of what stands in the topic.
#[test]
fn a_restart_knows_of_longs_that_are_no_doubles() {
    let mut structure = after(&[doc! { "a": 1_i64 }]);
    assert_eq!(structure.take_news(), News::Version);
    observe(&mut structure, &doc! { "a": (1_i64 << 53) + 1 });
    assert_eq!(structure.take_news(), News::Learnt);
    let mut restored = Structure::of_text(&structure.to_text()).unwrap();
    observe(&mut restored, &doc! { "a": 0.5 });
    assert_eq!(shape(&restored.column_type()), "{a int64, __rest json}");
}
