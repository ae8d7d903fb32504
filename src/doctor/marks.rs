//! Whether what retention removed is kept out for as long as Kafka may bring it again.

use std::time::Duration;

use super::{Finding, cluster::kept, unit::span};
use crate::{config::Retention, kafka::look::Topic};

const CHECK: &str = "retention.marks";

const DAY: Duration = Duration::from_hours(24);

/// Kafka's own `segment.ms`: a record goes with the last one of its segment, not by itself.
const SEGMENT: Duration = Duration::from_hours(7 * 24);

/// Nothing where no flow is ever removed.
pub(super) fn judge(topic: &Topic, retention: &Retention) -> Option<Finding> {
    let name = &topic.name;
    if retention.policies.is_empty() {
        return None;
    }
    let Some(remembered) = retention.remember else {
        return Some(Finding::ok(CHECK, "what was removed is kept out for ever").of(name));
    };
    let settings = match &topic.settings {
        Ok(settings) => settings,
        Err(why) => {
            let said = format!("the settings of {name} can't be read: {why}");
            return Some(Finding::skipped(CHECK, said).of(name));
        }
    };
    let said = format!("what was removed is kept out for {} (retention.remember)", span(remembered));
    let comes_back = "a replay after that brings parts of it back";
    let finding = match kept(settings) {
        (None, true) => Finding::warn(
            CHECK,
            format!("{said} and {name} keeps records for ever: {comes_back}"),
            "set retention.remember = \"\", so that it is never forgotten, or have the topic forget: retention.ms",
        ),
        (None, false) => {
            let why = "keeps records by size alone, so whether that is long enough can't be told";
            Finding::skipped(CHECK, format!("{said}; {name} {why}"))
        }
        (Some(time), _) => {
            let segment = settings.get("segment.ms").and_then(|value| value.parse().ok());
            let longest = time.saturating_add(segment.map_or(SEGMENT, Duration::from_millis));
            if longest < remembered {
                Finding::ok(CHECK, format!("{said}, and {name} keeps records for {} at most", span(longest)))
            } else {
                Finding::warn(
                    CHECK,
                    format!(
                        "{said} and {name} keeps records for up to {} (retention.ms and segment.ms): {comes_back}",
                        span(longest)
                    ),
                    format!("set retention.remember to {}d or longer", longest.as_secs() / DAY.as_secs() + 1),
                )
            }
        }
    };
    Some(finding.of(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::RetentionPolicy, doctor::Verdict, kafka::look::Standing};

    fn judged(remember: Option<Duration>, settings: &[(&str, &str)]) -> Finding {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let topic = Topic {
            name: "t".to_owned(),
            standing: Standing::There,
            partitions: Vec::new(),
            settings: Ok(settings.iter().map(text).collect()),
            sample: Ok(Vec::new()),
        };
        judge(&topic, &Retention { policies: vec![policy()], remember, ..Retention::default() }).unwrap()
    }

    fn policy() -> RetentionPolicy {
        RetentionPolicy {
            name: "all".to_owned(),
            app: "*".to_owned(),
            flow: "*".to_owned(),
            statuses: Vec::new(),
            unfinished: false,
            age: DAY,
            payloads_after: None,
        }
    }

    #[test]
    fn marks_have_to_outlast_the_last_record_of_a_segment() {
        let week = [("retention.ms", "604800000"), ("segment.ms", "604800000")];
        assert_eq!(judged(Some(DAY * 30), &week).verdict, Verdict::Ok);
        // The record that was written when its segment began goes a week after the one that ended it.
        assert_eq!(judged(Some(DAY * 14 + Duration::from_millis(1)), &week).verdict, Verdict::Ok);
        let found = judged(Some(DAY * 14), &week);
        assert_eq!(found.verdict, Verdict::Warn);
        assert_eq!(found.advice.as_deref(), Some("set retention.remember to 15d or longer"));
        // A broker that tells no segment.ms has Kafka's own.
        assert_eq!(judged(Some(DAY * 14), &week[..1]).verdict, Verdict::Warn);
        let hourly = [("retention.ms", "604800000"), ("segment.ms", "3600000")];
        assert_eq!(judged(Some(DAY * 14), &hourly).verdict, Verdict::Ok);
    }

    #[test]
    fn a_topic_that_forgets_nothing_wants_marks_that_stay() {
        let for_ever = [("retention.ms", "-1")];
        let found = judged(Some(DAY * 9_999), &for_ever);
        assert_eq!(found.verdict, Verdict::Warn);
        assert!(found.advice.unwrap().starts_with("set retention.remember = \"\""));
        assert_eq!(judged(None, &for_ever).verdict, Verdict::Ok);
        let by_size = [("retention.ms", "-1"), ("retention.bytes", "1000")];
        assert_eq!(judged(Some(DAY * 30), &by_size).verdict, Verdict::Skipped);
    }

    #[test]
    fn where_nothing_is_removed_nothing_is_said() {
        let topic = Topic {
            name: "t".to_owned(),
            standing: Standing::There,
            partitions: Vec::new(),
            settings: Ok([("retention.ms".to_owned(), "-1".to_owned())].into()),
            sample: Ok(Vec::new()),
        };
        assert_eq!(judge(&topic, &Retention::default()), None);
    }
}
