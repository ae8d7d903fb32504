//! What is stored beside what Kafka has: gaps that are there or near, and whether a backup could be healed.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Finding,
    cluster::kept,
    unit::{count, span},
};
use crate::{
    kafka::look::{Standing, Topic},
    postgres::look::StoredOffset,
};

/// Times of records, in ms since 1970, by topic and partition.
pub(super) type Times = BTreeMap<(String, i32), i64>;

/// With less than that left before Kafka drops what is not stored, it is a failure.
const LEFT_FAIL: Duration = Duration::from_hours(1);

const OFFSETS: &str = "progress.offsets";
const LAG: &str = "progress.lag";

/// By topic, partitions that have records to be stored, and where those begin.
pub(super) fn unread(topics: &[Topic], stored: &[StoredOffset]) -> BTreeMap<String, Vec<(i32, i64)>> {
    let mut unread: BTreeMap<String, Vec<(i32, i64)>> = BTreeMap::new();
    for topic in topics {
        for (number, (first, end)) in ends(topic) {
            let next = next_of(stored, &topic.name, number).unwrap_or(first).max(first);
            if next < end {
                unread.entry(topic.name.clone()).or_default().push((number, next));
            }
        }
    }
    unread
}

fn ends(topic: &Topic) -> impl Iterator<Item = (i32, (i64, i64))> {
    topic.partitions.iter().filter_map(|partition| Some((partition.number, *partition.ends.as_ref().ok()?)))
}

fn next_of(stored: &[StoredOffset], topic: &str, number: i32) -> Option<i64> {
    stored.iter().find(|row| row.topic == topic && row.partition == number).map(|row| row.next)
}

pub(super) fn judge(topics: &[Topic], stored: &[StoredOffset], times: &Times, now_ms: i64) -> Vec<Finding> {
    let mut found = Vec::new();
    for topic in topics.iter().filter(|topic| topic.standing == Standing::There) {
        found.push(offsets(topic, stored).of(&topic.name));
        found.push(lag(topic, stored, times, now_ms).of(&topic.name));
    }
    found
}

/// Whether what is to be stored next is still there.
fn offsets(topic: &Topic, stored: &[StoredOffset]) -> Finding {
    let name = &topic.name;
    let (mut lost, mut beyond, mut fresh) = (Vec::new(), Vec::new(), 0_i64);
    for (number, (first, end)) in ends(topic) {
        match next_of(stored, name, number) {
            Some(next) if next < first => {
                lost.push(format!("{number}: {next} is next and Kafka begins at {first}"));
            }
            Some(next) if next > end => {
                beyond.push(format!("{number}: {next} is next and Kafka ends at {end}"));
            }
            Some(_) => {}
            None => fresh += 1,
        }
    }
    let of_topic = stored.iter().filter(|row| row.topic == *name);
    let gone: Vec<String> = of_topic
        .filter(|row| topic.partitions.iter().all(|partition| partition.number != row.partition))
        .map(|row| row.partition.to_string())
        .collect();
    if !lost.is_empty() {
        let said = format!("records of {name} are gone that were not stored (partition {})", lost.join("; "));
        let advice = "see what is lost in ft_gap; then start collectors with collector.on_gap = \"continue\", which go on \
                      with what there is";
        Finding::fail(OFFSETS, said, advice)
    } else if !beyond.is_empty() {
        let said = format!(
            "{name} is shorter than what was stored of it (partition {}): it was created again",
            beyond.join("; ")
        );
        let advice = "if that was meant: collector.on_gap = \"continue\" reads it from its beginning";
        Finding::fail(OFFSETS, said, advice)
    } else if !gone.is_empty() {
        let said =
            format!("something is stored of partition {} of {name}, which is not there", gone.join(", "));
        let advice = "the topic was created again with fewer partitions; if that was meant, delete these rows of ft_offset";
        Finding::warn(OFFSETS, said, advice)
    } else if fresh > 0 {
        let partitions = count(fresh, "partition");
        Finding::ok(
            OFFSETS,
            format!("{partitions} of {name} will be read from the beginning, nothing is stored of them yet"),
        )
    } else {
        Finding::ok(OFFSETS, format!("Kafka has what comes next in every partition of {name}"))
    }
}

