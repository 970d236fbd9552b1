use std::collections::BTreeMap;

use super::*;
use crate::disposition::{Diagnose as _, Disposition};
use crate::offsets::position::{Lsn, Position, PostgresPosition};
use crate::offsets::{SnapshotState, SourceIdentity};

fn checkpoint(counter: u64) -> Checkpoint {
    Checkpoint {
        pipeline: "shop".to_owned(),
        identity: SourceIdentity::Postgres {
            system_id: "7".to_owned(),
            database_oid: 16384,
            database: "shop".to_owned(),
            slot: "shop".to_owned(),
        },
        snapshot: SnapshotState::Complete,
        position: Position::Postgres(PostgresPosition {
            system_id: "7".to_owned(),
            timeline: 1,
            lsn: Lsn(100 + counter),
        }),
        schemas: crate::schema::history::SchemaHistory::default(),
        partitions: BTreeMap::from([("shop.public.orders".to_owned(), 3)]),
        counter,
        written_by: "0.1.0".to_owned(),
    }
}

#[tokio::test]
async fn what_was_saved_last_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileOffsetStore::open(folder.path(), "shop").unwrap();
    assert_eq!(store.load().await.unwrap(), None);
    for counter in 1..=5 {
        store.save(&checkpoint(counter)).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Some(checkpoint(counter)));
    }
    store.reset().await.unwrap();
    assert_eq!(store.load().await.unwrap(), None);
}

#[tokio::test]
async fn a_write_torn_at_any_byte_leaves_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileOffsetStore::open(folder.path(), "shop").unwrap();
    store.save(&checkpoint(1)).await.unwrap();
    store.save(&checkpoint(2)).await.unwrap();
    let whole = std::fs::read(store.0.slot_path(3)).unwrap();
    let next = frame(&Written { checkpoint: &checkpoint(3), schemas: &None });
    for cut in 0..next.len() {
        // The new bytes up to the cut over the old content, as an interrupted write leaves them.
        let mut torn = next[..cut].to_vec();
        torn.extend_from_slice(whole.get(cut..).unwrap_or_default());
        std::fs::write(store.0.slot_path(3), &torn).unwrap();
        let loaded = store.load().await.unwrap().unwrap();
        let expected = if torn == next { 3 } else { 2 };
        assert!(loaded == checkpoint(expected), "cut at {cut}");
    }
}

#[tokio::test]
async fn when_every_copy_is_damaged_it_is_said_and_not_taken_for_new() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileOffsetStore::open(folder.path(), "shop").unwrap();
    store.save(&checkpoint(1)).await.unwrap();
    for junk in [&b""[..], b"TW", b"TWOF\x01\0\0\0\xff\xff\xff\xff\0\0\0\0{}", &[0u8; 64]] {
        std::fs::write(store.0.slot_path(1), junk).unwrap();
        let error = store.load().await.unwrap_err();
        assert!(matches!(error, OffsetError::Torn { .. }), "{error}");
    }
}

#[tokio::test]
async fn offsets_of_another_pipeline_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileOffsetStore::open(folder.path(), "shop").unwrap();
    store.save(&checkpoint(1)).await.unwrap();
    std::fs::copy(store.0.slot_path(1), folder.path().join("other.offsets.b")).unwrap();
    let error = FileOffsetStore::open(folder.path(), "other").unwrap().load().await.unwrap_err();
    assert!(matches!(error, OffsetError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileOffsetStore::open(folder.path(), "shop").unwrap();
    let mut bytes = frame(&Written { checkpoint: &checkpoint(1), schemas: &None });
    bytes[4] = 2;
    std::fs::write(store.0.slot_path(1), &bytes).unwrap();
    let error = store.load().await.unwrap_err();
    assert!(matches!(error, OffsetError::Newer { found: 2, supported: 1, .. }), "{error}");
}

/// A save that was given up holds the lock until it ends: that is waited for.
#[test]
fn the_lock_of_this_very_process_is_a_matter_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = FileOffsetStore::open(folder.path(), "shop").unwrap();
    let Err(error) = FileOffsetStore::open(folder.path(), "shop") else {
        panic!("the lock is held");
    };
    assert!(matches!(error, OffsetError::Busy { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Reconnect);
    drop(first);
    FileOffsetStore::open(folder.path(), "shop").unwrap();
}

#[test]
fn a_second_process_meets_the_lock_and_learns_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = FileOffsetStore::open(folder.path(), "shop").unwrap();
    std::fs::write(folder.path().join("shop.lock"), "process 1 (boot x)").unwrap();
    let Err(OffsetError::Locked { holder, .. }) = FileOffsetStore::open(folder.path(), "shop")
    else {
        panic!("the lock is held");
    };
    assert_eq!(holder, "process 1 (boot x)");
    drop(first);
    FileOffsetStore::open(folder.path(), "shop").unwrap();
}

fn with_schemas(counter: u64, text: &str) -> Checkpoint {
    let mut checkpoint = checkpoint(counter);
    checkpoint.schemas.set("t", text);
    checkpoint
}

/// The files of histories that are there.
fn histories(store: &FileOffsetStore) -> usize {
    store.0.all_schemas().len()
}

#[tokio::test]
async fn a_schema_history_is_kept_beside_the_slots_that_name_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileOffsetStore::open(folder.path(), "shop").unwrap();
    let first = with_schemas(1, "one");
    let mut second = first.clone();
    second.counter = 2;
    store.save(&first).await.unwrap();
    store.save(&second).await.unwrap();
    assert_eq!((store.load().await.unwrap(), histories(&store)), (Some(second.clone()), 1));
    // Each slot keeps its own, so that a torn write falls back on both.
    let third = with_schemas(3, "two");
    store.save(&third).await.unwrap();
    assert_eq!((store.load().await.unwrap(), histories(&store)), (Some(third), 2));
    std::fs::write(store.0.slot_path(3), b"TWOF").unwrap();
    assert_eq!(store.load().await.unwrap(), Some(second));
    for counter in 3..7 {
        store.save(&with_schemas(counter, &format!("{counter}"))).await.unwrap();
    }
    assert_eq!(histories(&store), 2);
    store.reset().await.unwrap();
    assert_eq!(histories(&store), 0);
}

