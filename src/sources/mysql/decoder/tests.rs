use std::cell::RefCell;
use std::cmp::Ordering;
use std::time::Instant;

use crate::change::{Before, Change, Edge, TransactionEdge, TransactionName};
use crate::config::TableFilter;
use crate::offsets::position::{GtidSet, MariadbGtidList, MariadbPosition, MysqlPosition};
use crate::schema::history::SchemaHistory;
use crate::sources::Undecodable;
use crate::sources::mysql::catalog::{ColumnFacts, DefaultText, TableFacts};
use crate::sources::mysql::places;
use crate::sources::mysql::schemas::{SchemaSettings, Schemas};
use crate::sources::mysql::settings::Flavor;
use crate::sources::mysql::types::MysqlType;
use crate::value::Value;

use super::*;

const MYSQL: &[u8] = include_bytes!("../../../../tests/binlogs/mysql-9.7.binlog");
const MYSQL_FEATURES: &[u8] = include_bytes!("../../../../tests/binlogs/mysql-9.7-features.binlog");
const MARIADB_FEATURES: &[u8] =
    include_bytes!("../../../../tests/binlogs/mariadb-10.11-features.binlog");
const MARIADB: &[u8] = include_bytes!("../../../../tests/binlogs/mariadb-10.11.binlog");

/// Knows what the logs alone do not tell: columns of MariaDB's fixed binary types.
struct FewFacts;

impl Catalog for FewFacts {
    fn table(&mut self, database: &str, table: &str) -> Result<Option<TableFacts>, BoxError> {
        let columns: &[(&str, &str)] = match (database, table) {
            ("gen", "t_uuid") => &[("u", "uuid")],
            ("x", "meta") => &[("uu", "uuid"), ("i6", "inet6"), ("i4", "inet4")],
            _ => return Ok(None),
        };
        let columns = columns.iter().map(|(name, declared)| ColumnFacts {
            name: (*name).to_owned(),
            data_type: MysqlType::declared(declared),
            declared: (*declared).to_owned(),
            nullable: true,
            default: DefaultText::None,
            charset: None,
        });
        Ok(Some(TableFacts {
            database: database.to_owned(),
            table: table.to_owned(),
            columns: columns.collect(),
            key: Vec::new(),
            transactional: true,
            estimated_rows: 0,
            estimated_bytes: 0,
        }))
    }
}

fn file(name: &str, offset: u64) -> BinlogFile {
    BinlogFile { name: name.to_owned(), offset }
}

fn mysql_start() -> Position {
    Position::Mysql(MysqlPosition::new(
        "u".to_owned(),
        Some(GtidSet::default()),
        file("binlog.000001", 4),
    ))
}

fn mariadb_start() -> Position {
    Position::Mariadb(MariadbPosition::new(MariadbGtidList::default(), file("binlog.000001", 4)))
}

thread_local! {
    /// What was believed at each position that was reached.
    static HISTORIES: RefCell<Vec<(Position, SchemaHistory)>> = const { RefCell::new(Vec::new()) };
}

