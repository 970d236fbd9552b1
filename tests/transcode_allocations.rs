//! A row on its whole way from wire bytes to Avro costs no allocation once everything is warm.

use super::{decode_rows, transcode_rows};

#[test]
fn a_row_is_transcoded_without_allocating() {
    let mut transcoder = transcode_rows::Transcoder::new();
    let (one, many) = (decode_rows::batch(1), decode_rows::batch(1001));
    for _ in 0..3 {
        assert_eq!(transcoder.transcode(&many), 1001);
    }
    let [one, many] = [&one, &many].map(|raw| {
        allocation_counter::measure(|| {
            transcoder.transcode(raw);
        })
        .count_total
    });
    // A transaction has its name and its position; a thousand rows more have nothing.
    assert!(many <= one, "{many} allocations for 1001 rows, {one} for one");
}
