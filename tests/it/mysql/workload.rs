//! A seeded random workload for MySQL and MariaDB, after the one for PostgreSQL: several tables,
//! every kind of column, key changes, rollbacks, savepoints, tiny and big transactions, XA, two
//! sessions interleaved, compressed transactions, DDL in between, a copy that takes a table's place.
//!
//! Rows carry the generation of their table's shape (`gen`), because a column that is added,
//! renamed or dropped changes old rows without an event: only a row written since is expected to
//! show exactly the present columns.
//!
//! Known gaps: tables without any key, since a topic without keys cannot be folded; engines
//! without transactions.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::kinds::{BIGINT, DECIMAL, INT, Kind as Of, TEXT, of_column, of_flavor, of_index};
use super::literals::random;
use crate::support::mysql::{Kind, Server, Session};
use crate::types::random_text;

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Columns that say which row it is.
    pub(super) key: &'static [&'static str],
    pub(super) columns: Vec<String>,
    /// Of the present shape.
    pub(super) generation: u32,
}

pub(super) struct Workload {
    rng: StdRng,
    flavor: Kind,
    wanted: fn(Of) -> bool,
    pub(super) tables: Vec<Table>,
    next: u32,
    sessions: [Session; 2],
    second: Second,
    /// The XA transaction of the second session: names are of the whole server.
    xid: String,
    n_xids: u32,
    database: String,
    pub(super) n_statements: u64,
}

/// The transaction of the second session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Second {
    None,
    Plain,
    Xa,
    Prepared,
}

/// Keys of the two sessions never meet, so that neither waits for the other.
const KEYS: u32 = 40;

impl Workload {
    pub(super) fn new(seed: u64, server: &Server, database: &str) -> Self {
        let all = of_flavor(server.kind).map(|index| format!("c{index}"));
        let table = |name, key, columns| Table { name, key, columns, generation: 0 };
        let tables = vec![
            table("wide", &["id"], all.collect()),
            table("pair", &["b", "a"], vec![format!("c{TEXT}"), format!("c{DECIMAL}")]),
            table("large", &["id"], vec!["small".to_owned(), format!("c{}", TEXT + 4)]),
            table("indexed", &["k"], vec![format!("c{TEXT}")]),
        ];
        let sessions = open(server, database);
        if server.kind == Kind::Mysql && seed % 4 == 1 {
            sessions[1].run("set session binlog_transaction_compression = on");
        }
        if server.kind == Kind::Mariadb {
            let on = if seed % 4 == 1 { "on" } else { "off" };
            server.run(&format!("set global log_bin_compress = {on}"));
        }
        let rng = StdRng::seed_from_u64(seed);
        let flavor = server.kind;
        let second = Second::None;
        Self {
            rng,
            flavor,
            wanted: |_| true,
            tables,
            next: 1,
            sessions,
            second,
            xid: String::new(),
            n_xids: 0,
            database: database.to_owned(),
            n_statements: 0,
        }
    }

    /// After a restart of the server; no transaction was open.
    pub(super) fn reconnect(&mut self, server: &Server, database: &str) {
        self.sessions = open(server, database);
    }

    /// Before [`Self::create`]: leaves out columns, now and for good.
    pub(super) fn only_columns(&mut self, wanted: fn(Of) -> bool) {
        self.wanted = wanted;
        for table in &mut self.tables {
            table.columns.retain(|name| wanted(of_column(name)));
        }
    }

    pub(super) fn create(&self) {
        let keys = [
            "id int primary key",
            "a int, b varchar(20) character set latin1, primary key (b, a)",
            "id int primary key",
            "id int, k int not null, unique key (k)",
        ];
        for (table, key) in self.tables.iter().zip(keys) {
            let columns = table.columns.iter().map(|name| match name.as_str() {
                "c31" if table.name == "large" => ", c31 longtext".to_owned(),
                name => format!(", {name} {}", of_column(name).sql_type()),
            });
            let (first, rest) = key.split_once(", primary").unwrap_or((key, ""));
            let (first, rest) = match first.split_once(", unique") {
                Some((first, index)) => (first, format!(", unique{index}")),
                None if rest.is_empty() => (first, String::new()),
                None => (first, format!(", primary{rest}")),
            };
            let columns: String = columns.collect();
            self.sessions[0].run(&format!(
                "create table {} ({first}, gen int not null{columns}{rest}) \
                 character set utf8mb4 row_format=dynamic",
                table.name
            ));
        }
    }

    /// Runs so many transactions of the first session, the second in between.
    pub(super) fn run(&mut self, n_transactions: u32) {
        self.run_shaped(n_transactions, true);
    }

