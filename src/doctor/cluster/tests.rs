use super::super::Verdict;
use super::*;
use crate::kafka::look::{Member, Partition};

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn partition(number: i32, replicas: usize, in_sync: usize) -> Partition {
    Partition { number, has_leader: true, replicas, in_sync, ends: Ok((0, 0)) }
}

fn topic(partitions: Vec<Partition>, pairs: &[(&str, &str)]) -> Topic {
    Topic {
        name: "t".to_owned(),
        standing: Standing::There,
        partitions,
        settings: Ok(settings(pairs)),
        sample: Ok(Vec::new()),
    }
}

fn facts(topics: Vec<Topic>) -> Facts {
    Facts {
        brokers: vec!["b:9092".to_owned()],
        protocol: BTreeMap::new(),
        topics,
        has_patterns: false,
        letters: None,
        group: Err(String::new()),
        newer_protocol: false,
        receive_max_bytes: Some(100_000_000),
        rights: Vec::new(),
    }
}

#[test]
fn the_release_is_the_newest_whose_protocol_all_brokers_speak() {
    let of = |pairs: &[(i16, i16)], newer| version(&pairs.iter().copied().collect(), newer);
    let kafka_3_7 = [(1, 16), (2, 8), (3, 12), (10, 4)];
    let found = of(&kafka_3_7, false);
    assert!(found.verdict == Verdict::Ok && found.said.contains("Kafka 3.7"), "{found:?}");
    assert_eq!(of(&kafka_3_7, true).verdict, Verdict::Fail);
    assert_eq!(of(&[(1, 18), (2, 10), (3, 13), (10, 6)], true).verdict, Verdict::Ok);
    assert_eq!(of(&[(1, 11), (3, 9), (10, 3)], false).verdict, Verdict::Warn);
    assert_eq!(of(&[(1, 7)], false).verdict, Verdict::Warn);
    assert_eq!(of(&[], false).verdict, Verdict::Skipped);
}

#[test]
fn copies_that_are_missing_are_a_warning_until_producers_are_refused() {
    let of = |partitions: Vec<Partition>, brokers| {
        copies(&topic(partitions, &[("min.insync.replicas", "2")]), brokers).verdict
    };
    assert_eq!(of(vec![partition(0, 3, 3)], 3), Verdict::Ok);
    assert_eq!(of(vec![partition(0, 3, 3), partition(1, 3, 2)], 3), Verdict::Warn);
    assert_eq!(of(vec![partition(0, 3, 3), partition(1, 3, 1)], 3), Verdict::Fail);
    assert_eq!(of(vec![Partition { has_leader: false, ..partition(0, 3, 3) }], 3), Verdict::Fail);
    let alone = |brokers| copies(&topic(vec![partition(0, 1, 1)], &[]), brokers).verdict;
    assert_eq!((alone(1), alone(3)), (Verdict::Ok, Verdict::Warn));
}

#[test]
fn compaction_loses_events_whatever_stands_beside_it() {
    for (policy, verdict) in [
        ("delete", Verdict::Ok),
        ("compact", Verdict::Fail),
        ("compact,delete", Verdict::Fail),
        ("delete, compact", Verdict::Fail),
    ] {
        assert_eq!(cleanup("t", &settings(&[("cleanup.policy", policy)])).verdict, verdict, "{policy}");
    }
}

#[test]
fn retention_is_judged_by_the_outage_that_it_bridges() {
    let of = |pairs: &[(&str, &str)]| retention("t", &settings(pairs));
    assert_eq!(of(&[("retention.ms", "-1"), ("retention.bytes", "-1")]).verdict, Verdict::Ok);
    assert_eq!(of(&[("retention.ms", "86400000")]).verdict, Verdict::Ok);
    assert_eq!(of(&[("retention.ms", "86399999")]).verdict, Verdict::Warn);
    assert_eq!(of(&[("retention.ms", "3599999")]).verdict, Verdict::Fail);
    let by_size = of(&[("retention.ms", "-1"), ("retention.bytes", "1073741824")]);
    assert!(by_size.said.contains("for ever, and no more than 1 GiB"), "{by_size:?}");
}

#[test]
fn a_message_that_is_taken_has_to_be_read_too() {
    let of = |most: &str, receives| {
        let facts = Facts { receive_max_bytes: receives, ..facts(Vec::new()) };
        message_size("t", &settings(&[("max.message.bytes", most)]), &facts, &Config::default()).verdict
    };
    assert_eq!(of("16777216", Some(100_000_000)), Verdict::Ok);
    // Kafka's default beside flowtrail's 4 MiB.
    assert_eq!(of("1048588", Some(100_000_000)), Verdict::Warn);
    assert_eq!(of("16777216", Some(2_000_000)), Verdict::Fail);
}

#[test]
fn a_partition_that_nobody_reads_is_named() {
    let two = || facts(vec![topic(vec![partition(0, 1, 1), partition(1, 1, 1)], &[])]);
    let member = |partitions: Option<&[i32]>| Member {
        client: "c".to_owned(),
        host: "h".to_owned(),
        partitions: partitions.map(|numbers| numbers.iter().map(|n| ("t".to_owned(), *n)).collect()),
    };
    let of = |state: &str, members: Vec<Member>| {
        of_group(&Group { state: state.to_owned(), members }, &two(), &Config::default())
    };
    assert_eq!(
        of("Stable", vec![member(Some(&[0])), member(Some(&[1])), member(Some(&[]))]).verdict,
        Verdict::Ok
    );
    let found = of("Stable", vec![member(Some(&[0]))]);
    assert!(found.verdict == Verdict::Fail && found.said.ends_with("reads t/1"), "{found:?}");
    assert_eq!(of("Stable", vec![member(None)]).verdict, Verdict::Ok);
    assert_eq!(of("PreparingRebalance", vec![member(Some(&[0, 1]))]).verdict, Verdict::Warn);
    assert_eq!(of("Empty", Vec::new()).verdict, Verdict::Warn);
    let newer = Facts { newer_protocol: true, ..two() };
    let none = Group { state: String::new(), members: Vec::new() };
    assert_eq!(of_group(&none, &newer, &Config::default()).verdict, Verdict::Skipped);
}
