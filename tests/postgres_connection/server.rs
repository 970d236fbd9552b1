//! A throw-away PostgreSQL server per test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tailwater::config::{
    PostgresConfig, PublicationConfig, Secret, SnapshotConfig, SnapshotMode, TableFilter,
    TlsConfig, TlsMode, UnmappedTypes,
};
use tailwater::sources::postgres::PostgresSource;
use tailwater::sources::postgres::connection::{PgConnection, Purpose};

static NEXT_PORT: AtomicU16 = AtomicU16::new(21_000);

pub(crate) struct Server {
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    _root: tempfile::TempDir,
}

fn bin(name: &str) -> PathBuf {
    let folder = std::env::var("TAILWATER_POSTGRES_BIN")
        .unwrap_or_else(|_| "/usr/lib/postgresql/15/bin".into());
    let path = Path::new(&folder).join(name);
    assert!(
        path.exists(),
        "no {}: set TAILWATER_POSTGRES_BIN to a folder with PostgreSQL's binaries",
        path.display()
    );
    path
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0")
}

/// The server refuses to run as root.
fn as_server_user(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// initdb takes a second: done once for each version on a machine, copied for each server.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let version = run(Command::new(bin("initdb")).arg("--version"));
        let version: String = version.chars().filter(char::is_ascii_digit).collect();
        let kept = std::env::temp_dir().join(format!("tailwater-template-{version}"));
        if !kept.exists() {
            let fresh = tempfile::Builder::new().prefix("tw-conn").tempdir().unwrap();
            open_to_server_user(fresh.path());
            let data = fresh.path().join("data");
            let mut initdb = as_server_user(&bin("initdb"));
            initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8"]);
            run(initdb.args(["--locale=C.UTF-8", "--no-sync"]));
            // Whole or not at all; another run that was faster made the same.
            std::fs::rename(&data, &kept).ok();
        }
        assert!(kept.exists(), "no template in {}", kept.display());
        kept
    })
}

fn open_to_server_user(folder: &Path) {
    if is_root() {
        run(Command::new("chown").arg("postgres").arg(folder));
    }
}

impl Server {
    /// Settings are lines of postgresql.conf, `hba` lines stand before `trust` for the superuser.
    pub(crate) fn start(settings: &str, hba: &str) -> Self {
        let template = template();
        let root = tempfile::Builder::new().prefix("tw-conn").tempdir().unwrap();
        open_to_server_user(root.path());
        let folder = root.path().join("data");
        run(Command::new("cp").arg("-a").arg(template).arg(&folder));
        let port = loop {
            let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
            assert!(port < 21_100, "no free port left");
            if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
                break port;
            }
        };
        let server = Self { folder, port, _root: root };
        server.append(
            "postgresql.conf",
            &format!(
                "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n\
                 fsync = off\nwal_level = logical\nshared_buffers = 16MB\n{settings}\n",
                server.folder.display()
            ),
        );
        server.write_hba(hba);
        server.pg_ctl(&["start"]);
        server
    }

    pub(crate) fn append(&self, file: &str, text: &str) {
        use std::io::Write;
        let path = self.folder.join(file);
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn write_hba(&self, hba: &str) {
        let superuser = "host all postgres 127.0.0.1/32 trust\nlocal all all trust\n";
        std::fs::write(self.folder.join("pg_hba.conf"), format!("{superuser}{hba}\n")).unwrap();
    }

    fn pg_ctl(&self, arguments: &[&str]) {
        let mut command = as_server_user(&bin("pg_ctl"));
        command.arg("-D").arg(&self.folder).arg("-l").arg(self.folder.join("log"));
        run(command.args(["-w", "-s"]).args(arguments));
    }

    pub(crate) fn restart(&self) {
        self.pg_ctl(&["-m", "fast", "stop"]);
        self.pg_ctl(&["start"]);
    }

    /// Makes it a standby of nobody, and that a primary on a new timeline.
    pub(crate) fn promote(&self) {
        self.pg_ctl(&["-m", "fast", "stop"]);
        let signal = self.folder.join("standby.signal");
        std::fs::write(&signal, "").unwrap();
        open_to_server_user(&signal);
        self.pg_ctl(&["start"]);
        self.pg_ctl(&["promote"]);
    }

    /// A file of the server's own: only it may read its key.
    pub(crate) fn install(&self, from: &Path, name: &str) {
        let to = self.folder.join(name);
        std::fs::copy(from, &to).unwrap();
        run(Command::new("chmod").arg("600").arg(&to));
        open_to_server_user(&to);
    }

    pub(crate) fn config(&self) -> PostgresConfig {
        PostgresConfig {
            host: "127.0.0.1".into(),
            port: self.port,
            database: "postgres".into(),
            user: "postgres".into(),
            password: None,
            tls: TlsConfig { mode: TlsMode::Disable, ca: None, certificate: None, key: None },
            connect_timeout: Duration::from_secs(10),
            slot: "tailwater".into(),
            publication: PublicationConfig { name: "tailwater".into(), create: true },
            tables: TableFilter::new(vec![], vec![]).unwrap(),
            unmapped_types: UnmappedTypes::Text,
            logical_messages: false,
            status_interval: Duration::from_secs(1),
            silence_limit: Duration::from_secs(20),
            message_bytes_max: 64 << 20,
        }
    }

    pub(crate) async fn sql(&self) -> PgConnection {
        PgConnection::connect(&self.config(), Purpose::Sql).await.unwrap()
    }

    /// One value.
    pub(crate) async fn ask(&self, sql: &str) -> Option<String> {
        let rows = self.sql().await.query("test", sql).await.unwrap();
        rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten()
    }

    pub(crate) async fn version(&self) -> u32 {
        self.ask("SHOW server_version_num").await.unwrap().parse().unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        // One statement at a time: some may not share a transaction.
        let mut connection = self.sql().await;
        for statement in sql.split(";\n") {
            connection.query("test", statement).await.unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = as_server_user(&bin("pg_ctl"));
        stop.arg("-D").arg(&self.folder).args(["-w", "-s", "-m", "immediate", "stop"]);
        stop.stdin(Stdio::null()).status().ok();
    }
}

pub(crate) fn with_password(
    mut config: PostgresConfig,
    user: &str,
    password: &str,
) -> PostgresConfig {
    config.user = user.into();
    config.password = Some(Secret::new(password));
    config
}

pub(crate) fn source(config: PostgresConfig, mode: SnapshotMode) -> PostgresSource {
    let snapshot = SnapshotConfig { mode, connections: 2 };
    PostgresSource::new(config, snapshot, "pipeline".into(), "prefix".into())
}
