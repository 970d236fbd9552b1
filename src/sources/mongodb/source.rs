//! What a run starts from.
//!
//! Nothing is made on the deployment, so nothing there needs to be known as ours after a crash. What
//! could make a gap is found out before the first event is asked for: what the deployment is, its
//! identity, and whether its oplog still has everything behind the checkpoint, which only opening
//! the stream there can tell.
//!
//! Nothing keeps the oplog for us while a snapshot is read. What is thrown away meanwhile is a loud
//! stop where the stream begins.
//!
//! A snapshot that was interrupted begins again as of a new moment, and the stream after it begins
//! where the first one would have: what was deleted since the first documents were sent comes once
//! more and nothing stays behind. The price is that other changes of that time come again too, after
//! the snapshot's newer documents, each key in the order of the log up to its present state.

use std::time::{SystemTime, UNIX_EPOCH};

use mongodb::bson::Document;

use super::decoder::{Decoder, DecoderConfig, Deployment as Kind, SnapshotFacts};
use super::deployment::{Deployment, Welcome};
use super::error::{ServerError, SourceError};
use super::identity::{self, Identity};
use super::listing;
use super::open::{Missing, OPEN, StreamSettings};
use super::oplog;
use super::parts::{self, Plan as SnapshotPlan};
use super::preflight::{self, ServerFacts, cluster_time, next_tick, timestamp};
use super::session::{After, MongodbSession, Phase, SnapshotPhase};
use super::snapshot::Moment;
use super::source_block::SourceConstants;
use super::stages::StartPoint;
use super::stream::{self, Proven};
use crate::config::{MongodbConfig, SnapshotConfig, SnapshotMode};
use crate::offsets::position::{MongodbPosition, Position, ResumeToken};
use crate::offsets::{Checkpoint, SnapshotState};
use crate::schema::history::SchemaHistory;
use crate::sources::{BoxError, Source, SourceFuture, Started};

pub struct MongodbSource {
    config: MongodbConfig,
    snapshot: SnapshotConfig,
    pipeline: String,
    topic_prefix: String,
    /// Begins and ends of transactions are asked for.
    transaction_metadata: bool,
    welcome: Welcome,
    missing: Missing,
}

impl MongodbSource {
    #[must_use]
    pub fn new(
        config: MongodbConfig,
        snapshot: SnapshotConfig,
        pipeline: String,
        topic_prefix: String,
        transaction_metadata: bool,
    ) -> Self {
        let (welcome, missing) = (Welcome::default(), Missing::default());
        Self { config, snapshot, pipeline, topic_prefix, transaction_metadata, welcome, missing }
    }
}

impl Source for MongodbSource {
    fn prepare(&mut self) -> SourceFuture<'_, Checkpoint> {
        Box::pin(async move { Ok(self.intend().await?) })
    }

    fn start<'a>(&'a mut self, checkpoint: Option<&'a Checkpoint>) -> SourceFuture<'a, Started> {
        Box::pin(async move { self.begin(checkpoint).await })
    }

    fn name(&self) -> &'static str {
        "mongodb"
    }
}

/// A client, and what the deployment said of itself.
struct Server {
    deployment: Deployment,
    facts: ServerFacts,
    /// Whether it is known to be the one of the checkpoint.
    is_proven: bool,
}

/// A run that was decided on.
struct Plan {
    /// What the stream goes on from, now or after the snapshot.
    from: MongodbPosition,
    state: SnapshotState,
    phase: Phase,
    snapshot: Option<SnapshotFacts>,
}

/// A checkpoint that something was sent for, and the stream that goes on from it.
struct Past {
    position: MongodbPosition,
    proven: Proven,
}

