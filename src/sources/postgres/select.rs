//! The statement that reads a table for the snapshot.
//!
//! Each column comes in its type's binary form, or in its text form where the stream's text reader
//! serves it as well. The text is that of the type's output function, which the stream uses too,
//! and never a cast: a cast may print another text (`inet` with its mask, `bool` spelled out), or
//! be anybody's own function (CREATE CAST).

use crate::config::UnmappedTypes;
use crate::sources::postgres::catalog::{ColumnFacts, RelationFacts};
use crate::sources::postgres::types;

/// `COPY (SELECT …) TO STDOUT (FORMAT binary)`.
#[must_use]
pub fn copy_statement(facts: &RelationFacts, unmapped: UnmappedTypes) -> String {
    let columns: Vec<String> = columns(facts, unmapped).map(expression).collect();
    format!(
        "COPY (SELECT {} FROM {}.{}) TO STDOUT (FORMAT binary)",
        columns.join(", "),
        quoted(&facts.schema),
        quoted(&facts.table)
    )
}

/// The columns that the statement reads, in its order.
pub(crate) fn columns(
    facts: &RelationFacts,
    unmapped: UnmappedTypes,
) -> impl Iterator<Item = &ColumnFacts> {
    facts.columns.iter().filter(move |column| {
        // A column of the key is read whatever its type: see `Tables::mapped`.
        unmapped != UnmappedTypes::Skip || mapped(column).is_some() || in_any_key(facts, column)
    })
}

fn in_any_key(facts: &RelationFacts, column: &ColumnFacts) -> bool {
    [&facts.primary_key, &facts.unique_key, &facts.identity_index]
        .iter()
        .any(|key| key.contains(&column.name))
}

pub(super) fn mapped(column: &ColumnFacts) -> Option<types::Mapped> {
    types::map(column.type_facts.oid, column.type_modifier, Some(&column.type_facts))
}

fn expression(column: &ColumnFacts) -> String {
    let name = quoted(&column.name);
    if mapped(column).is_some_and(|mapped| mapped.binary) {
        name
    } else {
        // `format` calls the output function and makes an empty text of a null. Not `IS NOT NULL`,
        // which is false for a composite that has a null in it.
        format!("CASE WHEN {name} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {name}) END")
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::postgres::catalog::{ReplicaIdentity, TypeFacts, TypeKind};
    use crate::sources::postgres::types::oid;

    fn column(name: &str, oid: u32) -> ColumnFacts {
        let kind = TypeKind::Base;
        let (type_name, schema) = (String::new(), "pg_catalog".to_owned());
        ColumnFacts {
            name: name.to_owned(),
            type_facts: TypeFacts { oid, name: type_name, schema, kind },
            type_modifier: -1,
            not_null: false,
            default_expression: None,
            generated: false,
        }
    }

    #[test]
    fn columns_come_in_binary_or_as_text() {
        let facts = RelationFacts {
            oid: 1,
            schema: "Other Schema".to_owned(),
            table: "odd\"t".to_owned(),
            columns: vec![
                column("id", oid::INT4),
                column("c", oid::BPCHAR),
                column("ip", oid::INET),
                column("a", 1007),
                column("tq", 3615),
            ],
            primary_key: vec!["id".to_owned()],
            unique_key: Vec::new(),
            replica_identity: ReplicaIdentity::Default,
            identity_index: Vec::new(),
            estimated_rows: -1,
            estimated_bytes: 0,
        };
        let text = |name: &str| {
            format!(
                "CASE WHEN \"{name}\" IS DISTINCT FROM NULL \
                 THEN pg_catalog.format('%s', \"{name}\") END"
            )
        };
        let (ip, a, tq) = (text("ip"), text("a"), text("tq"));
        let from = "FROM \"Other Schema\".\"odd\"\"t\") TO STDOUT (FORMAT binary)";
        assert_eq!(
            copy_statement(&facts, UnmappedTypes::Text),
            format!("COPY (SELECT \"id\", \"c\", {ip}, {a}, {tq} {from}")
        );
        assert_eq!(
            copy_statement(&facts, UnmappedTypes::Skip),
            format!("COPY (SELECT \"id\", \"c\", {ip}, {a} {from}")
        );
    }
}
