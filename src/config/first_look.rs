//! `--source postgres://…`, `mysql://…`, `mariadb://…`, `mongodb://…`: a pipeline without a file, for
//! a first look.
//!
//! JSON lines to stdout, offsets in a folder here, no admin endpoints. It goes through the same
//! checks as a file does.

mod mongodb;

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

/// The variable of the environment from which each database's own clients take a password.
#[must_use]
pub fn password_variable(url: &str) -> &'static str {
    match url.split_once("://") {
        Some(("mysql" | "mariadb", _)) => "MYSQL_PWD",
        // MongoDB's own clients have none.
        Some(("mongodb" | "mongodb+srv", _)) => "MONGODB_PASSWORD",
        _ => "PGPASSWORD",
    }
}

/// A configuration out of a URL as libpq takes it: `postgres://user@host:port/database`, with
/// `?sslmode=…&sslrootcert=…` and `tables=public.*,sales.orders`; `mysql://…` and `mariadb://…`
/// likewise, where the database's tables are captured unless `tables` says otherwise; `mongodb://…`
/// with the options of MongoDB's own drivers, and `collections=shop.*`. `password` is used where the
/// URL has none.
///
/// # Errors
/// When the URL is none, or names what cannot be used. The URL itself is never quoted.
pub fn first_look(url: &str, password: Option<Secret>) -> Result<Loaded, ConfigError> {
    let whole = |problem: String| ConfigError::whole(FILE, problem);
    let (database, source, has_password) = match mongodb::is_one(url) {
        true => mongodb::look(url, password).map_err(whole)?,
        false => {
            let look = look(url, password).map_err(whole)?;
            let has_password = reqwest::Url::parse(url).is_ok_and(|url| url.password().is_some());
            (look.database.clone(), look.into_source(), has_password)
        }
    };
    let pipeline = database
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
        .collect();
    let written = Written {
        pipeline,
        topic_prefix: None,
        source,
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
        let variable = password_variable(url);
        let problem = format!(
            "a password in an argument shows in the list of processes; the environment variable {variable} does not"
        );
        warnings.push(Finding { place: None, path: "password".to_owned(), problem });
    }
    Ok(Loaded { config, warnings })
}

fn forget_place(finding: &mut Finding) {
    finding.place = None;
}

#[derive(Clone, Copy)]
enum Server {
    Postgres,
    Mysql,
    Mariadb,
}

/// What any URL says.
struct Look {
    server: Server,
    host: String,
    port: Option<u16>,
    database: String,
    user: String,
    password: Option<Secret>,
    tls: written::Tls,
    include: Option<Vec<String>>,
}

fn look(url: &str, password: Option<Secret>) -> Result<Look, String> {
    let any = "expected postgres://user@host:port/database, or mysql://, mariadb:// or mongodb://";
    let url = reqwest::Url::parse(url).map_err(|_| any.to_owned())?;
    let (server, scheme) = match url.scheme() {
        "postgres" | "postgresql" => (Server::Postgres, "postgres"),
        "mysql" => (Server::Mysql, "mysql"),
        "mariadb" => (Server::Mariadb, "mariadb"),
        _ => return Err(any.to_owned()),
    };
    let shape = || format!("expected {scheme}://user@host:port/database");
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
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    let port = url.port();
    Ok(Look { server, host, port, database, user, password, tls, include })
}

impl Look {
    fn into_source(self) -> written::Source {
        let password = self.password.map(written::SecretText);
        let tls = Some(self.tls);
        let mysql = |database: &str, include: Option<Vec<String>>| written::Mysql {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            password: password.clone(),
            tls: tls.clone(),
            connect_timeout: None,
            server_id: None,
            tables: Some(written::Tables {
                include: Some(include.unwrap_or_else(|| vec![format!("{database}.*")])),
                exclude: None,
            }),
            // Rows alone are what a first look is for.
            include_schema_changes: Some(false),
            position: None,
            values: None,
            silence_limit: None,
            message_bytes_max: None,
        };
        match self.server {
            Server::Mysql => written::Source::Mysql(Box::new(mysql(&self.database, self.include))),
            Server::Mariadb => {
                written::Source::Mariadb(Box::new(mysql(&self.database, self.include)))
            }
            Server::Postgres => written::Source::Postgres(Box::new(written::Postgres {
                host: self.host,
                port: self.port,
                database: self.database,
                user: self.user,
                password,
                tls,
                tables: Some(written::Tables { include: self.include, exclude: None }),
                connect_timeout: None,
                slot: None,
                publication: None,
                unmapped_types: None,
                values: None,
                logical_messages: None,
                status_interval: None,
                silence_limit: None,
                message_bytes_max: None,
            })),
        }
    }
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
    fn mysql_and_mariadb_have_urls_too() {
        for scheme in ["mysql", "mariadb"] {
            let url = format!("{scheme}://root@127.0.0.1:3307/shop");
            let Loaded { config, warnings } = first_look(&url, None).unwrap();
            assert_eq!((warnings.len(), password_variable(&url)), (0, "MYSQL_PWD"));
            let (name, source) = match &config.source {
                SourceConfig::Postgres(_) | SourceConfig::Mongodb(_) => panic!("{scheme}"),
                SourceConfig::Mysql(source) => ("mysql", source),
                SourceConfig::Mariadb(source) => ("mariadb", source),
            };
            assert_eq!(name, scheme);
            assert_eq!((source.host.as_str(), source.port), ("127.0.0.1", 3307));
            assert_eq!(source.tables.include(), ["shop.*"]);
            let url = format!("{scheme}://u@%2Frun%2Fmysqld%2Fmysqld.sock/shop?tables=a.b,c.*");
            let Loaded { config, .. } = first_look(&url, None).unwrap();
            let (SourceConfig::Mysql(source) | SourceConfig::Mariadb(source)) = &config.source
            else {
                panic!("{scheme}")
            };
            assert_eq!(source.host, "/run/mysqld/mysqld.sock");
            assert_eq!(source.tables.include(), ["a.b", "c.*"]);
        }
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
        let any =
            "expected postgres://user@host:port/database, or mysql://, mariadb:// or mongodb://";
        check("oracle://u:canary@h/d", any);
        check("u:canary@h/d", any);
        check("mysql://u:canary@h", "expected mysql://user@host:port/database");
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
