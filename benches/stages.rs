//! What each stage takes of a processor by itself: decode (with rules for redaction too), merge, encode, and the first two
//! as a lane does them.
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

use std::error::Error;

use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use flowtrail::{
    config::{Redaction, RedactionAction, RedactionRule, RedactionTarget},
    model::Event,
    pipeline::{
        Envelope,
        decode::{Reject, decode},
        group::Gathered,
        merge::Fold,
    },
    postgres::encode,
    redaction::{RuleError, Rules},
};

use self::stretch::{EVENTS, LIMITS};

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let records = stretch::records();
    let mut group = criterion.benchmark_group("stages");
    group.throughput(Throughput::Elements(EVENTS.into()));
    stages(&mut group, &records)?;
    masking(&mut group, &records)?;
    group.finish();
    criterion.final_summary();
    Ok(())
}

fn stages(group: &mut BenchmarkGroup<'_, WallTime>, records: &[Envelope]) -> Result<(), Reject> {
    let decoded = || records.iter().map(stretch::event).collect::<Result<Vec<_>, _>>();
    group.bench_function("decode", |bencher| bencher.iter_with_large_drop(decoded));
    let events = decoded()?;
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

/// Decode under five rules, none of which names anything in these records: all of each payload is looked at.
fn masking(group: &mut BenchmarkGroup<'_, WallTime>, records: &[Envelope]) -> Result<(), RuleError> {
    let rule = |target| RedactionRule { app: "*".to_owned(), target, action: RedactionAction::Mask };
    let keys = ["*password*", "*secret*", "pin"].map(|key| rule(RedactionTarget::Key(key.to_owned())));
    let paths = ["$..card.number", "$.a[*].b"].map(|path| rule(RedactionTarget::Path(path.to_owned())));
    let rules = keys.into_iter().chain(paths).collect();
    let rules = Rules::compile(&Redaction { rules, ..Redaction::default() })?;
    let masked = |record: &Envelope| {
        decode(record.key.as_deref(), record.payload.as_ref(), LIMITS.payload_bytes, rules.as_deref()).is_ok()
    };
    group.bench_function("decode-with-rules", |bencher| {
        bencher.iter(|| records.iter().filter(|record| masked(record)).count());
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
