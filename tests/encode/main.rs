//! The encoder, seen from outside.

mod avro;
mod golden;
mod published;
mod records;
mod registry;
mod round_trip;
mod tables;
mod values;
