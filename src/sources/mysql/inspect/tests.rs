use super::*;

const WRITE_ROWS: u8 = 30;
const XID: u8 = 16;

/// An event as it is sent, with its checksum.
fn event(kind: u8, end: u32, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut event = plain(kind, end, flags, &[body, &[0; CHECKSUM_BYTES]].concat());
    let at = event.len() - CHECKSUM_BYTES;
    let sum = crc32fast::hash(&event[..at]);
    event[at..].copy_from_slice(&sum.to_le_bytes());
    event
}

fn plain(kind: u8, end: u32, flags: u16, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(HEADER_BYTES + body.len()).unwrap();
    let mut event = vec![0; 4];
    event.push(kind);
    event.extend_from_slice(&[1, 0, 0, 0]);
    event.extend_from_slice(&size.to_le_bytes());
    event.extend_from_slice(&end.to_le_bytes());
    event.extend_from_slice(&flags.to_le_bytes());
    event.extend_from_slice(body);
    event
}

fn rotate(file: &str, position: u64) -> Vec<u8> {
    let body = [&position.to_le_bytes()[..], file.as_bytes()].concat();
    event(kind::ROTATE, 0, ARTIFICIAL, &body)
}

fn description(end: u32, algorithm: u8) -> Vec<u8> {
    event(kind::FORMAT_DESCRIPTION, end, 0, &[&[0; 60][..], &[algorithm]].concat())
}

const DESCRIPTION_BYTES: u32 = 19 + 61 + 4;

/// A row of `n` bytes that ends where it should.
fn row_at(position: u64, n: usize) -> Vec<u8> {
    let size = u64::try_from(HEADER_BYTES + n + CHECKSUM_BYTES).unwrap();
    let end = u32::try_from((position + size) & u64::from(u32::MAX)).unwrap();
    event(WRITE_ROWS, end, 0, &vec![7; n])
}

fn at_file_start(extent: Extent) -> Inspector {
    let mut inspector = Inspector::new(extent);
    inspector.inspect(&rotate("binlog.000009", 4)).unwrap();
    inspector.inspect(&description(4 + DESCRIPTION_BYTES, 1)).unwrap();
    assert_eq!(inspector.place(), "binlog.000009:88");
    inspector
}

fn whole() -> Extent {
    Extent::From { file: "binlog.000009".into(), position: 4 }
}

#[test]
fn events_that_follow_each_other_pass_and_lose_their_checksum() {
    let mut inspector = at_file_start(whole());
    assert_eq!(inspector.inspect(&row_at(88, 10)).unwrap(), 29);
    assert_eq!(inspector.inspect(&row_at(121, 0)).unwrap(), 19);
    assert_eq!(inspector.place(), "binlog.000009:144");
}

#[test]
fn each_damaged_byte_is_noticed() {
    let good = row_at(88, 10);
    for at in 0..good.len() {
        let mut inspector = at_file_start(whole());
        let mut bad = good.clone();
        bad[at] ^= 1;
        let error = inspector.inspect(&bad).unwrap_err();
        let damaged = matches!(error, SourceError::Checksum { .. } | SourceError::Event { .. });
        assert!(damaged, "byte {at}: {error}");
    }
}

#[test]
fn a_missing_event_is_a_gap_when_everything_was_asked_for() {
    let mut inspector = at_file_start(whole());
    let gtid = event(kind::GTID, 500, 0, &[0; 20]);
    let error = inspector.inspect(&gtid).unwrap_err();
    assert_eq!(
        error.to_string(),
        "read on at binlog.000009:88: a gap, the next event of 43 bytes ends at 500"
    );
}

#[test]
fn whole_transactions_may_be_passed_over_but_never_a_part_of_one() {
    let mut inspector = at_file_start(Extent::Groups);
    inspector.inspect(&event(kind::GTID, 500, 0, &[0; 20])).unwrap();
    inspector.inspect(&row_at(500, 1)).unwrap();
    let error = inspector.inspect(&row_at(1000, 1)).unwrap_err();
    assert!(matches!(error, SourceError::Gap { .. }), "{error}");
}

#[test]
fn an_event_that_comes_twice_is_noticed() {
    let mut inspector = at_file_start(whole());
    inspector.inspect(&row_at(88, 10)).unwrap();
    assert!(matches!(inspector.inspect(&row_at(88, 10)), Err(SourceError::Gap { .. })));
}

#[test]
fn places_beyond_4_gib_are_counted_on() {
    let position = u64::from(u32::MAX) - 20;
    let mut inspector = Inspector::new(Extent::From { file: "binlog.000009".into(), position });
    inspector.inspect(&rotate("binlog.000009", position)).unwrap();
    inspector.inspect(&description(0, 1)).unwrap();
    inspector.inspect(&row_at(position, 100)).unwrap();
    assert_eq!(inspector.place(), format!("binlog.000009:{}", position + 123));
    assert_eq!(widened(position, 5), (1 << 32) + 5);
    assert_eq!(widened(5, 5), 5);
}

