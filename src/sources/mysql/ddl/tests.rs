use super::*;

fn read(text: &str, flavor: Flavor) -> Ddl {
    Ddl::of(text, Dialect::of(flavor))
}

fn created(text: &str) -> TableModel {
    match read(text, Flavor::Mysql) {
        Ddl::Create(create) => create.model(Some("utf8mb4")).unwrap_or_else(|| panic!("{text}")),
        other => panic!("{text}: {other:?}"),
    }
}

/// `name type [charset] [?]` of each column, then each index.
fn shown(model: &TableModel) -> String {
    use crate::sources::mysql::catalog::DefaultText;
    let columns = model.columns.iter().map(|column| {
        let charset = column.charset.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let null = if column.nullable { "?" } else { "" };
        let default = match &column.default {
            DefaultText::None => String::new(),
            DefaultText::Value(text) => format!(" ={text}"),
            DefaultText::Expression(text) => format!(" :={text}"),
        };
        let automatic = if column.automatic { " auto" } else { "" };
        let declared = column.data_type.declared();
        format!("{} {declared}{charset}{null}{default}{automatic}", column.name)
    });
    let indexes = model.indexes.iter().map(|index| {
        let parts = index.parts.iter().map(|part| part.as_deref().unwrap_or("(…)"));
        let kind = match index.kind {
            IndexKind::Primary | IndexKind::Other => "",
            IndexKind::Unique => "!",
        };
        format!("{}{kind}({})", index.name, parts.collect::<Vec<_>>().join(","))
    });
    columns.chain(indexes).collect::<Vec<_>>().join("; ")
}

const T: &str = "create table t (id int primary key, a varchar(10), b int not null default 5, \
    c text, unique key ua (a), key kb (b))";

/// What an ALTER TABLE makes of [`T`].
fn altered(actions: &str) -> Option<String> {
    match read(&format!("ALTER TABLE t {actions}"), Flavor::Mysql) {
        Ddl::Alter(alter) => alter.model(&created(T)).map(|model| shown(&model)),
        other => panic!("{actions}: {other:?}"),
    }
}

#[test]
fn tables_are_read_as_servers_show_them() {
    for (text, expected) in [
        (
            "CREATE TABLE `t` (\n  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,\n  \
             `e` enum('a','b,c','d''e','') COLLATE utf8mb4_bin DEFAULT NULL,\n  \
             `ts` timestamp(3) NOT NULL DEFAULT current_timestamp(3) ON UPDATE current_timestamp(3),\n  \
             `g` int GENERATED ALWAYS AS ((`id` * 2)) STORED,\n  \
             `h` int DEFAULT '3' /*!80023 INVISIBLE */,\n  \
             `by_` binary(3) DEFAULT 'a\\0\\0',\n  `bi` bit(8) DEFAULT b'101',\n  \
             `l1` varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci DEFAULT 'it''s',\n  \
             PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`e`(5),`h`) USING BTREE COMMENT 'x',\n  \
             FULLTEXT KEY `f` (`l1`) /*!50100 WITH PARSER `ngram` */ ,\n  KEY `k` ((`id` + 1)),\n  \
             CONSTRAINT `fk` FOREIGN KEY (`h`) REFERENCES `o` (`id`) ON DELETE SET NULL,\n  \
             CONSTRAINT `c1` CHECK ((`h` > 0)) /*!80016 NOT ENFORCED */\n\
             ) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci \
             ROW_FORMAT=COMPRESSED COMMENT='a; b'\n/*!50100 PARTITION BY HASH (`id`)\nPARTITIONS 4 */",
            "id bigint unsigned auto; e enum('a','b,c','d''e','') utf8mb4?; \
             ts timestamp(3) :=CURRENT_TIMESTAMP auto; g int?; h int? =3; by_ binary(3)? =0x610000; \
             bi bit(8)? =b'101'; l1 varchar(20) latin1? =it's; \
             PRIMARY(id); u!(e,h); f(l1); k((…))",
        ),
        (
            "create table if not exists d.t(id serial, n dec(8,2) default 12.5, b bool default true, \
             x char(5) character set binary, d double precision unique key, y bit default 1, \
             primary key using btree (n, id desc)) charset latin1",
            "id bigint unsigned auto; n decimal(8,2) =12.50; b tinyint(1)? =1; x binary(5)?; \
             d double?; y bit(1)? =b'1'; id!(id); d!(d); PRIMARY(n,id)",
        ),
        (
            "CREATE TABLE t (a int, unique (a), unique (a), key (b), b int not null references o(i))",
            "a int?; b int; a!(a); a_2!(a); b(b)",
        ),
        ("CREATE TABLE `t_sel` (\n  `a` int NOT NULL DEFAULT '0'\n) START TRANSACTION", "a int =0"),
    ] {
        assert_eq!(shown(&created(text)), expected, "{text}");
    }
}

