//! What lasts is said when it begins and then seldom, however often it is met.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// What still lasts is said again after this long.
const AGAIN: Duration = Duration::from_secs(30);

/// More things than this are not kept apart: the memory of them is bounded.
const MOST: usize = 1_000;

/// Decides whether a line is worth saying.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    said: HashMap<String, Instant>,
}

impl Seldom {
    /// Whether to say this now: it is new, or was said long enough ago.
    pub(crate) fn is_due(&mut self, what: &str, now: Instant) -> bool {
        if self.said.get(what).is_some_and(|said| now.saturating_duration_since(*said) < AGAIN) {
            return false;
        }
        if self.said.len() >= MOST {
            self.said.clear();
        }
        self.said.insert(what.to_owned(), now);
        true
    }

    /// It is over: should it begin again, that is worth a line.
    pub(crate) fn over(&mut self, what: &str) {
        self.said.remove(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn what_lasts_is_said_at_first_and_then_seldom() {
        let (mut seldom, began) = (Seldom::default(), clock::monotonic());
        let mut due = |what: &str, seconds| seldom.is_due(what, began + Duration::from_secs(seconds));
        assert!(due("a", 0) && !due("a", 1) && due("b", 2) && !due("a", 29));
        assert!(due("a", 30) && !due("a", 59) && due("a", 60));
        seldom.over("a");
        assert!(seldom.is_due("a", began + Duration::from_secs(61)));
    }
}
