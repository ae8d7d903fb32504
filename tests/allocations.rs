//! How often memory is asked for on the way of an event: a figure that no other work on the machine changes.

#![expect(unreachable_pub, reason = "shared with a bench")]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "support/stretch.rs"]
mod stretch;

use flowtrail::{
    model::Event,
    pipeline::{group::Gathered, merge::Fold},
    postgres::encode,
};

use self::stretch::{EVENTS, LIMITS};

/// Allocations that a thousand events take, rounded up. What takes more has a reason to, or is put right; what takes less
/// lowers the figure here.
const DECODE: u64 = 1_000;
const MERGE: u64 = 94;
const ENCODE: u64 = 47;
/// Decode and merge as a lane does them, with what it keeps of each record.
const GATHER: u64 = 1_094;

/// So many hundredths less are not noticed: the standard library may come to ask for memory in other pieces.
const SLACK: u64 = 3;

/// Runs it, and says how often memory was asked for in it.
fn count<T>(run: impl FnOnce() -> T) -> (T, u64) {
    let (mut result, mut run) = (None, Some(run));
    let counted = allocation_counter::measure(|| result = run.take().map(|run| run()));
    (result.unwrap(), counted.count_total)
}

/// What is wrong with a figure.
fn judge(stage: &str, counted: u64, figure: u64) -> Option<String> {
    let said = match counted {
        more if more > figure => "more than the figure",
        less if less * 100 < figure * (100 - SLACK) => "lower the figure",
        _ => return None,
    };
    Some(format!("{stage} takes {counted} allocations in a thousand events: {said}, {figure}"))
}

#[test]
fn an_event_takes_as_few_allocations_as_it_did() {
    let records = stretch::records();
    let mut events: Vec<Event> = Vec::with_capacity(records.len());
    let ((), decoding) =
        count(|| events.extend(records.iter().map(|record| stretch::event(record).unwrap())));
    let (fold, merging) = count(|| {
        let mut fold = Fold::default();
        for event in events {
            fold.add(event);
        }
        fold
    });
    let (bytes, encoding) = count(|| {
        let mut bytes = 0;
        encode(&fold, |chunk| bytes += chunk.len());
        bytes
    });
    assert!(bytes > 1 << 20, "{bytes} bytes for {EVENTS} events");
    let (gathered, gathering) = count(|| {
        let mut gathered = Gathered::new(LIMITS);
        for record in records {
            gathered.add(record);
        }
        gathered
    });
    assert_eq!(gathered.fold, fold);
    let mut wrong = Vec::new();
    for (stage, counted, figure) in [
        ("decode", decoding, DECODE),
        ("merge", merging, MERGE),
        ("encode", encoding, ENCODE),
        ("gather", gathering, GATHER),
    ] {
        let counted = (counted * 1_000).div_ceil(EVENTS.into());
        println!("{stage}: {counted} allocations in a thousand events");
        wrong.extend(judge(stage, counted, figure));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
