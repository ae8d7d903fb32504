//! Topics as the tests use them: records byte for byte, ends of partitions, offsets of groups.

use std::time::Duration;

use flowtrail::{
    config::Config,
    kafka::{
        client,
        producer::{self, Partitioner},
    },
    proto::v1::HistoryEvent,
    publish,
};
use futures_util::future::join_all;
use prost::Message as _;
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::KafkaError,
    message::{Header, Message as _, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tokio::task::spawn_blocking;

use crate::servers::PATIENCE;

/// How long Kafka may take to answer.
const ASK: Duration = Duration::from_secs(20);

/// A record as it is put on a topic.
#[derive(Debug, Clone, Default)]
pub struct Raw {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(&'static str, Option<&'static [u8]>)>,
    pub partition: i32,
}

impl Raw {
    /// An event under the key it ought to have.
    pub fn of(event: &HistoryEvent) -> Self {
        let key = publish::key(event).into_bytes();
        Self { key: Some(key), value: Some(event.encode_to_vec()), ..Self::default() }
    }
}

/// Puts records on the first topic of a configuration and says their offsets.
pub async fn put(config: &Config, records: &[Raw]) -> Vec<i64> {
    let settings = producer::settings(&config.kafka, Partitioner::Murmur2, PATIENCE);
    let producer: FutureProducer = settings.create().unwrap();
    let sending = records.iter().map(|record| {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: *value }));
        let mut outgoing =
            FutureRecord::to(&config.kafka.topics[0]).partition(record.partition).headers(headers);
        outgoing.key = record.key.as_ref();
        outgoing.payload = record.value.as_ref();
        producer.send_result(outgoing).unwrap()
    });
    let sent = join_all(sending.collect::<Vec<_>>()).await;
    sent.into_iter().map(|delivery| delivery.unwrap().unwrap().offset).collect()
}

fn consumer(config: &Config) -> BaseConsumer {
    client::settings(&config.kafka, &[], &[("group.id", &config.kafka.group)]).create().unwrap()
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK).unwrap();
    let mut numbers: Vec<i32> =
        metadata.topics()[0].partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
    numbers.sort_unstable();
    numbers
}

/// The end of each partition of the first topic.
pub async fn ends(config: &Config) -> Vec<(i32, i64)> {
    let config = config.clone();
    let ask = move || {
        let (consumer, topic) = (consumer(&config), &config.kafka.topics[0]);
        let end = |number| (number, consumer.fetch_watermarks(topic, number, ASK).unwrap().1);
        partitions(&consumer, topic).into_iter().map(end).collect()
    };
    spawn_blocking(ask).await.unwrap()
}

/// Offsets of the records that the first partition has. There is one at least.
pub async fn offsets(config: &Config) -> Vec<i64> {
    records(config).await.into_iter().map(|(offset, _)| offset).collect()
}

/// Offset, key and value of the records that the first partition has. There is one at least.
pub async fn records(config: &Config) -> Vec<(i64, Raw)> {
    let config = config.clone();
    let read = move || {
        let own = [("group.id", "offsets"), ("enable.partition.eof", "true")];
        let consumer: BaseConsumer = client::settings(&config.kafka, &[], &own).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&config.kafka.topics[0], 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut records = Vec::new();
        loop {
            match consumer.poll(ASK).expect("Kafka does not answer") {
                Ok(message) => {
                    let [key, value] =
                        [message.key(), message.payload()].map(|bytes| bytes.map(<[u8]>::to_vec));
                    records.push((message.offset(), Raw { key, value, ..Raw::default() }));
                }
                Err(KafkaError::PartitionEOF(_)) => return records,
                Err(error) => panic!("{error}"),
            }
        }
    };
    spawn_blocking(read).await.unwrap()
}

/// What Kafka has as the group's offset of each partition that it has one of.
pub async fn group_offsets(config: &Config) -> Vec<(i32, i64)> {
    let config = config.clone();
    let ask = move || {
        let (consumer, topic) = (consumer(&config), &config.kafka.topics[0]);
        let mut list = TopicPartitionList::new();
        for number in partitions(&consumer, topic) {
            list.add_partition(topic, number);
        }
        let committed = consumer.committed_offsets(list, ASK).unwrap();
        let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            Some((element.partition(), element.offset().to_raw().filter(|offset| *offset >= 0)?))
        };
        committed.elements().iter().filter_map(offset).collect()
    };
    spawn_blocking(ask).await.unwrap()
}

/// Commits an offset as an outside tool would.
pub async fn commit(config: &Config, partition: i32, offset: i64) {
    let config = config.clone();
    let ask = move || {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&config.kafka.topics[0], partition, Offset::Offset(offset)).unwrap();
        consumer(&config).commit(&list, CommitMode::Sync).unwrap();
    };
    spawn_blocking(ask).await.unwrap();
}

/// Drops records as retention does.
pub async fn delete_before(config: &Config, offset: i64) {
    let admin: AdminClient<DefaultClientContext> =
        client::settings(&config.kafka, &[], &[]).create().unwrap();
    let mut list = TopicPartitionList::new();
    let before = Offset::Offset(offset);
    list.add_partition_offset(&config.kafka.topics[0], 0, before).unwrap();
    let done = admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    assert_eq!(done.elements()[0].offset().to_raw(), Some(offset));
}
