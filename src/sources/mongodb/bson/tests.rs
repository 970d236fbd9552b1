use mongodb::bson::{self as driver, doc};

use super::{Binary, Bson, BsonError, DEPTH_MAX, Decimal128, Document, ObjectId, Timestamp};

/// As the official library writes it.
fn bytes(document: &driver::Document) -> Vec<u8> {
    driver::serialize_to_vec(document).unwrap()
}

/// A document of one element named `a`.
fn raw(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&[kind, b'a', 0]);
    out.extend_from_slice(value);
    out.push(0);
    let length = i32::try_from(out.len()).unwrap().to_le_bytes();
    out[..4].copy_from_slice(&length);
    out
}

/// `{a: {a: ... {}}}` or `{a: [[ ... ]]}`: so many levels, the outermost included.
fn nested(kind: u8, levels: usize) -> Vec<u8> {
    (1..levels).fold(vec![5, 0, 0, 0, 0], |inner, _| raw(kind, &inner))
}

#[test]
fn every_element_is_found_in_its_order() {
    let id = driver::oid::ObjectId::from_bytes(*b"0123456789ab");
    let bytes = bytes(&doc! {
        "double": 1.5, "string": "täxt", "document": { "x": 1_i32 }, "array": [1_i32, "b"],
        "binary": driver::Binary { subtype: driver::spec::BinarySubtype::Generic, bytes: vec![1, 2] },
        "undefined": driver::Bson::Undefined, "oid": id, "bool": true,
        "date": driver::DateTime::from_millis(-1), "null": null,
        "code": driver::Bson::JavaScriptCode("f()".into()),
        "symbol": driver::Bson::Symbol("s".into()), "int": -7_i32,
        "timestamp": driver::Timestamp { time: 9, increment: 2 }, "long": i64::MIN,
        "min": driver::Bson::MinKey, "max": driver::Bson::MaxKey,
    });
    let document = Document::new(&bytes).unwrap();
    assert_eq!(document.bytes(), bytes);
    document.check().unwrap();
    let elements: Vec<_> = document.elements().map(Result::unwrap).collect();
    let names: Vec<_> = elements.iter().map(|element| element.value.type_name()).collect();
    assert_eq!(
        names.join(" "),
        "double string object array binData undefined objectId bool date null javascript symbol int \
         timestamp long minKey maxKey"
    );
    let get = |name| document.get(name).unwrap().unwrap();
    assert_eq!(get("double"), Bson::Double(1.5));
    assert_eq!(get("string"), Bson::String("täxt"));
    assert_eq!(get("binary"), Bson::Binary(Binary { subtype: 0, bytes: &[1, 2] }));
    assert_eq!(get("oid"), Bson::ObjectId(ObjectId(*b"0123456789ab")));
    assert_eq!(get("date"), Bson::DateTime(-1));
    assert_eq!(get("timestamp"), Bson::Timestamp(Timestamp { time: 9, increment: 2 }));
    assert_eq!(get("long"), Bson::Int64(i64::MIN));
    assert_eq!(document.get("x"), Ok(None), "of this level only");
    let Bson::Array(array) = get("array") else { panic!("an array") };
    let values: Vec<_> = array.values().map(Result::unwrap).collect();
    assert_eq!(values, [Bson::Int32(1), Bson::String("b")]);
}

#[test]
fn names_may_repeat_and_the_first_is_found() {
    let mut document = driver::RawDocumentBuf::new();
    for number in [1_i32, 2] {
        document.append(driver::cstr!("a"), number);
    }
    let document = Document::new(document.as_bytes()).unwrap();
    assert_eq!(document.elements().count(), 2);
    assert_eq!(document.get("a"), Ok(Some(Bson::Int32(1))));
}

#[test]
fn a_moment_of_the_cluster_has_one_number() {
    let early = Timestamp { time: 1, increment: u32::MAX };
    let late = Timestamp { time: 2, increment: 0 };
    assert!(early < late && early.as_u64() < late.as_u64());
    assert_eq!(late.as_u64(), 2 << 32);
}

