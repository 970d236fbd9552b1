//! Any bytes as rows of a table with a column of each type, and as the map of another table: an
//! error or changes, no panic.
#![no_main]

mod binlog_common;

use binlog_common::{TYPES, batch, decoder, event, flavor, opened};
use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use tailwater::sources::Decode as _;
use tailwater::sources::mysql::settings::Flavor;

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let flavor = flavor(*choice);
    let mut events = opened(flavor);
    let bitmap = TYPES.len().div_ceil(8);
    let head = |kind: u8, images: usize| {
        let mut body = vec![1, 0, 0, 0, 0, 0, 1, 0];
        // Rows of version 2 have extra data, of which these have none.
        if flavor == Flavor::Mysql {
            body.extend([2, 0]);
        }
        body.push(TYPES.len() as u8);
        body.extend(vec![0xFF; bitmap * images]);
        body.extend(data);
        event(kind, &body)
    };
    events.push(match (flavor, choice % 5) {
        (Flavor::Mysql, 0) => head(30, 1),
        (Flavor::Mysql, 1) => head(31, 2),
        (Flavor::Mysql, 2) => head(32, 1),
        (Flavor::Mysql, 3) => head(39, 2),
        (Flavor::Mariadb, 0) => head(23, 1),
        (Flavor::Mariadb, 1) => head(24, 2),
        (Flavor::Mariadb, 2) => head(25, 1),
        // Compressed.
        (Flavor::Mariadb, 3) => head(166, 1),
        _ => event(19, data),
    });
    let mut reader = binlog_common::common::Reader::default();
    decoder(flavor).decode(&batch(&events, &[]), &Bump::new(), &mut reader).ok();
});
