//! A MySQL or MariaDB decoder that knows a table of ten columns, and transactions of inserts into
//! it. Shared by the benchmarks and the allocation tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tailwater::config::TableFilter;
use tailwater::offsets::position::{
    BinlogFile, MariadbGtidList, MariadbPosition, MysqlPosition, Position,
};
use tailwater::sources::mysql::catalog::{Catalog, TableFacts};
use tailwater::sources::mysql::decoder::{Collaborators, Decoder, DecoderConfig};
use tailwater::sources::mysql::json::JsonForm;
use tailwater::sources::mysql::schemas::{SchemaSettings, Schemas};
use tailwater::sources::mysql::settings::Flavor;
use tailwater::sources::mysql::source_block::SourceConstants;
use tailwater::sources::{BoxError, Decode as _, RawBatch, Stage};

use super::decode_rows::Counter;

const ROWS_PER_EVENT: usize = 100;

struct NoCatalog;

impl Catalog for NoCatalog {
    fn table(&mut self, _: &str, _: &str) -> Result<Option<TableFacts>, BoxError> {
        Ok(None)
    }
}

/// With its table described already.
pub(crate) fn decoder(flavor: Flavor) -> Decoder {
    let file = BinlogFile { name: "binlog.000001".to_owned(), offset: 4 };
    let resume_from = match flavor {
        Flavor::Mysql => {
            let server_uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562".to_owned();
            Position::Mysql(MysqlPosition::new(server_uuid, None, file))
        }
        Flavor::Mariadb => {
            let gtids = MariadbGtidList::default();
            Position::Mariadb(MariadbPosition { gtids, file, begun: 0, restart: None })
        }
    };
    let config = DecoderConfig {
        source: SourceConstants { version: "0", flavor, topic_prefix: "shop".to_owned() },
        filter: TableFilter::new(Vec::new(), Vec::new()).expect("no pattern is malformed"),
        json_form: JsonForm::Debezium,
        tinyint1: tailwater::config::Tinyint1Mode::Number,
        include_query: false,
        include_schema_changes: false,
        resume_from,
        event_bytes_max: 1 << 30,
    };
    let settings = SchemaSettings {
        flavor,
        filter: TableFilter::new(Vec::new(), Vec::new()).expect("no pattern is malformed"),
        lower_case: false,
        explicit_timestamps: true,
    };
    let collaborators = Collaborators {
        catalog: Box::new(NoCatalog),
        schemas: Schemas::empty(settings),
        announced: None,
        snapshot: None,
    };
    let mut decoder = Decoder::new(config, collaborators).expect("its own position");
    let (first, arena) = (batch(flavor, 1), bumpalo::Bump::new());
    decoder.decode(&first, &arena, &mut Counter::default()).expect("a transaction");
    decoder
}

/// One transaction of `n_rows` inserts, to be decoded once: MariaDB's have numbers.
pub(crate) fn batch(flavor: Flavor, n_rows: usize) -> RawBatch {
    // Thread, seconds, length of the database, error, length of the variables; the database.
    let begin = [&7_u32.to_le_bytes()[..], &[0; 4], &[0], &[0; 4], b"\0BEGIN"].concat();
    let mut events = match flavor {
        Flavor::Mysql => vec![event(34, &[0; 25]), event(2, &begin)],
        Flavor::Mariadb => {
            static SEQUENCE: AtomicU64 = AtomicU64::new(1);
            let number = SEQUENCE.fetch_add(1, Ordering::Relaxed);
            vec![event(162, &[&number.to_le_bytes()[..], &[0; 11]].concat())]
        }
    };
    for start in (0..n_rows).step_by(ROWS_PER_EVENT) {
        let n = ROWS_PER_EVENT.min(n_rows - start);
        events.push(event(19, &table_map()));
        events.push(match flavor {
            Flavor::Mysql => event(30, &write_rows(&[0, 0, 2, 0], n)),
            Flavor::Mariadb => event(23, &write_rows(&[0, 0], n)),
        });
    }
    events.push(event(16, &[0; 8]));
    let (mut data, mut messages) = (Vec::new(), Vec::new());
    for event in events {
        let start = u32::try_from(data.len()).expect("small");
        data.extend(event);
        messages.push(start..u32::try_from(data.len()).expect("small"));
    }
    let read_at = Instant::now();
    RawBatch { stage: Stage::Stream, data: data.into(), messages, read_at, budget: None }
}

fn event(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(19 + body.len()).expect("small");
    let mut event = 1_700_000_000_u32.to_le_bytes().to_vec();
    event.push(kind);
    event.extend(1_u32.to_le_bytes());
    event.extend(length.to_le_bytes());
    // No place in the file, no flags.
    event.extend([0; 6]);
    event.extend(body);
    event
}

/// Type, metadata, name.
const COLUMNS: [(u8, &[u8], &str); 10] = [
    (8, &[], "id"),
    (15, &[200, 0], "customer"),
    (15, &[200, 0], "product"),
    (15, &[200, 0], "city"),
    (246, &[10, 2], "amount"),
    (18, &[6], "created"),
    (1, &[], "state"),
    (5, &[8], "weight"),
    (15, &[200, 0], "reference"),
    (15, &[200, 0], "note"),
];

fn table_map() -> Vec<u8> {
    let mut body = vec![42, 0, 0, 0, 0, 0, 1, 0];
    body.extend(b"\x04shop\0\x06orders\0\x0a");
    body.extend(COLUMNS.iter().map(|(kind, _, _)| kind));
    let metadata: Vec<u8> =
        COLUMNS.iter().flat_map(|(_, metadata, _)| *metadata).copied().collect();
    body.push(u8::try_from(metadata.len()).expect("short"));
    body.extend(metadata);
    body.extend([0xFE, 0x03]);
    // No number is unsigned; all texts are utf8mb4_general_ci (45); the key is the first column.
    body.extend([1, 1, 0, 2, 1, 45, 8, 1, 0]);
    let names: Vec<u8> = COLUMNS
        .iter()
        .flat_map(|(_, _, name)| {
            std::iter::once(u8::try_from(name.len()).expect("short")).chain(name.bytes())
        })
        .collect();
    body.extend([4, u8::try_from(names.len()).expect("short")]);
    body.extend(names);
    body
}

/// `head`: flags, and in the second version of the event the length of nothing.
fn write_rows(head: &[u8], n: usize) -> Vec<u8> {
    let mut body = [&[42, 0, 0, 0, 0, 0], head, &[10, 0xFF, 0x03]].concat();
    for id in 0..n {
        body.extend([0, 0xFC]);
        body.extend((id as u64).to_le_bytes());
        for text in ["Ada Lovelace", "Analytical engine, second edition", "London"] {
            body.push(u8::try_from(text.len()).expect("short"));
            body.extend(text.bytes());
        }
        // 1234.56
        body.extend([0x80, 0x00, 0x04, 0xD2, 56]);
        // 2024-02-29 04:05:06.789123
        body.extend([0x99, 0xB2, 0xBA, 0x41, 0x46, 0x0C, 0x0A, 0x83]);
        body.push(3);
        body.extend(12.5_f64.to_le_bytes());
        for text in ["REF-2024-000123", "handle with care"] {
            body.push(u8::try_from(text.len()).expect("short"));
            body.extend(text.bytes());
        }
    }
    body
}
