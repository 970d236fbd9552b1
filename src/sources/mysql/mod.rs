//! MySQL 8.0-9.x and MariaDB 10.6-11.x: the binary log.

pub mod connection;
pub mod dump;
pub mod error;
pub mod lineage;
pub mod preflight;
pub mod replicas;
pub mod session;
pub mod settings;
pub mod sql;
pub mod version;
pub mod wire;

mod auth;
mod gtid_wire;
mod handshake;
mod hints;
mod inspect;
mod scramble;
mod stream;
mod transport;
