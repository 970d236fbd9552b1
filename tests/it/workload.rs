//! A seeded random workload: several tables, every kind of column, key changes, rollbacks,
//! savepoints, tiny and big transactions, two sessions interleaved, DDL between and inside
//! transactions.
//!
//! Rows carry the generation of their table's shape (`gen`), because a column that is added,
//! renamed or dropped changes old rows without an event: only a row written since is expected to
//! show exactly the present columns.
//!
//! Known gap: tables without any key are not here, since a topic without keys cannot be folded.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::postgres::Session;
use crate::types::{ALL, Kind, PRELUDE, random_text};

#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Columns that say which row it is.
    pub(crate) key: &'static [&'static str],
    pub(crate) columns: Vec<(String, Kind)>,
    /// Of the present shape.
    pub(crate) generation: u32,
}

pub(crate) struct Workload {
    rng: StdRng,
    pub(crate) tables: Vec<Table>,
    /// Never given twice, rolled back or not.
    next: u32,
    sessions: [Session; 2],
    /// Whether the second session has a transaction open.
    busy: bool,
    with_ddl: bool,
    pub(crate) n_statements: u64,
}

/// Keys of the two sessions never meet, so that neither waits for the other.
const KEYS: u32 = 40;

impl Workload {
    pub(crate) fn new(seed: u64, mut open: impl FnMut() -> Session) -> Self {
        let all = ALL.iter().enumerate().map(|(i, kind)| (format!("c{i}"), *kind));
        let text = |name: &str| (name.to_owned(), Kind::Printed("text"));
        let table = |name, key, columns| Table { name, key, columns, generation: 0 };
        let tables = vec![
            table("wide", &["id"], all.collect()),
            table("pair", &["b", "a"], vec![text("note"), ("n".to_owned(), Kind::Numeric)]),
            table("large", &["id"], vec![("small".to_owned(), Kind::Int("int4")), text("big")]),
            table("indexed", &["k"], vec![text("v")]),
        ];
        let sessions = [open(), open()];
        sessions.iter().for_each(|s| s.run("set statement_timeout = '20s'"));
        let rng = StdRng::seed_from_u64(seed);
        Self { rng, tables, next: 1, sessions, busy: false, with_ddl: true, n_statements: 0 }
    }

    pub(crate) fn create(&self) {
        let session = &self.sessions[0];
        session.run(PRELUDE);
        let keys = [
            "id int primary key",
            "a int, b text",
            "id int primary key",
            "id int primary key, k int not null",
        ];
        for (table, key) in self.tables.iter().zip(keys) {
            let columns =
                table.columns.iter().map(|(name, kind)| format!(", {name} {}", kind.sql_type()));
            let columns: String = columns.collect();
            session.run(&format!("create table {} ({key}, gen int not null{columns})", table.name));
        }
        session.run(
            "alter table pair add primary key (b, a); alter table pair replica identity full;
             alter table large alter big set storage external;
             create unique index indexed_k on indexed (k);
             alter table indexed replica identity using index indexed_k",
        );
    }

    /// Runs so many transactions of the first session, the second in between.
    pub(crate) fn run(&mut self, n_transactions: u32) {
        self.run_shaped(n_transactions, true);
    }

    /// The same without DDL, which would make a snapshot begin again: rows of its first attempt
    /// that are gone in the second stay in the topic, because no event says that they went.
    pub(crate) fn run_rows(&mut self, n_transactions: u32) {
        self.run_shaped(n_transactions, false);
    }

    fn run_shaped(&mut self, n_transactions: u32, with_ddl: bool) {
        self.with_ddl = with_ddl;
        for _ in 0..n_transactions {
            let shape = self.rng.random_range(0..100);
            if shape < 4 && with_ddl {
                self.finish_second();
                self.ddl();
            } else if shape < 8 {
                self.big();
            } else {
                self.transaction();
            }
        }
        self.finish_second();
    }

    fn transaction(&mut self) {
        let before = self.tables.clone();
        let n = self.rng.random_range(1..6);
        let alone = n == 1 && self.rng.random_bool(0.5);
        if alone {
            let sql = self.statement(0);
            return self.execute(0, &sql);
        }
        // DDL inside, and only while nobody else holds a lock on the table.
        let with_ddl = self.with_ddl && self.rng.random_bool(0.05);
        if with_ddl {
            self.finish_second();
        }
        self.execute(0, "begin");
        for _ in 0..n {
            let sql = self.statement(0);
            self.execute(0, &sql);
            if with_ddl && self.rng.random_bool(0.5) {
                self.ddl();
            } else if !with_ddl {
                self.second();
            }
            if self.rng.random_bool(0.2) {
                self.savepoint(with_ddl);
            }
        }
        if self.rng.random_bool(0.2) {
            self.execute(0, "rollback");
            self.tables = before;
        } else {
            self.execute(0, "commit");
        }
    }

    fn savepoint(&mut self, with_ddl: bool) {
        let before = self.tables.clone();
        self.execute(0, "savepoint s");
        for _ in 0..2 {
            let sql = self.statement(0);
            self.execute(0, &sql);
        }
        if with_ddl {
            self.ddl();
        }
        if self.rng.random_bool(0.6) {
            self.execute(0, "rollback to s");
            self.tables = before;
        } else {
            self.execute(0, "release s");
        }
    }

