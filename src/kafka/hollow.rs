//! Whether what is left of a partition is no record at all: markers and aborted records of transactions, holes that
//! compaction left. librdkafka reads past those without a word, so the offset would stay before them.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Offset as Position, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult},
};

use super::client::{self, Context};
use crate::{
    clock, config,
    model::{Offset, Partition},
};

/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Looks at the ends of partitions.
#[derive(Debug, Clone)]
pub(crate) struct Looker {
    settings: ClientConfig,
    context: Context,
}

impl Looker {
    /// Nothing is connected before the first look.
    pub(crate) fn new(kafka: &config::Kafka) -> Self {
        Self { settings: client::lookers_settings(kafka, &[]), context: Context::new(kafka) }
    }

    /// Whether a partition that ends at `end`, or behind it by now, has no record from `from` to `end`. Blocks for
    /// at most about ten seconds; what can't be found out in that time is no.
    pub(crate) fn is_hollow(&self, partition: &Partition, from: Offset, end: Offset) -> bool {
        match self.look(partition, from, end) {
            Ok(is_hollow) => is_hollow,
            Err(error) => {
                tracing::debug!(%partition, %error, "the end of a partition can't be looked at");
                false
            }
        }
    }

    fn look(&self, partition: &Partition, from: Offset, end: Offset) -> KafkaResult<bool> {
        let consumer: BaseConsumer<Context> = self.settings.create_with_context(self.context.clone())?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&partition.topic, partition.number, Position::Offset(from.0))?;
        consumer.assign(&list)?;
        let until = clock::monotonic() + LIMIT;
        loop {
            match consumer.poll(remaining(until)) {
                Some(Ok(record)) => return Ok(rdkafka::Message::offset(&record) >= end.0),
                // An end is met no earlier than where the partition ended before the look.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(true),
                Some(Err(error)) if remaining(until).is_zero() => return Err(error),
                Some(Err(_)) => {}
                None => return Ok(false),
            }
        }
    }
}

fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(clock::monotonic())
}
