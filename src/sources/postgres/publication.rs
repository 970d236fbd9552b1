//! The publication: what the server decodes for us. Checking is pure and stands first.
//!
//! It must exist before the slot: the server looks a publication up as of the log position that
//! it decodes, and stops where it did not exist yet. So one that is missing is made only together
//! with a new slot. And it must not break anybody: publishing UPDATE and DELETE of a table without
//! replica identity makes the server refuse those statements to the application.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Deserialize;

use super::catalog::RelationFacts;
use super::catalog_query::Listed;
use super::connection::PgConnection;
use super::error::SourceError;
use super::sql::{Columns, quote_ident, quote_literal, quote_table};

/// A row of `pg_publication`, and what `pg_publication_tables` makes of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PublicationFacts {
    pub pubinsert: bool,
    pub pubupdate: bool,
    pub pubdelete: bool,
    pub pubtruncate: bool,
    /// Changes of partitions go by their root's name.
    #[serde(default)]
    pub pubviaroot: bool,
    pub tables: Vec<PublishedTable>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PublishedTable {
    pub schemaname: String,
    pub tablename: String,
    /// `None` where every column is published. Column lists are there since 15.
    #[serde(default)]
    pub attnames: Option<Vec<String>>,
    /// Since 15.
    #[serde(default)]
    pub rowfilter: Option<String>,
}

/// The tables of `captured` whose rows a snapshot reads: each row under every name by which
/// Debezium would publish it.
///
/// Without `publish_via_partition_root` the stream names partitions, and the snapshot reads the
/// partitions and the partitioned tables above them as well; with it both name the root alone.
///
/// # Errors
/// When changes of a captured table would not be in the stream, or be in it under a name that is
/// not captured.
pub fn coverage<'a>(
    name: &str,
    facts: &PublicationFacts,
    all: &[Listed],
    captured: &[&'a Listed],
) -> Result<Vec<&'a Listed>, SourceError> {
    check_operations(name, facts)?;
    if !facts.pubviaroot {
        let via_root = "SET (publish_via_partition_root = true);";
        let sql = format!("ALTER PUBLICATION {} {via_root}", quote_ident(name));
        check_partitions(name, all, captured, sql)?;
    }
    let (read, missing) = divide(facts, captured);
    if missing.is_empty() {
        return Ok(read);
    }
    let list = quoted_list(&missing);
    Err(SourceError::PublicationTables {
        publication: name.to_owned(),
        tables: dotted_list(&missing),
        sql: format!("ALTER PUBLICATION {} ADD TABLE {list};", quote_ident(name)),
    })
}

/// The tables of `captured` whose changes are not in the stream under any captured name.
pub(super) fn uncovered<'a>(facts: &PublicationFacts, captured: &[&'a Listed]) -> Vec<&'a Listed> {
    divide(facts, captured).1
}

/// What a snapshot reads, and what the publication lacks.
fn divide<'a>(
    facts: &PublicationFacts,
    captured: &[&'a Listed],
) -> (Vec<&'a Listed>, Vec<&'a Listed>) {
    let published: HashSet<(&str, &str)> =
        facts.tables.iter().map(|t| (t.schemaname.as_str(), t.tablename.as_str())).collect();
    let is_published = |table: &Listed| published.contains(&(&*table.schema, &*table.table));
    let (mut read, mut missing) = (Vec::new(), Vec::new());
    for table in captured {
        if is_published(table) || (table.partitioned && !facts.pubviaroot) {
            read.push(*table);
            continue;
        }
        // Comes under an ancestor's name, if that one is captured.
        let mut above = captured.iter().filter(|other| table.ancestors.contains(&other.oid));
        if !(facts.pubviaroot && above.any(|ancestor| is_published(ancestor))) {
            missing.push(*table);
        }
    }
    (read, missing)
}

