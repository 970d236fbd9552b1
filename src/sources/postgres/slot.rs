//! The replication slot: what is known of it, and whether a run may use it.
//!
//! Deciding is pure and stands first. A slot is made only where nothing was promised yet; once a
//! checkpoint exists, a slot that is not exactly as we left it stops the pipeline, because a new
//! slot starts at the log's present end and everything between would be lost in silence.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde::Deserialize;

use super::connection::PgConnection;
use super::error::SourceError;
use super::lineage::{Switch, SystemIdentity, parse_history};
use super::sql::{Columns, quote_ident, quote_literal};
use crate::offsets::position::Lsn;

const PLUGIN: &str = "pgoutput";

/// A row of `pg_replication_slots`, by way of JSON: columns come and go with versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SlotFacts {
    pub plugin: Option<String>,
    pub slot_type: String,
    pub database: Option<String>,
    pub active: bool,
    pub active_pid: Option<i64>,
    /// `reserved`, `extended`, `unreserved`, `lost`; since 13.
    pub wal_status: Option<String>,
    /// Bytes of log that may still be written before the slot can be lost; since 13.
    pub safe_wal_size: Option<i64>,
    pub confirmed_flush_lsn: Option<Lsn>,
    /// Since 16.
    pub conflicting: Option<bool>,
    /// Since 17.
    pub invalidation_reason: Option<String>,
    /// Who holds it, from `pg_stat_activity`.
    pub holder: Option<String>,
}

/// What a run has to do about its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotPlan {
    Create,
    /// Left by a start that did not get as far as sending anything.
    DropAndCreate,
    /// Rows were sent, and the changes since then, which they need before they are read again,
    /// are lost with the slot: what was deleted meanwhile stays in the topics.
    StartOver(Loss),
    /// Left by a snapshot that did not finish: it has the changes since then, which the rows that
    /// were sent already need before they are read again.
    CatchUp,
    Resume,
}

/// Why the changes since an interrupted snapshot cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    SlotGone,
    SlotLost,
    SlotAhead,
    /// `snapshot.mode` asks for something else now.
    NotWanted,
}

impl Loss {
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::SlotGone => "the slot is gone",
            Self::SlotLost => "the server threw away log that the slot needs",
            Self::SlotAhead => "the slot was confirmed beyond the checkpoint, not by this pipeline",
            Self::NotWanted => "`snapshot.mode` is not `initial` any more",
        }
    }
}

/// What the checkpoint says of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// No checkpoint.
    Nothing,
    /// A start was about to make one; nothing was sent.
    Intended,
    /// A snapshot was begun and not finished; its rows are as of here, or later ones.
    SnapshotBegun(Lsn),
    /// Everything up to here is done.
    DoneUpTo(Lsn),
}

/// # Errors
/// Whatever makes the slot unusable, or starting impossible without a gap.
pub fn plan(
    name: &str,
    database: &str,
    found: Option<&SlotFacts>,
    promise: Promise,
) -> Result<SlotPlan, SourceError> {
    let Some(facts) = found else {
        return match promise {
            Promise::Nothing | Promise::Intended => Ok(SlotPlan::Create),
            Promise::SnapshotBegun(_) => Ok(SlotPlan::StartOver(Loss::SlotGone)),
            Promise::DoneUpTo(checkpoint) => {
                Err(SourceError::SlotMissing { slot: name.to_owned(), checkpoint })
            }
        };
    };
    check_kind(name, database, facts)?;
    // Before anything else that would need a person: a run that was killed while it made its
    // slot, or streamed from it, is gone from the server within seconds.
    if facts.active {
        return Err(SourceError::SlotActive {
            slot: name.to_owned(),
            pid: facts.active_pid.unwrap_or_default(),
            holder: facts.holder.clone().unwrap_or_else(|| "an unknown client".to_owned()),
        });
    }
    match promise {
        Promise::Nothing => Err(SourceError::SlotWithoutCheckpoint { slot: name.to_owned() }),
        // There was none when the intent was saved.
        Promise::Intended => Ok(SlotPlan::DropAndCreate),
        Promise::SnapshotBegun(position) => Ok(match check_reach(name, facts, position) {
            Ok(()) => SlotPlan::CatchUp,
            Err(SourceError::SlotAhead { .. }) => SlotPlan::StartOver(Loss::SlotAhead),
            Err(_) => SlotPlan::StartOver(Loss::SlotLost),
        }),
        Promise::DoneUpTo(checkpoint) => {
            check_reach(name, facts, checkpoint)?;
            Ok(SlotPlan::Resume)
        }
    }
}

