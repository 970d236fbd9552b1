use bumpalo::Bump;
use mongodb::bson::{self as driver, Bson as Theirs, doc};

use super::{Form, to_text, value_to_text};
use crate::sources::mongodb::bson::{BsonError, DEPTH_MAX, Document};

fn text(document: &driver::Document, form: Form) -> String {
    let bytes = driver::serialize_to_vec(document).unwrap();
    to_text(Document::new(&bytes).unwrap(), form, &Bump::new()).unwrap().to_owned()
}

/// One value, as the value of an element.
fn value(value: impl Into<Theirs>, form: Form) -> String {
    let bytes = driver::serialize_to_vec(&doc! { "a": value.into() }).unwrap();
    let value = Document::new(&bytes).unwrap().get("a").unwrap().unwrap();
    value_to_text(&value, form, &Bump::new()).unwrap().to_owned()
}

fn check(given: impl Into<Theirs>, document: &str, key: &str, updated_fields: &str) {
    let given = given.into();
    assert_eq!(value(given.clone(), Form::DOCUMENT), document);
    assert_eq!(value(given.clone(), Form::KEY), key);
    assert_eq!(value(given, Form::UPDATED_FIELDS), updated_fields);
}

fn binary(subtype: u8, bytes: &[u8]) -> driver::Binary {
    driver::Binary { subtype: subtype.into(), bytes: bytes.into() }
}

fn oid() -> driver::oid::ObjectId {
    driver::oid::ObjectId::parse_str("5f43a1b2c3d4e5f60718293a").unwrap()
}

fn regex(pattern: &str, options: &str) -> Theirs {
    Theirs::RegularExpression(driver::Regex {
        pattern: pattern.to_owned().try_into().unwrap(),
        options: options.to_owned().try_into().unwrap(),
    })
}

