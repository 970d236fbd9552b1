//! Kafka sink, Kafka offset store and registry client against real servers.

#![expect(unreachable_pub, clippy::unwrap_used, reason = "modules of one test binary")]

mod offsets;
mod registry;
mod servers;
mod sink;
mod support;
