//! Every authentication plugin on every way to the server, and what is said when it does not work.

use std::path::PathBuf;
use std::time::Duration;

use tailwater::config::{Secret, TlsConfig, TlsMode};
use tailwater::disposition::{Diagnose, Disposition};
use tailwater::sources::mysql::connection::MyConnection;
use tailwater::sources::mysql::error::SourceError;
use tailwater::sources::mysql::settings::{Address, ConnectSettings, Flavor};

use crate::support::mysql::{Kind, Server};
use crate::support::runtime;

const PASSWORD: &str = "pass wörd'\\";

pub(super) fn tls(mode: TlsMode) -> TlsConfig {
    TlsConfig { mode, ca: None, certificate: None, key: None }
}

pub(super) fn flavor(kind: Kind) -> Flavor {
    match kind {
        Kind::Mysql => Flavor::Mysql,
        Kind::Mariadb => Flavor::Mariadb,
    }
}

/// As root through the server's socket.
pub(super) fn root(server: &Server) -> ConnectSettings {
    ConnectSettings {
        flavor: flavor(server.kind),
        address: Address::Socket(server.socket()),
        user: "root".into(),
        password: None,
        tls: tls(TlsMode::Disable),
        connect_timeout: Duration::from_secs(10),
        message_bytes_max: 256 << 20,
    }
}

fn user(server: &Server, user: &str, mode: TlsMode) -> ConnectSettings {
    ConnectSettings {
        address: Address::Tcp { host: "127.0.0.1".into(), port: server.port },
        user: user.into(),
        password: Some(Secret::new(PASSWORD)),
        tls: tls(mode),
        ..root(server)
    }
}

fn over_socket(server: &Server, name: &str) -> ConnectSettings {
    let address = Address::Socket(server.socket());
    ConnectSettings { address, ..user(server, name, TlsMode::VerifyFull) }
}

fn connect(settings: &ConnectSettings) -> Result<MyConnection, SourceError> {
    runtime().block_on(MyConnection::connect(settings))
}

fn refused(settings: &ConnectSettings) -> SourceError {
    match connect(settings) {
        Ok(_) => panic!("a connection was made"),
        Err(error) => error,
    }
}

/// Who the server says that we are, and whether it sees TLS.
fn whoami(settings: &ConnectSettings) -> (String, bool) {
    let mut connection = connect(settings).unwrap_or_else(|error| {
        panic!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string))
    });
    let rows = runtime().block_on(async {
        let user = connection.query("test", "select user()").await.unwrap();
        let cipher = connection.query("test", "show status like 'Ssl_cipher'").await.unwrap();
        connection.ping().await.unwrap();
        [user, cipher].concat()
    });
    let encrypted = connection.is_encrypted();
    runtime().block_on(connection.close());
    let user = rows[0][0].clone().unwrap();
    assert_eq!(encrypted, !rows[1][1].clone().unwrap().is_empty(), "the server agrees");
    (user.split('@').next().unwrap().to_owned(), encrypted)
}

fn create(server: &Server, name: &str, with: &str) {
    let session = server.session();
    session.run(&format!("drop user if exists '{name}'@'%'"));
    session.run(&format!("create user '{name}'@'%' {with}"));
}

fn quoted() -> String {
    format!("'{}'", PASSWORD.replace('\\', "\\\\").replace('\'', "''"))
}

#[test]
fn caching_sha2_goes_fast_and_in_full_by_tls_by_key_and_by_socket() {
    let server = Server::shared(Kind::Mysql);
    create(server, "caching", &format!("identified with caching_sha2_password by {}", quoted()));
    let ways = [
        user(server, "caching", TlsMode::Disable),
        user(server, "caching", TlsMode::Require),
        over_socket(server, "caching"),
    ];
    for way in &ways {
        // Nothing is cached: the password itself has to arrive. Then its hash will do.
        server.run("flush privileges");
        let encrypted = way.tls.mode == TlsMode::Require;
        for _ in 0..2 {
            assert_eq!(whoami(way), ("caching".to_owned(), encrypted));
        }
    }
}

#[test]
fn sha256_goes_by_tls_and_by_key() {
    let server = Server::shared(Kind::Mysql);
    create(server, "sha", &format!("identified with sha256_password by {}", quoted()));
    for mode in [TlsMode::Disable, TlsMode::Prefer] {
        let encrypted = mode == TlsMode::Prefer;
        assert_eq!(whoami(&user(server, "sha", mode)), ("sha".to_owned(), encrypted));
    }
    assert_eq!(whoami(&over_socket(server, "sha")).0, "sha");
}