/// The histories of `shop` were once all that begins with `shop.schemas.`, which is also where the
/// files of a pipeline of that name begin.
#[tokio::test]
async fn the_files_of_a_pipeline_with_a_similar_name_stay() {
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &str, counter| {
        let pipeline = name.to_owned();
        Checkpoint { pipeline, ..with_schemas(counter, &format!("{name} {counter}")) }
    };
    let names = ["shop.schemas", "shop.schemas.0123456789abcdef", "shop.schemas.schemas"];
    let mut others = Vec::new();
    for name in names {
        let mut other = FileOffsetStore::open(folder.path(), name).unwrap();
        other.save(&named(name, 1)).await.unwrap();
        others.push(other);
    }
    let mut store = FileOffsetStore::open(folder.path(), "shop").unwrap();
    for counter in 1..=4 {
        store.save(&with_schemas(counter, &format!("{counter}"))).await.unwrap();
    }
    assert_eq!(histories(&store), 2);
    store.reset().await.unwrap();
    assert_eq!(histories(&store), 0);
    for (name, mut other) in names.into_iter().zip(others) {
        assert_eq!(other.load().await.unwrap(), Some(named(name, 1)));
        assert!(FileOffsetStore::open(folder.path(), name).is_err(), "the lock stands: {name}");
    }
}

/// What a crash between the two files leaves, and what a disk may do.
#[tokio::test]
async fn a_slot_without_its_history_counts_as_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileOffsetStore::open(folder.path(), "shop").unwrap();
    store.save(&with_schemas(1, "one")).await.unwrap();
    store.save(&with_schemas(2, "two")).await.unwrap();
    let Slot::Valid(newest) = store.0.read_slot(2).unwrap() else { panic!("it was saved") };
    let path = store.0.schemas_path(&newest.schemas.unwrap());
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[1..]).unwrap();
    assert_eq!(store.load().await.unwrap(), Some(with_schemas(1, "one")));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(store.load().await.unwrap(), Some(with_schemas(1, "one")));
    let Slot::Valid(other) = store.0.read_slot(1).unwrap() else { panic!("it was saved") };
    std::fs::remove_file(store.0.schemas_path(&other.schemas.unwrap())).unwrap();
    assert!(matches!(store.load().await, Err(OffsetError::Torn { .. })));
}

/// A history was once deleted because the slot that names it could not be read at that moment: by
/// then the other slot was the older one, and its history the only one left.
#[tokio::test]
async fn what_cannot_be_read_right_now_is_not_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileOffsetStore::open(folder.path(), "shop").unwrap();
    store.save(&with_schemas(1, "one")).await.unwrap();
    store.save(&with_schemas(2, "two")).await.unwrap();
    let Slot::Valid(newest) = store.0.read_slot(2).unwrap() else { panic!("it was saved") };
    // What cannot be read: a folder has the file's name.
    let history = store.0.schemas_path(&newest.schemas.unwrap());
    let aside = folder.path().join("aside");
    std::fs::rename(&history, &aside).unwrap();
    std::fs::create_dir(&history).unwrap();
    let error = store.load().await.unwrap_err();
    assert!(matches!(error, OffsetError::Io { .. }), "older and said to be the newest: {error}");
    store.0.remove_old_schemas();
    std::fs::remove_dir(&history).unwrap();
    std::fs::rename(&aside, &history).unwrap();
    assert_eq!(store.load().await.unwrap(), Some(with_schemas(2, "two")));
    // The same with a slot.
    let slot = store.0.slot_path(2);
    std::fs::rename(&slot, &aside).unwrap();
    std::fs::create_dir(&slot).unwrap();
    store.0.remove_old_schemas();
    assert_eq!(histories(&store), 2);
    std::fs::remove_dir(&slot).unwrap();
    std::fs::rename(&aside, &slot).unwrap();
    assert_eq!(store.load().await.unwrap(), Some(with_schemas(2, "two")));
}
