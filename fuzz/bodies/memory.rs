//! A bound on memory.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a row, a sentence and the like may take, however small the input.
pub const AT_LEAST: usize = 32 << 10;

/// Runs it and panics if it held more than `most` bytes at its peak.
pub fn bounded<T>(most: usize, run: impl FnOnce() -> T) -> T {
    let (result, peak) = peak(run);
    assert!(peak <= most, "{peak} bytes held, more than {most}");
    result
}

/// Runs it and says how many bytes it held at its peak.
///
/// Every allocation of this thread counts; what C code allocates does not.
pub(crate) fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let mut result = None;
    let mut run = Some(run);
    // The counter has to see the end, even that of a panic.
    let mut count = || result = run.take().map(|run| catch_unwind(AssertUnwindSafe(run)));
    let peak = allocation_counter::measure(&mut count).bytes_max;
    let result = result.unwrap().unwrap_or_else(|panic| resume_unwind(panic));
    (result, peak.try_into().unwrap())
}
