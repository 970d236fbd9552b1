//! What the decoder does about definitions: table maps to plans, statements to beliefs and to
//! records of schema changes.

use std::sync::Arc;

use crate::change::{EventId, SchemaChange};
use crate::offsets::position::BinlogFile;
use crate::schema::definition::{TableChange, TableChangeKind};
use crate::sources::mysql::believe::complete;
use crate::sources::mysql::binlog::ParseError;
use crate::sources::mysql::binlog::query::Query;
use crate::sources::mysql::binlog::table_map::TableMap;
use crate::sources::mysql::catalog::{Catalog, Reread, TableName};
use crate::sources::mysql::charset;
use crate::sources::mysql::ddl::{Origin, SqlMode, TableModel};
use crate::sources::mysql::decode_error::{At, DecodeError};
use crate::sources::mysql::decoder::{Decoder, Event};
use crate::sources::mysql::definitions::Definitions;
use crate::sources::mysql::follow::place;
use crate::sources::mysql::group::Fate;
use crate::sources::mysql::plan::Plan;
use crate::sources::mysql::row_count::RowCounter;
use crate::sources::mysql::schemas::{Belief, Effect, Schemas, Statement};
use crate::sources::mysql::source_block::{Place, slots};
use crate::sources::mysql::sql::{quote_ident, quote_table};
use crate::sources::mysql::statement;
use crate::sources::mysql::table::Described;
use crate::sources::mysql::table_maps::Relation;
use crate::sources::{BoxError, ChangeHandler};

type Out<'o> = &'o mut dyn ChangeHandler;

/// What a snapshot says of definitions before its rows.
#[derive(Clone, Debug)]
pub struct SnapshotSchemas {
    pub definitions: Definitions,
    pub file: String,
    pub offset: u64,
    /// Microseconds since 1970.
    pub read_at_us: i64,
}

impl Decoder {
    /// Makes a plan of a table map, unless there is one.
    pub(super) fn learn(&mut self, event: Event<'_>) -> Result<(), BoxError> {
        let (filter, tables, form) = (&self.filter, &mut self.tables, self.json_form);
        let (flavor, at) = (self.flavor, &self.at);
        let (catalog, schemas) = (&mut *self.with.catalog, &mut self.with.schemas);
        let made = self.maps.map(event.body, |map| {
            let parsed = TableMap::parse(map, flavor)?;
            if !filter.matches(parsed.database, parsed.table) {
                return Ok(Relation::Filtered(RowCounter::of(&parsed)));
            }
            let believed = believed(&parsed, schemas, catalog, at).map_err(MapError::Plan)?;
            let mut map = parsed;
            if let Some(model) = believed.as_ref().filter(|_| !map.is_full()) {
                complete(&mut map, model).map_err(|contradiction| {
                    MapError::Plan(contradicted(&map, at, contradiction.to_string()))
                })?;
            }
            let believed = believed.as_deref();
            let plan = Plan::of(&map, form, tables, (believed, catalog));
            plan.map(Relation::Captured).map_err(MapError::Plan)
        });
        made.map_err(|error| match error {
            MapError::Parse(source) => self.malformed(source).into(),
            MapError::Plan(error) => error,
        })
    }

    /// A table as it is here, for a change without rows. The catalogue's present is only for one
    /// of which neither statements nor rows have said anything; `None` where it has none either.
    pub(super) fn describe(
        &mut self,
        database: &str,
        table: &str,
    ) -> Result<Option<Described>, BoxError> {
        let name = TableName { database: database.to_owned(), table: table.to_owned() };
        let (catalog, schemas) = (&mut *self.with.catalog, &mut self.with.schemas);
        let known = match schemas.belief(database, table) {
            Some(Belief::Known(model)) => Some(Arc::clone(model)),
            Some(Belief::Unknown) | None => match catalog.definition(&name, &self.at)? {
                Reread::Proven(model) => {
                    let model = Arc::new(*model);
                    schemas.learn(name, Arc::clone(&model));
                    Some(model)
                }
                Reread::Unproven(_) => None,
            },
        };
        if let Some(model) = known {
            return Ok(Some(self.tables.of_snapshot(&model.facts(database, table))?));
        }
        if let Some(described) = self.tables.current(database, table) {
            return Ok(Some(described.clone()));
        }
        let facts = catalog.table(database, table)?;
        if facts.is_none() {
            let table = quote_table(database, table);
            tracing::warn!(table, "a table was emptied that is gone by now: nobody is told");
        }
        Ok(facts.map(|facts| self.tables.of_snapshot(&facts)).transpose()?)
    }

