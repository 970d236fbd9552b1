//! The MySQL source's rooms against real servers of both kinds.

mod basics;
mod login;
mod reading;
mod rows;
mod snapshot;
mod start_checks;
mod stream;