/// The beginning of what becomes of [`T`], or nothing.
fn check_altered(actions: &str, expected: Option<&str>) {
    let found = altered(actions);
    match (&found, expected) {
        (Some(found), Some(expected)) => {
            assert!(found.starts_with(expected), "{actions}:\n{found}\n{expected}");
        }
        (None, None) => {}
        _ => panic!("{actions}: {found:?}"),
    }
}

#[test]
fn an_alteration_is_read_to_its_end_and_conditions_count_by_what_is_there() {
    for (actions, expected) in [
        // The server has read all of it before it does anything.
        (
            "ADD d char, DEFAULT CHARACTER SET latin1",
            Some("id int; a varchar(10) utf8mb4?; b int =5; c text utf8mb4?; d char(1) latin1?"),
        ),
        (
            "MODIFY c char(5) character set ascii, ADD d text, CONVERT TO CHARACTER SET latin1",
            Some("id int; a varchar(10) latin1?; b int =5; c char(5) latin1?; d text latin1?"),
        ),
        (
            "CONVERT TO CHARACTER SET latin1, MODIFY c char(5) character set ascii, ADD d text",
            Some("id int; a varchar(10) latin1?; b int =5; c char(5) latin1?; d text latin1?"),
        ),
        // What is there by its name, or by that of its first column.
        (
            "ADD UNIQUE INDEX IF NOT EXISTS ua (b), ADD INDEX IF NOT EXISTS kb (id), ADD INDEX IF NOT EXISTS kx (b)",
            Some(
                "id int; a varchar(10) utf8mb4?; b int =5; c text utf8mb4?; PRIMARY(id); ua!(a); kb(b); kx(b)",
            ),
        ),
    ] {
        check_altered(actions, expected);
    }
}

#[test]
fn tables_are_altered() {
    for (actions, expected) in [
        (
            "ADD d date, ADD COLUMN e int FIRST, ADD f int AFTER a",
            Some(
                "e int?; id int; a varchar(10) utf8mb4?; f int?; b int =5; c text utf8mb4?; d date?",
            ),
        ),
        (
            "ADD (d int, e int)",
            Some("id int; a varchar(10) utf8mb4?; b int =5; c text utf8mb4?; d int?; e int?"),
        ),
        ("DROP a, DROP COLUMN c", Some("id int; b int =5; PRIMARY(id); kb(b)")),
        (
            "CHANGE a aa bigint unsigned not null, MODIFY c varchar(5) character set latin1 FIRST",
            Some("c varchar(5) latin1?; id int; aa bigint unsigned; b int =5"),
        ),
        (
            "RENAME COLUMN a TO b, RENAME COLUMN b TO a",
            Some(
                "id int; b varchar(10) utf8mb4?; a int =5; c text utf8mb4?; PRIMARY(id); ua!(b); kb(a)",
            ),
        ),
        (
            "DROP PRIMARY KEY, ADD PRIMARY KEY (a, b), DROP INDEX ua, ADD UNIQUE INDEX (b)",
            Some(
                "id int; a varchar(10) utf8mb4; b int =5; c text utf8mb4?; kb(b); PRIMARY(a,b); b!(b)",
            ),
        ),
        (
            "ALTER b DROP DEFAULT, ALTER COLUMN a SET DEFAULT 'x', ENGINE = InnoDB, COMMENT 'n', ALGORITHM=INPLACE, LOCK=NONE",
            Some("id int; a varchar(10) utf8mb4? =x; b int; c text utf8mb4?"),
        ),
        (
            "ADD CONSTRAINT x CHECK (a > 1), ADD CONSTRAINT y UNIQUE (b), DROP FOREIGN KEY z",
            Some(
                "id int; a varchar(10) utf8mb4?; b int =5; c text utf8mb4?; PRIMARY(id); ua!(a); kb(b); y!(b)",
            ),
        ),
        (
            "PARTITION BY HASH(id) PARTITIONS 4",
            Some("id int; a varchar(10) utf8mb4?; b int =5; c text utf8mb4?"),
        ),
        (
            "DEFAULT CHARACTER SET latin1, ADD d char",
            Some("id int; a varchar(10) utf8mb4?; b int =5; c text utf8mb4?; d char(1) latin1?"),
        ),
        // What is not there, or would be there twice.
        ("DROP COLUMN x", None),
        ("DROP INDEX x", None),
        ("ADD a int", None),
        ("MODIFY x int", None),
        ("ADD x int AFTER y", None),
        ("ADD PRIMARY KEY (b)", None),
        // TEXT may become MEDIUMTEXT.
        ("CONVERT TO CHARACTER SET utf16", None),
    ] {
        check_altered(actions, expected);
    }
}

