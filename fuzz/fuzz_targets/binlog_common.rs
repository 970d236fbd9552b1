//! A decoder of each server's log, and events cut out of any bytes.

#[path = "common.rs"]
pub mod common;

use std::time::Instant;

use tailwater::config::TableFilter;
use tailwater::offsets::position::{BinlogFile, MariadbGtidList, MariadbPosition, MysqlPosition, Position};
use tailwater::sources::mysql::catalog::{Catalog, TableFacts};
use tailwater::sources::mysql::decoder::{Collaborators, Decoder, DecoderConfig};
use tailwater::sources::mysql::json::JsonForm;
use tailwater::sources::mysql::schemas::{SchemaSettings, Schemas};
use tailwater::sources::mysql::settings::Flavor;
use tailwater::sources::mysql::source_block::SourceConstants;
use tailwater::sources::{BoxError, RawBatch, Stage};

struct NoCatalog;

impl Catalog for NoCatalog {
    fn table(&mut self, _: &str, _: &str) -> Result<Option<TableFacts>, BoxError> {
        Ok(None)
    }
}

/// Of the server whose log the first byte of an input chooses.
pub fn flavor(choice: u8) -> Flavor {
    if choice & 0x80 == 0 { Flavor::Mysql } else { Flavor::Mariadb }
}

pub fn decoder(flavor: Flavor) -> Decoder {
    let file = BinlogFile { name: "binlog.000001".to_owned(), offset: 4 };
    let resume_from = match flavor {
        Flavor::Mysql => Position::Mysql(MysqlPosition::new(String::new(), None, file)),
        Flavor::Mariadb => Position::Mariadb(MariadbPosition::new(MariadbGtidList::default(), file)),
    };
    let config = DecoderConfig {
        source: SourceConstants {
            version: "0",
            flavor,
            topic_prefix: "p".to_owned(),
        },
        filter: TableFilter::new(Vec::new(), Vec::new()).expect("no pattern is malformed"),
        json_form: JsonForm::Server,
        tinyint1: tailwater::config::Tinyint1Mode::Number,
        include_query: true,
        include_schema_changes: true,
        resume_from,
        event_bytes_max: 1 << 30,
    };
    let settings = SchemaSettings {
        flavor,
        filter: TableFilter::new(Vec::new(), Vec::new()).expect("no pattern is malformed"),
        lower_case: false,
        explicit_timestamps: true,
    };
    let with = Collaborators {
        catalog: Box::new(NoCatalog),
        schemas: Schemas::empty(settings),
        announced: None,
        snapshot: None,
    };
    Decoder::new(config, with).expect("a position of MySQL")
}

pub fn event(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut event = vec![0, 0, 0, 0, kind, 1, 0, 0, 0];
    event.extend(((19 + body.len()) as u32).to_le_bytes());
    event.extend([0; 6]);
    event.extend(body);
    event
}

/// Code, metadata.
pub const TYPES: [(u8, &[u8]); 24] = [
    (1, &[]), (2, &[]), (9, &[]), (3, &[]), (8, &[]), (4, &[4]), (5, &[8]), (246, &[65, 30]),
    (246, &[10, 2]), (13, &[]), (10, &[]), (19, &[3]), (18, &[6]), (17, &[0]), (16, &[3, 1]),
    (254, &[247, 1]), (254, &[248, 1]), (254, &[254, 20]), (15, &[44, 1]), (252, &[2]),
    (245, &[4]), (255, &[4]), (242, &[4]), (11, &[]),
];

/// A transaction, and a map of the table with the number 1.
pub fn opened(flavor: Flavor) -> Vec<Vec<u8>> {
    let types = TYPES.map(|(code, metadata)| match (flavor, code) {
        // Neither JSON nor VECTOR are types of MariaDB's log; what it has compressed is.
        (Flavor::Mariadb, 245) => (140, [2].as_slice()),
        (Flavor::Mariadb, 242) => (141, [44, 1].as_slice()),
        _ => (code, metadata),
    });
    let mut map = vec![1, 0, 0, 0, 0, 0, 1, 0, 1, b'd', 0, 1, b't', 0, TYPES.len() as u8];
    map.extend(types.iter().map(|(code, _)| code));
    let metadata: Vec<u8> = types.iter().flat_map(|(_, metadata)| *metadata).copied().collect();
    map.push(metadata.len() as u8);
    map.extend(metadata);
    map.extend(vec![0xFF; TYPES.len().div_ceil(8)]);
    // Signedness, a collation for all texts (gbk) and one for all lists, names, labels.
    map.extend([1, 2, 0xAA, 0xAA, 2, 1, 28, 10, 1, 8]);
    let names: Vec<u8> = (0..TYPES.len()).flat_map(|n| [1, b'a' + n as u8]).collect();
    map.extend([4, names.len() as u8]);
    map.extend(names);
    map.extend([5, 5, 2, 1, b'x', 1, b'y', 6, 5, 2, 1, b'x', 1, b'y']);
    match flavor {
        Flavor::Mysql => {
            let begin = event(2, b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0BEGIN");
            vec![event(34, &[0; 25]), begin, event(19, &map)]
        }
        Flavor::Mariadb => {
            let mut gtid = [0; 19];
            gtid[0] = 1;
            vec![event(162, &gtid), event(19, &map)]
        }
    }
}

/// `first`, then events: their kind, two bytes of length, their body.
pub fn batch(first: &[Vec<u8>], mut rest: &[u8]) -> RawBatch {
    let mut events = first.to_vec();
    while let [kind, high, low, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
        events.push(event(*kind, &more[..length]));
        rest = &more[length..];
    }
    let (mut data, mut messages) = (Vec::new(), Vec::new());
    for event in events {
        let start = data.len() as u32;
        data.extend(event);
        messages.push(start..data.len() as u32);
    }
    let read_at = Instant::now();
    RawBatch { stage: Stage::Stream, data: data.into(), messages, read_at, budget: None }
}
