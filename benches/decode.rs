//! Ten-column inserts, wire bytes to values. Budget: 200 ns a row of PostgreSQL's text, 150 ns of
//! the binary form of MySQL and MariaDB. And insert events of 500 bytes, BSON to Extended JSON.

#[path = "../tests/support/decode_binlog.rs"]
mod decode_binlog;
#[path = "../tests/support/decode_events.rs"]
mod decode_events;
#[path = "../tests/support/decode_rows.rs"]
mod decode_rows;

use bumpalo::Bump;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tailwater::sources::mysql::settings::Flavor;
use tailwater::sources::{Decode, RawBatch};

const N_ROWS: usize = 1000;

fn decode(criterion: &mut Criterion) {
    measure(criterion, "postgresql", &mut decode_rows::decoder(), || decode_rows::batch(N_ROWS));
    for (name, flavor) in [("mysql", Flavor::Mysql), ("mariadb", Flavor::Mariadb)] {
        let mut decoder = decode_binlog::decoder(flavor);
        measure(criterion, name, &mut decoder, || decode_binlog::batch(flavor, N_ROWS));
    }
    measure(criterion, "mongodb", &mut decode_events::decoder(), || decode_events::batch(N_ROWS));
}

fn measure(
    criterion: &mut Criterion,
    name: &str,
    decoder: &mut dyn Decode,
    batch: impl Fn() -> RawBatch,
) {
    let mut arena = Bump::new();
    let mut group = criterion.benchmark_group("decode an insert");
    group.throughput(Throughput::Elements(N_ROWS as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_batched(
            &batch,
            |raw| {
                decoder
                    .decode(&raw, &arena, &mut decode_rows::Counter::default())
                    .expect("rows decode");
                arena.reset();
                raw
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