#[test]
fn other_statements_are_told_apart() {
    let name = |database: Option<&str>, table: &str| Name {
        database: database.map(str::to_owned),
        table: table.to_owned(),
    };
    for (text, expected) in [
        (
            "RENAME TABLE a TO b, d.`c` TO `e`.f",
            Ddl::Rename {
                pairs: vec![
                    (name(None, "a"), name(None, "b")),
                    (name(Some("d"), "c"), name(Some("e"), "f")),
                ],
                if_exists: false,
            },
        ),
        (
            "RENAME TABLE IF EXISTS a WAIT 5 TO b",
            Ddl::Rename { pairs: vec![(name(None, "a"), name(None, "b"))], if_exists: true },
        ),
        (
            "DROP TABLE IF EXISTS `a`,`d`.`b` /* generated by server */",
            Ddl::Drop { tables: vec![name(None, "a"), name(Some("d"), "b")], if_exists: true },
        ),
        (
            "create schema if not exists s default character set = latin1 collate latin1_bin",
            Ddl::CreateDatabase {
                name: "s".to_owned(),
                if_not_exists: true,
                or_replace: false,
                charset: DatabaseCharset::Named("latin1".to_owned()),
            },
        ),
        ("DROP DATABASE s", Ddl::DropDatabase { name: "s".to_owned(), if_exists: false }),
        ("CREATE DEFINER=`root`@`%` VIEW v AS SELECT 1", Ddl::Elsewhere),
        (
            "CREATE ALGORITHM=UNDEFINED DEFINER=`a`@`b` SQL SECURITY DEFINER VIEW v AS SELECT 1",
            Ddl::Elsewhere,
        ),
        ("CREATE TEMPORARY TABLE t (a int)", Ddl::Elsewhere),
        ("GRANT ALL ON *.* TO x", Ddl::Elsewhere),
        ("DROP /*!40005 TEMPORARY */ TABLE IF EXISTS t", Ddl::Elsewhere),
        ("TRUNCATE TABLE t", Ddl::Elsewhere),
    ] {
        assert_eq!(read(text, Flavor::Mysql), expected, "{text}");
    }
}

