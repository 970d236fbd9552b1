//! TLS towards a database server: one set of modes for all of them, as libpq documents it.
//! <https://www.postgresql.org/docs/current/libpq-ssl.html>
//!
//! When in the talk TLS begins is each protocol's own matter.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::config::{TlsConfig, TlsMode};

#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("read the {what} in {path}")]
    File { what: &'static str, path: String, source: rustls::pki_types::pem::Error },
    #[error("prepare TLS: {detail}")]
    Setup { detail: String },
    #[error("agree on TLS")]
    Handshake { source: io::Error },
}

/// The handshake, on a connection whose server waits for it.
pub(super) async fn encrypt(
    tls: &TlsConfig,
    host: &str,
    alpn: &'static [&'static [u8]],
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, TlsError> {
    let settings = tls.clone();
    let built = tokio::task::spawn_blocking(move || client_config(&settings, alpn)).await;
    let client = built.map_err(|error| TlsError::Setup { detail: error.to_string() })??;
    let name = server_name(tls, host)?;
    let connected = TlsConnector::from(client).connect(name, tcp).await;
    connected.map_err(|source| TlsError::Handshake { source })
}

/// Reads files and builds the settings of a handshake. Blocks: called off the runtime.
fn client_config(tls: &TlsConfig, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
    let setup = |error: &dyn std::fmt::Display| TlsError::Setup { detail: error.to_string() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(verifier(tls, &provider)?);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates("client certificate", certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| file_error("client key", key, error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| setup(&error))?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) => return Err(setup(&"a client certificate needs its key")),
        (None, Some(_)) => return Err(setup(&"a client key needs its certificate")),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// How far the server's certificate is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Any certificate: encrypted, but not to anybody in particular.
    Anybody,
    /// A certificate of a trusted authority, whatever its name.
    Chain,
    /// ... that carries the host's name.
    ChainAndName,
}

/// "For backward compatibility, if a root CA file exists, the behavior of `sslmode=require` will
/// be the same as that of `verify-ca`" (libpq's manual, 34.19.1).
fn trust(tls: &TlsConfig) -> Trust {
    match (tls.mode, &tls.ca) {
        (TlsMode::Disable | TlsMode::Prefer, _) | (TlsMode::Require, None) => Trust::Anybody,
        (TlsMode::Require, Some(_)) | (TlsMode::VerifyCa, _) => Trust::Chain,
        (TlsMode::VerifyFull, _) => Trust::ChainAndName,
    }
}

fn verifier(tls: &TlsConfig, provider: &Arc<CryptoProvider>) -> Result<Verifier, TlsError> {
    let trust = trust(tls);
    if trust == Trust::Anybody {
        let provider = Arc::clone(provider);
        return Ok(Verifier { trust, provider, chain: None, pinned: Vec::new() });
    }
    let setup = |detail: String| TlsError::Setup { detail };
    let authorities = match &tls.ca {
        Some(path) => certificates("certificate authorities", path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    let (n_added, _) = roots.add_parsable_certificates(authorities.iter().cloned());
    if n_added == 0 {
        return Err(setup("no certificate authority is known on this system".to_owned()));
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| setup(error.to_string()))?;
    let pinned = if tls.ca.is_some() { authorities } else { Vec::new() };
    Ok(Verifier { trust, provider: Arc::clone(provider), chain: Some(chain), pinned })
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |error| file_error(what, path, error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(error)?.collect();
    let found = found.map_err(error)?;
    if found.is_empty() {
        return Err(error(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn file_error(what: &'static str, path: &Path, source: rustls::pki_types::pem::Error) -> TlsError {
    TlsError::File { what, path: path.display().to_string(), source }
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    /// `None` where anybody is trusted.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates of the configured file. A self-signed server certificate that stands in it is
    /// trusted for itself, as OpenSSL does and webpki does not.
    pinned: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn verify_pinned(
        &self,
        certificate: &CertificateDer<'_>,
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = Certificate::from_der(certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let validity = parsed.tbs_certificate.validity;
        let now = Duration::from_secs(now.as_secs());
        if now > validity.not_after.to_unix_duration() {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        if now < validity.not_before.to_unix_duration() {
            return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
        }
        if self.trust == Trust::ChainAndName {
            verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        if self.pinned.iter().any(|pinned| pinned == end_entity) {
            return self.verify_pinned(end_entity, server_name, now);
        }
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The chain is checked before the name, so only the name is wrong.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.trust == Trust::Chain => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The name to ask for. A host that is no name at all still gets its encryption where names do
/// not matter.
fn server_name(tls: &TlsConfig, host: &str) -> Result<ServerName<'static>, TlsError> {
    match ServerName::try_from(host.to_owned()) {
        Ok(name) => Ok(name),
        Err(_) if trust(tls) != Trust::ChainAndName => {
            Ok(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
        }
        Err(error) => {
            Err(TlsError::Setup { detail: format!("`{host}` cannot be verified: {error}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(mode: TlsMode, ca: Option<&str>) -> TlsConfig {
        TlsConfig { mode, ca: ca.map(Into::into), certificate: None, key: None }
    }

    #[test]
    fn require_with_an_authority_verifies_the_chain_as_libpq_does() {
        for (mode, ca, expected) in [
            (TlsMode::Prefer, None, Trust::Anybody),
            (TlsMode::Prefer, Some("ca.pem"), Trust::Anybody),
            (TlsMode::Require, None, Trust::Anybody),
            (TlsMode::Require, Some("ca.pem"), Trust::Chain),
            (TlsMode::VerifyCa, None, Trust::Chain),
            (TlsMode::VerifyFull, Some("ca.pem"), Trust::ChainAndName),
        ] {
            assert_eq!(trust(&tls(mode, ca)), expected, "{mode:?} {ca:?}");
        }
    }

    #[test]
    fn a_missing_file_names_what_it_should_have_held() {
        let error = client_config(&tls(TlsMode::VerifyCa, Some("/nonexistent/ca.pem")), &[]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "read the certificate authorities in /nonexistent/ca.pem"
        );
    }
}