    /// One step of the second session: its transactions lie across those of the first.
    fn second(&mut self) {
        if !self.busy {
            self.execute(1, "begin");
            self.busy = true;
        }
        let sql = self.statement(1);
        self.execute(1, &sql);
        if self.rng.random_bool(0.3) {
            self.finish_second();
        }
    }

    fn finish_second(&mut self) {
        if self.busy {
            let end = if self.rng.random_bool(0.8) { "commit" } else { "rollback" };
            self.execute(1, end);
            self.busy = false;
        }
    }

    fn execute(&mut self, session: usize, sql: &str) {
        self.n_statements += 1;
        self.sessions[session].run(sql);
    }

    /// Many rows at once, kept or not.
    fn big(&mut self) {
        let table = &self.tables[1];
        let n = self.rng.random_range(200..3000);
        let start = self.rng.random_range(1..1000) * 1_000_000;
        let insert = format!(
            "insert into pair (a, b, gen) select i, 'big', {} from generate_series({start}, {start} + {n}) i
             on conflict do nothing",
            table.generation
        );
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
            _ => format!("id = {id}"),
        };
        match self.rng.random_range(0..10) {
            0..4 => self.insert(&table, id),
            4..7 => self.update(&table, &place),
            7 => self.move_key(&table, &place, other),
            8 if table.name == "large" => {
                // The large value is not repeated in the log.
                format!(
                    "update large set small = {other}, gen = {} where {place}",
                    table.generation
                )
            }
            _ => format!("delete from {} where {place}", table.name),
        }
    }

    fn id(&mut self, session: u32) -> u32 {
        session * 1000 + self.rng.random_range(1..=KEYS)
    }

    fn literal(&mut self, table: &Table, name: &str, kind: Kind) -> String {
        if table.name == "large" && name == "big" {
            let letter = self.rng.random_range(b'a'..=b'z');
            return format!(
                "repeat('{}{}', 900)",
                char::from(letter),
                random_text(&mut self.rng, 4)
            );
        }
        kind.random(&mut self.rng)
    }

    fn insert(&mut self, table: &Table, id: u32) -> String {
        let key = match table.name {
            "pair" => ("a, b", format!("{id}, 'b{}'", id % 3)),
            "indexed" => ("id, k", format!("{id}, {}", id * 7)),
            _ => ("id", id.to_string()),
        };
        let mut names = format!("{}, gen", key.0);
        let mut values = format!("{}, {}", key.1, table.generation);
        for (name, kind) in &table.columns {
            names += &format!(", {name}");
            values += &format!(", {}", self.literal(table, name, *kind));
        }
        format!("insert into {} ({names}) values ({values}) on conflict do nothing", table.name)
    }

    fn update(&mut self, table: &Table, place: &str) -> String {
        let mut set = format!("gen = {}", table.generation);
        for (name, kind) in &table.columns {
            if self.rng.random_bool(0.5) {
                set += &format!(", {name} = {}", self.literal(table, name, *kind));
            }
        }
        format!("update {} set {set} where {place}", table.name)
    }

    fn move_key(&mut self, table: &Table, place: &str, to: u32) -> String {
        let (set, taken) = match table.name {
            "pair" => (format!("a = {to}"), format!("a = {to}")),
            "indexed" => {
                (format!("id = {to}, k = {}", to * 7), format!("id = {to} or k = {}", to * 7))
            }
            _ => (format!("id = {to}"), format!("id = {to}")),
        };
        let (name, generation) = (table.name, table.generation);
        format!(
            "update {name} set {set}, gen = {generation}
             where {place} and not exists (select from {name} where {taken})"
        )
    }

    fn ddl(&mut self) {
        let index = self.rng.random_range(0..self.tables.len());
        let generation = self.next;
        self.next += 1;
        let extra: Vec<usize> = self.tables[index]
            .columns
            .iter()
            .enumerate()
            .filter(|(_, (name, _))| name.starts_with('x'))
            .map(|(i, _)| i)
            .collect();
        let table = &mut self.tables[index];
        let name = table.name;
        let added = format!("x{generation}");
        let sql = match (self.rng.random_range(0..6), extra.last()) {
            (0, Some(&i)) => {
                let (old, _) = table.columns.remove(i);
                format!("alter table {name} drop column {old}")
            }
            (1, Some(&i)) => {
                let old = std::mem::replace(&mut table.columns[i].0, added.clone());
                format!("alter table {name} rename column {old} to {added}")
            }
            (2, Some(&i)) if table.columns[i].1 == Kind::Int("int4") => {
                table.columns[i].1 = Kind::Int("int8");
                format!("alter table {name} alter column {} type bigint", table.columns[i].0)
            }
            (3, _) => format!("truncate {name}"),
            (4, _) => {
                table.columns.push((added.clone(), Kind::Int("int4")));
                format!("alter table {name} add column {added} int not null default {generation}")
            }
            _ => {
                table.columns.push((added.clone(), Kind::Printed("text")));
                format!("alter table {name} add column {added} text default 'it''s'")
            }
        };
        let required = sql.contains("not null");
        table.generation = generation;
        self.execute(0, &sql);
        if required {
            // Nulls stay out of the random rows by making the column nullable again, which is one
            // more change of shape.
            self.execute(0, &format!("alter table {name} alter column {added} drop not null"));
        }
    }
}
