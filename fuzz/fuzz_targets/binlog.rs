//! Any events: an error or changes, positions that never move back, no panic. A transaction is open
//! and a table with a column of each type is known, so that rows are reached at once.
#![no_main]

mod binlog_common;

use binlog_common::{batch, decoder, flavor, opened};
use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use tailwater::sources::Decode as _;

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let mut reader = binlog_common::common::Reader::default();
    let raw = batch(&opened(flavor(*choice)), data);
    decoder(flavor(*choice)).decode(&raw, &Bump::new(), &mut reader).ok();
});
