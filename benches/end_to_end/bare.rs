//! What reading and decoding alone takes: a consumer that does nothing else, in a process of its own.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use flowtrail::proto::v1::HistoryEvent;
use prost::Message as _;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::{traffic::Traffic, usage};

/// How long Kafka may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// What it took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Bare {
    /// Events that were decoded.
    pub(crate) events: f64,
    /// Processor seconds of the process.
    pub(crate) cpu_seconds: f64,
}

/// Starts this program again to read a topic; see [`consume`].
pub(crate) async fn measure(bootstrap_servers: &str, traffic: &Traffic) -> anyhow::Result<Bare> {
    let mut command = Command::new(std::env::current_exe()?);
    let events = traffic.events.to_string();
    command.args(["--bare", bootstrap_servers, "--bare-topic", traffic.order.topic(), "--events", &events]);
    let ended = command.kill_on_drop(true).output().await?;
    ensure!(ended.status.success(), "the bare consumer: {}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).context("what the bare consumer says")
}

/// Reads so many records, with the fetch settings of a collector, and decodes each.
pub(crate) fn consume(bootstrap_servers: &str, topic: &str, events: u32) -> anyhow::Result<Bare> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "bench-bare")
        .set("enable.auto.commit", "false")
        .set("queued.max.messages.kbytes", "6144")
        .set("fetch.message.max.bytes", "1048576")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.wait.max.ms", "100")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), SILENCE)?;
    let topic = metadata.topics().first().context("no such topic")?;
    let mut list = TopicPartitionList::new();
    for partition in topic.partitions() {
        list.add_partition_offset(topic.name(), partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut read = 0;
    while read < events {
        let record = consumer.poll(SILENCE).context("Kafka is silent")??;
        let event = HistoryEvent::decode(record.payload().unwrap_or_default())?;
        ensure!(event.event.is_some(), "an event that says nothing");
        read += 1;
    }
    Ok(Bare { events: f64::from(events), cpu_seconds: usage::process_cpu(std::process::id())? })
}