    /// Follows a statement that may define tables.
    pub(super) fn ddl(
        &mut self,
        query: &Query<'_>,
        event: Event<'_>,
        out: Out<'_>,
    ) -> Result<(), BoxError> {
        self.maps.mark_stale();
        let Some(group) = &self.group else { return Ok(()) };
        if group.fate == Fate::Skip {
            return Ok(());
        }
        let Some(text) = statement::text(query, event.arena) else {
            self.with.schemas.doubt_everything();
            return Ok(());
        };
        let effects = self.with.schemas.follow(&Statement {
            text,
            database: query.database,
            sql_mode: SqlMode(query.sql_mode),
            server_charset: query.server_collation.and_then(charset::name_of),
        });
        if !self.include_schema_changes {
            return Ok(());
        }
        for (ordinal, effect) in (0..).zip(&effects) {
            let place = place(group, &self.at.name, event, 0);
            let id = EventId { transaction: &group.name, ordinal };
            self.announce(effect, text, (&place, id), &mut *out)?;
        }
        Ok(())
    }

    /// Hands on the record of what a statement did, if it did it to anything that is captured.
    fn announce(
        &self,
        effect: &Effect,
        text: &str,
        (place, id): (&Place<'_>, EventId<'_>),
        out: Out<'_>,
    ) -> Result<(), BoxError> {
        let is_captured = |name: &TableName| self.filter.matches(&name.database, &name.table);
        let dropped;
        let (name, kind, model, ddl) = match effect {
            Effect::Created(name, model) => (name, TableChangeKind::Create, model, text),
            Effect::Altered(name, model) => (name, TableChangeKind::Alter, model, text),
            Effect::Dropped { table, if_exists } => {
                // One statement for each table.
                let condition = if *if_exists { "IF EXISTS " } else { "" };
                let name = quote_table(&table.database, &table.table);
                dropped = format!("DROP TABLE {condition}{name}");
                (table, TableChangeKind::Drop, &None, dropped.as_str())
            }
            Effect::Database(name) => {
                if !self.filter.matches(name, "") {
                    return Ok(());
                }
                let layout = self.tables.layout(name, None);
                let (source, database) = (slots(place), name.as_str());
                let change = SchemaChange {
                    layout: &layout,
                    source: &source,
                    database,
                    ddl: text,
                    tables: &[],
                    id,
                };
                return out.schema_change(&change);
            }
        };
        if !is_captured(name) {
            return Ok(());
        }
        let change = table_change(name, kind, model.as_deref(), self.flavor);
        // Of one that was not understood there is the statement alone.
        let known = change.definition.is_some() || kind == TableChangeKind::Drop;
        let tables = if known { std::slice::from_ref(&change) } else { &[] };
        let layout = self.tables.layout(&name.database, Some(&name.table));
        let (source, database) = (slots(place), name.database.as_str());
        out.schema_change(&SchemaChange {
            layout: &layout,
            source: &source,
            database,
            ddl,
            tables,
            id,
        })
    }

