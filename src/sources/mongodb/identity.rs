//! Whether a deployment is the one that was read: another one of the same name would take an older
//! token for its own, as long as its oplog has never been cut, and go on without what happened in
//! between.
//!
//! Two things tell, and neither ever changes in the life of a deployment: the id of the replica set
//! or cluster, which `clusterMonitor` may ask for, and the UUID of the collection
//! `admin.system.version`, which the first start made and every member has alike; to list the
//! collections of `admin` takes no more than `readAnyDatabase`. Who may read one database only is
//! told neither. The UUIDs of that database's own collections prove nothing: `$out` replaces them.
//!
//! Then, that it has what was read: what a majority has is never rolled back. A member that lags may
//! not know of it yet, so time is given, and the primary asked.

use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, doc};
use tokio::time::sleep;

use super::deployment::Deployment;
use super::error::SourceError;
use super::preflight::{self, ServerFacts, TIME, cluster_time, next_tick};
use crate::offsets::position::MongodbPosition;
use crate::offsets::{Checkpoint, SourceIdentity};

/// `Unauthorized`; `AtlasError`, of a tier that has no such command; `CommandNotFound` and
/// `CommandNotSupported`, of what only speaks like MongoDB. Everything else may be another answer
/// the next time, and must not pass for an id that nobody tells.
const NOT_TOLD: [i32; 4] = [13, 8000, 59, 115];
/// How long members are waited for that do not know yet of what was read: longer than an election.
const CATCH_UP: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(500);

/// What tells one deployment from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `None` for a sharded cluster.
    pub replica_set: Option<String>,
    /// Where the user may ask for it.
    pub id: Option<String>,
    /// The UUID of `admin.system.version`, where the user may ask for it.
    pub admin_uuid: Option<String>,
}

/// What a comparison of two identities says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sameness {
    Same,
    Other,
    /// Of the same name, and no more is known.
    Untold,
}

impl Identity {
    /// As it stands in positions: what never depends on rights.
    pub(super) fn lineage(&self) -> String {
        self.replica_set.clone().unwrap_or_else(|| "sharded".to_owned())
    }

    fn of_checkpoint(checkpoint: &Checkpoint) -> Option<Self> {
        let SourceIdentity::Mongodb { replica_set, id, admin_uuid } = checkpoint.identity.clone()
        else {
            return None;
        };
        Some(Self { replica_set, id, admin_uuid })
    }

    fn compare(&self, other: &Self) -> Sameness {
        let pair = |a: &Option<String>, b: &Option<String>| Some(a.as_ref()? == b.as_ref()?);
        let by_uuid = || pair(&self.admin_uuid, &other.admin_uuid);
        match pair(&self.id, &other.id).or_else(by_uuid) {
            _ if self.replica_set != other.replica_set => Sameness::Other,
            Some(true) => Sameness::Same,
            Some(false) => Sameness::Other,
            None => Sameness::Untold,
        }
    }

    fn is_told(&self) -> bool {
        self.id.is_some() || self.admin_uuid.is_some()
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.replica_set {
            Some(name) => write!(f, "replica set {name}")?,
            None => f.write_str("a sharded cluster")?,
        }
        match (&self.id, &self.admin_uuid) {
            (Some(id), _) => write!(f, " (id {id})"),
            (None, Some(uuid)) => write!(f, " (admin.system.version {uuid})"),
            (None, None) => Ok(()),
        }
    }
}

/// Asks the deployment who it is. `replica_set` is `None` for a sharded cluster.
pub(super) async fn ask(
    deployment: &Deployment,
    replica_set: Option<String>,
) -> Result<Identity, SourceError> {
    let id = match replica_set {
        None => cluster_id(deployment).await?,
        Some(_) => replica_set_id(deployment).await?,
    };
    let admin_uuid = admin_uuid(deployment).await?;
    let identity = Identity { replica_set, id, admin_uuid };
    if !identity.is_told() {
        tracing::warn!(
            deployment = %identity,
            hint = deployment.grant_of("clusterMonitor", "admin"),
            "this user is told neither the deployment's id nor of the collections of `admin`: \
             another deployment of the same name could not be told from it"
        );
    }
    Ok(identity)
}

/// The id that was given to the replica set when it was initiated: another set of the same name
/// has another. `None` where the user may not ask (it takes `clusterMonitor`).
async fn replica_set_id(deployment: &Deployment) -> Result<Option<String>, SourceError> {
    let command = doc! { "replSetGetConfig": 1 };
    let answer = deployment.command("ask for the replica set's id", "admin", command).await;
    Ok(told(answer)?.as_ref().and_then(|answer| {
        let settings = answer.get_document("config").ok()?.get_document("settings").ok()?;
        settings.get_object_id("replicaSetId").ok().map(|id| id.to_hex())
    }))
}

/// <https://www.mongodb.com/docs/manual/reference/config-database/#mongodb-data-config.version>
async fn cluster_id(deployment: &Deployment) -> Result<Option<String>, SourceError> {
    let command =
        doc! { "find": "version", "filter": { "_id": 1 }, "limit": 1, "singleBatch": true };
    let answer = deployment.command("ask for the cluster's id", "config", command).await;
    Ok(told(answer)?.as_ref().and_then(|answer| {
        let batch = answer.get_document("cursor").ok()?.get_array("firstBatch").ok()?;
        let first = batch.first().and_then(Bson::as_document)?;
        first.get_object_id("clusterId").ok().map(|id| id.to_hex())
    }))
}

