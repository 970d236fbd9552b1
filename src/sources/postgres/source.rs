//! What a run starts from.
//!
//! Everything that could make a gap is found out before anything is made on the server, and
//! everything is made before the first byte is streamed: identity, lineage, slot, publication,
//! rights; then the publication, the slot (in this order, see [`super::publication`]), and the
//! readers inside its snapshot. The slot comes last but for the readers, so that a start which
//! fails leaves none behind.

use tokio::runtime::Handle;

use super::catalog::RelationFacts;
use super::catalog_query::{self, Listed, Sizes};
use super::catalog_reader::CatalogReader;
use super::connection::{PgConnection, Purpose};
use super::decoder::{Decoder, DecoderConfig, SnapshotFacts};
use super::drift::Watched;
use super::error::SourceError;
use super::lineage::{self, SystemIdentity};
use super::preflight::{self, ServerFacts};
use super::publication::{self, PublicationFacts};
use super::session::{After, AgainPhase, Phase, PostgresSession, SnapshotPhase, StreamPhase};
use super::slot::{self, Creation, Loss, NewSlot, Promise, SlotPlan};
use super::snapshot::Readers;
use super::stream::StreamSettings;
use crate::config::{PostgresConfig, SnapshotConfig, SnapshotMode, UnmappedTypes};
use crate::offsets::position::{Lsn, Position, PostgresPosition};
use crate::offsets::{Checkpoint, SnapshotState, SourceIdentity};
use crate::sources::{Source, SourceFuture, Started};

pub struct PostgresSource {
    config: PostgresConfig,
    snapshot: SnapshotConfig,
    pipeline: String,
    topic_prefix: String,
}

impl PostgresSource {
    #[must_use]
    pub fn new(
        config: PostgresConfig,
        snapshot: SnapshotConfig,
        pipeline: String,
        topic_prefix: String,
    ) -> Self {
        Self { config, snapshot, pipeline, topic_prefix }
    }
}

impl Source for PostgresSource {
    fn prepare(&mut self) -> SourceFuture<'_, Checkpoint> {
        Box::pin(async move { Ok(self.intend().await?) })
    }

    fn start<'a>(&'a mut self, checkpoint: Option<&'a Checkpoint>) -> SourceFuture<'a, Started> {
        Box::pin(async move { Ok(self.begin(checkpoint).await?) })
    }

    fn name(&self) -> &'static str {
        "postgresql"
    }
}

/// Both connections of a start, and what the server said of itself.
struct Server {
    sql: PgConnection,
    walsender: PgConnection,
    about: About,
}

/// What the server has of what this run needs.
struct Survey {
    plan: SlotPlan,
    publication: PublicationFacts,
    all: Vec<Listed>,
    captured: Vec<Listed>,
}

struct About {
    facts: ServerFacts,
    identity: SystemIdentity,
}

/// What the checkpoint says, in this source's words.
struct Past<'a> {
    position: &'a PostgresPosition,
    checkpoint: &'a Checkpoint,
}

impl Past<'_> {
    fn of<'a>(checkpoint: &'a Checkpoint, system_id: &str) -> Result<Past<'a>, SourceError> {
        match &checkpoint.position {
            Position::Postgres(position) => Ok(Past { position, checkpoint }),
            other @ (Position::Mysql(_) | Position::Mariadb(_) | Position::Mongodb(_)) => {
                Err(SourceError::ForeignPosition {
                    position: Box::new(other.clone()),
                    system_id: system_id.to_owned(),
                })
            }
        }
    }

    fn promise(&self) -> Promise {
        match self.checkpoint.snapshot {
            SnapshotState::Intended => Promise::Intended,
            SnapshotState::Running => Promise::SnapshotBegun(self.position.lsn),
            SnapshotState::Complete | SnapshotState::Skipped => {
                Promise::DoneUpTo(self.position.lsn)
            }
        }
    }
}

