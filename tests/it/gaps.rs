//! Records that Kafka no longer has, or no longer the same: on the real broker, with `on_gap` both ways. No silent jump.

use flowtrail::{
    collector::CollectError,
    config::{Collector, Config, OnGap},
    kafka::{admin::Admin, client},
    pipeline::consume::{Cause, ConsumeError},
    proto::v1::{FlowEvent, HistoryEvent, Phase, history_event::Event},
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
    producer::{FutureProducer, FutureRecord, Producer as _},
};

use crate::{
    collecting::{Collecting, collect_all, stored, until_stored},
    program::{self, Process},
    rows,
    servers::{self, PATIENCE, until},
    topics::{self, Raw, delete_before, put},
};

fn flow(id: &str) -> Raw {
    let event =
        FlowEvent { flow_instance_id: id.into(), phase: Phase::Opened.into(), ..FlowEvent::default() };
    Raw::of(&HistoryEvent { event: Some(Event::Flow(event)) })
}

pub fn flows(prefix: &str, count: usize) -> Vec<Raw> {
    (0..count).map(|number| flow(&format!("{prefix}{number:03}"))).collect()
}

pub async fn ids(config: &Config) -> Vec<String> {
    let client = servers::connect_to(config).await;
    let found = rows::texts(&client, "SELECT flowinstanceid FROM flowstate ORDER BY 1").await;
    found.into_iter().flatten().collect()
}

pub fn names(prefix: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{prefix}{number:03}")).collect()
}

fn admin(config: &Config) -> AdminClient<DefaultClientContext> {
    client::settings(&config.kafka, &[], &[]).create().unwrap()
}

/// Deletes the topic and creates it again with other records.
async fn recreate(config: &Config, prefix: &str, count: usize) {
    let topic = &config.kafka.topics[0];
    admin(config).delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
    let kafka = Admin::new(&config.kafka).unwrap();
    until("the topic is gone", async || match kafka.topic(topic, PATIENCE).await.unwrap() {
        None => Ok(()),
        Some(_) => Err("it is still there".to_owned()),
    })
    .await;
    kafka.ensure_topic(topic, 1, &[], PATIENCE).await.unwrap();
    put(config, &flows(prefix, count)).await;
}

fn cause(ended: &Result<(), CollectError>) -> Cause {
    match ended {
        Err(CollectError::Consume(ConsumeError::Gap { cause, .. })) => *cause,
        other => panic!("{other:?}"),
    }
}

