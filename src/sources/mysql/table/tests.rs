use super::*;
use crate::schema::ColumnType;
use crate::sources::mysql::settings::Flavor;
use crate::value::OwnedValue;

/// Answers with the same facts, or with none.
struct Known(Option<TableFacts>);

impl Catalog for Known {
    fn table(&mut self, _: &str, _: &str) -> Result<Option<TableFacts>, BoxError> {
        Ok(self.0.clone())
    }
}

fn tables() -> Tables {
    let (version, topic_prefix) = ("0", "p".to_owned());
    Tables::new(
        SourceConstants { version, flavor: Flavor::Mysql, topic_prefix },
        crate::config::Tinyint1Mode::Number,
    )
}

fn column(name: &str, declared: &str, nullable: bool, default: &str) -> ColumnFacts {
    ColumnFacts {
        name: name.to_owned(),
        data_type: MysqlType::declared(declared),
        declared: declared.to_owned(),
        nullable,
        default: DefaultText::Value(default.to_owned()),
        charset: None,
    }
}

fn facts(key: &[&str]) -> TableFacts {
    TableFacts {
        database: "d".to_owned(),
        table: "t".to_owned(),
        columns: vec![
            column("id", "int unsigned", false, "1"),
            column("u", "uuid", true, ""),
            column("f", "float(7,4)", true, "1.5"),
        ],
        key: key.iter().map(|name| (*name).to_owned()).collect(),
        transactional: true,
        estimated_rows: 0,
        estimated_bytes: 0,
    }
}

/// An unsigned INT, a BINARY(16) and a FLOAT.
fn wire() -> [WireColumn<'static>; 3] {
    let plain = WireType {
        code: 0,
        metadata: [0; 2],
        unsigned: false,
        binary: false,
        geometry: None,
        labels: &[],
    };
    let column = |name, data_type, nullable| WireColumn { name, data_type, nullable };
    [
        column("id", WireType { code: 3, unsigned: true, ..plain }, false),
        column("u", WireType { code: 254, metadata: [254, 16], binary: true, ..plain }, true),
        column("f", WireType { code: 4, ..plain }, true),
    ]
}

