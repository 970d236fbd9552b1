//! Catalogue queries: which tables there are, and the facts of some of them.
//!
//! Set-based: four statements for any number of tables. Everything is qualified with
//! `pg_catalog`, so that nobody's `public` function is called in its place.

use std::collections::HashMap;

use super::catalog::{ColumnFacts, RelationFacts, ReplicaIdentity, TypeFacts, TypeKind};
use super::connection::PgConnection;
use super::error::SourceError;
use super::sql::{Columns, oid_array};

/// A domain over a domain over …: deeper than anybody nests, and an end for a damaged catalogue.
const TYPE_DEPTH_MAX: usize = 64;

/// A table or partitioned table, as far as choosing it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub oid: u32,
    pub schema: String,
    pub table: String,
    /// Has partitions and no rows of its own.
    pub partitioned: bool,
    /// Its changes are in the log: neither unlogged nor temporary.
    pub logged: bool,
    /// An UPDATE or DELETE can name the old row.
    pub has_identity: bool,
    /// `SELECT` on all columns is granted to us.
    pub readable: bool,
    /// `USAGE` on its schema is granted to us.
    pub schema_usable: bool,
    /// Row-level security would filter what we read.
    pub row_security: bool,
    /// Partitioned tables above it, nearest first.
    pub ancestors: Vec<u32>,
}

impl Listed {
    #[must_use]
    pub fn dotted(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }
}

const LIST: &str = "\
SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relpersistence = 'p', \
    c.relreplident = 'f' \
    OR (c.relreplident = 'd' AND EXISTS (SELECT FROM pg_catalog.pg_index i \
        WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate)) \
    OR (c.relreplident = 'i' AND EXISTS (SELECT FROM pg_catalog.pg_index i \
        WHERE i.indrelid = c.oid AND i.indisreplident)), \
    NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a \
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
        AND NOT pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')), \
    pg_catalog.has_schema_privilege(n.oid, 'USAGE'), \
    c.relrowsecurity AND pg_catalog.row_security_active(c.oid), \
    CASE WHEN c.relispartition THEN pg_catalog.array_to_string(ARRAY( \
        SELECT relid::pg_catalog.oid FROM pg_catalog.pg_partition_ancestors(c.oid) \
        WHERE relid <> c.oid), ',') ELSE '' END \
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
ORDER BY n.nspname, c.relname";

/// Every table of users, by schema and name.
///
/// # Errors
/// When the server cannot be asked.
pub async fn list(connection: &mut PgConnection) -> Result<Vec<Listed>, SourceError> {
    let rows = connection.query("list the tables", LIST).await?;
    let mut tables = Vec::with_capacity(rows.len());
    for row in rows {
        let mut columns = Columns::new(connection.endpoint(), row);
        tables.push(Listed {
            oid: columns.parsed()?,
            schema: columns.text()?,
            table: columns.text()?,
            partitioned: columns.boolean()?,
            logged: columns.boolean()?,
            has_identity: columns.boolean()?,
            readable: columns.boolean()?,
            schema_usable: columns.boolean()?,
            row_security: columns.boolean()?,
            ancestors: columns.text()?.split(',').filter_map(|oid| oid.parse().ok()).collect(),
        });
    }
    Ok(tables)
}

/// How much is asked about a relation's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// What the last VACUUM or ANALYZE noted down: needs no lock on the table.
    Noted,
    /// The files' present size, partitions included.
    Measured,
}

