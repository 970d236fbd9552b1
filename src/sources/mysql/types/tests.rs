use super::*;

fn labels(labels: &[&str]) -> Arc<[String]> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

fn wire(code: u8, metadata: [u8; 2]) -> WireType<'static> {
    WireType { code, metadata, unsigned: false, binary: false, geometry: None, labels: &[] }
}

#[test]
fn declarations_of_both_servers_are_read() {
    for (declared, expected) in [
        ("tinyint(1)", MysqlType::TinyInt { unsigned: false }),
        ("tinyint(3) unsigned", MysqlType::TinyInt { unsigned: true }),
        ("int(10) unsigned zerofill", MysqlType::Int { unsigned: true }),
        ("float", MysqlType::Float { fixed: false }),
        ("float(7,4)", MysqlType::Float { fixed: true }),
        ("double(10,3) unsigned", MysqlType::Double),
        ("decimal(65,30)", MysqlType::Decimal { precision: 65, scale: 30 }),
        ("decimal(10,0) unsigned", MysqlType::Decimal { precision: 10, scale: 0 }),
        ("year(4)", MysqlType::Year),
        ("time(3)", MysqlType::Time { digits: 3 }),
        ("datetime", MysqlType::DateTime { digits: 0 }),
        ("datetime(3) /* mariadb-5.3 */", MysqlType::DateTime { digits: 3 }),
        ("varchar(10) /*M!100301 COMPRESSED*/", MysqlType::Text),
        ("binary(16)", MysqlType::Binary { length: 16 }),
        ("enum('a','b,c','d''e','')", {
            MysqlType::Enum { labels: labels(&["a", "b,c", "d'e", ""]) }
        }),
        ("set('unsigned')", MysqlType::Set { labels: labels(&["unsigned"]) }),
        ("geomcollection", MysqlType::Geometry),
        ("vector(3)", MysqlType::Vector),
        ("inet6", MysqlType::Inet6),
    ] {
        assert_eq!(MysqlType::declared(declared), Some(expected), "{declared}");
    }
    for unknown in ["", "blobby", "decimal", "decimal(3,4)", "time(7)", "enum(a)", "xmltype"] {
        assert_eq!(MysqlType::declared(unknown), None, "{unknown}");
    }
}

#[test]
fn table_maps_are_read() {
    let long = WireType { binary: true, ..wire(code::STRING ^ 0x10, [code::STRING ^ 0x10, 0x2C]) };
    let long = WireType { code: code::STRING, ..long };
    let unsigned = WireType { unsigned: true, ..wire(code::LONGLONG, [0, 0]) };
    let point = WireType { geometry: Some(1), ..wire(code::GEOMETRY, [4, 0]) };
    let binary = |code| WireType { binary: true, ..wire(code, [4, 0]) };
    let members = ["a", "b,c"];
    let set = WireType { labels: &members, ..wire(code::STRING, [code::SET, 1]) };
    for (wire, expected) in [
        (unsigned, MysqlType::BigInt { unsigned: true }),
        (wire(code::NEWDECIMAL, [65, 30]), MysqlType::Decimal { precision: 65, scale: 30 }),
        (wire(code::BIT, [4, 2]), MysqlType::Bit { length: 20 }),
        (wire(code::BIT, [0, 8]), MysqlType::Bit { length: 64 }),
        (wire(code::TIME2, [3, 0]), MysqlType::Time { digits: 3 }),
        (wire(code::STRING, [code::STRING, 20]), MysqlType::Text),
        (long, MysqlType::Binary { length: 300 }),
        (set, MysqlType::Set { labels: labels(&["a", "b,c"]) }),
        (binary(code::BLOB), MysqlType::Bytes),
        (binary(code::VARCHAR), MysqlType::Bytes),
        (wire(code::BLOB, [2, 0]), MysqlType::Text),
        (point, MysqlType::Point),
        (wire(code::GEOMETRY, [4, 0]), MysqlType::Geometry),
        (wire(code::VECTOR, [4, 0]), MysqlType::Vector),
    ] {
        assert_eq!(MysqlType::of_wire(&wire), Some(expected), "{wire:?}");
    }
    for (code, metadata) in [(code::DECIMAL_OLD, [0, 0]), (200, [0, 0]), (code::TIME2, [7, 0])] {
        assert_eq!(MysqlType::of_wire(&wire(code, metadata)), None);
    }
}

#[test]
fn the_declaration_adds_what_the_log_cannot_say() {
    let fixed = MysqlType::Float { fixed: true };
    let refined = MysqlType::Float { fixed: false }.refined_by(&fixed);
    assert_eq!(refined, Some(fixed));
    let bytes = MysqlType::Binary { length: 16 };
    assert_eq!(bytes.refined_by(&MysqlType::Uuid), Some(MysqlType::Uuid));
    assert_eq!(bytes.refined_by(&bytes), Some(bytes.clone()));
    // Altered since.
    assert_eq!(bytes.refined_by(&MysqlType::Text), None);
    assert_eq!(MysqlType::Int { unsigned: false }.refined_by(&MysqlType::Double), None);
    assert_eq!(MysqlType::Binary { length: 4 }.refined_by(&MysqlType::Uuid), None);
}

#[test]
fn types_become_what_debezium_makes_of_them() {
    let check = |declared: &str, expected: ColumnType| {
        assert_eq!(MysqlType::declared(declared).unwrap().column_type(), expected, "{declared}");
    };
    check("tinyint unsigned", ColumnType::Int16);
    check("smallint unsigned", ColumnType::Int32);
    check("int unsigned", ColumnType::Int64);
    check("bigint unsigned", ColumnType::UInt64);
    check("float(7,4)", ColumnType::Float64);
    check("bit(1)", ColumnType::Bool);
    check("time", ColumnType::SignedTime { precision: 0 });
    check("timestamp(6)", ColumnType::TimestampTz { precision: 6 });
    check("set('a','b,c')", ColumnType::EnumSet { labels: labels(&["a", "b\\,c"]) });
}
