//! `tailwater offsets show|set|forget|reset`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::ConfigFile;
use super::report::Report;
use crate::app::{self, Access};
use crate::config::{self, Config};
use crate::exit;
use crate::offsets::position::{Lsn, Position, PostgresPosition};
use crate::offsets::{Checkpoint, OffsetError, OffsetStore};
use crate::schema::history::SchemaHistory;
use crate::sources::mongodb::structured::forget_collection;
use crate::sources::mysql::schemas::forget_table;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the checkpoint as JSON; also while the pipeline runs
    Show(ConfigFile),
    /// Move the checkpoint; refused while the pipeline runs
    Set {
        #[command(flatten)]
        file: ConfigFile,
        /// Where the stream is to start: everything that committed at or before it counts as done
        #[arg(long, value_name = "X/Y")]
        lsn: Lsn,
        /// Do it; without this only what would happen is said
        #[arg(long)]
        yes: bool,
    },
    /// Forget what one table looked like: of MySQL and MariaDB the catalogue is asked for it when
    /// its next rows come, of a collection of MongoDB the schema is inferred anew; refused while the
    /// pipeline runs
    Forget {
        #[command(flatten)]
        file: ConfigFile,
        /// As it is called on the server
        #[arg(long, value_name = "DATABASE.TABLE")]
        table: String,
        /// Do it; without this only what would happen is said
        #[arg(long)]
        yes: bool,
    },
    /// Forget the checkpoint, so that the next start takes a new snapshot; refused while the
    /// pipeline runs
    Reset {
        #[command(flatten)]
        file: ConfigFile,
        /// Do it; without this only what would happen is said
        #[arg(long)]
        yes: bool,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<exit::Code, Report> {
    let runtime = super::runtime()?;
    runtime.block_on(async {
        match arguments.action {
            Action::Show(file) => {
                let mut store = open(&config::load(&file.config)?.config, Access::Look).await?;
                show(store.as_mut()).await
            }
            Action::Set { file, lsn, yes } => {
                let mut store = open(&config::load(&file.config)?.config, Access::Change).await?;
                set(store.as_mut(), lsn, Consent::of(yes)).await
            }
            Action::Forget { file, table, yes } => {
                let mut store = open(&config::load(&file.config)?.config, Access::Change).await?;
                forget(store.as_mut(), &table, Consent::of(yes)).await
            }
            Action::Reset { file, yes } => {
                let mut store = open(&config::load(&file.config)?.config, Access::Change).await?;
                reset(store.as_mut(), Consent::of(yes)).await
            }
        }
    })
}

/// Whether the change was asked for with `--yes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consent {
    Given,
    Missing,
}

impl Consent {
    fn of(yes: bool) -> Self {
        if yes { Self::Given } else { Self::Missing }
    }
}

async fn open(config: &Config, access: Access) -> Result<Box<dyn OffsetStore>, Report> {
    app::open_offsets(config, access).await.map_err(|error| report(&error))
}

fn report(error: &OffsetError) -> Report {
    Report::of(exit::Code::Offsets, error)
}

async fn show(store: &mut dyn OffsetStore) -> Result<exit::Code, Report> {
    let checkpoint = store.load().await.map_err(|error| report(&error))?;
    let shown = json!({ "location": store.location(), "checkpoint": checkpoint });
    super::print(&format!("{shown:#}\n"))
}

async fn set(
    store: &mut dyn OffsetStore,
    lsn: Lsn,
    consent: Consent,
) -> Result<exit::Code, Report> {
    let before = store.load().await.map_err(|error| report(&error))?;
    let after = moved(before.as_ref(), lsn, &store.location())?;
    let from = before.as_ref().map(|c| c.position.to_string()).unwrap_or_default();
    let change = format!("move the checkpoint at {} from {from} to {lsn}", store.location());
    if consent == Consent::Missing {
        return Err(needs_consent(
            change,
            "rows between the two positions are lost to this pipeline if it moves forward, and come again if it moves back and the slot still has them",
        ));
    }
    store.save(&after).await.map_err(|error| report(&error))?;
    super::print(&format!("done: {change}\n"))
}

async fn forget(
    store: &mut dyn OffsetStore,
    table: &str,
    consent: Consent,
) -> Result<exit::Code, Report> {
    let before = store.load().await.map_err(|error| report(&error))?;
    let location = store.location();
    let after = without(before.as_ref(), table, &location)?;
    let change = format!("forget what {table} looked like, at {location}");
    if consent == Consent::Missing {
        let consequence = match after.position {
            Position::Mongodb(_) => {
                "its schema is then inferred from the documents that come; a registry that knows the old one may refuse it until you delete the subject there or relax its rule"
            }
            Position::Postgres(_) | Position::Mysql(_) | Position::Mariadb(_) => {
                "its rows from the checkpoint on are then read by what the catalogue says now, where the log shows no statement about it since; rows that were written before it was altered without the log get wrong names"
            }
        };
        return Err(needs_consent(change, consequence));
    }
    store.save(&after).await.map_err(|error| report(&error))?;
    super::print(&format!("done: {change}\n"))
}