    /// The same for a snapshot that is being taken: without DDL, which would make it begin again.
    pub(super) fn run_rows(&mut self, n_transactions: u32) {
        self.run_shaped(n_transactions, false);
    }

    fn run_shaped(&mut self, n_transactions: u32, with_ddl: bool) {
        for _ in 0..n_transactions {
            let shape = self.rng.random_range(0..100);
            if shape < 6 && with_ddl {
                self.finish_second();
                self.ddl();
            } else if shape < 10 {
                self.big();
            } else {
                self.transaction();
            }
        }
        self.finish_second();
    }

    fn transaction(&mut self) {
        let n = self.rng.random_range(1..6);
        if n == 1 && self.rng.random_bool(0.5) {
            let sql = self.statement(0);
            return self.execute(0, &sql);
        }
        self.execute(0, "begin");
        for _ in 0..n {
            let sql = self.statement(0);
            self.execute(0, &sql);
            self.second();
            if self.rng.random_bool(0.2) {
                self.savepoint();
            }
        }
        let end = if self.rng.random_bool(0.2) { "rollback" } else { "commit" };
        self.execute(0, end);
    }

    fn savepoint(&mut self) {
        self.execute(0, "savepoint s");
        for _ in 0..2 {
            let sql = self.statement(0);
            self.execute(0, &sql);
        }
        let undo = self.rng.random_bool(0.6);
        self.execute(0, if undo { "rollback to s" } else { "release savepoint s" });
    }

    /// One step of the second session: its transactions lie across those of the first.
    fn second(&mut self) {
        if self.second == Second::Prepared {
            if self.rng.random_bool(0.3) {
                self.finish_second();
            }
            return;
        }
        if self.second == Second::None {
            let xa = self.rng.random_bool(0.3);
            self.second = if xa { Second::Xa } else { Second::Plain };
            self.n_xids += 1;
            self.xid = format!("'x{}','{}',7", self.n_xids, self.database);
            let start = format!("xa start {}", self.xid);
            self.execute(1, if xa { &start } else { "begin" });
        }
        let sql = self.statement(1);
        self.execute(1, &sql);
        if self.rng.random_bool(0.3) {
            if self.second == Second::Xa && self.rng.random_bool(0.8) {
                self.xa("end");
                self.xa("prepare");
                self.second = Second::Prepared;
            } else {
                self.finish_second();
            }
        }
    }

    fn finish_second(&mut self) {
        let keep = self.rng.random_bool(0.7);
        match self.second {
            Second::None => {}
            Second::Plain => self.execute(1, if keep { "commit" } else { "rollback" }),
            Second::Xa => {
                self.xa("end");
                if keep {
                    self.execute(1, &format!("xa commit {} one phase", self.xid));
                } else {
                    self.xa("rollback");
                }
            }
            Second::Prepared => self.xa(if keep { "commit" } else { "rollback" }),
        }
        self.second = Second::None;
    }

    fn xa(&mut self, what: &str) {
        self.execute(1, &format!("xa {what} {}", self.xid));
    }

    fn execute(&mut self, session: usize, sql: &str) {
        self.n_statements += 1;
        self.sessions[session].run(sql);
    }

    /// Many rows at once, kept or not.
    fn big(&mut self) {
        // The deletion may look at every row.
        self.finish_second();
        let table = &self.tables[1];
        let n = self.rng.random_range(200..2000);
        let start = self.rng.random_range(1..1000) * 1_000_000;
        let rows: Vec<String> =
            (start..start + n).map(|i| format!("({i},'big',{})", table.generation)).collect();
        let insert = format!("insert ignore into pair (a, b, gen) values {}", rows.join(","));
        let end = if self.rng.random_bool(0.7) { "commit" } else { "rollback" };
        for sql in ["begin", &insert, "delete from pair where b = 'big' and a % 3 = 0", end] {
            self.execute(0, sql);
        }
    }

    fn statement(&mut self, session: u32) -> String {
        let index = self.rng.random_range(0..self.tables.len());
        let table = self.tables[index].clone();
        let (id, other) = (self.id(session), self.id(session));
        let place = match table.name {
            "pair" => format!("a = {id} and b = 'b{}'", id % 3),
            "indexed" => format!("k = {}", id * 7),
            _ => format!("id = {id}"),
        };
        let generation = table.generation;
        match self.rng.random_range(0..10) {
            0..4 => self.insert(&table, id),
            4..7 => self.update(&table, &place),
            7 => {
                let set = match table.name {
                    "pair" => format!("a = {other}"),
                    "indexed" => format!("id = {other}, k = {}", other * 7),
                    _ => format!("id = {other}"),
                };
                format!("update ignore {} set {set}, gen = {generation} where {place}", table.name)
            }
            8 if table.name == "large" => {
                format!("update large set small = {other}, gen = {generation} where {place}")
            }
            _ => format!("delete from {} where {place}", table.name),
        }
    }

