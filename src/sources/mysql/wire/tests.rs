use super::*;

const LIMIT: u32 = 64 << 20;

fn packets(payloads: &[&[u8]]) -> Vec<u8> {
    let mut output = BytesMut::new();
    let mut sequence = 0;
    for payload in payloads {
        put_payload(&mut output, &mut sequence, payload);
    }
    output.to_vec()
}

fn payloads(frames: &Frames) -> Vec<Vec<u8>> {
    let bounds = frames.payloads.iter();
    bounds.map(|r| frames.data[r.start as usize..r.end as usize].to_vec()).collect()
}

#[test]
fn all_complete_payloads_leave_together_and_the_rest_waits() {
    let bytes = packets(&[b"\0one", b"\0", b"\0three"]);
    for cut in 0..=bytes.len() {
        let mut input = BytesMut::from(&bytes[..cut]);
        let mut sequence = 0;
        let mut seen = Vec::new();
        for more in [&bytes[cut..], b""] {
            while let Some(frames) = take_run(&mut input, &mut sequence, LIMIT, is_event).unwrap() {
                seen.extend(payloads(&frames));
            }
            input.extend_from_slice(more);
        }
        assert_eq!(seen, [b"\0one".to_vec(), b"\0".to_vec(), b"\0three".to_vec()], "cut at {cut}");
        assert!(input.is_empty());
        assert_eq!(sequence, 3);
    }
}

#[test]
fn another_kind_of_payload_ends_a_run() {
    let mut input = BytesMut::from(packets(&[b"\0one", b"\xFF\x01\x02", b"\0two"]).as_slice());
    let mut sequence = 0;
    let frames = take_run(&mut input, &mut sequence, LIMIT, is_event).unwrap().unwrap();
    assert_eq!(payloads(&frames), [b"\0one"]);
    assert!(take_run(&mut input, &mut sequence, LIMIT, is_event).unwrap().is_none());
    let error = take_payload(&mut input, &mut sequence, LIMIT).unwrap().unwrap();
    assert_eq!(server_error(&error).code, 0x201);
}

#[test]
fn what_was_split_over_packets_is_joined() {
    for length in [FULL_BYTES - 1, FULL_BYTES, FULL_BYTES + 1, 2 * FULL_BYTES] {
        let mut large: Vec<u8> = (0..=250).cycle().take(length).collect();
        large[0] = 0;
        let bytes = packets(&[b"\0before", &large, b"\0after"]);
        let mut input = BytesMut::from(bytes.as_slice());
        let mut sequence = 0;
        let mut seen = Vec::new();
        while let Some(frames) = take_run(&mut input, &mut sequence, LIMIT, is_event).unwrap() {
            seen.extend(payloads(&frames));
        }
        let expected = [b"\0before".to_vec(), large, b"\0after".to_vec()];
        assert!(seen == expected, "{length}");
        assert!(input.is_empty());
    }
}

#[test]
fn a_lost_or_doubled_packet_is_noticed() {
    let bytes = packets(&[b"\0one", b"\0two"]);
    let mut doubled = BytesMut::from(&[&bytes[..8], &bytes[..8]].concat()[..]);
    let error = take_run(&mut doubled, &mut 0, LIMIT, is_event).unwrap_err();
    assert_eq!(error, WireError::OutOfOrder { expected: 1, found: 0 });
    let mut lost = BytesMut::from(&bytes[8..]);
    let error = take_payload(&mut lost, &mut 0, LIMIT).unwrap_err();
    assert_eq!(error, WireError::OutOfOrder { expected: 0, found: 1 });
}

#[test]
fn sequence_numbers_wrap() {
    let many = vec![&b"\0"[..]; 600];
    let mut input = BytesMut::from(packets(&many).as_slice());
    let mut sequence = 0;
    let frames = take_run(&mut input, &mut sequence, LIMIT, is_event).unwrap().unwrap();
    assert_eq!(frames.payloads.len(), 600);
    assert_eq!(sequence, 88);
}

#[test]
fn a_declared_length_is_checked_before_a_byte_of_it_is_waited_for() {
    let mut input = BytesMut::from(&[0xE9, 0x03, 0, 0][..]);
    assert_eq!(
        take_payload(&mut input, &mut 0, 1000),
        Err(WireError::TooLarge { bytes: 1001, limit: 1000 })
    );
    let mut input = BytesMut::from(&[0xE8, 0x03, 0, 0][..]);
    assert_eq!(take_payload(&mut input, &mut 0, 1000), Ok(None));
}

#[test]
fn rows_tell_null_from_empty_and_refuse_to_read_past_the_end() {
    assert_eq!(text_row(b"\xFB\0\x01x").unwrap(), [None, Some(String::new()), Some("x".into())]);
    let long = [&b"\xFC\x00\x01"[..], &[b'y'; 256]].concat();
    assert_eq!(text_row(&long).unwrap(), [Some("y".repeat(256))]);
    assert_eq!(text_row(b"\x09abc"), Err(WireError::Short("a row")));
    assert_eq!(text_row(b"\xFEabc"), Err(WireError::Short("a row")));
    assert_eq!(text_row(b"\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFx"), Err(WireError::Short("a row")));
    assert_eq!(text_row(b"\x01\xFF"), Err(WireError::Encoding("a row")));
}

#[test]
fn the_end_of_rows_is_told_from_a_row_that_begins_with_its_byte() {
    assert!(is_eof(b"\xFE\0\0\x02\0"));
    assert!(is_row(b"\xFE\x01\0\0\0\0\0\0\0x"));
    assert!(is_row(b"\xFB") && is_row(b"") && !is_row(b"\xFFoops"));
}

#[test]
fn an_error_is_read_even_when_it_is_damaged() {
    let error = server_error(b"\xFF\x15\x04#28000Access denied \xFF");
    assert_eq!((error.code, error.state.as_str()), (1045, "28000"));
    assert_eq!(error.message, "Access denied \u{fffd}");
    assert_eq!(server_error(b"\xFF\x10\x04Too many connections").message, "Too many connections");
    assert_eq!(server_error(b"\xFF\x10\x04#08").message, "#08");
    assert_eq!(server_error(b"").code, 0);
}
