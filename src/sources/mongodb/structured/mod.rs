//! The second form, `documents: structured`: documents as records with a schema that is inferred.
//!
//! In Debezium's first form a document is one text. Its users who want fields put the transformation
//! `ExtractNewDocumentState` behind it, which makes a schema of every single document: two documents
//! with other fields are two versions, a field of two types is a schema that no registry takes, and
//! an array of two types stops the connector. Here a collection has one [`Structure`], which only
//! ever grows. The envelope and the key stay those of the first form; `before` and `after` are
//! records instead of texts.
//!
//! In reading order: a [`Structure`] is what is known of a collection's documents, `infer` lets it
//! grow by a document, `fit` makes a document the values of its record.
//!
//! # The rules
//!
//! 1. **A field has a place from its first value that has a type.** `null`, `undefined` and `[]`
//!    have none: until another value comes the record has no such field. `[]` is told where the
//!    field is an array or JSON, and is null elsewhere. In a record, absent and null are one.
//! 2. **Types** are those of the transformation: int, long, double, bool, records and arrays as they
//!    are; `objectId` (24 hex digits), `decimal`, `javascript` and `symbol` as strings; `binData` as
//!    bytes, without its subtype; `date` as `io.debezium.time.Timestamp`, which is how every other
//!    source tells a time in milliseconds. `timestamp`, `regex`, `minKey`, `maxKey`, `dbPointer` and
//!    code with scope, which Avro has no word for, are JSON (`io.debezium.data.Json`): relaxed
//!    Extended JSON.
//! 3. **A type widens only as Avro's own resolution does**, and only where no number that was seen
//!    loses a digit: int to long, int and long to double, but not a long once it was beyond 2^53.
//!    Readers with the new schema still read the old records, and registries take it.
//! 4. **What does not fit goes to `__rest`**: a string in a field of numbers, a long beyond 2^53 in
//!    a field of doubles, an array of two types in a field of arrays. `__rest` is the last resort of
//!    each record, one JSON text with the members that have no place, under their own names. Nothing
//!    is lost and nothing stops. A field whose *first* value is an array of two types is JSON.
//! 5. **Limits.** A collection has [`FIELDS_MAX`] fields on all levels together, a nested record
//!    [`NESTED_FIELDS_MAX`] (documents that are used as maps have thousands); what is beyond goes to
//!    `__rest`; so is a name of more than [`NAME_BYTES_MAX`]. Records nest [`LEVELS_MAX`] deep; what is deeper is JSON. After [`VERSIONS_MAX`]
//!    versions the schema stays as it is, and every record has its `__rest`.
//! 6. **Order is of first sight, and stays.** New fields are put behind those that are there.
//!    All are optional, so that every version can read every other.
//! 7. **Names.** Where two names of one record would be one in Avro (`a-b`, `a_b`), the second has
//!    its place in `__rest`; so have a name that is empty and a field named `__rest` itself.
//!    Of a name that repeats within a document, the last value that fits counts.
//!
//! # What a restart knows
//!
//! Everything that a record ever showed: a structure that has grown is durable, in the schema
//! history of the checkpoint, before the first record of the new version is made. It may be newer
//! than the position, which does no harm, for what has grown takes older documents as they are. It
//! must not be older: documents come again in other batches, those of a snapshot in another order
//! too, and would be given narrower types or other places than those that topics and registry have
//! seen, which no rule of compatibility lets pass.

mod fit;
mod infer;
mod shape;

pub use fit::FitError;
pub use shape::{News, StateError, Structure, forget_collection};

/// Fields of one collection, on all levels.
pub const FIELDS_MAX: usize = 500;
/// Fields of one record below the first level.
pub const NESTED_FIELDS_MAX: usize = 100;
/// Of one field: longer ones are values that somebody put in the place of a name, and a registry
/// keeps a schema in one message.
pub const NAME_BYTES_MAX: usize = 256;
/// Levels of records and arrays.
pub const LEVELS_MAX: usize = 16;
/// Versions of one collection's schema.
pub const VERSIONS_MAX: u32 = 64;

#[cfg(test)]
mod tests;
