//! The catalogues for the decoder, which is synchronous and asks seldom.

use tokio::runtime::Handle;

use super::catalog::{Catalog, RelationFacts, TypeFacts};
use super::catalog_query::{Sizes, column_type, relations};
use super::connection::{PgConnection, Purpose};
use super::error::SourceError;
use crate::config::PostgresConfig;
use crate::disposition::{Diagnose, Disposition};
use crate::sources::BoxError;

/// Answers the decoder on its own thread, over a connection of its own that is made when it is
/// first needed and made again when it was lost.
pub struct CatalogReader {
    runtime: Handle,
    config: PostgresConfig,
    connection: Option<PgConnection>,
}

#[derive(Clone, Copy)]
enum Question {
    Relation(u32),
    Type(u32),
}

enum Answer {
    Relation(Option<RelationFacts>),
    Type(Option<TypeFacts>),
}

impl CatalogReader {
    #[must_use]
    pub fn new(runtime: Handle, config: PostgresConfig) -> Self {
        Self { runtime, config, connection: None }
    }

    /// Asks, and asks once more over a new connection when the old one, idle for hours maybe,
    /// turns out to be gone.
    fn ask(&mut self, question: Question) -> Result<Answer, SourceError> {
        let was_connected = self.connection.is_some();
        match self.ask_once(question) {
            Err(error) if was_connected && error.disposition() == Disposition::Reconnect => {
                self.ask_once(question)
            }
            answer => answer,
        }
    }

    fn ask_once(&mut self, question: Question) -> Result<Answer, SourceError> {
        let connection = self.connection.take();
        let config = &self.config;
        let (connection, answer) = self.runtime.block_on(async move {
            let mut connection = match connection {
                Some(connection) => connection,
                None => PgConnection::connect(config, Purpose::Sql).await?,
            };
            let answer = match question {
                Question::Relation(oid) => {
                    let found = relations(&mut connection, &[oid], Sizes::Noted).await?;
                    Answer::Relation(found.into_iter().next())
                }
                Question::Type(oid) => Answer::Type(column_type(&mut connection, oid).await?),
            };
            Ok::<_, SourceError>((connection, answer))
        })?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

impl Catalog for CatalogReader {
    fn relation(&mut self, oid: u32) -> Result<Option<RelationFacts>, BoxError> {
        match self.ask(Question::Relation(oid))? {
            Answer::Relation(facts) => Ok(facts),
            Answer::Type(_) => Ok(None),
        }
    }

    fn column_type(&mut self, oid: u32) -> Result<Option<TypeFacts>, BoxError> {
        match self.ask(Question::Type(oid))? {
            Answer::Type(facts) => Ok(facts),
            Answer::Relation(_) => Ok(None),
        }
    }
}
