//! Any bytes as rows of a table with a column of each type, and as the map of another table: an
//! error or changes, no panic.
#![no_main]

mod binlog_common;

use binlog_common::{TYPES, batch, decoder, event, opened};
use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use tailwater::sources::Decode as _;

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let mut events = opened();
    let bitmap = TYPES.len().div_ceil(8);
    let head = |kind: u8, images: usize| {
        let mut body = vec![1, 0, 0, 0, 0, 0, 1, 0, 2, 0, TYPES.len() as u8];
        body.extend(vec![0xFF; bitmap * images]);
        body.extend(data);
        event(kind, &body)
    };
    match choice % 5 {
        0 => events.push(head(30, 1)),
        1 => events.push(head(31, 2)),
        2 => events.push(head(32, 1)),
        3 => events.push(head(39, 2)),
        _ => events.push(event(19, data)),
    }
    let mut reader = binlog_common::common::Reader::default();
    decoder().decode(&batch(&events, &[]), &Bump::new(), &mut reader).ok();
});
