//! The consumer: its settings, and its first steps in the group.

use std::time::Duration;

use rdkafka::{
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
};

use super::{
    admin::Admin,
    client::{self, Error},
    rebalance::GroupContext,
};
use crate::config;

/// What flowtrail sets unless `[kafka.librdkafka]` says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("partition.assignment.strategy", "cooperative-sticky"),
    // By default librdkafka prefetches 64 MB for each partition, and that is a soft limit.
    ("queued.max.messages.kbytes", "6144"),
    ("fetch.message.max.bytes", "1048576"),
    // After a full queue it would wait a second before it fetches again.
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.wait.max.ms", "100"),
];

/// What the pipeline relies on, whatever `[kafka.librdkafka]` says.
const NEEDS: &[(&str, &str)] = &[
    // Offsets are kept in Postgres, with the rows; Kafka's only follow.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // A stored offset that Kafka no longer has must be seen, never skipped.
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("allow.auto.create.topics", "false"),
    ("statistics.interval.ms", "1000"),
];

/// Makes the consumer. Nothing is sent yet.
pub(crate) fn consumer(
    kafka: &config::Kafka,
    context: GroupContext,
) -> Result<BaseConsumer<GroupContext>, Error> {
    // With the newer protocol the broker assigns, and librdkafka refuses an assignor of its own.
    let newer = kafka.librdkafka.contains_key("group.protocol");
    let defaults: Vec<_> = DEFAULTS
        .iter()
        .copied()
        .filter(|(key, _)| !(newer && *key == "partition.assignment.strategy"))
        .collect();
    let needs = [NEEDS, &[("group.id", kafka.group.as_str())]].concat();
    let mut settings = client::settings(kafka, &defaults, &needs);
    // That a topic was created again librdkafka says in its log only; see `GroupContext`.
    let debug = match settings.get("debug") {
        Some(wanted) if !wanted.is_empty() => format!("{wanted},topic"),
        _ => "topic".to_owned(),
    };
    settings.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
    settings.create_with_context(context).map_err(Error::creating)
}

/// Joins the group for the configured topics.
pub(crate) fn subscribe(consumer: &BaseConsumer<GroupContext>, kafka: &config::Kafka) -> Result<(), Error> {
    let topics: Vec<&str> = kafka.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).map_err(|error| Error::other("subscribe", &error))
}

/// Makes sure that Kafka is there and has every topic that is configured by name, the one of dead letters too.
pub(crate) async fn check_topics(config: &config::Config, limit: Duration) -> Result<(), Error> {
    let kafka = &config.kafka;
    let admin = Admin::new(kafka)?;
    let letters = Some(&config.collector.dead_letter_topic).filter(|topic| !topic.is_empty());
    for name in kafka.topics.iter().filter(|topic| !topic.starts_with('^')).chain(letters) {
        if admin.topic(name, limit).await?.is_none() {
            return Err(Error::NoTopic { topic: name.clone(), servers: kafka.bootstrap_servers.clone() });
        }
    }
    Ok(())
}
