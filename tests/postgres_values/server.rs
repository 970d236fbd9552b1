//! A throw-away server on a socket in a temporary folder.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::StreamExt as _;
use tailwater::sources::{RawBatch, Stage};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

pub(crate) struct Server {
    folder: TempDir,
    programs: PathBuf,
}

fn programs() -> PathBuf {
    let named = std::env::var_os("TAILWATER_POSTGRES_BIN").map(PathBuf::from);
    let debian = (13..=18).rev().map(|v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named
        .into_iter()
        .chain(debian)
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").exists());
    found.expect("PostgreSQL's programs are installed; set TAILWATER_POSTGRES_BIN to their folder")
}

/// PostgreSQL refuses to run as root.
fn command(program: &Path) -> Command {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    if id.stdout.trim_ascii() == b"0" {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("tailwater-values-").tempdir().unwrap();
        // The server's user is another one.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let server = Self { folder, programs: programs() };
        run(command(&server.programs.join("initdb")).arg("-D").arg(server.data()).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]));
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c wal_level=logical -c fsync=off",
            server.folder.path().display()
        );
        run(command(&server.programs.join("pg_ctl"))
            .args(["-w", "-D"])
            .arg(server.data())
            .arg("-l")
            .arg(server.folder.path().join("log"))
            .args(["-o", &options, "start"]));
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A session with the settings that every connection of ours makes, in an odd time zone.
    pub(crate) async fn connect(&self, time_zone: &str) -> Client {
        let config = format!("host={} user=postgres dbname=postgres", self.folder.path().display());
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
        tokio::task::spawn_local(async move { connection.await.unwrap() });
        let settings = format!(
            "set datestyle = 'ISO'; set intervalstyle = 'postgres'; set bytea_output = 'hex';
             set extra_float_digits = 1; set timezone = '{time_zone}'"
        );
        client.batch_execute(&settings).await.unwrap();
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run(command(&self.programs.join("pg_ctl"))
            .args(["-m", "immediate", "-D"])
            .arg(self.data())
            .arg("stop"));
    }
}

pub(crate) fn batch(stage: Stage, payloads: &[Vec<u8>]) -> RawBatch {
    let mut messages = Vec::new();
    let mut data = Vec::new();
    for payload in payloads {
        let start = u32::try_from(data.len()).unwrap();
        data.extend_from_slice(payload);
        messages.push(start..u32::try_from(data.len()).unwrap());
    }
    let read_at = std::time::Instant::now();
    RawBatch { stage, data: data.into(), messages, read_at, budget: None }
}

/// Everything that the slot has, in frames as a walsender sends them.
pub(crate) async fn changes(client: &Client, slot: &str, publication: &str) -> RawBatch {
    let query = format!(
        "select lsn::text, data from pg_logical_slot_get_binary_changes('{slot}', null, null,
         'proto_version', '1', 'publication_names', '{publication}', 'messages', 'true')"
    );
    let rows = client.query(&query, &[]).await.unwrap();
    let payloads: Vec<_> = rows
        .iter()
        .map(|row| {
            let lsn: tailwater::offsets::position::Lsn = row.get::<_, &str>(0).parse().unwrap();
            let mut frame = vec![b'w'];
            frame.extend(lsn.0.to_be_bytes());
            frame.extend(lsn.0.to_be_bytes());
            frame.extend(0_i64.to_be_bytes());
            frame.extend_from_slice(row.get(1));
            frame
        })
        .collect();
    batch(Stage::Stream, &payloads)
}

/// The payloads of a COPY.
pub(crate) async fn copied(client: &Client, statement: &str) -> Vec<Vec<u8>> {
    let stream = client.copy_out(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    let payloads: Vec<_> = stream.collect().await;
    payloads.into_iter().map(|payload| payload.unwrap().to_vec()).collect()
}
