//! MongoDB from end to end: against the played server of `support::mongodb`, or unchanged against
//! the replica set that `TAILWATER_TEST_MONGODB_URI` names.

mod bad_input;
mod basics;
pub(crate) mod catalogue;
mod faults;
mod recordings;
mod resume;
mod server;
mod source;
mod streams;
mod structured;
mod text;
mod workload;

use std::path::Path;

use serde_json::Value;

/// The whole records that the stdout sink has written so far.
fn lines(path: &Path) -> Vec<Value> {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}