#[test]
fn events_that_do_not_say_where_they_end_are_counted() {
    let mut inspector = at_file_start(Extent::Groups);
    inspector.inspect(&event(kind::MARIADB_GTID, 88 + 42, 0, &[0; 19])).unwrap();
    inspector.inspect(&event(WRITE_ROWS, 0, 0, &[0; 10])).unwrap();
    let xid = event(XID, 130 + 33 + 31, 0, &[0; 8]);
    inspector.inspect(&xid).unwrap();
    assert_eq!(inspector.place(), "binlog.000009:194");
}

#[test]
fn one_file_is_followed_by_the_next_and_by_no_other() {
    for (next, follows) in [
        ("binlog.000010", true),
        ("binlog.000011", false),
        ("binlog.000008", false),
        ("other.000010", false),
        ("binlog", false),
    ] {
        let mut inspector = at_file_start(whole());
        assert_eq!(inspector.inspect(&rotate(next, 4)).is_ok(), follows, "{next}");
    }
    assert!(is_successor("binlog.999999", "binlog.1000000"));
    assert!(is_successor("a.b.000999", "a.b.001000"));
    assert!(!is_successor("binlog.18446744073709551615", "binlog.0"));
}

#[test]
fn a_rotation_in_the_file_and_the_one_made_for_us_are_one() {
    let mut inspector = at_file_start(whole());
    let body = [&4u64.to_le_bytes()[..], b"binlog.000010"].concat();
    let end = 88 + u32::try_from(HEADER_BYTES + body.len() + CHECKSUM_BYTES).unwrap();
    inspector.inspect(&event(kind::ROTATE, end, 0, &body)).unwrap();
    inspector.inspect(&rotate("binlog.000010", 4)).unwrap();
    inspector.inspect(&description(4 + DESCRIPTION_BYTES, 1)).unwrap();
}

#[test]
fn a_stream_that_begins_elsewhere_than_asked_is_refused() {
    for (file, position) in [("binlog.000009", 5), ("binlog.000010", 4)] {
        let mut inspector = Inspector::new(whole());
        let error = inspector.inspect(&rotate(file, position)).unwrap_err();
        assert!(matches!(error, SourceError::Gap { .. }), "{error}");
    }
}

#[test]
fn a_file_without_checksums_is_read_without_and_the_next_with_them() {
    let mut inspector = Inspector::new(Extent::Groups);
    inspector.inspect(&rotate("binlog.000009", 4)).unwrap();
    let mut silent = plain(kind::FORMAT_DESCRIPTION, 4 + DESCRIPTION_BYTES, 0, &[0; 65]);
    silent[19 + 60] = 0;
    assert_eq!(inspector.inspect(&silent).unwrap(), silent.len() - CHECKSUM_BYTES);
    let row = plain(WRITE_ROWS, 88 + 29, 0, &[7; 10]);
    assert_eq!(inspector.inspect(&row).unwrap(), row.len());
    let body = [&4u64.to_le_bytes()[..], b"binlog.000010"].concat();
    inspector.inspect(&plain(kind::ROTATE, 0, ARTIFICIAL, &body)).unwrap();
    inspector.inspect(&description(4 + DESCRIPTION_BYTES, 1)).unwrap();
    let mut bad = row_at(88, 3);
    bad[20] ^= 1;
    assert!(matches!(inspector.inspect(&bad), Err(SourceError::Checksum { .. })));
}

#[test]
fn a_log_in_use_has_the_same_checksum() {
    let mut inspector = Inspector::new(whole());
    inspector.inspect(&rotate("binlog.000009", 4)).unwrap();
    let mut open = description(4 + DESCRIPTION_BYTES, 1);
    open[FLAGS_AT] |= IN_USE;
    inspector.inspect(&open).unwrap();
}

#[test]
fn an_unknown_checksum_is_refused() {
    let mut inspector = Inspector::new(whole());
    inspector.inspect(&rotate("binlog.000009", 4)).unwrap();
    assert!(matches!(
        inspector.inspect(&description(4 + DESCRIPTION_BYTES, 2)),
        Err(SourceError::Event { .. })
    ));
}

#[test]
fn any_bytes_give_a_length_or_an_error() {
    let bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
    for from in 0..256 {
        for n in 0..64 {
            let mut inspector = Inspector::new(Extent::Groups);
            let mut piece = bytes[from..from + n].to_vec();
            if let Some(size) = piece.get_mut(9..13) {
                size.copy_from_slice(&u32::try_from(n).unwrap().to_le_bytes());
            }
            drop(inspector.inspect(&piece));
        }
    }
}

#[test]
fn heartbeats_move_nothing() {
    let mut inspector = at_file_start(whole());
    inspector.inspect(&event(kind::HEARTBEAT, 88, 0, b"binlog.000009")).unwrap();
    inspector.inspect(&event(kind::HEARTBEAT_V2, 0, 0, b"x")).unwrap();
    assert_eq!(inspector.place(), "binlog.000009:88");
}
