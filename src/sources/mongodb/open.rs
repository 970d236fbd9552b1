//! Opening a change stream, and what a server says that will not.
//!
//! Only the codes that say so mean that events are lost: the oplog is gone where the token points
//! to, or the token is none. Everything else may heal, and the token is good until then.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_core::Stream;
use mongodb::action::Aggregate;
use mongodb::bson::Document;
use mongodb::options::ServerAddress;
use mongodb::raw_batch_cursor::{RawBatch as DriverBatch, RawBatchCursor};

use super::deployment::Deployment;
use super::error::{Images, ServerError, SourceError};
use super::preflight::Features;
use super::reply::{self, Pieces, Room};
use super::stages::{self, StartPoint};
use crate::config::{CaptureScope, MongodbConfig, PreImages};
use crate::offsets::position::ResumeToken;
use crate::sources::Stage;

pub(super) const OPEN: &str = "open the change stream";
pub(super) const READ: &str = "read the change stream";

/// `CappedPositionLost`, `ChangeStreamFatalError` (the token's event is not where it should be),
/// `ChangeStreamHistoryLost`, and what 4.0 said for it.
const HISTORY_LOST: [i32; 4] = [136, 280, 286, 40576];
/// `InvalidResumeToken`; a token that is no KeyString, no document of one, or of another kind.
const BAD_TOKEN: [i32; 6] = [260, 50811, 40647, 40648, 40649, 50788];
/// `FailedToParse` and `TypeMismatch`: of the token where there is one, else of the pipeline.
const MALFORMED: [i32; 2] = [9, 14];
/// An unknown stage, an unknown option, a value that it does not take, a regular expression that
/// does not compile or is too long; `QueryFeatureNotAllowed`, of what an older
/// `featureCompatibilityVersion` does not have.
const PIPELINE: [i32; 8] = [2, 224, 40324, 40415, 51091, 51108, 51111, 6_189_400];
/// `BSONObjectTooLarge`; a field that is too large for a fragment of its own
/// (`change_stream_split_event_helpers.cpp`).
const TOO_LARGE: [i32; 3] = [10334, 17419, 7_182_500];
/// `ChangeStreamFatalError`, of a token whose event was looked for and not found.
const TOKEN_NOT_FOUND: i32 = 280;
/// `NoMatchingDocument`: an image that is required and is not there; of a collection that keeps none
/// (`document_source_change_stream_add_pre_image.cpp`).
const NO_IMAGE: [i32; 2] = [47, 51770];
/// `$changeStream` on a server that is no member of a replica set.
const STANDALONE: [i32; 1] = [40573];

/// What a stream is opened with, each time.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    pub config: MongodbConfig,
    pub features: Features,
    /// Whether the deployment is known to be the one of the checkpoint.
    pub is_proven: bool,
    pub missing: Missing,
}

/// Told by a run to the next one: the token that its stream was opened behind, and that its event is
/// not there. A server says so when it has found a later one, however long it takes.
#[derive(Clone, Debug, Default)]
pub struct Missing(Arc<Mutex<Option<(String, ServerError)>>>);

impl Missing {
    /// What was told of this token.
    pub(super) fn take(&self, place: &StartPoint) -> Option<SourceError> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (place, source) = told.filter(|(told, _)| *told == place.to_string())?;
        Some(SourceError::TokenNotFound { place, went_on: false, source })
    }
}

impl StreamSettings {
    /// An error that ends a run: one that the next run can do without is remembered for it.
    pub(super) fn remembered(&self, error: SourceError) -> SourceError {
        let SourceError::TokenNotFound { place, went_on, source } = error else { return error };
        // A later place was handed on, that needs no event; where the checkpoint has it by now,
        // the next run goes on from there.
        if !self.is_proven && !went_on {
            return SourceError::HistoryLost { place, source };
        }
        let told = Some((place.clone(), source.clone()));
        *self.missing.0.lock().unwrap_or_else(PoisonError::into_inner) = told;
        SourceError::TokenNotFound { place, went_on, source }
    }
}

/// An open stream.
pub struct OpenStream {
    cursor: RawBatchCursor,
    /// For the reply that is asked for.
    room: Option<Room>,
    /// Where it was opened, or what was read last: for messages, and for going on after an
    /// invalidation.
    pub(super) place: StartPoint,
    opened_at: StartPoint,
    /// Until then the server may be looking for the event of the token, whatever its replies say.
    has_read_event: bool,
    /// The token that it began at.
    pub(super) begins_at: Option<ResumeToken>,
    /// The server that has its cursor, which no other knows of.
    pub(super) server: Option<ServerAddress>,
    images: Images,
    servers: String,
}