/// The document of the catalogue that was recorded, and what Debezium made of it.
#[test]
fn a_document_of_every_type_is_what_debezium_published() {
    let date = |millis| driver::DateTime::from_millis(millis);
    let decimal = |text: &str| text.parse::<driver::Decimal128>().unwrap();
    let uuid = b"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11";
    let mut document = doc! {
        "_id": 1, "d": 1.5, "di": 3.0, "dn": f64::NAN, "dinf": f64::NEG_INFINITY, "dz": -0.0,
        "dbig": 1e300, "s": "päpier 😀 \"q\" \\ \n \u{2028} </x>", "se": "",
        "sub": { "b": 1, "a": { "x": [] } }, "empty": {}, "arr": [1, "x", null, [2, { "y": 1 }]],
        "ea": [], "bin": binary(0, b"\x00\xff\x10"), "b2": binary(2, b"abc"), "uu": binary(4, uuid),
        "u3": binary(3, b"0123456789abcdef"), "md5": binary(5, b"0123456789abcdef"),
        "b128": binary(128, b"\x01"), "oid": oid(), "t": true, "f": false,
    };
    document.extend(doc! {
        "date": date(1_709_168_523_456), "dneg": date(-1), "dold": date(-62_135_596_800_000),
        "n": null, "re": regex("^a/b\"c", "imx"), "ree": regex("", ""),
        "ref": { "$ref": "coll", "$id": oid(), "$db": "other" },
        "js": Theirs::JavaScriptCode("function(){return \"x\"}".into()),
        "jsw": driver::JavaScriptCodeWithScope { code: "x+1".into(), scope: doc! { "x": 1 } },
        "i": i32::MAX, "ineg": -1, "ts": driver::Timestamp { time: 1_700_000_000, increment: 7 },
        "l": i64::MAX, "lneg": -1_i64, "lsmall": 5_i64, "dec": decimal("1.10"),
        "decnan": decimal("NaN"), "decbig": decimal("-9.999999999999999999999999999999999E+6144"),
        "min": Theirs::MinKey, "max": Theirs::MaxKey, "key with space": 1, "dollar$": 1,
    });
    let published = r#"{"_id": 1,"d": 1.5,"di": 3.0,"dn": NaN,"dinf": -Infinity,"dz": -0.0,"dbig": 1.0E300,"s": "päpier \ud83d\ude00 \"q\" \\ \n \u2028 </x>","se": "","sub": {"b": 1,"a": {"x": []}},"empty": {},"arr": [1,"x",null,[2,{"y": 1}]],"ea": [],"bin": {"$binary": "AP8Q","$type": "00"},"b2": {"$binary": "YWJj","$type": "02"},"uu": {"$binary": "oO68mZwLTvi7bWu5vTgKEQ==","$type": "04"},"u3": {"$binary": "MDEyMzQ1Njc4OWFiY2RlZg==","$type": "03"},"md5": {"$binary": "MDEyMzQ1Njc4OWFiY2RlZg==","$type": "05"},"b128": {"$binary": "AQ==","$type": "80"},"oid": {"$oid": "5f43a1b2c3d4e5f60718293a"},"t": true,"f": false,"date": {"$date": 1709168523456},"dneg": {"$date": -1},"dold": {"$date": -62135596800000},"n": null,"re": {"$regex": "^a/b\"c","$options": "imx"},"ree": {"$regex": "","$options": ""},"ref": {"$ref": "coll","$id": {"$oid": "5f43a1b2c3d4e5f60718293a"},"$db": "other"},"js": {"$code": "function(){return \"x\"}"},"jsw": {"$code": "x+1","$scope": {"x": 1}},"i": 2147483647,"ineg": -1,"ts": {"$timestamp": {"t": 1700000000,"i": 7}},"l": {"$numberLong": "9223372036854775807"},"lneg": {"$numberLong": "-1"},"lsmall": {"$numberLong": "5"},"dec": {"$numberDecimal": "1.10"},"decnan": {"$numberDecimal": "NaN"},"decbig": {"$numberDecimal": "-9.999999999999999999999999999999999E+6144"},"min": {"$minKey": 1},"max": {"$maxKey": 1},"key with space": 1,"dollar$": 1}"#;
    assert_eq!(text(&document, Form::DOCUMENT), published);
}

