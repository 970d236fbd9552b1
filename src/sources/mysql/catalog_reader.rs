//! The catalogue for the decoder, which is synchronous and asks seldom.

use tokio::runtime::Handle;

use crate::disposition::{Diagnose, Disposition};
use crate::sources::BoxError;
use crate::sources::mysql::catalog::{Catalog, TableFacts};
use crate::sources::mysql::catalog_query;
use crate::sources::mysql::connection::MyConnection;
use crate::sources::mysql::error::SourceError;
use crate::sources::mysql::settings::ConnectSettings;

/// Answers the decoder on its own thread, over a connection of its own that is made when it is
/// first needed and made again when it was lost.
pub struct CatalogReader {
    runtime: Handle,
    settings: ConnectSettings,
    connection: Option<MyConnection>,
}

impl CatalogReader {
    #[must_use]
    pub fn new(runtime: Handle, settings: ConnectSettings) -> Self {
        Self { runtime, settings, connection: None }
    }

    fn ask_once(&mut self, database: &str, table: &str) -> Result<Option<TableFacts>, SourceError> {
        let connection = self.connection.take();
        let settings = &self.settings;
        let (connection, facts) = self.runtime.block_on(async move {
            let mut connection = match connection {
                Some(connection) => connection,
                None => {
                    let mut connection = MyConnection::connect(settings).await?;
                    catalog_query::show_generated_keys(&mut connection).await?;
                    connection
                }
            };
            let facts = catalog_query::facts(&mut connection, database, table).await?;
            Ok::<_, SourceError>((connection, facts))
        })?;
        self.connection = Some(connection);
        Ok(facts)
    }
}

impl Catalog for CatalogReader {
    /// Asks, and asks once more over a new connection when the old one, idle for hours maybe,
    /// turns out to be gone.
    fn table(&mut self, database: &str, table: &str) -> Result<Option<TableFacts>, BoxError> {
        let was_connected = self.connection.is_some();
        match self.ask_once(database, table) {
            Err(error) if was_connected && error.disposition() == Disposition::Reconnect => {
                Ok(self.ask_once(database, table)?)
            }
            answer => Ok(answer?),
        }
    }
}
