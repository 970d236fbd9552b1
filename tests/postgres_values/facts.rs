//! A catalogue read over SQL once, and a handler that writes values down.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tailwater::change::{Change, Progress};
use tailwater::config::{TableFilter, UnmappedTypes};
use tailwater::offsets::position::Lsn;
use tailwater::schema::Table;
use tailwater::sources::postgres::catalog::{
    Catalog, ColumnFacts, RelationFacts, ReplicaIdentity, TypeFacts, TypeKind,
};
use tailwater::sources::postgres::decoder::{Decoder, DecoderConfig, SnapshotFacts};
use tailwater::sources::{BoxError, ChangeHandler, Decode, RawBatch, Undecodable};
use tailwater::value::{Decimal, OwnedValue, Value};
use tokio_postgres::Client;

#[derive(Clone, Default)]
pub(crate) struct Facts {
    types: HashMap<u32, TypeFacts>,
    relations: HashMap<u32, RelationFacts>,
}

impl Catalog for Facts {
    fn relation(&mut self, oid: u32) -> Result<Option<RelationFacts>, BoxError> {
        Ok(self.relations.get(&oid).cloned())
    }

    fn column_type(&mut self, oid: u32) -> Result<Option<TypeFacts>, BoxError> {
        Ok(self.types.get(&oid).cloned())
    }
}

const COLUMNS: &str = "select attrelid, attname::text, atttypid, atttypmod, attnotnull,
    pg_get_expr(adbin, adrelid), attgenerated <> ''
    from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where attnum > 0 and not attisdropped order by attrelid, attnum";

const RELATIONS: &str = "select c.oid, n.nspname::text, c.relname::text, c.relreplident::text,
    (select array_agg(a.attname::text order by k.n) from pg_index i,
        unnest(i.indkey::int2[]) with ordinality k(attnum, n), pg_attribute a
        where k.n <= i.indnkeyatts and i.indrelid = c.oid and i.indisprimary and a.attrelid = c.oid and a.attnum = k.attnum),
    (select array_agg(a.attname::text order by k.n) from pg_index i,
        unnest(i.indkey::int2[]) with ordinality k(attnum, n), pg_attribute a
        where k.n <= i.indnkeyatts and i.indrelid = c.oid and i.indisreplident and a.attrelid = c.oid and a.attnum = k.attnum),
    (select array_agg(a.attname::text order by k.n) from pg_index i,
        unnest(i.indkey::int2[]) with ordinality k(attnum, n), pg_attribute a
        where k.n <= i.indnkeyatts and i.indrelid = c.oid and i.indisunique and not i.indisprimary
        and a.attrelid = c.oid and a.attnum = k.attnum)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
    order by n.nspname, c.relname";

const TYPES: &str = "select t.oid, t.typname::text, n.nspname::text, t.typtype::text, t.typelem,
    t.typcategory::text, t.typbasetype, t.typtypmod,
    (select array_agg(enumlabel::text order by enumsortorder) from pg_enum where enumtypid = t.oid)
    from pg_type t join pg_namespace n on n.oid = t.typnamespace";

impl Facts {
    pub(crate) async fn read(client: &Client) -> Self {
        let rows = client.query(TYPES, &[]).await.unwrap();
        let by_oid: HashMap<u32, _> = rows.iter().map(|row| (row.get::<_, u32>(0), row)).collect();
        let types: HashMap<_, _> =
            by_oid.keys().map(|oid| (*oid, of_type(*oid, &by_oid))).collect();
        let mut columns: HashMap<u32, Vec<ColumnFacts>> = HashMap::new();
        for row in client.query(COLUMNS, &[]).await.unwrap() {
            columns.entry(row.get(0)).or_default().push(ColumnFacts {
                name: row.get(1),
                type_facts: types[&row.get::<_, u32>(2)].clone(),
                type_modifier: row.get(3),
                not_null: row.get(4),
                default_expression: row.get(5),
                generated: row.get(6),
            });
        }
        let names = |names: Option<Vec<String>>| names.unwrap_or_default();
        let relations = client.query(RELATIONS, &[]).await.unwrap().into_iter().map(|row| {
            let oid: u32 = row.get(0);
            let facts = RelationFacts {
                oid,
                schema: row.get(1),
                table: row.get(2),
                columns: columns.remove(&oid).unwrap_or_default(),
                primary_key: names(row.get(4)),
                unique_key: names(row.get(6)),
                replica_identity: match row.get::<_, &str>(3) {
                    "n" => ReplicaIdentity::Nothing,
                    "f" => ReplicaIdentity::Full,
                    "i" => ReplicaIdentity::Index,
                    _ => ReplicaIdentity::Default,
                },
                identity_index: names(row.get(5)),
                estimated_rows: -1,
                estimated_bytes: 0,
            };
            (oid, facts)
        });
        Self { relations: relations.collect(), types }
    }

    /// In the order of their names.
    pub(crate) fn tables(&self) -> Vec<RelationFacts> {
        let mut tables: Vec<_> = self.relations.values().cloned().collect();
        tables.sort_by(|a, b| (&a.schema, &a.table).cmp(&(&b.schema, &b.table)));
        tables
    }
}

fn of_type(oid: u32, rows: &HashMap<u32, &tokio_postgres::Row>) -> TypeFacts {
    let row = rows[&oid];
    let element: u32 = row.get(4);
    let kind = match (row.get::<_, &str>(3), row.get::<_, &str>(5)) {
        (_, "A") if element != 0 => TypeKind::Array { element: Box::new(of_type(element, rows)) },
        ("b", _) => TypeKind::Base,
        ("e", _) => TypeKind::Enum { labels: row.get(8) },
        ("d", _) => base(row, rows),
        ("c", _) => TypeKind::Composite,
        ("r", _) => TypeKind::Range,
        ("m", _) => TypeKind::Multirange,
        _ => TypeKind::Pseudo,
    };
    TypeFacts { oid, name: row.get(1), schema: row.get(2), kind }
}

