use std::path::{Path, PathBuf};
use std::process::Command;

use tailwater::config::{PostgresConfig, TlsConfig, TlsMode};
use tailwater::disposition::{Diagnose, Disposition};
use tailwater::sources::postgres::connection::{PgConnection, Purpose};
use tailwater::sources::postgres::error::SourceError;

use super::server::{Server, run, with_password};

async fn connect(config: &PostgresConfig) -> Result<PgConnection, SourceError> {
    PgConnection::connect(config, Purpose::Sql).await
}

async fn error(config: &PostgresConfig) -> SourceError {
    match connect(config).await {
        Ok(_) => panic!("a connection was made"),
        Err(error) => error,
    }
}

const HBA: &str = "\
host all scram 127.0.0.1/32 scram-sha-256
host all md5 127.0.0.1/32 md5
host all clear 127.0.0.1/32 password
host all trust 127.0.0.1/32 trust
hostssl all certified 127.0.0.1/32 cert
host all denied 127.0.0.1/32 reject";

const ROLES: &str = "\
SET password_encryption = 'scram-sha-256';
CREATE ROLE scram LOGIN PASSWORD 'pass wörd';
CREATE ROLE clear LOGIN PASSWORD 'open';
CREATE ROLE trust LOGIN;
CREATE ROLE denied LOGIN;
CREATE ROLE certified LOGIN;
SET password_encryption = 'md5';
CREATE ROLE md5 LOGIN PASSWORD 'old'";

