//! A producer for those who wait for each record: they are told when all replicas in sync have it.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord, future_producer::Delivery},
};

use super::{
    client::{self, Context, Error},
    producer::{self, Partitioner},
};
use crate::config;

/// How long a record waits for others to share a request with, in milliseconds. Somebody waits for each of them.
const LINGER_MS: &str = "1";

/// Why a record is not on the topic, or may not be.
#[derive(Debug, thiserror::Error)]
pub enum Unconfirmed {
    /// Kafka does not answer, or not in time. The record may still get there.
    #[error("Kafka has not confirmed it: {0}")]
    Away(String),
    /// So many records wait for Kafka that no more are taken.
    #[error("too many records wait for Kafka already")]
    Busy,
    /// The record is larger than the producer or the topic takes.
    #[error("the event is larger than the topic takes (max.message.bytes)")]
    TooLarge,
    /// Kafka refuses it and will again: no such topic, no right to write.
    #[error("Kafka refuses it: {0}")]
    Refused(String),
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Partition of the topic.
    pub partition: i32,
    /// Offset within it.
    pub offset: i64,
}

/// Puts records on one topic and tells of each when Kafka has it: `acks=all`, idempotent, murmur2.
///
/// Memory is bounded by librdkafka's queue, 64 MiB. Clones share one client.
#[derive(Clone)]
pub struct ConfirmedProducer {
    inner: FutureProducer<Context>,
    /// Puts each record into a batch of its own; made when a batch is refused for its size, which is seldom.
    alone: Arc<OnceLock<FutureProducer<Context>>>,
    settings: ClientConfig,
    /// Shares its last error with the client.
    context: Context,
    topic: String,
}

impl ConfirmedProducer {
    /// Makes the producer, which connects by itself. A record that Kafka has not confirmed within `timeout` is given up.
    pub fn new(kafka: &config::Kafka, topic: &str, timeout: Duration) -> Result<Self, Error> {
        let mut settings = producer::settings(kafka, Partitioner::Murmur2, timeout);
        if !kafka.librdkafka.contains_key("linger.ms") {
            settings.set("linger.ms", LINGER_MS);
        }
        // Whatever the file says of these, an answer promises that the event is kept.
        settings.set("acks", "all").set("enable.idempotence", "true");
        let context = Context::new(kafka);
        let inner = settings.create_with_context(context.clone()).map_err(Error::creating)?;
        settings.set("batch.num.messages", "1");
        Ok(Self { inner, alone: Arc::default(), settings, context, topic: topic.to_owned() })
    }

    /// Puts a record on the topic and waits until Kafka has it, or has not within the timeout.
    ///
    /// Dropping the future leaves the record on its way.
    pub async fn send(&self, key: &str, payload: &[u8]) -> Result<Position, Unconfirmed> {
        match self.send_by(&self.inner, key, payload).await {
            // Brokers refuse a batch as a whole, and it may have been too large by its others.
            Err(Unconfirmed::TooLarge) => self.send_by(self.alone()?, key, payload).await,
            outcome => outcome,
        }
    }

    fn alone(&self) -> Result<&FutureProducer<Context>, Unconfirmed> {
        if let Some(alone) = self.alone.get() {
            return Ok(alone);
        }
        let made = self.settings.create_with_context(self.context.clone());
        let made = made.map_err(|error| Unconfirmed::Away(error.to_string()))?;
        Ok(self.alone.get_or_init(|| made))
    }

    async fn send_by(
        &self,
        producer: &FutureProducer<Context>,
        key: &str,
        payload: &[u8],
    ) -> Result<Position, Unconfirmed> {
        let record = FutureRecord::to(&self.topic).key(key).payload(payload);
        let delivery = producer.send_result(record).map_err(|(error, _)| self.judge(&error))?;
        match delivery.await {
            Ok(Ok(Delivery { partition, offset, .. })) => Ok(Position { partition, offset }),
            Ok(Err((error, _))) => Err(self.judge(&error)),
            Err(_) => Err(Unconfirmed::Away("the producer was closed".to_owned())),
        }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    fn judge(&self, error: &KafkaError) -> Unconfirmed {
        let Some(code) = error.rdkafka_error_code() else { return Unconfirmed::Away(error.to_string()) };
        match code {
            RDKafkaErrorCode::QueueFull => Unconfirmed::Busy,
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize => {
                Unconfirmed::TooLarge
            }
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed => Unconfirmed::Refused(client::words(code)),
            _ => Unconfirmed::Away(self.context.last_error().unwrap_or_else(|| client::words(code))),
        }
    }
}

impl fmt::Debug for ConfirmedProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfirmedProducer").field("topic", &self.topic).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kafka(settings: &[(&str, &str)]) -> config::Kafka {
        let mut kafka = config::Kafka::default();
        for (key, value) in settings {
            kafka.librdkafka.insert((*key).to_owned(), (*value).into());
        }
        kafka
    }

    #[tokio::test]
    async fn who_sends_is_told_where_the_record_lies() {
        let kafka = kafka(&[("test.mock.num.brokers", "1"), ("acks", "0"), ("linger.ms", "20")]);
        let producer = ConfirmedProducer::new(&kafka, "t", Duration::from_secs(5)).unwrap();
        let first = producer.send("flow", b"one").await.unwrap();
        let second = producer.send("flow", b"two").await.unwrap();
        assert_eq!(second, Position { partition: first.partition, offset: first.offset + 1 });
    }

    #[tokio::test]
    async fn a_broker_that_is_away_and_an_event_that_is_too_large_are_told_apart() {
        let nowhere = config::Kafka {
            bootstrap_servers: "127.0.0.1:9".to_owned(),
            ..kafka(&[("message.max.bytes", "2000")])
        };
        let producer = ConfirmedProducer::new(&nowhere, "t", Duration::from_millis(200)).unwrap();
        let away = producer.send("flow", b"one").await.unwrap_err();
        assert!(matches!(&away, Unconfirmed::Away(why) if why == "connection refused"), "{away}");
        let large = producer.send("flow", &[b'x'; 3_000]).await.unwrap_err();
        assert!(matches!(large, Unconfirmed::TooLarge), "{large}");
    }
}
