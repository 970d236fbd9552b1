//! Changes to records: compiled plans, keys, headers, topic names. Pure: the one thing that it
//! needs from outside, the number of a schema, comes through [`SchemaIds`].
//!
//! ```text
//! Table ──plan──▶ topic, schemas, numbers, order and form of every field   (once per version)
//! Change ──records──▶ which records ──row──▶ fields ──codec, convert──▶ primitives ──avro | json──▶ bytes
//! ```

mod avro;
mod binary_text;
mod codec;
mod convert;
mod datetime;
mod decimal;
mod decimal_text;
mod emit;
pub mod encoder;
mod geometry;
mod json;
pub mod plan;
mod records;
mod row;
mod schema_changes;
mod stand_in;
mod string_map;
pub mod topics;
mod transactions;

pub use encoder::{EncodeError, EncodeOptions, Encoder, Format};
pub use plan::{Description, describe};

use crate::schema::registry::RegistryError;

/// Gives the registry's number of a schema, registering it if need be. May block the calling
/// thread while the registry is away; rows of schemas that are already known never ask.
pub trait SchemaIds: Send {
    /// # Errors
    /// When the registry refused, or stayed away beyond the budget.
    fn id(&mut self, subject: &str, schema: &str) -> Result<u32, RegistryError>;
}