/// Opens a stream. The first batch is asked for empty: a server that has to look through hours of
/// oplog for the first event answers at once all the same, with the token that it begins at.
pub(super) async fn open(
    deployment: &Deployment,
    settings: &StreamSettings,
    from: StartPoint,
) -> Result<OpenStream, SourceError> {
    let StreamSettings { config, features, .. } = settings;
    let images = match (config.pre_images, config.full_document) {
        (PreImages::Required, _) => Images::Before,
        (PreImages::Off | PreImages::WhenAvailable, _) => Images::After,
    };
    let servers = deployment.servers.clone();
    let failed = |error: &mongodb::error::Error| {
        let error = refined(deployment.failed(OPEN, error), &from, (&servers, images));
        unfound(error, &from, &from)
    };
    let cursor = cursor(deployment, config, stages::pipeline(config, *features, &from)).await;
    let cursor = match cursor.map_err(|error| failed(&error)) {
        Err(refused @ SourceError::PipelineRefused { .. }) if *features != Features::default() => {
            let plain = stages::pipeline(config, Features::default(), &from);
            let cursor = self::cursor(deployment, config, plain).await;
            let cursor = cursor.map_err(|error| failed(&error))?;
            tracing::warn!(
                error = refused.server().map(ToString::to_string),
                "not every server knows what its version should: events beyond 16 MB cannot be sent"
            );
            Ok(cursor)
        }
        cursor => cursor,
    }?;
    let server = deployment.last_used();
    let opened_at = from.clone();
    Ok(OpenStream {
        cursor,
        room: None,
        place: from,
        opened_at,
        has_read_event: false,
        begins_at: None,
        server,
        images,
        servers,
    })
}

async fn cursor(
    deployment: &Deployment,
    config: &MongodbConfig,
    pipeline: Vec<Document>,
) -> mongodb::error::Result<RawBatchCursor> {
    let client = &deployment.client;
    match &config.scope {
        CaptureScope::Deployment => {
            batches(client.database("admin").aggregate(pipeline), config).await
        }
        CaptureScope::Database(database) => {
            batches(client.database(database).aggregate(pipeline), config).await
        }
        CaptureScope::Collection { database, collection } => {
            let collection = client.database(database).collection::<Document>(collection);
            batches(collection.aggregate(pipeline), config).await
        }
    }
}

async fn batches(
    aggregate: Aggregate<'_>,
    config: &MongodbConfig,
) -> mongodb::error::Result<RawBatchCursor> {
    aggregate.batch_size(0).max_await_time(config.await_time).batch().await
}

impl OpenStream {
    /// The next reply. Cancel-safe: a question that is under way stays so, and polling again takes
    /// its answer. `None` when the server closed the cursor.
    pub(super) async fn next(
        &mut self,
        deployment: &Deployment,
    ) -> Result<Option<Pieces>, SourceError> {
        // Kept over a cancellation, as the question is.
        if self.room.is_none() {
            self.room = Some(deployment.replies.room().await);
        }
        let reply = poll_fn(|context| Pin::new(&mut self.cursor).poll_next(context)).await;
        match reply {
            None => Ok(None),
            Some(Ok(reply)) => {
                let room = self.room.take().expect("there is room before anything is asked for");
                self.take((reply, room)).map(Some)
            }
            Some(Err(error)) => {
                let error = deployment.failed(READ, &error);
                let error = refined(error, &self.place, (&self.servers, self.images));
                Err(match self.has_read_event {
                    false => unfound(error, &self.place, &self.opened_at),
                    true => error,
                })
            }
        }
    }

    fn take(&mut self, reply: (DriverBatch, Room)) -> Result<Pieces, SourceError> {
        let pieces = reply::pieces(reply, Stage::Stream, &self.servers, READ)?;
        self.has_read_event |= pieces.n_documents > 0;
        let Some(bytes) = &pieces.token else { return Ok(pieces) };
        let unread = |detail: String| SourceError::Reply {
            operation: READ,
            servers: self.servers.clone(),
            detail,
        };
        let token = Document::from_reader(bytes.as_ref());
        let token = token.map_err(|error| unread(error.to_string()))?;
        if self.begins_at.is_none() {
            let token = ResumeToken::from_bson(bytes).map_err(|error| unread(error.to_string()))?;
            self.begins_at = Some(token);
        }
        self.place = StartPoint::After(token);
        Ok(pieces)
    }
}

