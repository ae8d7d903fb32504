//! Where reading begins and goes on: what `ft_offset` says, and nothing else.

use std::collections::BTreeMap;

use flowtrail::{
    collector::CollectError,
    config::Config,
    pipeline::consume::ConsumeError,
    proto::v1::{FlowEvent, HistoryEvent, history_event::Event},
};
use tokio_postgres::Client;

use crate::{
    collecting::{Collecting, collect_all, set_offset, stored, until_stored},
    crashes::HELD_COMMITS,
    program::{self, Process, configured},
    rows, servers,
    topics::{self, Raw, delete_before, put},
    traffic::{assert_stored, send, traffic},
};

/// One flow a record, named by its number.
fn flows(numbers: std::ops::Range<i64>) -> Vec<Raw> {
    let flow = |number| FlowEvent { flow_instance_id: format!("f{number:04}"), ..FlowEvent::default() };
    numbers.map(|number| Raw::of(&HistoryEvent { event: Some(Event::Flow(flow(number))) })).collect()
}

fn names(numbers: impl IntoIterator<Item = i64>) -> Vec<Option<String>> {
    numbers.into_iter().map(|number| Some(format!("f{number:04}"))).collect()
}

async fn stored_flows(client: &Client) -> Vec<Option<String>> {
    rows::texts(client, "SELECT flowinstanceid FROM flowstate ORDER BY 1").await
}

