use super::*;

fn server(document: &[u8]) -> Result<String, ValueError> {
    to_text(document, JsonForm::Server, &Bump::new()).map(str::to_owned)
}

#[test]
fn documents_of_every_scalar() {
    for (document, text) in [
        (&[][..], "null"),
        (&[4, 0], "null"),
        (&[4, 1], "true"),
        (&[4, 2], "false"),
        (&[5, 0xFF, 0xFF], "-1"),
        (&[6, 0xFF, 0xFF], "65535"),
        (&[7, 0, 0, 0, 0x80], "-2147483648"),
        (&[8, 0xFF, 0xFF, 0xFF, 0xFF], "4294967295"),
        (&[10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "18446744073709551615"),
        (&[12, 3, b'a', b'"', 1], "\"a\\\"\\u0001\""),
        (&[15, 15, 3, b'a', b'b', b'c'], "\"base64:type15:YWJj\""),
    ] {
        assert_eq!(server(document).as_deref(), Ok(text), "{document:?}");
    }
}

#[test]
fn a_large_container_has_wide_offsets() {
    // Large array of two: an inlined int32 and a string.
    let mut array = vec![3, 2, 0, 0, 0, 22, 0, 0, 0];
    array.extend([7, 42, 0, 0, 0, 12, 18, 0, 0, 0]);
    array.extend([3, b'a', b'b', b'c']);
    assert_eq!(server(&array).as_deref(), Ok("[42, \"abc\"]"));
}

#[test]
fn what_is_no_document_is_refused() {
    for document in [
        &[16][..],
        &[4],
        &[4, 3],
        &[12, 4, b'a'],
        &[12, 0x80, 0x80, 0x80, 0x80, 0x80],
        &[12, 1, 0xFF],
        // A count that the size cannot hold, and a size beyond the end.
        &[2, 0xFF, 0xFF, 4, 0],
        &[2, 0, 0, 5, 0],
        // Not a number.
        &[11, 0, 0, 0, 0, 0, 0, 0xF8, 0x7F],
        // DECIMAL with scale above precision.
        &[15, 246, 2, 1, 2],
    ] {
        assert!(server(document).is_err(), "{document:?}");
    }
}

#[test]
fn a_document_cannot_be_made_to_grow() {
    // An array of 60 values that all point to one array of 60 values, and so on: 60^6 in a few
    // hundred bytes.
    let mut document = vec![2];
    let levels = 6_u16;
    let n = 60_u16;
    let header = 4 + n * 3;
    for level in 0..levels {
        let size = header * (levels - level) + 1;
        document.extend(n.to_le_bytes());
        document.extend(size.to_le_bytes());
        for _ in 0..n {
            let last = level + 1 == levels;
            document.push(if last { 4 } else { 2 });
            document.extend(if last { 1 } else { header }.to_le_bytes());
        }
    }
    document.push(0);
    assert!(server(&document).is_err());
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: u16| {
        let mut document = vec![2];
        for level in 0..depth {
            let left = depth - level;
            let size =
                4 + if left == 1 { 0 } else { 3 } + (left - 1) * 7 - if left == 1 { 0 } else { 3 };
            document.extend(u16::from(left > 1).to_le_bytes());
            document.extend(size.to_le_bytes());
            if left > 1 {
                document.push(2);
                document.extend(7_u16.to_le_bytes());
            }
        }
        document
    };
    assert_eq!(server(&nested(2)).as_deref(), Ok("[[]]"));
    assert!(server(&nested(100)).is_ok());
    assert_eq!(server(&nested(101)), Err(ValueError::JsonDepth(100)));
}

#[test]
fn both_forms_differ_in_spaces_and_fractions() {
    // {"a": 1, "t": 2020-01-01 01:02:03.500000} as MySQL stores it.
    let mut document =
        vec![0, 2, 0, 30, 0, 18, 0, 1, 0, 19, 0, 1, 0, 5, 1, 0, 15, 20, 0, b'a', b't'];
    document.extend([12, 8, 0x20, 0xA1, 7, 0x83, 0x10, 0x42, 0xA5, 0x19]);
    let form = |form| to_text(&document, form, &Bump::new()).map(str::to_owned);
    assert_eq!(
        form(JsonForm::Server).as_deref(),
        Ok(r#"{"a": 1, "t": "2020-01-01 01:02:03.500000"}"#)
    );
    assert_eq!(form(JsonForm::Debezium).as_deref(), Ok(r#"{"a":1,"t":"2020-01-01 01:02:03.5"}"#));
}

#[test]
fn a_change_without_a_place_is_an_error() {
    let array = [2, 1, 0, 7, 0, 5, 1, 0];
    let diff = |operation: u8, path: &str, value: &[u8]| {
        let mut diff = vec![operation, u8::try_from(path.len()).unwrap()];
        diff.extend(path.bytes());
        if operation != 2 {
            diff.push(u8::try_from(value.len()).unwrap());
            diff.extend(value);
        }
        diff
    };
    let apply =
        |diff: &[u8]| apply_diffs(&array, diff, JsonForm::Server, &Bump::new()).map(str::to_owned);
    let two = [5, 2, 0];
    assert_eq!(apply(&diff(0, "$[0]", &two)).as_deref(), Ok("[2]"));
    assert_eq!(apply(&diff(1, "$[9]", &two)).as_deref(), Ok("[1, 2]"));
    assert_eq!(apply(&diff(2, "$[0]", &[])).as_deref(), Ok("[]"));
    assert_eq!(apply(&diff(0, "$", &two)).as_deref(), Ok("2"));
    for wrong in [
        diff(0, "$[1]", &two),
        diff(0, "$.a", &two),
        diff(1, "$", &two),
        diff(2, "$[1]", &[]),
        diff(3, "$[0]", &two),
        diff(0, "[0]", &two),
        diff(0, "$[x]", &two),
        diff(0, "$.\"a", &two),
        vec![0],
        vec![0, 250, b'$'],
    ] {
        assert!(matches!(apply(&wrong), Err(ValueError::JsonDiff(_))), "{wrong:?}");
    }
}
