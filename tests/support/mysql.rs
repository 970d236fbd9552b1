//! Real MySQL and MariaDB servers, started from a copy of a data folder that was made once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, Value};

use super::postgres::{statements, tail};
use super::process::{Process, Spec};
use super::{cached, eventually, free_port, new_folder, seconds, unique};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mysql,
    Mariadb,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Mysql, Self::Mariadb];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Mysql => "mysqld",
            Self::Mariadb => "mariadbd",
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Mysql => &["--mysqlx=OFF", "--gtid-mode=ON", "--enforce-gtid-consistency=ON"],
            Self::Mariadb => &[
                "--gtid-strict-mode=ON",
                "--ssl-ca=ca.pem",
                "--ssl-cert=server-cert.pem",
                "--ssl-key=server-key.pem",
                "--plugin-load-add=auth_ed25519",
            ],
        }
    }
}

pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    folder: PathBuf,
    options: Vec<String>,
    process: Mutex<Option<Process>>,
}

impl Server {
    pub(crate) fn shared(kind: Kind) -> &'static Self {
        static MYSQL: OnceLock<Server> = OnceLock::new();
        static MARIADB: OnceLock<Server> = OnceLock::new();
        let shared = match kind {
            Kind::Mysql => &MYSQL,
            Kind::Mariadb => &MARIADB,
        };
        shared.get_or_init(|| Self::start(kind, &[]))
    }

    /// Row-based, with full metadata and GTIDs; options as on the command line, and the last one
    /// counts.
    pub(crate) fn start(kind: Kind, options: &[&str]) -> Self {
        let home = cached(kind.name());
        let template = home.join("template");
        assert!(template.is_dir(), "no {}: run scripts/servers fetch", template.display());
        let folder = new_folder(kind.name());
        let status =
            Command::new("cp").arg("-a").arg(&template).arg(folder.join("data")).status().unwrap();
        assert!(status.success(), "copy {}", template.display());
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { kind, port: 0, folder, options, process: Mutex::new(None) };
        // Between asking for a free port and listening on it lies a second, and other servers.
        for _ in 0..5 {
            server.port = free_port();
            if server.try_resume(&[]) {
                return server;
            }
        }
        panic!("{} did not start: {}", kind.program(), tail(&server.log()));
    }

    /// Starts the server again after [`Self::stop`].
    pub(crate) fn resume(&self) {
        self.resume_with(&[]);
    }

    /// ... with further options for this time.
    pub(crate) fn resume_with(&self, more: &[&str]) {
        let program = self.kind.program();
        assert!(self.try_resume(more), "{program} did not start: {}", tail(&self.log()));
    }

    fn try_resume(&self, more: &[&str]) -> bool {
        let root = cached(self.kind.name()).join("root/usr");
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        let data = self.data();
        let mut args = vec![
            "--no-defaults".to_owned(),
            format!("--user={}", user.trim()),
            format!("--datadir={}", data.display()),
            format!("--basedir={}", root.display()),
            format!("--lc-messages-dir={}", root.join("share/mysql").display()),
            format!("--plugin-dir={}", root.join("lib/mysql/plugin").display()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--port={}", self.port),
            format!("--socket={}", self.socket().display()),
            format!("--pid-file={}", data.join("pid").display()),
            format!("--log-bin={}", data.join("binlog").display()),
        ];
        let base = [
            "--secure-file-priv=",
            "--server-id=1",
            "--binlog-format=ROW",
            "--binlog-row-metadata=FULL",
            "--max-connections=300",
            // Crashes here are of processes, never of the machine: 2 hands the log to the machine at
            // each commit, 0 would lose what the binlog already has.
            "--sync-binlog=0",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=64M",
        ];
        let all = base.iter().chain(self.kind.options()).chain(more);
        args.extend(all.map(|&option| option.to_owned()));
        args.extend(self.options.iter().cloned());
        let log = self.log();
        let spec = Spec {
            program: &cached(self.kind.name()).join("bin").join(self.kind.program()),
            args,
            env: vec![],
            unprivileged: false,
            death_signal: "KILL",
            stdout: log.clone(),
            stderr: log.clone(),
        };
        let process = Process::start(&spec);
        let up = eventually(seconds(90), || match process.ended() {
            Some(_) => Some(false),
            None => self.try_session().map(|_| true),
        });
        *self.process.lock().unwrap() = Some(process);
        up == Some(true)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// `TERM` is an orderly shutdown, `KILL` a crash with recovery at the next start.
    pub(crate) fn stop(&self, signal: &str) {
        let process = self.process.lock().unwrap().take().expect("the server runs");
        process.signal(signal);
        assert!(process.wait(seconds(60)).is_some(), "{} did not stop", self.kind.program());
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("sock")
    }

    /// A program beside the server's: `mysqlbinlog`, `mysqldump`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        cached(self.kind.name()).join("bin").join(name)
    }

    fn try_session(&self) -> Option<Session> {
        Self::try_session_at(&self.socket())
    }

    /// For threads that outlive every restart of the server.
    pub(crate) fn try_session_at(socket: &Path) -> Option<Session> {
        let options = OptsBuilder::new().socket(Some(socket.display().to_string()));
        let conn = Conn::new(options.user(Some("root")).prefer_socket(true)).ok()?;
        Some(Session { conn: Mutex::new(conn) })
    }

    /// As root, who may do everything, without a database.
    pub(crate) fn session(&self) -> Session {
        self.try_session().expect("the server takes a connection")
    }

    pub(crate) fn run(&self, sql: &str) {
        self.session().run(sql);
    }

    /// The first column of the first row.
    pub(crate) fn value(&self, sql: &str) -> Option<String> {
        self.session().value(sql)
    }

    /// A new empty database with a name of its own.
    pub(crate) fn database(&self, name: &str) -> String {
        let name = unique(name);
        self.run(&format!("create database `{name}`"));
        name
    }
}

pub(crate) struct Session {
    conn: Mutex<Conn>,
}

pub(crate) type Row = Vec<Option<String>>;

impl Session {
    pub(crate) fn try_rows(&self, sql: &str) -> Result<Vec<Row>, mysql::Error> {
        let mut conn = self.conn.lock().unwrap();
        let rows: Vec<mysql::Row> = conn.query(sql)?;
        let text = |value: Value| match value {
            Value::NULL => None,
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            other => panic!("{other:?} in the text protocol"),
        };
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect())
    }

    pub(crate) fn try_run(&self, sql: &str) -> Result<(), mysql::Error> {
        self.try_rows(sql).map(drop)
    }

    pub(crate) fn run(&self, sql: &str) {
        self.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub(crate) fn rows(&self, sql: &str) -> Vec<Row> {
        self.try_rows(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The first column of the first row.
    pub(crate) fn value(&self, sql: &str) -> Option<String> {
        self.rows(sql).into_iter().next().and_then(|row| row.into_iter().next()).flatten()
    }

    /// Each statement by itself, as the servers' own clients run a script.
    pub(crate) fn script(&self, sql: &str) {
        for statement in statements(sql) {
            self.run(&statement);
        }
    }
}