fn check_kind(name: &str, database: &str, facts: &SlotFacts) -> Result<(), SourceError> {
    let foreign = |what, found: &str, expected: &str| {
        Err(SourceError::SlotForeign {
            slot: name.to_owned(),
            what,
            found: found.to_owned(),
            expected: expected.to_owned(),
        })
    };
    if facts.slot_type != "logical" {
        return foreign("type", &facts.slot_type, "logical");
    }
    match facts.plugin.as_deref().unwrap_or_default() {
        PLUGIN => {}
        other => return foreign("plugin", other, PLUGIN),
    }
    match facts.database.as_deref().unwrap_or_default() {
        found if found == database => Ok(()),
        other => foreign("database", other, database),
    }
}

fn check_reach(name: &str, facts: &SlotFacts, checkpoint: Lsn) -> Result<(), SourceError> {
    let lost = |reason: &str| SourceError::SlotLost {
        slot: name.to_owned(),
        checkpoint,
        reason: reason.to_owned(),
    };
    if let Some(reason) = &facts.invalidation_reason {
        return Err(lost(reason));
    }
    if facts.wal_status.as_deref() == Some("lost") {
        return Err(lost("wal_status is lost"));
    }
    if facts.conflicting == Some(true) {
        return Err(lost("conflict with recovery"));
    }
    let confirmed = facts.confirmed_flush_lsn.ok_or_else(|| lost("the slot was never finished"))?;
    // The server starts at the later of what we ask for and what was confirmed, without a word
    // (`CreateDecodingContext` in `logical.c`): it must be found out before.
    if confirmed > checkpoint {
        let slot = name.to_owned();
        return Err(SourceError::SlotAhead { slot, checkpoint, confirmed });
    }
    Ok(())
}

/// Says when the server is about to throw away log that the slot needs.
pub fn warn_of_danger(name: &str, facts: &SlotFacts) {
    if matches!(facts.wal_status.as_deref(), Some("extended" | "unreserved")) {
        tracing::warn!(
            slot = name,
            wal_status = facts.wal_status,
            bytes_left = facts.safe_wal_size,
            "the slot holds more log than max_wal_size; beyond max_slot_wal_keep_size it is lost"
        );
    }
}

/// Reads the slot's row; `None` when there is no such slot.
///
/// # Errors
/// When the server cannot be asked.
pub async fn read(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<SlotFacts>, SourceError> {
    let sql = format!(
        "SELECT (pg_catalog.to_jsonb(s) || pg_catalog.jsonb_build_object('holder', \
            (SELECT pg_catalog.format('%s (%s) from %s since %s', a.usename, a.application_name, \
                 coalesce(a.client_addr::text, 'a local socket'), a.backend_start) \
             FROM pg_catalog.pg_stat_activity a WHERE a.pid = s.active_pid)))::text \
         FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = {}",
        quote_literal(name)
    );
    let rows = connection.query("read the replication slot", &sql).await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let text = Columns::new(connection.endpoint(), row).text()?;
    let facts = serde_json::from_str(&text);
    facts.map(Some).map_err(|error| connection.protocol_error(format!("a slot's row: {error}")))
}

/// # Errors
/// When the server refuses.
pub async fn drop(connection: &mut PgConnection, name: &str) -> Result<(), SourceError> {
    let sql = format!("SELECT pg_catalog.pg_drop_replication_slot({})", quote_literal(name));
    connection.query("drop the replication slot", &sql).await.map(|_| ())
}

/// For a slot that lives only as long as its connection, beside the pipeline's own. A new name
/// each time: the one of a killed run stays until the server notices, and in a container every
/// run has the same process id.
#[must_use]
pub fn temporary_name(name: &str) -> String {
    // Each state has keys of its own, which come from the system's randomness.
    let random = RandomState::new().hash_one(name);
    // Slot names are ASCII and at most 63 bytes long (`ReplicationSlotValidateName` in `slot.c`).
    let ending = format!("_again_{random:016x}");
    let kept = name.get(..name.len().min(63 - ending.len())).unwrap_or_default();
    format!("{kept}{ending}")
}

/// How long a new slot lives, and what comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// Stays, and its snapshot can be imported while the connection does nothing else.
    Exporting,
    /// Gone with the connection; its snapshot can be imported likewise.
    TemporaryExporting,
    /// Stays; nobody wants to read rows at its beginning.
    WithoutSnapshot,
}

/// What `CREATE_REPLICATION_SLOT` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSlot {
    pub consistent_point: Lsn,
    /// Name for `SET TRANSACTION SNAPSHOT`.
    pub snapshot: Option<String>,
}