#[tokio::test]
async fn every_password_method_logs_in_and_a_wrong_password_does_not() {
    let server = Server::start("", HBA);
    server.execute(ROLES).await;
    let as_user = |user: &str, password: &str| with_password(server.config(), user, password);
    connect(&as_user("scram", "pass wörd")).await.unwrap();
    connect(&as_user("md5", "old")).await.unwrap();
    connect(&as_user("trust", "whatever")).await.unwrap();

    for user in ["scram", "md5"] {
        let error = error(&as_user(user, "wrong")).await;
        assert!(
            matches!(&error, SourceError::Login { source, .. } if source.code == "28P01"),
            "{error:?}"
        );
        assert_eq!(error.disposition(), Disposition::Stop);
        assert!(error.hint().unwrap().contains("ALTER ROLE"), "{:?}", error.hint());
        assert!(!format!("{error:?}").contains("wrong"), "the password is in the error");
    }
    let refused = error(&as_user("clear", "open")).await;
    assert!(matches!(refused, SourceError::CleartextRefused { .. }), "{refused:?}");
    let denied = error(&as_user("denied", "")).await;
    assert!(matches!(&denied, SourceError::Login { source, .. } if source.code == "28000"));

    let mut nothing = as_user("scram", "");
    nothing.password = None;
    assert!(matches!(error(&nothing).await, SourceError::PasswordMissing { .. }));
    let mut elsewhere = as_user("trust", "");
    elsewhere.database = "nowhere".into();
    let error = error(&elsewhere).await;
    assert!(
        matches!(&error, SourceError::Login { source, .. } if source.code == "3D000"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_worth_another_try() {
    let server = Server::start("", "");
    let mut config = server.config();
    drop(server);
    let refused = error(&config).await;
    assert!(matches!(refused, SourceError::Connect { .. }), "{refused:?}");
    assert_eq!(refused.disposition(), Disposition::Reconnect);

    // A port that accepts and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    config.port = listener.local_addr().unwrap().port();
    config.connect_timeout = std::time::Duration::from_millis(200);
    assert!(matches!(error(&config).await, SourceError::ConnectTimeout { .. }));
}

#[tokio::test]
async fn a_unix_socket_is_a_folder_and_has_no_tls() {
    let server = Server::start("", "");
    let mut config = server.config();
    config.host = server.folder.display().to_string();
    config.tls.mode = TlsMode::VerifyFull;
    let connection = connect(&config).await.unwrap();
    assert!(!connection.is_encrypted());
    assert!(connection.endpoint().ends_with(&format!("/.s.PGSQL.{}", server.port)));
}

struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Self { folder };
        made.openssl(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem",
        );
        made.openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout other.key -out other.pem");
        made.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384 -nodes -days 2 -subj /CN=self \
             -addext subjectAltName=DNS:localhost -keyout self.key -out self.pem",
        );
        made.sign("server", "/CN=server", "subjectAltName=DNS:localhost");
        made.sign("client", "/CN=certified", "subjectAltName=DNS:client");
        made
    }

    fn sign(&self, name: &str, subject: &str, extension: &str) {
        std::fs::write(self.path("extensions"), extension).unwrap();
        self.openssl(&format!(
            "req -newkey rsa:2048 -nodes -subj {subject} -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out {name}.pem"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let words = arguments.split_whitespace();
        run(Command::new("openssl").args(words).current_dir(self.folder.path()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn tls(config: PostgresConfig, host: &str, mode: TlsMode, ca: Option<&Path>) -> PostgresConfig {
    let ca = ca.map(Path::to_owned);
    let tls = TlsConfig { mode, ca, certificate: None, key: None };
    PostgresConfig { host: host.into(), tls, ..config }
}

fn tls_server(certificates: &Certificates, name: &str) -> Server {
    let server = Server::start("", HBA);
    server.install(&certificates.path(&format!("{name}.pem")), "server.crt");
    server.install(&certificates.path(&format!("{name}.key")), "server.key");
    server.install(&certificates.path("ca.pem"), "root.crt");
    server.append("postgresql.conf", "ssl = on\nssl_ca_file = 'root.crt'\n");
    server.restart();
    server
}

#[tokio::test]
async fn tls_modes_believe_what_libpq_documents() {
    let certificates = Certificates::make();
    let server = tls_server(&certificates, "server");
    let (ca, other) = (certificates.path("ca.pem"), certificates.path("other.pem"));
    let check = async |host: &str, mode: TlsMode, ca: Option<&Path>| match connect(&tls(
        server.config(),
        host,
        mode,
        ca,
    ))
    .await
    {
        Ok(connection) if connection.is_encrypted() => "encrypted".to_owned(),
        Ok(_) => "clear".to_owned(),
        Err(error @ SourceError::TlsHandshake { .. }) => format!("{:?}", error.disposition()),
        Err(error) => panic!("{error:?}"),
    };
    // The certificate is for localhost, not for 127.0.0.1.
    let cases = [
        ("127.0.0.1", TlsMode::Disable, None, "clear"),
        ("127.0.0.1", TlsMode::Prefer, None, "encrypted"),
        ("127.0.0.1", TlsMode::Require, None, "encrypted"),
        ("127.0.0.1", TlsMode::Require, Some(&*ca), "encrypted"),
        ("127.0.0.1", TlsMode::Require, Some(&*other), "Stop"),
        ("127.0.0.1", TlsMode::VerifyCa, Some(&*ca), "encrypted"),
        ("localhost", TlsMode::VerifyCa, Some(&*other), "Stop"),
        ("localhost", TlsMode::VerifyCa, None, "Stop"),
        ("localhost", TlsMode::VerifyFull, Some(&*ca), "encrypted"),
        ("127.0.0.1", TlsMode::VerifyFull, Some(&*ca), "Stop"),
        ("localhost", TlsMode::VerifyFull, Some(&*other), "Stop"),
    ];
    for (host, mode, ca, expected) in cases {
        assert_eq!(check(host, mode, ca).await, expected, "{host} {mode:?} {ca:?}");
    }
}

#[tokio::test]
async fn passwords_over_tls_are_bound_to_the_channel() {
    let certificates = Certificates::make();
    let server = tls_server(&certificates, "server");
    server.execute(ROLES).await;
    let ca = certificates.path("ca.pem");
    let config = |user, password| {
        let config = with_password(server.config(), user, password);
        tls(config, "localhost", TlsMode::VerifyFull, Some(&ca))
    };
    assert!(connect(&config("scram", "pass wörd")).await.unwrap().is_channel_bound());
    let wrong = error(&config("scram", "x")).await;
    assert!(matches!(wrong, SourceError::Login { .. }), "{wrong:?}");
    assert!(!connect(&config("clear", "open")).await.unwrap().is_channel_bound());
    assert!(!connect(&config("md5", "old")).await.unwrap().is_channel_bound());
}

#[tokio::test]
async fn a_client_certificate_logs_in_and_its_absence_does_not() {
    let certificates = Certificates::make();
    let server = tls_server(&certificates, "server");
    server.execute(ROLES).await;
    let ca = certificates.path("ca.pem");
    let mut config = tls(server.config(), "localhost", TlsMode::VerifyFull, Some(&ca));
    config.user = "certified".into();
    let absent = error(&config).await;
    assert!(
        matches!(&absent, SourceError::Login { source, .. } if source.code == "28000"),
        "{absent:?}"
    );
    config.tls.certificate = Some(certificates.path("client.pem"));
    let half = error(&config).await;
    assert!(matches!(half, SourceError::TlsSetup { .. }), "{half:?}");
    config.tls.key = Some(certificates.path("client.key"));
    connect(&config).await.unwrap();
    config.tls.key = Some(certificates.path("missing.key"));
    let missing = error(&config).await;
    assert!(matches!(missing, SourceError::TlsFile { what: "client key", .. }), "{missing:?}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_when_it_is_the_configured_authority() {
    let certificates = Certificates::make();
    let server = tls_server(&certificates, "self");
    server.execute(ROLES).await;
    let own = certificates.path("self.pem");
    let config = with_password(server.config(), "scram", "pass wörd");
    let full = tls(config.clone(), "localhost", TlsMode::VerifyFull, Some(&own));
    // ECDSA with SHA-384: another hash for the channel's end point.
    assert!(connect(&full).await.unwrap().is_channel_bound());
    let wrong_name = tls(config.clone(), "127.0.0.1", TlsMode::VerifyFull, Some(&own));
    assert!(matches!(error(&wrong_name).await, SourceError::TlsHandshake { .. }));
    connect(&tls(config, "127.0.0.1", TlsMode::VerifyCa, Some(&own))).await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_refused_by_every_mode_but_prefer() {
    let server = Server::start("", HBA);
    let prefer = tls(server.config(), "127.0.0.1", TlsMode::Prefer, None);
    assert!(!connect(&prefer).await.unwrap().is_encrypted());
    let require = tls(server.config(), "127.0.0.1", TlsMode::Require, None);
    let refused = error(&require).await;
    assert!(matches!(refused, SourceError::TlsRefused { .. }), "{refused:?}");
    assert_eq!(refused.disposition(), Disposition::Stop);
}