impl MongodbSource {
    async fn begin(&self, checkpoint: Option<&Checkpoint>) -> Result<Started, BoxError> {
        let mut server = self.connect().await?;
        let reached = checkpoint.filter(|checkpoint| !checkpoint.snapshot.is_unfinished());
        if let Some(checkpoint) = checkpoint {
            let (position, found) = (position_of(checkpoint)?, &server.facts.identity);
            identity::check(found, &server.deployment.servers, (checkpoint, position))?;
            server.is_proven = identity::is_proven(found, checkpoint);
        }
        if let (SnapshotMode::InitialOnly, Some(reached)) = (self.snapshot.mode, reached) {
            let from = position_of(reached)?.clone();
            let (state, phase) = (reached.snapshot, Phase::Nothing);
            return self.started(server, checkpoint, Plan { from, state, phase, snapshot: None });
        }
        let past = match checkpoint {
            Some(checkpoint) => self.past(&server, checkpoint).await?,
            None => None,
        };
        let plan = match (past, reached, self.snapshot.mode) {
            (Some(Past { position, proven }), Some(reached), _) => {
                tracing::info!(%position, "resuming");
                self.check_images(&server).await?;
                let phase = Phase::Stream(Box::new((self.settings(&server), proven)));
                Plan { from: position, state: reached.snapshot, phase, snapshot: None }
            }
            (Some(past), None, SnapshotMode::NoData) => self.without_the_rest(&server, past),
            (None, _, SnapshotMode::NoData) => self.at_the_end(&server).await?,
            (past, _, SnapshotMode::Initial | SnapshotMode::InitialOnly) => {
                self.with_snapshot(&server, past.map(|past| past.position)).await?
            }
        };
        self.started(server, checkpoint, plan)
    }

    /// Everything that can be found wrong before anything is saved.
    async fn intend(&self) -> Result<Checkpoint, SourceError> {
        let server = self.connect().await?;
        let all = listing::list(&server.deployment, &self.config).await?;
        listing::check_known(&server.deployment, &self.config, &all).await?;
        listing::check_images(&self.config, &listing::captured(&self.config, &all))?;
        let (position, _) = self.open(&server, StartPoint::Open).await?;
        let checkpoint =
            self.checkpoint(&server.facts.identity, None, position, SnapshotState::Intended);
        server.deployment.close().await;
        Ok(checkpoint)
    }

    async fn connect(&self) -> Result<Server, SourceError> {
        let n_readers = self.snapshot.connections;
        let deployment = Deployment::of(&self.config, n_readers, self.welcome.clone()).await?;
        let facts = preflight::server(&deployment, &self.config).await?;
        self.welcome.note();
        tracing::info!(
            servers = deployment.servers,
            server_version = %facts.version,
            deployment = %facts.identity,
            "connected"
        );
        Ok(Server { deployment, facts, is_proven: false })
    }

    fn settings(&self, server: &Server) -> StreamSettings {
        StreamSettings {
            config: self.config.clone(),
            features: server.facts.version.features(),
            is_proven: server.is_proven,
            missing: self.missing.clone(),
        }
    }

    async fn check_images(&self, server: &Server) -> Result<(), SourceError> {
        let all = listing::list(&server.deployment, &self.config).await?;
        listing::check_images(&self.config, &listing::captured(&self.config, &all))
    }

    /// Opens a stream at a place of now, and gives the place that it begins at.
    async fn open(
        &self,
        server: &Server,
        from: StartPoint,
    ) -> Result<(MongodbPosition, Proven), SourceError> {
        let proven = stream::begin(&server.deployment, &self.settings(server), from).await?;
        placed(server, proven)
    }

