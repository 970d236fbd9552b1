//! The way to a deployment: the driver with our settings.
//!
//! The driver finds the servers, follows elections, proves who we are and pools connections. Its
//! tasks live on the runtime that it is made on; they wait for sockets and timers and nothing
//! else. Each run makes a client of its own, so that nothing of a failed one lives on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::options::{ClientOptions, Credential, SelectionCriteria, ServerAddress};

use super::error::SourceError;
use super::hints::quoted;
use super::reply::Replies;
use crate::config::{CaptureScope, MongodbConfig};

/// Connections beside those of a snapshot's readers: the stream's, and one for questions.
const CONNECTIONS_BESIDE: u32 = 4;
/// Servers that do not say goodbye in time are left.
const GOODBYE: Duration = Duration::from_secs(1);

/// A client, and what may be said of it.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub(super) client: Client,
    /// The addresses of the URI, for messages.
    pub(super) servers: String,
    /// Shared by all who read from it.
    pub(super) replies: Replies,
    account: Option<Account>,
    scope: CaptureScope,
    welcome: Welcome,
    /// Of the last connection that was taken from the pool.
    last_used: Arc<Mutex<Option<ServerAddress>>>,
}

/// Whether the servers have let us in since the process began. A login that fails afterwards is
/// worth another try: a router that has lost its config servers finds no users any more, and says
/// what it says of a wrong password (`AuthenticationFailed`).
#[derive(Clone, Debug, Default)]
pub struct Welcome(Arc<AtomicBool>);

impl Welcome {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Who we are to the servers.
#[derive(Clone, Debug)]
struct Account {
    user: String,
    /// The database that the user was made in.
    source: String,
}

impl Deployment {
    /// Makes the client. Nothing is connected yet, but names are looked up.
    pub(super) async fn of(
        config: &MongodbConfig,
        n_readers: usize,
        welcome: Welcome,
    ) -> Result<Self, SourceError> {
        let servers = config.servers();
        let options = ClientOptions::parse(config.uri.expose()).await;
        let mut options = options.map_err(|error| {
            match SourceError::of_driver("read the URI", &servers, &error) {
                lookup @ SourceError::Unreachable { .. } => lookup,
                _ => SourceError::Uri { detail: error.kind.to_string() },
            }
        })?;
        options.app_name.get_or_insert_with(|| "tailwater".to_owned());
        let wanted =
            u32::try_from(n_readers).unwrap_or(u32::MAX).saturating_add(CONNECTIONS_BESIDE);
        let pool = options.max_pool_size.unwrap_or(wanted).max(wanted);
        options.max_pool_size = Some(pool);
        // Set where it is wanted; a snapshot session takes no other (`readConcernLevel` in the URI).
        options.read_concern = None;
        if let (Some(user), Some(password)) = (&config.user, &config.password) {
            let credential = options.credential.get_or_insert_with(Credential::default);
            credential.username = Some(user.clone());
            credential.password = Some(password.expose().to_owned());
        }
        let last_used = Arc::new(Mutex::new(None));
        options.cmap_event_handler = Some(noting(Arc::clone(&last_used)));
        let account = options.credential.as_ref().and_then(|credential| {
            Some(Account {
                user: credential.username.clone()?,
                source: credential.source.clone().unwrap_or_else(|| "admin".to_owned()),
            })
        });
        let client = Client::with_options(options);
        let client = client.map_err(|error| SourceError::Uri { detail: error.kind.to_string() })?;
        let (replies, scope) = (Replies::default(), config.scope.clone());
        Ok(Self { client, servers, replies, account, scope, welcome, last_used })
    }

    /// One question, one answer, of the primary, whatever `readPreference` says.
    pub(super) async fn ask_primary(
        &self,
        operation: &'static str,
        database: &str,
        command: Document,
    ) -> Result<Document, SourceError> {
        let answer = self.client.database(database).run_command(command).await;
        answer.map_err(|error| self.failed(operation, &error))
    }

