//! Processes that cannot outlive the test binary.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::eventually;

type Request = (Command, Sender<std::io::Result<Child>>);

/// The kernel ties "die with your parent" to the *thread* that forked, and the thread of a test
/// ends with the test: servers that tests share must come from a thread that stays.
fn spawn(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<SyncSender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (send, receive) = sync_channel::<Request>(1);
        std::thread::spawn(move || {
            for (mut command, answer) in receive {
                answer.send(command.spawn()).expect("the caller waits");
            }
        });
        Mutex::new(send)
    });
    let (send, receive) = channel();
    spawner.lock().unwrap().send((command, send)).expect("the spawner lives");
    receive.recv().expect("the spawner answers")
}

/// What to start.
pub(crate) struct Spec<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// As the user `postgres` where we are root, because PostgreSQL refuses root.
    pub(crate) unprivileged: bool,
    /// What it gets when the test binary dies.
    pub(crate) death_signal: &'static str,
    pub(crate) stdout: PathBuf,
    pub(crate) stderr: PathBuf,
}

/// Killed when dropped.
pub(crate) struct Process {
    child: Mutex<Child>,
    pid: u32,
}

impl Process {
    pub(crate) fn start(spec: &Spec<'_>) -> Self {
        let mut command = Command::new("setpriv");
        if spec.unprivileged && is_root() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        let log = |path: &Path| {
            File::options().create(true).append(true).open(path).expect("the log can be written")
        };
        command
            .args(["--pdeathsig", spec.death_signal, "--"])
            .arg(spec.program)
            .args(&spec.args)
            .envs(spec.env.iter().cloned())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log(&spec.stdout))
            .stderr(log(&spec.stderr));
        let child = spawn(command).unwrap_or_else(|error| {
            panic!("start {}: {error}", spec.program.display());
        });
        Self { pid: child.id(), child: Mutex::new(child) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn signal(&self, name: &str) {
        // Under the lock of the child and only while it is not reaped: the id cannot be another's.
        let mut child = self.child.lock().unwrap();
        if child.try_wait().unwrap().is_none() {
            let status = Command::new("sh")
                .args(["-c", &format!("kill -{name} {}", self.pid)])
                .stderr(Stdio::null())
                .status();
            status.expect("sh runs");
        }
    }

    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    pub(crate) fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        eventually(limit, || self.ended())
    }

    /// SIGKILL, and gone when this returns.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        drop(child.kill());
        child.wait().expect("a killed child can be waited for");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The exit code, or the signal as a negative number.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
}

pub(crate) fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let uid = status.lines().find_map(|l| l.strip_prefix("Uid:")).unwrap();
        uid.split_whitespace().next() == Some("0")
    })
}

/// Runs a command to its end, as the user of PostgreSQL, and panics with its output if it fails.
pub(crate) fn run_unprivileged(program: &Path, args: &[&str]) {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    let output = command.args(args).current_dir("/").output().expect("the command starts");
    assert!(
        output.status.success(),
        "{}: {}{}",
        program.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
