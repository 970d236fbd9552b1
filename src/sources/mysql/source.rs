//! What a run starts from.
//!
//! Nothing is made on the server, so nothing there needs to be known as ours after a crash. What
//! could make a gap is found out before the first byte is asked for: settings, rights, identity,
//! and whether the log still has everything behind the checkpoint; then who else reads with our
//! server id.
//!
//! A first start reads the log from a little before its place, for the XA transactions that are
//! prepared there (`undecided` says how those of before are waited for).
//!
//! Nothing on the server keeps the log for us while a snapshot is read. One that is thrown away
//! meanwhile is a loud stop where the stream begins.
//!
//! A snapshot that was interrupted begins again as of a new moment, and the stream after it begins
//! where the first one would have: what was deleted since the first rows were sent comes once more
//! and nothing stays behind. The price is that other changes of that time come again too, after the
//! snapshot's newer rows, each key in the order of the log up to its present state.

use tokio::runtime::Handle;

use super::catalog_reader::CatalogReader;
use super::connection::MyConnection;
use super::decoder::{Collaborators, Decoder, DecoderConfig, SnapshotDecode};
use super::dump::{self, DumpSettings, StartPoint};
use super::error::SourceError;
use super::json::JsonForm;
use super::lineage;
use super::moment::{self, MomentSettings};
use super::places::{self, Numbering};
use super::preflight::{self, ServerFacts};
use super::replicas;
use super::schema_follow::SnapshotSchemas;
use super::schemas::{SchemaHistoryError, SchemaSettings, Schemas};
use super::session::{After, LaterStream, MysqlSession, Phase, StreamPhase};
use super::settings::{ConnectSettings, Flavor};
use super::snapshot_rows::{SnapshotDecoder, SnapshotFacts, SnapshotRows};
use super::source_block::SourceConstants;
use super::undecided;
use crate::config::{MysqlConfig, SnapshotConfig, SnapshotMode};
use crate::offsets::position::Position;
use crate::offsets::{Checkpoint, SnapshotState, SourceIdentity};
use crate::schema::history::SchemaHistory;
use crate::sources::{BoxError, Source, SourceFuture, Started};

pub struct MysqlSource {
    flavor: Flavor,
    config: MysqlConfig,
    snapshot: SnapshotConfig,
    pipeline: String,
    topic_prefix: String,
}

impl MysqlSource {
    #[must_use]
    pub fn new(
        flavor: Flavor,
        config: MysqlConfig,
        snapshot: SnapshotConfig,
        pipeline: String,
        topic_prefix: String,
    ) -> Self {
        Self { flavor, config, snapshot, pipeline, topic_prefix }
    }
}

impl Source for MysqlSource {
    fn prepare(&mut self) -> SourceFuture<'_, Checkpoint> {
        Box::pin(async move { Ok(self.intend().await?) })
    }

    fn start<'a>(&'a mut self, checkpoint: Option<&'a Checkpoint>) -> SourceFuture<'a, Started> {
        Box::pin(async move { self.begin(checkpoint).await })
    }

    fn name(&self) -> &'static str {
        self.flavor.key()
    }
}

/// A connection, and what the server said of itself.
struct Server {
    connection: MyConnection,
    facts: ServerFacts,
    dump: DumpSettings,
}

/// A run that was decided on.
struct Plan {
    /// What the stream goes on from, now or after the snapshot.
    from: Position,
    state: SnapshotState,
    phase: Phase,
    snapshot: Option<SnapshotFacts>,
    /// As of `from`.
    schemas: Schemas,
    announced: Option<SnapshotSchemas>,
}