impl PostgresSource {
    async fn begin(&self, checkpoint: Option<&Checkpoint>) -> Result<Started, SourceError> {
        let mut server = self.connect().await?;
        let system_id = &server.about.identity.system_id;
        let past = checkpoint.map(|checkpoint| Past::of(checkpoint, system_id)).transpose()?;
        let promise = past.as_ref().map_or(Promise::Nothing, Past::promise);
        if let Some(past) = &past {
            self.check_identity(past, &mut server).await?;
        }
        if let (SnapshotMode::InitialOnly, Promise::DoneUpTo(lsn)) = (self.snapshot.mode, promise) {
            let checkpoint = self.checkpoint(&server.about, past.as_ref(), lsn, None);
            return Ok(self.started(&server.about, checkpoint, Phase::Nothing, None));
        }
        let survey = self.survey(&mut server, promise).await?;
        let captured: Vec<&Listed> = survey.captured.iter().collect();
        let name = &self.config.slot;
        let facts = survey.publication;
        let publication = &self.config.publication.name;
        let to_read = publication::coverage(publication, &facts, &survey.all, &captured)?;
        let mut started = match survey.plan {
            SlotPlan::Resume => self.resume(server, past, &facts, &captured).await,
            SlotPlan::CatchUp if self.snapshot.mode == SnapshotMode::Initial => {
                tracing::warn!(slot = name, "the snapshot was interrupted and begins again");
                self.begin_again(server, past, &facts, &to_read).await
            }
            plan @ (SlotPlan::Create
            | SlotPlan::DropAndCreate
            | SlotPlan::StartOver(_)
            | SlotPlan::CatchUp) => {
                self.make_way(&mut server.sql, plan, &to_read).await?;
                self.begin_anew(server, past, &facts, &to_read).await
            }
        }?;
        if self.snapshot.mode != SnapshotMode::InitialOnly {
            started.session = Box::new(Watched {
                session: started.session,
                config: self.config.clone(),
                covered: captured.iter().map(|table| (table.oid, table.dotted())).collect(),
            });
        }
        Ok(started)
    }

    /// Drops the slot that a new one replaces, and says what is lost with it.
    async fn make_way(
        &self,
        sql: &mut PgConnection,
        plan: SlotPlan,
        to_read: &[&Listed],
    ) -> Result<(), SourceError> {
        let slot = &self.config.slot;
        let loss = match plan {
            SlotPlan::Create | SlotPlan::Resume => return Ok(()),
            SlotPlan::DropAndCreate => {
                tracing::info!(slot, "making the slot again; nothing was sent since it was made");
                return slot::drop(sql, slot).await;
            }
            SlotPlan::StartOver(loss) => loss,
            SlotPlan::CatchUp => Loss::NotWanted,
        };
        tracing::warn!(
            slot,
            reason = loss.reason(),
            tables = publication::dotted_list(to_read),
            "starting over after an interrupted snapshot without the changes since: of the rows \
             that it sent, those that were deleted meanwhile stay in the topics of these tables"
        );
        match loss {
            Loss::SlotGone => Ok(()),
            Loss::SlotLost | Loss::SlotAhead | Loss::NotWanted => slot::drop(sql, slot).await,
        }
    }

    /// Everything that can be found wrong before something is made on the server. What a crash
    /// during `start` leaves behind is then known as ours by the checkpoint that this gives.
    async fn intend(&self) -> Result<Checkpoint, SourceError> {
        let mut server = self.connect().await?;
        let survey = self.survey(&mut server, Promise::Nothing).await?;
        let captured: Vec<&Listed> = survey.captured.iter().collect();
        let name = &self.config.publication.name;
        let to_read = publication::coverage(name, &survey.publication, &survey.all, &captured)?;
        if self.snapshot.mode != SnapshotMode::NoData {
            preflight::check_readable(&server.about.facts.role, &to_read)?;
        }
        let log_end = server.about.identity.log_end;
        let checkpoint =
            self.checkpoint(&server.about, None, log_end, Some(SnapshotState::Intended));
        server.sql.close().await;
        server.walsender.close().await;
        Ok(checkpoint)
    }

    async fn survey(&self, server: &mut Server, promise: Promise) -> Result<Survey, SourceError> {
        let all = preflight::tables(&mut server.sql).await?;
        let captured = preflight::captured(&self.config, &all)?;
        if self.config.unmapped_types == UnmappedTypes::Fail {
            let oids: Vec<u32> = captured.iter().map(|table| table.oid).collect();
            let relations = catalog_query::relations(&mut server.sql, &oids, Sizes::Noted).await?;
            preflight::check_types(&relations)?;
        }
        let (name, database) = (&self.config.slot, &self.config.database);
        let found = slot::read(&mut server.sql, name).await?;
        let plan = slot::plan(name, database, found.as_ref(), promise)?;
        found.iter().for_each(|facts| slot::warn_of_danger(name, facts));
        let publication = self.publication(&mut server.sql, plan, &all, &captured).await?;
        self.warn_of(&publication, &captured);
        let captured = captured.into_iter().cloned().collect();
        Ok(Survey { plan, publication, all, captured })
    }

