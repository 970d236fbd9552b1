//! Events that came in fragments, put together again.
//!
//! `$changeStreamSplitLargeEvent` parts an event of more than 16 MB between its top-level fields:
//! each fragment has the token of its own and some of the fields, and says which it is of how many
//! (manual, "$changeStreamSplitLargeEvent"). A stream goes on behind the fragment whose token it is
//! given, so no place between two fragments is one to start again from; nor is the one behind the
//! last of them, where the server would have to split the event as it did.

use crate::sources::mongodb::bson::{BsonError, Document};
use crate::sources::mongodb::event::Fragment;

/// The fragments of one event so far.
#[derive(Debug)]
pub(crate) struct Split {
    /// Elements of the event's document, without its length.
    elements: Vec<u8>,
    /// Of the last fragment that came; 0 of 0 between events.
    last: Fragment,
    bytes_max: usize,
}

const NONE: Fragment = Fragment { number: 0, of: 0 };

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    #[error("put together a split event: fragment {found} of {of} came after fragment {last}")]
    Order { last: i32, found: i32, of: i32 },
    #[error("put together a split event: another event came after fragment {last} of {of}")]
    Interrupted { last: i32, of: i32 },
    #[error("put together a split event: its fragments have more than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error(transparent)]
    Bson(#[from] BsonError),
}

impl Split {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { elements: Vec::new(), last: NONE, bytes_max }
    }

    /// Whether fragments are still to come.
    pub(crate) fn is_open(&self) -> bool {
        self.last != NONE
    }

    /// A message came that is no fragment.
    pub(crate) fn interrupt(&self) -> Result<(), SplitError> {
        let Fragment { number: last, of } = self.last;
        if self.is_open() { Err(SplitError::Interrupted { last, of }) } else { Ok(()) }
    }

    /// Takes a fragment. With the last one, the bytes of the whole event: the token is that of the
    /// first, and no field says that it was split.
    pub(crate) fn add(
        &mut self,
        fragment: Fragment,
        document: Document<'_>,
    ) -> Result<Option<Vec<u8>>, SplitError> {
        let Fragment { number: found, of } = fragment;
        let Fragment { number: last, of: expected } = self.last;
        let follows = if self.is_open() { of == expected } else { of > 0 };
        if !follows || last.checked_add(1) != Some(found) || found > of {
            return Err(SplitError::Order { last, found, of });
        }
        if found == 1 {
            // The length is known at the end.
            self.elements.extend_from_slice(&[0; 4]);
        }
        let mut elements = document.elements();
        loop {
            let from = elements.rest();
            let Some(element) = elements.next() else { break };
            let name = element?.name;
            if name == "splitEvent" || (name == "_id" && found > 1) {
                continue;
            }
            let n_bytes = from.len() - elements.rest().len();
            self.elements.extend_from_slice(from.get(..n_bytes).unwrap_or_default());
        }
        let too_large = SplitError::TooLarge { bytes_max: self.bytes_max };
        if self.elements.len() > self.bytes_max {
            return Err(too_large);
        }
        self.last = fragment;
        if found < of {
            return Ok(None);
        }
        self.last = NONE;
        let mut whole = std::mem::take(&mut self.elements);
        whole.push(0);
        let length = i32::try_from(whole.len()).map_err(|_| too_large)?;
        let place = whole.first_chunk_mut().expect("the first fragment made room for it");
        *place = length.to_le_bytes();
        Ok(Some(whole))
    }
}
