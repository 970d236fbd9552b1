use bumpalo::Bump;
use mongodb::bson::{Document as Driver, doc};

use super::*;
use crate::sources::mongodb::bson::Document;

fn rules(exclude: &[&str], rename: &[&str]) -> Vec<Rule> {
    let owned = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect();
    let config = FieldsConfig { exclude: owned(exclude), rename: owned(rename) };
    FieldRules::new(&config).unwrap().of(&Namespace::new("shop", "orders.old"))
}

/// Both kinds of documents are rewritten by the same rules, but for dotted names.
fn rewritten(rules: &[Rule], of: &Driver, is_change: bool) -> Result<Driver, RewriteError> {
    let (bytes, arena) = (of.to_vec().unwrap(), Bump::new());
    let original = Document::new(&bytes).unwrap();
    let rewritten = match is_change {
        true => change(rules, original, &arena),
        false => document(rules, original, &arena),
    }?;
    Ok(Driver::from_reader(rewritten.bytes()).unwrap())
}

#[track_caller]
fn check(rules: &[Rule], original: Driver, expected: Driver) {
    let found = rewritten(rules, &original, false).unwrap();
    // Documents compare without regard to order.
    assert_eq!(found.to_string(), expected.to_string(), "{original}");
}

#[track_caller]
fn check_change(rules: &[Rule], original: Driver, expected: Driver) {
    let found = rewritten(rules, &original, true).unwrap();
    assert_eq!(found.to_string(), expected.to_string(), "{original}");
}

#[test]
fn rules_hold_for_the_collections_that_they_name() {
    assert_eq!(rules(&["shop.orders*.a"], &[]).len(), 1);
    assert_eq!(rules(&["SHOP.Orders*.a"], &["*.*.b:c"]).len(), 2);
    assert_eq!(rules(&["shop.orders.a", "other.*.a"], &[]).len(), 0);
    // With a dot in a collection's name, `*` stands for it.
    assert_eq!(rules(&["shop.orders?old.a.b"], &[]), rules(&["*.*.a.b"], &[]));
}

#[test]
fn what_is_no_rule_is_refused() {
    let refused = |exclude: &[&str], rename: &[&str]| {
        let owned = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect();
        FieldRules::new(&FieldsConfig { exclude: owned(exclude), rename: owned(rename) })
            .unwrap_err()
    };
    for rule in ["", "a", "a.b", "a.b.", "a..c", ".b.c", "a.b.c..d", "a.b.c\0"] {
        assert!(matches!(refused(&[rule], &[]), FieldRuleError::Parts { .. }), "{rule:?}");
    }
    assert!(matches!(refused(&["[.b.c"], &[]), FieldRuleError::Pattern { .. }));
    for rule in ["a.b.c", "a.b.c:", "a.b.c:d.e"] {
        assert!(matches!(refused(&[], &[rule]), FieldRuleError::NewName { .. }), "{rule}");
    }
}

#[test]
fn fields_are_left_out_at_every_depth() {
    let original = doc! { "_id": 1, "a": { "b": 1, "c": { "d": 2, "e": 3 } }, "b": 4 };
    check(
        &rules(&["*.*.b"], &[]),
        original.clone(),
        doc! { "_id": 1, "a": { "b": 1, "c": { "d": 2, "e": 3 } } },
    );
    check(
        &rules(&["*.*.a.b"], &[]),
        original.clone(),
        doc! { "_id": 1, "a": { "c": { "d": 2, "e": 3 } }, "b": 4 },
    );
    check(
        &rules(&["*.*.a.c.d", "*.*.a.c.e"], &[]),
        original.clone(),
        doc! { "_id": 1, "a": { "b": 1, "c": {} }, "b": 4 },
    );
    for nothing in ["*.*.x", "*.*.a.x", "*.*.b.x", "*.*.a.b.c.d"] {
        check(&rules(&[nothing], &[]), original.clone(), original.clone());
    }
}

#[test]
fn documents_in_arrays_are_met_by_the_names_above_them() {
    let original = doc! { "a": [{ "b": 1, "c": 2 }, 3, { "b": 4 }, [{ "b": 5 }], null] };
    let expected = doc! { "a": [{ "c": 2 }, 3, {}, [{ "b": 5 }], null] };
    check(&rules(&["*.*.a.b"], &[]), original, expected);
}

