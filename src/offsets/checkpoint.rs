//! What is saved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::offsets::position::Position;
use crate::schema::history::SchemaHistory;

/// Everything that a restart needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub pipeline: String,
    pub identity: SourceIdentity,
    pub snapshot: SnapshotState,
    /// Where the stream starts: the snapshot's consistent point until the stream has moved on.
    pub position: Position,
    /// What tables look like at `position`, where the log does not say it. A store keeps it beside
    /// the rest, for it may be large, and no checkpoint is durable before its history is.
    #[serde(skip)]
    pub schemas: SchemaHistory,
    /// Partitions of each data topic when it was last seen: fewer later would move keys.
    #[serde(default)]
    pub partitions: BTreeMap<String, u32>,
    /// Grows by one with every save.
    pub counter: u64,
    /// Version of the program that wrote it.
    pub written_by: String,
}

/// What proves that a server is the one that the checkpoint speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceIdentity {
    Postgres {
        system_id: String,
        /// `oid` of the database: a dropped and re-created database has another.
        database_oid: u32,
        database: String,
        slot: String,
    },
    /// For a person only: with GTIDs another server may go on, and without them the position says
    /// which one may.
    Mysql { server_uuid: String },
    /// For a person only: GTIDs decide.
    Mariadb { server_id: u32 },
    Mongodb {
        /// `setName` of the replica set; `None` for a sharded cluster.
        replica_set: Option<String>,
        /// The replica set's or the cluster's own id, as hexadecimal digits; `None` where the user
        /// may not ask for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// UUID of the collection `admin.system.version`, which the first start of the deployment
        /// made; `None` where the user may not ask for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        admin_uuid: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// Saved before anything is made on the source; nothing was sent yet.
    Intended,
    /// Begun, not finished: the next run begins it again. What was sent so far is as of the
    /// checkpoint's position or later.
    Running,
    /// Every row of it is durable in the sink.
    Complete,
    /// `snapshot.mode: no_data`.
    Skipped,
}

impl SnapshotState {
    /// Whether rows of it are still to be sent.
    #[must_use]
    pub fn is_unfinished(self) -> bool {
        match self {
            Self::Intended | Self::Running => true,
            Self::Complete | Self::Skipped => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_by_names_that_stay() {
        let check = |state: SnapshotState, name: &str, unfinished: bool| {
            assert_eq!(serde_json::to_value(state).unwrap(), name);
            assert_eq!(serde_json::from_value::<SnapshotState>(name.into()).unwrap(), state);
            assert_eq!(state.is_unfinished(), unfinished, "{name}");
        };
        check(SnapshotState::Intended, "intended", true);
        check(SnapshotState::Running, "running", true);
        check(SnapshotState::Complete, "complete", false);
        check(SnapshotState::Skipped, "skipped", false);
    }
}
