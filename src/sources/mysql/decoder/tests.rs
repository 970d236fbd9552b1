use std::time::Instant;

use crate::change::{Before, Change};
use crate::config::TableFilter;
use crate::offsets::position::{GtidSet, MariadbGtidList, MariadbPosition, MysqlPosition};
use crate::sources::Undecodable;
use crate::sources::mysql::catalog::TableFacts;
use crate::sources::mysql::schema_log::NoSchemaLog;
use crate::sources::mysql::settings::Flavor;
use crate::value::Value;

use super::*;

const MYSQL: &[u8] = include_bytes!("../../../../tests/binlogs/mysql-9.7.binlog");
const MARIADB: &[u8] = include_bytes!("../../../../tests/binlogs/mariadb-10.11.binlog");

struct NoCatalog;

impl Catalog for NoCatalog {
    fn table(&mut self, _: &str, _: &str) -> Result<Option<TableFacts>, BoxError> {
        Ok(None)
    }
}

fn file(name: &str, offset: u64) -> BinlogFile {
    BinlogFile { name: name.to_owned(), offset }
}

fn mysql_start() -> Position {
    Position::Mysql(MysqlPosition {
        server_uuid: "u".to_owned(),
        gtids: Some(GtidSet::default()),
        file: file("binlog.000001", 4),
        restart: None,
    })
}

fn mariadb_start() -> Position {
    Position::Mariadb(MariadbPosition {
        gtids: MariadbGtidList::default(),
        file: file("binlog.000001", 4),
        restart: None,
    })
}

fn decoder(resume_from: Position) -> Decoder {
    let flavor = match resume_from {
        Position::Mariadb(_) => Flavor::Mariadb,
        _ => Flavor::Mysql,
    };
    let config = DecoderConfig {
        source: SourceConstants { version: "0", flavor, topic_prefix: "p".to_owned() },
        filter: TableFilter::new(Vec::new(), Vec::new()).unwrap(),
        json_form: JsonForm::Debezium,
        include_query: false,
        resume_from,
    };
    let collaborators = Collaborators {
        catalog: Box::new(NoCatalog),
        schema_log: Box::new(NoSchemaLog),
        snapshot: None,
    };
    Decoder::new(config, collaborators).unwrap()
}

/// The events of a file, without checksums.
fn events(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = file.strip_prefix(b"\xFEbin").unwrap();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[9..13].try_into().unwrap()) as usize;
        events.push(rest[..length - CHECKSUM_BYTES].to_vec());
        rest = &rest[length..];
    }
    events
}

fn batch(events: &[Vec<u8>]) -> RawBatch {
    let (mut data, mut messages) = (Vec::new(), Vec::new());
    for event in events {
        let start = u32::try_from(data.len()).unwrap();
        data.extend_from_slice(event);
        messages.push(start..u32::try_from(data.len()).unwrap());
    }
    let read_at = Instant::now();
    RawBatch { stage: Stage::Stream, data: data.into(), messages, read_at, budget: None }
}

/// What came, as text.
#[derive(Default)]
struct Keeper {
    rows: Vec<String>,
    ids: Vec<(String, u64)>,
    progress: Vec<Position>,
    undecodable: usize,
}

impl ChangeHandler for Keeper {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let row = |row: &[Value<'_>]| {
            row.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ")
        };
        let before = match change.before {
            Some(Before::Whole(before)) => format!(" before {}", row(before)),
            Some(Before::Key(before)) => format!(" key {}", row(before)),
            None => String::new(),
        };
        let after = change.after.map(|after| format!(" {}", row(after))).unwrap_or_default();
        let op = change.op.code();
        self.rows.push(format!("{} {op}{after}{before}", change.table.path.join(".")));
        self.ids.push((change.id.transaction.to_owned(), change.id.ordinal));
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        let next = progress.position().clone();
        if let Some(last) = self.progress.last() {
            assert!(last.may_advance_to(&next), "{last} to {next}");
        }
        self.progress.push(next);
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        self.undecodable += 1;
        Err(row.error)
    }
}

fn keep(decoder: &mut Decoder, events: &[Vec<u8>]) -> Result<Keeper, BoxError> {
    let mut keeper = Keeper::default();
    decoder.decode(&batch(events), &Bump::new(), &mut keeper)?;
    Ok(keeper)
}

fn chain(error: BoxError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&*error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[test]
fn the_log_of_a_mysql_server() {
    let keeper = keep(&mut decoder(mysql_start()), &events(MYSQL)).map_err(chain).unwrap();
    std::fs::write("/tmp/mydec/mysql.rows", keeper.rows.join("\n")).unwrap();
    println!("{} {:?}", keeper.rows.len(), keeper.progress.last());
}

#[test]
fn the_log_of_a_mariadb_server() {
    let keeper = keep(&mut decoder(mariadb_start()), &events(MARIADB)).map_err(chain).unwrap();
    std::fs::write("/tmp/mydec/mariadb.rows", keeper.rows.join("\n")).unwrap();
    println!("{} {:?}", keeper.rows.len(), keeper.progress.last());
}