/// What a checkpoint at this position would have.
fn history_at(position: &Position) -> SchemaHistory {
    HISTORIES.with_borrow(|all| {
        let at = all.iter().rfind(|(at, _)| at.compare(position) == Some(Ordering::Equal));
        at.map(|(_, history)| history.clone()).unwrap_or_default()
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
        tinyint1: crate::config::Tinyint1Mode::Number,
        include_query: false,
        include_schema_changes: false,
        resume_from: resume_from.clone(),
        event_bytes_max: 1 << 30,
    };
    let settings = SchemaSettings {
        flavor,
        filter: TableFilter::new(Vec::new(), Vec::new()).unwrap(),
        lower_case: false,
        explicit_timestamps: true,
    };
    let collaborators = Collaborators {
        catalog: Box::new(FewFacts),
        schemas: Schemas::restore(settings, &history_at(&resume_from)).unwrap(),
        announced: None,
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
    tables: Vec<String>,
    progress: Vec<Position>,
    undecodable: usize,
    /// Begins, ends, and the number of each row in its transaction.
    metadata: Vec<String>,
    n_in_transaction: usize,
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
        self.tables.push(change.table.path.join("."));
        self.ids.push((change.id.transaction.to_owned(), change.id.ordinal));
        self.metadata.push(match change.transaction {
            Some(name) => {
                self.n_in_transaction += 1;
                format!("{} of {}", self.n_in_transaction, shown(name))
            }
            None => "a row of none".to_owned(),
        });
        Ok(())
    }

    fn transaction(&mut self, edge: &TransactionEdge<'_>) -> Result<(), BoxError> {
        if edge.edge == Edge::Begin {
            self.n_in_transaction = 0;
        }
        self.metadata.push(format!("{:?} {}", edge.edge, shown(edge.name)));
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        let next = progress.position().clone();
        let history = progress.schemas().clone();
        HISTORIES.with_borrow_mut(|all| all.push((next.clone(), history)));
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

fn shown(name: TransactionName<'_>) -> String {
    let mut text = String::new();
    name.write(&mut text);
    text
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

fn start_of(log: &[u8]) -> Position {
    let is_mariadb = log.windows(7).take(200).any(|window| window == b"MariaDB");
    if is_mariadb { mariadb_start() } else { mysql_start() }
}

/// Every change of `table` in a whole log, with JSON as the server prints it.
fn rows_of(log: &[u8], table: &str) -> Vec<String> {
    let mut decoder = decoder(start_of(log));
    decoder.json_form = JsonForm::Server;
    let keeper = keep(&mut decoder, &events(log)).map_err(chain).unwrap();
    let of_table = |row: &String| row.strip_prefix(table)?.strip_prefix(' ').map(str::to_owned);
    keeper.rows.iter().filter_map(of_table).collect()
}

fn check(log: &[u8], table: &str, expected: &[&str]) {
    assert_eq!(rows_of(log, table), expected, "{table}");
}

#[test]
fn the_logs_of_two_servers_are_read_to_their_end() {
    for (log, n_rows, end) in [
        (
            MYSQL,
            116,
            "4df5e6ba-e55c-11f1-805a-02fc00000001:1-109 (binlog.000001:38022 of server u)",
        ),
        (MARIADB, 109, "0-2-105 (binlog.000001:34538)"),
        (MARIADB_FEATURES, 25, "0-2-27,7-2-1 (binlog.000001:8073)"),
    ] {
        let keeper = keep(&mut decoder(start_of(log)), &events(log)).map_err(chain).unwrap();
        assert_eq!(keeper.rows.len(), n_rows);
        assert_eq!(keeper.progress.last().map(ToString::to_string).as_deref(), Some(end));
    }
}

#[test]
fn offsets_go_on_beyond_32_bits() {
    const GIB4: u64 = 1 << 32;
    let header = |kind: u8, log_pos: u32, length: u32| {
        let mut event = vec![0, 0, 0, 0, kind, 1, 0, 0, 0];
        event.extend(length.to_le_bytes());
        event.extend(log_pos.to_le_bytes());
        event.extend([0, 0]);
        Header::parse(&event).unwrap().0
    };
    let mut decoder = decoder(mysql_start());
    decoder.at.offset = GIB4 - 100;
    // A place that has wrapped, one that is not given, a heartbeat, a description sent again.
    assert_eq!(decoder.advance(&header(30, 50, 150)), GIB4 - 100);
    assert_eq!((decoder.advance(&header(30, 0, 30)), decoder.at.offset), (GIB4 + 50, GIB4 + 80));
    assert_eq!((decoder.advance(&header(27, 80, 39)), decoder.at.offset), (GIB4 + 80, GIB4 + 80));
    assert_eq!((decoder.advance(&header(15, 0, 120)), decoder.at.offset), (GIB4 + 80, GIB4 + 80));
    // The server passed over something that is done.
    assert_eq!(decoder.advance(&header(33, 1000, 100)), GIB4 + 900);
}

#[test]
fn an_event_may_come_in_any_batch() {
    let events = events(MYSQL);
    let whole = keep(&mut decoder(mysql_start()), &events).map_err(chain).unwrap();
    let mut decoder = decoder(mysql_start());
    let mut rows = Vec::new();
    for event in events.chunks(1) {
        rows.extend(keep(&mut decoder, event).map_err(chain).unwrap().rows);
    }
    assert_eq!(rows, whole.rows);
}

/// Transactions of a log, each with its events.
fn groups(log: &[u8]) -> Vec<Vec<Vec<u8>>> {
    const GTIDS: [u8; 3] = [33, 42, 162];
    let mut groups = vec![Vec::new()];
    for event in events(log) {
        if GTIDS.contains(&event[4]) {
            groups.push(Vec::new());
        }
        groups.last_mut().unwrap().push(event);
    }
    groups.remove(0);
    groups
}

/// Decodes on its own; whatever comes of it, it is no panic.
fn survives(position: Position, events: &[Vec<u8>]) {
    let mut decoder = decoder(position);
    decoder.decode(&batch(events), &Bump::new(), &mut Keeper::default()).ok();
}

#[test]
fn a_cut_event_is_no_panic() {
    for log in [MYSQL_FEATURES, MARIADB_FEATURES] {
        for mut group in groups(log) {
            let last_rows = group.len().saturating_sub(2);
            let event = group[last_rows].clone();
            for end in (19..event.len()).step_by(1 + event.len() / 60) {
                let mut cut = event[..end].to_vec();
                cut[9..13].copy_from_slice(&u32::try_from(end).unwrap().to_le_bytes());
                group[last_rows] = cut;
                survives(start_of(log), &group);
            }
        }
    }
}

#[test]
fn a_damaged_event_is_no_panic() {
    // A fixed sequence (xorshift), so that a failure comes again.
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for log in [MYSQL_FEATURES, MARIADB_FEATURES] {
        for group in groups(log) {
            for _ in 0..40 {
                let mut damaged = group.clone();
                for _ in 0..1 + next(3) {
                    let event = next(damaged.len());
                    let byte = 19 + next((damaged[event].len() - 19).max(1));
                    if let Some(byte) = damaged[event].get_mut(byte) {
                        *byte = [0, 1, 0x7F, 0x80, 0xFF, *byte ^ 1, byte.wrapping_add(1)][next(7)];
                    }
                }
                survives(start_of(log), &damaged);
            }
        }
    }
}

#[test]
fn what_the_server_prints_is_what_is_read() {
    // JSON beside its own CAST to CHAR, texts beside their CONVERT to utf8mb4: the server is the
    // oracle of each row.
    let mut n_pairs = 0;
    let mut compare = |table: &str, pairs: &[(usize, usize)]| {
        for row in values_of(MYSQL_FEATURES, table) {
            for (a, b) in pairs {
                if row[*b] != "Null" {
                    assert_eq!(row[*a], row[*b], "{table}");
                    n_pairs += 1;
                }
            }
        }
    };
    compare("x.j_same", &[(1, 2)]);
    compare("x.p", &[(1, 4), (3, 5)]);
    for charset in [
        "armscii8", "ascii", "big5", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852",
        "cp866", "cp932", "dec8", "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "geostd8",
        "greek", "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1", "latin2", "latin5",
        "latin7", "macce", "macroman", "sjis", "swe7", "tis620", "ucs2", "ujis", "utf16",
        "utf16le", "utf32", "utf8mb3",
    ] {
        compare(&format!("x.cs_{charset}"), &[(0, 1)]);
    }
    assert_eq!(n_pairs, 13 + 4 + 39);
}

/// The new images of a table's rows.
fn values_of(log: &[u8], table: &str) -> Vec<Vec<String>> {
    struct Values(String, Vec<Vec<String>>);
    impl ChangeHandler for Values {
        fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
            if change.table.path.join(".") == self.0 {
                let after = change.after.unwrap_or_default();
                self.1.push(after.iter().map(|value| format!("{value:?}")).collect());
            }
            Ok(())
        }
        fn progress(&mut self, _: Progress) {}
        fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
            Err(row.error)
        }
    }
    let mut decoder = decoder(start_of(log));
    decoder.json_form = JsonForm::Server;
    let mut values = Values(table.to_owned(), Vec::new());
    let decoded = decoder.decode(&batch(&events(log)), &Bump::new(), &mut values);
    decoded.map_err(chain).unwrap();
    values.1
}

#[test]
fn partial_updates_of_documents_are_applied() {
    let rows = values_of(MYSQL_FEATURES, "x.p");
    let documents: Vec<_> = rows.iter().skip(2).map(|row| row[1].replace('\\', "")).collect();
    assert_eq!(
        documents[..7],
        [
            r#"Text("{"a": [1, {"x": "new"}, 3], "b": {"c": "long enough to be worth it, is it not, surely so"}, "zz": 1}")"#,
            r#"Text("{"a": [1, {"x": "new"}, 3], "b": {}, "zz": 1}")"#,
            r#"Text("{"a": [1, {"x": "new"}, 3], "b": {}, "zz": 12345.5}")"#,
            r#"Text("{"a": ["first", 1, {"x": "new"}, 3], "b": {}, "zz": 12345.5}")"#,
            r#"Text("{"a": ["first", 1, {"x": "new"}, 3], "b": {}, "zz": 12345.5, "new": "x"}")"#,
            r#"Text("{"k"q": 2, "päd": "short"}")"#,
            r#"Text("{"päd": "short"}")"#,
        ]
    );
}

#[test]
fn dates_that_are_no_days_do_not_stop_the_stream() {
    check(
        MYSQL_FEATURES,
        "x.d",
        &[
            "c Int(1) NoSuchDate NoSuchDate NoSuchDate Time(-500000)",
            "c Int(2) NoSuchDate Timestamp(-62135596799999000) TimestampTz(1000000) Time(3020399000000)",
            "c Int(40) Null Null Null Null",
            "t",
        ],
    );
}

#[test]
fn what_an_image_leaves_out_is_no_null() {
    let rows = rows_of(MYSQL_FEATURES, "x.m");
    let of_first_ids = &rows[..9];
    assert_eq!(
        of_first_ids,
        [
            // binlog_row_image=MINIMAL
            r#"c Int(1) Text("a") Bytes([98, 98]) Text("tt") Int(1)"#,
            "c Int(2) Null Null Null Int(2)",
            "c Int(3) Unavailable Unavailable Unavailable Int(3)",
            r#"u Int(1) Text("c") Unavailable Unavailable Unavailable key Int(1) Absent Absent Absent Absent"#,
            "u Int(4) Unavailable Unavailable Unavailable Unavailable key Int(1) Absent Absent Absent Absent",
            "d key Int(2) Absent Absent Absent Absent",
            // binlog_row_image=NOBLOB
            r#"u Int(3) Text("d") Unavailable Unavailable Int(3) before Int(3) Null Unavailable Unavailable Int(3)"#,
            r#"u Int(3) Text("d") Bytes([110, 101, 119]) Unavailable Int(3) before Int(3) Text("d") Unavailable Unavailable Int(3)"#,
            r#"d before Int(3) Text("d") Unavailable Unavailable Int(3)"#,
        ]
    );
}

/// The names of the transaction and the numbers within it, of all changes of one table.
fn ids_of(keeper: &Keeper, table: &str) -> Vec<(String, u64)> {
    let ids = keeper.tables.iter().zip(&keeper.ids);
    ids.filter(|(of, _)| *of == table).map(|(_, id)| id.clone()).collect()
}

#[test]
fn a_change_has_the_same_id_whatever_is_filtered_beside_it() {
    for log in [MYSQL, MYSQL_FEATURES, MARIADB, MARIADB_FEATURES] {
        let all = keep(&mut decoder(start_of(log)), &events(log)).map_err(chain).unwrap();
        let names: std::collections::BTreeSet<&String> = all.tables.iter().collect();
        assert!(names.len() > 1, "tables to filter");
        for name in names {
            let mut alone = decoder(start_of(log));
            alone.filter = TableFilter::new(vec![name.clone()], vec![]).unwrap();
            let alone = keep(&mut alone, &events(log)).map_err(chain).unwrap();
            assert_eq!(ids_of(&alone, name), ids_of(&all, name), "{name}");
            assert_eq!(alone.rows.len(), ids_of(&all, name).len());
        }
    }
}

#[test]
fn a_gap_that_the_server_declares_is_a_stop_and_no_progress() {
    let mut decoder = decoder(mysql_start());
    let groups = groups(MYSQL_FEATURES);
    let before = keep(&mut decoder, &groups[..2].concat()).map_err(chain).unwrap();
    assert!(!before.progress.is_empty());
    // `INCIDENT_LOST_EVENTS`, and what the server says of it.
    let mut incident = vec![0, 0, 0, 0, kind::INCIDENT, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    incident.extend(b"\x01\x00\x04lost");
    let length = u32::try_from(incident.len()).unwrap().to_le_bytes();
    incident[9..13].copy_from_slice(&length);
    let mut kept = Keeper::default();
    let raw = batch(&[incident]);
    let error = decoder.decode(&raw, &Bump::new(), &mut kept).unwrap_err();
    assert!(chain(error).contains("events were lost there (lost)"));
    assert!(kept.progress.is_empty() && kept.rows.is_empty());
}

#[test]
fn without_gtids_a_rotation_leads_to_a_later_file() {
    let rotated = |start: Position, name: &str| {
        let mut rotation = vec![0, 0, 0, 0, 4, 1, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        rotation.extend(4_u64.to_le_bytes());
        rotation.extend(name.as_bytes());
        rotation[9] = u8::try_from(rotation.len()).unwrap();
        keep(&mut decoder(start), &[rotation]).map_err(chain)
    };
    assert_eq!(rotated(file_start(), "binlog.000002").unwrap().progress.len(), 1);
    for name in ["binlog.000000", "changelog.000002", "binlog"] {
        let error = rotated(file_start(), name).err().unwrap();
        assert!(error.contains("a rotation to a file that does not come after it"), "{error}");
    }
    assert!(rotated(mysql_start(), "changelog.000002").is_ok(), "GTIDs are in any file");
}

#[test]
fn rows_leave_when_their_transaction_is_committed() {
    // Saved points, XA prepared before and decided after another transaction, XA of one phase, XA
    // rolled back, compressed transactions: in the order of the commits.
    let of = |log, table| {
        let rows = rows_of(log, table).into_iter();
        rows.filter(|row| {
            row.starts_with("c Int(1")
                || row.starts_with("c Int(2")
                || row.starts_with("c Int(3")
                || row.starts_with("c Int(4")
                || row.starts_with("c Int(5")
        })
        .map(|row| row.split([' ', '(', ')']).nth(2).unwrap_or_default().to_owned())
        .collect::<Vec<_>>()
        .join(" ")
    };
    assert_eq!(of(MYSQL_FEATURES, "x.m"), "1 2 3 10 11 12 14 30 20 21 31 40 41");
    assert_eq!(of(MARIADB_FEATURES, "x.m"), "1 2 30 20 31 40 41 50 52");
}

/// What a server sends to a reader that goes on from `position`.
fn sent_from(position: &Position, log: &[u8]) -> Vec<Vec<u8>> {
    use crate::sources::mysql::binlog::gtid::{self, MariadbGtidEvent};
    let is_sent = |event: &[u8], offset: u64| match (position, event[4]) {
        (Position::Mysql(MysqlPosition { gtids: Some(gtids), .. }), kind) => {
            let body = &event[19..];
            let parsed =
                if kind == 42 { gtid::parse_tagged(body) } else { gtid::parse(body, false) };
            let (source, number) = parsed.unwrap().gtid.unwrap();
            !gtids.contains(&source, number)
        }
        (Position::Mysql(position), _) => offset >= position.read_from().offset,
        (Position::Mariadb(position), _) => {
            let server_id = u32::from_le_bytes(event[5..9].try_into().unwrap());
            let parsed = MariadbGtidEvent::parse(&event[19..], server_id).unwrap();
            !position.read_from().contains(&parsed.gtid)
        }
        (Position::Postgres(_) | Position::Mongodb(_), _) => unreachable!(),
    };
    let mut sent = Vec::new();
    let mut offset = 4;
    for event in events(log) {
        offset += (event.len() + CHECKSUM_BYTES) as u64;
        sent.push((event, offset));
    }
    let mut wanted = false;
    sent.retain(|(event, end)| {
        if matches!(event[4], 33 | 42 | 162) {
            wanted = is_sent(event, end - (event.len() + CHECKSUM_BYTES) as u64);
        }
        wanted
    });
    let first = match position {
        Position::Mysql(position) if position.gtids.is_none() => position.read_from().offset,
        _ => 4,
    };
    // A connection begins with a rotation that is in no file.
    let mut rotation = vec![0, 0, 0, 0, 4, 1, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 0x20, 0];
    rotation.extend(first.to_le_bytes());
    rotation.extend(b"binlog.000001");
    std::iter::once(rotation).chain(sent.into_iter().map(|(event, _)| event)).collect()
}

/// What was sent, up to so many transactions.
fn first_of(sent: &[Vec<u8>], n_groups: usize) -> &[Vec<u8>] {
    let begins = |event: &Vec<u8>| matches!(event[4], 33 | 42 | 162);
    let at = sent.iter().enumerate().filter(|(_, event)| begins(event)).nth(n_groups);
    &sent[..at.map_or(sent.len(), |(at, _)| at)]
}

/// Stops after every transaction and goes on from the last position, stops again and goes on:
/// nothing is lost, nothing comes twice, and ids stay the same, whatever is prepared meanwhile.
fn resumes(start: &Position, log: &[u8]) {
    let whole = keep(&mut decoder(start.clone()), &sent_from(start, log)).map_err(chain).unwrap();
    assert!(whole.rows.len() > 20);
    let groups = groups(log);
    for n in 0..=groups.len() {
        let first = keep(&mut decoder(start.clone()), &groups[..n].concat());
        let mut first = first.map_err(chain).unwrap();
        let position = first.progress.pop().unwrap_or_else(|| start.clone());
        for m in [0, 2] {
            let sent = sent_from(&position, log);
            let second = keep(&mut decoder(position.clone()), first_of(&sent, m));
            let mut second = second.map_err(chain).unwrap();
            let again = second.progress.pop().unwrap_or_else(|| position.clone());
            assert!(position.may_advance_to(&again), "{position:?} {again:?}");
            let third = keep(&mut decoder(again.clone()), &sent_from(&again, log));
            let third = third.map_err(chain).unwrap();
            let rows = [first.rows.clone(), second.rows, third.rows].concat();
            let ids = [first.ids.clone(), second.ids, third.ids].concat();
            assert!(rows == whole.rows, "after {n} and {m} groups, from {position:?}, {again:?}");
            let metadata = [first.metadata.clone(), second.metadata, third.metadata].concat();
            if !matches!(start, Position::Mysql(MysqlPosition { gtids: None, .. })) {
                assert_eq!(ids, whole.ids, "after {n} and {m} groups");
                assert_eq!(metadata, whole.metadata, "after {n} and {m} groups");
            }
            let end = third.progress.last().unwrap_or(&again);
            assert_eq!(end.compare(whole.progress.last().unwrap()), Some(Ordering::Equal));
        }
    }
}

/// A snapshot at every place of the log, whose stream is read from a few places before it: what was
/// prepared between the two and is decided behind comes, and nothing else of it.
fn begins(start: &Position, log: &[u8]) {
    let whole = keep(&mut decoder(start.clone()), &sent_from(start, log)).map_err(chain).unwrap();
    let groups = groups(log);
    let after = |n: usize| {
        let mut kept = keep(&mut decoder(start.clone()), &groups[..n].concat()).unwrap();
        (kept.rows.len(), kept.progress.pop().unwrap_or_else(|| start.clone()))
    };
    let mut n_kept = 0;
    for n in 0..=groups.len() {
        let (n_rows, at) = after(n);
        let at = as_the_server_says(at);
        for k in n.saturating_sub(4)..=n {
            let (_, earlier) = after(k);
            if as_the_server_says(earlier.clone()) != earlier {
                // Something is prepared there, and waited for.
                continue;
            }
            let from = places::reading_from(at.clone(), &earlier);
            let kept = keep(&mut decoder(from.clone()), &sent_from(&from, log));
            let kept = kept.map_err(chain).unwrap();
            assert!(kept.rows == whole.rows[n_rows..], "at {n} from {k}: {from:?}");
            n_kept += kept.rows.len();
        }
    }
    assert!(n_kept > 0);
}

/// A server counts what is prepared as executed.
fn as_the_server_says(position: Position) -> Position {
    match position {
        Position::Mysql(at) => {
            let gtids = at.gtids.map(|mut gtids| {
                gtids.union(&at.again);
                gtids
            });
            Position::Mysql(MysqlPosition {
                begun: at.begun,
                ..MysqlPosition::new(at.server_uuid, gtids, at.file)
            })
        }
        Position::Mariadb(at) => Position::Mariadb(MariadbPosition { restart: None, ..at }),
        Position::Postgres(_) | Position::Mongodb(_) => unreachable!(),
    }
}

#[test]
fn what_is_prepared_at_a_snapshots_place_comes_when_it_is_decided() {
    begins(&mysql_start(), MYSQL_FEATURES);
    begins(&mariadb_start(), MARIADB_FEATURES);
    begins(&file_start(), MYSQL_FEATURES);
}

#[test]
fn the_stream_goes_on_from_every_position_by_gtid() {
    resumes(&mysql_start(), MYSQL_FEATURES);
}

#[test]
fn the_stream_goes_on_from_every_position_by_domain() {
    resumes(&mariadb_start(), MARIADB_FEATURES);
}

#[test]
fn the_stream_goes_on_from_every_position_by_file() {
    resumes(&file_start(), MYSQL_FEATURES);
}

/// The first transaction's place, as if it were the log's beginning.
fn file_start() -> Position {
    let first = events(MYSQL_FEATURES).into_iter().take_while(|event| !matches!(event[4], 33 | 42));
    let offset = 4 + first.map(|event| (event.len() + CHECKSUM_BYTES) as u64).sum::<u64>();
    let file = file("binlog.000001", offset);
    Position::Mysql(MysqlPosition::new("u".to_owned(), None, file))
}

/// Begins and ends, and the rows between, of the group whose GTID ends like this.
fn metadata_of(log: &[u8], number: &str) -> Vec<String> {
    let keeper = keep(&mut decoder(start_of(log)), &events(log)).map_err(chain).unwrap();
    let its = keeper.metadata.into_iter().filter(|line| line.ends_with(number));
    its.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn a_transaction_begins_and_ends_where_debezium_sees_it() {
    for log in [MYSQL, MYSQL_FEATURES, MARIADB, MARIADB_FEATURES] {
        let keeper = keep(&mut decoder(start_of(log)), &events(log)).map_err(chain).unwrap();
        let is_mariadb = matches!(start_of(log), Position::Mariadb(_));
        let (mut open, mut n, mut n_ends) = (String::new(), 0, 0);
        for line in &keeper.metadata {
            match line.split_once(' ').unwrap() {
                ("Begin", name) => (open, n) = (name.to_owned(), 0),
                ("End", name) => {
                    assert_eq!(name, open);
                    (open, n_ends) = (String::new(), n_ends + 1);
                }
                ("a", _) => assert!(!is_mariadb, "MariaDB names every group"),
                (number, name) => {
                    n += 1;
                    assert_eq!(number, n.to_string());
                    // Rows of XA come with the group that decides it.
                    assert!(is_mariadb || name.strip_prefix("of ") == Some(&open), "{line}");
                }
            }
        }
        assert!(n_ends > 10, "{n_ends}");
    }
    // A DDL: nothing of MySQL's, a begin of MariaDB's.
    assert_eq!(metadata_of(MYSQL, ":1"), [""; 0]);
    assert_eq!(metadata_of(MARIADB, "0-2-1"), ["Begin"]);
}

#[test]
fn without_gtids_a_transaction_is_called_by_the_place_of_its_begin() {
    let start = file_start();
    let mut log = sent_from(&start, MYSQL_FEATURES);
    for event in log.iter_mut().filter(|event| matches!(event[4], 33 | 42)) {
        event[4] = kind::ANONYMOUS_GTID;
    }
    let keeper = keep(&mut decoder(start), &log).map_err(chain).unwrap();
    let first = &keeper.metadata[0];
    assert!(first.starts_with("Begin file=binlog.000001,pos="), "{first}");
    let (row, end) = (first.replace("Begin", "1 of"), first.replace("Begin", "End"));
    assert!(keeper.metadata.contains(&row) && keeper.metadata.contains(&end), "{row}");
}