/// <https://www.mongodb.com/docs/manual/reference/command/listCollections/#output>
async fn admin_uuid(deployment: &Deployment) -> Result<Option<String>, SourceError> {
    let command = doc! { "listCollections": 1, "filter": { "name": "system.version" } };
    let answer = deployment.command("ask for the collections of admin", "admin", command).await;
    Ok(told(answer)?.as_ref().and_then(|answer| {
        let batch = answer.get_document("cursor").ok()?.get_array("firstBatch").ok()?;
        let info = batch.first().and_then(Bson::as_document)?.get_document("info").ok()?;
        let Some(Bson::Binary(uuid)) = info.get("uuid") else { return None };
        uuid.to_uuid().ok().map(|uuid| uuid.to_string())
    }))
}

fn told(answer: Result<Document, SourceError>) -> Result<Option<Document>, SourceError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.has_code(&NOT_TOLD) => {
            tracing::debug!(%error, "not told");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Refuses another deployment than the checkpoint's.
pub(super) fn check(
    found: &Identity,
    servers: &str,
    (checkpoint, position): (&Checkpoint, &MongodbPosition),
) -> Result<(), SourceError> {
    let Some(expected) = Identity::of_checkpoint(checkpoint) else {
        return Err(SourceError::ForeignPosition { position: checkpoint.position.clone() });
    };
    let sameness = expected.compare(found);
    if sameness == Sameness::Other || position.lineage != found.lineage() {
        return Err(SourceError::OtherDeployment {
            servers: servers.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }
    if sameness == Sameness::Untold {
        tracing::warn!(
            deployment = %found,
            "its name is all that this deployment and the checkpoint's could be compared by"
        );
    }
    Ok(())
}

/// Whether the deployment is known to be the very one of the checkpoint.
pub(super) fn is_proven(found: &Identity, checkpoint: &Checkpoint) -> bool {
    Identity::of_checkpoint(checkpoint)
        .is_some_and(|expected| expected.compare(found) == Sameness::Same)
}

/// What was known once stays known, so that a right that is taken away hides no exchange.
pub(super) fn known(identity: &Identity, old: Option<&Checkpoint>) -> SourceIdentity {
    let before = old.and_then(Identity::of_checkpoint);
    let (id, admin_uuid) = before.map(|old| (old.id, old.admin_uuid)).unwrap_or_default();
    SourceIdentity::Mongodb {
        replica_set: identity.replica_set.clone(),
        id: identity.id.clone().or(id),
        admin_uuid: identity.admin_uuid.clone().or(admin_uuid),
    }
}

/// Refuses a checkpoint that is newer than all that the deployment has.
pub(super) async fn check_reached(
    deployment: &Deployment,
    facts: &ServerFacts,
    position: &MongodbPosition,
) -> Result<(), SourceError> {
    let Some(time) = position.token.cluster_time() else { return Ok(()) };
    let mut newest = facts.newest;
    let begun = Instant::now();
    while time > cluster_time(next_tick(newest)) {
        if begun.elapsed() > CATCH_UP {
            return Err(SourceError::BeyondLog {
                servers: deployment.servers.clone(),
                checkpoint: position.to_string(),
                newest: format!("{}:{}", newest.time, newest.increment),
            });
        }
        tracing::debug!(%position, "the servers do not know yet of what was read; asking again");
        sleep(PAUSE).await;
        let ping = doc! { "ping": 1 };
        let answer = deployment.ask_primary(TIME, "admin", ping).await?;
        newest = newest.max(preflight::newest(deployment, &answer)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(set: &str, id: Option<&str>, admin_uuid: Option<&str>) -> Identity {
        Identity {
            replica_set: Some(set.into()),
            id: id.map(str::to_owned),
            admin_uuid: admin_uuid.map(str::to_owned),
        }
    }

    #[test]
    fn a_deployment_is_named_for_a_person() {
        let found = identity("rs0", Some("65"), Some("aa"));
        assert_eq!(found.to_string(), "replica set rs0 (id 65)");
        let found = identity("rs0", None, Some("aa"));
        assert_eq!(found.to_string(), "replica set rs0 (admin.system.version aa)");
        let found = Identity { replica_set: None, id: None, admin_uuid: None };
        assert_eq!(
            (found.to_string(), found.lineage()),
            ("a sharded cluster".into(), "sharded".into())
        );
    }

    #[test]
    fn one_of_two_proofs_is_enough_and_none_is_said() {
        let whole = identity("rs0", Some("1"), Some("a"));
        for (other, sameness) in [
            (identity("rs0", Some("1"), None), Sameness::Same),
            (identity("rs0", Some("2"), Some("a")), Sameness::Other),
            (identity("rs0", None, Some("a")), Sameness::Same),
            (identity("rs0", None, Some("b")), Sameness::Other),
            (identity("rs0", None, None), Sameness::Untold),
            (identity("rs1", Some("1"), Some("a")), Sameness::Other),
        ] {
            assert_eq!(whole.compare(&other), sameness, "{other}");
            assert_eq!(other.compare(&whole), sameness, "{other}");
        }
        let (id, uuid) = (identity("rs0", Some("1"), None), identity("rs0", None, Some("a")));
        assert_eq!(id.compare(&uuid), Sameness::Untold);
    }

    #[test]
    fn only_a_clear_no_means_that_an_id_is_not_told() {
        let answer = |code| {
            let source = super::super::error::ServerError { code, ..Default::default() };
            told(Err(SourceError::Command { operation: "test", source }))
        };
        for code in [13, 8000, 59, 115] {
            assert!(matches!(answer(code), Ok(None)), "{code}");
        }
        // NotYetInitialized, InterruptedAtShutdown, NotPrimaryNoSecondaryOk, HostUnreachable.
        for code in [94, 11600, 13435, 6, 987_654] {
            assert!(answer(code).is_err(), "{code}");
        }
    }
}
