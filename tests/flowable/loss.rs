//! What is lost, and what is not, when the engine dies and when Kafka is away.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    collecting::collect_all,
    driver::{Driver, IN_MEMORY, counted},
    oracle,
    program::line_with,
    servers,
};

/// A port that nobody listens at.
const NOBODY: &str = "127.0.0.1:1";

/// Kills an engine that looks for outbox rows so often, and has another go on with its database.
async fn nothing_is_lost_by_a_kill(poll_ms: &str) {
    let Some(driver) = Driver::new("8.0.0", "outbox").await else { return };
    let driver = driver.with("outbox.poll-ms", poll_ms);
    let database = driver.on_disk();
    // More rounds than it lives to see.
    let mut command = driver.command(1_000, &database);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    line_with(&mut said, "round 1").await;
    child.kill().await.unwrap();
    let driver = driver.with("outbox.poll-ms", "500");
    driver.run(1, &database).await;
    collect_all(&driver.config).await;
    let client = servers::connect_to(&driver.config).await;
    let counts = oracle::compare(&client, driver.folder.path()).await;
    assert!(counts[0] >= 3 * 14, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_killed_before_it_sends_loses_nothing_of_its_outbox() {
    nothing_is_lost_by_a_kill("60000").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_killed_while_it_sends_loses_nothing_of_its_outbox() {
    nothing_is_lost_by_a_kill("20").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_whose_kafka_is_away_goes_on_and_says_what_was_dropped() {
    let Some(driver) = Driver::new("8.0.0", "after-commit").await else { return };
    let driver =
        driver.with("bootstrap.servers", NOBODY).with("queue.events", "100").with("close.timeout-ms", "2000");
    let begun = Instant::now();
    let ran = driver.run(3, IN_MEMORY).await;
    let [sent, dropped, failed] = counted(&ran);
    assert!(sent == 0 && dropped > 600 && failed == 0, "{ran:?}");
    assert_eq!(ran.stderr.matches("flowtrail drops history").count(), 1, "{ran:?}");
    let closing = ran.stdout.lines().find_map(|line| line.strip_prefix("closed ms ")).unwrap();
    assert!(closing.parse::<u64>().unwrap() < 5_000, "{ran:?}");
    assert!(begun.elapsed() < Duration::from_secs(50), "{ran:?}");
}

/// Runs an engine that has no topic at first.
async fn what_waits_is_sent(engine: &'static str, mode: &str) {
    let Some(mut driver) = Driver::new(engine, mode).await else { return };
    let topic = servers::unique("late");
    driver.config.kafka.topics = vec![topic.clone()];
    let driver =
        driver.with("topic", &topic).with("close.timeout-ms", "40000").with("kafka.max.block.ms", "1000");
    let mut command = driver.command(1, IN_MEMORY);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    line_with(&mut said, "flowtrail waits for Kafka").await;
    servers::make_topic(&topic, 3, &[]).await;
    let line = line_with(&mut said, "flowtrail has sent").await;
    assert!(line.contains("dropped 0, and 0 have failed"), "{line}");
    child.wait().await.unwrap();
    collect_all(&driver.config).await;
    let client = servers::connect_to(&driver.config).await;
    oracle::compare(&client, driver.folder.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_the_queue_is_sent_when_kafka_takes_it() {
    what_waits_is_sent("7.2.0", "after-commit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_the_outbox_is_sent_when_kafka_takes_it() {
    what_waits_is_sent("6.8.1", "outbox").await;
}

/// A variable of 5 000 characters is too large for this producer.
async fn what_is_too_large_holds_nothing_up(mode: &str) {
    let Some(driver) = Driver::new("8.0.0", mode).await else { return };
    let driver = driver.with("kafka.max.request.size", "4000");
    let ran = driver.run(1, IN_MEMORY).await;
    let [sent, dropped, failed] = counted(&ran);
    assert!(sent > 250 && dropped == 0 && failed == 1, "{ran:?}");
    collect_all(&driver.config).await;
    let client = servers::connect_to(&driver.config).await;
    let sql = "SELECT count(*) FILTER (WHERE name_ = 'longText'), count(*) FILTER (WHERE name_ = 'uuid')
        FROM flowable.act_hi_varinst";
    let counts = client.query_one(sql, &[]).await.unwrap();
    assert_eq!((counts.get::<_, i64>(0), counts.get::<_, i64>(1)), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_holds_the_queue_not_up() {
    what_is_too_large_holds_nothing_up("after-commit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_holds_the_outbox_not_up() {
    what_is_too_large_holds_nothing_up("outbox").await;
}
