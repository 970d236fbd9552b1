//! Any stream of frames: an error or changes, positions that never move back, no panic.
#![no_main]

mod common;

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use tailwater::sources::{Decode as _, Stage};

fuzz_target!(|data: &[u8]| {
    let mut decoder = common::decoder(false);
    let mut reader = common::Reader::default();
    // A transaction is open and the table known, so that rows are reached at once.
    let mut opened = Vec::new();
    for body in [begin(), described()] {
        opened.extend((u16::try_from(body.len()).expect("short")).to_be_bytes());
        opened.extend(body);
    }
    opened.extend_from_slice(data);
    let raw = common::batch(Stage::Stream, &opened);
    let arena = Bump::new();
    let _ = decoder.decode(&raw, &arena, &mut reader);
});

fn frame(body: &[u8]) -> Vec<u8> {
    [&b"w"[..], &[0; 24], body].concat()
}

fn begin() -> Vec<u8> {
    frame(&[&b"B"[..], &[0; 20]].concat())
}

fn described() -> Vec<u8> {
    let mut body = b"R\0\0\0\x01public\0t\0d".to_vec();
    body.extend((common::TYPES.len() as u16).to_be_bytes());
    for (index, (oid, type_modifier)) in common::TYPES.iter().enumerate() {
        body.push(u8::from(index == 0));
        body.extend(format!("c{index}\0").bytes());
        body.extend(oid.to_be_bytes());
        body.extend(type_modifier.to_be_bytes());
    }
    frame(&body)
}