/// The checkpoint without what one table looked like, and the next counter.
fn without(before: Option<&Checkpoint>, table: &str, location: &str) -> Result<Checkpoint, Report> {
    let nothing = |why: &str| {
        Report::refused(
            format!("forget what {table} looked like, at {location}: {why}"),
            "`tailwater offsets show` prints the checkpoint; names are written as on the server, `database.table`".to_owned(),
        )
    };
    let before = before.ok_or_else(|| nothing("there is no checkpoint yet"))?;
    let schemas = forgotten(before, table)?;
    Ok(Checkpoint {
        schemas: schemas.ok_or_else(|| nothing("nothing is known of it"))?,
        counter: before.counter + 1,
        written_by: format!("{} offsets forget", env!("CARGO_PKG_VERSION")),
        ..before.clone()
    })
}

fn forgotten(before: &Checkpoint, table: &str) -> Result<Option<SchemaHistory>, Report> {
    match before.position {
        Position::Mongodb(_) => Ok(forget_collection(&before.schemas, table)),
        Position::Postgres(_) | Position::Mysql(_) | Position::Mariadb(_) => {
            let schemas = forget_table(&before.schemas, table);
            schemas.map_err(|error| Report::of(exit::Code::Offsets, &error))
        }
    }
}

async fn reset(store: &mut dyn OffsetStore, consent: Consent) -> Result<exit::Code, Report> {
    let change = format!("forget the checkpoint at {}", store.location());
    if consent == Consent::Missing {
        return Err(needs_consent(
            change,
            "the next start takes a new snapshot and sends every row again; with PostgreSQL, drop the replication slot first, or the start is refused because the slot is ahead of no checkpoint",
        ));
    }
    // What a store does not know of it cannot take away. A checkpoint that cannot be read is
    // forgotten like any other: it may be the very reason.
    drop(store.load().await);
    store.reset().await.map_err(|error| report(&error))?;
    super::print(&format!("done: {change}\n"))
}

fn needs_consent(change: String, consequence: &str) -> Report {
    Report::refused(format!("{change} without --yes"), format!("{consequence}; add --yes to do it"))
}

