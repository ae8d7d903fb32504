//! How fast flows are removed: ingest goes first.
//!
//! Flows are kept out under the lock that every batch of the collectors holds, so how long it is waited for shows how long
//! their batches take. Where nobody has it there is no rest; beside batches as they are usual, as much as the work took, or
//! four times that where they are long, which is where collectors have all they can do; and more while they get longer.

use std::time::Duration;

/// A wait for the lock that is not longer: no batch was under way.
const NONE: Duration = Duration::from_millis(2);
/// Or batches are short: collectors have time to spare.
const SHORT: Duration = Duration::from_millis(20);
/// The rest after a step of work beside longer ones is so many times as long as the work. On two cores that leaves collectors
/// that have all they can do nine tenths of their speed.
const BUSY: u32 = 4;
/// A wait that is so many times the usual one is a sign that batches have slowed down.
const SLOWER: u32 = 2;
/// The rest after a step of work is at most so many times as long as the work.
const MOST: u32 = 32;
/// No rest is longer.
const LONGEST: Duration = Duration::from_secs(10);

/// Says how long to rest.
#[derive(Debug)]
pub(super) struct Pace {
    usual: Option<Duration>,
    times: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { usual: None, times: 1 }
    }
}

impl Pace {
    /// The lock was had after this wait.
    pub(super) fn waited(&mut self, wait: Duration) {
        let usual = self.usual.unwrap_or(wait);
        if wait > SHORT && wait > usual * SLOWER {
            self.slow();
        } else {
            self.times /= 2;
        }
        let least = if wait <= NONE {
            0
        } else if wait <= SHORT {
            1
        } else {
            BUSY
        };
        self.times = self.times.max(least);
        // It follows slowly, so that a wait that stays long becomes the usual one in the end.
        self.usual = Some((usual * 15 + wait) / 16);
    }

    /// The lock could not be had at all.
    pub(super) fn slow(&mut self) {
        self.times = (self.times.max(1) * 2).min(MOST);
    }

    /// How long to rest after work that took so long.
    pub(super) fn rest(&self, worked: Duration) -> Duration {
        (worked * self.times).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn beside_long_batches_it_rests_four_times_as_long_and_more_while_they_get_longer() {
        let mut pace = Pace::default();
        pace.waited(ms(30));
        assert_eq!(pace.rest(ms(100)), ms(400));
        pace.waited(ms(90));
        assert_eq!(pace.rest(ms(100)), ms(800));
        pace.waited(ms(120));
        assert_eq!(pace.rest(ms(100)), ms(1_600));
        pace.waited(ms(30));
        pace.waited(ms(30));
        assert_eq!(pace.rest(ms(100)), ms(400));
    }

    #[test]
    fn beside_short_batches_half_of_the_time_is_rest_and_where_there_are_none_nothing() {
        let mut pace = Pace::default();
        pace.waited(ms(20));
        assert_eq!(pace.rest(ms(100)), ms(100));
        pace.waited(ms(2));
        assert_eq!(pace.rest(ms(100)), ms(0));
        pace.slow();
        assert_eq!(pace.rest(ms(100)), ms(200));
    }

    #[test]
    fn no_rest_is_without_end() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.slow();
        }
        assert_eq!(pace.rest(ms(1)), ms(32));
        assert_eq!(pace.rest(ms(5_000)), LONGEST);
    }
}
