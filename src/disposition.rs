//! What is done about an error, and what a person is told about it.

/// The four things that can follow an error. Every room's error type decides in one exhaustive
/// `disposition()`, without a catch-all arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The same call may succeed later: wait and call again.
    Retry,
    /// The connection, or the whole run, starts again from the durable checkpoint.
    Reconnect,
    /// This one row cannot go on: the dead-letter policy decides.
    DeadLetter,
    /// No retry will heal it: stop loudly and keep everything as it is.
    Stop,
}

/// What an operator reads: what failed, and what a person can do. The error's own text says what
/// was tried on which object; its source chain says why.
pub trait Diagnose: std::error::Error {
    fn disposition(&self) -> Disposition;

    /// The exact SQL, setting or command that mends it.
    fn hint(&self) -> Option<String> {
        None
    }
}
