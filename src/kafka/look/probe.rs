//! The broker's clock. The protocol tells it in one way only: by the timestamp that a broker gives to a record of a topic
//! that is set to it. So a topic is made for it, and removed.

use rdkafka::{
    Timestamp,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{FutureProducer, FutureRecord},
};

use super::{
    super::{client, producer, producer::Partitioner},
    ANSWER, Answer, words,
};
use crate::{clock, config};

/// How often the clock is asked; the quickest answer tells most, and the first one waits for a connection.
const LOOKS: usize = 5;

/// What a broker's clock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerClock {
    /// How far it is ahead of ours, in microseconds.
    pub ahead_us: i64,
    /// How far that may be wrong.
    pub unsure_us: i64,
    /// The topic that was made for it, if it could not be removed.
    pub left_behind: Option<String>,
}

/// Makes a topic, asks the clock of the broker that has it, and removes it.
pub async fn broker_clock(kafka: &config::Kafka) -> Answer<BrokerClock> {
    let settings = client::settings(kafka, &[], &[]);
    if client::logs_in_by_token(&settings) {
        return Err(client::NO_ADMIN.to_owned());
    }
    let admin: AdminClient<DefaultClientContext> = settings.create().map_err(|error| words(&error))?;
    let name = format!("flowtrail-doctor-{:016x}", rand::random::<u64>());
    let options = AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER));
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(-1))
        .set("message.timestamp.type", "LogAppendTime")
        .set("retention.ms", "3600000");
    let created = admin.create_topics([&topic], &options).await.map_err(|error| words(&error))?;
    if let Some(Err((_, reason))) = created.into_iter().next() {
        return Err(format!("topic {name} can't be made: {}", client::words(reason)));
    }
    let read = read(kafka, &name).await;
    let removed = admin.delete_topics(&[&name], &options).await;
    let removed = removed.is_ok_and(|topics| topics.iter().all(Result::is_ok));
    let left_behind = (!removed).then_some(name);
    read.map(|(ahead_us, unsure_us)| BrokerClock { ahead_us, unsure_us, left_behind })
}

async fn read(kafka: &config::Kafka, topic: &str) -> Answer<(i64, i64)> {
    let mut settings = producer::settings(kafka, Partitioner::default(), ANSWER * 2);
    // What it waits here would count as the way to the broker.
    settings.set("linger.ms", "0");
    let producer: FutureProducer = settings.create().map_err(|error| words(&error))?;
    let mut best: Option<(i64, i64)> = None;
    for _ in 0..LOOKS {
        let (sent, since) = (clock::now(), clock::monotonic());
        let record = FutureRecord::<[u8], [u8]>::to(topic).partition(0).payload(b"");
        let delivered = producer.send(record, ANSWER * 2).await.map_err(|(error, _)| words(&error))?;
        let took = i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX);
        let Timestamp::LogAppendTime(theirs) = delivered.timestamp else {
            return Err("the broker gave the record no time of its own".to_owned());
        };
        // It tells whole milliseconds.
        let ahead = theirs.saturating_mul(1_000).saturating_add(500) - sent.as_microsecond() - took / 2;
        let unsure = took / 2 + 500;
        if best.is_none_or(|(_, least)| unsure < least) {
            best = Some((ahead, unsure));
        }
    }
    best.ok_or_else(|| "it was not asked".to_owned())
}
