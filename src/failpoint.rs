//! Named places to crash at, for the fault tests. Empty unless the `failpoints` feature is on.
//!
//! `FAILPOINTS="checkpointed=3*off->return"` ends the process like a power cut at the fourth time
//! that the place is passed: no destructor runs, nothing is flushed. Waits have names too:
//! `FAILPOINTS="look=return(100)"` makes that one last 100 ms.

use std::time::Duration;

/// After the first checkpoint became durable, before anything was made on the source.
pub const INTENDED: &str = "intended";
/// After the source made what it needs, before a checkpoint says so.
pub const PREPARED: &str = "prepared";
/// After a batch was read from the source, before anything was done with it.
pub const READ: &str = "read";
/// After a batch was encoded, before the sink has it.
pub const ENCODE: &str = "encode";
/// After the first record of a batch was given to the producer.
pub const SEND: &str = "send";
/// After a batch became durable in the sink, before anybody knows.
pub const DELIVERED: &str = "delivered";
/// After a checkpoint became durable, before the source hears of it.
pub const CHECKPOINTED: &str = "checkpointed";
/// After a schema became durable that no row has yet.
pub const KEPT: &str = "kept";
/// After the source was told.
pub const ACKNOWLEDGED: &str = "acknowledged";

/// Between two looks at a publication.
pub const LOOK: &str = "look";

/// Before a server that gives no answer is asked whether it is there, and for that answer.
pub const QUIET: &str = "quiet";

/// For the decision of an XA transaction.
pub const UNDECIDED: &str = "undecided";

/// Bytes of a collection that a snapshot reads in one part.
pub const PART: &str = "part";

/// Dies here if the test says so.
pub fn hit(name: &'static str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |_| -> () { std::process::abort() });
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

/// As long as the test says, or else as `usual`.
#[must_use]
pub fn wait(name: &'static str, usual: Duration) -> Duration {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |text: Option<String>| -> Duration {
        text.and_then(|text| text.parse().ok()).map_or(usual, Duration::from_millis)
    });
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
    usual
}

/// As much as the test says, or else as `usual`.
#[must_use]
pub fn amount(name: &'static str, usual: u64) -> u64 {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |text: Option<String>| -> u64 {
        text.and_then(|text| text.parse().ok()).unwrap_or(usual)
    });
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
    usual
}

/// Reads `FAILPOINTS` once, at the start of the process.
pub fn setup() {
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}
