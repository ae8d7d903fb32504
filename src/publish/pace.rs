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

/// So many records a second, counted from a start: what was held up is made up for at once.
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
            sleep_until(turn, stop);
        }
        !stop.is_cancelled()
    }
}

/// So many records a second at most, spread evenly: of what was held up no more is made up for than the records of
/// [`EvenPace::SLICE`], so that whoever is to be spared is spared after a pause too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EvenPace {
    /// Between one record and the next.
    interval: Duration,
    /// When the next record may go, if nothing holds it up.
    next: Instant,
}

impl EvenPace {
    /// In this time there are no more records than in twice this time at an exact rate.
    pub(crate) const SLICE: Duration = Duration::from_millis(100);

    /// `None` for a rate of 0, which is as fast as possible.
    pub(crate) fn new(rate: u32, start: Instant) -> Option<Self> {
        (rate > 0).then(|| Self { interval: Duration::from_secs(1) / rate, next: start })
    }

    /// How long it is until the next record may go.
    pub(crate) fn ahead(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Blocks until the next record may go; `false` says stop.
    pub(crate) fn wait_for_turn(&mut self, stop: &CancellationToken) -> bool {
        sleep_until(self.turn(clock::monotonic()), stop);
        !stop.is_cancelled()
    }

    /// Takes the turn of a record that is ready now; says when it is.
    fn turn(&mut self, now: Instant) -> Instant {
        let made_up_for = now.checked_sub(Self::SLICE).unwrap_or(now);
        let turn = self.next.max(made_up_for);
        self.next = turn + self.interval;
        turn
    }
}

/// Sleeps until then, or until someone says stop.
fn sleep_until(then: Instant, stop: &CancellationToken) {
    loop {
        let ahead = then.saturating_duration_since(clock::monotonic());
        if ahead < SHORTEST_NAP || stop.is_cancelled() {
            return;
        }
        thread::sleep(ahead.min(LONGEST_NAP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When records go, in ms from the start, if each is ready as soon as the one before it has gone; held up once, at the
    /// record of that number, for so long.
    fn sent(rate: u32, count: usize, (held_up_at, held_up): (usize, Duration)) -> Vec<u128> {
        let start = clock::monotonic();
        let (mut now, mut pace) = (start, EvenPace::new(rate, start).unwrap());
        let mut sent = Vec::new();
        for number in 0..count {
            if number == held_up_at {
                now += held_up;
            }
            now = now.max(pace.turn(now));
            sent.push((now - start).as_millis());
        }
        sent
    }

    /// The most that go within a slice.
    fn most_in_a_slice(sent: &[u128]) -> usize {
        let before = |then: u128| sent.partition_point(|at| *at < then);
        let within = |first: &u128| before(*first + EvenPace::SLICE.as_millis()) - before(*first);
        sent.iter().map(within).max().unwrap()
    }

    #[test]
    fn records_are_spread_evenly_at_any_rate() {
        // Records, and when the last of them goes: one less than that many intervals after the first.
        for (rate, count, last) in [(3, 10, 3_000), (500, 2_001, 4_000), (20_000, 20_001, 1_000)] {
            let sent = sent(rate, count, (0, Duration::ZERO));
            assert!(sent[count - 1].abs_diff(last) <= 1, "{} at {rate}/s", sent[count - 1]);
            // A whole number of ms may hold a record more at either end.
            let wanted = usize::try_from(rate.div_ceil(10)).unwrap();
            let slack = wanted / 100 + 1;
            let most = most_in_a_slice(&sent);
            assert!((wanted..=wanted + slack).contains(&most), "{most} at {rate}/s");
        }
        assert!(EvenPace::new(0, clock::monotonic()).is_none());
    }

    #[test]
    fn a_pause_is_not_made_up_for_in_a_burst() {
        let sent = sent(1_000, 2_000, (500, Duration::from_secs(5)));
        // 100 for the slice that is made up for, 100 for the one that goes on.
        assert!((190..=202).contains(&most_in_a_slice(&sent)), "{}", most_in_a_slice(&sent));
        // 499 before the pause, which begins at 499 ms; then 1500 in as many ms, less those that were made up for.
        assert!(sent[1_999].abs_diff(499 + 5_000 + 1_500 - 100) <= 2, "{}", sent[1_999]);
    }
}
