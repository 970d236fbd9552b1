//! The database as the oracle: values that PostgreSQL itself made, as it sends them in both of its
//! forms (pgoutput's text through a logical slot, binary COPY), must give equal [`Value`]s, and the
//! ones that PostgreSQL's own functions compute.
//!
//! Needs PostgreSQL's programs (`TAILWATER_POSTGRES_BIN`, or the places where Debian and PATH have
//! them); without them it fails. Seeds are printed; `TAILWATER_SEED` replays one.
//!
//! Known gaps: bit strings and hstore are checked against the stream only, not against a function
//! of the server.

#![expect(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]
#![expect(clippy::print_stdout, reason = "a seed that is not printed cannot be replayed")]

mod facts;
mod golden;
mod keys;
mod random;
mod server;
mod values;