fn described(
    tables: &mut Tables,
    columns: &[WireColumn<'_>],
    primary_key: &[usize],
    facts: Option<TableFacts>,
) -> Described {
    let wire = WireTable { database: "d", table: "t", columns, primary_key };
    tables.of_table_map(&wire, &mut Known(facts)).unwrap()
}

#[test]
fn the_log_and_the_catalogue_together_make_what_the_snapshot_has() {
    let mut tables = tables();
    let snapshot = tables.of_snapshot(&facts(&["id"])).unwrap();
    let types: Vec<_> = snapshot.table.columns.iter().map(|c| c.data_type.clone()).collect();
    assert_eq!(types, [ColumnType::Int64, ColumnType::Uuid, ColumnType::Float64]);
    assert_eq!(snapshot.table.columns[0].default, Some(OwnedValue::Int(1)));
    assert_eq!(snapshot.table.key, [0]);
    let stream = described(&mut tables, &wire(), &[0], Some(facts(&["id"])));
    assert!(Arc::ptr_eq(&stream.table, &snapshot.table), "the same version");
    assert_eq!(stream.types, snapshot.types);
}

#[test]
fn the_log_alone_says_names_types_nulls_and_key() {
    let stream = described(&mut tables(), &wire(), &[0], None);
    let types: Vec<_> = stream.table.columns.iter().map(|c| c.data_type.clone()).collect();
    assert_eq!(types, [ColumnType::Int64, ColumnType::Bytes, ColumnType::Float32]);
    assert!(!stream.table.columns[0].optional && stream.table.columns[1].optional);
    assert!(stream.table.columns.iter().all(|column| column.default.is_none()));
    assert_eq!(stream.table.key, [0]);
}

/// A UUID of MariaDB is BINARY(16) to its log.
#[test]
fn a_type_that_only_the_catalogue_told_is_remembered_or_asked_for() {
    let (version, topic_prefix) = ("0", "p".to_owned());
    let source = SourceConstants { version, flavor: Flavor::Mariadb, topic_prefix };
    let mut tables = Tables::new(source.clone(), Tinyint1Mode::Number);
    let types = |described: &Described| -> Vec<ColumnType> {
        described.table.columns.iter().map(|column| column.data_type.clone()).collect()
    };
    let known = described(&mut tables, &wire(), &[0], Some(facts(&["id"])));
    assert_eq!(types(&known)[1], ColumnType::Uuid);
    // The column was dropped meanwhile, then the table.
    let mut dropped = facts(&["id"]);
    dropped.columns.remove(1);
    let after = described(&mut tables, &wire(), &[0], Some(dropped));
    assert_eq!(types(&after)[1], ColumnType::Uuid);
    assert_eq!(types(&described(&mut tables, &wire(), &[0], None))[1], ColumnType::Uuid);
    // Nobody remembers: after a restart.
    let columns = wire();
    let wire = WireTable { database: "d", table: "t", columns: &columns, primary_key: &[0] };
    let mut tables = Tables::new(source, Tinyint1Mode::Number);
    let error = tables.of_table_map(&wire, &mut Known(None)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "read column `u` of `d`.`t`: the log does not tell whether it is UUID, INET6 or \
         BINARY(16), and the table does not have it any more"
    );
    let hint = error.hint().unwrap();
    assert!(hint.contains("ALTER TABLE `d`.`t` ADD COLUMN `u` UUID;"), "{hint}");
}

#[test]
fn a_tinyint_of_width_one_is_a_boolean_where_that_was_asked_for() {
    let (version, topic_prefix) = ("0", "p".to_owned());
    let source = SourceConstants { version, flavor: Flavor::Mysql, topic_prefix };
    let mut tables = Tables::new(source, Tinyint1Mode::Boolean);
    let columns = ["tinyint(1)", "tinyint(4)", "tinyint(1) unsigned", "int(1)"];
    let names = ["a", "b", "c", "d"];
    let columns =
        names.iter().zip(columns).map(|(name, declared)| column(name, declared, true, "1"));
    let facts = TableFacts { columns: columns.collect(), ..facts(&[]) };
    let table = tables.of_snapshot(&facts).unwrap().table;
    let types: Vec<_> = table.columns.iter().map(|column| column.data_type.clone()).collect();
    let expected = [ColumnType::Bool, ColumnType::Int16, ColumnType::Bool, ColumnType::Int32];
    assert_eq!(types, expected);
    assert_eq!(table.columns[0].default, Some(OwnedValue::Bool(true)));
}

#[test]
fn a_column_that_was_altered_since_keeps_the_logs_type_and_no_default() {
    let mut altered = facts(&["id"]);
    altered.columns[0] = column("id", "varchar(10)", false, "x");
    altered.columns[2].name = "renamed".to_owned();
    let stream = described(&mut tables(), &wire(), &[0], Some(altered));
    assert_eq!(stream.table.columns[0].data_type, ColumnType::Int64);
    assert_eq!(stream.table.columns[0].default, None);
    assert_eq!(stream.table.columns[2].data_type, ColumnType::Float32);
}

#[test]
fn only_a_table_without_primary_key_takes_another_key_from_the_catalogue() {
    let mut tables = tables();
    let of = |tables: &mut Tables, primary: &[usize], key: &[&str]| {
        described(tables, &wire(), primary, Some(facts(key))).table.key.clone()
    };
    assert_eq!(of(&mut tables, &[], &["id"]), [0]);
    assert_eq!(of(&mut tables, &[1, 0], &["id"]), [1, 0]);
    // A key of now whose columns may have been null then, or did not exist.
    assert!(of(&mut tables, &[], &["u"]).is_empty());
    assert!(of(&mut tables, &[], &["later"]).is_empty());
}

#[test]
fn a_version_is_new_only_where_something_differs() {
    let mut tables = tables();
    let first = described(&mut tables, &wire(), &[0], None).table;
    let again = described(&mut tables, &wire(), &[0], None).table;
    assert!(Arc::ptr_eq(&first, &again));
    let other = described(&mut tables, &wire()[..2], &[0], None).table;
    assert_ne!(first.version, other.version);
}

#[test]
fn a_type_that_is_not_known_stops_with_its_name() {
    let mut unknown = facts(&["id"]);
    unknown.columns[1] = column("x", "hologram(3)", true, "");
    let error = tables().of_snapshot(&unknown).unwrap_err();
    assert_eq!(
        error.to_string(),
        "read column `x` of `d`.`t`: its type `hologram(3)` is not known"
    );
    let mut columns = wire();
    columns[0].data_type.code = 200;
    let wire = WireTable { database: "d", table: "t", columns: &columns, primary_key: &[] };
    let error = tables().of_table_map(&wire, &mut Known(None)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "read column `id` of `d`.`t`: the log has it with the unknown type 200 (metadata [0, 0])"
    );
}
