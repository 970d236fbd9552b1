//! The MySQL source's rooms against real servers of both kinds.

mod login;
mod snapshot;
