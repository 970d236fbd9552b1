use std::time::Instant;

use bytes::Bytes;

use super::*;
use crate::change::Progress;
use crate::sources::Stage;
use crate::sources::mysql::catalog::{ColumnFacts, DefaultText};
use crate::sources::mysql::settings::Flavor;
use crate::sources::mysql::source_block::SourceConstants;
use crate::sources::mysql::types::MysqlType;

/// Writes rows down as `table marker values`.
#[derive(Default)]
struct Keeper {
    rows: Vec<String>,
    bad: Vec<String>,
}

impl ChangeHandler for Keeper {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let Value::Text(marker) = change.source[1] else { panic!("a marker is text") };
        let values = change.after.unwrap().iter().map(|value| match value {
            Value::Int(number) => number.to_string(),
            Value::Text(text) => (*text).to_owned(),
            other => format!("{other:?}"),
        });
        let values = values.collect::<Vec<_>>().join(",");
        assert!(change.id.transaction.ends_with(&change.table.path.join(".")));
        self.rows.push(format!("{} {marker} {values}", change.table.path[1]));
        Ok(())
    }

    fn progress(&mut self, _: Progress) {}

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        self.bad.push(format!("{}: {}", row.table, row.error));
        Ok(())
    }
}

fn facts(names: &[&str]) -> SnapshotFacts {
    let column = |name: &str, declared: &str| ColumnFacts {
        name: name.to_owned(),
        data_type: MysqlType::declared(declared),
        declared: declared.to_owned(),
        nullable: true,
        default: DefaultText::None,
        charset: None,
    };
    let tables = names.iter().map(|name| TableFacts {
        database: "d".to_owned(),
        table: (*name).to_owned(),
        columns: vec![column("id", "int"), column("v", "varchar(10)")],
        key: vec![],
        transactional: true,
        estimated_rows: 0,
        estimated_bytes: 0,
    });
    let point = LogPoint { file: "binlog.000001".to_owned(), offset: 4, gtids: None };
    SnapshotFacts { tables: tables.collect(), point, read_at_us: 1 }
}

struct Run {
    rows: SnapshotRows,
    tables: Tables,
    keeper: Keeper,
}

impl Run {
    fn new(names: &[&str]) -> Self {
        let (version, topic_prefix) = ("0", "p".to_owned());
        let constants = SourceConstants { version, flavor: Flavor::Mysql, topic_prefix };
        let rows = SnapshotRows::new(facts(names), "uuid");
        Self {
            rows,
            tables: Tables::new(constants, crate::config::Tinyint1Mode::Number),
            keeper: Keeper::default(),
        }
    }

    /// Each row as a packet of the text protocol.
    fn send(&mut self, number: u32, rows: &[&[u8]]) -> Result<(), BoxError> {
        let mut data = Vec::new();
        let mut messages = Vec::new();
        for row in rows {
            let start = u32::try_from(data.len()).unwrap();
            data.extend_from_slice(row);
            messages.push(start..u32::try_from(data.len()).unwrap());
        }
        let raw = RawBatch {
            stage: Stage::Snapshot { table: number },
            data: Bytes::from(data),
            messages,
            read_at: Instant::now(),
            budget: None,
        };
        let arena = Bump::new();
        let (tables, out) = (&mut self.tables, &mut self.keeper);
        self.rows.rows(number, &raw, &mut Context { arena: &arena, tables, out })
    }

    fn end_table(&mut self, number: u32) -> Result<(), BoxError> {
        let arena = Bump::new();
        let (tables, out) = (&mut self.tables, &mut self.keeper);
        self.rows.table_end(number, &mut Context { arena: &arena, tables, out })
    }

    fn end(self) -> Result<Keeper, BoxError> {
        let Self { rows, mut tables, mut keeper } = self;
        let arena = Bump::new();
        rows.end(&mut Context { arena: &arena, tables: &mut tables, out: &mut keeper })?;
        Ok(keeper)
    }
}

#[test]
fn rows_are_marked_as_debezium_marks_them() {
    let mut run = Run::new(&["b", "a", "empty", "c"]);
    run.send(0, &[b"\x011\x01x", b"\x012\x01y"]).unwrap();
    run.send(3, &[b"\x017\x01z"]).unwrap();
    run.send(1, &[b"\x013\xFB"]).unwrap();
    run.send(0, &[b"\x019\x00"]).unwrap();
    for table in [2, 1, 0, 3] {
        run.end_table(table).unwrap();
    }
    assert_eq!(
        run.end().unwrap().rows,
        [
            "b first_in_data_collection 1,x",
            "b true 2,y",
            "a first 3,Null",
            "b last_in_data_collection 9,",
            "c last 7,z",
        ]
    );
}

#[test]
fn one_bad_value_costs_one_row() {
    let mut run = Run::new(&["t"]);
    run.send(0, &[b"\x011\x01x", b"\x01?\x01y", b"\x013\x01z"]).unwrap();
    run.end_table(0).unwrap();
    let keeper = run.end().unwrap();
    assert_eq!(keeper.rows, ["t first 1,x", "t last 3,z"]);
    assert_eq!(keeper.bad, ["d.t: convert column id of `d`.`t`"]);
}

#[test]
fn a_snapshot_that_contradicts_itself_stops() {
    let message = |error: BoxError| error.to_string();
    let mut run = Run::new(&["t"]);
    let row: &[u8] = b"\x011\x01x";
    let error = run.send(1, &[row]).unwrap_err();
    assert!(message(error).contains("a table that was not announced"));
    run.send(0, &[row, b"\x011"]).unwrap();
    let error = run.send(0, &[row]).unwrap_err();
    assert_eq!(message(error), "read a row of `d`.`t`: it has 1 columns, its query 2");
    let mut run = Run::new(&["t"]);
    run.send(0, &[b"\x011\x01x\x01y", row]).unwrap_err();
    let mut run = Run::new(&["t"]);
    run.send(0, &[b"\x011\x09x", row]).unwrap_err();
    let mut run = Run::new(&["t"]);
    run.end_table(0).unwrap();
    assert!(message(run.send(0, &[row]).unwrap_err()).contains("after the end"));
    assert!(message(run.end_table(0).unwrap_err()).contains("twice"));
    let run = Run::new(&["t"]);
    assert!(message(run.end().err().unwrap()).contains("before all of its tables"));
}
