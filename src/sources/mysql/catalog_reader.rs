//! The catalogue for the decoder, which is synchronous and asks seldom.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::disposition::{Diagnose, Disposition};
use crate::sources::BoxError;
use crate::sources::mysql::catalog::{Catalog, TableFacts};
use crate::sources::mysql::catalog_query;
use crate::sources::mysql::connection::MyConnection;
use crate::sources::mysql::error::SourceError;
use crate::sources::mysql::settings::ConnectSettings;

/// A transaction is in the log before its commit is seen by others (`MYSQL_BIN_LOG::ordered_commit`
/// in `binlog.cc`), and CREATE TABLE ... SELECT has its rows in the same transaction: a table that
/// is not there may be about to be. One that was dropped costs this much, once per shape.
const NOT_YET: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(300)];

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
    fn table(&mut self, database: &str, table: &str) -> Result<Option<TableFacts>, BoxError> {
        for wait in NOT_YET {
            if let Some(facts) = self.ask(database, table)? {
                return Ok(Some(facts));
            }
            std::thread::sleep(wait);
        }
        self.ask(database, table)
    }
}

impl CatalogReader {
    /// Asks, and asks once more over a new connection when the old one, idle for hours maybe,
    /// turns out to be gone.
    fn ask(&mut self, database: &str, table: &str) -> Result<Option<TableFacts>, BoxError> {
        let was_connected = self.connection.is_some();
        match self.ask_once(database, table) {
            Err(error) if was_connected && error.disposition() == Disposition::Reconnect => {
                Ok(self.ask_once(database, table)?)
            }
            answer => Ok(answer?),
        }
    }
}
