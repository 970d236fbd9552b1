//! The encoder's way to the registry: blocks the transcoder's thread, and only that.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::encode::SchemaIds;
use crate::schema::registry::{RegistryClient, RegistryError};

/// Asks the registry and waits, unless the run is stopped meanwhile.
pub struct BlockingSchemaIds {
    client: Arc<RegistryClient>,
    runtime: Handle,
    stop: CancellationToken,
}

impl BlockingSchemaIds {
    #[must_use]
    pub fn new(client: Arc<RegistryClient>, runtime: Handle, stop: CancellationToken) -> Self {
        Self { client, runtime, stop }
    }
}

impl SchemaIds for BlockingSchemaIds {
    fn id(&mut self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                // 1. An answer that is there counts even while stopping.
                id = self.client.id(subject, schema) => id,
                // 2. Otherwise nobody waits for a registry that is away.
                () = self.stop.cancelled() => Err(RegistryError::Stopped { subject: subject.to_owned() }),
            }
        })
    }
}

/// For formats without registry.
pub struct NoSchemaIds;

impl SchemaIds for NoSchemaIds {
    fn id(&mut self, _subject: &str, _schema: &str) -> Result<u32, RegistryError> {
        Ok(0)
    }
}