impl MysqlSource {
    async fn begin(&self, checkpoint: Option<&Checkpoint>) -> Result<Started, BoxError> {
        let mut server = self.connect().await?;
        let reached = checkpoint.filter(|checkpoint| !checkpoint.snapshot.is_unfinished());
        if let (SnapshotMode::InitialOnly, Some(reached)) = (self.snapshot.mode, reached) {
            places::check_flavor(&reached.position, self.flavor)?;
            let (from, state) = (reached.position.clone(), reached.snapshot);
            let schemas = self.restored(&server.facts, reached)?;
            let (phase, snapshot, announced) = (Phase::Nothing, None, None);
            let plan = Plan { from, state, phase, snapshot, schemas, announced };
            let facts = server.facts.clone();
            server.connection.close().await;
            return self.started(&facts, checkpoint, plan);
        }
        // Before the register, so that one that cannot go on leaves nothing to see among replicas.
        let past = match checkpoint {
            Some(checkpoint) => self.past(&mut server, checkpoint).await?,
            None => None,
        };
        replicas::check_server_id(&mut server.connection, &server.facts, &server.dump).await?;
        let registered = dump::register(&mut server.connection, &server.dump).await;
        registered.map_err(|error| replicas::registration_error(error, &server.facts))?;
        let facts = server.facts.clone();
        let plan = match (past, reached, self.snapshot.mode) {
            (Some((from, start)), Some(reached), _) => {
                tracing::info!(position = %from, "resuming");
                let schemas = self.restored(&server.facts, reached)?;
                let (state, phase) = (reached.snapshot, stream(server, start));
                Plan { from, state, phase, snapshot: None, schemas, announced: None }
            }
            (None, _, SnapshotMode::NoData) => self.at_the_end(server).await?,
            (past, _, mode) => {
                let past = match (past, checkpoint) {
                    (Some((from, start)), Some(checkpoint)) => {
                        Some((from, start, self.restored(&server.facts, checkpoint)?))
                    }
                    _ => None,
                };
                match (past, mode) {
                    (Some(past), SnapshotMode::NoData) => without_the_rest(server, past),
                    (past, _) => self.with_snapshot(server, past).await?,
                }
            }
        };
        self.started(&facts, checkpoint, plan)
    }

    /// Everything that can be found wrong before anything is saved.
    async fn intend(&self) -> Result<Checkpoint, SourceError> {
        let mut server = self.connect().await?;
        replicas::check_server_id(&mut server.connection, &server.facts, &server.dump).await?;
        let registered = dump::register(&mut server.connection, &server.dump).await;
        registered.map_err(|error| replicas::registration_error(error, &server.facts))?;
        let numbering = places::numbering(self.flavor, &self.config, &server.facts)?;
        let end = places::position(&places::log_end(&server.facts), &server.facts, numbering)?;
        server.connection.close().await;
        Ok(self.checkpoint(
            &server.facts,
            None,
            end,
            (SnapshotState::Intended, SchemaHistory::default()),
        ))
    }

    fn schema_settings(&self, facts: &ServerFacts) -> SchemaSettings {
        SchemaSettings {
            flavor: self.flavor,
            filter: self.config.tables.clone(),
            lower_case: facts.lower_case_table_names == 1,
            explicit_timestamps: facts.explicit_timestamps,
        }
    }

    fn restored(
        &self,
        facts: &ServerFacts,
        checkpoint: &Checkpoint,
    ) -> Result<Schemas, SchemaHistoryError> {
        Schemas::restore(self.schema_settings(facts), &checkpoint.schemas)
    }

    async fn connect(&self) -> Result<Server, SourceError> {
        let settings = ConnectSettings::of(self.flavor, &self.config);
        let mut connection = MyConnection::connect(&settings).await?;
        let facts = preflight::server(&mut connection).await?;
        let config = &self.config;
        let dump =
            DumpSettings::of_pipeline(&self.pipeline, config.server_id, config.silence_limit);
        // Refused before anything else is asked.
        places::numbering(self.flavor, config, &facts)?;
        tracing::info!(
            endpoint = connection.endpoint(),
            server_version = %connection.version(),
            server_id = facts.server_id,
            server_uuid = facts.server_uuid.as_deref().unwrap_or_default(),
            encrypted = connection.is_encrypted(),
            "connected"
        );
        Ok(Server { connection, facts, dump })
    }

