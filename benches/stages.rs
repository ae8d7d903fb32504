//! What each stage takes of a processor by itself: decode, merge, encode, and the first two as a lane does them.
//!
//! ```text
//! cargo bench --bench stages
//! cargo bench --bench stages -- --save-baseline before
//! cargo bench --bench stages -- --baseline before
//! ```
//!
//! Times are of this machine at this moment. What `cargo test` holds them to are allocations: `tests/allocations.rs`.

#![expect(unreachable_pub, reason = "shared with a test")]

#[path = "../tests/support/stretch.rs"]
mod stretch;

use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use flowtrail::{
    model::Event,
    pipeline::{Envelope, decode::Reject, group::Gathered, merge::Fold},
    postgres::encode,
};

use self::stretch::{EVENTS, LIMITS};

fn main() -> Result<(), Reject> {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let records = stretch::records();
    let mut group = criterion.benchmark_group("stages");
    group.throughput(Throughput::Elements(EVENTS.into()));
    stages(&mut group, &records)?;
    group.finish();
    criterion.final_summary();
    Ok(())
}

fn stages(group: &mut BenchmarkGroup<'_, WallTime>, records: &[Envelope]) -> Result<(), Reject> {
    let decode = || records.iter().map(stretch::event).collect::<Result<Vec<_>, _>>();
    group.bench_function("decode", |bencher| bencher.iter_with_large_drop(decode));
    let events = decode()?;
    group.bench_function("merge", |bencher| {
        bencher.iter_batched(|| events.clone(), merge, BatchSize::LargeInput);
    });
    let fold = merge(events);
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            encode(&fold, |chunk| bytes += chunk.len());
            bytes
        });
    });
    group.bench_function("gather", |bencher| {
        bencher.iter_batched(|| records.to_vec(), gather, BatchSize::LargeInput);
    });
    Ok(())
}

fn merge(events: Vec<Event>) -> Fold {
    let mut fold = Fold::default();
    for event in events {
        fold.add(event);
    }
    fold
}

fn gather(records: Vec<Envelope>) -> Gathered {
    let mut gathered = Gathered::new(LIMITS);
    for record in records {
        gathered.add(record);
    }
    gathered
}