/// What an error means for a stream that stands at `place`.
fn refined(
    error: SourceError,
    place: &StartPoint,
    (servers, images): (&str, Images),
) -> SourceError {
    let SourceError::Command { operation, source } = error else { return error };
    let resumes = *place != StartPoint::Open;
    let place = place.to_string();
    match source.code {
        code if HISTORY_LOST.contains(&code) => SourceError::HistoryLost { place, source },
        code if BAD_TOKEN.contains(&code) => SourceError::BadToken { place, source },
        code if MALFORMED.contains(&code) && resumes => SourceError::BadToken { place, source },
        code if PIPELINE.contains(&code) || MALFORMED.contains(&code) => {
            SourceError::PipelineRefused { source }
        }
        code if TOO_LARGE.contains(&code) => SourceError::EventTooLarge { source },
        code if NO_IMAGE.contains(&code) => {
            let after = code != 51770 && source.message.contains("post-image");
            let images = if after { Images::After } else { images };
            SourceError::ImageMissing { images, source }
        }
        code if STANDALONE.contains(&code) => {
            SourceError::Standalone { servers: servers.to_owned() }
        }
        _ => SourceError::Command { operation, source },
    }
}

/// No event was read yet, and the one to go on behind is not where it should be. That the stream
/// stands at a later place is no proof that it was found: with the end of the log in sight a server
/// moves its token on, and tells what is missing when the next event comes
/// (`document_source_change_stream_ensure_resume_token_present.cpp`).
fn unfound(error: SourceError, place: &StartPoint, opened_at: &StartPoint) -> SourceError {
    match error {
        SourceError::HistoryLost { source, .. }
            if source.code == TOKEN_NOT_FOUND && matches!(opened_at, StartPoint::After(_)) =>
        {
            let went_on = place != opened_at;
            SourceError::TokenNotFound { place: opened_at.to_string(), went_on, source }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;
    use crate::disposition::{Diagnose, Disposition};
    use crate::sources::mongodb::error::ServerError;

    fn refine(code: i32, from: &StartPoint) -> SourceError {
        let source = ServerError { code, ..ServerError::default() };
        refined(SourceError::Command { operation: READ, source }, from, ("db:27017", Images::After))
    }

    fn token() -> StartPoint {
        StartPoint::After(doc! { "_data": "826B005FB6000000012B0229296E04" })
    }

    /// The codes of a 4.4 server's answers, and those that the manual names.
    #[test]
    fn only_the_codes_that_say_so_mean_that_events_are_lost() {
        for code in [136, 280, 286, 40576] {
            let error = refine(code, &token());
            assert!(matches!(error, SourceError::HistoryLost { .. }), "{code}");
            assert_eq!(error.disposition(), Disposition::Stop);
            let place = "826B005FB6000000012B0229296E04";
            assert!(error.to_string().contains(place), "{error}");
        }
        for code in [43, 237, 10107, 189, 11602, 91, 6, 89, 262, 11601, 50, 133, 987_654] {
            let error = refine(code, &token());
            assert_eq!(error.disposition(), Disposition::Reconnect, "{code}: {error}");
        }
    }

    /// However late: what counts is that no event was read.
    #[test]
    fn a_token_without_its_event_is_told_from_a_log_that_is_lost() {
        let (token, mark) = (token(), StartPoint::After(doc! { "_data": "83" }));
        let unfound = |code, place| unfound(refine(code, place), place, &token);
        for (place, expected) in [(&token, false), (&mark, true)] {
            let error = unfound(280, place);
            let SourceError::TokenNotFound { place, went_on, .. } = &error else {
                panic!("{error}")
            };
            assert_eq!((place.as_str(), *went_on), (token.to_string().as_str(), expected));
            assert_eq!(error.disposition(), Disposition::Reconnect);
        }
        assert!(matches!(unfound(286, &mark), SourceError::HistoryLost { .. }));
    }

    #[test]
    fn a_token_that_is_none_is_told_from_a_pipeline_that_is_none() {
        for code in [260, 50811, 40647, 9, 14] {
            assert!(matches!(refine(code, &token()), SourceError::BadToken { .. }), "{code}");
        }
        for code in [9, 14, 224, 40324, 40415, 51091] {
            let error = refine(code, &StartPoint::Open);
            assert!(matches!(error, SourceError::PipelineRefused { .. }), "{code}");
        }
    }

    #[test]
    fn what_a_server_cannot_send_stops_loudly() {
        for code in [10334, 7_182_500] {
            assert!(matches!(refine(code, &token()), SourceError::EventTooLarge { .. }), "{code}");
        }
        for code in [47, 51770] {
            let error = refine(code, &token());
            assert!(matches!(error, SourceError::ImageMissing { .. }), "{code}");
            assert!(error.hint().is_some_and(|hint| hint.contains("collMod")), "{code}");
        }
        assert!(matches!(refine(40573, &StartPoint::Open), SourceError::Standalone { .. }));
    }
}
