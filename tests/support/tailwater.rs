//! Tailwater itself: a configuration, a process, and how it ended.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::{Value, json};

use super::kafka::Kafka;
use super::mongodb::Mongo;
use super::mysql::Server;
use super::postgres::Database;
use super::process::{Process, Spec, code};
use super::registry::Registry;
use super::{eventually, free_port, new_folder, runtime, seconds};

/// The exit codes that the README promises.
pub(crate) mod exit {
    pub(crate) const CONFIGURATION: i32 = 2;
    pub(crate) const SOURCE: i32 = 3;
    pub(crate) const SINK: i32 = 4;
    pub(crate) const OFFSETS: i32 = 5;
    pub(crate) const INCOMPLETE: i32 = 6;
    pub(crate) const KILLED: i32 = -9;
    pub(crate) const ABORTED: i32 = -6;
}

/// A configuration in the making, with a folder of its own for offsets and logs.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) config: Value,
    pub(crate) folder: PathBuf,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) prefix: String,
    admin: u16,
}

impl Setup {
    /// JSON lines to standard output, everything of the database.
    pub(crate) fn stdout(database: &Database) -> Self {
        let source = json!({ "postgres": {
            "host": "127.0.0.1", "port": database.port, "database": database.name,
            "user": "postgres", "tls": { "mode": "disable" },
            "tables": { "include": ["*.*"] },
        } });
        // The pipeline names the slot, and slots belong to the cluster.
        Self::of_source(&database.name, source)
    }

    /// JSON lines to standard output, everything of one database of the server.
    pub(crate) fn mysql(server: &Server, database: &str) -> Self {
        let source = json!({ server.kind.name(): {
            "host": server.socket(), "user": "root",
            "tables": { "include": [format!("{database}.*")] },
            // Rows are what most tests look at.
            "include_schema_changes": false,
        } });
        Self::of_source(database, source)
    }

    /// JSON lines to standard output, every collection of one database.
    pub(crate) fn mongodb(mongo: &Mongo, database: &str) -> Self {
        let source = json!({ "mongodb": {
            "uri": mongo.uri,
            "collections": { "include": [format!("{database}.*")] },
            "await_time": "200ms",
        } });
        Self::of_source(database, source)
    }

    pub(crate) fn of_source(pipeline: &str, source: Value) -> Self {
        let folder = new_folder("tailwater");
        let admin = free_port();
        let config = json!({
            "pipeline": pipeline,
            "source": source,
            "snapshot": { "mode": "initial", "connections": 2 },
            "format": { "json": { "schemas": false } },
            "sink": { "stdout": {} },
            "offsets": { "file": { "path": folder.join("offsets") } },
            "admin": { "listen": format!("127.0.0.1:{admin}") },
        });
        Self { config, folder, env: vec![], prefix: pipeline.to_owned(), admin }
    }

    pub(crate) fn kafka(database: &Database, kafka: &Kafka) -> Self {
        Self::stdout(database).into_kafka(kafka)
    }

    pub(crate) fn into_kafka(mut self, kafka: &Kafka) -> Self {
        self.set(
            "sink",
            json!({ "kafka": {
                "bootstrap_servers": [kafka.bootstrap],
                "topics": { "partitions": 3, "replication_factor": 1 },
            } }),
        );
        self
    }

    pub(crate) fn avro(database: &Database, kafka: &Kafka, registry: &Registry) -> Self {
        let mut setup = Self::kafka(database, kafka);
        setup.set("format", json!({ "avro": { "registry": { "url": registry.url() } } }));
        setup
    }

    /// Puts a value at a path of keys with dots.
    pub(crate) fn set(&mut self, path: &str, value: impl Into<Value>) -> &mut Self {
        let mut place = &mut self.config;
        for key in path.split('.') {
            place = &mut place[key];
        }
        *place = value.into();
        self
    }

    pub(crate) fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// JSON is YAML, so the configuration is written as it stands.
    pub(crate) fn file(&self) -> PathBuf {
        let path = self.folder.join("tailwater.yaml");
        std::fs::write(&path, serde_json::to_string_pretty(&self.config).unwrap()).unwrap();
        path
    }

    pub(crate) fn start(&self) -> Tailwater {
        self.command("run", &[])
    }

    pub(crate) fn start_until(&self, until: &str) -> Tailwater {
        self.command("run", &["--until", until])
    }

    /// Any subcommand with this configuration.
    pub(crate) fn command(&self, command: &str, args: &[&str]) -> Tailwater {
        let file = self.file();
        self.spawn(command, &file, args)
    }

