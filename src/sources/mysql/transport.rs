//! The bytes' way to the server: TCP or a unix socket, with or without TLS.
//!
//! TLS begins behind the server's greeting, so the greeting is read here. Exactly its bytes are
//! read: whatever somebody stuffed in behind it meets the TLS handshake, not us.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::error::SourceError;
use super::handshake::{self, Greeting};
use super::settings::{Address, ConnectSettings};
use super::wire;
use crate::config::TlsMode;
use crate::sources::net::{Io, tune};
use crate::sources::tls;

/// A greeting has a version and a plugin's name in it, or an error's text.
const GREETING_BYTES_MAX: u32 = 64 << 10;

pub(super) struct Transport {
    pub(super) io: Box<dyn Io>,
    pub(super) privacy: Privacy,
    pub(super) greeting: Greeting,
    /// Of the next packet of ours.
    pub(super) sequence: u8,
}

/// Who could read along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privacy {
    /// A unix socket: nobody but the machine.
    Local,
    Clear,
    Encrypted,
}

pub(super) async fn open(settings: &ConnectSettings) -> Result<Transport, SourceError> {
    let endpoint = settings.address.to_string();
    let connect_error = |source| SourceError::Connect { endpoint: endpoint.clone(), source };
    match &settings.address {
        Address::Socket(path) => {
            let mut io = UnixStream::connect(path).await.map_err(connect_error)?;
            let greeting = greet(settings, &mut io).await?;
            // As in the servers' own clients, the TLS mode does not concern a unix socket.
            Ok(Transport { io: Box::new(io), privacy: Privacy::Local, greeting, sequence: 1 })
        }
        Address::Tcp { host, port } => {
            let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(connect_error)?;
            tune(&tcp).map_err(connect_error)?;
            open_tcp(settings, host, tcp).await
        }
    }
}

async fn open_tcp(
    settings: &ConnectSettings,
    host: &str,
    mut tcp: TcpStream,
) -> Result<Transport, SourceError> {
    let greeting = greet(settings, &mut tcp).await?;
    let endpoint = settings.address.to_string();
    match (settings.tls.mode, greeting.has_tls()) {
        (TlsMode::Disable, _) => Ok(in_clear(tcp, greeting)),
        (TlsMode::Prefer, false) => {
            let peer = tcp.peer_addr().ok();
            if !peer.is_some_and(|peer| peer.ip().is_loopback()) {
                tracing::warn!(endpoint, "the server has no TLS; the connection is not encrypted");
            }
            Ok(in_clear(tcp, greeting))
        }
        (TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull, false) => {
            Err(SourceError::TlsRefused { endpoint, flavor: settings.flavor })
        }
        (TlsMode::Prefer | TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull, true) => {
            encrypt(settings, host, tcp, greeting).await
        }
    }
}

fn in_clear(tcp: TcpStream, greeting: Greeting) -> Transport {
    Transport { io: Box::new(tcp), privacy: Privacy::Clear, greeting, sequence: 1 }
}

/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_tls.html>
async fn encrypt(
    settings: &ConnectSettings,
    host: &str,
    mut tcp: TcpStream,
    greeting: Greeting,
) -> Result<Transport, SourceError> {
    let endpoint = settings.address.to_string();
    let mut sequence = 1;
    let mut request = BytesMut::new();
    wire::put_payload(&mut request, &mut sequence, &handshake::request_tls(&greeting));
    tcp.write_all(&request).await.map_err(|source| SourceError::Lost {
        operation: "ask for TLS",
        endpoint: endpoint.clone(),
        source,
    })?;
    let stream = tls::encrypt(&settings.tls, host, &[], tcp)
        .await
        .map_err(|error| SourceError::of_tls(error, &endpoint, settings.flavor))?;
    Ok(Transport { io: Box::new(stream), privacy: Privacy::Encrypted, greeting, sequence })
}

async fn greet<S: Io>(settings: &ConnectSettings, io: &mut S) -> Result<Greeting, SourceError> {
    let endpoint = settings.address.to_string();
    let payload = read_greeting(io, &endpoint).await?;
    let protocol = |detail: String| SourceError::Protocol { endpoint: endpoint.clone(), detail };
    if payload.first() == Some(&wire::ERROR) {
        return Err(SourceError::Login {
            endpoint,
            user: settings.user.clone(),
            flavor: settings.flavor,
            source: Box::new(wire::server_error(&payload)),
        });
    }
    let greeting = handshake::greeting(&payload).map_err(|error| protocol(error.to_string()))?;
    let Some(greeting) = greeting else {
        return Err(protocol(format!(
            "a greeting of protocol version {}; is this {}?",
            payload.first().copied().unwrap_or_default(),
            settings.flavor
        )));
    };
    if greeting.lacks() != 0 {
        return Err(protocol(format!(
            "version {} lacks capabilities {:#x}",
            greeting.version,
            greeting.lacks()
        )));
    }
    if greeting.flavor != settings.flavor {
        return Err(SourceError::OtherFlavor {
            endpoint,
            configured: settings.flavor,
            found: greeting.flavor,
            version: greeting.version,
        });
    }
    Ok(greeting)
}

async fn read_greeting<S: Io>(io: &mut S, endpoint: &str) -> Result<Vec<u8>, SourceError> {
    const OPERATION: &str = "wait for the server's greeting";
    let lost = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            SourceError::Closed { operation: OPERATION, endpoint: endpoint.to_owned() }
        }
        _ => SourceError::Lost { operation: OPERATION, endpoint: endpoint.to_owned(), source },
    };
    let mut header = [0; 4];
    io.read_exact(&mut header).await.map_err(lost)?;
    let [a, b, c, sequence] = header;
    let length = u32::from_le_bytes([a, b, c, 0]);
    if length > GREETING_BYTES_MAX || sequence != 0 {
        let detail = format!("it greets with {header:02x?}, which is no packet of this protocol");
        return Err(SourceError::Protocol { endpoint: endpoint.to_owned(), detail });
    }
    let mut payload = vec![0; length as usize];
    io.read_exact(&mut payload).await.map_err(lost)?;
    Ok(payload)
}
