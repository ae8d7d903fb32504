//! Where an event goes while Kafka is there, away, and back. The brokers are librdkafka's own, within this process.

use super::*;
use crate::{config, flogo};

fn producer(setting: (&str, &str), timeout_ms: u64) -> ConfirmedProducer {
    let mut kafka = config::Kafka { bootstrap_servers: "127.0.0.1:9".to_owned(), ..config::Kafka::default() };
    kafka.librdkafka.insert(setting.0.to_owned(), setting.1.into());
    ConfirmedProducer::new(&kafka, "t", Duration::from_millis(timeout_ms)).unwrap()
}

fn there() -> ConfirmedProducer {
    producer(("test.mock.num.brokers", "1"), 5_000)
}

fn away() -> ConfirmedProducer {
    producer(("message.max.bytes", "2000"), 100)
}

fn event() -> HistoryEvent {
    flogo::deleted("flow").unwrap()
}

fn spool(limit: u64) -> (tempfile::TempDir, Spool) {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(folder.path(), limit).unwrap();
    (folder, spool)
}

#[tokio::test]
async fn an_event_is_on_the_topic_while_kafka_is_there() {
    let (_folder, spool) = spool(1 << 20);
    let recorder = Recorder::new(there(), Some(spool), Duration::from_secs(5));
    assert!(matches!(recorder.keep(event()).await.unwrap(), Kept::OnTopic(_)));
    assert_eq!(recorder.spool().unwrap().bytes(), 0);
    assert!(!recorder.is_away());
}

#[tokio::test]
async fn without_a_spool_it_is_refused_while_kafka_is_away() {
    let recorder = Recorder::new(away(), None, Duration::from_secs(5));
    let why = recorder.keep(event()).await.unwrap_err();
    assert_eq!(why.to_string(), "Kafka has not confirmed it: connection refused; try again later");
}

#[tokio::test]
async fn with_a_spool_only_the_first_waits_for_a_kafka_that_is_away() {
    let (folder, spool) = spool(1 << 20);
    let recorder = Recorder::new(away(), Some(spool), Duration::from_secs(5));
    assert_eq!(recorder.keep(event()).await.unwrap(), Kept::Spooled);
    assert!(recorder.is_away());
    // A producer that is asked again would take its 100 ms each time.
    for _ in 0..100 {
        assert_eq!(recorder.keep(event()).await.unwrap(), Kept::Spooled);
    }
    let waiting = recorder.spool().unwrap().oldest().await.unwrap().unwrap();
    assert_eq!(waiting.entries.len(), 101);
    assert!(waiting.entries.iter().all(|entry| entry.key == "flow"));
    drop(folder);
}

#[tokio::test]
async fn a_spool_that_is_full_refuses_and_one_that_should_ask_kafka_again_does() {
    let (_folder, full) = spool(1);
    let recorder = Recorder::new(away(), Some(full), Duration::from_secs(5));
    let why = recorder.keep(event()).await.unwrap_err();
    assert_eq!(why.to_string(), "Kafka is away and the spool is full; try again later");

    let (_folder, full) = spool(1);
    let recorder = Recorder::new(there(), Some(full), Duration::from_secs(5));
    recorder.away.store(true, Ordering::Relaxed);
    assert!(matches!(recorder.keep(event()).await.unwrap(), Kept::OnTopic(_)));
    assert!(!recorder.is_away());
}

#[tokio::test]
async fn what_the_topic_never_takes_is_not_spooled() {
    let (_folder, spool) = spool(1 << 20);
    let recorder = Recorder::new(away(), Some(spool), Duration::from_secs(5));
    let large = flogo::deleted(&"x".repeat(3_000)).unwrap();
    assert!(matches!(recorder.keep(large).await.unwrap_err(), NotKept::TooLarge));
    assert_eq!(recorder.spool().unwrap().bytes(), 0);
}
