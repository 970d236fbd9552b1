use super::*;

pub(crate) fn listed(oid: u32, table: &str) -> Listed {
    Listed {
        oid,
        schema: "public".into(),
        table: table.into(),
        partitioned: false,
        logged: true,
        has_identity: true,
        readable: true,
        schema_usable: true,
        row_security: false,
        ancestors: vec![],
    }
}

pub(crate) fn root(oid: u32, table: &str) -> Listed {
    Listed { partitioned: true, ..listed(oid, table) }
}

pub(crate) fn leaf(oid: u32, table: &str, above: u32) -> Listed {
    Listed { ancestors: vec![above], ..listed(oid, table) }
}

pub(crate) fn facts(tables: &[&str], via_root: bool) -> PublicationFacts {
    PublicationFacts {
        pubinsert: true,
        pubupdate: true,
        pubdelete: true,
        pubtruncate: true,
        pubviaroot: via_root,
        tables: tables
            .iter()
            .map(|table| PublishedTable {
                schemaname: "public".into(),
                tablename: (*table).into(),
                attnames: None,
                rowfilter: None,
            })
            .collect(),
    }
}

/// Names of the tables that a snapshot reads, or of those that are missing.
fn check(published: &[&str], via_root: bool, captured: &[Listed]) -> String {
    check_some(published, via_root, captured, captured)
}

fn check_some(published: &[&str], via_root: bool, all: &[Listed], captured: &[Listed]) -> String {
    let captured: Vec<&Listed> = captured.iter().collect();
    match coverage("p", &facts(published, via_root), all, &captured) {
        Ok(read) => read.iter().map(|t| t.table.clone()).collect::<Vec<_>>().join(" "),
        Err(SourceError::PublicationTables { tables, .. }) => format!("missing {tables}"),
        Err(SourceError::PartitionsLeftOut { tables, partitions, sql, .. }) => {
            format!("{tables} lose {partitions}: {sql}")
        }
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn partitions_and_their_root_are_read_under_both_names_as_debezium_does() {
    let tables = [listed(1, "a"), root(2, "t"), leaf(3, "t_eu", 2), leaf(4, "t_us", 2)];
    assert_eq!(check(&["a", "t_eu", "t_us"], false, &tables), "a t t_eu t_us");
    assert_eq!(check(&["a", "t_eu"], false, &tables), "missing public.t_us");
}

#[test]
fn a_publication_by_root_is_read_by_root() {
    let tables = [root(2, "t"), leaf(3, "t_eu", 2)];
    assert_eq!(check(&["t"], true, &tables), "t");
    assert_eq!(check(&[], true, &tables), "missing public.t, public.t_eu");
    // The stream would name `t`, which the filter leaves out.
    assert_eq!(check(&["t"], true, &[leaf(3, "t_eu", 2)]), "missing public.t_eu");
}

/// A root was captured alone: its publication named every change by the partition, the filter
/// dropped all of them, and the run ended well.
#[test]
fn a_root_without_its_partitions_is_refused_unless_published_by_root() {
    let mut unlogged = leaf(6, "t_cache", 2);
    unlogged.logged = false;
    let mut middle = root(4, "t_asia");
    middle.ancestors = vec![2];
    let mut below = leaf(5, "t_jp", 4);
    below.ancestors.push(2);
    let all =
        [root(2, "t"), leaf(3, "t_eu", 2), middle, below, unlogged, root(7, "u"), listed(8, "v")];
    let alter = "ALTER PUBLICATION \"p\" SET (publish_via_partition_root = true);";
    let refused = format!("public.t lose public.t_eu, public.t_jp: {alter}");
    assert_eq!(check_some(&["t_eu", "t_jp"], false, &all, &all[..1]), refused);
    assert_eq!(check_some(&["t"], true, &all, &all[..1]), "t");
    let refused = format!("public.t, public.t_asia lose public.t_jp: {alter}");
    assert_eq!(check_some(&["t_eu", "t_jp"], false, &all, &all[..3]), refused);
    assert_eq!(check_some(&["t_eu", "t_jp"], false, &all, &all[..4]), "t t_eu t_asia t_jp");
    // Without partitions nothing is lost yet, and a leaf alone is its own name.
    assert_eq!(check_some(&["t_eu"], false, &all, &all[5..6]), "u");
    assert_eq!(check_some(&["t_eu"], false, &all, &all[1..2]), "t_eu");
    // And none is made that would be refused at once.
    let Err(SourceError::PartitionsLeftOut { sql, .. }) = creation("p", &all, &[&all[0]]) else {
        panic!("a publication was made whose changes are dropped");
    };
    let create = "CREATE PUBLICATION \"p\" FOR TABLE \"public\".\"t\"";
    assert_eq!(sql, format!("{create} WITH (publish_via_partition_root = true);"));
}

#[test]
fn an_unpublished_operation_is_refused() {
    let mut facts = facts(&["a"], false);
    facts.pubdelete = false;
    facts.pubtruncate = false;
    let error = coverage("p", &facts, &[], &[&listed(1, "a")]).unwrap_err();
    assert_eq!(error.to_string(), "use publication `p`: it does not publish delete, truncate");
}

#[test]
fn a_new_publication_names_roots_and_never_breaks_an_application() {
    let all = [listed(1, "a"), root(2, "t"), leaf(3, "t_eu", 2)];
    let captured: Vec<&Listed> = all.iter().collect();
    assert_eq!(
        creation("p\"", &all, &captured).unwrap(),
        "CREATE PUBLICATION \"p\"\"\" FOR TABLE \"public\".\"a\", \"public\".\"t\";"
    );
    // A partition that the filter leaves out is published with its root all the same.
    let mut broken = all.clone();
    broken[2].has_identity = false;
    let captured: Vec<&Listed> = broken[..2].iter().collect();
    let Err(SourceError::TablesWithoutIdentity { tables, sql, .. }) =
        creation("p", &broken, &captured)
    else {
        panic!("a publication that breaks UPDATE was allowed");
    };
    assert_eq!(tables, "public.t_eu");
    assert_eq!(sql, "ALTER TABLE \"public\".\"t_eu\" REPLICA IDENTITY FULL;");
}

#[test]
fn an_existing_publication_of_such_tables_is_only_warned_about() {
    let mut table = listed(1, "a");
    table.has_identity = false;
    assert_eq!(without_identity(&facts(&["a"], false), &[&table]).len(), 1);
    let mut inserts_only = facts(&["a"], false);
    (inserts_only.pubupdate, inserts_only.pubdelete) = (false, false);
    assert!(without_identity(&inserts_only, &[&table]).is_empty());
}

#[test]
fn a_publication_is_read_from_the_columns_of_any_version() {
    let old = r#"{"oid":1,"pubname":"p","pubowner":10,"puballtables":true,"pubinsert":true,"pubupdate":true,
        "pubdelete":true,"pubtruncate":true,"pubviaroot":false,
        "tables":[{"pubname":"p","schemaname":"public","tablename":"a"}]}"#;
    let facts: PublicationFacts = serde_json::from_str(old).unwrap();
    assert_eq!(facts.tables[0].attnames, None);
    let new = old.replace(
        "\"tablename\":\"a\"",
        "\"tablename\":\"a\",\"attnames\":[\"id\"],\"rowfilter\":\"(id > 1)\"",
    );
    let facts: PublicationFacts = serde_json::from_str(&new).unwrap();
    assert_eq!(facts.tables[0].attnames, Some(vec!["id".to_owned()]));
    assert!(facts.tables[0].rowfilter.is_some());
}
