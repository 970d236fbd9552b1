//! Health, readiness and metrics over HTTP. Read-only; shows counts, positions, names of tables
//! and an error's own text, never a value of a row and never a secret.

mod health;
mod metrics;
mod names;
mod server;

pub use server::{Admin, BindError};
