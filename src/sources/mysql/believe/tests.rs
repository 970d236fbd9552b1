use super::*;
use crate::sources::mysql::ddl::{Ddl, Dialect};
use crate::sources::mysql::settings::Flavor;

fn model(columns: &str) -> TableModel {
    let text = format!("create table t ({columns})");
    match Ddl::of(&text, Dialect::of(Flavor::Mysql)) {
        Ddl::Create(create) => create.model(Some("utf8mb4")).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A map of one column. `shown`: signedness or collation, as MINIMAL shows them.
fn map(kind: u8, metadata: &[u8], nullable: bool, shown: &[u8]) -> Vec<u8> {
    let mut map = b"\x01d\0\x01t\0\x01".to_vec();
    map.push(kind);
    map.push(u8::try_from(metadata.len()).unwrap());
    map.extend(metadata);
    map.push(u8::from(nullable));
    map.extend(shown);
    map
}

/// The error of a column of this definition, or `None` where it agrees with the map.
fn check(definition: &str, map: &[u8]) -> Option<String> {
    let model = model(&format!("c {definition}"));
    let mut map = TableMap::parse(map, Flavor::Mysql).unwrap();
    match complete(&mut map, &model) {
        Ok(()) => {
            assert_eq!(map.columns[0].name, Some("c"));
            None
        }
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn what_agrees_gets_its_name() {
    const SIGNED: &[u8] = &[1, 1, 0];
    const UNSIGNED: &[u8] = &[1, 1, 0x80];
    const UTF8MB4: &[u8] = &[2, 1, 45];
    const LATIN1: &[u8] = &[2, 1, 8];
    const BYTES: &[u8] = &[2, 1, 63];
    for (definition, kind, metadata, shown) in [
        ("int", t::LONG, &[][..], SIGNED),
        ("int unsigned", t::LONG, &[], UNSIGNED),
        // MariaDB's NO_LOG shows neither.
        ("int unsigned", t::LONG, &[], &[]),
        ("varchar(10)", t::VARCHAR, &[40, 0], &[]),
        ("varchar(10)", t::VARCHAR, &[40, 0], UTF8MB4),
        ("varchar(10) charset latin1", t::VARCHAR, &[10, 0], LATIN1),
        ("char(5) charset latin1", t::STRING, &[254, 5], LATIN1),
        ("binary(5)", t::STRING, &[254, 5], BYTES),
        ("text", t::BLOB, &[2], UTF8MB4),
        ("longblob", t::BLOB, &[4], BYTES),
        ("enum('a','b')", t::STRING, &[247, 1], &[]),
        ("set('a','b')", t::STRING, &[248, 1], &[]),
        ("decimal(10,2)", t::NEWDECIMAL, &[10, 2], SIGNED),
        ("datetime(3)", t::DATETIME2, &[3], &[]),
        ("bit(12)", t::BIT, &[4, 1], &[]),
        ("json", t::JSON, &[4], &[]),
        ("float", t::FLOAT, &[4], SIGNED),
        ("point", t::GEOMETRY, &[4], &[7, 1, 1]),
    ] {
        assert_eq!(check(definition, &map(kind, metadata, true, shown)), None, "{definition}");
    }
}

#[test]
fn what_contradicts_is_refused() {
    for (definition, map, what) in [
        ("int", map(t::LONG, &[], false, &[]), "one of the two may be null"),
        ("int", map(t::LONG, &[], true, &[1, 1, 0x80]), "one of the two is unsigned"),
        ("int", map(t::LONGLONG, &[], true, &[]), "it is stored as another type"),
        ("varchar(10)", map(t::VARCHAR, &[44, 0], true, &[]), LENGTH),
        (
            "varchar(10)",
            map(t::VARCHAR, &[40, 0], true, &[2, 1, 8]),
            "it has another character set",
        ),
        ("char(10)", map(t::VARCHAR, &[40, 0], true, &[]), "it is stored as another type"),
        ("text", map(t::BLOB, &[3], true, &[]), LENGTH),
        ("decimal(10,2)", map(t::NEWDECIMAL, &[10, 3], true, &[]), "it is stored as another type"),
        ("time(3)", map(t::TIME2, &[0], true, &[]), "it is stored as another type"),
        ("enum('a')", map(t::STRING, &[247, 2], true, &[]), LENGTH),
        ("binary(5)", map(t::STRING, &[254, 6], true, &[]), "it is stored as another type"),
    ] {
        let found = check(definition, &map).unwrap_or_else(|| panic!("{definition}"));
        assert!(found.ends_with(what), "{definition}: {found}");
    }
    let two = model("a int, b int");
    let one = map(t::LONG, &[], true, &[]);
    let mut one = TableMap::parse(&one, Flavor::Mysql).unwrap();
    let error = Contradiction::ColumnCount { found: 1, believed: 2 };
    assert_eq!(complete(&mut one, &two), Err(error));
}
