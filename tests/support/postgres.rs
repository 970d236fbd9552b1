//! PostgreSQL clusters of our own, and sessions on them.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::process::{Process, Spec, run_unprivileged};
use super::{eventually, free_port, new_folder, runtime, seconds, unique};

pub(crate) struct Postgres {
    pub(crate) port: u16,
    folder: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Postgres {
    /// The cluster that tests share which do not stop it; each has its own database.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// A cluster with `wal_level=logical`, the given settings on top.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let folder = new_folder("postgres");
        let data = folder.join("data");
        run_unprivileged(
            &binaries().join("initdb"),
            &["-D", text(&data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
                .into_iter()
                .chain(["--locale=C.UTF-8", "-N"])
                .collect::<Vec<_>>(),
        );
        let cluster = Self { port: free_port(), folder, process: Mutex::new(None) };
        let base = [
            ("listen_addresses", "127.0.0.1"),
            ("wal_level", "logical"),
            ("max_wal_senders", "100"),
            ("max_replication_slots", "300"),
            ("max_connections", "200"),
            ("shared_buffers", "128MB"),
            // Crashes here are of processes, never of the machine.
            ("fsync", "off"),
        ];
        let mut conf = std::fs::read_to_string(data.join("postgresql.conf")).unwrap();
        for (key, value) in base.iter().chain(settings) {
            conf += &format!("{key} = '{value}'\n");
        }
        conf += &format!("port = {}\nunix_socket_directories = '{}'\n", cluster.port, text(&data));
        std::fs::write(data.join("postgresql.conf"), conf).unwrap();
        // Everybody is trusted, except the one role that tests of passwords use.
        let access = "local all all trust\n\
            host all locked 127.0.0.1/32 scram-sha-256\n\
            host replication locked 127.0.0.1/32 scram-sha-256\n\
            host all all 127.0.0.1/32 trust\n\
            host replication all 127.0.0.1/32 trust\n";
        std::fs::write(data.join("pg_hba.conf"), access).unwrap();
        cluster.resume();
        cluster
    }

    /// Starts the server again after [`Self::stop`].
    pub(crate) fn resume(&self) {
        let log = self.folder.join("log");
        let spec = Spec {
            program: &binaries().join("postgres"),
            args: vec!["-D".into(), text(&self.data()).into()],
            env: vec![],
            unprivileged: true,
            // An immediate shutdown: unlike a kill, it leaves no shared memory behind.
            death_signal: "QUIT",
            stdout: log.clone(),
            stderr: log.clone(),
        };
        *self.process.lock().unwrap() = Some(Process::start(&spec));
        let up = eventually(seconds(60), || Session::try_open(self.port, "postgres", "postgres"));
        assert!(up.is_some(), "PostgreSQL did not start: {}", tail(&log));
    }

    /// `INT` is a fast shutdown, `QUIT` an immediate one (a crash with recovery at the next start).
    pub(crate) fn stop(&self, signal: &str) {
        let process = self.process.lock().unwrap().take().expect("the server runs");
        process.signal(signal);
        assert!(process.wait(seconds(60)).is_some(), "PostgreSQL did not stop");
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A new empty database with a name of its own.
    pub(crate) fn database(&self, name: &str) -> Database {
        self.named_database(&unique(name))
    }

    pub(crate) fn named_database(&self, name: &str) -> Database {
        Session::open(self.port, "postgres", "postgres").run(&format!("create database {name}"));
        Database { port: self.port, name: name.to_owned() }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) port: u16,
    pub(crate) name: String,
}

impl Database {
    pub(crate) fn session(&self) -> Session {
        Session::open(self.port, &self.name, "postgres")
    }

    pub(crate) fn run(&self, sql: &str) {
        self.session().run(sql);
    }

    /// Ends what still uses our slots, drops them, drops the database: idle slots hold the WAL of
    /// the whole cluster.
    pub(crate) fn drop_with_slots(&self) {
        let session = Session::open(self.port, "postgres", "postgres");
        let name = &self.name;
        let dropped = eventually(seconds(20), || {
            session.run(&format!(
                "select pg_terminate_backend(active_pid) from pg_replication_slots
                 where database = '{name}' and active"
            ));
            session
                .try_rows(&format!(
                    "select pg_drop_replication_slot(slot_name) from pg_replication_slots
                     where database = '{name}'"
                ))
                .ok()
        });
        assert!(dropped.is_some(), "the slots of {name} stay in use");
        session.run(&format!("drop database if exists {name} with (force)"));
    }
}

pub(crate) struct Session {
    client: Client,
}

pub(crate) type Row = Vec<Option<String>>;

impl Session {
    pub(crate) fn open(port: u16, database: &str, user: &str) -> Self {
        Self::try_open(port, database, user).expect("PostgreSQL takes a connection")
    }

    pub(crate) fn try_open(port: u16, database: &str, user: &str) -> Option<Self> {
        let config =
            format!("host=127.0.0.1 port={port} dbname={database} user={user} connect_timeout=5");
        let connected = runtime().block_on(tokio_postgres::connect(&config, NoTls));
        let (client, connection) = connected.ok()?;
        runtime().spawn(async move { drop(connection.await) });
        Some(Self { client })
    }

    pub(crate) fn try_run(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        runtime().block_on(self.client.batch_execute(sql))
    }

    pub(crate) fn run(&self, sql: &str) {
        self.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    pub(crate) fn try_rows(&self, sql: &str) -> Result<Vec<Row>, tokio_postgres::Error> {
        let messages = runtime().block_on(self.client.simple_query(sql))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    pub(crate) fn rows(&self, sql: &str) -> Vec<Row> {
        self.try_rows(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// The first column of the first row.
    pub(crate) fn value(&self, sql: &str) -> Option<String> {
        self.rows(sql).first().and_then(|row| row[0].clone())
    }

    /// A script as psql runs it: each statement is a message of its own, so that each is a
    /// transaction of its own unless the script says `begin`.
    pub(crate) fn script(&self, sql: &str) {
        for statement in statements(sql) {
            self.run(&statement);
        }
    }
}

/// Cuts at semicolons outside of quotes, `$$` bodies and `--` comments.
pub(crate) fn statements(sql: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quote = None;
    let mut characters = sql.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, '-') if characters.peek() == Some(&'-') => {
                characters.by_ref().find(|c| *c == '\n');
                continue;
            }
            (None, ';') => {
                found.push(String::new());
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (None | Some('$'), '$') if characters.peek() == Some(&'$') => {
                characters.next();
                quote = if quote.is_none() { Some('$') } else { None };
                found.last_mut().expect("there is one").push('$');
            }
            (Some(q), c) if q == c && c != '$' => quote = None,
            _ => {}
        }
        found.last_mut().expect("there is one").push(c);
    }
    found.retain(|s| !s.trim().is_empty());
    found
}

pub(crate) fn binaries() -> PathBuf {
    if let Some(folder) = std::env::var_os("TAILWATER_POSTGRES_BIN") {
        return folder.into();
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    let versions = versions.into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    versions.max().expect("PostgreSQL is installed: run scripts/install")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("our paths are text")
}

/// The end of a log, for messages.
pub(crate) fn tail(path: &Path) -> String {
    let text = std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned());
    let text = text.unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
