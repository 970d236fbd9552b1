//! MySQL 8.0-9.x and MariaDB 10.6-11.x: the binary log.

pub mod connection;
pub mod error;
pub mod settings;
pub mod sql;
pub mod version;
pub mod wire;

mod auth;
mod handshake;
mod hints;
mod scramble;
mod transport;
