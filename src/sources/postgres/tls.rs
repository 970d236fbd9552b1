//! TLS towards a PostgreSQL server: the modes as libpq documents them, and what SCRAM binds to.
//! <https://www.postgresql.org/docs/current/libpq-ssl.html>

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
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::error::SourceError;
use crate::config::{PostgresTls, TlsMode};

/// Reads files and builds the settings of a handshake. Blocks: called off the runtime.
pub(super) fn client_config(
    tls: &PostgresTls,
    endpoint: &str,
) -> Result<Arc<ClientConfig>, SourceError> {
    let setup = |error: &dyn std::fmt::Display| SourceError::TlsSetup {
        endpoint: endpoint.to_owned(),
        detail: error.to_string(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(verifier(tls, endpoint, &provider)?);
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
    // As libpq 17 does; older servers do not look at it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
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
fn trust(tls: &PostgresTls) -> Trust {
    match (tls.mode, &tls.ca) {
        (TlsMode::Disable | TlsMode::Prefer, _) | (TlsMode::Require, None) => Trust::Anybody,
        (TlsMode::Require, Some(_)) | (TlsMode::VerifyCa, _) => Trust::Chain,
        (TlsMode::VerifyFull, _) => Trust::ChainAndName,
    }
}

fn verifier(
    tls: &PostgresTls,
    endpoint: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<Verifier, SourceError> {
    let trust = trust(tls);
    if trust == Trust::Anybody {
        let provider = Arc::clone(provider);
        return Ok(Verifier { trust, provider, chain: None, pinned: Vec::new() });
    }
    let setup = |detail: String| SourceError::TlsSetup { endpoint: endpoint.to_owned(), detail };
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

fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, SourceError> {
    let error = |error| file_error(what, path, error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(error)?.collect();
    let found = found.map_err(error)?;
    if found.is_empty() {
        return Err(error(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn file_error(
    what: &'static str,
    path: &Path,
    error: rustls::pki_types::pem::Error,
) -> SourceError {
    SourceError::TlsFile { what, path: path.display().to_string(), source: Box::new(error) }
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

/// `tls-server-end-point` of RFC 5929, section 4.1: the certificate's hash by the hash of its own
/// signature, MD5 and SHA-1 replaced by SHA-256. `None` where the signature has no single hash
/// (Ed25519, RSA-PSS): no binding is defined for those.
pub(super) fn end_point_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    match parsed.signature_algorithm.oid.to_string().as_str() {
        // md5, sha1 and sha256 with RSA; ECDSA with SHA-1 and SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Some(Sha256::digest(certificate).to_vec()),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => {
            Some(Sha384::digest(certificate).to_vec())
        }
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => {
            Some(Sha512::digest(certificate).to_vec())
        }
        _ => None,
    }
}

/// The name to ask for. A host that is no name at all still gets its encryption where names do
/// not matter.
pub(super) fn server_name(
    tls: &PostgresTls,
    host: &str,
    endpoint: &str,
) -> Result<ServerName<'static>, SourceError> {
    match ServerName::try_from(host.to_owned()) {
        Ok(name) => Ok(name),
        Err(_) if trust(tls) != Trust::ChainAndName => {
            Ok(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
        }
        Err(error) => Err(SourceError::TlsSetup {
            endpoint: endpoint.to_owned(),
            detail: format!("`{host}` cannot be verified: {error}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(mode: TlsMode, ca: Option<&str>) -> PostgresTls {
        PostgresTls { mode, ca: ca.map(Into::into), certificate: None, key: None }
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
        let error = client_config(&tls(TlsMode::VerifyCa, Some("/nonexistent/ca.pem")), "here");
        assert_eq!(
            error.unwrap_err().to_string(),
            "read the certificate authorities in /nonexistent/ca.pem"
        );
    }

    #[test]
    fn garbage_has_no_end_point() {
        assert_eq!(end_point_hash(b"not a certificate"), None);
    }
}
