//! What can go wrong between the bytes of a change stream and changes.

use crate::disposition::{Diagnose, Disposition};
use crate::sources::BoxError;
use crate::sources::mongodb::event::EventError;
use crate::sources::mongodb::fields::FieldRuleError;
use crate::sources::mongodb::row::DocumentError;
use crate::sources::mongodb::split::SplitError;
use crate::sources::mongodb::structured::StateError;

/// One document that cannot be made a record: the dead-letter policy decides.
#[derive(Debug, thiserror::Error)]
#[error("make a record of a document of {collection}")]
pub struct RowError {
    pub collection: String,
    pub source: DocumentError,
}

impl Diagnose for RowError {
    fn disposition(&self) -> Disposition {
        Disposition::DeadLetter
    }

    fn hint(&self) -> Option<String> {
        Some(match self.source {
            DocumentError::Rewrite(_) => format!(
                "a rule in source.mongodb.fields.rename meets documents of {} that have the new name already: give another one, or set dead_letter.conversion: dead_letter to go on without them",
                self.collection
            ),
            DocumentError::Bson(_)
            | DocumentError::Fit(_)
            | DocumentError::Type(..)
            | DocumentError::Missing(_) => {
                format!(
                    "the event's bytes are in the dead letter; to find such documents of {} on the server use db.collection.validate({{ full: true }}); to go on without them, set dead_letter.conversion: dead_letter",
                    self.collection
                )
            }
        })
    }
}

/// The stream says what is not understood: nothing after it can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("follow the change stream after {after}")]
    Event { after: String, source: EventError },
    #[error("follow the change stream after {after}")]
    Split { after: String, source: SplitError },
    #[error("follow the change stream after {after}: its resume token is no document")]
    Token { after: String },
    #[error(transparent)]
    Fields(#[from] FieldRuleError),
    #[error("go on with the schema of {collection} in the checkpoint")]
    State { collection: String, source: StateError },
    #[error("decode a batch: {0}")]
    Batch(&'static str),
}

impl From<DecodeError> for BoxError {
    fn from(error: DecodeError) -> Self {
        Box::new(error)
    }
}

impl Diagnose for DecodeError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Event { .. }
            | Self::Split { .. }
            | Self::Token { .. }
            | Self::Fields(_)
            | Self::State { .. }
            | Self::Batch(_) => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Event { source: EventError::UnknownOperation(_), .. } => "the server is newer than this version of tailwater; nothing after this place was published".to_owned(),
            Self::Split { source: SplitError::TooLarge { .. }, .. } => "the documents before and after the change, and what was changed, are together larger than the server should allow; with source.mongodb.pre_images: off the event is smaller".to_owned(),
            Self::Fields(_) => "see `source.mongodb.fields`: rules are database.collection.field, and for a rename `:new_name` behind".to_owned(),
            Self::State { source: StateError::Newer { .. }, .. } => "run the version of tailwater that wrote the checkpoint, or a newer one".to_owned(),
            Self::State { collection, source: StateError::Json(_) | StateError::Field(_) } => format!(
                "with `tailwater offsets forget --table '{collection}'` its schema is inferred anew; with source.mongodb.documents: text the pipeline goes on without schemas"
            ),
            Self::Event { .. }
            | Self::Split { .. }
            | Self::Token { .. }
            | Self::Batch(_) => "nothing after this place was published; please report this with the server's version".to_owned(),
        })
    }
}
