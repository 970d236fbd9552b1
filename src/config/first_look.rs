//! `--source postgres://…`: a pipeline without a file, for a first look.
//!
//! JSON lines to stdout, offsets in a folder here, no admin endpoints. It goes through the same
//! checks as a file does.

use std::path::PathBuf;

use super::diagnose::{ConfigError, Finding, suggestion};
use super::load::Loaded;
use super::resolve::{percent_decode, resolve};
use super::secret::Secret;
use super::tree::{Kind, Node, Place};
use super::written::{self, Written};

const FILE: &str = "--source";
const PARAMETERS: &[&str] =
    &["host", "sslcert", "sslkey", "sslmode", "sslrootcert", "tables", "user"];

/// A configuration out of a URL as libpq takes it: `postgres://user@host:port/database`, with
/// `?sslmode=…&sslrootcert=…` and `tables=public.*,sales.orders`. `password` is used where the URL
/// has none.
///
/// # Errors
/// When the URL is none, or names what cannot be used. The URL itself is never quoted.
pub fn first_look(url: &str, password: Option<Secret>) -> Result<Loaded, ConfigError> {
    let whole = |problem: String| ConfigError::whole(FILE, problem);
    let postgres = postgres(url, password).map_err(whole)?;
    let has_password = reqwest::Url::parse(url).is_ok_and(|url| url.password().is_some());
    let pipeline = postgres
        .database
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
        .collect();
    let written = Written {
        pipeline,
        topic_prefix: None,
        source: written::Source::Postgres(Box::new(postgres)),
        snapshot: None,
        format: None,
        sink: written::Sink::Stdout(written::Nothing {}),
        offsets: None,
        dead_letter: None,
        delivery: None,
        admin: Some(written::Admin { listen: Some("off".to_owned()) }),
    };
    let nowhere = Node { place: Place { line: 0, column: 0 }, kind: Kind::Map(Vec::new()) };
    let (config, mut warnings) = resolve(written, &nowhere).map_err(|mut findings| {
        findings.iter_mut().for_each(forget_place);
        ConfigError { file: FILE.to_owned(), findings }
    })?;
    warnings.iter_mut().for_each(forget_place);
    if has_password {
        let problem = "a password in an argument shows in the list of processes; the environment variable PGPASSWORD does not";
        warnings.push(Finding {
            place: None,
            path: "password".to_owned(),
            problem: problem.to_owned(),
        });
    }
    Ok(Loaded { config, warnings })
}

fn forget_place(finding: &mut Finding) {
    finding.place = None;
}

fn postgres(url: &str, password: Option<Secret>) -> Result<written::Postgres, String> {
    let shape = || "expected postgres://user@host:port/database".to_owned();
    let url = reqwest::Url::parse(url).map_err(|_| shape())?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(shape());
    }
    let database = percent_decode(url.path().trim_start_matches('/'));
    let mut user = percent_decode(url.username());
    let mut tls = written::Tls::default();
    let mut include = None;
    let mut host = url.host_str().map(percent_decode).unwrap_or_default();
    for (name, value) in url.query_pairs() {
        let path = || Some(PathBuf::from(value.as_ref()));
        match name.as_ref() {
            "host" => host = value.into_owned(),
            "user" => user = value.into_owned(),
            "sslmode" => tls.mode = Some(mode(&value)?),
            "sslrootcert" => tls.ca = path(),
            "sslcert" => tls.certificate = path(),
            "sslkey" => tls.key = path(),
            "tables" => include = Some(value.split(',').map(str::to_owned).collect()),
            other => {
                let tail = suggestion(other, PARAMETERS);
                return Err(format!("unknown parameter `{other}`; {tail}"));
            }
        }
    }
    if database.is_empty() || user.is_empty() {
        return Err(shape());
    }
    let password = url.password().map(|p| Secret::new(percent_decode(p))).or(password);
    Ok(written::Postgres {
        host: if host.is_empty() { "localhost".to_owned() } else { host },
        port: url.port(),
        database,
        user,
        password: password.map(written::SecretText),
        tls: Some(tls),
        tables: Some(written::Tables { include, exclude: None }),
        connect_timeout: None,
        slot: None,
        publication: None,
        unmapped_types: None,
        logical_messages: None,
        status_interval: None,
        silence_limit: None,
        message_bytes_max: None,
    })
}

