//! What a deployment is, before anything is asked of it.
//!
//! Features are known by the version of the server that answers: `buildInfo` names it, and the
//! manual says since when each is there.

use mongodb::bson::{Document, Timestamp, doc};

use super::deployment::Deployment;
use super::error::SourceError;
use super::identity::{self, Identity};
use crate::config::{FullDocument, MongodbConfig, PreImages};

/// Change streams of whole deployments and databases are older (4.0), `startAfter` is not.
/// <https://www.mongodb.com/docs/manual/changeStreams/#resume-a-change-stream>
const OLDEST: Version = Version(4, 2, 0);
/// <https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/>
const SNAPSHOT_READS: Version = Version(5, 0, 0);
/// <https://www.mongodb.com/docs/manual/reference/change-events/#expanded-events>
const EXPANDED_EVENTS: Version = Version(6, 0, 0);
/// <https://www.mongodb.com/docs/manual/changeStreams/#change-streams-with-document-pre--and-post-images>
const IMAGES: Version = Version(6, 0, 0);
/// "New in 7.0 (and 6.0.9)": the releases between 6.0 and 7.0 never got it.
/// <https://www.mongodb.com/docs/manual/reference/operator/aggregation/changeStreamSplitLargeEvent/>
const SPLIT_EVENTS: [std::ops::Range<Version>; 2] =
    [Version(6, 0, 9)..Version(6, 1, 0), Version(7, 0, 0)..Version(u32::MAX, 0, 0)];

pub(super) const TIME: &str = "ask for the time";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// Of `8.0.1-rc2` and its like.
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.split('-').next()?;
        let mut numbers = numbers.split('.').map(|number| number.parse().ok());
        Some(Self(numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
    }

    pub(super) fn has_snapshot_reads(self) -> bool {
        self >= SNAPSHOT_READS
    }

    pub(super) fn features(self) -> Features {
        Features {
            expanded_events: self >= EXPANDED_EVENTS,
            split_events: SPLIT_EVENTS.iter().any(|releases| releases.contains(&self)),
        }
    }
}

/// Words of a change stream that not every server knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    pub expanded_events: bool,
    pub split_events: bool,
}

#[derive(Clone, Debug)]
pub struct ServerFacts {
    pub version: Version,
    pub identity: Identity,
    /// The newest time that anybody in the deployment has told this server of.
    pub newest: Timestamp,
    /// What this server itself has applied, where it says so.
    pub applied: Timestamp,
}

/// Asks what the deployment is, and refuses what cannot be streamed from.
pub(super) async fn server(
    deployment: &Deployment,
    config: &MongodbConfig,
) -> Result<ServerFacts, SourceError> {
    let hello = hello(deployment).await?;
    let servers = || deployment.servers.clone();
    let replica_set = hello.get_str("setName").ok().map(str::to_owned);
    // What a mongos calls itself.
    let sharded = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    if replica_set.is_none() && !sharded {
        return Err(SourceError::Standalone { servers: servers() });
    }
    const BUILD: &str = "ask for the version";
    let build = deployment.command(BUILD, "admin", doc! { "buildInfo": 1 }).await?;
    let text = build.get_str("version").unwrap_or_default();
    let version = Version::parse(text).ok_or_else(|| SourceError::Reply {
        operation: BUILD,
        servers: servers(),
        detail: format!("`{text}` is no version"),
    })?;
    check_version(&deployment.servers, config, version)?;
    let identity = identity::ask(deployment, replica_set).await?;
    let pong = deployment.ping(TIME).await?;
    let newest = newest(deployment, &pong)?;
    let applied = pong.get_timestamp("operationTime").unwrap_or(newest);
    Ok(ServerFacts { version, identity, newest, applied })
}

/// The newest time that an answer tells of.
pub(super) fn newest(deployment: &Deployment, answer: &Document) -> Result<Timestamp, SourceError> {
    newest_time(answer).ok_or_else(|| SourceError::Reply {
        operation: TIME,
        servers: deployment.servers.clone(),
        detail: "there is no operationTime in it".to_owned(),
    })
}

/// `hello` is of 4.4.2; its old name is still understood everywhere.
async fn hello(deployment: &Deployment) -> Result<Document, SourceError> {
    const OPERATION: &str = "ask what the server is";
    /// `CommandNotFound`
    const UNKNOWN: [i32; 1] = [59];
    match deployment.command(OPERATION, "admin", doc! { "hello": 1 }).await {
        Err(error) if error.has_code(&UNKNOWN) => {
            deployment.command(OPERATION, "admin", doc! { "isMaster": 1 }).await
        }
        answer => answer,
    }
}

