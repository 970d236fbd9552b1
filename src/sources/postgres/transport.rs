//! The bytes' way to the server: TCP or a unix socket, with or without TLS.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::error::SourceError;
use super::tls;
use crate::config::{PostgresConfig, TlsMode};

/// A dead peer is noticed after idle + retries * interval = 60 s by the kernel alone, whatever
/// we are waiting for.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

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

fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket2::SockRef::from(tcp).set_tcp_keepalive(&keepalive)
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
    let settings = config.tls.clone();
    let name = endpoint.to_owned();
    let built = tokio::task::spawn_blocking(move || tls::client_config(&settings, &name)).await;
    let client = built.map_err(|error| SourceError::TlsSetup {
        endpoint: endpoint.to_owned(),
        detail: error.to_string(),
    })??;
    let server_name = tls::server_name(&config.tls, &config.host, endpoint)?;
    let stream = TlsConnector::from(client)
        .connect(server_name, tcp)
        .await
        .map_err(|source| SourceError::TlsHandshake { endpoint: endpoint.to_owned(), source })?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let end_point_hash = certificate.and_then(|der| tls::end_point_hash(der));
    let privacy = Privacy::Encrypted { end_point_hash };
    Ok(Transport { io: Box::new(stream), privacy })
}
