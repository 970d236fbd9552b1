//! The catalogue for the decoder, which is synchronous and asks seldom.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::disposition::{Diagnose, Disposition};
use crate::offsets::position::BinlogFile;
use crate::sources::BoxError;
use crate::sources::mysql::catalog::{Catalog, Reread, TableFacts, TableName};
use crate::sources::mysql::catalog_query;
use crate::sources::mysql::connection::MyConnection;
use crate::sources::mysql::error::SourceError;
use crate::sources::mysql::reread;
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

    /// Asks, and asks once more over a new connection when the old one, idle for hours maybe,
    /// turns out to be gone.
    fn ask<T>(
        &mut self,
        question: impl AsyncFn(&mut MyConnection) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let was_connected = self.connection.is_some();
        match self.ask_once(&question) {
            Err(error) if was_connected && error.disposition() == Disposition::Reconnect => {
                self.ask_once(&question)
            }
            answer => answer,
        }
    }

    fn ask_once<T>(
        &mut self,
        question: &impl AsyncFn(&mut MyConnection) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let connection = self.connection.take();
        let settings = &self.settings;
        let (connection, answer) = self.runtime.block_on(async move {
            let mut connection = match connection {
                Some(connection) => connection,
                None => {
                    let mut connection = MyConnection::connect(settings).await?;
                    catalog_query::show_generated_keys(&mut connection).await?;
                    connection
                }
            };
            let answer = question(&mut connection).await?;
            Ok::<_, SourceError>((connection, answer))
        })?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

impl Catalog for CatalogReader {
    fn table(&mut self, database: &str, table: &str) -> Result<Option<TableFacts>, BoxError> {
        let facts = async |connection: &mut MyConnection| {
            catalog_query::facts(connection, database, table).await
        };
        for wait in NOT_YET {
            if let Some(facts) = self.ask(facts)? {
                return Ok(Some(facts));
            }
            std::thread::sleep(wait);
        }
        Ok(self.ask(facts)?)
    }

    fn definition(&mut self, name: &TableName, since: &BinlogFile) -> Result<Reread, BoxError> {
        let settings = self.settings.clone();
        let asked = async |connection: &mut MyConnection| {
            reread::definition(connection, &settings, name, since).await
        };
        Ok(self.ask(asked)?)
    }
}