#[test]
fn bytes_that_are_no_document_are_errors() {
    let check = |bytes: &[u8]| Document::new(bytes).and_then(Document::check).unwrap_err();
    for (bytes, error) in [
        (&[][..], BsonError::CutOff("a level")),
        (&[4, 0, 0, 0], BsonError::Length("a level")),
        (&[0xFF, 0xFF, 0xFF, 0xFF, 0], BsonError::Length("a level")),
        (&[6, 0, 0, 0, 0], BsonError::CutOff("a level")),
        (&[5, 0, 0, 0, 1], BsonError::NoTerminator("a level")),
        (&[5, 0, 0, 0, 0, 0], BsonError::Length("the outermost level")),
        (&raw(0x10, &[1, 2, 3]), BsonError::CutOff("an integer")),
        (&raw(0x00, &[]), BsonError::UnknownType(0)),
        (&raw(0x14, &[]), BsonError::UnknownType(0x14)),
        (&raw(0x08, &[2]), BsonError::Boolean(2)),
        (&raw(0x08, &[]), BsonError::CutOff("a boolean")),
        (&raw(0x02, &[0, 0, 0, 0]), BsonError::Length("a string")),
        (&raw(0x02, &[9, 0, 0, 0, b'a', 0]), BsonError::CutOff("a string")),
        (&raw(0x02, &[2, 0, 0, 0, b'a', b'b']), BsonError::NoTerminator("a string")),
        (&raw(0x02, &[2, 0, 0, 0, 0xFF, 0]), BsonError::NotUtf8("a string")),
        (&raw(0x05, &[2, 0, 0, 0, 0, 1]), BsonError::CutOff("binary data")),
        (&raw(0x05, &[5, 0, 0, 0, 2, 2, 0, 0, 0, 1]), BsonError::CutOff("binary data")),
        (&raw(0x05, &[5, 0, 0, 0, 2, 0, 0, 0, 0, 1]), BsonError::Length("binary data")),
        (&raw(0x0B, b"ab"), BsonError::NoTerminator("a regular expression")),
        (&raw(0x0F, &[4, 0, 0, 0]), BsonError::CutOff("code with scope")),
        (
            &raw(0x0F, &[16, 0, 0, 0, 2, 0, 0, 0, b'x', 0, 5, 0, 0, 0, 0, 0]),
            BsonError::Length("code with scope"),
        ),
        (&[7, 0, 0, 0, 0x0A, b'a', 0], BsonError::NoTerminator("a name")),
        (&[8, 0, 0, 0, 0x0A, 0xFF, 0, 0], BsonError::NotUtf8("a name")),
    ] {
        assert_eq!(check(bytes), error, "{bytes:?}");
    }
}

#[test]
fn an_error_ends_the_walk() {
    let bytes = raw(0x08, &[2]);
    let mut elements = Document::new(&bytes).unwrap().elements();
    assert!(elements.next().unwrap().is_err());
    assert!(elements.next().is_none());
}

#[test]
fn text_may_hold_zeros_but_names_may_not() {
    let bytes = bytes(&doc! { "a": "x\0y" });
    let document = Document::new(&bytes).unwrap();
    assert_eq!(document.get("a"), Ok(Some(Bson::String("x\0y"))));
}

#[test]
fn so_many_levels_and_no_more() {
    for kind in [0x03, 0x04] {
        let check = |levels| Document::new(&nested(kind, levels)).unwrap().check();
        assert_eq!(check(DEPTH_MAX), Ok(()));
        assert_eq!(check(DEPTH_MAX + 1), Err(BsonError::Depth(DEPTH_MAX)));
    }
}

#[test]
fn decimals_print_as_every_driver_prints_them() {
    for (bits, text) in [
        (0x3040 << 112 | 1, "1"),
        (0x303E << 112 | 10, "1.0"),
        (0xB03C << 112 | 110, "-1.10"),
        (0x3040 << 112, "0"),
        (0xB040 << 112, "-0"),
        (0x303A << 112, "0.000"),
        (0x3042 << 112, "0E+1"),
        (0x3042 << 112 | 12, "1.2E+2"),
        (0x3034 << 112 | 1, "0.000001"),
        (0x3032 << 112 | 1, "1E-7"),
        (0x3032 << 112 | 12, "0.0000012"),
        (0x7C00 << 112, "NaN"),
        (0xFC00 << 112 | 7, "NaN"),
        (0x7800 << 112, "Infinity"),
        (0xF800 << 112, "-Infinity"),
        (0x6C10 << 112 | 5, "0"),
        (
            0x5FFE << 112 | 9_999_999_999_999_999_999_999_999_999_999_999,
            "9.999999999999999999999999999999999E+6144",
        ),
        (1, "1E-6176"),
    ] {
        assert_eq!(Decimal128::from_bits(bits).to_string(), text);
    }
}