fn mode(value: &str) -> Result<written::TlsMode, String> {
    match value {
        "disable" => Ok(written::TlsMode::Disable),
        "prefer" => Ok(written::TlsMode::Prefer),
        "require" => Ok(written::TlsMode::Require),
        "verify-ca" => Ok(written::TlsMode::VerifyCa),
        "verify-full" => Ok(written::TlsMode::VerifyFull),
        _ => Err("expected sslmode to be one of disable, prefer, require, verify-ca, verify-full"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{OffsetsConfig, SinkConfig, SourceConfig, TlsMode};

    #[test]
    fn a_url_is_a_whole_pipeline() {
        let url = "postgres://app:p%40ss@127.0.0.1:6543/My-Shop?tables=public.*,sales.orders";
        let Loaded { config, warnings } = first_look(url, None).unwrap();
        assert_eq!(warnings.len(), 1, "the password in the URL");
        let SourceConfig::Postgres(source) = &config.source else { panic!("PostgreSQL") };
        assert_eq!((source.host.as_str(), source.port), ("127.0.0.1", 6543));
        assert_eq!((source.user.as_str(), source.database.as_str()), ("app", "My-Shop"));
        assert_eq!(source.password.as_ref().map(Secret::expose), Some("p@ss"));
        assert_eq!((source.slot.as_str(), source.tls.mode), ("my_shop", TlsMode::Prefer));
        assert_eq!(source.tables.include(), ["public.*", "sales.orders"]);
        assert!(matches!(config.sink, SinkConfig::Stdout));
        assert_eq!(config.admin, None);
        let OffsetsConfig::File { path } = &config.offsets else { panic!("a folder") };
        assert_eq!(path, &PathBuf::from(".tailwater/My_Shop"));
    }

    #[test]
    fn a_password_from_the_environment_and_a_socket_will_do() {
        let secret = Secret::new("from outside");
        for url in [
            "postgres:///shop?host=/run/postgresql&user=app",
            "postgres://app@%2Frun%2Fpostgresql/shop",
        ] {
            let Loaded { config, .. } = first_look(url, Some(secret.clone())).unwrap();
            let SourceConfig::Postgres(source) = &config.source else { panic!("PostgreSQL") };
            assert_eq!((source.user.as_str(), source.host.as_str()), ("app", "/run/postgresql"));
            assert_eq!(source.password.as_ref(), Some(&secret));
        }
    }

    #[test]
    fn a_bad_url_is_refused_without_being_quoted() {
        let check = |url: &str, expected: &str| {
            let error = first_look(url, None).unwrap_err();
            assert_eq!(error.lines(), [format!("--source: {expected}")], "{url}");
        };
        check("mysql://u:canary@h/d", "expected postgres://user@host:port/database");
        check("u:canary@h/d", "expected postgres://user@host:port/database");
        check("postgres://h/d", "expected postgres://user@host:port/database");
        check("postgres://u@h/", "expected postgres://user@host:port/database");
        check(
            "postgres://u@h/d?sslmode=allow",
            "expected sslmode to be one of disable, prefer, require, verify-ca, verify-full",
        );
        check(
            "postgres://u@h/d?sslmod=prefer",
            "unknown parameter `sslmod`; did you mean `sslmode`? (known: host, sslcert, sslkey, sslmode, sslrootcert, tables, user)",
        );
        check(
            "postgres://u@h/d?tables=orders",
            "source.postgres.tables.include.0: the value is no pattern over `schema.table`: there is no dot in it, as in `public.orders` or `public.*`",
        );
    }
}
