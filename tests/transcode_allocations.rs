//! A row on its whole way from wire bytes to Avro costs no allocation once everything is warm.

use tailwater::sources::mysql::settings::Flavor;
use tailwater::sources::{Decode, RawBatch};

use super::{decode_binlog, decode_events, decode_rows, transcode_rows};

#[test]
fn a_row_is_transcoded_without_allocating() {
    check(decode_rows::decoder(), decode_rows::batch);
}

#[test]
fn a_row_that_is_numbered_in_its_transaction_is_transcoded_without_allocating() {
    use transcode_rows::Transcoder;
    measure((Transcoder::with_transactions(decode_rows::decoder()), 2), decode_rows::batch);
    for flavor in [Flavor::Mysql, Flavor::Mariadb] {
        let numbered = Transcoder::with_transactions(decode_binlog::decoder(flavor));
        measure((numbered, 2), |n| decode_binlog::batch(flavor, n));
    }
}

#[test]
fn a_row_of_a_binlog_is_transcoded_without_allocating() {
    for flavor in [Flavor::Mysql, Flavor::Mariadb] {
        check(decode_binlog::decoder(flavor), |n| decode_binlog::batch(flavor, n));
    }
}

#[test]
fn a_change_event_of_mongodb_is_transcoded_without_allocating() {
    check(decode_events::decoder(), decode_events::batch);
}

fn check(decoder: impl Decode + 'static, batch: impl Fn(usize) -> RawBatch) {
    measure((transcode_rows::Transcoder::new(decoder), 0), batch);
}

fn measure(
    (mut transcoder, n_edges): (transcode_rows::Transcoder, usize),
    batch: impl Fn(usize) -> RawBatch,
) {
    for _ in 0..3 {
        assert_eq!(transcoder.transcode(&batch(1001)), 1001 + n_edges);
    }
    let [one, many] = [batch(1), batch(1001)].map(|raw| {
        let measured = allocation_counter::measure(|| {
            transcoder.transcode(&raw);
        });
        measured.count_total
    });
    // A transaction has its name and its position; a thousand rows more have nothing.
    assert!(many <= one, "{many} allocations for 1001 rows, {one} for one");
}
