use super::*;

fn facts(oid: u32, name: &str, kind: TypeKind) -> TypeFacts {
    TypeFacts { oid, name: name.to_owned(), schema: "public".to_owned(), kind }
}

fn column_type(oid: u32, type_modifier: i32) -> Option<ColumnType> {
    map(oid, type_modifier, None).map(|mapped| mapped.column_type)
}

#[test]
fn modifiers_give_scale_length_and_precision() {
    let decimal = |precision, scale| Some(ColumnType::Decimal { precision, scale });
    assert_eq!(column_type(oid::NUMERIC, (10 << 16 | 2) + 4), decimal(10, 2));
    assert_eq!(column_type(oid::NUMERIC, (4 << 16 | 0x7fe) + 4), decimal(4, 2046));
    assert_eq!(column_type(oid::NUMERIC, -1), Some(ColumnType::VariableDecimal));
    assert_eq!(column_type(oid::BIT, 1), Some(ColumnType::Bool));
    assert_eq!(column_type(oid::VARBIT, 5), Some(ColumnType::Bits { length: 5 }));
    assert_eq!(column_type(oid::VARBIT, -1), Some(ColumnType::Bits { length: 2_147_483_647 }));
    assert_eq!(column_type(oid::TIME, 3), Some(ColumnType::Time { precision: 3 }));
    assert_eq!(column_type(oid::TIMESTAMPTZ, -1), Some(ColumnType::TimestampTz { precision: 6 }));
}

#[test]
fn arrays_domains_and_enums_are_taken_apart() {
    let numeric = facts(oid::NUMERIC, "numeric", TypeKind::Base);
    let modifier = (8 << 16 | 3) + 4;
    let price = facts(
        20_000,
        "price",
        TypeKind::Domain { base: Box::new(numeric), type_modifier: modifier },
    );
    let expected = ColumnType::Decimal { precision: 8, scale: 3 };
    assert_eq!(map(20_000, -1, Some(&price)).map(|m| m.column_type), Some(expected));

    let mood = facts(20_001, "mood", TypeKind::Enum { labels: vec!["ha,ppy".to_owned()] });
    let moods = facts(20_002, "_mood", TypeKind::Array { element: Box::new(mood) });
    let found = map(20_002, -1, Some(&moods)).expect("an array of an enum is mapped");
    assert_eq!(found.reading, Reading::Array(Scalar::Text));
    assert!(
        matches!(found.column_type, ColumnType::Array(element) if matches!(*element, ColumnType::Enum { .. }))
    );

    let prices = facts(20_003, "_price", TypeKind::Array { element: Box::new(price) });
    assert_eq!(map(20_003, -1, Some(&prices)), None);
    assert_eq!(map(20_004, -1, None), None);
}

#[test]
fn what_debezium_drops_has_no_mapping() {
    // tsquery, money[], interval[], xml[], name[], point[], varbit[], bit[], line, lseg, path,
    // box, polygon, circle, int4multirange
    for oid in [3615, 791, 1187, 143, 1003, 1017, 1563, 1561, 628, 601, 602, 603, 604, 718, 4451] {
        let base = facts(oid, "x", TypeKind::Base);
        assert_eq!(map(oid, -1, Some(&base)), None, "{oid}");
    }
}

#[test]
fn casts_that_would_change_a_value_are_not_asked_for() {
    for (oid, binary) in [
        (oid::BPCHAR, true),
        (oid::BOOL, true),
        (oid::NAME, true),
        (oid::XML, true),
        (oid::INET, false),
        (oid::CHAR, false),
        (1007, false),
    ] {
        assert_eq!(map(oid, -1, None).map(|mapped| mapped.binary), Some(binary), "{oid}");
    }
}
