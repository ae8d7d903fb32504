//! A bound on memory that is a small multiple of the input.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What anything may take, however small the input: the tables of a parser, a row, a sentence.
const AT_LEAST: usize = 32 << 10;

/// Runs it and panics if it held, at its peak, more than `times` as many bytes as `input_bytes`.
///
/// Every allocation of this thread counts; what C code allocates does not.
pub fn bounded<T>(input_bytes: usize, times: usize, run: impl FnOnce() -> T) -> T {
    let mut result = None;
    let mut run = Some(run);
    // The counter has to see the end, even that of a panic.
    let mut count = || result = run.take().map(|run| catch_unwind(AssertUnwindSafe(run)));
    let peak = allocation_counter::measure(&mut count).bytes_max;
    let result = result.unwrap().unwrap_or_else(|panic| resume_unwind(panic));
    let most = input_bytes * times + AT_LEAST;
    assert!(usize::try_from(peak).unwrap() <= most, "{peak} bytes held for {input_bytes} of input");
    result
}