    async fn connect(&self) -> Result<Server, SourceError> {
        let mut sql = PgConnection::connect(&self.config, Purpose::Sql).await?;
        let facts = preflight::server(&mut sql).await?;
        let mut walsender = PgConnection::connect(&self.config, Purpose::Replication).await?;
        let identity = slot::identify(&mut walsender).await?;
        tracing::info!(
            endpoint = sql.endpoint(),
            server_version = sql.parameter("server_version"),
            system_id = identity.system_id,
            timeline = identity.timeline,
            encrypted = sql.is_encrypted(),
            channel_bound = sql.is_channel_bound(),
            "connected"
        );
        Ok(Server { sql, walsender, about: About { facts, identity } })
    }

    async fn check_identity(
        &self,
        past: &Past<'_>,
        server: &mut Server,
    ) -> Result<(), SourceError> {
        let SourceIdentity::Postgres { system_id, database_oid, slot, .. } =
            &past.checkpoint.identity
        else {
            return Err(SourceError::ForeignPosition {
                position: Box::new(past.checkpoint.position.clone()),
                system_id: server.about.identity.system_id.clone(),
            });
        };
        if *system_id != server.about.identity.system_id {
            return Err(SourceError::OtherSystem {
                endpoint: server.sql.endpoint().to_owned(),
                expected: system_id.clone(),
                found: server.about.identity.system_id.clone(),
            });
        }
        if *database_oid != server.about.facts.database_oid {
            return Err(SourceError::OtherDatabase {
                database: self.config.database.clone(),
                expected: *database_oid,
                found: server.about.facts.database_oid,
            });
        }
        if *slot != self.config.slot {
            let (expected, found) = (slot.clone(), self.config.slot.clone());
            return Err(SourceError::OtherSlot { expected, found });
        }
        let PostgresPosition { timeline, lsn, .. } = past.position;
        let history = match server.about.identity.timeline {
            same if same == *timeline => Vec::new(),
            other => slot::history(&mut server.walsender, other).await?,
        };
        lineage::check(*timeline, *lsn, &server.about.identity, &history)
    }

    /// Reads the publication, and makes it where that is allowed and can help.
    async fn publication(
        &self,
        sql: &mut PgConnection,
        plan: SlotPlan,
        all: &[Listed],
        captured: &[&Listed],
    ) -> Result<PublicationFacts, SourceError> {
        let wanted = &self.config.publication;
        if let Some(facts) = publication::read(sql, &wanted.name).await? {
            return Ok(facts);
        }
        let missing = || SourceError::PublicationMissing {
            publication: wanted.name.clone(),
            sql: publication::creation_statement(&wanted.name, captured),
        };
        // One made now does not exist for the log that an old slot still has to read.
        if plan == SlotPlan::Resume || !wanted.create {
            return Err(missing());
        }
        let statement = publication::creation(&wanted.name, all, captured)?;
        publication::create(sql, &wanted.name, &statement).await?;
        publication::read(sql, &wanted.name).await?.ok_or_else(missing)
    }

    fn warn_of(&self, facts: &PublicationFacts, captured: &[&Listed]) {
        let publication = &self.config.publication.name;
        let broken = publication::without_identity(facts, captured);
        if !broken.is_empty() {
            let tables = publication::dotted_list(&broken);
            tracing::warn!(
                publication,
                tables,
                "the server refuses UPDATE and DELETE on published tables without replica \
                 identity: ALTER TABLE … REPLICA IDENTITY FULL"
            );
        }
    }

    async fn resume(
        &self,
        mut server: Server,
        past: Option<Past<'_>>,
        facts: &PublicationFacts,
        captured: &[&Listed],
    ) -> Result<Started, SourceError> {
        let oids: Vec<u32> = captured.iter().map(|table| table.oid).collect();
        let relations = catalog_query::relations(&mut server.sql, &oids, Sizes::Noted).await?;
        publication::check_rows_and_columns(&self.config.publication.name, facts, &relations)?;
        let lsn = past.as_ref().map(|past| past.position.lsn).unwrap_or_default();
        let Server { sql, walsender, about } = server;
        sql.close().await;
        let checkpoint = self.checkpoint(&about, past.as_ref(), lsn, None);
        tracing::info!(position = %checkpoint.position, "resuming");
        let phase = Phase::Stream(self.stream_phase(&about, walsender, lsn));
        Ok(self.started(&about, checkpoint, phase, None))
    }