/// Every kind of `_id` of the catalogue, beside its key.
#[test]
fn keys_are_relaxed_without_spaces_between() {
    let date = driver::DateTime::from_millis(1_709_168_523_456);
    let id = r#"{"$oid": "5f43a1b2c3d4e5f60718293a"}"#;
    check(1, "1", "1", "1");
    check(2_i64, r#"{"$numberLong": "2"}"#, "2", "2");
    check(2.5, "2.5", "2.5", "2.5");
    check("with \"q\"", r#""with \"q\"""#, r#""with \"q\"""#, r#""with \"q\"""#);
    check(oid(), id, id, id);
    check(
        doc! { "a": 1, "b": "x" },
        r#"{"a": 1,"b": "x"}"#,
        r#"{"a": 1,"b": "x"}"#,
        r#"{"a": 1, "b": "x"}"#,
    );
    let readable = r#"{"$date": "2024-02-29T01:02:03.456Z"}"#;
    check(date, r#"{"$date": 1709168523456}"#, readable, readable);
    check(
        binary(0, &[1, 2]),
        r#"{"$binary": "AQI=","$type": "00"}"#,
        r#"{"$binary": {"base64": "AQI=","subType": "00"}}"#,
        r#"{"$binary": {"base64": "AQI=", "subType": "00"}}"#,
    );
    check(
        doc! { "l": 3_i64, "d": date },
        r#"{"l": {"$numberLong": "3"},"d": {"$date": 1709168523456}}"#,
        r#"{"l": 3,"d": {"$date": "2024-02-29T01:02:03.456Z"}}"#,
        r#"{"l": 3, "d": {"$date": "2024-02-29T01:02:03.456Z"}}"#,
    );
    check(
        driver::Timestamp { time: u32::MAX, increment: 2 },
        r#"{"$timestamp": {"t": 4294967295,"i": 2}}"#,
        r#"{"$timestamp": {"t": 4294967295,"i": 2}}"#,
        r#"{"$timestamp": {"t": 4294967295, "i": 2}}"#,
    );
    check(vec![0, 1, 2], "[0,1,2]", "[0,1,2]", "[0, 1, 2]");
}

#[test]
fn deprecated_types_have_their_text() {
    let undefined = r#"{"$undefined": true}"#;
    check(Theirs::Undefined, undefined, undefined, undefined);
    let symbol = r#"{"$symbol": "s"}"#;
    check(Theirs::Symbol("s".into()), symbol, symbol, symbol);
    check(
        regex("a.*", "ms"),
        r#"{"$regex": "a.*","$options": "ms"}"#,
        r#"{"$regularExpression": {"pattern": "a.*","options": "ms"}}"#,
        r#"{"$regularExpression": {"pattern": "a.*", "options": "ms"}}"#,
    );
    // The library writes no pointers: type, name, string "b", twelve bytes.
    let bytes = b"\x1a\0\0\0\x0ca\0\x02\0\0\0b\0\x5f\x43\xa1\xb2\xc3\xd4\xe5\xf6\x07\x18\x29\x3a\0";
    let document = Document::new(bytes).unwrap();
    let id = r#"{"$oid": "5f43a1b2c3d4e5f60718293a"}"#;
    for (form, expected) in [
        (Form::DOCUMENT, format!(r#"{{"a": {{"$ref": "b","$id": {id}}}}}"#)),
        (Form::KEY, format!(r#"{{"a": {{"$ref": "b","$id": {id}}}}}"#)),
        (Form::CANONICAL, format!(r#"{{"a": {{"$dbPointer": {{"$ref": "b", "$id": {id}}}}}}}"#)),
        (Form::RELAXED, format!(r#"{{"a": {{"$dbPointer": {{"$ref": "b", "$id": {id}}}}}}}"#)),
    ] {
        assert_eq!(to_text(document, form, &Bump::new()), Ok(expected.as_str()));
    }
}

#[test]
fn options_are_sorted() {
    let bytes = b"\x0f\0\0\0\x0ba\0x\0xmi\0\0";
    let bytes = [&[u8::try_from(bytes.len()).unwrap()], &bytes[1..]].concat();
    let document = Document::new(&bytes).unwrap();
    let text = to_text(document, Form::DOCUMENT, &Bump::new()).unwrap().to_owned();
    assert_eq!(text, r#"{"a": {"$regex": "x","$options": "imx"}}"#);
}

#[test]
fn dates_are_readable_from_1970_to_9999() {
    let check = |millis, expected: &str| {
        assert_eq!(value(driver::DateTime::from_millis(millis), Form::KEY), expected);
    };
    check(0, r#"{"$date": "1970-01-01T00:00:00Z"}"#);
    check(1, r#"{"$date": "1970-01-01T00:00:00.001Z"}"#);
    // Java leaves out zeros at the end.
    check(120, r#"{"$date": "1970-01-01T00:00:00.12Z"}"#);
    check(86_399_500, r#"{"$date": "1970-01-01T23:59:59.5Z"}"#);
    check(253_402_300_799_999, r#"{"$date": "9999-12-31T23:59:59.999Z"}"#);
    check(253_402_300_800_000, r#"{"$date": {"$numberLong": "253402300800000"}}"#);
    check(-1, r#"{"$date": {"$numberLong": "-1"}}"#);
    let tenth = driver::DateTime::from_millis(120);
    assert_eq!(value(tenth, Form::RELAXED), r#"{"$date": "1970-01-01T00:00:00.120Z"}"#);
}

#[test]
fn doubles_are_javas() {
    for (number, document, key, canonical) in [
        (1e7, "1.0E7", "1.0E7", r#"{"$numberDouble": "1.0E+7"}"#),
        (1e-4, "1.0E-4", "1.0E-4", r#"{"$numberDouble": "1.0E-4"}"#),
        (
            f64::MAX,
            "1.7976931348623157E308",
            "1.7976931348623157E308",
            r#"{"$numberDouble": "1.7976931348623157E+308"}"#,
        ),
        (-5e-324, "-4.9E-324", "-4.9E-324", r#"{"$numberDouble": "-4.9E-324"}"#),
        (f64::NAN, "NaN", r#"{"$numberDouble": "NaN"}"#, r#"{"$numberDouble": "NaN"}"#),
        (
            f64::INFINITY,
            "Infinity",
            r#"{"$numberDouble": "Infinity"}"#,
            r#"{"$numberDouble": "Infinity"}"#,
        ),
    ] {
        assert_eq!(value(number, Form::DOCUMENT), document);
        assert_eq!(value(number, Form::KEY), key);
        assert_eq!(value(number, Form::CANONICAL), canonical);
    }
}

#[test]
fn text_is_escaped_as_the_java_driver_does() {
    for (given, expected) in [
        ("", ""),
        (
            "plain text of more than sixteen bytes, with / and '",
            "plain text of more than sixteen bytes, with / and '",
        ),
        ("\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}\0", r"\b\f\n\r\t\u0001\u001f\u007f\u0000"),
        ("1234567\"", r#"1234567\""#),
        ("12345678\\9", r"12345678\\9"),
        ("ä한中“€", "ä한中“€"),
        ("e\u{301} \u{ad}\u{200b}\u{feff}\u{e000}", r"e\u0301 \u00ad\u200b\ufeff\ue000"),
        ("\u{80}\u{9f}\u{a0}", "\\u0080\\u009f\u{a0}"),
        ("𝄞x", r"\ud834\udd1ex"),
    ] {
        assert_eq!(value(given, Form::DOCUMENT), format!("\"{expected}\""));
        let document = doc! { given.replace('\0', ""): 1 };
        let expected = expected.replace("\\u0000", "");
        assert_eq!(text(&document, Form::KEY), format!("{{\"{expected}\": 1}}"));
    }
}

#[test]
fn long_binary_data_is_one_text() {
    use base64::Engine as _;
    let bytes: Vec<u8> = (0..=250).cycle().take(1000).collect();
    for length in [0, 1, 191, 192, 193, 384, 1000] {
        let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes[..length]);
        let expected = format!(r#"{{"$binary": "{encoded}","$type": "FF"}}"#);
        assert_eq!(value(binary(0xFF, &bytes[..length]), Form::DOCUMENT), expected);
    }
}

#[test]
fn repeated_names_are_all_written() {
    let mut document = driver::RawDocumentBuf::new();
    document.append(driver::cstr!("a"), 1_i32);
    document.append(driver::cstr!("a"), "x");
    let document = Document::new(document.as_bytes()).unwrap();
    assert_eq!(to_text(document, Form::DOCUMENT, &Bump::new()), Ok(r#"{"a": 1,"a": "x"}"#));
}

#[test]
fn a_document_may_not_be_deeper_than_any_server_stores() {
    let nested = |levels: usize| {
        let document = (1..levels).fold(doc! {}, |inner, _| doc! { "a": inner });
        driver::serialize_to_vec(&document).unwrap()
    };
    let write = |bytes: &[u8]| {
        to_text(Document::new(bytes).unwrap(), Form::DOCUMENT, &Bump::new()).map(str::len)
    };
    assert_eq!(write(&nested(DEPTH_MAX)), Ok(2 * DEPTH_MAX + 5 * (DEPTH_MAX - 1)));
    assert_eq!(write(&nested(DEPTH_MAX + 1)), Err(BsonError::Depth(DEPTH_MAX)));
}