    /// The stream behind a checkpoint that something was sent for; `None` where nothing was, or the
    /// oplog that an interrupted snapshot needs is gone.
    async fn past(
        &self,
        server: &Server,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Past>, SourceError> {
        let position = position_of(checkpoint)?;
        if checkpoint.snapshot == SnapshotState::Intended {
            return Ok(None);
        }
        identity::check_reached(&server.deployment, &server.facts, position).await?;
        let from = start_point(&position.token)?;
        let proven = match self.missing.take(&from) {
            Some(error) => Err(error),
            None => stream::prove(&server.deployment, &self.settings(server), from).await,
        };
        let past = match proven {
            Ok(proven) => Ok(Past { position: position.clone(), proven }),
            Err(SourceError::TokenNotFound { place, source, .. }) => {
                self.resume_by_time(server, position, (place, source)).await
            }
            Err(error) => Err(error),
        };
        match past {
            Ok(past) => Ok(Some(past)),
            Err(error @ SourceError::HistoryLost { .. })
                if checkpoint.snapshot == SnapshotState::Running =>
            {
                tracing::warn!(
                    %error,
                    "starting over after an interrupted snapshot without the changes since: of the \
                     documents that it sent, those that were deleted meanwhile stay in the topics"
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The event of a token must be there to go on behind it, and where the scope of the stream was
    /// changed it is not. Its time is as good a place, a little earlier, on a deployment that is
    /// known to be the same one. Whether the oplog goes back so far is for the server to say, of
    /// every shard and to everyone who may read the stream: one that does not is refused (286,
    /// `document_source_change_stream_check_resumability.cpp`).
    async fn resume_by_time(
        &self,
        server: &Server,
        position: &MongodbPosition,
        (place, source): (String, ServerError),
    ) -> Result<Past, SourceError> {
        let time = position.token.cluster_time().filter(|_| server.is_proven);
        let Some(time) = time else { return Err(SourceError::HistoryLost { place, source }) };
        tracing::warn!(
            error = %source,
            "the checkpoint's own event is not in what is captured now; the stream goes on with \
             everything of that event's time, so that a few events may come once more"
        );
        let (settings, from) = (self.settings(server), StartPoint::At(timestamp(time)));
        let proven = stream::prove(&server.deployment, &settings, from).await?;
        let (position, proven) = placed(server, proven)?;
        Ok(Past { position, proven })
    }

    /// `no_data`, and a snapshot that was begun by another mode: the changes since it began are
    /// here, and only what it had not sent is left out.
    fn without_the_rest(&self, server: &Server, past: Past) -> Plan {
        let Past { position, proven } = past;
        tracing::warn!(
            %position,
            "the snapshot was interrupted, and `snapshot.mode: no_data` does not take it up: \
             documents that it had not sent are in no topic until each is changed; the changes \
             since it began follow"
        );
        let phase = Phase::Stream(Box::new((self.settings(server), proven)));
        Plan { from: position, state: SnapshotState::Skipped, phase, snapshot: None }
    }

    /// `no_data`: the stream's present end.
    async fn at_the_end(&self, server: &Server) -> Result<Plan, SourceError> {
        let (from, proven) = self.open(server, StartPoint::Open).await?;
        tracing::info!(position = %from, "streaming from the stream's present end");
        let phase = Phase::Stream(Box::new((self.settings(server), proven)));
        Ok(Plan { from, state: SnapshotState::Skipped, phase, snapshot: None })
    }

    /// A new snapshot, and the stream from its moment; from that of an interrupted one, where there
    /// is one to go on from.
    ///
    /// The collections are listed behind the moment, so that one that is made in between is either
    /// in the list or has nothing but what the stream brings.
    async fn with_snapshot(
        &self,
        server: &Server,
        past: Option<MongodbPosition>,
    ) -> Result<Plan, SourceError> {
        let Server { deployment, facts, .. } = server;
        let moment = Moment {
            time: facts.applied,
            has_past: facts.version.has_snapshot_reads(),
            is_sharded: facts.identity.replica_set.is_none(),
        };
        let from = StartPoint::At(next_tick(moment.time));
        let (begins_at, _) = self.open(server, from).await?;
        let read_at_us = now_us();
        let all = listing::list(deployment, &self.config).await?;
        let captured = listing::captured(&self.config, &all);
        listing::check_images(&self.config, &captured)?;
        let plan = parts::plan(deployment, captured, self.snapshot.connections).await?;
        oplog::warn_if_short(deployment, &plan, facts.newest.time).await?;
        let position = match past {
            Some(past) if self.snapshot.mode == SnapshotMode::Initial => {
                tracing::warn!(
                    position = %past,
                    "the snapshot was interrupted and begins again; the changes since it first \
                     began follow it"
                );
                past
            }
            interrupted => {
                if interrupted.is_some() {
                    tracing::warn!("the snapshot was interrupted and begins again");
                }
                begins_at
            }
        };
        let snapshot = SnapshotFacts {
            collections: plan.collections.iter().map(|one| one.listed.namespace.clone()).collect(),
            position: position.clone(),
            read_at_us,
            // The stream itself begins behind the moment, or long before it on purpose.
            includes: None,
        };
        let after = match self.snapshot.mode {
            SnapshotMode::InitialOnly => After::Nothing,
            SnapshotMode::Initial | SnapshotMode::NoData => {
                let from = start_point(&position.token)?;
                After::Stream(Box::new((self.settings(server), from)))
            }
        };
        tell(&plan, moment);
        let phase = Phase::Snapshot(Box::new(SnapshotPhase { plan, moment }), after);
        let state = SnapshotState::Running;
        Ok(Plan { from: position, state, phase, snapshot: Some(snapshot) })
    }

    /// The checkpoint of this run's beginning. The rest of an old one lives on.
    fn checkpoint(
        &self,
        identity: &Identity,
        old: Option<&Checkpoint>,
        position: MongodbPosition,
        snapshot: SnapshotState,
    ) -> Checkpoint {
        Checkpoint {
            pipeline: self.pipeline.clone(),
            identity: identity::known(identity, old),
            snapshot,
            position: Position::Mongodb(position),
            schemas: schemas_of(old),
            partitions: old.map(|old| old.partitions.clone()).unwrap_or_default(),
            counter: old.map(|old| old.counter).unwrap_or_default(),
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn started(
        &self,
        server: Server,
        old: Option<&Checkpoint>,
        plan: Plan,
    ) -> Result<Started, BoxError> {
        let Plan { from, state, phase, snapshot } = plan;
        let Server { deployment, facts, .. } = server;
        let config = DecoderConfig {
            source: SourceConstants {
                version: env!("CARGO_PKG_VERSION"),
                topic_prefix: self.topic_prefix.clone(),
            },
            lineage: from.lineage.clone(),
            deployment: match facts.identity.replica_set {
                Some(_) => Kind::ReplicaSet,
                None => Kind::Sharded,
            },
            filter: self.config.collections.clone(),
            fields: self.config.fields.clone(),
            form: self.config.documents,
            schemas: schemas_of(old),
            snapshot,
            split_bytes_max: usize::try_from(self.config.message_bytes_max).unwrap_or(usize::MAX),
            transaction_metadata: self.transaction_metadata,
        };
        let n_snapshot_tables = config.snapshot.as_ref().map_or(0, |facts| facts.collections.len());
        let log_end = log_end(&facts, &from);
        Ok(Started {
            checkpoint: self.checkpoint(&facts.identity, old, from, state),
            session: Box::new(MongodbSession::new(deployment, phase)),
            decoder: Box::new(Decoder::new(config)?),
            log_end: Position::Mongodb(log_end),
            n_snapshot_tables,
        })
    }
}

/// The place that a stream begins at.
fn placed(server: &Server, mut proven: Proven) -> Result<(MongodbPosition, Proven), SourceError> {
    let token = proven.stream.begins_at.take().ok_or_else(|| SourceError::Reply {
        operation: OPEN,
        servers: server.deployment.servers.clone(),
        detail: "there is no postBatchResumeToken in it".to_owned(),
    })?;
    let lineage = server.facts.identity.lineage();
    let cluster_time = token.cluster_time();
    Ok((MongodbPosition { token, cluster_time, lineage }, proven))
}

fn tell(plan: &SnapshotPlan, moment: Moment) {
    tracing::info!(
        collections = plan.collections.len(),
        parts = plan.parts.len(),
        connections = plan.n_readers,
        cluster_time = cluster_time(moment.time),
        "reading a snapshot"
    );
    if !moment.has_past {
        tracing::info!(
            "this server cannot read as of one moment (5.0 and newer can): changes made meanwhile \
             follow the snapshot, each document in their order up to its present state"
        );
    }
}

fn position_of(checkpoint: &Checkpoint) -> Result<&MongodbPosition, SourceError> {
    match &checkpoint.position {
        Position::Mongodb(position) => Ok(position),
        other @ (Position::Postgres(_) | Position::Mysql(_) | Position::Mariadb(_)) => {
            Err(SourceError::ForeignPosition { position: other.clone() })
        }
    }
}

/// What is known of documents holds for all that is sent to the same topics, a snapshot that begins
/// again too.
fn schemas_of(old: Option<&Checkpoint>) -> SchemaHistory {
    old.map(|old| old.schemas.clone()).unwrap_or_default()
}

fn start_point(token: &ResumeToken) -> Result<StartPoint, SourceError> {
    let document = Document::from_reader(token.as_bson());
    document.map(StartPoint::After).map_err(|error| SourceError::BadToken {
        place: token.to_string(),
        source: ServerError { message: error.to_string(), ..ServerError::default() },
    })
}

/// The log's end as of the start, for comparisons only. It sorts before every token of its time,
/// so whatever reaches it has left everything older behind: a stream that has looked at the last
/// entry stands at its bare time, or at its event. One that was opened when that entry was still to
/// come has that very time as its beginning; there it is the event that has to be reached, or
/// whatever comes next.
fn log_end(facts: &ServerFacts, from: &MongodbPosition) -> MongodbPosition {
    let time = cluster_time(facts.applied);
    let is_beginning = from.token.cluster_time() == Some(time);
    let behind = is_beginning.then(|| from.token.behind_its_time()).flatten();
    let token = behind.unwrap_or_else(|| ResumeToken::before(time));
    MongodbPosition { token, cluster_time: Some(time), lineage: from.lineage.clone() }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
