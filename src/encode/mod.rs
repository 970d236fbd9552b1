//! Changes to records: compiled plans, keys, headers, topic names. Pure: the one thing that it
//! needs from outside, the number of a schema, comes through [`SchemaIds`].

pub mod encoder;

pub use encoder::{EncodeError, EncodeOptions, Encoder};

use crate::schema::registry::RegistryError;

/// Gives the registry's number of a schema, registering it if need be. May block the calling
/// thread while the registry is away; rows of schemas that are already known never ask.
pub trait SchemaIds: Send {
    /// # Errors
    /// When the registry refused, or stayed away beyond the budget.
    fn id(&mut self, subject: &str, schema: &str) -> Result<u32, RegistryError>;
}