    /// Where the log goes on behind a checkpoint that something was sent for; `None` where nothing
    /// was, or the log that an interrupted snapshot needs is gone.
    async fn past(
        &self,
        server: &mut Server,
        checkpoint: &Checkpoint,
    ) -> Result<Option<(Position, StartPoint)>, SourceError> {
        places::check_flavor(&checkpoint.position, self.flavor)?;
        if checkpoint.snapshot == SnapshotState::Intended {
            return Ok(None);
        }
        let from = checkpoint.position.clone();
        let (start, server_uuid) = places::start_point(&from);
        let Server { connection, facts, .. } = server;
        match lineage::check(connection, facts, server_uuid, start).await {
            Ok(start) => {
                let same_server = checkpoint.identity == identity(self.flavor, facts);
                Ok(Some((places::on_server(from, facts, same_server)?, start)))
            }
            Err(error @ (SourceError::Purged { .. } | SourceError::FileGone { .. }))
                if checkpoint.snapshot == SnapshotState::Running =>
            {
                tracing::warn!(
                    %error,
                    "starting over after an interrupted snapshot without the changes since: of the \
                     rows that it sent, those that were deleted meanwhile stay in the topics"
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// `no_data`: the log's present end.
    async fn at_the_end(&self, mut server: Server) -> Result<Plan, BoxError> {
        let earlier = undecided::place(&mut server.connection, &server.facts.account).await?;
        let found = moment::end_of_log(&mut server.connection, &self.config.tables).await?;
        let (point, definitions) = found;
        let settings = self.schema_settings(&server.facts);
        let schemas = Schemas::of_definitions(settings, &definitions);
        let numbering = places::numbering(self.flavor, &self.config, &server.facts)?;
        let earlier = places::position(&earlier, &server.facts, numbering)?;
        let at = places::position(&point, &server.facts, numbering)?;
        let from = places::reading_from(at, &earlier);
        let (start, _) = places::start_point(&from);
        tracing::info!(position = %from, "streaming from the log's present end");
        Ok(Plan {
            from,
            state: SnapshotState::Skipped,
            phase: stream(server, start),
            snapshot: None,
            schemas,
            announced: None,
        })
    }

    /// A new snapshot, and the stream from its moment; from that of an interrupted one, where there
    /// is one to go on from.
    async fn with_snapshot(
        &self,
        server: Server,
        past: Option<(Position, StartPoint, Schemas)>,
    ) -> Result<Plan, BoxError> {
        let Server { mut connection, facts, dump } = server;
        let earlier = undecided::place(&mut connection, &facts.account).await?;
        // Idle for hours, it would only be a connection to lose.
        connection.close().await;
        let connect = ConnectSettings::of(self.flavor, &self.config);
        let settings = MomentSettings {
            connect: connect.clone(),
            account: facts.account.clone(),
            tables: self.config.tables.clone(),
            n_readers: self.snapshot.connections,
        };
        let moment = moment::find(&settings).await?;
        let numbering = places::numbering(self.flavor, &self.config, &facts)?;
        let at = places::position(&moment.point, &facts, numbering)?;
        let at = places::reading_from(at, &places::position(&earlier, &facts, numbering)?);
        let (from, start, schemas) = match past {
            // What was believed there, not what is now.
            Some((from, start, schemas)) if self.snapshot.mode == SnapshotMode::Initial => {
                tracing::warn!(
                    position = %from,
                    "the snapshot was interrupted and begins again; the changes since it first \
                     began follow it"
                );
                (from, start, schemas)
            }
            interrupted => {
                if interrupted.is_some() {
                    tracing::warn!("the snapshot was interrupted and begins again");
                }
                let (start, _) = places::start_point(&at);
                let settings = self.schema_settings(&facts);
                (at, start, Schemas::of_definitions(settings, &moment.definitions))
            }
        };
        let snapshot = SnapshotFacts {
            tables: moment.tables.clone(),
            point: moment.point.clone(),
            read_at_us: moment.read_at_us,
        };
        let announced = SnapshotSchemas {
            definitions: moment.definitions.clone(),
            file: moment.point.file.clone(),
            offset: moment.point.offset,
            read_at_us: moment.read_at_us,
        };
        let after = match self.snapshot.mode {
            SnapshotMode::InitialOnly => After::Nothing,
            SnapshotMode::Initial | SnapshotMode::NoData => {
                After::Stream(Box::new(LaterStream { connect, settings: dump, from: start }))
            }
        };
        let phase = Phase::Snapshot(Box::new(moment), after);
        let (state, snapshot, announced) =
            (SnapshotState::Running, Some(snapshot), Some(announced));
        Ok(Plan { from, state, phase, snapshot, schemas, announced })
    }

    /// The checkpoint of this run's beginning. The rest of an old one lives on.
    fn checkpoint(
        &self,
        facts: &ServerFacts,
        old: Option<&Checkpoint>,
        position: Position,
        (snapshot, schemas): (SnapshotState, SchemaHistory),
    ) -> Checkpoint {
        Checkpoint {
            pipeline: self.pipeline.clone(),
            identity: identity(self.flavor, facts),
            snapshot,
            position,
            schemas,
            partitions: old.map(|old| old.partitions.clone()).unwrap_or_default(),
            counter: old.map(|old| old.counter).unwrap_or_default(),
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn started(
        &self,
        facts: &ServerFacts,
        old: Option<&Checkpoint>,
        plan: Plan,
    ) -> Result<Started, BoxError> {
        let Plan { from, state, phase, snapshot, schemas, announced } = plan;
        let config = DecoderConfig {
            source: SourceConstants {
                version: env!("CARGO_PKG_VERSION"),
                flavor: self.flavor,
                topic_prefix: self.topic_prefix.clone(),
            },
            filter: self.config.tables.clone(),
            json_form: JsonForm::default(),
            tinyint1: self.config.tinyint1,
            include_query: false,
            include_schema_changes: self.config.include_schema_changes,
            resume_from: from.clone(),
            event_bytes_max: self.config.message_bytes_max,
        };
        // In the position's own terms: a log that is followed by file ends at a place in a file.
        let log_end =
            places::position(&places::log_end(facts), facts, Numbering::of_position(&from))?;
        let n_snapshot_tables = snapshot.as_ref().map_or(0, |facts| facts.tables.len());
        let server = facts.server_uuid.clone();
        let server = server.unwrap_or_else(|| format!("server-{}", facts.server_id));
        let snapshot = snapshot.map(|facts| -> Box<dyn SnapshotDecode> {
            Box::new(SnapshotDecoder::new(SnapshotRows::new(facts, &server)))
        });
        let settings = ConnectSettings::of(self.flavor, &self.config);
        let history = schemas.history().clone();
        let collaborators = Collaborators {
            catalog: Box::new(CatalogReader::new(Handle::current(), settings)),
            schemas,
            announced,
            snapshot,
        };
        Ok(Started {
            checkpoint: self.checkpoint(facts, old, from, (state, history)),
            session: Box::new(MysqlSession::new(phase)),
            decoder: Box::new(Decoder::new(config, collaborators)?),
            log_end,
            n_snapshot_tables,
        })
    }
}

fn identity(flavor: Flavor, facts: &ServerFacts) -> SourceIdentity {
    match flavor {
        Flavor::Mysql => {
            SourceIdentity::Mysql { server_uuid: facts.server_uuid.clone().unwrap_or_default() }
        }
        Flavor::Mariadb => SourceIdentity::Mariadb { server_id: facts.server_id },
    }
}

/// `no_data` behind an interrupted snapshot of another mode.
fn without_the_rest(server: Server, past: (Position, StartPoint, Schemas)) -> Plan {
    let (from, start, schemas) = past;
    tracing::warn!(
        position = %from,
        "the snapshot was interrupted, and `snapshot.mode: no_data` does not take it up: rows that \
         it had not sent are in no topic until each is changed; the changes since it began follow"
    );
    let (state, phase) = (SnapshotState::Skipped, stream(server, start));
    Plan { from, state, phase, snapshot: None, schemas, announced: None }
}

fn stream(server: Server, from: StartPoint) -> Phase {
    let Server { connection, dump: settings, .. } = server;
    Phase::Stream(Box::new(StreamPhase { connection, settings, from }))
}