/// What `ft_gap` holds: cause, first offset that is missing, first that is there again.
pub async fn gaps(config: &Config) -> Vec<(String, i64, i64)> {
    let client = servers::connect_to(config).await;
    let rows = client.query("SELECT cause, fromoffset, tooffset FROM ft_gap ORDER BY id", &[]).await.unwrap();
    rows.into_iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// Halts at the gap, twice, and keeps it once; then goes on over it.
async fn halts_then_continues(config: &Config, expected: Cause, gap: (&str, i64, i64)) {
    for _ in 0..2 {
        assert_eq!(cause(&Collecting::start(config).ended().await), expected);
    }
    let gap = (gap.0.to_owned(), gap.1, gap.2);
    assert_eq!(gaps(config).await, std::slice::from_ref(&gap));
    let mut on = config.clone();
    on.collector.on_gap = OnGap::Continue;
    collect_all(&on).await;
    assert_eq!(gaps(config).await, [gap]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_retention_took_are_a_gap() {
    let config = servers::config(1).await;
    put(&config, &flows("a", 10)).await;
    collect_all(&config).await;
    put(&config, &flows("b", 20)).await;
    delete_before(&config, 20).await;
    halts_then_continues(&config, Cause::Retention, ("retention", 10, 20)).await;
    assert_eq!(ids(&config).await, [names("a", 0..10), names("b", 10..20)].concat());
    assert_eq!(stored(&servers::connect_to(&config).await, &config).await, [(0, 30)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_only_stored_records_are_gone_is_no_gap() {
    let config = servers::config(1).await;
    put(&config, &flows("a", 10)).await;
    collect_all(&config).await;
    delete_before(&config, 10).await;
    put(&config, &flows("b", 5)).await;
    collect_all(&config).await;
    assert_eq!(ids(&config).await, [names("a", 0..10), names("b", 0..5)].concat());
    assert_eq!(gaps(&config).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_created_again_shorter_is_a_gap_and_is_read_from_its_beginning() {
    let config = servers::config(1).await;
    put(&config, &flows("a", 10)).await;
    collect_all(&config).await;
    recreate(&config, "b", 4).await;
    halts_then_continues(&config, Cause::Recreated, ("recreated", 10, 0)).await;
    assert_eq!(ids(&config).await, [names("a", 0..10), names("b", 0..4)].concat());
    assert_eq!(stored(&servers::connect_to(&config).await, &config).await, [(0, 4)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_created_again_longer_is_told_by_its_records_and_is_read_from_its_beginning() {
    let config = servers::config(1).await;
    put(&config, &flows("a", 10)).await;
    collect_all(&config).await;
    recreate(&config, "b", 25).await;
    halts_then_continues(&config, Cause::Recreated, ("recreated", 10, 0)).await;
    assert_eq!(ids(&config).await, [names("a", 0..10), names("b", 0..25)].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_created_again_shorter_under_a_running_collector_is_a_gap() {
    let config = servers::config(1).await;
    put(&config, &flows("a", 10)).await;
    let collecting = Collecting::start(&config);
    until_stored(&config).await;
    recreate(&config, "b", 4).await;
    assert_eq!(cause(&collecting.ended().await), Cause::Recreated);
    assert_eq!(ids(&config).await, names("a", 0..10));
    halts_then_continues(&config, Cause::Recreated, ("recreated", 10, 0)).await;
    assert_eq!(ids(&config).await, [names("a", 0..10), names("b", 0..4)].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_added_is_read_from_its_beginning() {
    let mut config = servers::config(1).await;
    config.kafka.librdkafka.insert("topic.metadata.refresh.interval.ms".into(), "500".into());
    put(&config, &flows("a", 10)).await;
    let collecting = Collecting::start(&config);
    until_stored(&config).await;
    let topic = &config.kafka.topics[0];
    admin(&config).create_partitions(&[NewPartitions::new(topic, 2)], &AdminOptions::new()).await.unwrap();
    until("the partition is there", async || match topics::ends(&config).await.len() {
        2 => Ok(()),
        other => Err(format!("{other} partitions")),
    })
    .await;
    let added: Vec<Raw> = flows("b", 5).into_iter().map(|raw| Raw { partition: 1, ..raw }).collect();
    put(&config, &added).await;
    until_stored(&config).await;
    collecting.stop().await;
    assert_eq!(ids(&config).await, [names("a", 0..10), names("b", 0..5)].concat());
    assert_eq!(gaps(&config).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holes_that_transactions_leave_are_no_gap_and_what_was_aborted_is_not_stored() {
    let config = servers::config(1).await;
    let id = servers::unique("transactional");
    let producer: FutureProducer =
        client::settings(&config.kafka, &[], &[("transactional.id", &id)]).create().unwrap();
    let in_transaction = async |prefix: &str, commit: bool| {
        producer.begin_transaction().unwrap();
        for raw in flows(prefix, 4) {
            let (key, value) = (raw.key.unwrap(), raw.value.unwrap());
            let record = FutureRecord::to(&config.kafka.topics[0]).partition(0).key(&key).payload(&value);
            producer.send(record, PATIENCE).await.unwrap();
        }
        let ended = producer.clone();
        tokio::task::spawn_blocking(move || {
            if commit { ended.commit_transaction(PATIENCE) } else { ended.abort_transaction(PATIENCE) }
                .unwrap();
        })
        .await
        .unwrap();
    };
    let opening = producer.clone();
    tokio::task::spawn_blocking(move || opening.init_transactions(PATIENCE).unwrap()).await.unwrap();

    in_transaction("a", true).await;
    in_transaction("b", false).await;
    in_transaction("c", true).await;
    let stored_ids = async |wanted: Vec<String>| {
        until("what was committed is stored", async || {
            let found = ids(&config).await;
            if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    };
    let collecting = Collecting::start(&config);
    stored_ids([names("a", 0..4), names("c", 0..4)].concat()).await;
    collecting.stop().await;
    // The last stored record lies before a marker; another member goes on behind it.
    in_transaction("d", true).await;
    in_transaction("e", false).await;
    let collecting = Collecting::start(&config);
    stored_ids([names("a", 0..4), names("c", 0..4), names("d", 0..4)].concat()).await;
    // Nothing is left but markers and what was aborted, so nothing is left: the offset gets to the end, and the lag to 0.
    until_stored(&config).await;
    until("there is no lag", async || match collecting.shown.lag.total_records() {
        Some(0) => Ok(()),
        lag => Err(format!("{lag:?}")),
    })
    .await;
    collecting.stop().await;
    assert_eq!(gaps(&config).await, []);

    // What was stored last is still known behind a marker: in its place there is another record now.
    recreate(&config, "z", 100).await;
    assert_eq!(cause(&Collecting::start(&config).ended().await), Cause::Recreated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_created_again_longer_while_the_collector_is_frozen_is_a_gap() {
    let config = servers::config(1).await;
    put(&config, &flows("a", 10)).await;
    let mut process = Process::collect(&config).await;
    until_stored(&config).await;
    let pid = process.child.id().unwrap();
    program::send(pid, "STOP").await;
    recreate(&config, "b", 25).await;
    program::send(pid, "CONT").await;
    let said = process.says("error: ").await;
    assert!(said.contains("created again"), "{said}");
    assert_eq!(ids(&config).await, names("a", 0..10));
    assert_eq!(gaps(&config).await, [("recreated".to_owned(), 10, 0)]);

    // With what Kafka has, if that is what somebody wants.
    let config = Config { collector: Collector { on_gap: OnGap::Continue, ..config.collector }, ..config };
    collect_all(&config).await;
    assert_eq!(ids(&config).await, [names("a", 0..10), names("b", 0..25)].concat());
    assert_eq!(gaps(&config).await.len(), 1);
}