/// Creates the slot on a walsender. It waits for every transaction that is open now, however
/// long; `watcher` is another connection, which meanwhile says whom it waits for.
///
/// # Errors
/// When the server refuses, or the connection is lost.
pub async fn create(
    walsender: &mut PgConnection,
    watcher: &mut PgConnection,
    name: &str,
    creation: Creation,
) -> Result<NewSlot, SourceError> {
    let endpoint = walsender.endpoint().to_owned();
    let process_id = walsender.process_id();
    let sql = creation_command(name, creation);
    let rows = {
        let mut made =
            std::pin::pin!(walsender.query_unbounded("create the replication slot", &sql));
        loop {
            match tokio::time::timeout(PATIENCE, &mut made).await {
                Ok(rows) => break rows?,
                Err(_) => log_blockers(watcher, name, process_id).await?,
            }
        }
    };
    let row = rows.into_iter().next().unwrap_or_default();
    let mut columns = Columns::new(&endpoint, row);
    columns.text()?; // slot_name
    Ok(NewSlot { consistent_point: columns.parsed()?, snapshot: columns.optional()? })
}

/// Silence after which somebody wants to know what the slot is waiting for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The form without parentheses is understood by all versions; the newer one came with 15.
/// <https://www.postgresql.org/docs/current/protocol-replication.html>
fn creation_command(name: &str, creation: Creation) -> String {
    let name = quote_ident(name);
    match creation {
        Creation::Exporting => {
            format!("CREATE_REPLICATION_SLOT {name} LOGICAL {PLUGIN} EXPORT_SNAPSHOT")
        }
        Creation::TemporaryExporting => {
            format!("CREATE_REPLICATION_SLOT {name} TEMPORARY LOGICAL {PLUGIN} EXPORT_SNAPSHOT")
        }
        Creation::WithoutSnapshot => {
            format!("CREATE_REPLICATION_SLOT {name} LOGICAL {PLUGIN} NOEXPORT_SNAPSHOT")
        }
    }
}

async fn log_blockers(
    watcher: &mut PgConnection,
    name: &str,
    process_id: i32,
) -> Result<(), SourceError> {
    let sql = format!(
        "SELECT coalesce(pg_catalog.string_agg(pg_catalog.format('%s (%s, open for %s s)', a.pid, \
            a.usename, extract(epoch FROM pg_catalog.now() - a.xact_start)::int8), ', '), 'nobody') \
         FROM pg_catalog.pg_stat_activity a \
         WHERE a.pid = ANY (pg_catalog.pg_blocking_pids({process_id}))"
    );
    let rows = watcher.query("see what the slot waits for", &sql).await?;
    let blockers = Columns::new("", rows.into_iter().next().unwrap_or_default()).text()?;
    tracing::info!(slot = name, blockers, "creating the slot waits for open transactions");
    Ok(())
}

/// # Errors
/// When the server refuses.
pub async fn identify(walsender: &mut PgConnection) -> Result<SystemIdentity, SourceError> {
    let rows = walsender.query("identify the system", "IDENTIFY_SYSTEM").await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let mut columns = Columns::new(walsender.endpoint(), row);
    Ok(SystemIdentity {
        system_id: columns.text()?,
        timeline: columns.parsed()?,
        log_end: columns.parsed()?,
    })
}

