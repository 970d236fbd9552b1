//! The connection's two buffers: bytes in, messages out, and the other way round.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::PgConnection;
use crate::sources::net;
use crate::sources::postgres::error::SourceError;
use crate::sources::postgres::wire::{self, Fields, Message, WireError};

/// A server that takes no byte for this long takes none at all.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

impl PgConnection {
    /// What is written stays written when this is cancelled; the rest goes with the next flush.
    pub(in crate::sources::postgres) async fn flush(
        &mut self,
        operation: &'static str,
    ) -> Result<(), SourceError> {
        let write = async {
            self.io.write_all_buf(&mut self.output).await?;
            self.io.flush().await
        };
        match timeout(WRITE_TIMEOUT, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(self.lost(operation, source)),
            Err(_) => Err(SourceError::Timeout {
                operation,
                endpoint: self.endpoint.clone(),
                timeout_ms: WRITE_TIMEOUT.as_millis(),
            }),
        }
    }

    /// The next message but for the server's running commentary. Cancel-safe.
    pub(in crate::sources::postgres) async fn next_message(
        &mut self,
        operation: &'static str,
    ) -> Result<Message, SourceError> {
        loop {
            match self.buffered_message()? {
                Some(message) => return Ok(message),
                None => self.fill(operation).await?,
            }
        }
    }

    pub(super) fn buffered_message(&mut self) -> Result<Option<Message>, SourceError> {
        loop {
            let message = wire::take_message(&mut self.input, self.message_bytes_max);
            let Some(message) = message.map_err(|error| self.wire_error(&error))? else {
                return Ok(None);
            };
            match message.tag {
                wire::PARAMETER_STATUS => self.note_parameter(&message)?,
                wire::NOTIFICATION => {}
                _ => return Ok(Some(message)),
            }
        }
    }

    fn note_parameter(&mut self, message: &Message) -> Result<(), SourceError> {
        let mut fields = Fields::new("a parameter status", &message.body);
        let pair = fields.c_string().and_then(|name| Ok((name, fields.c_string()?)));
        let (name, value) = pair.map_err(|error| self.wire_error(&error))?;
        self.parameters.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    pub(super) fn log_notice(&self, message: &Message) {
        let notice = wire::server_error(&message.body);
        tracing::debug!(endpoint = self.endpoint, code = notice.code, "notice of the server");
    }

    /// Waits for bytes, then takes all that have arrived, up to a full buffer. Cancel-safe.
    pub(super) async fn fill(&mut self, operation: &'static str) -> Result<(), SourceError> {
        match net::fill(&mut *self.io, &mut self.input).await {
            Ok(0) => {
                let endpoint = self.endpoint.clone();
                Err(SourceError::Closed { operation, endpoint })
            }
            Ok(_) => Ok(()),
            Err(source) => Err(self.lost(operation, source)),
        }
    }

    fn lost(&self, operation: &'static str, source: io::Error) -> SourceError {
        SourceError::Lost { operation, endpoint: self.endpoint.clone(), source }
    }

    pub(in crate::sources::postgres) fn wire_error(&self, error: &WireError) -> SourceError {
        match *error {
            WireError::TooLarge { bytes, limit } => SourceError::MessageTooLarge { bytes, limit },
            WireError::Length { .. } | WireError::Short(_) | WireError::Encoding(_) => {
                self.protocol_error(error.to_string())
            }
        }
    }

    pub(in crate::sources::postgres) fn protocol_error(&self, detail: String) -> SourceError {
        SourceError::Protocol { endpoint: self.endpoint.clone(), detail }
    }

    pub(in crate::sources::postgres) fn unexpected(&self, tag: u8, operation: &str) -> SourceError {
        self.protocol_error(format!("message `{}` while we {operation}", char::from(tag)))
    }
}
