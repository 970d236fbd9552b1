use proptest::prelude::*;

use super::*;
use crate::sources::postgres::testing::{Wire, tuple_of};

fn fields(tuple: Tuple<'_>) -> Vec<Field<'_>> {
    tuple.fields().map(Result::unwrap).collect()
}

#[test]
fn frames_carry_messages_or_the_servers_end() {
    let frame = Wire::of(b'w').u64(7).u64(9).u64(3).bytes("body").0;
    let expected = Frame::XLogData { start: Lsn(7), sent_at: 3, body: b"body" };
    assert_eq!(parse_frame(&frame), Ok(expected));
    let frame = Wire::of(b'k').u64(9).u64(3).bytes([1]).0;
    assert_eq!(parse_frame(&frame), Ok(Frame::Keepalive { end: Lsn(9) }));
    assert_eq!(parse_frame(b"x"), Err(ParseError::UnknownFrame(b'x')));
    assert!(parse_frame(b"").is_err());
}

#[test]
fn transactions_have_their_two_ends() {
    let begin = Wire::of(b'B').u64(0x10).u64(5).u32(77).0;
    let expected = Message::Begin { final_lsn: Lsn(0x10), commit_time: 5, xid: 77 };
    assert_eq!(parse_message(&begin), Ok(expected));
    let commit = Wire::of(b'C').bytes([0]).u64(0x10).u64(0x18).u64(5).0;
    let expected = Message::Commit { commit_lsn: Lsn(0x10), end_lsn: Lsn(0x18), commit_time: 5 };
    assert_eq!(parse_message(&commit), Ok(expected));
    let origin = Wire::of(b'O').u64(3).text("node ü").0;
    let expected = Message::Origin { commit_lsn: Lsn(3), name: "node ü" };
    assert_eq!(parse_message(&origin), Ok(expected));
}

#[test]
fn relations_name_their_columns() {
    let wire = Wire::of(b'R').u32(99).text("Other Schema").text("Odd.Table-Näme").bytes(b"d\0\x02");
    let wire = wire.bytes([1]).text("Id").u32(23).u32(u32::MAX);
    let wire = wire.bytes([0]).text("sélect").u32(1700).u32(6);
    let Ok(Message::Relation(relation)) = parse_message(&wire.0) else { panic!("no relation") };
    assert_eq!(
        (relation.oid, relation.schema, relation.table),
        (99, "Other Schema", "Odd.Table-Näme")
    );
    let columns = relation.columns().unwrap();
    let id = RelationColumn { identity: true, name: "Id", type_oid: 23, type_modifier: -1 };
    let second =
        RelationColumn { identity: false, name: "sélect", type_oid: 1700, type_modifier: 6 };
    assert_eq!(columns, [id, second]);
    // The system schema is sent as nothing.
    let wire = Wire::of(b'R').u32(1).text("").text("t").bytes(b"d\0\0");
    assert!(matches!(parse_message(&wire.0), Ok(Message::Relation(r)) if r.schema == "pg_catalog"));
}

#[test]
fn rows_tell_null_from_unchanged_from_empty() {
    let new = tuple_of(&[Some("1"), None, Some("<unchanged>"), Some("")]);
    let insert = Wire::of(b'I').u32(5).bytes("N").bytes(&new).0;
    let Ok(Message::Insert { relation: 5, new }) = parse_message(&insert) else {
        panic!("no insert")
    };
    let expected = [Field::Text(b"1"), Field::Null, Field::Unchanged, Field::Text(b"")];
    assert_eq!(fields(new), expected);
}

#[test]
fn updates_have_no_old_row_or_its_key_or_all_of_it() {
    let (old, new) = (tuple_of(&[Some("1")]), tuple_of(&[Some("2")]));
    let plain = Wire::of(b'U').u32(5).bytes("N").bytes(&new).0;
    assert!(matches!(parse_message(&plain), Ok(Message::Update { old: None, .. })));
    for (tag, is_key) in [(b'K', true), (b'O', false)] {
        let wire = Wire::of(b'U').u32(5).bytes([tag]).bytes(&old).bytes("N").bytes(&new).0;
        let Ok(Message::Update { old: Some(old), new, .. }) = parse_message(&wire) else {
            panic!("no update")
        };
        assert_eq!(matches!(old, OldTuple::Key(_)), is_key);
        let (OldTuple::Key(old) | OldTuple::Whole(old)) = old;
        assert_eq!((fields(old), fields(new)), (vec![Field::Text(b"1")], vec![Field::Text(b"2")]));
        let wire = Wire::of(b'D').u32(5).bytes([tag]).bytes(tuple_of(&[Some("1")])).0;
        assert!(matches!(parse_message(&wire), Ok(Message::Delete { relation: 5, .. })));
    }
}

#[test]
fn truncates_and_logical_messages() {
    let wire = Wire::of(b'T').u32(2).bytes([1]).u32(5).u32(6).0;
    let Ok(Message::Truncate { relations }) = parse_message(&wire) else { panic!("no truncate") };
    assert_eq!(relations.iter().collect::<Vec<_>>(), [5, 6]);
    let wire = Wire::of(b'M').bytes([1]).u64(3).text("pfx").u32(3).bytes("abc").0;
    let expected = Message::Message { transactional: true, prefix: "pfx", content: b"abc" };
    assert_eq!(parse_message(&wire), Ok(expected));
}

#[test]
fn what_was_not_asked_for_or_is_not_known_is_named() {
    for tag in *b"SEcAbPKrp" {
        assert!(
            matches!(parse_message(&[tag]), Err(ParseError::NotAskedFor { tag: t, .. }) if t == tag)
        );
    }
    assert_eq!(parse_message(b"z"), Err(ParseError::UnknownMessage(b'z')));
    let error = parse_message(b"A").unwrap_err().to_string();
    assert_eq!(error, "read a pgoutput message of type `A` (Stream Abort) that was not asked for");
}

#[test]
fn lengths_that_lie_are_refused() {
    let huge = Wire::of(b'I').u32(5).bytes("N\0\x01t").u32(0x7fff_ffff).bytes("x").0;
    assert!(matches!(parse_message(&huge), Err(ParseError::Short(_))));
    let negative = Wire::of(b'I').u32(5).bytes("N\0\x01t").u32(u32::MAX).0;
    assert!(matches!(parse_message(&negative), Err(ParseError::Negative { .. })));
    let many = Wire::of(b'T').u32(u32::MAX).bytes([0]).0;
    assert!(matches!(parse_message(&many), Err(ParseError::Short(_))));
    let trailing = Wire::of(b'B').u64(1).u64(1).u32(1).bytes([0]).0;
    assert!(matches!(parse_message(&trailing), Err(ParseError::Trailing { n_bytes: 1, .. })));
    let binary = Wire::of(b'I').u32(5).bytes("N\0\x01b").u32(0).0;
    assert!(matches!(parse_message(&binary), Err(ParseError::Unexpected { found: b'b', .. })));
    let latin = Wire::of(b'O').u64(3).bytes(b"n\xfc\0").0;
    assert!(matches!(parse_message(&latin), Err(ParseError::NotUtf8(_))));
}

/// Walks whatever was parsed to its end.
fn walk(body: &[u8]) {
    let tuple_walk = |tuple: Tuple<'_>| assert!(tuple.fields().all(|field| field.is_ok()));
    let old_walk = |old: OldTuple<'_>| match old {
        OldTuple::Key(tuple) | OldTuple::Whole(tuple) => tuple_walk(tuple),
    };
    match parse_message(body) {
        Ok(Message::Relation(relation)) => assert!(relation.columns().is_ok()),
        Ok(Message::Insert { new, .. }) => tuple_walk(new),
        Ok(Message::Update { old, new, .. }) => {
            old.into_iter().for_each(old_walk);
            tuple_walk(new);
        }
        Ok(Message::Delete { old, .. }) => old_walk(old),
        Ok(Message::Truncate { relations }) => assert!(relations.iter().count() <= body.len()),
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_bytes_give_a_message_or_an_error(tag in prop::sample::select(b"BCORYIUDTMSEcAz".to_vec()), rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let body = [&[tag][..], &rest].concat();
        walk(&body);
        let _frame = parse_frame(&body);
    }

    #[test]
    fn a_cut_or_bent_message_is_never_read_past_its_end(at in 0_usize..200, byte: u8) {
        let (old, new) = (tuple_of(&[Some("1"), None]), tuple_of(&[Some("2"), Some("<unchanged>")]));
        let wire = Wire::of(b'U').u32(5).bytes("O").bytes(&old).bytes("N").bytes(&new).0;
        walk(&wire[..at.min(wire.len())]);
        let mut bent = wire;
        let at = at % bent.len();
        bent[at] = byte;
        walk(&bent);
    }
}