    /// The definitions that a snapshot begins with, as Debezium writes them: whatever was there
    /// before is dropped, and made anew.
    pub(super) fn announce_snapshot(&mut self, out: Out<'_>) -> Result<(), BoxError> {
        let Some(snapshot) = self.with.announced.take().filter(|_| self.include_schema_changes)
        else {
            return Ok(());
        };
        let SnapshotSchemas { definitions, file, offset, read_at_us } = &snapshot;
        let place = Place {
            ts_us: *read_at_us,
            snapshot: "true",
            server_id: 0,
            gtid: None,
            file,
            pos: *offset,
            row: 0,
            thread: None,
            query: None,
        };
        let transaction = format!("snapshot-{file}:{offset}");
        let mut ordinal = 0;
        let mut hand_on =
            |database: &str, table: Option<&str>, ddl: &str, change: Option<TableChange>| {
                let layout = self.tables.layout(database, table);
                let id = EventId { transaction: &transaction, ordinal };
                ordinal += 1;
                let (source, tables) = (slots(&place), change.as_slice());
                out.schema_change(&SchemaChange {
                    layout: &layout,
                    source: &source,
                    database,
                    ddl,
                    tables,
                    id,
                })
            };
        let (charset, collation) = (&definitions.server_charset, &definitions.server_collation);
        let set = format!("SET character_set_server={charset}, collation_server={collation}");
        hand_on("", None, &set, None)?;
        for table in &definitions.tables {
            let name = &table.name;
            let ddl = format!("DROP TABLE IF EXISTS {}", quote_table(&name.database, &name.table));
            let change = table_change(name, TableChangeKind::Drop, None, self.flavor);
            hand_on(&name.database, Some(&name.table), &ddl, Some(change))?;
        }
        for database in &definitions.databases {
            let of_it =
                |table: &&super::definitions::Definition| table.name.database == database.name;
            if !definitions.tables.iter().any(|table| of_it(&table)) {
                continue;
            }
            let name = quote_ident(&database.name);
            hand_on(&database.name, None, &format!("DROP DATABASE IF EXISTS {name}"), None)?;
            let (charset, collation) = (&database.charset, &database.collation);
            let create = format!("CREATE DATABASE {name} CHARSET {charset} COLLATE {collation}");
            hand_on(&database.name, None, &create, None)?;
            hand_on(&database.name, None, &format!("USE {name}"), None)?;
            for table in definitions.tables.iter().filter(of_it) {
                let (name, kind) = (&table.name, TableChangeKind::Create);
                let change = table_change(name, kind, table.model.as_deref(), self.flavor);
                let change = Some(change).filter(|change| change.definition.is_some());
                hand_on(&name.database, Some(&name.table), &table.create, change)?;
            }
        }
        Ok(())
    }
}

fn table_change(
    name: &TableName,
    kind: TableChangeKind,
    model: Option<&TableModel>,
    flavor: crate::sources::mysql::settings::Flavor,
) -> TableChange {
    let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    TableChange {
        kind,
        id: format!("{}.{}", quote(&name.database), quote(&name.table)),
        definition: model.map(|model| model.definition(flavor)),
    }
}

/// What is believed of the table of a map, and agrees with it. `None` where the map says enough by
/// itself and nothing is believed.
fn believed(
    map: &TableMap<'_>,
    schemas: &mut Schemas,
    catalog: &mut dyn Catalog,
    at: &BinlogFile,
) -> Result<Option<Arc<TableModel>>, BoxError> {
    let known = match schemas.belief(map.database, map.table) {
        Some(Belief::Known(model)) => Some(Arc::clone(model)),
        Some(Belief::Unknown) | None => None,
    };
    if map.is_full() {
        let agrees = |model: &Arc<TableModel>| {
            let names = model.columns.iter().map(|column| Some(column.name.as_str()));
            names.eq(map.columns.iter().map(|column| column.name))
        };
        return Ok(known.filter(agrees));
    }
    if let Some(model) = known {
        match complete(&mut map.clone(), &model) {
            Ok(()) => return Ok(Some(model)),
            Err(contradiction) if model.origin == Origin::Catalog => {
                return Err(contradicted(map, at, contradiction.to_string()));
            }
            Err(contradiction) => tracing::warn!(
                table = quote_table(map.database, map.table), %contradiction,
                "a statement about a table was misread; the catalogue is asked"
            ),
        }
    }
    let name = TableName { database: map.database.to_owned(), table: map.table.to_owned() };
    match catalog.definition(&name, at)? {
        Reread::Proven(model) => {
            complete(&mut map.clone(), &model)
                .map_err(|contradiction| contradicted(map, at, contradiction.to_string()))?;
            let model = Arc::new(*model);
            schemas.learn(name, Arc::clone(&model));
            Ok(Some(model))
        }
        Reread::Unproven(why) => {
            let table = quote_table(map.database, map.table);
            Err(DecodeError::Undefined { at: place_of(at), table, why }.into())
        }
    }
}

fn contradicted(map: &TableMap<'_>, at: &BinlogFile, what: String) -> BoxError {
    let table = quote_table(map.database, map.table);
    let name = format!("{}.{}", map.database, map.table);
    DecodeError::Contradicted { at: place_of(at), table, name, what }.into()
}

fn place_of(at: &BinlogFile) -> At {
    At { file: at.name.clone(), offset: at.offset }
}

enum MapError {
    Parse(ParseError),
    Plan(BoxError),
}

impl From<ParseError> for MapError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}
