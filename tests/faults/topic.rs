//! A topic: filled, read back byte for byte, and what the oracle says of it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use flowtrail::{
    config::Kafka,
    kafka::{
        admin::Admin,
        producer::{self, Partitioner},
    },
};
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::task::spawn_blocking;

use crate::traffic::{MAX_PAYLOAD, Raw};

pub const PARTITIONS: i32 = 6;
/// How long Kafka may take over anything, a broker that is killed and started included.
const PATIENCE: Duration = Duration::from_mins(3);

/// Makes a topic.
pub async fn create(servers: &str, name: &str) -> anyhow::Result<()> {
    let kafka = kafka(servers);
    Admin::new(&kafka)?.ensure_topic(name, PARTITIONS, &[], PATIENCE).await?;
    Ok(())
}

fn kafka(servers: &str) -> Kafka {
    Kafka { bootstrap_servers: servers.to_owned(), ..Kafka::default() }
}

/// Counts what becomes of records.
#[derive(Default)]
struct Tally {
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl ClientContext for Tally {}

impl ProducerContext for Tally {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = if result.is_ok() { &self.delivered } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Puts records on a topic, and waits until all are there. Blocks.
pub fn fill(servers: &str, topic: &str, records: impl Iterator<Item = Raw>) -> anyhow::Result<u64> {
    let settings = producer::settings(&kafka(servers), Partitioner::Murmur2, PATIENCE);
    let producer: ThreadedProducer<Tally> = settings.create_with_context(Tally::default())?;
    let (began, mut sent) = (Instant::now(), 0);
    for record in records {
        let mut message = BaseRecord::to(topic);
        (message.key, message.payload) = (record.key.as_ref(), record.value.as_ref());
        while let Err((error, returned)) = producer.send(message) {
            ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{error}");
            ensure!(began.elapsed() < PATIENCE * 10, "Kafka takes nothing more");
            message = returned;
            // Until some of the queue is delivered.
            std::thread::sleep(Duration::from_millis(5));
        }
        sent += 1;
    }
    producer.flush(PATIENCE)?;
    let (delivered, failed) = {
        let tally = producer.client().context();
        (tally.delivered.load(Ordering::Relaxed), tally.failed.load(Ordering::Relaxed))
    };
    ensure!(
        (delivered, failed) == (sent, 0),
        "of {sent} records {delivered} were delivered and {failed} were not"
    );
    Ok(sent)
}

/// A topic that has been read to its end.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    /// The end of each partition.
    pub ends: BTreeMap<i32, i64>,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// A payload field above this is cut.
    pub max_payload: usize,
    /// Its records.
    pub dump: PathBuf,
    /// What the tables have to hold of it, by the oracle.
    pub expected: PathBuf,
}

impl Topic {
    /// Reads a topic by a plain consumer into a file.
    pub async fn read(servers: &str, name: &str, folder: &Path) -> anyhow::Result<Self> {
        let (servers, name) = (servers.to_owned(), name.to_owned());
        let (dump, expected) = (folder.join(format!("{name}.dump")), folder.join(format!("{name}.expected")));
        spawn_blocking(move || {
            let mut topic =
                Self { name, ends: BTreeMap::new(), bytes: 0, max_payload: MAX_PAYLOAD, dump, expected };
            topic.dump(&servers).context("reading the topic")?;
            Ok(topic)
        })
        .await?
    }

    /// Where the partitions of a topic end that still grows.
    pub async fn ends_now(&self, servers: String) -> anyhow::Result<BTreeMap<i32, i64>> {
        let name = self.name.clone();
        let ask = move || {
            let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", servers).create()?;
            let end = |number| Ok((number, consumer.fetch_watermarks(&name, number, PATIENCE)?.1));
            (0..PARTITIONS).map(end).collect()
        };
        spawn_blocking(ask).await?
    }

    /// One that is still to be filled, with so many records.
    pub fn planned(name: &str, records: i64) -> Self {
        let (ends, nowhere) = (BTreeMap::from([(0, records)]), PathBuf::new());
        Self {
            name: name.to_owned(),
            ends,
            bytes: 0,
            max_payload: MAX_PAYLOAD,
            dump: nowhere.clone(),
            expected: nowhere,
        }
    }

    pub fn records(&self) -> i64 {
        self.ends.values().sum()
    }

    fn dump(&mut self, servers: &str) -> anyhow::Result<()> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", "dump")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&self.name, partition, Offset::Beginning)?;
            self.ends.insert(partition, 0);
        }
        consumer.assign(&list)?;
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&self.dump)?);
        let mut open = PARTITIONS;
        while open > 0 {
            match consumer.poll(PATIENCE) {
                None => bail!("Kafka does not answer"),
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => bail!(error),
                Some(Ok(record)) => {
                    let (partition, offset) = (record.partition(), record.offset());
                    let end = self.ends.insert(partition, offset + 1);
                    ensure!(end == Some(offset), "{partition}@{offset} comes after {end:?}");
                    file.write_all(&partition.to_be_bytes())?;
                    file.write_all(&offset.to_be_bytes())?;
                    file.write_all(&record.timestamp().to_millis().unwrap_or(-1).to_be_bytes())?;
                    let parts = [record.key(), record.payload()];
                    for part in parts {
                        let length = part.map_or(Ok(-1), |bytes| i32::try_from(bytes.len()))?;
                        file.write_all(&length.to_be_bytes())?;
                    }
                    for bytes in parts.into_iter().flatten() {
                        file.write_all(bytes)?;
                        self.bytes += u64::try_from(bytes.len())?;
                    }
                }
            }
        }
        Ok(file.flush()?)
    }
}
