//! Who sends wrong tokens has to wait.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Wrong tokens that an address may send within [`WINDOW`].
const MOST: u32 = 20;

/// After this an address begins anew.
const WINDOW: Duration = Duration::from_mins(1);

/// Addresses that are kept apart. Beyond that all are forgotten: the memory of them is bounded.
const MOST_ADDRESSES: usize = 10_000;

/// Wrong tokens by address.
#[derive(Debug, Default)]
pub(super) struct Failures {
    by_address: HashMap<IpAddr, (u32, Instant)>,
}

impl Failures {
    /// A wrong token came from this address.
    pub(super) fn note(&mut self, address: IpAddr, now: Instant) {
        if self.by_address.len() >= MOST_ADDRESSES && !self.by_address.contains_key(&address) {
            self.by_address.clear();
        }
        let (count, since) = self.by_address.entry(address).or_insert((0, now));
        if now.saturating_duration_since(*since) >= WINDOW {
            (*count, *since) = (0, now);
        }
        *count += 1;
    }

    /// How long an address has to wait before a token of it is looked at again; nothing where it need not.
    pub(super) fn waits(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let (count, since) = self.by_address.get(&address)?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(*since))?;
        (*count >= MOST && !left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn who_sends_many_wrong_tokens_waits_for_the_rest_of_a_minute() {
        let (mut failures, now) = (Failures::default(), clock::monotonic());
        let (eve, ann) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..MOST {
            assert_eq!(failures.waits(eve, now), None);
            failures.note(eve, now);
        }
        let later = now + Duration::from_secs(50);
        assert_eq!(failures.waits(eve, later), Some(Duration::from_secs(10)));
        assert_eq!(failures.waits(ann, later), None);
        assert_eq!(failures.waits(eve, now + WINDOW), None);
        failures.note(eve, now + WINDOW);
        assert_eq!(failures.waits(eve, now + WINDOW), None);
    }

    #[test]
    fn so_many_addresses_are_kept_and_no_more() {
        let (mut failures, now) = (Failures::default(), clock::monotonic());
        for number in 0..30_000_u32 {
            failures.note(IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(failures.by_address.len() <= MOST_ADDRESSES);
    }
}
