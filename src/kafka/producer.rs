//! The producer: every record acknowledged by all in-sync replicas, in order, once; counted when it is delivered.

use std::{
    error, fmt,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message as _, Statistics,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
};

use super::{
    client::{self, Context, Error, Reasons},
    token,
};
use crate::{clock, config};

/// The largest message that flowtrail's topics and producers take: 16 MiB.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// How long a sender waits for room in the queue before it looks again; a delivery wakes it earlier.
const FULL_QUEUE_WAIT: Duration = Duration::from_millis(100);

/// Which partition a record without one goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Partitioner {
    /// By murmur2 of the key, as Java's clients do
    #[default]
    Murmur2,
    /// By CRC32 of the key, as librdkafka does unless it is told otherwise
    Crc32,
    /// Any partition, whatever the key: one flow is spread over several
    Random,
}

impl Partitioner {
    /// librdkafka's name for it. Records without a key go anywhere with all of them.
    fn librdkafka(self) -> &'static str {
        match self {
            Self::Murmur2 => "murmur2_random",
            Self::Crc32 => "consistent_random",
            Self::Random => "random",
        }
    }
}

/// librdkafka's settings of a producer, for those that want a producer of another kind than [`Producer`].
///
/// `timeout` is how long a record may take from the queue to its acknowledgement. The queue holds 64 MiB at most.
/// Compression is lz4: history is JSON text, which it halves at a cost that is hardly seen; each of librdkafka's
/// builds has it.
pub fn settings(kafka: &config::Kafka, partitioner: Partitioner, timeout: Duration) -> ClientConfig {
    let timeout_ms = timeout.as_millis().to_string();
    let defaults = [
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("partitioner", partitioner.librdkafka()),
        ("linger.ms", "5"),
        ("compression.codec", "lz4"),
        ("message.max.bytes", &MAX_MESSAGE_BYTES.to_string()),
        ("queue.buffering.max.messages", "100000"),
        ("queue.buffering.max.kbytes", "65536"),
        ("message.timeout.ms", &timeout_ms),
    ];
    client::settings(kafka, &defaults, &[])
}

/// What is put on a topic.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub payload: &'a [u8],
    /// Its partition; nothing leaves it to the [`Partitioner`].
    pub partition: Option<i32>,
}

/// How many records came to what end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Acknowledged by Kafka.
    pub delivered: u64,
    /// Given up, by reason.
    pub failed: Reasons,
}

impl Deliveries {
    /// Given up, for whatever reason.
    pub fn failed_total(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// Puts records on topics and counts what becomes of them. Made for bulk: no caller waits for a single record.
pub struct Producer {
    inner: ThreadedProducer<Tally>,
}

impl Producer {
    /// Makes the producer. It connects when it is first used.
    pub fn new(kafka: &config::Kafka, partitioner: Partitioner, timeout: Duration) -> Result<Self, Error> {
        let tally = Tally {
            context: Context::new(kafka),
            delivered: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            failed: Mutex::default(),
            room: Condvar::new(),
        };
        let inner =
            settings(kafka, partitioner, timeout).create_with_context(tally).map_err(Error::creating)?;
        Ok(Self { inner })
    }

    /// Queues a record; waits while the queue is full, so not for a thread that must not block.
    ///
    /// What becomes of the record is counted in [`Self::deliveries`], a refusal to queue it (too large, no such
    /// partition) as well.
    pub fn send(&self, topic: &str, record: Outgoing<'_>) {
        let mut message = BaseRecord::to(topic).key(record.key).payload(record.payload);
        message.partition = record.partition;
        while let Err((error, returned)) = self.inner.send(message) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return self.tally().count_failure(&error);
            }
            message = returned;
            self.tally().wait_for_room();
        }
    }

    /// Waits until all queued records are delivered or given up, for `timeout` at most.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let deadline = clock::monotonic() + timeout;
        while self.inner.in_flight_count() > 0 {
            let left = deadline.saturating_duration_since(clock::monotonic());
            if let Err(error) = self.inner.flush(left)
                && left.is_zero()
            {
                return Err(self.asking("deliver what is queued", &error));
            }
        }
        Ok(())
    }

    /// What became of the records so far.
    pub fn deliveries(&self) -> Deliveries {
        let tally = self.tally();
        Deliveries {
            delivered: tally.delivered.load(Ordering::Relaxed),
            failed: tally.failed.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Whether any record was given up. Cheap enough to ask after every record.
    pub fn has_failed(&self) -> bool {
        self.tally().has_failed.load(Ordering::Relaxed)
    }

    /// What librdkafka last said about the brokers, if anything went wrong.
    pub fn last_error(&self) -> Option<String> {
        self.tally().context.last_error()
    }

    fn asking(&self, doing: &'static str, error: &KafkaError) -> Error {
        Error::asking(doing, error, &self.tally().context)
    }

    fn tally(&self) -> &Tally {
        self.inner.client().context()
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("context", &self.tally().context).finish_non_exhaustive()
    }
}

/// The producer's context: counts deliveries and wakes a sender that waits for room.
struct Tally {
    context: Context,
    delivered: AtomicU64,
    has_failed: AtomicBool,
    failed: Mutex<Reasons>,
    room: Condvar,
}

impl Tally {
    fn count_failure(&self, error: &KafkaError) {
        let reason = error.rdkafka_error_code().map_or_else(|| error.to_string(), client::words);
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
        self.has_failed.store(true, Ordering::Relaxed);
    }

    fn wait_for_room(&self) {
        let guard = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded, since a delivery may come between the failed attempt and this line.
        drop(self.room.wait_timeout(guard, FULL_QUEUE_WAIT));
    }
}

impl ClientContext for Tally {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn stats(&self, _: Statistics) {}

    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, from: Option<&str>) -> Result<OAuthToken, Box<dyn error::Error>> {
        token::read(from)
    }
}

impl ProducerContext for Tally {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, message)) => {
                tracing::debug!(topic = message.topic(), partition = message.partition(), %error, "not delivered");
                self.count_failure(error);
            }
        }
        self.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A producer of a cluster that librdkafka plays within this process.
    fn producer() -> Producer {
        let mut kafka = config::Kafka::default();
        kafka.librdkafka.insert("test.mock.num.brokers".to_owned(), "1".into());
        Producer::new(&kafka, Partitioner::Murmur2, Duration::from_secs(5)).unwrap()
    }

    #[test]
    fn what_is_delivered_is_counted() {
        let producer = producer();
        for number in 0..500 {
            let key = format!("flow-{number}");
            producer.send("t", Outgoing { key: key.as_bytes(), payload: b"{}", partition: None });
        }
        producer.flush(Duration::from_secs(10)).unwrap();
        assert_eq!(producer.deliveries(), Deliveries { delivered: 500, failed: Reasons::new() });
        assert!(!producer.has_failed());
    }

    #[test]
    fn what_is_given_up_is_counted_by_reason() {
        let producer = producer();
        producer.send("t", Outgoing { key: b"f", payload: b"{}", partition: Some(99) });
        producer.flush(Duration::from_secs(10)).unwrap();
        let deliveries = producer.deliveries();
        assert_eq!((deliveries.delivered, deliveries.failed_total()), (0, 1));
        assert_eq!(deliveries.failed.keys().collect::<Vec<_>>(), ["unknown partition"]);
        assert!(producer.has_failed());
    }
}
