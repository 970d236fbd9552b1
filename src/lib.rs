//! Tailwater.
pub mod admin;
pub mod app;
pub mod change;
pub mod cli;
pub mod config;
pub mod disposition;
pub mod encode;
pub mod exit;
pub mod logs;
pub mod offsets;
pub mod record;
pub mod schema;
pub mod sinks;
pub mod sources;
pub mod stats;
pub mod value;
