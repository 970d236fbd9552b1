//! BSON documents on borrowed bytes (bsonspec.org, version 1.1).
//!
//! In reading order: [`Document`] and [`Array`] find their way through the bytes, [`Bson`] is one
//! value of them. Nothing is copied and nothing is allocated; nested documents are looked into
//! when they are walked, not before, and [`Document::check`] walks all of one.
//!
//! What the bytes may say, and what follows:
//!
//! * A length, a terminator, a type or a boolean that the specification does not know is an error,
//!   never a value. So is text that is not UTF-8: a server stores such bytes without a look, and to
//!   put U+FFFD in their place, as the Java driver does, would make two keys one.
//! * Names may repeat. The walk hands on every element in its order; [`Document::get`] takes the
//!   first. The text forms write all of them.
//! * Names of array elements ("0", "1", ...) are not read: places count, as in every driver.
//! * Documents may be nested [`DEPTH_MAX`] deep.

mod decimal128;
mod error;
mod value;
mod walk;

pub use decimal128::{Decimal128, Parts as DecimalParts};
pub use error::BsonError;
pub use value::{Binary, Bson, ObjectId, Timestamp};
pub(in crate::sources::mongodb) use walk::RawValue;
pub use walk::{Array, DEPTH_MAX, Document, Element, Elements, Values};

#[cfg(test)]
mod tests;
