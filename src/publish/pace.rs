//! A rate that is kept.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::clock;

/// How long a wait for the next record's turn lasts at most before the stop sign is looked at.
const LONGEST_NAP: Duration = Duration::from_millis(50);

/// A record is not waited for if its turn is nearer than this: sleeping is not that exact.
const SHORTEST_NAP: Duration = Duration::from_millis(1);

/// So many records a second, counted from a start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    rate: u32,
    start: Instant,
}

impl Pace {
    /// A rate of 0 is as fast as possible.
    pub(crate) fn new(rate: u32, start: Instant) -> Self {
        Self { rate, start }
    }

    /// Blocks until the record of that number, from 0, may go; `false` says stop.
    pub(crate) fn wait_for_turn(self, number: u64, stop: &CancellationToken) -> bool {
        if self.rate > 0 {
            let rate = u64::from(self.rate);
            let turn = self.start
                + Duration::from_secs(number / rate)
                + Duration::from_secs(number % rate) / self.rate;
            loop {
                let ahead = turn.saturating_duration_since(clock::monotonic());
                if ahead < SHORTEST_NAP || stop.is_cancelled() {
                    break;
                }
                thread::sleep(ahead.min(LONGEST_NAP));
            }
        }
        !stop.is_cancelled()
    }
}