fn check_version(
    servers: &str,
    config: &MongodbConfig,
    version: Version,
) -> Result<(), SourceError> {
    let needs = |oldest: Version, wanted: &'static str| -> Result<(), SourceError> {
        if version >= oldest {
            return Ok(());
        }
        let (servers, found) = (servers.to_owned(), version.to_string());
        let oldest = if oldest == OLDEST { "4.2" } else { "6.0" };
        Err(SourceError::ServerVersion { servers, found, oldest, wanted })
    };
    needs(OLDEST, "a stream that goes on after a dropped collection")?;
    match config.pre_images {
        PreImages::Off => {}
        PreImages::WhenAvailable | PreImages::Required => needs(IMAGES, "`pre_images`")?,
    }
    match config.full_document {
        FullDocument::Off | FullDocument::Lookup => {}
        FullDocument::WhenAvailable => needs(IMAGES, "`full_document: when_available`")?,
        FullDocument::Required => needs(IMAGES, "`full_document: required`")?,
    }
    Ok(())
}

/// What a server will not tell is not known; one that is gone is an error all the same.
pub(super) fn allowed<T>(answer: Result<T, SourceError>) -> Result<Option<T>, SourceError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.server().is_some() => {
            tracing::debug!(%error, "not told");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// `operationTime` is what the member that answers has applied; a mongos has `$clusterTime` alone
/// when it asked no shard.
fn newest_time(answer: &Document) -> Option<Timestamp> {
    let cluster = answer.get_document("$clusterTime").ok();
    let cluster = cluster.and_then(|time| time.get_timestamp("clusterTime").ok());
    answer.get_timestamp("operationTime").ok().max(cluster)
}

/// Seconds in the upper half, increment in the lower, as in resume tokens.
#[must_use]
pub fn cluster_time(timestamp: Timestamp) -> u64 {
    u64::from(timestamp.time) << 32 | u64::from(timestamp.increment)
}

/// The other way round.
#[must_use]
pub fn timestamp(cluster_time: u64) -> Timestamp {
    let half = |bits: u64| u32::try_from(bits & 0xFFFF_FFFF).unwrap_or(u32::MAX);
    Timestamp { time: half(cluster_time >> 32), increment: half(cluster_time) }
}

/// As `LogicalTime::addTicks(1)`: the first moment after everything of `timestamp`.
pub(super) fn next_tick(timestamp: Timestamp) -> Timestamp {
    match timestamp.increment.checked_add(1) {
        Some(increment) => Timestamp { time: timestamp.time, increment },
        None => Timestamp { time: timestamp.time.saturating_add(1), increment: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_numbers() {
        for (text, version) in [
            ("4.4.1", Version(4, 4, 1)),
            ("8.0.0-rc3", Version(8, 0, 0)),
            ("7.0.12-7", Version(7, 0, 12)),
            ("6.0", Version(6, 0, 0)),
        ] {
            assert_eq!(Version::parse(text), Some(version), "{text}");
        }
        assert_eq!(Version::parse("unknown"), None);
        assert!(Version(10, 0, 0) > Version(6, 0, 9));
    }

    #[test]
    fn features_are_those_of_the_release() {
        for (version, expanded_events, split_events) in [
            (Version(4, 4, 1), false, false),
            (Version(6, 0, 8), true, false),
            (Version(6, 0, 9), true, true),
            (Version(6, 1, 0), true, false),
            (Version(6, 3, 2), true, false),
            (Version(7, 0, 0), true, true),
            (Version(8, 2, 1), true, true),
        ] {
            let features = Features { expanded_events, split_events };
            assert_eq!(version.features(), features, "{version}");
        }
    }

    #[test]
    fn the_newer_of_two_times_counts() {
        let time = |time, increment| Timestamp { time, increment };
        let answer = doc! {
            "$clusterTime": { "clusterTime": time(7, 2) },
            "operationTime": time(7, 1),
        };
        assert_eq!(newest_time(&answer), Some(time(7, 2)));
        assert_eq!(newest_time(&doc! { "ok": 1 }), None);
        assert_eq!(cluster_time(time(1, 2)), 0x1_0000_0002);
        assert_eq!(timestamp(0x1_0000_0002), time(1, 2));
    }

    #[test]
    fn a_tick_carries_over() {
        let time = |time, increment| Timestamp { time, increment };
        assert_eq!(next_tick(time(7, 1)), time(7, 2));
        assert_eq!(next_tick(time(7, u32::MAX)), time(8, 0));
    }
}