/// Facts of the relations that (still) exist, by schema and name.
///
/// # Errors
/// When the server cannot be asked.
pub async fn relations(
    connection: &mut PgConnection,
    oids: &[u32],
    sizes: Sizes,
) -> Result<Vec<RelationFacts>, SourceError> {
    let (mut relations, mut types_of) = (Vec::new(), HashMap::new());
    if oids.is_empty() {
        return Ok(relations);
    }
    read_relations(connection, oids, sizes, &mut relations).await?;
    let columns = read_columns(connection, oids).await?;
    let wanted: Vec<u32> = columns.iter().map(|column| column.type_oid).collect();
    let types = read_types(connection, &wanted).await?;
    for column in &columns {
        if let Some(facts) = types.resolve(column.type_oid, 0) {
            types_of.insert(column.type_oid, facts);
        }
    }
    let mut by_oid: HashMap<u32, &mut RelationFacts> =
        relations.iter_mut().map(|relation| (relation.oid, relation)).collect();
    for column in columns {
        let (Some(relation), Some(type_facts)) =
            (by_oid.get_mut(&column.relation), types_of.get(&column.type_oid))
        else {
            continue;
        };
        relation.columns.push(column.into_facts(type_facts.clone()));
    }
    for index in read_indexes(connection, oids).await? {
        if let Some(relation) = by_oid.get_mut(&index.relation) {
            index.note_in(relation);
        }
    }
    Ok(relations)
}

async fn read_relations(
    connection: &mut PgConnection,
    oids: &[u32],
    sizes: Sizes,
    relations: &mut Vec<RelationFacts>,
) -> Result<(), SourceError> {
    let bytes = match sizes {
        Sizes::Noted => "c.relpages::int8 * current_setting('block_size')::int8",
        Sizes::Measured => {
            "CASE c.relkind WHEN 'p' THEN (SELECT coalesce(pg_catalog.sum( \
                 pg_catalog.pg_relation_size(p.relid)), 0)::int8 \
             FROM pg_catalog.pg_partition_tree(c.oid) p WHERE p.isleaf) \
             ELSE coalesce(pg_catalog.pg_relation_size(c.oid), 0) END"
        }
    };
    let sql = format!(
        "SELECT c.oid, n.nspname, c.relname, c.relreplident, c.reltuples::int8, {bytes} \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = ANY ({}) ORDER BY n.nspname, c.relname",
        oid_array(oids)
    );
    for row in connection.query("read the tables' facts", &sql).await? {
        let mut columns = Columns::new(connection.endpoint(), row);
        relations.push(RelationFacts {
            oid: columns.parsed()?,
            schema: columns.text()?,
            table: columns.text()?,
            replica_identity: match columns.text()?.as_str() {
                "n" => ReplicaIdentity::Nothing,
                "f" => ReplicaIdentity::Full,
                "i" => ReplicaIdentity::Index,
                _ => ReplicaIdentity::Default,
            },
            estimated_rows: columns.parsed()?,
            estimated_bytes: columns.parsed()?,
            columns: Vec::new(),
            primary_key: Vec::new(),
            unique_key: Vec::new(),
            identity_index: Vec::new(),
        });
    }
    Ok(())
}

struct Column {
    relation: u32,
    name: String,
    type_oid: u32,
    type_modifier: i32,
    not_null: bool,
    generated: bool,
    default_expression: Option<String>,
}

impl Column {
    fn into_facts(self, type_facts: TypeFacts) -> ColumnFacts {
        ColumnFacts {
            name: self.name,
            type_facts,
            type_modifier: self.type_modifier,
            not_null: self.not_null,
            default_expression: self.default_expression,
            generated: self.generated,
        }
    }
}

async fn read_columns(
    connection: &mut PgConnection,
    oids: &[u32],
) -> Result<Vec<Column>, SourceError> {
    // The expression of a generated column stands in pg_attrdef too, and is no default. A domain's
    // NOT NULL counts as pgjdbc counts it: of the column's own type, not of those below it.
    let sql = format!(
        "SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, \
             a.attnotnull OR (y.typtype = 'd' AND y.typnotnull), a.attgenerated <> '', \
             CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END \
         FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_type y ON y.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = ANY ({}) AND a.attnum > 0 AND NOT a.attisdropped \
         ORDER BY a.attrelid, a.attnum",
        oid_array(oids)
    );
    let rows = connection.query("read the tables' columns", &sql).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let mut columns = Columns::new(connection.endpoint(), row);
        found.push(Column {
            relation: columns.parsed()?,
            name: columns.text()?,
            type_oid: columns.parsed()?,
            type_modifier: columns.parsed()?,
            not_null: columns.boolean()?,
            generated: columns.boolean()?,
            default_expression: columns.optional()?,
        });
    }
    Ok(found)
}