/// Whether retention will take what is not stored yet.
fn lag(topic: &Topic, stored: &[StoredOffset], times: &Times, now_ms: i64) -> Finding {
    let name = &topic.name;
    let (mut records, mut oldest, mut at_the_edge) = (0_i64, None, Vec::new());
    for (number, (first, end)) in ends(topic) {
        let next = next_of(stored, name, number).unwrap_or(first).clamp(first, end);
        records += end - next;
        let time = times.get(&(name.clone(), number)).filter(|_| next < end);
        oldest = oldest.into_iter().chain(time.copied()).min();
        // By size alone nobody can tell when a record goes; that others went, and that it is among the next, can be told.
        if first > 0 && next < end && (next - first).saturating_mul(10) < end - first {
            at_the_edge.push(number.to_string());
        }
    }
    if records == 0 {
        return Finding::ok(LAG, format!("everything of {name} is stored"));
    }
    let (time, any_size) = topic.settings.as_ref().map_or((None, true), kept);
    let age = oldest.map(|oldest| Duration::from_millis(u64::try_from(now_ms - oldest).unwrap_or(0)));
    let aged = age.map_or_else(String::new, |age| format!(", the oldest for {}", span(age)));
    let said = format!("{} of {name} not stored yet{aged}", count(records, "record"));
    let advice = "start collectors or see in their logs what they wait for; raise retention.ms meanwhile";
    if let (Some(time), Some(age)) = (time, age) {
        let left = time.saturating_sub(age);
        let said = format!("{said}; Kafka keeps records for {}", span(time));
        if left < LEFT_FAIL.min(time / 4) {
            return Finding::fail(LAG, format!("{said} and may drop the first in {}", span(left)), advice);
        }
        if age > time / 2 {
            return Finding::warn(LAG, said, advice);
        }
    }
    if !any_size && !at_the_edge.is_empty() {
        let numbers = at_the_edge.join(", ");
        let said =
            format!("{said}; they are among the oldest that retention.bytes leaves in partition {numbers}");
        return Finding::warn(
            LAG,
            said,
            "start collectors or see in their logs what they wait for; raise retention.bytes",
        );
    }
    Finding::ok(LAG, said)
}

/// Whether a database that was restored from a backup could be healed from Kafka.
pub(super) fn backup(topic: &Topic, age: Option<Duration>) -> Finding {
    const CHECK: &str = "kafka.backup";
    let name = &topic.name;
    let kept = match topic.settings.as_ref().map(kept) {
        Ok((Some(time), _)) => time,
        Ok((None, true)) => {
            let said = format!("{name} keeps everything, so a backup of any age can be healed");
            return Finding::ok(CHECK, said).of(name);
        }
        Ok((None, false)) => {
            let why = "it keeps records by size alone, so for how long can't be told";
            return Finding::skipped(CHECK, format!("{name}: {why}")).of(name);
        }
        Err(why) => {
            return Finding::skipped(CHECK, format!("the settings of {name} can't be read: {why}")).of(name);
        }
    };
    let Some(age) = age else {
        let said = format!("a database restored from a backup heals if that is younger than {}", span(kept));
        return Finding::ok(CHECK, format!("{said}, for which {name} keeps records (--backup-age compares)"))
            .of(name);
    };
    let said = format!("{name} keeps records for {} and the backup is {} old", span(kept), span(age));
    let advice = "raise retention.ms above the age that the oldest backup may have when it is needed, or back up more often";
    let finding = if kept <= age {
        Finding::fail(
            CHECK,
            format!("{said}: what happened between is lost if it has to be restored"),
            advice,
        )
    } else if kept < age * 2 {
        Finding::warn(CHECK, said, advice)
    } else {
        Finding::ok(CHECK, said)
    };
    finding.of(name)
}

/// Dead letters and gaps of the last day.
pub(super) fn kept_aside((letters, gaps): (u64, u64)) -> [Finding; 2] {
    let day = "in the last 24 hours";
    let letters = match letters {
        0 => Finding::ok("progress.dead_letters", format!("no message became a dead letter {day}")),
        many => Finding::warn(
            "progress.dead_letters",
            format!("{} became dead letters {day}", count(many, "message")),
            "flowtrail deadletter list shows them and why",
        ),
    };
    let gaps = match gaps {
        0 => Finding::ok("progress.gaps", format!("no gap was met {day}")),
        many => Finding::warn(
            "progress.gaps",
            format!(
                "{} met {day}",
                if many == 1 { "1 gap was".to_owned() } else { format!("{many} gaps were") }
            ),
            "the newest rows of ft_gap say which records were gone, and since when",
        ),
    };
    [letters, gaps]
}

#[cfg(test)]
mod tests;
