//! Clocks: the database's, the broker's and those of producers, beside ours.

use std::time::Duration;

use super::{Finding, unit::span};
use crate::{kafka::look::BrokerClock, postgres::look::Skew};

const BROKER: &str = "clock.broker";

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

/// The broker's clock, if nobody wanted a topic to be made for it.
pub(super) fn broker_unasked() -> Finding {
    let why = "the protocol tells a broker's clock by a record of a topic made for it only: flowtrail doctor --probe makes \
               one and removes it";
    Finding::skipped(BROKER, why)
}

/// The broker's clock.
pub(super) fn broker(clock: &Result<BrokerClock, String>) -> Finding {
    match clock {
        Err(why) => Finding::skipped(BROKER, format!("the broker's clock can't be told: {why}")),
        Ok(BrokerClock { left_behind: Some(topic), .. }) => {
            let advice = format!("kafka-topics.sh --delete --topic {topic}");
            Finding::warn(
                BROKER,
                format!("topic {topic}, made to learn the broker's clock, could not be removed"),
                advice,
            )
        }
        Ok(clock) => {
            compared(BROKER, "the broker", Skew { ahead_us: clock.ahead_us, unsure_us: clock.unsure_us })
        }
    }
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
        let broker = |ahead_us, left_behind| broker(&Ok(BrokerClock { ahead_us, unsure_us: 0, left_behind }));
        assert_eq!(broker(400_000_000, None).verdict, Verdict::Fail);
        assert_eq!(broker(0, None).verdict, Verdict::Ok);
        assert!(broker(0, Some("x".to_owned())).advice.unwrap().ends_with("--topic x"));
        assert!(of(-1_500, 0).said.contains("1 s behind ours"), "{:?}", of(-1_500, 0));
    }
}
