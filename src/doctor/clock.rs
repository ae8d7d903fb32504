//! Clocks: the database's, the broker's and those of producers, beside ours.

use std::time::Duration;

use super::{Finding, unit::span};
use crate::postgres::look::Skew;

/// Differences up to this are of no account; what is measured over a network is not surer than that.
const WARN: Duration = Duration::from_secs(1);
/// Certificates, tokens and retention go wrong with clocks that are so far apart.
const FAIL: Duration = Duration::from_mins(5);

const ADVICE: &str =
    "one of the two clocks is not kept by NTP: look at `timedatectl` or `chronyc tracking` on both";

/// The database's clock.
pub(super) fn database(skew: Skew) -> Finding {
    compared("clock.database", "the database", skew)
}

fn compared(check: &'static str, whose: &str, skew: Skew) -> Finding {
    let sure = skew.ahead_us.unsigned_abs().saturating_sub(skew.unsure_us.unsigned_abs());
    let (apart, sure) = (Duration::from_micros(skew.ahead_us.unsigned_abs()), Duration::from_micros(sure));
    let give_or_take = span(Duration::from_micros(skew.unsure_us.unsigned_abs()));
    let direction = if skew.ahead_us < 0 { "behind" } else { "ahead of" };
    let said =
        format!("the clock of {whose} is {} {direction} ours, give or take {give_or_take}", span(apart));
    if sure >= FAIL {
        Finding::fail(check, said, ADVICE)
    } else if sure >= WARN {
        Finding::warn(check, said, ADVICE)
    } else {
        Finding::ok(check, said)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_difference_counts_as_far_as_it_is_sure() {
        let of = |ahead_ms: i64, unsure_ms: i64| {
            database(Skew { ahead_us: ahead_ms * 1_000, unsure_us: unsure_ms * 1_000 })
        };
        assert_eq!(of(999, 0).verdict, Verdict::Ok);
        assert_eq!(of(-1_500, 501).verdict, Verdict::Ok);
        assert_eq!(of(-1_500, 500).verdict, Verdict::Warn);
        assert_eq!(of(300_000, 0).verdict, Verdict::Fail);
        assert!(of(-1_500, 0).said.contains("1 s behind ours"), "{:?}", of(-1_500, 0));
    }
}
