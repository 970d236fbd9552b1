//! Exit codes. A supervisor may tell from them whether starting again can help.

use std::process::ExitCode;

/// How a run of the program ended. The numbers are documented in README.md and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done, or stopped as asked with everything in flight finished.
    Ok,
    /// Arguments or configuration cannot be used; also a taken `admin.listen`.
    Configuration,
    /// The database refuses, cannot be reached within the budget, or is not the one it was.
    Source,
    /// Kafka, the schema registry or the output file refuses, or cannot be reached.
    Sink,
    /// The offsets are damaged, foreign, locked, or cannot be written.
    Offsets,
    /// `--until` ended before it was reached, or a stop ran out of `delivery.drain_timeout`. What
    /// was not finished comes again with the next start.
    Incomplete,
    /// A mistake of this program.
    Internal,
}

impl Code {
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Configuration => 2,
            Self::Source => 3,
            Self::Sink => 4,
            Self::Offsets => 5,
            Self::Incomplete => 6,
            Self::Internal => 70,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}