struct Index {
    relation: u32,
    primary: bool,
    identity: bool,
    /// Unique, over plain columns, of all rows.
    key: bool,
    columns: Vec<String>,
}

impl Index {
    /// In the order of the indexes: the first one that can be a key is it.
    fn note_in(self, relation: &mut RelationFacts) {
        if self.identity && relation.replica_identity == ReplicaIdentity::Index {
            relation.identity_index.clone_from(&self.columns);
        }
        if self.primary {
            relation.primary_key = self.columns;
        } else if self.key && relation.unique_key.is_empty() {
            relation.unique_key = self.columns;
        }
    }
}

async fn read_indexes(
    connection: &mut PgConnection,
    oids: &[u32],
) -> Result<Vec<Index>, SourceError> {
    // By name, clustered ones first: the order of JDBC's getIndexInfo, whose first index is the
    // key of a table without primary key. Columns of INCLUDE are not part of a key.
    let sql = format!(
        "SELECT i.indrelid, i.indexrelid, i.indisprimary, i.indisreplident, \
             i.indpred IS NULL AND i.indexprs IS NULL, a.attname \
         FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, nth) \
         LEFT JOIN pg_catalog.pg_attribute a \
             ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0 \
         WHERE i.indrelid = ANY ({}) AND i.indisunique AND i.indisvalid AND k.nth <= i.indnkeyatts \
         ORDER BY i.indrelid, i.indisclustered DESC, c.relname, i.indexrelid, k.nth",
        oid_array(oids)
    );
    let mut found: Vec<(u32, Index)> = Vec::new();
    for row in connection.query("read the tables' keys", &sql).await? {
        let mut columns = Columns::new(connection.endpoint(), row);
        let relation = columns.parsed()?;
        let oid: u32 = columns.parsed()?;
        let (primary, identity, key) = (columns.boolean()?, columns.boolean()?, columns.boolean()?);
        if found.last().is_none_or(|(last, _)| *last != oid) {
            let index = Index { relation, primary, identity, key, columns: Vec::new() };
            found.push((oid, index));
        }
        if let (Some((_, index)), Some(name)) = (found.last_mut(), columns.optional()?) {
            index.columns.push(name);
        }
    }
    Ok(found.into_iter().map(|(_, index)| index).collect())
}

struct RawType {
    name: String,
    schema: String,
    kind: String,
    base: u32,
    base_modifier: i32,
    element: Option<u32>,
}

#[derive(Default)]
struct Types {
    types: HashMap<u32, RawType>,
    labels: HashMap<u32, Vec<String>>,
}

async fn read_types(connection: &mut PgConnection, oids: &[u32]) -> Result<Types, SourceError> {
    // With the types that they are made of. `typarray` is what makes an array a true one:
    // `name` and `point` have a typelem too.
    let sql = format!(
        "WITH RECURSIVE t (oid) AS ( \
             SELECT o FROM pg_catalog.unnest({}) o \
             UNION SELECT x.oid FROM t JOIN pg_catalog.pg_type y ON y.oid = t.oid \
             CROSS JOIN LATERAL (VALUES (y.typbasetype), \
                 (CASE WHEN y.typlen = -1 THEN y.typelem END)) x (oid) WHERE x.oid <> 0) \
         SELECT y.oid, y.typname, n.nspname, y.typtype, y.typbasetype, y.typtypmod, e.oid \
         FROM t JOIN pg_catalog.pg_type y ON y.oid = t.oid \
         JOIN pg_catalog.pg_namespace n ON n.oid = y.typnamespace \
         LEFT JOIN pg_catalog.pg_type e ON e.typarray = y.oid",
        oid_array(oids)
    );
    let mut found = Types::default();
    for row in connection.query("read the columns' types", &sql).await? {
        let mut columns = Columns::new(connection.endpoint(), row);
        let oid: u32 = columns.parsed()?;
        let raw = RawType {
            name: columns.text()?,
            schema: columns.text()?,
            kind: columns.text()?,
            base: columns.parsed()?,
            base_modifier: columns.parsed()?,
            element: columns.optional()?.and_then(|oid| oid.parse().ok()),
        };
        found.types.insert(oid, raw);
    }
    let enums: Vec<u32> =
        found.types.iter().filter(|(_, raw)| raw.kind == "e").map(|(oid, _)| *oid).collect();
    if !enums.is_empty() {
        let sql = format!(
            "SELECT enumtypid, enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = ANY ({}) \
             ORDER BY enumtypid, enumsortorder",
            oid_array(&enums)
        );
        for row in connection.query("read the enums' labels", &sql).await? {
            let mut columns = Columns::new(connection.endpoint(), row);
            found.labels.entry(columns.parsed()?).or_default().push(columns.text()?);
        }
    }
    Ok(found)
}