    async fn begin_anew(
        &self,
        mut server: Server,
        past: Option<Past<'_>>,
        facts: &PublicationFacts,
        to_read: &[&Listed],
    ) -> Result<Started, SourceError> {
        let oids: Vec<u32> = to_read.iter().map(|table| table.oid).collect();
        let relations = catalog_query::relations(&mut server.sql, &oids, Sizes::Noted).await?;
        publication::check_rows_and_columns(&self.config.publication.name, facts, &relations)?;
        let creation = match self.snapshot.mode {
            SnapshotMode::Initial => Creation::Exporting,
            // Nobody will come back for the log that a slot would keep.
            SnapshotMode::InitialOnly => Creation::TemporaryExporting,
            SnapshotMode::NoData => Creation::WithoutSnapshot,
        };
        if creation != Creation::WithoutSnapshot {
            preflight::check_readable(&server.about.facts.role, to_read)?;
        }
        let name = &self.config.slot;
        let Server { walsender, sql, .. } = &mut server;
        let made = slot::create(walsender, sql, name, creation).await?;
        tracing::info!(slot = name, consistent_point = %made.consistent_point, "slot created");
        let snapshot = match self.open_snapshot(&made, &oids).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                // Nothing was promised yet: a slot left behind would only stop the next start.
                if creation == Creation::Exporting {
                    slot::drop(&mut server.sql, name).await.ok();
                }
                return Err(error);
            }
        };
        Ok(self.new_run(server, past.as_ref(), made.consistent_point, snapshot))
    }

    /// The slot of the interrupted snapshot is kept for the changes since; a temporary one gives
    /// the new snapshot.
    async fn begin_again(
        &self,
        mut server: Server,
        past: Option<Past<'_>>,
        facts: &PublicationFacts,
        to_read: &[&Listed],
    ) -> Result<Started, SourceError> {
        let oids: Vec<u32> = to_read.iter().map(|table| table.oid).collect();
        let relations = catalog_query::relations(&mut server.sql, &oids, Sizes::Noted).await?;
        publication::check_rows_and_columns(&self.config.publication.name, facts, &relations)?;
        preflight::check_readable(&server.about.facts.role, to_read)?;
        let mut exporter = PgConnection::connect(&self.config, Purpose::Replication).await?;
        let temporary = slot::temporary_name(&self.config.slot);
        let creation = Creation::TemporaryExporting;
        let made = slot::create(&mut exporter, &mut server.sql, &temporary, creation).await?;
        let Some((readers, tables)) = self.open_snapshot(&made, &oids).await? else {
            return Err(exporter.protocol_error("a temporary slot without a snapshot".to_owned()));
        };
        let snapshot = SnapshotFacts {
            tables: tables.clone(),
            consistent_point: made.consistent_point,
            transaction_id: readers.transaction_id,
            read_at_us: readers.read_at_us,
        };
        let Server { walsender, about, .. } = server;
        let from = past.as_ref().map(|past| past.position.lsn).unwrap_or_default();
        let phase = Phase::SnapshotAgain(Box::new(AgainPhase {
            config: self.config.clone(),
            catch_up: self.stream_phase(&about, walsender, from),
            snapshot: SnapshotPhase { readers, tables, unmapped: self.config.unmapped_types },
            consistent_point: made.consistent_point,
            exporter,
        }));
        let checkpoint = self.checkpoint(&about, past.as_ref(), from, None);
        Ok(self.started(&about, checkpoint, phase, Some(snapshot)))
    }

    /// Readers inside the new slot's snapshot, and the tables as the snapshot sees them.
    async fn open_snapshot(
        &self,
        made: &NewSlot,
        oids: &[u32],
    ) -> Result<Option<(Readers, Vec<RelationFacts>)>, SourceError> {
        let Some(name) = &made.snapshot else { return Ok(None) };
        let n_readers = self.snapshot.connections.min(oids.len());
        let mut readers = Readers::open(&self.config, n_readers, name).await?;
        let tables = catalog_query::relations(readers.any(), oids, Sizes::Measured).await?;
        Ok(Some((readers, tables)))
    }

    fn new_run(
        &self,
        server: Server,
        past: Option<&Past<'_>>,
        from: Lsn,
        snapshot: Option<(Readers, Vec<RelationFacts>)>,
    ) -> Started {
        let Server { walsender, about, .. } = server;
        let Some((readers, tables)) = snapshot else {
            let checkpoint = self.checkpoint(&about, past, from, Some(SnapshotState::Skipped));
            let phase = Phase::Stream(self.stream_phase(&about, walsender, from));
            return self.started(&about, checkpoint, phase, None);
        };
        let facts = SnapshotFacts {
            tables: tables.clone(),
            consistent_point: from,
            transaction_id: readers.transaction_id,
            read_at_us: readers.read_at_us,
        };
        let reading = SnapshotPhase { readers, tables, unmapped: self.config.unmapped_types };
        let after = match self.snapshot.mode {
            SnapshotMode::InitialOnly => After::Nothing(walsender),
            SnapshotMode::Initial | SnapshotMode::NoData => {
                After::Stream(self.stream_phase(&about, walsender, from))
            }
        };
        let checkpoint = self.checkpoint(&about, past, from, Some(SnapshotState::Running));
        self.started(&about, checkpoint, Phase::Snapshot(reading, after), Some(facts))
    }

    fn stream_phase(&self, about: &About, walsender: PgConnection, from: Lsn) -> StreamPhase {
        let config = &self.config;
        let settings = StreamSettings {
            slot: config.slot.clone(),
            publication: config.publication.name.clone(),
            logical_messages: config.logical_messages,
            server_version: about.facts.version,
            system_id: about.identity.system_id.clone(),
            status_interval: config.status_interval,
            wal_sender_timeout: about.facts.wal_sender_timeout,
            silence_limit: config.silence_limit,
        };
        StreamPhase { walsender, settings, from }
    }

    /// The checkpoint of this run's beginning. A new timeline of the same log is noted; the rest
    /// of an old checkpoint lives on. `state` is `None` where the old one holds.
    fn checkpoint(
        &self,
        about: &About,
        past: Option<&Past<'_>>,
        lsn: Lsn,
        state: Option<SnapshotState>,
    ) -> Checkpoint {
        let old = past.map(|past| past.checkpoint);
        let system_id = &about.identity.system_id;
        Checkpoint {
            pipeline: self.pipeline.clone(),
            identity: SourceIdentity::Postgres {
                system_id: system_id.clone(),
                database_oid: about.facts.database_oid,
                database: self.config.database.clone(),
                slot: self.config.slot.clone(),
            },
            snapshot: state.or(old.map(|old| old.snapshot)).unwrap_or(SnapshotState::Running),
            position: position(about, lsn),
            schemas: crate::schema::history::SchemaHistory::default(),
            partitions: old.map(|old| old.partitions.clone()).unwrap_or_default(),
            counter: old.map(|old| old.counter).unwrap_or_default(),
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn started(
        &self,
        about: &About,
        checkpoint: Checkpoint,
        phase: Phase,
        snapshot: Option<SnapshotFacts>,
    ) -> Started {
        let config = &self.config;
        let Position::Postgres(PostgresPosition { lsn: from, .. }) = checkpoint.position else {
            unreachable!("the checkpoint was made by `Self::checkpoint`")
        };
        let again = matches!(phase, Phase::SnapshotAgain(_));
        let decoder = DecoderConfig {
            system_id: about.identity.system_id.clone(),
            timeline: about.identity.timeline,
            database: config.database.clone(),
            topic_prefix: self.topic_prefix.clone(),
            version: env!("CARGO_PKG_VERSION"),
            filter: config.tables.clone(),
            unmapped_types: config.unmapped_types,
            logical_messages: config.logical_messages,
            server_version: about.facts.version,
            resume_from: (snapshot.is_none() || again).then_some(from),
            snapshot,
        };
        let n_snapshot_tables = decoder.snapshot.as_ref().map_or(0, |facts| facts.tables.len());
        let catalog = CatalogReader::new(Handle::current(), config.clone());
        Started {
            n_snapshot_tables,
            checkpoint,
            session: Box::new(PostgresSession { phase }),
            decoder: Box::new(Decoder::new(decoder, Box::new(catalog))),
            log_end: position(about, about.identity.log_end),
        }
    }
}

fn position(about: &About, lsn: Lsn) -> Position {
    let SystemIdentity { system_id, timeline, .. } = about.identity.clone();
    Position::Postgres(PostgresPosition { system_id, timeline, lsn })
}
