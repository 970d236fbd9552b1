use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> GtidSet {
    text.replace('A', A).replace('B', B).parse().unwrap()
}

#[test]
fn sets_are_printed_as_the_server_prints_them() {
    for (text, printed) in [
        ("", ""),
        ("A:1-5", "A:1-5"),
        ("A:5:1-3:4", "A:1-5"),
        ("A:1-3:5-9,\nB:1", "A:1-3:5-9,B:1"),
        ("B:2,A:1", "A:1,B:2"),
        ("A:1-2:tag_b:7:tag_a:1-3", "A:1-2:tag_a:1-3:tag_b:7"),
        ("A:Tag_x:1,A:tag_x:2", "A:tag_x:1-2"),
        ("A:tag:1,A:3", "A:3:tag:1"),
        ("A:5-4:7", "A:7"),
        ("A:9223372036854775806", "A:9223372036854775806"),
    ] {
        let printed = printed.replace('A', A).replace('B', B);
        assert_eq!(set(text).to_string(), printed);
    }
}

#[test]
fn what_is_no_set_is_refused() {
    let uuid_only =
        ["A", "A:", "A:tag", "A:tag:", "A:0", "A:-1", "A:1-", "A:1-2-3", "A:9223372036854775807"];
    let others = ["x", "3e11fa47:1", "A:1:2x", "A:+1", "A:täg:1", "A:1;B:1"];
    let long = format!("A:{}:1", "t".repeat(33));
    for text in uuid_only.into_iter().chain(others).chain([long.as_str()]) {
        let text = text.replace('A', A).replace('B', B);
        assert!(text.parse::<GtidSet>().is_err(), "{text}");
    }
}

#[test]
fn sets_are_ordered_by_inclusion() {
    for (a, b, order) in [
        ("A:1-5", "A:1-5", Some(Ordering::Equal)),
        ("A:1-5", "A:1-6", Some(Ordering::Less)),
        ("A:1-5", "A:1-5,B:1", Some(Ordering::Less)),
        ("A:1-5", "A:1-4:6", None),
        ("A:1", "A:tag:1", None),
        ("", "A:1", Some(Ordering::Less)),
    ] {
        let (a, b) = (set(a), set(b));
        assert_eq!(a.compare(&b), order, "{a} and {b}");
        assert_eq!(b.compare(&a), order.map(Ordering::reverse), "{b} and {a}");
    }
}

#[test]
fn the_binary_form_is_the_servers() {
    // Two sources as a MySQL 8.0 server writes them into Previous_gtids.
    let (a, b) = (set("A:1-3:5"), set("A:2:tag:7"));
    let uuid = parse_uuid(A).unwrap();
    let number = |n: u64| n.to_le_bytes();
    let plain = [&number(1)[..], &uuid, &number(2), &number(1), &number(4), &number(5), &number(6)];
    assert_eq!(a.encode(), plain.concat());
    let head = [1, 2, 0, 0, 0, 0, 0, 1];
    let none = [&uuid[..], &[0], &number(1), &number(2), &number(3)].concat();
    let tagged = [&uuid[..], &[6], b"tag", &number(1), &number(7), &number(8)].concat();
    assert_eq!(b.encode(), [&head[..], &none, &tagged].concat());
}

#[test]
fn a_cut_or_longer_binary_form_is_refused() {
    let bytes = set("A:1-3:tag:7,B:1").encode();
    for end in 0..bytes.len() {
        assert!(GtidSet::decode(&bytes[..end]).is_err(), "{end} bytes");
    }
    assert!(GtidSet::decode(&[&bytes[..], &[0]].concat()).is_err());
    assert!(GtidSet::decode(&u64::MAX.to_le_bytes()).is_err());
}

/// A set of small numbers of three sources, as the model sees it.
type Model = BTreeSet<(u8, u64)>;

fn source(index: u8) -> GtidSource {
    let (uuid, tag) = [(A, ""), (A, "tag"), (B, "")][usize::from(index)];
    GtidSource::new(parse_uuid(uuid).unwrap(), tag).unwrap()
}

fn of(model: &Model) -> GtidSet {
    let mut set = GtidSet::default();
    for (index, number) in model {
        assert!(set.add(&source(*index), *number));
        assert!(!set.add(&source(*index), *number));
    }
    set
}

fn models() -> impl Strategy<Value = Model> {
    proptest::collection::btree_set((0..3_u8, 1..24_u64), 0..40)
}

proptest! {
    #[test]
    fn the_algebra_is_that_of_sets(a in models(), b in models()) {
        let (x, y) = (of(&a), of(&b));
        let mut union = x.clone();
        union.union(&y);
        prop_assert_eq!(&union, &of(&a.union(&b).copied().collect()));
        prop_assert_eq!(x.minus(&y), of(&a.difference(&b).copied().collect()));
        prop_assert_eq!(x.intersection(&y), of(&a.intersection(&b).copied().collect()));
        prop_assert_eq!(x.is_subset_of(&y), a.is_subset(&b));
        prop_assert_eq!(x.compare(&union), Some(if b.is_subset(&a) { Ordering::Equal } else { Ordering::Less }));
        prop_assert_eq!(x.count(), a.len() as u64);
        for index in 0..3 {
            for number in 0..25 {
                prop_assert_eq!(x.contains(&source(index), number), a.contains(&(index, number)));
            }
        }
    }

    #[test]
    fn both_forms_are_read_back(a in models()) {
        let set = of(&a);
        prop_assert_eq!(&set.to_string().parse::<GtidSet>().unwrap(), &set);
        prop_assert_eq!(&GtidSet::decode(&set.encode()).unwrap(), &set);
    }

    #[test]
    fn any_bytes_give_a_set_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in ".{0,60}") {
        GtidSet::decode(&bytes).ok();
        text.parse::<GtidSet>().ok();
    }
}
