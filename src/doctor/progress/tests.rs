use super::super::Verdict;
use super::*;
use crate::kafka::look::Partition;

const HOUR: i64 = 3_600_000;

fn topic(ends: &[(i64, i64)], settings: &[(&str, &str)]) -> Topic {
    let partition = |(number, ends): (i32, &(i64, i64))| Partition {
        number,
        has_leader: true,
        replicas: 1,
        in_sync: 1,
        ends: Ok(*ends),
    };
    Topic {
        name: "t".to_owned(),
        standing: Standing::There,
        partitions: (0..).zip(ends).map(partition).collect(),
        settings: Ok(settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()),
        sample: Ok(Vec::new()),
    }
}

fn stored(nexts: &[i64]) -> Vec<StoredOffset> {
    let row = |(partition, next): (i32, &i64)| StoredOffset { topic: "t".to_owned(), partition, next: *next };
    (0..).zip(nexts).map(row).collect()
}

#[test]
fn a_gap_is_told_from_a_topic_that_was_created_again() {
    let of = |ends: &[(i64, i64)], nexts: &[i64]| offsets(&topic(ends, &[]), &stored(nexts));
    assert_eq!(of(&[(0, 10), (5, 20)], &[10, 5]).verdict, Verdict::Ok);
    assert!(of(&[(0, 10), (5, 20)], &[10]).said.contains("1 partition of t will be read"));
    let lost = of(&[(0, 10), (5, 20)], &[10, 4]);
    assert!(
        lost.verdict == Verdict::Fail && lost.said.contains("1: 4 is next and Kafka begins at 5"),
        "{lost:?}"
    );
    let beyond = of(&[(0, 9)], &[10]);
    assert!(beyond.verdict == Verdict::Fail && beyond.said.contains("created again"), "{beyond:?}");
    assert_eq!(of(&[(0, 10)], &[10, 3]).verdict, Verdict::Warn);
}

#[test]
fn lag_is_judged_by_what_retention_leaves() {
    let of = |age: i64, settings: &[(&str, &str)]| {
        let times = [(("t".to_owned(), 0), 1_000 * HOUR - age)].into();
        lag(&topic(&[(0, 10)], settings), &stored(&[3]), &times, 1_000 * HOUR)
    };
    let day = [("retention.ms", "86400000")];
    assert_eq!(of(12 * HOUR, &day).verdict, Verdict::Ok);
    assert_eq!(of(12 * HOUR + 1, &day).verdict, Verdict::Warn);
    assert_eq!(of(23 * HOUR, &day).verdict, Verdict::Warn);
    let found = of(23 * HOUR + 1, &day);
    assert!(found.verdict == Verdict::Fail && found.said.contains("7 records of t not stored"), "{found:?}");
    assert_eq!(of(30 * HOUR, &day).verdict, Verdict::Fail);
    // Of an hour a quarter counts.
    assert_eq!(of(40 * 60_000, &[("retention.ms", "3600000")]).verdict, Verdict::Warn);
    assert_eq!(of(50 * 60_000, &[("retention.ms", "3600000")]).verdict, Verdict::Fail);
    assert_eq!(of(9_000 * HOUR, &[("retention.ms", "-1")]).verdict, Verdict::Ok);
}

#[test]
fn the_edge_of_what_is_kept_by_size_is_told_by_position() {
    let of = |first, next| {
        lag(&topic(&[(first, 1_000)], &[("retention.bytes", "1000")]), &stored(&[next]), &Times::new(), 0)
            .verdict
    };
    assert_eq!((of(0, 5), of(500, 550), of(500, 549)), (Verdict::Ok, Verdict::Ok, Verdict::Warn));
    assert_eq!(of(500, 1_000), Verdict::Ok);
}

#[test]
fn only_what_is_not_stored_is_looked_up() {
    let topics = [topic(&[(0, 10), (5, 20), (0, 0), (5, 7), (0, 3)], &[])];
    let unread = unread(&topics, &stored(&[10, 2, 0, 6]));
    assert_eq!(unread.into_iter().collect::<Vec<_>>(), [("t".to_owned(), vec![(1, 5), (3, 6), (4, 0)])]);
}

#[test]
fn a_backup_is_judged_by_its_age_beside_retention() {
    let of = |settings: &[(&str, &str)], hours: Option<u64>| {
        backup(&topic(&[], settings), hours.map(Duration::from_hours)).verdict
    };
    let day = [("retention.ms", "86400000")];
    assert_eq!(of(&day, None), Verdict::Ok);
    assert_eq!(
        (of(&day, Some(12)), of(&day, Some(13)), of(&day, Some(24))),
        (Verdict::Ok, Verdict::Warn, Verdict::Fail)
    );
    assert_eq!(of(&[("retention.ms", "-1")], Some(9_000)), Verdict::Ok);
    assert_eq!(of(&[("retention.ms", "-1"), ("retention.bytes", "5")], Some(1)), Verdict::Skipped);
}

#[test]
fn letters_and_gaps_of_a_day_are_warnings() {
    let of = |kept| kept_aside(kept).map(|finding| finding.verdict);
    assert_eq!(of((0, 0)), [Verdict::Ok, Verdict::Ok]);
    assert_eq!(of((3, 1)), [Verdict::Warn, Verdict::Warn]);
}