/// Without `publish_via_partition_root` (`sql` sets it) a change goes by the name of the partition
/// that holds the row: one that is not captured is dropped, whoever captures the table above it.
fn check_partitions(
    name: &str,
    all: &[Listed],
    captured: &[&Listed],
    sql: String,
) -> Result<(), SourceError> {
    let captured_oids: HashSet<u32> = captured.iter().map(|table| table.oid).collect();
    let is_captured = |oid: &u32| captured_oids.contains(oid);
    let lost: Vec<&Listed> = all
        .iter()
        .filter(|table| !table.partitioned && table.logged && !is_captured(&table.oid))
        .filter(|table| table.ancestors.iter().any(is_captured))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let above = |table: &&&Listed| lost.iter().any(|leaf| leaf.ancestors.contains(&table.oid));
    let tables: Vec<&Listed> = captured.iter().filter(above).copied().collect();
    Err(SourceError::PartitionsLeftOut {
        publication: name.to_owned(),
        tables: dotted_list(&tables),
        partitions: dotted_list(&lost),
        sql,
    })
}

fn check_operations(name: &str, facts: &PublicationFacts) -> Result<(), SourceError> {
    let operations = [
        ("insert", facts.pubinsert),
        ("update", facts.pubupdate),
        ("delete", facts.pubdelete),
        ("truncate", facts.pubtruncate),
    ];
    let missing: Vec<&str> =
        operations.iter().filter(|(_, there)| !there).map(|(operation, _)| *operation).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let operations = missing.join(", ");
    Err(SourceError::PublicationOperations { publication: name.to_owned(), operations })
}

/// # Errors
/// When the stream would lack a column or some rows of a table.
pub fn check_rows_and_columns(
    name: &str,
    facts: &PublicationFacts,
    relations: &[RelationFacts],
) -> Result<(), SourceError> {
    let by_name: HashMap<(&str, &str), &PublishedTable> =
        facts.tables.iter().map(|t| ((t.schemaname.as_str(), t.tablename.as_str()), t)).collect();
    for relation in relations {
        let Some(published) = by_name.get(&(&*relation.schema, &*relation.table)) else { continue };
        let table = quote_table(&relation.schema, &relation.table);
        if published.rowfilter.is_some() {
            let publication = name.to_owned();
            return Err(SourceError::PublicationRowFilter { publication, table });
        }
        let Some(listed) = &published.attnames else { continue };
        let missing: Vec<&str> = relation
            .columns
            .iter()
            .filter(|column| !column.generated && !listed.contains(&column.name))
            .map(|column| column.name.as_str())
            .collect();
        if !missing.is_empty() {
            let (publication, columns) = (name.to_owned(), missing.join(", "));
            return Err(SourceError::PublicationColumns { publication, table, columns });
        }
    }
    Ok(())
}

/// Tables whose UPDATE and DELETE the server refuses to everybody because this publication
/// publishes them. It was so before we came; worth a warning.
#[must_use]
pub fn without_identity<'a>(facts: &PublicationFacts, captured: &[&'a Listed]) -> Vec<&'a Listed> {
    if !(facts.pubupdate || facts.pubdelete) {
        return Vec::new();
    }
    captured.iter().copied().filter(|table| !table.partitioned && !table.has_identity).collect()
}

/// The statement that makes a publication of `captured`. A partition whose partitioned table is
/// captured too comes with it, future ones included.
///
/// # Errors
/// When the application could not UPDATE or DELETE any more, or changes would not be captured.
pub fn creation(name: &str, all: &[Listed], captured: &[&Listed]) -> Result<String, SourceError> {
    let captured_oids: BTreeSet<u32> = captured.iter().map(|table| table.oid).collect();
    let named = |table: &Listed| {
        captured_oids.contains(&table.oid)
            || table.ancestors.iter().any(|oid| captured_oids.contains(oid))
    };
    let broken: Vec<&Listed> = all
        .iter()
        .filter(|table| !table.partitioned && !table.has_identity && named(table))
        .collect();
    if !broken.is_empty() {
        let alter = |table: &&Listed| {
            let table = quote_table(&table.schema, &table.table);
            format!("ALTER TABLE {table} REPLICA IDENTITY FULL;")
        };
        return Err(SourceError::TablesWithoutIdentity {
            publication: name.to_owned(),
            tables: dotted_list(&broken),
            sql: broken.iter().map(alter).collect::<Vec<_>>().join(" "),
        });
    }
    let statement = creation_statement(name, captured);
    let via_root = " WITH (publish_via_partition_root = true);";
    check_partitions(name, all, captured, statement.trim_end_matches(';').to_owned() + via_root)?;
    Ok(statement)
}