#[test]
fn what_is_not_understood_says_of_which_table() {
    let unknown = |text: &str| match read(text, Flavor::Mariadb) {
        Ddl::Unknown(Target::Tables(names)) => {
            names.into_iter().map(|name| name.table).collect::<Vec<_>>().join(",")
        }
        Ddl::Unknown(Target::Named(words)) => {
            let tables = ["t", "u", "v"].into_iter().filter(|table| words.may_be_about("d", table));
            format!("?{}", tables.collect::<Vec<_>>().join("?"))
        }
        Ddl::Unknown(Target::Anything) => "*".to_owned(),
        other => panic!("{text}: {other:?}"),
    };
    for (text, table) in [
        ("ALTER TABLE t ADD PERIOD FOR p(a, b)", "t"),
        ("ALTER TABLE t ADD SYSTEM VERSIONING", "t"),
        ("ALTER TABLE t ADD x fancy_type", "t"),
        ("ALTER TABLE t ADD x int SPARKLING", "t"),
        ("CREATE OR REPLACE TABLE `t` (a int) WITH SYSTEM VERSIONING", "t"),
        ("CREATE TABLE t AS SELECT 1", "t"),
        ("CREATE TABLE t (a int) SELECT 1", "t"),
        ("CREATE TABLE t (a text(100))", "t"),
        ("ALTER TABLE t ADD x fancy_type, RENAME TO u", "t,u"),
        ("ALTER TABLE t RENAME AS d.u, RENAME COLUMN IF EXISTS a TO b, ADD x fancy_type", "t,u"),
        ("ALTER TABLE t CONVERT TABLE u TO PARTITION p VALUES LESS THAN (9)", "u,t"),
        ("ALTER TABLE t CONVERT TABLE `d`.`u` TO PARTITION p VALUES IN (1)", "u,t"),
        ("ALTER TABLE t CONVERT PARTITION p TO TABLE d.u", "u,t"),
        ("ALTER TABLE t CONVERT PARTITION u TO TABLE 'x'", "?t?u"),
        ("CREATE TABLE t (a char(5) CHARACTER x)", "t"),
        ("CREATE TABLE t (a char(5) CHARSET)", "t"),
        ("CREATE SEQUENCE s", "s"),
        ("ALTER SEQUENCE IF EXISTS s RESTART 5", "s"),
        ("SET STATEMENT lock_wait_timeout = 5 FOR ALTER TABLE t ADD x sparkling", "?t"),
        ("FROBNICATE TABLE t", "?t"),
        ("FROBNICATE TABLE `D`.`T`, u", "?t?u"),
        ("FROBNICATE x.u", "?u"),
        ("FROBNICATE DATABASE d", "?t?u?v"),
        ("FROBNICATE /*! `t` */ -- v", "?t"),
        ("FROBNICATE", "?"),
        ("CREATE TABLE t (a varchar(5) default 'x", "*"),
    ] {
        assert_eq!(unknown(text), table, "{text}");
    }
}

/// Every definition was once put in doubt by these.
#[test]
fn statements_of_oracle_mode_and_with_conditions_are_about_what_they_name() {
    let oracle = |text: &str| {
        let mode = SqlMode(4 | 1 << 9);
        Ddl::of(text, Dialect { mode, ..Dialect::of(Flavor::Mariadb) })
    };
    let name = |table: &str| Name { database: None, table: table.to_owned() };
    let unknown = |tables: &[&str]| {
        Ddl::Unknown(Target::Tables(tables.iter().map(|table| name(table)).collect()))
    };
    for (text, expected) in [
        ("create table \"t\" (a date, b blob)", unknown(&["t"])),
        ("create table t (a varchar2(5), b number)", unknown(&["t"])),
        ("alter table \"t\" add b date, rename to u", unknown(&["t", "u"])),
        ("drop table \"t\"", Ddl::Drop { tables: vec![name("t")], if_exists: false }),
        (
            "rename table if exists \"t\" to u",
            Ddl::Rename { pairs: vec![(name("t"), name("u"))], if_exists: true },
        ),
        ("create or replace procedure p(x number) as begin null; end", Ddl::Elsewhere),
        ("create package body p as end", Ddl::Elsewhere),
    ] {
        assert_eq!(oracle(text), expected, "{text}");
    }
    assert!(matches!(oracle("alter table t drop column b, add index (c)"), Ddl::Alter(_)));
    assert!(matches!(oracle("create table u like t"), Ddl::Create(_)));
    for text in [
        "create index if not exists i on t (a)",
        "create unique index if not exists i using btree on t (a) comment 'x'",
        "drop index if exists i on t",
        "alter table t add index if not exists (a)",
    ] {
        assert!(matches!(read(text, Flavor::Mariadb), Ddl::Alter(_)), "{text}");
    }
    assert_eq!(read("drop spatial reference system 4711", Flavor::Mysql), Ddl::Elsewhere);
}

#[test]
fn a_timestamp_without_a_word_on_null_depends_on_the_session() {
    let text = "create table t (a timestamp)";
    assert_eq!(shown(&created(text)), "a timestamp?");
    let dialect = Dialect { explicit_timestamps: false, ..Dialect::of(Flavor::Mysql) };
    assert!(matches!(Ddl::of(text, dialect), Ddl::Unknown(Target::Tables(_))));
}

#[test]
fn the_key_is_the_primary_one_or_the_first_that_is_never_null() {
    let key = |text: &str| created(text).key();
    assert_eq!(key("create table t (a int, B int, primary key (b, a))"), ["B", "a"]);
    assert_eq!(
        key(
            "create table t (a int, b int not null, c int not null, unique (a), unique (b, c), unique (c))"
        ),
        ["b", "c"]
    );
    assert!(key("create table t (a int, unique (a), key (a))").is_empty());
}