    /// Any subcommand with a configuration that the test wrote itself.
    pub(crate) fn command_with(&self, command: &str, file: &Path) -> Tailwater {
        self.spawn(command, file, &[])
    }

    fn spawn(&self, command: &str, file: &Path, args: &[&str]) -> Tailwater {
        let mut all: Vec<String> = command.split(' ').map(str::to_owned).collect();
        all.extend(["-c".to_owned(), file.display().to_string()]);
        all.extend(args.iter().map(|a| (*a).to_owned()));
        let name = |end: &str| self.folder.join(super::unique(end));
        let (stdout, stderr) = (name("stdout"), name("stderr"));
        let process = Process::start(&Spec {
            program: Path::new(env!("CARGO_BIN_EXE_tailwater")),
            args: all,
            env: self.env.clone(),
            unprivileged: false,
            death_signal: "KILL",
            stdout: stdout.clone(),
            stderr: stderr.clone(),
        });
        Tailwater { process, stdout, stderr, admin: self.admin }
    }

    /// Runs until the log's end as seen at the start, and expects that it gets there.
    pub(crate) fn catch_up(&self) -> Ended {
        let ended = self.start_until("caught-up").wait(seconds(120));
        assert_eq!(ended.code, 0, "--until caught-up: {}", ended.stderr);
        ended
    }

    /// Runs, and expects that it ends by itself with `code`, saying each of `said`.
    pub(crate) fn fails(&self, code: i32, said: &[&str]) -> Ended {
        self.start().wait(seconds(90)).expect(code, said)
    }

    pub(crate) fn offsets(&self) -> PathBuf {
        self.folder.join("offsets")
    }
}

/// Killed when dropped.
pub(crate) struct Tailwater {
    pub(crate) process: Process,
    pub(crate) stdout: PathBuf,
    pub(crate) stderr: PathBuf,
    admin: u16,
}

impl Tailwater {
    /// Snapshot complete and streaming.
    pub(crate) fn ready(&self) {
        let ready = eventually(seconds(120), || {
            if let Some(status) = self.process.ended() {
                panic!("ended with {} before it was ready: {}", code(status), self.said());
            }
            self.admin("/readyz").filter(|(status, _)| *status == 200)
        });
        let body = self.admin("/readyz");
        assert!(ready.is_some(), "not ready within 120 s: {body:?} {}", self.said());
    }

    /// Status and body of an admin endpoint.
    pub(crate) fn admin(&self, path: &str) -> Option<(u16, String)> {
        let request = super::registry::client()
            .get(format!("http://127.0.0.1:{}{path}", self.admin))
            .timeout(Duration::from_secs(2));
        runtime().block_on(async {
            let response = request.send().await.ok()?;
            Some((response.status().as_u16(), response.text().await.ok()?))
        })
    }

    pub(crate) fn said(&self) -> String {
        read(&self.stderr)
    }

    /// Waits until the log says `text`.
    pub(crate) fn says(&self, text: &str, limit: Duration) {
        let said = eventually(limit, || {
            (self.said().contains(text) || self.process.ended().is_some()).then_some(())
        });
        assert!(
            said.is_some() && self.said().contains(text),
            "never said `{text}`: {}",
            self.said()
        );
    }

    pub(crate) fn wait(self, limit: Duration) -> Ended {
        let Some(status) = self.process.wait(limit) else {
            panic!("did not end within {limit:?}: {}", self.said());
        };
        self.ended(status)
    }

    /// SIGTERM: drains, and ends by itself.
    pub(crate) fn stop(self) -> Ended {
        self.process.signal("TERM");
        self.wait(seconds(60))
    }

    /// SIGKILL.
    pub(crate) fn kill(self) -> Ended {
        self.process.kill();
        let status = self.process.ended().expect("it was killed");
        self.ended(status)
    }

    fn ended(self, status: ExitStatus) -> Ended {
        Ended { code: code(status), stdout: read(&self.stdout), stderr: read(&self.stderr) }
    }
}

#[derive(Debug)]
pub(crate) struct Ended {
    /// Negative: the signal.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn expect(self, code: i32, said: &[&str]) -> Self {
        assert_eq!(self.code, code, "exit code; it said: {}", self.stderr);
        // JSON logs escape quotes.
        let text = self.stderr.replace("\\\"", "\"");
        for part in said {
            assert!(text.contains(part), "`{part}` is not in: {text}");
        }
        self
    }

    /// The records that the stdout sink wrote.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|l| serde_json::from_str(l).expect("a line is JSON")).collect()
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
