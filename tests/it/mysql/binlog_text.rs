//! Rows as `mysqlbinlog -v --base64-output=decode-rows` prints them.

use std::collections::HashMap;
use std::process::Command;

use crate::support::mysql::Server;

/// Printed values, `@1` first.
pub(super) type Image = Vec<Vec<u8>>;

#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) op: &'static str,
    pub(super) table: String,
    pub(super) old: Option<Image>,
    pub(super) new: Option<Image>,
}

/// Rows of one database in the order in which they were committed: those of an XA transaction
/// stand where it was prepared, and count from where it was committed.
pub(super) fn rows(server: &Server, database: &str) -> Vec<Row> {
    let mut files: Vec<_> = std::fs::read_dir(server.data())
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_stem().is_some_and(|stem| stem == "binlog"))
        .filter(|path| {
            path.extension().is_some_and(|number| number != "index" && number != "state")
        })
        .collect();
    files.sort();
    let output = Command::new(server.program("mysqlbinlog"))
        .args(["--no-defaults", "-v", "--base64-output=decode-rows"])
        .args(&files)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut reader = Reader::default();
    for line in output.stdout.split(|byte| *byte == b'\n') {
        reader.line(line);
    }
    let quoted = format!("`{database}`.");
    let mut rows = reader.rows;
    rows.retain(|row| row.table.starts_with(&quoted));
    rows
}

#[derive(Default)]
struct Reader {
    rows: Vec<Row>,
    /// Prepared, by their names.
    prepared: HashMap<String, Vec<Row>>,
    /// The one whose rows come now.
    xa: Option<String>,
}

impl Reader {
    fn line(&mut self, line: &[u8]) {
        if let Some(row) = line.strip_prefix(b"### ") {
            self.row(row);
        } else if line.starts_with(b"XA ") {
            let text = String::from_utf8_lossy(line);
            let mut words = text.trim_end_matches("/*!*/;").split(' ');
            let verb = words.nth(1).unwrap();
            let name = words.next().unwrap().to_owned();
            // One of one phase is not prepared, and committed in its own group.
            if verb != "START" && self.xa.as_ref() == Some(&name) && verb != "END" {
                self.xa = None;
            }
            match verb {
                "START" => self.xa = Some(name),
                "COMMIT" => self.rows.extend(self.prepared.remove(&name).unwrap_or_default()),
                "ROLLBACK" => drop(self.prepared.remove(&name)),
                _ => {}
            }
        }
    }

    fn row(&mut self, line: &[u8]) {
        let rows = match &self.xa {
            Some(name) => self.prepared.entry(name.clone()).or_default(),
            None => &mut self.rows,
        };
        if let Some(value) = line.strip_prefix(b"  @") {
            let start = value.iter().position(|byte| *byte == b'=').unwrap() + 1;
            let row = rows.last_mut().unwrap();
            let image = row.new.as_mut().or(row.old.as_mut()).unwrap();
            image.push(value[start..].to_vec());
            return;
        }
        let text = String::from_utf8_lossy(line);
        match text.as_ref() {
            "SET" => rows.last_mut().unwrap().new = Some(Vec::new()),
            "WHERE" => rows.last_mut().unwrap().old = Some(Vec::new()),
            _ => {
                let (op, table) = text.rsplit_once(' ').unwrap();
                let op = match op {
                    "INSERT INTO" => "c",
                    "UPDATE" => "u",
                    "DELETE FROM" => "d",
                    other => panic!("{other}"),
                };
                rows.push(Row { op, table: table.to_owned(), ..Row::default() });
            }
        }
    }
}
