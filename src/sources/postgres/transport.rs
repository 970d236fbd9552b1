//! The bytes' way to the server: TCP or a unix socket, with or without TLS.

use std::net::SocketAddr;
use std::path::Path;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::channel_binding::end_point_hash;
use super::error::SourceError;
use crate::config::{PostgresConfig, TlsMode};
use crate::sources::net::{Io, tune};
use crate::sources::tls;

/// As libpq 17 names it; older servers do not look at it.
const ALPN: &[&[u8]] = &[b"postgresql"];

pub(super) struct Transport {
    pub(super) io: Box<dyn Io>,
    pub(super) privacy: Privacy,
}

/// Who could read along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Privacy {
    /// A unix socket: nobody but the machine.
    Local,
    Clear,
    /// With what SCRAM can bind to, where the server's certificate has it.
    Encrypted {
        end_point_hash: Option<Vec<u8>>,
    },
}

/// `host:port`, or the path of the socket.
pub(super) fn endpoint(config: &PostgresConfig) -> String {
    let PostgresConfig { host, port, .. } = config;
    match host.as_str() {
        folder if folder.starts_with('/') => {
            Path::new(folder).join(format!(".s.PGSQL.{port}")).display().to_string()
        }
        address if address.contains(':') => format!("[{address}]:{port}"),
        name => format!("{name}:{port}"),
    }
}

pub(super) async fn open(config: &PostgresConfig) -> Result<Transport, SourceError> {
    let endpoint = endpoint(config);
    let connect_error = |source| SourceError::Connect { endpoint: endpoint.clone(), source };
    if config.host.starts_with('/') {
        // As in libpq, the TLS mode does not concern a unix socket.
        let io = UnixStream::connect(&endpoint).await.map_err(connect_error)?;
        return Ok(Transport { io: Box::new(io), privacy: Privacy::Local });
    }
    let tcp =
        TcpStream::connect((config.host.as_str(), config.port)).await.map_err(connect_error)?;
    tune(&tcp).map_err(connect_error)?;
    match config.tls.mode {
        TlsMode::Disable => Ok(Transport { io: Box::new(tcp), privacy: Privacy::Clear }),
        TlsMode::Prefer | TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
            encrypt(config, tcp, &endpoint).await
        }
    }
}

/// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>
async fn encrypt(
    config: &PostgresConfig,
    mut tcp: TcpStream,
    endpoint: &str,
) -> Result<Transport, SourceError> {
    let lost = |source| SourceError::Lost {
        operation: "ask for TLS",
        endpoint: endpoint.to_owned(),
        source,
    };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    tcp.write_all(&request).await.map_err(lost)?;
    // Exactly one byte: whatever somebody stuffed in behind it meets the handshake, not us
    // (CVE-2021-23222).
    match tcp.read_u8().await.map_err(lost)? {
        b'S' => handshake(config, tcp, endpoint).await,
        b'N' if config.tls.mode == TlsMode::Prefer => {
            let peer = tcp.peer_addr().ok();
            if !peer.as_ref().map(SocketAddr::ip).is_some_and(|ip| ip.is_loopback()) {
                tracing::warn!(endpoint, "the server has no TLS; the connection is not encrypted");
            }
            Ok(Transport { io: Box::new(tcp), privacy: Privacy::Clear })
        }
        b'N' => Err(SourceError::TlsRefused { endpoint: endpoint.to_owned() }),
        other => Err(SourceError::Protocol {
            endpoint: endpoint.to_owned(),
            detail: format!("answer {other:#04x} to a request for TLS; is this PostgreSQL?"),
        }),
    }
}

async fn handshake(
    config: &PostgresConfig,
    tcp: TcpStream,
    endpoint: &str,
) -> Result<Transport, SourceError> {
    let stream = tls::encrypt(&config.tls, &config.host, ALPN, tcp)
        .await
        .map_err(|error| SourceError::of_tls(error, endpoint))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let privacy =
        Privacy::Encrypted { end_point_hash: certificate.and_then(|der| end_point_hash(der)) };
    Ok(Transport { io: Box::new(stream), privacy })
}