impl Types {
    fn resolve(&self, oid: u32, depth: usize) -> Option<TypeFacts> {
        if depth > TYPE_DEPTH_MAX {
            return None;
        }
        let raw = self.types.get(&oid)?;
        let kind = match (raw.kind.as_str(), raw.element) {
            ("e", _) => {
                TypeKind::Enum { labels: self.labels.get(&oid).cloned().unwrap_or_default() }
            }
            ("d", _) => {
                let (base, type_modifier) = self.ultimate_base(raw);
                let base = Box::new(self.resolve(base, depth + 1)?);
                TypeKind::Domain { base, type_modifier }
            }
            ("c", _) => TypeKind::Composite,
            ("r", _) => TypeKind::Range,
            ("m", _) => TypeKind::Multirange,
            ("p", _) => TypeKind::Pseudo,
            (_, Some(element)) => {
                TypeKind::Array { element: Box::new(self.resolve(element, depth + 1)?) }
            }
            (_, None) => TypeKind::Base,
        };
        Some(TypeFacts { oid, name: raw.name.clone(), schema: raw.schema.clone(), kind })
    }

    /// As `getBaseTypeAndTypmod` of the server's `lsyscache.c`: the modifier is that of the
    /// innermost domain, since a domain over a domain cannot have one.
    fn ultimate_base(&self, domain: &RawType) -> (u32, i32) {
        let (mut base, mut type_modifier) = (domain.base, domain.base_modifier);
        for _ in 0..TYPE_DEPTH_MAX {
            match self.types.get(&base) {
                Some(raw) if raw.kind == "d" => {
                    (base, type_modifier) = (raw.base, raw.base_modifier);
                }
                _ => break,
            }
        }
        (base, type_modifier)
    }
}

/// # Errors
/// When the server cannot be asked.
pub async fn column_type(
    connection: &mut PgConnection,
    oid: u32,
) -> Result<Option<TypeFacts>, SourceError> {
    Ok(read_types(connection, &[oid]).await?.resolve(oid, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(kind: &str, base: u32, base_modifier: i32, element: Option<u32>) -> RawType {
        RawType {
            name: format!("t{base}"),
            schema: "s".into(),
            kind: kind.into(),
            base,
            base_modifier,
            element,
        }
    }

    #[test]
    fn a_domain_over_a_domain_ends_at_its_base_with_the_inner_modifier() {
        let mut types = Types::default();
        types.types.insert(1, raw("b", 0, -1, None));
        types.types.insert(2, raw("d", 1, 524_294, None));
        types.types.insert(3, raw("d", 2, -1, None));
        types.types.insert(4, raw("b", 0, -1, Some(3)));
        let TypeKind::Array { element } = types.resolve(4, 0).unwrap().kind else { panic!() };
        let TypeKind::Domain { base, type_modifier } = element.kind else { panic!() };
        assert_eq!((base.oid, type_modifier), (1, 524_294));
    }

    #[test]
    fn a_damaged_catalogue_ends_too() {
        let mut types = Types::default();
        types.types.insert(1, raw("d", 1, -1, None));
        types.types.insert(2, raw("b", 0, -1, Some(2)));
        assert_eq!(types.resolve(1, 0), None);
        assert_eq!(types.resolve(2, 0), None);
    }
}
