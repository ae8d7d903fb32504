use rdkafka::{
    consumer::CommitMode,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

fn cluster() -> (MockCluster<'static, DefaultProducerContext>, ClientConfig) {
    let cluster = MockCluster::new(1).unwrap();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", cluster.bootstrap_servers());
    (cluster, client)
}

fn produce(client: &ClientConfig, topic: &str, partition: i32, millis: &[i64]) {
    let producer: BaseProducer = client.create().unwrap();
    for millis in millis {
        let record = BaseRecord::<(), str>::to(topic).partition(partition).payload("x").timestamp(*millis);
        producer.send(record).unwrap();
    }
    producer.flush(LIMIT).unwrap();
}

fn commit(client: &ClientConfig, group: &str, topic: &str, partition: i32, offset: i64) {
    let consumer: BaseConsumer = client.clone().set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

#[test]
fn lag_is_never_negative_and_uncommitted_means_unread() {
    assert_eq!(records(Some(4), 0, 12), 8);
    assert_eq!(records(Some(12), 0, 12), 0);
    assert_eq!(records(Some(20), 0, 12), 0, "the topic was created again");
    assert_eq!(records(None, 5, 12), 7);
    let now = Timestamp::from_millisecond(10_500).unwrap();
    assert!((age_seconds(now, 10_000) - 0.5).abs() < f64::EPSILON);
    assert!(age_seconds(now, 99_000).abs() < f64::EPSILON, "the producer's clock runs ahead");
}

#[test]
fn the_lag_of_a_group_is_told_in_records_and_seconds() {
    let (cluster, client) = cluster();
    cluster.create_topic("flows", 3, 1).unwrap();
    cluster.create_topic("other", 1, 1).unwrap();
    let now = clock::now().as_millisecond();
    produce(&client, "flows", 0, &[now - 500_000, now - 100_000, now]);
    produce(&client, "flows", 1, &[now - 200_000, now]);
    commit(&client, "g", "flows", 0, 1);
    commit(&client, "g", "flows", 1, 2);

    let named = read(&client, "g", &Topics::Named(vec!["flows".to_owned()]), LIMIT).unwrap();
    let told: Vec<_> =
        named.iter().map(|row| (row.partition, row.committed, row.end, row.lag_records)).collect();
    assert_eq!(
        told,
        [(0, Some(1), Some(3), Some(2)), (1, Some(2), Some(2), Some(0)), (2, None, Some(0), Some(0)),]
    );
    let seconds = named[0].lag_seconds.unwrap();
    assert!((100.0..160.0).contains(&seconds), "the oldest unread record is 100 s old, not {seconds}");
    assert_eq!(named[1].lag_seconds, Some(0.0));

    let committed = read(&client, "g", &Topics::Committed, LIMIT).unwrap();
    assert_eq!(committed.iter().map(|row| row.topic.as_str()).collect::<Vec<_>>(), ["flows"; 3]);
    assert_eq!(committed[0].lag_records, Some(2));

    let fresh = read(&client, "fresh", &Topics::Named(vec!["flows".to_owned()]), LIMIT).unwrap();
    assert_eq!((fresh[0].committed, fresh[0].lag_records), (None, Some(3)));
    assert!(fresh[0].lag_seconds.unwrap() >= 500.0);

    let error = read(&client, "fresh", &Topics::Committed, LIMIT).unwrap_err();
    assert!(matches!(error, LagError::NothingCommitted { .. }), "{error}");
    let error = read(&client, "g", &Topics::Named(vec!["nowhere".to_owned()]), LIMIT).unwrap_err();
    assert_eq!(error.to_string(), "topic nowhere does not exist, or this user may not see it");
}

#[test]
fn a_broker_that_is_not_there_is_given_up_in_time() {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", "127.0.0.1:1");
    let start = clock::monotonic();
    let error = read(&client, "g", &Topics::Committed, Duration::from_secs(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no answer from Kafka at 127.0.0.1:1 (Connection refused); is it running, and reachable from here?"
    );
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_setting_that_is_refused_is_named_without_its_value() {
    let mut client = ClientConfig::new();
    client.set("sasl.pasword", "hunter2");
    let error = read(&client, "g", &Topics::Committed, Duration::from_secs(1)).unwrap_err();
    assert!(
        error.to_string().contains("sasl.pasword") && !format!("{error:?}").contains("hunter2"),
        "{error}"
    );
}