/// Where the ancestors of a timeline ended.
///
/// # Errors
/// When the server does not have it, or it makes no sense.
pub async fn history(
    walsender: &mut PgConnection,
    timeline: u32,
) -> Result<Vec<Switch>, SourceError> {
    // The first timeline has no history file.
    if timeline <= 1 {
        return Ok(Vec::new());
    }
    let sql = format!("TIMELINE_HISTORY {timeline}");
    let rows = walsender.query("read the timeline's history", &sql).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let mut columns = Columns::new(walsender.endpoint(), row);
    columns.text()?; // filename
    let text = columns.text()?;
    parse_history(&text).ok_or_else(|| {
        walsender.protocol_error(format!("the history of timeline {timeline} makes no sense"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKPOINT: Lsn = Lsn(100);

    fn slot() -> SlotFacts {
        SlotFacts {
            plugin: Some("pgoutput".into()),
            slot_type: "logical".into(),
            database: Some("shop".into()),
            wal_status: Some("reserved".into()),
            confirmed_flush_lsn: Some(CHECKPOINT),
            ..SlotFacts::default()
        }
    }

    fn check(found: Option<SlotFacts>, promise: Promise) -> String {
        match plan("s", "shop", found.as_ref(), promise) {
            Ok(plan) => format!("{plan:?}"),
            Err(error) => format!("{error:?}").split([' ', '{']).next().unwrap().to_owned(),
        }
    }

    #[test]
    fn a_slot_is_made_only_where_nothing_was_promised() {
        let done = Promise::DoneUpTo(CHECKPOINT);
        assert_eq!(check(None, Promise::Nothing), "Create");
        assert_eq!(check(None, Promise::Intended), "Create");
        assert_eq!(check(None, done), "SlotMissing");
        assert_eq!(check(Some(slot()), Promise::Nothing), "SlotWithoutCheckpoint");
        assert_eq!(check(Some(slot()), Promise::Intended), "DropAndCreate");
        assert_eq!(check(Some(slot()), done), "Resume");
    }

    #[test]
    fn a_slot_that_failed_an_interrupted_snapshot_is_not_replaced_in_silence() {
        let begun = Promise::SnapshotBegun(CHECKPOINT);
        assert_eq!(check(None, begun), "StartOver(SlotGone)");
        assert_eq!(check(Some(slot()), begun), "CatchUp");
        assert_eq!(check(Some(slot()), Promise::SnapshotBegun(Lsn(99))), "StartOver(SlotAhead)");
        let lost = SlotFacts { wal_status: Some("lost".into()), ..slot() };
        assert_eq!(check(Some(lost.clone()), begun), "StartOver(SlotLost)");
        // Nothing was sent: there is nothing to miss.
        assert_eq!(check(Some(lost), Promise::Intended), "DropAndCreate");
    }

    #[test]
    fn a_slot_that_is_not_as_we_left_it_is_refused() {
        let done = Promise::DoneUpTo(CHECKPOINT);
        let check = |change: fn(&mut SlotFacts)| {
            let mut facts = slot();
            change(&mut facts);
            check(Some(facts), done)
        };
        assert_eq!(check(|s| s.confirmed_flush_lsn = Some(Lsn(101))), "SlotAhead");
        assert_eq!(check(|s| s.confirmed_flush_lsn = Some(Lsn(99))), "Resume");
        assert_eq!(check(|s| s.confirmed_flush_lsn = None), "SlotLost");
        assert_eq!(check(|s| s.wal_status = Some("lost".into())), "SlotLost");
        assert_eq!(check(|s| s.wal_status = Some("unreserved".into())), "Resume");
        assert_eq!(check(|s| s.invalidation_reason = Some("wal_removed".into())), "SlotLost");
        assert_eq!(check(|s| s.conflicting = Some(true)), "SlotLost");
        assert_eq!(check(|s| s.active = true), "SlotActive");
        assert_eq!(check(|s| s.plugin = Some("wal2json".into())), "SlotForeign");
        assert_eq!(check(|s| s.database = Some("other".into())), "SlotForeign");
        assert_eq!(check(|s| s.slot_type = "physical".into()), "SlotForeign");
    }

    #[test]
    fn a_foreign_slot_is_never_dropped_for_a_snapshot() {
        let foreign = SlotFacts { plugin: Some("wal2json".into()), ..slot() };
        assert_eq!(check(Some(foreign.clone()), Promise::SnapshotBegun(CHECKPOINT)), "SlotForeign");
        assert_eq!(check(Some(foreign), Promise::Intended), "SlotForeign");
        let held = SlotFacts { active: true, ..slot() };
        assert_eq!(check(Some(held.clone()), Promise::SnapshotBegun(CHECKPOINT)), "SlotActive");
        assert_eq!(check(Some(held), Promise::Intended), "SlotActive");
    }

    #[test]
    fn a_temporary_slot_has_a_legal_name_of_its_own_each_time() {
        for name in ["s", &"x".repeat(63)] {
            let (first, second) = (temporary_name(name), temporary_name(name));
            assert_ne!(first, second);
            assert!(
                first.starts_with(name.get(..1).unwrap())
                    && first.contains("_again_")
                    && first.len() <= 63
            );
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(first.chars().all(legal), "{first}");
        }
    }

    #[test]
    fn a_slot_is_read_from_the_columns_of_any_version() {
        let facts: SlotFacts = serde_json::from_str(
            r#"{"slot_name":"s","plugin":"pgoutput","slot_type":"logical","datoid":5,"database":"shop",
                "temporary":false,"active":true,"active_pid":7,"xmin":null,"catalog_xmin":"750",
                "restart_lsn":"0/1","confirmed_flush_lsn":"16/B374D848","wal_status":"lost",
                "safe_wal_size":null,"invented_later":{"a":1}}"#,
        )
        .unwrap();
        assert_eq!(facts.confirmed_flush_lsn, Some(Lsn(0x16_B374_D848)));
        assert_eq!(facts.active_pid, Some(7));
        assert_eq!(facts.conflicting, None);
    }
}