/// What an operator would run, without looking at replica identities.
#[must_use]
pub fn creation_statement(name: &str, captured: &[&Listed]) -> String {
    let captured_oids: BTreeSet<u32> = captured.iter().map(|table| table.oid).collect();
    let topmost: Vec<&Listed> = captured
        .iter()
        .copied()
        .filter(|table| !table.ancestors.iter().any(|oid| captured_oids.contains(oid)))
        .collect();
    format!("CREATE PUBLICATION {} FOR TABLE {};", quote_ident(name), quoted_list(&topmost))
}

fn quoted_list(tables: &[&Listed]) -> String {
    let names = tables.iter().map(|table| quote_table(&table.schema, &table.table));
    names.collect::<Vec<_>>().join(", ")
}

pub(super) fn dotted_list(tables: &[&Listed]) -> String {
    tables.iter().map(|table| table.dotted()).collect::<Vec<_>>().join(", ")
}

/// The view names the columns of every table, whether it has a column list or not, as of a moment
/// of its own: beside an ALTER TABLE it disagrees with the catalogue. Without a list, of the table
/// or of one above it, every column is published, and there is nothing to compare. `prattrs` is
/// there since 15.
/// <https://www.postgresql.org/docs/current/catalog-pg-publication-rel.html>
const COLUMNS_WITHOUT_A_LIST: &str = "CASE WHEN EXISTS ( \
        SELECT FROM pg_catalog.pg_publication_rel r \
        WHERE r.prpubid = p.oid AND pg_catalog.to_jsonb(r)->>'prattrs' IS NOT NULL \
            AND (r.prrelid = c.oid OR r.prrelid IN \
                (SELECT relid FROM pg_catalog.pg_partition_ancestors(c.oid)))) \
    THEN '{}'::jsonb ELSE '{\"attnames\": null}'::jsonb END";

/// # Errors
/// When the server cannot be asked.
pub async fn read(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<PublicationFacts>, SourceError> {
    let sql = format!(
        "SELECT (pg_catalog.to_jsonb(p) || pg_catalog.jsonb_build_object('tables', coalesce( \
            (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(t) || {COLUMNS_WITHOUT_A_LIST}) \
             FROM pg_catalog.pg_publication_tables t \
             LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname \
             LEFT JOIN pg_catalog.pg_class c \
                 ON c.relnamespace = n.oid AND c.relname = t.tablename \
             WHERE t.pubname = p.pubname), '[]')))::text \
         FROM pg_catalog.pg_publication p WHERE p.pubname = {}",
        quote_literal(name)
    );
    let rows = connection.query("read the publication", &sql).await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let text = Columns::new(connection.endpoint(), row).text()?;
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| connection.protocol_error(format!("a publication's row: {error}")))
}

/// Runs what [`creation`] gave. Somebody who was faster is as good.
///
/// # Errors
/// When the server refuses; the hint is for the tables' owner.
pub async fn create(
    connection: &mut PgConnection,
    name: &str,
    sql: &str,
) -> Result<(), SourceError> {
    match connection.query("create the publication", sql).await {
        Ok(_) => {
            tracing::info!(publication = name, "publication created");
            Ok(())
        }
        Err(error) if error.has_code("42710") => Ok(()),
        Err(SourceError::Statement { source, .. }) if source.code == "42501" => {
            Err(SourceError::PublicationRefused {
                publication: name.to_owned(),
                sql: sql.to_owned(),
                source,
            })
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
pub(super) mod tests;
