//! Any expression as a default of any type: a default or none, no panic.
#![no_main]

#[expect(dead_code, reason = "only the list of types is wanted here")]
mod common;

use libfuzzer_sys::fuzz_target;
use tailwater::sources::postgres::{defaults, types};

fuzz_target!(|data: &[u8]| {
    let Some((which, expression)) = data.split_first() else { return };
    let Ok(expression) = std::str::from_utf8(expression) else { return };
    let (oid, type_modifier) = common::TYPES[usize::from(*which) % common::TYPES.len()];
    let Some(mapped) = types::map(oid, type_modifier, Some(&common::type_facts(oid))) else { return };
    let _ = defaults::parse(expression, oid, &mapped.column_type, mapped.reading);
});