#[test]
fn mariadb_takes_native_passwords_and_ed25519() {
    let server = Server::shared(Kind::Mariadb);
    for (name, with) in [
        ("native", format!("identified via mysql_native_password using password({})", quoted())),
        ("curve", format!("identified via ed25519 using password({})", quoted())),
    ] {
        create(server, name, &with);
        for mode in [TlsMode::Disable, TlsMode::Prefer, TlsMode::Require] {
            let encrypted = mode != TlsMode::Disable;
            assert_eq!(whoami(&user(server, name, mode)), (name.to_owned(), encrypted));
        }
        assert_eq!(whoami(&over_socket(server, name)).0, name);
    }
}

#[test]
fn a_user_without_a_password_is_let_in_where_the_server_wants_none() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        create(server, "open", "identified by ''");
        for mode in [TlsMode::Disable, TlsMode::Require] {
            let settings = ConnectSettings { password: None, ..user(server, "open", mode) };
            assert_eq!(whoami(&settings).0, "open");
        }
    }
}

#[test]
fn a_wrong_password_is_said_and_never_tried_again() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        create(server, "strict", &format!("identified by {}", quoted()));
        for mode in [TlsMode::Disable, TlsMode::Require] {
            let right = user(server, "strict", mode);
            let wrong = ConnectSettings { password: Some(Secret::new("canary")), ..right.clone() };
            let none = ConnectSettings { password: None, ..right };
            for settings in [wrong, none] {
                let error = refused(&settings);
                assert_eq!(error.server().unwrap().code, 1045, "{kind:?} {mode:?}");
                assert_eq!(error.disposition(), Disposition::Stop);
                let said = format!("{error:?} {:?}", error.hint());
                assert!(said.contains("password` and SELECT user, host, plugin"), "{said}");
                assert!(!said.contains("canary"));
            }
        }
    }
}

fn certificate(server: &Server) -> PathBuf {
    server.data().join("ca.pem")
}

#[test]
fn the_servers_certificate_is_looked_at_as_far_as_asked_for() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        create(server, "tls", &format!("identified by {} require ssl", quoted()));
        let ca = Some(certificate(server));
        let with = |mode| {
            let tls = TlsConfig { ca: ca.clone(), ..tls(mode) };
            ConnectSettings { tls, ..user(server, "tls", mode) }
        };
        assert_eq!(whoami(&with(TlsMode::VerifyCa)), ("tls".to_owned(), true), "{kind:?}");
        // MySQL's own certificates carry no name of a host.
        match kind {
            Kind::Mysql => {
                let error = refused(&with(TlsMode::VerifyFull));
                assert!(matches!(error, SourceError::TlsHandshake { .. }), "{error}");
                assert_eq!(error.disposition(), Disposition::Stop);
            }
            Kind::Mariadb => assert!(whoami(&with(TlsMode::VerifyFull)).1),
        }
        let strange = user(server, "tls", TlsMode::VerifyCa);
        assert!(matches!(refused(&strange), SourceError::TlsHandshake { .. }));
        let clear = refused(&user(server, "tls", TlsMode::Disable));
        assert_eq!(clear.disposition(), Disposition::Stop);
    }
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_wanted() {
    let server = Server::start(Kind::Mysql, &["--tls-version="]);
    create(&server, "plain", &format!("identified by {}", quoted()));
    let error = refused(&user(&server, "plain", TlsMode::Require));
    assert!(matches!(error, SourceError::TlsRefused { .. }), "{error}");
    assert_eq!(whoami(&user(&server, "plain", TlsMode::Prefer)), ("plain".to_owned(), false));
}

#[test]
fn the_other_server_is_recognised() {
    let server = Server::shared(Kind::Mariadb);
    let settings = ConnectSettings { flavor: Flavor::Mysql, ..root(server) };
    let error = refused(&settings);
    assert!(matches!(error, SourceError::OtherFlavor { found: Flavor::Mariadb, .. }), "{error}");
    assert_eq!(
        error.hint().as_deref(),
        Some("write `source: { mariadb: … }` in the configuration")
    );
}

#[test]
fn something_else_than_a_server_of_this_kind_is_recognised() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(std::io::Write::write_all(&mut stream, b"220 mail.example.org ESMTP\r\n"));
        }
    });
    let server = Server::shared(Kind::Mysql);
    let address = Address::Tcp { host: "127.0.0.1".into(), port };
    let error = refused(&ConnectSettings { address, ..root(server) });
    assert!(matches!(error, SourceError::Protocol { .. }), "{error}");
}
