//! Ten-column inserts, wire bytes to values. Budget: 200 ns a row of PostgreSQL's text, 150 ns of
//! MySQL's binary form. And insert events of 500 bytes, BSON to Extended JSON.

#[path = "../tests/support/decode_binlog.rs"]
mod decode_binlog;
#[path = "../tests/support/decode_events.rs"]
mod decode_events;
#[path = "../tests/support/decode_rows.rs"]
mod decode_rows;

use bumpalo::Bump;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tailwater::sources::Decode as _;

const N_ROWS: usize = 1000;

fn decode(criterion: &mut Criterion) {
    let mut decoder = decode_rows::decoder();
    let raw = decode_rows::batch(N_ROWS);
    let mut arena = Bump::new();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(N_ROWS as u64));
    group.bench_function("insert of ten columns", |bencher| {
        bencher.iter(|| {
            decoder
                .decode(&raw, &arena, &mut decode_rows::Counter::default())
                .expect("rows decode");
            arena.reset();
        });
    });
    let mut decoder = decode_binlog::decoder();
    let raw = decode_binlog::batch(N_ROWS);
    group.bench_function("insert of ten columns, binlog", |bencher| {
        bencher.iter(|| {
            decoder
                .decode(&raw, &arena, &mut decode_rows::Counter::default())
                .expect("rows decode");
            arena.reset();
        });
    });
    let mut decoder = decode_events::decoder();
    let raw = decode_events::batch(N_ROWS);
    group.bench_function("insert event of 500 bytes, MongoDB", |bencher| {
        bencher.iter(|| {
            decoder
                .decode(&raw, &arena, &mut decode_rows::Counter::default())
                .expect("events decode");
            arena.reset();
        });
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
