//! Kafka's lines.

use std::time::Duration;

use flowtrail::{
    config::Config,
    doctor::{Options, Verdict},
    kafka::client,
};
use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    producer::{FutureProducer, FutureRecord},
};

use super::{assert_says, examine, examine_with, of};
use crate::{
    collecting::{Collecting, collect_all, set_offset, until_stored},
    gaps::flows,
    program::{configured, done},
    retention::policy,
    servers::{self, PATIENCE, until},
    topics::{self, Raw, delete_before, put},
};

/// A flow under a key of its own, at an age.
async fn put_at(config: &Config, partition: i32, key: &str, age_ms: i64) {
    let producer: FutureProducer = client::settings(&config.kafka, &[], &[]).create().unwrap();
    let value = flows(key, 1).remove(0).value.unwrap();
    let time = jiff::Timestamp::now().as_millisecond() - age_ms;
    let record = FutureRecord::to(&config.kafka.topics[0]).partition(partition).key(key).payload(&value);
    producer.send(record.timestamp(time), PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_as_it_should_be_is_fine_in_every_line() {
    let config = servers::config(3).await;
    done(&mut configured(&config, ["publish", "--synthetic", "200"])).await;
    let found = examine(&config).await;
    assert_says(&found, "kafka.group", Verdict::Warn, &["no collector", "flowtrail collect"]);
    assert_says(&found, "progress.offsets", Verdict::Ok, &["from the beginning"]);
    assert_says(&found, "progress.lag", Verdict::Ok, &["not stored yet, the oldest for"]);

    let collecting = Collecting::start(&config);
    until_stored(&config).await;
    let found = examine(&config).await;
    for finding in found.iter().filter(|finding| !finding.check.starts_with("postgres.")) {
        let expected = if finding.check == "clock.broker" { Verdict::Skipped } else { Verdict::Ok };
        assert_eq!(finding.verdict, expected, "{finding:?}");
    }
    // The release whose protocol the stack's broker speaks.
    assert_says(&found, "kafka.version", Verdict::Ok, &["Kafka 4.1"]);
    assert_says(&found, "kafka.topic", Verdict::Ok, &["3 partitions"]);
    assert_says(&found, "kafka.group", Verdict::Ok, &["1 member", "3 partitions"]);
    assert_says(&found, "progress.lag", Verdict::Ok, &["everything", "is stored"]);
    assert_says(&found, "clock.broker", Verdict::Skipped, &["--probe"]);
    assert_eq!(of(&found, "kafka.rights").len(), 3);
    collecting.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_is_named_and_the_database_is_looked_at_all_the_same() {
    let mut config = servers::config(1).await;
    config.kafka.bootstrap_servers = "127.0.0.1:9".to_owned();
    let found = examine(&config).await;
    assert_says(
        &found,
        "kafka.reachable",
        Verdict::Fail,
        &["127.0.0.1:9", "refused", "KAFKA_BOOTSTRAP_SERVERS"],
    );
    assert_says(&found, "kafka.topic", Verdict::Skipped, &[]);
    assert_says(&found, "progress.offsets", Verdict::Skipped, &[]);
    assert_says(&found, "postgres.schema", Verdict::Ok, &[]);
    // A setting that librdkafka does not take is no other case.
    config.kafka.librdkafka.insert("security.protocol".to_owned(), "no-such".into());
    assert_says(&examine(&config).await, "kafka.reachable", Verdict::Fail, &["security.protocol"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_missing_is_named_and_not_made_and_one_behind_a_pattern_is_found_once_it_was_read() {
    let mut config = servers::config(1).await;
    let there = config.kafka.topics[0].clone();
    let missing = servers::unique("no-such-topic");
    config.kafka.topics = vec![missing.clone(), there.clone()];
    config.collector.dead_letter_topic = missing;
    for _ in 0..2 {
        let found = examine(&config).await;
        assert_says(&found, "kafka.topic", Verdict::Fail, &["no topic no-such-topic"]);
        assert_says(&found, "kafka.dead_letter_topic", Verdict::Fail, &["no topic no-such-topic"]);
        let verdicts: Vec<_> = of(&found, "kafka.topic").iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Fail, Verdict::Ok]);
    }
    config.collector.dead_letter_topic = String::new();
    config.kafka.topics = vec![format!("^{there}$")];
    assert_says(&examine(&config).await, "kafka.topic", Verdict::Skipped, &["pattern"]);
    let mut named = config.clone();
    named.kafka.topics = vec![there.clone()];
    put(&named, &flows("a", 3)).await;
    collect_all(&named).await;
    assert_says(&examine(&config).await, "kafka.topic", Verdict::Ok, &[&there]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_topic_that_lose_history_are_named() {
    let mut config = servers::config(1).await;
    let of_topic = async |settings: &[(&str, &str)]| {
        let mut config = config.clone();
        config.kafka.topics = vec![servers::topic_with(1, settings).await];
        examine(&config).await
    };
    let found = of_topic(&[("cleanup.policy", "compact,delete"), ("retention.ms", "600000")]).await;
    assert_says(&found, "kafka.cleanup", Verdict::Fail, &["compact,delete", "cleanup.policy=delete"]);
    assert_says(&found, "kafka.retention", Verdict::Fail, &["10 min", "retention.ms="]);
    let found = of_topic(&[("retention.ms", "7200000"), ("max.message.bytes", "1048588")]).await;
    assert_says(&found, "kafka.retention", Verdict::Warn, &["2 h"]);
    assert_says(&found, "kafka.message_size", Verdict::Warn, &["up to 1 MiB", "4 MiB", "max.message.bytes="]);

    // The topics of these tests take 16 MiB.
    for (name, value) in [
        ("receive.message.max.bytes", "2000000"),
        ("fetch.max.bytes", "1000000"),
        ("message.max.bytes", "1000000"),
    ] {
        config.kafka.librdkafka.insert(name.to_owned(), value.into());
    }
    let found = examine(&config).await;
    assert_says(&found, "kafka.message_size", Verdict::Fail, &["receive.message.max.bytes", "16 MiB"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_outlasts_the_marks_of_what_was_removed_is_named() {
    let mut config = servers::config(1).await;
    config.kafka.topics =
        vec![servers::topic_with(1, &[("retention.ms", "2592000000"), ("segment.ms", "86400000")]).await];
    assert!(examine(&config).await.iter().all(|finding| finding.check != "retention.marks"));
    config.retention.policies = vec![policy("all", &[], 14)];
    let advised = "set retention.remember to 32d or longer";
    assert_says(&examine(&config).await, "retention.marks", Verdict::Warn, &["for up to 31 d", advised]);
    config.retention.remember = Some(Duration::from_hours(24 * 32));
    assert_says(&examine(&config).await, "retention.marks", Verdict::Ok, &["31 d at most"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_told_before_a_collector_meets_it() {
    let config = servers::config(1).await;
    put(&config, &flows("a", 10)).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    put(&config, &flows("b", 20)).await;
    delete_before(&config, 20).await;
    let found = examine(&config).await;
    assert_says(&found, "progress.offsets", Verdict::Fail, &["10 is next and Kafka begins at 20", "on_gap"]);
    set_offset(&client, &config, 0, 31).await;
    let found = examine(&config).await;
    assert_says(
        &found,
        "progress.offsets",
        Verdict::Fail,
        &["31 is next and Kafka ends at 30", "created again"],
    );
    set_offset(&client, &config, 0, 30).await;
    let found = examine(&config).await;
    assert_says(&found, "progress.offsets", Verdict::Ok, &[]);
    client.batch_execute("UPDATE ft_offset SET partition = 5").await.unwrap();
    let found = examine(&config).await;
    assert_says(&found, "progress.offsets", Verdict::Warn, &["partition 5", "not there"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_wait_for_longer_than_retention_bears_are_told() {
    let mut config = servers::config(1).await;
    config.kafka.topics = vec![servers::topic_with(2, &[("retention.ms", "86400000")]).await];
    let minutes = |minutes: i64| minutes * 60_000;
    put_at(&config, 0, "young", minutes(10)).await;
    assert_says(&examine(&config).await, "progress.lag", Verdict::Ok, &["1 record", "10 min"]);
    put_at(&config, 1, "old", minutes(13 * 60)).await;
    assert_says(&examine(&config).await, "progress.lag", Verdict::Warn, &["2 records", "13 h"]);
    collect_all(&config).await;
    assert_says(&examine(&config).await, "progress.lag", Verdict::Ok, &["everything"]);
    put_at(&config, 1, "oldest", minutes(23 * 60 + 30)).await;
    assert_says(
        &examine(&config).await,
        "progress.lag",
        Verdict::Fail,
        &["1 record", "23 h 30 min", "may drop"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_at_the_edge_of_what_is_kept_by_size_are_told() {
    let mut config = servers::config(1).await;
    config.kafka.topics = vec![servers::topic_with(1, &[("retention.bytes", "1000000")]).await];
    put(&config, &flows("a", 5)).await;
    collect_all(&config).await;
    put(&config, &flows("b", 40)).await;
    delete_before(&config, 5).await;
    assert_says(&examine(&config).await, "progress.lag", Verdict::Warn, &["retention.bytes", "partition 0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_older_than_retention_is_told() {
    let mut config = servers::config(1).await;
    config.kafka.topics = vec![servers::topic_with(1, &[("retention.ms", "86400000")]).await];
    let with = async |hours| {
        let options = Options { backup_age: Some(Duration::from_hours(hours)), ..Options::default() };
        examine_with(&config, &options).await
    };
    assert_says(&examine(&config).await, "kafka.backup", Verdict::Ok, &["younger than 1 d", "--backup-age"]);
    assert_says(&with(6).await, "kafka.backup", Verdict::Ok, &["6 h"]);
    assert_says(&with(20).await, "kafka.backup", Verdict::Warn, &["20 h"]);
    assert_says(&with(24).await, "kafka.backup", Verdict::Fail, &["1 d", "lost"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_with_another_partitioner_are_named_and_so_is_a_flow_on_two_partitions() {
    let config = servers::config(7).await;
    done(&mut configured(&config, ["publish", "--synthetic", "300"])).await;
    let found = examine(&config).await;
    assert_says(&found, "producers.partitioner", Verdict::Ok, &["murmur2"]);
    assert_says(&found, "producers.flows", Verdict::Ok, &[]);
    done(&mut configured(
        &config,
        ["publish", "--synthetic", "300", "--partitioner", "crc32", "--seed", "8"],
    ))
    .await;
    let found = examine(&config).await;
    assert_says(&found, "producers.partitioner", Verdict::Warn, &["consistent_random", "murmur2_random"]);

    let other = servers::config(2).await;
    for partition in [0, 1] {
        let flow = flows("both", 1).remove(0);
        put(&other, &[Raw { partition, ..flow }]).await;
    }
    let found = examine(&other).await;
    assert_says(&found, "producers.flows", Verdict::Warn, &["1 of 1 key", "both000 on 0 and 1"]);
    // It is the newest records that are looked at, and none are if nobody wants to.
    let none = examine_with(&other, &Options { sample: 0, ..Options::default() }).await;
    assert_says(&none, "producers.partitioner", Verdict::Skipped, &["no record"]);
    assert_says(&none, "kafka.rights", Verdict::Ok, &["read topic"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_whose_clock_is_ahead_is_told() {
    let config = servers::config(1).await;
    put_at(&config, 0, "past", 1_000).await;
    assert_says(&examine(&config).await, "producers.clock", Verdict::Ok, &[]);
    put_at(&config, 0, "future", -600_000).await;
    assert_says(&examine(&config).await, "producers.clock", Verdict::Warn, &["future", "NTP"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_and_gaps_of_the_last_day_are_told() {
    let config = servers::config(1).await;
    put(&config, &[Raw { value: Some(b"\xff".to_vec()), ..Raw::default() }]).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let gap = "INSERT INTO ft_gap (consumergroup, topic, partition, cause, fromoffset) VALUES ('g', 't', 0, 'retention', 1)";
    client.batch_execute(gap).await.unwrap();
    let found = examine(&config).await;
    assert_says(&found, "progress.dead_letters", Verdict::Warn, &["1 message", "flowtrail deadletter list"]);
    assert_says(&found, "progress.gaps", Verdict::Warn, &["1 gap", "ft_gap"]);
    client
        .batch_execute("UPDATE ft_gap SET foundat = foundat - interval '2 days'; UPDATE ft_dead_letter SET keptat = keptat - interval '2 days'")
        .await
        .unwrap();
    let found = examine(&config).await;
    assert_says(&found, "progress.dead_letters", Verdict::Ok, &[]);
    assert_says(&found, "progress.gaps", Verdict::Ok, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_no_member_of_the_group_reads_is_named() {
    let config = servers::config(2).await;
    // Somebody else in the group, who reads another topic.
    let consumer: BaseConsumer =
        client::settings(&config.kafka, &[], &[("group.id", &config.kafka.group)]).create().unwrap();
    consumer.subscribe(&[&servers::topic(1).await]).unwrap();
    until("it has its partition", async || {
        let _ = consumer.poll(Duration::from_millis(100));
        if consumer.assignment().unwrap().count() == 1 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let topic = &config.kafka.topics[0];
    let nobody = format!("nobody in group {} reads {topic}/0, {topic}/1", config.kafka.group);
    assert_says(&examine(&config).await, "kafka.group", Verdict::Fail, &[&nobody]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brokers_clock_is_told_by_a_topic_that_is_gone_afterwards() {
    let config = servers::config(1).await;
    let found = examine_with(&config, &Options { probe: true, ..Options::default() }).await;
    // This process and the broker read the same clock.
    assert_says(&found, "clock.broker", Verdict::Ok, &["the clock of the broker", "give or take"]);
    let consumer: BaseConsumer = client::settings(&config.kafka, &[], &[]).create().unwrap();
    until("the topic is gone", async || {
        let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
        let left = metadata.topics().iter().find(|topic| topic.name().starts_with("flowtrail-doctor"));
        left.map_or(Ok(()), |topic| Err(topic.name().to_owned()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_changes_nothing() {
    let mut config = servers::config(2).await;
    config.collector.dead_letter_topic = servers::topic(1).await;
    put(&config, &flows("a", 10)).await;
    collect_all(&config).await;
    let letters = {
        let mut config = config.clone();
        config.kafka.topics = vec![config.collector.dead_letter_topic.clone()];
        config
    };
    let before = (topics::ends(&config).await, topics::group_offsets(&config).await);
    let found = examine(&config).await;
    // That this user may write was told without a record.
    assert_says(&found, "kafka.rights", Verdict::Ok, &["put dead letters on topic"]);
    assert_eq!(of(&found, "kafka.rights").len(), 4);
    assert_eq!((topics::ends(&config).await, topics::group_offsets(&config).await), before);
    assert_eq!(topics::ends(&letters).await, [(0, 0)]);
    let none = config_of_a_group_that_never_was(&config);
    examine(&none).await;
    assert_eq!(topics::group_offsets(&none).await, []);
}

fn config_of_a_group_that_never_was(config: &Config) -> Config {
    let mut config = config.clone();
    config.kafka.group = servers::unique("group");
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_group_protocol_is_no_hindrance() {
    let mut config = servers::config(1).await;
    config.kafka.librdkafka.insert("group.protocol".to_owned(), "consumer".into());
    put(&config, &flows("a", 3)).await;
    let collecting = Collecting::start(&config);
    until_stored(&config).await;
    let found = examine(&config).await;
    assert_says(&found, "kafka.version", Verdict::Ok, &[]);
    assert_says(&found, "kafka.group", Verdict::Skipped, &["newer protocol"]);
    assert_says(&found, "kafka.rights", Verdict::Ok, &[]);
    assert_says(&found, "progress.lag", Verdict::Ok, &["everything"]);
    collecting.stop().await;
}
