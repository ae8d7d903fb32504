//! Producers, as the newest records show them: where they put a flow, and what their clocks say.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Finding,
    unit::{count, span},
};
use crate::{
    kafka::{
        look::{Sampled, Standing, Topic},
        partitioner::Hash,
    },
    sentence::quotable,
};

const PARTITIONER: &str = "producers.partitioner";
const FLOWS: &str = "producers.flows";
const CLOCK: &str = "producers.clock";

/// Producers' clocks may be ahead of ours by so much.
const AHEAD: Duration = Duration::from_secs(5);

pub(super) fn judge(topics: &[Topic], now_ms: i64) -> Vec<Finding> {
    let mut found = Vec::new();
    for topic in topics.iter().filter(|topic| topic.standing == Standing::There) {
        match &topic.sample {
            Err(why) => {
                let why = format!("records of {} can't be read: {why}", topic.name);
                found.extend(
                    [PARTITIONER, FLOWS, CLOCK].map(|check| Finding::skipped(check, &why).of(&topic.name)),
                );
            }
            Ok(sample) => {
                let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
                let findings = [
                    partitioner(sample, partitions, &topic.name),
                    flows(sample, &topic.name),
                    clocks(sample, now_ms, &topic.name),
                ];
                found.extend(findings.map(|finding| finding.of(&topic.name)));
            }
        }
    }
    found
}

fn number(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Records with a key that says something: without one, a record may lie anywhere.
fn keyed(sample: &[Sampled]) -> impl Iterator<Item = (&[u8], i32)> {
    sample
        .iter()
        .filter_map(|record| Some((record.key.as_deref().filter(|key| !key.is_empty())?, record.partition)))
}

fn partitioner(sample: &[Sampled], partitions: i32, topic: &str) -> Finding {
    let total = keyed(sample).count();
    if total == 0 || partitions < 2 {
        let why = if partitions < 2 { "it has one partition" } else { "no record with a key was seen" };
        return Finding::skipped(PARTITIONER, format!("{topic}: nothing to tell producers by, {why}"));
    }
    let fits =
        |hash: Hash, (key, partition): (&[u8], i32)| hash.partition(key, partitions) == Some(partition);
    let strange: Vec<_> = keyed(sample).filter(|record| !fits(Hash::Murmur2, *record)).collect();
    let seen = count(number(total), "record");
    if strange.is_empty() {
        return Finding::ok(
            PARTITIONER,
            format!("{topic}: {seen} looked at, each where murmur2 puts its key"),
        );
    }
    let by = |hash: Hash| strange.iter().filter(|record| fits(hash, **record)).count();
    let names = [
        (Hash::Crc32, "librdkafka's default partitioner (consistent_random)"),
        (Hash::Fnv1a, "Sarama's default partitioner (FNV-1a)"),
    ];
    // By chance one of every so many partitions' records fits.
    let name = names.into_iter().find(|(hash, _)| by(*hash) * 10 >= strange.len() * 9);
    let whose = name
        .map_or("none that is known: a random one, or the topic has got partitions since", |(_, name)| name);
    let said =
        format!("{topic}: {} of {seen} lie where {whose} puts them, not where murmur2 does", strange.len());
    let advice = "give those producers murmur2 (librdkafka: partitioner=murmur2_random; Sarama: a murmur2 partitioner); \
                  rows are right either way, but one flow's events are stored by several lanes, which costs more";
    Finding::warn(PARTITIONER, said, advice)
}

fn flows(sample: &[Sampled], topic: &str) -> Finding {
    let mut places: BTreeMap<&[u8], BTreeSet<i32>> = BTreeMap::new();
    for (key, partition) in keyed(sample) {
        places.entry(key).or_default().insert(partition);
    }
    let total = count(number(places.len()), "key");
    let mut spread = places.iter().filter(|(_, partitions)| partitions.len() > 1);
    let Some((key, partitions)) = spread.next() else {
        return Finding::ok(FLOWS, format!("{topic}: {total} looked at, each on one partition"));
    };
    let numbers: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    let key = String::from_utf8_lossy(key);
    let said = format!(
        "{topic}: {} of {total} on several partitions, {} on {} among them",
        1 + spread.count(),
        quotable(&key),
        numbers.join(" and ")
    );
    let advice = "its producers have different partitioners, or the topic got partitions meanwhile; rows are right either \
                  way, see producers.partitioner";
    Finding::warn(FLOWS, said, advice)
}

fn clocks(sample: &[Sampled], now_ms: i64, topic: &str) -> Finding {
    let Some(newest) = sample.iter().filter_map(|record| record.created).max() else {
        return Finding::skipped(
            CLOCK,
            format!("{topic}: no record was seen with a time that its producer gave it"),
        );
    };
    let ahead = Duration::from_millis(u64::try_from(newest - now_ms).unwrap_or(0));
    if ahead < AHEAD {
        return Finding::ok(CLOCK, format!("{topic}: no record is from the future"));
    }
    let said = format!("{topic}: a record is from the future, by {}", span(ahead));
    let advice = "a producer's clock is ahead (or ours behind): lag in seconds is wrong, and Kafka keeps its segment longer; \
                  look at NTP on its host";
    Finding::warn(CLOCK, said, advice)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn put(hash: Hash, keys: std::ops::Range<u32>, partitions: i32) -> Vec<Sampled> {
        let record = |number: u32| {
            let key = format!("flow-{number}").into_bytes();
            Sampled { partition: hash.partition(&key, partitions).unwrap(), key: Some(key), created: None }
        };
        keys.map(record).collect()
    }

    #[test]
    fn a_foreign_partitioner_is_named() {
        let of = |sample: &[Sampled]| partitioner(sample, 6, "t");
        assert_eq!(of(&put(Hash::Murmur2, 0..100, 6)).verdict, Verdict::Ok);
        for (hash, name) in [(Hash::Crc32, "consistent_random"), (Hash::Fnv1a, "Sarama")] {
            let mixed = [put(Hash::Murmur2, 0..100, 6), put(hash, 100..200, 6)].concat();
            let found = of(&mixed);
            assert!(found.verdict == Verdict::Warn && found.said.contains(name), "{found:?}");
        }
        // A topic that had four partitions once.
        let found = of(&put(Hash::Murmur2, 0..100, 4));
        assert!(found.verdict == Verdict::Warn && found.said.contains("none that is known"), "{found:?}");
        assert_eq!(of(&[]).verdict, Verdict::Skipped);
        assert_eq!(partitioner(&put(Hash::Crc32, 0..9, 1), 1, "t").verdict, Verdict::Skipped);
    }

    #[test]
    fn a_flow_on_two_partitions_is_named() {
        let one = put(Hash::Murmur2, 0..100, 6);
        assert_eq!(flows(&one, "t").verdict, Verdict::Ok);
        let mut moved = one[7].clone();
        moved.partition = (moved.partition + 1) % 6;
        let found = flows(&[one, vec![moved]].concat(), "t");
        assert!(found.verdict == Verdict::Warn && found.said.contains("1 of 100 keys"), "{found:?}");
        assert!(found.said.contains("flow-7 on "), "{found:?}");
    }

    #[test]
    fn a_record_from_the_future_is_told() {
        let of = |created| clocks(&[Sampled { partition: 0, key: None, created }], 1_000_000, "t").verdict;
        assert_eq!(of(None), Verdict::Skipped);
        assert_eq!(of(Some(1_004_999)), Verdict::Ok);
        assert_eq!(of(Some(1_005_000)), Verdict::Warn);
    }
}