async fn until_group_offset(config: &Config, offset: i64) {
    servers::until("Kafka's group offset follows", async || {
        let group = topics::group_offsets(config).await;
        if group == [(0, offset)] { Ok(()) } else { Err(format!("{group:?}, not {offset}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_group_begins_at_the_beginning_and_puts_kafkas_group_offset_right() {
    let config = servers::config(1).await;
    put(&config, &flows(0..100)).await;
    topics::commit(&config, 0, 90).await;
    assert_eq!(topics::group_offsets(&config).await, [(0, 90)]);
    let collecting = Collecting::start(&config);
    until_stored(&config).await;
    assert_eq!(stored_flows(&servers::connect_to(&config).await).await, names(0..100));
    until_group_offset(&config, 100).await;
    collecting.stop().await;

    // Far ahead of what is stored: it is put right without a single record.
    topics::commit(&config, 0, 5_000).await;
    let collecting = Collecting::start(&config);
    until_group_offset(&config, 100).await;
    put(&config, &flows(100..101)).await;
    until_stored(&config).await;
    collecting.stop().await;
    assert_eq!(topics::group_offsets(&config).await, [(0, 101)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_set_back_under_a_running_collector_is_read_again_from_there() {
    let config = servers::config(1).await;
    put(&config, &flows(0..100)).await;
    let mut process = Process::collect(&config).await;
    until_stored(&config).await;
    let client = servers::connect_to(&config).await;
    let before: BTreeMap<_, _> = rows::flows(&client).await;

    // As after a restore of an older state: rows and offset go back together.
    client.execute("DELETE FROM flowstate WHERE flowinstanceid >= 'f0040'", &[]).await.unwrap();
    set_offset(&client, &config, 0, 40).await;
    put(&config, &flows(100..101)).await;
    let line = process.says("the stored offset is not what was expected").await;
    assert!(line.contains("expected=Some(100) stored=Some(40)"), "{line}");
    until_stored(&config).await;
    assert_eq!(stored_flows(&client).await, names(0..101));
    let after = rows::flows(&client).await;
    assert!(before.iter().all(|(id, row)| after[id] == *row));

    // No row at all is as for a new group.
    client.batch_execute("DELETE FROM flowstate; DELETE FROM ft_offset").await.unwrap();
    put(&config, &flows(101..102)).await;
    process.says("the stored offset is not what was expected").await;
    until_stored(&config).await;
    assert_eq!(stored_flows(&client).await, names(0..102));
    assert_eq!(process.end("INT").await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafkas_group_offset_goes_down_with_the_stored_one_under_a_running_collector() {
    let config = servers::config(1).await;
    put(&config, &flows(0..100)).await;
    let collecting = Collecting::start(&config);
    until_stored(&config).await;
    until_group_offset(&config, 100).await;
    let client = servers::connect_to(&config).await;
    client.batch_execute(HELD_COMMITS).await.unwrap();
    // Nothing is stored from here on, so that it stays down long enough to be seen.
    client.batch_execute("SELECT pg_advisory_lock(42)").await.unwrap();
    set_offset(&client, &config, 0, 40).await;
    put(&config, &flows(100..101)).await;
    until_group_offset(&config, 40).await;
    assert_eq!(stored(&client, &config).await, [(0, 40)]);
    client.batch_execute("SELECT pg_advisory_unlock(42)").await.unwrap();
    until_stored(&config).await;
    until_group_offset(&config, 101).await;
    collecting.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafkas_group_offset_is_never_ahead_of_what_is_stored() {
    let mut config = servers::config(2).await;
    config.collector.batch_rows = 50;
    config.collector.group_offset_interval_ms = 100;
    let records = traffic(44, 5_000);
    let sending = send(&config, &records, 2_000);
    let collecting = Collecting::start(&config);
    let client = servers::connect_to(&config).await;
    servers::until("everything is stored, and the group offset has followed", async || {
        // What is stored never goes down here, so it may be looked at later, not earlier.
        let group = topics::group_offsets(&config).await;
        let stored = stored(&client, &config).await;
        for (number, ahead) in &group {
            let (_, behind) = stored.iter().find(|(other, _)| other == number).unwrap();
            assert!(ahead <= behind, "group {group:?}, stored {stored:?}");
        }
        let done = sending.is_finished() && group == topics::ends(&config).await;
        if done { Ok(()) } else { Err(format!("{group:?}")) }
    })
    .await;
    collecting.stop().await;
    assert_stored(&config, &records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_set_forward_under_a_running_collector_is_gone_on_from() {
    let config = servers::config(1).await;
    put(&config, &flows(0..100)).await;
    let collecting = Collecting::start(&config);
    until_stored(&config).await;
    let client = servers::connect_to(&config).await;
    set_offset(&client, &config, 0, 105).await;
    put(&config, &flows(100..110)).await;
    until_stored(&config).await;
    assert_eq!(stored_flows(&client).await, names((0..100).chain(105..110)));

    // Forward beyond what Kafka has is no place to go on from.
    set_offset(&client, &config, 0, 5_000).await;
    put(&config, &flows(110..111)).await;
    assert_gap(&collecting.ended().await, (5_000, 0, 111));
    assert_eq!(stored(&client, &config).await, [(0, 5_000)]);
    assert_eq!(stored_flows(&client).await.len(), 105);
}

fn assert_gap(ended: &Result<(), CollectError>, (wanted_next, wanted_first, wanted_end): (i64, i64, i64)) {
    let Err(CollectError::Consume(ConsumeError::Gap { partition, next, first, end, .. })) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!((partition.number, *next, *first, *end), (0, wanted_next, wanted_first, wanted_end));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_offset_past_the_end_ends_the_collector_with_a_sentence_and_nothing_is_skipped() {
    let config = servers::config(1).await;
    put(&config, &flows(0..10)).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    set_offset(&client, &config, 0, 12).await;
    let ran =
        program::run(&mut configured(&config, ["collect", "--http", "127.0.0.1:0", "--log-level", "error"]))
            .await;
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.lines().count()), (1, "", 1), "{ran:?}");
    let topic = &config.kafka.topics[0];
    for part in ["error: ", topic, "12", "0..10", "collector.on_gap"] {
        assert!(ran.stderr.contains(part), "no {part} in {}", ran.stderr);
    }
    assert_eq!(stored(&client, &config).await, [(0, 12)]);
    // A person decides to go on from what there is.
    set_offset(&client, &config, 0, 10).await;
    put(&config, &flows(10..12)).await;
    collect_all(&config).await;
    assert_eq!(stored_flows(&client).await, names(0..12));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_kafka_dropped_before_they_were_read_end_the_collector_and_nothing_is_skipped() {
    let config = servers::config(1).await;
    put(&config, &flows(0..10)).await;
    collect_all(&config).await;
    put(&config, &flows(10..30)).await;
    delete_before(&config, 20).await;
    let client = servers::connect_to(&config).await;
    assert_gap(&Collecting::start(&config).ended().await, (10, 20, 30));
    assert_eq!(stored(&client, &config).await, [(0, 10)]);
    assert_eq!(stored_flows(&client).await, names(0..10));

    // A group that never read anything begins where the topic does now: there is nothing it has missed.
    let mut fresh = config.clone();
    fresh.kafka.group = servers::unique("group");
    collect_all(&fresh).await;
    assert_eq!(stored_flows(&client).await, names((0..10).chain(20..30)));
}