    fn id(&mut self, session: u32) -> u32 {
        session * 1000 + self.rng.random_range(1..=KEYS)
    }

    fn literal(&mut self, table: &Table, name: &str) -> String {
        if table.name == "large" && name == "c31" {
            let letter = char::from(self.rng.random_range(b'a'..=b'w'));
            let n = self.rng.random_range(1..20_000);
            return format!("repeat('{letter}{}', {n})", random_text(&mut self.rng, 4));
        }
        random(of_column(name), &mut self.rng)
    }

    fn insert(&mut self, table: &Table, id: u32) -> String {
        let key = match table.name {
            "pair" => ("a, b", format!("{id}, 'b{}'", id % 3)),
            "indexed" => ("id, k", format!("{id}, {}", id * 7)),
            _ => ("id", id.to_string()),
        };
        let mut names = format!("{}, gen", key.0);
        let mut values = format!("{}, {}", key.1, table.generation);
        for name in &table.columns {
            names += &format!(", {name}");
            values += &format!(", {}", self.literal(table, name));
        }
        format!("insert ignore into {} ({names}) values ({values})", table.name)
    }

    fn update(&mut self, table: &Table, place: &str) -> String {
        let mut set = format!("gen = {}", table.generation);
        for name in &table.columns {
            if self.rng.random_bool(0.5) {
                set += &format!(", {name} = {}", self.literal(table, name));
            }
        }
        format!("update {} set {set} where {place}", table.name)
    }

    fn ddl(&mut self) {
        let index = self.rng.random_range(0..self.tables.len());
        let generation = self.next;
        self.next += 1;
        let table = &mut self.tables[index];
        let extra = table.columns.iter().rposition(|name| name.starts_with('x'));
        let name = table.name;
        table.generation = generation;
        let all = of_flavor(self.flavor).filter(|index| (self.wanted)(of_index(*index)));
        let all: Vec<usize> = all.collect();
        let sql = match (self.rng.random_range(0..8), extra) {
            (0, Some(i)) => format!("alter table {name} drop column {}", table.columns.remove(i)),
            (1, Some(i)) => {
                let kind = table.columns[i].rsplit('_').next().unwrap();
                let added = format!("x{generation}_{kind}");
                let old = std::mem::replace(&mut table.columns[i], added.clone());
                format!("alter table {name} rename column {old} to {added}")
            }
            (2, Some(i)) if table.columns[i].ends_with(&format!("_{INT}")) => {
                let added = format!("x{generation}_{BIGINT}");
                let old = std::mem::replace(&mut table.columns[i], added.clone());
                format!("alter table {name} change column {old} {added} bigint")
            }
            (3, _) => format!("truncate table {name}"),
            (4, _) => return self.replace(name),
            (5, _) => {
                let added = format!("x{generation}_{INT}");
                table.columns.push(added.clone());
                format!(
                    "alter table {name} add column {added} int not null default {generation}, algorithm=instant"
                )
            }
            (shape, _) => {
                let kind = all[self.rng.random_range(0..all.len())];
                let added = format!("x{generation}_{kind}");
                // Where the rows have it is not where the newest columns are.
                let place = if shape == 6 { " after gen" } else { "" };
                table.columns.push(added.clone());
                format!(
                    "alter table {name} add column {added} {}{place}",
                    of_index(kind).sql_type()
                )
            }
        };
        self.execute(0, &sql);
        if let Some((head, _)) = sql.split_once(" int not null") {
            // Nulls stay out of the random rows by making the column nullable again, which is one
            // more change of shape.
            let sql = head.replace("add column", "modify column");
            self.execute(0, &format!("{sql} int null"));
        }
    }

    /// What online schema changes do: a copy takes the place of the table, and its name.
    fn replace(&mut self, name: &str) {
        self.execute(0, &format!("create table {name}_new like {name}"));
        self.execute(0, &format!("insert into {name}_new select * from {name}"));
        self.execute(0, &format!("rename table {name} to {name}_old, {name}_new to {name}"));
        self.execute(0, &format!("drop table {name}_old"));
    }
}

fn open(server: &Server, database: &str) -> [Session; 2] {
    [(); 2].map(|()| {
        let session = server.session();
        session.script(&format!(
            "use {database}; set names utf8mb4; set time_zone = '+00:00';
             set sql_mode = 'NO_BACKSLASH_ESCAPES'; set innodb_lock_wait_timeout = 10;
             set lock_wait_timeout = 10;
             set session transaction isolation level read committed"
        ));
        session
    })
}
