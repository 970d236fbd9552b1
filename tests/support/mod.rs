//! What the integration tests stand on: real servers, a real Tailwater process, faults in between.
//!
//! Nothing here starts a container or needs a service of the machine: `scripts/servers fetch` has
//! put Kafka, the registry, MySQL and MariaDB into the cache, PostgreSQL comes from its package. A server that is
//! missing fails the test that wants it. Every process dies with the test binary, whatever kills it.

pub(crate) mod avro;
pub(crate) mod fold;
pub(crate) mod kafka;
pub(crate) mod mongodb;
pub(crate) mod mysql;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod registry;
pub(crate) mod tailwater;
pub(crate) mod told;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

/// Drives the asynchronous clients of tests, which are synchronous themselves.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        // Another thread may have been first; the provider is the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        Runtime::new().expect("a runtime starts")
    })
}

/// A folder of this test process that every user can reach. Folders of dead ones are removed here,
/// because a static has no end at which to do it.
pub(crate) fn run_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        const PREFIX: &str = "tailwater-it-";
        for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(pid) = name.strip_prefix(PREFIX)
                && pid.parse::<u32>().is_ok()
                && !Path::new("/proc").join(pid).exists()
            {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
        let folder = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// A new folder below [`run_folder`], open to the user that PostgreSQL runs as.
pub(crate) fn new_folder(name: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = run_folder().join(unique(name));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// A name that no other test of this process has.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What `scripts/servers fetch` filled.
pub(crate) fn cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("TAILWATER_CACHE") {
        return cache.into();
    }
    let home = std::env::var_os("HOME").expect("HOME is set");
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| Path::new(&home).join(".cache"), PathBuf::from);
    base.join("tailwater")
}

/// The one folder of the cache whose name begins with `prefix`.
pub(crate) fn cached(prefix: &str) -> PathBuf {
    let found = fs::read_dir(cache()).ok().and_then(|entries| {
        let names = entries.flatten().map(|e| e.path());
        names
            .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)))
            .max()
    });
    found.unwrap_or_else(|| {
        panic!("no {prefix}* in {}: run scripts/servers fetch", cache().display())
    })
}

/// Ends the work of other threads when it is dropped: when a test fails, too.
pub(crate) struct Done<'a>(pub(crate) &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks again until there is an answer; `None` after `limit`.
pub(crate) fn eventually<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A number from the environment, or the default: how `scripts/torture` makes the same tests long.
pub(crate) fn knob(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
