//! The folder of the offsets is damaged, another's, in use or full.

use std::path::Path;
use std::process::Command;

use super::{database, mended};
use crate::support::kafka::Kafka;
use crate::support::postgres::Postgres;
use crate::support::seconds;
use crate::support::tailwater::{Setup, exit};

fn setup(name: &str) -> Setup {
    Setup::kafka(&database(Postgres::shared(), name), Kafka::shared())
}

/// Every file of the folder that is not the lock.
fn overwrite(folder: &Path, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    let mut n_files = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().extension().is_some_and(|e| e == "lock") {
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        std::fs::write(entry.path(), change(bytes)).unwrap();
        n_files += 1;
    }
    assert!(n_files > 0, "there were offsets");
}

#[test]
fn torn_offsets_are_never_read_as_none() {
    let setup = setup("torn");
    setup.catch_up();
    let before = Kafka::shared().read(&setup.prefix).len();
    overwrite(&setup.offsets(), |bytes| bytes[..bytes.len() / 2].to_vec());
    setup.fails(exit::OFFSETS, &["damaged"]);
    overwrite(&setup.offsets(), |_| Vec::new());
    setup.fails(exit::OFFSETS, &["damaged"]);
    assert_eq!(Kafka::shared().read(&setup.prefix).len(), before, "no second snapshot was sent");
}

#[test]
fn one_torn_copy_is_survived() {
    let setup = setup("half_torn");
    setup.catch_up();
    let mut files: Vec<_> =
        std::fs::read_dir(setup.offsets()).unwrap().flatten().map(|e| e.path()).collect();
    files.retain(|p| p.extension().is_none_or(|e| e != "lock"));
    files.sort_by_key(|p| std::fs::metadata(p).unwrap().modified().unwrap());
    std::fs::write(files.last().unwrap(), b"TW").unwrap();
    mended(&setup, Kafka::shared(), 3);
}

#[test]
fn foreign_offsets_are_refused() {
    let (one, mut other) = (setup("mine"), setup("theirs"));
    one.catch_up();
    // The other pipeline's folder gets our file under its own name, as a copy by hand would.
    std::fs::create_dir_all(other.offsets()).unwrap();
    for entry in std::fs::read_dir(one.offsets()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().replace(&one.prefix, &other.prefix);
        std::fs::copy(entry.path(), other.offsets().join(name)).unwrap();
    }
    other.fails(exit::OFFSETS, &[&one.prefix, &other.prefix]);
    let empty = other.folder.join("empty");
    other.set("offsets.file.path", empty.display().to_string());
    mended(&other, Kafka::shared(), 3);
}

#[test]
fn offsets_in_use_are_left_alone() {
    let mut setup = setup("twice");
    let first = setup.start();
    first.ready();
    // A second process on the same machine would have another port.
    setup.set("admin.listen", format!("127.0.0.1:{}", crate::support::free_port()));
    setup.fails(exit::OFFSETS, &["held by", &first.process.pid().to_string()]);
    let reset = setup.command("offsets reset", &["--yes"]).wait(seconds(20));
    reset.expect(exit::OFFSETS, &["held by"]);
    first.stop().expect(0, &[]);
    mended(&setup, Kafka::shared(), 3);
}

/// Needs the right to mount a small file system, which a container may not have.
#[test]
fn a_full_disk_under_the_offsets_loses_nothing() {
    let mut setup = setup("full");
    let mount = setup.folder.join("small");
    std::fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&mount)
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        println!(
            "SKIPPED bad_input::offsets::a_full_disk_under_the_offsets_loses_nothing: no right to mount a tmpfs"
        );
        return;
    }
    let unmount = Unmount(mount.clone());
    setup.set("offsets.file.path", mount.join("offsets").display().to_string());
    setup.set("delivery.retry_budget", "2s");
    setup.catch_up();
    // Without its older copy, the next save needs room that is not there.
    let mut copies: Vec<_> =
        std::fs::read_dir(mount.join("offsets")).unwrap().flatten().map(|e| e.path()).collect();
    copies.retain(|p| p.extension().is_none_or(|e| e != "lock"));
    copies.sort_by_key(|p| std::fs::metadata(p).unwrap().modified().unwrap());
    let filler = mount.join("filler");
    drop(std::fs::write(&filler, vec![0; 1 << 20]));
    std::fs::remove_file(&copies[0]).unwrap();
    drop(std::fs::write(mount.join("filler too"), vec![0; 1 << 20]));
    let database = crate::support::postgres::Database {
        port: Postgres::shared().port,
        name: setup.prefix.clone(),
    };
    database.run("insert into t values (4, 'd')");
    setup.fails(exit::OFFSETS, &["free space"]);
    std::fs::remove_file(&filler).unwrap();
    mended(&setup, Kafka::shared(), 4);
    drop(unmount);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
