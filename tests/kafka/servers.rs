//! A real broker and a real registry, from the cache that `scripts/servers fetch` fills. They end
//! with this process: each server's shell waits for the end of a pipe that we hold.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const KAFKA: &str = "kafka-4.3.1";
const REGISTRY: &str = "apicurio-2.6.13.Final";

pub struct Broker {
    folder: tempfile::TempDir,
    pub port: u16,
    pub sasl_port: u16,
    server: Option<Child>,
}

/// The broker that most tests share.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(Broker::start)
}

impl Broker {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, sasl_port, controller) = (free_port(), free_port(), free_port());
        let properties = folder.path().join("server.properties");
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl_port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl_port}\n\
             controller.listener.names=CONTROLLER\nlog.dirs={}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             sasl.enabled.mechanisms=PLAIN\n\
             listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_bob=\"bob-secret\";\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n",
            folder.path().join("data").display()
        );
        std::fs::write(&properties, text).unwrap();
        let mut broker = Self { folder, port, sasl_port, server: None };
        broker.tool(
            "kafka.tools.StorageTool",
            &["format", "-t", "dGFpbHdhdGVyLXRlc3QwMA", "-c", &properties.display().to_string()],
        );
        broker.resume();
        broker
    }

    /// Starts the process again, on the same ports and data.
    pub fn resume(&mut self) {
        let log = self.folder.path().join("log");
        let line = format!(
            "java -Xmx400m -cp '{}' kafka.Kafka '{}/server.properties' >>'{}' 2>&1",
            class_path(),
            self.folder.path().display(),
            log.display()
        );
        self.server = Some(until_we_end(&line));
        wait_for("Kafka", &log, self.port);
    }

    /// Ends the process without a goodbye.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.stdin.take());
            server.wait().unwrap();
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Lets user bob do `operation` on `topic`.
    pub fn allow(&self, operation: &str, topic: &str) {
        let arguments = [
            "--bootstrap-server",
            &self.address(),
            "--add",
            "--allow-principal",
            "User:bob",
            "--operation",
            operation,
            "--topic",
            topic,
        ];
        self.tool("org.apache.kafka.tools.AclCommand", &arguments);
    }

    fn tool(&self, class: &str, arguments: &[&str]) {
        let output = Command::new("java")
            .args(["-Xmx200m", "-cp", &class_path(), class])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{class}: {output:?}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Root of the registry's Confluent API.
pub fn registry() -> &'static str {
    static REGISTRY_SERVER: OnceLock<(String, Child, tempfile::TempDir)> = OnceLock::new();
    let (url, _, _) = REGISTRY_SERVER.get_or_init(|| {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let log = folder.path().join("log");
        let line = format!(
            "QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT={port} java -Xmx400m -jar '{}'/apicurio-registry-app-*-runner.jar >'{}' 2>&1",
            cache(REGISTRY).display(),
            log.display()
        );
        let server = until_we_end(&line);
        wait_for("Apicurio", &log, port);
        (format!("http://127.0.0.1:{port}/apis/ccompat/v7"), server, folder)
    });
    url
}

/// Runs a server until the shell's input ends, which it does with this process at the latest.
fn until_we_end(line: &str) -> Child {
    // SIGKILL is a crash, which is what tests want.
    let script = format!("{line} </dev/null & pid=$!; cat >/dev/null; kill -9 $pid; wait");
    Command::new("sh").arg("-c").arg(script).stdin(Stdio::piped()).spawn().unwrap()
}

fn class_path() -> String {
    format!("{}/*", cache(KAFKA).join("lib").display())
}

fn cache(what: &str) -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    let cache = std::env::var("TAILWATER_CACHE").unwrap_or(format!("{home}/.cache/tailwater"));
    let path = Path::new(&cache).join(what);
    assert!(path.is_dir(), "no {what} in {cache}: run scripts/servers fetch");
    path
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(what: &str, log: &Path, port: u16) {
    let deadline = Instant::now() + Duration::from_secs(90);
    let address = ([127, 0, 0, 1], port).into();
    while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
        let log = || std::fs::read_to_string(log).unwrap_or_default();
        assert!(Instant::now() < deadline, "{what} did not start:\n{}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
}
