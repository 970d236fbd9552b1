//! The connection's two buffers: bytes in, payloads out, and the other way round.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::MyConnection;
use crate::sources::mysql::error::SourceError;
use crate::sources::mysql::wire::{self, Frames, WireError};
use crate::sources::net;

/// A server that takes no byte for this long takes none at all.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

impl MyConnection {
    /// Sends one payload within an exchange that is under way.
    pub(in crate::sources::mysql) async fn send_payload(
        &mut self,
        operation: &'static str,
        payload: &[u8],
    ) -> Result<(), SourceError> {
        wire::put_payload(&mut self.output, &mut self.sequence, payload);
        self.flush(operation).await
    }

    /// Begins a new exchange.
    pub(in crate::sources::mysql) async fn send_command(
        &mut self,
        operation: &'static str,
        command: &[u8],
    ) -> Result<(), SourceError> {
        self.sequence = 0;
        self.send_payload(operation, command).await
    }

    /// What is written stays written when this is cancelled; the rest goes with the next flush.
    async fn flush(&mut self, operation: &'static str) -> Result<(), SourceError> {
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

    /// Cancel-safe.
    pub(in crate::sources::mysql) async fn next_payload(
        &mut self,
        operation: &'static str,
    ) -> Result<Bytes, SourceError> {
        loop {
            let payload =
                wire::take_payload(&mut self.input, &mut self.sequence, self.message_bytes_max);
            match payload.map_err(|error| self.wire_error(&error))? {
                Some(payload) => return Ok(payload),
                None => self.fill(operation).await?,
            }
        }
    }

    /// Everything that is wanted and has arrived; `None` where the next payload is another one.
    /// Cancel-safe.
    pub(super) async fn next_run(
        &mut self,
        operation: &'static str,
        wanted: fn(&[u8]) -> bool,
    ) -> Result<Result<Frames, Bytes>, SourceError> {
        loop {
            let limit = self.message_bytes_max;
            let run = wire::take_run(&mut self.input, &mut self.sequence, limit, wanted);
            if let Some(frames) = run.map_err(|error| self.wire_error(&error))? {
                return Ok(Ok(frames));
            }
            let other = wire::take_payload(&mut self.input, &mut self.sequence, limit);
            match other.map_err(|error| self.wire_error(&error))? {
                Some(payload) => return Ok(Err(payload)),
                None => self.fill(operation).await?,
            }
        }
    }

    /// Waits for bytes, then takes all that have arrived, up to a full buffer. Cancel-safe.
    async fn fill(&mut self, operation: &'static str) -> Result<(), SourceError> {
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

    pub(in crate::sources::mysql) fn wire_error(&self, error: &WireError) -> SourceError {
        match *error {
            WireError::TooLarge { bytes, limit } => {
                SourceError::MessageTooLarge { bytes, limit, flavor: self.flavor }
            }
            WireError::OutOfOrder { .. } | WireError::Short(_) | WireError::Encoding(_) => {
                self.protocol_error(error.to_string())
            }
        }
    }

    pub(in crate::sources::mysql) fn protocol_error(&self, detail: String) -> SourceError {
        SourceError::Protocol { endpoint: self.endpoint.clone(), detail }
    }

    pub(in crate::sources::mysql) fn unexpected(
        &self,
        first: Option<u8>,
        operation: &str,
    ) -> SourceError {
        self.protocol_error(match first {
            Some(byte) => format!("a message that begins with {byte:#04x} while we {operation}"),
            None => format!("an empty message while we {operation}"),
        })
    }
}
