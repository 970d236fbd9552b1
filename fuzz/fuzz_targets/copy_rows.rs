//! Any binary COPY, cut anywhere: an error or rows, no panic.
#![no_main]

mod common;

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use tailwater::sources::{Decode as _, Stage};

fuzz_target!(|data: &[u8]| {
    let mut decoder = common::decoder(true);
    let mut reader = common::Reader::default();
    let header = b"\0\x13PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let payloads = [header, data].concat();
    for (stage, data) in [
        (Stage::Snapshot { table: 0 }, &payloads[..]),
        (Stage::Snapshot { table: 0 }, b"\0\x02\xff\xff"),
        (Stage::SnapshotTableEnd { table: 0 }, b""),
        (Stage::SnapshotEnd, b""),
    ] {
        let raw = common::batch(stage, data);
        if decoder.decode(&raw, &Bump::new(), &mut reader).is_err() {
            return;
        }
    }
    assert!(reader.last.is_some());
});
