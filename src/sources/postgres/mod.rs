//! PostgreSQL 13-18: logical replication with pgoutput.
pub mod catalog;
