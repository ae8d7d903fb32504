//! What comes onto a topic from now on, for whoever wants to look. In no group; moves no offset.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    Message as _, Offset as Position, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
    metadata::MetadataPartition,
};

use super::client::{self, Context, Error};
use crate::{clock, config, pipeline::decode::foreign::SOURCE_HEADER};

/// How long Kafka may take to say which partitions there are.
const ASK: Duration = Duration::from_secs(5);

/// How long to wait for a record before it is asked whether anybody still looks.
const POLL: Duration = Duration::from_millis(250);

/// How often it is looked for partitions that were added.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// librdkafka's queue: who looks wants what is new.
const QUEUE: [(&str, &str); 3] =
    [("queued.max.messages.kbytes", "4096"), ("fetch.wait.max.ms", "100"), ("fetch.min.bytes", "1")];

/// A record of the topic.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Its key.
    pub(crate) key: Option<Bytes>,
    /// Its value.
    pub(crate) value: Option<Bytes>,
    /// Number of its partition.
    pub(crate) partition: i32,
    /// Its offset.
    pub(crate) offset: i64,
    /// Its timestamp in ms since 1970.
    pub(crate) time: Option<i64>,
    /// The engine that wrote it, where a header says that.
    pub(crate) source: Option<Bytes>,
}

/// Reads a topic from its end until `each` says that nobody looks any more; it is asked at least four times a second, then
/// without a record. Returns once the end is known, by partition; what comes after that is seen.
///
/// Blocks for as long as Kafka takes to answer, then goes on in a thread of its own. Outages are waited for.
pub(crate) fn follow(
    kafka: &config::Kafka,
    topic: &str,
    mut each: impl FnMut(Option<Record>) -> bool + Send + 'static,
) -> Result<BTreeMap<i32, i64>, Error> {
    let context = Context::new(kafka);
    let settings = client::lookers_settings(kafka, &QUEUE);
    let consumer: BaseConsumer<Context> =
        settings.create_with_context(context.clone()).map_err(Error::creating)?;
    client::log_in(&consumer);
    let asking = |error: KafkaError| Error::asking("read the ends of a topic", &error, &context);
    let (mut followed, mut ends) = (TopicPartitionList::new(), BTreeMap::new());
    let deadline = clock::monotonic() + ASK;
    for number in partitions(&consumer, topic).map_err(asking)? {
        let left = deadline.saturating_duration_since(clock::monotonic());
        let (_, end) = consumer.fetch_watermarks(topic, number, left).map_err(asking)?;
        followed.add_partition_offset(topic, number, Position::Offset(end)).map_err(asking)?;
        ends.insert(number, end);
    }
    consumer.assign(&followed).map_err(asking)?;
    let topic = topic.to_owned();
    let run = move || {
        let mut looked = clock::monotonic();
        loop {
            let wanted = match consumer.poll(POLL) {
                Some(Ok(record)) => each(Some(Record {
                    key: record.key().map(Bytes::copy_from_slice),
                    value: record.payload().map(Bytes::copy_from_slice),
                    partition: record.partition(),
                    offset: record.offset(),
                    time: record.timestamp().to_millis(),
                    source: source(&record),
                })),
                // An outage; librdkafka tries again by itself.
                Some(Err(_)) | None => each(None),
            };
            if !wanted {
                return;
            }
            add_new(&consumer, &topic, &mut looked);
        }
    };
    thread::Builder::new()
        .name("tail".to_owned())
        .spawn(run)
        .map(|_| ends)
        .map_err(|error| Error::Other { doing: "start a thread", reason: error.to_string() })
}

/// The header that names the engine.
fn source(record: &BorrowedMessage<'_>) -> Option<Bytes> {
    let named = record.headers()?.iter().filter(|header| header.key == SOURCE_HEADER).last()?;
    named.value.map(Bytes::copy_from_slice)
}

fn partitions(consumer: &BaseConsumer<Context>, topic: &str) -> Result<Vec<i32>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.map(|topic| topic.partitions().iter().map(MetadataPartition::id).collect()).unwrap_or_default())
}

/// Follows partitions that were added since, from their beginning: nothing of them was missed.
fn add_new(consumer: &BaseConsumer<Context>, topic: &str, looked: &mut Instant) {
    if clock::monotonic().saturating_duration_since(*looked) < LOOK_AGAIN {
        return;
    }
    *looked = clock::monotonic();
    let (Ok(now), Ok(assigned)) = (partitions(consumer, topic), consumer.assignment()) else { return };
    let mut new = TopicPartitionList::new();
    for number in now.into_iter().filter(|number| assigned.find_partition(topic, *number).is_none()) {
        // A number that is no partition can't be among them.
        let _ = new.add_partition_offset(topic, number, Position::Beginning);
    }
    if new.count() > 0
        && let Err(error) = consumer.incremental_assign(&new)
    {
        tracing::debug!(topic, %error, "partitions that were added are not followed");
    }
}
