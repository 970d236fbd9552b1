use super::*;

fn row(cells: &[Option<&str>]) -> Row {
    cells.iter().map(|cell| cell.map(str::to_owned)).collect()
}

/// One part of an index, as `SHOW INDEX` gives it.
fn part(unique: bool, index: &str, column: Option<&str>, nullable: bool) -> Row {
    let non_unique = if unique { "0" } else { "1" };
    let null = if nullable { "YES" } else { "" };
    row(&[
        Some("t"),
        Some(non_unique),
        Some(index),
        Some("1"),
        column,
        Some("A"),
        Some("0"),
        None,
        None,
        Some(null),
        Some("BTREE"),
    ])
}

#[test]
fn the_primary_key_goes_before_every_other_index() {
    let rows = [
        part(true, "a", Some("a"), false),
        part(true, "PRIMARY", Some("c"), false),
        part(true, "PRIMARY", Some("b"), false),
    ];
    assert_eq!(key(&rows).unwrap(), ["c", "b"]);
}

#[test]
fn without_it_the_first_unique_index_that_is_never_null() {
    let rows = [
        part(false, "plain", Some("a"), false),
        part(true, "of_an_expression", None, false),
        part(true, "may_be_null", Some("a"), false),
        part(true, "may_be_null", Some("b"), true),
        part(true, "right", Some("c"), false),
        part(true, "right", Some("a"), false),
        part(true, "later", Some("b"), false),
    ];
    assert_eq!(key(&rows).unwrap(), ["c", "a"]);
    assert!(key(&rows[..4]).unwrap().is_empty());
    assert!(key(&[]).unwrap().is_empty());
}

#[test]
fn columns_say_how_their_default_is_printed() {
    let check = |default: Option<&str>, extra: &str, flavor, expected: DefaultText| {
        let rows = [row(&[Some("c"), Some("int"), Some("YES"), default, Some(extra)])];
        let found = columns(&rows, flavor).unwrap().remove(0);
        assert!(found.nullable);
        assert_eq!(found.default, expected);
    };
    let value = |text: &str| DefaultText::Value(text.to_owned());
    let expression = |text: &str| DefaultText::Expression(text.to_owned());
    check(Some("1"), "", Flavor::Mysql, value("1"));
    check(Some("1"), "", Flavor::Mariadb, expression("1"));
    let clock = "CURRENT_TIMESTAMP";
    let extra = "DEFAULT_GENERATED on update CURRENT_TIMESTAMP";
    check(Some(clock), extra, Flavor::Mysql, expression(clock));
    check(None, "", Flavor::Mysql, DefaultText::None);
    check(Some("NULL"), "VIRTUAL GENERATED", Flavor::Mariadb, DefaultText::None);
}

#[test]
fn an_answer_of_another_form_is_refused() {
    assert!(columns(&[row(&[Some("c"), Some("int")])], Flavor::Mysql).is_err());
    assert!(columns(&[row(&[Some("c"), None, Some("NO"), None, None])], Flavor::Mysql).is_err());
    assert!(key(&[row(&[Some("t"), Some("0")])]).is_err());
}

#[test]
fn questions_name_their_table_safely() {
    assert_eq!(indexes_query("a`b", "c"), "SHOW INDEX FROM `c` FROM `a``b`");
    assert!(columns_query("d'", "t").contains("table_schema = 'd'''"));
    assert!(size_query("d", "t").ends_with("table_name = 't'"));
}

#[test]
fn sizes_are_estimates_and_engines_are_not() {
    let answer = |engine, rows| size(&[row(&[Some(engine), rows, Some("16384")])]).unwrap();
    let innodb = Size { transactional: true, rows: 3, bytes: 16_384 };
    assert_eq!(answer("InnoDB", Some("3")), Some(innodb));
    let myisam = Size { transactional: false, rows: 0, bytes: 16_384 };
    assert_eq!(answer("MyISAM", None), Some(myisam));
    assert_eq!(size(&[]).unwrap(), None);
    assert!(size(&[row(&[Some("InnoDB")])]).is_err());
}

#[test]
fn tables_come_with_their_database() {
    let found = tables(vec![row(&[Some("d"), Some("t")])]).unwrap();
    assert_eq!(found, [TableName { database: "d".to_owned(), table: "t".to_owned() }]);
    assert!(tables(vec![row(&[Some("d")])]).is_err());
}
