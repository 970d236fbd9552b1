//! What a connection needs to know, whichever of the two servers it is for.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{MysqlConfig, Secret, TlsConfig};

/// Two servers with one history, told apart by what they have become since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    Mysql,
    Mariadb,
}

impl Flavor {
    /// As in `source: { mysql: … }`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mysql => "MySQL",
            Self::Mariadb => "MariaDB",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp { host: String, port: u16 },
    Socket(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

#[derive(Clone, Debug)]
pub struct ConnectSettings {
    pub flavor: Flavor,
    pub address: Address,
    pub user: String,
    pub password: Option<Secret>,
    /// Does not concern a unix socket.
    pub tls: TlsConfig,
    pub connect_timeout: Duration,
    /// Largest message accepted from the server, an event or a row.
    pub message_bytes_max: u32,
}

impl ConnectSettings {
    #[must_use]
    pub fn of(flavor: Flavor, config: &MysqlConfig) -> Self {
        let address = match config.host.starts_with('/') {
            true => Address::Socket(PathBuf::from(&config.host)),
            false => Address::Tcp { host: config.host.clone(), port: config.port },
        };
        Self {
            flavor,
            address,
            user: config.user.clone(),
            password: config.password.clone(),
            tls: config.tls.clone(),
            connect_timeout: config.connect_timeout,
            message_bytes_max: config.message_bytes_max,
        }
    }
}
