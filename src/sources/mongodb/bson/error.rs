//! What is wrong with a document's bytes.

/// Never carries a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BsonError {
    #[error("read {0} of a BSON document: the bytes end before it does")]
    CutOff(&'static str),
    #[error("read {0} of a BSON document: its length cannot be true")]
    Length(&'static str),
    #[error("read {0} of a BSON document: its end is not marked by a zero byte")]
    NoTerminator(&'static str),
    #[error("read {0} of a BSON document: it is not UTF-8")]
    NotUtf8(&'static str),
    #[error("read a BSON document: type {0:#04x} is unknown")]
    UnknownType(u8),
    #[error("read a boolean of a BSON document: {0} is neither true nor false")]
    Boolean(u8),
    #[error("read a BSON document that is nested deeper than {0}")]
    Depth(usize),
}