#[test]
fn a_renamed_field_stands_at_the_end_of_its_document() {
    let original = doc! { "_id": 1, "a": { "b": 1, "c": 2 }, "d": 3 };
    check(
        &rules(&[], &["*.*.a:z"]),
        original.clone(),
        doc! { "_id": 1, "d": 3, "z": { "b": 1, "c": 2 } },
    );
    check(
        &rules(&[], &["*.*.a.b:z"]),
        original.clone(),
        doc! { "_id": 1, "a": { "c": 2, "z": 1 }, "d": 3 },
    );
    // One after the other, exclusions first.
    let rules = rules(&["*.*.d"], &["*.*.a:d", "*.*.d.c:e"]);
    check(&rules, original, doc! { "_id": 1, "d": { "b": 1, "e": 2 } });
}

#[test]
fn a_new_name_that_is_taken_is_refused() {
    let rules = rules(&[], &["*.*.a:b"]);
    let refused =
        |document: Driver, is_change| rewritten(&rules, &document, is_change).unwrap_err();
    assert_eq!(refused(doc! { "a": 1, "b": 2 }, false), RewriteError::NameTaken);
    assert_eq!(refused(doc! { "b": 1, "a": 2 }, true), RewriteError::NameTaken);
    check(&rules, doc! { "b": 2 }, doc! { "b": 2 });
    check(&rules, doc! { "x": { "a": 1, "b": 2 } }, doc! { "x": { "a": 1, "b": 2 } });
}

#[test]
fn dotted_names_of_an_update_are_met() {
    let a_b = rules(&["*.*.a.b"], &[]);
    check_change(
        &a_b,
        doc! { "a.b": 1, "a.c": 2, "a.bb": 3, "ab": 4 },
        doc! { "a.c": 2, "a.bb": 3, "ab": 4 },
    );
    check_change(&a_b, doc! { "a.b.c": 1, "a.0.b": 2, "a.0.b.1.c": 3, "x": 4 }, doc! { "x": 4 });
    // A value above the path has the field within.
    check_change(&a_b, doc! { "a": { "b": 1, "c": 2 } }, doc! { "a": { "c": 2 } });
    check_change(
        &a_b,
        doc! { "a.0": { "b": 1 }, "a.1": { "b": 2, "c": 3 } },
        doc! { "a.0": {}, "a.1": { "c": 3 } },
    );
    check_change(&a_b, doc! { "a": [{ "b": 1 }, 2] }, doc! { "a": [{}, 2] });
    check_change(&a_b, doc! { "a": 1 }, doc! { "a": 1 });
    // Arrays of arrays are out of reach.
    check_change(&a_b, doc! { "a.0.0.b": 1 }, doc! { "a.0.0.b": 1 });
    // A number is a name where nothing stands around it.
    check_change(&rules(&["*.*.0"], &[]), doc! { "0": 1, "1": 2 }, doc! { "1": 2 });
}

#[test]
fn dotted_names_of_an_update_are_renamed() {
    let a_b = rules(&[], &["*.*.a.b:z"]);
    check_change(&a_b, doc! { "a.b": 1, "c": 2 }, doc! { "c": 2, "a.z": 1 });
    check_change(&a_b, doc! { "a.0.b.c": 1, "a.1.b": 2 }, doc! { "a.0.z.c": 1, "a.1.z": 2 });
    check_change(&a_b, doc! { "a": { "b": 1, "c": 2 } }, doc! { "a": { "c": 2, "z": 1 } });
    check_change(&rules(&[], &["*.*.a:z"]), doc! { "a": 1, "a.b": 2 }, doc! { "z": 1, "z.b": 2 });
}

#[test]
fn names_alone_are_met() {
    let arena = Bump::new();
    let excluded = rules(&["*.*.a.b"], &[]);
    let renamed = rules(&[], &["*.*.a.b:z"]);
    for (original, left, new) in [
        ("a.b", None, Some("a.z")),
        ("a.3.b", None, Some("a.3.z")),
        ("a.b.c", None, Some("a.z.c")),
        ("a", Some("a"), Some("a")),
        ("a.c", Some("a.c"), Some("a.c")),
        ("b", Some("b"), Some("b")),
    ] {
        assert_eq!(name(&excluded, original, &arena), left, "{original}");
        assert_eq!(name(&renamed, original, &arena), new, "{original}");
    }
}

#[test]
fn every_type_survives_a_rewriting() {
    let original = doc! {
        "a": 1, "b": "text", "c": [1, 2.5, null], "d": mongodb::bson::oid::ObjectId::from_bytes([7; 12]),
        "e": mongodb::bson::Bson::MinKey, "f": mongodb::bson::DateTime::from_millis(-1),
    };
    let mut expected = original.clone();
    expected.remove("a");
    check(&rules(&["*.*.a"], &[]), original, expected);
}