/// The ultimate base; the modifier is the outermost one that is set.
fn base(row: &tokio_postgres::Row, rows: &HashMap<u32, &tokio_postgres::Row>) -> TypeKind {
    let facts = of_type(row.get(6), rows);
    let own: i32 = row.get(7);
    match facts.kind {
        TypeKind::Domain { base, type_modifier } => {
            TypeKind::Domain { base, type_modifier: if own == -1 { type_modifier } else { own } }
        }
        _ => TypeKind::Domain { base: Box::new(facts), type_modifier: own },
    }
}

pub(crate) fn decoder(
    facts: &Facts,
    policy: UnmappedTypes,
    snapshot: Option<SnapshotFacts>,
) -> Decoder {
    let config = DecoderConfig {
        system_id: "1".to_owned(),
        timeline: 1,
        database: "postgres".to_owned(),
        topic_prefix: "p".to_owned(),
        version: "0",
        filter: TableFilter::new(Vec::new(), Vec::new()).unwrap(),
        unmapped_types: policy,
        logical_messages: true,
        server_version: 150_000,
        snapshot,
        resume_from: None,
    };
    Decoder::new(config, Box::new(facts.clone()))
}

pub(crate) fn snapshot_of(tables: &[RelationFacts]) -> SnapshotFacts {
    SnapshotFacts {
        tables: tables.to_vec(),
        consistent_point: Lsn(1),
        transaction_id: 1,
        read_at_us: 1,
    }
}

/// A change that outlives its batch. Rows are `None` where the log has none.
pub(crate) struct Kept {
    pub(crate) table: Arc<Table>,
    pub(crate) op: &'static str,
    pub(crate) before: Option<Vec<KeptValue>>,
    pub(crate) after: Option<Vec<KeptValue>>,
    pub(crate) snapshot: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum KeptValue {
    Absent,
    Unavailable,
    One(OwnedValue),
    /// What [`OwnedValue`] has no place for, written down.
    Other(String),
    Array(Vec<KeptValue>),
}

pub(crate) fn keep(value: Value<'_>) -> KeptValue {
    KeptValue::One(match value {
        Value::Null => OwnedValue::Null,
        Value::Absent => return KeptValue::Absent,
        Value::Unavailable => return KeptValue::Unavailable,
        Value::Bool(v) => OwnedValue::Bool(v),
        Value::Int(v) => OwnedValue::Int(v),
        Value::Decimal(Decimal { unscaled, scale }) => {
            OwnedValue::Decimal { unscaled: unscaled.to_vec(), scale }
        }
        Value::Text(v) => OwnedValue::Text(v.to_owned()),
        Value::Bytes(v) => OwnedValue::Bytes(v.to_vec()),
        Value::Date(v) => OwnedValue::Date(v),
        Value::Time(v) => OwnedValue::Time(v),
        Value::TimeTz { micros, offset_s } => OwnedValue::TimeTz { micros, offset_s },
        Value::Timestamp(v) => OwnedValue::Timestamp(v),
        Value::TimestampTz(v) => OwnedValue::TimestampTz(v),
        Value::Interval(v) => OwnedValue::Interval(v),
        Value::Array(items) => return KeptValue::Array(items.iter().map(|v| keep(*v)).collect()),
        // Floats with their bits, so that NaN equals itself and -0 does not equal 0.
        Value::Float32(v) => return KeptValue::Other(format!("{v:?} {:x}", v.to_bits())),
        Value::Float64(v) => return KeptValue::Other(format!("{v:?} {:x}", v.to_bits())),
        Value::DecimalSpecial(_)
        | Value::Point { .. }
        | Value::FarTimestampTz { .. }
        | Value::UInt(_)
        | Value::NoSuchDate
        | Value::Geometry { .. }
        | Value::Struct(_)
        | Value::UpdateDescription(_) => {
            return KeptValue::Other(format!("{value:?}"));
        }
    })
}

#[derive(Default)]
pub(crate) struct Keeper {
    pub(crate) changes: Vec<Kept>,
    pub(crate) progress: usize,
}

impl ChangeHandler for Keeper {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let row = |row: &[Value<'_>]| row.iter().map(|value| keep(*value)).collect();
        let snapshot = match change.source[1] {
            Value::Text(marker) => marker.to_owned(),
            other => panic!("a marker is text, not {other:?}"),
        };
        self.changes.push(Kept {
            table: Arc::clone(change.table),
            op: change.op.code(),
            before: change.before.map(|before| row(before.row())),
            after: change.after.map(row),
            snapshot,
        });
        Ok(())
    }

    fn progress(&mut self, _progress: Progress) {
        self.progress += 1;
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        let mut text = format!("{}: {}", row.table, row.error);
        let mut cause = row.error.source();
        while let Some(error) = cause {
            write!(text, ": {error}").unwrap();
            cause = error.source();
        }
        panic!("{text}: {}", String::from_utf8_lossy(row.raw));
    }
}

pub(crate) fn decode(decoder: &mut Decoder, batch: &RawBatch, keeper: &mut Keeper) {
    let arena = bumpalo::Bump::new();
    decoder
        .decode(batch, &arena, keeper)
        .unwrap_or_else(|error| panic!("{error}: {:?}", error.source().map(ToString::to_string)));
}
