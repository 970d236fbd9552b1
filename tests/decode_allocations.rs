//! A row costs no allocation once the arena is warm.

use bumpalo::Bump;
use tailwater::sources::mysql::settings::Flavor;
use tailwater::sources::{Decode, RawBatch};

use super::{decode_binlog, decode_events, decode_rows};

#[test]
fn a_row_is_decoded_without_allocating() {
    check(&mut decode_rows::decoder(), decode_rows::batch);
}

#[test]
fn a_row_of_a_binlog_is_decoded_without_allocating() {
    for flavor in [Flavor::Mysql, Flavor::Mariadb] {
        check(&mut decode_binlog::decoder(flavor), |n| decode_binlog::batch(flavor, n));
    }
}

#[test]
fn a_change_event_of_mongodb_is_decoded_without_allocating() {
    check(&mut decode_events::decoder(), decode_events::batch);
}

fn check(decoder: &mut dyn Decode, batch: impl Fn(usize) -> RawBatch) {
    let mut arena = Bump::new();
    // Twice: the first run grows the arena, the reset keeps one chunk that holds everything.
    for _ in 0..3 {
        decoder
            .decode(&batch(1001), &arena, &mut decode_rows::Counter::default())
            .expect("rows decode");
        arena.reset();
    }
    let mut counts = [batch(1), batch(1001)].map(|raw| {
        let mut counter = decode_rows::Counter::default();
        let measured = allocation_counter::measure(|| {
            decoder.decode(&raw, &arena, &mut counter).expect("rows decode");
        });
        arena.reset();
        (counter.n_changes, measured.count_total)
    });
    // A transaction has its name and its position; a thousand rows more have nothing.
    let [(1, one), (1001, many)] = &mut counts else { panic!("{counts:?}") };
    assert!(many <= one, "{many} allocations for 1001 rows, {one} for one");
}