    /// One question, one answer.
    pub(super) async fn command(
        &self,
        operation: &'static str,
        database: &str,
        command: Document,
    ) -> Result<Document, SourceError> {
        let database = self.client.database(database);
        // As the URI's `readPreference` says; the driver asks the primary otherwise.
        let answer = match self.client.selection_criteria() {
            Some(criteria) => database.run_command(command).selection_criteria(criteria.clone()),
            None => database.run_command(command),
        };
        answer.await.map_err(|error| self.failed(operation, &error))
    }

    pub(super) async fn ping(&self, operation: &'static str) -> Result<Document, SourceError> {
        self.command(operation, "admin", doc! { "ping": 1 }).await
    }

    /// The server that the last command went to.
    pub(super) fn last_used(&self) -> Option<ServerAddress> {
        self.last_used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As [`Self::ping`], of one server alone.
    pub(super) async fn ping_at(
        &self,
        address: ServerAddress,
        operation: &'static str,
    ) -> Result<Document, SourceError> {
        let is_it = move |server: &mongodb::ServerInfo<'_>| *server.address() == address;
        let criteria = SelectionCriteria::Predicate(Arc::new(is_it));
        let admin = self.client.database("admin");
        let answer = admin.run_command(doc! { "ping": 1 }).selection_criteria(criteria).await;
        answer.map_err(|error| self.failed(operation, &error))
    }

    /// What the driver says, with what we know of who asked.
    pub(super) fn failed(
        &self,
        operation: &'static str,
        error: &mongodb::error::Error,
    ) -> SourceError {
        match SourceError::of_driver(operation, &self.servers, error) {
            SourceError::Unauthorized { operation, source, .. } => {
                SourceError::Unauthorized { operation, grant: self.grant(), source }
            }
            SourceError::Login { servers, source, .. } => {
                let user = self.account.as_ref().map(|account| account.user.clone());
                let user = user.unwrap_or_default();
                match self.welcome.is_noted() {
                    true => SourceError::LoginLost { servers, user, source },
                    false => SourceError::Login { servers, user, source },
                }
            }
            other => other,
        }
    }

    /// What lets this user read what is captured.
    /// <https://www.mongodb.com/docs/manual/changeStreams/#access-control>
    fn grant(&self) -> String {
        match &self.scope {
            CaptureScope::Deployment => self.grant_of("readAnyDatabase", "admin"),
            CaptureScope::Database(database) | CaptureScope::Collection { database, .. } => {
                self.grant_of("read", database)
            }
        }
    }

    /// The command that gives this user a role.
    pub(super) fn grant_of(&self, role: &str, database: &str) -> String {
        let role = format!("{{ role: {}, db: {} }}", quoted(role), quoted(database));
        match &self.account {
            Some(Account { user, source }) => format!(
                "db.getSiblingDB({}).grantRolesToUser({}, [{role}])",
                quoted(source),
                quoted(user)
            ),
            None => format!(
                "nobody is logged in: db.getSiblingDB(\"admin\").createUser({{ user: \"tailwater\", pwd: passwordPrompt(), roles: [{role}] }}), and set `source.mongodb.user` and `password`"
            ),
        }
    }

    /// Ends cursors and sessions on the servers, where they answer.
    pub(super) async fn close(self) {
        let goodbye = async { self.client.shutdown().await };
        if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
            tracing::debug!("the driver did not say goodbye in time");
        }
    }
}

/// A handler is called for every command, on its way: it does nothing but take a note.
fn noting(last_used: Arc<Mutex<Option<ServerAddress>>>) -> EventHandler<CmapEvent> {
    EventHandler::callback(move |event| {
        if let CmapEvent::ConnectionCheckedOut(event) = event {
            *last_used.lock().unwrap_or_else(PoisonError::into_inner) = Some(event.address);
        }
    })
}