/// The checkpoint with another position and the next counter.
fn moved(before: Option<&Checkpoint>, lsn: Lsn, location: &str) -> Result<Checkpoint, Report> {
    let Some(before) = before else {
        return Err(Report::refused(
            format!("move the checkpoint at {location}: there is none yet"),
            "start the pipeline once; `snapshot: { mode: no_data }` starts it without the rows that are already there".to_owned(),
        ));
    };
    if before.snapshot.is_unfinished() {
        return Err(Report::refused(
            format!("move the checkpoint at {location}: its snapshot is not complete"),
            "let the snapshot finish, which decides where the stream starts, or run `tailwater offsets reset`".to_owned(),
        ));
    }
    let Position::Postgres(position) = &before.position else {
        return Err(Report::refused(
            format!("move the checkpoint at {location}: it is no LSN"),
            "only PostgreSQL's checkpoints can be moved; `tailwater offsets reset` forgets this one".to_owned(),
        ));
    };
    let position = Position::Postgres(PostgresPosition { lsn, ..position.clone() });
    Ok(Checkpoint {
        position,
        counter: before.counter + 1,
        written_by: format!("{} offsets set", env!("CARGO_PKG_VERSION")),
        ..before.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::position::{MongodbPosition, ResumeToken};
    use crate::offsets::{SnapshotState, SourceIdentity, StoreFuture};

    struct Memory(Option<Checkpoint>);

    impl OffsetStore for Memory {
        fn load(&mut self) -> StoreFuture<'_, Option<Checkpoint>> {
            Box::pin(async { Ok(self.0.clone()) })
        }

        fn save<'a>(&'a mut self, checkpoint: &'a Checkpoint) -> StoreFuture<'a, ()> {
            self.0 = Some(checkpoint.clone());
            Box::pin(async { Ok(()) })
        }

        fn reset(&mut self) -> StoreFuture<'_, ()> {
            self.0 = None;
            Box::pin(async { Ok(()) })
        }

        fn location(&self) -> String {
            "memory".to_owned()
        }
    }

    fn checkpoint(snapshot: SnapshotState) -> Checkpoint {
        let system_id = "7".to_owned();
        Checkpoint {
            pipeline: "shop".to_owned(),
            identity: SourceIdentity::Postgres {
                system_id: system_id.clone(),
                database_oid: 5,
                database: "shop".to_owned(),
                slot: "shop".to_owned(),
            },
            snapshot,
            position: Position::Postgres(PostgresPosition { system_id, timeline: 1, lsn: Lsn(16) }),
            schemas: crate::schema::history::SchemaHistory::default(),
            partitions: std::collections::BTreeMap::from([("shop.public.t".to_owned(), 3)]),
            counter: 41,
            written_by: "0.1.0".to_owned(),
        }
    }

    #[tokio::test]
    async fn set_moves_the_position_and_nothing_else() {
        let before = checkpoint(SnapshotState::Complete);
        let mut store = Memory(Some(before.clone()));
        let lsn: Lsn = "1/A0".parse().unwrap();
        assert_eq!(set(&mut store, lsn, Consent::Given).await, Ok(exit::Code::Ok));
        let after = store.0.unwrap();
        let Position::Postgres(position) = &after.position else { panic!("{after:?}") };
        assert_eq!((position.lsn, position.timeline, after.counter), (lsn, 1, 42));
        assert_eq!((after.partitions, after.identity), (before.partitions, before.identity));
    }

    #[tokio::test]
    async fn one_table_is_forgotten_and_nothing_else() {
        let mut before = checkpoint(SnapshotState::Complete);
        before.schemas.set("", r#"{"format":1,"complete":true,"databases":{}}"#);
        let entry = r#"{"database":"d","table":"t","model":{"origin":"catalog","columns":[]}}"#;
        before.schemas.set("`d`.`t`", entry);
        let mut store = Memory(Some(before.clone()));
        assert!(forget(&mut store, "d.u", Consent::Given).await.is_err());
        assert!(forget(&mut store, "d.t", Consent::Missing).await.is_err());
        assert_eq!(store.0.as_ref(), Some(&before));
        assert_eq!(forget(&mut store, "d.t", Consent::Given).await, Ok(exit::Code::Ok));
        let after = store.0.unwrap();
        let texts: Vec<_> = after.schemas.iter().map(|(_, text)| text.to_owned()).collect();
        assert_eq!(texts[1], r#"{"database":"d","table":"t","model":null}"#);
        let (schemas, counter) = (before.schemas.clone(), before.counter);
        assert_eq!(after.counter, counter + 1);
        assert_eq!(
            Checkpoint { schemas, counter, written_by: before.written_by.clone(), ..after },
            before
        );
        assert!(forget(&mut Memory(None), "d.t", Consent::Given).await.is_err());
    }

    #[tokio::test]
    async fn a_collection_is_forgotten_and_the_others_are_not() {
        let mut before = checkpoint(SnapshotState::Complete);
        let (token, cluster_time) = (ResumeToken::before(1), Some(1));
        let lineage = "rs0".to_owned();
        before.position = Position::Mongodb(MongodbPosition { token, cluster_time, lineage });
        before.schemas.set("shop.a", "nothing that this program reads");
        before.schemas.set("shop.b", "1");
        let mut store = Memory(Some(before.clone()));
        let refused = forget(&mut store, "shop.a", Consent::Missing).await.unwrap_err();
        assert!(format!("{refused:?}").contains("registry"), "{refused:?}");
        assert!(forget(&mut store, "shop.c", Consent::Given).await.is_err());
        assert_eq!(store.0.as_ref(), Some(&before));
        assert_eq!(forget(&mut store, "shop.a", Consent::Given).await, Ok(exit::Code::Ok));
        let after = store.0.unwrap();
        assert_eq!(after.schemas.iter().collect::<Vec<_>>(), [("shop.b", "1")]);
        assert_eq!((after.position, after.counter), (before.position, before.counter + 1));
    }

    #[tokio::test]
    async fn nothing_changes_without_consent_or_without_a_finished_snapshot() {
        let lsn = Lsn(32);
        for (before, consent) in [
            (Some(checkpoint(SnapshotState::Complete)), Consent::Missing),
            (Some(checkpoint(SnapshotState::Running)), Consent::Given),
            (None, Consent::Given),
        ] {
            let mut store = Memory(before.clone());
            assert!(set(&mut store, lsn, consent).await.is_err());
            assert_eq!(store.0, before);
        }
        let mut store = Memory(Some(checkpoint(SnapshotState::Complete)));
        assert!(reset(&mut store, Consent::Missing).await.is_err());
        assert!(store.0.is_some());
        assert_eq!(reset(&mut store, Consent::Given).await, Ok(exit::Code::Ok));
        assert!(store.0.is_none());
    }
}
